//! A world for one engine, for tests and simulations: it records what the engine asks for.
//!
//! Nothing here is meant for programs, and it may change in any release. A [`Rig`] holds an engine and a
//! [`World`] with a manual clock, peers that have as much room as the test gives them, and the wait lists
//! that a socket would keep. The world also watches over what every engine owes: no message goes to a peer
//! without room or to one that is closed.

mod calls;
mod contexts;
mod link;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sp_core::clock;
use sp_core::id::{CtxId, Id as _, PeerId, TimerKey};
use sp_core::message::Message;
use sp_core::pipe::{Backlog, CloseReason, Flow};

use super::{Counter, Effects, Engine, RecvBlocked, RecvEngine, SendBlocked, SendEngine};

pub use calls::Unsent;
use calls::{Calls, take_one};
use link::Link;

/// What an engine asked of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Header and body went to a peer.
    Transmit(PeerId, Vec<u8>),
    /// A peer gets what is broadcast from now on.
    Join(PeerId),
    /// A peer gets nothing more of what is broadcast.
    Leave(PeerId),
    /// So many messages that waited for a peer were dropped.
    DropOldest(PeerId, usize),
    /// Header and body went to everybody who had joined.
    Broadcast(Vec<u8>),
    /// A peer may be read again.
    Resume(PeerId),
    /// A pipe is to be closed.
    Close(PeerId, CloseReason),
    /// A receive of the context was woken, if one waited.
    WakeRecv(CtxId),
    /// A send of the context was woken, if one waited.
    WakeSend(CtxId),
    /// A timer was armed, so long after the world began.
    Arm(TimerKey, Duration),
    /// Something was counted.
    Count(Counter),
}

/// The world as one engine sees it.
#[derive(Debug)]
pub struct World {
    begin: Instant,
    now: Instant,
    peers: BTreeMap<PeerId, Link>,
    timers: BTreeMap<TimerKey, Instant>,
    effects: Vec<Effect>,
    receives: Calls,
    sends: Calls,
    /// Peers made so far, which numbers the next one.
    made: u32,
}

impl World {
    fn new() -> Self {
        let begin = clock::now();
        Self {
            begin,
            now: begin,
            peers: BTreeMap::new(),
            timers: BTreeMap::new(),
            effects: Vec::new(),
            receives: Calls::default(),
            sends: Calls::default(),
            made: 0,
        }
    }

    /// Takes what has been recorded.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether `peer` is to be read: open, and not told to stop.
    pub fn is_read(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|link| !link.is_paused)
    }

    /// A context with a receive that has been woken and has not tried again.
    pub fn woken_recv(&self) -> Option<CtxId> {
        self.receives.woken.keys().next().copied()
    }

    /// A context with a send that has been woken and has not tried again.
    pub fn woken_send(&self) -> Option<CtxId> {
        self.sends.woken.keys().next().copied()
    }

    /// How many more messages `peer` takes.
    pub fn room_of(&self, peer: PeerId) -> usize {
        self.peers.get(&peer).map_or(0, |link| link.room)
    }

    /// Whether the engine has been told that `peer` has no room, and has not been told otherwise since.
    pub fn owes_room(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|link| link.owes_room.get())
    }

    /// Takes what of the broadcasts has arrived at `peer`.
    pub fn take_broadcasts(&mut self, peer: PeerId) -> Vec<Vec<u8>> {
        self.peers.get_mut(&peer).map(|link| std::mem::take(&mut link.got)).unwrap_or_default()
    }

    /// Messages that came from `peer` and that the engine has not taken.
    pub fn backlog_of(&self, peer: PeerId) -> usize {
        self.peers.get(&peer).map_or(0, |link| link.backlog.len())
    }
}

impl Effects for World {
    fn now(&mut self) -> Instant {
        self.now
    }

    fn room(&self, peer: PeerId) -> bool {
        let Some(link) = self.peers.get(&peer) else { return false };
        let room = link.has_room();
        if !room {
            link.owes_room.set(true);
        }
        room
    }

    fn join(&mut self, peer: PeerId, limit: Backlog) {
        if let Some(link) = self.peers.get_mut(&peer) {
            assert!(!link.has_joined, "{peer} joined twice");
            link.has_joined = true;
            link.limit = Some(limit);
        }
        self.effects.push(Effect::Join(peer));
    }

