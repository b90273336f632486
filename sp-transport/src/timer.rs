//! Deadlines in order.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Instant;

/// A queue of things that fall due. Cancelling is the taker's business: what is no longer wanted is ignored
/// when it comes.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    /// Keeps entries of one instant in the order they came.
    next: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    order: u64,
    what: T,
}

impl<T> Timers<T> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), next: 0 }
    }

    pub(crate) fn add(&mut self, at: Instant, what: T) {
        self.heap.push(Reverse(Entry { at, order: self.next, what }));
        self.next += 1;
    }

    /// Takes the earliest entry that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.earliest()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry.what)
    }

    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at).then(self.order.cmp(&other.order))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn entries_come_in_order_of_time_and_then_of_arrival() {
        let start = sp_core::clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::new();
        for (ms, what) in [(20, "c"), (10, "a"), (20, "d"), (10, "b")] {
            timers.add(at(ms), what);
        }
        assert_eq!(timers.earliest(), Some(at(10)));
        assert_eq!(timers.pop_due(at(5)), None);
        let due: Vec<_> = std::iter::from_fn(|| timers.pop_due(at(20))).collect();
        assert_eq!(due, ["a", "b", "c", "d"]);
    }
}
