//! The calls that wait for the engine under test.

use std::collections::BTreeMap;

use sp_core::id::CtxId;
use sp_core::message::Message;

/// Calls that the engine could not serve at once, by context.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// How many wait and have not been woken.
    pub(super) waiting: BTreeMap<CtxId, usize>,
    /// How many have been woken and have not tried again.
    pub(super) woken: BTreeMap<CtxId, usize>,
}

impl Calls {
    pub(super) fn wait(&mut self, ctx: CtxId) {
        let count = self.waiting.entry(ctx).or_default();
        *count = count.saturating_add(1);
    }

    /// Wakes one call, if one waits.
    pub(super) fn wake(&mut self, ctx: CtxId) {
        if take_one(&mut self.waiting, ctx) {
            let count = self.woken.entry(ctx).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// A call gives up, one that has been woken first.
    pub(super) fn abandon(&mut self, ctx: CtxId) -> bool {
        take_one(&mut self.woken, ctx) || take_one(&mut self.waiting, ctx)
    }

    pub(super) fn end(&mut self, ctx: CtxId) {
        self.waiting.remove(&ctx);
        self.woken.remove(&ctx);
    }
}

pub(super) fn take_one(calls: &mut BTreeMap<CtxId, usize>, ctx: CtxId) -> bool {
    let Some(count) = calls.get_mut(&ctx) else { return false };
    *count = count.saturating_sub(1);
    if *count == 0 {
        calls.remove(&ctx);
    }
    true
}

/// Why a send did not happen, with the message as it was left.
#[derive(Debug)]
pub enum Unsent {
    /// There was no room.
    Full(Message),
    /// The pattern's state allowed no send.
    State(Message),
    /// The header was none that the pattern sends.
    Header(Message),
    /// There was no peer, and it was not to be waited for one.
    NoPeer(Message),
}
