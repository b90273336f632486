//! Messages that wait, in order and up to a limit.

use std::collections::VecDeque;

use sp_core::message::Message;

/// A queue with a limit. Its room is kept from use to use, so that steady traffic allocates nothing.
#[derive(Debug)]
pub(crate) struct Queue {
    messages: VecDeque<Message>,
    /// At least 1.
    limit: usize,
}

impl Queue {
    /// An empty queue for `limit` messages, at least one; allocates nothing.
    pub(crate) fn new(limit: usize) -> Self {
        Self { messages: VecDeque::new(), limit: limit.max(1) }
    }

    /// Adds `msg` at the end, or gives it back when the queue is full.
    pub(crate) fn push(&mut self, msg: Message) -> Result<(), Message> {
        if self.is_full() {
            return Err(msg);
        }
        self.messages.push_back(msg);
        Ok(())
    }

    /// Adds `msg` at the end and returns the first message if it had to make way.
    pub(crate) fn push_dropping_oldest(&mut self, msg: Message) -> Option<Message> {
        let oldest = if self.is_full() { self.pop() } else { None };
        self.messages.push_back(msg);
        oldest
    }

    /// Takes the first message.
    pub(crate) fn pop(&mut self) -> Option<Message> {
        self.messages.pop_front()
    }

    /// Drops the messages that `keep` does not want and says how many there were.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Message) -> bool) -> usize {
        let before = self.len();
        self.messages.retain(keep);
        before.saturating_sub(self.len())
    }

    /// How many messages wait.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether another one would be too many.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    /// Whether at least half of the room is free: time to let a paused peer go on.
    pub(crate) fn is_half_free(&self) -> bool {
        self.len() <= self.limit / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_or_drops_its_oldest() {
        let mut queue = Queue::new(2);
        queue.push("1".into()).unwrap();
        assert!(queue.is_half_free());
        queue.push("2".into()).unwrap();
        assert!(queue.is_full() && !queue.is_half_free());
        assert_eq!(queue.push("3".into()).unwrap_err().body(), b"3");
        assert_eq!(queue.push_dropping_oldest("4".into()).unwrap().body(), b"1");
        assert_eq!(queue.retain(|msg| msg.body() == b"4"), 1);
        assert_eq!(queue.pop().unwrap().body(), b"4");
        assert!(queue.is_empty());
    }

    #[test]
    fn a_queue_holds_at_least_one() {
        assert!(!Queue::new(0).is_full());
    }
}
