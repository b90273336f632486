//! The patterns as deterministic state machines: events in, effects out.
//!
//! An engine owns no socket, clock, lock, thread or waker, and its randomness comes from a seed. Every call
//! returns at once. Waiting, deadlines, async and cancellation exist once, in the `socket` module, for all of
//! them.
//!
//! What a peer sends cannot panic an engine: the lints below see to it. Tests are exempt.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use std::fmt;
use std::time::Instant;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId, TimerKey};
use sp_core::message::Message;
use sp_core::pipe::{Backlog, CloseReason, Flow, ProtocolId};

pub mod testing;

mod audience;
mod backtrace;
mod bus;
mod contexts;
mod cost;
mod couple;
mod deadlines;
mod each;
mod groups;
mod hops;
mod inbox;
pub(crate) mod line;
mod links;
mod numbers;
mod pair;
mod pair1;
mod pair1_poly;
mod paused;
mod prefixes;
mod publish;
mod pull;
mod push;
mod queue;
pub mod raw;
mod rep;
mod req;
mod rotation;
mod star;
mod subscribe;
mod surveyor;
mod topics;
mod waiters;

pub use audience::WhenSlow;
pub use bus::{Bus, BusOptions};
pub use pair::{Pair, PairOptions};
pub use pair1::{Pair1, Pair1Options};
pub use pair1_poly::{Pair1Poly, Pair1PolyOptions, SendToBlocked};
pub use publish::{Pub, PubOptions};
pub use pull::{Pull, PullOptions};
pub use push::{Push, PushOptions};
pub use queue::WhenFull;
pub use rep::{Answerer, Asked, Rep, RepOptions, Requests, Respondent, RespondentOptions, Surveys};
pub use req::{Req, ReqOptions};
pub use star::{Star, StarOptions};
pub use subscribe::{Sub, SubOptions};
pub use surveyor::{Surveyor, SurveyorOptions};

/// Everything an engine may want from the world.
pub trait Effects {
    /// The instant of the event being handled. Read on demand: an engine that never asks costs no clock.
    fn now(&mut self) -> Instant;

    /// Whether `peer`'s pipe takes another message; if `peer` has [joined](Self::join), whether less waits for it
    /// than may. Answering no promises one [`Engine::room`] later.
    fn room(&self, peer: PeerId) -> bool;

    /// Puts `msg` on the pipe of `peer`; its place in the order of that pipe is fixed now.
    ///
    /// Takes what it needs out of `msg`, whatever is left there. By reference, for a message that was filled a
    /// moment ago costs more to move than to send.
    fn transmit(&mut self, peer: PeerId, msg: &mut Message);

    /// From now on `peer` gets what is broadcast, and `limit` is what may wait for it. Joining again after
    /// [`leave`](Self::leave), it gets what comes then, behind what still waits.
    fn join(&mut self, peer: PeerId, limit: Backlog);

    /// `peer` gets nothing more of what is broadcast until it joins again. What waits for it still goes out.
    fn leave(&mut self, peer: PeerId);

    /// A peer that has joined and for which as much waits as may. While there is one nothing is to be broadcast.
    ///
    /// This is how a publisher asks everybody for room: it costs the same however many peers there are.
    fn slow(&mut self) -> Option<PeerId>;

    /// Drops what has waited longest for `peer` until it has room, and answers how many messages.
    fn drop_oldest(&mut self, peer: PeerId) -> usize;

    /// How many messages that were broadcast wait for `peer`; in [`Engine::closed`], how many were lost with it.
    fn waiting(&self, peer: PeerId) -> u64;

    /// Sends `msg` to every peer that has joined; its place in their order is fixed now. It is encoded once.
    ///
    /// Takes what it needs out of `msg`, as [`transmit`](Self::transmit) does.
    fn broadcast(&mut self, msg: &mut Message);

    /// Lets `peer` be read again after [`Flow::Pause`].
    fn resume(&mut self, peer: PeerId);

    /// Ends the pipe of `peer`. [`Engine::closed`] follows later.
    fn close(&mut self, peer: PeerId, why: CloseReason);

    /// One receive of `ctx` may now succeed or fail. A hint: it tries again, and may find nothing.
    fn wake_recv(&mut self, ctx: CtxId);

    /// One send of `ctx` may now succeed or fail. A hint: it tries again, and may find no room.
    fn wake_send(&mut self, ctx: CtxId);

