//! PAIR and PAIR1 against two lists, one each way.

use std::collections::VecDeque;

use proptest::prelude::*;
use sp_core::id::{CtxId, Id as _, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow};
use sp_protocols::engine::testing::{Effect, Rig};
use sp_protocols::engine::{
    Counter, Effects as _, Pair, Pair1, Pair1Options, PairOptions, RecvBlocked, RecvEngine,
    SendEngine,
};

const MAIN: CtxId = CtxId::MAIN;

/// What the two versions differ in.
trait Version: SendEngine + RecvEngine {
    fn options(limits: Limits) -> Self::Options;

    /// What stands in front of a body that is sent.
    const HEADER: &'static [u8];

    /// What may stand in front of one that comes.
    fn header(kind: Kind) -> Vec<u8>;
}

impl Version for Pair {
    const HEADER: &'static [u8] = &[];

    fn options(Limits { recv, send, bytes }: Limits) -> PairOptions {
        PairOptions::new().recv_queue(recv).send_queue(send).queue_bytes(bytes)
    }

    fn header(_kind: Kind) -> Vec<u8> {
        Vec::new()
    }
}

impl Version for Pair1 {
    const HEADER: &'static [u8] = &[0, 0, 0, 1];

    fn options(Limits { recv, send, bytes }: Limits) -> Pair1Options {
        Pair1Options::new().recv_queue(recv).send_queue(send).queue_bytes(bytes)
    }

    fn header(kind: Kind) -> Vec<u8> {
        match kind {
            Kind::Good => vec![0, 0, 0, 8],
            Kind::TooFar => vec![0, 0, 0, 9],
            Kind::Malformed => vec![0, 0, 1, 0],
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    recv: usize,
    send: usize,
    bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Good,
    TooFar,
    Malformed,
}

#[derive(Clone, Debug)]
enum Op {
    Open(usize),
    Close,
    Room(usize),
    Send,
    AbandonSend,
    Arrive(Vec<Kind>),
    Read,
    Recv,
    RecvWaiting,
    AbandonRecv,
}

fn op(kinds: impl Strategy<Value = Kind>) -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0_usize..4).prop_map(Op::Open),
        1 => Just(Op::Close),
        3 => (0_usize..4).prop_map(Op::Room),
        8 => Just(Op::Send),
        1 => Just(Op::AbandonSend),
        4 => prop::collection::vec(kinds, 0..6).prop_map(Op::Arrive),
        3 => Just(Op::Read),
        4 => Just(Op::Recv),
        3 => Just(Op::RecvWaiting),
        1 => Just(Op::AbandonRecv),
    ]
}

/// The engine, and beside it what it should do.
struct Beside<E> {
    rig: Rig<E>,
    limits: Limits,
    partner: Option<Partner>,
    outbox: VecDeque<Vec<u8>>,
    inbox: VecDeque<(PeerId, Vec<u8>)>,
    wanted: Vec<Effect>,
    made: u32,
}

struct Partner {
    peer: PeerId,
    room: usize,
    /// What the engine has not taken, header and body.
    backlog: VecDeque<(Kind, Vec<u8>)>,
}

