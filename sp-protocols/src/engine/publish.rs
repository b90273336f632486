//! PUB: publishes to every subscriber.

use std::{fmt, mem};

use sp_core::batch::Batch;
use sp_core::id::{CtxId, IdMap, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::queue::{DEFAULTS, Limit, Queue};
use super::{BadOption, Counter, Effects, Engine, Options, SendBlocked, SendEngine};

/// Sends each message to every peer; receives nothing.
///
/// A send never waits and never fails. For a peer without room the message is queued; when that queue is full
/// its oldest messages are dropped and counted. All peers share one body. A peer that sends is closed.
#[derive(Debug)]
pub struct Pub {
    /// What waits for each peer. A queue that is not empty belongs to a pipe that said it has no room.
    queues: IdMap<PeerId, Queue>,
    limit: Limit,
}

impl Engine for Pub {
    const SELF: ProtocolId = ProtocolId::PUB;
    const PEER: ProtocolId = ProtocolId::SUB;
    type Options = PubOptions;

    fn new(options: PubOptions, _seed: u64) -> Self {
        Self { queues: IdMap::new(), limit: options.limit }
    }

    fn opened(&mut self, peer: PeerId, _fx: &mut impl Effects) -> Result<(), CloseReason> {
        self.queues.insert(peer, Queue::new(self.limit));
        Ok(())
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        let Some(queue) = self.queues.remove(peer) else { return };
        fx.count_times(Counter::LostWithPeer, queue.len());
    }

    fn room(&mut self, peer: PeerId, fx: &mut impl Effects) {
        let Some(queue) = self.queues.get_mut(peer) else { return };
        while !queue.is_empty() && fx.room(peer) {
            if let Some(mut msg) = queue.pop() {
                fx.transmit(peer, &mut msg);
            }
        }
    }

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        batch.clear();
        if self.queues.contains(peer) {
            self.closed(peer, fx);
            fx.close(peer, CloseReason::Unexpected { protocol: Self::SELF });
        }
        Flow::More
    }
}

impl SendEngine for Pub {
    fn try_send(
        &mut self,
        _ctx: CtxId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked> {
        msg.clear_header();
        let mut peers = self.queues.iter_mut();
        let Some((mut peer, mut queue)) = peers.next() else { return Ok(()) };
        // Each peer but the last gets a share; so a single subscriber gets the message itself.
        for (next_peer, next_queue) in peers {
            deliver(peer, queue, &mut msg.share(), fx);
            (peer, queue) = (next_peer, next_queue);
        }
        deliver(peer, queue, msg, fx);
        Ok(())
    }
}

fn deliver(peer: PeerId, queue: &mut Queue, msg: &mut Message, fx: &mut impl Effects) {
    if queue.is_empty() && fx.room(peer) {
        fx.transmit(peer, msg);
    } else {
        fx.count_times(Counter::DroppedOnSend, queue.push_dropping_oldest(mem::take(msg)));
    }
}

/// What can be set of a [`Pub`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PubOptions {
    limit: Limit,
}

impl PubOptions {
    /// The defaults: 1,024 messages or 16 MiB wait for each peer.
    pub const fn new() -> Self {
        Self { limit: Limit::new(DEFAULTS.recv_queue_messages) }
    }

    /// How many messages may wait for each peer, at least 1, besides those its pipe holds; beyond it the
    /// oldest is dropped.
    #[must_use]
    pub const fn queue(self, queue: usize) -> Self {
        Self { limit: Limit { messages: queue, ..self.limit } }
    }

    /// How many bytes may wait for each peer, at least 1; beyond it the oldest messages are dropped.
    ///
    /// A message counts as its body and 128 bytes, although all peers share one body. A queue that is not full
    /// takes a message of any length.
    #[must_use]
    pub const fn queue_bytes(self, queue_bytes: usize) -> Self {
        Self { limit: Limit { bytes: queue_bytes, ..self.limit } }
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
        self.limit.fmt(f)
    }
}

#[cfg(test)]
mod tests;
