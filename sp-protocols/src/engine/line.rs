//! Who stands in line.

use sp_core::id::Id;

use super::links::{Ends, Links};

/// Peers or contexts in the order in which they came, each at most once.
#[derive(Debug)]
pub(crate) struct Line<K> {
    links: Links<K>,
    ends: Option<Ends<K>>,
}

impl<K: Id> Line<K> {
    /// Nobody; allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { links: Links::new(), ends: None }
    }

    /// Lets `id` stand at the end, unless it stands in line already.
    pub(crate) fn push(&mut self, id: K) {
        if !self.links.contains(id) {
            self.ends = Some(self.links.push(self.ends, id));
        }
    }

    /// Lets `id` stand in front, unless it stands in line already.
    pub(crate) fn push_front(&mut self, id: K) {
        if !self.links.contains(id) {
            self.ends = Some(self.links.push_front(self.ends, id));
        }
    }

    /// Takes the first out.
    pub(crate) fn pop(&mut self) -> Option<K> {
        let first = self.first()?;
        self.remove(first);
        Some(first)
    }

    /// Moves the first to the end and says who it is.
    pub(crate) fn rotate(&mut self) -> Option<K> {
        let Ends { first, last } = self.ends?;
        if first != last {
            self.remove(first);
            self.push(first);
        }
        Some(first)
    }

    /// Takes `id` out; answers whether it stood here.
    pub(crate) fn remove(&mut self, id: K) -> bool {
        let Some(ends) = self.ends else { return false };
        let Ok(ends) = self.links.remove(ends, id) else { return false };
        self.ends = ends;
        true
    }

    /// The first, left in place.
    pub(crate) fn first(&self) -> Option<K> {
        self.ends.map(|ends| ends.first)
    }

    /// The one that stands here, if it stands alone.
    pub(crate) fn only(&self) -> Option<K> {
        self.ends.filter(|ends| ends.first == ends.last).map(|ends| ends.first)
    }

    /// Whether nobody stands here.
    pub(crate) const fn is_empty(&self) -> bool {
        self.ends.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;
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

    proptest! {
        #[test]
        fn the_line_agrees_with_a_queue(ops in prop::collection::vec((0_u8..5, 0_u32..6), 0..200)) {
            let mut line = Line::new();
            let mut queue = VecDeque::new();
            for (op, index) in ops {
                let id = PeerId::from_parts(index, 0);
                let stands = queue.contains(&id);
                match op {
                    0 => {
                        line.push(id);
                        queue.extend((!stands).then_some(id));
                    }
                    1 => {
                        line.push_front(id);
                        if !stands {
                            queue.push_front(id);
                        }
                    }
                    2 => prop_assert_eq!(line.pop(), queue.pop_front()),
                    3 => {
                        let first = queue.pop_front();
                        queue.extend(first);
                        prop_assert_eq!(line.rotate(), first);
                    }
                    _ => {
                        queue.retain(|&other| other != id);
                        prop_assert_eq!(line.remove(id), stands);
                    }
                }
                prop_assert_eq!(line.first(), queue.front().copied());
                prop_assert_eq!(line.is_empty(), queue.is_empty());
                prop_assert_eq!(line.only(), queue.front().filter(|_| queue.len() == 1).copied());
            }
            let left: Vec<_> = std::iter::from_fn(|| line.pop()).collect();
            prop_assert_eq!(queue, left);
        }
    }
}
