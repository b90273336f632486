//! One context of a REQ: what it has asked and what has become of it.

use std::time::{Duration, Instant};

use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;

use super::ReqOptions;
use crate::engine::numbers::RequestIds;
use crate::engine::{Effects, RecvBlocked};

/// A context's state, and what is still owed to its receive.
#[derive(Debug)]
pub(super) struct Conversation {
    /// After what time its requests are sent again, if ever.
    pub(super) resend_time: Option<Duration>,
    pub(super) state: State,
    /// A receive was told that nothing is there. It may wait, or have asked in passing.
    was_empty: bool,
    /// A receive waits for a request that has been replaced; it is to hear of it, once.
    canceled: bool,
    /// What stands among the deadlines for this context.
    pub(super) deadline: Option<Instant>,
    /// To whom a request of it went last, if that one is still there: where it stands among those who asked.
    pub(super) asked_last: Option<PeerId>,
}

/// Where a conversation stands.
#[derive(Debug, Default)]
pub(super) enum State {
    /// Nothing asked.
    #[default]
    Idle,
    /// A request is under way and its id in use.
    Asked(Request),
    /// The reply waits to be received.
    Replied(Message),
    /// The peer went away with the request; the next receive hears of it.
    Lost,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: u32,
    /// The request, its id on it, if it may be sent again.
    pub(super) kept: Option<Message>,
    /// Where it was last sent; `None` while it is to be sent again.
    pub(super) peer: Option<PeerId>,
    /// When it is to be sent again, if time passes at all.
    pub(super) due: Option<Instant>,
}

impl Conversation {
    pub(super) fn new(options: &ReqOptions) -> Self {
        Self {
            resend_time: options.resend_time.filter(|every| !every.is_zero()),
            state: State::Idle,
            was_empty: false,
            canceled: false,
            deadline: None,
            asked_last: None,
        }
    }

    /// What a receive gets now.
    pub(super) fn take_reply(
        &mut self,
        ctx: CtxId,
        fx: &mut impl Effects,
    ) -> Result<Message, RecvBlocked> {
        if matches!(self.state, State::Asked(_)) && !self.canceled {
            self.was_empty = true;
            return Err(RecvBlocked::Empty);
        }
        self.was_empty = false;
        if fx.recv_waits(ctx) {
            // A second receive waits for what this one takes away.
            fx.wake_recv(ctx);
        }
        if std::mem::take(&mut self.canceled) {
            return Err(RecvBlocked::Canceled);
        }
        match std::mem::take(&mut self.state) {
            State::Replied(msg) => Ok(msg),
            State::Lost => Err(RecvBlocked::PeerGone),
            State::Idle | State::Asked(_) => Err(RecvBlocked::State),
        }
    }

    /// Back to idle because of a new request; a receive that waits for the old one is canceled.
    pub(super) fn forget(&mut self, ctx: CtxId, ids: &mut RequestIds, fx: &mut impl Effects) {
        if let State::Asked(request) = std::mem::take(&mut self.state) {
            ids.remove(request.id);
        }
        if std::mem::take(&mut self.was_empty) && fx.recv_waits(ctx) {
            self.canceled = true;
            fx.wake_recv(ctx);
        }
    }

    /// The receive that waited is gone: so is the request, but not a reply that is there already.
    pub(super) fn give_up(&mut self, ctx: CtxId, ids: &mut RequestIds, fx: &mut impl Effects) {
        self.was_empty = false;
        if std::mem::take(&mut self.canceled) {
            // It waited for an earlier request; the present one is not its own.
            return;
        }
        if let State::Asked(request) = &self.state {
            ids.remove(request.id);
            self.state = State::Idle;
        }
        // Others that received here find the request over, or take the reply this one was woken for.
        fx.wake_recv(ctx);
    }

    /// The request, if it is to be sent again.
    pub(super) const fn again(&mut self) -> Option<&mut Message> {
        match &mut self.state {
            State::Asked(Request { kept: Some(kept), peer: None, .. }) => Some(kept),
            _ => None,
        }
    }
}
