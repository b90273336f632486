//! Which contexts wait, so that one event wakes one of them.

use std::collections::VecDeque;

use sp_core::id::{CtxId, IdMap};

use super::Effects;

/// Contexts whose receive found nothing, or whose send found no room, woken in turn.
///
/// Standing here is a guess, since a call may have asked in passing or have given up: before a context is
/// woken the world is asked whether it still waits, and one that does not leaves the line. Each context
/// stands at most once.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    line: VecDeque<CtxId>,
    standing: IdMap<CtxId, ()>,
}

impl Waiters {
    /// Nobody; allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { line: VecDeque::new(), standing: IdMap::new() }
    }

    /// A call of `ctx` has just been told that it may have to wait.
    pub(crate) fn add(&mut self, ctx: CtxId) {
        if !self.standing.contains(ctx) {
            self.standing.insert(ctx, ());
            self.line.push_back(ctx);
        }
    }

    /// Forgets a context that has ended.
    pub(crate) fn remove(&mut self, ctx: CtxId) {
        if self.standing.remove(ctx).is_some() {
            self.line.retain(|&other| other != ctx);
        }
    }

    /// Wakes one receive and says whether one waited.
    pub(crate) fn wake_recv(&mut self, fx: &mut impl Effects) -> bool {
        let found = self.next(|ctx| fx.recv_waits(ctx));
        found.inspect(|&ctx| fx.wake_recv(ctx)).is_some()
    }

    /// Wakes one send and says whether one waited.
    pub(crate) fn wake_send(&mut self, fx: &mut impl Effects) -> bool {
        let found = self.next(|ctx| fx.send_waits(ctx));
        found.inspect(|&ctx| fx.wake_send(ctx)).is_some()
    }

    /// Whether surely nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// The next context that waits. It stays in line, at the end: it may have a second call waiting.
    fn next(&mut self, waits: impl Fn(CtxId) -> bool) -> Option<CtxId> {
        while let Some(ctx) = self.line.pop_front() {
            if waits(ctx) {
                self.line.push_back(ctx);
                return Some(ctx);
            }
            self.standing.remove(ctx);
        }
        None
    }
}
