//! Sockets of one process, without a wire: the sender's thread runs the receiver's engine.
//!
//! Names are exact bytes. A message passes as it would on a wire, header merged into the body, but its buffer
//! moves instead of being copied. Each direction is a [`Lane`]: a queue, and one thread at a time that hands
//! it to the receiving socket, in batches while messages stream.

use std::sync::{Arc, OnceLock, Weak};

use sp_core::batch::Batch;
use sp_core::endpoint::Endpoint;
use sp_core::held::Held;
use sp_core::id::{ConnId, PeerId, SocketId};
use sp_core::message::Message;
use sp_core::pipe::{Backlog, CloseReason, Flow, Flush, Pipe, PipeEvents, PipeInfo, Standing};
use sp_core::registry::{ConnControl, ConnSpec, conns};
use sp_core::sync::atomic::{AtomicBool, Ordering};
use sp_core::sync::{Mutex, lock};

use crate::conn::{Decision, Outbox, STREAM_FLUSH_BYTES, Turn};
use crate::driver::Driver;
use crate::runtime::Owner;
use crate::worker::{Origin, Tended, WorkerHandle};

mod names;

pub(crate) use names::{listen, unlisten, unlisten_socket};

/// Connects a dialer with whoever listens on `name`.
pub(crate) fn connect(
    name: &str,
    endpoint: &Arc<Endpoint>,
    dialer: &Owner,
    worker: &WorkerHandle,
    origin: Origin,
) -> Result<Arc<dyn Pipe>, CloseReason> {
    let Some(listener) = names::find(name) else {
        return Err(CloseReason::Io(std::io::ErrorKind::ConnectionRefused));
    };
    let (ours, theirs) = (&dialer.events, &listener.owner.events);
    let listening_origin = Origin { endpoint: listener.id, serial: origin.serial };
    let (near, far) = InprocPipe::pair(
        End { owner: dialer, endpoint, worker, origin, dialed: true },
        End {
            owner: &listener.owner,
            endpoint: &listener.endpoint,
            worker: &listener.worker,
            origin: listening_origin,
            dialed: false,
        },
    );
    if theirs.protocol() != ours.peer_protocol() || ours.protocol() != theirs.peer_protocol() {
        let wanted = theirs.peer_protocol();
        let why = CloseReason::WrongProtocol { got: ours.protocol(), wanted };
        theirs.refused(&listener.endpoint, None, why);
        let wanted = ours.peer_protocol();
        return Err(CloseReason::WrongProtocol { got: theirs.protocol(), wanted });
    }
    ours.admit(&near.info)?;
    let opened =
        theirs.admit(&far.info).and_then(|()| theirs.opened(Arc::<InprocPipe>::clone(&far)));
    let there = match opened {
        Ok(peer) => peer,
        Err(why) => {
            theirs.refused(&listener.endpoint, None, why);
            return Err(CloseReason::PeerClosed);
        }
    };
    let here = match ours.opened(Arc::clone(&near) as Arc<dyn Pipe>) {
        Ok(peer) => peer,
        Err(why) => {
            theirs.closed(there, CloseReason::PeerClosed);
            return Err(why);
        }
    };
    listener.worker.track(listening_origin, Arc::downgrade(&far) as Weak<dyn Pipe>);
    near.link(here, Target { events: Arc::clone(theirs), peer: there });
    far.link(there, Target { events: Arc::clone(ours), peer: here });
    near.register(dialer.socket);
    far.register(listener.owner.socket);
    near.flush(Flush::Now);
    far.flush(Flush::Now);
    Ok(near)
}

/// One socket's end of a connection within the process.
struct InprocPipe {
    me: Weak<Self>,
    info: PipeInfo,
    lane: Lane,
    events: Arc<dyn PipeEvents>,
    /// What our own socket calls the other one; set once both sockets have agreed.
    peer: OnceLock<PeerId>,
    other: OnceLock<Weak<Self>>,
    conn: OnceLock<ConnId>,
    driver: Arc<Driver>,
    worker: WorkerHandle,
    origin: Origin,
}

/// What a pipe is made of.
struct End<'a> {
    owner: &'a Owner,
    endpoint: &'a Arc<Endpoint>,
    worker: &'a WorkerHandle,
    origin: Origin,
    dialed: bool,
}

/// Messages on their way to the other socket.
struct Lane {
    /// Where they go, once both sockets have agreed.
    target: OnceLock<Target>,
    queue: Mutex<Outbox>,
    /// The last answer that there is room, and it still is true. Changed with the socket's lock.
    roomy: AtomicBool,
    /// The other socket sent something since the last flush: this is a conversation.
    heard: Arc<AtomicBool>,
    /// The same of the other socket's lane.
    heard_there: Arc<AtomicBool>,
    /// The worker looks after the lane. Only the worker touches this.
    tended: AtomicBool,
    /// The worker looks after the lane, so messages may be held back with the socket. Changed with the queue's
    /// lock.
    holds: AtomicBool,
}

