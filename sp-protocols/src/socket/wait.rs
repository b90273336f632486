//! Waiting: who waits for what, and how a thread waits.
//!
//! A waiter is a [`Waker`], whether a task's or a blocked thread's. It is registered under the socket's lock
//! together with the try that found nothing, and taken off the list to be woken; then the call is tried again.
//! A waiter that gives up has therefore taken nothing.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use sp_core::clock;
use sp_core::id::{CtxId, IdMap};
use sp_core::sync::atomic::{AtomicBool, Ordering};
use sp_core::sync::thread::{self, Thread};
use sp_core::sync::{Mutex, lock, thread_local};
use sp_transport::{Drive, Driver};

use crate::engine::line::Line;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Send,
    Recv,
    /// The end of the socket, which ends the other two as well.
    Close,
}

/// Names one registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// The waiters of one socket, first come first woken.
pub(crate) struct Waiters {
    contexts: IdMap<CtxId, Lines>,
    /// Exactly the contexts with somebody in line to send or receive.
    waiting: Line<CtxId>,
    next: u64,
}

/// The waiters of one context.
#[derive(Default)]
pub(crate) struct Lines {
    // Tickets ascend in each.
    send: VecDeque<Waiter>,
    recv: VecDeque<Waiter>,
    close: VecDeque<Waiter>,
}

struct Waiter {
    ticket: Ticket,
    waker: Waker,
}

impl Waiters {
    /// Nobody.
    pub(crate) const fn new() -> Self {
        Self { contexts: IdMap::new(), waiting: Line::new(), next: 0 }
    }

    /// Registers a waiter at the end of its line.
    pub(crate) fn add(&mut self, ctx: CtxId, side: Side, waker: Waker) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        if !self.contexts.contains(ctx) {
            self.contexts.insert(ctx, Lines::default());
        }
        if let Some(lines) = self.contexts.get_mut(ctx) {
            lines.of(side).push_back(Waiter { ticket, waker });
            if side != Side::Close {
                self.waiting.push(ctx);
            }
        }
        ticket
    }

    /// Takes a waiter off its line; nothing if it has been woken.
    ///
    /// Its waker is to be dropped when the socket's lock is released: it may be the last that holds a task.
    pub(crate) fn remove(&mut self, ctx: CtxId, side: Side, ticket: Ticket) -> Option<Waker> {
        self.take(ctx, side, |line| {
            let at = line.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()?;
            line.remove(at)
        })
    }

    /// Puts another waker in place of a waiter's, which keeps its place in line, and returns the one before; nothing
    /// if the waiter has been woken.
    #[cfg(feature = "tokio")]
    pub(crate) fn exchange(
        &mut self,
        ctx: CtxId,
        side: Side,
        ticket: Ticket,
        waker: Waker,
    ) -> Option<Waker> {
        let line = self.contexts.get_mut(ctx)?.of(side);
        let at = line.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()?;
        Some(std::mem::replace(&mut line.get_mut(at)?.waker, waker))
    }

    /// Takes the first of a line, to be woken.
    pub(crate) fn pop(&mut self, ctx: CtxId, side: Side) -> Option<Waker> {
        self.take(ctx, side, VecDeque::pop_front)
    }

    /// Forgets a context that has ended. Its calls have ended before it; only futures that were never dropped may
    /// still be here, whose wakers are to be dropped when the socket's lock is released.
    pub(crate) fn end(&mut self, ctx: CtxId) -> Option<Lines> {
        self.waiting.remove(ctx);
        self.contexts.remove(ctx)
    }

    /// Somebody who waits to send or receive, whom a thread that drove can leave that to.
    pub(crate) fn anybody(&self) -> Option<&Waker> {
        let lines = self.contexts.get(self.waiting.first()?)?;
        lines.recv.front().or_else(|| lines.send.front()).map(|waiter| &waiter.waker)
    }

    /// Takes everybody, to be woken.
    pub(crate) fn drain(&mut self) -> Vec<Waker> {
        self.waiting = Line::new();
        let lines = self.contexts.iter_mut();
        lines
            .flat_map(|(_, Lines { send, recv, close })| {
                send.drain(..).chain(recv.drain(..)).chain(close.drain(..))
            })
            .map(|waiter| waiter.waker)
            .collect()
    }

    /// Whether nobody waits to send or receive.
    pub(crate) const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether anybody is in a line.
    pub(crate) fn waits(&self, ctx: CtxId, side: Side) -> bool {
        self.contexts.get(ctx).is_some_and(|lines| match side {
            Side::Send => !lines.send.is_empty(),
            Side::Recv => !lines.recv.is_empty(),
            Side::Close => !lines.close.is_empty(),
        })
    }

    fn take(
        &mut self,
        ctx: CtxId,
        side: Side,
        pick: impl FnOnce(&mut VecDeque<Waiter>) -> Option<Waiter>,
    ) -> Option<Waker> {
        let lines = self.contexts.get_mut(ctx)?;
        let waiter = pick(lines.of(side))?;
        if lines.send.is_empty() && lines.recv.is_empty() {
            self.waiting.remove(ctx);
        }
        Some(waiter.waker)
    }
}

