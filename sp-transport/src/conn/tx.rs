//! The sending side of a connection: what waits, and how it is written.
//!
//! Small messages are copied side by side into one buffer, framing included, so that many leave with one
//! system call. Large ones are written from their own memory.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::OnceLock;

use sp_core::config::Config;
use sp_core::held::{Gathered, Held};
use sp_core::message::Message;
use sp_core::pipe::Flush;
use sp_core::pool::{BufferPool, PooledBuf};
use sp_core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use sp_core::sync::{Mutex, lock, try_lock};

use super::pacer::Pacer;
use super::pieces::{Piece, Pieces};
use super::writer::{Decision, STREAM_FLUSH_BYTES, Turn};
use crate::broadcast::Tail;
use crate::stream::Stream;
use crate::wire::Framing;

/// What a flush leaves its caller to do.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use]
pub(crate) struct Flushed {
    /// The socket was told there is no room, and now there is.
    pub(crate) room: bool,
    /// The worker must be told to look after this pipe.
    pub(crate) delegate: bool,
    /// The kernel takes no more; the driver has to be there when it does.
    pub(crate) blocked: bool,
    /// The connection is broken.
    pub(crate) failed: Option<ErrorKind>,
}

/// The sending side. Locks: `queue` is held for a push or a swap, `flight` by whoever the writer machine made
/// the writer, for the length of its system calls.
#[derive(Debug)]
pub(crate) struct Tx {
    framing: Framing,
    queue: Mutex<Queue>,
    flight: Mutex<Flight>,
    /// The place in what the socket broadcasts, once the connection takes part. By itself, for most never do.
    tail: OnceLock<Box<Tail>>,
    /// Bytes in flight. Changed by whoever writes, with the queue's lock when it grows.
    in_flight: AtomicUsize,
    /// The worker looks after the queue, so messages may be held back with the socket. Changed with the queue's
    /// lock.
    holds: AtomicBool,
    /// The last answer that there is room, and it still is true.
    roomy: AtomicBool,
    /// The peer sent something since the last direct write: this is a conversation.
    heard: AtomicBool,
}

#[derive(Debug)]
struct Queue {
    pieces: Pieces,
    bytes: usize,
    messages: u32,
    pacer: Pacer,
    /// Somebody was told that there is no room and is owed the news that there is.
    room_owed: bool,
    closed: bool,
}

/// What one thread is writing.
#[derive(Debug, Default)]
struct Flight {
    pieces: Pieces,
    /// Bytes of the first piece that have left.
    sent: usize,
}

impl Tx {
    pub(crate) fn new(framing: Framing) -> Self {
        let queue = Queue {
            pieces: Pieces::default(),
            bytes: 0,
            messages: 0,
            pacer: Pacer::new(),
            room_owed: false,
            closed: false,
        };
        Self {
            framing,
            queue: Mutex::new(queue),
            flight: Mutex::default(),
            tail: OnceLock::new(),
            in_flight: AtomicUsize::new(0),
            holds: AtomicBool::new(false),
            roomy: AtomicBool::new(true),
            heard: AtomicBool::new(false),
        }
    }

    /// The place in what the socket broadcasts, if the connection takes part.
    pub(crate) fn tail(&self) -> Option<&Tail> {
        self.tail.get().map(|tail| &**tail)
    }

    /// As [`tail`](Self::tail), made with `new` if need be.
    pub(crate) fn tail_or(&self, new: impl FnOnce() -> Tail) -> &Tail {
        self.tail.get_or_init(|| Box::new(new()))
    }

    /// Whether another message may be queued; a no is remembered and answered later.
    pub(crate) fn room(&self) -> bool {
        if let Some(tail) = self.tail() {
            return tail.room();
        }
        if self.roomy.load(Ordering::Relaxed) {
            return true;
        }
        let mut queue = lock(&self.queue);
        let room = self.has_room(&queue);
        queue.room_owed |= !room;
        room
    }

