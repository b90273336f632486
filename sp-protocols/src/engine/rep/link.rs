//! One peer of a REP: what waits from it and for it.

use sp_core::batch::Batch;
use sp_core::message::Message;

use crate::engine::queue::{Limit, Queue, cost_of_all};

/// What waits from one peer and for it.
#[derive(Debug)]
pub(super) struct Link {
    /// Requests to be received, the backtrace in their header.
    pub(super) requests: Queue,
    /// Replies for which the pipe had no room. While there are any, a room event is promised.
    /// By itself, for most peers read theirs and there may be thousands.
    replies: Option<Box<Batch>>,
    /// Requests of this peer that contexts have received and not yet answered.
    pub(super) held: usize,
    /// Its turn came while no reply was to be parked, and one to it might have had to be.
    pub(super) passed_over: bool,
    /// Told to stop reading.
    pub(super) is_paused: bool,
}

impl Link {
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            requests: Queue::new(limit),
            replies: None,
            held: 0,
            passed_over: false,
            is_paused: false,
        }
    }

    /// Whether requests of this peer are taken and handed out: its replies find room.
    pub(super) fn is_open(&self) -> bool {
        !self.has_parked() && !self.passed_over
    }

    /// Whether replies to this peer are parked.
    pub(super) fn has_parked(&self) -> bool {
        self.parked() > 0
    }

    /// How many replies are parked.
    pub(super) fn parked(&self) -> usize {
        self.replies.as_ref().map_or(0, |replies| replies.len())
    }

    /// What they cost.
    pub(super) fn parked_cost(&self) -> usize {
        self.replies.as_ref().map_or(0, |replies| cost_of_all(replies))
    }

    /// Parks a reply behind the others.
    pub(super) fn park(&mut self, reply: Message) {
        self.replies.get_or_insert_default().push(reply);
    }

    /// Takes the first reply that is parked.
    pub(super) fn unpark(&mut self) -> Option<Message> {
        self.replies.as_mut()?.pop()
    }

    /// Whether a request of this peer may be handed out. Then, and only then, the peer stands in line.
    pub(super) fn is_ready(&self) -> bool {
        self.is_open() && !self.requests.is_empty()
    }

    /// Whether nothing but the requests of others keeps this peer from being read on. Then it is held back.
    pub(super) fn may_go_on(&self) -> bool {
        self.is_paused && self.is_open() && self.requests.is_half_free()
    }
}
