//! An engine's effects on the real world.
//!
//! Of all effects only `transmit` acts at once, for it fixes the order on the pipe. The rest is collected under
//! the socket's lock and carried out after it is released.

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Instant;

use sp_core::clock;
use sp_core::foreign::guarded;
use sp_core::held::Held;
use sp_core::id::{CtxId, IdMap, PeerId, TimerKey};
use sp_core::message::Message;
use sp_core::pipe::{Backlog, CloseReason, Flush, Pipe};
use sp_core::registry::Peer;
use sp_transport::{Broadcast, Driver};

use super::wait::{Side, Waiters};
use crate::engine::{Counter, Effects};

/// A peer as its socket sees it on the hot path.
pub(crate) struct Line {
    /// The pipe is what is attached to it.
    pub(crate) peer: Arc<Peer<Arc<dyn Pipe>>>,
    /// What the pipe gathers while messages stream.
    pub(crate) held: Held,
    /// The socket has it in its list of pipes that may hold something.
    listed: bool,
    /// What the engine has counted for this peer, as a rule nothing.
    pub(crate) counts: Option<Box<Counts>>,
}

impl Line {
    pub(crate) const fn new(peer: Arc<Peer<Arc<dyn Pipe>>>) -> Self {
        Self { peer, held: Held::new(), listed: false, counts: None }
    }

    pub(crate) fn pipe(&self) -> &Arc<dyn Pipe> {
        self.peer.attached()
    }

    /// Queues a message on the pipe.
    fn queue(&mut self, msg: &mut Message, deferred: &mut Deferred) {
        let pipe = self.peer.attached();
        if pipe.queue(msg, &mut self.held) {
            deferred.flush(pipe);
        }
    }

    /// Bytes that wait to be sent.
    pub(crate) fn unsent(&self) -> usize {
        self.pipe().unsent() + self.held.unsent()
    }

    /// Lets the pipe take over what is held for it.
    pub(crate) fn commit(&mut self, deferred: &mut Deferred) {
        let pipe = self.peer.attached();
        if pipe.commit(&mut self.held) {
            deferred.flush(pipe);
        }
    }
}

/// Every pipe of a socket, and which of them may hold something.
pub(crate) struct Lines {
    pub(crate) all: IdMap<PeerId, Line>,
    holding: Vec<PeerId>,
    /// Peers that get what is broadcast one by one.
    audience: Vec<PeerId>,
    /// Something was broadcast since the last hurry.
    has_broadcast: bool,
    /// Where the others read along.
    driver: Arc<Driver>,
}

impl Lines {
    pub(crate) const fn new(driver: Arc<Driver>) -> Self {
        Self {
            all: IdMap::new(),
            holding: Vec::new(),
            audience: Vec::new(),
            has_broadcast: false,
            driver,
        }
    }

    pub(crate) fn remove(&mut self, peer: PeerId) -> Option<Line> {
        self.leave(peer);
        self.all.remove(peer)
    }

    fn leave(&mut self, peer: PeerId) {
        self.audience.retain(|other| *other != peer);
    }

    /// Queues a message for a peer that gets broadcasts one by one.
    fn queue(&mut self, peer: PeerId, msg: &mut Message, deferred: &mut Deferred) {
        if let Some(line) = self.all.get_mut(peer) {
            line.queue(msg, deferred);
        }
    }

    /// Lets everything leave that is held or was broadcast, now: the caller has nothing to add for the moment.
    #[inline]
    pub(crate) fn hurry(&mut self, deferred: &mut Deferred) {
        if mem::take(&mut self.has_broadcast) {
            self.hurry_broadcasts(deferred);
        }
        for peer in self.holding.drain(..) {
            let Some(line) = self.all.get_mut(peer) else { continue };
            line.listed = false;
            let pipe = line.peer.attached();
            pipe.commit(&mut line.held);
            deferred.lists().urgent.push(Arc::clone(pipe));
        }
    }

    fn hurry_broadcasts(&self, deferred: &mut Deferred) {
        let lists = deferred.lists();
        if let Some(broadcast) = self.driver.broadcast() {
            lists.broadcast = Some((Arc::clone(broadcast), Flush::Urgent));
        }
        let audience = self.audience.iter().filter_map(|peer| self.all.get(*peer));
        lists.urgent.extend(audience.map(|line| Arc::clone(line.pipe())));
    }

