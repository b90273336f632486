//! What a socket broadcasts over one framing, encoded once: chunks of frames, and a cursor for each pipe.
//!
//! Messages are appended to the last chunk. Pipes take shares of chunks, whole frames always, and write them
//! without a copy of their own. A chunk goes home when the last cursor has passed it and the last share of it is
//! written. Large messages stand between the chunks in their own memory.
//!
//! Pipes take only what has been [released](Log::release): were each to take what is there at its turn, the chunk in
//! the making would be cut into as many pieces as there are pipes. While somebody writes from it a chunk cannot be
//! added to and the next one is begun; when all have written it goes on being filled.

use std::collections::VecDeque;

use slab::Slab;
use sp_core::id::PeerId;
use sp_core::message::Message;
use sp_core::pipe::{Backlog, Standing};
use sp_core::pool::{BufferPool, PooledBuf};

use super::chunk::{Body, Chunk, Mark, Part};
use crate::conn::{GATHER_BYTES, Piece};
use crate::wire::Framing;

/// The log of one framing.
///
/// Every cursor that takes part is counted in one place: in the chunk that holds the first message it has not
/// taken, or in `caught_up`.
#[derive(Debug)]
pub(super) struct Log {
    framing: Framing,
    chunks: VecDeque<Chunk>,
    /// The number of the first chunk; they are numbered as they are begun, from 1.
    first: u64,
    /// Everything appended so far.
    head: Mark,
    /// What pipes may take, and where in its chunk that ends.
    released: Mark,
    released_to: usize,
    cursors: Slab<Cursor>,
    caught_up: usize,
    /// The smallest limit of any cursor so far.
    least: Backlog,
    /// How large the next chunk is.
    chunk_bytes: usize,
}

/// How much may be published before anybody could be slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    pub(super) messages: u64,
    /// As limits count them.
    pub(super) bytes: u64,
}

impl Allowance {
    pub(super) const ENDLESS: Self = Self { messages: u64::MAX, bytes: u64::MAX };

    pub(super) fn min(self, messages: u64, bytes: u64) -> Self {
        Self { messages: self.messages.min(messages), bytes: self.bytes.min(bytes) }
    }
}

/// How far one pipe has come.
#[derive(Debug)]
struct Cursor {
    peer: PeerId,
    limit: Backlog,
    /// Whether the pipe takes part: what is appended is for it, too.
    joined: bool,
    /// The pipe is closed: it takes no part any more.
    retired: bool,
    /// What it left with, in front of anything else.
    own: VecDeque<Part>,
    own_lag: Mark,
    /// What it has taken or dropped of the log.
    at: Mark,
    /// The chunk that this ends in, and where. Everything taken, the next message may stand in the next chunk.
    chunk: u64,
    offset: usize,
    /// Somebody was told that there is no room and is owed the news that there is.
    room_owed: bool,
    /// `waiting` is filled in when it is asked for, or when the pipe retires.
    standing: Standing,
}

/// What a pipe got.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// Framing included.
    pub(crate) bytes: usize,
    /// The socket was told there is no room, and now there is.
    pub(crate) room: bool,
}

