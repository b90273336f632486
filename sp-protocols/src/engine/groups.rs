//! Who belongs to whom.

use sp_core::id::{Id, IdMap};

use super::links::{Ends, Links};

/// Members in groups, each in one at most, in the order in which they came there.
///
/// What is done to one member costs the same however many there are.
#[derive(Debug)]
pub(crate) struct Groups<G, K> {
    links: Links<K>,
    /// Exactly the groups that are not empty.
    ends: IdMap<G, Ends<K>>,
}

impl<G: Id, K: Id> Groups<G, K> {
    /// No group; allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { links: Links::new(), ends: IdMap::new() }
    }

    /// Adds `id`, which belongs to no group, to `group`.
    pub(crate) fn push(&mut self, group: G, id: K) {
        debug_assert!(!self.links.contains(id), "{id:?} belongs to a group already");
        let ends = self.links.push(self.ends.get(group).copied(), id);
        self.ends.insert(group, ends);
    }

    /// Takes `id` out of `group`, if it belongs to that.
    pub(crate) fn remove(&mut self, group: G, id: K) {
        let Some(ends) = self.ends.get_mut(group) else { return };
        match self.links.remove(*ends, id) {
            Ok(Some(left)) => *ends = left,
            Ok(None) => {
                self.ends.remove(group);
            }
            Err(_) => {}
        }
    }

    /// The first of `group`.
    pub(crate) fn first(&self, group: G) -> Option<K> {
        self.ends.get(group).map(|ends| ends.first)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;
    use sp_core::id::{CtxId, PeerId};

    use super::*;

    proptest! {
        #[test]
        fn groups_agree_with_queues(ops in prop::collection::vec((0_u8..2, 0_u32..3, 0_u32..6), 0..200)) {
            let mut groups = Groups::new();
            let mut queues: [VecDeque<CtxId>; 3] = Default::default();
            for (op, group, member) in ops {
                let (peer, id) = (PeerId::from_parts(group, 7), CtxId::from_parts(member, 0));
                let queue = &mut queues[group as usize];
                match op {
                    0 if queue.contains(&id) || !groups.links.contains(id) => {
                        queue.retain(|other| *other != id);
                        groups.remove(peer, id);
                    }
                    _ if groups.links.contains(id) => {}
                    _ => {
                        queue.push_back(id);
                        groups.push(peer, id);
                    }
                }
                prop_assert_eq!(groups.first(peer), queue.front().copied());
            }
            for (group, queue) in (0..).zip(queues) {
                let peer = PeerId::from_parts(group, 7);
                for id in queue {
                    prop_assert_eq!(groups.first(peer), Some(id));
                    groups.remove(peer, id);
                }
            }
            prop_assert!(groups.ends.is_empty());
        }
    }
}
