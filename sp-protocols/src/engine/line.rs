//! Who stands in line.

use std::collections::VecDeque;

use sp_core::id::{Id, IdMap};

/// Peers or contexts in the order in which they came, each at most once.
#[derive(Debug)]
pub(crate) struct Line<K> {
    order: VecDeque<K>,
    /// Exactly those in `order`.
    standing: IdMap<K, ()>,
}

impl<K: Id> Line<K> {
    /// Nobody; allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { order: VecDeque::new(), standing: IdMap::new() }
    }

    /// Lets `id` stand at the end, unless it stands in line already.
    pub(crate) fn push(&mut self, id: K) {
        if !self.standing.contains(id) {
            self.standing.insert(id, ());
            self.order.push_back(id);
        }
    }

    /// Lets `id` stand in front, unless it stands in line already.
    pub(crate) fn push_front(&mut self, id: K) {
        if !self.standing.contains(id) {
            self.standing.insert(id, ());
            self.order.push_front(id);
        }
    }

    /// Takes the first out.
    pub(crate) fn pop(&mut self) -> Option<K> {
        let first = self.order.pop_front()?;
        self.standing.remove(first);
        Some(first)
    }

    /// Moves the first to the end and says who it is.
    pub(crate) fn rotate(&mut self) -> Option<K> {
        let first = self.first()?;
        if self.order.len() > 1 {
            self.order.rotate_left(1);
        }
        Some(first)
    }

    /// Takes `id` out; answers whether it stood here.
    pub(crate) fn remove(&mut self, id: K) -> bool {
        let stood = self.standing.remove(id).is_some();
        if stood {
            self.order.retain(|&other| other != id);
        }
        stood
    }

    /// The first, left in place.
    pub(crate) fn first(&self) -> Option<K> {
        self.order.front().copied()
    }

    /// Whether nobody stands here.
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use sp_core::id::PeerId;

    use super::*;

    #[test]
    fn each_stands_at_most_once_and_keeps_its_place() {
        let [a, b, c] = [0, 1, 2].map(|index| PeerId::from_parts(index, 0));
        let mut line = Line::new();
        for id in [a, b, a, c, b] {
            line.push(id);
        }
        assert_eq!(line.rotate(), Some(a));
        line.remove(b);
        line.remove(b);
        assert_eq!(line.first(), Some(c));
        assert_eq!(line.pop(), Some(c));
        line.push(c);
        assert_eq!([line.pop(), line.pop(), line.pop()], [Some(a), Some(c), None]);
        assert!(line.is_empty());
    }
}
