//! PAIR: talks with one peer.

use std::fmt;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::couple::Couple;
use super::queue::Limits;
use super::{
    BadOption, Effects, Engine, FeedEngine, Options, RecvBlocked, RecvEngine, SendBlocked,
    SendEngine, WhenFull,
};

/// Sends to its one peer and receives from it, in order; refuses a second one.
///
/// Unless [told to](WhenFull), it drops nothing while the peer stays: a peer beyond the inbox is not read, and a send
/// waits while the peer has no room, behind the send queue if there is one. What waits in the send queue is the next
/// peer's if this one goes.
#[derive(Debug)]
pub struct Pair {
    couple: Couple,
}

impl Engine for Pair {
    const SELF: ProtocolId = ProtocolId::PAIR0;
    const PEER: ProtocolId = ProtocolId::PAIR0;
    type Options = PairOptions;

    fn new(options: PairOptions, _seed: u64) -> Self {
        Self { couple: Couple::new(options.when_full, options.limits) }
    }

    fn opened(&mut self, peer: PeerId, fx: &mut impl Effects) -> Result<(), CloseReason> {
        self.couple.opened(peer, fx)
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.couple.closed(peer, fx);
    }

    fn room(&mut self, _peer: PeerId, fx: &mut impl Effects) {
        self.couple.room(fx);
    }

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        self.couple.inbox.arrived(peer, batch, fx)
    }

    fn unsent(&self) -> usize {
        self.couple.unsent()
    }
}

impl SendEngine for Pair {
    fn try_send(
        &mut self,
        ctx: CtxId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked> {
        msg.clear_header();
        self.couple.send(ctx, msg, fx)
    }

    fn send_abandoned(&mut self, _ctx: CtxId, fx: &mut impl Effects) {
        self.couple.send_abandoned(fx);
    }
}

impl RecvEngine for Pair {
    fn try_recv(
        &mut self,
        ctx: CtxId,
        into: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), RecvBlocked> {
        self.couple.inbox.try_recv(ctx, into, fx)
    }

    fn recv_abandoned(&mut self, _ctx: CtxId, fx: &mut impl Effects) {
        self.couple.inbox.recv_abandoned(fx);
    }
}

impl FeedEngine for Pair {}

/// What can be set of a [`Pair`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairOptions {
    limits: Limits,
    when_full: WhenFull,
}

impl PairOptions {
    /// The defaults: 1,024 messages or 16 MiB wait to be received, none to be sent.
    pub const fn new() -> Self {
        Self { limits: Limits::new(0), when_full: WhenFull::Block }
    }

    /// How many messages may wait to be received, at least 1; beyond it [`when_full`](Self::when_full) says what
    /// happens.
    #[must_use]
    pub const fn recv_queue(self, recv_queue: usize) -> Self {
        Self { limits: Limits { recv: recv_queue, ..self.limits }, ..self }
    }

    /// How many messages may wait for a peer, or for its room; beyond it a send waits. With 0 it waits at once.
    ///
    /// What waits when the socket is closed counts as queued: closing waits for it while there is a peer, and says
    /// how much was lost.
    #[must_use]
    pub const fn send_queue(self, send_queue: usize) -> Self {
        Self { limits: Limits { send: send_queue, ..self.limits }, ..self }
    }

    /// How many bytes may wait in either direction, at least 1.
    ///
    /// A message counts as its body and 128 bytes. A queue that is not full takes a message of any length.
    #[must_use]
    pub const fn queue_bytes(self, queue_bytes: usize) -> Self {
        Self { limits: Limits { bytes: queue_bytes, ..self.limits }, ..self }
    }

    /// What happens when as much waits to be received as may; unless set, the peer is not read.
    #[must_use]
    pub const fn when_full(self, when_full: WhenFull) -> Self {
        Self { when_full, ..self }
    }
}

impl Default for PairOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Options for PairOptions {
    fn check(&self) -> Result<(), BadOption> {
        self.limits.check()
    }
}

impl fmt::Display for PairOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, when_full {}", self.limits, self.when_full)
    }
}

#[cfg(test)]
mod tests;
