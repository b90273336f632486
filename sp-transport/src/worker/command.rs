//! What other threads ask of a worker.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use mio::unix::SourceFd;
use mio::{Interest, Poll, Registry, Token};
use slab::Slab;
use socket2::Socket;
use sp_core::endpoint::Endpoint;
use sp_core::id::{SocketId, TimerKey};
use sp_core::pipe::{CloseReason, Pipe, PipeEvents};
use sp_core::sync::thread::{self, ThreadId};
use sp_core::sync::{Mutex, lock};

use super::{Origin, Tag, Tended};
use crate::dialer::Dialer;
use crate::driver::Driver;
use crate::listener::Bound;
use crate::resolver::Addresses;
use crate::runtime::{EndpointId, Lingering, Owner};
use crate::sleep::Sleep;
use crate::sync;
use crate::udp::{Hub, News};

/// One request to a worker.
///
/// Few wait at a time: opening and closing endpoints are answered before the caller goes on, and a pipe or
/// driver asks only when its state changes from content to wanting.
pub(crate) enum Command {
    Listen {
        id: EndpointId,
        owner: Owner,
        bound: Box<Bound>,
    },
    ListenInproc {
        id: EndpointId,
        owner: Owner,
        endpoint: Arc<Endpoint>,
    },
    Dial {
        id: EndpointId,
        owner: Owner,
        endpoint: Arc<Endpoint>,
        dialer: Box<Dialer>,
    },
    Resolved {
        id: EndpointId,
        addresses: Addresses,
    },
    /// A connection for a listener.
    Attach {
        id: EndpointId,
        socket: Socket,
        peer_addr: Option<SocketAddr>,
        done: Sender<Result<(), CloseReason>>,
    },
    Close {
        which: Which,
        done: Option<Sender<()>>,
    },
    /// A pipe made elsewhere belongs to one of this worker's endpoints.
    Track {
        origin: Origin,
        pipe: Weak<dyn Pipe>,
    },
    ConnEnded(Origin),
    /// A descriptor for datagrams has something to decide.
    Datagrams {
        hub: Arc<Hub>,
        news: News,
    },
    Tend(Arc<dyn Tended>),
    ComeAgain(Arc<Driver>),
    /// Look from time to time whether callers still drive.
    Lease(usize),
    Arm {
        socket: SocketId,
        events: Weak<dyn PipeEvents>,
        key: TimerKey,
        at: Instant,
    },
    Linger {
        socket: Box<dyn Lingering>,
        until: Instant,
    },
    Stop,
}

/// Which endpoints to close.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    /// One, with the connections it made.
    One(EndpointId),
    /// Those of a socket, which sees to its connections by itself.
    AllOf(SocketId),
}

/// A worker as others see it.
#[derive(Clone)]
pub(crate) struct WorkerHandle {
    shared: Arc<Shared>,
}

struct Shared {
    commands: Sender<Command>,
    /// What the worker asks of itself when the channel is full: it cannot wait for itself.
    own: Mutex<VecDeque<Command>>,
    sleep: Sleep,
    /// The worker's poll set; `None` once the worker has ended.
    registry: Mutex<Option<Registry>>,
    drivers: Mutex<Slab<Arc<Driver>>>,
    thread: OnceLock<ThreadId>,
}