    fn leave(&mut self, peer: PeerId) {
        if let Some(link) = self.peers.get_mut(&peer) {
            link.has_joined = false;
        }
        self.effects.push(Effect::Leave(peer));
    }

    fn slow(&mut self) -> Option<PeerId> {
        let mut peers = self.peers.iter();
        let found = peers.find(|(_, link)| link.has_joined && !link.has_room());
        found.map(|(peer, _)| *peer)
    }

    fn drop_oldest(&mut self, peer: PeerId) -> usize {
        let Some(link) = self.peers.get_mut(&peer) else { return 0 };
        let before = link.waiting.len();
        while !link.has_room() && link.waiting.pop_front().is_some() {}
        let dropped = before.saturating_sub(link.waiting.len());
        self.effects.push(Effect::DropOldest(peer, dropped));
        dropped
    }

    fn waiting(&self, peer: PeerId) -> u64 {
        self.peers.get(&peer).map_or(0, |link| link.waiting.len() as u64)
    }

    fn broadcast(&mut self, msg: &mut Message) {
        let message = [msg.header(), msg.body()].concat();
        for (peer, link) in self.peers.iter_mut().filter(|(_, link)| link.has_joined) {
            assert!(link.has_room(), "a message was broadcast with no room for {peer}");
            link.waiting.push_back(message.clone());
            link.pass_on();
        }
        self.effects.push(Effect::Broadcast(message));
    }

    fn transmit(&mut self, peer: PeerId, msg: &mut Message) {
        let link = self.peers.entry(peer).or_default();
        assert!(link.room > 0, "a message went to {peer}, which has no room or is gone");
        assert!(!link.is_closing, "a message went to {peer}, which the engine had closed");
        link.room = link.room.saturating_sub(1);
        self.effects.push(Effect::Transmit(peer, [msg.header(), msg.body()].concat()));
    }

    fn resume(&mut self, peer: PeerId) {
        let link = self.peers.get_mut(&peer);
        assert!(link.as_ref().is_some_and(|link| link.is_paused), "{peer} was not paused");
        if let Some(link) = link {
            link.is_paused = false;
        }
        self.effects.push(Effect::Resume(peer));
    }

    fn close(&mut self, peer: PeerId, why: CloseReason) {
        if let Some(link) = self.peers.get_mut(&peer) {
            assert!(!link.is_closing, "{peer} was closed twice");
            link.is_closing = true;
        }
        self.effects.push(Effect::Close(peer, why));
    }

    fn wake_recv(&mut self, ctx: CtxId) {
        self.receives.wake(ctx);
        self.effects.push(Effect::WakeRecv(ctx));
    }

    fn wake_send(&mut self, ctx: CtxId) {
        self.sends.wake(ctx);
        self.effects.push(Effect::WakeSend(ctx));
    }

    fn recv_waits(&self, ctx: CtxId) -> bool {
        self.receives.waiting.contains_key(&ctx)
    }

    fn send_waits(&self, ctx: CtxId) -> bool {
        self.sends.waiting.contains_key(&ctx)
    }

    fn arm(&mut self, key: TimerKey, at: Instant) {
        self.timers.insert(key, at);
        self.effects.push(Effect::Arm(key, at.saturating_duration_since(self.begin)));
    }

    fn count(&mut self, what: Counter) {
        self.effects.push(Effect::Count(what));
    }
}

/// An engine in a [`World`].
#[derive(Debug)]
pub struct Rig<E> {
    /// The engine.
    pub engine: E,
    /// Its world.
    pub world: World,
}

impl<E: Engine> Rig<E> {
    /// An engine with default options.
    pub fn new() -> Self {
        Self::with(E::Options::default())
    }

    /// An engine with `options`.
    pub fn with(options: E::Options) -> Self {
        Self::seeded(options, 0)
    }

    /// An engine with `options` whose random numbers come from `seed`.
    pub fn seeded(options: E::Options, seed: u64) -> Self {
        Self { engine: E::new(options, seed), world: World::new() }
    }

    /// Opens a pipe to a new peer that takes whatever is sent.
    pub fn peer(&mut self) -> PeerId {
        self.peer_with_room(usize::MAX)
    }

