//! The world: nodes on a stage, storms over them, and peace in between, in which everything has to work.

use std::time::Duration;

use sp_protocols::engine::Engine;

use crate::Settings;
use crate::faults::{Fault, Faults};
use crate::link::NOTICE_MAX;
use crate::net::{Edge, EndId, EndState};
use crate::node::{Host, Node, Spec};
use crate::oracle::{Failure, Oracle};
use crate::rng::Rng;
use crate::route::Asking;
use crate::stage::{Event, Phase, Stage, Status, nanos};
use crate::trace::Trace;

/// What a pattern adds to the oracles of the world: asked whenever nothing moves and nothing is wrong.
pub(crate) type Check = Box<dyn Fn() -> Result<(), Failure>>;

/// Nodes on a stage.
pub(crate) struct World {
    nodes: Vec<Box<dyn Host>>,
    checks: Vec<Check>,
    /// The faults of a storm.
    weather: Faults,
    pub(crate) stage: Stage,
}

impl World {
    pub(crate) fn new(mut luck: Rng, settings: Settings) -> Self {
        // Drawn in any case: so a run with fewer faults has the same nodes.
        let drawn = Faults::draw(&mut luck);
        let mut stage = Stage::new(luck, Trace::new(settings.events));
        stage.tempo = *stage.luck.pick(&TEMPOS);
        Self {
            nodes: Vec::new(),
            checks: Vec::new(),
            weather: settings.faults.unwrap_or(drawn),
            stage,
        }
    }

    /// How many nodes there are, which numbers the next one.
    pub(crate) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// A node more; answers its number.
    pub(crate) fn add<E: Engine>(&mut self, spec: Spec<E>) -> usize {
        let id = self.nodes.len();
        self.nodes.push(Box::new(Node::new(id, spec)));
        self.stage.hosts.push(Status::default());
        self.stage.schedule(Duration::ZERO, Event::Start(id));
        id
    }

    /// One node dials another, from now on; if requests travel there, `asking` says who asks.
    pub(crate) fn connect(&mut self, dialer: usize, listener: usize, asking: Option<Asking>) {
        let refused_by = None;
        self.stage.net.edges.push(Edge { dialer, listener, asking, conn: None, refused_by });
    }

    /// One of two nodes dials the other, whichever.
    pub(crate) fn connect_either_way(&mut self, one: usize, other: usize) {
        let (dialer, listener) =
            if self.stage.luck.one_in(2) { (one, other) } else { (other, one) };
        self.connect(dialer, listener, None);
    }