impl WorkerHandle {
    pub(super) fn new(poll: &Poll, commands: Sender<Command>) -> io::Result<Self> {
        let shared = Shared {
            commands,
            own: Mutex::default(),
            sleep: Sleep::new(poll.registry(), Tag::Waker.token(0))?,
            registry: Mutex::new(Some(poll.registry().try_clone()?)),
            drivers: Mutex::default(),
            thread: OnceLock::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The calling thread is the worker's.
    pub(super) fn settle(&self) {
        // Set once, when the thread starts.
        let _ = self.shared.thread.set(thread::current().id());
    }

    /// The worker ends: gives its descriptors back, whoever still has a handle.
    pub(super) fn end(&self) {
        self.shared.sleep.retire();
        lock(&self.shared.registry).take();
        let drivers = std::mem::take(&mut *lock(&self.shared.drivers));
        drop(drivers);
    }

    pub(super) fn sleep(&self) -> &Sleep {
        &self.shared.sleep
    }

    pub(super) fn driver(&self, place: usize) -> Option<Arc<Driver>> {
        lock(&self.shared.drivers).get(place).cloned()
    }

    /// Whether the calling thread is the worker's.
    pub(crate) fn is_current(&self) -> bool {
        self.shared.thread.get() == Some(&thread::current().id())
    }

    pub(crate) fn send(&self, command: Command) {
        match self.shared.commands.try_send(command) {
            Ok(()) => {}
            Err(TrySendError::Full(command)) if self.is_current() => {
                lock(&self.shared.own).push_back(command);
            }
            Err(TrySendError::Full(command)) => {
                let _ = self.shared.sleep.notify();
                let _ = self.shared.commands.send(command);
            }
            // The worker has stopped, and it stops when nobody needs it any more.
            Err(TrySendError::Disconnected(_)) => return,
        }
        // The worker always polls, so there is always somebody to hear it.
        let _ = self.shared.sleep.notify();
    }

    /// The worker's next command; its own come after those of others.
    pub(super) fn next_command(&self, commands: &Receiver<Command>) -> Option<Command> {
        commands.try_recv().ok().or_else(|| lock(&self.shared.own).pop_front())
    }

    /// Closes endpoints and waits until they are closed.
    pub(crate) fn close(&self, which: Which) {
        if self.is_current() {
            return self.close_soon(which);
        }
        let (done, closed) = bounded(1);
        self.send(Command::Close { which, done: Some(done) });
        // An error means that the worker has stopped, and its endpoints with it.
        let _ = sync::recv(&closed);
    }

    /// Hands a connection to a listener and waits until it has taken it.
    pub(crate) fn attach(
        &self,
        id: EndpointId,
        socket: Socket,
        peer_addr: Option<SocketAddr>,
    ) -> Result<(), CloseReason> {
        let (done, taken) = bounded(1);
        self.send(Command::Attach { id, socket, peer_addr, done });
        if self.is_current() {
            return Ok(());
        }
        // An error means that the worker has stopped, and its endpoints with it.
        sync::recv(&taken).unwrap_or(Err(CloseReason::Closed))
    }

    /// Closes endpoints without waiting for it.
    pub(crate) fn close_soon(&self, which: Which) {
        self.send(Command::Close { which, done: None });
    }

    /// A pipe streams and wants its queue looked after.
    pub(crate) fn tend(&self, pipe: Arc<dyn Tended>) {
        self.send(Command::Tend(pipe));
    }

    /// A driver has work left that no event will announce.
    pub(crate) fn come_again(&self, driver: Arc<Driver>) {
        self.send(Command::ComeAgain(driver));
    }

    /// A driver is left on lease.
    pub(crate) fn lease(&self, place: usize) {
        self.send(Command::Lease(place));
    }

    pub(crate) fn conn_ended(&self, origin: Origin) {
        self.send(Command::ConnEnded(origin));
    }

    pub(crate) fn track(&self, origin: Origin, pipe: Weak<dyn Pipe>) {
        self.send(Command::Track { origin, pipe });
    }

    /// From now on the worker finds the driver, perhaps at once: a lease may be left from who had the place before.
    pub(crate) fn add_driver(&self, driver: &Arc<Driver>) {
        let mut drivers = lock(&self.shared.drivers);
        let place = drivers.vacant_entry();
        driver.take_place(place.key());
        place.insert(Arc::clone(driver));
    }

    pub(crate) fn remove_driver(&self, driver: &Driver) {
        // Fails only if it was not enrolled.
        let _ =
            self.with_registry(|registry| registry.deregister(&mut SourceFd(&driver.poll_fd())));
        lock(&self.shared.drivers).try_remove(driver.place());
    }

    /// The worker hears of a new driver.
    pub(crate) fn enroll(&self, driver: &Driver) -> io::Result<()> {
        let token = Tag::Driver.token(driver.place());
        self.with_registry(|registry| {
            registry.register(&mut SourceFd(&driver.poll_fd()), token, Interest::READABLE)
        })
    }

    /// From now on the worker drives. Whatever is ready already makes it come.
    pub(crate) fn watch(&self, driver: &Driver) -> io::Result<()> {
        if cfg!(any(target_os = "linux", target_os = "android")) {
            self.listen_for(driver, Interest::READABLE)
        } else {
            self.enroll(driver)
        }
    }

    /// The worker no longer hears of this driver.
    pub(crate) fn release(&self, driver: &Driver) {
        // Fails only if it was not enrolled.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        // Priority is what a poll set never reports. Taking the set out instead would make putting it back cost
        // microseconds for every hundred connections, for the kernel looks for loops each time.
        let _ = self.listen_for(driver, Interest::PRIORITY);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ =
            self.with_registry(|registry| registry.deregister(&mut SourceFd(&driver.poll_fd())));
    }

    fn listen_for(&self, driver: &Driver, interest: Interest) -> io::Result<()> {
        let token = Tag::Driver.token(driver.place());
        self.with_registry(|registry| {
            registry.reregister(&mut SourceFd(&driver.poll_fd()), token, interest)
        })
    }

    fn with_registry(&self, act: impl FnOnce(&Registry) -> io::Result<()>) -> io::Result<()> {
        match &*lock(&self.shared.registry) {
            Some(registry) => act(registry),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// The receiving end, and the token arithmetic of the worker's poll set.
pub(super) type Commands = Receiver<Command>;

impl Tag {
    pub(super) const fn token(self, key: usize) -> Token {
        Token(key << 2 | self as usize)
    }

    pub(super) const fn split(token: Token) -> (usize, Option<Self>) {
        let tag = match token.0 & 3 {
            0 => Some(Self::Waker),
            1 => Some(Self::Driver),
            2 => Some(Self::Source),
            _ => None,
        };
        (token.0 >> 2, tag)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use sp_core::pipe::CloseReason;

    use super::*;

    #[test]
    fn what_the_worker_asks_of_itself_is_done_in_order() {
        let poll = Poll::new().expect("a poll set");
        let (send, commands) = bounded(1);
        let handle = WorkerHandle::new(&poll, send).expect("a worker");
        handle.settle();
        (0..4).for_each(|place| handle.lease(place));
        let asked = std::iter::from_fn(|| match handle.next_command(&commands) {
            Some(Command::Lease(place)) => Some(place),
            _ => None,
        });
        assert_eq!(asked.collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    /// A lease that was left from a place's owner before makes the worker come to a driver that is just being made.
    #[test]
    fn who_is_found_by_a_place_knows_it() {
        let poll = Poll::new().expect("a poll set");
        let (send, commands) = bounded(1024);
        let handle = WorkerHandle::new(&poll, send).expect("a worker");
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let found = handle.driver(0).map(|driver| driver.place());
                    assert!(found.is_none_or(|place| place == 0), "{found:?}");
                }
            });
            for _ in 0..20_000 {
                let driver = Driver::new(handle.clone(), Duration::ZERO, false);
                driver.expect("a driver").retire(&CloseReason::Closed);
                // Retiring leaves a lease with the worker, of whom there is none here.
                while commands.try_recv().is_ok() {}
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
