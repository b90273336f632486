//! SURVEYOR: asks everybody, and gathers the answers that come in time.

use std::fmt;
use std::time::Duration;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, IdMap, PeerId, TimerKey};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::contexts::Contexts;
use super::deadlines::Deadlines;
use super::each::send_to_each;
use super::line::Line;
use super::numbers::RequestIds;
use super::paused::Paused;
use super::queue::{DEFAULTS, Limit};
use super::{
    BadOption, ContextEngine, Counter, Effects, Engine, Options, RecvBlocked, RecvEngine,
    SendBlocked, SendEngine, TunableEngine, WhenFull,
};

use survey::{Open, State, Survey};

mod survey;

/// Sends a survey to every peer that has room and receives the responses to it, until its time is over; each context
/// has one survey at a time.
///
/// ```text
///             send                 survey time passes
///     idle ----------> open -------------------------------> over
///                      |  ^ responses queue up, recv takes them |
///                      +--+ a send begins a new one <-----------+
/// ```
///
/// A send never waits. It ends the survey before: receives that wait for that are canceled, responses to it are
/// dropped, those that came too late included. A response that came in time can be received at any time before the
/// next survey. What comes while as many wait as may is dropped, or stays with its peer, as [`WhenFull`] says. A peer
/// without room does not get the survey, which is counted; a peer that comes later does not
/// either. Only the id decides to which survey a response belongs, not the pipe it comes from.
#[derive(Debug)]
pub struct Surveyor {
    /// What contexts start from that have no options of their own.
    options: SurveyorOptions,
    contexts: Contexts<Survey>,
    /// Exactly the surveys of contexts in state open.
    ids: RequestIds,
    peers: IdMap<PeerId, ()>,
    /// At most one entry per context, noted there; not after the end of its survey.
    deadlines: Deadlines,
    /// Contexts that block and for whose open survey there was no room.
    full: Line<CtxId>,
    /// Peers that are not read because of these.
    paused: Paused,
}

impl Engine for Surveyor {
    const SELF: ProtocolId = ProtocolId::SURVEYOR;
    const PEER: ProtocolId = ProtocolId::RESPONDENT;
    const ASKS: bool = true;
    type Options = SurveyorOptions;

    fn new(options: SurveyorOptions, seed: u64) -> Self {
        Self {
            contexts: Contexts::new(Survey::new(&options)),
            options,
            ids: RequestIds::new(seed),
            peers: IdMap::new(),
            deadlines: Deadlines::new(SURVEY_END),
            full: Line::new(),
            paused: Paused::new(),
        }
    }

    fn opened(&mut self, peer: PeerId, _fx: &mut impl Effects) -> Result<(), CloseReason> {
        self.peers.insert(peer, ());
        Ok(())
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        if self.peers.remove(peer).is_some() {
            self.paused.closed(peer, self.full.is_empty(), fx);
        }
    }

    fn room(&mut self, _peer: PeerId, _fx: &mut impl Effects) {}

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        if !self.peers.contains(peer) {
            // We have closed it; its last words do not count.
            batch.clear();
            return Flow::More;
        }
        let before = batch.len();
        while let Some(first) = batch.first() {
            let Some(id) = first.body().first_chunk() else {
                batch.clear();
                self.closed(peer, fx);
                fx.close(peer, CloseReason::BadHeader { protocol: Self::SELF });
                return Flow::More;
            };
            let owner = self.ids.owner(u32::from_be_bytes(*id));
            let survey = owner.and_then(|ctx| Some((ctx, self.contexts.get_mut(ctx)?)));
            // Its timer may be late.
            let open = survey.filter(|(_, survey)| survey.is_open(fx));
            if let Some((ctx, survey)) = &open
                && survey.is_blocked()
            {
                self.full.push(*ctx);
                return self.paused.stopped(peer, before.saturating_sub(batch.len()));
            }
            let Some(mut msg) = batch.pop() else { break };
            match open {
                Some((ctx, survey)) => {
                    msg.take_header_word();
                    msg.clear_header();
                    survey.keep(msg, ctx, fx);
                }
                None => fx.count_for(peer, Counter::StaleReply, 1),
            }
        }
        self.paused.emptied(peer, self.full.is_empty(), fx)
    }

    fn timer(&mut self, key: TimerKey, fx: &mut impl Effects) {
        debug_assert_eq!(key, SURVEY_END);
        let now = fx.now();
        self.deadlines.fired();
        while let Some(ctx) = self.deadlines.pop_due(now) {
            let Some(survey) = self.contexts.get_mut(ctx) else { continue };
            survey.deadline = None;
            let State::Open(Open { id, end: Some(end) }) = survey.state else { continue };
            if end > now {
                // The survey this was meant for is over; it stands for the one that followed.
                survey.deadline = Some(end);
                self.deadlines.push(end, ctx);
            } else {
                self.ids.remove(id);
                survey.state = State::Over;
                fx.wake_recv(ctx);
                self.full.remove(ctx);
            }
        }
        self.deadlines.arm(fx);
        self.read_on(fx);
    }

    fn wake_unused(&mut self, ctx: CtxId, _fx: &mut impl Effects) {
        // A response is for one context alone. One who was to hear that its survey was canceled hears nothing.
        if let Some(survey) = self.contexts.get_mut(ctx) {
            survey.canceled = survey.canceled.saturating_sub(1);
        }
    }

    fn close_ctx(&mut self, ctx: CtxId, fx: &mut impl Effects) {
        let fresh = Survey::new(&self.options);
        let Some(mut ended) = self.contexts.close(ctx, fresh) else { return };
        ended.end(&mut self.ids, fx);
        if let Some(at) = ended.deadline {
            self.deadlines.remove(at, ctx);
        }
        fx.wake_recv(ctx);
        self.full.remove(ctx);
        self.read_on(fx);
    }
}

