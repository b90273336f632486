//! What all nodes share: time, luck, the network, and the record of what happened.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use sp_core::clock;
use sp_core::id::TimerKey;

use crate::faults::{Fault, Faults};
use crate::net::{EndId, Net, Place};
use crate::oracle::{Failure, Oracle};
use crate::rng::Rng;
use crate::trace::{NOBODY, Trace};

/// What is due at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The dialer of an edge tries to connect.
    Dial(usize),
    Open(EndId),
    Closed(EndId),
    /// What waits at an end moves to the other.
    Carry(EndId),
    /// What has come to an end goes to the engine.
    Read(EndId),
    Room(EndId),
    /// A timer, and when it was to come up.
    Timer(Place, TimerKey, u64),
    /// A task goes on, if its ticket is still that.
    Step(Place, usize, u64),
    /// The time of a call is over, if its ticket is still that.
    Deadline(Place, usize, u64),
    Start(usize),
    /// A node has something for the tasks of another that rest.
    Nudge(usize),
    /// Something goes wrong.
    Mishap,
    StormEnds,
}

/// How the world goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Faults happen, programs do as they like.
    Storm,
    /// Faults have ended. Programs end what they have begun, and answer whoever asks.
    Settle,
    /// One node does what it is there for once more, and all of it has to succeed.
    Proof(usize),
}

/// A node as the network sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Status {
    /// Its present life, if it has one.
    pub(crate) life: Option<u32>,
    /// Lives so far.
    pub(crate) lives: u32,
    /// It does nothing until then.
    pub(crate) thaws: u64,
    /// Broadcast messages that have left it in this life.
    pub(crate) carried: u64,
}

/// What all nodes share.
pub(crate) struct Stage {
    /// Nanoseconds since the world began.
    pub(crate) now: u64,
    begin: Instant,
    agenda: BinaryHeap<Reverse<Due>>,
    /// Events made so far, which numbers the next one: of two that are due together the older comes first.
    made: u64,
    pub(crate) net: Net,
    pub(crate) luck: Rng,
    /// What may go wrong now.
    pub(crate) faults: Faults,
    /// How slow programs are: the higher, the more time passes between their calls.
    pub(crate) tempo: u32,
    pub(crate) phase: Phase,
    pub(crate) trace: Trace,
    /// The first promise that was broken.
    pub(crate) failure: Option<Failure>,
    pub(crate) hosts: Vec<Status>,
}

impl Stage {
    pub(crate) fn new(luck: Rng, trace: Trace) -> Self {
        Self {
            now: 0,
            begin: clock::now(),
            agenda: BinaryHeap::new(),
            made: 0,
            net: Net::default(),
            luck,
            faults: Faults::NONE,
            tempo: 1,
            phase: Phase::Settle,
            trace,
            failure: None,
            hosts: Vec::new(),
        }
    }

    /// The virtual clock.
    pub(crate) fn instant(&self) -> Instant {
        self.begin + Duration::from_nanos(self.now)
    }

    /// When `at` is on the virtual clock.
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.begin))
    }

    pub(crate) fn schedule(&mut self, after: Duration, event: Event) {
        self.schedule_at(self.now.saturating_add(nanos(after)), event);
    }

    pub(crate) fn schedule_at(&mut self, at: u64, event: Event) {
        self.made += 1;
        self.agenda.push(Reverse(Due { at, nth: self.made, event }));
    }

    /// Takes the next event, if it is due by `until`. Time passes.
    pub(crate) fn next_event(&mut self, until: u64) -> Option<Event> {
        let Reverse(due) = self.agenda.peek().filter(|due| due.0.at <= until)?;
        let (at, event) = (due.at, due.event);
        self.agenda.pop();
        self.now = self.now.max(at);
        Some(event)
    }

    pub(crate) fn note(&mut self, node: usize, what: &'static str, details: [u64; 2]) {
        self.trace.note(self.now, u32::try_from(node).unwrap_or(NOBODY), what, details);
    }

    /// A promise was broken. Only the first counts: the others may follow from it.
    pub(crate) fn fail(&mut self, oracle: Oracle, what: impl Into<String>) {
        self.fail_with(Failure::new(oracle, what));
    }

    pub(crate) fn fail_with(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// How long something takes that is usually quick.
    pub(crate) fn delay(&mut self) -> Duration {
        let late = self.faults.has(Fault::Delay) && self.luck.one_in(4);
        self.luck.upto(if late { DELAY_MAX } else { QUICK_MAX })
    }

    /// When `place` does something next: now, unless it is frozen; never, if it is no more.
    pub(crate) fn ready_at(&self, place: Place) -> Option<u64> {
        let status = self.hosts[place.node];
        (status.life == Some(place.life)).then_some(status.thaws.max(self.now))
    }

    /// What is wrong with a network in which nothing moves any more, and nothing disturbs it.
    pub(crate) fn unrest(&self) -> Option<Failure> {
        for edge in &self.net.edges {
            if !self.net.is_connected(edge) && !self.net.is_refused(edge) {
                let what = format!("{} is not connected to {}", edge.dialer, edge.listener);
                return Some(Failure::new(Oracle::Connected, what));
            }
        }
        let open = || self.net.ends().filter(|(_, end)| end.is_open());
        if let Some((id, end)) = open().find(|(_, end)| end.is_paused) {
            let (node, waits) = (end.place.node, end.inbox.len());
            let what = format!("node {node} does not read on, {waits} messages wait ({id:?})");
            return Some(Failure::new(Oracle::Resume, what));
        }
        if let Some(forgotten) = open().find(|(_, end)| end.unsent() + end.inbox.len() > 0) {
            // No engine's fault, but the simulator's.
            return Some(Failure::new(Oracle::Stuck, format!("forgotten: {forgotten:?}")));
        }
        None
    }
}

/// An event and its time.
#[derive(Debug, PartialEq, Eq)]
struct Due {
    at: u64,
    nth: u64,
    event: Event,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.nth).cmp(&(other.at, other.nth))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A time as the agenda counts it.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A network within one house.
const QUICK_MAX: Duration = Duration::from_millis(1);

/// Longer than most deadlines of calls.
const DELAY_MAX: Duration = Duration::from_secs(5);
