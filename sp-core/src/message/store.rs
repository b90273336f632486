//! Where a message's bytes lie: inside the message while they are few, in a pooled buffer above.

use crate::id::PeerId;
use crate::pool::{BufferPool, PooledBuf};

/// Contiguous bytes that can grow and shrink at both ends, and what is known of them. A clone has memory of its
/// own.
///
/// The layout is fixed for the sake of moves: what is small stands in the first 16 bytes, the rest is moved in
/// aligned pieces of 16. Where a piece spans two earlier stores the processor waits for both, which costs as much
/// as everything else that is done to a small message.
#[derive(Clone)]
#[repr(u8)]
pub(super) enum Store {
    /// `start <= end <= INLINE` always.
    Inline {
        header_len: u8,
        start: u8,
        end: u8,
        source: Option<PeerId>,
        bytes: [u8; INLINE],
    },
    Pooled {
        header_len: u8,
        source: Option<PeerId>,
        buf: PooledBuf,
    },
}

/// Payloads up to this many bytes need no buffer: what 128 bytes leave beside the rest.
pub(super) const INLINE: usize = 112;

/// Room kept in front of short inline payloads, for up to four header words.
const INLINE_HEADROOM: usize = 16;

/// What is left for short payloads.
const SHORT: usize = INLINE - INLINE_HEADROOM;

impl Store {
    pub(super) const fn new() -> Self {
        Self::starting_at(INLINE_HEADROOM)
    }

    /// Room for `n` bytes without growing.
    pub(super) fn with_room(n: usize, pool: &BufferPool) -> Self {
        if n <= INLINE { Self::starting_at(start_for(n)) } else { Self::pooled(pool.take(n)) }
    }

    /// A copy of `from`, with the usual room in front.
    ///
    /// In one expression, so that it is made where it is to stand: moving what has just been written in pieces
    /// costs more than writing it.
    #[inline]
    pub(super) fn copy_of(from: &[u8]) -> Self {
        if from.len() > INLINE - INLINE_HEADROOM {
            return Self::long_copy_of(from);
        }
        let mut bytes = [0; INLINE];
        bytes[INLINE_HEADROOM..][..from.len()].copy_from_slice(from);
        Self::Inline {
            header_len: 0,
            start: small(INLINE_HEADROOM),
            end: small(INLINE_HEADROOM + from.len()),
            source: None,
            bytes,
        }
    }

    /// As [`copy_of`](Self::copy_of) for the first `len` bytes of `from`, over what a new store holds. Answers false if
    /// they are too many or `from` ends too soon.
    #[inline]
    pub(super) fn copy_short(&mut self, from: &[u8], len: usize) -> bool {
        if let Self::Inline { end, bytes, .. } = self
            && len <= SHORT
            && let Some(piece) = from.first_chunk::<SHORT>()
            && let Some(room) = bytes.last_chunk_mut()
        {
            *room = *piece;
            *end = small(INLINE_HEADROOM + len);
            return true;
        }
        false
    }

    fn long_copy_of(from: &[u8]) -> Self {
        let mut store = Self::with_room(from.len(), BufferPool::global());
        store.extend(from);
        store
    }

    pub(super) const fn pooled(buf: PooledBuf) -> Self {
        Self::Pooled { header_len: 0, source: None, buf }
    }

    const fn starting_at(start: usize) -> Self {
        let at = small(start);
        Self::Inline { header_len: 0, start: at, end: at, source: None, bytes: [0; INLINE] }
    }

    /// How much of the front is header.
    #[inline]
    pub(super) const fn header_len(&self) -> usize {
        match self {
            Self::Inline { header_len, .. } | Self::Pooled { header_len, .. } => {
                *header_len as usize
            }
        }
    }

    #[inline]
    pub(super) const fn set_header_len(&mut self, len: usize) {
        match self {
            Self::Inline { header_len, .. } | Self::Pooled { header_len, .. } => {
                *header_len = small(len);
            }
        }
    }

    /// Whom the bytes came from.
    #[inline]
    pub(super) const fn source(&self) -> Option<PeerId> {
        match self {
            Self::Inline { source, .. } | Self::Pooled { source, .. } => *source,
        }
    }

    #[inline]
    pub(super) const fn set_source(&mut self, peer: Option<PeerId>) {
        match self {
            Self::Inline { source, .. } | Self::Pooled { source, .. } => *source = peer,
        }
    }

    #[inline]
    pub(super) fn extend(&mut self, more: &[u8]) {
        if let Self::Inline { end, bytes, .. } = self
            && let Some(room) = bytes.get_mut(usize::from(*end)..usize::from(*end) + more.len())
        {
            room.copy_from_slice(more);
            *end += small(more.len());
            return;
        }
        self.extend_elsewhere(more);
    }

