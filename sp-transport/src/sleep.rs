//! Waking a poller only when it sleeps.
//!
//! A wake-up through the kernel costs ten microseconds and more, an atomic swap three nanoseconds. Whoever
//! polls says when it is about to sleep; whoever has news swaps in *notified* and calls the kernel only if
//! the answer was *asleep*.

use std::io;

use mio::{Registry, Token, Waker};

use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::{Mutex, lock};

/// The state of one poller and the means to wake it.
#[derive(Debug)]
pub(crate) struct Sleep<W = Waker> {
    state: AtomicU8,
    /// `None` once nobody will poll any more. Locked only to wake a sleeper.
    waker: Mutex<Option<W>>,
}

impl Sleep {
    /// The waker's events come with `token` on the poller behind `registry`.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self::with(Waker::new(registry, token)?))
    }
}

impl<W: Wake> Sleep<W> {
    /// For a poller that never was.
    pub(crate) fn ended() -> Self {
        Self { state: AtomicU8::new(AWAKE), waker: Mutex::new(None) }
    }

    fn with(waker: W) -> Self {
        Self { state: AtomicU8::new(ASLEEP), waker: Mutex::new(Some(waker)) }
    }

    /// There is news, published before this call: wakes the poller if it sleeps. Answers no if nobody polls.
    #[must_use = "if nobody polls, somebody has to be sent"]
    pub(crate) fn notify(&self) -> bool {
        // Release pairs with the acquire in `wake_up` and `rest`: the poller sees the news.
        match self.state.swap(NOTIFIED, Ordering::AcqRel) {
            ASLEEP => {
                self.ring();
                true
            }
            state => state != AWAY,
        }
    }

    /// Makes the poll set readable, whatever the poller is doing.
    pub(crate) fn ring(&self) {
        if let Some(waker) = &*lock(&self.waker) {
            waker.wake();
        }
    }

    /// Called by the poller when it starts or goes on working; news from before is seen after this.
    pub(crate) fn wake_up(&self) {
        self.state.swap(AWAKE, Ordering::AcqRel);
    }

    /// Called by the poller before it sleeps. Answers no if there is news to look at first.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.rest(ASLEEP)
    }

    /// Called by the poller before it leaves with nobody in its place. Answers no if there is news.
    pub(crate) fn go_away(&self) -> bool {
        self.rest(AWAY)
    }

    /// Nobody will poll any more: gives the waker's descriptor back.
    pub(crate) fn retire(&self) {
        self.state.store(AWAKE, Ordering::Release);
        lock(&self.waker).take();
    }

    /// Whether nobody polls.
    pub(crate) fn is_away(&self) -> bool {
        // A read-modify-write: whoever takes over afterwards sees what was published before this look.
        self.state.fetch_or(0, Ordering::AcqRel) == AWAY
    }

    fn rest(&self, how: u8) -> bool {
        self.state.compare_exchange(AWAKE, how, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// What makes a poller return.
pub(crate) trait Wake {
    fn wake(&self);
}

impl Wake for Waker {
    fn wake(&self) {
        // Fails only when the descriptor is gone, and then nobody polls.
        let _ = Self::wake(self);
    }
}

/// Working: looks for news before it rests.
const AWAKE: u8 = 0;
/// In a poll, or watched by somebody else's: the waker is heard.
const ASLEEP: u8 = 1;
/// There is news that the poller has not looked for yet, or somebody has been sent to look.
const NOTIFIED: u8 = 2;
/// Nobody would hear the waker.
const AWAY: u8 = 3;

#[cfg(all(test, loom))]
mod model;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;

    fn woken(poll: &mut Poll) -> bool {
        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, Some(Duration::ZERO)).expect("a poll without a wait");
        !events.is_empty()
    }

    #[test]
    fn only_a_sleeper_is_woken_and_news_is_never_missed() {
        let mut poll = Poll::new().expect("a poll set");
        let sleep = Sleep::new(poll.registry(), Token(0)).expect("a waker");
        sleep.wake_up();
        assert!(sleep.notify(), "the poller looks before it sleeps");
        assert!(!woken(&mut poll));
        assert!(!sleep.fall_asleep(), "there is news");
        sleep.wake_up();
        assert!(sleep.fall_asleep());
        assert!(sleep.notify());
        assert!(woken(&mut poll));
        sleep.wake_up();
        assert!(sleep.go_away());
        assert!(!sleep.notify(), "somebody has to be sent");
        assert!(sleep.notify(), "once is enough");
        assert!(!woken(&mut poll));
    }
}