    /// Frames `msg` behind what already waits. Answers whether a flush has to follow.
    pub(crate) fn queue(&self, msg: &mut Message, held: &mut Held) -> bool {
        if self.holds.load(Ordering::Relaxed) && msg.payload_len() < GATHER_BYTES {
            return self.hold(msg, held);
        }
        let mut wants_flush = self.commit(held);
        let mut queue = lock(&self.queue);
        if queue.closed {
            return false;
        }
        let payload_bytes = msg.payload_len();
        let large = if payload_bytes >= GATHER_BYTES { msg.take_buf() } else { None };
        let frame_bytes = match large {
            Some(payload) => self.queue_large(&mut queue, payload),
            None => {
                let frame_bytes = self.framing.header_bytes(payload_bytes) + payload_bytes;
                let frames = queue.frames_with_room(frame_bytes, FRAMES_BYTES);
                let put = |header: &[u8]| frames.extend_from_slice(header);
                let mask = self.framing.encode_header(payload_bytes, put);
                let at = frames.len();
                frames.extend_from_slice(msg.payload());
                if let Some(mask) = mask {
                    mask.apply(&mut frames[at..], 0);
                }
                frame_bytes
            }
        };
        wants_flush |= self.queued(&mut queue, 1, frame_bytes);
        wants_flush
    }

    /// Frames a payload that leaves from its own memory. Answers how many bytes that makes.
    fn queue_large(&self, queue: &mut Queue, payload: PooledBuf) -> usize {
        let mut bytes = 0;
        self.framing.encode_large(payload, |header, part| {
            bytes += header.len() + part.len();
            queue.frames_with_room(header.len(), header.len()).extend_from_slice(header);
            queue.pieces.list().push_back(Piece::Large(part));
        });
        bytes
    }

    /// Queues a frame that is no message. Answers whether a flush has to follow; dropped if too much waits already.
    pub(crate) fn queue_control(&self, frame: &[u8]) -> bool {
        let mut queue = lock(&self.queue);
        if queue.closed || !self.has_room(&queue) {
            return false;
        }
        queue.frames_with_room(frame.len(), frame.len()).extend_from_slice(frame);
        self.queued(&mut queue, 0, frame.len())
    }

    /// Writes `frame` now, as the last one, unless another is being written.
    pub(crate) fn say_last(&self, stream: &Stream, frame: &[u8]) {
        if let Some(flight) = try_lock(&self.flight)
            && flight.pieces.is_empty()
        {
            // The peer may be gone or the kernel full: then there is no goodbye.
            let _ = stream.write(frame);
        }
    }

    /// Frames `msg` behind what is held, which is taken over once it is worth a write.
    fn hold(&self, msg: &Message, held: &mut Held) -> bool {
        let payload = msg.payload();
        let mut wants_flush = false;
        if !self.framing.encode(payload, &mut held.gathered().frames) {
            wants_flush = self.commit(held);
            let fits = self.framing.encode(payload, &mut held.gathered().frames);
            debug_assert!(fits, "a frame is smaller than what is held at most");
        }
        let now = held.gathered();
        now.messages += 1;
        now.bytes = now.frames.len();
        if now.bytes >= STREAM_FLUSH_BYTES || now.messages >= WAITING_MAX / 4 {
            wants_flush |= self.commit(held);
        }
        wants_flush
    }

    /// Takes over what is held. Answers whether a flush has to follow.
    pub(crate) fn commit(&self, held: &mut Held) -> bool {
        if held.is_empty() {
            if !self.holds.load(Ordering::Relaxed) {
                held.clear();
            }
            return false;
        }
        let mut queue = lock(&self.queue);
        if queue.closed {
            held.clear();
            return false;
        }
        let Gathered { frames, messages, bytes, .. } = std::mem::take(held.gathered());
        queue.pieces.list_that_stays().push_back(Piece::Held(frames));
        self.queued(&mut queue, messages, bytes)
    }

    fn queued(&self, queue: &mut Queue, messages: usize, bytes: usize) -> bool {
        queue.bytes += bytes;
        queue.messages += messages as u32;
        if !self.has_room(queue) {
            self.roomy.store(false, Ordering::Relaxed);
        }
        queue.pacer.writer.wants_flush(self.pressing(queue))
    }

