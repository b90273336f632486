//! REQ: asks, and gets one answer.

use std::fmt;
use std::time::Duration;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId, TimerKey};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::contexts::Contexts;
use super::deadlines::Deadlines;
use super::groups::Groups;
use super::line::Line;
use super::numbers::RequestIds;
use super::rotation::Rotation;
use super::waiters::Waiters;
use super::{
    BadOption, ContextEngine, Counter, Effects, Engine, Options, RecvBlocked, RecvEngine,
    SendBlocked, SendEngine, TunableEngine,
};

use conversation::{Conversation, Request, State};

mod conversation;

/// Sends a request to one peer and receives the reply to it; each context has one request at a time.
///
/// ```text
///             send                  reply                recv
///     idle ----------> asked --------------> replied ----------> idle
///      ^                | peer lost, no resending            ^
///      |                +------------------> lost -----------+  (recv fails once)
///      +---------- the receive gives up
/// ```
///
/// A send in any state forgets what was before, so that a late reply to it is dropped. A request whose peer
/// is lost, or that is not answered in time, is sent again under the same id: a peer may see it twice. Only
/// the id decides whose reply it is, not the pipe it comes from. Requests go to the peers in turn.
#[derive(Debug)]
pub struct Req {
    /// What contexts start from that have no options of their own.
    options: ReqOptions,
    contexts: Contexts<Conversation>,
    /// Exactly the requests of contexts in state asked.
    ids: RequestIds,
    peers: Rotation,
    /// Contexts by the peer that they asked last, noted there, whether or not it has answered.
    asked: Groups<PeerId, CtxId>,
    /// Contexts whose request is to be sent again when a pipe has room; some may turn out not to want it any
    /// more. While this is not empty every pipe is known to be full.
    resends: Line<CtxId>,
    /// At most one entry per context, marked there; not after the deadline of its request.
    deadlines: Deadlines,
    senders: Waiters,
}

impl Engine for Req {
    const SELF: ProtocolId = ProtocolId::REQ;
    const PEER: ProtocolId = ProtocolId::REP;
    const ASKS: bool = true;
    type Options = ReqOptions;

    fn new(options: ReqOptions, seed: u64) -> Self {
        let needs_peer = options.fail_without_peer;
        Self {
            contexts: Contexts::new(Conversation::new(&options)),
            options,
            ids: RequestIds::new(seed),
            peers: Rotation::new().needing_peer(needs_peer),
            asked: Groups::new(),
            resends: Line::new(),
            deadlines: Deadlines::new(RESEND),
            senders: Waiters::new(),
        }
    }

    fn opened(&mut self, peer: PeerId, fx: &mut impl Effects) -> Result<(), CloseReason> {
        self.peers.add(peer);
        self.use_room(fx);
        Ok(())
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.peers.remove(peer);
        while let Some(ctx) = self.asked.pop(peer) {
            let Some(talk) = self.contexts.get_mut(ctx) else { continue };
            talk.asked_last = None;
            let State::Asked(request) = &mut talk.state else { continue };
            if request.peer != Some(peer) {
                continue;
            }
            if talk.resend_time.is_some() {
                request.peer = None;
                self.resends.push(ctx);
            } else {
                self.ids.remove(request.id);
                talk.state = State::Lost;
                fx.wake_recv(ctx);
            }
        }
        self.send_again(fx);
        if self.peers.is_lacking() {
            self.senders.wake_all_sends(fx);
        }
    }

