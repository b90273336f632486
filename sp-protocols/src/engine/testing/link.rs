//! A peer of the engine under test.

use std::cell::Cell;
use std::collections::VecDeque;

use sp_core::batch::Batch;
use sp_core::pipe::Backlog;

/// One peer's pipe.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) room: usize,
    /// The engine has been told that there is no room, and is owed an event.
    pub(super) owes_room: Cell<bool>,
    pub(super) is_closing: bool,
    pub(super) is_paused: bool,
    /// What the engine has not taken yet.
    pub(super) backlog: Batch,
    pub(super) has_joined: bool,
    /// What may wait of what is broadcast, once the peer has joined for the first time.
    pub(super) limit: Option<Backlog>,
    /// What was broadcast and waits for room.
    pub(super) waiting: VecDeque<Vec<u8>>,
    /// What was broadcast and arrived.
    pub(super) got: Vec<Vec<u8>>,
}

impl Link {
    /// Lets as many messages through as there is room for.
    pub(super) fn pass_on(&mut self) {
        while self.room > 0
            && let Some(message) = self.waiting.pop_front()
        {
            self.room = self.room.saturating_sub(1);
            self.got.push(message);
        }
    }

    /// Whether another message may be transmitted, or wait if the peer has joined.
    pub(super) fn has_room(&self) -> bool {
        let Some(limit) = self.limit else { return self.room > 0 };
        let cost = |message: &Vec<u8>| message.len().saturating_add(Backlog::OVERHEAD) as u64;
        limit.has_room(self.waiting.len() as u64, self.waiting.iter().map(cost).sum())
    }
}
