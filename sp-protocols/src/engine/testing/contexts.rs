//! The contexts of the engine under test.

use sp_core::id::CtxId;

use super::Rig;
use crate::engine::{ContextEngine, TunableEngine};

impl<E: ContextEngine> Rig<E> {
    /// Opens a context.
    pub fn open_ctx(&mut self) -> CtxId {
        self.engine.open_ctx()
    }

    /// Closes a context; its waiting calls end.
    pub fn close_ctx(&mut self, ctx: CtxId) {
        self.world.receives.end(ctx);
        self.world.sends.end(ctx);
        self.engine.close_ctx(ctx, &mut self.world);
    }
}

impl<E: TunableEngine> Rig<E> {
    /// Opens a context with options of its own.
    pub fn open_ctx_with(&mut self, options: E::Options) -> CtxId {
        self.engine.open_ctx_with(options)
    }
}
