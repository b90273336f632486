//! Letters for everybody who hears: what is sent on a BUS, and on a STAR.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_protocols::engine::{RecvEngine, SendEngine};

use crate::net::Place;
use crate::oracle::{Failure, Oracle};
use crate::post::{Letter, Post};
use crate::task::{Desk, Next, Patience, Task};
use crate::world::World;

/// What all tasks know together.
#[derive(Debug)]
pub(super) struct Ledger {
    post: Post<Talk>,
    /// Sends that succeeded so far.
    sent: u64,
    /// The last of each sender that came to a node in one of its lives by one connection, in the order of sending.
    last: BTreeMap<(usize, u32, PeerId, usize), u64>,
    /// Who is near enough to hear each node, and hears it if nothing goes wrong.
    hearers: BTreeMap<usize, BTreeSet<usize>>,
    ways: Ways,
}

/// How often what is sent comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ways {
    /// Once at most.
    Direct,
    /// By way of others: what they still had of a connection that broke, they may send back by the next one.
    PassedOn,
    /// There are two ways to some nodes: it may come again, late, and to its own sender.
    Loop,
}

/// One message.
#[derive(Debug)]
struct Talk {
    /// The node that sent it.
    from: usize,
    /// Its place in the order of sending, once sent.
    nth: Option<u64>,
    sent_at: u64,
    delivered: BTreeSet<(usize, u32)>,
    /// Nodes that cannot miss it: nothing could go wrong when it was sent.
    wanted: BTreeSet<usize>,
}

pub(super) type Shared = Rc<RefCell<Ledger>>;

/// An empty ledger. At rest everybody has heard what could not be missed.
pub(super) fn ledger(world: &mut World, ways: Ways) -> Shared {
    let ledger = Rc::new(RefCell::new(Ledger {
        post: Post::new(),
        sent: 0,
        last: BTreeMap::new(),
        hearers: BTreeMap::new(),
        ways,
    }));
    let checked = Rc::clone(&ledger);
    world.check(Box::new(move || {
        for (number, talk) in checked.borrow().post.iter().filter(|(_, talk)| talk.nth.is_some()) {
            let came = |node| talk.delivered.iter().any(|(other, _)| *other == node);
            if let Some(node) = talk.wanted.iter().find(|node| !came(**node)) {
                let what = format!("letter {number} did not come to node {node}");
                return Err(Failure::new(Oracle::Stuck, what));
            }
        }
        Ok(())
    }));
    ledger
}

impl Ledger {
    /// Who hears whom: who is at most `hops` of these edges away.
    pub(super) fn connect(&mut self, edges: &[(usize, usize)], hops: usize) {
        let nodes: BTreeSet<usize> = edges.iter().flat_map(|(one, other)| [*one, *other]).collect();
        for node in nodes {
            let mut reached = BTreeSet::from([node]);
            for _ in 0..hops {
                let before = reached.clone();
                for &(one, other) in edges {
                    reached.extend(before.contains(&one).then_some(other));
                    reached.extend(before.contains(&other).then_some(one));
                }
            }
            reached.remove(&node);
            self.hearers.insert(node, reached);
        }
    }

    /// `node` passes on what it hears and keeps nothing for itself.
    pub(super) fn hide(&mut self, node: usize) {
        for hearers in self.hearers.values_mut() {
            hearers.remove(&node);
        }
    }

    /// A letter came to `place`; the last connection was made at `opened_at`.
    fn came(&mut self, place: Place, opened_at: u64, msg: &Message) -> Result<(), Failure> {
        let read = self.post.read(msg.body()).zip(msg.source());
        let Some((number, source)) = read else {
            let what = format!("{:?} came from {:?}", msg.body(), msg.source());
            return Err(Failure::new(Oracle::Invented, what));
        };
        let Place { node, life } = place;
        let talk = self.post.of(number);
        let Some(nth) = talk.nth else {
            let what = format!("letter {number} was received, its send did not succeed");
            return Err(Failure::new(Oracle::Invented, what));
        };
        let failed = |oracle, what| {
            let what = format!("letter {number} of node {} {what} to node {node}", talk.from);
            Err(Failure::new(oracle, what))
        };
        let is_near = self.hearers.get(&talk.from).is_some_and(|near| near.contains(&node));
        if talk.from != node && !is_near {
            return failed(Oracle::HopLimit, "came too far,");
        }
        let may_come_again = match self.ways {
            Ways::Direct => false,
            Ways::PassedOn => talk.sent_at <= opened_at,
            Ways::Loop => true,
        };
        if may_come_again {
            talk.delivered.insert((node, life));
            return Ok(());
        }
        if talk.from == node {
            return failed(Oracle::Echo, "came back");
        }
        if !talk.delivered.insert((node, life)) {
            return failed(Oracle::Twice, "came twice");
        }
        let before = self.last.insert((node, life, source, talk.from), nth);
        if before.is_some_and(|before| before > nth) {
            return failed(Oracle::Order, "came after a later one");
        }
        Ok(())
    }
}