    /// Lets queued messages leave, by this thread if the writer machine says so.
    pub(crate) fn flush(&self, stream: &Stream, how: Flush) -> Flushed {
        let decision = {
            let mut queue = lock(&self.queue);
            let heard = self.heard.swap(false, Ordering::Relaxed);
            let queued = self.pressing(&queue);
            let decision = queue.pacer.flush(queued, how, heard);
            if decision == Decision::Delegate {
                self.holds.store(true, Ordering::Relaxed);
            }
            decision
        };
        match decision {
            Decision::Write => self.write(stream),
            Decision::Delegate => Flushed { delegate: true, ..Flushed::default() },
            Decision::Leave => Flushed::default(),
        }
    }

    /// Whether the worker, which looks after this pipe, may leave it alone for this turn: the sender has written
    /// since the last one.
    pub(crate) fn is_cared_for(&self) -> bool {
        lock(&self.queue).pacer.writer.take_flushed()
    }

    /// The worker's look at a pipe that streams, after what was held has been committed. Answers whether it has to
    /// look again; after a no everything held has to be committed and flushed once more.
    pub(crate) fn tend(&self, stream: &Stream) -> (Flushed, bool) {
        let turn = {
            let mut queue = lock(&self.queue);
            let queued = queue.bytes + self.ready();
            let turn = queue.pacer.writer.turn(queued);
            if turn == Turn::Done {
                self.holds.store(false, Ordering::Relaxed);
            }
            turn
        };
        match turn {
            Turn::Write => (self.write(stream), true),
            Turn::Again => (Flushed::default(), true),
            Turn::Done => (Flushed::default(), false),
        }
    }

    /// The kernel reports room: goes on writing if a write had been refused.
    pub(crate) fn writable(&self, stream: &Stream) -> Flushed {
        if lock(&self.queue).pacer.writer.writable() {
            self.write(stream)
        } else {
            Flushed::default()
        }
    }

    /// Something came in on this connection.
    pub(crate) fn heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
        self.tail().inspect(|tail| tail.heard());
    }

    /// Drops what waits and takes nothing more.
    pub(crate) fn close(&self) {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        queue.pacer.writer.close();
        let pieces = std::mem::take(&mut queue.pieces);
        queue.bytes = 0;
        drop(queue);
        drop(pieces);
        let mut flight = lock(&self.flight);
        *flight = Flight::default();
        self.in_flight.store(0, Ordering::Relaxed);
    }

    pub(crate) fn unsent(&self) -> usize {
        let queue = lock(&self.queue);
        let broadcast = self.tail().map_or(0, Tail::waiting);
        queue.bytes + self.in_flight.load(Ordering::Relaxed) + broadcast
    }

    /// Bytes of broadcasts to write.
    fn ready(&self) -> usize {
        self.tail().map_or(0, Tail::ready)
    }

    fn has_room(&self, queue: &Queue) -> bool {
        queue.bytes < WAITING_BYTES_MAX && (queue.messages as usize) < WAITING_MAX
    }

    /// How many bytes press for a write. Half full by count is as pressing as any number of bytes.
    fn pressing(&self, queue: &Queue) -> usize {
        let bytes = if queue.messages as usize >= WAITING_MAX / 2 {
            queue.bytes.max(STREAM_FLUSH_BYTES)
        } else {
            queue.bytes
        };
        bytes + self.ready()
    }

    /// Writes until nothing waits, the kernel refuses, or this thread has done its share.
    fn write(&self, stream: &Stream) -> Flushed {
        let mut flushed = Flushed::default();
        let mut flight = lock(&self.flight);
        let mut share = SHARE_BYTES;
        loop {
            if flight.pieces.is_empty() && !self.load(&mut flight, share, &mut flushed) {
                return flushed;
            }
            match flight.write(stream) {
                Ok(written) => {
                    self.in_flight.fetch_sub(written, Ordering::Relaxed);
                    share = share.saturating_sub(written);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !lock(&self.queue).pacer.writer.refused() {
                        flushed.blocked = true;
                        return flushed;
                    }
                }
                Err(error) => {
                    flushed.failed = Some(error.kind());
                    lock(&self.queue).pacer.writer.close();
                    return flushed;
                }
            }
        }
    }

    /// Moves what waits into the flight. Answers no when there is nothing, or when this thread has written
    /// enough and the worker takes over.
    fn load(&self, flight: &mut Flight, share: usize, flushed: &mut Flushed) -> bool {
        let mut queue = lock(&self.queue);
        if queue.closed || (queue.pieces.is_empty() && self.ready() == 0) {
            queue.pacer.drained();
            if queue.pacer.writer.is_direct() {
                // Whoever writes here has queued it, too, and will do so again.
                queue.pieces.put_away();
                flight.pieces.put_away();
            }
            return false;
        }
        if share == 0 {
            flushed.delegate |= queue.pacer.writer.handed_over() == Decision::Delegate;
            return false;
        }
        if queue.pieces.is_empty() {
            let tail = self.tail();
            let loaded = tail.map(|tail| tail.load(flight.pieces.list())).unwrap_or_default();
            self.in_flight.store(loaded.bytes, Ordering::Relaxed);
            flushed.room |= loaded.room;
            if loaded.bytes == 0 {
                // Dropped since the look above.
                queue.pacer.drained();
            }
            return loaded.bytes > 0;
        }
        std::mem::swap(&mut queue.pieces, &mut flight.pieces);
        self.in_flight.store(queue.bytes, Ordering::Relaxed);
        queue.bytes = 0;
        queue.messages = 0;
        self.roomy.store(true, Ordering::Relaxed);
        flushed.room |= std::mem::take(&mut queue.room_owed);
        true
    }
}

