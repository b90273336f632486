//! Plain aligned memory, for read buffers.

use std::ops::{Deref, DerefMut};

use super::block::{CHUNK, Chunk};

/// A fixed number of bytes on a 64-byte boundary, zero at first. Owned, not pooled: for buffers that live as
/// long as their owner.
#[derive(Debug)]
pub struct AlignedBytes {
    chunks: Vec<Chunk>,
}

impl AlignedBytes {
    /// At least `len` bytes, all zero.
    pub fn zeroed(len: usize) -> Self {
        // Zeroed by the system: pages that nobody writes to are never backed by memory.
        Self { chunks: bytemuck::zeroed_vec(len.div_ceil(CHUNK)) }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.chunks)
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.chunks)
    }
}
