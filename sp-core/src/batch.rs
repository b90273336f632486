//! Messages moved together.

use std::collections::VecDeque;

use crate::message::Message;

/// A run of messages on its way from a connection into an engine, or into a user's hands.
///
/// A plain queue whose room is kept from use to use, up to a cap: one burst does not hold memory for ever.
#[derive(Debug, Default)]
pub struct Batch {
    messages: VecDeque<Message>,
}

impl Batch {
    /// An empty batch; allocates nothing.
    pub const fn new() -> Self {
        Self { messages: VecDeque::new() }
    }

    /// Adds a message at the end.
    pub fn push(&mut self, msg: Message) {
        self.messages.push_back(msg);
    }

    /// Takes the first message.
    pub fn pop(&mut self) -> Option<Message> {
        self.messages.pop_front()
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
        self.messages.extend(other.messages.drain(..taken));
        taken
    }

    /// Drops every message; room above the cap is given back.
    pub fn clear(&mut self) {
        self.messages.clear();
        if self.messages.capacity() > KEPT_MESSAGES {
            self.messages = VecDeque::new();
        }
    }

    /// The first message, left in place.
    pub fn first(&self) -> Option<&Message> {
        self.messages.front()
    }

    /// The payload bytes of all messages together. Looks at each of them.
    pub fn bytes(&self) -> u64 {
        self.messages.iter().map(|msg| msg.payload_len() as u64).sum()
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
        Self { messages: iter.into_iter().collect() }
    }
}

/// 4,096 messages of 128 bytes are 512 KiB: more than the largest read decodes into, so that steady traffic
/// never reallocates.
const KEPT_MESSAGES: usize = 4096;
