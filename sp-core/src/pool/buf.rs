//! The buffer that a message owns.

use std::fmt;
use std::io::{self, Read};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::block::{Block, HEADROOM};
use super::{Shared, local};

/// Bytes in pooled memory; the memory goes home when the last buffer that uses it is dropped.
///
/// Dereferences to the bytes written so far and to nothing else. A fresh buffer is empty, its data will start on
/// a 64-byte boundary, and 64 bytes in front are free for headers.
///
/// [`share`](Self::share) makes a second buffer of the same memory without copying. Writing to a shared buffer
/// first moves it to memory of its own, so the others never notice.
///
/// ```
/// use sp_core::pool::BufferPool;
///
/// let mut buf = BufferPool::global().take(100);
/// buf.extend_from_slice(b"body");
/// buf.prepend(b"head ");
/// assert_eq!(&buf[..], b"head body");
/// ```
///
/// Growing aborts or panics, as a [`Vec`] does, only when memory is exhausted.
pub struct PooledBuf {
    /// `None` only while dropping.
    block: Option<Arc<Block>>,
    start: usize,
    end: usize,
}

impl PooledBuf {
    pub(super) const fn new(block: Arc<Block>) -> Self {
        Self { block: Some(block), start: HEADROOM, end: HEADROOM }
    }

    /// Adds `bytes` behind what is written.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        let (from, to) = (self.end, self.end + bytes.len());
        self.unique()[from..to].copy_from_slice(bytes);
        self.end = to;
    }

    /// Adds `bytes` in front of what is written: in the headroom if they fit, else everything moves.
    pub fn prepend(&mut self, bytes: &[u8]) {
        if self.start < bytes.len() {
            self.relocate(bytes.len(), 0);
        }
        let (from, to) = (self.start - bytes.len(), self.start);
        self.unique()[from..to].copy_from_slice(bytes);
        self.start = from;
    }

    /// Forgets the first `n` bytes, or all if there are fewer. What is forgotten becomes headroom.
    pub fn trim_front(&mut self, n: usize) {
        self.start += n.min(self.len());
    }

    /// Forgets all but the first `n` bytes.
    pub fn truncate(&mut self, n: usize) {
        self.end = self.end.min(self.start.saturating_add(n));
    }

    /// Forgets everything.
    pub const fn clear(&mut self) {
        self.start = HEADROOM;
        self.end = HEADROOM;
    }

    /// Makes room for `n` more bytes behind what is written. Moves or copies only if there is less.
    pub fn reserve(&mut self, n: usize) {
        if self.room() < n {
            self.relocate(0, n);
        }
    }

    /// Reads once from `src`, at most `max` bytes and at most what fits without growing; returns how many came.
    ///
    /// # Errors
    ///
    /// What `src` reports; nothing is added then.
    pub fn fill_from(&mut self, src: &mut impl Read, max: usize) -> io::Result<usize> {
        self.fill_with(max, |spare| src.read(spare))
    }

    /// Hands `fill` at most `max` bytes of the room behind what is written; as many as it says it wrote are added.
    ///
    /// The room is initialised but may hold bytes of the memory's earlier use, so `fill` must report only what it
    /// wrote. A count above the room is cut down to it.
    ///
    /// # Errors
    ///
    /// What `fill` reports; nothing is added then.
    pub fn fill_with(
        &mut self,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let (from, room) = (self.end, self.room().min(max));
        let filled = fill(&mut self.unique()[from..from + room])?.min(room);
        self.end += filled;
        Ok(filled)
    }

    /// A second buffer of the same bytes. Copies and allocates nothing.
    pub fn share(&self) -> Self {
        self.block().retain();
        Self { block: self.block.clone(), start: self.start, end: self.end }
    }

    /// Whether another buffer uses the same memory, so that writing would copy.
    pub fn is_shared(&self) -> bool {
        self.block().is_shared()
    }

    /// Bytes written.
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is written.
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes that fit from the first one written on: [`len`](Self::len) + [`room`](Self::room).
    pub fn capacity(&self) -> usize {
        self.block().len() - self.start
    }

    /// Bytes that still fit behind what is written.
    pub fn room(&self) -> usize {
        self.block().len() - self.end
    }

    /// Bytes that still fit in front of what is written.
    pub const fn headroom(&self) -> usize {
        self.start
    }

    /// Moves the written bytes so that `front` more fit before them and `behind` more after them.
    ///
    /// Afterwards the usual headroom stands before the `front` bytes as well.
    fn relocate(&mut self, front: usize, behind: usize) {
        let start = HEADROOM.saturating_add(front);
        let size = front.saturating_add(self.len()).saturating_add(behind);
        let (from, len) = (self.start, self.len());
        if let Some(block) = self.block.as_mut().and_then(Arc::get_mut) {
            if !block.is_classed() && block.len() < Block::bytes_for(size) {
                // Doubling keeps the cost of many small additions proportional to their sum.
                block.grow(size.max(block.len().saturating_mul(2)));
            }
            if block.len() >= Block::bytes_for(size) {
                block.bytes_mut().copy_within(from..from + len, start);
                (self.start, self.end) = (start, start + len);
                return;
            }
        }
        self.replace_block(size, start);
    }

    /// All bytes of a block that nobody else looks into: the present one or a copy.
    fn unique(&mut self) -> &mut [u8] {
        // Nobody can join a lone handle, and weak ones are never made, so the count settles the matter.
        if self.block.as_ref().is_some_and(|block| Arc::strong_count(block) != 1) {
            let start = self.start;
            self.replace_block(self.block().len() - HEADROOM, start);
        }
        match self.block.as_mut().and_then(Arc::get_mut) {
            Some(block) => block.bytes_mut(),
            None => unreachable!("the block was replaced unless its only handle is this one"),
        }
    }

    /// Copies the written bytes to `start` of another block, which holds `size` bytes, and lets go of this one.
    fn replace_block(&mut self, size: usize, start: usize) {
        // The assignment drops the old buffer, which gives up its handle.
        *self = self.copy_to(size, start);
    }

    /// A copy of the written bytes at `start` of another block, which holds `size` bytes.
    fn copy_to(&self, size: usize, start: usize) -> Self {
        let mut block = match self.block().home().upgrade() {
            Some(shared) => take_unique(&shared, size),
            None => Arc::new(Block::homeless(size)),
        };
        let end = start + self.len();
        match Arc::get_mut(&mut block) {
            Some(block) => block.bytes_mut()[start..end].copy_from_slice(self),
            None => unreachable!("the block was taken as unique"),
        }
        Self { block: Some(block), start, end }
    }

    fn block(&self) -> &Arc<Block> {
        match &self.block {
            Some(block) => block,
            None => unreachable!("only drop takes the block"),
        }
    }
}

