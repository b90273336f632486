//! The pieces a log is made of: frames side by side, and large messages in their own memory.

use std::collections::VecDeque;

use sp_core::pipe::Backlog;
use sp_core::pool::PooledBuf;

use crate::conn::Piece;
use crate::wire::Framing;

/// A place in what was broadcast: how many messages came before it, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) messages: u64,
    pub(super) payload: u64,
}

impl Mark {
    pub(super) fn pass(&mut self, payload: usize) {
        self.messages += 1;
        self.payload += payload as u64;
    }

    pub(super) const fn add(&mut self, more: Self) {
        self.messages += more.messages;
        self.payload += more.payload;
    }

    /// What all messages before count against a limit.
    pub(super) const fn cost(self) -> u64 {
        self.payload.saturating_add(self.messages.saturating_mul(Backlog::OVERHEAD as u64))
    }

    pub(super) const fn since(self, earlier: Self) -> Self {
        Self { messages: self.messages - earlier.messages, payload: self.payload - earlier.payload }
    }
}

/// Some frames one after the other.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) body: Body,
    /// The message behind the last one.
    pub(super) end: Mark,
    /// Cursors whose first message not taken is in here.
    pub(super) readers: usize,
}

#[derive(Debug)]
pub(super) enum Body {
    Frames(PooledBuf),
    /// One message's framing and payload, and the same of its further fragments.
    Large(PooledBuf, PooledBuf, Vec<PooledBuf>),
}

/// A part of a chunk that belongs to one pipe alone.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) body: Body,
    pub(super) size: Mark,
}

impl Body {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Frames(buf) => buf.len(),
            Self::Large(header, payload, more) => {
                header.len() + payload.len() + more.iter().map(|piece| piece.len()).sum::<usize>()
            }
        }
    }

    /// The same memory once more, from one boundary of frames to another.
    pub(super) fn share(&mut self, from: usize, to: usize) -> Self {
        match self {
            Self::Frames(buf) => {
                let mut part = buf.share();
                part.truncate(to);
                part.trim_front(from);
                Self::Frames(part)
            }
            Self::Large(header, payload, more) => {
                let more = more.iter().map(PooledBuf::share).collect();
                Self::Large(header.share(), payload.share(), more)
            }
        }
    }

    /// Hands the bytes over and says how many.
    pub(super) fn put(self, into: &mut VecDeque<Piece>) -> usize {
        let bytes = self.len();
        match self {
            Self::Frames(buf) => into.push_back(Piece::Frames(buf)),
            Self::Large(header, payload, more) => {
                into.push_back(Piece::Frames(header));
                into.push_back(Piece::Large(payload));
                into.extend(more.into_iter().map(Piece::Large));
            }
        }
        bytes
    }

    /// How long the frame at `offset` is, and its payload.
    pub(super) fn first_frame(&self, offset: usize, framing: Framing) -> (usize, usize) {
        match self {
            Self::Frames(buf) => {
                let Ok(Some(payload)) = framing.decode_header(&buf[offset..], None) else {
                    unreachable!("what stands here was encoded here")
                };
                (framing.header_bytes(payload) + payload, payload)
            }
            Self::Large(_, payload, more) => {
                let fragments = more.iter().skip(1).step_by(2);
                (self.len(), payload.len() + fragments.map(|part| part.len()).sum::<usize>())
            }
        }
    }

    /// Forgets the first `frame` bytes.
    pub(super) fn forget(&mut self, frame: usize) {
        match self {
            Self::Frames(buf) => buf.trim_front(frame),
            Self::Large(header, payload, more) => {
                header.clear();
                payload.clear();
                more.clear();
            }
        }
    }
}
