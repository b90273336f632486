//! Sending and receiving in four forms: at once or not at all, blocking, until a deadline, and as a future.

use std::mem;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use sp_core::clock;
use sp_core::id::CtxId;
use sp_core::message::Message;

use super::context::Context;
use super::core::{Core, Shared};
use super::error::{RecvError, SendError, TryRecvError, TrySendError, Unreceived, Unsent};
use super::futures::{RecvFuture, SendFuture};
use super::iter::{Iter, TryIter};
use super::live::Deferred;
use super::wait::{Parker, Side, Ticket};
use crate::engine::{Engine, RecvBlocked, RecvEngine, SendBlocked, SendEngine};

// The bounds stand with the methods: so the compiler names the pattern and says what it lacks.
impl<E: Engine> Context<E> {
    /// Sends `message`, waiting until a peer can take it.
    ///
    /// Returns once the message is committed to a peer's queue; whether the peer gets it is the pattern's
    /// promise to make.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`], [`SendError::NoPeer`] where the socket was told not to wait for a peer, or another where
    /// the pattern allows no such send now.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError>
    where
        E: SendEngine,
    {
        let mut message = message.into();
        self.send_until(&mut message, None)
    }

    /// Sends `message` if a peer can take it now.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] with the message if none can.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), TrySendError>
    where
        E: SendEngine,
    {
        let (shared, protocol) = (self.shared(), E::SELF);
        let mut message = message.into();
        match shared.step(|core, deferred| self.attempt_send(shared, core, deferred, &mut message))
        {
            Ok(()) => Ok(()),
            Err(Unsent::Full) => {
                shared.driver.needs_worker();
                Err(TrySendError::Full { protocol, message })
            }
            Err(Unsent::State) => Err(TrySendError::State { protocol, message }),
            Err(Unsent::BadHeader) => Err(TrySendError::BadHeader { protocol, message }),
            Err(Unsent::NoPeer) => Err(TrySendError::NoPeer { protocol, message }),
            Err(Unsent::Closed) => Err(TrySendError::Closed { protocol, message }),
            Err(Unsent::Forked) => Err(TrySendError::Forked { protocol, message }),
        }
    }

    /// Sends `message`, waiting for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`SendError::TimedOut`] with the message, otherwise as [`send`](Self::send).
    pub fn send_timeout(
        &self,
        message: impl Into<Message>,
        timeout: Duration,
    ) -> Result<(), SendError>
    where
        E: SendEngine,
    {
        let mut message = message.into();
        self.send_until(&mut message, clock::now().checked_add(timeout))
    }

    /// Sends `message`, waiting until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// As [`send_timeout`](Self::send_timeout).
    pub fn send_deadline(
        &self,
        message: impl Into<Message>,
        deadline: Instant,
    ) -> Result<(), SendError>
    where
        E: SendEngine,
    {
        let mut message = message.into();
        self.send_until(&mut message, Some(deadline))
    }

    /// Sends `message` without blocking the thread, on any runtime.
    ///
    /// Nothing is sent if the future is dropped before it is ready; the message is dropped with it.
    pub fn send_async(&self, message: impl Into<Message>) -> SendFuture<'_, E>
    where
        E: SendEngine,
    {
        SendFuture::new(self, message.into())
    }
}

impl<E: SendEngine> Context<E> {
    /// The usual case sets nothing up for waiting. By reference: moving a message that has just been filled
    /// costs more than sending it.
    fn send_until(
        &self,
        message: &mut Message,
        deadline: Option<Instant>,
    ) -> Result<(), SendError> {
        let shared = self.shared();
        match shared.step(|core, deferred| self.attempt_send(shared, core, deferred, message)) {
            Ok(()) => Ok(()),
            Err(Unsent::Full) => self.wait_to_send(message, deadline),
            Err(unsent) => Err(unsent.into_error(E::SELF, mem::take(message))),
        }
    }

    #[cold]
    fn wait_to_send(
        &self,
        message: &mut Message,
        deadline: Option<Instant>,
    ) -> Result<(), SendError> {
        let shared = self.shared();
        let sent = self
            .block(Side::Send, deadline, |core, deferred| self.retry_send(core, deferred, message));
        sent.unwrap_or_else(|| {
            shared.engine(|engine, fx| engine.send_abandoned(self.ctx(), fx));
            Err(Unsent::Full.into_error(E::SELF, mem::take(message)))
        })
    }
}

impl<E: Engine> Context<E> {
    /// Receives the next message, waiting for it.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`], or another where the pattern allows no receive now.
    pub fn recv(&self) -> Result<Message, RecvError>
    where
        E: RecvEngine,
    {
        self.recv_until(None)
    }

    /// Receives a message that is there now.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if there is none.
    pub fn try_recv(&self) -> Result<Message, TryRecvError>
    where
        E: RecvEngine,
    {
        let shared = self.shared();
        let mut message = Message::new();
        match shared.step(|core, deferred| self.attempt_recv(shared, core, deferred, &mut message))
        {
            Ok(()) => Ok(message),
            Err(Unreceived::Empty) => {
                shared.driver.needs_worker();
                Err(TryRecvError::Empty)
            }
            Err(unreceived) => Err(TryRecvError::Failed(unreceived.into_error(E::SELF))),
        }
    }

