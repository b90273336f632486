//! SUB: receives what it subscribed to.

use std::fmt;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::contexts::Contexts;
use super::line::Line;
use super::paused::Paused;
use super::queue::{DEFAULTS, Limit};
use super::topics::Topics;
use super::{
    BadOption, ContextEngine, Counter, Effects, Engine, FeedEngine, Options, RecvBlocked,
    RecvEngine, TunableEngine, WhenFull,
};

use subscriber::Subscriber;

mod subscriber;

/// Receives the messages that begin with one of its topics; sends nothing. Each context has topics and a queue of
/// its own, and gets every message that it wants.
///
/// Without a topic nothing is received; the empty topic matches all. Topics stay on this side: every message
/// travels and those that no topic matches are dropped here. When a queue is full messages are lost, the oldest or the
/// newest, and counted; or publishers are not read. [`WhenFull`] says which.
#[derive(Debug)]
pub struct Sub {
    /// What contexts start from that have no options of their own.
    options: SubOptions,
    contexts: Contexts<Subscriber>,
    /// Exactly the contexts that have a topic.
    subscribed: Line<CtxId>,
    /// Every topic of every context.
    topics: Topics,
    /// Who wants the message that is being handed out; kept for its room.
    wanting: Vec<CtxId>,
    /// Whether any context ever was one that blocks.
    may_block: bool,
    /// Contexts that block and whose queue was full when something came for them.
    full: Line<CtxId>,
    /// Peers that are not read because of these.
    paused: Paused,
}

impl Sub {
    /// Lets `ctx` receive messages that begin with `topic` from now on. `false` if it did already.
    pub fn subscribe(&mut self, ctx: CtxId, topic: &[u8]) -> bool {
        let Some(subscriber) = self.contexts.get_mut(ctx) else { return false };
        if !subscriber.topics.insert(topic) {
            return false;
        }
        self.topics.insert(topic, ctx);
        self.subscribed.push(ctx);
        true
    }

    /// Takes `topic` back from `ctx`, and drops what waits there that no other topic of it matches. `false` if it
    /// was not subscribed to.
    ///
    /// A topic counts once however often it was subscribed to.
    pub fn unsubscribe(&mut self, ctx: CtxId, topic: &[u8], fx: &mut impl Effects) -> bool {
        let Some(subscriber) = self.contexts.get_mut(ctx) else { return false };
        if !subscriber.topics.remove(topic) {
            return false;
        }
        subscriber.drop_unwanted(fx);
        self.topics.remove(topic, ctx);
        if subscriber.topics.is_empty() {
            self.subscribed.remove(ctx);
        }
        // Whom it stops still, will be told so again.
        self.full.remove(ctx);
        self.read_on(fx);
        true
    }

    /// How many messages `ctx` has missed for want of room since this was last asked.
    pub fn missed(&mut self, ctx: CtxId) -> u64 {
        self.contexts.get_mut(ctx).map_or(0, |subscriber| std::mem::take(&mut subscriber.missed))
    }

    /// Hands out what contexts want of `batch`, up to a message for which one of them has no room.
    fn hand_out_all(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) {
        let mut unwanted = 0_usize;
        while let Some(first) = batch.first() {
            self.wanting.clear();
            self.wanting.extend(self.topics.matching(first.body()));
            // One that has several topics wants it once.
            self.wanting.sort_unstable();
            self.wanting.dedup();
            if self.is_blocked() {
                break;
            }
            if let Some(msg) = batch.pop() {
                unwanted = unwanted.saturating_add(usize::from(!self.hand_out(msg, fx)));
            }
        }
        fx.count_for(peer, Counter::Unwanted, unwanted);
    }

    /// Whether somebody who wants the next message has no room for it and does not want to miss it.
    fn is_blocked(&mut self) -> bool {
        let asked = if self.may_block { self.wanting.as_slice() } else { &[] };
        for &ctx in asked {
            if self.contexts.get_mut(ctx).is_some_and(|subscriber| subscriber.is_blocked()) {
                self.full.push(ctx);
                return true;
            }
        }
        false
    }

