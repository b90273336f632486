//! A socket's poll set for the program's own event loop, with a bell and an alarm for what no descriptor tells.

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use sp_core::sync::atomic::{AtomicBool, Ordering};
use sp_core::sync::{Mutex, lock};

use super::{Driven, Driver, Host};
use crate::sys::{self, Alarm};
use crate::worker::{TEND_INTERVAL, Tended};

/// A socket in the care of the program's own event loop.
///
/// It is a descriptor ([`AsFd`], [`AsRawFd`]) for epoll, kqueue, poll, tokio's `AsyncFd`, glib or any other loop:
/// *readable* means that something can be done. Then call [`drive`](Self::drive), which reads, delivers and writes
/// without waiting, and after it the socket's `try_` calls until they have nothing more. Edge-triggered loops may do
/// as level-triggered ones. The first look finds it readable, so nothing from before is missed.
///
/// It becomes readable when
///
/// - connections have bytes or can be written again after the kernel was full,
/// - a connection was made or is to be ended, and when the socket is closed,
/// - a message has arrived or room has come by way of another thread: from a sender of this process, or since that
///   thread drove the socket in a blocking call,
/// - messages that stream have waited for company long enough: a tenth of a millisecond (on systems other than Linux
///   the library's thread writes them).
///
/// While it lives, the library's thread does none of that for this socket: a program that does not call `drive`
/// leaves the socket standing, its futures included. Blocking calls go on working, from any thread. Accepting,
/// dialling, handshakes and protocol timers stay with the library's thread, except that a listener over udp hears
/// of new peers where it hears of everything, and so when it is driven. Dropped, that takes over again.
pub struct PollSet {
    host: Host,
    bell: Arc<Bell>,
    /// The driver's poll set, nested so that what others fetch from that takes nothing from here, with bell and alarm.
    outer: Poll,
    events: Events,
    /// The driver's poll set: what is nested has to stay open.
    _inner: OwnedFd,
}

/// What reaches the program's loop without a descriptor of its own.
pub(super) struct Bell {
    waker: Waker,
    /// The loop has been told, or is about to look anyway.
    rung: AtomicBool,
    alarm: Option<Alarm>,
    /// Pipes that stream. `None` once the loop has let go of the socket.
    streams: Mutex<Option<Vec<Arc<dyn Tended>>>>,
}

impl PollSet {
    /// Puts `driver` into the care of the program's loop.
    ///
    /// # Errors
    ///
    /// If the driver is in such care already, or the system has no descriptor left.
    pub fn new(driver: &Arc<Driver>) -> io::Result<Self> {
        let outer = Poll::new()?;
        let registry = outer.registry();
        let alarm = Alarm::new();
        if let Some(alarm) = &alarm {
            registry.register(&mut SourceFd(&alarm.as_raw_fd()), ALARM, Interest::READABLE)?;
        }
        let inner = driver.poll_set()?;
        registry.register(&mut SourceFd(&inner.as_raw_fd()), INNER, Interest::READABLE)?;
        let bell = Arc::new(Bell {
            waker: Waker::new(registry, BELL)?,
            rung: AtomicBool::new(false),
            alarm,
            streams: Mutex::new(Some(Vec::new())),
        });
        {
            let mut place = lock(&driver.bell);
            if place.is_some() {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "the socket has a poll set already",
                ));
            }
            *place = Some(Arc::clone(&bell));
            driver.has_bell.store(true, Ordering::Release);
        }
        // What came before there was a bell.
        bell.ring();
        let events = Events::with_capacity(EVENTS);
        Ok(Self { host: driver.host(), bell, outer, events, _inner: inner })
    }

    /// Does everything that is ready, without waiting: reads, delivers, wakes futures and threads that wait, writes.
    pub fn drive(&mut self) -> Driven {
        if !self.host.driver().process.is_current() {
            // A look would take events away from the parent.
            return Driven::Closed;
        }
        // An interrupted poll is a poll without events, and leaves the descriptor readable.
        let _ = self.outer.poll(&mut self.events, Some(Duration::ZERO));
        // Only after the bell was fetched: see `ring`. Until the end of the turn it need not be rung, for the program
        // tries its calls afterwards.
        self.bell.rung.store(true, Ordering::Relaxed);
        if self.events.iter().any(|event| event.token() == ALARM) {
            self.bell.tend();
        }
        let driven = self.host.driver().host_turn();
        self.bell.rung.store(false, Ordering::Release);
        driven
    }
}

