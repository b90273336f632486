//! Messages that a socket has accepted for a pipe and keeps by itself for a moment.
//!
//! While messages stream, taking the pipe's lock for each of them costs more than framing it. So the pipe gathers
//! them in memory that the socket's lock guards already, and takes them over many at a time.

use std::sync::Mutex;

use crate::batch::Batch;
use crate::message::Message;
use crate::pool::AlignedBytes;
use crate::process::PerProcess;
use crate::sync::lock;

/// What one pipe gathers. The pipe fills and empties it; the socket only keeps it.
#[derive(Debug, Default)]
pub struct Held {
    /// By itself, for most pipes never stream and there may be thousands. Kept once it is made.
    gathered: Option<Box<Gathered>>,
}

/// What is in a [`Held`].
#[derive(Debug, Default)]
pub struct Gathered {
    /// Messages as they go on the wire.
    pub frames: Frames,
    /// Messages that need no wire.
    pub batch: Batch,
    /// How many messages there are in all.
    pub messages: usize,
    /// Their bytes, framing included.
    pub bytes: usize,
}

impl Held {
    /// Nothing yet; allocates nothing.
    pub const fn new() -> Self {
        Self { gathered: None }
    }

    /// Takes a message that needs no wire. Answers what is held now.
    pub fn push(&mut self, msg: &mut Message) -> &mut Gathered {
        let gathered = self.gathered();
        gathered.messages += 1;
        gathered.bytes += msg.payload_len();
        gathered.batch.push(std::mem::take(msg));
        gathered
    }

    /// What is held, to add to it or to take it.
    #[inline]
    pub fn gathered(&mut self) -> &mut Gathered {
        self.gathered.get_or_insert_default()
    }

    /// Forgets everything and gives the memory of messages back.
    pub fn clear(&mut self) {
        if let Some(gathered) = &mut self.gathered {
            **gathered = Gathered::default();
        }
    }

    /// Whether nothing is held.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.gathered.as_ref().is_none_or(|gathered| gathered.messages == 0)
    }

    /// Bytes that wait to be sent.
    pub fn unsent(&self) -> usize {
        // An empty message is something to wait for, too.
        self.gathered.as_ref().map_or(0, |gathered| gathered.bytes.max(gathered.messages))
    }
}

/// Frames side by side, 64 KiB at most, in memory of their own: adding one takes no atomic operation, which a
/// buffer that can be shared would need.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Option<AlignedBytes>,
    len: usize,
}

impl Frames {
    /// No frame; takes no memory before the first.
    pub const fn new() -> Self {
        Self { bytes: None, len: 0 }
    }

    /// Adds a frame. Answers false and adds nothing if it does not fit.
    #[must_use = "a frame that does not fit is not added"]
    #[inline]
    pub fn push<const N: usize>(&mut self, header: &[u8; N], payload: &[u8]) -> bool {
        let bytes = self.bytes.get_or_insert_with(take_spare);
        let end = self.len + N + payload.len();
        let Some((head, body)) =
            bytes.get_mut(self.len..end).and_then(|room| room.split_first_chunk_mut())
        else {
            return false;
        };
        *head = *header;
        body.copy_from_slice(payload);
        self.len = end;
        true
    }

    /// As [`push`](Self::push), for headers of any length. Answers where the payload now stands.
    pub fn push_slice(&mut self, header: &[u8], payload: &[u8]) -> Option<&mut [u8]> {
        let bytes = self.bytes.get_or_insert_with(take_spare);
        let end = self.len + header.len() + payload.len();
        let (head, body) = bytes.get_mut(self.len..end)?.split_at_mut(header.len());
        head.copy_from_slice(header);
        body.copy_from_slice(payload);
        self.len = end;
        Some(body)
    }

    /// The frames as they go on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_ref().map_or(&[], |bytes| &bytes[..self.len])
    }

    /// Bytes of all frames together.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no frame.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes.take() {
            let mut spares = lock(SPARES.or_default());
            if spares.len() < SPARES_MAX {
                spares.push(bytes);
            }
        }
    }
}

fn take_spare() -> AlignedBytes {
    lock(SPARES.or_default()).pop().unwrap_or_else(|| AlignedBytes::zeroed(FRAMES_BYTES))
}

/// Memory not in use. Taken and given back once for hundreds of messages.
static SPARES: PerProcess<Mutex<Vec<AlignedBytes>>> = PerProcess::first(Mutex::new(Vec::new()));

/// 2 MiB are kept for the next streams of the process.
const SPARES_MAX: usize = 32;

/// As much as one write usefully takes.
const FRAMES_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_lie_side_by_side_until_one_does_not_fit() {
        let mut frames = Frames::new();
        assert!(frames.is_empty() && frames.as_bytes().is_empty());
        assert!(frames.push(b"1:", b"one") && frames.push(b"2:", b""));
        assert_eq!(frames.as_bytes(), b"1:one2:");
        assert!(!frames.push(b"", &vec![0; FRAMES_BYTES - 6]));
        assert!(frames.push(b"", &vec![7; FRAMES_BYTES - 7]));
        assert_eq!(frames.len(), FRAMES_BYTES);
        assert!(!frames.push(b"x", b""));
        assert!(frames.push_slice(b"x", b"").is_none());
        let mut frames = Frames::new();
        frames.push_slice(b"1:", b"one").expect("there is room")[0] = b'O';
        assert_eq!(frames.as_bytes(), b"1:One");
    }
}
