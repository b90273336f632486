//! How long to poll before sleeping, learned from what polling brought.
//!
//! To be woken costs about fifty microseconds, so polling for a while pays when an answer is near. When it
//! was in vain a few times, it is left out for more and more waits, then tried again. Where other threads want
//! the core, one yield takes milliseconds: then it is left out at once, for a sleeper that is woken gets the core
//! sooner than one that yields.
//!
//! Each look is a system call, so nobody looks before most of the time has passed that it usually takes: a round trip
//! over tcp took 24 system calls, and takes 11, no later.
//!
//! What comes late is in vain, too, for polling until then has cost more than being woken. But if two who ask and
//! answer as fast as they can both gave up on each other once, they would never meet awake again: so whoever asks
//! without a pause between goes on, and then the other one is answered early when it probes.

use std::time::{Duration, Instant};

use sp_core::clock;
use sp_core::sync::thread;

/// The learning part: one for each driver.
#[derive(Debug)]
pub(crate) struct Patience {
    misses: u32,
    /// Waits left to go without polling.
    skip: u32,
    /// How many waits the next disappointment skips.
    next_skip: u32,
    /// The waits are for answers.
    asks: bool,
    /// When the last wait ended.
    ended: Option<Instant>,
    /// How long it takes as a rule when it comes early.
    usual: Duration,
}

/// One round of polling.
#[derive(Debug)]
pub(crate) struct Tries {
    began: Instant,
    /// What has passed since the wait before.
    pause: Duration,
    until: Instant,
    now: Instant,
    /// Nothing comes before this has passed, as a rule.
    quiet: Duration,
    round: u32,
    /// Time was spent without looking before the first look.
    held_back: bool,
    /// Somebody else had the core for long.
    crowded: bool,
}

impl Patience {
    pub(crate) const fn new(asks: bool) -> Self {
        Self { misses: 0, skip: 0, next_skip: SKIP_FIRST, asks, ended: None, usual: Duration::ZERO }
    }

