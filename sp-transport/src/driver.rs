//! A socket's I/O, run by whoever waits for it.
//!
//! Each socket has one [`Driver`]: a poll set with all its connections. A caller that waits drives it; while
//! nobody waits the worker does, for the poll set is itself a descriptor in the worker's poll set. Whoever
//! holds the gate drives, everything behind the gate is touched by that thread alone.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use sp_core::pipe::CloseReason;
use sp_core::registry::conns;
use sp_core::sync::{lock, try_lock};

use crate::conn::{Conn, Progress, ReadBuf, StreamPipe};
use crate::patience::Patience;
use crate::sleep::Sleep;
use crate::worker::WorkerHandle;

/// One socket's poll set and connections.
pub struct Driver {
    gate: Mutex<Wheel>,
    mail: Mutex<Vec<Mail>>,
    has_mail: AtomicBool,
    sleep: Sleep,
    poll_fd: RawFd,
    worker: WorkerHandle,
    /// The worker's name for this driver.
    place: OnceLock<usize>,
    /// The last to drive was a caller, who will come again when it needs more.
    caller_drives: AtomicBool,
    /// The worker came while somebody else was driving; whoever that is tells it to come again.
    missed: AtomicBool,
}

/// What only the driving thread touches.
struct Wheel {
    poll: Poll,
    events: Events,
    conns: Slab<Conn>,
    read_buf: ReadBuf,
    /// Connections with work left although no event will say so.
    ready: VecDeque<usize>,
    /// The room that mail is read in, kept from time to time.
    mail_in: Vec<Mail>,
    patience: Patience,
}

/// News for whoever drives.
enum Mail {
    /// A new connection, opened and accepted.
    Adopt(Box<Conn>),
    /// Somebody wants this connection read again or ended.
    Attend(Arc<StreamPipe>),
}

impl Driver {
    /// Makes a poll set for one socket and puts it into the care of `worker`.
    pub(crate) fn new(worker: WorkerHandle, spin: Duration) -> io::Result<Arc<Self>> {
        let poll = Poll::new()?;
        let poll_fd = poll.as_raw_fd();
        let sleep = Sleep::new(poll.registry(), WAKER)?;
        let wheel = Wheel {
            poll,
            events: Events::with_capacity(EVENTS_PER_POLL),
            conns: Slab::new(),
            read_buf: ReadBuf::new(),
            ready: VecDeque::new(),
            mail_in: Vec::new(),
            patience: Patience::new(spin),
        };
        let driver = Arc::new(Self {
            gate: Mutex::new(wheel),
            mail: Mutex::default(),
            has_mail: AtomicBool::new(false),
            sleep,
            poll_fd,
            worker,
            place: OnceLock::new(),
            caller_drives: AtomicBool::new(false),
            missed: AtomicBool::new(false),
        });
        let place = driver.worker.add_driver(&driver);
        // Set once, here.
        let _ = driver.place.set(place);
        driver.worker.watch(&driver)?;
        Ok(driver)
    }

    /// The worker's name for this driver.
    pub(crate) fn place(&self) -> usize {
        self.place.get().copied().unwrap_or(usize::MAX)
    }

    /// Ends every connection and takes the driver out of the worker's care.
    pub fn retire(self: &Arc<Self>, why: &CloseReason) {
        self.drive().close_all(why);
        self.worker.remove_driver(self);
    }

