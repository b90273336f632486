//! The I/O worker: accepts, connects, shakes hands, keeps time, and drives every socket nobody waits on.

mod command;
mod datagrams;
mod dialing;
mod endpoints;
mod leases;
mod pipes;

pub(crate) use command::{Command, Which, WorkerHandle};
pub(crate) use datagrams::Calling;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use std::{io, mem};

use crossbeam_channel::bounded;
use mio::{Events, Poll};
use slab::Slab;
use sp_core::clock;
use sp_core::id::{SocketId, TimerKey};
use sp_core::pipe::PipeEvents;
use sp_core::sync::thread::{self, JoinHandle};

use crate::driver::{Driver, Lease};
use crate::half_open::HalfOpen;
use crate::resolver::Resolver;
use crate::runtime::{EndpointId, Lingering};
use crate::sync::poll;
use crate::sys;
use crate::timer::{Deadline, Timers};
use crate::udp::Hub;
use command::Commands;
use endpoints::Ep;
use leases::Leases;

/// Who made a connection, and which of its connections it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) endpoint: EndpointId,
    pub(crate) serial: u64,
}

/// One worker thread's state. Only that thread touches it.
pub(crate) struct Worker {
    handle: WorkerHandle,
    commands: Commands,
    poll: Poll,
    resolver: Resolver,
    endpoints: BTreeMap<EndpointId, Ep>,
    sources: Slab<Source>,
    timers: Timers<Due>,
    engine_timers: HashMap<(SocketId, TimerKey), (Instant, Weak<dyn PipeEvents>)>,
    /// Drivers with work left that no event will announce.
    ready: VecDeque<Arc<Driver>>,
    /// Drivers that callers drive.
    leases: Leases,
    /// The timer for the first of them that is due.
    leases_due: Option<Deadline>,
    /// Pipes that stream.
    tended: Vec<Arc<dyn Tended>>,
    lingering: Vec<(Box<dyn Lingering>, Instant)>,
    next_serial: u64,
    /// Until when the next step of a handshake is likely to come.
    expected: Option<Instant>,
    stopping: bool,
}

/// A queue that streams: somebody has to see to its end.
pub(crate) trait Tended: Send + Sync {
    /// Looks after the queue. Answers whether to look again.
    fn tend(&self) -> bool;

    /// Notes whether the worker looks after it; answers whether that is news. Only the worker asks.
    fn set_tended(&self, tended: bool) -> bool;
}

/// What the worker polls by itself.
pub(crate) enum Source {
    Listener(EndpointId),
    HalfOpen(Box<HalfOpen>),
    /// A dialer's, until it is answered.
    Calling(Arc<Hub>),
}

/// What the worker does at a certain time.
#[derive(Debug)]
pub(crate) enum Due {
    Engine(SocketId, TimerKey),
    HandshakeLimit(usize),
    Redial(EndpointId),
    /// Unless the dialer has taken another turn meanwhile.
    NextAddress {
        id: EndpointId,
        turn: u64,
    },
    Accept(EndpointId),
    Datagrams(Weak<Hub>),
    Leases,
}

/// What a token of the worker's poll set stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Tag {
    Waker = 0,
    Driver = 1,
    Source = 2,
}

/// Starts a worker.
pub(crate) fn start(name: &str) -> io::Result<(WorkerHandle, JoinHandle<()>)> {
    let poll = Poll::new()?;
    let (send, commands) = bounded(COMMANDS_MAX);
    let handle = WorkerHandle::new(&poll, send)?;
    let worker = Worker {
        handle: handle.clone(),
        commands,
        poll,
        resolver: Resolver::default(),
        endpoints: BTreeMap::new(),
        sources: Slab::new(),
        timers: Timers::new(),
        engine_timers: HashMap::new(),
        ready: VecDeque::with_capacity(16),
        leases: Leases::new(clock::now()),
        leases_due: None,
        tended: Vec::with_capacity(16),
        lingering: Vec::new(),
        next_serial: 0,
        expected: None,
        stopping: false,
    };
    let thread = thread::Builder::new().name(name.into()).spawn(move || worker.run())?;
    Ok((handle, thread))
}