    /// Receives the next message, waiting for at most `timeout`.
    ///
    /// On REQ a receive that times out ends the request: its reply is dropped should it come later, and the next
    /// step is another send. To wait on for the same reply use [`recv_async`](Self::recv_async) and drop it. On
    /// SURVEYOR the survey goes on, and the next receive may get a response to it.
    ///
    /// # Errors
    ///
    /// [`RecvError::TimedOut`], otherwise as [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Message, RecvError>
    where
        E: RecvEngine,
    {
        self.recv_until(clock::now().checked_add(timeout))
    }

    /// Receives the next message, waiting until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Self::recv_timeout).
    pub fn recv_deadline(&self, deadline: Instant) -> Result<Message, RecvError>
    where
        E: RecvEngine,
    {
        self.recv_until(Some(deadline))
    }

    /// Receives the next message without blocking the thread, on any runtime.
    ///
    /// A future that is dropped has taken no message. On REQ the request goes on, other than after
    /// [`recv_timeout`](Self::recv_timeout): receive again for its reply.
    pub fn recv_async(&self) -> RecvFuture<'_, E>
    where
        E: RecvEngine,
    {
        RecvFuture::new(self)
    }

    /// Every message as it comes, until a receive fails: as a rule because the socket is closed.
    pub fn iter(&self) -> Iter<'_, E>
    where
        E: RecvEngine,
    {
        Iter::new(self)
    }

    /// The messages that are there now.
    pub fn try_iter(&self) -> TryIter<'_, E>
    where
        E: RecvEngine,
    {
        TryIter::new(self)
    }
}

impl<E: RecvEngine> Context<E> {
    fn recv_until(&self, deadline: Option<Instant>) -> Result<Message, RecvError> {
        let shared = self.shared();
        let mut message = Message::new();
        // The usual case sets nothing up for waiting.
        for _ in 0..LOOKS_MAX {
            let seen = shared.lookout.seen();
            match shared
                .step(|core, deferred| self.attempt_recv(shared, core, deferred, &mut message))
            {
                Ok(()) => return Ok(message),
                Err(Unreceived::Empty) => {
                    if !shared.driver.may_look_out() || !shared.lookout.watch(seen) {
                        break;
                    }
                }
                Err(unreceived) => return Err(unreceived.into_error(E::SELF)),
            }
        }
        self.wait_to_recv(&mut message, deadline).map(|()| message)
    }

    #[cold]
    fn wait_to_recv(&self, into: &mut Message, deadline: Option<Instant>) -> Result<(), RecvError> {
        let shared = self.shared();
        let received = self
            .block(Side::Recv, deadline, |core, deferred| self.retry_recv(core, deferred, into));
        received.unwrap_or_else(|| {
            shared.engine(|engine, fx| engine.recv_abandoned(self.ctx(), fx));
            Err(Unreceived::Empty.into_error(E::SELF))
        })
    }
}

impl<E: Engine> Context<E> {
    /// Tries until `attempt` has an answer, waiting in between. `None` once `deadline` has passed.
    fn block<T>(
        &self,
        side: Side,
        deadline: Option<Instant>,
        attempt: impl FnMut(&mut Core<E>, &mut Deferred) -> Option<T>,
    ) -> Option<T> {
        let parker = Parker::take();
        let answer = self.wait(&parker, side, deadline, attempt);
        parker.put_back();
        answer
    }

    fn wait<T>(
        &self,
        parker: &Arc<Parker>,
        side: Side,
        deadline: Option<Instant>,
        mut attempt: impl FnMut(&mut Core<E>, &mut Deferred) -> Option<T>,
    ) -> Option<T> {
        let driver = &self.shared().driver;
        let mut ticket = None;
        loop {
            parker.prepare();
            let out_of_time = ticket.is_some() && deadline.is_some_and(|at| at <= clock::now());
            let tried = self
                .retry(side, &mut ticket, &mut attempt, || (!out_of_time).then(|| parker.waker()));
            match tried {
                Retry::Answer(answer) => return Some(answer),
                // Whatever woke this thread or ran out, the next try tells.
                Retry::Waits => parker.wait(driver, deadline),
                Retry::GaveUp { was_woken } => {
                    if was_woken {
                        self.pass_on(side);
                    }
                    return None;
                }
            }
        }
    }

    /// Takes a waiter off the line, tries, and gets it in line again if there is no answer and `waker` gives a
    /// waker to wait with.
    pub(super) fn retry<T>(
        &self,
        side: Side,
        ticket: &mut Option<Ticket>,
        attempt: impl FnOnce(&mut Core<E>, &mut Deferred) -> Option<T>,
        waker: impl FnOnce() -> Option<Waker>,
    ) -> Retry<T> {
        let ctx = self.ctx();
        let before = ticket.take();
        let (tried, _dropped_unlocked) = self.shared().step(|core, deferred| {
            let old = before.map(|ticket| core.waiters.remove(ctx, side, ticket));
            let was_woken = matches!(old, Some(None));
            let tried = match attempt(core, deferred) {
                Some(answer) => Retry::Answer(answer),
                None => match waker() {
                    Some(waker) => {
                        *ticket = Some(core.waiters.add(ctx, side, waker));
                        Retry::Waits
                    }
                    None => Retry::GaveUp { was_woken },
                },
            };
            if !matches!(tried, Retry::Waits) {
                self.promote(core, deferred);
            }
            (tried, old)
        });
        tried
    }

