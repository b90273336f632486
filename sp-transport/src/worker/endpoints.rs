//! The worker's dialers and listeners: from a descriptor to an accepted pipe, and what follows its end. How dialers
//! come by a descriptor stands in `dialing.rs`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Weak};

use mio::Interest;
use mio::unix::SourceFd;
use socket2::Socket;
use sp_core::clock;
use sp_core::endpoint::{Address, Endpoint};
use sp_core::pipe::{CloseReason, Pipe, PipeInfo, ProtocolId};
use sp_core::registry::{ConnControl, ConnSpec, conns};

use super::datagrams::listen_for_answer;
use super::pipes::Pipes;
use super::{Due, HANDSHAKE_POLLING, Origin, Source, Tag, Which, Worker};
use crate::conn::{Conn, PipeSpec, Rx, StreamPipe};
use crate::dialer::Dialer;
use crate::half_open::{HalfOpen, Step};
use crate::layers::{End, Layers};
use crate::listener::{Accepted, Bound, Listener, PAUSE_FIRST, PAUSE_LAST};
use crate::runtime::{EndpointId, Owner};
use crate::stream::{Plain, Stream};
use crate::udp::Hub;

/// A dialer or listener and the pipes it made.
pub(crate) struct Ep {
    pub(super) owner: Owner,
    pub(super) endpoint: Arc<Endpoint>,
    pipes: Pipes,
    pub(super) role: Role,
}

pub(super) enum Role {
    Dialer(Box<Dialer>),
    Listener(Box<Listener>),
    /// A listener whose peers share a descriptor.
    Datagrams(#[expect(dead_code, reason = "keeps the descriptor open")] Arc<Hub>),
    /// Dialers find it by themselves.
    InprocListener,
}

impl Ep {
    pub(super) fn inproc_listener(owner: Owner, endpoint: Arc<Endpoint>) -> Self {
        Self::new(owner, endpoint, Role::InprocListener)
    }

    pub(super) fn new(owner: Owner, endpoint: Arc<Endpoint>, role: Role) -> Self {
        Self { owner, endpoint, pipes: Pipes::default(), role }
    }

    fn connections_max(&self) -> Option<usize> {
        match &self.role {
            Role::Listener(listener) => listener.bound.options.connections_max,
            Role::Dialer(_) | Role::Datagrams(_) | Role::InprocListener => None,
        }
    }

    fn end(&self) -> Option<End<'_>> {
        match &self.role {
            Role::Dialer(dialer) => Some(End::Dialing(&dialer.options)),
            Role::Listener(listener) => Some(End::Listening(&listener.bound)),
            Role::Datagrams(_) | Role::InprocListener => None,
        }
    }
}

impl Worker {
    pub(super) fn start_listener(&mut self, id: EndpointId, owner: Owner, bound: Bound) {
        if let Address::Udp { .. } = bound.endpoint.address() {
            return self.listen_datagrams(id, owner, bound);
        }
        let endpoint = Arc::clone(&bound.endpoint);
        let mut key = None;
        if let Some(door) = &bound.door {
            let place = self.sources.insert(Source::Listener(id));
            if let Err(error) = self.poll_source(door.as_raw_fd(), place) {
                self.sources.remove(place);
                return owner.events.refused(&endpoint, None, CloseReason::Io(error.kind()));
            }
            key = Some(place);
        }
        let listener =
            Listener { bound, key, half_open: 0, pause: PAUSE_FIRST, waits_for_timer: false };
        self.endpoints.insert(id, Ep::new(owner, endpoint, Role::Listener(Box::new(listener))));
    }

    pub(super) fn start_dialer(
        &mut self,
        id: EndpointId,
        owner: Owner,
        endpoint: Arc<Endpoint>,
        dialer: Box<Dialer>,
    ) {
        self.endpoints.insert(id, Ep::new(owner, endpoint, Role::Dialer(dialer)));
        self.attempt(id);
    }

    /// The pause of a listener is over.
    pub(super) fn accept_again(&mut self, id: EndpointId) {
        if let Some(Ep { role: Role::Listener(listener), .. }) = self.endpoints.get_mut(&id) {
            listener.waits_for_timer = false;
            self.accept(id);
        }
    }

