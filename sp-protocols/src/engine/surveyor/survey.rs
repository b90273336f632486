//! One context of a SURVEYOR: what it has asked and what has come back.

use std::time::{Duration, Instant};

use sp_core::id::CtxId;
use sp_core::message::Message;

use super::SurveyorOptions;
use crate::engine::inbox::count_dropped;
use crate::engine::numbers::RequestIds;
use crate::engine::queue::Queue;
use crate::engine::{Counter, Effects, RecvBlocked, WhenFull};

/// A context's state, and what is still owed to its receives.
#[derive(Debug)]
pub(super) struct Survey {
    /// How long its surveys take.
    pub(super) time: Duration,
    pub(super) state: State,
    /// What has come in time and was not received. Empty while idle.
    responses: Queue,
    when_full: WhenFull,
    /// Receives that waited for a survey that has been replaced, and are to hear of it.
    pub(super) canceled: usize,
    /// What stands among the deadlines for this context.
    pub(super) deadline: Option<Instant>,
}

/// Where a survey stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// Nothing asked.
    Idle,
    /// Responses are taken.
    Open(Open),
    /// Its time has passed.
    Over,
}

/// A survey under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) id: u32,
    /// When it is over, if time goes on as long.
    pub(super) end: Option<Instant>,
}

impl Survey {
    pub(super) fn new(options: &SurveyorOptions) -> Self {
        Self {
            time: options.survey_time,
            state: State::Idle,
            responses: Queue::new(options.limit),
            when_full: options.when_full,
            canceled: 0,
            deadline: None,
        }
    }

    /// What a receive gets now.
    pub(super) fn take_response(
        &mut self,
        ctx: CtxId,
        into: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), RecvBlocked> {
        if let Some(left) = self.canceled.checked_sub(1) {
            self.canceled = left;
            return Err(RecvBlocked::Canceled);
        }
        if self.responses.pop_into(into) {
            return Ok(());
        }
        if self.is_open(fx) {
            return Err(RecvBlocked::Empty);
        }
        if fx.recv_waits(ctx) {
            // There is nothing for any other receive either.
            fx.wake_recv(ctx);
        }
        Err(match self.state {
            State::Idle => RecvBlocked::State,
            State::Open(_) | State::Over => RecvBlocked::SurveyOver,
        })
    }

    /// Whether responses have to wait where they are.
    pub(super) fn is_blocked(&self) -> bool {
        self.when_full == WhenFull::Block && self.responses.is_full()
    }

    /// Whether it stops nobody any more who had to wait for it.
    pub(super) fn is_half_free(&self) -> bool {
        self.responses.is_half_free()
    }

    /// Keeps a response for the next receive, or drops what has to make way.
    pub(super) fn keep(&mut self, response: Message, ctx: CtxId, fx: &mut impl Effects) {
        let mut drop_one = |msg: &Message| count_dropped(msg, fx);
        let is_kept = match self.when_full {
            WhenFull::DropOldest => {
                self.responses.push_dropping_oldest(response, drop_one);
                true
            }
            // Where it blocks there is room.
            WhenFull::DropNewest | WhenFull::Block => {
                self.responses.push(response).inspect_err(|msg| drop_one(msg)).is_ok()
            }
        };
        if is_kept {
            fx.wake_recv(ctx);
        }
    }

    /// Back to idle; what has not been received is dropped.
    pub(super) fn end(&mut self, ids: &mut RequestIds, fx: &mut impl Effects) {
        if let State::Open(Open { id, .. }) = self.state {
            ids.remove(id);
        }
        self.state = State::Idle;
        fx.count_times(Counter::StaleReply, self.responses.clear());
    }

    /// Whoever waits for the survey before is to hear that there is a new one.
    pub(super) fn cancel(&mut self, ctx: CtxId, fx: &mut impl Effects) {
        while fx.recv_waits(ctx) {
            self.canceled = self.canceled.saturating_add(1);
            fx.wake_recv(ctx);
        }
    }

    /// Whether responses are taken now. The timer that ends a survey may be late.
    pub(super) fn is_open(&self, fx: &mut impl Effects) -> bool {
        match self.state {
            State::Open(Open { end, .. }) => end.is_none_or(|end| fx.now() < end),
            State::Idle | State::Over => false,
        }
    }
}