    /// Opens a pipe to a new peer that takes `room` messages.
    pub fn peer_with_room(&mut self, room: usize) -> PeerId {
        let peer = PeerId::from_parts(self.world.made, 0);
        self.world.made = self.world.made.saturating_add(1);
        self.world.peers.insert(peer, Link { room, ..Link::default() });
        let opened = self.engine.opened(peer, &mut self.world);
        assert_eq!(opened, Ok(()), "the engine refused {peer}");
        peer
    }

    /// The pipe to `peer` is gone, and so is what the engine had not taken from it.
    pub fn close(&mut self, peer: PeerId) {
        // Still there while the engine hears of it, for what waits; nothing more can be sent to it.
        let Some(link) = self.world.peers.get_mut(&peer) else { return };
        link.room = 0;
        link.has_joined = false;
        self.engine.closed(peer, &mut self.world);
        self.world.peers.remove(&peer);
    }

    /// Sets how many messages `peer` takes from now on, and tells the engine if it is owed that.
    pub fn set_room(&mut self, peer: PeerId, room: usize) {
        let Some(link) = self.world.peers.get_mut(&peer) else { return };
        link.room = room;
        link.pass_on();
        if link.has_room() && link.owes_room.replace(false) {
            self.engine.room(peer, &mut self.world);
        }
    }

    /// Messages come from `peer`, behind those that the engine has not taken yet.
    ///
    /// A peer that was told to stop is not read: the messages wait.
    pub fn arrive<M: Into<Message>>(
        &mut self,
        peer: PeerId,
        messages: impl IntoIterator<Item = M>,
    ) -> Flow {
        let Some(link) = self.world.peers.get_mut(&peer) else { return Flow::More };
        for msg in messages {
            let mut msg = msg.into();
            msg.set_source(Some(peer));
            link.backlog.push(msg);
        }
        if link.is_paused {
            return Flow::Pause;
        }
        self.read(peer)
    }

    /// Reads `peer` on after a resume.
    pub fn read(&mut self, peer: PeerId) -> Flow {
        let Some(link) = self.world.peers.get_mut(&peer) else { return Flow::More };
        let mut batch = std::mem::take(&mut link.backlog);
        let flow = self.engine.arrived(peer, &mut batch, &mut self.world);
        assert_eq!(flow == Flow::Pause, !batch.is_empty(), "what is left and the answer differ");
        if let Some(link) = self.world.peers.get_mut(&peer) {
            link.is_paused = flow == Flow::Pause;
            link.backlog = batch;
        }
        flow
    }

    /// Reads on wherever the engine allows it, until nothing moves any more.
    pub fn read_all(&mut self) {
        while let Some(peer) = self.next_readable() {
            let _ = self.read(peer);
        }
    }

    /// Lets `time` pass; timers that come up are handled in their order.
    pub fn advance(&mut self, time: Duration) {
        let end = self.world.now.checked_add(time).unwrap_or(self.world.now);
        while let Some((key, at)) = self.next_timer().filter(|(_, at)| *at <= end) {
            self.world.timers.remove(&key);
            self.world.now = at.max(self.world.now);
            self.engine.timer(key, &mut self.world);
        }
        self.world.now = end;
    }

    /// Lets `time` pass, and timers that come up be late.
    pub fn advance_silently(&mut self, time: Duration) {
        self.world.now = self.world.now.checked_add(time).unwrap_or(self.world.now);
    }

    /// Compares what has been recorded with `wanted`, and forgets it.
    #[track_caller]
    pub fn expect(&mut self, wanted: impl IntoIterator<Item = Effect>) {
        let wanted: Vec<Effect> = wanted.into_iter().collect();
        assert_eq!(self.world.take_effects(), wanted);
    }

    /// Takes what was transmitted since the last look at the effects, and forgets the other effects.
    pub fn transmitted(&mut self) -> Vec<(PeerId, Vec<u8>)> {
        let effects = self.world.take_effects().into_iter();
        effects
            .filter_map(|effect| match effect {
                Effect::Transmit(peer, bytes) => Some((peer, bytes)),
                _ => None,
            })
            .collect()
    }

    /// Takes what was counted since the last look at the effects, and forgets the other effects.
    pub fn counted(&mut self) -> Vec<Counter> {
        let effects = self.world.take_effects().into_iter();
        effects
            .filter_map(|effect| match effect {
                Effect::Count(what) => Some(what),
                _ => None,
            })
            .collect()
    }