/// Sends one letter after the other.
pub(super) struct Speaker {
    ledger: Shared,
    /// Whether its socket waits for slow peers.
    may_wait: bool,
    /// Letters it sends in each proof, and how many of them are left in this one.
    proofs: u32,
    left: u32,
    letter: Option<Letter>,
}

impl Speaker {
    /// The `nth` of its node.
    pub(super) fn new(ledger: &Shared, nth: u64, may_wait: bool) -> Self {
        // In a proof only one of them sends, one letter at a time: so no queue is too short.
        let proofs = if nth == 0 { PROOFS } else { 0 };
        Self { ledger: Rc::clone(ledger), may_wait, proofs, left: 0, letter: None }
    }

    fn write<E: SendEngine>(&self, desk: &Desk<'_, E>) -> Letter {
        let ledger = &mut *self.ledger.borrow_mut();
        let from = desk.body.place.node;
        let is_sure = desk.is_proving() && ledger.ways != Ways::Loop;
        let wanted = ledger.hearers.get(&from).filter(|_| is_sure).cloned().unwrap_or_default();
        let sent_at = desk.stage.now;
        ledger
            .post
            .write(b"", Talk { from, nth: None, sent_at, delivered: BTreeSet::new(), wanted })
    }
}

impl<E: SendEngine> Task<E> for Speaker {
    fn step(&mut self, desk: &mut Desk<'_, E>) -> Next {
        let is_proving = desk.is_proving();
        if !is_proving {
            self.left = self.proofs;
        }
        let mut letter = match self.letter.take() {
            Some(letter) => letter,
            None if desk.is_stormy() => self.write(desk),
            None if is_proving && self.left > 0 => {
                self.left -= 1;
                self.write(desk)
            }
            None => return Next::Rest,
        };
        let patience = if self.may_wait { desk.patience(Patience::Forever) } else { Patience::Try };
        match desk.send(CtxId::MAIN, &mut letter.message, patience) {
            Poll::Pending => {
                self.letter = Some(letter);
                return Next::Wait;
            }
            Poll::Ready(Ok(())) => {
                let ledger = &mut *self.ledger.borrow_mut();
                ledger.sent += 1;
                let talk = ledger.post.of(letter.number);
                (talk.nth, talk.sent_at) = (Some(ledger.sent), desk.stage.now);
            }
            Poll::Ready(Err(unmet)) if self.may_wait && unmet.is_wait_over() => {
                self.letter = Some(letter).filter(|_| !desk.whim(2));
            }
            other => desk.fail(Oracle::Outcome, format!("a letter was not taken: {other:?}")),
        }
        Next::Think(if is_proving { APART } else { desk.thinking() })
    }
}

/// Receives whatever comes.
pub(super) struct Listener {
    pub(super) ledger: Shared,
}

impl<E: RecvEngine> Task<E> for Listener {
    fn step(&mut self, desk: &mut Desk<'_, E>) -> Next {
        let patience = desk.patience(Patience::Idle);
        match desk.recv(CtxId::MAIN, patience) {
            Poll::Pending => return Next::Wait,
            Poll::Ready(Ok(msg)) => {
                let came =
                    self.ledger.borrow_mut().came(desk.body.place, desk.stage.net.opened_at, &msg);
                if let Err(failure) = came {
                    desk.fail(failure.oracle, failure.what);
                }
            }
            Poll::Ready(Err(unmet)) if !unmet.is_wait_over() => {
                desk.fail(Oracle::Outcome, "it is always in a state to receive");
            }
            Poll::Ready(Err(_)) => {}
        }
        Next::Think(desk.thinking())
    }
}

/// Speakers and listeners of one node.
pub(super) fn tasks<E: SendEngine + RecvEngine>(
    ledger: &Shared,
    speakers: u64,
    listeners: u64,
    may_wait: bool,
) -> Vec<Box<dyn Task<E>>> {
    let speaker = |nth| -> Box<dyn Task<E>> { Box::new(Speaker::new(ledger, nth, may_wait)) };
    let listener = |_| -> Box<dyn Task<E>> { Box::new(Listener { ledger: Rc::clone(ledger) }) };
    (0..speakers).map(speaker).chain((0..listeners).map(listener)).collect()
}

/// Letters a node sends to show that it can.
const PROOFS: u32 = 3;

/// Between two of them: so long that the one before has arrived.
const APART: Duration = Duration::from_secs(5);