struct Target {
    events: Arc<dyn PipeEvents>,
    peer: PeerId,
}

impl InprocPipe {
    fn pair(near: End<'_>, far: End<'_>) -> (Arc<Self>, Arc<Self>) {
        let heard: [Arc<AtomicBool>; 2] = Default::default();
        let make = |end: &End<'_>, other: &End<'_>, [heard, heard_there]: [&Arc<AtomicBool>; 2]| {
            Arc::new_cyclic(|me| Self {
                me: me.clone(),
                info: PipeInfo::new(
                    Arc::clone(end.endpoint),
                    end.dialed,
                    other.owner.events.protocol(),
                ),
                lane: Lane {
                    target: OnceLock::new(),
                    queue: Mutex::new(Outbox::new()),
                    roomy: AtomicBool::new(true),
                    heard: Arc::clone(heard),
                    heard_there: Arc::clone(heard_there),
                    tended: AtomicBool::new(false),
                    holds: AtomicBool::new(false),
                },
                events: Arc::clone(&end.owner.events),
                peer: OnceLock::new(),
                other: OnceLock::new(),
                conn: OnceLock::new(),
                driver: Arc::clone(&end.owner.driver),
                worker: end.worker.clone(),
                origin: end.origin,
            })
        };
        let [here, there] = heard.each_ref();
        let (a, b) = (make(&near, &far, [here, there]), make(&far, &near, [there, here]));
        // Set once, here.
        let _ = a.other.set(Arc::downgrade(&b));
        let _ = b.other.set(Arc::downgrade(&a));
        (a, b)
    }

    fn link(&self, peer: PeerId, target: Target) {
        // Set once: a connection is linked once.
        let _ = self.peer.set(peer);
        let _ = self.lane.target.set(target);
    }

    fn register(self: &Arc<Self>, socket: SocketId) {
        let entry = conns()
            .register(ConnSpec { socket, control: Arc::clone(self) as Arc<dyn ConnControl> });
        // Set once: a connection is registered once.
        let _ = self.conn.set(entry.id());
        if lock(&self.lane.queue).is_closed() {
            conns().unregister(entry.id());
        }
    }

    /// Takes over what the socket holds for this pipe.
    fn collect(&self) {
        if let Some(peer) = self.peer.get() {
            self.events.commit(*peer);
        }
    }

    /// Has the worker look after the lane.
    fn delegate(&self) {
        if let Some(me) = self.me.upgrade() {
            self.driver.tend(me);
        }
    }

    /// Hands over `load` and what waits behind it, until nothing does, the receiver pauses, or this thread has done its
    /// share. Only for the thread that the machine chose.
    fn deliver(&self, mut load: Batch) {
        let Some(target) = self.lane.target.get() else { return };
        for _ in 0..ROUNDS_MAX {
            self.lane.heard_there.store(true, Ordering::Relaxed);
            load.complete_source(target.peer);
            let flow = target.events.arrived(target.peer, &mut load);
            let mut queue = lock(&self.lane.queue);
            if !queue.unload(&mut load) {
                return drop(queue);
            }
            if queue.take_room_owed() {
                drop(queue);
                // While this thread still counts as delivering: what the sender answers with is delivered by the
                // next round of this loop, not by a call within this one.
                if let Some(peer) = self.peer.get() {
                    self.events.room(*peer);
                }
                queue = lock(&self.lane.queue);
            }
            let is_refused = flow == Flow::Pause && !queue.pacer.writer.refused();
            if is_refused || !queue.load(&mut load) {
                return;
            }
        }
        let decision = {
            let mut queue = lock(&self.lane.queue);
            if queue.unload(&mut load) { queue.pacer.writer.handed_over() } else { Decision::Leave }
        };
        if decision == Decision::Delegate {
            self.delegate();
        }
    }

    /// Ends this side. Answers whether it had not ended before.
    fn shut(&self) -> bool {
        // A thread that is delivering sees that it is closed and drops the rest by itself.
        let waited = lock(&self.lane.queue).close();
        waited.is_some()
    }

    fn tell_closed(&self, why: CloseReason) {
        if let Some(peer) = self.peer.get() {
            self.events.closed(*peer, why);
        }
        if let Some(conn) = self.conn.get() {
            conns().unregister(*conn);
        }
        self.worker.conn_ended(self.origin);
    }
}

