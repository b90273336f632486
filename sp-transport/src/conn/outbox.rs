//! Whole messages that wait for whoever hands them over: to another socket of the process, or to the network as
//! datagrams.

use std::mem;

use sp_core::batch::Batch;
use sp_core::held::Held;
use sp_core::message::Message;
use sp_core::pipe::{Backlog, Standing};

use super::pacer::Pacer;
use super::tx::{WAITING_BYTES_MAX, WAITING_MAX};

/// What waits, and who sees to it.
///
/// Handing over is to it what writing is to a connection, and a receiver that has paused what a full kernel is, so the
/// same machine says who does it.
pub(crate) struct Outbox {
    waiting: Batch,
    bytes: usize,
    /// What comes next. Empty while a thread is handing it over.
    loaded: Batch,
    /// Messages that are being handed over or that there was no room for, and their bytes.
    stalled: usize,
    stalled_bytes: usize,
    pub(crate) pacer: Pacer,
    room_owed: bool,
    closed: bool,
    /// What may wait of what the socket broadcasts, once the pipe takes part.
    backlog: Option<Backlog>,
    standing: Standing,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            waiting: Batch::new(),
            bytes: 0,
            loaded: Batch::new(),
            stalled: 0,
            stalled_bytes: 0,
            pacer: Pacer::new(),
            room_owed: false,
            closed: false,
            backlog: None,
            standing: Standing::default(),
        }
    }

    /// Takes over what is held. Answers whether a flush has to follow.
    pub(crate) fn commit(&mut self, held: &mut Held) -> bool {
        if self.closed {
            held.clear();
            return false;
        }
        let gathered = held.gathered();
        self.waiting.take_from(&mut gathered.batch, usize::MAX);
        self.bytes += mem::take(&mut gathered.bytes);
        gathered.messages = 0;
        let pressing = self.pressing();
        self.pacer.writer.wants_flush(pressing)
    }

    /// Puts into `load`, which is empty, what to hand over next: what there was no room for, otherwise what waits.
    /// Answers no if that is nothing, and then nobody hands over any more. Only for the thread that the machine chose,
    /// which gives back what is left.
    pub(crate) fn load(&mut self, load: &mut Batch) -> bool {
        if self.loaded.is_empty() {
            (self.stalled, self.stalled_bytes) = (0, 0);
            if self.closed || self.waiting.is_empty() {
                self.pacer.drained();
                return false;
            }
            mem::swap(&mut self.loaded, &mut self.waiting);
            if self.backlog.is_some() {
                self.standing.sent += self.loaded.len() as u64;
                self.standing.sent_bytes += self.bytes as u64;
            }
            // Until the receiver has taken it, it has not left.
            (self.stalled, self.stalled_bytes) = (self.loaded.len(), mem::take(&mut self.bytes));
        }
        mem::swap(&mut self.loaded, load);
        true
    }

    /// Takes back what is left of a load, and the room it had. Answers no if the pipe has been closed: then it is the
    /// caller's to drop, without the lock.
    #[must_use]
    pub(crate) fn unload(&mut self, load: &mut Batch) -> bool {
        if self.closed {
            return false;
        }
        (self.stalled, self.stalled_bytes) = (load.len(), load.bytes() as usize);
        mem::swap(&mut self.loaded, load);
        true
    }

    /// Answers whether there is room, and remembers a no.
    pub(crate) fn ask_room(&mut self) -> bool {
        let room = self.has_room();
        self.room_owed |= !room;
        room
    }

    /// Whether there is room now for somebody who heard that there is none.
    pub(crate) fn take_room_owed(&mut self) -> bool {
        let owed = self.room_owed && !self.closed && self.has_room();
        self.room_owed &= !owed;
        owed
    }

    /// Takes nothing more. Answers what waited, to be dropped without the lock, or `None` if it was closed before.
    pub(crate) fn close(&mut self) -> Option<[Batch; 2]> {
        if mem::replace(&mut self.closed, true) {
            return None;
        }
        self.pacer.writer.close();
        self.standing.waiting = self.waiting.len() as u64;
        (self.bytes, self.stalled, self.stalled_bytes) = (0, 0, 0);
        Some([mem::take(&mut self.loaded), mem::take(&mut self.waiting)])
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// The pipe takes part in what is broadcast.
    pub(crate) const fn join(&mut self, limit: Backlog) {
        self.backlog = Some(limit);
    }

    /// Whether it takes part.
    pub(crate) const fn has_joined(&self) -> bool {
        self.backlog.is_some()
    }

    /// Drops the oldest until there is room.
    pub(crate) fn drop_oldest(&mut self) -> usize {
        let mut dropped = 0;
        while !self.has_room()
            && let Some(msg) = self.waiting.pop()
        {
            self.bytes -= msg.len();
            dropped += 1;
        }
        dropped
    }

    pub(crate) fn standing(&self) -> Standing {
        let waiting = self.standing.waiting.max(self.waiting.len() as u64);
        Standing { waiting, ..self.standing }
    }

    pub(crate) fn unsent(&self) -> usize {
        // An empty message is something to wait for, too.
        (self.bytes + self.stalled_bytes).max(self.waiting.len() + self.stalled)
    }

    /// How much presses for somebody to hand it over: what waits, and what a thread that had done its share gave back.
    pub(crate) fn pressing(&self) -> usize {
        let loaded = self.loaded.bytes() as usize + self.loaded.len() * size_of::<Message>();
        self.waiting_cost() + loaded
    }

    /// What waits: bytes, and the messages themselves, for those may be empty.
    fn waiting_cost(&self) -> usize {
        self.bytes + self.waiting.len() * size_of::<Message>()
    }

    /// Whether another message may be queued.
    pub(crate) fn has_room(&self) -> bool {
        if let Some(backlog) = self.backlog {
            // What could not be handed over is as good as there: it cannot be dropped any more.
            let messages = self.waiting.len();
            return backlog.has_room(messages as u64, self.waiting_cost() as u64);
        }
        self.waiting.len() + self.stalled < WAITING_MAX
            && self.bytes + self.stalled_bytes < WAITING_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use sp_core::pipe::Flush;

    use super::*;
    use crate::conn::{Decision, Turn};

    #[test]
    fn what_a_thread_gives_back_after_its_share_is_the_next_ones_to_hand_over() {
        let (mut outbox, mut held) = (Outbox::new(), Held::new());
        for mut msg in ["1", "2"].map(Message::from) {
            held.push(&mut msg);
        }
        assert!(outbox.commit(&mut held));
        assert_eq!(outbox.pacer.flush(outbox.pressing(), Flush::Now, false), Decision::Write);
        let mut load = Batch::new();
        assert!(outbox.load(&mut load));
        assert_eq!(outbox.pressing(), 0, "a thread has it");
        assert_eq!(load.pop().expect("both were loaded"), "1");
        assert!(outbox.unload(&mut load));
        assert_eq!(outbox.pacer.writer.handed_over(), Decision::Delegate);
        let pressing = outbox.pressing();
        assert_eq!(outbox.pacer.writer.turn(pressing), Turn::Write);
        assert!(outbox.load(&mut load));
        assert_eq!(load.pop().expect("it was given back"), "2");
        assert!(outbox.unload(&mut load) && !outbox.load(&mut load));
        assert_eq!(outbox.unsent(), 0);
    }
}