    /// Starts a wait; answers how to poll first, if at all.
    ///
    /// `budget` is the longest polling before a sleep; zero switches it off. Has to be longer than one wake-up of
    /// the machine: once both ends sleep, every answer takes that long, and shorter polling would never see one.
    pub(crate) fn begin(&mut self, budget: Duration, deadline: Option<Instant>) -> Option<Tries> {
        if budget.is_zero() {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let now = clock::now();
        let until = clock::after(now, budget);
        let until = deadline.map_or(until, |at| at.min(until));
        let pause = self.ended.map_or(Duration::ZERO, |ended| now.saturating_duration_since(ended));
        let quiet = self.usual * 3 / 4;
        let round = u32::from(quiet >= ROUND_MIN);
        Some(Tries {
            began: now,
            pause,
            until,
            now,
            quiet,
            round,
            held_back: false,
            crowded: false,
        })
    }

    /// Polling found what was waited for.
    pub(crate) fn hit(&mut self, tries: &Tries) {
        let asks_on = self.asks && tries.pause < PAUSE;
        if !asks_on && tries.now.saturating_duration_since(tries.began) > LATE {
            return self.miss(tries);
        }
        self.misses = 0;
        self.next_skip = SKIP_FIRST;
        self.usual = if tries.round == 2 && tries.held_back {
            // The first look found it, which may have come long before.
            self.usual * 3 / 4
        } else {
            let waited =
                tries.now.saturating_duration_since(tries.began).min(self.usual * 2 + ROUND_MIN);
            (self.usual * 7 + waited) / 8
        };
    }

    /// A wait is over.
    pub(crate) fn end(&mut self) {
        self.ended = Some(clock::now());
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
    /// Lets some time pass, then answers whether to try again. With nothing to poll but `done` it looks at that
    /// meanwhile.
    ///
    /// Where things usually come at once the first try does, too; otherwise it comes when most of the usual time has
    /// passed. Then the rounds are short at first, to spare system calls, and grow with the wait. Every fourth lets others
    /// run: with more threads than cores the one waited for may need this core.
    pub(crate) fn go_on(&mut self, only_done: bool, done: &impl Fn() -> bool) -> bool {
        let round = self.round;
        self.round += 1;
        if round == 0 {
            return true;
        }
        let before = self.now;
        let lets_others = round % ROUNDS_PER_YIELD == 1;
        if lets_others {
            thread::yield_now();
            self.now = clock::now();
            self.crowded = self.now.saturating_duration_since(before) > CROWDED;
        }
        let until = if round == 1 {
            let until = clock::after(self.began, self.quiet);
            self.held_back = self.now < until;
            until
        } else if lets_others {
            self.now
        } else {
            let elapsed = before.saturating_duration_since(self.began);
            clock::after(before, (elapsed / 4).clamp(ROUND_MIN, ROUND_MAX))
        };
        while self.now < until {
            if only_done && done() {
                return true;
            }
            std::hint::spin_loop();
            self.now = clock::now();
        }
        !self.crowded && self.now < self.until
    }
}

const ROUNDS_PER_YIELD: u32 = 4;
const ROUND_MIN: Duration = Duration::from_nanos(300);
const ROUND_MAX: Duration = Duration::from_micros(2);

const MISSES_MAX: u32 = 3;
const SKIP_FIRST: u32 = 16;
const SKIP_MAX: u32 = 256;

/// Less than a wake-up, at this end or the other.
const LATE: Duration = Duration::from_micros(30);

/// Longer than the work between two waits of somebody who asks without a pause.
const PAUSE: Duration = Duration::from_micros(20);

/// A round of polling takes two microseconds at most, a scheduler's slice three milliseconds.
const CROWDED: Duration = Duration::from_micros(200);

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries of somebody who paused before and found something after a while.
    fn waited(pause: Duration, waited: Duration) -> Tries {
        let began = clock::now();
        let now = clock::after(began, waited);
        Tries {
            began,
            pause,
            until: now,
            now,
            quiet: Duration::ZERO,
            round: 1,
            held_back: false,
            crowded: false,
        }
    }

    #[test]
    fn what_comes_late_counts_as_in_vain() {
        let micros = Duration::from_micros;
        for (asks, pause, wait, in_vain) in [
            (false, 0, 10, false),
            (true, 500, 10, false),
            (true, 0, 60, false),
            (true, 500, 60, true),
            (false, 0, 60, true),
        ] {
            let mut patience = Patience::new(asks);
            for _ in 0..MISSES_MAX {
                patience.hit(&waited(micros(pause), micros(wait)));
            }
            assert_eq!(poll(&mut patience).is_none(), in_vain, "{wait} after {pause}, {asks}");
        }
    }

    fn poll(patience: &mut Patience) -> Option<Tries> {
        patience.begin(Duration::from_micros(1), None)
    }

    #[test]
    fn nobody_looks_before_most_of_the_usual_time_has_passed() {
        let micros = Duration::from_micros;
        let mut patience = Patience::new(false);
        let mut learn = |wait, held_back| {
            for _ in 0..50 {
                let looks = if held_back { 2 } else { 3 };
                patience.hit(&Tries { round: looks, held_back, ..waited(Duration::ZERO, wait) });
            }
            poll(&mut patience).expect("each was a hit").quiet
        };
        let quiet = learn(micros(12), false);
        assert!((micros(8)..=micros(9)).contains(&quiet), "{quiet:?} of 12 us");
        let quiet = learn(micros(12), true);
        assert!(quiet < ROUND_MIN, "{quiet:?} where it is there at the first look each time");
    }

    #[test]
    fn polling_in_vain_is_skipped_more_and_more_and_a_hit_forgives() {
        let mut patience = Patience::new(false);
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
        patience.hit(&waited(Duration::ZERO, Duration::ZERO));
        let tries = poll(&mut patience).expect("a hit is followed by another try");
        patience.miss(&tries);
        assert!(poll(&mut patience).is_some(), "one miss after a hit is forgiven");
    }

    #[test]
    fn a_crowded_core_ends_polling_at_once() {
        let mut patience = Patience::new(false);
        let mut tries = poll(&mut patience).expect("not skipped yet");
        tries.crowded = true;
        patience.miss(&tries);
        let skipped = (0..).take_while(|_| poll(&mut patience).is_none()).count();
        assert_eq!(skipped, SKIP_MAX as usize);
    }

    #[test]
    fn a_budget_of_zero_never_polls() {
        assert!(Patience::new(false).begin(Duration::ZERO, None).is_none());
    }
}
