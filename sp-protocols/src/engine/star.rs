//! STAR: sends to everybody, near and far. Only mangos has it besides this library.

use std::fmt;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, IdMap, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::backtrace::{TTL, TTL_MAX, TTL_MIN, check_ttl};
use super::each::send_to_each;
use super::hops;
use super::inbox::Inbox;
use super::queue::{DEFAULTS, Limit};
use super::{
    BadOption, Counter, Effects, Engine, FeedEngine, Options, RecvBlocked, RecvEngine, SendBlocked,
    SendEngine, WhenFull,
};

/// Sends each message to every neighbour, receives from all of them, and passes on what came from one to the others.
///
/// A count of hops in front of each message ends its journey should the network have a loop. Nobody ever waits for a
/// slow one: a neighbour without room misses the message, and what comes while the inbox is full is passed on and
/// dropped here, unless [`WhenFull`] says otherwise. All of it is counted.
#[derive(Debug)]
pub struct Star {
    relay: Relay,
    inbox: Inbox,
}

/// What passes messages on.
#[derive(Debug)]
struct Relay {
    neighbours: IdMap<PeerId, ()>,
    ttl: u8,
    /// Whether headers are the program's, in raw mode.
    leaves_headers: bool,
}

impl Relay {
    /// Sends `msg` to every neighbour but the one it came from.
    fn pass_on(&self, msg: &mut Message, from: Option<PeerId>, fx: &mut impl Effects) {
        let neighbours = self.neighbours.iter().map(|(peer, ())| peer);
        send_to_each(neighbours.filter(|peer| Some(*peer) != from), msg, fx);
    }

    /// Passes a message on that came from `peer`. Answers whether it is one to receive as well.
    fn travels(&self, peer: PeerId, msg: &mut Message, fx: &mut impl Effects) -> bool {
        let Some(made) = msg.take_header_word() else {
            fx.count_for(peer, Counter::Malformed, 1);
            return false;
        };
        if made >= u32::from(self.ttl) {
            fx.count_for(peer, Counter::HopLimit, 1);
            return false;
        }
        hops::put_on(msg, made.saturating_add(1));
        // To others than the one it came from.
        if self.neighbours.len() > 1 {
            self.pass_on(&mut msg.share(), Some(peer), fx);
        }
        if !self.leaves_headers {
            msg.clear_header();
        }
        true
    }
}

impl Star {
    /// From now on the header of each message is the program's: the hops it has made, this one included, and as sent.
    pub(super) const fn leave_headers(&mut self) {
        self.relay.leaves_headers = true;
    }
}

impl Engine for Star {
    const SELF: ProtocolId = ProtocolId::STAR;
    const PEER: ProtocolId = ProtocolId::STAR;
    type Options = StarOptions;

    fn new(options: StarOptions, _seed: u64) -> Self {
        let StarOptions { ttl, limit, when_full } = options;
        let ttl = ttl.clamp(TTL_MIN, TTL_MAX);
        Self {
            relay: Relay { neighbours: IdMap::new(), ttl, leaves_headers: false },
            inbox: Inbox::new(when_full, limit),
        }
    }

    fn opened(&mut self, peer: PeerId, _fx: &mut impl Effects) -> Result<(), CloseReason> {
        self.relay.neighbours.insert(peer, ());
        Ok(())
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.relay.neighbours.remove(peer);
        self.inbox.closed(peer, fx);
    }

    /// Who has room is asked for each message.
    fn room(&mut self, _peer: PeerId, _fx: &mut impl Effects) {}

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        let relay = &self.relay;
        let taken = self.inbox.take(peer, batch, |msg, fx| relay.travels(peer, msg, fx), fx);
        self.inbox.read_on(peer, taken, batch, fx)
    }
}

impl SendEngine for Star {
    fn try_send(
        &mut self,
        _ctx: CtxId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked> {
        if !self.relay.leaves_headers {
            hops::put_on(msg, 0);
        } else if !is_count(msg) {
            return Err(SendBlocked::Header);
        }
        self.relay.pass_on(msg, None, fx);
        Ok(())
    }
}

impl RecvEngine for Star {
    fn try_recv(
        &mut self,
        ctx: CtxId,
        into: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), RecvBlocked> {
        self.inbox.try_recv(ctx, into, fx)
    }

    fn recv_abandoned(&mut self, _ctx: CtxId, fx: &mut impl Effects) {
        self.inbox.recv_abandoned(fx);
    }
}

impl FeedEngine for Star {}

/// Whether the header of `msg` is a count of hops, and nothing else.
fn is_count(msg: &Message) -> bool {
    matches!(msg.header(), [0, 0, 0, _])
}

/// What can be set of a [`Star`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StarOptions {
    ttl: u8,
    limit: Limit,
    when_full: WhenFull,
}

impl StarOptions {
    /// The defaults: 8 hops; 1,024 messages or 16 MiB wait to be received; beyond that what comes is passed on and
    /// dropped here.
    pub const fn new() -> Self {
        let limit = Limit::new(DEFAULTS.recv_queue_messages);
        Self { ttl: TTL, limit, when_full: WhenFull::DropNewest }
    }

    /// How many hops a message may make, 1 to 15: one to each neighbour, and one more for each neighbour that passes it
    /// on. What comes from farther is dropped.
    #[must_use]
    pub const fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    /// How many messages may wait to be received, at least 1; beyond it [`when_full`](Self::when_full) says what
    /// happens.
    #[must_use]
    pub const fn queue(self, queue: usize) -> Self {
        Self { limit: Limit { messages: queue, ..self.limit }, ..self }
    }

    /// How many bytes may wait to be received, at least 1.
    ///
    /// A message counts as its body and 128 bytes. A queue that is not full takes a message of any length.
    #[must_use]
    pub const fn queue_bytes(self, queue_bytes: usize) -> Self {
        Self { limit: Limit { bytes: queue_bytes, ..self.limit }, ..self }
    }

    /// What happens when as much waits to be received as may.
    ///
    /// Where a neighbour is [not read](WhenFull::Block), what it would have had passed on waits as well.
    #[must_use]
    pub const fn when_full(self, when_full: WhenFull) -> Self {
        Self { when_full, ..self }
    }
}

impl Default for StarOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Options for StarOptions {
    fn check(&self) -> Result<(), BadOption> {
        check_ttl(self.ttl)?;
        self.limit.check()
    }
}

impl fmt::Display for StarOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ttl {}, {}, when_full {}", self.ttl, self.limit, self.when_full)
    }
}

#[cfg(test)]
mod tests;
