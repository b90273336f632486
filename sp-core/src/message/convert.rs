//! Messages from and to the types that programs have.

use std::fmt::{self, Write as _};
use std::io;
use std::ops::Deref;

use super::Message;
use crate::pool::PooledBuf;

impl From<&[u8]> for Message {
    fn from(body: &[u8]) -> Self {
        Self::from_slice(body)
    }
}

impl<const N: usize> From<&[u8; N]> for Message {
    fn from(body: &[u8; N]) -> Self {
        Self::from_slice(body)
    }
}

impl<const N: usize> From<[u8; N]> for Message {
    fn from(body: [u8; N]) -> Self {
        Self::from_slice(&body)
    }
}

impl From<&str> for Message {
    fn from(body: &str) -> Self {
        Self::from_slice(body.as_bytes())
    }
}

/// Copies: a message's memory is aligned and pooled, which a string's is not.
impl From<String> for Message {
    fn from(body: String) -> Self {
        Self::from_slice(body.as_bytes())
    }
}

/// Copies: a message's memory is aligned and pooled, which a vector's is not.
impl From<Vec<u8>> for Message {
    fn from(body: Vec<u8>) -> Self {
        Self::from_slice(&body)
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

impl PartialEq<[u8]> for Message {
    fn eq(&self, other: &[u8]) -> bool {
        self.body() == other
    }
}

impl PartialEq<String> for Message {
    fn eq(&self, other: &String) -> bool {
        self.body() == other.as_bytes()
    }
}

impl PartialEq<&[u8]> for Message {
    fn eq(&self, other: &&[u8]) -> bool {
        self.body() == *other
    }
}

impl<const N: usize> PartialEq<[u8; N]> for Message {
    fn eq(&self, other: &[u8; N]) -> bool {
        self.body() == other
    }
}

impl<const N: usize> PartialEq<&[u8; N]> for Message {
    fn eq(&self, other: &&[u8; N]) -> bool {
        self.body() == *other
    }
}

impl PartialEq<Vec<u8>> for Message {
    fn eq(&self, other: &Vec<u8>) -> bool {
        self.body() == other.as_slice()
    }
}

impl PartialEq<str> for Message {
    fn eq(&self, other: &str) -> bool {
        self.body() == other.as_bytes()
    }
}

impl PartialEq<&str> for Message {
    fn eq(&self, other: &&str) -> bool {
        self.body() == other.as_bytes()
    }
}
