//! What has come in and waits to be received, and whose turn it is to bring more.

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_core::pipe::Flow;

use super::line::Line;
use super::queue::{Limit, Queue};
use super::waiters::Waiters;
use super::{Counter, Effects, RecvBlocked};

/// One bounded queue for what all peers send.
///
/// A peer whose batch does not fit is paused; once half of the queue is free, paused peers go on one after the other,
/// so that a flood from one does not keep out the rest.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: Queue,
    /// Peers told to stop, longest first.
    paused: Line<PeerId>,
    /// Peers let go that have not brought anything yet.
    let_go: Line<PeerId>,
    receivers: Waiters,
}

impl Inbox {
    /// Nothing yet; allocates nothing.
    pub(crate) fn new(limit: Limit) -> Self {
        Self {
            queue: Queue::new(limit),
            paused: Line::new(),
            let_go: Line::new(),
            receivers: Waiters::new(),
        }
    }

    /// Takes what fits from the front of `batch`.
    pub(crate) fn arrived(
        &mut self,
        peer: PeerId,
        batch: &mut Batch,
        fx: &mut impl Effects,
    ) -> Flow {
        let taken = self.queue.take_from(batch);
        self.receivers.wake_recv(taken, fx);
        self.read_on(peer, taken, batch, fx)
    }

    /// Takes what fits from the front of `batch`, and says how many. `keep` may change each, and says whether it is
    /// one to be received.
    ///
    /// To be followed by [`read_on`](Self::read_on), unless the rest is dropped.
    pub(crate) fn take<F: Effects>(
        &mut self,
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
        arrived.saturating_sub(batch.len())
    }

    /// Takes what fits from the front of `batch`; the rest is dropped and counted.
    pub(crate) fn keep_what_fits(
        &mut self,
        peer: PeerId,
        batch: &mut Batch,
        fx: &mut impl Effects,
    ) {
        let kept = self.queue.take_from(batch);
        self.receivers.wake_recv(kept, fx);
        fx.count_for(peer, Counter::DroppedOnReceive, batch.len());
        batch.clear();
    }

    /// Whether `peer`, of which `taken` messages were taken, is read on.
    pub(crate) fn read_on(
        &mut self,
        peer: PeerId,
        taken: usize,
        batch: &Batch,
        fx: &mut impl Effects,
    ) -> Flow {
        let had_its_turn = self.let_go.remove(peer);
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

    /// Takes the next message into `into`, or leaves that alone and notes that `ctx` may wait.
    pub(crate) fn try_recv(
        &mut self,
        ctx: CtxId,
        into: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), RecvBlocked> {
        let received = self.queue.pop_into(into);
        self.resume_next(fx);
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
        self.paused.remove(peer);
        self.let_go.remove(peer);
        // It may have been the one whose turn it was.
        self.resume_next(fx);
    }

    /// Lets the peer go on that has been paused longest, if half of the queue is free.
    ///
    /// One at a time: what it brings is followed by another call of this, by its arrival or its end.
    fn resume_next(&mut self, fx: &mut impl Effects) {
        if self.queue.is_half_free()
            && let Some(peer) = self.paused.pop()
        {
            self.let_go.push(peer);
            fx.resume(peer);
        }
    }
}
