//! A table that one writer at a time changes and that anybody reads without a lock.
//!
//! Publishing a whole copy of the table after each change would make adding cost as much as the table is long.
//! So each slot is published by itself: a slot is an `ArcSwapOption`, and slots lie in chunks that never move.
//! Adding, removing and reading touch one slot each, however many there are.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;

/// The published side of a registry: slots by number.
pub(super) struct SlotTable<T> {
    /// Chunk `k` holds `FIRST << k` slots; made on first need, then kept.
    chunks: [OnceLock<Box<[ArcSwapOption<T>]>>; CHUNKS],
}

impl<T> SlotTable<T> {
    /// A table without slots; allocates nothing.
    pub(super) const fn new() -> Self {
        Self { chunks: [const { OnceLock::new() }; CHUNKS] }
    }

    /// Publishes `value` in slot `index`. For the holder of the registry's write lock.
    pub(super) fn put(&self, index: u32, value: Option<Arc<T>>) {
        let (chunk, place) = locate(index);
        let slots = self.chunks[chunk]
            .get_or_init(|| (0..chunk_len(chunk)).map(|_| ArcSwapOption::empty()).collect());
        slots[place].store(value);
    }

    /// What slot `index` holds now.
    pub(super) fn get(&self, index: u32) -> Option<Arc<T>> {
        let (chunk, place) = locate(index);
        self.chunks[chunk].get()?.get(place)?.load_full()
    }

    /// What the slots hold, in slot order, each as it is when the iterator comes to it.
    pub(super) fn iter(&self) -> impl Iterator<Item = Arc<T>> + '_ {
        let slots = self.chunks.iter().map_while(OnceLock::get).flat_map(|slots| slots.iter());
        slots.filter_map(ArcSwapOption::load_full)
    }
}

impl<T> fmt::Debug for SlotTable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chunks = self.chunks.iter().map_while(OnceLock::get).count();
        f.debug_struct("SlotTable").field("chunks", &chunks).finish_non_exhaustive()
    }
}

/// The chunk of a slot and its place there.
const fn locate(index: u32) -> (usize, usize) {
    // Chunks before number k hold FIRST * (2^k - 1) slots together.
    let shifted = index as u64 + FIRST as u64;
    let chunk = (shifted.ilog2() - FIRST.ilog2()) as usize;
    (chunk, (shifted - chunk_len(chunk) as u64) as usize)
}

const fn chunk_len(chunk: usize) -> usize {
    FIRST << chunk
}

/// The initial capacity of the registries.
const FIRST: usize = crate::config::REGISTRY_CAPACITY;
/// Enough for every `u32`: 16 * (2^29 - 1) is just above 2^32.
const CHUNKS: usize = 29;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_lie_one_behind_the_other_and_never_share_a_place() {
        let mut next = (0, 0);
        for index in 0..5000 {
            assert_eq!(locate(index), next);
            next.1 += 1;
            if next.1 == chunk_len(next.0) {
                next = (next.0 + 1, 0);
            }
        }
        assert!(locate(u32::MAX).0 < CHUNKS);
    }
}
