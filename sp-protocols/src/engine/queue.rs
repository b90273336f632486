//! Messages that wait, in order and up to a limit: the one place where what peers send is bounded.
//!
//! A message costs its payload and what a message itself takes up, so that a flood of empty ones is bounded
//! as well. A limit is reached by what is there and not by what comes: a queue takes a message of any length
//! until it is full, so that the bytes go beyond their limit by one message at most, and none is too long.

use std::fmt;

use sp_core::batch::Batch;
use sp_core::config::Config;
use sp_core::message::Message;

use super::BadOption;

/// How much may wait in a queue: the options `queue` and `queue_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Limit {
    /// The default, for `messages` messages.
    pub(crate) const fn new(messages: usize) -> Self {
        Self { messages, bytes: DEFAULTS.queue_bytes }
    }

    /// Whether both are in their range; names the first that is not.
    pub(crate) fn check(self) -> Result<(), BadOption> {
        at_least_one("queue", self.messages)?;
        at_least_one("queue_bytes", self.bytes)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "queue {}, queue_bytes {}", self.messages, self.bytes)
    }
}

/// How much may wait in each direction of a pattern that sends and receives: the options `recv_queue`, `send_queue` and
/// `queue_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) recv: usize,
    pub(crate) send: usize,
    pub(crate) bytes: usize,
}

impl Limits {
    /// The default, with `send` messages to be sent.
    pub(crate) const fn new(send: usize) -> Self {
        Self { recv: DEFAULTS.recv_queue_messages, send, bytes: DEFAULTS.queue_bytes }
    }

    /// What may wait to be received.
    pub(crate) const fn inbox(self) -> Limit {
        Limit { messages: self.recv, bytes: self.bytes }
    }

    /// What may wait to be sent.
    pub(crate) const fn outbox(self) -> Limit {
        Limit { messages: self.send, bytes: self.bytes }
    }

    /// Whether all but `send`, which may be 0 for some, are in their range; names the first that is not.
    pub(crate) fn check(self) -> Result<(), BadOption> {
        at_least_one("recv_queue", self.recv)?;
        at_least_one("queue_bytes", self.bytes)
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recv, send, bytes } = self;
        write!(f, "recv_queue {recv}, send_queue {send}, queue_bytes {bytes}")
    }
}

/// What a socket does with what comes while as much waits to be received as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The oldest messages make way; they are counted as `dropped_on_receive`.
    DropOldest,
    /// What comes is dropped and counted as `dropped_on_receive`.
    DropNewest,
    /// Peers are not read until half of the queue is free, and go on then in turn.
    ///
    /// Nothing is lost on this side. A peer that goes on sending keeps what it can and then does what its own options
    /// say: where a [`Pub`](super::Pub) is to [wait](super::WhenSlow::Block), nothing is lost at all as long as
    /// they are connected.
    Block,
}

impl fmt::Display for WhenFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DropOldest => "drop oldest",
            Self::DropNewest => "drop newest",
            Self::Block => "block",
        })
    }
}

/// Whether an option that must not be 0 is not.
pub(crate) fn at_least_one(option: &'static str, value: usize) -> Result<(), BadOption> {
    if value > 0 {
        return Ok(());
    }
    Err(BadOption { option, value: value.to_string(), allowed: "1 or more" })
}

/// A queue with a limit. Its room is kept from use to use, so that steady traffic allocates nothing.
#[derive(Debug)]
pub(crate) struct Queue {
    messages: Batch,
    /// At least 1.
    limit: usize,
    load: Load,
}

impl Queue {
    /// An empty queue; allocates nothing. It takes at least one message, whatever `limit` says.
    pub(crate) fn new(limit: Limit) -> Self {
        Self { messages: Batch::new(), limit: limit.messages.max(1), load: Load::new(limit.bytes) }
    }

    /// Adds `msg` at the end, or gives it back when the queue is full.
    pub(crate) fn push(&mut self, msg: Message) -> Result<(), Message> {
        if self.is_full() {
            return Err(msg);
        }
        self.load.add(cost(&msg));
        self.messages.push(msg);
        Ok(())
    }

    /// Adds `msg` at the end. As many of the oldest as it takes make way; shows each to `dropped`, and says how many.
    pub(crate) fn push_dropping_oldest(
        &mut self,
        msg: Message,
        mut dropped: impl FnMut(&Message),
    ) -> usize {
        let before = self.len();
        while self.is_full()
            && let Some(oldest) = self.pop()
        {
            dropped(&oldest);
        }
        let count = before.saturating_sub(self.len());
        let pushed = self.push(msg);
        debug_assert!(pushed.is_ok(), "an empty queue is not full");
        count
    }

