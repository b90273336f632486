//! A peer over UDP: a pipe whose messages leave as datagrams, on the thread that flushes.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};

use socket2::SockAddr;
use sp_core::batch::Batch;
use sp_core::datagram::Lost;
use sp_core::held::Held;
use sp_core::id::{ConnId, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{Backlog, CloseReason, Flow, Flush, Pipe, PipeEvents, PipeInfo, Standing};
use sp_core::registry::{ConnControl, ConnSpec, conns};
use sp_core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use sp_core::sync::{Mutex, lock};

use super::hub::{Hub, News, Sent};
use crate::conn::{Decision, Outbox, Turn};
use crate::runtime::Owner;
use crate::wire::datagram::{HEAD_BYTES, message_head};
use crate::worker::{Origin, Tended};

/// One association.
pub(crate) struct UdpPipe {
    me: Weak<Self>,
    info: PipeInfo,
    hub: Arc<Hub>,
    addr: SocketAddr,
    /// Whom to send to; `None` where the descriptor is connected.
    to: Option<SockAddr>,
    /// The longest message the peer takes.
    payload_max: AtomicUsize,
    out: Mutex<Outbox>,
    /// Nothing may leave, for the peer does not know of the association yet. Changed with the outbox locked.
    waits: AtomicBool,
    /// Messages came and there is no room for them, or nobody has agreed to take them yet. Only the driver looks.
    stalls: AtomicBool,
    stalled: Mutex<Batch>,
    events: Arc<dyn PipeEvents>,
    /// What the socket calls the peer, once it has accepted it.
    peer: OnceLock<PeerId>,
    conn: OnceLock<ConnId>,
    origin: Origin,
    /// The worker looks after the pipe. Only the worker touches this.
    tended: AtomicBool,
}

impl UdpPipe {
    pub(crate) fn new(
        info: PipeInfo,
        hub: &Arc<Hub>,
        addr: SocketAddr,
        owner: &Owner,
        origin: Origin,
    ) -> Arc<Self> {
        let to = if hub.connected().is_some() { None } else { Some(SockAddr::from(addr)) };
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            info,
            hub: Arc::clone(hub),
            addr,
            to,
            payload_max: AtomicUsize::new(0),
            out: Mutex::new(Outbox::new()),
            waits: AtomicBool::new(true),
            stalls: AtomicBool::new(true),
            stalled: Mutex::default(),
            events: Arc::clone(&owner.events),
            peer: OnceLock::new(),
            conn: OnceLock::new(),
            origin,
            tended: AtomicBool::new(false),
        })
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) const fn origin(&self) -> Origin {
        self.origin
    }

    /// What the socket calls the peer, once it has accepted it.
    pub(crate) fn peer(&self) -> Option<PeerId> {
        self.peer.get().copied()
    }

    /// The peer takes no longer messages than this.
    pub(crate) fn set_payload_max(&self, bytes: u16) {
        self.payload_max.store(usize::from(bytes).min(PAYLOAD_MAX), Ordering::Relaxed);
    }

    /// The socket has accepted the pipe and calls the peer `peer`.
    pub(crate) fn accepted(self: &Arc<Self>, owner: &Owner, peer: PeerId) {
        // Set once: the worker accepts each pipe once.
        let _ = self.peer.set(peer);
        let entry = conns().register(ConnSpec {
            socket: owner.socket,
            control: Arc::clone(self) as Arc<dyn ConnControl>,
        });
        let _ = self.conn.set(entry.id());
        if lock(&self.out).is_closed() {
            conns().unregister(entry.id());
        }
    }

    /// The peer knows of the association: what was queued leaves, and what came is delivered.
    pub(crate) fn begin(&self) {
        {
            let _out = lock(&self.out);
            self.waits.store(false, Ordering::Relaxed);
        }
        self.flush(Flush::Urgent);
        self.hub.resume_later(&self.me);
        self.hub.driver().notify();
    }

    /// The driver brings messages of the peer.
    pub(crate) fn deliver(&self, batch: &mut Batch) {
        if let Some(peer) = self.peer()
            && !self.stalls.load(Ordering::Relaxed)
        {
            batch.complete_source(peer);
            if self.events.arrived(peer, batch) == Flow::More {
                return;
            }
            self.stalls.store(true, Ordering::Relaxed);
        }
        self.stall(batch);
        if !batch.is_empty() {
            self.events.lost(self.peer(), Lost::NoRoom, batch.len());
            batch.clear();
        }
    }

    /// The driver brings what waited for room.
    pub(crate) fn unstall(&self) {
        self.stalls.store(false, Ordering::Relaxed);
        let mut batch = std::mem::take(&mut *lock(&self.stalled));
        if !batch.is_empty() {
            self.deliver(&mut batch);
            // Keeps the room it has, unless that is in use again.
            lock(&self.stalled).take_from(&mut batch, 0);
        }
    }

    /// Keeps of `batch` what may wait.
    fn stall(&self, batch: &mut Batch) {
        let mut stalled = lock(&self.stalled);
        let room = STALLED_MAX.saturating_sub(stalled.len());
        if stalled.bytes() + batch.bytes() <= STALLED_BYTES_MAX {
            stalled.take_from(batch, room);
            return;
        }
        for _ in 0..room {
            if stalled.bytes() >= STALLED_BYTES_MAX {
                return;
            }
            let Some(msg) = batch.pop() else { return };
            stalled.push(msg);
        }
    }

    /// The kernel has room.
    pub(crate) fn writable(&self) {
        if lock(&self.out).pacer.writer.writable() {
            self.write();
        }
    }

    /// Ends the association, and tells everybody concerned.
    pub(crate) fn end(&self, why: CloseReason) {
        // A writing thread gets rid of what it has taken.
        let waited = lock(&self.out).close();
        if waited.is_none() {
            return;
        }
        if self.peer().is_some() {
            self.tell_closed(why);
        } else if let Some(me) = self.me.upgrade() {
            // It is no pipe to its socket, unless it becomes one just now.
            self.hub.forget(self.addr, &self.me, &why);
            self.hub.tell(News::Failed(me, why));
        }
    }

    /// Tells everybody concerned that the association is over.
    pub(crate) fn tell_closed(&self, why: CloseReason) {
        let Some(peer) = self.peer() else { return };
        self.hub.forget(self.addr, &self.me, &why);
        let left = std::mem::take(&mut *lock(&self.stalled)).len();
        if left > 0 {
            self.events.lost(Some(peer), Lost::NoRoom, left);
        }
        self.events.closed(peer, why);
        self.hub.driver().shorten_lease();
        if let Some(conn) = self.conn.get() {
            conns().unregister(*conn);
        }
        self.hub.tell(News::Over(self.origin));
    }

    /// Writes until nothing waits, the kernel takes no more or this thread has done its share. Only for the thread that
    /// the machine chose.
    fn write(&self) {
        let mut flight = Batch::new();
        let mut share = DATAGRAMS_PER_WRITE;
        while self.load(&mut flight) {
            while let Some(msg) = flight.first() {
                if share == 0 {
                    let decision = {
                        let mut out = lock(&self.out);
                        if !out.unload(&mut flight) {
                            return drop(out);
                        }
                        out.pacer.writer.handed_over()
                    };
                    // Nothing is asked of the worker with a lock held that it may be waiting for.
                    return self.follow(decision);
                }
                match self.send(msg.payload()) {
                    Sent::Gone => {}
                    Sent::Lost => self.events.lost(self.peer(), Lost::NotSent, 1),
                    Sent::TooLong => self.events.lost(self.peer(), Lost::TooLong, 1),
                    Sent::Blocked => break,
                    Sent::Refused => {
                        lock(&self.out).pacer.writer.drained();
                        return self.end(CloseReason::Io(ErrorKind::ConnectionRefused));
                    }
                }
                drop(flight.pop());
                share -= 1;
            }
            let is_blocked = !flight.is_empty();
            let mut out = lock(&self.out);
            if !out.unload(&mut flight) {
                return drop(out);
            }
            if is_blocked && !out.pacer.writer.refused() {
                drop(out);
                return self.hub.block(&self.me);
            }
        }
    }

    /// Puts into `flight` what to write next; answers no if that is nothing.
    fn load(&self, flight: &mut Batch) -> bool {
        let (is_loaded, room) = {
            let mut out = lock(&self.out);
            (out.load(flight), out.take_room_owed())
        };
        if room && let Some(peer) = self.peer() {
            self.events.room(peer);
        }
        is_loaded
    }

    /// Does what the machine decided.
    fn follow(&self, decision: Decision) {
        match decision {
            Decision::Write => self.write(),
            Decision::Delegate => {
                if let Some(me) = self.me.upgrade() {
                    self.hub.driver().tend(me);
                }
            }
            Decision::Leave => {}
        }
    }

    fn send(&self, payload: &[u8]) -> Sent {
        let fits = payload.len() <= self.payload_max.load(Ordering::Relaxed);
        match u16::try_from(payload.len()) {
            Ok(len) if fits => {
                let head = message_head(self.hub.protocol(), len);
                self.hub.send(self.to.as_ref(), &head, payload)
            }
            _ => Sent::TooLong,
        }
    }
}