    /// Bytes that wait to be sent.
    pub(crate) fn unsent(&self) -> usize {
        self.all.iter().map(|(_, line)| line.unsent()).sum()
    }
}

/// Engine counters, bumped under the socket's lock and read without it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    counts: [AtomicU64; Counter::ALL.len()],
}

impl Counts {
    fn bump(&self, what: Counter, times: usize) {
        let Some(at) = Counter::ALL.iter().position(|counter| *counter == what) else { return };
        self.counts[at].fetch_add(times as u64, Ordering::Relaxed);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Counter::ALL.into_iter().zip(counts)
    }
}

/// The effects of one engine call.
pub(crate) struct Live<'a> {
    pub(crate) lines: &'a mut Lines,
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
        self.lines.all.get(peer).is_some_and(|line| line.pipe().room())
    }

    fn transmit(&mut self, peer: PeerId, msg: &mut Message) {
        let Lines { all, holding, .. } = &mut *self.lines;
        let Some(line) = all.get_mut(peer) else { return };
        line.peer.count_sent(1, msg.payload_len() as u64);
        line.queue(msg, self.deferred);
        if !line.listed && !line.held.is_empty() {
            line.listed = true;
            holding.push(peer);
        }
    }

    fn join(&mut self, peer: PeerId, limit: Backlog) {
        let Some(line) = self.lines.all.get(peer) else { return };
        if !line.pipe().join(peer, limit) && !self.lines.audience.contains(&peer) {
            self.lines.audience.push(peer);
        }
    }

    fn leave(&mut self, peer: PeerId) {
        if let Some(line) = self.lines.all.get(peer) {
            line.pipe().leave();
            self.lines.leave(peer);
        }
    }

    fn slow(&mut self) -> Option<PeerId> {
        let reading_along = self.lines.driver.broadcast().and_then(|broadcast| broadcast.slow());
        reading_along.or_else(|| {
            let mut audience = self.lines.audience.iter().copied();
            audience.find(|peer| !self.room(*peer))
        })
    }

    fn drop_oldest(&mut self, peer: PeerId) -> usize {
        self.lines.all.get(peer).map_or(0, |line| line.pipe().drop_oldest())
    }

    fn waiting(&self, peer: PeerId) -> u64 {
        self.lines.all.get(peer).map_or(0, |line| line.pipe().standing().waiting)
    }

    fn broadcast(&mut self, msg: &mut Message) {
        self.lines.has_broadcast = true;
        if let Some(broadcast) = self.lines.driver.broadcast()
            && broadcast.publish(msg)
        {
            self.deferred.lists().broadcast = Some((Arc::clone(broadcast), Flush::Now));
        }
        let audience = mem::take(&mut self.lines.audience);
        if let Some((last, others)) = audience.split_last() {
            // Each but the last gets a share; so a single subscriber gets the message itself.
            for peer in others {
                self.lines.queue(*peer, &mut msg.share(), self.deferred);
            }
            self.lines.queue(*last, msg, self.deferred);
        }
        self.lines.audience = audience;
    }

    fn resume(&mut self, peer: PeerId) {
        if let Some(line) = self.lines.all.get(peer) {
            self.deferred.lists().resume.push(Arc::clone(line.pipe()));
        }
    }

    fn close(&mut self, peer: PeerId, why: CloseReason) {
        if let Some(line) = self.lines.all.get(peer) {
            self.deferred.lists().close.push((Arc::clone(line.pipe()), why));
        }
    }

    fn wake_recv(&mut self, ctx: CtxId) {
        if let Some(waker) = self.waiters.pop(ctx, Side::Recv) {
            self.deferred.wake(waker);
        }
    }

    fn wake_send(&mut self, ctx: CtxId) {
        if let Some(waker) = self.waiters.pop(ctx, Side::Send) {
            self.deferred.wake(waker);
        }
    }

    fn recv_waits(&self, ctx: CtxId) -> bool {
        self.waiters.waits(ctx, Side::Recv)
    }

    fn send_waits(&self, ctx: CtxId) -> bool {
        self.waiters.waits(ctx, Side::Send)
    }

    fn arm(&mut self, key: TimerKey, at: Instant) {
        self.deferred.lists().arm.push((key, at));
    }

    fn count(&mut self, what: Counter) {
        self.counts.bump(what, 1);
    }

    fn count_times(&mut self, what: Counter, times: usize) {
        if times > 0 {
            self.counts.bump(what, times);
        }
    }

    fn count_for(&mut self, peer: PeerId, what: Counter, times: usize) {
        if times > 0 {
            self.counts.bump(what, times);
            if let Some(line) = self.lines.all.get_mut(peer) {
                line.counts.get_or_insert_default().bump(what, times);
            }
        }
    }
}

