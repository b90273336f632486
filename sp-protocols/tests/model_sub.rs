//! SUB against trying every topic of every context on every message.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use sp_core::id::{CtxId, PeerId};
use sp_core::pipe::Flow;
use sp_protocols::engine::testing::Rig;
use sp_protocols::engine::{Counter, Effects as _, RecvBlocked, Sub, SubOptions};

#[derive(Clone, Debug)]
enum Op {
    /// With the socket's options or its own.
    OpenCtx(Option<Limits>),
    CloseCtx(usize),
    Subscribe(usize, Vec<u8>),
    Unsubscribe(usize, Vec<u8>),
    Arrive(Vec<Vec<u8>>),
    Recv(usize, bool),
    Abandon(usize),
    Missed(usize),
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    messages: usize,
    bytes: usize,
    prefer_new: bool,
}

impl Limits {
    fn options(self) -> SubOptions {
        let options = SubOptions::new().queue(self.messages).queue_bytes(self.bytes);
        options.prefer_new(self.prefer_new)
    }
}

fn limits() -> impl Strategy<Value = Limits> {
    (1_usize..5, 1_usize..1500, any::<bool>()).prop_map(|(messages, bytes, prefer_new)| Limits {
        messages,
        bytes,
        prefer_new,
    })
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
    let which = any::<usize>;
    prop_oneof![
        1 => prop::option::of(limits()).prop_map(Op::OpenCtx),
        1 => which().prop_map(Op::CloseCtx),
        5 => (which(), text()).prop_map(|(ctx, topic)| Op::Subscribe(ctx, topic)),
        3 => (which(), text()).prop_map(|(ctx, topic)| Op::Unsubscribe(ctx, topic)),
        6 => prop::collection::vec(body(), 0..6).prop_map(Op::Arrive),
        8 => (which(), any::<bool>()).prop_map(|(ctx, wait)| Op::Recv(ctx, wait)),
        1 => which().prop_map(Op::Abandon),
        1 => which().prop_map(Op::Missed),
    ]
}

#[derive(Debug)]
struct Inbox {
    limits: Limits,
    topics: BTreeSet<Vec<u8>>,
    messages: VecDeque<Vec<u8>>,
    missed: u64,
}

impl Inbox {
    const fn new(limits: Limits) -> Self {
        Self { limits, topics: BTreeSet::new(), messages: VecDeque::new(), missed: 0 }
    }

    fn wants(&self, body: &[u8]) -> bool {
        self.topics.iter().any(|topic| body.starts_with(topic))
    }

    fn is_full(&self) -> bool {
        let bytes: usize = self.messages.iter().map(|body| body.len() + 128).sum();
        self.messages.len() >= self.limits.messages || bytes >= self.limits.bytes
    }

    /// How many are lost for it.
    fn keep(&mut self, body: Vec<u8>) -> usize {
        let before = self.messages.len();
        while self.limits.prefer_new && self.is_full() {
            self.messages.pop_front();
        }
        let mut lost = before - self.messages.len();
        if self.is_full() {
            lost += 1;
        } else {
            self.messages.push_back(body);
        }
        self.missed += lost as u64;
        lost
    }
}

/// The engine, and beside it what it should do.
struct Pair {
    rig: Rig<Sub>,
    publisher: PeerId,
    limits: Limits,
    inboxes: BTreeMap<CtxId, Inbox>,
    unwanted: usize,
    dropped: usize,
}

