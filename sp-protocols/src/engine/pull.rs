//! PULL: collects work.

use std::fmt;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::inbox::Inbox;
use super::queue::{DEFAULTS, Limit};
use super::{BadOption, Effects, Engine, FeedEngine, Options, RecvBlocked, RecvEngine, WhenFull};

/// Collects messages from every pusher; sends nothing.
///
/// One bounded inbox, which reads the pushers in turn, or drops what it has no room for, as [`WhenFull`] says. What has
/// been taken from a peer stays deliverable when the peer goes.
#[derive(Debug)]
pub struct Pull {
    inbox: Inbox,
}

impl Engine for Pull {
    const SELF: ProtocolId = ProtocolId::PULL;
    const PEER: ProtocolId = ProtocolId::PUSH;
    type Options = PullOptions;

    fn new(options: PullOptions, _seed: u64) -> Self {
        Self { inbox: Inbox::new(options.when_full, options.limit) }
    }

    fn opened(&mut self, _peer: PeerId, _fx: &mut impl Effects) -> Result<(), CloseReason> {
        Ok(())
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.inbox.closed(peer, fx);
    }

    fn room(&mut self, _peer: PeerId, _fx: &mut impl Effects) {}

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        self.inbox.arrived(peer, batch, fx)
    }
}

impl RecvEngine for Pull {
    fn try_recv(
        &mut self,
        ctx: CtxId,
        into: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), RecvBlocked> {
        self.inbox.try_recv(ctx, into, fx)
    }

    fn recv_abandoned(&mut self, _ctx: CtxId, fx: &mut impl Effects) {
        self.inbox.recv_abandoned(fx);
    }
}

impl FeedEngine for Pull {}

/// What can be set of a [`Pull`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullOptions {
    limit: Limit,
    when_full: WhenFull,
}

impl PullOptions {
    /// The defaults: 1,024 messages or 16 MiB wait; beyond that peers are not read.
    pub const fn new() -> Self {
        let limit = Limit::new(DEFAULTS.recv_queue_messages);
        Self { limit, when_full: WhenFull::Block }
    }

    /// How many messages may wait to be received, at least 1; beyond it [`when_full`](Self::when_full) says what
    /// happens.
    #[must_use]
    pub const fn queue(self, queue: usize) -> Self {
        Self { limit: Limit { messages: queue, ..self.limit }, ..self }
    }

    /// How many bytes may wait to be received, at least 1; beyond it as with [`queue`](Self::queue).
    ///
    /// A message counts as its body and 128 bytes. A queue that is not full takes a message of any length.
    #[must_use]
    pub const fn queue_bytes(self, queue_bytes: usize) -> Self {
        Self { limit: Limit { bytes: queue_bytes, ..self.limit }, ..self }
    }

    /// What happens when as much waits to be received as may; unless set, peers are not read.
    #[must_use]
    pub const fn when_full(self, when_full: WhenFull) -> Self {
        Self { when_full, ..self }
    }
}

impl Default for PullOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Options for PullOptions {
    fn check(&self) -> Result<(), BadOption> {
        self.limit.check()
    }
}

impl fmt::Display for PullOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, when_full {}", self.limit, self.when_full)
    }
}

#[cfg(test)]
mod tests;
