//! Frames out of a byte stream, however it is cut.

use std::io;

use sp_core::batch::Batch;
use sp_core::id::PeerId;
use sp_core::message::Message;
use sp_core::pipe::CloseReason;
use sp_core::pool::{BufferPool, PooledBuf};

use super::framing::Framing;
use crate::seldom::Seldom;

/// Turns the bytes of one connection into messages, where these have their length in front.
///
/// Complete messages are taken straight out of the bytes offered. What is left at the end, the beginning of
/// one more message, is the caller's to keep and to offer again with more behind it; only a body of at least
/// [`LARGE_BODY_BYTES`] moves into a buffer of its own as it comes, so that it is copied once and the caller
/// can have the system write into that buffer directly.
///
/// ```
/// use sp_core::batch::Batch;
/// use sp_transport::wire::{Decoder, Framing};
///
/// let mut decoder = Decoder::new(Framing::Length, Some(1024));
/// let mut batch = Batch::new();
/// let used = decoder.decode(b"\0\0\0\0\0\0\0\x02hi\0\0", &mut batch, 100).unwrap();
/// assert_eq!(used, 10);
/// assert_eq!(batch.pop().unwrap().body(), b"hi");
/// ```
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    /// Bytes of a message.
    limit: u64,
    source: Option<PeerId>,
    large: Seldom<LargeBody>,
}

impl Decoder {
    /// A decoder for a fresh connection that refuses messages above `limit` bytes.
    pub const fn new(framing: Framing, limit: Option<u64>) -> Self {
        let limit = match limit {
            Some(limit) => limit,
            None => u64::MAX,
        };
        Self { framing, limit, source: None, large: Seldom::new() }
    }

    /// The messages name `peer` as their source.
    #[must_use]
    pub fn from_peer(self, peer: PeerId) -> Self {
        Self { source: Some(peer), ..self }
    }

    /// Takes messages from the front of `bytes` into `batch`, `most` at the most, and returns how many bytes
    /// it used.
    ///
    /// After an error the connection is beyond repair.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        batch: &mut Batch,
        most: usize,
    ) -> Result<usize, CloseReason> {
        let mut rest = bytes;
        let full = batch.len().saturating_add(most);
        while batch.len() < full {
            if let Some(large) = self.large.get_mut() {
                rest = large.append(rest);
                if large.missing > 0 {
                    break;
                }
                self.finish_large(batch);
                continue;
            }
            let Some(payload_bytes) = self.framing.decode_header(rest, Some(self.limit))? else {
                break;
            };
            let Some(behind) = rest.get(self.framing.header_bytes(payload_bytes)..) else { break };
            if let Some(next) = batch.push_front_of(behind, payload_bytes, self.source) {
                rest = next;
                continue;
            }
            if payload_bytes < LARGE_BODY_BYTES {
                break;
            }
            self.large.put(LargeBody::new(payload_bytes));
            rest = behind;
        }
        Ok(bytes.len().saturating_sub(rest.len()))
    }

    /// Lets `read` write into the large body that is under way, then takes what lies behind it.
    ///
    /// `read` gets the room and returns how many bytes it wrote there. Returns nothing when no large body is
    /// under way.
    pub fn read_large(
        &mut self,
        batch: &mut Batch,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        let large = self.large.get_mut()?;
        let got = large.fill_with(read);
        if large.missing == 0 {
            self.finish_large(batch);
        }
        Some(got)
    }

    /// Whether a large body is under way.
    pub fn is_in_large(&self) -> bool {
        self.large.is_some()
    }

    fn finish_large(&mut self, batch: &mut Batch) {
        if let Some(large) = self.large.take() {
            let mut msg = Message::from_buf(large.buf);
            msg.set_source(self.source);
            batch.push(msg);
        }
    }
}

/// A body on its way into a buffer that grows as it comes: an announced length is never believed.
#[derive(Debug)]
pub(super) struct LargeBody {
    pub(super) buf: PooledBuf,
    pub(super) missing: usize,
}

impl LargeBody {
    pub(super) fn new(payload_bytes: usize) -> Self {
        let first = payload_bytes.min(FIRST_BUFFER_BYTES);
        Self { buf: BufferPool::global().take(first), missing: payload_bytes }
    }

    /// Takes what belongs to this body from `bytes` and returns the rest.
    pub(super) fn append<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (mine, rest) = bytes.split_at_checked(self.missing).unwrap_or((bytes, &[]));
        self.buf.extend_from_slice(mine);
        self.missing = self.missing.saturating_sub(mine.len());
        rest
    }

    /// Lets `read` write into the buffer, which is doubled when it is full.
    pub(super) fn fill_with(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.buf.room() == 0 {
            self.buf.reserve(self.missing.min(self.buf.len().max(FIRST_BUFFER_BYTES)));
        }
        let got = self.buf.fill_with(self.missing, read)?;
        self.missing = self.missing.saturating_sub(got);
        Ok(got)
    }
}

/// From this size on a body is read straight into its own buffer. 32 KiB: copying a smaller one out of the
/// read buffer costs less than the second piece of a vectored read.
pub const LARGE_BODY_BYTES: usize = 32 * 1024;

/// What a peer gets for announcing a large body: one pooled buffer. More comes only as bytes do.
const FIRST_BUFFER_BYTES: usize = 64 * 1024;