impl Log {
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            framing,
            chunks: VecDeque::new(),
            first: 1,
            head: Mark::default(),
            released: Mark::default(),
            released_to: 0,
            cursors: Slab::new(),
            caught_up: 0,
            least: Backlog { messages: usize::MAX, bytes: usize::MAX },
            chunk_bytes: CHUNK_BYTES_MIN,
        }
    }

    /// A new pipe; it has not joined yet.
    pub(super) fn add(&mut self, peer: PeerId, limit: Backlog) -> usize {
        self.cursors.insert(Cursor {
            peer,
            limit,
            joined: false,
            retired: false,
            own: VecDeque::new(),
            own_lag: Mark::default(),
            at: Mark::default(),
            chunk: 0,
            offset: 0,
            room_owed: false,
            standing: Standing::default(),
        })
    }

    /// The pipe gets what is appended from now on.
    pub(super) fn join(&mut self, key: usize, limit: Backlog) {
        let Some(cursor) = self.cursors.get_mut(key).filter(|cursor| !cursor.retired) else {
            return;
        };
        cursor.limit = limit;
        self.least.messages = self.least.messages.min(limit.messages);
        self.least.bytes = self.least.bytes.min(limit.bytes);
        if !std::mem::replace(&mut cursor.joined, true) {
            cursor.at = self.head;
            cursor.chunk = self.first + self.chunks.len() as u64 - 1;
            cursor.offset = self.chunks.back().map_or(0, |chunk| chunk.body.len());
            self.caught_up += 1;
        }
    }

    /// The pipe keeps what waits for it and gets nothing more.
    pub(super) fn leave(&mut self, key: usize) {
        let Some(cursor) = self.cursors.get_mut(key).filter(|cursor| cursor.joined) else { return };
        cursor.joined = false;
        if cursor.at == self.head {
            self.caught_up -= 1;
            return;
        }
        let (index, mut from) = cursor.place(self.first, &self.chunks);
        for chunk in self.chunks.range_mut(index..) {
            let body = chunk.body.share(from, chunk.body.len());
            let size = chunk.end.since(cursor.at);
            cursor.own_lag.add(size);
            cursor.own.push_back(Part { body, size });
            (cursor.at, from) = (chunk.end, 0);
        }
        self.chunks[index].readers -= 1;
        self.trim();
    }

    /// The pipe is closed: what waits for it is dropped, and remembered as [`Standing::waiting`].
    pub(super) fn retire(&mut self, key: usize) {
        let waiting = self.standing(key).waiting;
        self.leave(key);
        let Some(cursor) = self.cursors.get_mut(key) else { return };
        cursor.retired = true;
        cursor.own = VecDeque::new();
        cursor.own_lag = Mark::default();
        cursor.room_owed = false;
        cursor.standing.waiting = cursor.standing.waiting.max(waiting);
    }

    /// Forgets a pipe.
    pub(super) fn remove(&mut self, key: usize) {
        self.leave(key);
        self.cursors.try_remove(key);
    }

    /// Adds a message for every pipe that has joined, and answers how many bytes its frame has.
    pub(super) fn append(&mut self, msg: &mut Message) -> usize {
        if self.chunks.is_empty() && self.caught_up == 0 {
            return 0;
        }
        let payload = msg.payload_len();
        let frame = self.framing.header_bytes(payload) + payload;
        self.head.pass(payload);
        let large = if payload >= GATHER_BYTES { msg.share().take_buf() } else { None };
        if let Some(large) = large {
            self.append_large(large);
        } else {
            let framing = self.framing;
            let put = |room: &mut [u8]| {
                let (header, body) = room.split_at_mut(framing.header_bytes(payload));
                let mask = framing.encode_header(payload, |bytes| header.copy_from_slice(bytes));
                body.copy_from_slice(msg.payload());
                if let Some(mask) = mask {
                    mask.apply(body, 0);
                }
                Ok(frame)
            };
            let added = self.frames_with_room(frame).fill_with(frame, put);
            debug_assert!(matches!(added, Ok(added) if added == frame), "there is room");
        }
        if let Some(tail) = self.chunks.back_mut() {
            tail.end = self.head;
            tail.readers += std::mem::take(&mut self.caught_up);
        }
        frame
    }

    fn append_large(&mut self, payload: PooledBuf) {
        let mut first = None;
        let mut more = Vec::new();
        self.framing.encode_large(payload, |bytes, part| {
            let mut header = BufferPool::global().take(bytes.len());
            header.extend_from_slice(bytes);
            match &first {
                None => first = Some((header, part)),
                Some(_) => more.extend([header, part]),
            }
        });
        if let Some((header, part)) = first {
            self.begin(Body::Large(header, part, more));
        }
    }

    /// Lets pipes take everything that has been appended.
    pub(super) fn release(&mut self) {
        self.released = self.head;
        self.released_to = self.chunks.back().map_or(0, |chunk| chunk.body.len());
    }

    /// Takes what has been released for a pipe, about [`LOAD_BYTES`] of it at most.
    pub(super) fn load(&mut self, key: usize, into: &mut VecDeque<Piece>) -> Loaded {
        let mut loaded = Loaded::default();
        let Some(cursor) = self.cursors.get_mut(key) else { return loaded };
        let before = cursor.lag(self.head);
        while loaded.bytes < LOAD_BYTES
            && let Some(part) = cursor.own.pop_front()
        {
            loaded.bytes += part.body.put(into);
            cursor.own_lag = cursor.own_lag.since(part.size);
        }
        let mut passed = false;
        while loaded.bytes < LOAD_BYTES
            && cursor.joined
            && cursor.at.messages < self.released.messages
        {
            let (index, from) = cursor.place(self.first, &self.chunks);
            let chunk = &mut self.chunks[index];
            let whole = chunk.end.messages <= self.released.messages;
            let (to, at) = if whole {
                (chunk.body.len(), chunk.end)
            } else {
                (self.released_to, self.released)
            };
            loaded.bytes += chunk.body.share(from, to).put(into);
            cursor.move_to(index, self.first, to, at);
            if whole {
                passed = true;
                self.chunks[index].readers -= 1;
                match self.chunks.get_mut(index + 1) {
                    Some(next) => next.readers += 1,
                    None => self.caught_up += 1,
                }
            }
        }
        let lag = cursor.lag(self.head);
        let taken = before.since(lag);
        cursor.standing.sent += taken.messages;
        cursor.standing.sent_bytes += taken.payload;
        loaded.room = cursor.room_owed && cursor.limit.has_room(lag.messages, lag.cost());
        cursor.room_owed &= !loaded.room;
        if passed {
            self.trim();
        }
        loaded
    }

    /// Drops what has waited longest for a pipe until it has room; answers how many messages.
    pub(super) fn drop_oldest(&mut self, key: usize) -> usize {
        let mut dropped = 0;
        while !self.has_room(key) && self.drop_one(key) {
            dropped += 1;
        }
        self.trim();
        dropped
    }

    fn drop_one(&mut self, key: usize) -> bool {
        let Some(cursor) = self.cursors.get_mut(key) else { return false };
        if let Some(first) = cursor.own.front_mut() {
            let (frame, payload) = first.body.first_frame(0, self.framing);
            first.body.forget(frame);
            let gone = Mark { messages: 1, payload: payload as u64 };
            first.size = first.size.since(gone);
            cursor.own_lag = cursor.own_lag.since(gone);
            if first.size.messages == 0 {
                cursor.own.pop_front();
            }
            return true;
        }
        if !cursor.joined || cursor.at.messages == self.head.messages {
            return false;
        }
        let (index, offset) = cursor.place(self.first, &self.chunks);
        let chunk = &mut self.chunks[index];
        let (frame, payload) = chunk.body.first_frame(offset, self.framing);
        let mut at = cursor.at;
        at.pass(payload);
        cursor.move_to(index, self.first, offset + frame, at);
        if at.messages == chunk.end.messages {
            chunk.readers -= 1;
            match self.chunks.get_mut(index + 1) {
                Some(next) => next.readers += 1,
                None => self.caught_up += 1,
            }
        }
        true
    }

    /// How many messages may be appended, and what they may cost, before a pipe that has joined could be at its
    /// limit; or such a pipe.
    pub(super) fn allowance(&self) -> Result<Allowance, PeerId> {
        let mut allowance = Allowance::ENDLESS;
        for (_, cursor) in self.cursors.iter().filter(|(_, cursor)| cursor.joined) {
            let (lag, limit) = (cursor.lag(self.head), cursor.limit);
            if !limit.has_room(lag.messages, lag.cost()) {
                return Err(cursor.peer);
            }
            // Cursors only move on: from where it stands now it has room for this much at least.
            let messages = limit.messages as u64 - lag.messages;
            allowance = allowance.min(messages, limit.bytes as u64 - lag.cost());
        }
        Ok(allowance)
    }

    /// Whether a pipe has room; a no is remembered and answered later.
    pub(super) fn room(&mut self, key: usize) -> bool {
        let room = self.has_room(key);
        if let Some(cursor) = self.cursors.get_mut(key) {
            cursor.room_owed |= !room;
        }
        room
    }

    fn has_room(&self, key: usize) -> bool {
        self.cursors.get(key).is_some_and(|cursor| {
            let lag = cursor.lag(self.head);
            cursor.limit.has_room(lag.messages, lag.cost())
        })
    }

    pub(super) fn standing(&self, key: usize) -> Standing {
        let Some(cursor) = self.cursors.get(key) else { return Standing::default() };
        let waiting = cursor.lag(self.head).messages;
        Standing { waiting: cursor.standing.waiting.max(waiting), ..cursor.standing }
    }

    /// Bytes that wait for a pipe, and how many of these it may take now; framing included, each as the smallest.
    pub(super) fn waiting(&self, key: usize) -> (usize, usize) {
        let Some(cursor) = self.cursors.get(key) else { return (0, 0) };
        let header = self.framing.header_bytes(0);
        let frames = |lag: Mark| lag.payload as usize + lag.messages as usize * header;
        let own = frames(cursor.own_lag);
        if !cursor.joined {
            return (own, own);
        }
        let all = frames(self.head.since(cursor.at));
        // A cursor that dropped its oldest may stand beyond what is released.
        let ready = if cursor.at.messages < self.released.messages {
            frames(self.released.since(cursor.at))
        } else {
            0
        };
        (own + all, own + ready)
    }

    /// The smallest limit of any pipe so far.
    pub(super) const fn least(&self) -> Backlog {
        self.least
    }

    /// The last chunk, if it has room for `frame` bytes and nobody writes from it; else a new one.
    fn frames_with_room(&mut self, frame: usize) -> &mut PooledBuf {
        let fits = match self.chunks.back() {
            Some(Chunk { body: Body::Frames(buf), .. }) if buf.room() < frame => {
                self.chunk_bytes = (self.chunk_bytes * 4).min(CHUNK_BYTES_MAX);
                false
            }
            Some(Chunk { body: Body::Frames(buf), .. }) => !buf.is_shared(),
            _ => false,
        };
        if !fits {
            self.begin(Body::Frames(BufferPool::global().take(self.chunk_bytes.max(frame))));
        }
        match self.chunks.back_mut() {
            Some(Chunk { body: Body::Frames(buf), .. }) => buf,
            _ => unreachable!("a chunk of frames was found or begun just now"),
        }
    }

    fn begin(&mut self, body: Body) {
        if let Some(Chunk { body: Body::Frames(buf), .. }) = self.chunks.back() {
            learn(&mut self.chunk_bytes, buf.len());
        }
        self.chunks.push_back(Chunk { body, end: self.head, readers: 0 });
    }

    /// Lets go of the chunks that every cursor has passed.
    fn trim(&mut self) {
        while self.chunks.front().is_some_and(|chunk| chunk.readers == 0) {
            if self.chunks.len() == 1
                && let Some(Chunk { body: Body::Frames(buf), .. }) = self.chunks.front()
            {
                learn(&mut self.chunk_bytes, buf.len());
            }
            self.chunks.pop_front();
            self.first += 1;
        }
    }
}

