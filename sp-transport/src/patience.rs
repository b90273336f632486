//! How long to poll before sleeping, learned from what polling brought.
//!
//! To be woken costs about fifty microseconds, so polling for a while pays when an answer is near. When it
//! was in vain a few times, it is left out for more and more waits, then tried again.

use std::thread;
use std::time::{Duration, Instant};

use sp_core::clock;

/// The learning part: one for each driver.
#[derive(Debug)]
pub(crate) struct Patience {
    /// Longest polling before a sleep; zero switches it off. Has to be longer than one wake-up of the machine:
    /// once both ends sleep, every answer takes that long, and shorter polling would never see one.
    budget: Duration,
    misses: u32,
    /// Waits left to go without polling.
    skip: u32,
    /// How many waits the next disappointment skips.
    next_skip: u32,
}

/// One round of polling.
#[derive(Debug)]
pub(crate) struct Tries {
    until: Instant,
    count: u32,
}

impl Patience {
    pub(crate) const fn new(budget: Duration) -> Self {
        Self { budget, misses: 0, skip: 0, next_skip: SKIP_FIRST }
    }

    /// Starts a wait; answers how to poll first, if at all.
    pub(crate) fn begin(&mut self, deadline: Option<Instant>) -> Option<Tries> {
        if self.budget.is_zero() {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let until = clock::now() + self.budget;
        Some(Tries { until: deadline.map_or(until, |at| at.min(until)), count: 0 })
    }

    /// Polling found what was waited for.
    pub(crate) fn hit(&mut self) {
        self.misses = 0;
        self.next_skip = SKIP_FIRST;
    }

    /// Polling was in vain.
    pub(crate) fn miss(&mut self) {
        self.misses += 1;
        if self.misses >= MISSES_MAX {
            self.skip = self.next_skip;
            self.next_skip = (self.next_skip * 2).min(SKIP_MAX);
            // The next probe decides by itself.
            self.misses = MISSES_MAX - 1;
        }
    }
}

impl Tries {
    /// Lets others run, then answers whether to try again. With nothing to poll but `done` it looks at that
    /// more often.
    pub(crate) fn go_on(&mut self, only_done: bool, done: &impl Fn() -> bool) -> bool {
        if only_done {
            for _ in 0..LOOKS_PER_YIELD {
                if done() {
                    return true;
                }
                std::hint::spin_loop();
            }
        }
        // Never polls without yielding: with more threads than cores the one waited for may need this core.
        thread::yield_now();
        self.count += 1;
        // The clock costs as much as a look; every eighth try is exact enough.
        !self.count.is_multiple_of(8) || clock::now() < self.until
    }
}

const MISSES_MAX: u32 = 3;
const SKIP_FIRST: u32 = 16;
const SKIP_MAX: u32 = 256;
const LOOKS_PER_YIELD: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polling_in_vain_is_skipped_more_and_more_and_a_hit_forgives() {
        let mut patience = Patience::new(Duration::from_micros(1));
        for _ in 0..MISSES_MAX {
            assert!(patience.begin(None).is_some());
            patience.miss();
        }
        for expected in [16, 32, 64, 128, 256, 256] {
            let skipped = (0..).take_while(|_| patience.begin(None).is_none()).count();
            assert_eq!(skipped, expected);
            patience.miss();
        }
        let _ = (0..).take_while(|_| patience.begin(None).is_none()).count();
        patience.hit();
        assert!(patience.begin(None).is_some());
        patience.miss();
        assert!(patience.begin(None).is_some(), "one miss after a hit is forgiven");
    }

    #[test]
    fn a_budget_of_zero_never_polls() {
        assert!(Patience::new(Duration::ZERO).begin(None).is_none());
    }
}
