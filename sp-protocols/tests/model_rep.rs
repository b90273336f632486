//! REP and RESPONDENT against lists of what waits for and from each peer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use sp_core::id::{CtxId, PeerId};
use sp_protocols::engine::testing::{Effect, Rig, Unsent, with_words};
use sp_protocols::engine::{
    Answerer, Asked, Counter, Effects as _, RecvBlocked, RepOptions, Requests, Surveys, WhenFull,
};

const END_BIT: u32 = 0x8000_0000;

#[derive(Clone, Debug)]
enum Op {
    Open(usize),
    Close(usize),
    Room(usize, usize),
    OpenCtx,
    CloseCtx(usize),
    Arrive(usize, Vec<Vec<u8>>),
    Read(usize),
    Recv(usize, bool),
    Abandon(usize),
    Send(usize),
}

/// Mostly good requests; some from too far; some that are anything.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::collection::vec(0..END_BIT, 0..6);
    let short = prop::collection::vec(any::<u8>(), 0..6);
    let body = prop_oneof![short, Just(vec![7; 400])];
    let whole = (words, any::<u32>(), body).prop_map(|(mut words, id, body)| {
        words.push(id | END_BIT);
        with_words(&words, body)
    });
    prop_oneof![
        20 => whole,
        1 => prop::collection::vec(any::<u8>(), 0..24),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let which = any::<usize>;
    prop_oneof![
        2 => (0_usize..4).prop_map(Op::Open),
        1 => which().prop_map(Op::Close),
        3 => (which(), 0_usize..4).prop_map(|(peer, room)| Op::Room(peer, room)),
        1 => Just(Op::OpenCtx),
        1 => which().prop_map(Op::CloseCtx),
        6 => (which(), prop::collection::vec(request(), 0..5)).prop_map(|(peer, r)| Op::Arrive(peer, r)),
        4 => which().prop_map(Op::Read),
        8 => (which(), any::<bool>()).prop_map(|(ctx, wait)| Op::Recv(ctx, wait)),
        1 => which().prop_map(Op::Abandon),
        8 => which().prop_map(Op::Send),
    ]
}

/// Header and body of a request.
type Request = (Vec<u8>, Vec<u8>);

enum Parsed {
    Whole(Request),
    TooFar,
    Broken,
}

/// The rule of sp-wire 3.0, word by word.
fn parse(bytes: &[u8], ttl: usize) -> Parsed {
    let mut at = 0;
    for n in 1.. {
        if n > ttl {
            return Parsed::TooFar;
        }
        let Some(word) = bytes[at..].first_chunk() else { return Parsed::Broken };
        at += 4;
        if u32::from_be_bytes(*word) & END_BIT != 0 {
            break;
        }
    }
    Parsed::Whole((bytes[..at].to_vec(), bytes[at..].to_vec()))
}

#[derive(Default)]
struct Peer {
    backlog: VecDeque<Vec<u8>>,
    requests: VecDeque<Request>,
    /// Replies that have no room.
    parked: VecDeque<Vec<u8>>,
    /// Its turn came while too much was parked.
    passed_over: bool,
}

impl Peer {
    fn is_open(&self) -> bool {
        self.parked.is_empty() && !self.passed_over
    }

    fn is_ready(&self) -> bool {
        self.is_open() && !self.requests.is_empty()
    }

    /// The bytes that its requests count.
    fn waiting(&self) -> usize {
        self.requests.iter().map(|(header, body)| header.len() + body.len() + 128).sum()
    }
}

/// The engine, and beside it what it should do.
struct Pair<A: Asked> {
    rig: Rig<Answerer<A>>,
    ttl: usize,
    limit: usize,
    limit_bytes: usize,
    when_full: WhenFull,
    peers: BTreeMap<PeerId, Peer>,
    /// Those that are ready, in the order in which they are served.
    line: VecDeque<PeerId>,
    /// Passed over while a request of theirs was held, in that order.
    held_up: Vec<PeerId>,
    /// What each context holds: whose request, and its header.
    contexts: BTreeMap<CtxId, Option<(PeerId, Vec<u8>)>>,
    /// Replies made, which tells them apart.
    made: u32,
    /// Requests that made way, and that have not been seen to be counted.
    dropped: usize,
}

