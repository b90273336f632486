//! REP: answers requests.

use std::collections::VecDeque;
use std::fmt;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, IdMap, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::backtrace::{Backtrace, Header, read_header};
use super::contexts::Contexts;
use super::queue::Queue;
use super::waiters::Waiters;
use super::{
    BadOption, ContextEngine, Counter, Effects, Engine, Options, RecvBlocked, RecvEngine,
    SendBlocked, SendEngine, check_queue,
};

/// Receives a request and sends the reply to it back the way it came; each context holds one request.
///
/// A send without a held request is refused, and each send ends the hold. A receive that takes another request
/// discards the one held. Requests wait per peer, up to a limit beyond which the peer is not read; peers are
/// served in turn. A reply never waits in the caller: without room on the pipe it is parked with its peer,
/// and no further request of that peer is handed out until it has left. So a peer that does not read its
/// replies holds up itself alone, and at most one reply per context is ever parked.
#[derive(Debug)]
pub struct Rep {
    ttl: u8,
    queue: usize,
    contexts: Contexts<Conversation>,
    peers: IdMap<PeerId, Link>,
    /// Peers with requests, each at most once; some may turn out not to be ready.
    line: VecDeque<PeerId>,
    receivers: Waiters,
}

/// One context: the request it has received and not yet answered.
#[derive(Debug, Default)]
struct Conversation {
    hold: Option<(PeerId, Backtrace)>,
}

/// What waits for and from one peer.
#[derive(Debug)]
struct Link {
    /// Requests to be received, the backtrace in their header.
    requests: Queue,
    /// Replies for which the pipe had no room. While there are any, a room event is promised.
    replies: VecDeque<Message>,
    /// Stands in the line.
    in_line: bool,
    /// Told to stop reading.
    is_paused: bool,
}

impl Engine for Rep {
    const SELF: ProtocolId = ProtocolId::REP;
    const PEER: ProtocolId = ProtocolId::REQ;
    type Options = RepOptions;

    fn new(options: RepOptions, _seed: u64) -> Self {
        Self {
            ttl: options.ttl.clamp(TTL_MIN, TTL_MAX),
            queue: options.queue,
            contexts: Contexts::new(),
            peers: IdMap::new(),
            line: VecDeque::new(),
            receivers: Waiters::new(),
        }
    }

    fn opened(&mut self, peer: PeerId, _fx: &mut impl Effects) -> Result<(), CloseReason> {
        self.peers.insert(peer, Link::new(self.queue));
        Ok(())
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        let Some(link) = self.peers.remove(peer) else { return };
        if link.in_line {
            self.line.retain(|&other| other != peer);
        }
        for _ in 0..link.requests.len() {
            fx.count(Counter::LostWithPeer);
        }
        for _ in &link.replies {
            fx.count(Counter::PeerGone);
        }
    }

    fn room(&mut self, peer: PeerId, fx: &mut impl Effects) {
        let Some(link) = self.peers.get_mut(peer) else { return };
        if link.replies.is_empty() {
            return;
        }
        while !link.replies.is_empty() && fx.room(peer) {
            if let Some(msg) = link.replies.pop_front() {
                fx.transmit(peer, msg);
            }
        }
        if link.is_ready() {
            // Its requests count again.
            link.stand(peer, &mut self.line);
            for _ in 0..link.requests.len() {
                if !self.receivers.wake_recv(fx) {
                    break;
                }
            }
        }
    }

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        let Some(link) = self.peers.get_mut(peer) else {
            // We have closed it; its last words do not count.
            batch.clear();
            return Flow::More;
        };
        while !link.requests.is_full() {
            let Some(mut msg) = batch.pop() else { return Flow::More };
            match read_header(&mut msg, self.ttl) {
                Header::Whole => {}
                Header::TooFar => {
                    fx.count(Counter::HopLimit);
                    continue;
                }
                Header::Broken => {
                    batch.clear();
                    self.closed(peer, fx);
                    fx.close(peer, CloseReason::BadHeader { protocol: Self::SELF });
                    return Flow::More;
                }
            }
            msg.set_source(Some(peer));
            let queued = link.requests.push(msg);
            debug_assert!(queued.is_ok(), "it was not full");
            if link.is_ready() {
                link.stand(peer, &mut self.line);
                self.receivers.wake_recv(fx);
            }
        }
        if batch.is_empty() {
            return Flow::More;
        }
        link.is_paused = true;
        Flow::Pause
    }
}

