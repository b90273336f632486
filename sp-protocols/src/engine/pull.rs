//! PULL: collects work.

use std::fmt;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::line::Line;
use super::queue::{DEFAULTS, Limit, Queue};
use super::waiters::Waiters;
use super::{BadOption, Effects, Engine, FeedEngine, Options, RecvBlocked, RecvEngine};

/// Collects messages from every pusher; sends nothing.
///
/// One bounded inbox. A peer whose batch does not fit is paused; once half of the inbox is free, paused peers
/// go on one after the other, so that a flood from one does not keep out the rest. What has been taken from a
/// peer stays deliverable when the peer goes.
#[derive(Debug)]
pub struct Pull {
    inbox: Queue,
    /// Peers told to stop, longest first.
    paused: Line<PeerId>,
    /// Peers let go that have not brought anything yet.
    let_go: Line<PeerId>,
    receivers: Waiters,
}

impl Engine for Pull {
    const SELF: ProtocolId = ProtocolId::PULL;
    const PEER: ProtocolId = ProtocolId::PUSH;
    type Options = PullOptions;

    fn new(options: PullOptions, _seed: u64) -> Self {
        Self {
            inbox: Queue::new(options.limit),
            paused: Line::new(),
            let_go: Line::new(),
            receivers: Waiters::new(),
        }
    }

    fn opened(&mut self, _peer: PeerId, _fx: &mut impl Effects) -> Result<(), CloseReason> {
        Ok(())
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.paused.remove(peer);
        self.let_go.remove(peer);
        // It may have been the one whose turn it was.
        self.resume_next(fx);
    }

    fn room(&mut self, _peer: PeerId, _fx: &mut impl Effects) {}

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        let had_its_turn = self.let_go.remove(peer);
        let taken = self.inbox.take_from(batch);
        self.receivers.wake_recv(taken, fx);
        if batch.is_empty() {
            self.resume_next(fx);
            return Flow::More;
        }
        if had_its_turn && taken == 0 {
            // Another peer was faster, so it still is its turn.
            self.paused.push_front(peer);
        } else {
            self.paused.push(peer);
        }
        Flow::Pause
    }
}

impl RecvEngine for Pull {
    fn try_recv(
        &mut self,
        ctx: CtxId,
        into: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), RecvBlocked> {
        let received = self.inbox.pop_into(into);
        self.resume_next(fx);
        if received {
            return Ok(());
        }
        self.receivers.add(ctx);
        Err(RecvBlocked::Empty)
    }

    fn recv_abandoned(&mut self, _ctx: CtxId, fx: &mut impl Effects) {
        // It may have been the one that was woken.
        if !self.inbox.is_empty() {
            self.receivers.wake_recv(1, fx);
        }
    }
}

impl FeedEngine for Pull {}

impl Pull {
    /// Lets the peer go on that has been paused longest, if half of the inbox is free.
    ///
    /// One at a time: what it brings is followed by another call of this, by its arrival or its end.
    fn resume_next(&mut self, fx: &mut impl Effects) {
        if self.inbox.is_half_free()
            && let Some(peer) = self.paused.pop()
        {
            self.let_go.push(peer);
            fx.resume(peer);
        }
    }
}

/// What can be set of a [`Pull`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullOptions {
    limit: Limit,
}

impl PullOptions {
    /// The defaults: 1,024 messages or 16 MiB wait.
    pub const fn new() -> Self {
        Self { limit: Limit::new(DEFAULTS.recv_queue_messages) }
    }

    /// How many messages may wait to be received, at least 1; beyond it peers are not read.
    #[must_use]
    pub const fn queue(self, queue: usize) -> Self {
        Self { limit: Limit { messages: queue, ..self.limit } }
    }

    /// How many bytes may wait to be received, at least 1; beyond it peers are not read.
    ///
    /// A message counts as its body and 128 bytes. A queue that is not full takes a message of any length.
    #[must_use]
    pub const fn queue_bytes(self, queue_bytes: usize) -> Self {
        Self { limit: Limit { bytes: queue_bytes, ..self.limit } }
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
        self.limit.fmt(f)
    }
}

#[cfg(test)]
mod tests;
