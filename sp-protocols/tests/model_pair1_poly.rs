//! Polyamorous PAIR1 against one list for what has come, and the room that each peer has.

use std::collections::VecDeque;

use proptest::prelude::*;
use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};
use sp_protocols::engine::testing::{Effect, Rig, with_words};
use sp_protocols::engine::{Counter, Effects as _, Pair1Poly, Pair1PolyOptions, SendToBlocked};

#[derive(Clone, Debug)]
enum Op {
    Open(usize),
    Close(usize),
    Room(usize, usize),
    /// To a peer, or to one that has gone.
    SendTo(usize),
    Arrive(usize, Vec<u32>),
    Read(usize),
    RecvWaiting,
    Abandon,
}

fn op() -> impl Strategy<Value = Op> {
    // Hops: mostly few enough, some too many, rarely no hops at all.
    let hops = prop_oneof![18 => 0_u32..=8, 3 => 9_u32..=0xFF, 1 => 0x100_u32..];
    prop_oneof![
        2 => (0_usize..4).prop_map(Op::Open),
        1 => any::<usize>().prop_map(Op::Close),
        3 => (any::<usize>(), 0_usize..4).prop_map(|(peer, room)| Op::Room(peer, room)),
        8 => any::<usize>().prop_map(Op::SendTo),
        4 => (any::<usize>(), prop::collection::vec(hops, 0..6))
            .prop_map(|(peer, hops)| Op::Arrive(peer, hops)),
        4 => any::<usize>().prop_map(Op::Read),
        6 => Just(Op::RecvWaiting),
        1 => Just(Op::Abandon),
    ]
}

struct Peer {
    id: PeerId,
    room: usize,
    /// Hops and number of what the engine has not taken.
    backlog: VecDeque<(u32, u32)>,
}

/// The engine, and beside it what it should do.
struct Beside {
    rig: Rig<Pair1Poly>,
    limit: usize,
    peers: Vec<Peer>,
    gone: Vec<PeerId>,
    inbox: VecDeque<(PeerId, u32)>,
    wanted: Vec<Effect>,
    made: u32,
}