    pub(crate) fn check(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// Lets storms pass over it until a promise is broken or the last has passed.
    pub(crate) fn run(&mut self) {
        for _ in 0..self.stage.luck.within(1, STORMS_MAX) {
            self.storm();
            let proofs = (0..self.nodes.len()).map(Phase::Proof);
            for phase in [Phase::Settle].into_iter().chain(proofs) {
                self.turn(phase);
                self.come_to_rest();
                if self.stage.failure.is_some() {
                    return;
                }
            }
        }
        self.probe();
    }

    fn storm(&mut self) {
        self.stage.faults = self.weather;
        self.turn(Phase::Storm);
        let most = self.stage.trace.events() + STORM_EVENTS_MAX;
        let after = self.stage.luck.upto(STORM_MAX * self.stage.tempo);
        self.stage.schedule(after, Event::StormEnds);
        self.stage.schedule(after / 8, Event::Mishap);
        while self.stage.phase == Phase::Storm && self.stage.trace.events() < most {
            if !self.step(u64::MAX) {
                break;
            }
        }
        self.calm();
    }

    /// Faults end. What has begun ends in its time, but nobody is deaf or frozen any more.
    fn calm(&mut self) {
        self.stage.faults = Faults::NONE;
        self.stage.hosts.iter_mut().for_each(|host| host.thaws = 0);
        for conn in 0..self.stage.net.conns.len() {
            let link = &mut self.stage.net.conns[conn];
            for end in &mut link.ends {
                (end.deaf_until, end.stalled_until) = (0, 0);
            }
            if link.route.as_ref().is_some_and(|route| route.is_too_far) {
                self.stage.cut(conn, NOTICE_MAX);
            }
        }
    }

    /// A new phase: tasks that rest go on.
    fn turn(&mut self, phase: Phase) {
        self.stage.phase = phase;
        self.stage.note(usize::MAX, "phase", [self.stage.faults.has(Fault::Cut).into(), 0]);
        for node in &mut self.nodes {
            node.turn(&mut self.stage);
        }
    }

    /// Lets things go on until nothing moves, and looks whether everything is as it has to be then.
    fn come_to_rest(&mut self) {
        let most = self.stage.trace.events() + REST_EVENTS_MAX;
        while self.step(self.stage.now.saturating_add(nanos(LULL))) {
            if self.stage.trace.events() > most {
                self.stage.fail(Oracle::Endless, "it never comes to rest");
            }
        }
        if self.stage.failure.is_some() {
            return;
        }
        if let Some(failure) = self.what_is_wrong() {
            // What is stuck may be so for want of a wake.
            self.probe();
            self.stage.fail_with(failure);
        }
        for node in 0..self.nodes.len() {
            self.nodes[node].audit(true, &mut self.stage);
        }
    }

    fn what_is_wrong(&self) -> Option<Failure> {
        let unfinished = || {
            let what = self.nodes.iter().find_map(|node| node.unfinished())?;
            Some(Failure::new(Oracle::Stuck, what))
        };
        let unchecked = || self.checks.iter().find_map(|check| check().err());
        self.stage.unrest().or_else(unfinished).or_else(unchecked)
    }

    /// Lets every call that waits try again: none may succeed.
    fn probe(&mut self) {
        if self.stage.failure.is_none() {
            let mut nodes = self.nodes.iter_mut();
            if let Some(failure) = nodes.find_map(|node| node.probe(&mut self.stage)) {
                self.stage.fail_with(failure);
            }
        }
    }

    /// Handles the next event if it is due by `until`. Answers no if there is none, or if a promise is broken.
    fn step(&mut self, until: u64) -> bool {
        if self.stage.failure.is_some() {
            return false;
        }
        let Some(event) = self.stage.next_event(until) else { return false };
        if let Some(node) = self.handle(event) {
            self.nodes[node].audit(false, &mut self.stage);
        }
        true
    }

    /// Handles an event; answers whose books it concerns.
    fn handle(&mut self, event: Event) -> Option<usize> {
        let stage = &mut self.stage;
        let place = match event {
            Event::Timer(place, ..) | Event::Step(place, ..) | Event::Deadline(place, ..) => place,
            Event::Open(end)
            | Event::Closed(end)
            | Event::Carry(end)
            | Event::Read(end)
            | Event::Room(end) => stage.net.end(end).place,
            Event::Dial(edge) => {
                stage.dial(edge);
                return None;
            }
            Event::Start(node) => {
                self.start(node);
                return None;
            }
            Event::Nudge(node) => {
                self.nodes[node].turn(stage);
                return None;
            }
            Event::Mishap => {
                self.mishap();
                return None;
            }
            Event::StormEnds => {
                stage.phase = Phase::Settle;
                return None;
            }
        };
        let at = stage.ready_at(place)?;
        if at > stage.now {
            stage.schedule_at(at, event);
            return None;
        }
        let node = &mut self.nodes[place.node];
        match event {
            Event::Timer(_, key, at) => node.timer(key, at, stage),
            Event::Step(_, task, ticket) => node.step(task, ticket, stage),
            Event::Deadline(_, task, ticket) => node.deadline(task, ticket, stage),
            Event::Open(end) if stage.net.end(end).state == EndState::Opening => {
                node.opened(end, stage);
            }
            Event::Closed(end) if stage.net.end(end).is_known() => {
                stage.note(place.node, "closed", [end.conn as u64, 0]);
                node.closed(end, stage);
            }
            Event::Closed(end) if stage.net.end(end).state == EndState::Opening => {
                stage.end_gone(end);
            }
            Event::Carry(end) => stage.carry(end),
            Event::Read(end) => node.read(end, stage),
            Event::Room(end) if stage.net.end(end).is_known() => node.room(end, stage),
            _ => {}
        }
        Some(place.node)
    }

    fn start(&mut self, node: usize) {
        let stage = &mut self.stage;
        let life = stage.hosts[node].lives + 1;
        stage.note(node, "start", [u64::from(life), 0]);
        stage.hosts[node] = Status { life: Some(life), lives: life, ..Status::default() };
        self.nodes[node].start(life, stage);
        for edge in 0..stage.net.edges.len() {
            if stage.net.edges[edge].dialer == node {
                let after = stage.delay();
                stage.schedule(after, Event::Dial(edge));
            }
        }
    }

    /// Something goes wrong, and something else later.
    fn mishap(&mut self) {
        if self.stage.phase != Phase::Storm {
            return;
        }
        let kinds = [Fault::Cut, Fault::Stall, Fault::Deaf, Fault::Crash, Fault::Freeze];
        let kinds: Vec<Fault> = kinds.into_iter().filter(|kind| self.weather.has(*kind)).collect();
        if kinds.is_empty() {
            return;
        }
        let kind = *self.stage.luck.pick(&kinds);
        let node = self.stage.luck.index(self.nodes.len());
        let stage = &mut self.stage;
        let ends: Vec<EndId> = stage.net.ends().map(|(end, _)| end).collect();
        let until = stage.now + nanos(stage.luck.upto(PAUSE_MAX));
        match kind {
            Fault::Crash => self.crash(node),
            Fault::Freeze => {
                stage.note(node, "freeze", [until, 0]);
                stage.hosts[node].thaws = until;
            }
            _ if ends.is_empty() => {}
            _ => {
                let end = *stage.luck.pick(&ends);
                stage.note(node, "trouble", [kind as u64, end.conn as u64]);
                match kind {
                    Fault::Stall => stage.net.end_mut(end).stalled_until = until,
                    Fault::Deaf => stage.net.end_mut(end).deaf_until = until,
                    _ => stage.cut(end.conn, PAUSE_MAX),
                }
            }
        }
        let after = self.stage.luck.upto(MISHAPS_APART_MAX * self.stage.tempo);
        self.stage.schedule(after, Event::Mishap);
    }

    /// A node is gone without a word; its peers notice by and by, and it comes back.
    fn crash(&mut self, node: usize) {
        let stage = &mut self.stage;
        if stage.hosts[node].life.take().is_none() {
            return;
        }
        stage.note(node, "crash", [0, 0]);
        self.nodes[node].crash();
        let ends: Vec<EndId> =
            stage.net.ends().filter(|(_, end)| end.place.node == node).map(|(id, _)| id).collect();
        for end in ends {
            stage.cut(end.conn, PAUSE_MAX);
            stage.end_gone(end);
        }
        let after = stage.luck.upto(PAUSE_MAX);
        stage.schedule(after, Event::Start(node));
    }
}

/// From programs that are busy all the time to programs that call now and then.
const TEMPOS: [u32; 3] = [1, 8, 64];

const STORMS_MAX: u64 = 3;

/// At the quickest tempo.
const STORM_MAX: Duration = Duration::from_secs(60);

/// What a storm does not need more of: long ones find little that short ones do not.
const STORM_EVENTS_MAX: u64 = 10_000;

const MISHAPS_APART_MAX: Duration = Duration::from_secs(4);

/// The longest freeze, stall, outage, or time until somebody notices that a connection is cut.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// Nothing is due for so long: all is at rest. More than any delay and any time after which a request is sent again
/// that might have been swallowed; less than [`patterns::NEVER`](crate::patterns::NEVER).
const LULL: Duration = Duration::from_secs(600);

/// Many times what it takes.
const REST_EVENTS_MAX: u64 = 1_000_000;