    /// Whether a receive of `ctx` waits that has not been woken since it was answered
    /// [`RecvBlocked::Empty`].
    ///
    /// With several contexts an engine wakes one that waits, not one that asked in passing; and only a
    /// request that is waited for is reported as canceled. Answering yes when nobody waits may lose a wake, and an
    /// engine that wakes all of them asks until the answer is no.
    fn recv_waits(&self, ctx: CtxId) -> bool;

    /// Whether a send of `ctx` waits that has not been woken since it was answered [`SendBlocked::Full`].
    ///
    /// Answering yes when nobody waits may lose a wake of another context.
    fn send_waits(&self, ctx: CtxId) -> bool;

    /// Calls [`Engine::timer`] with `key` at `at`, replacing an earlier deadline of that key.
    fn arm(&mut self, key: TimerKey, at: Instant);

    /// Counts something that happened.
    fn count(&mut self, what: Counter);

    /// Counts something that happened several times.
    fn count_times(&mut self, what: Counter, times: usize) {
        for _ in 0..times {
            self.count(what);
        }
    }

    /// Counts something that happened several times with `peer`, for the socket and for that peer as long as it is
    /// connected.
    fn count_for(&mut self, _peer: PeerId, what: Counter, times: usize) {
        self.count_times(what, times);
    }
}

/// What engines count. Nothing is lost silently: whatever is dropped is counted under its reason, and for its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Counter {
    /// A reply whose request is over or was never made, or a response whose survey is.
    StaleReply,
    /// A message that passed too many devices.
    HopLimit,
    /// A reply whose requester is gone.
    PeerGone,
    /// A request discarded unanswered: its context received another, or ended.
    Unanswered,
    /// A request or survey sent again.
    Resent,
    /// A message that a slow subscriber, respondent or neighbour missed, or a datagram that the system did not send:
    /// dropped on the sending side.
    DroppedOnSend,
    /// A message dropped because it was longer than its peer or the network takes.
    TooLong,
    /// A subscriber disconnected because it was too slow.
    TooSlow,
    /// A message dropped because the receiver's queue was full.
    DroppedOnReceive,
    /// A message that no subscription wanted.
    Unwanted,
    /// A message whose header was malformed, from a peer that was not closed for it.
    Malformed,
    /// A message sent to a pattern that receives none.
    Ignored,
    /// A message that was waiting for a peer when the socket's peer went away.
    LostWithPeer,
}

impl Counter {
    /// Every counter, in the order of their display.
    pub const ALL: [Self; 13] = [
        Self::StaleReply,
        Self::HopLimit,
        Self::PeerGone,
        Self::Unanswered,
        Self::Resent,
        Self::DroppedOnSend,
        Self::TooLong,
        Self::TooSlow,
        Self::DroppedOnReceive,
        Self::Unwanted,
        Self::Malformed,
        Self::Ignored,
        Self::LostWithPeer,
    ];

    /// The counter's name in statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StaleReply => "stale_replies",
            Self::HopLimit => "hop_limit",
            Self::PeerGone => "peer_gone",
            Self::Unanswered => "unanswered",
            Self::Resent => "resent",
            Self::DroppedOnSend => "dropped_on_send",
            Self::TooLong => "too_long",
            Self::TooSlow => "too_slow",
            Self::DroppedOnReceive => "dropped_on_receive",
            Self::Unwanted => "unwanted",
            Self::Malformed => "malformed",
            Self::Ignored => "ignored",
            Self::LostWithPeer => "lost_with_peer",
        }
    }
}

/// One pattern's state machine.
pub trait Engine: Sized + Send + 'static {
    /// The pattern's own number.
    const SELF: ProtocolId;
    /// The number of the pattern it talks to.
    const PEER: ProtocolId;
    /// Whether a receive waits for the answer to what was sent, rather than for whatever comes.
    const ASKS: bool = false;
    /// What can be set before the socket opens.
    type Options: Options;

    /// A fresh engine. `seed` is the only source of its randomness.
    ///
    /// Options that [`Options::check`] refuses are brought to the nearest that can work.
    fn new(options: Self::Options, seed: u64) -> Self;

    /// A pipe to `peer` has been made.
    fn opened(&mut self, peer: PeerId, fx: &mut impl Effects) -> Result<(), CloseReason>;

    /// The pipe to `peer` is gone.
    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects);

    /// The pipe to `peer` has room again.
    fn room(&mut self, peer: PeerId, fx: &mut impl Effects);

    /// Messages came from `peer`, which they name as their source. What does not fit stays in `batch`, and then
    /// the answer is [`Flow::Pause`].
    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow;

    /// A timer is due. Patterns without timers need not care.
    fn timer(&mut self, _key: TimerKey, _fx: &mut impl Effects) {}

    /// A call of `ctx` that had been woken is gone without another try, and no other of `ctx` waits in its place:
    /// one of another context may have its turn. Patterns without contexts need not care.
    fn wake_unused(&mut self, _ctx: CtxId, _fx: &mut impl Effects) {}

    /// Bytes that the engine itself keeps to be sent: a socket that closes waits for them too. Patterns without such
    /// a queue need not care.
    fn unsent(&self) -> usize {
        0
    }

    /// Ends a conversation; what it held is dropped. Its waiting calls are the caller's to end. Patterns without
    /// contexts need not care.
    ///
    /// Closing [`CtxId::MAIN`] ends what it was about, and the context lives on.
    fn close_ctx(&mut self, _ctx: CtxId, _fx: &mut impl Effects) {}
}