impl SendEngine for Rep {
    fn try_send(
        &mut self,
        ctx: CtxId,
        mut msg: Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked> {
        let held = self.contexts.get_mut(ctx).and_then(|talk| talk.hold.take());
        let Some((peer, trace)) = held else {
            msg.clear_header();
            return Err(SendBlocked::State(msg));
        };
        let Some(link) = self.peers.get_mut(peer) else {
            fx.count(Counter::PeerGone);
            return Ok(());
        };
        trace.put_on(&mut msg);
        if link.replies.is_empty() && fx.room(peer) {
            fx.transmit(peer, msg);
        } else {
            link.replies.push_back(msg);
        }
        Ok(())
    }
}

impl RecvEngine for Rep {
    fn try_recv(&mut self, ctx: CtxId, fx: &mut impl Effects) -> Result<Message, RecvBlocked> {
        if !self.contexts.contains(ctx) {
            return Err(RecvBlocked::State);
        }
        let Some((peer, mut msg)) = self.next_request(fx) else {
            self.receivers.add(ctx);
            return Err(RecvBlocked::Empty);
        };
        let trace = Backtrace::take_from(&mut msg);
        if let Some(talk) = self.contexts.get_mut(ctx)
            && talk.hold.replace((peer, trace)).is_some()
        {
            fx.count(Counter::Unanswered);
        }
        Ok(msg)
    }

    fn recv_abandoned(&mut self, _ctx: CtxId, fx: &mut impl Effects) {
        self.pass_wake_on(fx);
    }
}

impl ContextEngine for Rep {
    fn open_ctx(&mut self) -> CtxId {
        self.contexts.open()
    }

    fn close_ctx(&mut self, ctx: CtxId, fx: &mut impl Effects) {
        let Some(ended) = self.contexts.close(ctx) else { return };
        if ended.hold.is_some() {
            fx.count(Counter::Unanswered);
        }
        self.receivers.remove(ctx);
        fx.wake_recv(ctx);
        self.pass_wake_on(fx);
    }
}

impl Rep {
    /// The first request of the peer whose turn it is.
    fn next_request(&mut self, fx: &mut impl Effects) -> Option<(PeerId, Message)> {
        while let Some(peer) = self.line.pop_front() {
            let Some(link) = self.peers.get_mut(peer) else { continue };
            link.in_line = false;
            if !link.replies.is_empty() {
                // It comes back when they have left.
                continue;
            }
            let Some(msg) = link.requests.pop() else { continue };
            if link.is_ready() {
                link.stand(peer, &mut self.line);
            }
            if link.is_paused && link.requests.is_half_free() {
                link.is_paused = false;
                fx.resume(peer);
            }
            return Some((peer, msg));
        }
        None
    }

    /// A receive that may have been woken is gone: another one is, if there is something to receive.
    fn pass_wake_on(&mut self, fx: &mut impl Effects) {
        if !self.line.is_empty() {
            self.receivers.wake_recv(fx);
        }
    }
}

impl Link {
    fn new(queue: usize) -> Self {
        Self {
            requests: Queue::new(queue),
            replies: VecDeque::new(),
            in_line: false,
            is_paused: false,
        }
    }

    /// Stands in line to be served; once is enough.
    fn stand(&mut self, peer: PeerId, line: &mut VecDeque<PeerId>) {
        if !std::mem::replace(&mut self.in_line, true) {
            line.push_back(peer);
        }
    }

    /// Whether a request of this peer may be handed out.
    fn is_ready(&self) -> bool {
        self.replies.is_empty() && !self.requests.is_empty()
    }
}

/// What can be set of a [`Rep`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepOptions {
    ttl: u8,
    queue: usize,
}

impl RepOptions {
    /// The defaults: 8 words of backtrace, 128 waiting requests per peer.
    pub const fn new() -> Self {
        Self { ttl: TTL, queue: QUEUE }
    }

    /// How many words of backtrace a request may carry, 1 to 15: one for itself and one for each device on
    /// its way. What comes from farther is dropped.
    #[must_use]
    pub const fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    /// How many requests of each peer may wait to be received, at least 1; beyond it the peer is not read.
    #[must_use]
    pub const fn queue(self, queue: usize) -> Self {
        Self { queue, ..self }
    }
}

impl Default for RepOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Options for RepOptions {
    fn check(&self) -> Result<(), BadOption> {
        if !(TTL_MIN..=TTL_MAX).contains(&self.ttl) {
            let value = self.ttl.to_string();
            return Err(BadOption { option: "ttl", value, allowed: "1 to 15" });
        }
        check_queue(self.queue)
    }
}

impl fmt::Display for RepOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ttl {}, queue {}", self.ttl, self.queue)
    }
}

/// What all peers use (sp-wire 3.0).
const TTL: u8 = 8;
const TTL_MIN: u8 = 1;
/// A header holds 16 words, one of which a raw socket may need for itself.
const TTL_MAX: u8 = 15;

/// Per peer, so that no peer's flood keeps another out. About what one read brings of small requests; a
/// client with one context never has more than one.
const QUEUE: usize = 128;

#[cfg(test)]
mod tests;
