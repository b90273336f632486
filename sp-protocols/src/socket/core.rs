//! A socket's state behind its lock, and what its connections tell it.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use sp_core::batch::Batch;
use sp_core::clock;
use sp_core::config::Config;
use sp_core::datagram::Lost;
use sp_core::endpoint::Endpoint;
use sp_core::foreign::{Panicked, guarded};
use sp_core::id::{CtxId, PeerId, SocketId, TimerKey};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, Flush, Pipe, PipeEvents, PipeInfo, ProtocolId};
use sp_core::registry::{Peer, PeerAddr, PeerRegistry, PeerState, Traffic, conns, next_socket_id};
use sp_core::stats::Stats;
use sp_core::sync::{Mutex, lock};
use sp_transport::{Driver, Lingering, Owner, Runtime};

use super::admission::{Admission, Admit};
use super::error::OpenError;
use super::live::{Counts, Deferred, Line, Lines, Live};
use super::lookout::Lookout;
use super::monitor::{Monitor, PipeEvent};
use super::strays::Strays;
use super::wait::{Side, Waiters};
use crate::engine::{Counter, Effects, Engine, Options};

/// One socket, shared by its handles, its connections and its endpoints.
pub(crate) struct Shared<E: Engine> {
    pub(crate) id: SocketId,
    core: Mutex<Core<E>>,
    pub(crate) peers: PeerRegistry<Arc<dyn Pipe>>,
    pub(crate) driver: Arc<Driver>,
    /// Given back when the socket has ended.
    runtime: Mutex<Option<Arc<Runtime>>>,
    pub(crate) monitor: Monitor,
    pub(crate) lookout: Lookout,
    pub(crate) counts: Counts,
    /// Whom to ask about new connections.
    admission: Mutex<Option<Arc<Admit>>>,
    /// Peers turned away, attempts that failed.
    pub(crate) refused: AtomicU64,
    /// Panics of the program's own code, wakers and admission, that ended here.
    pub(crate) panics: AtomicU64,
    pub(crate) strays: Strays,
    /// What passed between this socket and the peers that are gone.
    past: Mutex<Traffic>,
    options: E::Options,
    /// It stands for a socket of the process that forked this one, and was never open.
    pub(crate) is_forked: bool,
    /// Where timers report.
    me: Weak<Self>,
}

/// What the socket's lock guards.
pub(crate) struct Core<E> {
    pub(crate) engine: E,
    pub(crate) lines: Lines,
    pub(crate) waiters: Waiters,
    /// What had been handed out and came back, to be received before anything else.
    pub(crate) returned: VecDeque<Message>,
    pub(crate) closed: bool,
}

impl<E: Engine> Shared<E> {
    pub(crate) fn open(options: E::Options) -> Result<Arc<Self>, OpenError> {
        options.check()?;
        let failed = |source| OpenError::System { protocol: E::SELF, source };
        let runtime = Runtime::acquire().map_err(failed)?;
        let driver = runtime.driver(Config::new().spin, E::ASKS).map_err(failed)?;
        let core = Core {
            engine: E::new(options.clone(), seed()),
            lines: Lines::new(Arc::clone(&driver)),
            waiters: Waiters::new(),
            returned: VecDeque::new(),
            closed: false,
        };
        Ok(Arc::new_cyclic(|me| Self {
            id: next_socket_id(),
            core: Mutex::new(core),
            peers: PeerRegistry::new(),
            driver,
            runtime: Mutex::new(Some(runtime)),
            monitor: Monitor::default(),
            lookout: Lookout::default(),
            counts: Counts::default(),
            admission: Mutex::new(None),
            refused: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            strays: Strays::default(),
            past: Mutex::default(),
            options,
            is_forked: false,
            me: me.clone(),
        }))
    }

    /// What a forked child has instead of this socket, which it cannot use: every lock may be held by a thread that
    /// only the parent has, and every descriptor is the parent's too. Touches neither.
    #[cold]
    pub(crate) fn closed_in_child(&self) -> Arc<Self> {
        let driver = self.driver.ended();
        let core = Core {
            engine: E::new(self.options.clone(), 0),
            lines: Lines::new(Arc::clone(&driver)),
            waiters: Waiters::new(),
            returned: VecDeque::new(),
            closed: true,
        };
        Arc::new(Self {
            id: self.id,
            core: Mutex::new(core),
            peers: PeerRegistry::new(),
            driver,
            runtime: Mutex::new(None),
            monitor: Monitor::ended(),
            lookout: Lookout::default(),
            counts: Counts::default(),
            admission: Mutex::new(None),
            refused: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            strays: Strays::default(),
            past: Mutex::default(),
            options: self.options.clone(),
            is_forked: true,
            me: Weak::new(),
        })
    }