    /// Takes the wheel unless somebody else has it.
    pub fn try_drive(self: &Arc<Self>) -> Option<Drive<'_>> {
        let wheel = try_lock(&self.gate)?;
        self.caller_drives.store(true, Ordering::Relaxed);
        Some(Drive::new(self, wheel))
    }

    /// Takes the wheel, waiting for whoever has it. For closing only: a waiting receiver may hold it long.
    pub fn drive(self: &Arc<Self>) -> Drive<'_> {
        Drive::new(self, lock(&self.gate))
    }

    /// Makes whoever drives look up: a condition it waits for may have changed.
    pub fn notify(&self) {
        self.sleep.notify();
    }

    /// The worker that drives while nobody waits.
    pub(crate) fn worker(&self) -> &WorkerHandle {
        &self.worker
    }

    pub(crate) fn poll_fd(&self) -> RawFd {
        self.poll_fd
    }

    pub(crate) fn adopt(&self, conn: Conn) {
        self.post(Mail::Adopt(Box::new(conn)));
        self.sleep.notify();
    }

    /// A pipe has a wish.
    pub(crate) fn attend(&self, pipe: Arc<StreamPipe>) {
        self.post(Mail::Attend(pipe));
        self.sleep.notify();
    }

    /// A pipe wishes to be read again, which can wait for a caller that drives: it comes when it has taken
    /// what it got. Waking the worker for it would cost more and make two threads of one.
    pub(crate) fn attend_when_needed(&self, pipe: Arc<StreamPipe>) {
        self.post(Mail::Attend(pipe));
        if !self.caller_drives.load(Ordering::Relaxed) {
            self.sleep.notify();
        }
    }

    /// A receiver found nothing and does not drive: the worker has to.
    pub fn needs_worker(&self) {
        self.caller_drives.store(false, Ordering::Relaxed);
        if self.has_mail.load(Ordering::Acquire) {
            self.sleep.notify();
        }
    }

    fn post(&self, mail: Mail) {
        lock(&self.mail).push(mail);
        // Release pairs with the acquire of whoever looks for mail.
        self.has_mail.store(true, Ordering::Release);
    }

    /// The worker's turn. Answers whether work is left that no event will announce.
    pub(crate) fn turn(&self) -> bool {
        let Some(mut wheel) = self.try_gate() else { return false };
        self.sleep.wake_up();
        let mut busy = false;
        for _ in 0..WORKER_STEPS {
            busy = wheel.step(self, Some(Duration::ZERO));
            if !busy {
                break;
            }
        }
        self.leave(&mut wheel);
        drop(wheel);
        busy
    }

    /// Tries the gate so that either it is ours or its holder knows that the worker came by.
    fn try_gate(&self) -> Option<MutexGuard<'_, Wheel>> {
        if let Some(wheel) = try_lock(&self.gate) {
            return Some(wheel);
        }
        self.missed.store(true, Ordering::SeqCst);
        // Pairs with the fence in `Drive::drop`: either this sees the gate free or that sees `missed`.
        fence(Ordering::SeqCst);
        try_lock(&self.gate)
    }

    /// Gives the wheel back in a state where any news wakes the worker.
    fn leave(&self, wheel: &mut Wheel) {
        loop {
            self.sleep.wake_up();
            wheel.read_mail(self);
            if self.sleep.fall_asleep() {
                return;
            }
        }
    }
}

/// The wheel in one's hands; dropping it gives it back to the worker.
pub struct Drive<'a> {
    driver: &'a Arc<Driver>,
    wheel: Option<MutexGuard<'a, Wheel>>,
}

impl<'a> Drive<'a> {
    fn new(driver: &'a Arc<Driver>, wheel: MutexGuard<'a, Wheel>) -> Self {
        driver.worker.release(driver.poll_fd);
        driver.sleep.wake_up();
        Self { driver, wheel: Some(wheel) }
    }

    /// Polls, reads, delivers and writes until `done` says so or `deadline` passes. Answers what `done` said
    /// last.
    ///
    /// Before it sleeps it polls for a bounded time that adapts to what that brought before.
    pub fn run_until(&mut self, done: impl Fn() -> bool, deadline: Option<Instant>) -> bool {
        let Some(wheel) = self.wheel.as_mut() else { return done() };
        wheel.step(self.driver, Some(Duration::ZERO));
        if done() {
            return true;
        }
        if let Some(mut tries) = wheel.patience.begin(deadline) {
            while tries.go_on(wheel.conns.is_empty(), &done) {
                if !wheel.conns.is_empty() {
                    wheel.step(self.driver, Some(Duration::ZERO));
                }
                if done() {
                    wheel.patience.hit();
                    return true;
                }
            }
            wheel.patience.miss();
        }
        loop {
            let wait = deadline.map(|at| at.saturating_duration_since(sp_core::clock::now()));
            wheel.step(self.driver, wait);
            if done() {
                return true;
            }
            if wait == Some(Duration::ZERO) {
                return false;
            }
        }
    }

    /// Ends every connection. Their sockets are told as of any other end.
    pub fn close_all(&mut self, why: &CloseReason) {
        if let Some(wheel) = self.wheel.as_mut() {
            wheel.read_mail(self.driver);
            let keys: Vec<usize> = wheel.conns.iter().map(|(key, _)| key).collect();
            for key in keys {
                wheel.end(key, why.clone(), self.driver);
            }
        }
    }
}

impl Drop for Drive<'_> {
    fn drop(&mut self) {
        let Some(mut wheel) = self.wheel.take() else { return };
        self.driver.leave(&mut wheel);
        let left_over = !wheel.ready.is_empty();
        // Fails only for want of kernel memory; then the driver is driven by whoever waits next.
        let _ = self.driver.worker.watch(self.driver);
        drop(wheel);
        fence(Ordering::SeqCst);
        if self.driver.missed.swap(false, Ordering::SeqCst) || left_over {
            self.driver.worker.come_again(Arc::clone(self.driver));
        }
    }
}