impl<E: Version> Beside<E> {
    fn new(limits: Limits) -> Self {
        Self {
            rig: Rig::with(E::options(limits)),
            limits,
            partner: None,
            outbox: VecDeque::new(),
            inbox: VecDeque::new(),
            wanted: Vec::new(),
            made: 0,
        }
    }

    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Open(room) if self.partner.is_none() => {
                let peer = self.rig.peer_with_room(room);
                self.partner = Some(Partner { peer, room, backlog: VecDeque::new() });
                self.pass_on();
            }
            Op::Open(_) => {
                let stranger = PeerId::from_parts(u32::MAX - 1, 0);
                let refused = self.rig.engine.opened(stranger, &mut self.rig.world);
                prop_assert_eq!(refused, Err(CloseReason::TooMany { limit: 1 }));
            }
            Op::Close => {
                if let Some(Partner { peer, .. }) = self.partner.take() {
                    self.rig.close(peer);
                }
            }
            Op::Room(more) => {
                if let Some(Partner { peer, room, .. }) = &mut self.partner {
                    *room += more;
                    self.rig.set_room(*peer, *room);
                    self.pass_on();
                }
            }
            Op::Send => self.send()?,
            Op::AbandonSend => self.rig.abandon_send(MAIN),
            Op::Arrive(kinds) => self.arrive(&kinds)?,
            Op::Read => self.read()?,
            Op::Recv => {
                let got = self.rig.recv();
                self.check_received(got)?;
            }
            Op::RecvWaiting => self.recv_waiting()?,
            Op::AbandonRecv => self.rig.abandon_recv(MAIN),
        }
        self.settle()
    }

    fn body(&mut self) -> Vec<u8> {
        self.made += 1;
        let mut body = self.made.to_be_bytes().to_vec();
        body.resize(4 + self.made as usize % 7 * 60, 0);
        body
    }

    fn send(&mut self) -> Result<(), TestCaseError> {
        let body = self.body();
        let framed = [E::HEADER, &body[..]].concat();
        let fits = self.fits();
        prop_assert_eq!(self.rig.send_waiting(MAIN, &body[..]).is_ok(), fits);
        if fits {
            self.outbox.push_back(framed);
            self.pass_on();
        }
        Ok(())
    }

    /// Whether a message may be sent now.
    fn fits(&self) -> bool {
        let cost: usize = self.outbox.iter().map(|framed| framed.len() + 128).sum();
        let queues = self.outbox.len() < self.limits.send && cost < self.limits.bytes;
        let straight = self.outbox.is_empty() && self.partner.as_ref().is_some_and(|p| p.room > 0);
        queues || straight
    }

    /// What waits leaves as far as there is room.
    fn pass_on(&mut self) {
        while let Some(partner) = &mut self.partner
            && partner.room > 0
            && let Some(framed) = self.outbox.pop_front()
        {
            partner.room -= 1;
            self.wanted.push(Effect::Transmit(partner.peer, framed));
        }
    }

    fn arrive(&mut self, kinds: &[Kind]) -> Result<(), TestCaseError> {
        let bodies: Vec<_> = kinds.iter().map(|kind| (*kind, self.body())).collect();
        let Some(partner) = &mut self.partner else { return Ok(()) };
        let framed = bodies.iter().map(|(kind, body)| [E::header(*kind), body.clone()].concat());
        let is_read = self.rig.world.is_read(partner.peer);
        let flow = self.rig.arrive(partner.peer, framed);
        partner.backlog.extend(bodies);
        self.take(is_read, flow)
    }

    fn read(&mut self) -> Result<(), TestCaseError> {
        match &self.partner {
            Some(partner) if self.rig.world.is_read(partner.peer) => {
                let flow = self.rig.read(partner.peer);
                self.take(true, flow)
            }
            _ => Ok(()),
        }
    }

    /// The partner was read if `is_read`: what fits has been taken.
    fn take(&mut self, is_read: bool, flow: Flow) -> Result<(), TestCaseError> {
        let Some(Partner { peer, backlog, .. }) = &mut self.partner else { return Ok(()) };
        let peer = *peer;
        if is_read {
            let mut counts = Vec::new();
            let cost = |inbox: &VecDeque<(PeerId, Vec<u8>)>| -> usize {
                inbox.iter().map(|(_, body)| body.len() + 128).sum()
            };
            while self.inbox.len() < self.limits.recv && cost(&self.inbox) < self.limits.bytes {
                match backlog.pop_front() {
                    None => break,
                    Some((Kind::Good, body)) => self.inbox.push_back((peer, body)),
                    Some((Kind::TooFar, _)) => counts.push(Effect::Count(Counter::HopLimit)),
                    Some((Kind::Malformed, _)) => {
                        let why = CloseReason::BadHeader { protocol: E::SELF };
                        counts.push(Effect::Close(peer, why));
                        self.partner = None;
                        break;
                    }
                }
            }
            self.wanted.extend(counts);
        }
        let left = self.partner.as_ref().map_or(0, |partner| partner.backlog.len());
        prop_assert_eq!(self.rig.world.backlog_of(peer), left);
        prop_assert_eq!(flow == Flow::Pause, left > 0);
        if self.partner.is_none() {
            self.rig.close(peer);
        }
        Ok(())
    }

    fn recv_waiting(&mut self) -> Result<(), TestCaseError> {
        let got = self.rig.recv_waiting(MAIN);
        self.check_received(got)
    }

    fn check_received(&mut self, got: Result<Message, RecvBlocked>) -> Result<(), TestCaseError> {
        match self.inbox.pop_front() {
            None => prop_assert_eq!(got, Err(RecvBlocked::Empty)),
            Some((peer, body)) => {
                let msg = got.unwrap();
                prop_assert_eq!((msg.header(), msg.body()), (&[][..], &body[..]));
                prop_assert_eq!(msg.source(), Some(peer));
            }
        }
        Ok(())
    }

    /// Woken calls try again; then nobody is left waiting for what is there, and nothing was done that was not wanted.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        while self.rig.world.woken_recv().is_some() {
            self.recv_waiting()?;
        }
        while self.rig.world.woken_send().is_some() {
            self.send()?;
        }
        if self.rig.world.recv_waits(MAIN) {
            prop_assert!(self.inbox.is_empty(), "a receive waits beside a message");
        }
        if self.rig.world.send_waits(MAIN) {
            prop_assert!(!self.fits(), "a send waits beside room");
        }
        let paused = |partner: &Partner| !self.rig.world.is_read(partner.peer);
        if self.inbox.is_empty() && self.partner.as_ref().is_some_and(paused) {
            prop_assert!(false, "the partner is paused beside an empty inbox");
        }
        let mut done = self.rig.world.take_effects();
        done.retain(|effect| {
            matches!(effect, Effect::Transmit(..) | Effect::Count(_) | Effect::Close(..))
        });
        prop_assert_eq!(done, std::mem::take(&mut self.wanted));
        Ok(())
    }
}

fn limits() -> impl Strategy<Value = Limits> {
    (1_usize..7, 0_usize..4, 1_usize..2000).prop_map(|(recv, send, bytes)| Limits {
        recv,
        send,
        bytes,
    })
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![18 => Just(Kind::Good), 3 => Just(Kind::TooFar), 1 => Just(Kind::Malformed)]
}

proptest! {
    #[test]
    fn pair_agrees_with_two_lists(
        limits in limits(),
        ops in prop::collection::vec(op(Just(Kind::Good)), 0..80),
    ) {
        let mut beside = Beside::<Pair>::new(limits);
        for op in ops {
            beside.apply(op)?;
        }
    }

    #[test]
    fn pair1_agrees_with_two_lists(
        limits in limits(),
        ops in prop::collection::vec(op(any_kind()), 0..80),
    ) {
        let mut beside = Beside::<Pair1>::new(limits);
        for op in ops {
            beside.apply(op)?;
        }
    }
}
