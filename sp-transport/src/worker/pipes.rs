//! The pipes an endpoint has made.

use std::sync::Weak;

use sp_core::pipe::Pipe;

/// Pipes by their serial numbers, which grow but for handshakes that take longer than others: in a sorted list, for a
/// tree that is filled from one end is half empty.
#[derive(Default)]
pub(super) struct Pipes {
    list: Vec<(u64, Option<Weak<dyn Pipe>>)>,
    /// How many of the list are there; the others are gone.
    len: usize,
}

impl Pipes {
    pub(super) fn insert(&mut self, serial: u64, pipe: Weak<dyn Pipe>) {
        let at = self.list.partition_point(|(other, _)| *other < serial);
        self.list.insert(at, (serial, Some(pipe)));
        self.len += 1;
    }

    /// Answers whether there was one with this number.
    pub(super) fn remove(&mut self, serial: u64) -> bool {
        let Ok(at) = self.list.binary_search_by_key(&serial, |(other, _)| *other) else {
            return false;
        };
        if self.list[at].1.take().is_none() {
            return false;
        }
        self.len -= 1;
        if self.len <= self.list.len() / 2 {
            self.list.retain(|(_, pipe)| pipe.is_some());
            // A crowd that is gone leaves nothing behind.
            self.list.shrink_to(self.len * 2);
        }
        true
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Weak<dyn Pipe>> {
        self.list.iter().filter_map(|(_, pipe)| pipe.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::conn::StreamPipe;

    proptest! {
        #[test]
        fn the_list_agrees_with_a_set(ops in prop::collection::vec((any::<bool>(), 0_u64..50), 0..200)) {
            let (mut pipes, mut set, mut given) = (Pipes::default(), BTreeSet::new(), BTreeSet::new());
            for (adds, serial) in ops {
                if !adds {
                    prop_assert_eq!(pipes.remove(serial), set.remove(&serial));
                } else if given.insert(serial) {
                    set.insert(serial);
                    pipes.insert(serial, Weak::<StreamPipe>::new());
                }
                prop_assert_eq!((pipes.len(), pipes.iter().count()), (set.len(), set.len()));
                prop_assert!(pipes.list.len() <= 2 * set.len());
            }
        }
    }
}
