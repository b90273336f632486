//! What can be set of the raw patterns that send and receive.

use std::fmt;

use crate::engine::backtrace::{TTL, check_ttl};
use crate::engine::queue::{DEFAULTS, Limit};
use crate::engine::{BadOption, Options, WhenFull};

/// What can be set of a [`TwoWay`](super::TwoWay) pattern in raw mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawOptions {
    pub(super) ttl: u8,
    pub(super) limit: Limit,
    pub(super) when_full: Option<WhenFull>,
}

impl RawOptions {
    /// The defaults: 8 words of header, 1,024 messages or 16 MiB wait to be received; beyond that what comes is dropped
    /// on BUS, and peers are not read on the others.
    pub const fn new() -> Self {
        Self { ttl: TTL, limit: Limit::new(DEFAULTS.recv_queue_messages), when_full: None }
    }

    /// How far a message may have come, 1 to 15; what comes from farther is dropped and counted as `hop_limit`.
    ///
    /// REP and RESPONDENT look at the words of the header, one for the request itself and one for each device on its
    /// way; PAIR1 looks at the hop count. The others do not look.
    #[must_use]
    pub const fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    /// How many messages may wait to be received, at least 1; beyond it [`when_full`](Self::when_full) says what
    /// happens.
    #[must_use]
    pub const fn queue(self, queue: usize) -> Self {
        Self { limit: Limit { messages: queue, ..self.limit }, ..self }
    }

    /// How many bytes may wait to be received, at least 1; beyond it as with [`queue`](Self::queue).
    ///
    /// A message counts as its header, its body and 128 bytes. A queue that is not full takes a message of any length.
    #[must_use]
    pub const fn queue_bytes(self, queue_bytes: usize) -> Self {
        Self { limit: Limit { bytes: queue_bytes, ..self.limit }, ..self }
    }

    /// What happens when as much waits to be received as may.
    #[must_use]
    pub const fn when_full(self, when_full: WhenFull) -> Self {
        Self { when_full: Some(when_full), ..self }
    }
}

impl Default for RawOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Options for RawOptions {
    fn check(&self) -> Result<(), BadOption> {
        check_ttl(self.ttl)?;
        self.limit.check()
    }
}

impl fmt::Display for RawOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ttl {}, {}", self.ttl, self.limit)?;
        self.when_full.map_or(Ok(()), |when_full| write!(f, ", when_full {when_full}"))
    }
}
