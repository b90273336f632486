//! BUS: sends to all its neighbours.

use std::fmt;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::audience::{Audience, WhenSlow};
use super::inbox::Inbox;
use super::queue::{DEFAULTS, Limits, at_least_one};
use super::{
    BadOption, Effects, Engine, FeedEngine, Options, RecvBlocked, RecvEngine, SendBlocked,
    SendEngine, WhenFull,
};

/// Sends each message to every neighbour and receives from all of them; passes nothing on.
///
/// What is sent while as much waits for a neighbour as may is dropped for that neighbour, unless [`WhenSlow`] says
/// otherwise. What comes while the inbox is full is dropped here, or stays with the neighbour, as [`WhenFull`] says.
/// Whatever is dropped is counted.
#[derive(Debug)]
pub struct Bus {
    audience: Audience,
    inbox: Inbox,
}

impl Engine for Bus {
    const SELF: ProtocolId = ProtocolId::BUS;
    const PEER: ProtocolId = ProtocolId::BUS;
    type Options = BusOptions;

    fn new(options: BusOptions, _seed: u64) -> Self {
        let BusOptions { limits, when_full, when_slow } = options;
        let inbox = Inbox::new(when_full, limits.inbox());
        Self { audience: Audience::new(when_slow, limits.outbox()), inbox }
    }

    fn opened(&mut self, peer: PeerId, fx: &mut impl Effects) -> Result<(), CloseReason> {
        self.audience.opened(peer, fx);
        Ok(())
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.audience.closed(peer, fx);
        self.inbox.closed(peer, fx);
    }

    fn room(&mut self, _peer: PeerId, fx: &mut impl Effects) {
        self.audience.room(fx);
    }

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        self.inbox.arrived(peer, batch, fx)
    }
}

impl SendEngine for Bus {
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

impl RecvEngine for Bus {
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

impl FeedEngine for Bus {}

/// What can be set of a [`Bus`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusOptions {
    limits: Limits,
    when_full: WhenFull,
    when_slow: WhenSlow,
}

impl BusOptions {
    /// The defaults: 4,096 messages or 16 MiB wait for each neighbour, and 1,024 or 16 MiB to be received; beyond that
    /// what is sent or comes is dropped.
    pub const fn new() -> Self {
        Self {
            limits: Limits::new(DEFAULTS.send_queue_messages),
            when_full: WhenFull::DropNewest,
            when_slow: WhenSlow::DropNewest,
        }
    }

    /// How many messages may wait to be received, at least 1; beyond it [`when_full`](Self::when_full) says what
    /// happens.
    #[must_use]
    pub const fn recv_queue(self, recv_queue: usize) -> Self {
        Self { limits: Limits { recv: recv_queue, ..self.limits }, ..self }
    }

    /// How many messages may wait for each neighbour, at least 1, besides the 64 KiB or so that its connection is
    /// writing; beyond it [`when_slow`](Self::when_slow) says what happens.
    #[must_use]
    pub const fn send_queue(self, send_queue: usize) -> Self {
        Self { limits: Limits { send: send_queue, ..self.limits }, ..self }
    }

    /// How many bytes may wait to be received, and as many for each neighbour, at least 1.
    ///
    /// A message counts as its body and 128 bytes, although all neighbours share one copy. A queue that is not full
    /// takes a message of any length.
    #[must_use]
    pub const fn queue_bytes(self, queue_bytes: usize) -> Self {
        Self { limits: Limits { bytes: queue_bytes, ..self.limits }, ..self }
    }

    /// What happens when as much waits to be received as may.
    ///
    /// A neighbour that is not read drops what it has no room for, and counts it.
    #[must_use]
    pub const fn when_full(self, when_full: WhenFull) -> Self {
        Self { when_full, ..self }
    }

    /// What happens when as much waits for a neighbour as may.
    #[must_use]
    pub const fn when_slow(self, when_slow: WhenSlow) -> Self {
        Self { when_slow, ..self }
    }
}

impl Default for BusOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Options for BusOptions {
    fn check(&self) -> Result<(), BadOption> {
        at_least_one("send_queue", self.limits.send)?;
        self.limits.check()
    }
}

impl fmt::Display for BusOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limits, when_full, when_slow } = self;
        write!(f, "{limits}, when_full {when_full}, when_slow {when_slow}")
    }
}

#[cfg(test)]
mod tests;
