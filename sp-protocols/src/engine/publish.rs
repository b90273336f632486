//! PUB: publishes to every subscriber.

use std::fmt;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::audience::Audience;
use super::queue::{DEFAULTS, Limit};
use super::waiters::Waiters;
use super::{BadOption, Counter, Effects, Engine, Options, SendBlocked, SendEngine};

/// Sends each message to every peer; receives nothing.
///
/// What is published waits for each peer on its own, up to a limit; [`SlowSubscriber`] says what happens then. Only
/// with [`SlowSubscriber::Block`] does a send ever wait; it never fails. A peer that sends is closed.
#[derive(Debug)]
pub struct Pub {
    audience: Audience,
    policy: SlowSubscriber,
    /// Contexts whose send was told to wait for a slow peer.
    senders: Waiters,
}

impl Pub {
    /// Deals with a peer for which as much waits as may. Answers no if the send has to wait for it.
    fn make_room(&mut self, peer: PeerId, fx: &mut impl Effects) -> bool {
        match self.policy {
            SlowSubscriber::DropOldest => {
                let dropped = fx.drop_oldest(peer);
                fx.count_for(peer, Counter::DroppedOnSend, dropped);
            }
            SlowSubscriber::DropNewest => self.audience.leave_out(peer, fx),
            SlowSubscriber::Disconnect => {
                fx.count_for(peer, Counter::TooSlow, 1);
                let why = CloseReason::TooSlow { waiting: fx.waiting(peer) };
                self.audience.close(peer, why, fx);
            }
            // Asking makes the world say when there is room; there may be some by now.
            SlowSubscriber::Block => return fx.room(peer),
        }
        true
    }

    /// Wakes a send that waits if nobody is slow any more. Its success wakes the next.
    fn wake_sender(&mut self, fx: &mut impl Effects) {
        self.senders.wake_send_if(everybody_has_room, fx);
    }
}

/// Whether nobody is slow. If somebody is, the world will say when that one has room.
fn everybody_has_room<F: Effects>(fx: &mut F) -> bool {
    while let Some(peer) = fx.slow() {
        if !fx.room(peer) {
            return false;
        }
    }
    true
}

impl Engine for Pub {
    const SELF: ProtocolId = ProtocolId::PUB;
    const PEER: ProtocolId = ProtocolId::SUB;
    type Options = PubOptions;

    fn new(options: PubOptions, _seed: u64) -> Self {
        Self {
            audience: Audience::new(options.limit),
            policy: options.slow_subscriber,
            senders: Waiters::new(),
        }
    }

    fn opened(&mut self, peer: PeerId, fx: &mut impl Effects) -> Result<(), CloseReason> {
        self.audience.opened(peer, fx);
        Ok(())
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.audience.closed(peer, fx);
        self.wake_sender(fx);
    }

    fn room(&mut self, _peer: PeerId, fx: &mut impl Effects) {
        self.wake_sender(fx);
    }

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        batch.clear();
        self.audience.close(peer, CloseReason::Unexpected { protocol: Self::SELF }, fx);
        self.wake_sender(fx);
        Flow::More
    }
}

impl SendEngine for Pub {
    fn try_send(
        &mut self,
        ctx: CtxId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked> {
        msg.clear_header();
        self.audience.readmit(fx);
        while let Some(peer) = fx.slow() {
            if !self.make_room(peer, fx) {
                self.senders.add(ctx);
                return Err(SendBlocked::Full);
            }
        }
        self.audience.broadcast(msg, fx);
        self.wake_sender(fx);
        Ok(())
    }

    fn send_abandoned(&mut self, _ctx: CtxId, fx: &mut impl Effects) {
        // It may have been the one that was woken.
        self.wake_sender(fx);
    }
}

/// What a [`Pub`] does when as much waits for a subscriber as may.
///
/// A subscriber that keeps up never notices those that do not; only [`Block`](Self::Block) makes everybody wait for
/// the slowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowSubscriber {
    /// What has waited longest for it is dropped: it gets the latest, with gaps. Counted as `dropped_on_send`.
    #[default]
    DropOldest,
    /// What is published meanwhile is dropped for it: it gets what came first, then a gap. Counted as
    /// `dropped_on_send`.
    DropNewest,
    /// The send waits until there is room for every subscriber. Nothing is dropped on this side, and a subscriber
    /// that takes nothing stops everybody.
    Block,
    /// It is disconnected with [`CloseReason::TooSlow`], and may come again. Counted as `too_slow`, and what waited
    /// for it as `lost_with_peer`.
    Disconnect,
}

impl fmt::Display for SlowSubscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DropOldest => "drop oldest",
            Self::DropNewest => "drop newest",
            Self::Block => "block",
            Self::Disconnect => "disconnect",
        })
    }
}

/// What can be set of a [`Pub`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PubOptions {
    limit: Limit,
    slow_subscriber: SlowSubscriber,
}

impl PubOptions {
    /// The defaults: 4,096 messages or 16 MiB wait for each subscriber, then its oldest are dropped.
    pub const fn new() -> Self {
        Self {
            limit: Limit::new(DEFAULTS.send_queue_messages),
            slow_subscriber: SlowSubscriber::DropOldest,
        }
    }

    /// How many messages may wait for each subscriber, at least 1, besides the 64 KiB or so that its connection is
    /// writing.
    #[must_use]
    pub const fn queue(self, queue: usize) -> Self {
        Self { limit: Limit { messages: queue, ..self.limit }, ..self }
    }

    /// How many bytes may wait for each subscriber, at least 1.
    ///
    /// A message counts as its body and 128 bytes, although all subscribers share one copy. While there is room a
    /// message of any length is taken.
    #[must_use]
    pub const fn queue_bytes(self, queue_bytes: usize) -> Self {
        Self { limit: Limit { bytes: queue_bytes, ..self.limit }, ..self }
    }

    /// What happens when as much waits for a subscriber as may.
    #[must_use]
    pub const fn slow_subscriber(self, policy: SlowSubscriber) -> Self {
        Self { slow_subscriber: policy, ..self }
    }
}

impl Default for PubOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Options for PubOptions {
    fn check(&self) -> Result<(), BadOption> {
        self.limit.check()
    }
}

impl fmt::Display for PubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, slow_subscriber {}", self.limit, self.slow_subscriber)
    }
}

#[cfg(test)]
mod tests;
