//! PUSH: hands out work.

use std::fmt;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::rotation::Rotation;
use super::waiters::Waiters;
use super::{BadOption, Counter, Effects, Engine, Options, SendBlocked, SendEngine};

/// Hands each message to exactly one peer; receives nothing.
///
/// Peers that can take a message are used in turn. When none can, the send waits, or fails if there is no peer at
/// all and it was told to. A message is a peer's once its pipe has it: if that peer dies with it unread, it is lost.
#[derive(Debug)]
pub struct Push {
    peers: Rotation,
    senders: Waiters,
}

impl Engine for Push {
    const SELF: ProtocolId = ProtocolId::PUSH;
    const PEER: ProtocolId = ProtocolId::PULL;
    type Options = PushOptions;

    fn new(options: PushOptions, _seed: u64) -> Self {
        Self {
            peers: Rotation::new().needing_peer(options.fail_without_peer),
            senders: Waiters::new(),
        }
    }

    fn opened(&mut self, peer: PeerId, fx: &mut impl Effects) -> Result<(), CloseReason> {
        self.peers.add(peer);
        self.senders.wake_send(&mut self.peers, fx);
        Ok(())
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.peers.remove(peer);
        if self.peers.is_lacking() {
            self.senders.wake_all_sends(fx);
        }
    }

    fn room(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.peers.rejoin(peer);
        self.senders.wake_send(&mut self.peers, fx);
    }

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        fx.count_for(peer, Counter::Ignored, batch.len());
        batch.clear();
        Flow::More
    }
}

impl SendEngine for Push {
    fn try_send(
        &mut self,
        ctx: CtxId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked> {
        msg.clear_header();
        let peer = self.peers.next(fx).inspect_err(|_| self.senders.add(ctx))?;
        fx.transmit(peer, msg);
        self.senders.wake_send(&mut self.peers, fx);
        Ok(())
    }

    fn send_abandoned(&mut self, _ctx: CtxId, fx: &mut impl Effects) {
        // It may have been the one that was woken.
        self.senders.wake_send(&mut self.peers, fx);
    }
}

/// What can be set of a [`Push`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushOptions {
    fail_without_peer: bool,
}

impl PushOptions {
    /// The defaults: a send waits for a peer.
    pub const fn new() -> Self {
        Self { fail_without_peer: false }
    }

    /// Whether a send fails at once while no peer is connected, instead of waiting for one; also one that waits for
    /// room when the last peer goes.
    #[must_use]
    pub const fn fail_without_peer(self, fail_without_peer: bool) -> Self {
        Self { fail_without_peer }
    }
}

impl Options for PushOptions {
    fn check(&self) -> Result<(), BadOption> {
        Ok(())
    }
}

impl fmt::Display for PushOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fail_without_peer {}", self.fail_without_peer)
    }
}

#[cfg(test)]
mod tests;
