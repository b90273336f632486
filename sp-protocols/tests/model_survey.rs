//! SURVEYOR against a table of what each context has asked and what has come back.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use sp_core::id::{CtxId, PeerId};
use sp_protocols::engine::testing::{Effect, Rig, with_words};
use sp_protocols::engine::{
    Counter, Effects as _, RecvBlocked, Surveyor, SurveyorOptions, WhenFull,
};

#[derive(Clone, Debug)]
enum Op {
    Open(usize),
    Close(usize),
    Room(usize, usize),
    /// With the socket's options or its own.
    OpenCtx(Option<Limits>),
    CloseCtx(usize),
    Send(usize),
    Recv(usize, bool),
    Abandon(usize),
    /// From some peer: a response to the nth survey ever made.
    Respond(usize, usize),
    /// From some peer: any bytes at all.
    Garbage(usize, Vec<u8>),
    Wait(u64),
    /// Time passes, and timers are late.
    Stall(u64),
}

/// A survey time in seconds, how many responses wait, and what becomes of more.
#[derive(Clone, Copy, Debug)]
struct Limits {
    time: u64,
    queue: usize,
    when_full: WhenFull,
}

impl Limits {
    fn options(self) -> SurveyorOptions {
        let options = SurveyorOptions::new().survey_time(Duration::from_secs(self.time));
        options.queue(self.queue).when_full(self.when_full)
    }
}

fn limits() -> impl Strategy<Value = Limits> {
    let policies = vec![WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block];
    (1_u64..9, 1_usize..4, prop::sample::select(policies))
        .prop_map(|(time, queue, when_full)| Limits { time, queue, when_full })
}

fn op() -> impl Strategy<Value = Op> {
    let which = any::<usize>;
    prop_oneof![
        2 => (0_usize..4).prop_map(Op::Open),
        1 => which().prop_map(Op::Close),
        3 => (which(), 0_usize..4).prop_map(|(peer, room)| Op::Room(peer, room)),
        1 => prop::option::of(limits()).prop_map(Op::OpenCtx),
        1 => which().prop_map(Op::CloseCtx),
        6 => which().prop_map(Op::Send),
        8 => (which(), any::<bool>()).prop_map(|(ctx, wait)| Op::Recv(ctx, wait)),
        1 => which().prop_map(Op::Abandon),
        10 => (which(), which()).prop_map(|(peer, id)| Op::Respond(peer, id)),
        1 => (which(), prop::collection::vec(any::<u8>(), 0..7)).prop_map(|(peer, b)| Op::Garbage(peer, b)),
        3 => (1_u64..4).prop_map(Op::Wait),
        1 => (1_u64..4).prop_map(Op::Stall),
    ]
}

#[derive(Debug)]
struct Talk {
    limits: Limits,
    /// Its id, and when it ends.
    survey: Option<(u32, u64)>,
    responses: VecDeque<Vec<u8>>,
    /// Receives that wait, and those that are to hear that their survey was replaced.
    waiting: usize,
    canceled: usize,
}

impl Talk {
    fn new(limits: Limits) -> Self {
        Self { limits, survey: None, responses: VecDeque::new(), waiting: 0, canceled: 0 }
    }

    /// Whether responses have to wait where they are.
    fn is_stopping(&self) -> bool {
        self.limits.when_full == WhenFull::Block && self.responses.len() >= self.limits.queue
    }
}

/// The engine, and beside it what it should do.
struct Pair {
    rig: Rig<Surveyor>,
    limits: Limits,
    talks: BTreeMap<CtxId, Talk>,
    peers: Vec<PeerId>,
    /// What peers have sent and the engine has not taken: survey and response.
    backlogs: BTreeMap<PeerId, VecDeque<(u32, Vec<u8>)>>,
    ids: Vec<u32>,
    now: u64,
    /// Timers may be late.
    stalled: bool,
    made: u32,
}