impl Wheel {
    /// One turn: mail, poll, and a share of work for every connection that is ready. Answers whether there
    /// was anything to do.
    fn step(&mut self, driver: &Driver, wait: Option<Duration>) -> bool {
        let mut busy = self.read_mail(driver);
        let may_sleep = wait != Some(Duration::ZERO) && self.ready.is_empty();
        let asleep = may_sleep && driver.sleep.fall_asleep();
        let wait = if asleep { wait.map(|wait| wait.min(POLL_MAX)) } else { Some(Duration::ZERO) };
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        // An interrupted poll is a poll without events.
        let _ = self.poll.poll(&mut events, wait);
        if may_sleep {
            driver.sleep.wake_up();
        }
        let listed = self.ready.len();
        for event in events.iter().filter(|event| event.token() != WAKER) {
            busy = true;
            self.serve(event, driver);
        }
        self.events = events;
        for _ in 0..listed {
            let Some(key) = self.ready.pop_front() else { break };
            busy = true;
            if let Some(conn) = self.conns.get_mut(key) {
                conn.listed = false;
                self.receive(key, driver);
            }
        }
        busy
    }

    fn serve(&mut self, event: &Event, driver: &Driver) {
        let key = event.token().0;
        // A stale event finds nobody, or the slot's next owner, for whom it is a false alarm.
        let Some(conn) = self.conns.get(key) else { return };
        if event.is_writable() {
            conn.pipe.writable();
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.receive(key, driver);
        }
    }

    fn receive(&mut self, key: usize, driver: &Driver) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Conn { pipe, rx, peer, events, .. } = conn;
        let progress = rx.receive(pipe.stream(), &mut self.read_buf, |batch| {
            pipe.heard();
            events.arrived(*peer, batch)
        });
        match progress {
            Progress::Drained => {}
            // A pause that was taken back meanwhile left mail; nothing to do here.
            Progress::Paused => {}
            Progress::More => self.list(key),
            Progress::Ended(why) => self.end(key, why, driver),
        }
    }

    fn list(&mut self, key: usize) {
        if let Some(conn) = self.conns.get_mut(key)
            && !std::mem::replace(&mut conn.listed, true)
        {
            self.ready.push_back(key);
        }
    }

    fn read_mail(&mut self, driver: &Driver) -> bool {
        if !driver.has_mail.load(Ordering::Relaxed)
            || !driver.has_mail.swap(false, Ordering::Acquire)
        {
            return false;
        }
        let mut mail = std::mem::take(&mut self.mail_in);
        std::mem::swap(&mut mail, &mut *lock(&driver.mail));
        for item in mail.drain(..) {
            match item {
                Mail::Adopt(conn) => self.adopt(*conn, driver),
                Mail::Attend(pipe) => {
                    if let Some(key) = pipe.slot() {
                        self.attend(key, &pipe, driver);
                    }
                }
            }
        }
        self.mail_in = mail;
        true
    }

    fn adopt(&mut self, conn: Conn, driver: &Driver) {
        let fd = conn.pipe.fd();
        let pipe = Arc::clone(&conn.pipe);
        let key = self.conns.insert(conn);
        pipe.take_slot(key);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut SourceFd(&fd), Token(key), interest)
        {
            return self.end(key, CloseReason::Io(error.kind()), driver);
        }
        // Whatever was wished before there was a slot.
        self.attend(key, &pipe, driver);
    }

    fn attend(&mut self, key: usize, pipe: &Arc<StreamPipe>, driver: &Driver) {
        pipe.mail_read();
        if !self.conns.get(key).is_some_and(|conn| Arc::ptr_eq(&conn.pipe, pipe)) {
            return;
        }
        if let Some(why) = pipe.take_end() {
            self.end(key, why, driver);
        } else if pipe.take_resume() {
            self.list(key);
        }
    }

    /// Takes a connection out and tells everybody concerned.
    fn end(&mut self, key: usize, why: CloseReason, driver: &Driver) {
        let conn = self.conns.remove(key);
        // Fails only for a descriptor that never was registered.
        let _ = self.poll.registry().deregister(&mut SourceFd(&conn.pipe.fd()));
        conn.pipe.shut();
        conns().unregister(conn.entry.id());
        conn.events.closed(conn.peer, why);
        driver.worker.conn_ended(conn.origin);
    }
}

const WAKER: Token = Token(usize::MAX);

/// Events fetched at a time; more connections than that are served in the next step.
const EVENTS_PER_POLL: usize = 256;

/// Steps in one worker turn before the worker looks after its other sockets.
const WORKER_STEPS: usize = 8;

/// Longest sleep: longer timeouts have been misconverted by pollers before, and one wake an hour costs nothing.
const POLL_MAX: Duration = Duration::from_secs(3600);
