//! One context of a SUB: what it wants and what has come.

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;

use super::SubOptions;
use crate::engine::prefixes::Prefixes;
use crate::engine::queue::Queue;
use crate::engine::{Counter, Effects};

/// A context's topics and queue.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) topics: Prefixes,
    pub(super) messages: Queue,
    prefer_new: bool,
    /// Messages dropped for want of room and not told yet.
    pub(super) missed: u64,
}

impl Subscriber {
    pub(super) fn new(options: &SubOptions) -> Self {
        Self {
            topics: Prefixes::new(),
            messages: Queue::new(options.limit),
            prefer_new: options.prefer_new,
            missed: 0,
        }
    }

    /// Empties `batch`; what no topic matches is dropped.
    pub(super) fn take_from(
        &mut self,
        peer: PeerId,
        batch: &mut Batch,
        ctx: CtxId,
        fx: &mut impl Effects,
    ) {
        if self.topics.match_all() {
            // As many as fit at once, at no cost for each.
            let kept = self.messages.take_from(batch);
            wake_recv(ctx, kept, fx);
        }
        let mut unwanted = 0_usize;
        while let Some(msg) = batch.pop() {
            if self.topics.matches(msg.body()) {
                self.keep(msg, ctx, fx);
            } else {
                unwanted = unwanted.saturating_add(1);
            }
        }
        fx.count_for(peer, Counter::Unwanted, unwanted);
    }

    /// Keeps a message for the next receive, or drops what has to make way.
    pub(super) fn keep(&mut self, msg: Message, ctx: CtxId, fx: &mut impl Effects) {
        let mut drop_one = |msg: &Message| match msg.source() {
            Some(peer) => fx.count_for(peer, Counter::DroppedOnReceive, 1),
            None => fx.count(Counter::DroppedOnReceive),
        };
        let dropped = if self.prefer_new {
            self.messages.push_dropping_oldest(msg, drop_one)
        } else {
            usize::from(self.messages.push(msg).inspect_err(|msg| drop_one(msg)).is_err())
        };
        self.missed = self.missed.saturating_add(dropped as u64);
        wake_recv(ctx, 1, fx);
    }

    /// Drops messages that no topic matches any more.
    pub(super) fn drop_unwanted(&mut self, fx: &mut impl Effects) {
        let topics = &self.topics;
        let unwanted = self.messages.retain(|msg| topics.matches(msg.body()));
        fx.count_times(Counter::Unwanted, unwanted);
    }
}

/// Wakes as many receives as wait, at most `messages`.
fn wake_recv(ctx: CtxId, messages: usize, fx: &mut impl Effects) {
    for _ in 0..messages {
        if !fx.recv_waits(ctx) {
            break;
        }
        fx.wake_recv(ctx);
    }
}
