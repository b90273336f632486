//! What only the driving thread touches: the poll set and its connections.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;
use sp_core::clock;
use sp_core::pipe::CloseReason;
use sp_core::registry::conns;
use sp_core::sync::lock;

use super::{Driver, Mail, WAKER};
use crate::conn::{Conn, Progress, ReadBuf, StreamPipe};
use crate::patience::Patience;
use crate::sync::poll;
use crate::udp::{Hub, Read};

/// A socket's poll set and connections.
pub(super) struct Wheel {
    poll: Poll,
    events: Events,
    conns: Slab<Conn>,
    /// Descriptors for datagrams. Whoever needs one holds it; the others are gone.
    hubs: Slab<Weak<Hub>>,
    /// Connections with work left although no event will say so.
    ready: VecDeque<usize>,
    /// The last poll brought as many events as fit: there may be more.
    full: bool,
    /// The room that mail is read in, kept from time to time.
    mail_in: Vec<Mail>,
    patience: Patience,
    /// The same for the next part of what comes or leaves in parts.
    patience_between: Patience,
}

impl Wheel {
    pub(super) fn new(asks: bool) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_PER_POLL),
            conns: Slab::new(),
            hubs: Slab::new(),
            ready: VecDeque::new(),
            full: false,
            mail_in: Vec::new(),
            patience: Patience::new(asks),
            patience_between: Patience::new(false),
        })
    }

    /// Drives until `done` says so or `deadline` passes. Answers what `done` said last.
    pub(super) fn run_until(
        &mut self,
        driver: &Driver,
        done: impl Fn() -> bool,
        deadline: Option<Instant>,
    ) -> bool {
        let answer = self.poll_until(driver, done, deadline);
        self.patience.end();
        answer
    }

    fn poll_until(
        &mut self,
        driver: &Driver,
        done: impl Fn() -> bool,
        deadline: Option<Instant>,
    ) -> bool {
        // Who was told before it drove has not been told to drive.
        if done() {
            return true;
        }
        if let Some(mut tries) = self.patience.begin(driver.polling(), deadline) {
            while tries.go_on(self.has_nothing(), &done) {
                self.glance(driver);
                if done() {
                    self.patience.hit(&tries);
                    return true;
                }
            }
            self.patience.miss(&tries);
        }
        loop {
            let wait = deadline.map(|at| at.saturating_duration_since(clock::now()));
            let busy = self.step(driver, wait);
            if done() || (busy && self.goes_on(driver, &done, deadline)) {
                return true;
            }
            if wait == Some(Duration::ZERO) {
                return false;
            }
        }
    }

    /// Something came or left, and that was not all. Polls for the next part, which is on its way as a rule, and for
    /// the one behind it. Answers what `done` said last.
    fn goes_on(
        &mut self,
        driver: &Driver,
        done: &impl Fn() -> bool,
        deadline: Option<Instant>,
    ) -> bool {
        while let Some(mut tries) = self.patience_between.begin(driver.polling(), deadline) {
            let busy = loop {
                if !tries.go_on(false, done) {
                    break false;
                }
                if self.step(driver, Some(Duration::ZERO)) {
                    break true;
                }
            };
            if !busy {
                self.patience_between.miss(&tries);
                return done();
            }
            self.patience_between.hit(&tries);
            if done() {
                return true;
            }
        }
        false
    }

    /// Ends every connection.
    pub(super) fn close_all(&mut self, driver: &Driver, why: &CloseReason) {
        self.read_mail(driver);
        let keys: Vec<usize> = self.conns.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.end(key, why.clone(), driver);
        }
    }

    pub(super) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    pub(super) fn poll_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }

    /// Whether there is work left that no new event will announce.
    pub(super) fn has_work(&self) -> bool {
        self.full || !self.ready.is_empty()
    }

    /// Whether there is nothing to poll.
    fn has_nothing(&self) -> bool {
        self.conns.is_empty() && self.hubs.is_empty()
    }

    /// A turn without a wait, left out where there is nothing to poll.
    fn glance(&mut self, driver: &Driver) {
        if !self.has_nothing() || driver.has_mail.load(Ordering::Relaxed) {
            self.step(driver, Some(Duration::ZERO));
        }
    }

    /// One turn: mail, poll, and a share of work for every connection that is ready. Answers whether there
    /// was anything to do.
    pub(super) fn step(&mut self, driver: &Driver, wait: Option<Duration>) -> bool {
        let mut busy = self.read_mail(driver);
        let may_sleep = wait != Some(Duration::ZERO) && self.ready.is_empty();
        let asleep = may_sleep && driver.sleep.fall_asleep();
        let wait = if asleep { wait.map(|wait| wait.min(POLL_MAX)) } else { Some(Duration::ZERO) };
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        // An interrupted poll is a poll without events.
        let _ = poll(&mut self.poll, &mut events, wait);
        if may_sleep {
            driver.sleep.wake_up();
        }
        let listed = self.ready.len();
        let mut fetched = 0;
        for event in &events {
            fetched += 1;
            if event.token() != WAKER {
                busy = true;
                self.serve(event, driver);
            }
        }
        self.full = fetched >= EVENTS_PER_POLL;
        self.events = events;
        for _ in 0..listed {
            let Some(key) = self.ready.pop_front() else { break };
            busy = true;
            if let Some(conn) = self.conns.get_mut(key) {
                conn.rx.listed = false;
                self.receive(key, driver);
            } else if key & HUB != 0 {
                self.receive_datagrams(key);
            }
        }
        busy
    }

    fn serve(&mut self, event: &Event, driver: &Driver) {
        let key = event.token().0;
        // A stale event finds nobody, or the slot's next owner, for whom it is a false alarm.
        let Some(conn) = self.conns.get_mut(key) else { return self.serve_hub(event) };
        let both = conn.pipe.stream().hears_both_at_once();
        if event.is_writable() || both {
            conn.pipe.writable();
        }
        let ends = event.is_read_closed() || event.is_error();
        if ends {
            conn.rx.peer_closes();
        }
        // What is in the list has its turn in this step anyway, and one turn is enough: a second batch would find the
        // first still in the queue.
        if (ends || both || event.is_readable()) && !conn.rx.listed {
            self.receive(key, driver);
        }
    }

    fn receive(&mut self, key: usize, driver: &Driver) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Conn { pipe, rx, peer, .. } = conn;
        let mut read_buf = ReadBuf::take();
        let progress = rx.receive(pipe.stream(), &mut read_buf, |batch| {
            pipe.heard();
            pipe.events().arrived(*peer, batch)
        });
        read_buf.put_back();
        if let Some(answer) = rx.take_answer() {
            pipe.answer(&answer);
        }
        match progress {
            Progress::Drained => {}
            // A pause that was taken back meanwhile left mail; nothing to do here.
            Progress::Paused => {}
            Progress::More => self.list(key),
            Progress::Ended(why) => self.end(key, why, driver),
        }
    }

    fn serve_hub(&mut self, event: &Event) {
        let key = event.token().0;
        if event.is_writable()
            && let Some(hub) = self.hub(key)
        {
            hub.writable();
            // Whoever is blocked again says so, and then the next room is heard of.
            self.listen_to(&hub, key, Interest::READABLE);
        }
        if event.is_readable() || event.is_error() {
            self.receive_datagrams(key);
        }
    }

    fn hub(&self, key: usize) -> Option<Arc<Hub>> {
        // A stale event finds nobody, as with connections.
        self.hubs.get(key & !HUB)?.upgrade()
    }

    fn receive_datagrams(&mut self, key: usize) {
        let Some(hub) = self.hub(key) else { return };
        let mut read_buf = ReadBuf::take();
        let read = hub.receive(&mut read_buf);
        read_buf.put_back();
        if read == Read::More && !self.ready.contains(&key) {
            self.ready.push_back(key);
        }
    }

    /// Takes a new descriptor in, or looks after the wishes of one.
    fn attend_hub(&mut self, hub: &Arc<Hub>, driver: &Driver) {
        let key = hub.slot().unwrap_or_else(|| self.adopt_hub(hub, driver));
        if hub.is_blocked() {
            // Room that there is already is told at once.
            self.listen_to(hub, key, Interest::READABLE | Interest::WRITABLE);
        }
        hub.resume();
    }

    fn adopt_hub(&mut self, hub: &Arc<Hub>, driver: &Driver) -> usize {
        self.hubs.retain(|_, hub| hub.strong_count() > 0);
        let key = HUB | self.hubs.insert(Arc::downgrade(hub));
        hub.take_slot(key);
        driver.streams.store(true, Ordering::Relaxed);
        let registry = self.poll.registry();
        let registered =
            registry.register(&mut SourceFd(&hub.fd()), Token(key), Interest::READABLE);
        if let Err(error) = registered {
            hub.fail(error.kind());
        }
        key
    }

    fn listen_to(&self, hub: &Hub, key: usize, interest: Interest) {
        // Fails only for a descriptor that never was registered.
        let _ = self.poll.registry().reregister(&mut SourceFd(&hub.fd()), Token(key), interest);
    }

    fn list(&mut self, key: usize) {
        if let Some(conn) = self.conns.get_mut(key)
            && !std::mem::replace(&mut conn.rx.listed, true)
        {
            self.ready.push_back(key);
        }
    }

    pub(super) fn read_mail(&mut self, driver: &Driver) -> bool {
        if !driver.has_mail.load(Ordering::Relaxed)
            || !driver.has_mail.swap(false, Ordering::Acquire)
        {
            return false;
        }
        let mut mail = std::mem::take(&mut self.mail_in);
        if let Some(waiting) = &mut *lock(&driver.mail) {
            std::mem::swap(&mut mail, waiting);
        }
        for item in mail.drain(..) {
            match item {
                Mail::Adopt(conn) => self.adopt(*conn, driver),
                Mail::Attend(pipe) => {
                    if let Some(key) = pipe.slot() {
                        self.attend(key, &pipe, driver);
                    }
                }
                Mail::Hub(hub) => self.attend_hub(&hub, driver),
            }
        }
        self.mail_in = mail;
        true
    }

    fn adopt(&mut self, conn: Conn, driver: &Driver) {
        let fd = conn.pipe.fd();
        let pipe = Arc::clone(&conn.pipe);
        let key = self.conns.insert(conn);
        driver.streams.store(true, Ordering::Relaxed);
        pipe.take_slot(key);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut SourceFd(&fd), Token(key), interest)
        {
            return self.end(key, CloseReason::Io(error.kind()), driver);
        }
        if self.conns[key].rx.is_ready() || pipe.stream().may_hold_bytes() {
            self.list(key);
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
        // What the socket said of the peer before it was seen to leave is the truer reason.
        let why = conn.pipe.take_end().unwrap_or(why);
        self.hubs.retain(|_, hub| hub.strong_count() > 0);
        driver.streams.store(!self.has_nothing(), Ordering::Relaxed);
        // Fails only for a descriptor that never was registered.
        let _ = self.poll.registry().deregister(&mut SourceFd(&conn.pipe.fd()));
        conn.pipe.say_goodbye(&why);
        conn.pipe.shut();
        driver.shorten_lease();
        conns().unregister(conn.entry.id());
        conn.pipe.events().closed(conn.peer, why);
        driver.worker.conn_ended(conn.origin);
    }
}

/// Marks the keys of descriptors for datagrams; there are fewer connections than that.
const HUB: usize = 1 << (usize::BITS - 2);

/// Events fetched at a time; more connections than that are served in the next step.
const EVENTS_PER_POLL: usize = 256;

/// Longest sleep: longer timeouts have been misconverted by pollers before, and one wake an hour costs nothing.
const POLL_MAX: Duration = Duration::from_secs(3600);