    /// Accepts whoever waits at a listener, a bounded number at a time.
    pub(super) fn accept(&mut self, id: EndpointId) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(Ep { role: Role::Listener(listener), owner, pipes, endpoint }) =
                self.endpoints.get_mut(&id)
            else {
                return;
            };
            if listener.waits_for_timer {
                return;
            }
            let (stream, peer_addr) = match listener.accept() {
                Accepted::Peer(stream, addr) => (stream, addr),
                Accepted::Nobody => return,
                Accepted::Gone => continue,
                Accepted::Exhausted(why) => {
                    owner.events.refused(endpoint, None, why);
                    self.timers.add(clock::after(clock::now(), listener.pause), Due::Accept(id));
                    listener.pause = (listener.pause * 2).min(PAUSE_LAST);
                    listener.waits_for_timer = true;
                    return;
                }
            };
            listener.pause = PAUSE_FIRST;
            if let Some(limit) = listener.limit(pipes.len()) {
                owner.events.refused(endpoint, peer_addr, CloseReason::TooMany { limit });
                continue;
            }
            self.shake_hands(id, stream, peer_addr);
        }
        if let Some(Ep { role: Role::Listener(listener), .. }) = self.endpoints.get_mut(&id) {
            // More may wait, and no new event would say so.
            listener.waits_for_timer = true;
            self.timers.add(clock::now(), Due::Accept(id));
        }
    }

    /// Takes over a connection that was handed to a listener.
    pub(super) fn attach(
        &mut self,
        id: EndpointId,
        socket: Socket,
        peer_addr: Option<SocketAddr>,
    ) -> Result<(), CloseReason> {
        let Some(Ep { role: Role::Listener(listener), owner, pipes, endpoint }) =
            self.endpoints.get_mut(&id)
        else {
            return Err(CloseReason::Closed);
        };
        if let Some(limit) = listener.limit(pipes.len()) {
            let why = CloseReason::TooMany { limit };
            owner.events.refused(endpoint, peer_addr, why.clone());
            return Err(why);
        }
        self.shake_hands(id, Stream::Plain(Plain::new(socket)), peer_addr);
        Ok(())
    }

    pub(super) fn shake_hands(
        &mut self,
        id: EndpointId,
        stream: Stream,
        peer_addr: Option<SocketAddr>,
    ) {
        let Some(ep) = self.endpoints.get_mut(&id) else { return };
        let Some(end) = ep.end() else { return };
        let limit = end.conn().handshake_limit;
        let serial = self.next_serial;
        self.next_serial += 1;
        let fd = stream.as_raw_fd();
        let layers = match Layers::new(stream, ep.endpoint.address(), &*ep.owner.events, end) {
            Ok(layers) => layers,
            Err(why) => return self.came_to_nothing(id, peer_addr, why),
        };
        if let Role::Listener(listener) = &mut ep.role {
            listener.half_open += 1;
        }
        let slot = self.sources.vacant_entry();
        let key = slot.key();
        let now = clock::now();
        let deadline = self.timers.add(clock::after(now, limit), Due::HandshakeLimit(key));
        self.expected = Some(now + HANDSHAKE_POLLING);
        let origin = Origin { endpoint: id, serial };
        let half_open = HalfOpen { layers, origin, deadline, peer_addr };
        slot.insert(Source::HalfOpen(Box::new(half_open)));
        if let Role::Dialer(dialer) = &mut ep.role {
            dialer.trying.push(key);
        }
        match self.poll_source(fd, key) {
            // The stream may be ready already, but the first event says so just as well.
            Ok(()) => {}
            Err(error) => self.half_open_failed(key, CloseReason::Io(error.kind())),
        }
    }

    pub(super) fn serve_source(&mut self, key: usize) {
        let step = match self.sources.get_mut(key) {
            // A stale event.
            None => return,
            Some(Source::Listener(id)) => {
                let id = *id;
                return self.accept(id);
            }
            Some(Source::Calling(hub)) => return listen_for_answer(hub),
            Some(Source::HalfOpen(half_open)) => {
                let step = half_open.advance();
                self.leave_rivals(key);
                step
            }
        };
        match step {
            Step::Waiting => self.expected = Some(clock::now() + HANDSHAKE_POLLING),
            Step::Yielding => self.poll_again(key),
            Step::Shaken(protocol) => self.shaken(key, protocol),
            Step::Failed(why) => self.half_open_failed(key, why),
        }
    }

    /// Has the poller tell once more of what it has told already.
    fn poll_again(&mut self, key: usize) {
        let Some(Source::HalfOpen(half_open)) = self.sources.get(key) else { return };
        let fd = half_open.layers.stream.as_raw_fd();
        let again = self.poll.registry().reregister(
            &mut SourceFd(&fd),
            Tag::Source.token(key),
            Interest::READABLE | Interest::WRITABLE,
        );
        if let Err(error) = again {
            self.half_open_failed(key, CloseReason::Io(error.kind()));
        }
    }

    pub(super) fn handshake_limit(&mut self, key: usize) {
        self.half_open_failed(key, CloseReason::HandshakeTimeout);
    }

    pub(super) fn take_half_open(&mut self, key: usize) -> Option<Box<HalfOpen>> {
        if !matches!(self.sources.get(key), Some(Source::HalfOpen(_))) {
            return None;
        }
        let Source::HalfOpen(half_open) = self.sources.remove(key) else { return None };
        self.timers.cancel(half_open.deadline);
        let fd = half_open.layers.stream.as_raw_fd();
        // Fails only if it never was registered.
        let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
        match self.endpoints.get_mut(&half_open.origin.endpoint).map(|ep| &mut ep.role) {
            Some(Role::Listener(listener)) => listener.half_open -= 1,
            Some(Role::Dialer(dialer)) => dialer.trying.retain(|trying| *trying != key),
            Some(Role::Datagrams(_) | Role::InprocListener) | None => {}
        }
        Some(half_open)
    }

    fn half_open_failed(&mut self, key: usize, why: CloseReason) {
        let Some(half_open) = self.take_half_open(key) else { return };
        half_open.turn_away(&why);
        self.came_to_nothing(half_open.endpoint(), half_open.peer_addr, why);
    }

    pub(super) fn came_to_nothing(
        &mut self,
        id: EndpointId,
        addr: Option<SocketAddr>,
        why: CloseReason,
    ) {
        match self.endpoints.get(&id) {
            Some(Ep { role: Role::Dialer(dialer), .. }) if !dialer.addresses.is_empty() => {
                self.connect_next(id, why);
            }
            Some(Ep { role: Role::Dialer(_), .. }) => self.attempt_failed(id, addr, why),
            Some(ep) => ep.owner.events.refused(&ep.endpoint, addr, why),
            None => {}
        }
    }

    /// Both sides have said who they are.
    fn shaken(&mut self, key: usize, got: ProtocolId) {
        let Some(half_open) = self.take_half_open(key) else { return };
        let id = half_open.endpoint();
        let origin = Origin { endpoint: id, ..half_open.origin };
        let Some(ep) = self.endpoints.get(&id) else { return };
        let wanted = ep.owner.events.peer_protocol();
        let addr = half_open.peer_addr;
        if got != wanted {
            half_open.layers.stream.shutdown();
            return self.came_to_nothing(id, addr, CloseReason::WrongProtocol { got, wanted });
        }
        if let Some(limit) = ep.connections_max().filter(|limit| ep.pipes.len() >= *limit) {
            half_open.layers.stream.shutdown();
            return self.came_to_nothing(id, addr, CloseReason::TooMany { limit });
        }
        let Some(options) = ep.end().map(|end| end.conn().clone()) else { return };
        let owner = ep.owner.clone();
        let Layers { stream, framing, early, .. } = half_open.layers;
        if id != half_open.origin.endpoint {
            // Another listener of the port has accepted it, and tuned it as its own.
            stream.tune(&options.tuning);
        }
        let info = PipeInfo {
            local_addr: stream.local_addr(),
            peer_addr: addr,
            peer_certificate: stream.peer_certificate(),
            // Nobody vouches for who has an address on a network.
            credentials: if addr.is_some() { None } else { stream.credentials() },
            ..PipeInfo::new(Arc::clone(&ep.endpoint), matches!(ep.role, Role::Dialer(_)), got)
        };
        if let Err(why) = owner.events.admit(&info) {
            stream.shutdown();
            return self.came_to_nothing(id, addr, why);
        }
        let pipe = StreamPipe::new(PipeSpec {
            info,
            stream,
            framing,
            driver: Arc::clone(&owner.driver),
            events: Arc::clone(&owner.events),
        });
        match owner.events.opened(Arc::clone(&pipe) as Arc<dyn Pipe>) {
            Ok(peer) => {
                pipe.accepted(peer);
                self.made(origin, Arc::clone(&pipe) as Arc<dyn Pipe>);
                let entry = conns().register(ConnSpec {
                    socket: owner.socket,
                    control: Arc::clone(&pipe) as Arc<dyn ConnControl>,
                });
                let rx = Rx::new(framing, options.recv_max, peer, &early);
                if owner.driver.adopt(Conn { pipe, rx, peer, entry, origin }) {
                    self.list(owner.driver);
                }
            }
            Err(why) => {
                pipe.shut();
                self.came_to_nothing(id, addr, why);
            }
        }
    }

    /// An endpoint has made a pipe.
    pub(super) fn made(&mut self, origin: Origin, pipe: Arc<dyn Pipe>) {
        self.track(origin, Arc::downgrade(&pipe));
        if let Some(Ep { role: Role::Dialer(dialer), .. }) =
            self.endpoints.get_mut(&origin.endpoint)
        {
            dialer.succeeded();
        }
    }

    pub(super) fn track(&mut self, origin: Origin, pipe: Weak<dyn Pipe>) {
        match self.endpoints.get_mut(&origin.endpoint) {
            Some(ep) => {
                ep.pipes.insert(origin.serial, pipe);
            }
            // The endpoint was closed while the pipe was made; it takes the pipe along.
            None => close_pipe(&pipe),
        }
    }

    pub(super) fn conn_ended(&mut self, origin: Origin) {
        let Some(ep) = self.endpoints.get_mut(&origin.endpoint) else { return };
        if !ep.pipes.remove(origin.serial) {
            return;
        }
        if let Role::Dialer(dialer) = &mut ep.role {
            let wait = dialer.lost();
            self.timers.add(clock::after(clock::now(), wait), Due::Redial(origin.endpoint));
        }
    }

    pub(super) fn close(&mut self, which: Which) {
        let ids: Vec<EndpointId> = match which {
            Which::One(id) => vec![id],
            Which::AllOf(socket) => {
                self.engine_timers.retain(|(of, _), _| *of != socket);
                let ids = self.endpoints.iter().filter(|(_, ep)| ep.owner.socket == socket);
                ids.map(|(id, _)| *id).collect()
            }
        };
        for id in ids {
            let Some(mut ep) = self.endpoints.remove(&id) else { continue };
            if matches!(which, Which::One(_)) {
                ep.pipes.iter().for_each(close_pipe);
            }
            if let Role::Dialer(dialer) = &mut ep.role
                && let Some(calling) = dialer.calling.take()
            {
                self.hang_up(calling);
            }
            if let Role::Listener(listener) = &ep.role
                && let (Some(key), Some(door)) = (listener.key, &listener.bound.door)
            {
                self.sources.try_remove(key);
                // Registered when the listener started.
                let _ = self.poll.registry().deregister(&mut SourceFd(&door.as_raw_fd()));
            }
            let (poll, timers) = (&self.poll, &mut self.timers);
            self.sources.retain(|_, source| match source {
                Source::HalfOpen(half_open) if half_open.origin.endpoint == id => {
                    timers.cancel(half_open.deadline);
                    let fd = half_open.layers.stream.as_raw_fd();
                    let _ = poll.registry().deregister(&mut SourceFd(&fd));
                    half_open.layers.stream.shutdown();
                    false
                }
                _ => true,
            });
        }
    }

    pub(super) fn poll_source(&self, fd: RawFd, key: usize) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut SourceFd(&fd), Tag::Source.token(key), interest)
    }
}

fn close_pipe(pipe: &Weak<dyn Pipe>) {
    if let Some(pipe) = pipe.upgrade() {
        pipe.close(CloseReason::Closed);
    }
}

/// Peers accepted at one listener before the worker looks after other things.
const ACCEPTS_PER_TURN: usize = 64;
