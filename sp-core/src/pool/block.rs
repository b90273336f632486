//! The memory behind a buffer: aligned, always initialised, and aware of its home.

use std::sync::{Arc, Weak};

use bytemuck::{Pod, Zeroable};

use super::Shared;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Bytes in front of a fresh buffer's data, for headers that come later. One cache line keeps the data aligned.
pub(super) const HEADROOM: usize = 64;

/// The unit of allocation: the kernel copies into 64-byte-aligned memory many times faster than into other.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Chunk([u8; CHUNK]);

pub(super) const CHUNK: usize = 64;

/// One piece of memory and the number of buffers that look into it.
#[derive(Debug)]
pub(super) struct Block {
    /// The pool the block goes home to.
    pool: Weak<Shared>,
    /// Its class there; without one it is freed instead.
    class: Option<u8>,
    /// Buffers that share this block; 1 while it is at home.
    ///
    /// Counted beside the `Arc` because only a counter of our own tells exactly one handle that it was the last.
    handles: AtomicUsize,
    chunks: Vec<Chunk>,
}

impl Block {
    /// A block of `class`, or of at least `at_least` bytes where there is no class.
    pub(super) fn new(shared: &Arc<Shared>, class: Option<u8>, at_least: usize) -> Self {
        let size = class.map_or(at_least, |class| shared.class(class).size);
        Self::with_home(Arc::downgrade(shared), class, size)
    }

    /// A block that is freed when dropped: its pool is gone.
    pub(super) fn homeless(at_least: usize) -> Self {
        Self::with_home(Weak::new(), None, at_least)
    }

    fn with_home(pool: Weak<Shared>, class: Option<u8>, size: usize) -> Self {
        let chunks = Self::bytes_for(size) / CHUNK;
        let chunks = bytemuck::zeroed_vec(chunks);
        Self { pool, class, handles: AtomicUsize::new(1), chunks }
    }

    /// Bytes that a block for `size` bytes of data takes.
    pub(super) const fn bytes_for(size: usize) -> usize {
        size.saturating_add(HEADROOM).div_ceil(CHUNK).saturating_mul(CHUNK)
    }

    /// Makes the block hold `size` bytes of data. For blocks without a class, whose size is free.
    pub(super) fn grow(&mut self, size: usize) {
        debug_assert!(self.class.is_none(), "a class has one size");
        let chunks = Self::bytes_for(size) / CHUNK;
        if chunks > self.chunks.len() {
            self.chunks.resize(chunks, Chunk::zeroed());
        }
    }

    /// All bytes, headroom included.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.chunks)
    }

    /// All bytes, headroom included.
    pub(super) fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.chunks)
    }

    /// How many bytes there are, headroom included.
    pub(super) const fn len(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    /// The pool this block belongs to.
    pub(super) const fn home(&self) -> &Weak<Shared> {
        &self.pool
    }

    /// Whether the block belongs to a size class, and so cannot grow.
    pub(super) const fn is_classed(&self) -> bool {
        self.class.is_some()
    }

    /// Whether another buffer looks into this block.
    pub(super) fn is_shared(&self) -> bool {
        self.handles.load(Ordering::Relaxed) > 1
    }

    /// Counts another handle. The caller holds one, so the number cannot reach zero meanwhile.
    pub(super) fn retain(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives up one handle; true for exactly one caller, the last.
    pub(super) fn release(&self) -> bool {
        // A lone handle cannot be joined by another meanwhile, so most blocks need no read-modify-write.
        // Acquire pairs with the release of handles dropped elsewhere: their reads are over.
        if self.handles.load(Ordering::Acquire) == 1 {
            return true;
        }
        if self.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.handles.store(1, Ordering::Relaxed);
            return true;
        }
        false
    }

    /// Readies a block for its next user: its class and itself, or nothing if it is to be freed.
    ///
    /// A straggler is a handle that was given up elsewhere a moment ago and has not let go of the memory yet.
    /// A block cannot be scrubbed under it and is freed instead.
    pub(super) fn into_clean(self: Arc<Self>, scrub: bool) -> Option<(u8, Arc<Self>)> {
        let mut block = self;
        let class = block.class?;
        if scrub {
            Arc::get_mut(&mut block)?.bytes_mut().fill(0);
        }
        Some((class, block))
    }
}
