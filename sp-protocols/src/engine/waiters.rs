//! Which contexts wait, so that one event wakes one of them.

use sp_core::id::CtxId;

use super::Effects;
use super::line::Line;
use super::rotation::Rotation;

/// Contexts whose receive found nothing, or whose send found no room, woken in turn.
///
/// Standing here is a guess, since a call may have asked in passing or have given up: before a context is
/// woken the world is asked whether it still waits, and one that does not leaves the line.
#[derive(Debug)]
pub(crate) struct Waiters {
    line: Line<CtxId>,
}

impl Waiters {
    /// Nobody; allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { line: Line::new() }
    }

    /// A call of `ctx` has just been told that it may have to wait.
    pub(crate) fn add(&mut self, ctx: CtxId) {
        self.line.push(ctx);
    }

    /// Forgets a context that has ended.
    pub(crate) fn remove(&mut self, ctx: CtxId) {
        self.line.remove(ctx);
    }

    /// Wakes as many receives as wait, at most `messages`.
    pub(crate) fn wake_recv(&mut self, messages: usize, fx: &mut impl Effects) {
        for _ in 0..messages {
            let Some(ctx) = self.next(|ctx| fx.recv_waits(ctx)) else { break };
            fx.wake_recv(ctx);
        }
    }

    /// Wakes one send if one of `peers` has room for it. Its success wakes the next: no herd, nobody
    /// forgotten.
    pub(crate) fn wake_send(&mut self, peers: &mut Rotation, fx: &mut impl Effects) {
        self.wake_send_if(|fx| peers.has_room(fx), fx);
    }

    /// As [`wake_send`](Self::wake_send), where `has_room` says whether a send may succeed.
    pub(crate) fn wake_send_if<F: Effects>(
        &mut self,
        has_room: impl FnOnce(&mut F) -> bool,
        fx: &mut F,
    ) {
        if !self.line.is_empty()
            && has_room(fx)
            && let Some(ctx) = self.next(|ctx| fx.send_waits(ctx))
        {
            fx.wake_send(ctx);
        }
    }

    /// Wakes every send that waits, for all of them have to fail.
    pub(crate) fn wake_all_sends(&mut self, fx: &mut impl Effects) {
        while let Some(ctx) = self.next(|ctx| fx.send_waits(ctx)) {
            fx.wake_send(ctx);
        }
    }

    /// The next context that waits. It stays in line, at the end: it may have a second call waiting.
    fn next(&mut self, waits: impl Fn(CtxId) -> bool) -> Option<CtxId> {
        while let Some(ctx) = self.line.first() {
            if waits(ctx) {
                return self.line.rotate();
            }
            self.line.pop();
        }
        None
    }
}
