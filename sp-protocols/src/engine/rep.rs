//! REP and RESPONDENT: answer what they are asked.

use std::marker::PhantomData;
use std::{fmt, mem};

use sp_core::batch::Batch;
use sp_core::id::{CtxId, IdMap, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::backtrace::{Backtrace, Header, TTL_MAX, TTL_MIN, read_header};
use super::contexts::Contexts;
use super::line::Line;
use super::queue::{Limit, Load, Spares, cost};
use super::waiters::Waiters;
use super::{
    ContextEngine, Counter, Effects, Engine, RecvBlocked, RecvEngine, SendBlocked, SendEngine,
    WhenFull,
};

use link::Link;
pub use options::{RepOptions, RespondentOptions};

mod link;
mod options;

/// Answers requests.
pub type Rep = Answerer<Requests>;

/// Answers surveys: to it each is a request. One that it leaves unanswered costs nothing.
pub type Respondent = Answerer<Surveys>;

/// What an [`Answerer`] is asked: all that tells one pattern from the other.
pub trait Asked: sealed::Sealed + fmt::Debug + Send + 'static {
    /// The number of those who ask.
    const BY: ProtocolId;
    /// The number of those who answer.
    const OF: ProtocolId;
}

/// REQ asks one REP.
#[derive(Debug)]
pub enum Requests {}

/// SURVEYOR asks every RESPONDENT.
#[derive(Debug)]
pub enum Surveys {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Requests {}
    impl Sealed for super::Surveys {}
}

impl Asked for Requests {
    const BY: ProtocolId = ProtocolId::REQ;
    const OF: ProtocolId = ProtocolId::REP;
}

impl Asked for Surveys {
    const BY: ProtocolId = ProtocolId::SURVEYOR;
    const OF: ProtocolId = ProtocolId::RESPONDENT;
}

/// Receives a request and sends the reply to it back the way it came; each context holds one request.
///
/// A send without a held request is refused, and each send ends the hold. A receive that takes another request
/// discards the one held. Peers are served in turn. A reply never waits in the caller: without room on the pipe
/// it is parked with its peer, and until it has left, no further request of that peer is handed out nor taken. So
/// a peer that does not read its replies holds up itself alone.
///
/// What waits is bounded for each peer and for all of them together:
///
/// - Requests wait per peer up to a limit, a count and half of the bytes of all. A peer beyond it is not read, or what
///   comes is dropped, as [`WhenFull`] says.
///   Once the requests of all peers reach their limit, no peer is read until half of it is free; then those
///   held back go on one after the other.
/// - Where nothing but the requests of peers that do not read their replies keeps others from being read, those
///   requests are dropped and counted.
/// - Once the parked replies of all peers reach the limit, only requests are handed out whose reply will find
///   room: one at a time of each peer whose pipe has some. So no more is ever parked than the limit and one
///   reply per context.
#[derive(Debug)]
pub struct Answerer<A> {
    ttl: u8,
    when_full: WhenFull,
    contexts: Contexts<Conversation>,
    peers: IdMap<PeerId, Link>,
    /// For the requests of peers of which some will wait.
    spares: Spares,
    /// The requests that wait, of all peers.
    waiting: Load,
    /// The replies that are parked, of all peers.
    parked: Load,
    /// Exactly the peers that are ready.
    line: Line<PeerId>,
    /// Peers told to stop that nothing but the requests of others keeps from going on.
    held_back: Line<PeerId>,
    /// Peers passed over because a context holds a request of theirs.
    held_up: Line<PeerId>,
    receivers: Waiters,
    asked: PhantomData<A>,
}

/// One context: the request it has received and not yet answered.
#[derive(Debug, Default)]
struct Conversation {
    hold: Option<(PeerId, Backtrace)>,
}

impl<A: Asked> Engine for Answerer<A> {
    const SELF: ProtocolId = A::OF;
    const PEER: ProtocolId = A::BY;
    type Options = RepOptions;

    fn new(options: RepOptions, _seed: u64) -> Self {
        let Limit { messages, bytes } = options.limit;
        Self {
            ttl: options.ttl.clamp(TTL_MIN, TTL_MAX),
            when_full: options.when_full,
            contexts: Contexts::new(Conversation::default()),
            peers: IdMap::new(),
            // Half of the bytes, so that a flood from one peer alone does not keep out the rest.
            spares: Spares::new(Limit { messages, bytes: bytes / 2 }),
            waiting: Load::new(bytes),
            parked: Load::new(bytes),
            line: Line::new(),
            held_back: Line::new(),
            held_up: Line::new(),
            receivers: Waiters::new(),
            asked: PhantomData,
        }
    }

