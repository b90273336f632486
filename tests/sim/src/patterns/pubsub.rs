//! PUB and SUB: everything in order, only what was subscribed to, and every gap counted; none where both sides wait.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use sp_core::id::{CtxId, PeerId};
use sp_protocols::engine::{Counter, Pub, PubOptions, Sub, SubOptions, WhenFull, WhenSlow};

use super::connect_some;
use crate::body::Side;
use crate::net::Place;
use crate::node::{Books, Spec};
use crate::oracle::{Failure, Oracle};
use crate::post::{Letter, Post};
use crate::rng::Rng;
use crate::task::{Desk, Next, Patience, Task};
use crate::world::World;

/// What all tasks know together.
#[derive(Debug)]
struct Ledger {
    post: Post<Issue>,
    /// Sends that succeeded so far.
    sent: u64,
    /// The last that came to a reader in one of its lives by one connection, in the order of sending.
    last: BTreeMap<(Reader, u32, PeerId), u64>,
    /// The last that came so of a publisher that waits to a reader that waits, as its publisher counts.
    runs: BTreeMap<(Reader, u32, PeerId), u64>,
    /// Sends that succeeded so far of each publisher that waits, in one of its lives.
    published: BTreeMap<(usize, u32), u64>,
    /// What each reader is subscribed to.
    topics: BTreeMap<Reader, BTreeSet<Vec<u8>>>,
    /// Whom each publisher is connected with.
    subscribers: BTreeMap<usize, Vec<usize>>,
}

/// A node and its context of that number.
type Reader = (usize, u64);

/// One message.
#[derive(Debug, Default)]
struct Issue {
    topic: Vec<u8>,
    /// Its place in the order of sending, once sent.
    nth: Option<u64>,
    /// Its place in the order of its publisher, if that waits for its subscribers.
    place: Option<u64>,
    delivered: BTreeSet<(Reader, u32)>,
    /// Readers that cannot miss it: nothing could go wrong when it was sent.
    wanted: Vec<Reader>,
}

type Shared = Rc<RefCell<Ledger>>;

pub(super) fn build(world: &mut World) {
    let ledger = Rc::new(RefCell::new(Ledger {
        post: Post::new(),
        sent: 0,
        last: BTreeMap::new(),
        runs: BTreeMap::new(),
        published: BTreeMap::new(),
        topics: BTreeMap::new(),
        subscribers: BTreeMap::new(),
    }));
    let publishers: Vec<usize> = (0..world.stage.luck.within(1, 3))
        .map(|_| {
            let spec = publisher(&ledger, &mut world.stage.luck);
            world.add(spec)
        })
        .collect();
    let subscribers: Vec<usize> = (0..world.stage.luck.within(1, 5))
        .map(|_| {
            let spec = subscriber(&ledger, &mut world.stage.luck);
            world.add(spec)
        })
        .collect();
    for (subscriber, publisher) in connect_some(world, &subscribers, &publishers) {
        world.connect(subscriber, publisher, None);
        let mut ledger = ledger.borrow_mut();
        ledger.subscribers.entry(publisher).or_default().push(subscriber);
    }
    world.check(Box::new(move || {
        for (number, issue) in ledger.borrow().post.iter().filter(|(_, issue)| issue.nth.is_some())
        {
            let came = |reader| issue.delivered.iter().any(|(other, _)| *other == reader);
            if let Some(reader) = issue.wanted.iter().find(|reader| !came(**reader)) {
                let what = format!("letter {number} did not come to {reader:?}");
                return Err(Failure::new(Oracle::Stuck, what));
            }
        }
        Ok(())
    }));
}

fn publisher(ledger: &Shared, luck: &mut Rng) -> Spec<Pub> {
    let ledger = Rc::clone(ledger);
    let policy = *luck.pick(&[
        WhenSlow::DropOldest,
        WhenSlow::DropNewest,
        WhenSlow::Block,
        WhenSlow::Disconnect,
    ]);
    let queue = 1 + luck.small(32);
    Spec {
        options: PubOptions::new().queue(queue as usize).when_slow(policy),
        tasks: Box::new(move |place, luck| {
            let sender = |nth| -> Box<dyn Task<Pub>> {
                let ledger = Rc::clone(&ledger);
                let may_wait = policy == WhenSlow::Block;
                // In a proof only one of them sends, one message at a time: so no queue is too short.
                let proofs = if nth == 0 { PROOFS } else { 0 };
                Box::new(Publisher { ledger, place, may_wait, proofs, left: 0, issue: None })
            };
            (0..luck.within(1, 3)).map(sender).collect()
        }),
        audit: Box::new(move |books: &Books<'_>| {
            if policy == WhenSlow::Block {
                books.none_missing(books.tally.counted(Counter::DroppedOnSend))?;
            }
            let dropped = books.tally.sum([Counter::DroppedOnSend, Counter::LostWithPeer]);
            let went = books.carried + books.waiting + dropped;
            books.equal("copies for subscribers", books.tally.owed, went)?;
            books.awake(Side::Send, u64::from(books.usable == books.peers))?;
            books.within("copies that wait", books.waiting, books.peers * queue)
        }),
    }
}