    /// Runs `call` on the engine under the lock, then carries out its effects without it.
    #[inline]
    pub(crate) fn step<R>(&self, call: impl FnOnce(&mut Core<E>, &mut Deferred) -> R) -> R {
        let mut deferred = Deferred::new();
        let result = call(&mut lock(&self.core), &mut deferred);
        let panics = deferred.run(|key, at| self.arm(key, at));
        if panics > 0 {
            self.panics.fetch_add(panics, Ordering::Relaxed);
        }
        result
    }

    /// As [`step`](Self::step), for news from outside: the program's own loop, if there is one, hears of it.
    fn news<R>(&self, call: impl FnOnce(&mut Core<E>, &mut Deferred) -> R) -> R {
        let result = self.step(call);
        self.driver.announce();
        result
    }

    /// As [`step`](Self::step), for what goes through the engine with effects.
    pub(crate) fn engine<R>(&self, call: impl FnOnce(&mut E, &mut Live<'_>) -> R) -> R {
        self.step(|core, deferred| core.engine(&self.counts, deferred, call))
    }

    /// The runtime, unless the socket is closed.
    pub(crate) fn runtime(&self) -> Option<Arc<Runtime>> {
        lock(&self.runtime).clone()
    }

    pub(crate) fn owner(self: &Arc<Self>) -> Owner {
        Owner {
            socket: self.id,
            events: Arc::clone(self) as Arc<dyn PipeEvents>,
            driver: Arc::clone(&self.driver),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.core).closed
    }

    /// Every pipe of the socket.
    pub(crate) fn pipes(&self) -> Vec<Arc<dyn Pipe>> {
        lock(&self.core).lines.all.iter().map(|(_, line)| Arc::clone(line.pipe())).collect()
    }

    /// From now on calls fail. Answers no if they did already. The endpoints are the caller's to end.
    pub(crate) fn begin_close(&self) -> bool {
        self.step(|core, deferred| {
            if mem::replace(&mut core.closed, true) {
                return false;
            }
            core.waiters.drain().into_iter().for_each(|waker| deferred.wake(waker));
            true
        })
    }

    /// Ends a closed socket: connections, driver, and the hold on the worker threads.
    pub(crate) fn finish(&self) {
        conns().close_all(self.id);
        self.driver.retire(&CloseReason::Closed);
        // Whatever the engine still holds goes home now, not when the last handle is dropped.
        let fresh = E::new(self.options.clone(), 0);
        let old = self
            .step(|core, _| (mem::replace(&mut core.engine, fresh), mem::take(&mut core.returned)));
        drop(old);
        self.monitor.end();
        // It may hold the socket's handles, and is the program's to drop.
        let admission = self.set_admission(None);
        if guarded(|| drop(admission)).is_err() {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
        let runtime = lock(&self.runtime).take();
        if let Some(runtime) = runtime {
            runtime.release();
        }
    }

    /// Asks `admission` about new connections from now on; answers whom it asked before.
    pub(crate) fn set_admission(&self, admission: Option<Arc<Admit>>) -> Option<Arc<Admit>> {
        mem::replace(&mut *lock(&self.admission), admission)
    }

    /// How many peers the engine has.
    pub(crate) fn connected(&self) -> usize {
        lock(&self.core).lines.all.len()
    }

    /// Closes the socket unless it is closed. Nobody waits: what is queued leaves in the background, for the linger
    /// time at the most.
    pub(crate) fn abandon(self: &Arc<Self>) {
        if !self.begin_close() {
            return;
        }
        let Some(runtime) = self.runtime() else { return };
        runtime.abandon_endpoints_of(self.id);
        self.flush();
        let until = clock::now() + Config::new().linger;
        // The worker ends it: whoever is here may be a task's waker inside the driver.
        runtime.linger(Box::new(Farewell(Arc::clone(self))), until);
    }

    /// Everything that waits is written, as far as the kernel takes it.
    pub(crate) fn flush(&self) {
        self.step(|core, deferred| core.lines.hurry(deferred));
        self.pipes().iter().for_each(|pipe| pipe.flush(Flush::Urgent));
    }

    /// Bytes that wait to be sent.
    pub(crate) fn unsent(&self) -> usize {
        let core = lock(&self.core);
        core.lines.unsent() + core.engine.unsent()
    }

    /// What only the socket knows of `peer`, added to its statistics: bytes that wait to be sent, and what the engine
    /// has counted.
    pub(crate) fn account_of(&self, peer: PeerId, stats: Stats) -> Stats {
        let core = lock(&self.core);
        let Some(line) = core.lines.all.get(peer) else { return stats };
        let counted =
            line.counts.iter().flat_map(|counts| counts.iter()).filter(|(_, count)| *count > 0);
        counted.fold(stats.value("unsent_bytes", line.unsent() as u64), |stats, (what, count)| {
            stats.value(what.name(), count)
        })
    }

    pub(crate) fn is_drained(&self) -> bool {
        let core = lock(&self.core);
        // What the engine keeps leaves only while there is a peer: at the end no new one comes.
        let kept = if core.lines.all.is_empty() { 0 } else { core.engine.unsent() };
        core.lines.unsent() + kept == 0
    }

    /// What passed since the socket was opened.
    pub(crate) fn traffic(&self) -> Traffic {
        let mut total = *lock(&self.past);
        self.peers.all().iter().for_each(|peer| add(&mut total, traffic_of(peer)));
        total
    }

    /// Waits until everything queued has left, or `until` has come. The calling thread drives meanwhile.
    pub(crate) fn drain(&self, until: Instant) {
        self.flush();
        while !self.is_drained() {
            let now = clock::now();
            if now >= until {
                return;
            }
            // Not every queue that empties makes an event here: look again soon.
            let slice = until.min(now + DRAIN_SLICE);
            self.driver.drive().run_until(|| self.is_drained(), Some(slice));
        }
    }

    fn arm(&self, key: TimerKey, at: Instant) {
        if let Some(runtime) = self.runtime() {
            runtime.arm(self.id, self.me.clone(), key, at);
        }
    }
}

impl<E: Engine> Core<E> {
    pub(crate) fn engine<R>(
        &mut self,
        counts: &Counts,
        deferred: &mut Deferred,
        call: impl FnOnce(&mut E, &mut Live<'_>) -> R,
    ) -> R {
        let Self { engine, lines, waiters, .. } = self;
        call(engine, &mut Live { lines, waiters, counts, deferred, now: None })
    }

    /// Takes messages back that had been handed out, unless the socket is closed.
    pub(crate) fn give_back(
        &mut self,
        messages: impl Iterator<Item = Message>,
        deferred: &mut Deferred,
    ) {
        if self.closed {
            return;
        }
        for message in messages {
            self.returned.push_back(message);
            if let Some(waker) = self.waiters.pop(CtxId::MAIN, Side::Recv) {
                deferred.wake(waker);
            }
        }
    }
}

impl<E: Engine> PipeEvents for Shared<E> {
    fn protocol(&self) -> ProtocolId {
        E::SELF
    }

    fn peer_protocol(&self) -> ProtocolId {
        E::PEER
    }

    fn admit(&self, info: &PipeInfo) -> Result<(), CloseReason> {
        let Some(admission) = lock(&self.admission).clone() else { return Ok(()) };
        match guarded(|| admission(info)) {
            Ok(Admission::Accept) => Ok(()),
            Ok(Admission::Refuse) => Err(CloseReason::NotAdmitted),
            // Nobody is let in by mistake.
            Err(Panicked) => {
                self.panics.fetch_add(1, Ordering::Relaxed);
                Err(CloseReason::NotAdmitted)
            }
        }
    }

    fn opened(&self, pipe: Arc<dyn Pipe>) -> Result<PeerId, CloseReason> {
        let PipeInfo { endpoint, peer_addr, .. } = pipe.info();
        let addr = match peer_addr {
            Some(addr) => PeerAddr::from(addr),
            None => PeerAddr::from(Arc::clone(&endpoint)),
        };
        let id = self.peers.add(addr, pipe);
        let Some(peer) = self.peers.get(id) else { return Err(CloseReason::Closed) };
        peer.advance(PeerState::Connected);
        let opened = self.news(|core, deferred| {
            if core.closed {
                return Err(CloseReason::Closed);
            }
            core.lines.all.insert(id, Line::new(peer));
            let opened = core.engine(&self.counts, deferred, |engine, fx| engine.opened(id, fx));
            if opened.is_err() {
                core.lines.remove(id);
            }
            opened
        });
        match opened {
            Ok(()) => {
                self.monitor.tell(|| PipeEvent::Connected { peer: id, endpoint, peer_addr });
                Ok(id)
            }
            Err(why) => {
                self.peers.remove(id);
                Err(why)
            }
        }
    }

    fn arrived(&self, peer: PeerId, batch: &mut Batch) -> Flow {
        let flow = self.news(|core, deferred| {
            if core.closed {
                batch.clear();
                return Flow::More;
            }
            let Core { engine, lines, waiters, .. } = core;
            if !lines.all.contains(peer) {
                batch.clear();
                return Flow::More;
            }
            let before = batch.len() as u64;
            let bytes_before = batch.bytes();
            let counts = &self.counts;
            let mut fx = Live { lines, waiters, counts, deferred, now: None };
            let flow = engine.arrived(peer, batch, &mut fx);
            let taken = before - batch.len() as u64;
            let now = fx.now();
            if let Some(line) = lines.all.get(peer) {
                line.peer.count_received(taken, bytes_before - batch.bytes(), now);
            }
            flow
        });
        self.lookout.tell();
        flow
    }

    fn room(&self, peer: PeerId) {
        self.news(|core, deferred| {
            core.engine(&self.counts, deferred, |engine, fx| engine.room(peer, fx));
        });
    }

    fn commit(&self, peer: PeerId) {
        self.step(|core, deferred| {
            if let Some(line) = core.lines.all.get_mut(peer) {
                line.commit(deferred);
            }
        });
    }

    fn closed(&self, id: PeerId, why: CloseReason) {
        self.news(|core, deferred| {
            core.engine(&self.counts, deferred, |engine, fx| engine.closed(id, fx));
            core.lines.remove(id)
        });
        if let Some(peer) = self.peers.remove(id) {
            add(&mut lock(&self.past), traffic_of(&peer));
            peer.advance(PeerState::Disconnected);
        }
        self.monitor.tell(|| PipeEvent::Closed { peer: id, why });
    }

    fn timer(&self, key: TimerKey, now: Instant) {
        self.news(|core, deferred| {
            core.engine(&self.counts, deferred, |engine, fx| {
                fx.now = Some(now);
                engine.timer(key, fx);
            });
        });
    }

    fn refused(&self, at: &Arc<Endpoint>, peer_addr: Option<SocketAddr>, why: CloseReason) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.monitor.tell(|| PipeEvent::Refused { endpoint: Arc::clone(at), peer_addr, why });
    }

    fn lost(&self, peer: Option<PeerId>, what: Lost, times: usize) {
        let counter = match what {
            Lost::TooLong => Counter::TooLong,
            Lost::NotSent => Counter::DroppedOnSend,
            Lost::NoRoom => Counter::DroppedOnReceive,
            stray => return self.strays.count(stray, times),
        };
        self.engine(|_, fx| match peer {
            Some(peer) => fx.count_for(peer, counter, times),
            None => fx.count_times(counter, times),
        });
    }
}

/// The end of a socket whose last handle was dropped while messages were still on their way.
struct Farewell<E: Engine>(Arc<Shared<E>>);

impl<E: Engine> Lingering for Farewell<E> {
    fn is_drained(&self) -> bool {
        self.0.is_drained()
    }

    fn finish(self: Box<Self>) {
        self.0.finish();
    }
}

/// What passed between the socket and a peer, what was broadcast included.
pub(super) fn traffic_of(peer: &Peer<Arc<dyn Pipe>>) -> Traffic {
    let (mut traffic, standing) = (peer.traffic(), peer.attached().standing());
    traffic.messages_sent += standing.sent;
    traffic.bytes_sent += standing.sent_bytes;
    traffic
}

fn add(total: &mut Traffic, more: Traffic) {
    total.messages_sent += more.messages_sent;
    total.bytes_sent += more.bytes_sent;
    total.messages_received += more.messages_received;
    total.bytes_received += more.bytes_received;
}

/// A seed for the engine from std: the hasher's keys come from the system, once for a thread and what is forked from
/// it.
fn seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

const DRAIN_SLICE: Duration = Duration::from_millis(5);
