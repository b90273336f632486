//! PUB: publishes to every subscriber.

use std::fmt;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::audience::{Audience, WhenSlow};
use super::queue::{DEFAULTS, Limit};
use super::{BadOption, Effects, Engine, Options, SendBlocked, SendEngine};

/// Sends each message to every peer; receives nothing.
///
/// What is published waits for each peer on its own, up to a limit; [`WhenSlow`] says what happens then. Only
/// with [`WhenSlow::Block`] does a send ever wait; it never fails. A peer that sends is closed.
#[derive(Debug)]
pub struct Pub {
    audience: Audience,
}

impl Engine for Pub {
    const SELF: ProtocolId = ProtocolId::PUB;
    const PEER: ProtocolId = ProtocolId::SUB;
    type Options = PubOptions;

    fn new(options: PubOptions, _seed: u64) -> Self {
        Self { audience: Audience::new(options.when_slow, options.limit) }
    }

    fn opened(&mut self, peer: PeerId, fx: &mut impl Effects) -> Result<(), CloseReason> {
        self.audience.opened(peer, fx);
        Ok(())
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.audience.closed(peer, fx);
    }

    fn room(&mut self, _peer: PeerId, fx: &mut impl Effects) {
        self.audience.room(fx);
    }

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        batch.clear();
        self.audience.close(peer, CloseReason::Unexpected { protocol: Self::SELF }, fx);
        Flow::More
    }
}

impl SendEngine for Pub {
    fn try_send(
        &mut self,
        ctx: CtxId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked> {
        msg.clear_header();
        self.audience.send(ctx, msg, fx)
    }

    fn send_abandoned(&mut self, _ctx: CtxId, fx: &mut impl Effects) {
        self.audience.send_abandoned(fx);
    }
}

/// What can be set of a [`Pub`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PubOptions {
    limit: Limit,
    when_slow: WhenSlow,
}

impl PubOptions {
    /// The defaults: 4,096 messages or 16 MiB wait for each subscriber, then its oldest are dropped.
    pub const fn new() -> Self {
        Self { limit: Limit::new(DEFAULTS.send_queue_messages), when_slow: WhenSlow::DropOldest }
    }

    /// How many messages may wait for each subscriber, at least 1, besides the 64 KiB or so that its connection is
    /// writing.
    #[must_use]
    pub const fn queue(self, queue: usize) -> Self {
        Self { limit: Limit { messages: queue, ..self.limit }, ..self }
    }

    /// How many bytes may wait for each subscriber, at least 1.
    ///
    /// A message counts as its body and 128 bytes, although all subscribers share one copy. While there is room a
    /// message of any length is taken.
    #[must_use]
    pub const fn queue_bytes(self, queue_bytes: usize) -> Self {
        Self { limit: Limit { bytes: queue_bytes, ..self.limit }, ..self }
    }

    /// What happens when as much waits for a subscriber as may.
    #[must_use]
    pub const fn when_slow(self, policy: WhenSlow) -> Self {
        Self { when_slow: policy, ..self }
    }
}

impl Default for PubOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Options for PubOptions {
    fn check(&self) -> Result<(), BadOption> {
        self.limit.check()
    }
}

impl fmt::Display for PubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, when_slow {}", self.limit, self.when_slow)
    }
}

#[cfg(test)]
mod tests;
