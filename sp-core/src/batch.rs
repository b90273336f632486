//! Messages moved together.

use std::collections::VecDeque;

use crate::id::PeerId;
use crate::message::Message;

/// A run of messages on its way from a connection into an engine, or into a user's hands.
///
/// A plain queue whose room is kept from use to use, up to a cap: one burst does not hold memory for ever.
#[derive(Debug, Default)]
pub struct Batch {
    messages: VecDeque<Message>,
    /// Payload bytes of all messages.
    bytes: u64,
}

impl Batch {
    /// An empty batch; allocates nothing.
    pub const fn new() -> Self {
        Self { messages: VecDeque::new(), bytes: 0 }
    }

    /// Adds a message at the end.
    pub fn push(&mut self, msg: Message) {
        self.bytes += msg.payload_len() as u64;
        self.messages.push_back(msg);
    }

    /// Puts a message in front, as one that was taken and could not be used.
    pub fn put_back(&mut self, msg: Message) {
        self.bytes += msg.payload_len() as u64;
        self.messages.push_front(msg);
    }

    /// Adds a message with a copy of the first `len` bytes of `from`, which came from `source`. Answers what is behind
    /// them, or `None` and adds nothing if there are fewer.
    ///
    /// Made in its place: moving a message that has just been filled costs more than filling it.
    #[inline]
    pub fn push_front_of<'a>(
        &mut self,
        from: &'a [u8],
        len: usize,
        source: Option<PeerId>,
    ) -> Option<&'a [u8]> {
        let (payload, behind) = from.split_at_checked(len)?;
        self.messages.push_back(Message::new());
        if let Some(msg) = self.messages.back_mut() {
            if !msg.copy_short(from, len) {
                msg.append(payload);
            }
            self.bytes += len as u64;
            msg.set_source(source);
        }
        Some(behind)
    }

    /// The body of the last message, for changing; empty if there is none.
    pub fn last_body_mut(&mut self) -> &mut [u8] {
        self.messages.back_mut().map_or(&mut [], Message::body_mut)
    }

    /// Takes the first message into `into`. Answers false and leaves it alone if there is none.
    #[inline]
    pub fn pop_into(&mut self, into: &mut Message) -> bool {
        match self.messages.pop_front() {
            Some(first) => {
                *into = first;
                self.bytes -= into.payload_len() as u64;
                true
            }
            None => false,
        }
    }

    /// Takes the first message.
    pub fn pop(&mut self) -> Option<Message> {
        let first = self.messages.pop_front()?;
        self.bytes -= first.payload_len() as u64;
        Some(first)
    }

    /// Moves at most `limit` messages from the front of `other` to the end of this batch and says how many.
    ///
    /// An empty batch takes all of another over by swapping, at no cost per message.
    pub fn take_from(&mut self, other: &mut Self, limit: usize) -> usize {
        if self.is_empty() && other.len() <= limit {
            std::mem::swap(self, other);
            return self.len();
        }
        let taken = other.len().min(limit);
        let bytes = if taken == other.len() {
            other.bytes
        } else {
            other.messages.iter().take(taken).map(|msg| msg.payload_len() as u64).sum()
        };
        self.messages.extend(other.messages.drain(..taken));
        self.bytes += bytes;
        other.bytes -= bytes;
        taken
    }

    /// Shows `keep` the messages from `start` on, which it may change, and drops those that it does not want.
    pub fn retain_from(&mut self, start: usize, mut keep: impl FnMut(&mut Message) -> bool) {
        let start = start.min(self.len());
        let mut kept = start;
        for at in start..self.len() {
            let msg = &mut self.messages[at];
            self.bytes -= msg.payload_len() as u64;
            if keep(msg) {
                self.bytes += msg.payload_len() as u64;
                if kept < at {
                    self.messages.swap(kept, at);
                }
                kept += 1;
            }
        }
        self.messages.truncate(kept);
    }

    /// Notes for the messages at the front that do not know it whom they came from.
    pub fn complete_source(&mut self, peer: PeerId) {
        let unknown = self.messages.iter_mut().take_while(|msg| msg.source().is_none());
        unknown.for_each(|msg| msg.set_source(Some(peer)));
    }

    /// Drops every message; room above the cap is given back.
    pub fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
        if self.messages.capacity() > KEPT_MESSAGES {
            self.messages = VecDeque::new();
        }
    }

    /// The first message, left in place.
    pub fn first(&self) -> Option<&Message> {
        self.messages.front()
    }

    /// The payload bytes of all messages together.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many messages find room without growing.
    pub fn capacity(&self) -> usize {
        self.messages.capacity()
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

impl FromIterator<Message> for Batch {
    fn from_iter<I: IntoIterator<Item = Message>>(iter: I) -> Self {
        let mut batch = Self::new();
        iter.into_iter().for_each(|msg| batch.push(msg));
        batch
    }
}

/// 4,096 messages of 128 bytes are 512 KiB: more than the largest read decodes into, so that steady traffic
/// never reallocates.
const KEPT_MESSAGES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_any_length_is_copied_alone_whatever_is_behind_it() {
        let bytes: Vec<u8> = (0..=255).collect();
        for end in [0, 1, 95, 96, 97, 200, 256] {
            for len in 0..=end {
                let mut batch = Batch::new();
                let behind = batch.push_front_of(&bytes[..end], len, None);
                assert_eq!(behind, Some(&bytes[len..end]));
                let mut msg = batch.pop().expect("it was pushed");
                assert_eq!(msg.body(), &bytes[..len]);
                msg.append(b"more");
                assert_eq!(msg.body(), [&bytes[..len], b"more"].concat());
            }
            assert_eq!(Batch::new().push_front_of(&bytes[..end], end + 1, None), None);
        }
    }

    #[test]
    fn messages_are_changed_and_dropped_in_their_place() {
        let mut batch: Batch =
            ["a", "bb", "ccc", "dd", "e"].map(Message::from).into_iter().collect();
        batch.retain_from(1, |msg| {
            msg.append(b"!");
            msg.len() != 3
        });
        assert_eq!(batch.bytes(), 1 + 4 + 2);
        let left: Vec<_> = std::iter::from_fn(|| batch.pop()).collect();
        assert_eq!(left, ["a", "ccc!", "e!"]);
        assert_eq!(batch.bytes(), 0);
        batch.retain_from(7, |_| unreachable!("there is none"));
    }
}
