//! The patterns' state machines by themselves: what a message costs before any lock, queue or system call.

use std::hint::black_box;
use std::mem;
use std::time::Instant;

use sp::{CloseReason, Message, PeerId};
use sp_core::batch::Batch;
use sp_core::id::{CtxId, Id as _, TimerKey};
use sp_core::pipe::Backlog;
use sp_core::pipe::Flow;
use sp_protocols::engine::{
    Bus, Counter, Effects, Engine, Pair, Pair1, Pair1Poly, Pub, Pull, Push, RecvEngine, Rep, Req,
    Respondent, SendEngine, Star, Sub, Surveyor, raw,
};

use super::metric::{
    ENGINE_BUS, ENGINE_PAIR, ENGINE_PAIR1, ENGINE_POLY, ENGINE_PUB_SUB, ENGINE_PUSH_PULL,
    ENGINE_RAW_PAIR1, ENGINE_RAW_REQ_REP, ENGINE_REQ_REP, ENGINE_STAR, ENGINE_SURVEY,
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
        (ENGINE_REQ_REP, asked::<Req, Rep>(cell, None)),
        (ENGINE_SURVEY, asked::<Surveyor, Respondent>(cell, None)),
        (ENGINE_RAW_REQ_REP, asked::<raw::Req, raw::Rep>(cell, Some(ID))),
        (ENGINE_PUSH_PULL, one_way::<Push, Pull>(cell, None)),
        (ENGINE_PUB_SUB, to_many::<Pub, Sub>(cell, |sub| assert!(sub.subscribe(CtxId::MAIN, b"")))),
        (ENGINE_PAIR, one_way::<Pair, Pair>(cell, None)),
        (ENGINE_PAIR1, one_way::<Pair1, Pair1>(cell, None)),
        (ENGINE_RAW_PAIR1, one_way::<raw::Pair1, raw::Pair1>(cell, Some(HOPS))),
        (ENGINE_POLY, poly(cell)),
        (ENGINE_BUS, to_many::<Bus, Bus>(cell, |_| {})),
        (ENGINE_STAR, to_many::<Star, Star>(cell, |_| {})),
    ])
}

/// One that asks, and one that sends back what it is asked. `header` is what the program has to put on.
fn asked<A: SendEngine + RecvEngine, B: SendEngine + RecvEngine>(
    cell: &Cell,
    header: Option<u32>,
) -> f64 {
    let (mut asker, mut answerer) = (Side::<A>::new(1), Side::<B>::new(1));
    let body = vec![7; cell.size];
    nanos_each(cell.time / PARTS, CALLS_ASKED, || {
        let mut msg = Message::from(&body[..]);
        asker.send(&mut msg, header);
        asker.world.pass_on(&mut answerer);
        assert!(answerer.recv(&mut msg), "every question arrives");
        answerer.send(&mut msg, None);
        answerer.world.pass_on(&mut asker);
        assert!(asker.recv(&mut msg), "every question is answered");
        black_box(msg);
    })
}

fn one_way<S: SendEngine, R: RecvEngine>(cell: &Cell, header: Option<u32>) -> f64 {
    through(cell, |from: &mut Side<S>, msg| from.send(msg, header), Side::<R>::new(1))
}

fn poly(cell: &Cell) -> f64 {
    let send = |from: &mut Side<Pair1Poly>, msg: &mut Message| {
        let sent = from.engine.send_to(PeerId::from_parts(0, 0), msg, &mut from.world);
        debug_assert!(sent.is_ok(), "there is room for all");
    };
    through(cell, send, Side::<Pair1>::new(1))
}

fn through<S: Engine, R: RecvEngine>(
    cell: &Cell,
    send: impl Fn(&mut Side<S>, &mut Message),
    mut to: Side<R>,
) -> f64 {
    let mut from = Side::<S>::new(1);
    let body = vec![7; cell.size];
    nanos_each(cell.time / PARTS, CALLS_EACH * BATCH, || {
        for _ in 0..BATCH {
            let mut msg = Message::from(&body[..]);
            send(&mut from, &mut msg);
        }
        from.world.pass_on(&mut to);
        for _ in 0..BATCH {
            let mut msg = Message::new();
            assert!(to.recv(&mut msg), "every message arrives");
            black_box(msg);
        }
    })
}

/// One that sends to as many as the cell says, one of which receives, as `prepare` has prepared it.
fn to_many<S: SendEngine, R: RecvEngine>(cell: &Cell, prepare: impl Fn(&mut R)) -> f64 {
    let (mut from, mut to) = (Side::<S>::new(cell.many), Side::<R>::new(1));
    prepare(&mut to.engine);
    let body = vec![7; cell.size];
    nanos_each(cell.time / PARTS, cell.many, || {
        let mut msg = Message::from(&body[..]);
        from.send(&mut msg, None);
        from.world.pass_on(&mut to);
        while to.recv(&mut msg) {
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
    fn new(peers: usize) -> Self {
        let mut engine = E::new(E::Options::default(), SEED);
        let mut world = World { now: sys::now(), out: Batch::new() };
        for peer in 0..peers {
            // Only an engine for one peer refuses, and none of these is.
            let _ = engine.opened(PeerId::from_parts(peer as u32, 0), &mut world);
        }
        Self { engine, world }
    }
}

impl<E: SendEngine> Side<E> {
    /// A header that is given comes in front of what is there.
    fn send(&mut self, msg: &mut Message, header: Option<u32>) {
        if let Some(word) = header {
            let fits = msg.push_header(word);
            debug_assert!(fits, "a header has room for a word");
        }
        let sent = self.engine.try_send(CtxId::MAIN, msg, &mut self.world);
        debug_assert!(sent.is_ok(), "there is room for all");
    }
}

impl<E: RecvEngine> Side<E> {
    fn recv(&mut self, into: &mut Message) -> bool {
        self.engine.try_recv(CtxId::MAIN, into, &mut self.world).is_ok()
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

/// A question is sent, arrives and is received, and so is its answer.
const CALLS_ASKED: usize = 6;

/// A message is sent and received; all of a batch arrive with one call.
const CALLS_EACH: usize = 2;

/// A round's time is shared by as many figures.
const PARTS: u32 = 11;

/// Any will do.
const SEED: u64 = 1;

/// The header of a request that a program makes up.
const ID: u32 = 0x8000_0001;

/// The header of a message that has made no hop.
const HOPS: u32 = 0;

/// Messages that arrive together, as many as a read of small ones gives.
const BATCH: usize = 64;
