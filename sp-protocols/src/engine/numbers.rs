//! Numbers that travel in headers, and whose they are: of requests and surveys under way, of peers.

use sp_core::id::{CtxId, PeerId};

use super::backtrace::END_BIT;
use super::cost;

/// The ids of the requests under way, with the high bit set, and their contexts.
pub(crate) type RequestIds = Numbers<CtxId>;

/// The words by which headers name peers, with the high bit clear.
pub(crate) type PeerWords = Numbers<PeerId>;

/// Hands out numbers and finds their owners again.
///
/// They start at a random point and go up by one (sp-wire 3.1). A number's low bits are its place in the table, and
/// numbers whose place is taken are skipped: a look-up is one array access, however many are in use. At most half of
/// the places are taken, so that on average less than one number is skipped for each that is handed out. The table
/// grows with the owners, never with traffic.
#[derive(Debug)]
pub(crate) struct Numbers<K> {
    /// A power of two of slots, or none. The key 0 marks a free one; no number is 0.
    slots: Vec<(u32, K)>,
    taken: usize,
    /// The high bit of each number.
    high_bit: u32,
    /// The number to try first.
    next: u32,
}

impl RequestIds {
    /// No request under way; the first id is drawn from `seed`.
    pub(crate) const fn new(seed: u64) -> Self {
        Self::starting(splitmix(seed) as u32, END_BIT)
    }
}

impl PeerWords {
    /// No peer; the first word is drawn from `seed`.
    pub(crate) const fn new(seed: u64) -> Self {
        Self::starting(splitmix(seed) as u32, 0)
    }
}

impl<K: Copy> Numbers<K> {
    const fn starting(at: u32, high_bit: u32) -> Self {
        Self { slots: Vec::new(), taken: 0, high_bit, next: at & !END_BIT | high_bit }
    }

    /// A fresh number for `owner`.
    pub(crate) fn assign(&mut self, owner: K) -> u32 {
        self.make_room(owner);
        loop {
            let number = self.next;
            self.next = number.wrapping_add(1) & !END_BIT | self.high_bit;
            let slot = self.slot(number).filter(|slot| slot.0 == FREE && number != FREE);
            if let Some(slot) = slot {
                *slot = (number, owner);
                self.taken = self.taken.saturating_add(1);
                return number;
            }
        }
    }

    /// Whose `number` is.
    pub(crate) fn owner(&self, number: u32) -> Option<K> {
        let slot = self.slots.get(self.place(number)).filter(|slot| slot.0 == number)?;
        (number != FREE).then_some(slot.1)
    }

    /// Takes a number back and says whose it was.
    pub(crate) fn remove(&mut self, number: u32) -> Option<K> {
        let owner = self.owner(number)?;
        self.slot(number)?.0 = FREE;
        self.taken = self.taken.saturating_sub(1);
        Some(owner)
    }

    fn place(&self, number: u32) -> usize {
        cost::look();
        number as usize & self.slots.len().wrapping_sub(1)
    }

    fn slot(&mut self, number: u32) -> Option<&mut (u32, K)> {
        let place = self.place(number);
        self.slots.get_mut(place)
    }

    /// Keeps half of the slots free. Numbers with places of their own have so in a larger table.
    fn make_room(&mut self, owner: K) {
        let wanted = self.taken.saturating_add(1).saturating_mul(2);
        if self.slots.len() >= wanted {
            return;
        }
        let grown = wanted.next_power_of_two().max(SLOTS_MIN);
        let before = std::mem::replace(&mut self.slots, vec![(FREE, owner); grown]);
        for entry in before.into_iter().filter(|entry| entry.0 != FREE) {
            if let Some(slot) = self.slot(entry.0) {
                debug_assert_eq!(slot.0, FREE, "one place for two numbers");
                *slot = entry;
            }
        }
    }
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
        assert_eq!(ids.owner(id & !END_BIT), None);
        assert_eq!(ids.remove(id), Some(CtxId::MAIN));
        assert_eq!(ids.remove(id), None);
    }

    #[test]
    fn words_of_peers_wrap_without_the_high_bit_and_are_never_zero() {
        let [a, b] = [0, 1].map(|index| PeerId::from_parts(index, 0));
        let mut words = PeerWords { next: u32::MAX >> 1, ..PeerWords::new(0) };
        assert_eq!(words.assign(a), u32::MAX >> 1);
        assert_eq!(words.assign(b), 1);
        assert_eq!([words.owner(1), words.owner(0), words.owner(9)], [Some(b), None, None]);
        assert_eq!(words.remove(1), Some(b));
        assert_eq!(words.owner(1), None);
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
                    prop_assert_eq!(ids.owner(id), map.get(&id).copied());
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
