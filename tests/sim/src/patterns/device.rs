//! REQ and REP with devices between them: raw sockets that pass on whatever comes, each way through a short lane.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use sp_core::id::CtxId;
use sp_core::message::Message;
use sp_protocols::engine::raw::{self, RawOptions};
use sp_protocols::engine::{Counter, Engine, RecvEngine, Rep, SendEngine};

use super::answering::{self, Manners};
use super::reqrep::{self, SECOND};
use crate::body::Side;
use crate::node::{Books, Spec};
use crate::oracle::Oracle;
use crate::post::Post;
use crate::route::Asking;
use crate::stage::Event;
use crate::task::{Desk, Next, Patience, Task};
use crate::world::World;

/// What has been taken from one node and not yet been given to the other.
pub(super) type Lane = Rc<RefCell<VecDeque<Message>>>;

pub(super) fn build(world: &mut World) {
    let post = Rc::new(RefCell::new(Post::new()));
    let manners = Manners::BEHIND_DEVICES;
    let resend = Some(*world.stage.luck.pick(&[60 * SECOND, SECOND]));
    let clients: Vec<usize> = (0..world.stage.luck.within(1, 3))
        .map(|_| world.add(reqrep::client(&post, manners, resend)))
        .collect();
    let servers: Vec<usize> = (0..world.stage.luck.within(1, 2))
        .map(|_| {
            let spec = answering::answerer::<Rep>(&post, manners, &mut world.stage.luck);
            world.add(spec)
        })
        .collect();
    // One row of devices or two, each of one to three.
    for _ in 0..world.stage.luck.within(1, 2) {
        let mut askers = clients.clone();
        for _ in 0..world.stage.luck.within(1, 3) {
            let (front, back) = joined::<raw::Rep, raw::Req>(world, u64::MAX);
            connect(world, &askers, front);
            askers = vec![back];
        }
        servers.iter().for_each(|server| connect(world, &askers, *server));
    }
}

/// Each of `askers` asks `answerer`.
fn connect(world: &mut World, askers: &[usize], answerer: usize) {
    for &asker in askers {
        let by_dialer = world.stage.luck.one_in(2);
        let ends = if by_dialer { (asker, answerer) } else { (answerer, asker) };
        // The devices are there already.
        let asking = Asking { by_dialer, ttl: 1, may_go_astray: false };
        world.connect(ends.0, ends.1, Some(asking));
    }
}

/// A device of two nodes, each with so many peers at a time. Who asks connects to the first, the second asks.
pub(super) fn joined<F: Raw, B: Raw>(world: &mut World, partners: u64) -> (usize, usize) {
    let front = world.nodes();
    let back = front + 1;
    let [there, answers] = [(); 2].map(|()| Lane::default());
    let queue = 1 + world.stage.luck.small(16);
    world.add(end::<F>(queue, partners, back, [&there, &answers]));
    world.add(end::<B>(queue, partners, front, [&answers, &there]));
    (front, back)
}

/// What a device is made of.
pub(super) trait Raw: Engine<Options = RawOptions> + RecvEngine + SendEngine {}

impl<E> Raw for E where E: Engine<Options = RawOptions> + RecvEngine + SendEngine {}

/// One node of a device, whose messages go to `other` by the first lane and come from there by the second.
fn end<E: Raw>(queue: u64, partners: u64, other: usize, lanes: [&Lane; 2]) -> Spec<E> {
    let [out, back] = lanes.map(Rc::clone);
    Spec {
        options: RawOptions::new().queue(queue as usize).ttl(15),
        tasks: Box::new(move |_, _| tasks(other, &out, &back)),
        audit: Box::new(move |books: &Books<'_>| {
            books.partners(partners)?;
            let tally = books.tally;
            let dropped = tally.sum([Counter::PeerGone, Counter::DroppedOnSend]);
            books.equal("messages sent", tally.accepted, tally.transmitted + dropped)?;
            let went = tally.received + tally.counted(Counter::HopLimit);
            books.settles("messages received", tally.arrived, went)?;
            books.awake(Side::Recv, tally.arrived - went)?;
            books.within("messages that wait", tally.arrived - went, queue)?;
            books.awake(Side::Send, books.usable.min(1))
        }),
    }
}

/// What takes messages from a node by `out` to `other`, and gives it what comes from there by `back`.
pub(super) fn tasks<E: RecvEngine + SendEngine>(
    other: usize,
    out: &Lane,
    back: &Lane,
) -> Vec<Box<dyn Task<E>>> {
    let (out, back) = (Rc::clone(out), Rc::clone(back));
    vec![Box::new(Taker { out, other }), Box::new(Giver { back, other, msg: None })]
}

/// Takes what comes, as long as the other node takes it in turn.
struct Taker {
    out: Lane,
    other: usize,
}

impl<E: RecvEngine> Task<E> for Taker {
    fn step(&mut self, desk: &mut Desk<'_, E>) -> Next {
        if self.out.borrow().len() >= LANE_MAX {
            return Next::Rest;
        }
        match desk.recv(CtxId::MAIN, Patience::Idle) {
            Poll::Pending => return Next::Wait,
            Poll::Ready(Ok(msg)) => {
                self.out.borrow_mut().push_back(msg);
                desk.stage.schedule(Duration::ZERO, Event::Nudge(self.other));
            }
            other => desk.fail(Oracle::Outcome, format!("a device received {other:?}")),
        }
        Next::Think(Duration::ZERO)
    }
}

/// Gives away what the other node has taken.
struct Giver {
    back: Lane,
    other: usize,
    /// What is being sent.
    msg: Option<Message>,
}

impl<E: SendEngine> Task<E> for Giver {
    fn step(&mut self, desk: &mut Desk<'_, E>) -> Next {
        let taken = self.msg.take().or_else(|| self.back.borrow_mut().pop_front());
        let Some(mut msg) = taken else { return Next::Rest };
        match desk.send(CtxId::MAIN, &mut msg, Patience::Forever) {
            Poll::Pending => {
                self.msg = Some(msg);
                return Next::Wait;
            }
            Poll::Ready(Ok(())) => {
                desk.stage.schedule(Duration::ZERO, Event::Nudge(self.other));
            }
            other => desk.fail(Oracle::Outcome, format!("a device could not pass on: {other:?}")),
        }
        Next::Think(Duration::ZERO)
    }
}

/// Few: so both ends often wait for each other.
const LANE_MAX: usize = 3;
