//! One node: an engine, what its socket keeps, and the tasks that use it.

use sp_core::id::{PeerId, TimerKey};
use sp_core::pipe::CloseReason;
use sp_protocols::engine::{Counter, Engine};

use crate::body::{Body, Doing, Side, Slot, Tally};
use crate::effects::Fx;
use crate::net::{EndId, EndState, Place};
use crate::oracle::{Failure, Oracle};
use crate::rng::Rng;
use crate::stage::{Event, Stage};
use crate::task::{Desk, Next, Patience, Task, Try};

/// What there is to say about a node, whatever its engine.
pub(crate) trait Host {
    /// Begins a life.
    fn start(&mut self, life: u32, stage: &mut Stage);
    /// Ends it, without a word to anybody.
    fn crash(&mut self);
    fn opened(&mut self, end: EndId, stage: &mut Stage);
    fn closed(&mut self, end: EndId, stage: &mut Stage);
    fn read(&mut self, end: EndId, stage: &mut Stage);
    fn room(&mut self, end: EndId, stage: &mut Stage);
    fn timer(&mut self, key: TimerKey, at: u64, stage: &mut Stage);
    fn step(&mut self, task: usize, ticket: u64, stage: &mut Stage);
    fn deadline(&mut self, task: usize, ticket: u64, stage: &mut Stage);
    /// Tasks that rest go on: the phase of the world has changed, or there is something for them.
    fn turn(&mut self, stage: &mut Stage);
    /// Lets every call that waits try again although nobody woke it, and says which of them ended.
    fn probe(&mut self, stage: &mut Stage) -> Option<Failure>;
    /// Checks the books.
    fn audit(&self, at_rest: bool, stage: &mut Stage);
    /// A call that has not ended, or a task that goes on and on.
    fn unfinished(&self) -> Option<String>;
}

/// How a node is made, in each of its lives.
pub(crate) struct Spec<E: Engine> {
    pub(crate) options: E::Options,
    pub(crate) tasks: Tasks<E>,
    pub(crate) audit: Audit,
}

/// Makes the tasks of a node for one of its lives.
pub(crate) type Tasks<E> = Box<dyn Fn(Place, &mut Rng) -> Vec<Box<dyn Task<E>>>>;

/// What has to be true of a node's books after every event.
pub(crate) type Audit = Box<dyn Fn(&Books<'_>) -> Result<(), Failure>>;

/// What has passed at a node in its present life.
pub(crate) struct Books<'a> {
    pub(crate) tally: &'a Tally,
    pub(crate) peers: u64,
    /// Broadcast messages that have left.
    pub(crate) carried: u64,
    /// Broadcast messages that wait to leave.
    pub(crate) waiting: u64,
    /// Peers that have room, as far as the engine knows.
    pub(crate) usable: u64,
    /// Nothing moves any more, and programs have taken what there is.
    pub(crate) at_rest: bool,
    body: &'a Body,
}

impl Books<'_> {
    /// What came in is what went out; `what` says of what.
    pub(crate) fn equal(&self, what: &str, came: u64, went: u64) -> Result<(), Failure> {
        self.check(Oracle::Balance, came == went, what, came, went)
    }

    /// What came in is at least what went out; once at rest, exactly that.
    pub(crate) fn settles(&self, what: &str, came: u64, went: u64) -> Result<(), Failure> {
        self.settles_but(0, what, came, went)
    }

    /// As [`settles`](Self::settles), but at rest at most `lost` may have been lost in between, for good reason.
    pub(crate) fn settles_but(
        &self,
        lost: u64,
        what: &str,
        came: u64,
        went: u64,
    ) -> Result<(), Failure> {
        let is_fine = came >= went && (!self.at_rest || came <= went + lost);
        self.check(Oracle::Balance, is_fine, what, came, went)
    }

    /// There is something for so many receives, or so many sends: as many are awake, or nobody waits any more.
    ///
    /// Not everybody who is awake has been woken by the engine for that, but nobody may be forgotten.
    pub(crate) fn awake(&self, side: Side, wanted: u64) -> Result<(), Failure> {
        let calls = self.body.slots.iter().map(|slot| slot.doing);
        let (mut waits, mut woken) = (0, 0);
        for doing in calls {
            match doing {
                Doing::Waits(call) if call.side == side => waits += 1,
                Doing::IsWoken(call) if call.side == side => woken += 1,
                _ => {}
            }
        }
        let is_fine = waits == 0 || woken >= wanted;
        self.check(Oracle::Wake, is_fine, "woken, and wanted", woken, wanted)
    }

    /// Nothing has been dropped by who waits instead.
    pub(crate) fn none_missing(&self, dropped: u64) -> Result<(), Failure> {
        self.check(Oracle::Gap, dropped == 0, "dropped, and allowed", dropped, 0)
    }

    /// There are no more peers than `most`.
    pub(crate) fn partners(&self, most: u64) -> Result<(), Failure> {
        self.check(Oracle::Partner, self.peers <= most, "peers", self.peers, most)
    }

    /// What waits is within its limit.
    pub(crate) fn within(&self, what: &str, waits: u64, limit: u64) -> Result<(), Failure> {
        self.check(Oracle::Bound, waits <= limit, what, waits, limit)
    }

    fn check(
        &self,
        oracle: Oracle,
        is_fine: bool,
        what: &str,
        left: u64,
        right: u64,
    ) -> Result<(), Failure> {
        let failure = || Failure::new(oracle, format!("{what}: {left}, {right}; {:?}", self.tally));
        if is_fine { Ok(()) } else { Err(failure()) }
    }
}

