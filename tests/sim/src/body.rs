//! What a socket keeps beside its engine: its peers, who waits, its timers, and what it has counted.

use std::collections::{BTreeMap, VecDeque};

use sp_core::id::{CtxId, Id as _, IdMap, PeerId, TimerKey};
use sp_protocols::engine::Counter;

use crate::net::EndId;
use crate::stage::{Event, Stage};
use crate::{net::Place, task::Patience};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Send,
    Recv,
}

/// What a task does at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Nothing, until the world's phase changes.
    Rests,
    /// Something of its own, for a while.
    Thinks,
    /// It stands in line.
    Waits(Call),
    /// It has been woken and has not tried again.
    IsWoken(Call),
}

/// A call that could not be served at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) ctx: CtxId,
    pub(crate) side: Side,
    pub(crate) patience: Patience,
    /// The ticket of its deadline.
    pub(crate) ticket: u64,
}

/// A task as its socket sees it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) doing: Doing,
    /// What the step that comes next has to show: events that were made for an earlier one are void.
    pub(crate) ticket: u64,
}

/// What has passed between the engine and the world in one life.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Sends that succeeded.
    pub(crate) accepted: u64,
    /// Messages handed to programs.
    pub(crate) received: u64,
    /// Messages put on pipes.
    pub(crate) transmitted: u64,
    /// Messages taken from pipes.
    pub(crate) arrived: u64,
    /// Peers there were at each send that succeeded, added up.
    pub(crate) owed: u64,
    /// Peers but one there were at each message that arrived and was not from too far, added up.
    pub(crate) owed_onward: u64,
    /// Answers that their program has given up.
    pub(crate) forsaken: u64,
    counts: BTreeMap<Counter, u64>,
}

impl Tally {
    pub(crate) fn count(&mut self, what: Counter) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn counted(&self, what: Counter) -> u64 {
        self.counts.get(&what).copied().unwrap_or(0)
    }

    /// The sum of several counters.
    pub(crate) fn sum<const N: usize>(&self, counters: [Counter; N]) -> u64 {
        counters.into_iter().map(|what| self.counted(what)).sum()
    }
}

/// What a socket keeps beside its engine.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) place: Place,
    pub(crate) peers: IdMap<PeerId, EndId>,
    free: Vec<PeerId>,
    made: u32,
    lines: BTreeMap<(CtxId, Side), VecDeque<usize>>,
    pub(crate) slots: Vec<Slot>,
    /// When each timer is to come up.
    pub(crate) timers: BTreeMap<TimerKey, u64>,
    pub(crate) tally: Tally,
}

impl Body {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            place,
            peers: IdMap::new(),
            free: Vec::new(),
            made: 0,
            lines: BTreeMap::new(),
            slots: Vec::new(),
            timers: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// A new peer. Slots come back as soon as they are free, as in the real registry.
    pub(crate) fn add_peer(&mut self, end: EndId) -> PeerId {
        let peer = self.free.pop().unwrap_or_else(|| {
            self.made += 1;
            PeerId::from_parts(self.made - 1, 0)
        });
        self.peers.insert(peer, end);
        peer
    }

    pub(crate) fn remove_peer(&mut self, peer: PeerId) {
        if self.peers.remove(peer).is_some() {
            self.free.push(PeerId::from_parts(peer.index(), peer.generation() + 1));
        }
    }

    /// Lets `task` stand in line for its call.
    pub(crate) fn wait(&mut self, task: usize, call: Call) {
        self.slots[task].doing = Doing::Waits(call);
        self.lines.entry((call.ctx, call.side)).or_default().push_back(task);
    }

    /// Takes `task` off its line; answers whether it stood there, rather than having been woken.
    pub(crate) fn leave(&mut self, task: usize, call: Call) -> bool {
        let Some(line) = self.lines.get_mut(&(call.ctx, call.side)) else { return false };
        let before = line.len();
        line.retain(|other| *other != task);
        line.len() < before
    }

    /// Whether anybody stands in line.
    pub(crate) fn waits(&self, ctx: CtxId, side: Side) -> bool {
        self.lines.get(&(ctx, side)).is_some_and(|line| !line.is_empty())
    }

    /// Wakes the first in line; answers whether there was one. It tries again a little later.
    pub(crate) fn wake(&mut self, ctx: CtxId, side: Side, stage: &mut Stage) -> bool {
        let first = self.lines.get_mut(&(ctx, side)).and_then(VecDeque::pop_front);
        let Some(task) = first else { return false };
        let slot = &mut self.slots[task];
        if let Doing::Waits(call) = slot.doing {
            slot.doing = Doing::IsWoken(call);
        }
        self.step_soon(task, stage);
        true
    }

    /// `task` goes on a little later.
    pub(crate) fn step_soon(&mut self, task: usize, stage: &mut Stage) {
        let slot = &mut self.slots[task];
        slot.ticket += 1;
        let after = stage.delay();
        stage.schedule(after, Event::Step(self.place, task, slot.ticket));
    }
}
