//! SUB: receives what it subscribed to.

use std::fmt;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::prefixes::Prefixes;
use super::queue::{DEFAULTS, Limit, Queue};
use super::waiters::Waiters;
use super::{BadOption, Counter, Effects, Engine, FeedEngine, Options, RecvBlocked, RecvEngine};

/// Receives the messages that begin with one of its topics; sends nothing.
///
/// Without a topic nothing is received; the empty topic matches all. Topics stay on this side: every message
/// travels and those that no topic matches are dropped here. A publisher is never paused: when the queue is
/// full messages are lost, the oldest or the newest as set, and counted.
#[derive(Debug)]
pub struct Sub {
    topics: Prefixes,
    inbox: Queue,
    prefer_new: bool,
    /// Messages dropped for want of room since [`missed`](Self::missed) was last asked.
    missed: u64,
    receivers: Waiters,
}

impl Sub {
    /// Receives messages that begin with `topic` from now on. `false` if that was so already.
    ///
    /// There is one context as yet: for another than [`CtxId::MAIN`] nothing happens.
    pub fn subscribe(&mut self, ctx: CtxId, topic: &[u8]) -> bool {
        ctx == CtxId::MAIN && self.topics.insert(topic)
    }

    /// Takes `topic` back, and drops waiting messages that no other topic matches. `false` if it was not
    /// subscribed to.
    ///
    /// A topic counts once however often it was subscribed to.
    pub fn unsubscribe(&mut self, ctx: CtxId, topic: &[u8], fx: &mut impl Effects) -> bool {
        if ctx != CtxId::MAIN || !self.topics.remove(topic) {
            return false;
        }
        let topics = &self.topics;
        let unwanted = self.inbox.retain(|msg| topics.matches(msg.body()));
        fx.count_times(Counter::Unwanted, unwanted);
        true
    }

    /// How many messages were dropped for want of room since this was last asked.
    pub fn missed(&mut self, ctx: CtxId) -> u64 {
        if ctx == CtxId::MAIN { std::mem::take(&mut self.missed) } else { 0 }
    }

    fn keep(&mut self, msg: Message, fx: &mut impl Effects) {
        let mut drop_one = |msg: &Message| match msg.source() {
            Some(peer) => fx.count_for(peer, Counter::DroppedOnReceive, 1),
            None => fx.count(Counter::DroppedOnReceive),
        };
        let dropped = if self.prefer_new {
            self.inbox.push_dropping_oldest(msg, drop_one)
        } else {
            usize::from(self.inbox.push(msg).inspect_err(|msg| drop_one(msg)).is_err())
        };
        self.missed = self.missed.saturating_add(dropped as u64);
        self.receivers.wake_recv(1, fx);
    }
}

impl Engine for Sub {
    const SELF: ProtocolId = ProtocolId::SUB;
    const PEER: ProtocolId = ProtocolId::PUB;
    type Options = SubOptions;

    fn new(options: SubOptions, _seed: u64) -> Self {
        Self {
            topics: Prefixes::new(),
            inbox: Queue::new(options.limit),
            prefer_new: options.prefer_new,
            missed: 0,
            receivers: Waiters::new(),
        }
    }

    fn opened(&mut self, _peer: PeerId, _fx: &mut impl Effects) -> Result<(), CloseReason> {
        Ok(())
    }

    fn closed(&mut self, _peer: PeerId, _fx: &mut impl Effects) {}

    fn room(&mut self, _peer: PeerId, _fx: &mut impl Effects) {}

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        if self.topics.match_all() {
            // As many as fit at once, at no cost for each.
            let kept = self.inbox.take_from(batch);
            self.receivers.wake_recv(kept, fx);
        }
        let mut unwanted = 0_usize;
        while let Some(msg) = batch.pop() {
            if self.topics.matches(msg.body()) {
                self.keep(msg, fx);
            } else {
                unwanted = unwanted.saturating_add(1);
            }
        }
        fx.count_for(peer, Counter::Unwanted, unwanted);
        Flow::More
    }
}

impl RecvEngine for Sub {
    fn try_recv(
        &mut self,
        ctx: CtxId,
        into: &mut Message,
        _fx: &mut impl Effects,
    ) -> Result<(), RecvBlocked> {
        if ctx != CtxId::MAIN {
            return Err(RecvBlocked::State);
        }
        if self.inbox.pop_into(into) {
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

impl FeedEngine for Sub {}

/// What can be set of a [`Sub`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubOptions {
    limit: Limit,
    prefer_new: bool,
}

impl SubOptions {
    /// The defaults: 1,024 messages or 16 MiB wait, and the oldest make way.
    pub const fn new() -> Self {
        Self { limit: Limit::new(DEFAULTS.recv_queue_messages), prefer_new: true }
    }

    /// How many messages may wait to be received, at least 1; beyond it one is dropped.
    #[must_use]
    pub const fn queue(self, queue: usize) -> Self {
        Self { limit: Limit { messages: queue, ..self.limit }, ..self }
    }

    /// How many bytes may wait to be received, at least 1; beyond it messages are dropped.
    ///
    /// A message counts as its body and 128 bytes. A queue that is not full takes a message of any length.
    #[must_use]
    pub const fn queue_bytes(self, queue_bytes: usize) -> Self {
        Self { limit: Limit { bytes: queue_bytes, ..self.limit }, ..self }
    }

    /// Whether the oldest messages make way when the queue is full; if not, the newest is dropped.
    #[must_use]
    pub const fn prefer_new(self, prefer_new: bool) -> Self {
        Self { prefer_new, ..self }
    }
}

impl Default for SubOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Options for SubOptions {
    fn check(&self) -> Result<(), BadOption> {
        self.limit.check()
    }
}

impl fmt::Display for SubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, prefer_new {}", self.limit, self.prefer_new)
    }
}

#[cfg(test)]
mod tests;