impl Deref for PooledBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.block().bytes()[self.start..self.end]
    }
}

impl DerefMut for PooledBuf {
    /// The written bytes, for changing; moves to memory of its own first if shared.
    fn deref_mut(&mut self) -> &mut [u8] {
        let (start, end) = (self.start, self.end);
        &mut self.unique()[start..end]
    }
}

impl AsRef<[u8]> for PooledBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Clone for PooledBuf {
    /// A copy with memory of its own, from the same pool; [`share`](Self::share) copies nothing.
    fn clone(&self) -> Self {
        self.copy_to(self.len(), HEADROOM)
    }
}

impl Drop for PooledBuf {
    fn drop(&mut self) {
        if let Some(block) = self.block.take()
            && block.release()
        {
            local::put(block);
        }
    }
}

impl fmt::Debug for PooledBuf {
    /// Lengths only: contents may be confidential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledBuf")
            .field("len", &self.len())
            .field("room", &self.room())
            .field("headroom", &self.headroom())
            .field("shared", &self.is_shared())
            .finish()
    }
}

/// A block to write to. One that a straggler still holds is passed over for a new one.
fn take_unique(shared: &Arc<Shared>, size: usize) -> Arc<Block> {
    let class = shared.class_for(size);
    let block = local::take(shared, class, size);
    if Arc::strong_count(&block) == 1 {
        return block;
    }
    // The straggler's block leaves the pool, and its number of takes and returns stays level: the new one
    // goes home in its place.
    Arc::new(Block::new(shared, class, size))
}
