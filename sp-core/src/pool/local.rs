//! What each thread keeps in front of the shared depots: magazines without a lock, counters without contention.
//!
//! A thread holds up to two magazines of each class. It is given one when it has none and hands one over when
//! it has two, so a thread that takes and drops around either edge does not go to the depot each time.

use std::cell::RefCell;
use std::iter;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use super::Shared;
use super::block::Block;
use crate::sync::thread_local;

/// Takes a block of `class`; without a class, a plain one that holds `at_least` bytes.
pub(super) fn take(shared: &Arc<Shared>, class: Option<u8>, at_least: usize) -> Arc<Block> {
    let taken = with_front(shared, |front| front.take(shared, class)).unwrap_or_else(|| {
        let block = class.and_then(|class| shared.class(class).pop());
        shared.strays.count_shared(&shared.strays.gets);
        if block.is_none() {
            shared.strays.count_shared(&shared.strays.news);
        }
        block
    });
    if let Some(block) = taken {
        return block;
    }
    if class.is_none() && shared.enabled {
        with_front(shared, |front| add(&front.counters.oversized, 1))
            .unwrap_or_else(|| shared.strays.count_shared(&shared.strays.oversized));
    }
    Arc::new(Block::new(shared, class, at_least))
}

/// Brings a block home whose last handle is gone.
pub(super) fn put(block: Arc<Block>) {
    let mut block = Some(block);
    let _ = FRONTS.try_with(|fronts| {
        let mut fronts = fronts.try_borrow_mut().ok()?;
        let home = block.as_ref()?.home();
        let front = fronts.iter_mut().find(|front| Weak::ptr_eq(&front.pool, home))?;
        front.put(block.take()?);
        Some(())
    });
    // The thread has not met this pool yet, or is ending. If the pool is gone the block is freed here.
    let Some(block) = block else { return };
    let Some(shared) = block.home().upgrade() else {
        return;
    };
    let mut block = Some(block);
    with_front(&shared, |front| block.take().map(|block| front.put(block)));
    if let Some(block) = block {
        shared.strays.count_shared(&shared.strays.puts);
        if let Some((class, block)) = block.into_clean(shared.scrub) {
            shared.class(class).spill(iter::once(block));
        }
    }
}

/// Frees what this thread keeps of `pool`; only this thread can reach it.
pub(super) fn empty(shared: &Arc<Shared>) {
    with_front(shared, Front::empty);
}

/// Frees what this thread keeps of pools that are gone.
pub(super) fn sweep() {
    let _ = FRONTS.try_with(|fronts| {
        if let Ok(mut fronts) = fronts.try_borrow_mut() {
            fronts.retain(|front| front.pool.strong_count() > 0);
        }
    });
}

/// Runs `act` on this thread's front of the pool; `None` while the thread is ending.
fn with_front<R>(shared: &Arc<Shared>, act: impl FnOnce(&mut Front) -> R) -> Option<R> {
    FRONTS
        .try_with(|fronts| {
            let mut fronts = fronts.try_borrow_mut().ok()?;
            let home = Arc::as_ptr(shared);
            let found = fronts.iter().position(|front| front.pool.as_ptr() == home);
            let index = found.unwrap_or_else(|| {
                fronts.retain(|front| front.pool.strong_count() > 0);
                fronts.push(Front::new(shared));
                fronts.len() - 1
            });
            fronts.get_mut(index).map(act)
        })
        .ok()
        .flatten()
}

/// One thread's share of one pool.
struct Front {
    pool: Weak<Shared>,
    scrub: bool,
    magazines: Vec<Magazine>,
    counters: Arc<Counters>,
}

struct Magazine {
    blocks: Vec<Arc<Block>>,
    /// Buffers that move at once; twice as many are kept.
    length: usize,
    /// Bytes of one buffer, for the statistics.
    bytes: u64,
}

impl Front {
    fn new(shared: &Arc<Shared>) -> Self {
        let counters = Arc::new(Counters::default());
        shared.register(&counters);
        let magazines = shared.classes.iter().map(|class| Magazine {
            blocks: Vec::new(),
            length: class.magazine,
            bytes: Block::bytes_for(class.size) as u64,
        });
        Self {
            pool: Arc::downgrade(shared),
            scrub: shared.scrub,
            magazines: magazines.collect(),
            counters,
        }
    }

    fn take(&mut self, shared: &Shared, class: Option<u8>) -> Option<Arc<Block>> {
        add(&self.counters.gets, 1);
        let block = class.and_then(|class| {
            let magazine = self.magazines.get_mut(usize::from(class))?;
            if magazine.blocks.is_empty() {
                shared.class(class).refill(&mut magazine.blocks);
                add(&self.counters.held, magazine.bytes * magazine.blocks.len() as u64);
            }
            let block = magazine.blocks.pop()?;
            sub(&self.counters.held, magazine.bytes);
            Some(block)
        });
        if block.is_none() {
            add(&self.counters.news, 1);
        }
        block
    }

    fn put(&mut self, block: Arc<Block>) {
        add(&self.counters.puts, 1);
        let Some((class, block)) = block.into_clean(self.scrub) else {
            return;
        };
        let Some(magazine) = self.magazines.get_mut(usize::from(class)) else {
            return;
        };
        if magazine.blocks.len() >= 2 * magazine.length {
            sub(&self.counters.held, magazine.bytes * magazine.length as u64);
            // The oldest go: the newest are the ones this core still has in its cache.
            let oldest = magazine.blocks.drain(..magazine.length);
            match self.pool.upgrade() {
                Some(shared) => shared.class(class).spill(oldest),
                None => drop(oldest),
            }
        }
        if magazine.blocks.capacity() == 0 {
            magazine.blocks.reserve_exact(2 * magazine.length);
        }
        magazine.blocks.push(block);
        add(&self.counters.held, magazine.bytes);
    }

    fn empty(&mut self) {
        for magazine in &mut self.magazines {
            magazine.blocks = Vec::new();
        }
        self.counters.held.store(0, Relaxed);
    }
}

impl Drop for Front {
    /// The thread ends, or the pool is gone.
    fn drop(&mut self) {
        let Some(shared) = self.pool.upgrade() else {
            return;
        };
        for (magazine, class) in self.magazines.iter_mut().zip(&shared.classes) {
            class.spill(magazine.blocks.drain(..));
        }
        self.counters.held.store(0, Relaxed);
        shared.retire(&self.counters);
    }
}

/// What one thread has done with one pool. Its owner alone writes, so a store is enough; anybody may read.
///
/// The values publish nothing but themselves, hence `Relaxed` throughout. On a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Counters {
    pub(super) gets: AtomicU64,
    pub(super) puts: AtomicU64,
    pub(super) news: AtomicU64,
    pub(super) oversized: AtomicU64,
    /// Bytes in the thread's magazines.
    pub(super) held: AtomicU64,
}

impl Counters {
    /// Adds one where several threads may be writing.
    fn count_shared(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// Adds what a thread that ends has counted. Under the lock of the list of counters.
    pub(super) fn absorb(&self, of: &Self) {
        self.gets.fetch_add(of.gets.load(Relaxed), Relaxed);
        self.puts.fetch_add(of.puts.load(Relaxed), Relaxed);
        self.news.fetch_add(of.news.load(Relaxed), Relaxed);
        self.oversized.fetch_add(of.oversized.load(Relaxed), Relaxed);
    }
}

fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

fn sub(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_sub(by), Relaxed);
}

thread_local! {
    /// This thread's fronts, one for each pool it has met.
    static FRONTS: RefCell<Vec<Front>> = const { RefCell::new(Vec::new()) };
}
