//! Where message buffers come from and go home to.
//!
//! Buffers come in size classes, powers of two. Each thread keeps a few of each class for itself, without a lock;
//! what it has too much of travels in whole magazines to a depot that all threads share. Memory that one thread
//! takes and another drops therefore finds its way back without either waiting for the other.
//!
//! A pool holds no memory before its first use, and never more than its capacities plus two magazines for each
//! thread and class.

use std::fmt;
use std::sync::Arc;
#[cfg(not(shuttle))]
use std::sync::LazyLock;
use std::sync::atomic::Ordering::Relaxed;

use crate::process::PerProcess;
use crate::stats::Stats;
use crate::sync::{Mutex, lock};

mod aligned;
mod block;
mod buf;
mod class;
mod local;

pub use aligned::AlignedBytes;
pub use buf::PooledBuf;

use class::{Class, default_capacity};
use local::Counters;

/// A pool of buffers. Clones are handles to the same pool.
///
/// When the last handle is dropped the pool frees what it holds. Buffers still out stay valid and are freed when
/// they are dropped. What other threads keep in their magazines is freed when they end or next meet a new pool.
#[derive(Clone)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

impl BufferPool {
    /// A pool of its own; allocates no buffer yet.
    pub fn new(config: PoolConfig) -> Self {
        Self { shared: Arc::new(Shared::new(config)) }
    }

    /// The pool that messages use unless told otherwise.
    #[cfg(not(shuttle))]
    pub fn global() -> &'static Self {
        static GLOBAL: LazyLock<BufferPool> = LazyLock::new(|| BufferPool::new(PoolConfig::new()));
        &GLOBAL
    }

    /// The pool that messages use unless told otherwise, one for each run of a model.
    #[cfg(shuttle)]
    pub fn global() -> &'static Self {
        shuttle::lazy_static! {
            static ref GLOBAL: BufferPool = BufferPool::new(PoolConfig::new());
        }
        &GLOBAL
    }

    /// An empty buffer with room for at least `at_least` bytes.
    ///
    /// Never fails: what no class is large enough for is allocated for this one use.
    pub fn take(&self, at_least: usize) -> PooledBuf {
        let class = self.shared.class_for(at_least);
        PooledBuf::new(local::take(&self.shared, class, at_least))
    }

    /// Frees what the depots and the calling thread hold. Other threads keep their magazines.
    pub fn trim(&self) {
        local::empty(&self.shared);
        for class in &self.shared.classes {
            drop(class.empty());
        }
    }

    /// What the pool has done and holds. Exact as soon as no other thread is inside a call to the pool.
    pub fn stats(&self) -> PoolStats {
        self.shared.stats()
    }

    /// The size classes in bytes, smallest first.
    pub fn class_sizes(&self) -> impl Iterator<Item = usize> + '_ {
        self.shared.classes.iter().map(|class| class.size)
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// How a pool is built.
///
/// ```
/// use sp_core::pool::{BufferPool, PoolConfig};
///
/// // Three classes, two of them for messages of known size, and few of the largest.
/// let config = PoolConfig::for_sizes([48, 200, 4000]).capacity(4096, 16);
/// let pool = BufferPool::new(config);
/// assert_eq!(pool.class_sizes().collect::<Vec<_>>(), [128, 256, 4096]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    enabled: bool,
    scrub: bool,
    /// Size and capacity, sizes ascending powers of two.
    classes: Vec<(usize, usize)>,
}

impl PoolConfig {
    /// Every power of two from 128 bytes to 1 MiB.
    pub fn new() -> Self {
        Self::up_to(LARGEST_DEFAULT)
    }

    /// Every power of two from 128 bytes to the one that holds `largest`, which is at most 16 MiB.
    pub fn up_to(largest: usize) -> Self {
        let mut sizes = vec![SMALLEST];
        while let Some(&last) = sizes.last()
            && last < largest.min(LARGEST_EVER)
        {
            sizes.push(last * 2);
        }
        Self::for_sizes(sizes)
    }

    /// Only the classes that messages of these sizes fall into. Sizes above 16 MiB get none.
    pub fn for_sizes(sizes: impl IntoIterator<Item = usize>) -> Self {
        let mut classes: Vec<usize> = sizes
            .into_iter()
            .filter(|&size| size <= LARGEST_EVER)
            .map(|size| size.next_power_of_two().max(SMALLEST))
            .collect();
        classes.sort_unstable();
        classes.dedup();
        let classes = classes.into_iter().map(|size| (size, default_capacity(size))).collect();
        Self { enabled: true, scrub: false, classes }
    }

    /// How many buffers the depot of the class that holds `size` keeps. Does nothing if there is no such class.
    ///
    /// By default 4 MiB worth, at least 64 and at most 2,048 buffers; of those above 64 KiB 8 MiB worth.
    pub fn capacity(mut self, size: usize, buffers: usize) -> Self {
        if let Some(class) = self.classes.iter_mut().find(|class| class.0 >= size) {
            class.1 = buffers;
        }
        self
    }

