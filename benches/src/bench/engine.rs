//! The patterns' state machines by themselves: what a message costs before any lock, queue or system call.

use std::hint::black_box;
use std::mem;
use std::time::Instant;

use sp::{BusOptions, CloseReason, Message, PeerId, PubOptions, RepOptions, ReqOptions};
use sp_core::batch::Batch;
use sp_core::id::{CtxId, Id as _, TimerKey};
use sp_core::pipe::Backlog;
use sp_core::pipe::Flow;
use sp_protocols::engine::{
    Bus, Counter, Effects, Engine, Pair, Pair1, Pub, Pull, Push, RecvEngine, Rep, Req, SendEngine,
    Sub, SubOptions,
};

use super::metric::{
    ENGINE_BUS, ENGINE_PAIR, ENGINE_PAIR1, ENGINE_PUB_SUB, ENGINE_PUSH_PULL, ENGINE_REQ_REP,
};
use super::pool::nanos_each;
use super::{Cell, Figures};
use crate::error::{Error, Result};
use crate::peer::Variant;
use crate::sys;

/// One round of all the figures.
pub(super) fn measure(cell: &Cell, variant: Variant) -> Result<Figures> {
    if variant != Variant::Sp {
        return Err(Error::NoPeers);
    }
    Ok(vec![
        (ENGINE_REQ_REP, req_rep(cell)),
        (ENGINE_PUSH_PULL, one_way::<Push, Pull>(cell)),
        (ENGINE_PUB_SUB, pub_sub(cell)),
        (ENGINE_PAIR, one_way::<Pair, Pair>(cell)),
        (ENGINE_PAIR1, one_way::<Pair1, Pair1>(cell)),
        (ENGINE_BUS, bus(cell)),
    ])
}

fn req_rep(cell: &Cell) -> f64 {
    let mut req = Side::new(Req::new(ReqOptions::default(), 1), 1);
    let mut rep = Side::new(Rep::new(RepOptions::default(), 2), 1);
    let body = vec![7; cell.size];
    nanos_each(cell.time / PARTS, 1, || {
        let mut msg = Message::from(&body[..]);
        let _ = req.engine.try_send(CtxId::MAIN, &mut msg, &mut req.world);
        req.world.pass_on(&mut rep);
        if rep.engine.try_recv(CtxId::MAIN, &mut msg, &mut rep.world).is_ok() {
            let _ = rep.engine.try_send(CtxId::MAIN, &mut msg, &mut rep.world);
        }
        rep.world.pass_on(&mut req);
        let answered = req.engine.try_recv(CtxId::MAIN, &mut msg, &mut req.world);
        assert!(answered.is_ok(), "every question is answered");
        black_box(msg);
    })
}

fn one_way<S: SendEngine, R: RecvEngine>(cell: &Cell) -> f64 {
    let mut from = Side::new(S::new(S::Options::default(), 1), 1);
    let mut to = Side::new(R::new(R::Options::default(), 2), 1);
    let body = vec![7; cell.size];
    nanos_each(cell.time / PARTS, BATCH, || {
        for _ in 0..BATCH {
            let mut msg = Message::from(&body[..]);
            let _ = from.engine.try_send(CtxId::MAIN, &mut msg, &mut from.world);
        }
        from.world.pass_on(&mut to);
        for _ in 0..BATCH {
            let mut msg = Message::new();
            let came = to.engine.try_recv(CtxId::MAIN, &mut msg, &mut to.world);
            assert!(came.is_ok(), "every message arrives");
            black_box(msg);
        }
    })
}

fn pub_sub(cell: &Cell) -> f64 {
    let mut sub = Sub::new(SubOptions::default(), 2);
    sub.subscribe(CtxId::MAIN, b"");
    to_many(cell, Pub::new(PubOptions::default(), 1), sub)
}

fn bus(cell: &Cell) -> f64 {
    let bus = |seed| Bus::new(BusOptions::default(), seed);
    to_many(cell, bus(1), bus(2))
}

/// One that sends to as many as the cell says, one of which receives.
fn to_many(cell: &Cell, from: impl SendEngine, to: impl RecvEngine) -> f64 {
    let (mut from, mut to) = (Side::new(from, cell.many), Side::new(to, 1));
    let body = vec![7; cell.size];
    nanos_each(cell.time / PARTS, cell.many, || {
        let mut msg = Message::from(&body[..]);
        let _ = from.engine.try_send(CtxId::MAIN, &mut msg, &mut from.world);
        from.world.pass_on(&mut to);
        while to.engine.try_recv(CtxId::MAIN, &mut msg, &mut to.world).is_ok() {
            black_box(&msg);
        }
    })
}

/// An engine and what it asks for.
struct Side<E> {
    engine: E,
    world: World,
}

impl<E: Engine> Side<E> {
    fn new(mut engine: E, peers: usize) -> Self {
        let mut world = World { now: sys::now(), out: Batch::new() };
        for peer in 0..peers {
            // Only an engine for one peer refuses, and none of these is.
            let _ = engine.opened(PeerId::from_parts(peer as u32, 0), &mut world);
        }
        Self { engine, world }
    }
}

/// A world with room for everything, a clock that stands still, and nobody who waits.
struct World {
    now: Instant,
    out: Batch,
}

impl World {
    fn pass_on<E: Engine>(&mut self, to: &mut Side<E>) {
        let flow = to.engine.arrived(PeerId::from_parts(0, 0), &mut self.out, &mut to.world);
        assert!(flow == Flow::More, "what is passed on fits any queue");
    }
}

impl Effects for World {
    fn now(&mut self) -> Instant {
        self.now
    }

    fn room(&self, _peer: PeerId) -> bool {
        true
    }

    fn transmit(&mut self, peer: PeerId, msg: &mut Message) {
        // On a wire nothing tells header and body apart.
        msg.merge_header();
        msg.set_source(Some(peer));
        self.out.push(mem::take(msg));
    }

    fn join(&mut self, _peer: PeerId, _limit: Backlog) {}

    fn leave(&mut self, _peer: PeerId) {}

    fn slow(&mut self) -> Option<PeerId> {
        None
    }

    fn drop_oldest(&mut self, _peer: PeerId) -> usize {
        0
    }

    fn waiting(&self, _peer: PeerId) -> u64 {
        0
    }

    fn broadcast(&mut self, msg: &mut Message) {
        self.transmit(PeerId::from_parts(0, 0), msg);
    }

    fn resume(&mut self, _peer: PeerId) {}

    fn close(&mut self, _peer: PeerId, _why: CloseReason) {}

    fn wake_recv(&mut self, _ctx: CtxId) {}

    fn wake_send(&mut self, _ctx: CtxId) {}

    fn recv_waits(&self, _ctx: CtxId) -> bool {
        false
    }

    fn send_waits(&self, _ctx: CtxId) -> bool {
        false
    }

    fn arm(&mut self, _key: TimerKey, _at: Instant) {}

    fn count(&mut self, _what: Counter) {}
}

/// A round's time is shared by as many figures.
const PARTS: u32 = 6;

/// Messages that arrive together, as many as a read of small ones gives.
const BATCH: usize = 64;