impl AsFd for PollSet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        sys::borrow(&self.outer)
    }
}

impl AsRawFd for PollSet {
    fn as_raw_fd(&self) -> RawFd {
        self.outer.as_raw_fd()
    }
}

impl Drop for PollSet {
    fn drop(&mut self) {
        let driver = self.host.driver();
        if !driver.process.is_current() {
            return;
        }
        driver.has_bell.store(false, Ordering::Release);
        lock(&driver.bell).take();
        // Later ones find no list and go to the worker by themselves.
        let streams = lock(&self.bell.streams).take();
        streams.into_iter().flatten().for_each(|pipe| driver.worker.tend(pipe));
    }
}

impl fmt::Debug for PollSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollSet").field("fd", &self.outer.as_raw_fd()).finish_non_exhaustive()
    }
}

impl Bell {
    /// Makes the program's loop look.
    ///
    /// Called after the news was published under the socket's lock. If `rung` was set, then either a ring is on its
    /// way that the loop has not fetched, or the loop is in its turn: both clear `rung` before the program tries its
    /// calls. A try that came before the news has left `rung` clear for us, by way of the socket's lock; so the try
    /// comes after it.
    pub(super) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Fails only when the descriptor is gone, and then nobody looks.
            let _ = self.waker.wake();
        }
    }

    /// Looks after a pipe from now on; gives it back where that is the worker's business.
    pub(super) fn tend_later(&self, pipe: Arc<dyn Tended>) -> Option<Arc<dyn Tended>> {
        let Some(alarm) = &self.alarm else { return Some(pipe) };
        let first = {
            let mut streams = lock(&self.streams);
            let Some(streams) = &mut *streams else { return Some(pipe) };
            streams.push(pipe);
            streams.len() == 1
        };
        if first {
            alarm.set(TEND_INTERVAL);
        }
        None
    }

    /// Looks after the pipes that stream, and again after an interval as long as there are any.
    fn tend(&self) {
        let taken = lock(&self.streams).as_mut().map(mem::take);
        let Some(mut pipes) = taken else { return };
        // A pipe that was blocked in between may have come a second time.
        pipes.sort_unstable_by_key(|pipe| Arc::as_ptr(pipe).cast::<()>());
        pipes.dedup_by(|a, b| Arc::ptr_eq(a, b));
        pipes.retain(|pipe| pipe.tend());
        let mut again = false;
        if let Some(streams) = &mut *lock(&self.streams) {
            // Keeps the larger list, which has the room.
            mem::swap(streams, &mut pipes);
            streams.append(&mut pipes);
            again = !streams.is_empty();
        }
        if let Some(alarm) = &self.alarm
            && again
        {
            alarm.set(TEND_INTERVAL);
        }
    }
}

impl Driver {
    /// There is news for the socket, published before this call: what was tried in vain may succeed now. The
    /// program's own loop, if there is one, hears of it unless it is in its turn.
    pub fn announce(&self) {
        if let Some(bell) = self.bell() {
            bell.ring();
        }
    }

    /// The bell of the program's loop.
    pub(super) fn bell(&self) -> Option<Arc<Bell>> {
        // Whoever finds none has published its news before; the first look of the loop is still to come then.
        if self.has_bell.load(Ordering::Acquire) { lock(&self.bell).clone() } else { None }
    }
}

const INNER: Token = Token(0);
const BELL: Token = Token(1);
const ALARM: Token = Token(2);

/// One for each of the above.
const EVENTS: usize = 3;
