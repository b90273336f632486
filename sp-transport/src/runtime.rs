//! The worker threads of the process: started by the first socket, ended with the last.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use sp_core::endpoint::{Address, Endpoint};
use sp_core::id::{SocketId, TimerKey};
use sp_core::pipe::{CloseReason, PipeEvents};
use sp_core::process::{PerProcess, Process};
use sp_core::sync::lock;
use sp_core::sync::thread::JoinHandle;

use crate::dialer;
use crate::driver::Driver;
use crate::error::{AttachError, DialError, ListenError};
use crate::given;
use crate::inproc;
use crate::listener::{self, Bound};
use crate::options::{DialOptions, ListenOptions};
use crate::sync;
use crate::sys;
use crate::worker::{self, Command, Which, WorkerHandle};

/// The worker threads. Sockets share them; when the last lets go they end.
pub struct Runtime {
    /// Whose threads they are: a forked child has none of them.
    process: Process,
    worker: WorkerHandle,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What endpoints need to know of the socket they belong to.
#[derive(Clone)]
pub struct Owner {
    /// The socket.
    pub socket: SocketId,
    /// Where its events go.
    pub events: Arc<dyn PipeEvents>,
    /// Who carries its connections.
    pub driver: Arc<Driver>,
}

/// Names a dialer or listener of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(u64);

/// A socket whose handles are gone and whose last messages are still on their way.
pub trait Lingering: Send {
    /// Whether nothing is left to wait for.
    fn is_drained(&self) -> bool;
    /// Ends the socket for good.
    fn finish(self: Box<Self>);
}

impl EndpointId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Runtime {
    /// The process's runtime, started if there is none.
    pub fn acquire() -> io::Result<Arc<Self>> {
        static CURRENT: PerProcess<Mutex<Weak<Runtime>>> =
            PerProcess::first(Mutex::new(Weak::new()));
        sys::hear_of_forks()?;
        let mut current = lock(CURRENT.or_default());
        if let Some(runtime) = current.upgrade() {
            return Ok(runtime);
        }
        let (worker, thread) = worker::start("sp-io-0")?;
        let thread = Mutex::new(Some(thread));
        let runtime = Arc::new(Self { process: Process::current(), worker, thread });
        *current = Arc::downgrade(&runtime);
        Ok(runtime)
    }

    /// Lets go of the runtime and, if nobody else holds it, waits until its threads have ended.
    pub fn release(self: Arc<Self>) {
        let Some(runtime) = Arc::into_inner(self) else { return };
        let thread = lock(&runtime.thread).take();
        let on_worker = runtime.worker.is_current();
        drop(runtime);
        if let Some(thread) = thread
            && !on_worker
        {
            // A panic of the worker has been reported by the panic hook already.
            let _ = thread.join();
        }
    }

    /// A driver for one more socket. `spin` bounds its polling before it sleeps; zero switches that off.
    /// `asks` says that its waits are for answers.
    pub fn driver(&self, spin: Duration, asks: bool) -> io::Result<Arc<Driver>> {
        Driver::new(self.worker.clone(), spin, asks)
    }

    /// Starts a listener. The address in the answer is the real one, with the port the system chose.
    pub fn listen(
        &self,
        owner: &Owner,
        endpoint: &Endpoint,
        options: &ListenOptions,
    ) -> Result<(EndpointId, Arc<Endpoint>), ListenError> {
        options.check(endpoint)?;
        let id = EndpointId::next();
        if let Address::Inproc { name } = endpoint.address() {
            let endpoint = Arc::new(endpoint.clone());
            // The worker knows the endpoint before anybody can find its name and connect.
            self.worker.send(Command::ListenInproc {
                id,
                owner: owner.clone(),
                endpoint: Arc::clone(&endpoint),
            });
            inproc::listen(id, name, &endpoint, owner, &self.worker)
                .inspect_err(|_| self.worker.close_soon(Which::One(id)))?;
            return Ok((id, endpoint));
        }
        let bound = listener::bind(endpoint, options, id, owner.events.protocol())?;
        Ok(self.start(id, owner, bound))
    }

