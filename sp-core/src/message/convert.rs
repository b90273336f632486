//! Messages from and to the types that programs have.

use std::fmt::{self, Write as _};
use std::io;
use std::ops::Deref;
use std::string::FromUtf8Error;

use super::Message;
use crate::pool::PooledBuf;

// They copy: a message's memory is aligned and pooled, which that of others is not.
macro_rules! from_bytes {
    ($([$($generic:tt)*] $from:ty;)*) => {$(
        impl<$($generic)*> From<$from> for Message {
            /// Copies the bytes into the message's own memory.
            fn from(body: $from) -> Self {
                Self::from_slice(body.as_ref())
            }
        }
    )*};
}

from_bytes! {
    [] &[u8];
    [const N: usize] [u8; N];
    [const N: usize] &[u8; N];
    [] Vec<u8>;
    [] &Vec<u8>;
    [] Box<[u8]>;
    [] &str;
    [] String;
    [] &String;
}

/// Copies: the bytes may belong to others as well.
#[cfg(feature = "bytes")]
impl From<bytes::Bytes> for Message {
    fn from(body: bytes::Bytes) -> Self {
        Self::from_slice(&body)
    }
}

/// Copies nothing: the message's memory goes home when the last of the bytes is dropped. The header is left behind.
#[cfg(feature = "bytes")]
impl From<Message> for bytes::Bytes {
    fn from(msg: Message) -> Self {
        Self::from_owner(msg)
    }
}

/// Takes the buffer over; nothing is copied.
impl From<PooledBuf> for Message {
    fn from(body: PooledBuf) -> Self {
        Self::from_buf(body)
    }
}

/// Copies the body; the header is left behind.
impl From<Message> for Vec<u8> {
    fn from(msg: Message) -> Self {
        msg.body().to_vec()
    }
}

/// Copies the body; the header is left behind.
impl From<Message> for Box<[u8]> {
    fn from(msg: Message) -> Self {
        msg.body().into()
    }
}

/// Copies the body; the header is left behind. The error gives back what is no UTF-8.
impl TryFrom<Message> for String {
    type Error = FromUtf8Error;

    fn try_from(msg: Message) -> Result<Self, FromUtf8Error> {
        Self::from_utf8(msg.into())
    }
}

impl Deref for Message {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.body()
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self.body()
    }
}

/// Appends to the body; never fails.
impl io::Write for Message {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The body as text; what is no UTF-8 is shown as the replacement character.
///
/// Control characters pass: escape text from a peer before it reaches a terminal or a log, as `Debug` does.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body().utf8_chunks().try_for_each(|chunk| {
            f.write_str(chunk.valid())?;
            if chunk.invalid().is_empty() {
                Ok(())
            } else {
                f.write_char(char::REPLACEMENT_CHARACTER)
            }
        })
    }
}

/// Bodies are compared; headers and sources are not.
impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.body() == other.body()
    }
}

impl Eq for Message {}

// Bodies are compared, whichever side the message stands on.
macro_rules! compare {
    ($([$($generic:tt)*] $other:ty;)*) => {$(
        impl<$($generic)*> PartialEq<$other> for Message {
            fn eq(&self, other: &$other) -> bool {
                self.body() == <$other as AsRef<[u8]>>::as_ref(other)
            }
        }

        impl<$($generic)*> PartialEq<Message> for $other {
            fn eq(&self, other: &Message) -> bool {
                other == self
            }
        }
    )*};
}

compare! {
    [] [u8];
    [] &[u8];
    [const N: usize] [u8; N];
    [const N: usize] &[u8; N];
    [] Vec<u8>;
    [] str;
    [] &str;
    [] String;
}
