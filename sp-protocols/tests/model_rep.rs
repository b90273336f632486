//! REP against lists of what waits for and from each peer.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use sp_core::id::{CtxId, PeerId};
use sp_protocols::engine::testing::{Effect, Rig, with_words};
use sp_protocols::engine::{Counter, Effects as _, RecvBlocked, Rep, RepOptions, SendBlocked};

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
    let whole = (words, any::<u32>(), prop::collection::vec(any::<u8>(), 0..6)).prop_map(
        |(mut words, id, body)| {
            words.push(id | END_BIT);
            with_words(&words, body)
        },
    );
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
}

/// The engine, and beside it what it should do.
struct Pair {
    rig: Rig<Rep>,
    ttl: usize,
    limit: usize,
    peers: BTreeMap<PeerId, Peer>,
    /// What each context holds: whose request, and its header.
    contexts: BTreeMap<CtxId, Option<(PeerId, Vec<u8>)>>,
    made: u32,
}

impl Pair {
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
                    self.rig.close(peer);
                    let lost = self.peers.remove(&peer).unwrap();
                    self.check_counts(&lost)?;
                }
            }
            Op::Room(which, more) => {
                if let Some(peer) = peer(which) {
                    self.room(peer, more)?;
                }
            }
            Op::OpenCtx if self.contexts.len() < 4 => {
                self.contexts.insert(self.rig.open_ctx(), None);
            }
            Op::CloseCtx(which) => {
                let ctx = ctx(which);
                self.contexts.remove(&ctx);
                if ctx == CtxId::MAIN {
                    self.contexts.insert(ctx, None);
                }
                self.rig.close_ctx(ctx);
            }
            Op::Arrive(which, requests) => {
                if let Some(peer) = peer(which) {
                    let is_read = self.rig.world.is_read(peer);
                    self.peers.get_mut(&peer).unwrap().backlog.extend(requests.clone());
                    let _ = self.rig.arrive(peer, requests);
                    self.take(peer, is_read)?;
                }
            }
            Op::Read(which) => {
                if let Some(peer) = peer(which)
                    && self.rig.world.is_read(peer)
                {
                    let _ = self.rig.read(peer);
                    self.take(peer, true)?;
                }
            }
            Op::Recv(which, wait) => self.recv(ctx(which), wait)?,
            Op::Abandon(which) => self.rig.abandon_recv(ctx(which)),
            Op::Send(which) => self.send(ctx(which))?,
            Op::OpenCtx => {}
        }
        self.settle()
    }

    /// The peer was read if `is_read`: what fits has been taken, or it was broken and closed.
    fn take(&mut self, at: PeerId, is_read: bool) -> Result<(), TestCaseError> {
        let peer = self.peers.get_mut(&at).unwrap();
        let (mut too_far, mut broken) = (0, false);
        while is_read && !broken && peer.requests.len() < self.limit {
            let Some(bytes) = peer.backlog.pop_front() else { break };
            match parse(&bytes, self.ttl) {
                Parsed::Whole(request) => peer.requests.push_back(request),
                Parsed::TooFar => too_far += 1,
                Parsed::Broken => broken = true,
            }
        }
        let effects = self.rig.world.take_effects();
        let counted = |what| effects.iter().filter(|e| **e == Effect::Count(what)).count();
        prop_assert_eq!(counted(Counter::HopLimit), too_far);
        let closed = effects.iter().any(|e| matches!(e, Effect::Close(closed, _) if *closed == at));
        prop_assert_eq!(closed, broken);
        if broken {
            prop_assert_eq!(counted(Counter::LostWithPeer), peer.requests.len());
            self.peers.remove(&at);
            self.rig.close(at);
        } else {
            prop_assert_eq!(self.rig.world.backlog_of(at), peer.backlog.len());
        }
        Ok(())
    }

    fn room(&mut self, at: PeerId, more: usize) -> Result<(), TestCaseError> {
        self.rig.world.take_effects();
        let room = self.rig.world.room_of(at) + more;
        self.rig.set_room(at, room);
        let parked = &mut self.peers.get_mut(&at).unwrap().parked;
        let leaves = parked.drain(..room.min(parked.len()));
        let wanted: Vec<_> = leaves.map(|bytes| (at, bytes)).collect();
        prop_assert_eq!(self.rig.transmitted(), wanted);
        Ok(())
    }

    fn recv(&mut self, ctx: CtxId, wait: bool) -> Result<(), TestCaseError> {
        let got = if wait { self.rig.recv_waiting(ctx) } else { self.rig.recv_in(ctx) };
        let Ok(msg) = got else {
            prop_assert_eq!(got, Err(RecvBlocked::Empty));
            prop_assert!(!self.has_ready(), "empty beside a request");
            return Ok(());
        };
        let from = msg.source().unwrap();
        let peer = self.peers.get_mut(&from).unwrap();
        prop_assert!(
            peer.parked.is_empty(),
            "a request of {from}, which does not read its replies"
        );
        let (header, body) = peer.requests.pop_front().unwrap();
        prop_assert_eq!(msg.body(), body);
        self.contexts.insert(ctx, Some((from, header)));
        Ok(())
    }

    fn send(&mut self, ctx: CtxId) -> Result<(), TestCaseError> {
        self.rig.world.take_effects();
        self.made += 1;
        let body = self.made.to_be_bytes();
        let held = self.contexts.insert(ctx, None).flatten();
        let room = held.as_ref().map_or(0, |(peer, _)| self.rig.world.room_of(*peer));
        let sent = self.rig.send_in(ctx, body);
        let Some((to, header)) = held else {
            prop_assert!(matches!(sent, Err(SendBlocked::State(msg)) if msg.body() == body));
            return Ok(());
        };
        prop_assert!(sent.is_ok());
        let effects = self.rig.world.take_effects();
        let bytes = [&header[..], &body].concat();
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
        }
        Ok(())
    }

    /// Woken calls try again; then nobody waits for what is there, and nobody is paused without need.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        while let Some(ctx) = self.rig.world.woken_recv() {
            self.recv(ctx, true)?;
        }
        let has_ready = self.has_ready();
        for &ctx in self.contexts.keys() {
            prop_assert!(
                !self.rig.world.recv_waits(ctx) || !has_ready,
                "{ctx} waits beside a request"
            );
        }
        for (&id, peer) in &self.peers {
            let half = peer.requests.len() <= self.limit / 2;
            prop_assert!(
                self.rig.world.is_read(id) || !half,
                "{id} is paused with half of its queue free"
            );
        }
        Ok(())
    }

    fn has_ready(&self) -> bool {
        self.peers.values().any(|peer| peer.parked.is_empty() && !peer.requests.is_empty())
    }

    fn check_counts(&mut self, lost: &Peer) -> Result<(), TestCaseError> {
        let counted = self.rig.counted();
        let count = |what| counted.iter().filter(|counted| **counted == what).count();
        prop_assert_eq!(count(Counter::LostWithPeer), lost.requests.len());
        prop_assert_eq!(count(Counter::PeerGone), lost.parked.len());
        Ok(())
    }
}

proptest! {
    #[test]
    fn rep_agrees_with_lists(
        ttl in 1_u8..9,
        limit in 1_usize..5,
        ops in prop::collection::vec(op(), 0..100),
    ) {
        let mut pair = Pair {
            rig: Rig::with(RepOptions::new().ttl(ttl).queue(limit)),
            ttl: usize::from(ttl),
            limit,
            peers: BTreeMap::new(),
            contexts: BTreeMap::from([(CtxId::MAIN, None)]),
            made: 0,
        };
        for op in ops {
            pair.apply(op)?;
            prop_assert!(pair.peers.values().all(|peer| peer.parked.len() <= 4), "one per context");
        }
    }
}
