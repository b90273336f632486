//! PAIR1, polyamorous: talks with many peers, and with each on its own.

use std::fmt;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, IdMap, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::backtrace::{TTL, TTL_MAX, TTL_MIN, check_ttl};
use super::hops;
use super::inbox::Inbox;
use super::queue::{DEFAULTS, Limit};
use super::{BadOption, Effects, Engine, FeedEngine, Options, RecvBlocked, RecvEngine, WhenFull};

/// Sends to the peer that is named and receives from all, each message with its source.
///
/// A send never waits: without room at its peer it is refused. Peers beyond the inbox are not read, and go on in
/// turn, unless [`WhenFull`] says otherwise. On the wire this is a [`Pair1`](super::Pair1), and it can talk with that.
#[derive(Debug)]
pub struct Pair1Poly {
    peers: IdMap<PeerId, ()>,
    inbox: Inbox,
    ttl: u8,
}

impl Pair1Poly {
    /// Sends `msg` to `peer` and takes what it needs out of it, or leaves its body alone.
    pub fn send_to(
        &mut self,
        peer: PeerId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendToBlocked> {
        msg.clear_header();
        if !self.peers.contains(peer) {
            return Err(SendToBlocked::PeerGone);
        }
        if !fx.room(peer) {
            return Err(SendToBlocked::Full);
        }
        hops::put_on(msg, hops::FIRST_HOP);
        fx.transmit(peer, msg);
        Ok(())
    }
}

/// Why a message to one peer was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendToBlocked {
    /// The peer has no room now.
    Full,
    /// There is no such peer, or no more.
    PeerGone,
}

impl Engine for Pair1Poly {
    const SELF: ProtocolId = ProtocolId::PAIR1;
    const PEER: ProtocolId = ProtocolId::PAIR1;
    type Options = Pair1PolyOptions;

    fn new(options: Pair1PolyOptions, _seed: u64) -> Self {
        let Pair1PolyOptions { ttl, limit, when_full } = options;
        let ttl = ttl.clamp(TTL_MIN, TTL_MAX);
        Self { peers: IdMap::new(), inbox: Inbox::new(when_full, limit), ttl }
    }

    fn opened(&mut self, peer: PeerId, _fx: &mut impl Effects) -> Result<(), CloseReason> {
        self.peers.insert(peer, ());
        Ok(())
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        if self.peers.remove(peer).is_some() {
            self.inbox.closed(peer, fx);
        }
    }

    fn room(&mut self, _peer: PeerId, _fx: &mut impl Effects) {}

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        if !self.peers.contains(peer) {
            // We have closed it; its last words do not count.
            batch.clear();
            return Flow::More;
        }
        hops::arrived(&mut self.inbox, peer, batch, self.ttl, fx).unwrap_or_else(|why| {
            self.closed(peer, fx);
            fx.close(peer, why);
            Flow::More
        })
    }
}

impl RecvEngine for Pair1Poly {
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

impl FeedEngine for Pair1Poly {}

/// What can be set of a [`Pair1Poly`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair1PolyOptions {
    ttl: u8,
    limit: Limit,
    when_full: WhenFull,
}

impl Pair1PolyOptions {
    /// The defaults: 8 hops; 1,024 messages or 16 MiB wait to be received.
    pub const fn new() -> Self {
        let limit = Limit::new(DEFAULTS.recv_queue_messages);
        Self { ttl: TTL, limit, when_full: WhenFull::Block }
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

impl Default for Pair1PolyOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Options for Pair1PolyOptions {
    fn check(&self) -> Result<(), BadOption> {
        check_ttl(self.ttl)?;
        self.limit.check()
    }
}

impl fmt::Display for Pair1PolyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ttl {}, {}, when_full {}", self.ttl, self.limit, self.when_full)
    }
}

#[cfg(test)]
mod tests;
