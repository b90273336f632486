//! The receiving side of a connection: from ready bytes to batches in the engine.
//!
//! All connections that a thread drives share one read buffer. A connection owns memory only for what it could not
//! hand on: the beginning of a message whose rest has not come, or messages the engine has no room for.

use std::cell::Cell;
use std::io::{self, ErrorKind};

use sp_core::batch::Batch;
use sp_core::id::PeerId;
use sp_core::pipe::{CloseReason, Flow};
use sp_core::pool::{AlignedBytes, BufferPool, PooledBuf};

use crate::seldom::Seldom;
use crate::stream::{Chunk, Stream, end_reason};
use crate::wire::{AnyDecoder, Framing, LARGE_BODY_BYTES};

/// What a turn of reading came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The stream has nothing more for now.
    Drained,
    /// The turn's share is used up; there may be more.
    More,
    /// The engine has no room.
    Paused,
    /// The connection is over.
    Ended(CloseReason),
}

/// What the connections that one thread drives share: the read buffer, the batch under way, batches to spare.
pub(crate) struct ReadBuf {
    bytes: AlignedBytes,
    batch: Batch,
    #[expect(clippy::vec_box, reason = "it is the box that is spared, too")]
    spares: Vec<Box<Batch>>,
}

impl ReadBuf {
    /// Takes the calling thread's, or a new one if that is in use: delivering may lead to driving again.
    pub(crate) fn take() -> Box<Self> {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        spare.unwrap_or_else(|| {
            let bytes = AlignedBytes::zeroed(CARRY_BYTES_MAX + READ_BYTES);
            Box::new(Self { bytes, batch: Batch::new(), spares: Vec::new() })
        })
    }

    /// For datagrams: room for any, and where their messages go.
    pub(crate) fn parts(&mut self) -> (&mut [u8], &mut Batch) {
        (&mut self.bytes[..READ_BYTES], &mut self.batch)
    }

    /// Keeps it for what the thread reads next.
    pub(crate) fn put_back(self: Box<Self>) {
        // A thread that is ending keeps nothing.
        let _ = SPARE.try_with(|spare| spare.set(Some(self)));
    }
}

thread_local! {
    static SPARE: Cell<Option<Box<ReadBuf>>> = const { Cell::new(None) };
}

/// One connection's receiving side.
#[derive(Debug)]
pub(crate) struct Rx {
    decoder: AnyDecoder,
    /// Bytes read and not decoded yet.
    carry: Seldom<PooledBuf>,
    /// The carry may hold whole messages: the engine paused before they were decoded.
    undecoded: bool,
    /// Decoded messages the engine had no room for.
    stalled: Option<Box<Batch>>,
    /// The peer has closed: read to the end, for no event will come any more.
    closing: bool,
    /// The peer has said that nothing more comes; what is stalled is delivered first.
    over: bool,
    /// The driver's ready list holds this connection.
    pub(crate) listed: bool,
}

impl Rx {
    /// `early` is what came before there was a pipe.
    pub(crate) fn new(framing: Framing, limit: Option<u64>, peer: PeerId, early: &[u8]) -> Self {
        let decoder = AnyDecoder::new(framing, limit, peer);
        let undecoded = !early.is_empty();
        let mut rx = Self {
            decoder,
            carry: Seldom::new(),
            undecoded,
            stalled: None,
            closing: false,
            over: false,
            listed: false,
        };
        rx.keep(early);
        rx
    }

    /// Whether there is something to decode that no event will announce.
    pub(crate) const fn is_ready(&self) -> bool {
        self.undecoded
    }

    /// An event said that the peer has closed. It is the last one.
    pub(crate) const fn peer_closes(&mut self) {
        self.closing = true;
    }

    /// What the peer asked the connection itself, answered.
    pub(crate) fn take_answer(&mut self) -> Option<Vec<u8>> {
        self.decoder.take_answer()
    }

