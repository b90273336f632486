//! How long to poll before sleeping, learned from what polling brought.
//!
//! To be woken costs about fifty microseconds, so polling for a while pays when an answer is near. When it
//! was in vain a few times, it is left out for more and more waits, then tried again. Where other threads want
//! the core, one yield takes milliseconds: then it is left out at once, for a sleeper that is woken gets the core
//! sooner than one that yields.

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
    now: Instant,
    /// Somebody else had the core for long.
    crowded: bool,
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
        let now = clock::now();
        let until = clock::after(now, self.budget);
        Some(Tries { until: deadline.map_or(until, |at| at.min(until)), now, crowded: false })
    }

    /// Polling found what was waited for.
    pub(crate) fn hit(&mut self) {
        self.misses = 0;
        self.next_skip = SKIP_FIRST;
    }

    /// Polling was in vain.
    pub(crate) fn miss(&mut self, tries: &Tries) {
        self.misses += 1;
        if tries.crowded {
            self.misses = MISSES_MAX;
            self.next_skip = SKIP_MAX;
        }
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
        let before = std::mem::replace(&mut self.now, clock::now());
        self.crowded = self.now.saturating_duration_since(before) > CROWDED;
        !self.crowded && self.now < self.until
    }
}

const MISSES_MAX: u32 = 3;
const SKIP_FIRST: u32 = 16;
const SKIP_MAX: u32 = 256;
const LOOKS_PER_YIELD: u32 = 32;

/// A round of polling takes two microseconds, a scheduler's slice three milliseconds.
const CROWDED: Duration = Duration::from_micros(200);

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(patience: &mut Patience) -> Option<Tries> {
        patience.begin(None)
    }

    #[test]
    fn polling_in_vain_is_skipped_more_and_more_and_a_hit_forgives() {
        let mut patience = Patience::new(Duration::from_micros(1));
        for _ in 0..MISSES_MAX {
            let tries = poll(&mut patience).expect("not skipped yet");
            patience.miss(&tries);
        }
        for expected in [16, 32, 64, 128, 256, 256] {
            let skipped =
                (0..).take_while(|_| patience.skip > 0 && poll(&mut patience).is_none()).count();
            assert_eq!(skipped, expected);
            let tries = poll(&mut patience).expect("skipped enough");
            patience.miss(&tries);
        }
        while poll(&mut patience).is_none() {}
        patience.hit();
        let tries = poll(&mut patience).expect("a hit is followed by another try");
        patience.miss(&tries);
        assert!(poll(&mut patience).is_some(), "one miss after a hit is forgiven");
    }

    #[test]
    fn a_crowded_core_ends_polling_at_once() {
        let mut patience = Patience::new(Duration::from_micros(1));
        let mut tries = poll(&mut patience).expect("not skipped yet");
        tries.crowded = true;
        patience.miss(&tries);
        let skipped = (0..).take_while(|_| poll(&mut patience).is_none()).count();
        assert_eq!(skipped, SKIP_MAX as usize);
    }

    #[test]
    fn a_budget_of_zero_never_polls() {
        assert!(Patience::new(Duration::ZERO).begin(None).is_none());
    }
}