    /// Moves messages from the front of `batch` until the queue is full, and says how many.
    ///
    /// An empty queue takes all of a batch over at no cost per message, but for a look at their lengths.
    pub(crate) fn take_from(&mut self, batch: &mut Batch) -> usize {
        let bytes = cost_of_all(batch);
        if batch.len() <= self.limit.saturating_sub(self.len()) && self.load.fits(bytes) {
            self.load.add(bytes);
            return self.messages.take_from(batch, usize::MAX);
        }
        let before = self.len();
        while !self.is_full() {
            let Some(msg) = batch.pop() else { break };
            self.load.add(cost(&msg));
            self.messages.push(msg);
        }
        self.len().saturating_sub(before)
    }

    /// Takes the first message into `into`. Answers false and leaves it alone if there is none.
    pub(crate) fn pop_into(&mut self, into: &mut Message) -> bool {
        let Some(first) = self.messages.first() else { return false };
        self.load.remove(cost(first));
        self.messages.pop_into(into)
    }

    /// Takes the first message.
    pub(crate) fn pop(&mut self) -> Option<Message> {
        // Looked at in its place: so it is moved once, into the caller's hands.
        self.load.remove(cost(self.messages.first()?));
        self.messages.pop()
    }

    /// Shows `keep` the messages from the `start`th on, which it may change, and drops those it does not want.
    pub(crate) fn retain_from(&mut self, start: usize, keep: impl FnMut(&mut Message) -> bool) {
        self.load.remove(cost_of_all(&self.messages));
        self.messages.retain_from(start, keep);
        self.load.add(cost_of_all(&self.messages));
    }

    /// Drops the messages that `keep` does not want and says how many there were.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Message) -> bool) -> usize {
        let before = self.len();
        for _ in 0..before {
            let Some(msg) = self.messages.pop() else { break };
            if keep(&msg) {
                self.messages.push(msg);
            } else {
                self.load.remove(cost(&msg));
            }
        }
        before.saturating_sub(self.len())
    }

    /// Drops every message and says how many there were.
    pub(crate) fn clear(&mut self) -> usize {
        self.retain(|_| false)
    }

    /// How many messages wait.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// What the messages that wait cost.
    pub(crate) const fn bytes(&self) -> usize {
        self.load.bytes
    }

    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether another one would be too many.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.limit || self.load.is_full()
    }

    /// Whether at least half of the room is free: time to let a paused peer go on.
    pub(crate) fn is_half_free(&self) -> bool {
        self.len() <= self.limit / 2 && self.load.is_half_free()
    }
}

/// Queues in which nothing waits, for whom something will: of thousands of peers only those that ask have one.
#[derive(Debug)]
pub(crate) struct Spares {
    /// Of each queue.
    limit: Limit,
    #[expect(clippy::vec_box, reason = "whoever has a queue has a box, for most have none")]
    queues: Vec<Box<Queue>>,
}

impl Spares {
    /// No queue yet; allocates nothing.
    pub(crate) const fn new(limit: Limit) -> Self {
        Self { limit, queues: Vec::new() }
    }

    /// An empty queue.
    pub(crate) fn take(&mut self) -> Box<Queue> {
        self.queues.pop().unwrap_or_else(|| Box::new(Queue::new(self.limit)))
    }

    /// Takes the queue out of `place` if nothing waits in it.
    pub(crate) fn take_back(&mut self, place: &mut Option<Box<Queue>>) {
        if let Some(queue) = place.take_if(|queue| queue.is_empty())
            && self.queues.len() < SPARES_MAX
        {
            self.queues.push(queue);
        }
    }
}

/// What waits, in one queue or in several together, against a limit of bytes.
#[derive(Debug)]
pub(crate) struct Load {
    bytes: usize,
    /// At least 1.
    limit: usize,
}

impl Load {
    /// Nothing waits yet. The limit is at least one byte.
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: 0, limit: limit.max(1) }
    }

    /// What costs `bytes` waits from now on.
    pub(crate) const fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// What costs `bytes` waits no more.
    pub(crate) const fn remove(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.bytes, "removed what was not added");
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether another `bytes` stay within the limit.
    pub(crate) const fn fits(&self, bytes: usize) -> bool {
        bytes <= self.limit.saturating_sub(self.bytes)
    }

    /// Whether the limit is reached.
    pub(crate) const fn is_full(&self) -> bool {
        self.bytes >= self.limit
    }

    /// Whether at least half of the limit is free.
    pub(crate) const fn is_half_free(&self) -> bool {
        self.bytes <= self.limit / 2
    }
}

/// The bytes that `msg` costs while it waits.
pub(crate) fn cost(msg: &Message) -> usize {
    msg.payload_len().saturating_add(OVERHEAD)
}