    /// Reads, decodes and delivers until nothing is left, the engine pauses, or the share is used up.
    pub(crate) fn receive(
        &mut self,
        stream: &Stream,
        shared: &mut ReadBuf,
        mut deliver: impl FnMut(&mut Batch) -> Flow,
    ) -> Progress {
        if self.deliver_stalled(shared, &mut deliver) == Flow::Pause {
            return Progress::Paused;
        }
        if self.over {
            return Progress::Ended(CloseReason::PeerClosed);
        }
        if std::mem::take(&mut self.undecoded) {
            let carried = self.restore_carry(shared);
            if let Some(progress) = self.decode(carried, shared, &mut deliver) {
                return progress;
            }
        }
        let mut share = SHARE_BYTES;
        while share > 0 {
            let read = match self.read(stream, shared) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Drained,
                // The stream has worked for a while and brought nothing yet; others have their turn first.
                Err(error) if error.kind() == ErrorKind::Interrupted => return Progress::More,
                Err(error) => {
                    let why = end_reason(&error);
                    let cut = self.is_in_message() && error.kind() == ErrorKind::UnexpectedEof;
                    return Progress::Ended(if cut { CloseReason::Truncated } else { why });
                }
            };
            if read.got == 0 {
                let cut = self.is_in_message();
                return Progress::Ended(if cut {
                    CloseReason::Truncated
                } else {
                    CloseReason::PeerClosed
                });
            }
            if let Some(progress) = self.decode(read.filled, shared, &mut deliver) {
                return progress;
            }
            if read.drained && !self.closing {
                return Progress::Drained;
            }
            share = share.saturating_sub(read.got);
        }
        Progress::More
    }

    fn deliver_stalled(
        &mut self,
        shared: &mut ReadBuf,
        deliver: &mut impl FnMut(&mut Batch) -> Flow,
    ) -> Flow {
        let Some(stalled) = &mut self.stalled else { return Flow::More };
        if deliver(stalled) == Flow::Pause {
            return Flow::Pause;
        }
        if let Some(batch) = self.stalled.take()
            && shared.spares.len() < SPARE_BATCHES_MAX
        {
            shared.spares.push(batch);
        }
        Flow::More
    }

    /// One read: into the large body under way and on into the shared buffer, or behind the carry.
    fn read(&mut self, stream: &Stream, shared: &mut ReadBuf) -> io::Result<Read> {
        let ReadBuf { bytes, batch, .. } = shared;
        let mut room = 0;
        let mut chunk = Chunk { bytes: 0, drained: false };
        let large = self.decoder.read_large(batch, |space| {
            room = space.len();
            chunk = stream.read_two(space, &mut bytes[..READ_BYTES])?;
            Ok(chunk.bytes.min(room))
        });
        if let Some(large) = large {
            large?;
            let Chunk { bytes: got, drained } = chunk;
            return Ok(Read { got, drained, filled: got.saturating_sub(room) });
        }
        let carried = self.carry.get().map_or(0, |carry| carry.len());
        let Chunk { bytes: got, drained } =
            stream.read(&mut bytes[carried..carried + READ_BYTES])?;
        if got > 0 {
            self.restore_carry(shared);
        }
        Ok(Read { got, drained, filled: carried + got })
    }

    /// Decodes the first `filled` bytes of the shared buffer and delivers them. Answers what ends the turn.
    fn decode(
        &mut self,
        filled: usize,
        shared: &mut ReadBuf,
        deliver: &mut impl FnMut(&mut Batch) -> Flow,
    ) -> Option<Progress> {
        let mut used = 0;
        loop {
            let decoded =
                self.decoder.decode(&shared.bytes[used..filled], &mut shared.batch, BATCH_MESSAGES);
            let full = shared.batch.len() >= BATCH_MESSAGES;
            if !shared.batch.is_empty() && deliver(&mut shared.batch) == Flow::Pause {
                match decoded {
                    Ok(more) => self.pause(used + more, filled, shared),
                    // An orderly end comes behind what was said before it, as the end of a stream does.
                    Err(CloseReason::PeerClosed) => {
                        self.over = true;
                        self.pause(filled, filled, shared);
                    }
                    // Nothing will be decoded any more; what the engine refuses is lost with the connection.
                    Err(why) => {
                        shared.batch.clear();
                        return Some(Progress::Ended(why));
                    }
                }
                return Some(Progress::Paused);
            }
            match decoded {
                Ok(more) => used += more,
                Err(why) => return Some(Progress::Ended(why)),
            }
            if !full {
                self.keep(&shared.bytes[used..filled]);
                return None;
            }
        }
    }

    fn pause(&mut self, used: usize, filled: usize, shared: &mut ReadBuf) {
        let mut stalled = shared.spares.pop().unwrap_or_default();
        std::mem::swap(&mut *stalled, &mut shared.batch);
        self.stalled = Some(stalled);
        self.undecoded = used < filled;
        self.keep(&shared.bytes[used..filled]);
    }

    fn keep(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut carry = BufferPool::global().take(bytes.len());
        carry.extend_from_slice(bytes);
        self.carry.put(carry);
    }

    /// Puts the carry at the front of the shared buffer and says how long it is.
    fn restore_carry(&mut self, shared: &mut ReadBuf) -> usize {
        let Some(carry) = self.carry.take() else { return 0 };
        shared.bytes[..carry.len()].copy_from_slice(&carry);
        carry.len()
    }

    fn is_in_message(&self) -> bool {
        self.carry.is_some() || self.decoder.is_in_large()
    }
}

struct Read {
    got: usize,
    /// The stream has nothing more for now.
    drained: bool,
    /// Bytes at the front of the shared buffer to decode.
    filled: usize,
}

/// One read: beyond 64 KiB the measured rate no longer rose.
const READ_BYTES: usize = 64 * 1024;

/// The longest beginning of a message that is carried to the next read: everything larger goes into a buffer
/// of its own. A paused connection may carry a whole read besides, which this leaves room for as well.
const CARRY_BYTES_MAX: usize = LARGE_BODY_BYTES + 16 + READ_BYTES;

/// Messages handed over under one lock: about as many small ones as one read brings, so that an empty queue takes
/// them all by swapping. 128 KiB, a part of the second-level cache.
const BATCH_MESSAGES: usize = 1024;

/// What one connection may read before the others, and the caller who drives, have their turn: one read.
const SHARE_BYTES: usize = READ_BYTES;

const SPARE_BATCHES_MAX: usize = 16;
