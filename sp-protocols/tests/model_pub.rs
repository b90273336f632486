//! PUB against one naive list per peer.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use sp_core::id::{CtxId, PeerId};
use sp_core::pipe::CloseReason;
use sp_protocols::engine::testing::{Effect, Rig};
use sp_protocols::engine::{Counter, Pub, PubOptions, WhenSlow};

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

fn policy() -> impl Strategy<Value = WhenSlow> {
    prop_oneof![
        Just(WhenSlow::DropOldest),
        Just(WhenSlow::DropNewest),
        Just(WhenSlow::Block),
        Just(WhenSlow::Disconnect),
    ]
}

#[derive(Default)]
struct Subscriber {
    room: usize,
    waiting: VecDeque<Vec<u8>>,
    got: Vec<Vec<u8>>,
    closing: bool,
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

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    dropped: usize,
    too_slow: usize,
    lost: usize,
}

impl Counts {
    fn add(&mut self, effects: &[Effect]) {
        let counted = |what| effects.iter().filter(|e| **e == Effect::Count(what)).count();
        self.dropped += counted(Counter::DroppedOnSend);
        self.too_slow += counted(Counter::TooSlow);
        self.lost += counted(Counter::LostWithPeer);
    }
}

proptest! {
    #[test]
    fn pub_agrees_with_a_list_per_peer(
        policy in policy(),
        limit in 1_usize..5,
        limit_bytes in 1_usize..1500,
        ops in prop::collection::vec(op(), 0..80),
    ) {
        let options = PubOptions::new().queue(limit).queue_bytes(limit_bytes);
        let mut rig = Rig::<Pub>::with(options.when_slow(policy));
        let mut model = BTreeMap::<PeerId, Subscriber>::new();
        let (mut counts, mut wanted) = (Counts::default(), Counts::default());
        let mut made = 0_u32;
        let mut waiting = 0;
        for op in ops {
            let pick = |which: usize| model.keys().nth(which.checked_rem(model.len())?).copied();
            match op {
                Op::Open(room) => {
                    model.insert(rig.peer_with_room(room), Subscriber { room, ..Subscriber::default() });
                }
                Op::Close(which) => if let Some(peer) = pick(which) {
                    wanted.lost += model.remove(&peer).unwrap().waiting.len();
                    rig.close(peer);
                }
                Op::Arrive(which) => if let Some(peer) = pick(which) {
                    counts.add(&rig.world.take_effects());
                    let _ = rig.arrive(peer, ["rogue"]);
                    let seen = rig.world.take_effects();
                    let closes = seen.iter().any(|e| matches!(e, Effect::Close(p, _) if *p == peer));
                    let was_closing = std::mem::replace(&mut model.get_mut(&peer).unwrap().closing, true);
                    prop_assert_eq!(closes, !was_closing);
                    counts.add(&seen);
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
                    let blocks = policy == WhenSlow::Block
                        && model.values().any(|s| !s.closing && s.is_full(limit, limit_bytes));
                    // A send that has been woken tries again first.
                    waiting -= usize::from(rig.world.woken_send().is_some());
                    let sent = rig.send_waiting(CtxId::MAIN, &body[..]);
                    prop_assert_eq!(sent.is_err(), blocks);
                    waiting += usize::from(blocks);
                    if blocks {
                        continue;
                    }
                    for subscriber in model.values_mut().filter(|s| !s.closing) {
                        if !subscriber.is_full(limit, limit_bytes) {
                            subscriber.waiting.push_back(body.clone());
                        } else if policy == WhenSlow::DropOldest {
                            while subscriber.is_full(limit, limit_bytes) {
                                subscriber.waiting.pop_front();
                                wanted.dropped += 1;
                            }
                            subscriber.waiting.push_back(body.clone());
                        } else if policy == WhenSlow::DropNewest {
                            wanted.dropped += 1;
                        } else {
                            wanted.too_slow += 1;
                            subscriber.closing = true;
                        }
                        subscriber.pass_on();
                    }
                }
            }
            let effects = rig.world.take_effects();
            let ended = effects.iter().filter(|e| matches!(e, Effect::Close(_, CloseReason::TooSlow { .. })));
            let too_slow = effects.iter().filter(|e| **e == Effect::Count(Counter::TooSlow));
            prop_assert_eq!(ended.count(), too_slow.count());
            counts.add(&effects);
            prop_assert_eq!(&counts, &wanted);
            for (peer, subscriber) in &mut model {
                prop_assert_eq!(rig.world.take_broadcasts(*peer), std::mem::take(&mut subscriber.got));
            }
            // A send that waits is woken as soon as nobody is slow.
            let nobody_slow = model.values().all(|s| s.closing || !s.is_full(limit, limit_bytes));
            if waiting > 0 && nobody_slow {
                prop_assert!(rig.world.woken_send().is_some(), "a send waits in vain");
            }
        }
    }
}