    /// Gives each context that wants it a share of `msg`, and the last one `msg` itself. Answers no if none does.
    fn hand_out(&mut self, mut msg: Message, fx: &mut impl Effects) -> bool {
        let Some((&last, others)) = self.wanting.split_last() else { return false };
        for &ctx in others {
            if let Some(subscriber) = self.contexts.get_mut(ctx) {
                subscriber.keep(msg.share(), ctx, fx);
            }
        }
        if let Some(subscriber) = self.contexts.get_mut(last) {
            subscriber.keep(msg, last, fx);
        }
        true
    }

    /// Lets the peer go on whose turn it is, if nobody stops it any more.
    fn read_on(&mut self, fx: &mut impl Effects) {
        self.paused.resume_next(self.full.is_empty(), fx);
    }
}

impl Engine for Sub {
    const SELF: ProtocolId = ProtocolId::SUB;
    const PEER: ProtocolId = ProtocolId::PUB;
    type Options = SubOptions;

    fn new(options: SubOptions, _seed: u64) -> Self {
        Self {
            contexts: Contexts::new(Subscriber::new(&options)),
            may_block: options.when_full == WhenFull::Block,
            options,
            subscribed: Line::new(),
            topics: Topics::new(),
            wanting: Vec::new(),
            full: Line::new(),
            paused: Paused::new(),
        }
    }

    fn opened(&mut self, _peer: PeerId, _fx: &mut impl Effects) -> Result<(), CloseReason> {
        Ok(())
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.paused.closed(peer, self.full.is_empty(), fx);
    }

    fn room(&mut self, _peer: PeerId, _fx: &mut impl Effects) {}

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        let before = batch.len();
        if let Some(only) = self.subscribed.only()
            && let Some(subscriber) = self.contexts.get_mut(only)
        {
            subscriber.take_from(peer, batch, only, fx);
        }
        // What one alone has left is looked at like what comes for several.
        self.hand_out_all(peer, batch, fx);
        if batch.is_empty() {
            return self.paused.emptied(peer, self.full.is_empty(), fx);
        }
        self.paused.stopped(peer, before.saturating_sub(batch.len()))
    }

    fn close_ctx(&mut self, ctx: CtxId, fx: &mut impl Effects) {
        let fresh = Subscriber::new(&self.options);
        let Some(ended) = self.contexts.close(ctx, fresh) else { return };
        for topic in ended.topics.iter() {
            self.topics.remove(topic, ctx);
        }
        self.subscribed.remove(ctx);
        fx.count_times(Counter::Unwanted, ended.messages.len());
        fx.wake_recv(ctx);
        self.full.remove(ctx);
        self.read_on(fx);
    }
}

impl RecvEngine for Sub {
    fn try_recv(
        &mut self,
        ctx: CtxId,
        into: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), RecvBlocked> {
        let subscriber = self.contexts.get_mut(ctx).ok_or(RecvBlocked::State)?;
        let received = subscriber.messages.pop_into(into);
        if subscriber.when_full == WhenFull::Block {
            if subscriber.messages.is_half_free() {
                self.full.remove(ctx);
            }
            self.read_on(fx);
        }
        if received { Ok(()) } else { Err(RecvBlocked::Empty) }
    }
}

impl FeedEngine for Sub {}

impl ContextEngine for Sub {
    fn open_ctx(&mut self) -> CtxId {
        self.contexts.open(Subscriber::new(&self.options))
    }
}

impl TunableEngine for Sub {
    fn open_ctx_with(&mut self, options: SubOptions) -> CtxId {
        self.may_block |= options.when_full == WhenFull::Block;
        self.contexts.open(Subscriber::new(&options))
    }
}

/// What can be set of a [`Sub`], and of each of its contexts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubOptions {
    limit: Limit,
    when_full: WhenFull,
}

impl SubOptions {
    /// The defaults: 1,024 messages or 16 MiB wait, and the oldest make way.
    pub const fn new() -> Self {
        let limit = Limit::new(DEFAULTS.recv_queue_messages);
        Self { limit, when_full: WhenFull::DropOldest }
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

    /// What happens when the queue is full.
    ///
    /// All contexts of a socket share its connections: one that blocks and is not read holds up the others.
    #[must_use]
    pub const fn when_full(self, when_full: WhenFull) -> Self {
        Self { when_full, ..self }
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
        write!(f, "{}, when_full {}", self.limit, self.when_full)
    }
}

#[cfg(test)]
mod tests;
