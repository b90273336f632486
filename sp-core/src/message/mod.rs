//! What travels: a body for the program, a header for the protocol, and whom it came from.

use std::fmt;
use std::str::{self, Utf8Error};

use crate::id::PeerId;
use crate::pool::{BufferPool, PooledBuf};

mod convert;
mod header;
mod store;

pub use header::HeaderTooLong;
use store::Store;

/// A message. It owns its memory alone and gives it back when dropped.
///
/// The *body* is the program's. The *header* belongs to the protocol: a program meets it only on raw sockets.
/// Both lie side by side as they go on the wire; together they are the *payload*. Payloads up to 112 bytes lie
/// inside the message itself, longer ones in a pooled buffer.
///
/// A message dereferences to its body, and comparing messages compares bodies.
///
/// ```
/// use sp_core::message::Message;
///
/// let mut msg = Message::from("price=");
/// msg.append(b"42");
/// assert_eq!(msg, "price=42");
/// assert_eq!(msg.as_str(), Ok("price=42"));
///
/// msg.prepend_u16(7);
/// assert_eq!(msg.trim_u16(), Some(7));
/// ```
///
/// No method panics. Growing aborts or panics, as a [`Vec`] does, only when memory is exhausted.
pub struct Message {
    /// Its header is never longer than the payload or `HEADER_MAX`.
    store: Store,
}

// Two cache lines: queues of messages are walked in order, and a message is moved about ten times on its way.
const _: () = assert!(size_of::<Message>() == 128);

impl Message {
    /// An empty message.
    pub const fn new() -> Self {
        Self::with_store(Store::new())
    }

    /// An empty message with room for a payload of `n` bytes.
    pub fn with_capacity(n: usize) -> Self {
        Self::with_capacity_in(BufferPool::global(), n)
    }

    /// An empty message with room for a payload of `n` bytes, from `pool` if they do not fit inside the message.
    pub fn with_capacity_in(pool: &BufferPool, n: usize) -> Self {
        Self::with_store(Store::with_room(n, pool))
    }

    /// A message with a copy of `body`.
    #[inline]
    pub fn from_slice(body: &[u8]) -> Self {
        Self { store: Store::copy_of(body) }
    }

    /// A message with a copy of what came from the wire. All of it is body until the protocol takes its header.
    #[inline]
    pub fn from_payload(payload: &[u8]) -> Self {
        Self::from_slice(payload)
    }

    /// A message of what came from the wire, in the buffer it came in. All of it is body at first.
    pub const fn from_buf(payload: PooledBuf) -> Self {
        Self::with_store(Store::pooled(payload))
    }

    const fn with_store(store: Store) -> Self {
        Self { store }
    }

    /// Copies the first `len` bytes of `from` into a new message if they are few and enough is behind them that a piece
    /// of fixed length can be copied: a copy whose length is known takes a few moves, any other a call.
    #[inline]
    pub(crate) fn copy_short(&mut self, from: &[u8], len: usize) -> bool {
        self.store.copy_short(from, len)
    }

    /// Adds `bytes` at the end of the body.
    pub fn append(&mut self, bytes: &[u8]) {
        self.store.extend(bytes);
    }

    /// Adds `bytes` at the front of the body.
    pub fn prepend(&mut self, bytes: &[u8]) {
        self.store.prepend(bytes);
        let header_len = self.header_len();
        if header_len > 0 {
            // The bytes now stand before the header, where they do not belong.
            self.store.bytes_mut()[..bytes.len() + header_len].rotate_left(bytes.len());
        }
    }

    /// Drops the first `n` bytes of the body.
    ///
    /// # Errors
    ///
    /// [`TooShort`] if the body has fewer; it is unchanged then.
    pub fn trim(&mut self, n: usize) -> Result<(), TooShort> {
        self.check_len(n)?;
        let header_len = self.header_len();
        if header_len > 0 && n > 0 {
            self.store.bytes_mut().copy_within(..header_len, n);
        }
        self.store.trim_front(n);
        Ok(())
    }

    /// Drops the last `n` bytes of the body.
    ///
    /// # Errors
    ///
    /// [`TooShort`] if the body has fewer; it is unchanged then.
    pub fn chop(&mut self, n: usize) -> Result<(), TooShort> {
        self.check_len(n)?;
        self.store.truncate(self.payload_len() - n);
        Ok(())
    }

    /// Drops all but the first `n` bytes of the body.
    pub fn truncate(&mut self, n: usize) {
        self.store.truncate(n.saturating_add(self.header_len()));
    }

    /// Empties the body. The header stays.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Makes room for `n` more bytes behind the body.
    pub fn reserve(&mut self, n: usize) {
        self.store.reserve(n);
    }

    /// The body, for changing. If it is shared, it moves to a buffer of its own first.
    pub fn body_mut(&mut self) -> &mut [u8] {
        let header_len = self.header_len();
        &mut self.store.bytes_mut()[header_len..]
    }