    fn room(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.peers.rejoin(peer);
        self.use_room(fx);
    }

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        if !self.peers.contains(peer) {
            // We have closed it; its last words do not count.
            batch.clear();
        }
        while let Some(mut msg) = batch.pop() {
            let Some(id) = msg.take_header_word() else {
                // Its requests go elsewhere once the pipe is gone.
                self.peers.remove(peer);
                batch.clear();
                fx.close(peer, CloseReason::BadHeader { protocol: Self::SELF });
                break;
            };
            let owner = self.ids.remove(id);
            let Some((ctx, talk)) = owner.and_then(|ctx| Some((ctx, self.contexts.get_mut(ctx)?)))
            else {
                fx.count_for(peer, Counter::StaleReply, 1);
                continue;
            };
            msg.clear_header();
            talk.state = State::Replied(msg);
            fx.wake_recv(ctx);
        }
        Flow::More
    }

    fn timer(&mut self, key: TimerKey, fx: &mut impl Effects) {
        debug_assert_eq!(key, RESEND);
        let now = fx.now();
        self.deadlines.fired();
        while let Some(ctx) = self.deadlines.pop_due(now) {
            let Some(talk) = self.contexts.get_mut(ctx) else { continue };
            talk.deadline = None;
            let State::Asked(Request { peer, due: Some(due), .. }) = &mut talk.state else {
                continue;
            };
            if *due > now {
                // The request this was meant for is over; it stands for the one that followed.
                talk.deadline = Some(*due);
                self.deadlines.push(*due, ctx);
            } else {
                *peer = None;
                self.resends.push(ctx);
            }
        }
        self.send_again(fx);
        self.deadlines.arm(fx);
    }

    fn wake_unused(&mut self, _ctx: CtxId, fx: &mut impl Effects) {
        // A reply is for one context alone; room is for all.
        self.senders.wake_send(&mut self.peers, fx);
    }

    fn close_ctx(&mut self, ctx: CtxId, fx: &mut impl Effects) {
        let fresh = Conversation::new(&self.options);
        let Some(ended) = self.contexts.close(ctx, fresh) else { return };
        if let State::Asked(request) = &ended.state {
            self.ids.remove(request.id);
        }
        if let Some(peer) = ended.asked_last {
            self.asked.remove(peer, ctx);
        }
        if let Some(at) = ended.deadline {
            self.deadlines.remove(at, ctx);
        }
        self.resends.remove(ctx);
        self.senders.remove(ctx);
        fx.wake_recv(ctx);
        fx.wake_send(ctx);
        // A send of this context may have been woken for room that others wait for.
        self.senders.wake_send(&mut self.peers, fx);
    }
}

impl SendEngine for Req {
    fn try_send(
        &mut self,
        ctx: CtxId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked> {
        msg.clear_header();
        let Some(talk) = self.contexts.get_mut(ctx) else { return Err(SendBlocked::State) };
        if self.peers.is_lacking() {
            return Err(SendBlocked::NoPeer);
        }
        talk.forget(ctx, &mut self.ids, fx);
        self.send_again(fx);
        let peer = self.peers.next(fx).inspect_err(|_| self.senders.add(ctx))?;
        let id = self.ids.assign(ctx);
        let fits = msg.push_header(id);
        debug_assert!(fits, "the header was empty");
        if let Some(talk) = self.contexts.get_mut(ctx) {
            // Shared with its header on: a shared message that is changed moves to a buffer of its own.
            let kept = talk.resend_time.map(|_| msg.share());
            talk.state = State::Asked(Request { id, kept, peer: None, due: None });
        }
        fx.transmit(peer, msg);
        self.note_sent(ctx, peer, fx);
        self.senders.wake_send(&mut self.peers, fx);
        Ok(())
    }

    fn send_abandoned(&mut self, _ctx: CtxId, fx: &mut impl Effects) {
        // It may have been the one that was woken.
        self.senders.wake_send(&mut self.peers, fx);
    }
}

impl RecvEngine for Req {
    fn try_recv(
        &mut self,
        ctx: CtxId,
        into: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), RecvBlocked> {
        *into = self.contexts.get_mut(ctx).ok_or(RecvBlocked::State)?.take_reply(ctx, fx)?;
        Ok(())
    }