    /// Starts a listener on a descriptor that is bound and listens already. `endpoint` says what is spoken there.
    pub fn listen_on(
        &self,
        owner: &Owner,
        fd: OwnedFd,
        endpoint: &Endpoint,
        options: &ListenOptions,
    ) -> Result<(EndpointId, Arc<Endpoint>), ListenError> {
        options.check(endpoint)?;
        let id = EndpointId::next();
        let bound = given::listening(fd, endpoint, options, id, owner.events.protocol())?;
        Ok(self.start(id, owner, bound))
    }

    fn start(&self, id: EndpointId, owner: &Owner, bound: Bound) -> (EndpointId, Arc<Endpoint>) {
        let endpoint = Arc::clone(&bound.endpoint);
        self.worker.send(Command::Listen { id, owner: owner.clone(), bound: Box::new(bound) });
        (id, endpoint)
    }

    /// Hands a connected descriptor to a listener that was started for `socket://`.
    pub fn attach(&self, id: EndpointId, fd: OwnedFd) -> Result<(), AttachError> {
        if !self.process.is_current() {
            return Err(AttachError::Forked);
        }
        let (socket, peer_addr) = given::connected(fd)?;
        self.worker.attach(id, socket, peer_addr).map_err(|why| match why {
            CloseReason::TooMany { limit } => AttachError::TooMany { limit },
            _ => AttachError::Closed,
        })
    }

    /// Starts a dialer. Unless it is to work in the background, waits for the first connection.
    pub fn dial(
        &self,
        owner: &Owner,
        endpoint: &Endpoint,
        options: &DialOptions,
    ) -> Result<EndpointId, DialError> {
        options.check(endpoint)?;
        if !options.background && self.worker.is_current() {
            return Err(DialError::WouldDeadlock { url: endpoint.to_string() });
        }
        let id = EndpointId::next();
        let endpoint = Arc::new(endpoint.clone());
        let (report, outcome) = bounded(1);
        let dialer = dialer::Dialer::new(options.clone(), (!options.background).then_some(report));
        self.worker.send(Command::Dial {
            id,
            owner: owner.clone(),
            endpoint: Arc::clone(&endpoint),
            dialer: Box::new(dialer),
        });
        if options.background {
            return Ok(id);
        }
        match sync::recv(&outcome) {
            Ok(Ok(())) => Ok(id),
            Ok(Err(why)) => Err(DialError::Failed { url: endpoint.to_string(), why }),
            // The dialer was dropped with its socket.
            Err(_) => Err(DialError::Closed { url: endpoint.to_string() }),
        }
    }

    /// Has a dialer's name stand for these addresses.
    #[cfg(test)]
    pub(crate) fn resolved(&self, id: EndpointId, addresses: Vec<std::net::SocketAddr>) {
        self.worker.send(Command::Resolved { id, addresses: Ok(addresses) });
    }

    /// Ends a dialer or listener and the connections it made; afterwards its address is free.
    pub fn close_endpoint(&self, id: EndpointId) {
        if !self.process.is_current() {
            // It is the parent's to close, and nobody here would answer.
            return;
        }
        inproc::unlisten(id);
        self.worker.close(Which::One(id));
    }

    /// Ends all dialers and listeners of a socket; their connections stay.
    pub fn close_endpoints_of(&self, socket: SocketId) {
        inproc::unlisten_socket(socket);
        self.worker.close(Which::AllOf(socket));
    }

    /// As [`close_endpoints_of`](Self::close_endpoints_of), without waiting for it.
    pub fn abandon_endpoints_of(&self, socket: SocketId) {
        inproc::unlisten_socket(socket);
        self.worker.close_soon(Which::AllOf(socket));
    }

    /// Calls the socket's `timer` with `key` at `at`; replaces an earlier deadline of that key.
    pub fn arm(&self, socket: SocketId, events: Weak<dyn PipeEvents>, key: TimerKey, at: Instant) {
        self.worker.send(Command::Arm { socket, events, key, at });
    }

    /// Looks after a socket that nobody holds any more until it has drained or `until` has come.
    pub fn linger(&self, socket: Box<dyn Lingering>, until: Instant) {
        self.worker.send(Command::Linger { socket, until });
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.process.is_current() {
            self.worker.send(Command::Stop);
        }
    }
}

/// Reports the outcome of a dialer's first attempt.
pub(crate) type Report = crossbeam_channel::Sender<Result<(), CloseReason>>;