/// What can be set of a pattern before its socket opens. Prints every value.
pub trait Options: Clone + Default + fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// Whether every value is in its range; names the first that is not.
    fn check(&self) -> Result<(), BadOption>;
}

/// An option outside its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("option {option} is {value}, allowed is {allowed}")]
pub struct BadOption {
    /// The option's name, as its setter is called.
    pub option: &'static str,
    /// What it was set to.
    pub value: String,
    /// What it may be set to.
    pub allowed: &'static str,
}

/// A pattern that sends.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` socket cannot send",
    note = "SUB and PULL only receive; send from the PUB or PUSH at the other end",
    note = "a polyamorous PAIR1 has `send_to`, which names the peer"
)]
pub trait SendEngine: Engine {
    /// Accepts `msg` for sending and takes what it needs out of it, or leaves its body alone.
    fn try_send(
        &mut self,
        ctx: CtxId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked>;

    /// A send of `ctx` that was waiting gave up: its deadline passed. A future that is dropped does not say so.
    fn send_abandoned(&mut self, _ctx: CtxId, _fx: &mut impl Effects) {}
}

/// A pattern that receives.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` socket cannot receive",
    note = "PUB and PUSH only send; receive on the SUB or PULL at the other end"
)]
pub trait RecvEngine: Engine {
    /// Takes the next message for `ctx` into `into`, or leaves that alone.
    ///
    /// By reference: a message that is wrapped into a result is taken apart and put together at each level.
    fn try_recv(
        &mut self,
        ctx: CtxId,
        into: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), RecvBlocked>;

    /// A receive of `ctx` that was waiting gave up: its deadline passed. A future that is dropped does not say so.
    fn recv_abandoned(&mut self, _ctx: CtxId, _fx: &mut impl Effects) {}
}

/// A pattern whose receive takes what has come and does nothing else: so it can be done before the program asks.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` socket has no receiver to hand out",
    note = "what is a request, a survey or the answer to one belongs to a conversation: receive it there"
)]
pub trait FeedEngine: RecvEngine {}

/// A pattern with several independent conversations on one socket.
///
/// [`CtxId::MAIN`] is one of them, always exists and is the socket's own `send` and `recv`.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` socket has no contexts",
    note = "REQ, REP, SUB, SURVEYOR and RESPONDENT have them"
)]
pub trait ContextEngine: Engine {
    /// Begins a conversation; [`Engine::close_ctx`] ends it.
    fn open_ctx(&mut self) -> CtxId;
}

/// A pattern each of whose contexts can have options of its own.
#[diagnostic::on_unimplemented(
    message = "the contexts of a `{Self}` socket have no options of their own",
    note = "those of REQ, SUB and SURVEYOR have; options of a REP or RESPONDENT are the socket's"
)]
pub trait TunableEngine: ContextEngine {
    /// Begins a conversation with `options` in place of the socket's.
    ///
    /// Options that [`Options::check`] refuses are brought to the nearest that can work.
    fn open_ctx_with(&mut self, options: Self::Options) -> CtxId;
}

/// Why a send did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendBlocked {
    /// There is no room now; [`Effects::wake_send`] follows when there may be.
    Full,
    /// The pattern's state does not allow a send now; waiting would not help.
    State,
    /// The message's header, which is the program's on raw sockets, is none that the pattern sends.
    Header,
    /// No peer is connected, and the socket was told not to wait for one.
    NoPeer,
}

/// Why a receive did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvBlocked {
    /// Nothing is there; [`Effects::wake_recv`] follows when something may be.
    Empty,
    /// The pattern's state does not allow a receive now; waiting would not help.
    State,
    /// The request or survey this receive waited for was replaced by a newer one.
    Canceled,
    /// The peer that had the request is gone and the request is not to be repeated.
    PeerGone,
    /// The time of the survey is over, and all that came in time has been received.
    SurveyOver,
}
