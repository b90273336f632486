//! The writer machine with a clock beside it: sends that come one after the other without a break are a stream.

use std::time::{Duration, Instant};

use sp_core::clock;
use sp_core::pipe::Flush;

use super::writer::{Decision, Writer};

/// Decides who writes a queue.
#[derive(Debug)]
pub(crate) struct Pacer {
    pub(crate) writer: Writer,
    /// When the last of some direct writes in a row ended. Not known of the first: in a conversation it is the only one,
    /// and looking at the clock costs a tenth of what a message does within the process.
    wrote_at: Option<Instant>,
}

impl Pacer {
    pub(crate) const fn new() -> Self {
        Self { writer: Writer::new(), wrote_at: None }
    }

    /// As [`Writer::flush`]; `heard` says that something came in since the last call.
    pub(crate) fn flush(&mut self, queued: usize, how: Flush, heard: bool) -> Decision {
        if heard || (how == Flush::Now && self.writer.is_in_a_row() && self.has_paused()) {
            self.writer.conversed();
        }
        self.writer.flush(queued, how)
    }

    /// As [`Writer::drained`].
    pub(crate) fn drained(&mut self) {
        self.writer.drained();
        self.wrote_at = self.writer.is_in_a_row().then(clock::now);
    }

    /// Whether the sender has taken a break since its last direct write.
    fn has_paused(&self) -> bool {
        self.wrote_at.is_some_and(|at| clock::now().saturating_duration_since(at) > PAUSE)
    }
}

/// A gap between direct writes that makes the next one a first one again: a few times what a write costs.
const PAUSE: Duration = Duration::from_micros(20);
