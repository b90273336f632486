//! How long a dialer waits before it tries again.

use std::time::Duration;

/// Doubles the delay with every failure up to a cap, and draws each wait from the delay's upper half, so that
/// many clients of one server do not come back at the same instant.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
    random: u64,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration, seed: u64) -> Self {
        let min = min.max(SHORTEST);
        Self { min, max: max.max(min), next: min, random: seed }
    }

    /// The wait after one more failure.
    pub(crate) fn fail(&mut self) -> Duration {
        let delay = self.next;
        self.next = delay.saturating_mul(2).min(self.max);
        let half = delay / 2;
        half + half.mul_f64(self.fraction())
    }

    /// The delay that the next failure draws its wait from.
    pub(crate) const fn next(&self) -> Duration {
        self.next
    }

    /// A connection was made and lasted.
    pub(crate) fn succeed(&mut self) {
        self.next = self.min;
    }

    /// A number in [0, 1), by splitmix64: jitter needs no better randomness.
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.random;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        (x >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Nobody dials more often than this, whatever the options say.
pub(crate) const SHORTEST: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// sp-wire 8.16 item 165
    #[test]
    fn the_delay_doubles_to_the_cap_with_jitter_and_a_success_resets_it() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(1000), 42);
        for nominal in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.fail();
            assert!(wait >= ms(nominal) / 2 && wait < ms(nominal), "{wait:?} for {nominal} ms");
        }
        backoff.succeed();
        assert!(backoff.fail() < ms(100));
    }

    #[test]
    fn a_delay_of_zero_is_brought_to_a_millisecond() {
        let mut backoff = Backoff::new(Duration::ZERO, Duration::ZERO, 7);
        assert!(backoff.fail() >= SHORTEST / 2);
    }

    #[test]
    fn two_dialers_do_not_wait_alike() {
        let ms = Duration::from_millis;
        let mut one = Backoff::new(ms(100), ms(1000), 1);
        let mut two = Backoff::new(ms(100), ms(1000), 99);
        assert_ne!(one.fail(), two.fail());
    }
}
