//! The pipe of a stream connection: shared by the socket, the driver and the worker.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, OnceLock, Weak};

use sp_core::held::Held;
use sp_core::id::PeerId;
use sp_core::message::Message;
use sp_core::pipe::{Backlog, CloseReason, Flush, Pipe, PipeEvents, PipeInfo, Standing};
use sp_core::registry::ConnControl;
use sp_core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use sp_core::sync::{Mutex, lock};

use super::info::PackedInfo;
use super::tx::{Flushed, Tx};
use crate::broadcast::Tail;
use crate::driver::Driver;
use crate::stream::Stream;
use crate::wire::Framing;
use crate::worker::Tended;

/// What a connection is made of.
pub(crate) struct PipeSpec {
    pub(crate) info: PipeInfo,
    pub(crate) stream: Stream,
    pub(crate) framing: Framing,
    pub(crate) driver: Arc<Driver>,
    pub(crate) events: Arc<dyn PipeEvents>,
}

/// A live stream connection.
pub(crate) struct StreamPipe {
    me: Weak<Self>,
    info: PackedInfo,
    stream: Stream,
    framing: Framing,
    tx: Tx,
    driver: Arc<Driver>,
    events: Arc<dyn PipeEvents>,
    peer: OnceLock<PeerId>,
    /// There is room, and the socket has not been told.
    room_untold: AtomicBool,
    /// The socket wants to be read again. Set with the driver's mail, taken by the driver.
    resume_wanted: AtomicBool,
    /// Somebody wants the connection ended, and why.
    end_wanted: Mutex<Option<Box<CloseReason>>>,
    /// The driver has mail about this pipe: one piece at a time is enough.
    mailed: AtomicBool,
    /// The worker looks after the pipe. Only the worker touches this.
    tended: AtomicBool,
    /// Where the driver keeps the connection, once it does; [`NOT_KEPT`] before.
    slot: AtomicU32,
}

impl StreamPipe {
    pub(crate) fn new(spec: PipeSpec) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            info: PackedInfo::new(spec.info),
            stream: spec.stream,
            framing: spec.framing,
            tx: Tx::new(spec.framing),
            driver: spec.driver,
            events: spec.events,
            peer: OnceLock::new(),
            room_untold: AtomicBool::new(false),
            resume_wanted: AtomicBool::new(false),
            end_wanted: Mutex::new(None),
            mailed: AtomicBool::new(false),
            tended: AtomicBool::new(false),
            slot: AtomicU32::new(NOT_KEPT),
        })
    }

    /// The socket accepted the pipe and knows the peer as `peer`.
    pub(crate) fn accepted(&self, peer: PeerId) {
        // Set once: the worker accepts each connection once.
        let _ = self.peer.set(peer);
        if self.room_untold.swap(false, Ordering::AcqRel) {
            self.events.room(peer);
        }
    }

    /// Whom to tell what happens.
    pub(crate) fn events(&self) -> &dyn PipeEvents {
        &*self.events
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Something came in.
    pub(crate) fn heard(&self) {
        self.tx.heard();
    }

    /// The driver saw room in the kernel.
    pub(crate) fn writable(&self) {
        self.stream.writable();
        let flushed = self.tx.writable(&self.stream);
        self.follow(flushed);
    }

    /// Writes what waits, unless somebody else does or the kernel takes no more.
    pub(crate) fn write_waiting(&self) {
        let flushed = self.tx.flush(&self.stream, Flush::Urgent);
        self.follow(flushed);
    }

    /// Takes the wish to be read again.
    pub(crate) fn take_resume(&self) -> bool {
        self.resume_wanted.swap(false, Ordering::AcqRel)
    }

    /// Takes the wish to end.
    pub(crate) fn take_end(&self) -> Option<CloseReason> {
        lock(&self.end_wanted).take().map(|why| *why)
    }

    /// The driver has picked up its mail about this pipe; wishes from now on need new mail.
    pub(crate) fn mail_read(&self) {
        self.mailed.swap(false, Ordering::AcqRel);
    }

    /// The driver keeps the connection at `key`.
    pub(crate) fn take_slot(&self, key: usize) {
        // More than can be counted have no place in memory.
        self.slot.store(u32::try_from(key).unwrap_or(NOT_KEPT), Ordering::Release);
    }

    /// Where the driver keeps the connection.
    pub(crate) fn slot(&self) -> Option<usize> {
        let slot = self.slot.load(Ordering::Acquire);
        (slot != NOT_KEPT).then_some(slot as usize)
    }

    /// The peer asked the connection itself, and this is the answer.
    pub(crate) fn answer(&self, frame: &[u8]) {
        if self.tx.queue_control(frame) {
            self.flush(Flush::Now);
        }
    }

    /// The connection is about to end because of `why`: says so if the wire has a way to.
    pub(crate) fn say_goodbye(&self, why: &CloseReason) {
        if let Some(frame) = self.framing.farewell(why) {
            self.tx.say_last(&self.stream, &frame);
        }
    }

    /// The driver lets go of the connection: nothing is sent or received any more.
    pub(crate) fn shut(&self) {
        // First the stream, so that a thread in the middle of writing stops at once.
        self.stream.shutdown();
        self.tx.close();
        if let Some(tail) = self.tx.tail() {
            tail.retire(&self.me);
        }
    }

    /// Takes over what the socket holds for this pipe.
    fn collect(&self) {
        if let Some(peer) = self.peer.get() {
            self.events.commit(*peer);
        }
    }

    fn follow(&self, flushed: Flushed) {
        if flushed.delegate
            && let Some(me) = self.me.upgrade()
        {
            self.driver.tend(me);
        }
        if flushed.blocked {
            self.driver.blocked();
        }
        if let Some(kind) = flushed.failed {
            Pipe::close(self, self.stream.end_reason(kind));
        }
        if flushed.room {
            self.tell_room();
        }
    }

    fn tell_room(&self) {
        // Before the socket has given the peer its id the news waits for `accepted`: of the two swaps the later
        // one sees what the other side did before its own.
        self.room_untold.swap(true, Ordering::AcqRel);
        if let Some(peer) = self.peer.get()
            && self.room_untold.swap(false, Ordering::AcqRel)
        {
            self.events.room(*peer);
        }
    }

    /// Itself, unless the driver has mail about it already.
    fn to_mail(&self) -> Option<Arc<Self>> {
        if self.mailed.swap(true, Ordering::AcqRel) { None } else { self.me.upgrade() }
    }
}

