//! Looking out for news without getting in line.
//!
//! Between threads of one process an answer takes less than a microsecond, and getting in line, being woken and
//! leaving the line cost as much again. A receiver with nothing but connections within the process therefore first
//! watches a counter for a moment.

use sp_core::sync::atomic::{AtomicU32, Ordering};

/// Tells receivers that something has arrived.
///
/// On cache lines of its own: whoever watches it must not slow down those who work beside it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Lookout {
    news: AtomicU32,
    /// How often in a row watching was in vain, and beyond that how many waits went without it.
    vain: AtomicU32,
}

impl Lookout {
    /// What to compare with; to be read before the try that finds nothing.
    pub(crate) fn seen(&self) -> u32 {
        self.news.load(Ordering::Acquire)
    }

    /// Something has arrived.
    pub(crate) fn tell(&self) {
        // Several tell at a time; the lost update of one is the other's, which the watcher has not seen either.
        let next = self.news.load(Ordering::Relaxed).wrapping_add(1);
        self.news.store(next, Ordering::Release);
    }

    /// Watches for about two microseconds; whether there was news. After a few times in vain it is left out for a
    /// while.
    pub(crate) fn watch(&self, seen: u32) -> bool {
        let vain = self.vain.load(Ordering::Relaxed);
        if vain > VAIN_MAX {
            let next = if vain > VAIN_MAX + SKIPS { VAIN_MAX } else { vain + 1 };
            self.vain.store(next, Ordering::Relaxed);
            return false;
        }
        for _ in 0..LOOKS {
            if self.news.load(Ordering::Relaxed) != seen {
                self.vain.store(0, Ordering::Relaxed);
                return true;
            }
            std::hint::spin_loop();
        }
        self.vain.store(vain + 1, Ordering::Relaxed);
        false
    }
}

const LOOKS: u32 = 128;
const VAIN_MAX: u32 = 3;
const SKIPS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_told_before_the_watch_is_seen() {
        let lookout = Lookout::default();
        let seen = lookout.seen();
        lookout.tell();
        assert!(lookout.watch(seen));
    }

    #[test]
    fn watching_in_vain_is_left_out_and_tried_again() {
        let lookout = Lookout::default();
        for _ in 0..VAIN_MAX + 1 {
            assert!(!lookout.watch(lookout.seen()));
        }
        let seen = lookout.seen();
        lookout.tell();
        let skipped = (0..1000).take_while(|_| !lookout.watch(seen)).count();
        assert_eq!(skipped, SKIPS as usize + 1);
    }
}