fn subscriber(ledger: &Shared, luck: &mut Rng) -> Spec<Sub> {
    let ledger = Rc::clone(ledger);
    let queue = 1 + luck.small(32);
    let policies = [WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block];
    let when_full = *luck.pick(&policies);
    // Has one topic, that of everything, and keeps it.
    let is_steady = luck.one_in(2);
    // Either several tasks share a context, or each has its own.
    let readers = luck.within(1, 3);
    let shares = luck.one_in(2);
    Spec {
        options: SubOptions::new().queue(queue as usize).when_full(when_full),
        tasks: Box::new(move |place, _| {
            let receiver = |nth| -> Box<dyn Task<Sub>> {
                let context = if shares { 0 } else { nth };
                let ctx = (context == 0).then_some(CtxId::MAIN);
                let reader = (place.node, context);
                // A life begins without topics.
                ledger.borrow_mut().topics.insert(reader, BTreeSet::new());
                let ledger = Rc::clone(&ledger);
                let waits = when_full == WhenFull::Block;
                Box::new(Subscriber { ledger, reader, life: place.life, is_steady, waits, ctx })
            };
            (0..readers).map(receiver).collect()
        }),
        audit: Box::new(move |books: &Books<'_>| {
            if when_full == WhenFull::Block {
                books.none_missing(books.tally.counted(Counter::DroppedOnReceive))?;
            }
            let dropped = books.tally.sum([Counter::DroppedOnReceive, Counter::Unwanted]);
            let went = books.tally.received + dropped;
            if !shares && readers > 1 {
                // Each context may get a copy, so that more goes than comes.
                return Ok(());
            }
            books.settles("messages received", books.tally.arrived, went)?;
            let waiting = books.tally.arrived - went;
            books.awake(Side::Recv, waiting)?;
            books.within("messages that wait", waiting, queue)
        }),
    }
}

/// Publishes one message after the other.
struct Publisher {
    ledger: Shared,
    place: Place,
    may_wait: bool,
    /// Messages it sends in each proof, and how many of them are left in this one.
    proofs: u32,
    left: u32,
    issue: Option<Letter>,
}

impl Task<Pub> for Publisher {
    fn step(&mut self, desk: &mut Desk<'_, Pub>) -> Next {
        let is_proving = desk.is_proving();
        if !is_proving {
            self.left = self.proofs;
        }
        let mut issue = match self.issue.take() {
            Some(issue) => issue,
            None if desk.is_stormy() => self.write(false, &mut desk.stage.luck),
            None if is_proving && self.left > 0 => {
                self.left -= 1;
                self.write(true, &mut desk.stage.luck)
            }
            None => return Next::Rest,
        };
        let patience = desk.patience(Patience::Forever);
        match desk.send(CtxId::MAIN, &mut issue.message, patience) {
            Poll::Pending => {
                self.issue = Some(issue);
                if !self.may_wait {
                    desk.fail(Oracle::Outcome, "a PUB waits that is not to wait");
                }
                return Next::Wait;
            }
            Poll::Ready(Ok(())) => {
                let ledger = &mut *self.ledger.borrow_mut();
                ledger.sent += 1;
                let known = ledger.post.of(issue.number);
                known.nth = Some(ledger.sent);
                if self.may_wait {
                    let Place { node, life } = self.place;
                    let published = ledger.published.entry((node, life)).or_default();
                    *published += 1;
                    known.place = Some(*published);
                }
            }
            Poll::Ready(Err(unmet)) if !unmet.is_wait_over() => {
                desk.fail(Oracle::Outcome, "a PUB is always in a state to send");
            }
            Poll::Ready(Err(_)) => self.issue = Some(issue).filter(|_| !desk.whim(2)),
        }
        Next::Think(if is_proving { APART } else { desk.thinking() })
    }
}

impl Publisher {
    fn write(&self, is_sure: bool, luck: &mut Rng) -> Letter {
        let mut ledger = self.ledger.borrow_mut();
        let topic = draw_topic(luck);
        let subscribers = ledger.subscribers.get(&self.place.node);
        let is_ours = |node| is_sure && subscribers.is_some_and(|nodes| nodes.contains(&node));
        let readers = ledger.topics.iter();
        let wanted = readers.filter(|((node, _), own)| is_ours(*node) && begins(own, &topic));
        let wanted = wanted.map(|(reader, _)| *reader).collect();
        ledger.post.write(&topic, Issue { topic: topic.clone(), wanted, ..Issue::default() })
    }
}

