//! One peer of a REP: what waits from it and for it.

use sp_core::batch::Batch;

use crate::engine::queue::{Limit, Queue};

/// What waits from one peer and for it.
#[derive(Debug)]
pub(super) struct Link {
    /// Requests to be received, the backtrace in their header.
    pub(super) requests: Queue,
    /// Replies for which the pipe had no room. While there are any, a room event is promised.
    pub(super) replies: Batch,
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
            replies: Batch::new(),
            held: 0,
            passed_over: false,
            is_paused: false,
        }
    }

    /// Whether requests of this peer are taken and handed out: its replies find room.
    pub(super) fn is_open(&self) -> bool {
        self.replies.is_empty() && !self.passed_over
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