impl ConnControl for InprocPipe {
    fn close(&self, why: CloseReason) {
        Pipe::close(self, why);
    }

    fn transport(&self) -> &'static str {
        "inproc"
    }

    fn peer(&self) -> Option<PeerId> {
        self.peer.get().copied()
    }
}

impl Pipe for InprocPipe {
    fn info(&self) -> PipeInfo {
        self.info.clone()
    }

    fn room(&self) -> bool {
        self.lane.roomy.load(Ordering::Relaxed) || {
            let mut queue = lock(&self.lane.queue);
            let room = queue.ask_room();
            self.lane.roomy.store(room, Ordering::Relaxed);
            room
        }
    }

    fn queue(&self, msg: &mut Message, held: &mut Held) -> bool {
        msg.merge_header();
        msg.set_source(self.lane.target.get().map(|target| target.peer));
        let held_now = held.push(msg);
        let pressing = held_now.bytes + held_now.messages * size_of::<Message>();
        if self.lane.holds.load(Ordering::Relaxed) && pressing < STREAM_FLUSH_BYTES {
            return false;
        }
        self.commit(held)
    }

    fn commit(&self, held: &mut Held) -> bool {
        if held.is_empty() {
            return false;
        }
        let mut queue = lock(&self.lane.queue);
        let wants_flush = queue.commit(held);
        self.lane.roomy.store(queue.has_room(), Ordering::Relaxed);
        wants_flush
    }

    fn flush(&self, how: Flush) {
        if self.lane.target.get().is_none() {
            // Flushed again when both sockets have agreed.
            return;
        }
        let heard = self.lane.heard.swap(false, Ordering::Relaxed);
        let mut queue = lock(&self.lane.queue);
        let pressing = queue.pressing();
        match queue.pacer.flush(pressing, how, heard) {
            Decision::Write => {
                let mut load = Batch::new();
                let is_loaded = queue.load(&mut load);
                drop(queue);
                if is_loaded {
                    self.deliver(load);
                }
            }
            Decision::Delegate => {
                // What is broadcast may have to be dropped again, and is in no hurry to be gathered.
                if !queue.has_joined() {
                    self.lane.holds.store(true, Ordering::Relaxed);
                }
                drop(queue);
                self.delegate();
            }
            Decision::Leave => {}
        }
    }

    /// Called on the receiver's pipe: the other one's lane goes on.
    fn resume(&self) {
        let Some(other) = self.other.get().and_then(Weak::upgrade) else { return };
        let mut load = Batch::new();
        let is_loaded = {
            let mut queue = lock(&other.lane.queue);
            queue.pacer.writer.writable() && queue.load(&mut load)
        };
        if is_loaded {
            other.deliver(load);
        }
    }

    fn close(&self, why: CloseReason) {
        if !self.shut() {
            return;
        }
        if let Some(other) = self.other.get().and_then(Weak::upgrade)
            && other.shut()
        {
            other.tell_closed(CloseReason::PeerClosed);
        }
        self.tell_closed(why);
    }

    fn unsent(&self) -> usize {
        lock(&self.lane.queue).unsent()
    }

    fn join(&self, _peer: PeerId, limit: Backlog) -> bool {
        lock(&self.lane.queue).join(limit);
        self.lane.roomy.store(false, Ordering::Relaxed);
        false
    }

    /// The socket queues nothing more; there is nothing to do here.
    fn leave(&self) {}

    fn drop_oldest(&self) -> usize {
        lock(&self.lane.queue).drop_oldest()
    }

    fn standing(&self) -> Standing {
        lock(&self.lane.queue).standing()
    }
}

impl Tended for InprocPipe {
    fn tend(&self) -> bool {
        if lock(&self.lane.queue).pacer.writer.take_flushed() {
            return true;
        }
        self.collect();
        let mut load = Batch::new();
        let (turn, is_loaded) = {
            let mut queue = lock(&self.lane.queue);
            let pressing = queue.pressing();
            let turn = queue.pacer.writer.turn(pressing);
            if turn == Turn::Done {
                self.lane.holds.store(false, Ordering::Relaxed);
            }
            (turn, turn == Turn::Write && queue.load(&mut load))
        };
        if is_loaded {
            self.deliver(load);
        }
        if turn == Turn::Done {
            // What was held before the socket saw that nothing is to be held any more.
            self.collect();
            self.flush(Flush::Soon);
        }
        turn != Turn::Done
    }

    fn set_tended(&self, tended: bool) -> bool {
        self.lane.tended.swap(tended, Ordering::Relaxed) != tended
    }
}

/// Batches that one thread hands over on behalf of others before the worker takes over.
const ROUNDS_MAX: usize = 64;
