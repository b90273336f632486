//! What can be set of those who answer.

use std::fmt;

use crate::engine::backtrace::{TTL, check_ttl};
use crate::engine::queue::{DEFAULTS, Limit};
use crate::engine::{BadOption, Options, WhenFull};

/// What can be set of a [`Respondent`](super::Respondent): what can be of a [`Rep`](super::Rep), with surveys for
/// requests.
pub type RespondentOptions = RepOptions;

/// What can be set of a [`Rep`](super::Rep).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepOptions {
    pub(super) ttl: u8,
    pub(super) limit: Limit,
    pub(super) when_full: WhenFull,
}

impl RepOptions {
    /// The defaults: 8 words of backtrace, 128 waiting requests of each peer, 16 MiB of all peers; beyond that peers
    /// are not read.
    pub const fn new() -> Self {
        let limit = Limit::new(DEFAULTS.request_queue_messages);
        Self { ttl: TTL, limit, when_full: WhenFull::Block }
    }

    /// How many words of backtrace a request may carry, 1 to 15: one for itself and one for each device on
    /// its way. What comes from farther is dropped.
    #[must_use]
    pub const fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    /// How many requests of each peer may wait to be received, at least 1; beyond it [`when_full`](Self::when_full)
    /// says what happens.
    #[must_use]
    pub const fn queue(self, queue: usize) -> Self {
        Self { limit: Limit { messages: queue, ..self.limit }, ..self }
    }

    /// How many bytes of requests may wait to be received, at least 1: of all peers together, and half as many
    /// of each. Beyond it as with [`queue`](Self::queue).
    ///
    /// As many bytes of replies may be parked; beyond it only requests whose reply will find room are received.
    ///
    /// A message counts as its header, its body and 128 bytes. A queue that is not full takes a message of any
    /// length.
    #[must_use]
    pub const fn queue_bytes(self, queue_bytes: usize) -> Self {
        Self { limit: Limit { bytes: queue_bytes, ..self.limit }, ..self }
    }

    /// What happens when as much waits to be received as may; unless set, peers are not read.
    ///
    /// What is dropped instead is a peer's own: its newest requests or its oldest. A REQ asks again when its resend
    /// time has come, a SURVEYOR does not.
    #[must_use]
    pub const fn when_full(self, when_full: WhenFull) -> Self {
        Self { when_full, ..self }
    }
}

impl Default for RepOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Options for RepOptions {
    fn check(&self) -> Result<(), BadOption> {
        check_ttl(self.ttl)?;
        self.limit.check()
    }
}

impl fmt::Display for RepOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ttl {}, {}, when_full {}", self.ttl, self.limit, self.when_full)
    }
}