impl Beside {
    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        let which = |which: usize| which.checked_rem(self.peers.len());
        match op {
            Op::Open(room) => {
                let id = self.rig.peer_with_room(room);
                self.peers.push(Peer { id, room, backlog: VecDeque::new() });
            }
            Op::Close(at) => {
                if let Some(at) = which(at) {
                    self.close(at);
                }
            }
            Op::Room(at, more) => {
                if let Some(at) = which(at) {
                    let Peer { id, room, .. } = &mut self.peers[at];
                    *room += more;
                    self.rig.set_room(*id, *room);
                }
            }
            Op::SendTo(at) => self.send_to(at)?,
            Op::Arrive(at, hops) => {
                if let Some(at) = which(at) {
                    self.arrive(at, &hops)?;
                }
            }
            Op::Read(at) => {
                if let Some(at) = which(at)
                    && self.rig.world.is_read(self.peers[at].id)
                {
                    let flow = self.rig.read(self.peers[at].id);
                    self.take(at, true, flow)?;
                }
            }
            Op::RecvWaiting => self.recv_waiting()?,
            Op::Abandon => self.rig.abandon_recv(CtxId::MAIN),
        }
        self.settle()
    }

    fn close(&mut self, at: usize) {
        let Peer { id, .. } = self.peers.remove(at);
        self.rig.close(id);
        self.gone.push(id);
    }

    fn send_to(&mut self, at: usize) -> Result<(), TestCaseError> {
        self.made += 1;
        let mut msg = Message::from(self.made.to_be_bytes());
        let here = self.peers.len();
        let Some(at) = at.checked_rem(here + self.gone.len()) else { return Ok(()) };
        let peer = self.peers.get(at).map_or_else(|| self.gone[at - here], |peer| peer.id);
        let sent = self.rig.engine.send_to(peer, &mut msg, &mut self.rig.world);
        match self.peers.get_mut(at) {
            None => prop_assert_eq!(sent, Err(SendToBlocked::PeerGone)),
            Some(Peer { room: 0, .. }) => prop_assert_eq!(sent, Err(SendToBlocked::Full)),
            Some(Peer { id, room, .. }) => {
                prop_assert_eq!(sent, Ok(()));
                *room -= 1;
                let framed = with_words(&[1], self.made.to_be_bytes());
                self.wanted.push(Effect::Transmit(*id, framed));
            }
        }
        if sent.is_err() {
            prop_assert_eq!((msg.header(), msg.body()), (&[][..], &self.made.to_be_bytes()[..]));
        }
        Ok(())
    }

    fn arrive(&mut self, at: usize, hops: &[u32]) -> Result<(), TestCaseError> {
        let numbers = self.made..;
        self.made += hops.len() as u32;
        let messages: Vec<_> = hops.iter().copied().zip(numbers).collect();
        let framed = messages.iter().map(|(hops, n)| with_words(&[*hops], n.to_be_bytes()));
        let peer = &mut self.peers[at];
        let is_read = self.rig.world.is_read(peer.id);
        let flow = self.rig.arrive(peer.id, framed);
        peer.backlog.extend(messages);
        self.take(at, is_read, flow)
    }

    /// The peer was read if `is_read`: what fits has been taken.
    fn take(&mut self, at: usize, is_read: bool, flow: Flow) -> Result<(), TestCaseError> {
        let Peer { id, backlog, .. } = &mut self.peers[at];
        let (id, mut malformed) = (*id, false);
        while is_read
            && !malformed
            && self.inbox.len() < self.limit
            && let Some((hops, number)) = backlog.pop_front()
        {
            match hops {
                ..=8 => self.inbox.push_back((id, number)),
                9..=0xFF => self.wanted.push(Effect::Count(Counter::HopLimit)),
                _ => malformed = true,
            }
        }
        if malformed {
            let why = CloseReason::BadHeader { protocol: ProtocolId::PAIR1 };
            self.wanted.push(Effect::Close(id, why));
            prop_assert_eq!((flow, self.rig.world.backlog_of(id)), (Flow::More, 0));
            self.close(at);
        } else {
            prop_assert_eq!(self.rig.world.backlog_of(id), backlog.len());
            prop_assert_eq!(flow == Flow::Pause, !backlog.is_empty());
        }
        Ok(())
    }

    fn recv_waiting(&mut self) -> Result<(), TestCaseError> {
        let got = self.rig.recv_waiting(CtxId::MAIN).ok();
        let got = got.map(|msg| (msg.source().unwrap(), msg.body().to_vec()));
        let wanted = self.inbox.pop_front();
        prop_assert_eq!(got, wanted.map(|(peer, number)| (peer, number.to_be_bytes().to_vec())));
        Ok(())
    }

    /// Woken calls try again; then nobody waits in vain, and nothing was done that was not wanted.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        while self.rig.world.woken_recv().is_some() {
            self.recv_waiting()?;
        }
        if self.rig.world.recv_waits(CtxId::MAIN) {
            prop_assert!(self.inbox.is_empty(), "a receive waits beside a message");
        }
        let is_read = |peer: &Peer| self.rig.world.is_read(peer.id);
        if self.inbox.is_empty() && !self.peers.iter().all(is_read) {
            let brings = |peer: &Peer| is_read(peer) && !peer.backlog.is_empty();
            prop_assert!(self.peers.iter().any(brings), "all are paused beside an empty inbox");
        }
        let mut done = self.rig.world.take_effects();
        done.retain(|effect| {
            matches!(effect, Effect::Transmit(..) | Effect::Count(_) | Effect::Close(..))
        });
        prop_assert_eq!(done, std::mem::take(&mut self.wanted));
        Ok(())
    }
}

proptest! {
    #[test]
    fn poly_agrees_with_a_list(
        limit in 1_usize..7,
        ops in prop::collection::vec(op(), 0..80),
    ) {
        let mut beside = Beside {
            rig: Rig::with(Pair1PolyOptions::new().queue(limit)),
            limit,
            peers: Vec::new(),
            gone: Vec::new(),
            inbox: VecDeque::new(),
            wanted: Vec::new(),
            made: 0,
        };
        for op in ops {
            beside.apply(op)?;
        }
    }
}