    fn next_readable(&self) -> Option<PeerId> {
        let mut peers = self.world.peers.iter();
        let found = peers.find(|(_, link)| !link.is_paused && !link.backlog.is_empty());
        found.map(|(peer, _)| *peer)
    }

    fn next_timer(&self) -> Option<(TimerKey, Instant)> {
        self.world.timers.iter().map(|(key, at)| (*key, *at)).min_by_key(|(_, at)| *at)
    }
}

impl<E: Engine> Default for Rig<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: SendEngine> Rig<E> {
    /// Sends in the main context without waiting.
    pub fn send(&mut self, msg: impl Into<Message>) -> Result<(), Unsent> {
        self.send_in(CtxId::MAIN, msg)
    }

    /// Sends without waiting.
    pub fn send_in(&mut self, ctx: CtxId, msg: impl Into<Message>) -> Result<(), Unsent> {
        let mut msg = msg.into();
        self.engine.try_send(ctx, &mut msg, &mut self.world).map_err(|blocked| match blocked {
            SendBlocked::Full => Unsent::Full(msg),
            SendBlocked::State => Unsent::State(msg),
            SendBlocked::Header => Unsent::Header(msg),
            SendBlocked::NoPeer => Unsent::NoPeer(msg),
        })
    }

    /// Sends, and waits if there is no room. A send of `ctx` that has been woken is taken to try again so.
    pub fn send_waiting(&mut self, ctx: CtxId, msg: impl Into<Message>) -> Result<(), Unsent> {
        take_one(&mut self.world.sends.woken, ctx);
        let sent = self.send_in(ctx, msg);
        if let Err(Unsent::Full(_)) = &sent {
            self.world.sends.wait(ctx);
        }
        sent
    }

    /// A send that waits gives up, one that has been woken first; nothing happens if none does.
    pub fn abandon_send(&mut self, ctx: CtxId) {
        if self.world.sends.abandon(ctx) {
            self.engine.send_abandoned(ctx, &mut self.world);
        }
    }

    /// A send that has been woken is gone without another try, as a future that is dropped.
    pub fn drop_woken_send(&mut self, ctx: CtxId) {
        if take_one(&mut self.world.sends.woken, ctx) {
            self.engine.wake_unused(ctx, &mut self.world);
        }
    }
}

impl<E: RecvEngine> Rig<E> {
    /// Receives in the main context without waiting.
    pub fn recv(&mut self) -> Result<Message, RecvBlocked> {
        self.recv_in(CtxId::MAIN)
    }

    /// Receives without waiting.
    pub fn recv_in(&mut self, ctx: CtxId) -> Result<Message, RecvBlocked> {
        let mut msg = Message::new();
        self.engine.try_recv(ctx, &mut msg, &mut self.world)?;
        Ok(msg)
    }

    /// Receives, and waits if nothing is there. A receive of `ctx` that has been woken is taken to try again
    /// so.
    pub fn recv_waiting(&mut self, ctx: CtxId) -> Result<Message, RecvBlocked> {
        take_one(&mut self.world.receives.woken, ctx);
        let received = self.recv_in(ctx);
        if received == Err(RecvBlocked::Empty) {
            self.world.receives.wait(ctx);
        }
        received
    }

    /// A receive that waits gives up, one that has been woken first; nothing happens if none does.
    pub fn abandon_recv(&mut self, ctx: CtxId) {
        if self.world.receives.abandon(ctx) {
            self.engine.recv_abandoned(ctx, &mut self.world);
        }
    }

    /// A receive that has been woken is gone without another try, as a future that is dropped.
    pub fn drop_woken_recv(&mut self, ctx: CtxId) {
        if take_one(&mut self.world.receives.woken, ctx) {
            self.engine.wake_unused(ctx, &mut self.world);
        }
    }

    /// Receives at most `limit` messages in the main context; their bodies.
    pub fn recv_all(&mut self, limit: usize) -> Vec<Vec<u8>> {
        (0..limit).map_while(|_| self.recv().ok()).map(|msg| msg.body().to_vec()).collect()
    }
}

/// The bytes of a message with a header of `words`.
pub fn with_words(words: &[u32], body: impl AsRef<[u8]>) -> Vec<u8> {
    let header = words.iter().flat_map(|word| word.to_be_bytes());
    header.chain(body.as_ref().iter().copied()).collect()
}