/// A node and the life it has, if any.
pub(crate) struct Node<E: Engine> {
    spec: Spec<E>,
    id: usize,
    life: Option<Life<E>>,
}

struct Life<E> {
    engine: E,
    body: Body,
    tasks: Vec<Box<dyn Task<E>>>,
}

impl<E: Engine> Node<E> {
    pub(crate) const fn new(id: usize, spec: Spec<E>) -> Self {
        Self { spec, id, life: None }
    }
}

impl<E: Engine> Life<E> {
    /// Calls the engine about the peer at `end`.
    fn about(
        &mut self,
        end: EndId,
        stage: &mut Stage,
        call: impl FnOnce(&mut E, PeerId, &mut Fx<'_>),
    ) {
        if let Some(peer) = stage.net.end(end).peer {
            call(&mut self.engine, peer, &mut Fx { body: &mut self.body, stage });
        }
    }

    fn step(&mut self, task: usize, how: Try, stage: &mut Stage) {
        let Self { engine, body, tasks } = self;
        body.slots[task].ticket += 1;
        body.slots[task].doing = Doing::Thinks;
        let next = tasks[task].step(&mut Desk { engine, body, stage, task, how });
        let slot = &mut body.slots[task];
        match next {
            Next::Wait => debug_assert!(slot.doing.call().is_some(), "it waits for nothing"),
            Next::Rest => slot.doing = Doing::Rests,
            Next::Think(time) => {
                slot.ticket += 1;
                stage.schedule(time, Event::Step(body.place, task, slot.ticket));
            }
        }
    }
}

impl<E: Engine> Host for Node<E> {
    fn start(&mut self, life: u32, stage: &mut Stage) {
        let place = Place { node: self.id, life };
        let mut body = Body::new(place);
        let tasks = (self.spec.tasks)(place, &mut stage.luck);
        for task in 0..tasks.len() {
            body.slots.push(Slot { doing: Doing::Rests, ticket: 0 });
            body.step_soon(task, stage);
        }
        let engine = E::new(self.spec.options.clone(), stage.luck.number());
        self.life = Some(Life { engine, body, tasks });
    }

    fn crash(&mut self) {
        self.life = None;
    }

    fn opened(&mut self, end: EndId, stage: &mut Stage) {
        let Some(Life { engine, body, .. }) = &mut self.life else { return };
        let peer = body.add_peer(end);
        let here = stage.net.end_mut(end);
        here.peer = Some(peer);
        here.state = EndState::Open;
        match engine.opened(peer, &mut Fx { body, stage }) {
            Ok(()) => {
                stage.net.opened_at = stage.now;
                stage.read_soon(end);
            }
            Err(CloseReason::TooMany { limit }) if body.peers.len() > limit => {
                body.remove_peer(peer);
                stage.refused(end);
            }
            Err(why) => stage.fail(Oracle::Peace, format!("{peer} was refused: {why}")),
        }
    }

    fn closed(&mut self, end: EndId, stage: &mut Stage) {
        let Some(life) = &mut self.life else { return };
        // Still there while the engine hears of it, for what waits; nothing more can be sent to it.
        let here = stage.net.end_mut(end);
        here.state = EndState::Closing;
        here.has_joined = false;
        here.capacity = 0;
        life.about(end, stage, |engine, peer, fx| {
            engine.closed(peer, fx);
            fx.body.remove_peer(peer);
        });
        stage.end_gone(end);
    }

