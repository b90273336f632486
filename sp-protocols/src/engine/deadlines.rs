//! When contexts want to be looked at again.

use std::collections::BTreeSet;
use std::time::Instant;

use sp_core::id::{CtxId, TimerKey};

use super::{Effects, cost};

/// Deadlines in order, of which only the earliest is armed.
///
/// Nothing is ever disarmed: a deadline whose reason is gone is found to be so when it comes up. Whoever uses
/// this keeps at most one deadline per context here, so that memory is bounded by the contexts.
#[derive(Debug)]
pub(crate) struct Deadlines {
    key: TimerKey,
    order: BTreeSet<(Instant, CtxId)>,
    /// What the world has been told last and has not answered yet.
    armed: Option<Instant>,
}

impl Deadlines {
    /// No deadline; they will be armed under `key`.
    pub(crate) const fn new(key: TimerKey) -> Self {
        Self { key, order: BTreeSet::new(), armed: None }
    }

    /// Remembers that `ctx` is to be looked at, at `at`.
    pub(crate) fn push(&mut self, at: Instant, ctx: CtxId) {
        cost::look();
        self.order.insert((at, ctx));
    }

    /// Forgets the deadline `at` of a context that has ended.
    pub(crate) fn remove(&mut self, at: Instant, ctx: CtxId) {
        cost::look();
        self.order.remove(&(at, ctx));
    }

    /// The timer came up: what was armed is no more.
    pub(crate) const fn fired(&mut self) {
        self.armed = None;
    }

    /// Takes the next context whose deadline is not after `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<CtxId> {
        cost::look();
        self.order.first().filter(|(at, _)| *at <= now)?;
        self.order.pop_first().map(|(_, ctx)| ctx)
    }

    /// Arms the earliest deadline, unless a timer comes up by then anyway.
    pub(crate) fn arm(&mut self, fx: &mut impl Effects) {
        let Some(&(earliest, _)) = self.order.first() else { return };
        if self.armed.is_none_or(|armed| earliest < armed) {
            self.armed = Some(earliest);
            fx.arm(self.key, earliest);
        }
    }
}
