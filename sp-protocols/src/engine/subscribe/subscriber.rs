//! One context of a SUB: what it wants and what has come.

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;

use super::SubOptions;
use crate::engine::inbox::count_dropped;
use crate::engine::prefixes::Prefixes;
use crate::engine::queue::Queue;
use crate::engine::{Counter, Effects, WhenFull};

/// A context's topics and queue.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) topics: Prefixes,
    pub(super) messages: Queue,
    pub(super) when_full: WhenFull,
    /// Messages dropped for want of room and not told yet.
    pub(super) missed: u64,
}

impl Subscriber {
    pub(super) fn new(options: &SubOptions) -> Self {
        Self {
            topics: Prefixes::new(),
            messages: Queue::new(options.limit),
            when_full: options.when_full,
            missed: 0,
        }
    }

    /// Empties `batch`, or as much of it as there is room for; what no topic matches is dropped.
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
        while let Some(first) = batch.first() {
            let is_wanted = self.topics.matches(first.body());
            if is_wanted && self.is_blocked() {
                break;
            }
            match batch.pop() {
                Some(msg) if is_wanted => self.keep(msg, ctx, fx),
                _ => unwanted = unwanted.saturating_add(1),
            }
        }
        fx.count_for(peer, Counter::Unwanted, unwanted);
    }

    /// Whether what it wants has to wait where it is.
    pub(super) fn is_blocked(&self) -> bool {
        self.when_full == WhenFull::Block && self.messages.is_full()
    }

    /// Keeps a message for the next receive, or drops what has to make way.
    pub(super) fn keep(&mut self, msg: Message, ctx: CtxId, fx: &mut impl Effects) {
        let mut drop_one = |msg: &Message| count_dropped(msg, fx);
        let dropped = match self.when_full {
            WhenFull::DropOldest => self.messages.push_dropping_oldest(msg, drop_one),
            // Where it blocks there is room.
            WhenFull::DropNewest | WhenFull::Block => {
                usize::from(self.messages.push(msg).inspect_err(|msg| drop_one(msg)).is_err())
            }
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
