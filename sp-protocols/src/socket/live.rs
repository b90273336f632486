//! An engine's effects on the real world.
//!
//! Of all effects only `transmit` acts at once, for it fixes the order on the pipe. The rest is collected under
//! the socket's lock and carried out after it is released.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Instant;

use sp_core::clock;
use sp_core::id::{CtxId, IdMap, PeerId, TimerKey};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flush, Pipe};
use sp_core::registry::Peer;

use super::wait::{Side, Waiters};
use crate::engine::{Counter, Effects};

/// A peer as its socket sees it on the hot path.
pub(crate) struct Line {
    pub(crate) pipe: Arc<dyn Pipe>,
    pub(crate) peer: Arc<Peer<Arc<dyn Pipe>>>,
}

/// Engine counters, bumped under the socket's lock and read without it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    counts: [AtomicU64; Counter::ALL.len()],
}

impl Counts {
    fn bump(&self, what: Counter) {
        let Some(at) = Counter::ALL.iter().position(|counter| *counter == what) else { return };
        self.counts[at].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Counter::ALL.into_iter().zip(counts)
    }
}

/// The effects of one engine call.
pub(crate) struct Live<'a> {
    pub(crate) lines: &'a IdMap<PeerId, Line>,
    pub(crate) waiters: &'a mut Waiters,
    pub(crate) counts: &'a Counts,
    pub(crate) deferred: &'a mut Deferred,
    pub(crate) now: Option<Instant>,
}

impl Effects for Live<'_> {
    fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(clock::now)
    }

    fn room(&self, peer: PeerId) -> bool {
        self.lines.get(peer).is_some_and(|line| line.pipe.room())
    }

    fn transmit(&mut self, peer: PeerId, msg: Message) {
        let Some(line) = self.lines.get(peer) else { return };
        line.peer.count_sent(1, msg.payload_len() as u64);
        if line.pipe.queue(msg) {
            self.deferred.flush(&line.pipe);
        }
    }

    fn resume(&mut self, peer: PeerId) {
        if let Some(line) = self.lines.get(peer) {
            self.deferred.resume.push(Arc::clone(&line.pipe));
        }
    }

    fn close(&mut self, peer: PeerId, why: CloseReason) {
        if let Some(line) = self.lines.get(peer) {
            self.deferred.close.push((Arc::clone(&line.pipe), why));
        }
    }

    fn wake_recv(&mut self, ctx: CtxId) {
        self.deferred.wake.extend(self.waiters.pop(ctx, Side::Recv));
    }

    fn wake_send(&mut self, ctx: CtxId) {
        self.deferred.wake.extend(self.waiters.pop(ctx, Side::Send));
    }

    fn recv_waits(&self, ctx: CtxId) -> bool {
        self.waiters.waits(ctx, Side::Recv)
    }

    fn send_waits(&self, ctx: CtxId) -> bool {
        self.waiters.waits(ctx, Side::Send)
    }

    fn arm(&mut self, key: TimerKey, at: Instant) {
        self.deferred.arm.push((key, at));
    }

    fn count(&mut self, what: Counter) {
        self.counts.bump(what);
    }
}

/// What is left to do once the socket's lock is released.
#[derive(Default)]
pub(crate) struct Deferred {
    flush: Vec<Arc<dyn Pipe>>,
    resume: Vec<Arc<dyn Pipe>>,
    close: Vec<(Arc<dyn Pipe>, CloseReason)>,
    arm: Vec<(TimerKey, Instant)>,
    wake: Vec<Waker>,
}

thread_local! {
    /// Lists not in use, with the room they have. More than one when a flush leads to another engine call.
    #[expect(clippy::vec_box, reason = "a list of lists is taken and put back with every call: moved by pointer")]
    static SPARE: RefCell<Vec<Box<Deferred>>> = const { RefCell::new(Vec::new()) };
}

impl Deferred {
    pub(crate) fn take() -> Box<Self> {
        SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten().unwrap_or_default()
    }

    pub(crate) fn wake(&mut self, waker: Waker) {
        self.wake.push(waker);
    }

    /// Carries everything out; `arm` gets the timers.
    pub(crate) fn run(mut self: Box<Self>, arm: impl Fn(TimerKey, Instant)) {
        if !self.is_empty() {
            self.carry_out(arm);
        }
        // A thread that is ending has no spare lists any more.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(self);
            }
        });
    }

    fn is_empty(&self) -> bool {
        let Self { flush, resume, close, arm, wake } = self;
        flush.is_empty()
            && wake.is_empty()
            && resume.is_empty()
            && close.is_empty()
            && arm.is_empty()
    }

    fn carry_out(&mut self, arm: impl Fn(TimerKey, Instant)) {
        for (nth, pipe) in self.flush.drain(..).enumerate() {
            // Each direct write costs as much as waking the worker: past a few it writes the rest.
            pipe.flush(if nth < DIRECT_PIPES_MAX { Flush::Now } else { Flush::Soon });
        }
        self.resume.drain(..).for_each(|pipe| pipe.resume());
        self.close.drain(..).for_each(|(pipe, why)| pipe.close(why));
        self.arm.drain(..).for_each(|(key, at)| arm(key, at));
        self.wake.drain(..).for_each(Waker::wake);
    }

    fn flush(&mut self, pipe: &Arc<dyn Pipe>) {
        if !self.flush.last().is_some_and(|last| Arc::ptr_eq(last, pipe)) {
            self.flush.push(Arc::clone(pipe));
        }
    }
}

/// Pipes one call writes by itself.
const DIRECT_PIPES_MAX: usize = 4;

/// Lists a thread keeps: calls nest by as many sockets as one message passes in the process.
const SPARE_MAX: usize = 4;
