//! SUB against trying every topic of every context on every message.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use sp_core::id::{CtxId, PeerId};
use sp_core::pipe::Flow;
use sp_protocols::engine::testing::Rig;
use sp_protocols::engine::{Counter, Effects as _, RecvBlocked, Sub, SubOptions, WhenFull};

#[derive(Clone, Debug)]
enum Op {
    /// With the socket's options or its own.
    OpenCtx(Option<Limits>),
    CloseCtx(usize),
    Subscribe(usize, Vec<u8>),
    Unsubscribe(usize, Vec<u8>),
    /// From one of several publishers.
    Arrive(usize, Vec<Vec<u8>>),
    /// A publisher is read on, if it may be.
    Read(usize),
    /// A publisher goes, another comes.
    Replace(usize),
    Recv(usize, bool),
    Abandon(usize),
    Missed(usize),
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    messages: usize,
    bytes: usize,
    when_full: WhenFull,
}

impl Limits {
    fn options(self) -> SubOptions {
        let options = SubOptions::new().queue(self.messages).queue_bytes(self.bytes);
        options.when_full(self.when_full)
    }
}

fn limits() -> impl Strategy<Value = Limits> {
    let policies = vec![WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block];
    let when_full = prop::sample::select(policies);
    (1_usize..5, 1_usize..1500, when_full).prop_map(|(messages, bytes, when_full)| Limits {
        messages,
        bytes,
        when_full,
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
        6 => (which(), prop::collection::vec(body(), 0..6)).prop_map(|(from, bodies)| Op::Arrive(from, bodies)),
        4 => which().prop_map(Op::Read),
        1 => which().prop_map(Op::Replace),
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

    fn bytes(&self) -> usize {
        self.messages.iter().map(|body| body.len() + 128).sum()
    }

    fn is_full(&self) -> bool {
        self.messages.len() >= self.limits.messages || self.bytes() >= self.limits.bytes
    }

    /// Whether a message that it wants has to wait outside.
    fn is_blocked(&self) -> bool {
        self.limits.when_full == WhenFull::Block && self.is_full()
    }

    fn is_half_free(&self) -> bool {
        self.messages.len() <= self.limits.messages / 2 && self.bytes() <= self.limits.bytes / 2
    }

    /// How many are lost for it.
    fn keep(&mut self, body: Vec<u8>) -> usize {
        let before = self.messages.len();
        while self.limits.when_full == WhenFull::DropOldest && self.is_full() {
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
    /// Each with what it has sent and what was not taken.
    publishers: Vec<(PeerId, VecDeque<Vec<u8>>)>,
    limits: Limits,
    inboxes: BTreeMap<CtxId, Inbox>,
    unwanted: usize,
    dropped: usize,
}

impl Pair {
    fn new(limits: Limits) -> Self {
        let mut rig = Rig::with(limits.options());
        Self {
            publishers: (0..3).map(|_| (rig.peer(), VecDeque::new())).collect(),
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
            Op::Arrive(from, bodies) => {
                let at = from % self.publishers.len();
                let (peer, outside) = &mut self.publishers[at];
                outside.extend(bodies.iter().cloned());
                let is_read = self.rig.world.is_read(*peer);
                let flow = self.rig.arrive(*peer, bodies);
                self.take(at, is_read, flow)?;
            }
            Op::Read(which) => self.read(which % self.publishers.len())?,
            Op::Replace(which) => {
                let at = which % self.publishers.len();
                self.rig.close(self.publishers[at].0);
                self.publishers[at] = (self.rig.peer(), VecDeque::new());
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

    fn read(&mut self, at: usize) -> Result<(), TestCaseError> {
        let peer = self.publishers[at].0;
        if self.rig.world.is_read(peer) {
            let flow = self.rig.read(peer);
            self.take(at, true, flow)?;
        }
        Ok(())
    }

    /// The publisher was read if `is_read`, as far as nobody lacks room who does not want to miss anything.
    fn take(&mut self, at: usize, is_read: bool, flow: Flow) -> Result<(), TestCaseError> {
        let (peer, outside) = &mut self.publishers[at];
        while is_read && let Some(body) = outside.front() {
            let mut wanting: Vec<_> =
                self.inboxes.values_mut().filter(|inbox| inbox.wants(body)).collect();
            if wanting.iter().any(|inbox| inbox.is_blocked()) {
                break;
            }
            self.unwanted += usize::from(wanting.is_empty());
            self.dropped += wanting.iter_mut().map(|inbox| inbox.keep(body.clone())).sum::<usize>();
            outside.pop_front();
        }
        prop_assert_eq!(self.rig.world.backlog_of(*peer), outside.len());
        prop_assert_eq!(flow == Flow::Pause, !outside.is_empty());
        Ok(())
    }

    /// All that is held up comes in, if the program only receives.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        while self.publishers.iter().any(|(_, outside)| !outside.is_empty()) {
            for at in 0..self.publishers.len() {
                self.read(at)?;
            }
            let contexts: Vec<_> = self.inboxes.keys().copied().collect();
            contexts.into_iter().try_for_each(|ctx| self.recv(ctx, false))?;
            self.settle()?;
        }
        Ok(())
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
        let is_paused = |peer| !self.rig.world.is_read(peer);
        let mut publishers = self.publishers.iter();
        if publishers.any(|(peer, _)| is_paused(*peer))
            && self.inboxes.values().all(Inbox::is_half_free)
        {
            let can_bring =
                |(peer, outside): &(PeerId, VecDeque<_>)| !is_paused(*peer) && !outside.is_empty();
            prop_assert!(
                self.publishers.iter().any(can_bring),
                "all are paused beside half free queues"
            );
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
        pair.drain()?;
    }
}
