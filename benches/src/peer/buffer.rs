//! Bytes on a 64-byte boundary.

use std::ops::{Deref, DerefMut};

/// A buffer that starts on a 64-byte boundary.
///
/// A large vector starts 16 bytes into a page, and a copy by the kernel between two addresses that lie so
/// unluckily apart is up to twenty times slower on some processors.
pub(crate) struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// A buffer of `len` bytes, all `fill`.
    pub(crate) fn new(len: usize, fill: u8) -> Self {
        let bytes = vec![fill; len + ALIGN];
        let start = bytes.as_ptr().addr().wrapping_neg() % ALIGN;
        Self { bytes, start, len }
    }

    /// A buffer of no bytes; allocates nothing.
    pub(crate) const fn empty() -> Self {
        Self { bytes: Vec::new(), start: 0, len: 0 }
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

const ALIGN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_starts_on_its_boundary_and_has_its_length() {
        for len in [0, 1, 64, 65_536, 1 << 20] {
            let buffer = Aligned::new(len, 7);
            assert_eq!(buffer.as_ptr().addr() % ALIGN, 0);
            assert_eq!(buffer.len(), len);
            assert!(buffer.iter().all(|&byte| byte == 7));
        }
    }
}
