//! One peer of a REP: what waits from it and for it.

use sp_core::batch::Batch;
use sp_core::message::Message;

use crate::engine::queue::{Queue, Spares, cost_of_all};

/// What waits from one peer and for it.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// Requests to be received, the backtrace in their header. There is no queue while there are none, but for one that
    /// has been cleared.
    requests: Option<Box<Queue>>,
    /// Replies for which the pipe had no room. While there are any, a room event is promised.
    /// By itself, for most peers read theirs and there may be thousands.
    replies: Option<Box<Batch>>,
    /// Requests of this peer that contexts have received and not yet answered.
    pub(super) held: u32,
    /// Its turn came while no reply was to be parked, and one to it might have had to be.
    pub(super) passed_over: bool,
    /// Told to stop reading.
    pub(super) is_paused: bool,
}

impl Link {
    /// Queues a request, for which there has to be room.
    pub(super) fn ask(&mut self, request: Message, spares: &mut Spares) {
        let queued = self.requests.get_or_insert_with(|| spares.take()).push(request);
        debug_assert!(queued.is_ok(), "it was not full");
    }

    /// Takes the first request into `into`. Answers false and leaves it alone if there is none.
    pub(super) fn pop_into(&mut self, into: &mut Message, spares: &mut Spares) -> bool {
        let popped = self.requests.as_mut().is_some_and(|requests| requests.pop_into(into));
        spares.take_back(&mut self.requests);
        popped
    }

    /// Takes the first request to drop it.
    pub(super) fn pop(&mut self) -> Option<Message> {
        self.requests.as_mut()?.pop()
    }

    /// Drops every request and says how many there were.
    pub(super) fn clear(&mut self) -> usize {
        self.requests.as_mut().map_or(0, |requests| requests.clear())
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.requests.as_ref().map_or(0, |requests| requests.len())
    }

    /// What they cost.
    pub(super) fn waiting_cost(&self) -> usize {
        self.requests.as_ref().map_or(0, |requests| requests.bytes())
    }

    /// Whether another request would be too many.
    pub(super) fn is_full(&self) -> bool {
        self.requests.as_ref().is_some_and(|requests| requests.is_full())
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
        self.is_open() && self.waiting() > 0
    }

    /// Whether nothing but the requests of others keeps this peer from being read on. Then it is held back.
    pub(super) fn may_go_on(&self) -> bool {
        let is_half_free = self.requests.as_ref().is_none_or(|requests| requests.is_half_free());
        self.is_paused && self.is_open() && is_half_free
    }
}
