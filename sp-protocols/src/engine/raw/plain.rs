//! Patterns that do in raw mode what they always do.

use sp_core::batch::Batch;
use sp_core::id::{CtxId, PeerId, TimerKey};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::RawEngine;
use crate::engine::{
    Effects, Engine, Pub, Pull, Push, RecvBlocked, RecvEngine, SendBlocked, SendEngine, Star, Sub,
};

/// A pattern in raw mode that is the pattern itself, but for what [`Alike::begin`] changes.
///
/// But for STAR, whose header is a count of hops, these have none, and drop one that the program has set.
#[derive(Debug)]
pub struct Plain<E>(E);

/// A pattern that is much alike in raw mode.
pub trait Alike: Engine {
    /// What is different: with most, nothing.
    fn begin(&mut self) {}
}

impl Alike for Pub {}
impl Alike for Push {}
impl Alike for Pull {}

/// It receives everything: what is wanted is for the last SUB to say.
impl Alike for Sub {
    fn begin(&mut self) {
        self.subscribe(CtxId::MAIN, b"");
    }
}

/// It passes on all the same, for that is what its neighbours rely upon.
impl Alike for Star {
    fn begin(&mut self) {
        self.leave_headers();
    }
}

impl<E: Alike> RawEngine for Plain<E> {}

impl<E: Alike> Engine for Plain<E> {
    const SELF: ProtocolId = E::SELF;
    const PEER: ProtocolId = E::PEER;
    type Options = E::Options;

    fn new(options: E::Options, seed: u64) -> Self {
        let mut engine = E::new(options, seed);
        engine.begin();
        Self(engine)
    }

    fn opened(&mut self, peer: PeerId, fx: &mut impl Effects) -> Result<(), CloseReason> {
        self.0.opened(peer, fx)
    }

    fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.0.closed(peer, fx);
    }

    fn room(&mut self, peer: PeerId, fx: &mut impl Effects) {
        self.0.room(peer, fx);
    }

    fn arrived(&mut self, peer: PeerId, batch: &mut Batch, fx: &mut impl Effects) -> Flow {
        self.0.arrived(peer, batch, fx)
    }

    fn timer(&mut self, key: TimerKey, fx: &mut impl Effects) {
        self.0.timer(key, fx);
    }

    fn wake_unused(&mut self, ctx: CtxId, fx: &mut impl Effects) {
        self.0.wake_unused(ctx, fx);
    }

    fn close_ctx(&mut self, ctx: CtxId, fx: &mut impl Effects) {
        self.0.close_ctx(ctx, fx);
    }
}

impl<E: Alike + SendEngine> SendEngine for Plain<E> {
    fn try_send(
        &mut self,
        ctx: CtxId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked> {
        self.0.try_send(ctx, msg, fx)
    }

    fn send_abandoned(&mut self, ctx: CtxId, fx: &mut impl Effects) {
        self.0.send_abandoned(ctx, fx);
    }
}

impl<E: Alike + RecvEngine> RecvEngine for Plain<E> {
    fn try_recv(
        &mut self,
        ctx: CtxId,
        into: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), RecvBlocked> {
        self.0.try_recv(ctx, into, fx)
    }

    fn recv_abandoned(&mut self, ctx: CtxId, fx: &mut impl Effects) {
        self.0.recv_abandoned(ctx, fx);
    }
}