    fn opened(&mut self, peer: PeerId, _fx: &mut impl Effects) -> Result<(), CloseReason> {
        self.peers.insert(peer, Link::default());
        Ok(())
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        let Some(link) = self.peers.remove(peer) else { return };
        self.line.remove(peer);
        self.held_back.remove(peer);
        self.held_up.remove(peer);
        self.waiting.remove(link.waiting_cost());
        fx.count_times(Counter::LostWithPeer, link.waiting());
        fx.count_times(Counter::PeerGone, link.parked());
        self.unpark(link.parked_cost(), fx);
        // It may have been the one whose turn it was to go on, or have left room for others to.
        self.read_on(fx);
    }

    fn room(&mut self, peer: PeerId, fx: &mut impl Effects) {
        let Some(link) = self.peers.get_mut(peer) else { return };
        if link.is_ready() {
            return;
        }
        let mut left = 0_usize;
        while link.has_parked() && fx.room(peer) {
            if let Some(mut msg) = link.unpark() {
                left = left.saturating_add(cost(&msg));
                fx.transmit(peer, &mut msg);
            }
        }
        self.serve_again(peer, fx);
        self.unpark(left, fx);
    }

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        // For one whose own replies keep it from being read no way is made: it would not go on.
        if self.waiting.is_full() && self.peers.get(peer).is_some_and(Link::is_open) {
            self.make_way(fx);
        }
        let Some(link) = self.peers.get_mut(peer) else {
            // We have closed it; its last words do not count.
            batch.clear();
            return Flow::More;
        };
        while !batch.is_empty() {
            if !link.is_open() || link.is_full() || self.waiting.is_full() {
                if self.when_full == WhenFull::Block {
                    break;
                }
                fx.count_for(peer, Counter::DroppedOnReceive, 1);
                // Where its replies stand in the way, older requests would make way for nothing.
                let is_oldest = self.when_full == WhenFull::DropOldest && link.is_open();
                match is_oldest.then(|| link.pop()).flatten() {
                    Some(oldest) => self.waiting.remove(cost(&oldest)),
                    None => drop(batch.pop()),
                }
                if link.waiting() == 0 {
                    self.line.remove(peer);
                }
                continue;
            }
            let Some(mut msg) = batch.pop() else { break };
            match read_header(&mut msg, self.ttl) {
                Header::Whole => {}
                Header::TooFar => {
                    fx.count_for(peer, Counter::HopLimit, 1);
                    continue;
                }
                Header::Broken => {
                    batch.clear();
                    self.closed(peer, fx);
                    fx.close(peer, CloseReason::BadHeader { protocol: Self::SELF });
                    return Flow::More;
                }
            }
            self.waiting.add(cost(&msg));
            link.ask(msg, &mut self.spares);
            self.line.push(peer);
            self.receivers.wake_recv(1, fx);
        }
        link.is_paused = !batch.is_empty();
        let flow = if link.is_paused { Flow::Pause } else { Flow::More };
        if link.may_go_on() {
            self.held_back.push(peer);
        }
        self.resume_next(fx);
        flow
    }

    fn wake_unused(&mut self, _ctx: CtxId, fx: &mut impl Effects) {
        self.pass_wake_on(fx);
    }

    fn close_ctx(&mut self, ctx: CtxId, fx: &mut impl Effects) {
        let Some(ended) = self.contexts.close(ctx, Conversation::default()) else { return };
        self.leave_unanswered(ended.hold, fx);
        self.receivers.remove(ctx);
        fx.wake_recv(ctx);
        self.pass_wake_on(fx);
    }
}

impl<A: Asked> SendEngine for Answerer<A> {
    fn try_send(
        &mut self,
        ctx: CtxId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked> {
        let held = self.contexts.get_mut(ctx).and_then(|talk| talk.hold.take());
        let Some((peer, trace)) = held else {
            msg.clear_header();
            return Err(SendBlocked::State);
        };
        let Some(link) = self.peers.get_mut(peer) else {
            fx.count(Counter::PeerGone);
            return Ok(());
        };
        trace.put_on(msg);
        if !link.has_parked() && fx.room(peer) {
            fx.transmit(peer, msg);
        } else {
            self.parked.add(cost(msg));
            link.park(mem::take(msg));
            self.line.remove(peer);
            self.held_back.remove(peer);
        }
        self.let_go(peer, fx);
        Ok(())
    }
}

impl<A: Asked> RecvEngine for Answerer<A> {
    fn try_recv(
        &mut self,
        ctx: CtxId,
        into: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), RecvBlocked> {
        if !self.contexts.contains(ctx) {
            return Err(RecvBlocked::State);
        }
        let next = self.next_request(into, fx);
        self.read_on(fx);
        let Some(peer) = next else {
            self.receivers.add(ctx);
            return Err(RecvBlocked::Empty);
        };
        let hold = (peer, Backtrace::take_from(into));
        let before = self.contexts.get_mut(ctx).and_then(|talk| talk.hold.replace(hold));
        self.leave_unanswered(before, fx);
        Ok(())
    }

