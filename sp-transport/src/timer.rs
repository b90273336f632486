//! Deadlines in order.

use std::collections::BTreeMap;
use std::time::Instant;

/// A queue of things that fall due. What is cancelled leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    queue: BTreeMap<Deadline, T>,
    /// Keeps entries of one instant in the order they came.
    next: u64,
}

/// An entry's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    at: Instant,
    order: u64,
}

impl Deadline {
    pub(crate) const fn at(&self) -> Instant {
        self.at
    }
}

impl<T> Timers<T> {
    pub(crate) const fn new() -> Self {
        Self { queue: BTreeMap::new(), next: 0 }
    }

    pub(crate) fn add(&mut self, at: Instant, what: T) -> Deadline {
        let deadline = Deadline { at, order: self.next };
        self.queue.insert(deadline, what);
        self.next += 1;
        deadline
    }

    /// Takes an entry out that is not wanted any more, unless it was due before.
    pub(crate) fn cancel(&mut self, deadline: Deadline) {
        self.queue.remove(&deadline);
    }

    /// Takes the earliest entry that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let first = self.queue.first_entry().filter(|entry| entry.key().at <= now)?;
        Some(first.remove())
    }

    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|(deadline, _)| deadline.at)
    }
}

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
        let unwanted = timers.add(at(5), "e");
        timers.cancel(unwanted);
        assert_eq!(timers.earliest(), Some(at(10)));
        assert_eq!(timers.pop_due(at(5)), None);
        let due: Vec<_> = std::iter::from_fn(|| timers.pop_due(at(20))).collect();
        assert_eq!(due, ["a", "b", "c", "d"]);
    }
}
