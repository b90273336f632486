//! One descriptor and everybody at its other ends.

use std::io::{self, ErrorKind, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use socket2::{SockAddr, SockRef};
use sp_core::batch::Batch;
use sp_core::clock;
use sp_core::datagram::Lost;
use sp_core::endpoint::Endpoint;
use sp_core::pipe::{CloseReason, PipeEvents, ProtocolId};
use sp_core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use sp_core::sync::{Mutex, MutexGuard, lock};

use super::pipe::UdpPipe;
use super::table::{Due, Heard, Table, Terms, Word, reason_of};
use crate::conn::ReadBuf;
use crate::driver::Driver;
use crate::runtime::{EndpointId, Owner};
use crate::sys;
use crate::timer::Deadline;
use crate::wire::datagram::Offer;
use crate::worker::{Command, Origin, WorkerHandle};

/// A descriptor of a dialer or listener, in the hands of its socket's driver. It stays open for as long as the endpoint
/// or one of its pipes needs it; the driver does not hold it.
pub(crate) struct Hub {
    socket: UdpSocket,
    /// Whom a dialer's socket is connected to.
    connected: Option<SocketAddr>,
    id: EndpointId,
    endpoint: Arc<Endpoint>,
    protocol: ProtocolId,
    table: Mutex<Table<Weak<UdpPipe>>>,
    /// Room for what is due. Only the worker takes it.
    due: Mutex<Vec<Due<Weak<UdpPipe>>>>,
    /// Pipes that wait until the kernel takes more.
    blocked: Mutex<Vec<Weak<UdpPipe>>>,
    /// Pipes that can be received from again.
    resumed: Mutex<Vec<Weak<UdpPipe>>>,
    events: Arc<dyn PipeEvents>,
    driver: Arc<Driver>,
    worker: WorkerHandle,
    /// Datagrams that the system is known to have dropped, and whether more came at a time than a turn reads, so that
    /// there may be others. Only whoever drives touches these.
    overrun: AtomicU64,
    strained: AtomicBool,
    /// When the worker comes again. Only the worker touches this.
    next_tick: Mutex<Option<Deadline>>,
    /// Where the driver keeps it, once it does.
    slot: OnceLock<usize>,
}

/// What the worker has to see to.
pub(crate) enum News {
    /// A stranger wants to be a peer.
    Knock(SocketAddr, Offer),
    /// The peer that was called has answered.
    Opened(Arc<UdpPipe>),
    /// What was to be a pipe is none.
    Failed(Arc<UdpPipe>, CloseReason),
    /// A pipe is over.
    Over(Origin),
}

/// Whether there may be more to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Drained,
    More,
}

/// What became of a datagram.
pub(crate) enum Sent {
    Gone,
    /// The kernel takes no more for now.
    Blocked,
    /// Longer than the network takes.
    TooLong,
    /// The system did not send it, and may send the next.
    Lost,
    /// Nobody has the peer's port.
    Refused,
}

impl Hub {
    /// `connected` is whom a dialer's socket is connected to; without it, it is a listener's.
    pub(crate) fn new(
        socket: UdpSocket,
        connected: Option<SocketAddr>,
        (id, endpoint): (EndpointId, &Arc<Endpoint>),
        owner: &Owner,
        worker: &WorkerHandle,
        terms: Terms,
    ) -> Arc<Self> {
        Arc::new(Self {
            socket,
            connected,
            id,
            endpoint: Arc::clone(endpoint),
            protocol: terms.protocol,
            table: Mutex::new(Table::new(terms, connected.is_some())),
            due: Mutex::default(),
            blocked: Mutex::default(),
            resumed: Mutex::default(),
            events: Arc::clone(&owner.events),
            driver: Arc::clone(&owner.driver),
            worker: worker.clone(),
            overrun: AtomicU64::new(0),
            strained: AtomicBool::new(false),
            next_tick: Mutex::default(),
            slot: OnceLock::new(),
        })
    }

    pub(crate) const fn endpoint_id(&self) -> EndpointId {
        self.id
    }

    pub(crate) const fn protocol(&self) -> ProtocolId {
        self.protocol
    }

    pub(crate) const fn connected(&self) -> Option<SocketAddr> {
        self.connected
    }

