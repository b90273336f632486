//! PUB against one naive list per peer.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use sp_core::id::PeerId;
use sp_protocols::engine::testing::{Effect, Rig};
use sp_protocols::engine::{Counter, Pub, PubOptions};

#[derive(Clone, Debug)]
enum Op {
    Open(usize),
    Close(usize),
    Room(usize, usize),
    Arrive(usize),
    Send(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (0_usize..4).prop_map(Op::Open),
        1 => any::<usize>().prop_map(Op::Close),
        4 => (any::<usize>(), 0_usize..4).prop_map(|(peer, room)| Op::Room(peer, room)),
        1 => any::<usize>().prop_map(Op::Arrive),
        8 => (1_usize..5).prop_map(Op::Send),
    ]
}

#[derive(Default)]
struct Subscriber {
    room: usize,
    waiting: VecDeque<Vec<u8>>,
    got: Vec<Vec<u8>>,
}

impl Subscriber {
    fn is_full(&self, limit: usize, limit_bytes: usize) -> bool {
        let bytes: usize = self.waiting.iter().map(|body| body.len() + 128).sum();
        self.waiting.len() >= limit || bytes >= limit_bytes
    }

    fn pass_on(&mut self) {
        while self.room > 0 {
            let Some(body) = self.waiting.pop_front() else { break };
            self.got.push(body);
            self.room -= 1;
        }
    }
}

proptest! {
    #[test]
    fn pub_agrees_with_a_list_per_peer(
        limit in 1_usize..5,
        limit_bytes in 1_usize..1500,
        ops in prop::collection::vec(op(), 0..80),
    ) {
        let mut rig = Rig::<Pub>::with(PubOptions::new().queue(limit).queue_bytes(limit_bytes));
        let mut model = BTreeMap::<PeerId, Subscriber>::new();
        let (mut made, mut dropped, mut lost) = (0_u32, 0, 0);
        let mut effects = Vec::new();
        for op in ops {
            let pick = |which: usize| model.keys().nth(which.checked_rem(model.len())?).copied();
            match op {
                Op::Open(room) => {
                    model.insert(rig.peer_with_room(room), Subscriber { room, ..Subscriber::default() });
                }
                Op::Close(which) => if let Some(peer) = pick(which) {
                    lost += model.remove(&peer).unwrap().waiting.len();
                    rig.close(peer);
                    effects.retain(|e| !matches!(e, Effect::Transmit(to, _) if *to == peer));
                }
                Op::Arrive(which) => if let Some(peer) = pick(which) {
                    lost += model.remove(&peer).unwrap().waiting.len();
                    let _ = rig.arrive(peer, ["rogue"]);
                    let seen = rig.world.take_effects();
                    prop_assert!(matches!(seen.last(), Some(Effect::Close(closed, _)) if *closed == peer));
                    effects.extend(seen);
                    effects.retain(|e| !matches!(e, Effect::Transmit(to, _) if *to == peer));
                }
                Op::Room(which, more) => if let Some(peer) = pick(which) {
                    let subscriber = model.get_mut(&peer).unwrap();
                    subscriber.room += more;
                    rig.set_room(peer, subscriber.room);
                    subscriber.pass_on();
                }
                Op::Send(times) => for _ in 0..times {
                    made += 1;
                    let mut body = made.to_be_bytes().to_vec();
                    body.resize(4 + made as usize % 7 * 60, 0);
                    prop_assert!(rig.send(&body[..]).is_ok());
                    for subscriber in model.values_mut() {
                        while subscriber.is_full(limit, limit_bytes) {
                            subscriber.waiting.pop_front();
                            dropped += 1;
                        }
                        subscriber.waiting.push_back(body.clone());
                        subscriber.pass_on();
                    }
                }
            }
            effects.extend(rig.world.take_effects());
            for (peer, subscriber) in &model {
                let got: Vec<_> = effects.iter().filter_map(|effect| match effect {
                    Effect::Transmit(to, bytes) if to == peer => Some(bytes.clone()),
                    _ => None,
                }).collect();
                prop_assert_eq!(&got, &subscriber.got);
            }
            let counted = |what| effects.iter().filter(|e| **e == Effect::Count(what)).count();
            prop_assert_eq!(counted(Counter::DroppedOnSend), dropped);
            prop_assert_eq!(counted(Counter::LostWithPeer), lost);
        }
    }
}