    /// Notes whom the message came from.
    #[inline]
    pub const fn set_source(&mut self, peer: Option<PeerId>) {
        self.store.set_source(peer);
    }

    /// A second message with the same header, body and source, without copying a body that lies in a buffer.
    ///
    /// Whichever of the two is changed first gets a buffer of its own at that moment.
    pub fn share(&mut self) -> Self {
        Self { store: self.store.share() }
    }

    /// Takes the buffer of header and body out and leaves an empty message. `None` if the message is so small that
    /// it needs no buffer; it is unchanged then.
    pub fn take_buf(&mut self) -> Option<PooledBuf> {
        self.store.take_buf()
    }

    /// The body.
    #[inline]
    pub fn body(&self) -> &[u8] {
        self.payload().get(self.header_len()..).unwrap_or_default()
    }

    /// The protocol header.
    pub fn header(&self) -> &[u8] {
        self.payload().get(..self.header_len()).unwrap_or_default()
    }

    /// Header and body as they go on the wire.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        self.store.bytes()
    }

    /// Bytes of header and body together.
    #[inline]
    pub fn payload_len(&self) -> usize {
        self.store.len()
    }

    /// Bytes in the body.
    #[inline]
    pub fn len(&self) -> usize {
        self.body().len()
    }

    /// Whether the body is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.body().is_empty()
    }

    /// Bytes the body can have before anything moves.
    pub fn capacity(&self) -> usize {
        self.len() + self.store.room()
    }

    /// The body as text.
    ///
    /// # Errors
    ///
    /// If the body is not UTF-8.
    pub fn as_str(&self) -> Result<&str, Utf8Error> {
        str::from_utf8(self.body())
    }

    /// Whom the message came from, for the socket that received it to tell more of; `None` on messages that were not
    /// received.
    #[inline]
    pub const fn source(&self) -> Option<PeerId> {
        self.store.source()
    }

    const fn header_len(&self) -> usize {
        self.store.header_len()
    }

    fn check_len(&self, wanted: usize) -> Result<(), TooShort> {
        let len = self.len();
        if wanted > len { Err(TooShort { wanted, len }) } else { Ok(()) }
    }
}

macro_rules! numbers {
    ($($int:ident: $append:ident $prepend:ident $trim:ident $chop:ident;)*) => {
        /// Big-endian numbers at either end of the body.
        impl Message {$(
            #[doc = concat!("Adds a big-endian `", stringify!($int), "` at the end of the body.")]
            pub fn $append(&mut self, n: $int) {
                self.append(&n.to_be_bytes());
            }

            #[doc = concat!("Adds a big-endian `", stringify!($int), "` at the front of the body.")]
            pub fn $prepend(&mut self, n: $int) {
                self.prepend(&n.to_be_bytes());
            }

            #[doc = concat!("Takes a big-endian `", stringify!($int), "` off the front of the body, if it is long enough.")]
            pub fn $trim(&mut self) -> Option<$int> {
                let n = $int::from_be_bytes(*self.body().first_chunk()?);
                self.trim(size_of::<$int>()).ok()?;
                Some(n)
            }

            #[doc = concat!("Takes a big-endian `", stringify!($int), "` off the end of the body, if it is long enough.")]
            pub fn $chop(&mut self) -> Option<$int> {
                let n = $int::from_be_bytes(*self.body().last_chunk()?);
                self.chop(size_of::<$int>()).ok()?;
                Some(n)
            }
        )*}
    };
}

numbers! {
    u16: append_u16 prepend_u16 trim_u16 chop_u16;
    u32: append_u32 prepend_u32 trim_u32 chop_u32;
    u64: append_u64 prepend_u64 trim_u64 chop_u64;
}

impl Clone for Message {
    /// A deep copy with a buffer of its own; [`share`](Self::share) copies nothing.
    fn clone(&self) -> Self {
        Self { store: self.store.clone() }
    }
}

impl Default for Message {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Message {
    /// Lengths and the first bytes of the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.body().get(..SHOWN).unwrap_or_else(|| self.body());
        let rest = if shown.len() < self.len() { "..." } else { "" };
        write!(f, "Message({} bytes, \"{}\"{rest}", self.len(), shown.escape_ascii())?;
        if self.header_len() > 0 {
            write!(f, ", header {:02x?}", self.header())?;
        }
        if let Some(source) = self.source() {
            write!(f, ", from {source}")?;
        }
        f.write_str(")")
    }
}

/// Body bytes that the debug output shows: one line's worth.
const SHOWN: usize = 32;

/// More bytes were to be dropped from a body than it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot drop {wanted} bytes from a body of {len}")]
pub struct TooShort {
    /// Bytes to be dropped.
    pub wanted: usize,
    /// Bytes in the body.
    pub len: usize,
}

#[cfg(test)]
mod tests;