impl Tended for UdpPipe {
    fn tend(&self) -> bool {
        let turn = {
            let mut out = lock(&self.out);
            let pressing = out.pressing();
            out.pacer.writer.turn(pressing)
        };
        if turn == Turn::Write {
            self.write();
        }
        turn != Turn::Done
    }

    fn set_tended(&self, tended: bool) -> bool {
        self.tended.swap(tended, Ordering::Relaxed) != tended
    }
}

impl ConnControl for UdpPipe {
    fn close(&self, why: CloseReason) {
        self.end(why);
    }

    fn transport(&self) -> &'static str {
        self.info.endpoint.scheme()
    }

    fn peer(&self) -> Option<PeerId> {
        self.peer.get().copied()
    }
}

impl Pipe for UdpPipe {
    fn info(&self) -> PipeInfo {
        self.info.clone()
    }

    fn room(&self) -> bool {
        lock(&self.out).ask_room()
    }

    fn queue(&self, msg: &mut Message, held: &mut Held) -> bool {
        msg.merge_header();
        held.push(msg);
        lock(&self.out).commit(held)
    }

    fn commit(&self, held: &mut Held) -> bool {
        !held.is_empty() && lock(&self.out).commit(held)
    }

    fn flush(&self, how: Flush) {
        // Each datagram costs a system call whoever makes it, so nothing is gained by gathering them.
        let how = if how == Flush::Soon { Flush::Soon } else { Flush::Urgent };
        let decision = {
            let mut out = lock(&self.out);
            if self.waits.load(Ordering::Relaxed) {
                return;
            }
            let pressing = out.pressing();
            out.pacer.flush(pressing, how, false)
        };
        self.follow(decision);
    }

    fn resume(&self) {
        self.hub.resume_later(&self.me);
    }

    fn close(&self, why: CloseReason) {
        self.end(why);
    }

    fn unsent(&self) -> usize {
        lock(&self.out).unsent()
    }

    fn join(&self, _peer: PeerId, limit: Backlog) -> bool {
        lock(&self.out).join(limit);
        false
    }

    /// The socket queues nothing more; there is nothing to do here.
    fn leave(&self) {}

    fn drop_oldest(&self) -> usize {
        lock(&self.out).drop_oldest()
    }

    fn standing(&self) -> Standing {
        lock(&self.out).standing()
    }
}

/// What a datagram has room for behind its header; over IPv6 it would be 20 more.
const PAYLOAD_MAX: usize = 65_507 - HEAD_BYTES;

/// What may wait of one peer while its socket has no room: enough for the moment until there is, and little for each of
/// a thousand peers. What comes beyond that is dropped and counted.
const STALLED_MAX: usize = 128;
const STALLED_BYTES_MAX: u64 = 128 << 10;

/// What one thread writes on behalf of others before the worker takes over.
const DATAGRAMS_PER_WRITE: usize = 1024;