impl Lines {
    const fn of(&mut self, side: Side) -> &mut VecDeque<Waiter> {
        match side {
            Side::Send => &mut self.send,
            Side::Recv => &mut self.recv,
            Side::Close => &mut self.close,
        }
    }
}

thread_local! {
    static SPARE: Cell<Option<Arc<Parker>>> = const { Cell::new(None) };
}

/// A thread that waits, parked or driving.
pub(crate) struct Parker {
    notified: AtomicBool,
    thread: Thread,
    /// What the thread drives instead of being parked.
    drives: Mutex<Option<Arc<Driver>>>,
}

impl Parker {
    /// Takes the calling thread's, or a new one if that is in use: a waker that this thread runs while it drives
    /// may wait for something in turn.
    pub(crate) fn take() -> Arc<Self> {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        spare.unwrap_or_else(|| {
            Arc::new(Self {
                notified: AtomicBool::new(false),
                thread: thread::current(),
                drives: Mutex::new(None),
            })
        })
    }

    /// Keeps the parker for the thread's next wait.
    pub(crate) fn put_back(self: Arc<Self>) {
        // A thread that is ending keeps nothing.
        let _ = SPARE.try_with(|spare| spare.set(Some(self)));
    }

    /// Forgets earlier notifications. Call before registering [`waker`](Self::waker).
    pub(crate) fn prepare(&self) {
        self.notified.store(false, Ordering::Relaxed);
    }

    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// Waits until notified or `deadline` passes, driving `driver` if nobody else does.
    pub(crate) fn wait(&self, driver: &Arc<Driver>, deadline: Option<Instant>) {
        if let Some(mut drive) = self.take_wheel(driver) {
            *lock(&self.drives) = Some(Arc::clone(driver));
            drive.run_until(|| self.is_notified(), deadline);
            drop(drive);
            *lock(&self.drives) = None;
            return;
        }
        // Somebody else drives, and wakes this thread when it has something for it or leaves: it looks for those
        // who wait after it has left the gate, and this thread was in line before it tried that.
        while !self.is_notified() {
            match deadline {
                None => thread::park(),
                Some(at) => {
                    let left = at.saturating_duration_since(clock::now());
                    if left.is_zero() {
                        return;
                    }
                    thread::park_timeout(left);
                }
            }
        }
    }

    /// Tries to drive; a moment longer than the worker's turns take, which are short.
    fn take_wheel<'a>(&self, driver: &'a Arc<Driver>) -> Option<Drive<'a>> {
        let until = clock::now() + WHEEL_TRY;
        loop {
            if let Some(drive) = driver.try_drive() {
                return Some(drive);
            }
            if self.is_notified() || clock::now() >= until {
                return None;
            }
            thread::yield_now();
        }
    }

    fn is_notified(&self) -> bool {
        // Acquire pairs with the release in `wake_by_ref`.
        self.notified.load(Ordering::Acquire)
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notified.store(true, Ordering::Release);
        match &*lock(&self.drives) {
            Some(driver) => driver.notify(),
            None => self.thread.unpark(),
        }
    }
}

/// Parking costs a wake-up of fifty microseconds.
const WHEEL_TRY: Duration = Duration::from_micros(20);

#[cfg(test)]
mod tests {
    use sp_core::id::Id as _;

    use super::*;

    #[test]
    fn waiters_are_woken_in_the_order_they_came() {
        let mut waiters = Waiters::new();
        let parker = Parker::take();
        let first = waiters.add(CtxId::MAIN, Side::Recv, parker.waker());
        let second = waiters.add(CtxId::MAIN, Side::Recv, parker.waker());
        assert!(waiters.pop(CtxId::MAIN, Side::Send).is_none());
        assert!(waiters.pop(CtxId::MAIN, Side::Recv).is_some());
        assert!(waiters.remove(CtxId::MAIN, Side::Recv, first).is_none(), "it has been woken");
        assert!(waiters.remove(CtxId::MAIN, Side::Recv, second).is_some());
        assert!(waiters.is_empty());
        assert!(waiters.pop(CtxId::MAIN, Side::Recv).is_none());
    }

    #[test]
    fn the_end_of_a_context_takes_nobody_else_off_the_lines() {
        let [x, y] = [1, 2].map(|index| CtxId::from_parts(index, 0));
        let mut waiters = Waiters::new();
        let parker = Parker::take();
        for (ctx, side) in [(x, Side::Send), (x, Side::Recv), (y, Side::Recv)] {
            waiters.add(ctx, side, parker.waker());
        }
        assert!(waiters.end(x).is_some());
        assert!(waiters.end(x).is_none(), "it has ended");
        assert!(!waiters.waits(x, Side::Recv) && waiters.waits(y, Side::Recv));
        assert!(!waiters.is_empty());
        assert!(waiters.anybody().is_some());
        assert_eq!(waiters.drain().len(), 1);
        assert!(waiters.is_empty() && waiters.anybody().is_none());
    }

    #[test]
    fn a_notification_before_the_wait_is_not_lost() {
        let parker = Parker::take();
        parker.prepare();
        parker.waker().wake();
        assert!(parker.is_notified());
    }
}
