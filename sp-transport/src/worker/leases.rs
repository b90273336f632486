//! Which drivers are on lease, and when the worker looks after each next.

use std::time::{Duration, Instant};

use sp_core::clock;

/// The places of drivers on lease. They are looked after at whole ticks, so that many cost one wake-up.
#[derive(Debug)]
pub(super) struct Leases {
    began: Instant,
    leases: Vec<Leased>,
}

#[derive(Clone, Copy, Debug)]
struct Leased {
    place: usize,
    /// In ticks from the beginning.
    due: u64,
}

impl Leases {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, leases: Vec::with_capacity(16) }
    }

    /// Looks after a place when at least so many ticks have passed; sooner if it was to be sooner already.
    pub(super) fn add(&mut self, place: usize, ticks: u8, now: Instant) {
        let due = self.ticks_at(now) + 1 + u64::from(ticks);
        match self.leases.iter_mut().find(|leased| leased.place == place) {
            Some(leased) => leased.due = leased.due.min(due),
            None => self.leases.push(Leased { place, due }),
        }
    }

    /// Asks `look` about every place that is due: after how many ticks to look again, if it is to stay.
    pub(super) fn look(&mut self, now: Instant, mut look: impl FnMut(usize) -> Option<u8>) {
        let tick = self.ticks_at(now);
        self.leases.retain_mut(|leased| {
            if leased.due > tick {
                return true;
            }
            let again = look(leased.place);
            if let Some(ticks) = again {
                leased.due = tick + u64::from(ticks);
            }
            again.is_some()
        });
    }

    /// When to look next.
    pub(super) fn next(&self) -> Option<Instant> {
        let due = self.leases.iter().map(|leased| leased.due).min()?;
        Some(clock::after(self.began, Duration::from_millis(due * TICK_MS)))
    }

    /// Whole ticks that have passed.
    fn ticks_at(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.began);
        passed.as_secs() * (1000 / TICK_MS) + u64::from(passed.subsec_millis()) / TICK_MS
    }
}

/// The shortest lease, in milliseconds.
const TICK_MS: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_looked_after_when_they_are_due_and_until_they_go() {
        let began = clock::now();
        let at = |ticks: u64| began + Duration::from_millis(ticks * TICK_MS);
        let mut leases = Leases::new(began);
        assert_eq!(leases.next(), None);
        leases.add(7, 1, at(0));
        leases.add(8, 4, at(0));
        leases.add(9, 50, at(0));
        // News makes it sooner, never later.
        leases.add(9, 1, at(1));
        leases.add(7, 50, at(1));
        let mut looked = |tick, again: Option<u8>| {
            let mut places = Vec::new();
            leases.look(at(tick), |place| {
                places.push(place);
                again
            });
            (places, leases.next())
        };
        assert_eq!(looked(1, None), (vec![], Some(at(2))));
        assert_eq!(looked(2, Some(6)), (vec![7], Some(at(3))));
        assert_eq!(looked(3, None), (vec![9], Some(at(5))));
        assert_eq!(looked(8, None), (vec![7, 8], None));
    }
}