impl Pair {
    fn new(limits: Limits, seed: u64) -> Self {
        Self {
            rig: Rig::seeded(limits.options(), seed),
            limits,
            talks: BTreeMap::from([(CtxId::MAIN, Talk::new(limits))]),
            peers: Vec::new(),
            backlogs: BTreeMap::new(),
            ids: Vec::new(),
            now: 0,
            stalled: false,
            made: 0,
        }
    }

    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        let peer = |which: usize| self.peers.get(which.checked_rem(self.peers.len())?).copied();
        let ctx = |which: usize| *self.talks.keys().nth(which % self.talks.len()).unwrap();
        match op {
            Op::Open(room) => self.peers.push(self.rig.peer_with_room(room)),
            Op::Close(which) => {
                if let Some(peer) = peer(which) {
                    self.close(peer);
                }
            }
            Op::Room(which, more) => {
                if let Some(peer) = peer(which) {
                    self.rig.set_room(peer, self.rig.world.room_of(peer) + more);
                }
            }
            Op::OpenCtx(own) if self.talks.len() < 5 => {
                let ctx = match own {
                    Some(limits) => self.rig.open_ctx_with(limits.options()),
                    None => self.rig.open_ctx(),
                };
                self.talks.insert(ctx, Talk::new(own.unwrap_or(self.limits)));
            }
            Op::OpenCtx(_) => {}
            Op::CloseCtx(which) => self.close_ctx(ctx(which))?,
            Op::Send(which) => self.send(ctx(which))?,
            Op::Recv(which, wait) => self.recv(ctx(which), wait)?,
            Op::Abandon(which) => {
                let ctx = ctx(which);
                let talk = self.talks.get_mut(&ctx).unwrap();
                talk.waiting = talk.waiting.saturating_sub(1);
                self.rig.abandon_recv(ctx);
            }
            Op::Respond(from, which) => {
                let id = which.checked_rem(self.ids.len()).and_then(|at| self.ids.get(at));
                if let (Some(peer), Some(&id)) = (peer(from), id) {
                    self.made += 1;
                    self.arrive(peer, id, self.made.to_be_bytes().to_vec())?;
                }
            }
            Op::Garbage(from, bytes) => {
                if let Some(peer) = peer(from) {
                    self.garbage(peer, &bytes)?;
                }
            }
            Op::Wait(seconds) => {
                self.stalled = false;
                for _ in 0..seconds {
                    self.now += 1;
                    self.rig.advance(Duration::from_secs(1));
                    self.settle()?;
                }
            }
            Op::Stall(seconds) => {
                self.stalled = true;
                self.now += seconds;
                self.rig.advance_silently(Duration::from_secs(seconds));
            }
        }
        self.settle()
    }

    fn close_ctx(&mut self, ctx: CtxId) -> Result<(), TestCaseError> {
        let ended = self.talks.remove(&ctx).unwrap();
        if ctx == CtxId::MAIN {
            self.talks.insert(ctx, Talk::new(self.limits));
        }
        self.rig.close_ctx(ctx);
        prop_assert_eq!(self.counted(Counter::StaleReply), ended.responses.len());
        Ok(())
    }

    fn send(&mut self, ctx: CtxId) -> Result<(), TestCaseError> {
        self.made += 1;
        let body = self.made.to_be_bytes();
        let (wanted, full): (Vec<_>, Vec<_>) =
            self.peers.iter().partition(|peer| self.rig.world.room_of(**peer) > 0);
        let talk = self.talks.get_mut(&ctx).unwrap();
        let unread = talk.responses.len();
        talk.responses.clear();
        talk.canceled += std::mem::take(&mut talk.waiting);
        prop_assert!(self.rig.send_in(ctx, body).is_ok(), "a send never fails");
        let effects = self.rig.world.take_effects();
        let counted = |what| effects.iter().filter(|e| **e == Effect::Count(what)).count();
        prop_assert_eq!(counted(Counter::StaleReply), unread);
        prop_assert_eq!(counted(Counter::DroppedOnSend), full.len());
        let sent = effects.iter().filter_map(|effect| match effect {
            Effect::Transmit(peer, bytes) => Some((*peer, bytes.clone())),
            _ => None,
        });
        let sent: BTreeMap<_, _> = sent.collect();
        prop_assert_eq!(sent.keys().copied().collect::<Vec<_>>(), wanted);
        let id = match sent.values().next() {
            Some(bytes) => u32::from_be_bytes(*bytes.first_chunk().unwrap()),
            // Nobody was asked: there is no telling the id, and nobody to answer.
            None => 0,
        };
        prop_assert!(sent.values().all(|bytes| *bytes == with_words(&[id], body)));
        prop_assert!(id == 0 || (id >= 0x8000_0000 && !self.ids.contains(&id)));
        self.ids.extend((id != 0).then_some(id));
        let talk = self.talks.get_mut(&ctx).unwrap();
        talk.survey = Some((id, self.now + talk.limits.time));
        Ok(())
    }

    fn recv(&mut self, ctx: CtxId, wait: bool) -> Result<(), TestCaseError> {
        let now = self.now;
        let talk = self.talks.get_mut(&ctx).unwrap();
        let wanted = if talk.canceled > 0 {
            talk.canceled -= 1;
            Err(RecvBlocked::Canceled)
        } else {
            talk.responses.pop_front().ok_or(match talk.survey {
                None => RecvBlocked::State,
                Some((_, end)) if now < end => RecvBlocked::Empty,
                Some(_) => RecvBlocked::SurveyOver,
            })
        };
        talk.waiting += usize::from(wait && wanted == Err(RecvBlocked::Empty));
        let got = if wait { self.rig.recv_waiting(ctx) } else { self.rig.recv_in(ctx) };
        prop_assert_eq!(got.map(|msg| msg.body().to_vec()), wanted);
        Ok(())
    }

    fn arrive(&mut self, peer: PeerId, id: u32, body: Vec<u8>) -> Result<(), TestCaseError> {
        self.backlogs.entry(peer).or_default().push_back((id, body.clone()));
        self.rig.world.take_effects();
        let is_read = self.rig.world.is_read(peer);
        let _ = self.rig.arrive(peer, [with_words(&[id], body)]);
        if is_read { self.take(peer) } else { Ok(()) }
    }

    /// The peer was read.
    fn take(&mut self, peer: PeerId) -> Result<(), TestCaseError> {
        let now = self.now;
        let (mut stale, mut dropped) = (0, 0);
        let backlog = self.backlogs.entry(peer).or_default();
        while let Some((id, body)) = backlog.front() {
            let mut talks = self.talks.values_mut();
            let asker = talks.find(|t| t.survey.is_some_and(|(own, end)| own == *id && now < end));
            match asker {
                None => stale += 1,
                Some(talk) if talk.is_stopping() => break,
                Some(talk) => {
                    talk.responses.push_back(body.clone());
                    if talk.responses.len() > talk.limits.queue {
                        let is_oldest = talk.limits.when_full == WhenFull::DropOldest;
                        talk.responses.remove(if is_oldest { 0 } else { talk.limits.queue });
                        dropped += 1;
                    }
                }
            }
            backlog.pop_front();
        }
        prop_assert_eq!(self.rig.world.backlog_of(peer), backlog.len());
        let effects = self.rig.world.take_effects();
        let counted = |what| effects.iter().filter(|e| **e == Effect::Count(what)).count();
        prop_assert_eq!(counted(Counter::StaleReply), stale);
        prop_assert_eq!(counted(Counter::DroppedOnReceive), dropped);
        Ok(())
    }

    fn garbage(&mut self, peer: PeerId, bytes: &[u8]) -> Result<(), TestCaseError> {
        if let Some((id, body)) = bytes.split_first_chunk() {
            let id = u32::from_be_bytes(*id);
            prop_assume!(!self.ids.contains(&id));
            return self.arrive(peer, id, body.to_vec());
        }
        // What is behind others that wait is looked at later.
        prop_assume!(self.rig.world.is_read(peer));
        let _ = self.rig.arrive(peer, [bytes]);
        let effects = self.rig.world.take_effects();
        let closes =
            |effect: &Effect| matches!(effect, Effect::Close(closed, _) if *closed == peer);
        prop_assert!(effects.iter().any(closes));
        self.close(peer);
        Ok(())
    }

    fn close(&mut self, peer: PeerId) {
        self.peers.retain(|other| *other != peer);
        self.backlogs.remove(&peer);
        self.rig.close(peer);
    }

    /// Woken calls try again, and who may go on brings what it has; then nobody waits for what is there, or for what
    /// never comes.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        self.settle_calls()?;
        let can_bring = |pair: &Self| {
            let mut with_more = pair.backlogs.iter().filter(|(_, backlog)| !backlog.is_empty());
            with_more.find(|(peer, _)| pair.rig.world.is_read(**peer)).map(|(peer, _)| *peer)
        };
        while let Some(peer) = can_bring(self) {
            let _ = self.rig.read(peer);
            self.take(peer)?;
            self.settle_calls()?;
        }
        let is_paused = |peer: &PeerId| !self.rig.world.is_read(*peer);
        if self.peers.iter().any(is_paused) && !self.stalled {
            let now = self.now;
            let stops = |talk: &Talk| {
                let is_open = talk.survey.is_some_and(|(_, end)| now < end);
                is_open && talk.responses.len() > talk.limits.queue / 2
            };
            let mut blocking =
                self.talks.values().filter(|talk| talk.limits.when_full == WhenFull::Block);
            prop_assert!(blocking.any(stops), "peers are paused, and nobody stops them");
        }
        Ok(())
    }

    fn settle_calls(&mut self) -> Result<(), TestCaseError> {
        while let Some(ctx) = self.rig.world.woken_recv() {
            let talk = self.talks.get_mut(&ctx).unwrap();
            // One that is to hear of its survey's end has been taken off those that wait.
            talk.waiting -= usize::from(talk.canceled == 0);
            self.recv(ctx, true)?;
        }
        self.rig.world.take_effects();
        for (&ctx, talk) in &self.talks {
            prop_assert_eq!(self.rig.world.recv_waits(ctx), talk.waiting > 0);
            let is_open = talk.survey.is_some_and(|(_, end)| self.now < end || self.stalled);
            let may_wait = is_open && talk.responses.is_empty() && talk.canceled == 0;
            prop_assert!(talk.waiting == 0 || may_wait, "a receive of {ctx} waits beside {talk:?}");
        }
        Ok(())
    }

    fn counted(&mut self, what: Counter) -> usize {
        self.rig.counted().into_iter().filter(|counter| *counter == what).count()
    }
}

proptest! {
    #[test]
    fn surveyor_agrees_with_a_table(
        limits in limits(),
        seed: u64,
        ops in prop::collection::vec(op(), 0..120),
    ) {
        let mut pair = Pair::new(limits, seed);
        for op in ops {
            pair.apply(op)?;
        }
    }
}