impl<A: Asked> Pair<A> {
    fn new(ttl: u8, limit: usize, limit_bytes: usize, when_full: WhenFull) -> Self {
        let options = RepOptions::new().ttl(ttl).queue(limit).queue_bytes(limit_bytes);
        Self {
            rig: Rig::with(options.when_full(when_full)),
            ttl: usize::from(ttl),
            limit,
            limit_bytes,
            when_full,
            peers: BTreeMap::new(),
            line: VecDeque::new(),
            held_up: Vec::new(),
            contexts: BTreeMap::from([(CtxId::MAIN, None)]),
            made: 0,
            dropped: 0,
        }
    }

    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        let peer =
            |which: usize| self.peers.keys().nth(which.checked_rem(self.peers.len())?).copied();
        let ctx = |which: usize| *self.contexts.keys().nth(which % self.contexts.len()).unwrap();
        match op {
            Op::Open(room) => {
                self.peers.insert(self.rig.peer_with_room(room), Peer::default());
            }
            Op::Close(which) => {
                if let Some(peer) = peer(which) {
                    let paused = self.paused();
                    self.rig.close(peer);
                    self.lose(peer, &paused)?;
                }
            }
            Op::Room(which, more) => {
                if let Some(peer) = peer(which) {
                    self.room(peer, more)?;
                }
            }
            Op::OpenCtx if self.contexts.len() < CONTEXTS => {
                self.contexts.insert(self.rig.open_ctx(), None);
            }
            Op::CloseCtx(which) => {
                let (ctx, paused) = (ctx(which), self.paused());
                let held = self.contexts.remove(&ctx).flatten();
                if ctx == CtxId::MAIN {
                    self.contexts.insert(ctx, None);
                }
                self.rig.close_ctx(ctx);
                self.let_go(held, &paused);
            }
            Op::Arrive(which, requests) => {
                if let Some(peer) = peer(which) {
                    let (is_read, paused) = (self.rig.world.is_read(peer), self.paused());
                    self.peers.get_mut(&peer).unwrap().backlog.extend(requests.clone());
                    let _ = self.rig.arrive(peer, requests);
                    if is_read {
                        self.take(peer, &paused)?;
                    }
                }
            }
            Op::Read(which) => {
                if let Some(peer) = peer(which)
                    && self.rig.world.is_read(peer)
                {
                    let paused = self.paused();
                    let _ = self.rig.read(peer);
                    self.take(peer, &paused)?;
                }
            }
            Op::Recv(which, wait) => self.recv(ctx(which), wait)?,
            Op::Abandon(which) => self.rig.abandon_recv(ctx(which)),
            Op::Send(which) => self.send(ctx(which))?,
            Op::OpenCtx => {}
        }
        self.settle()
    }

    /// The peer was read: what fits has been taken, the rest dropped if it is to be, or it was broken and closed.
    fn take(&mut self, at: PeerId, paused: &BTreeSet<PeerId>) -> Result<(), TestCaseError> {
        if self.waiting() >= self.limit_bytes && self.peers[&at].is_open() {
            self.make_way();
        }
        let (mut too_far, mut broken) = (0, false);
        while !broken {
            let is_full = self.waiting() >= self.limit_bytes;
            let peer = self.peers.get_mut(&at).unwrap();
            let share = (self.limit_bytes / 2).max(1);
            let has_room = peer.is_open() && !is_full;
            if !has_room || peer.requests.len() >= self.limit || peer.waiting() >= share {
                if self.when_full == WhenFull::Block || peer.backlog.is_empty() {
                    break;
                }
                self.dropped += 1;
                let is_oldest = self.when_full == WhenFull::DropOldest && peer.is_open();
                if !is_oldest || peer.requests.pop_front().is_none() {
                    peer.backlog.pop_front();
                }
                if peer.requests.is_empty() {
                    self.line.retain(|&other| other != at);
                }
                continue;
            }
            let Some(bytes) = peer.backlog.pop_front() else { break };
            match parse(&bytes, self.ttl) {
                Parsed::Whole(request) => peer.requests.push_back(request),
                Parsed::TooFar => too_far += 1,
                Parsed::Broken => broken = true,
            }
            self.stand(at);
        }
        let effects = self.effects();
        let counted = |what| effects.iter().filter(|e| **e == Effect::Count(what)).count();
        prop_assert_eq!(counted(Counter::HopLimit), too_far);
        let closed = effects.iter().any(|e| matches!(e, Effect::Close(closed, _) if *closed == at));
        prop_assert_eq!(closed, broken);
        if broken {
            prop_assert_eq!(counted(Counter::LostWithPeer), self.peers[&at].requests.len());
            self.forget(at, paused);
            self.rig.close(at);
        } else {
            prop_assert_eq!(self.rig.world.backlog_of(at), self.peers[&at].backlog.len());
        }
        Ok(())
    }

    fn room(&mut self, at: PeerId, more: usize) -> Result<(), TestCaseError> {
        self.effects();
        let (is_owed, paused) = (self.rig.world.owes_room(at), self.paused());
        let too_much = self.parked() >= self.limit_bytes;
        let room = self.rig.world.room_of(at) + more;
        self.rig.set_room(at, room);
        let peer = self.peers.get_mut(&at).unwrap();
        let leaves = peer.parked.drain(..room.min(peer.parked.len()));
        let wanted: Vec<_> = leaves.map(|bytes| Effect::Transmit(at, bytes)).collect();
        if is_owed && room > 0 {
            self.serve(at, &paused);
            self.serve_held_up(too_much, &paused);
        }
        let mut effects = self.effects();
        effects.retain(|effect| matches!(effect, Effect::Transmit(..)));
        prop_assert_eq!(effects, wanted);
        Ok(())
    }

    fn recv(&mut self, ctx: CtxId, wait: bool) -> Result<(), TestCaseError> {
        let paused = self.paused();
        let got = if wait { self.rig.recv_waiting(ctx) } else { self.rig.recv_in(ctx) };
        let wanted = self.next_request();
        self.read_on(&paused);
        let Some((from, (header, body))) = wanted else {
            prop_assert_eq!(got, Err(RecvBlocked::Empty));
            return Ok(());
        };
        let msg = got.unwrap();
        prop_assert_eq!((msg.source(), msg.body()), (Some(from), &body[..]));
        let before = self.contexts.insert(ctx, Some((from, header))).flatten();
        self.let_go(before, &paused);
        Ok(())
    }

    fn send(&mut self, ctx: CtxId) -> Result<(), TestCaseError> {
        self.effects();
        let paused = self.paused();
        self.made += 1;
        let mut body = self.made.to_be_bytes().to_vec();
        body.resize(4 + self.made as usize % 5 * 90, 0);
        let held = self.contexts.insert(ctx, None).flatten();
        let room = held.as_ref().map_or(0, |(peer, _)| self.rig.world.room_of(*peer));
        let sent = self.rig.send_in(ctx, &body[..]);
        let Some((to, header)) = held.clone() else {
            prop_assert!(matches!(sent, Err(Unsent::State(msg)) if msg.body() == body));
            return Ok(());
        };
        prop_assert!(sent.is_ok());
        let mut effects = self.effects();
        effects.retain(|effect| !matches!(effect, Effect::WakeRecv(_)));
        let bytes = [header, body].concat();
        let Some(peer) = self.peers.get_mut(&to) else {
            prop_assert_eq!(effects, [Effect::Count(Counter::PeerGone)]);
            return Ok(());
        };
        if room > 0 {
            prop_assert!(peer.parked.is_empty());
            prop_assert_eq!(effects, [Effect::Transmit(to, bytes)]);
        } else {
            prop_assert!(effects.is_empty());
            peer.parked.push_back(bytes);
            self.line.retain(|&other| other != to);
        }
        self.let_go(held, &paused);
        Ok(())
    }

    /// Woken calls try again; then nobody waits for what is there, and nobody is paused without need.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        while let Some(ctx) = self.rig.world.woken_recv() {
            self.recv(ctx, true)?;
        }
        self.effects();
        prop_assert_eq!(self.dropped, 0, "requests that made way are counted, and no others");
        prop_assert!(self.waiting() < self.limit_bytes + LONGEST);
        prop_assert!(self.parked() < self.limit_bytes + (CONTEXTS + 1) * LONGEST);
        let waits = self.contexts.keys().any(|&ctx| self.rig.world.recv_waits(ctx));
        prop_assert!(!waits || self.line.is_empty(), "a receive waits beside a request");
        let held_back = self.held_back(&self.paused());
        if self.is_half_free() {
            let brings =
                |id: &PeerId| self.rig.world.is_read(*id) && self.rig.world.backlog_of(*id) > 0;
            prop_assert!(
                held_back.is_empty() || self.peers.keys().any(brings),
                "all are held back with half of the room free"
            );
        } else if waits {
            let evil = self
                .peers
                .iter()
                .any(|(id, peer)| self.rig.world.room_of(*id) == 0 && !peer.requests.is_empty());
            prop_assert!(!evil || held_back.is_empty(), "peers that do not read keep others out");
        }
        Ok(())
    }

    /// The request that is handed out next.
    fn next_request(&mut self) -> Option<(PeerId, Request)> {
        while let Some(id) = self.line.pop_front() {
            let held = self.contexts.values().flatten().any(|(peer, _)| *peer == id);
            let too_much = self.parked() >= self.limit_bytes;
            let peer = self.peers.get_mut(&id).unwrap();
            if too_much && (held || self.rig.world.room_of(id) == 0) {
                peer.passed_over = true;
                if held && !self.held_up.contains(&id) {
                    self.held_up.push(id);
                }
                continue;
            }
            let request = peer.requests.pop_front().unwrap();
            self.stand(id);
            return Some((id, request));
        }
        None
    }

    fn stand(&mut self, id: PeerId) {
        let is_ready = self.peers.get(&id).is_some_and(Peer::is_ready);
        if is_ready && !self.line.contains(&id) {
            self.line.push_back(id);
        }
    }

    fn let_go(&mut self, held: Option<(PeerId, Vec<u8>)>, paused: &BTreeSet<PeerId>) {
        if let Some((id, _)) = held
            && self.peers.get(&id).is_some_and(|peer| peer.passed_over)
        {
            self.serve(id, paused);
        }
    }

    /// Who was passed over because a request of it is held has its turn once fewer replies are parked.
    fn serve_held_up(&mut self, was_too_much: bool, paused: &BTreeSet<PeerId>) {
        if was_too_much && self.parked() < self.limit_bytes {
            while let Some(id) = self.held_up.first().copied() {
                self.serve(id, paused);
            }
        }
    }

    /// A peer that was passed over has its turn again, or at least keeps nobody else from being read.
    fn serve(&mut self, id: PeerId, paused: &BTreeSet<PeerId>) {
        self.held_up.retain(|&other| other != id);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.passed_over = false;
            self.stand(id);
        }
        self.read_on(paused);
    }

    fn lose(&mut self, id: PeerId, paused: &BTreeSet<PeerId>) -> Result<(), TestCaseError> {
        let lost = self.forget(id, paused);
        let effects = self.effects();
        let counted = |what| effects.iter().filter(|e| **e == Effect::Count(what)).count();
        prop_assert_eq!(counted(Counter::LostWithPeer), lost.requests.len());
        prop_assert_eq!(counted(Counter::PeerGone), lost.parked.len());
        Ok(())
    }

    fn forget(&mut self, id: PeerId, paused: &BTreeSet<PeerId>) -> Peer {
        let too_much = self.parked() >= self.limit_bytes;
        let lost = self.peers.remove(&id).unwrap();
        self.line.retain(|&other| other != id);
        self.held_up.retain(|&other| other != id);
        self.serve_held_up(too_much, paused);
        self.read_on(paused);
        lost
    }

    fn read_on(&mut self, paused: &BTreeSet<PeerId>) {
        if !self.held_back(paused).is_empty() {
            self.make_way();
        }
    }

    fn make_way(&mut self) {
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            if self.line.is_empty() && !self.is_half_free() && self.rig.world.room_of(id) == 0 {
                let requests = &mut self.peers.get_mut(&id).unwrap().requests;
                self.dropped += requests.len();
                requests.clear();
            }
        }
    }

    /// Takes the effects, and counts off those requests that made way.
    fn effects(&mut self) -> Vec<Effect> {
        let mut effects = self.rig.world.take_effects();
        effects.retain(|effect| {
            let made_way = *effect == Effect::Count(Counter::DroppedOnReceive);
            self.dropped = self.dropped.wrapping_sub(usize::from(made_way));
            !made_way
        });
        effects
    }

    fn paused(&self) -> BTreeSet<PeerId> {
        self.peers.keys().copied().filter(|id| !self.rig.world.is_read(*id)).collect()
    }

    /// Those of `paused` whose own requests leave them room.
    fn held_back(&self, paused: &BTreeSet<PeerId>) -> Vec<PeerId> {
        let share = (self.limit_bytes / 2).max(1);
        let has_room = |peer: &Peer| {
            let few = peer.requests.len() <= self.limit / 2 && peer.waiting() <= share / 2;
            peer.is_open() && few
        };
        let held_back = paused.iter().filter(|id| self.peers.get(id).is_some_and(has_room));
        held_back.copied().collect()
    }

    fn is_half_free(&self) -> bool {
        self.waiting() <= self.limit_bytes / 2
    }

    /// The bytes that the requests of all peers count.
    fn waiting(&self) -> usize {
        self.peers.values().map(Peer::waiting).sum()
    }

    /// The bytes that the parked replies of all peers count.
    fn parked(&self) -> usize {
        self.peers.values().flat_map(|peer| &peer.parked).map(|bytes| bytes.len() + 128).sum()
    }
}

