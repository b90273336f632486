//! Letters for one receiver each: what PUSH sends to PULL, and a PAIR to its partner.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::Poll;

use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_protocols::engine::{RecvEngine, SendEngine};

use crate::net::Place;
use crate::oracle::{Failure, Oracle};
use crate::post::{Letter, Post};
use crate::task::{Desk, Next, Patience, Task, Unmet};
use crate::world::World;

/// What all tasks know together.
#[derive(Debug)]
pub(super) struct Ledger {
    post: Post<Job>,
    /// Sends that succeeded so far.
    sent: u64,
    /// The last of each sender that came to a node in one of its lives by one connection, in the order of sending.
    last: BTreeMap<(usize, u32, PeerId, usize), u64>,
}

/// One message.
#[derive(Debug, Default)]
struct Job {
    /// The node that wrote it.
    from: usize,
    /// Whom it is for, if that was said.
    to: Option<Place>,
    /// Its place in the order of sending, once sent.
    nth: Option<u64>,
    sent_at: u64,
    is_delivered: bool,
    /// Nothing could go wrong when it was sent.
    is_sure: bool,
}

pub(super) type Shared = Rc<RefCell<Ledger>>;

/// An empty ledger. At rest all has been delivered that could not go astray.
pub(super) fn ledger(world: &mut World) -> Shared {
    let ledger = Ledger { post: Post::new(), sent: 0, last: BTreeMap::new() };
    let ledger = Rc::new(RefCell::new(ledger));
    let checked = Rc::clone(&ledger);
    world.check(Box::new(move || {
        let ledger = checked.borrow();
        let mut jobs = ledger.post.iter();
        match jobs.find(|(_, job)| job.is_sure && job.nth.is_some() && !job.is_delivered) {
            None => Ok(()),
            Some((number, _)) => {
                Err(Failure::new(Oracle::Stuck, format!("letter {number} was sent and is gone")))
            }
        }
    }));
    ledger
}

impl Ledger {
    /// A letter of the node `from`. It is sure to come if nothing goes wrong from now on.
    pub(super) fn write(&mut self, from: usize, to: Option<Place>, is_sure: bool) -> Letter {
        self.post.write(b"", Job { from, to, is_sure, ..Job::default() })
    }

    /// Its send has succeeded.
    pub(super) fn sent(&mut self, letter: &Letter, now: u64) {
        self.sent += 1;
        let job = self.post.of(letter.number);
        (job.nth, job.sent_at) = (Some(self.sent), now);
    }

    /// A letter came to `place`; by way of devices if it tells when the last connection was made.
    fn came(&mut self, place: Place, opened_at: Option<u64>, msg: &Message) -> Result<(), Failure> {
        let read = self.post.read(msg.body()).zip(msg.source());
        let Some((number, source)) = read else {
            let what = format!("{:?} came from {:?}", msg.body(), msg.source());
            return Err(Failure::new(Oracle::Invented, what));
        };
        let job = self.post.of(number);
        let Some(nth) = job.nth else {
            let what = format!("letter {number} was received, its send did not succeed");
            return Err(Failure::new(Oracle::Invented, what));
        };
        if job.to.is_some_and(|to| to != place) {
            let what = format!("letter {number} came to {place:?}, it is for {:?}", job.to);
            return Err(Failure::new(Oracle::Route, what));
        }
        if std::mem::replace(&mut job.is_delivered, true) {
            return Err(Failure::new(Oracle::Twice, format!("letter {number} came twice")));
        }
        if opened_at.is_some_and(|at| job.sent_at <= at) {
            return Ok(());
        }
        let before = self.last.insert((place.node, place.life, source, job.from), nth);
        if before.is_some_and(|before| before > nth) {
            let what = format!("letter {number}, sent as {nth}, came after {before:?}");
            return Err(Failure::new(Oracle::Order, what));
        }
        Ok(())
    }
}

/// Sends one letter after the other to whoever gets it.
pub(super) struct Sender {
    ledger: Shared,
    /// How long it waits for room: [`Patience::Idle`] if there need not be anybody who takes a letter.
    usual: Patience,
    /// Whether what it sends in peace is received.
    is_heard: bool,
    /// Whether its sends fail while there is no peer.
    needs_peer: bool,
    letter: Option<Letter>,
    /// How many of its proofs this turn has seen.
    proofs: u32,
}

impl Sender {
    pub(super) fn new(ledger: &Shared, usual: Patience, is_heard: bool) -> Self {
        let (ledger, needs_peer) = (Rc::clone(ledger), false);
        Self { ledger, usual, is_heard, needs_peer, letter: None, proofs: 0 }
    }

    pub(super) fn needing_peer(self, needs_peer: bool) -> Self {
        Self { needs_peer, ..self }
    }
}

impl<E: SendEngine> Task<E> for Sender {
    fn step(&mut self, desk: &mut Desk<'_, E>) -> Next {
        let is_proving = desk.is_proving();
        if !is_proving {
            self.proofs = 0;
        }
        let node = desk.body.place.node;
        let write = |is_sure| self.ledger.borrow_mut().write(node, None, is_sure);
        let mut letter = match self.letter.take() {
            Some(letter) => letter,
            None if desk.is_stormy() => write(false),
            None if is_proving && self.proofs < PROOFS && !desk.body.peers.is_empty() => {
                self.proofs += 1;
                write(self.is_heard)
            }
            None => return Next::Rest,
        };
        let patience = desk.patience(self.usual);
        let is_lacking = self.needs_peer && desk.body.peers.is_empty();
        match desk.send(CtxId::MAIN, &mut letter.message, patience) {
            Poll::Pending => {
                self.letter = Some(letter);
                if is_lacking {
                    desk.fail(Oracle::Outcome, "it waits for a peer that it is not to wait for");
                }
                return Next::Wait;
            }
            Poll::Ready(Ok(())) => self.ledger.borrow_mut().sent(&letter, desk.stage.now),
            Poll::Ready(Err(Unmet::NoPeer)) if is_lacking => self.letter = Some(letter),
            Poll::Ready(Err(unmet)) if !unmet.is_wait_over() => {
                desk.fail(Oracle::Outcome, "it is always in a state to send");
            }
            // It is kept for another try, or forgotten.
            Poll::Ready(Err(_)) => self.letter = Some(letter).filter(|_| !desk.whim(2)),
        }
        Next::Think(desk.thinking())
    }
}

/// Receives whatever comes.
pub(super) struct Receiver {
    pub(super) ledger: Shared,
    /// Whether there is anything that does not come from too far.
    pub(super) hears: bool,
    /// Whether letters pass devices. Then what comes by one connection may have come to a device by several, of which
    /// an older one can be the later.
    pub(super) is_far: bool,
}

impl<E: RecvEngine> Task<E> for Receiver {
    fn step(&mut self, desk: &mut Desk<'_, E>) -> Next {
        let patience = desk.patience(Patience::Idle);
        match desk.recv(CtxId::MAIN, patience) {
            Poll::Pending => return Next::Wait,
            Poll::Ready(Ok(msg)) => {
                let opened_at = self.is_far.then_some(desk.stage.net.opened_at);
                let came = self.ledger.borrow_mut().came(desk.body.place, opened_at, &msg);
                if let Err(failure) = came {
                    desk.fail(failure.oracle, failure.what);
                }
                if !self.hears {
                    desk.fail(Oracle::HopLimit, "a letter from too far was received");
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

/// Letters each sender sends to show that it can: more than the smallest queues hold.
const PROOFS: u32 = 3;