/// Receives what comes, and changes its mind about what that should be.
struct Subscriber {
    ledger: Shared,
    reader: Reader,
    life: u32,
    is_steady: bool,
    /// Rather than to miss anything, it is not read.
    waits: bool,
    /// Opened with the first step.
    ctx: Option<CtxId>,
}

impl Task<Sub> for Subscriber {
    fn step(&mut self, desk: &mut Desk<'_, Sub>) -> Next {
        let ctx = *self.ctx.get_or_insert_with(|| desk.open_ctx());
        let is_new = self.ledger.borrow().topics[&self.reader].is_empty();
        if desk.how.is_new() && (is_new || (!self.is_steady && desk.whim(4))) {
            self.change_topics(ctx, desk);
        }
        let patience = desk.patience(Patience::Idle);
        match desk.recv(ctx, patience) {
            Poll::Pending => return Next::Wait,
            Poll::Ready(Ok(msg)) => {
                if let Err(failure) = self.note(msg.body(), msg.source()) {
                    desk.fail(failure.oracle, failure.what);
                }
            }
            Poll::Ready(Err(unmet)) if !unmet.is_wait_over() => {
                desk.fail(Oracle::Outcome, "a SUB is always in a state to receive");
            }
            Poll::Ready(Err(_)) => {}
        }
        Next::Think(desk.thinking())
    }
}

impl Subscriber {
    fn change_topics(&self, ctx: CtxId, desk: &mut Desk<'_, Sub>) {
        let drawn = draw_topic(&mut desk.stage.luck);
        let topic = if self.is_steady { Vec::new() } else { drawn };
        let ledger = &mut *self.ledger.borrow_mut();
        let topics = ledger.topics.entry(self.reader).or_default();
        let changed = if topics.contains(&topic) {
            topics.remove(&topic);
            desk.engine(|sub, fx| sub.unsubscribe(ctx, &topic, fx))
        } else {
            topics.insert(topic.clone());
            desk.engine(|sub, _| sub.subscribe(ctx, &topic))
        };
        if !changed {
            desk.fail(Oracle::Outcome, format!("nothing changed for {topic:?}"));
        }
    }

    fn note(&self, body: &[u8], source: Option<PeerId>) -> Result<(), Failure> {
        let ledger = &mut *self.ledger.borrow_mut();
        let read = ledger.post.read(body).zip(source);
        let Some((number, source)) = read else {
            return Err(Failure::new(Oracle::Invented, format!("{body:?} came from {source:?}")));
        };
        let Self { reader, life, .. } = *self;
        let issue = ledger.post.of(number);
        let Some(nth) = issue.nth else {
            let what = format!("letter {number} was received, its send did not succeed");
            return Err(Failure::new(Oracle::Invented, what));
        };
        if !begins(&ledger.topics[&reader], body) {
            let what = format!("{reader:?} does not want {:?}", issue.topic);
            return Err(Failure::new(Oracle::Topic, what));
        }
        if !issue.delivered.insert((reader, life)) {
            let what = format!("letter {number} came twice to {reader:?}");
            return Err(Failure::new(Oracle::Twice, what));
        }
        let before = ledger.last.insert((reader, life, source), nth);
        if before.is_some_and(|before| before > nth) {
            let what = format!("letter {number}, sent as {nth}, came after {before:?}");
            return Err(Failure::new(Oracle::Order, what));
        }
        let Some(place) = issue.place.filter(|_| self.is_steady && self.waits) else {
            return Ok(());
        };
        let before = ledger.runs.insert((reader, life, source), place);
        if before.is_some_and(|before| before + 1 != place) {
            let what = format!("letter {number}, published as {place}, came after {before:?}");
            return Err(Failure::new(Oracle::Gap, what));
        }
        Ok(())
    }
}

/// Whether one of `topics` begins `body`.
fn begins(topics: &BTreeSet<Vec<u8>>, body: &[u8]) -> bool {
    topics.iter().any(|topic| body.starts_with(topic))
}

/// Short, of two letters: most begin one another. The filling of a letter may look like a topic; that is no harm.
fn draw_topic(luck: &mut Rng) -> Vec<u8> {
    (0..luck.below(4)).map(|_| *luck.pick(b"ab")).collect()
}

/// Messages a publisher sends to show that it can.
const PROOFS: u32 = 4;

/// Between two of them: so long that the one before has arrived.
const APART: Duration = Duration::from_secs(5);