    /// Leaving: if others wait and nobody is left who drives for them, one of them does from now on.
    ///
    /// Nobody is forgotten: whoever waits was in line before it looked for somebody who drives, and this looks into
    /// the line after having left the gate; so one of the two sees the other. Who is woken for this and leaves in turn
    /// comes by here again. Should nobody come by, after a panic, the worker does at the end of the lease.
    pub(super) fn promote(&self, core: &Core<E>, deferred: &mut Deferred) {
        if !core.waiters.is_empty()
            && self.shared().driver.is_deserted()
            && let Some(waker) = core.waiters.anybody()
        {
            deferred.wake(waker.clone());
        }
    }

    /// A waiter that was woken leaves without taking anything: the next in line has its turn.
    pub(super) fn pass_on(&self, side: Side) {
        let (shared, ctx) = (self.shared(), self.ctx());
        shared.step(|core, deferred| match core.waiters.pop(ctx, side) {
            Some(next) => deferred.wake(next),
            None => core.engine(&shared.counts, deferred, |engine, fx| engine.wake_unused(ctx, fx)),
        });
    }
}

impl<E: SendEngine> Context<E> {
    /// One try. `shared` is what [`shared`](Self::shared) says, which whoever has the lock has asked already.
    #[inline]
    pub(super) fn attempt_send(
        &self,
        shared: &Shared<E>,
        core: &mut Core<E>,
        deferred: &mut Deferred,
        msg: &mut Message,
    ) -> Result<(), Unsent> {
        if core.closed {
            return Err(if shared.is_forked { Unsent::Forked } else { Unsent::Closed });
        }
        let ctx = self.ctx();
        let sent =
            core.engine(&shared.counts, deferred, |engine, fx| engine.try_send(ctx, msg, fx));
        sent.map_err(|blocked| match blocked {
            SendBlocked::Full => Unsent::Full,
            SendBlocked::State => Unsent::State,
            SendBlocked::Header => Unsent::BadHeader,
            SendBlocked::NoPeer => Unsent::NoPeer,
        })
    }

    /// One try; `None` if there is no room.
    pub(super) fn retry_send(
        &self,
        core: &mut Core<E>,
        deferred: &mut Deferred,
        msg: &mut Message,
    ) -> Option<Result<(), SendError>> {
        match self.attempt_send(self.shared(), core, deferred, msg) {
            Ok(()) => Some(Ok(())),
            Err(Unsent::Full) => None,
            Err(unsent) => Some(Err(unsent.into_error(E::SELF, mem::take(msg)))),
        }
    }
}

impl<E: RecvEngine> Context<E> {
    /// One try, as [`attempt_send`](Self::attempt_send).
    #[inline]
    pub(super) fn attempt_recv(
        &self,
        shared: &Shared<E>,
        core: &mut Core<E>,
        deferred: &mut Deferred,
        into: &mut Message,
    ) -> Result<(), Unreceived> {
        if core.closed {
            return Err(if shared.is_forked { Unreceived::Forked } else { Unreceived::Closed });
        }
        if !core.returned.is_empty()
            && self.ctx() == CtxId::MAIN
            && let Some(message) = core.returned.pop_front()
        {
            *into = message;
            return Ok(());
        }
        let ctx = self.ctx();
        let received =
            core.engine(&shared.counts, deferred, |engine, fx| engine.try_recv(ctx, into, fx));
        if received.is_err() {
            // Whoever waits for an answer has nothing to add to what is held.
            core.lines.hurry(deferred);
        }
        received.map_err(|blocked| match blocked {
            RecvBlocked::Empty => Unreceived::Empty,
            RecvBlocked::State => Unreceived::State,
            RecvBlocked::Canceled => Unreceived::Canceled,
            RecvBlocked::PeerGone => Unreceived::PeerGone,
            RecvBlocked::SurveyOver => Unreceived::SurveyOver,
        })
    }

    /// One try; `None` if there is nothing.
    pub(super) fn retry_recv(
        &self,
        core: &mut Core<E>,
        deferred: &mut Deferred,
        into: &mut Message,
    ) -> Option<Result<(), RecvError>> {
        match self.attempt_recv(self.shared(), core, deferred, into) {
            Ok(()) => Some(Ok(())),
            Err(Unreceived::Empty) => None,
            Err(unreceived) => Some(Err(unreceived.into_error(E::SELF))),
        }
    }
}

/// What came of another try.
pub(super) enum Retry<T> {
    Answer(T),
    /// In line.
    Waits,
    /// Not in line any more.
    GaveUp {
        was_woken: bool,
    },
}

/// How often in a row a receiver lets others take what it saw coming, before it gets in line.
const LOOKS_MAX: usize = 4;
