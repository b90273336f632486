//! The raw patterns that send and receive: one engine, told apart by their [`Role`].

use std::marker::PhantomData;

use sp_core::batch::Batch;
use sp_core::id::{CtxId, IdMap, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::role::{Role, Route};
use super::{RawEngine, RawOptions};
use crate::engine::backtrace::{Header, TTL_MAX, TTL_MIN};
use crate::engine::each::send_to_each;
use crate::engine::inbox::Inbox;
use crate::engine::numbers::PeerWords;
use crate::engine::rotation::Rotation;
use crate::engine::waiters::Waiters;
use crate::engine::{Counter, Effects, Engine, RecvBlocked, RecvEngine, SendBlocked, SendEngine};

/// Receives from all peers into one inbox, and sends where the header says; the rest is the program's.
///
/// Only what goes to any peer waits for room. What goes to certain ones, or to all, is dropped for those that have no
/// room and counted as `dropped_on_send`; what goes to a peer that is gone, as `peer_gone`.
///
/// A peer that sends a malformed header is closed, a message from too far is dropped.
#[derive(Debug)]
pub struct TwoWay<R> {
    ttl: u8,
    inbox: Inbox,
    /// The word by which headers name each peer.
    peers: IdMap<PeerId, u32>,
    words: PeerWords,
    /// Every peer.
    turns: Rotation,
    senders: Waiters,
    role: PhantomData<R>,
}

impl<R: Role> RawEngine for TwoWay<R> {}

impl<R: Role> Engine for TwoWay<R> {
    const SELF: ProtocolId = R::SELF;
    const PEER: ProtocolId = R::Peer::SELF;
    type Options = RawOptions;

    fn new(options: RawOptions, seed: u64) -> Self {
        Self {
            ttl: options.ttl.clamp(TTL_MIN, TTL_MAX),
            inbox: Inbox::new(options.when_full.unwrap_or(R::WHEN_FULL), options.limit),
            peers: IdMap::new(),
            words: PeerWords::new(seed),
            turns: Rotation::new(),
            senders: Waiters::new(),
            role: PhantomData,
        }
    }

    fn opened(&mut self, peer: PeerId, fx: &mut impl Effects) -> Result<(), CloseReason> {
        if self.peers.len() >= R::PEERS_MAX {
            return Err(CloseReason::TooMany { limit: R::PEERS_MAX });
        }
        self.peers.insert(peer, self.words.assign(peer));
        self.turns.add(peer);
        self.senders.wake_send(&mut self.turns, fx);
        Ok(())
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        let Some(word) = self.peers.remove(peer) else { return };
        self.words.remove(word);
        self.turns.remove(peer);
        self.inbox.closed(peer, fx);
    }

    fn room(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.turns.rejoin(peer);
        self.senders.wake_send(&mut self.turns, fx);
    }

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        let Some(&from) = self.peers.get(peer) else {
            // We have closed it; its last words do not count.
            batch.clear();
            return Flow::More;
        };
        let (ttl, mut is_broken) = (self.ttl, false);
        let taken = self.inbox.take(
            peer,
            batch,
            |msg, fx| {
                let header = if is_broken { Header::Broken } else { R::arrives(msg, from, ttl) };
                is_broken = header == Header::Broken;
                if header == Header::TooFar {
                    fx.count_for(peer, Counter::HopLimit, 1);
                }
                header == Header::Whole
            },
            fx,
        );
        if is_broken {
            batch.clear();
            self.closed(peer, fx);
            fx.close(peer, CloseReason::BadHeader { protocol: R::SELF });
        }
        self.inbox.read_on(peer, taken, batch, fx)
    }
}

impl<R: Role> SendEngine for TwoWay<R> {
    fn try_send(
        &mut self,
        ctx: CtxId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked> {
        match R::route(msg)? {
            Route::Any => self.send_to_any(ctx, msg, fx),
            Route::To(word) => {
                self.send_to(word, msg, fx);
                Ok(())
            }
            Route::AllBut(word) => {
                self.send_to_all_but(word, msg, fx);
                Ok(())
            }
        }
    }

    fn send_abandoned(&mut self, _ctx: CtxId, fx: &mut impl Effects) {
        // It may have been the one that was woken.
        self.senders.wake_send(&mut self.turns, fx);
    }
}

impl<R: Role> RecvEngine for TwoWay<R> {
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

impl<R: Role> TwoWay<R> {
    fn send_to_any(
        &mut self,
        ctx: CtxId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked> {
        let peer = self.turns.next(fx).inspect_err(|_| self.senders.add(ctx))?;
        R::leaves(msg);
        fx.transmit(peer, msg);
        self.senders.wake_send(&mut self.turns, fx);
        Ok(())
    }

    fn send_to(&self, word: Option<u32>, msg: &mut Message, fx: &mut impl Effects) {
        match word.and_then(|word| self.words.owner(word)) {
            None => fx.count(Counter::PeerGone),
            Some(peer) if !fx.room(peer) => fx.count_for(peer, Counter::DroppedOnSend, 1),
            Some(peer) => fx.transmit(peer, msg),
        }
    }

    fn send_to_all_but(&self, word: Option<u32>, msg: &mut Message, fx: &mut impl Effects) {
        let others = self.peers.iter().filter(|(_, other)| Some(**other) != word);
        send_to_each(others.map(|(peer, _)| peer), msg, fx);
    }
}