    fn recv_abandoned(&mut self, ctx: CtxId, fx: &mut impl Effects) {
        if let Some(talk) = self.contexts.get_mut(ctx) {
            talk.give_up(ctx, &mut self.ids, fx);
        }
    }
}

impl ContextEngine for Req {
    fn open_ctx(&mut self) -> CtxId {
        self.contexts.open(Conversation::new(&self.options))
    }
}

impl TunableEngine for Req {
    fn open_ctx_with(&mut self, options: ReqOptions) -> CtxId {
        self.contexts.open(Conversation::new(&options))
    }
}

impl Req {
    /// A pipe may have room: first for requests to be sent again, then for a send that waits.
    fn use_room(&mut self, fx: &mut impl Effects) {
        self.send_again(fx);
        self.senders.wake_send(&mut self.peers, fx);
    }

    /// Sends queued requests again, oldest first, while a pipe has room.
    fn send_again(&mut self, fx: &mut impl Effects) {
        while let Some(ctx) = self.resends.first() {
            let Some(kept) = self.contexts.get_mut(ctx).and_then(Conversation::again) else {
                self.resends.pop();
                continue;
            };
            let Ok(peer) = self.peers.next(fx) else { return };
            fx.transmit(peer, &mut kept.share());
            fx.count(Counter::Resent);
            self.resends.pop();
            self.note_sent(ctx, peer, fx);
        }
    }

    /// Notes where the request of `ctx` went and when it is to be sent again, and keeps a deadline not after
    /// that.
    fn note_sent(&mut self, ctx: CtxId, to: PeerId, fx: &mut impl Effects) {
        let Some(talk) = self.contexts.get_mut(ctx) else { return };
        let State::Asked(request) = &mut talk.state else { return };
        request.peer = Some(to);
        if talk.asked_last != Some(to) {
            if let Some(before) = talk.asked_last.replace(to) {
                self.asked.remove(before, ctx);
            }
            self.asked.push(to, ctx);
        }
        request.due = talk.resend_time.and_then(|every| fx.now().checked_add(every));
        let Some(due) = request.due else { return };
        if talk.deadline.is_none() {
            talk.deadline = Some(due);
            self.deadlines.push(due, ctx);
            self.deadlines.arm(fx);
        }
    }
}

/// What can be set of a [`Req`], and of each of its contexts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReqOptions {
    resend_time: Option<Duration>,
    fail_without_peer: bool,
}

impl ReqOptions {
    /// The defaults: an unanswered request is sent again after 60 seconds, and a send waits for a peer.
    pub const fn new() -> Self {
        Self { resend_time: Some(RESEND_TIME), fail_without_peer: false }
    }

    /// After what time an unanswered request is sent again, every time; more than zero.
    ///
    /// `None`: never, and if its peer is lost the receive fails instead of the request going elsewhere.
    #[must_use]
    pub const fn resend_time(self, resend_time: Option<Duration>) -> Self {
        Self { resend_time, ..self }
    }

    /// Whether a send fails at once while no peer is connected, instead of waiting for one; also one that waits for
    /// room when the last peer goes. A send that fails so leaves the request before it alone, and a request that
    /// was sent waits for a peer to be repeated to, as ever.
    #[must_use]
    pub const fn fail_without_peer(self, fail_without_peer: bool) -> Self {
        Self { fail_without_peer, ..self }
    }
}

impl Default for ReqOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Options for ReqOptions {
    fn check(&self) -> Result<(), BadOption> {
        if self.resend_time.is_some_and(|every| every.is_zero()) {
            return Err(BadOption {
                option: "resend_time",
                value: "0 s".to_owned(),
                allowed: "more than zero, or none",
            });
        }
        Ok(())
    }
}

impl fmt::Display for ReqOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.resend_time {
            Some(every) => write!(f, "resend_time {every:?}")?,
            None => f.write_str("resend_time none")?,
        }
        write!(f, ", fail_without_peer {}", self.fail_without_peer)
    }
}

/// What nng and mangos wait (sp-wire 3.1).
const RESEND_TIME: Duration = Duration::from_secs(60);

/// The only timer of this engine.
const RESEND: TimerKey = TimerKey(0);

#[cfg(test)]
mod tests;
