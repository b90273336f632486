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

    /// Takes the first of `group` out.
    pub(crate) fn pop(&mut self, group: G) -> Option<K> {
        let first = self.ends.get(group)?.first;
        self.remove(group, first);
        Some(first)
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
        fn groups_agree_with_queues(ops in prop::collection::vec((0_u8..3, 0_u32..3, 0_u32..6), 0..200)) {
            let mut groups = Groups::new();
            let mut queues: [VecDeque<CtxId>; 3] = Default::default();
            for (op, group, member) in ops {
                let (peer, id) = (PeerId::from_parts(group, 7), CtxId::from_parts(member, 0));
                let queue = &mut queues[group as usize];
                match op {
                    0 => prop_assert_eq!(groups.pop(peer), queue.pop_front()),
                    // Whoever calls this knows to which group a member belongs, if to any.
                    1 if queue.contains(&id) || !groups.links.contains(id) => {
                        queue.retain(|other| *other != id);
                        groups.remove(peer, id);
                    }
                    2 if !groups.links.contains(id) => {
                        queue.push_back(id);
                        groups.push(peer, id);
                    }
                    _ => {}
                }
            }
            for (group, queue) in (0..).zip(queues) {
                let peer = PeerId::from_parts(group, 7);
                let left: Vec<_> = std::iter::from_fn(|| groups.pop(peer)).collect();
                prop_assert_eq!(queue, left);
            }
            prop_assert!(groups.ends.is_empty());
        }
    }
}