const CONTEXTS: usize = 4;

/// More than the longest request or reply counts.
const LONGEST: usize = 600;

fn check<A: Asked>(mut pair: Pair<A>, ops: Vec<Op>) -> Result<(), TestCaseError> {
    for op in ops {
        pair.apply(op)?;
        let parked = pair.peers.values().map(|peer| peer.parked.len()).max();
        prop_assert!(parked.is_none_or(|most| most <= CONTEXTS), "one per context");
    }
    Ok(())
}

fn policies() -> impl Strategy<Value = WhenFull> {
    prop::sample::select(vec![WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block])
}

proptest! {
    #[test]
    fn rep_agrees_with_lists(
        ttl in 1_u8..9,
        limit in 1_usize..5,
        limit_bytes in prop_oneof![1_usize..2500, Just(1 << 20)],
        when_full in policies(),
        ops in prop::collection::vec(op(), 0..100),
    ) {
        check(Pair::<Requests>::new(ttl, limit, limit_bytes, when_full), ops)?;
    }

    #[test]
    fn respondent_agrees_with_lists(
        ttl in 1_u8..9,
        limit in 1_usize..5,
        limit_bytes in prop_oneof![1_usize..2500, Just(1 << 20)],
        when_full in policies(),
        ops in prop::collection::vec(op(), 0..100),
    ) {
        check(Pair::<Surveys>::new(ttl, limit, limit_bytes, when_full), ops)?;
    }
}