    fn recv_abandoned(&mut self, _ctx: CtxId, fx: &mut impl Effects) {
        self.pass_wake_on(fx);
    }
}

impl<A: Asked> ContextEngine for Answerer<A> {
    fn open_ctx(&mut self) -> CtxId {
        self.contexts.open(Conversation::default())
    }
}

impl<A: Asked> Answerer<A> {
    /// Takes the first request of the peer whose turn it is.
    fn next_request(&mut self, into: &mut Message, fx: &impl Effects) -> Option<PeerId> {
        while let Some(peer) = self.line.pop() {
            let Some(link) = self.peers.get_mut(peer) else { continue };
            debug_assert!(link.is_ready(), "{peer} stands in line");
            if self.parked.is_full() && (!fx.room(peer) || link.held > 0) {
                // It comes back when it has room, or when a request of it is held no more or fewer replies are parked.
                link.passed_over = true;
                self.held_back.remove(peer);
                if link.held > 0 {
                    self.held_up.push(peer);
                }
                continue;
            }
            if !link.pop_into(into, &mut self.spares) {
                continue;
            }
            self.waiting.remove(cost(into));
            link.held = link.held.saturating_add(1);
            if link.is_ready() {
                self.line.push(peer);
            }
            if link.may_go_on() {
                self.held_back.push(peer);
            }
            return Some(peer);
        }
        None
    }

    /// Lets a peer go on that is held back, if there is room or some can be made.
    fn read_on(&mut self, fx: &mut impl Effects) {
        if !self.held_back.is_empty() {
            self.make_way(fx);
            self.resume_next(fx);
        }
    }

    /// Drops what peers that do not read their replies have asked, until half of the room for requests is free,
    /// if nothing else waits: such requests would stay as long as their peers like.
    fn make_way(&mut self, fx: &mut impl Effects) {
        if !self.line.is_empty() {
            return;
        }
        for (peer, link) in self.peers.iter_mut() {
            if self.waiting.is_half_free() {
                break;
            }
            if link.waiting() == 0 || fx.room(peer) {
                continue;
            }
            self.waiting.remove(link.waiting_cost());
            fx.count_for(peer, Counter::DroppedOnReceive, link.clear());
        }
    }

    /// Lets the peer go on that has been held back longest, if half of the room for requests is free.
    ///
    /// One at a time: what it brings is followed by another call of this, by its arrival or its end.
    fn resume_next(&mut self, fx: &mut impl Effects) {
        if self.waiting.is_half_free()
            && let Some(peer) = self.held_back.pop()
            && let Some(link) = self.peers.get_mut(peer)
        {
            link.is_paused = false;
            fx.resume(peer);
        }
    }

    /// Something that kept the requests of `peer` from being taken and handed out is over.
    fn serve_again(&mut self, peer: PeerId, fx: &mut impl Effects) {
        let Some(link) = self.peers.get_mut(peer) else { return };
        link.passed_over = false;
        self.held_up.remove(peer);
        if link.is_ready() {
            self.line.push(peer);
            self.receivers.wake_recv(link.waiting(), fx);
        }
        if link.may_go_on() {
            self.held_back.push(peer);
        }
        self.read_on(fx);
    }

    /// Replies that cost `bytes` are parked no more.
    ///
    /// Once fewer are parked than may be, those held up have their turn: the context that holds a request of theirs
    /// may wait for the next one, and would wait for ever.
    fn unpark(&mut self, bytes: usize, fx: &mut impl Effects) {
        let was_full = self.parked.is_full();
        self.parked.remove(bytes);
        if !was_full || self.parked.is_full() {
            return;
        }
        while let Some(peer) = self.held_up.pop() {
            self.serve_again(peer, fx);
        }
    }

    /// A context no longer holds a request of `peer`.
    fn let_go(&mut self, peer: PeerId, fx: &mut impl Effects) {
        let Some(link) = self.peers.get_mut(peer) else { return };
        link.held = link.held.saturating_sub(1);
        if link.passed_over {
            self.serve_again(peer, fx);
        }
    }

    /// A context has given up the request it held, if any.
    fn leave_unanswered(&mut self, held: Option<(PeerId, Backtrace)>, fx: &mut impl Effects) {
        if let Some((peer, _)) = held {
            fx.count_for(peer, Counter::Unanswered, 1);
            self.let_go(peer, fx);
        }
    }

    /// A receive that may have been woken is gone: another one is, if there is something to receive.
    fn pass_wake_on(&mut self, fx: &mut impl Effects) {
        if !self.line.is_empty() {
            self.receivers.wake_recv(1, fx);
        }
    }
}

#[cfg(test)]
mod tests;