/// What is left to do once the socket's lock is released. Most calls leave nothing, one pipe or one waker, and touch no
/// list: in a conversation that is a tenth of all instructions.
#[derive(Default)]
pub(crate) struct Deferred {
    /// The first pipe to flush; others are in the lists.
    flush: Option<Arc<dyn Pipe>>,
    /// The first to wake; others are in the lists.
    wake: Option<Waker>,
    lists: Option<Box<Lists>>,
}

#[derive(Default)]
struct Lists {
    broadcast: Option<(Arc<Broadcast>, Flush)>,
    urgent: Vec<Arc<dyn Pipe>>,
    flush: Vec<Arc<dyn Pipe>>,
    resume: Vec<Arc<dyn Pipe>>,
    close: Vec<(Arc<dyn Pipe>, CloseReason)>,
    arm: Vec<(TimerKey, Instant)>,
    wake: Vec<Waker>,
}

thread_local! {
    /// Lists not in use, with the room they have. More than one when a flush leads to another engine call.
    #[expect(clippy::vec_box, reason = "a list of lists is taken and put back: moved by pointer")]
    static SPARE: RefCell<Vec<Box<Lists>>> = const { RefCell::new(Vec::new()) };
}

impl Deferred {
    pub(crate) const fn new() -> Self {
        Self { flush: None, wake: None, lists: None }
    }

    pub(crate) fn wake(&mut self, waker: Waker) {
        if self.wake.is_none() {
            self.wake = Some(waker);
        } else {
            self.lists().wake.push(waker);
        }
    }

    /// Carries everything out; `arm` gets the timers. Answers how many wakers panicked.
    #[inline]
    pub(crate) fn run(self, arm: impl Fn(TimerKey, Instant)) -> u64 {
        let Self { flush, wake, lists } = self;
        if let Some(lists) = lists {
            return lists.carry_out(flush, wake, arm);
        }
        if let Some(pipe) = flush {
            pipe.flush(Flush::Now);
        }
        wake.map_or(0, |waker| u64::from(guarded(|| waker.wake()).is_err()))
    }

    fn flush(&mut self, pipe: &Arc<dyn Pipe>) {
        let Some(first) = &self.flush else {
            self.flush = Some(Arc::clone(pipe));
            return;
        };
        if !Arc::ptr_eq(first, pipe) {
            let others = &mut self.lists().flush;
            if !others.last().is_some_and(|last| Arc::ptr_eq(last, pipe)) {
                others.push(Arc::clone(pipe));
            }
        }
    }

    fn lists(&mut self) -> &mut Lists {
        self.lists.get_or_insert_with(|| {
            SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten().unwrap_or_default()
        })
    }
}

impl Lists {
    /// `first` and `wake` come before what is in the lists for the same.
    fn carry_out(
        mut self: Box<Self>,
        first: Option<Arc<dyn Pipe>>,
        wake: Option<Waker>,
        arm: impl Fn(TimerKey, Instant),
    ) -> u64 {
        if let Some((broadcast, how)) = self.broadcast.take() {
            broadcast.flush(how);
        }
        self.urgent.drain(..).for_each(|pipe| pipe.flush(Flush::Urgent));
        for (nth, pipe) in first.into_iter().chain(self.flush.drain(..)).enumerate() {
            // Each direct write costs as much as waking the worker: past a few it writes the rest.
            pipe.flush(if nth < DIRECT_PIPES_MAX { Flush::Now } else { Flush::Soon });
        }
        self.resume.drain(..).for_each(|pipe| pipe.resume());
        self.close.drain(..).for_each(|(pipe, why)| pipe.close(why));
        self.arm.drain(..).for_each(|(key, at)| arm(key, at));
        let wake = wake.into_iter().chain(self.wake.drain(..));
        let panics = wake.filter_map(|waker| guarded(|| waker.wake()).err()).count();
        // A thread that is ending has no spare lists any more.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(self);
            }
        });
        panics as u64
    }
}

/// Pipes one call writes by itself.
const DIRECT_PIPES_MAX: usize = 4;

/// Lists a thread keeps: calls nest by as many sockets as one message passes in the process.
const SPARE_MAX: usize = 4;
