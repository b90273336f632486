//! Where a message's bytes lie: inside the message while they are few, in a pooled buffer above.

use crate::pool::{BufferPool, PooledBuf};

/// Contiguous bytes that can grow and shrink at both ends. A clone has memory of its own.
#[derive(Clone)]
pub(super) enum Store {
    Inline(Inline),
    Pooled(PooledBuf),
}

/// Bytes inside the message; `start <= end <= INLINE` always.
#[derive(Clone)]
pub(super) struct Inline {
    start: u8,
    end: u8,
    bytes: [u8; INLINE],
}

/// Payloads up to this many bytes need no buffer: what 128 bytes leave beside the header length and the source.
pub(super) const INLINE: usize = 109;

/// Room kept in front of short inline payloads, for up to four header words.
const INLINE_HEADROOM: usize = 16;

impl Store {
    pub(super) const fn new() -> Self {
        Self::Inline(Inline::new(0))
    }

    /// Room for `n` bytes without growing.
    pub(super) fn with_room(n: usize, pool: &BufferPool) -> Self {
        if n <= INLINE { Self::Inline(Inline::new(n)) } else { Self::Pooled(pool.take(n)) }
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        match self {
            Self::Inline(inline) => inline.extend(bytes),
            Self::Pooled(buf) => buf.extend_from_slice(bytes),
        }
    }

    pub(super) fn prepend(&mut self, bytes: &[u8]) {
        match self {
            Self::Inline(inline) if inline.len() + bytes.len() <= INLINE => inline.prepend(bytes),
            Self::Inline(inline) => {
                let mut buf = BufferPool::global().take(inline.len().saturating_add(bytes.len()));
                buf.extend_from_slice(bytes);
                buf.extend_from_slice(inline.bytes());
                *self = Self::Pooled(buf);
            }
            Self::Pooled(buf) => buf.prepend(bytes),
        }
    }

    /// Makes room for `n` more bytes behind.
    pub(super) fn reserve(&mut self, n: usize) {
        match self {
            Self::Inline(inline) if n <= INLINE - inline.len() => inline.make_room(n),
            Self::Inline(inline) => {
                let mut buf = BufferPool::global().take(inline.len().saturating_add(n));
                buf.extend_from_slice(inline.bytes());
                *self = Self::Pooled(buf);
            }
            Self::Pooled(buf) => buf.reserve(n),
        }
    }

    /// Forgets the first `n` bytes, or all if there are fewer.
    pub(super) fn trim_front(&mut self, n: usize) {
        match self {
            Self::Inline(inline) => inline.start += small(n.min(inline.len())),
            Self::Pooled(buf) => buf.trim_front(n),
        }
    }

    /// Forgets all but the first `n` bytes.
    pub(super) fn truncate(&mut self, n: usize) {
        match self {
            Self::Inline(inline) => inline.end = inline.start + small(n.min(inline.len())),
            Self::Pooled(buf) => buf.truncate(n),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Inline(inline) => inline.bytes(),
            Self::Pooled(buf) => buf,
        }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Inline(inline) => inline.bytes_mut(),
            Self::Pooled(buf) => buf,
        }
    }

    /// Bytes that still fit behind without moving anything.
    pub(super) fn room(&self) -> usize {
        match self {
            Self::Inline(inline) => INLINE - usize::from(inline.end),
            Self::Pooled(buf) => buf.room(),
        }
    }

    /// A second store of the same bytes: memory is shared where there is a buffer.
    pub(super) fn share(&self) -> Self {
        match self {
            Self::Inline(inline) => Self::Inline(inline.clone()),
            Self::Pooled(buf) => Self::Pooled(buf.share()),
        }
    }
}

impl Inline {
    /// Nothing yet, placed so that `n` bytes fit behind and as much headroom in front as that leaves.
    const fn new(n: usize) -> Self {
        let start = small(start_for(n));
        Self { start, end: start, bytes: [0; INLINE] }
    }

    fn extend(&mut self, bytes: &[u8]) {
        let from = usize::from(self.end);
        self.bytes[from..from + bytes.len()].copy_from_slice(bytes);
        self.end += small(bytes.len());
    }

    fn prepend(&mut self, bytes: &[u8]) {
        if usize::from(self.start) < bytes.len() {
            // All the room goes in front: who prepends once does it again.
            self.move_to(INLINE - self.len());
        }
        let to = usize::from(self.start);
        self.bytes[to - bytes.len()..to].copy_from_slice(bytes);
        self.start -= small(bytes.len());
    }

    fn make_room(&mut self, n: usize) {
        if INLINE - usize::from(self.end) < n {
            self.move_to(start_for(self.len() + n));
        }
    }

    fn move_to(&mut self, start: usize) {
        let len = self.len();
        self.bytes.copy_within(usize::from(self.start)..usize::from(self.end), start);
        self.start = small(start);
        self.end = small(start + len);
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..usize::from(self.end)]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[usize::from(self.start)..usize::from(self.end)]
    }

    const fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
}

/// Where `n` bytes start so that they fit, with the usual headroom if it fits as well.
const fn start_for(n: usize) -> usize {
    let free = INLINE.saturating_sub(n);
    if free < INLINE_HEADROOM { free } else { INLINE_HEADROOM }
}

/// A position within the inline bytes.
const fn small(n: usize) -> u8 {
    debug_assert!(n <= INLINE);
    n as u8
}