impl Tended for StreamPipe {
    fn tend(&self) -> bool {
        if self.tx.is_cared_for() {
            return true;
        }
        self.collect();
        let (flushed, again) = self.tx.tend(&self.stream);
        self.follow(flushed);
        if !again {
            // What was held before the socket saw that nothing is to be held any more.
            self.collect();
            self.flush(Flush::Soon);
        }
        again
    }

    fn set_tended(&self, tended: bool) -> bool {
        self.tended.swap(tended, Ordering::Relaxed) != tended
    }
}

impl ConnControl for StreamPipe {
    fn close(&self, why: CloseReason) {
        Pipe::close(self, why);
    }

    fn transport(&self) -> &'static str {
        self.info.transport()
    }

    fn peer(&self) -> Option<PeerId> {
        self.peer.get().copied()
    }
}

impl Pipe for StreamPipe {
    fn info(&self) -> PipeInfo {
        self.info.unpack()
    }

    fn room(&self) -> bool {
        self.tx.room()
    }

    fn queue(&self, msg: &mut Message, held: &mut Held) -> bool {
        self.tx.queue(msg, held)
    }

    fn commit(&self, held: &mut Held) -> bool {
        self.tx.commit(held)
    }

    fn flush(&self, how: Flush) {
        if how == Flush::Urgent
            && let Some(tail) = self.tx.tail()
        {
            tail.release();
        }
        let flushed = self.tx.flush(&self.stream, how);
        self.follow(flushed);
    }

    fn resume(&self) {
        self.resume_wanted.store(true, Ordering::Release);
        if let Some(me) = self.to_mail() {
            self.driver.attend_when_needed(me);
        }
    }

    fn close(&self, why: CloseReason) {
        // The first reason is the true one; later ones are its consequences.
        lock(&self.end_wanted).get_or_insert_with(|| Box::new(why));
        match self.to_mail() {
            Some(me) => self.driver.attend(me),
            // The mail that is on its way may be a resume that nobody hurries for.
            None => self.driver.notify(),
        }
    }

    fn unsent(&self) -> usize {
        self.tx.unsent()
    }

    fn join(&self, peer: PeerId, limit: Backlog) -> bool {
        let broadcast = self.driver.begin_broadcast();
        let new = || Tail::new(broadcast, self.framing, peer, limit, self.me.clone());
        self.tx.tail_or(new).join(limit);
        true
    }

    fn leave(&self) {
        self.tx.tail().inspect(|tail| tail.leave());
    }

    fn drop_oldest(&self) -> usize {
        self.tx.tail().map_or(0, Tail::drop_oldest)
    }

    fn standing(&self) -> Standing {
        self.tx.tail().map(Tail::standing).unwrap_or_default()
    }
}

const NOT_KEPT: u32 = u32::MAX;
