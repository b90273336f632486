//! PAIR1: talks with one peer, through devices too.

use std::fmt;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::backtrace::{TTL, TTL_MAX, TTL_MIN, check_ttl};
use super::couple::Couple;
use super::hops;
use super::queue::Limits;
use super::{
    BadOption, Effects, Engine, FeedEngine, Options, RecvBlocked, RecvEngine, SendBlocked,
    SendEngine, WhenFull,
};

/// Sends to its one peer and receives from it, in order; refuses a second one.
///
/// As [`Pair`](super::Pair), with a count of hops in front of each message. What has made too many is dropped and
/// counted; a peer that sends a malformed count is closed.
#[derive(Debug)]
pub struct Pair1 {
    couple: Couple,
    ttl: u8,
}

impl Engine for Pair1 {
    const SELF: ProtocolId = ProtocolId::PAIR1;
    const PEER: ProtocolId = ProtocolId::PAIR1;
    type Options = Pair1Options;

    fn new(options: Pair1Options, _seed: u64) -> Self {
        Self {
            couple: Couple::new(options.when_full, options.limits),
            ttl: options.ttl.clamp(TTL_MIN, TTL_MAX),
        }
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
        if !self.couple.is_partner(peer) {
            // We have closed it; its last words do not count.
            batch.clear();
            return Flow::More;
        }
        hops::arrived(&mut self.couple.inbox, peer, batch, self.ttl, fx).unwrap_or_else(|why| {
            self.couple.closed(peer, fx);
            fx.close(peer, why);
            Flow::More
        })
    }

    fn unsent(&self) -> usize {
        self.couple.unsent()
    }
}

impl SendEngine for Pair1 {
    fn try_send(
        &mut self,
        ctx: CtxId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked> {
        hops::put_on(msg, hops::FIRST_HOP);
        self.couple.send(ctx, msg, fx)
    }

    fn send_abandoned(&mut self, _ctx: CtxId, fx: &mut impl Effects) {
        self.couple.send_abandoned(fx);
    }
}

impl RecvEngine for Pair1 {
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

impl FeedEngine for Pair1 {}

/// What can be set of a [`Pair1`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair1Options {
    ttl: u8,
    limits: Limits,
    when_full: WhenFull,
}

impl Pair1Options {
    /// The defaults: 8 hops; 1,024 messages or 16 MiB wait to be received, none to be sent.
    pub const fn new() -> Self {
        Self { ttl: TTL, limits: Limits::new(0), when_full: WhenFull::Block }
    }

    /// How many hops a message may have made, 1 to 15: one for its sender and one for each device on its way. What
    /// comes from farther is dropped.
    #[must_use]
    pub const fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
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
    /// A message counts as its body and 128 bytes, and with its header where it waits to be sent. A queue that is not
    /// full takes a message of any length.
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

impl Default for Pair1Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options for Pair1Options {
    fn check(&self) -> Result<(), BadOption> {
        check_ttl(self.ttl)?;
        self.limits.check()
    }
}

impl fmt::Display for Pair1Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ttl {}, {}, when_full {}", self.ttl, self.limits, self.when_full)
    }
}

#[cfg(test)]
mod tests;
