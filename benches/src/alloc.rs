//! Counts what this process asks of the allocator.
//!
//! Only Rust code is seen: a library in C goes to the system's allocator by itself and has no figure.

#![expect(unsafe_code, reason = "an allocator is unsafe by its nature")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The system's allocator with a counter in front.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations and reallocations so far, of all threads.
pub(crate) fn allocations() -> u64 {
    SHARDS.iter().map(|shard| shard.0.load(Ordering::Relaxed)).sum()
}

// SAFETY: every call goes on to the system's allocator unchanged; counting touches atomics and a plain cell alone.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise about `layout` is the one `System` needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        count();
        // SAFETY: as above, and `at` came from this allocator, which is `System`.
        unsafe { System.realloc(at, layout, new) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

/// A counter on a cache line of its own, so that threads which allocate do not slow each other down.
#[repr(align(64))]
struct Shard(AtomicU64);

static SHARDS: [Shard; SHARD_COUNT] = [const { Shard(AtomicU64::new(0)) }; SHARD_COUNT];

/// Hands shards to threads in turn. Relaxed: two threads with one shard only count more slowly.
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The thread's shard. Without a destructor, so that it can be read while the thread ends.
    static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn count() {
    let mine = MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARD_COUNT);
        }
        mine.get()
    });
    SHARDS[mine].0.fetch_add(1, Ordering::Relaxed);
}

/// More than the threads of any library here that allocate all the time.
const SHARD_COUNT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_is_counted() {
        let before = allocations();
        let made = std::hint::black_box(Box::new(7));
        assert!(allocations() > before);
        drop(made);
    }
}
