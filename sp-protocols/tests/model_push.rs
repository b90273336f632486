//! PUSH against a table of who has room.

use proptest::prelude::*;
use sp_core::id::{CtxId, PeerId};
use sp_protocols::engine::testing::{Rig, Unsent};
use sp_protocols::engine::{Effects as _, Push, PushOptions};

#[derive(Clone, Debug)]
enum Op {
    Open(usize),
    Close(usize),
    Room(usize, usize),
    Arrive(usize),
    Send,
    SendWaiting,
    Abandon,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (0_usize..4).prop_map(Op::Open),
        1 => any::<usize>().prop_map(Op::Close),
        4 => (any::<usize>(), 0_usize..4).prop_map(|(peer, room)| Op::Room(peer, room)),
        1 => any::<usize>().prop_map(Op::Arrive),
        6 => Just(Op::Send),
        4 => Just(Op::SendWaiting),
        1 => Just(Op::Abandon),
    ]
}

struct Pair {
    rig: Rig<Push>,
    /// A send without a peer fails.
    fails: bool,
    peers: Vec<PeerId>,
    made: u32,
}

impl Pair {
    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        let pick = |which: usize| self.peers.get(which.checked_rem(self.peers.len())?).copied();
        match op {
            Op::Open(room) => self.peers.push(self.rig.peer_with_room(room)),
            Op::Close(which) => {
                if let Some(peer) = pick(which) {
                    self.peers.retain(|other| *other != peer);
                    self.rig.close(peer);
                }
            }
            Op::Room(which, more) => {
                if let Some(peer) = pick(which) {
                    self.rig.set_room(peer, self.rig.world.room_of(peer) + more);
                }
            }
            Op::Arrive(which) => {
                if let Some(peer) = pick(which) {
                    let _ = self.rig.arrive(peer, [&b""[..], b"garbage"]);
                }
            }
            Op::Send => self.send(false)?,
            Op::SendWaiting => self.send(true)?,
            Op::Abandon => self.rig.abandon_send(CtxId::MAIN),
        }
        while self.rig.world.woken_send().is_some() {
            self.send(true)?;
        }
        if self.rig.world.send_waits(CtxId::MAIN) {
            prop_assert_eq!(self.room(), 0, "a send waits beside room");
            prop_assert!(!self.is_lacking(), "a send waits although no peer is left");
        }
        Ok(())
    }

    /// Goes to exactly one peer, and that had room; or comes back because none has, or because there is none.
    fn send(&mut self, waiting: bool) -> Result<(), TestCaseError> {
        self.rig.world.take_effects();
        self.made += 1;
        let (body, room) = (self.made.to_be_bytes(), self.room());
        let sent =
            if waiting { self.rig.send_waiting(CtxId::MAIN, body) } else { self.rig.send(body) };
        let transmitted = self.rig.transmitted();
        match sent {
            Ok(()) => {
                prop_assert!(room > 0);
                prop_assert_eq!(transmitted.len(), 1);
                prop_assert_eq!(&transmitted[0].1[..], body);
            }
            Err(Unsent::Full(msg)) => {
                prop_assert_eq!(room, 0);
                prop_assert!(!self.is_lacking());
                prop_assert!(transmitted.is_empty());
                prop_assert_eq!(msg.body(), body);
            }
            Err(Unsent::NoPeer(msg)) => {
                prop_assert!(self.is_lacking());
                prop_assert_eq!(msg.body(), body);
            }
            Err(unsent) => prop_assert!(false, "{:?}", unsent),
        }
        Ok(())
    }

    fn is_lacking(&self) -> bool {
        self.fails && self.peers.is_empty()
    }

    fn room(&self) -> usize {
        self.peers.iter().map(|peer| self.rig.world.room_of(*peer)).sum()
    }
}

proptest! {
    #[test]
    fn push_sends_wherever_there_is_room_and_only_there(fails: bool, ops in prop::collection::vec(op(), 0..80)) {
        let rig = Rig::with(PushOptions::new().fail_without_peer(fails));
        let mut pair = Pair { rig, fails, peers: Vec::new(), made: 0 };
        for op in ops {
            pair.apply(op)?;
        }
    }

    #[test]
    fn push_gives_ready_peers_equal_shares(peers in 1_usize..9, messages in 0_usize..99) {
        let mut rig = Rig::<Push>::new();
        let peers: Vec<_> = (0..peers).map(|_| rig.peer()).collect();
        for _ in 0..messages {
            prop_assert!(rig.send("job").is_ok());
        }
        let sent = rig.transmitted();
        for peer in &peers {
            let share = sent.iter().filter(|(to, _)| to == peer).count();
            prop_assert!(share.abs_diff(messages / peers.len()) <= 1);
        }
    }
}
