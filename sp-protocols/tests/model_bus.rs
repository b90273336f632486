//! BUS against one naive list per neighbour, and one for what has come.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use sp_core::id::{CtxId, PeerId};
use sp_core::pipe::{CloseReason, Flow};
use sp_protocols::engine::testing::{Effect, Rig};
use sp_protocols::engine::{Bus, BusOptions, Counter, Effects as _, WhenFull, WhenSlow};

#[derive(Clone, Debug)]
enum Op {
    Open(usize),
    Close(usize),
    Room(usize, usize),
    Send(usize),
    Arrive(usize, usize),
    Read(usize),
    RecvWaiting,
    Abandon,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (0_usize..4).prop_map(Op::Open),
        1 => any::<usize>().prop_map(Op::Close),
        4 => (any::<usize>(), 0_usize..4).prop_map(|(peer, room)| Op::Room(peer, room)),
        6 => (1_usize..5).prop_map(Op::Send),
        5 => (any::<usize>(), 0_usize..6).prop_map(|(peer, n)| Op::Arrive(peer, n)),
        3 => any::<usize>().prop_map(Op::Read),
        6 => Just(Op::RecvWaiting),
        1 => Just(Op::Abandon),
    ]
}

#[derive(Default)]
struct Neighbour {
    room: usize,
    waiting: VecDeque<Vec<u8>>,
    got: Vec<Vec<u8>>,
    closing: bool,
    /// What it has sent and what was not taken.
    outside: VecDeque<Vec<u8>>,
}

impl Neighbour {
    fn pass_on(&mut self) {
        while self.room > 0
            && let Some(body) = self.waiting.pop_front()
        {
            self.got.push(body);
            self.room -= 1;
        }
    }
}

fn is_full<'a>(
    queue: impl ExactSizeIterator<Item = &'a Vec<u8>>,
    limit: usize,
    limit_bytes: usize,
) -> bool {
    queue.len() >= limit || queue.map(|body| body.len() + 128).sum::<usize>() >= limit_bytes
}

