//! The ids of the requests under way, and whose they are.

use sp_core::id::CtxId;

use super::backtrace::END_BIT;

/// Hands out request ids and finds their contexts again.
///
/// Ids carry the high bit, start at a random point and go up by one (sp-wire 3.1). An id's low bits are its place
/// in the table, and ids whose place is taken are skipped: a look-up is one array access, however many requests
/// are under way. At most half of the places are taken, so that on average less than one id is skipped for each
/// that is handed out. The table grows with the contexts, never with traffic.
#[derive(Debug)]
pub(crate) struct RequestIds {
    /// A power of two of slots, or none. The key 0 marks a free one; no id is 0.
    slots: Vec<(u32, CtxId)>,
    taken: usize,
    /// The id to try first.
    next: u32,
}

impl RequestIds {
    /// No request under way; the first id is drawn from `seed`.
    pub(crate) const fn new(seed: u64) -> Self {
        Self { slots: Vec::new(), taken: 0, next: splitmix(seed) as u32 | END_BIT }
    }

    /// A fresh id for a request of `ctx`.
    pub(crate) fn assign(&mut self, ctx: CtxId) -> u32 {
        self.make_room();
        loop {
            let id = self.next;
            self.next = after(id);
            if let Some(slot) = self.slot(id).filter(|slot| slot.0 == FREE) {
                *slot = (id, ctx);
                self.taken = self.taken.saturating_add(1);
                return id;
            }
        }
    }

    /// Ends a request and says whose it was.
    pub(crate) fn remove(&mut self, id: u32) -> Option<CtxId> {
        if id & END_BIT == 0 {
            return None;
        }
        let slot = self.slot(id).filter(|slot| slot.0 == id)?;
        let (_, owner) = std::mem::replace(slot, (FREE, CtxId::MAIN));
        self.taken = self.taken.saturating_sub(1);
        Some(owner)
    }

    fn slot(&mut self, id: u32) -> Option<&mut (u32, CtxId)> {
        let mask = self.slots.len().wrapping_sub(1);
        self.slots.get_mut(id as usize & mask)
    }

    /// Keeps half of the slots free. Ids with places of their own have so in a larger table.
    fn make_room(&mut self) {
        let wanted = self.taken.saturating_add(1).saturating_mul(2);
        if self.slots.len() >= wanted {
            return;
        }
        let grown = wanted.next_power_of_two().max(SLOTS_MIN);
        let before = std::mem::replace(&mut self.slots, vec![(FREE, CtxId::MAIN); grown]);
        for entry in before.into_iter().filter(|entry| entry.0 != FREE) {
            if let Some(slot) = self.slot(entry.0) {
                debug_assert_eq!(slot.0, FREE, "one place for two ids");
                *slot = entry;
            }
        }
    }
}

/// The id after `id`, high bit kept.
const fn after(id: u32) -> u32 {
    id.wrapping_add(1) | END_BIT
}

/// One step of Steele, Lea and Flood's SplitMix64: spreads a seed over all bits.
const fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const FREE: u32 = 0;

/// Enough for a socket without contexts, and for a few of them, in one cache line or two.
const SLOTS_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use sp_core::id::Id as _;

    use super::*;

    #[test]
    fn ids_wrap_with_their_high_bit() {
        let mut ids = RequestIds { next: u32::MAX, ..RequestIds::new(0) };
        assert_eq!(ids.assign(CtxId::MAIN), u32::MAX);
        assert_eq!(ids.assign(CtxId::MAIN), END_BIT);
    }

    #[test]
    fn ids_in_use_are_skipped() {
        let mut ids = RequestIds { next: 0x8000_0005, ..RequestIds::new(0) };
        ids.assign(CtxId::MAIN);
        ids.assign(CtxId::MAIN);
        ids.next = 0x8000_0005;
        assert_eq!(ids.assign(CtxId::MAIN), 0x8000_0007);
    }

    #[test]
    fn an_id_without_the_high_bit_belongs_to_nobody() {
        let mut ids = RequestIds::new(0);
        assert_eq!(ids.remove(0), None);
        let id = ids.assign(CtxId::MAIN);
        assert_eq!(ids.remove(0), None);
        assert_eq!(ids.remove(id & !END_BIT), None);
        assert_eq!(ids.remove(id), Some(CtxId::MAIN));
        assert_eq!(ids.remove(id), None);
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_a_map(
            seed: u64,
            ops in prop::collection::vec((any::<bool>(), 0_usize..24, any::<prop::sample::Index>()), 0..200),
        ) {
            let mut ids = RequestIds::new(seed);
            let mut map = BTreeMap::new();
            for (add, back, which) in ops {
                if add && map.len() < 20 {
                    // Now and then an old id comes up again.
                    ids.next = ids.next.wrapping_sub(back as u32) | END_BIT;
                    let ctx = CtxId::from_parts(map.len() as u32, back as u32);
                    let id = ids.assign(ctx);
                    prop_assert_eq!(map.insert(id, ctx), None);
                } else if !map.is_empty() {
                    let id = *which.get(&map.keys().copied().collect::<Vec<_>>());
                    prop_assert_eq!(ids.remove(id), map.remove(&id));
                }
                prop_assert_eq!(ids.taken, map.len());
                for id in map.keys() {
                    prop_assert!(ids.slot(*id).is_some_and(|slot| slot.0 == *id));
                }
            }
        }
    }
}
