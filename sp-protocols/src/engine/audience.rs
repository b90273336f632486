//! Everybody who gets what is sent to all.

use sp_core::id::{IdMap, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{Backlog, CloseReason};

use super::queue::Limit;
use super::{Counter, Effects};

/// Peers that read along, each at its own pace. What to do with one that is slow is the pattern's to say.
#[derive(Debug)]
pub(crate) struct Audience {
    peers: IdMap<PeerId, Standing>,
    limit: Backlog,
    /// How many peers miss what is sent now.
    missing_out: usize,
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
    pub(crate) fn new(limit: Limit) -> Self {
        let limit = Backlog { messages: limit.messages.max(1), bytes: limit.bytes.max(1) };
        Self { peers: IdMap::new(), limit, missing_out: 0 }
    }

    /// Sends to everybody who takes part, and counts what the others miss.
    pub(crate) fn broadcast(&self, msg: &mut Message, fx: &mut impl Effects) {
        if self.missing_out > 0 {
            let missing_out = self.peers.iter().filter(|(_, at)| **at == Standing::MissingOut);
            missing_out.for_each(|(peer, _)| fx.count_for(peer, Counter::DroppedOnSend, 1));
        }
        fx.broadcast(msg);
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
    }

    /// A peer for which as much waits as may gets nothing more until it has room.
    pub(crate) fn leave_out(&mut self, peer: PeerId, fx: &mut impl Effects) {
        fx.leave(peer);
        self.peers.insert(peer, Standing::MissingOut);
        self.missing_out = self.missing_out.saturating_add(1);
    }

    /// Whoever misses what is sent now, and has room again, gets what comes next.
    pub(crate) fn readmit(&mut self, fx: &mut impl Effects) {
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

    /// Ends the pipe of a peer, unless it is being closed already.
    pub(crate) fn close(&mut self, peer: PeerId, why: CloseReason, fx: &mut impl Effects) {
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