/// A chunk ends with `used` bytes before it is full: a slow pipe could hold many such chunks.
fn learn(chunk_bytes: &mut usize, used: usize) {
    if used < *chunk_bytes / 4 {
        *chunk_bytes = (*chunk_bytes / 2).max(CHUNK_BYTES_MIN);
    }
}

impl Cursor {
    /// What waits: its own, and of a log with this `head`.
    fn lag(&self, head: Mark) -> Mark {
        let mut lag = self.own_lag;
        if self.joined {
            lag.add(head.since(self.at));
        }
        lag
    }

    /// Where the first message it has not taken stands; there must be one.
    fn place(&self, first: u64, chunks: &VecDeque<Chunk>) -> (usize, usize) {
        let index = self.chunk.checked_sub(first).map(|index| index as usize);
        if let Some(index) = index
            && chunks[index].end.messages > self.at.messages
        {
            return (index, self.offset);
        }
        // The chunk it stood in has ended there; the next one exists, for it holds that message.
        ((self.chunk + 1 - first) as usize, 0)
    }

    fn move_to(&mut self, index: usize, first: u64, offset: usize, at: Mark) {
        self.chunk = first + index as u64;
        self.offset = offset;
        self.at = at;
    }
}

/// What a pipe takes at a time, more or less: as much as one write usefully has. What it has taken cannot be
/// dropped any more.
const LOAD_BYTES: usize = 64 * 1024;

/// Chunks grow to this while messages stream: as much as one write usefully takes.
const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// They shrink to this when each is written before it is full: enough for a conversation, and no waste where a slow
/// pipe holds thousands.
const CHUNK_BYTES_MIN: usize = 4 * 1024;

#[cfg(test)]
impl Log {
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    pub(super) const fn caught_up(&self) -> usize {
        self.caught_up
    }
}