    fn read(&mut self, end: EndId, stage: &mut Stage) {
        let Some(Life { engine, body, .. }) = &mut self.life else { return };
        let Some((peer, mut batch)) = stage.take_batch(end) else { return };
        let (before, too_far) = (batch.len(), body.tally.counted(Counter::HopLimit));
        // Paused until it has answered, so that a resume in between is seen.
        stage.net.end_mut(end).is_paused = true;
        let flow = engine.arrived(peer, &mut batch, &mut Fx { body, stage });
        let taken = (before - batch.len()) as u64;
        body.tally.arrived += taken;
        let came_too_far = body.tally.counted(Counter::HopLimit) - too_far;
        let others = body.peers.len() as u64 - 1;
        body.tally.owed_onward += (taken - came_too_far) * others;
        stage.note(self.id, "arrived", [end.conn as u64, taken]);
        stage.give_back(end, batch, flow);
    }

    fn room(&mut self, end: EndId, stage: &mut Stage) {
        let Some(life) = &mut self.life else { return };
        stage.note(self.id, "room", [end.conn as u64, 0]);
        stage.net.end_mut(end).is_telling_room = false;
        life.about(end, stage, |engine, peer, fx| engine.room(peer, fx));
    }

    fn timer(&mut self, key: TimerKey, at: u64, stage: &mut Stage) {
        let Some(Life { engine, body, .. }) = &mut self.life else { return };
        if body.timers.get(&key) == Some(&at) {
            body.timers.remove(&key);
            stage.note(self.id, "timer", [u64::from(key.0), 0]);
            engine.timer(key, &mut Fx { body, stage });
        }
    }

    fn step(&mut self, task: usize, ticket: u64, stage: &mut Stage) {
        let Some(life) = &mut self.life else { return };
        let slot = &life.body.slots[task];
        if slot.ticket == ticket {
            let how = slot.doing.call().map_or(Try::New, Try::Again);
            life.step(task, how, stage);
        }
    }

    fn deadline(&mut self, task: usize, ticket: u64, stage: &mut Stage) {
        let Some(life) = &mut self.life else { return };
        let Some(call) = life.body.slots[task].doing.call() else { return };
        if call.ticket != ticket {
            return;
        }
        let was_woken = !life.body.leave(task, call);
        if matches!(call.patience, Patience::Timeout(_)) {
            return life.step(task, Try::Last { was_woken }, stage);
        }
        if was_woken {
            let Life { engine, body, .. } = life;
            let how = Try::Dropped;
            Desk { engine, body, stage, task, how }.pass_on(call.ctx, call.side);
        }
        life.step(task, Try::Dropped, stage);
    }

    fn turn(&mut self, stage: &mut Stage) {
        let Some(Life { body, .. }) = &mut self.life else { return };
        for task in 0..body.slots.len() {
            if body.slots[task].doing == Doing::Rests {
                body.step_soon(task, stage);
            }
        }
    }

    fn probe(&mut self, stage: &mut Stage) -> Option<Failure> {
        let life = self.life.as_mut()?;
        for task in 0..life.body.slots.len() {
            let doing = life.body.slots[task].doing;
            let Some(call) = doing.call() else { continue };
            life.body.leave(task, call);
            life.step(task, Try::Again(call), stage);
            if life.body.slots[task].doing != doing {
                let what = format!("node {}, task {task}: nobody woke {call:?}", self.id);
                return Some(Failure::new(Oracle::Wake, what));
            }
        }
        None
    }

    fn audit(&self, at_rest: bool, stage: &mut Stage) {
        let Some(Life { body, .. }) = &self.life else { return };
        let ends = || body.peers.iter().map(|(_, id)| stage.net.end(*id));
        let books = Books {
            tally: &body.tally,
            peers: body.peers.len() as u64,
            carried: stage.hosts[self.id].carried,
            waiting: ends().map(|end| end.backlog.len() as u64).sum(),
            usable: ends().filter(|end| end.is_usable()).count() as u64,
            at_rest,
            body,
        };
        if let Err(failure) = (self.spec.audit)(&books) {
            let what = format!("node {}, {}", self.id, failure.what);
            stage.fail(failure.oracle, what);
        }
    }

    fn unfinished(&self) -> Option<String> {
        let Life { body, .. } = self.life.as_ref()?;
        let found = body.slots.iter().enumerate().find(|(_, slot)| match slot.doing {
            Doing::Rests => false,
            Doing::Waits(call) | Doing::IsWoken(call) => call.patience != Patience::Idle,
            Doing::Thinks => true,
        });
        found.map(|(task, slot)| format!("node {}, task {task}: {:?}", self.id, slot.doing))
    }
}
