//! Who stands in line.

use sp_core::id::{Id, IdMap};

/// Peers or contexts in the order in which they came, each at most once.
///
/// A linked list over a table: whoever stands anywhere leaves at once, however long the line.
#[derive(Debug)]
pub(crate) struct Line<K> {
    places: IdMap<K, Place<K>>,
    ends: Option<Ends<K>>,
}

/// Who stands next to one in line.
#[derive(Debug)]
struct Place<K> {
    before: Option<K>,
    behind: Option<K>,
}

/// The two ends of a line that is not empty; the same if one stands alone.
#[derive(Clone, Copy, Debug)]
struct Ends<K> {
    first: K,
    last: K,
}

impl<K: Id> Line<K> {
    /// Nobody; allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { places: IdMap::new(), ends: None }
    }

    /// Lets `id` stand at the end, unless it stands in line already.
    pub(crate) fn push(&mut self, id: K) {
        if self.places.contains(id) {
            return;
        }
        let before = self.ends.map(|ends| ends.last);
        self.insert(id, Place { before, behind: None });
        self.ends = Some(Ends { first: self.ends.map_or(id, |ends| ends.first), last: id });
    }

    /// Lets `id` stand in front, unless it stands in line already.
    pub(crate) fn push_front(&mut self, id: K) {
        if self.places.contains(id) {
            return;
        }
        let behind = self.ends.map(|ends| ends.first);
        self.insert(id, Place { before: None, behind });
        self.ends = Some(Ends { first: id, last: self.ends.map_or(id, |ends| ends.last) });
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
        let Some(Place { before, behind }) = self.places.remove(id) else { return false };
        if let Some(place) = before.and_then(|before| self.places.get_mut(before)) {
            place.behind = behind;
        }
        if let Some(place) = behind.and_then(|behind| self.places.get_mut(behind)) {
            place.before = before;
        }
        self.ends = self.ends.and_then(|Ends { first, last }| {
            let first = if first == id { behind? } else { first };
            let last = if last == id { before? } else { last };
            Some(Ends { first, last })
        });
        true
    }

    /// The first, left in place.
    pub(crate) fn first(&self) -> Option<K> {
        self.ends.map(|ends| ends.first)
    }

    /// Whether nobody stands here.
    pub(crate) const fn is_empty(&self) -> bool {
        self.ends.is_none()
    }

    fn insert(&mut self, id: K, place: Place<K>) {
        if let Some(next) = place.before.and_then(|before| self.places.get_mut(before)) {
            next.behind = Some(id);
        }
        if let Some(next) = place.behind.and_then(|behind| self.places.get_mut(behind)) {
            next.before = Some(id);
        }
        let former = self.places.insert(id, place);
        debug_assert!(former.is_none(), "who had the slot of {id:?} before has left the line");
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
            }
            let left: Vec<_> = std::iter::from_fn(|| line.pop()).collect();
            prop_assert_eq!(queue, left);
        }
    }
}
