//! What has come in and waits to be received, and whose turn it is to bring more.

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_core::pipe::Flow;

use super::paused::Paused;
use super::queue::{Limit, Queue, WhenFull};
use super::waiters::Waiters;
use super::{Counter, Effects, RecvBlocked};

/// One bounded queue for what all peers send.
///
/// Where it is to [block](WhenFull::Block), a peer whose batch does not fit is paused; once half of the queue is free,
/// paused peers go on one after the other.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: Queue,
    when_full: WhenFull,
    paused: Paused,
    receivers: Waiters,
}

impl Inbox {
    /// Nothing yet; allocates nothing.
    pub(crate) fn new(when_full: WhenFull, limit: Limit) -> Self {
        Self {
            queue: Queue::new(limit),
            when_full,
            paused: Paused::new(),
            receivers: Waiters::new(),
        }
    }

    /// Takes what fits from the front of `batch`, and does with the rest what it is to do when full.
    pub(crate) fn arrived(
        &mut self,
        peer: PeerId,
        batch: &mut Batch,
        fx: &mut impl Effects,
    ) -> Flow {
        let taken = self.queue.take_from(batch);
        self.receivers.wake_recv(taken, fx);
        self.overflow(peer, batch, fx);
        self.read_on(peer, taken, batch, fx)
    }

    /// As [`arrived`](Self::arrived), for messages of which `keep` may change each, and says whether it is one to be
    /// received. It sees each once, in order, before anything becomes of it.
    ///
    /// Answers how many were taken from the front, to be followed by [`read_on`](Self::read_on).
    pub(crate) fn take<F: Effects>(
        &mut self,
        peer: PeerId,
        batch: &mut Batch,
        mut keep: impl FnMut(&mut Message, &mut F) -> bool,
        fx: &mut F,
    ) -> usize {
        let (before, arrived) = (self.queue.len(), batch.len());
        // What is not kept leaves room for more.
        while !batch.is_empty() && !self.queue.is_full() {
            let start = self.queue.len();
            self.queue.take_from(batch);
            self.queue.retain_from(start, |msg| keep(msg, fx));
        }
        self.receivers.wake_recv(self.queue.len().saturating_sub(before), fx);
        let taken = arrived.saturating_sub(batch.len());
        if self.when_full != WhenFull::Block {
            batch.retain_from(0, |msg| keep(msg, fx));
        }
        self.overflow(peer, batch, fx);
        taken
    }

    /// Does with what found no room what is to be done.
    fn overflow(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) {
        match self.when_full {
            WhenFull::Block => {}
            WhenFull::DropNewest => {
                fx.count_for(peer, Counter::DroppedOnReceive, batch.len());
                batch.clear();
            }
            WhenFull::DropOldest => {
                while let Some(msg) = batch.pop() {
                    self.queue.push_dropping_oldest(msg, |msg| count_dropped(msg, fx));
                    self.receivers.wake_recv(1, fx);
                }
            }
        }
    }

    /// Whether `peer`, of which `taken` messages were taken, is read on.
    pub(crate) fn read_on(
        &mut self,
        peer: PeerId,
        taken: usize,
        batch: &Batch,
        fx: &mut impl Effects,
    ) -> Flow {
        if batch.is_empty() {
            return self.paused.emptied(peer, self.queue.is_half_free(), fx);
        }
        self.paused.stopped(peer, taken)
    }

    /// Takes the next message into `into`, or leaves that alone and notes that `ctx` may wait.
    pub(crate) fn try_recv(
        &mut self,
        ctx: CtxId,
        into: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), RecvBlocked> {
        let received = self.queue.pop_into(into);
        self.paused.resume_next(self.queue.is_half_free(), fx);
        if received {
            return Ok(());
        }
        self.receivers.add(ctx);
        Err(RecvBlocked::Empty)
    }

    /// A receive that waited gave up.
    pub(crate) fn recv_abandoned(&mut self, fx: &mut impl Effects) {
        // It may have been the one that was woken.
        if !self.queue.is_empty() {
            self.receivers.wake_recv(1, fx);
        }
    }

    /// Nothing more comes from `peer`. What came stays.
    pub(crate) fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.paused.closed(peer, self.queue.is_half_free(), fx);
    }
}

/// A message had to make way.
pub(crate) fn count_dropped(msg: &Message, fx: &mut impl Effects) {
    match msg.source() {
        Some(peer) => fx.count_for(peer, Counter::DroppedOnReceive, 1),
        None => fx.count(Counter::DroppedOnReceive),
    }
}