proptest! {
    #[test]
    fn bus_agrees_with_a_list_per_neighbour(
        recv in 1_usize..5,
        send in 1_usize..5,
        limit_bytes in 1_usize..1500,
        when_full in prop::sample::select(vec![
            WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block,
        ]),
        when_slow in prop::sample::select(vec![
            WhenSlow::DropOldest, WhenSlow::DropNewest, WhenSlow::Block, WhenSlow::Disconnect,
        ]),
        ops in prop::collection::vec(op(), 0..80),
    ) {
        let options = BusOptions::new().recv_queue(recv).send_queue(send).queue_bytes(limit_bytes);
        let mut rig = Rig::<Bus>::with(options.when_full(when_full).when_slow(when_slow));
        let mut model = BTreeMap::<PeerId, Neighbour>::new();
        let mut inbox = VecDeque::<(PeerId, Vec<u8>)>::new();
        let (mut made, mut senders) = (0_u32, 0);
        let mut body = || {
            made += 1;
            let mut body = made.to_be_bytes().to_vec();
            body.resize(4 + made as usize % 7 * 60, 0);
            body
        };
        for op in ops {
            let pick = |which: usize| model.keys().nth(which.checked_rem(model.len())?).copied();
            let (mut missed, mut lost, mut dropped, mut too_slow) = (0, 0, 0, 0);
            let (mut read, mut flow) = (None, Flow::More);
            match op {
                Op::Open(room) => {
                    let peer = rig.peer_with_room(room);
                    model.insert(peer, Neighbour { room, ..Neighbour::default() });
                }
                Op::Close(which) => if let Some(peer) = pick(which) {
                    lost = model.remove(&peer).unwrap().waiting.len();
                    rig.close(peer);
                }
                Op::Room(which, more) => if let Some(peer) = pick(which) {
                    let neighbour = model.get_mut(&peer).unwrap();
                    neighbour.room += more;
                    rig.set_room(peer, neighbour.room);
                    neighbour.pass_on();
                }
                Op::Send(times) => for _ in 0..times {
                    let body = body();
                    let is_slow = |at: &Neighbour| !at.closing && is_full(at.waiting.iter(), send, limit_bytes);
                    let waits = when_slow == WhenSlow::Block && model.values().any(is_slow);
                    // A send that has been woken tries again first.
                    senders -= usize::from(rig.world.woken_send().is_some());
                    prop_assert_eq!(rig.send_waiting(CtxId::MAIN, &body[..]).is_err(), waits);
                    senders += usize::from(waits);
                    for neighbour in model.values_mut().filter(|at| !waits && !at.closing) {
                        if is_slow(neighbour) && when_slow == WhenSlow::Disconnect {
                            too_slow += 1;
                            neighbour.closing = true;
                            continue;
                        }
                        while when_slow == WhenSlow::DropOldest && is_slow(neighbour) {
                            missed += usize::from(neighbour.waiting.pop_front().is_some());
                        }
                        if is_slow(neighbour) {
                            missed += 1;
                        } else {
                            neighbour.waiting.push_back(body.clone());
                            neighbour.pass_on();
                        }
                    }
                }
                Op::Arrive(which, n) => if let Some(peer) = pick(which) {
                    let bodies: Vec<_> = (0..n).map(|_| body()).collect();
                    model.get_mut(&peer).unwrap().outside.extend(bodies.iter().cloned());
                    read = rig.world.is_read(peer).then_some(peer);
                    flow = rig.arrive(peer, bodies);
                }
                Op::Read(which) => {
                    read = pick(which).filter(|peer| rig.world.is_read(*peer));
                    flow = read.map_or(Flow::More, |peer| rig.read(peer));
                }
                Op::RecvWaiting => {
                    let got = rig.recv_waiting(CtxId::MAIN).ok();
                    let got = got.map(|msg| (msg.source().unwrap(), msg.body().to_vec()));
                    prop_assert_eq!(got, inbox.pop_front());
                }
                Op::Abandon => rig.abandon_recv(CtxId::MAIN),
            }
            if let Some(peer) = read {
                let outside = &mut model.get_mut(&peer).unwrap().outside;
                let is_full = |inbox: &VecDeque<(PeerId, Vec<u8>)>| {
                    is_full(inbox.iter().map(|(_, body)| body), recv, limit_bytes)
                };
                while (when_full != WhenFull::Block || !is_full(&inbox))
                    && let Some(body) = outside.pop_front()
                {
                    while when_full == WhenFull::DropOldest && is_full(&inbox) {
                        dropped += usize::from(inbox.pop_front().is_some());
                    }
                    if is_full(&inbox) {
                        dropped += 1;
                    } else {
                        inbox.push_back((peer, body));
                    }
                }
                prop_assert_eq!(flow == Flow::Pause, !outside.is_empty());
                prop_assert_eq!(rig.world.backlog_of(peer), outside.len());
            }
            while rig.world.woken_recv().is_some() {
                let got = rig.recv_waiting(CtxId::MAIN).ok().map(|msg| msg.body().to_vec());
                prop_assert_eq!(got, inbox.pop_front().map(|(_, body)| body));
            }
            prop_assert!(!rig.world.recv_waits(CtxId::MAIN) || inbox.is_empty());
            let is_paused = |peer: &PeerId| !rig.world.is_read(*peer);
            let can_bring = |(peer, at): (&PeerId, &Neighbour)| !is_paused(peer) && !at.outside.is_empty();
            prop_assert!(
                !inbox.is_empty() || !model.keys().any(is_paused) || model.iter().any(can_bring),
                "all are paused beside an empty inbox"
            );
            for (peer, neighbour) in &mut model {
                prop_assert_eq!(rig.world.take_broadcasts(*peer), std::mem::take(&mut neighbour.got));
            }
            let effects = rig.world.take_effects();
            let counted = |what| effects.iter().filter(|e| **e == Effect::Count(what)).count();
            let ended = effects.iter().filter(|e| matches!(e, Effect::Close(_, CloseReason::TooSlow { .. })));
            prop_assert_eq!((ended.count(), counted(Counter::TooSlow)), (too_slow, too_slow));
            prop_assert_eq!(counted(Counter::DroppedOnSend), missed);
            prop_assert_eq!(counted(Counter::LostWithPeer), lost);
            prop_assert_eq!(counted(Counter::DroppedOnReceive), dropped);
            // A send that waits is woken as soon as nobody is slow.
            let is_slow = |at: &Neighbour| !at.closing && is_full(at.waiting.iter(), send, limit_bytes);
            if senders > 0 && !model.values().any(is_slow) {
                prop_assert!(rig.world.woken_send().is_some(), "a send waits in vain");
            }
        }
    }
}
