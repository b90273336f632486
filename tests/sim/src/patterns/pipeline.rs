//! PUSH and PULL: nothing twice, nothing out of order, nothing lost but with a connection or a node.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::Poll;

use sp_core::id::{CtxId, PeerId};
use sp_protocols::engine::{Pull, PullOptions, Push, PushOptions};

use super::connect_some;
use crate::body::Side;
use crate::net::Place;
use crate::node::{Books, Spec};
use crate::oracle::{Failure, Oracle};
use crate::post::{Letter, Post};
use crate::task::{Desk, Next, Patience, Task};
use crate::world::World;

/// What all tasks know together.
#[derive(Debug)]
struct Ledger {
    post: Post<Job>,
    /// Sends that succeeded so far.
    sent: u64,
    /// The last that came to a node in one of its lives by one connection, in the order of sending.
    last: BTreeMap<(usize, u32, PeerId), u64>,
}

/// One message.
#[derive(Debug, Default)]
struct Job {
    /// Its place in the order of sending, once sent.
    nth: Option<u64>,
    is_delivered: bool,
    /// Nothing could go wrong when it was sent.
    is_sure: bool,
}

type Shared = Rc<RefCell<Ledger>>;

pub(super) fn build(world: &mut World) {
    let ledger =
        Rc::new(RefCell::new(Ledger { post: Post::new(), sent: 0, last: BTreeMap::new() }));
    let pushers: Vec<usize> =
        (0..world.stage.luck.within(1, 4)).map(|_| world.add(pusher(&ledger))).collect();
    let pullers: Vec<usize> = (0..world.stage.luck.within(1, 4))
        .map(|_| {
            let queue = 1 + world.stage.luck.small(64);
            world.add(puller(&ledger, queue))
        })
        .collect();
    for (pusher, puller) in connect_some(world, &pushers, &pullers) {
        let ends = if world.stage.luck.one_in(2) { (pusher, puller) } else { (puller, pusher) };
        world.connect(ends.0, ends.1, None);
    }
    world.check(Box::new(move || {
        let ledger = ledger.borrow();
        let mut jobs = ledger.post.iter();
        match jobs.find(|(_, job)| job.is_sure && !job.is_delivered) {
            None => Ok(()),
            Some((number, _)) => {
                Err(Failure::new(Oracle::Stuck, format!("letter {number} was sent and is gone")))
            }
        }
    }));
}

fn pusher(ledger: &Shared) -> Spec<Push> {
    let ledger = Rc::clone(ledger);
    Spec {
        options: PushOptions::new(),
        tasks: Box::new(move |_, luck| {
            let sender = |_| -> Box<dyn Task<Push>> {
                Box::new(Sender { ledger: Rc::clone(&ledger), job: None, proofs: 0 })
            };
            (0..luck.within(1, 3)).map(sender).collect()
        }),
        audit: Box::new(|books: &Books<'_>| {
            books.equal("messages sent", books.tally.accepted, books.tally.transmitted)?;
            books.awake(Side::Send, books.usable.min(1))
        }),
    }
}

fn puller(ledger: &Shared, queue: u64) -> Spec<Pull> {
    let ledger = Rc::clone(ledger);
    Spec {
        options: PullOptions::new().queue(queue as usize),
        tasks: Box::new(move |place, luck| {
            let receiver = |_| -> Box<dyn Task<Pull>> {
                Box::new(Receiver { ledger: Rc::clone(&ledger), place })
            };
            (0..luck.within(1, 3)).map(receiver).collect()
        }),
        audit: Box::new(move |books: &Books<'_>| {
            let tally = books.tally;
            books.settles("messages received", tally.arrived, tally.received)?;
            let waiting = tally.arrived - tally.received;
            books.awake(Side::Recv, waiting)?;
            books.within("messages that wait", waiting, queue)
        }),
    }
}

/// Sends one job after the other.
struct Sender {
    ledger: Shared,
    job: Option<Letter>,
    /// How many of its proofs this turn has seen.
    proofs: u32,
}

impl Task<Push> for Sender {
    fn step(&mut self, desk: &mut Desk<'_, Push>) -> Next {
        if !desk.is_proving() {
            self.proofs = 0;
        }
        let mut job = match self.job.take() {
            Some(job) => job,
            None if desk.is_stormy() => self.ledger.borrow_mut().post.write(b"", Job::default()),
            None if desk.is_proving() && self.proofs < PROOFS => {
                self.proofs += 1;
                let job = Job { is_sure: true, ..Job::default() };
                self.ledger.borrow_mut().post.write(b"", job)
            }
            None => return Next::Rest,
        };
        let patience = desk.patience(Patience::Forever);
        match desk.send(CtxId::MAIN, &mut job.message, patience) {
            Poll::Pending => {
                self.job = Some(job);
                return Next::Wait;
            }
            Poll::Ready(Ok(())) => {
                let mut ledger = self.ledger.borrow_mut();
                ledger.sent += 1;
                ledger.post.of(job.number).nth = Some(ledger.sent);
            }
            Poll::Ready(Err(unmet)) if !unmet.is_wait_over() => {
                desk.fail(Oracle::Outcome, "a PUSH is always in a state to send");
            }
            // It is kept for another try, or forgotten.
            Poll::Ready(Err(_)) => self.job = Some(job).filter(|_| !desk.whim(2)),
        }
        Next::Think(desk.thinking())
    }
}

/// Receives whatever comes.
struct Receiver {
    ledger: Shared,
    place: Place,
}

impl Task<Pull> for Receiver {
    fn step(&mut self, desk: &mut Desk<'_, Pull>) -> Next {
        let patience = desk.patience(Patience::Idle);
        match desk.recv(CtxId::MAIN, patience) {
            Poll::Pending => return Next::Wait,
            Poll::Ready(Ok(msg)) => {
                if let Err(failure) = self.note(msg.body(), msg.source()) {
                    desk.fail(failure.oracle, failure.what);
                }
            }
            Poll::Ready(Err(unmet)) if !unmet.is_wait_over() => {
                desk.fail(Oracle::Outcome, "a PULL is always in a state to receive");
            }
            Poll::Ready(Err(_)) => {}
        }
        Next::Think(desk.thinking())
    }
}

impl Receiver {
    fn note(&self, body: &[u8], source: Option<PeerId>) -> Result<(), Failure> {
        let ledger = &mut *self.ledger.borrow_mut();
        let read = ledger.post.read(body).zip(source);
        let Some((number, source)) = read else {
            return Err(Failure::new(Oracle::Invented, format!("{body:?} came from {source:?}")));
        };
        let job = ledger.post.of(number);
        let Some(nth) = job.nth else {
            let what = format!("letter {number} was received, its send did not succeed");
            return Err(Failure::new(Oracle::Invented, what));
        };
        if std::mem::replace(&mut job.is_delivered, true) {
            return Err(Failure::new(Oracle::Twice, format!("letter {number} came twice")));
        }
        let before = ledger.last.insert((self.place.node, self.place.life, source), nth);
        if before.is_some_and(|before| before > nth) {
            let what = format!("letter {number}, sent as {nth}, came after {before:?}");
            return Err(Failure::new(Oracle::Order, what));
        }
        Ok(())
    }
}

/// Messages each sender sends to show that it can: more than the smallest queues hold.
const PROOFS: u32 = 3;
