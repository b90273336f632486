//! One size class: its limits and the shared depot behind the threads' magazines.

use std::sync::Arc;

use super::block::Block;
use crate::process::PerProcess;
use crate::sync::{Mutex, MutexGuard, lock};

/// Buffers of one size.
#[derive(Debug)]
pub(super) struct Class {
    /// Bytes a buffer of this class holds, headroom not counted.
    pub(super) size: usize,
    /// Buffers that travel together between a thread and the depot.
    pub(super) magazine: usize,
    /// Buffers the depot keeps; what comes home beyond is freed.
    capacity: usize,
    depot: PerProcess<Mutex<Vec<Arc<Block>>>>,
}

impl Class {
    pub(super) fn new(size: usize, capacity: usize) -> Self {
        let least = if size > MAGAZINE_BYTES { 1 } else { MAGAZINE_MIN };
        let magazine = (MAGAZINE_BYTES / size).clamp(least, MAGAZINE_MAX);
        Self { size, magazine, capacity, depot: PerProcess::default() }
    }

    /// Moves up to one magazine of buffers to `into`.
    pub(super) fn refill(&self, into: &mut Vec<Arc<Block>>) {
        let mut depot = self.depot();
        let keep = depot.len().saturating_sub(self.magazine);
        into.extend(depot.drain(keep..));
    }

    /// Takes in what `from` yields, as far as there is room; the rest is freed after the lock is gone.
    pub(super) fn spill(&self, from: impl ExactSizeIterator<Item = Arc<Block>>) {
        let mut from = from;
        let mut depot = self.depot();
        let room = self.capacity.saturating_sub(depot.len());
        depot.extend(from.by_ref().take(room));
        drop(depot);
        from.for_each(drop);
    }

    /// Takes one buffer past the magazines, for threads that have none any more.
    pub(super) fn pop(&self) -> Option<Arc<Block>> {
        self.depot().pop()
    }

    /// Empties the depot.
    pub(super) fn empty(&self) -> Vec<Arc<Block>> {
        std::mem::take(&mut *self.depot())
    }

    /// Buffers in the depot.
    pub(super) fn held(&self) -> usize {
        self.depot().len()
    }

    fn depot(&self) -> MutexGuard<'_, Vec<Arc<Block>>> {
        lock(self.depot.or_default())
    }
}

/// The capacity a class has unless told otherwise, in buffers.
///
/// One 64 KiB buffer per class would be enough for conversation, but a steady stream keeps a queue of
/// messages in flight: two queues of the default length. 4 MiB bounds what the classes of large buffers keep.
///
/// Where more than this comes home in one go, the excess is freed and allocated anew: with two threads taking
/// turns on one core and 2,048 buffers of 1 KiB in flight, half of all takes missed (86 ns instead of 23 ns).
pub(super) fn default_capacity(size: usize) -> usize {
    if size > MAGAZINE_BYTES {
        return (LARGE_CLASS_BYTES / size).max(1);
    }
    (CLASS_BYTES / size).clamp(CAPACITY_MIN, CAPACITY_MAX)
}

/// Half of what waits to be received at most: the pages of a large buffer that is allocated anew cost as much as
/// filling it.
const LARGE_CLASS_BYTES: usize = 8 << 20;

const CLASS_BYTES: usize = 4 << 20;
const CAPACITY_MIN: usize = 64;
const CAPACITY_MAX: usize = 2048;

/// A magazine holds 64 KiB, so that one thread keeps little; at least 4 buffers, so that the depot's lock is
/// shared by several takes, but of larger ones a single buffer; at most 64, beyond which the lock no longer shows.
const MAGAZINE_BYTES: usize = 64 << 10;
const MAGAZINE_MIN: usize = 4;
const MAGAZINE_MAX: usize = 64;