impl Pair {
    fn new(limits: Limits) -> Self {
        let mut rig = Rig::with(limits.options());
        Self {
            publisher: rig.peer(),
            rig,
            limits,
            inboxes: BTreeMap::from([(CtxId::MAIN, Inbox::new(limits))]),
            unwanted: 0,
            dropped: 0,
        }
    }

    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        let ctx = |which: usize| *self.inboxes.keys().nth(which % self.inboxes.len()).unwrap();
        match op {
            Op::OpenCtx(own) if self.inboxes.len() < 5 => {
                let ctx = match own {
                    Some(limits) => self.rig.open_ctx_with(limits.options()),
                    None => self.rig.open_ctx(),
                };
                self.inboxes.insert(ctx, Inbox::new(own.unwrap_or(self.limits)));
            }
            Op::OpenCtx(_) => {}
            Op::CloseCtx(which) => {
                let ctx = ctx(which);
                self.unwanted += self.inboxes.remove(&ctx).unwrap().messages.len();
                if ctx == CtxId::MAIN {
                    self.inboxes.insert(ctx, Inbox::new(self.limits));
                }
                self.rig.close_ctx(ctx);
            }
            Op::Subscribe(which, topic) => {
                let ctx = ctx(which);
                let is_new = self.rig.engine.subscribe(ctx, &topic);
                prop_assert_eq!(is_new, self.inboxes.get_mut(&ctx).unwrap().topics.insert(topic));
            }
            Op::Unsubscribe(which, topic) => {
                let ctx = ctx(which);
                let there = self.rig.engine.unsubscribe(ctx, &topic, &mut self.rig.world);
                let inbox = self.inboxes.get_mut(&ctx).unwrap();
                prop_assert_eq!(there, inbox.topics.remove(&topic));
                let mut messages = std::mem::take(&mut inbox.messages);
                let before = messages.len();
                messages.retain(|body| inbox.wants(body));
                self.unwanted += before - messages.len();
                inbox.messages = messages;
            }
            Op::Arrive(bodies) => {
                prop_assert_eq!(self.rig.arrive(self.publisher, bodies.clone()), Flow::More);
                for body in bodies {
                    let inboxes = self.inboxes.values_mut().filter(|inbox| inbox.wants(&body));
                    let lost: Vec<_> = inboxes.map(|inbox| inbox.keep(body.clone())).collect();
                    self.unwanted += usize::from(lost.is_empty());
                    self.dropped += lost.iter().sum::<usize>();
                }
            }
            Op::Recv(which, wait) => self.recv(ctx(which), wait)?,
            Op::Abandon(which) => self.rig.abandon_recv(ctx(which)),
            Op::Missed(which) => {
                let ctx = ctx(which);
                let missed = std::mem::take(&mut self.inboxes.get_mut(&ctx).unwrap().missed);
                prop_assert_eq!(self.rig.engine.missed(ctx), missed);
            }
        }
        self.settle()
    }

    fn recv(&mut self, ctx: CtxId, wait: bool) -> Result<(), TestCaseError> {
        let messages = &mut self.inboxes.get_mut(&ctx).unwrap().messages;
        let wanted = messages.pop_front().ok_or(RecvBlocked::Empty);
        let got = if wait { self.rig.recv_waiting(ctx) } else { self.rig.recv_in(ctx) };
        prop_assert_eq!(got.map(|msg| msg.body().to_vec()), wanted);
        Ok(())
    }

    /// Woken calls try again; then nobody waits for what is there, and everything was counted.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        while let Some(ctx) = self.rig.world.woken_recv() {
            self.recv(ctx, true)?;
        }
        for (&ctx, inbox) in &self.inboxes {
            let waits = self.rig.world.recv_waits(ctx);
            prop_assert!(!waits || inbox.messages.is_empty(), "{ctx} waits beside a message");
        }
        for counter in self.rig.counted() {
            match counter {
                Counter::Unwanted => self.unwanted = self.unwanted.wrapping_sub(1),
                Counter::DroppedOnReceive => self.dropped = self.dropped.wrapping_sub(1),
                other => prop_assert!(false, "{other:?} counted"),
            }
        }
        prop_assert_eq!((self.unwanted, self.dropped), (0, 0));
        Ok(())
    }
}

proptest! {
    #[test]
    fn sub_agrees_with_trying_every_topic(
        limits in limits(),
        ops in prop::collection::vec(op(), 0..100),
    ) {
        let mut pair = Pair::new(limits);
        for op in ops {
            pair.apply(op)?;
        }
    }
}