impl Queue {
    /// The last buffer of frames, with room for `bytes` more. A new one has room for `usual`, or for a few
    /// frames where it is the first: most pipes have little to say.
    fn frames_with_room(&mut self, bytes: usize, usual: usize) -> &mut PooledBuf {
        let pieces = self.pieces.list();
        let fits = matches!(pieces.back(), Some(Piece::Frames(buf)) if buf.room() >= bytes);
        if !fits {
            let usual = if pieces.is_empty() { usual.min(FIRST_FRAMES_BYTES) } else { usual };
            pieces.push_back(Piece::Frames(BufferPool::global().take(usual.max(bytes))));
        }
        match pieces.back_mut() {
            Some(Piece::Frames(buf)) => buf,
            _ => unreachable!("a buffer of frames was found or pushed just now"),
        }
    }
}

impl Flight {
    /// One system call's worth of writing.
    fn write(&mut self, stream: &Stream) -> io::Result<usize> {
        let pieces = self.pieces.list();
        let written = if let [piece] = pieces.make_contiguous() {
            stream.write(&piece.bytes()[self.sent..])?
        } else {
            let mut slices = [IoSlice::new(&[]); PIECES_PER_WRITE];
            let mut used = 0;
            for (slice, piece) in slices.iter_mut().zip(&*pieces) {
                let skip = if used == 0 { self.sent } else { 0 };
                *slice = IoSlice::new(&piece.bytes()[skip..]);
                used += 1;
            }
            stream.write_pieces(&slices[..used])?
        };
        self.advance(written);
        Ok(written)
    }

    fn advance(&mut self, written: usize) {
        self.sent += written;
        let pieces = self.pieces.list();
        while let Some(piece) = pieces.front() {
            let len = piece.bytes().len();
            if self.sent < len {
                break;
            }
            self.sent -= len;
            pieces.pop_front();
        }
    }
}

/// How many messages may wait on one connection.
pub(crate) const WAITING_MAX: usize = Config::new().send_queue_messages;

/// How many bytes.
pub(crate) const WAITING_BYTES_MAX: usize = Config::new().send_queue_bytes;

/// From this payload size on a message is written from its own memory: copying 16 KiB costs about as much as
/// another piece of a vectored write.
pub(crate) const GATHER_BYTES: usize = 16 * 1024;

/// The first buffer of a queue: enough for a conversation, small for a publisher to thousands.
const FIRST_FRAMES_BYTES: usize = 4 * 1024;

/// The buffers that frames are gathered in: the largest pooled class, as much as one write usefully takes.
const FRAMES_BYTES: usize = 64 * 1024;

/// Pieces in one vectored write; more than two large messages and their framing at a time gain nothing.
const PIECES_PER_WRITE: usize = 16;

/// What one thread writes on behalf of others before the worker takes over.
const SHARE_BYTES: usize = 4 * 1024 * 1024;