    fn extend_elsewhere(&mut self, more: &[u8]) {
        self.reserve(more.len());
        match self {
            Self::Inline { end, bytes, .. } => {
                let from = usize::from(*end);
                bytes[from..from + more.len()].copy_from_slice(more);
                *end += small(more.len());
            }
            Self::Pooled { buf, .. } => buf.extend_from_slice(more),
        }
    }

    pub(super) fn prepend(&mut self, more: &[u8]) {
        let len = self.bytes().len();
        match self {
            Self::Inline { start, .. } if len + more.len() <= INLINE => {
                if usize::from(*start) < more.len() {
                    // All the room goes in front: who prepends once does it again.
                    self.move_to(INLINE - len);
                }
                let Self::Inline { start, bytes, .. } = self else { return };
                let to = usize::from(*start);
                bytes[to - more.len()..to].copy_from_slice(more);
                *start -= small(more.len());
            }
            Self::Inline { .. } => {
                let mut buf = BufferPool::global().take(len.saturating_add(more.len()));
                buf.extend_from_slice(more);
                buf.extend_from_slice(self.bytes());
                self.take_over(buf);
            }
            Self::Pooled { buf, .. } => buf.prepend(more),
        }
    }

    /// Makes room for `n` more bytes behind.
    pub(super) fn reserve(&mut self, n: usize) {
        let len = self.bytes().len();
        match self {
            Self::Inline { end, .. } if n <= INLINE - len => {
                if INLINE - usize::from(*end) < n {
                    self.move_to(start_for(len + n));
                }
            }
            Self::Inline { .. } => {
                let mut buf = BufferPool::global().take(len.saturating_add(n));
                buf.extend_from_slice(self.bytes());
                self.take_over(buf);
            }
            Self::Pooled { buf, .. } => buf.reserve(n),
        }
    }

    /// Takes the buffer out, if the bytes lie in one; nothing is left then.
    pub(super) fn take_buf(&mut self) -> Option<PooledBuf> {
        match std::mem::replace(self, Self::new()) {
            Self::Pooled { buf, .. } => Some(buf),
            inline => {
                *self = inline;
                None
            }
        }
    }

    /// Forgets the first `n` bytes, or all if there are fewer.
    pub(super) fn trim_front(&mut self, n: usize) {
        match self {
            Self::Inline { start, end, .. } => *start += small(n.min(usize::from(*end - *start))),
            Self::Pooled { buf, .. } => buf.trim_front(n),
        }
    }

    /// Forgets all but the first `n` bytes.
    pub(super) fn truncate(&mut self, n: usize) {
        match self {
            Self::Inline { start, end, .. } => {
                *end = *start + small(n.min(usize::from(*end - *start)));
            }
            Self::Pooled { buf, .. } => buf.truncate(n),
        }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Inline { start, end, bytes, .. } => {
                &bytes[usize::from(*start)..usize::from(*end)]
            }
            Self::Pooled { buf, .. } => buf,
        }
    }

    /// As many as [`bytes`](Self::bytes).
    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Inline { start, end, .. } => usize::from(end.saturating_sub(*start)),
            Self::Pooled { buf, .. } => buf.len(),
        }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Inline { start, end, bytes, .. } => {
                &mut bytes[usize::from(*start)..usize::from(*end)]
            }
            Self::Pooled { buf, .. } => buf,
        }
    }

    /// Bytes that still fit behind without moving anything.
    pub(super) fn room(&self) -> usize {
        match self {
            Self::Inline { end, .. } => INLINE - usize::from(*end),
            Self::Pooled { buf, .. } => buf.room(),
        }
    }

    /// A second store of the same bytes: memory is shared where there is a buffer.
    pub(super) fn share(&self) -> Self {
        match self {
            Self::Inline { .. } => self.clone(),
            Self::Pooled { header_len, source, buf } => {
                Self::Pooled { header_len: *header_len, source: *source, buf: buf.share() }
            }
        }
    }

    /// The bytes are in `buf` from now on.
    fn take_over(&mut self, buf: PooledBuf) {
        *self = Self::Pooled { header_len: small(self.header_len()), source: self.source(), buf };
    }

    /// Moves inline bytes to `to`.
    fn move_to(&mut self, to: usize) {
        if let Self::Inline { start, end, bytes, .. } = self {
            let len = *end - *start;
            bytes.copy_within(usize::from(*start)..usize::from(*end), to);
            *start = small(to);
            *end = *start + len;
        }
    }
}

/// Where `n` bytes start so that they fit, with the usual headroom if it fits as well.
const fn start_for(n: usize) -> usize {
    let free = INLINE.saturating_sub(n);
    if free < INLINE_HEADROOM { free } else { INLINE_HEADROOM }
}

/// A position within the inline bytes, or a header's length.
const fn small(n: usize) -> u8 {
    debug_assert!(n <= INLINE);
    n as u8
}
