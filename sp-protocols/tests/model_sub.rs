//! SUB against trying every topic on every message.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;
use sp_core::id::CtxId;
use sp_core::pipe::Flow;
use sp_protocols::engine::testing::Rig;
use sp_protocols::engine::{Counter, Effects as _, RecvBlocked, Sub, SubOptions};

const MAIN: CtxId = CtxId::MAIN;

#[derive(Clone, Debug)]
enum Op {
    Subscribe(Vec<u8>),
    Unsubscribe(Vec<u8>),
    Arrive(Vec<Vec<u8>>),
    Recv,
    RecvWaiting,
    Missed,
}

/// Two letters and short texts, so that topics match and begin one another.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0_u8..2, 0..4)
}

/// A text, and behind it what no topic asks for.
fn body() -> impl Strategy<Value = Vec<u8>> {
    (text(), 0_usize..400).prop_map(|(mut body, more)| {
        body.resize(body.len() + more, 2);
        body
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => text().prop_map(Op::Subscribe),
        2 => text().prop_map(Op::Unsubscribe),
        4 => prop::collection::vec(body(), 0..6).prop_map(Op::Arrive),
        4 => Just(Op::Recv),
        2 => Just(Op::RecvWaiting),
        1 => Just(Op::Missed),
    ]
}

proptest! {
    #[test]
    fn sub_agrees_with_trying_every_topic(
        limit in 1_usize..5,
        limit_bytes in 1_usize..1500,
        prefer_new: bool,
        ops in prop::collection::vec(op(), 0..80),
    ) {
        let options = SubOptions::new().queue(limit).queue_bytes(limit_bytes);
        let mut rig = Rig::<Sub>::with(options.prefer_new(prefer_new));
        let publisher = rig.peer();
        let mut topics = BTreeSet::<Vec<u8>>::new();
        let mut inbox = VecDeque::<Vec<u8>>::new();
        let is_full = |inbox: &VecDeque<Vec<u8>>| {
            let bytes: usize = inbox.iter().map(|body| body.len() + 128).sum();
            inbox.len() >= limit || bytes >= limit_bytes
        };
        let (mut missed, mut unwanted, mut dropped) = (0, 0, 0);
        for op in ops {
            match op {
                Op::Subscribe(topic) => {
                    prop_assert_eq!(rig.engine.subscribe(MAIN, &topic), topics.insert(topic));
                }
                Op::Unsubscribe(topic) => {
                    let there = rig.engine.unsubscribe(MAIN, &topic, &mut rig.world);
                    prop_assert_eq!(there, topics.remove(&topic));
                    let before = inbox.len();
                    inbox.retain(|body| topics.iter().any(|topic| body.starts_with(topic)));
                    unwanted += before - inbox.len();
                }
                Op::Arrive(bodies) => {
                    prop_assert_eq!(rig.arrive(publisher, bodies.clone()), Flow::More);
                    for body in bodies {
                        if !topics.iter().any(|topic| body.starts_with(topic)) {
                            unwanted += 1;
                            continue;
                        }
                        let before = inbox.len();
                        while prefer_new && is_full(&inbox) {
                            inbox.pop_front();
                        }
                        let mut lost = before - inbox.len();
                        if is_full(&inbox) {
                            lost += 1;
                        } else {
                            inbox.push_back(body);
                        }
                        missed += lost as u64;
                        dropped += lost;
                    }
                }
                Op::Recv => {
                    let wanted = inbox.pop_front().ok_or(RecvBlocked::Empty);
                    prop_assert_eq!(rig.recv().map(|msg| msg.body().to_vec()), wanted);
                }
                Op::RecvWaiting => {
                    let wanted = inbox.pop_front().ok_or(RecvBlocked::Empty);
                    prop_assert_eq!(rig.recv_waiting(MAIN).map(|msg| msg.body().to_vec()), wanted);
                }
                Op::Missed => {
                    prop_assert_eq!(rig.engine.missed(MAIN), std::mem::take(&mut missed));
                }
            }
            while rig.world.woken_recv().is_some() {
                let wanted = inbox.pop_front().ok_or(RecvBlocked::Empty);
                prop_assert_eq!(rig.recv_waiting(MAIN).map(|msg| msg.body().to_vec()), wanted);
            }
            prop_assert!(inbox.is_empty() || !rig.world.recv_waits(MAIN));
            for counter in rig.counted() {
                match counter {
                    Counter::Unwanted => unwanted -= 1,
                    Counter::DroppedOnReceive => dropped -= 1,
                    other => prop_assert!(false, "{other:?} counted"),
                }
            }
            prop_assert_eq!((unwanted, dropped), (0, 0));
        }
    }
}