impl Worker {
    fn run(mut self) {
        self.handle.settle();
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        while !self.stopping {
            self.handle.sleep().wake_up();
            while let Some(command) = self.handle.next_command(&self.commands) {
                self.obey(command);
            }
            self.run_due();
            self.tend();
            self.drive_ready();
            self.check_lingering();
            if !self.stopping {
                self.wait(&mut events);
                self.serve(&events);
            }
        }
        self.handle.end();
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Listen { id, owner, bound } => self.start_listener(id, owner, *bound),
            Command::ListenInproc { id, owner, endpoint } => {
                self.endpoints.insert(id, Ep::inproc_listener(owner, endpoint));
            }
            Command::Dial { id, owner, endpoint, dialer } => {
                self.start_dialer(id, owner, endpoint, dialer);
            }
            Command::Resolved { id, addresses } => self.resolved(id, addresses),
            Command::Attach { id, socket, peer_addr, done } => {
                // On this thread nobody waits for the answer.
                let _ = done.send(self.attach(id, socket, peer_addr));
            }
            Command::Close { which, done } => {
                self.close(which);
                if let Some(done) = done {
                    // The caller may have given up waiting.
                    let _ = done.send(());
                }
            }
            Command::Track { origin, pipe } => self.track(origin, pipe),
            Command::ConnEnded(origin) => self.conn_ended(origin),
            Command::Datagrams { hub, news } => self.datagram_news(&hub, news),
            Command::Tend(pipe) => {
                if pipe.set_tended(true) {
                    self.tended.push(pipe);
                }
            }
            Command::ComeAgain(driver) => self.list(driver),
            Command::Lease(place) => {
                let now = clock::now();
                // A socket that has ended has no lease any more.
                if let Some(driver) = self.handle.driver(place) {
                    self.leases.add(place, driver.lease_ticks(), now);
                    self.expect_leases();
                }
            }
            Command::Arm { socket, events, key, at } => {
                self.engine_timers.insert((socket, key), (at, events));
                self.timers.add(at, Due::Engine(socket, key));
            }
            Command::Linger { socket, until } => self.lingering.push((socket, until)),
            Command::Stop => self.stopping = true,
        }
    }

    /// Sleeps until something happens or falls due.
    fn wait(&mut self, events: &mut Events) {
        let wait = self.longest_wait();
        let asleep = wait != Some(Duration::ZERO) && self.handle.sleep().fall_asleep();
        let mut wait = if asleep { wait } else { Some(Duration::ZERO) };
        if let Some(short) = wait.filter(|wait| !wait.is_zero() && *wait < POLL_GRAIN) {
            sys::wait_readable(std::os::fd::AsRawFd::as_raw_fd(&self.poll), short);
            wait = Some(Duration::ZERO);
        }
        if !self.sees_handshake(events) {
            // An interrupted poll is a poll without events.
            let _ = poll(&mut self.poll, events, wait);
        }
        // What is asked for from now on is seen before the next sleep.
        self.handle.sleep().wake_up();
    }

    /// Polls for the next step of a handshake, if one is likely to come at once. Answers whether there are events.
    fn sees_handshake(&mut self, events: &mut Events) -> bool {
        let Some(until) = self.expected.take() else { return false };
        while clock::now() < until {
            // An interrupted poll is a poll without events.
            let _ = poll(&mut self.poll, events, Some(Duration::ZERO));
            if !events.is_empty() {
                return true;
            }
            thread::yield_now();
        }
        false
    }

    fn longest_wait(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        if !self.tended.is_empty() {
            return Some(TEND_INTERVAL);
        }
        let due = self.timers.earliest().map(|at| {
            // Rounded up to the poller's grain, so that a timer is not found early and polled for.
            let wait = at.saturating_duration_since(clock::now());
            if wait.is_zero() { wait } else { wait.max(POLL_GRAIN) }
        });
        let linger = (!self.lingering.is_empty()).then_some(LINGER_INTERVAL);
        let wait = match (due, linger) {
            (Some(due), Some(linger)) => due.min(linger),
            (due, linger) => due.or(linger)?,
        };
        Some(wait.min(POLL_MAX))
    }

    fn serve(&mut self, events: &Events) {
        for event in events {
            match Tag::split(event.token()) {
                (place, Some(Tag::Driver)) => {
                    if let Some(driver) = self.handle.driver(place)
                        && driver.turn()
                    {
                        self.list(driver);
                    }
                }
                (key, Some(Tag::Source)) => self.serve_source(key),
                (_, Some(Tag::Waker) | None) => {}
            }
        }
    }

    fn drive_ready(&mut self) {
        for _ in 0..self.ready.len() {
            let Some(driver) = self.ready.pop_front() else { break };
            if driver.turn() {
                self.list(driver);
            }
        }
    }

    fn list(&mut self, driver: Arc<Driver>) {
        if !self.ready.iter().any(|ready| Arc::ptr_eq(ready, &driver)) {
            self.ready.push_back(driver);
        }
    }

    fn tend(&mut self) {
        self.tended.retain(|pipe| pipe.tend() || !pipe.set_tended(false));
    }

    fn check_lingering(&mut self) {
        if self.lingering.is_empty() {
            return;
        }
        let now = clock::now();
        for (socket, until) in mem::take(&mut self.lingering) {
            if socket.is_drained() || until <= now {
                socket.finish();
            } else {
                self.lingering.push((socket, until));
            }
        }
    }

    fn run_due(&mut self) {
        if self.timers.earliest().is_none() {
            return;
        }
        let now = clock::now();
        while let Some(due) = self.timers.pop_due(now) {
            match due {
                Due::Engine(socket, key) => self.engine_timer(socket, key, now),
                Due::HandshakeLimit(key) => self.handshake_limit(key),
                Due::Redial(id) => self.attempt(id),
                Due::NextAddress { id, turn } => self.next_address(id, turn),
                Due::Accept(id) => self.accept_again(id),
                Due::Datagrams(hub) => self.tick_again(&hub),
                Due::Leases => {
                    self.leases_due = None;
                    self.renew_leases(now);
                }
            }
        }
    }

    fn renew_leases(&mut self, now: Instant) {
        let Self { leases, handle, ready, .. } = self;
        leases.look(now, |place| {
            let driver = handle.driver(place)?;
            match driver.renew() {
                Lease::GoesOn => return Some(driver.lease_ticks()),
                Lease::Ended => {}
                Lease::EndedBusy => ready.push_back(driver),
            }
            None
        });
        self.expect_leases();
    }

    /// Sees to it that the worker looks after leases when the first is due.
    fn expect_leases(&mut self) {
        let next = self.leases.next();
        if self.leases_due.map(|due| due.at()) == next {
            return;
        }
        if let Some(due) = self.leases_due.take() {
            self.timers.cancel(due);
        }
        self.leases_due = next.map(|at| self.timers.add(at, Due::Leases));
    }

    fn engine_timer(&mut self, socket: SocketId, key: TimerKey, now: Instant) {
        // An entry whose deadline was replaced by a later one is not due yet, one of a closed socket is gone.
        let due = self.engine_timers.get(&(socket, key)).is_some_and(|(at, _)| *at <= now);
        if due && let Some((_, events)) = self.engine_timers.remove(&(socket, key)) {
            // A socket that is gone needs no timer.
            if let Some(events) = events.upgrade() {
                events.timer(key, now);
            }
        }
    }
}

/// Requests that may wait for the worker; more wait with whoever makes them.
const COMMANDS_MAX: usize = 1024;

/// Events fetched at a time; what is ready beyond that comes with the next poll.
const EVENTS_PER_POLL: usize = 256;

/// mio's poll counts in milliseconds; shorter waits go another way.
const POLL_GRAIN: Duration = Duration::from_millis(1);

/// How long the worker polls before it sleeps in the middle of a handshake: on the same machine the next step comes
/// sooner than a sleeper wakes. Took a tenth off the time of thousands of connections.
pub(crate) const HANDSHAKE_POLLING: Duration = Duration::from_micros(50);

/// Longest sleep: longer timeouts have been misconverted by pollers before.
const POLL_MAX: Duration = Duration::from_secs(3600);

/// How long a streamed message waits at the most for company: twice this, and the time to wake up. Short
/// enough not to be noticed, long enough to share a system call among hundreds.
pub(crate) const TEND_INTERVAL: Duration = Duration::from_micros(50);

/// How often sockets that linger are looked at.
const LINGER_INTERVAL: Duration = Duration::from_millis(2);
