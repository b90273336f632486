//! Everybody who gets what is sent to all.

use std::fmt;

use sp_core::id::{CtxId, IdMap, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{Backlog, CloseReason};

use super::queue::Limit;
use super::waiters::Waiters;
use super::{Counter, Effects, SendBlocked};

/// What a [`Pub`](super::Pub) or [`Bus`](super::Bus) does when as much waits for a peer as may.
///
/// A peer that keeps up never notices those that do not; only [`Block`](Self::Block) makes everybody wait for the
/// slowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenSlow {
    /// What has waited longest for it is dropped: it gets the latest, with gaps. Counted as `dropped_on_send`.
    DropOldest,
    /// What is sent meanwhile is dropped for it: it gets what came first, then a gap. Counted as `dropped_on_send`.
    DropNewest,
    /// The send waits until there is room for every peer. Nothing is dropped on this side, and a peer that takes
    /// nothing stops everybody.
    Block,
    /// It is disconnected with [`CloseReason::TooSlow`], and may come again. Counted as `too_slow`, and what waited
    /// for it as `lost_with_peer`.
    Disconnect,
}

impl fmt::Display for WhenSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DropOldest => "drop oldest",
            Self::DropNewest => "drop newest",
            Self::Block => "block",
            Self::Disconnect => "disconnect",
        })
    }
}

/// Peers that read along, each at its own pace.
#[derive(Debug)]
pub(crate) struct Audience {
    peers: IdMap<PeerId, Standing>,
    limit: Backlog,
    when_slow: WhenSlow,
    /// How many peers miss what is sent now.
    missing_out: usize,
    /// Contexts whose send was told to wait for a slow peer.
    senders: Waiters,
}

/// How a peer takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It gets what is sent.
    Joined,
    /// Its backlog is full: it gets nothing new until there is room.
    MissingOut,
    /// It is being closed.
    Closing,
}

impl Audience {
    /// Nobody yet; `limit` is what may wait for each peer.
    pub(crate) fn new(when_slow: WhenSlow, limit: Limit) -> Self {
        let limit = Backlog { messages: limit.messages.max(1), bytes: limit.bytes.max(1) };
        Self { peers: IdMap::new(), limit, when_slow, missing_out: 0, senders: Waiters::new() }
    }

    /// Sends to everybody, and deals with those that are slow.
    pub(crate) fn send(
        &mut self,
        ctx: CtxId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked> {
        self.readmit(fx);
        while let Some(peer) = fx.slow() {
            if !self.make_room(peer, fx) {
                self.senders.add(ctx);
                return Err(SendBlocked::Full);
            }
        }
        self.broadcast(msg, fx);
        self.wake_sender(fx);
        Ok(())
    }

    /// A send that waited gave up.
    pub(crate) fn send_abandoned(&mut self, fx: &mut impl Effects) {
        // It may have been the one that was woken.
        self.wake_sender(fx);
    }

    /// Some peer has room. Who missed something is asked before the next send.
    pub(crate) fn room(&mut self, fx: &mut impl Effects) {
        self.wake_sender(fx);
    }

    /// A new peer takes part.
    pub(crate) fn opened(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.peers.insert(peer, Standing::Joined);
        fx.join(peer, self.limit);
    }

    /// A peer is gone, and what waited for it is lost.
    pub(crate) fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        let Some(standing) = self.peers.remove(peer) else { return };
        self.was(standing);
        let lost = usize::try_from(fx.waiting(peer)).unwrap_or(usize::MAX);
        fx.count_times(Counter::LostWithPeer, lost);
        self.wake_sender(fx);
    }

    /// Ends the pipe of a peer, unless it is being closed already.
    pub(crate) fn close(&mut self, peer: PeerId, why: CloseReason, fx: &mut impl Effects) {
        self.end(peer, why, fx);
        self.wake_sender(fx);
    }

    /// Sends to everybody who takes part, and counts what the others miss.
    fn broadcast(&self, msg: &mut Message, fx: &mut impl Effects) {
        if self.missing_out > 0 {
            let missing_out = self.peers.iter().filter(|(_, at)| **at == Standing::MissingOut);
            missing_out.for_each(|(peer, _)| fx.count_for(peer, Counter::DroppedOnSend, 1));
        }
        fx.broadcast(msg);
    }

    /// Deals with a peer for which as much waits as may. Answers no if the send has to wait for it.
    fn make_room(&mut self, peer: PeerId, fx: &mut impl Effects) -> bool {
        match self.when_slow {
            WhenSlow::DropOldest => {
                let dropped = fx.drop_oldest(peer);
                fx.count_for(peer, Counter::DroppedOnSend, dropped);
            }
            WhenSlow::DropNewest => self.leave_out(peer, fx),
            WhenSlow::Disconnect => {
                fx.count_for(peer, Counter::TooSlow, 1);
                let why = CloseReason::TooSlow { waiting: fx.waiting(peer) };
                self.end(peer, why, fx);
            }
            // Asking makes the world say when there is room; there may be some by now.
            WhenSlow::Block => return fx.room(peer),
        }
        true
    }

    /// Wakes a send that waits if nobody is slow any more. Its success wakes the next.
    fn wake_sender(&mut self, fx: &mut impl Effects) {
        self.senders.wake_send_if(everybody_has_room, fx);
    }

    /// The peer gets nothing more until it has room.
    fn leave_out(&mut self, peer: PeerId, fx: &mut impl Effects) {
        fx.leave(peer);
        self.peers.insert(peer, Standing::MissingOut);
        self.missing_out = self.missing_out.saturating_add(1);
    }

    /// Whoever misses what is sent now, and has room again, gets what comes next.
    fn readmit(&mut self, fx: &mut impl Effects) {
        if self.missing_out == 0 {
            return;
        }
        for (peer, standing) in self.peers.iter_mut() {
            if *standing == Standing::MissingOut && fx.room(peer) {
                *standing = Standing::Joined;
                self.missing_out = self.missing_out.saturating_sub(1);
                fx.join(peer, self.limit);
            }
        }
    }

    fn end(&mut self, peer: PeerId, why: CloseReason, fx: &mut impl Effects) {
        let Some(&standing) = self.peers.get(peer) else { return };
        if standing == Standing::Closing {
            return;
        }
        self.was(standing);
        self.peers.insert(peer, Standing::Closing);
        fx.leave(peer);
        fx.close(peer, why);
    }

    /// A peer stands so no more.
    fn was(&mut self, standing: Standing) {
        if standing == Standing::MissingOut {
            self.missing_out = self.missing_out.saturating_sub(1);
        }
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
