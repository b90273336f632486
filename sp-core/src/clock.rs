//! The one place that reads the clock.
//!
//! Only monotonic time is used. Engines never come here: they are told the time.

use std::time::{Duration, Instant};

/// The present instant of the monotonic clock.
///
/// About 30 ns; a batch of events reads it once and shares the answer.
#[cfg(not(shuttle))]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Instant {
    Instant::now()
}

/// An instant of a clock that goes on with every look at it, so that a model runs the same way each time.
#[cfg(shuttle)]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Instant {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    *START + Duration::from_micros(2) * LOOKS.fetch_add(1, Ordering::Relaxed) as u32
}

/// `wait` after `now`; a wait too long for the clock ends in a century.
pub fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or_else(|| now + CENTURY)
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_does_not_overflow() {
        assert!(after(now(), Duration::MAX) > now() + CENTURY / 2);
        let start = now();
        assert_eq!(after(start, Duration::from_secs(1)), start + Duration::from_secs(1));
    }
}