    /// Whether buffers are kept at all. Off, every buffer is allocated and freed: slower, and seen by sanitizers.
    pub const fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Whether kept buffers are filled with zeros as they come home. Oversized ones are freed as they are.
    ///
    /// Costs a write of the whole buffer each time: to take and drop 1 KiB rose from 12 to 23 ns, 64 KiB from 12
    /// to 620 ns.
    pub const fn scrub(mut self, scrub: bool) -> Self {
        self.scrub = scrub;
        self
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// What a pool has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Buffers taken.
    pub gets: u64,
    /// Buffers that came home or, being oversized, were freed.
    pub puts: u64,
    /// Buffers taken that had to be allocated, oversized ones included.
    pub news: u64,
    /// Buffers taken that were larger than the largest class.
    pub oversized: u64,
    /// Buffers in use now; buffers that share memory count as one.
    pub out: u64,
    /// Bytes kept for later use, headroom included.
    pub held_bytes: u64,
}

impl PoolStats {
    /// The share of takes that allocated nothing, from 0 to 1; 1 before the first take.
    pub fn hit_rate(&self) -> f64 {
        if self.gets == 0 {
            return 1.0;
        }
        self.gets.saturating_sub(self.news) as f64 / self.gets as f64
    }

    /// The same as a branch of the statistics tree.
    pub fn tree(&self) -> Stats {
        Stats::new("pool")
            .value("gets", self.gets)
            .value("puts", self.puts)
            .value("news", self.news)
            .value("oversized", self.oversized)
            .value("out", self.out)
            .value("held_bytes", self.held_bytes)
    }
}

/// What all threads share.
#[derive(Debug)]
struct Shared {
    enabled: bool,
    scrub: bool,
    classes: Vec<Class>,
    /// The class for each power of two from 128 bytes on; shorter than the classes reach is oversized.
    by_power: Vec<u8>,
    /// The counters of the threads that are alive.
    counters: PerProcess<Mutex<Vec<Arc<Counters>>>>,
    /// What threads counted that have ended or are ending; the only counters with several writers.
    strays: Counters,
}

impl Shared {
    fn new(config: PoolConfig) -> Self {
        let classes = if config.enabled { config.classes } else { Vec::new() };
        let mut by_power = Vec::new();
        for (class, &(size, _)) in (0..).zip(&classes) {
            by_power.resize(power(size) + 1, class);
        }
        Self {
            enabled: config.enabled,
            scrub: config.scrub,
            classes: classes.into_iter().map(|(size, kept)| Class::new(size, kept)).collect(),
            by_power,
            counters: PerProcess::default(),
            strays: Counters::default(),
        }
    }

    /// The smallest class that holds `at_least` bytes.
    fn class_for(&self, at_least: usize) -> Option<u8> {
        self.by_power.get(power(at_least)).copied()
    }

    fn class(&self, class: u8) -> &Class {
        &self.classes[usize::from(class)]
    }

    fn register(&self, counters: &Arc<Counters>) {
        lock(self.counters.or_default()).push(Arc::clone(counters));
    }

    fn retire(&self, counters: &Arc<Counters>) {
        let mut live = lock(self.counters.or_default());
        live.retain(|other| !Arc::ptr_eq(other, counters));
        self.strays.absorb(counters);
    }

    fn stats(&self) -> PoolStats {
        let mut stats = PoolStats::default();
        let live = lock(self.counters.or_default());
        for counters in live.iter().map(AsRef::as_ref).chain([&self.strays]) {
            stats.gets += counters.gets.load(Relaxed);
            stats.puts += counters.puts.load(Relaxed);
            stats.news += counters.news.load(Relaxed);
            stats.oversized += counters.oversized.load(Relaxed);
            stats.held_bytes = stats.held_bytes.wrapping_add(counters.held.load(Relaxed));
        }
        drop(live);
        for class in &self.classes {
            stats.held_bytes = stats
                .held_bytes
                .wrapping_add((class.held() * block::Block::bytes_for(class.size)) as u64);
        }
        // A buffer dropped while the threads were being asked can make this negative for a moment.
        stats.out = stats.gets.saturating_sub(stats.puts);
        stats
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        local::sweep();
    }
}

/// The power of two that holds `size`, counted from the smallest class.
const fn power(size: usize) -> usize {
    match size.checked_next_power_of_two() {
        Some(size) => size.ilog2().saturating_sub(SMALLEST.ilog2()) as usize,
        None => usize::MAX,
    }
}

const SMALLEST: usize = 128;
const LARGEST_DEFAULT: usize = crate::config::POOLED_MAX;
/// Above this a copy costs more than an allocation, and one kept buffer would be a lot of memory.
const LARGEST_EVER: usize = 16 << 20;

#[cfg(all(test, shuttle))]
mod model;
#[cfg(test)]
mod tests;