impl SendEngine for Surveyor {
    fn try_send(
        &mut self,
        ctx: CtxId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked> {
        msg.clear_header();
        let Some(survey) = self.contexts.get_mut(ctx) else { return Err(SendBlocked::State) };
        survey.end(&mut self.ids, fx);
        survey.cancel(ctx, fx);
        let id = self.ids.assign(ctx);
        let end = fx.now().checked_add(survey.time);
        survey.state = State::Open(Open { id, end });
        if let Some(end) = end
            && survey.deadline.is_none()
        {
            survey.deadline = Some(end);
            self.deadlines.push(end, ctx);
            self.deadlines.arm(fx);
        }
        let fits = msg.push_header(id);
        debug_assert!(fits, "the header was empty");
        send_to_each(self.peers.iter().map(|(peer, ())| peer), msg, fx);
        self.full.remove(ctx);
        self.read_on(fx);
        Ok(())
    }
}

impl RecvEngine for Surveyor {
    fn try_recv(
        &mut self,
        ctx: CtxId,
        into: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), RecvBlocked> {
        let survey = self.contexts.get_mut(ctx).ok_or(RecvBlocked::State)?;
        let taken = survey.take_response(ctx, into, fx);
        if survey.is_half_free() {
            self.full.remove(ctx);
        }
        self.read_on(fx);
        taken
    }
}

impl ContextEngine for Surveyor {
    fn open_ctx(&mut self) -> CtxId {
        self.contexts.open(Survey::new(&self.options))
    }
}

impl TunableEngine for Surveyor {
    fn open_ctx_with(&mut self, options: SurveyorOptions) -> CtxId {
        self.contexts.open(Survey::new(&options))
    }
}

impl Surveyor {
    /// Lets the peer go on whose turn it is, if no survey stops it any more.
    fn read_on(&mut self, fx: &mut impl Effects) {
        self.paused.resume_next(self.full.is_empty(), fx);
    }
}

/// What can be set of a [`Surveyor`], and of each of its contexts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurveyorOptions {
    survey_time: Duration,
    limit: Limit,
    when_full: WhenFull,
}

impl SurveyorOptions {
    /// The defaults: a survey takes 1 second; 1,024 responses or 16 MiB wait, and what comes beyond that is dropped.
    pub const fn new() -> Self {
        let limit = Limit::new(DEFAULTS.recv_queue_messages);
        Self { survey_time: SURVEY_TIME, limit, when_full: WhenFull::DropNewest }
    }

    /// How long after a survey responses are taken, more than zero.
    #[must_use]
    pub const fn survey_time(self, survey_time: Duration) -> Self {
        Self { survey_time, ..self }
    }

    /// How many responses to one survey may wait to be received, at least 1; beyond it
    /// [`when_full`](Self::when_full) says what happens.
    #[must_use]
    pub const fn queue(self, queue: usize) -> Self {
        Self { limit: Limit { messages: queue, ..self.limit }, ..self }
    }

    /// How many bytes of responses to one survey may wait to be received, at least 1; beyond it as with
    /// [`queue`](Self::queue).
    ///
    /// A response counts as its body and 128 bytes. A queue that is not full takes a response of any length.
    #[must_use]
    pub const fn queue_bytes(self, queue_bytes: usize) -> Self {
        Self { limit: Limit { bytes: queue_bytes, ..self.limit }, ..self }
    }

    /// What happens when as many responses to one survey wait as may; unless set, what comes is dropped.
    ///
    /// All contexts of a socket share its connections: one that [blocks](WhenFull::Block) and is not read holds up the
    /// others, until its survey is over.
    #[must_use]
    pub const fn when_full(self, when_full: WhenFull) -> Self {
        Self { when_full, ..self }
    }
}

impl Default for SurveyorOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Options for SurveyorOptions {
    fn check(&self) -> Result<(), BadOption> {
        if self.survey_time.is_zero() {
            return Err(BadOption {
                option: "survey_time",
                value: "0 s".to_owned(),
                allowed: "more than zero",
            });
        }
        self.limit.check()
    }
}

impl fmt::Display for SurveyorOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { survey_time, limit, when_full } = self;
        write!(f, "survey_time {survey_time:?}, {limit}, when_full {when_full}")
    }
}

/// What all peers wait (sp-wire 3.2).
const SURVEY_TIME: Duration = Duration::from_secs(1);

/// The only timer of this engine.
const SURVEY_END: TimerKey = TimerKey(0);

#[cfg(test)]
mod tests;