/// The bytes that the messages of `batch` cost while they wait.
pub(crate) fn cost_of_all(batch: &Batch) -> usize {
    let payloads = usize::try_from(batch.bytes()).unwrap_or(usize::MAX);
    payloads.saturating_add(batch.len().saturating_mul(OVERHEAD))
}

/// Enough that thousands of peers in conversation allocate nothing; of short queues half a megabyte.
const SPARES_MAX: usize = 1024;

/// What a message costs beside its payload: its own place in the queue.
const OVERHEAD: usize = size_of::<Message>();

/// Where the limits of the patterns come from.
pub(crate) const DEFAULTS: Config = Config::new();

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn queue(messages: usize, bytes: usize) -> Queue {
        Queue::new(Limit { messages, bytes })
    }

    fn of_length(bytes: usize) -> Message {
        Message::from_slice(&vec![0; bytes])
    }

    #[test]
    fn a_full_queue_refuses_or_drops_its_oldest() {
        let mut queue = queue(2, usize::MAX);
        queue.push("1".into()).unwrap();
        assert!(queue.is_half_free());
        queue.push("2".into()).unwrap();
        assert!(queue.is_full() && !queue.is_half_free());
        assert_eq!(queue.push("3".into()).unwrap_err(), "3");
        assert_eq!(queue.push_dropping_oldest("4".into(), |_| ()), 1);
        assert_eq!(queue.retain(|msg| *msg == "4"), 1);
        assert_eq!(queue.pop().unwrap(), "4");
        assert!(queue.is_empty());
    }

    #[test]
    fn a_queue_of_empty_messages_is_bounded_by_bytes_too() {
        let mut queue = queue(usize::MAX, 10 * OVERHEAD);
        for n in 0..10 {
            assert!(!queue.is_full(), "after {n}");
            queue.push(Message::new()).unwrap();
        }
        assert!(queue.push(Message::new()).is_err());
        let mut batch: Batch = (0..99).map(|_| Message::new()).collect();
        assert_eq!(queue.take_from(&mut batch), 0);
        assert_eq!(queue.push_dropping_oldest(Message::new(), |_| ()), 1);
    }

    #[test]
    fn one_message_above_the_byte_limit_still_passes_when_the_queue_is_empty() {
        let mut queue = queue(9, 1000);
        let mut batch = Batch::from_iter([of_length(5000), of_length(0)]);
        assert_eq!(queue.take_from(&mut batch), 1);
        assert_eq!(batch.len(), 1);
        assert!(queue.is_full() && queue.push(Message::new()).is_err());
        assert_eq!(queue.pop().unwrap().len(), 5000);
        assert_eq!((queue.bytes(), queue.is_half_free()), (0, true));
    }

    #[test]
    fn a_long_message_makes_way_only_as_far_as_it_must() {
        let mut queue = queue(99, 1000);
        for _ in 0..3 {
            queue.push(of_length(200)).unwrap();
        }
        assert_eq!(queue.push_dropping_oldest(of_length(800), |_| ()), 0);
        assert_eq!(queue.push_dropping_oldest(of_length(0), |_| ()), 3);
        assert_eq!((queue.len(), queue.bytes()), (2, 800 + 2 * OVERHEAD));
    }

    #[test]
    fn a_queue_holds_at_least_one() {
        let mut queue = queue(0, 0);
        queue.push("1".into()).unwrap();
        assert!(queue.is_full());
        assert_eq!(queue.push_dropping_oldest("2".into(), |_| ()), 1);
    }

    #[test]
    fn limits_of_zero_are_refused_by_name() {
        let refused = |messages, bytes| Limit { messages, bytes }.check().map_err(|bad| bad.option);
        assert_eq!(refused(1, 1), Ok(()));
        assert_eq!(refused(0, 1), Err("queue"));
        assert_eq!(refused(1, 0), Err("queue_bytes"));
    }

    proptest! {
        #[test]
        fn a_batch_is_taken_as_if_message_by_message(
            messages in 1_usize..6,
            bytes in 1_usize..2000,
            batches in prop::collection::vec(prop::collection::vec(0_usize..600, 0..6), 0..6),
        ) {
            let (mut whole, mut single) = (queue(messages, bytes), queue(messages, bytes));
            for lengths in batches {
                let mut batch: Batch = lengths.iter().map(|&length| of_length(length)).collect();
                let fit = lengths.iter().take_while(|&&length| single.push(of_length(length)).is_ok());
                prop_assert_eq!(whole.take_from(&mut batch), fit.count());
                prop_assert_eq!((whole.len(), whole.bytes()), (single.len(), single.bytes()));
                if let Some(first) = whole.pop() {
                    prop_assert_eq!(first.len(), single.pop().unwrap().len());
                }
            }
        }
    }
}