    pub(crate) fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// When the worker comes again, for it to note.
    pub(crate) fn next_tick(&self) -> MutexGuard<'_, Option<Deadline>> {
        lock(&self.next_tick)
    }

    /// The driver keeps it at `key`.
    pub(crate) fn take_slot(&self, key: usize) {
        // Set once: a descriptor is taken in once.
        let _ = self.slot.set(key);
    }

    /// Where the driver keeps it.
    pub(crate) fn slot(&self) -> Option<usize> {
        self.slot.get().copied()
    }

    /// The driver cannot hear of it.
    pub(crate) fn fail(&self, kind: ErrorKind) {
        let why = CloseReason::Io(kind);
        match self.connected.and_then(|addr| lock(&self.table).at(addr)) {
            Some(pipe) => end(&pipe, why),
            None => self.events.refused(&self.endpoint, None, why),
        }
    }

    /// Calls `addr` for `pipe` until `until`, beginning with the next [`tick`](Self::tick).
    pub(crate) fn call(&self, addr: SocketAddr, pipe: &Arc<UdpPipe>, until: Instant) {
        lock(&self.table).call(addr, Arc::downgrade(pipe), clock::now(), until);
    }

    /// The stranger at `addr` is let in as `pipe`. Answers no if it has gone meanwhile.
    pub(crate) fn admit(&self, addr: SocketAddr, pipe: &Arc<UdpPipe>) -> bool {
        let answer = lock(&self.table).admit(addr, Arc::downgrade(pipe));
        answer.inspect(|answer| self.say(addr, answer)).is_some()
    }

    /// The stranger that knocks at `addr` is not let in, and told why.
    pub(crate) fn turn_away(&self, addr: SocketAddr, why: &CloseReason) {
        self.forget(addr, &Weak::new(), why);
    }

    /// `pipe` is over; who is at its other end is told why unless it knows.
    pub(crate) fn forget(&self, addr: SocketAddr, pipe: &Weak<UdpPipe>, why: &CloseReason) {
        let is_it = |other: &Weak<UdpPipe>| other.ptr_eq(pipe);
        let goodbye = lock(&self.table).forget(addr, is_it, reason_of(why));
        goodbye.inspect(|goodbye| self.say(addr, goodbye));
    }

    /// Whether `addr` waits to be let in.
    pub(crate) fn knocks(&self, addr: SocketAddr) -> bool {
        lock(&self.table).knocks(addr)
    }

    /// Does what is due. Answers when to come again.
    pub(crate) fn tick(&self) -> Option<Instant> {
        let mut list = std::mem::take(&mut *lock(&self.due));
        let next = lock(&self.table).tick(clock::now(), &mut list);
        for due in list.drain(..) {
            match due {
                Due::Say(addr, word) => self.say(addr, &word),
                Due::End(pipe, why) => end(&pipe, why),
            }
        }
        *lock(&self.due) = list;
        next
    }

    /// Reads and delivers what has come, up to a share.
    pub(crate) fn receive(self: &Arc<Self>, shared: &mut ReadBuf) -> Read {
        let (bytes, batch) = shared.parts();
        let mut now = None;
        let mut pipe: Option<Arc<UdpPipe>> = None;
        let mut share = TURN_BYTES;
        while share > 0 {
            let (len, from) = match self.read(bytes) {
                Ok(read) => read,
                Err(error) => {
                    deliver(pipe, batch);
                    return self.unread(&error);
                }
            };
            share = share.saturating_sub(len + DATAGRAM_BYTES);
            let now = *now.get_or_insert_with(clock::now);
            // The lock is let go of before anything is done.
            let heard = lock(&self.table).heard(from, &bytes[..len], now);
            if let Heard::Message(of, payload) = heard {
                if pipe.as_ref().is_none_or(|pipe| of.as_ptr() != Arc::as_ptr(pipe)) {
                    deliver(pipe, batch);
                    pipe = of.upgrade();
                }
                batch.push_front_of(payload, payload.len(), pipe.as_ref().and_then(|p| p.peer()));
                continue;
            }
            // What came before an end is delivered before it.
            deliver(pipe.take(), batch);
            self.follow(from, heard);
        }
        deliver(pipe, batch);
        self.strained.store(true, Ordering::Relaxed);
        Read::More
    }

    /// Whether pipes wait until the kernel takes more. Only then is the driver to hear of that: each datagram that
    /// leaves makes room and would wake it.
    pub(crate) fn is_blocked(&self) -> bool {
        !lock(&self.blocked).is_empty()
    }

    /// The kernel has room: pipes that waited for it go on.
    pub(crate) fn writable(&self) {
        for_each(&self.blocked, UdpPipe::writable);
    }

    /// Pipes that can be received from again get what waits for that.
    pub(crate) fn resume(&self) {
        for_each(&self.resumed, UdpPipe::unstall);
    }

    /// `pipe`, whose machine has heard of it, is to be told when the kernel has room.
    pub(crate) fn block(self: &Arc<Self>, pipe: &Weak<UdpPipe>) {
        if add(&self.blocked, pipe) {
            self.driver.attend_hub(Arc::clone(self));
        }
    }

    /// `pipe` can be received from again.
    pub(crate) fn resume_later(self: &Arc<Self>, pipe: &Weak<UdpPipe>) {
        if add(&self.resumed, pipe) {
            self.driver.attend_hub_when_needed(Arc::clone(self));
        }
    }

    /// Sends one datagram in two pieces; `to` where the socket is not connected.
    pub(crate) fn send(&self, to: Option<&SockAddr>, head: &Word, payload: &[u8]) -> Sent {
        let pieces = [IoSlice::new(head), IoSlice::new(payload)];
        let socket = SockRef::from(&self.socket);
        let mut is_news = true;
        loop {
            let sent = match to {
                Some(to) => socket.send_to_vectored(&pieces, to),
                None => socket.send_vectored(&pieces),
            };
            return match sent {
                Ok(_) => Sent::Gone,
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => continue,
                    ErrorKind::WouldBlock => Sent::Blocked,
                    // That an earlier one was too long for the path is told once, and of the next one.
                    _ if is_too_long(&error) && std::mem::take(&mut is_news) => continue,
                    _ if is_too_long(&error) => Sent::TooLong,
                    ErrorKind::ConnectionRefused => Sent::Refused,
                    _ => Sent::Lost,
                },
            };
        }
    }

    /// Says something that may be lost like anything else.
    fn say(&self, addr: SocketAddr, word: &Word) {
        let _ = match self.connected {
            Some(_) => self.socket.send(word),
            None => self.socket.send_to(word, addr),
        };
    }

    fn read(&self, bytes: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            let read = match self.connected {
                Some(addr) => self.socket.recv(bytes).map(|len| (len, addr)),
                None => self.socket.recv_from(bytes),
            };
            match read {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Nothing was read.
    fn unread(&self, error: &io::Error) -> Read {
        if error.kind() == ErrorKind::WouldBlock {
            if self.strained.swap(false, Ordering::Relaxed) {
                self.count_overrun();
            }
            return Read::Drained;
        }
        if let Some(addr) = self.connected
            && !is_too_long(error)
        {
            // Nobody is there, or no way leads there.
            let pipe = lock(&self.table).at(addr);
            pipe.iter().for_each(|pipe| end(pipe, CloseReason::Io(error.kind())));
        }
        Read::More
    }

    /// More came than was read in time: asks the system what that cost.
    fn count_overrun(&self) {
        if let Some(dropped) = sys::dropped(self.socket.as_fd()) {
            let more = dropped.saturating_sub(self.overrun.swap(dropped, Ordering::Relaxed));
            if more > 0 {
                self.events.lost(None, Lost::Overrun, more as usize);
            }
        }
    }

    fn follow(self: &Arc<Self>, from: SocketAddr, heard: Heard<'_, Weak<UdpPipe>>) {
        match heard {
            Heard::Message(..) | Heard::Answer(None) => {}
            Heard::Answer(Some(word)) => self.say(from, &word),
            Heard::Stray(what, answer) => {
                self.events.lost(None, what, 1);
                answer.inspect(|answer| self.say(from, answer));
            }
            Heard::Knock(offer) => self.tell(News::Knock(from, offer)),
            Heard::Opened(pipe, offer) => {
                if let Some(pipe) = pipe.upgrade() {
                    pipe.set_payload_max(offer.payload_max);
                    self.tell(News::Opened(pipe));
                }
            }
            Heard::Refused(why, word) => {
                self.say(from, &word);
                self.events.refused(&self.endpoint, Some(from), why);
            }
            Heard::Ended(pipe, why) => end(&pipe, why),
        }
    }

    pub(super) fn tell(self: &Arc<Self>, news: News) {
        self.worker.send(Command::Datagrams { hub: Arc::clone(self), news });
    }
}

fn end(pipe: &Weak<UdpPipe>, why: CloseReason) {
    if let Some(pipe) = pipe.upgrade() {
        pipe.end(why);
    }
}

/// What the system says of a datagram that the path does not take in one piece. It notes how much the path takes and
/// cuts the next ones, so nothing ends.
fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

/// Adds a pipe to a list. Answers whether it is the only one there, so that somebody has to be told.
fn add(list: &Mutex<Vec<Weak<UdpPipe>>>, pipe: &Weak<UdpPipe>) -> bool {
    let mut list = lock(list);
    list.push(Weak::clone(pipe));
    list.len() == 1
}

/// Empties a list and does something with every pipe in it. The list keeps the room it has.
fn for_each(list: &Mutex<Vec<Weak<UdpPipe>>>, act: impl Fn(&UdpPipe)) {
    let mut pipes = std::mem::take(&mut *lock(list));
    pipes.drain(..).filter_map(|pipe| pipe.upgrade()).for_each(|pipe| act(&pipe));
    let mut list = lock(list);
    if list.is_empty() {
        *list = pipes;
    }
}

/// Hands over what has come from one pipe.
fn deliver(pipe: Option<Arc<UdpPipe>>, batch: &mut Batch) {
    match pipe {
        Some(pipe) if !batch.is_empty() => pipe.deliver(batch),
        // It is gone.
        _ => batch.clear(),
    }
}

/// What one turn reads before others have theirs: as much as from a stream, where a datagram counts as what the kernel
/// keeps for a small one. So whatever fills the kernel's buffer is more than one turn.
const TURN_BYTES: usize = 64 << 10;
const DATAGRAM_BYTES: usize = 768;
