//! The calls as futures: a place in the line of waiters, kept while a task does something else.

use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll};

use sp_core::message::Message;

use super::calls::Retry;
use super::context::Context;
use super::core::Core;
use super::error::{RecvError, SendError};
use super::live::Deferred;
use super::wait::{Side, Ticket};
use crate::engine::{Engine, RecvEngine, SendEngine};

/// A send under way; see [`Context::send_async`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct SendFuture<'a, E: SendEngine> {
    wait: Registration<'a, E>,
    message: Message,
}

impl<'a, E: SendEngine> SendFuture<'a, E> {
    pub(super) const fn new(ctx: &'a Context<E>, message: Message) -> Self {
        Self { wait: Registration::new(ctx, Side::Send), message }
    }
}

impl<E: SendEngine> Future for SendFuture<'_, E> {
    type Output = Result<(), SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let Self { wait, message } = self.get_mut();
        let ctx = wait.ctx;
        wait.poll(cx, |core, deferred| ctx.retry_send(core, deferred, message))
    }
}

/// A receive under way; see [`Context::recv_async`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct RecvFuture<'a, E: RecvEngine> {
    wait: Registration<'a, E>,
}

impl<'a, E: RecvEngine> RecvFuture<'a, E> {
    pub(super) const fn new(ctx: &'a Context<E>) -> Self {
        Self { wait: Registration::new(ctx, Side::Recv) }
    }
}

impl<E: RecvEngine> Future for RecvFuture<'_, E> {
    type Output = Result<Message, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let wait = &mut self.get_mut().wait;
        let ctx = wait.ctx;
        let mut message = Message::new();
        wait.poll(cx, |core, deferred| ctx.retry_recv(core, deferred, &mut message))
            .map_ok(|()| message)
    }
}

/// A future's place in the line of waiters.
pub(super) struct Registration<'a, E: Engine> {
    pub(super) ctx: &'a Context<E>,
    pub(super) side: Side,
    pub(super) ticket: Option<Ticket>,
}

impl<'a, E: Engine> Registration<'a, E> {
    pub(super) const fn new(ctx: &'a Context<E>, side: Side) -> Self {
        Self { ctx, side, ticket: None }
    }

    /// Tries once, and gets in line if there is no answer.
    pub(super) fn attempt<T>(
        &mut self,
        cx: &task::Context<'_>,
        attempt: impl FnOnce(&mut Core<E>, &mut Deferred) -> Option<T>,
    ) -> Poll<T> {
        let waker = || Some(cx.waker().clone());
        match self.ctx.retry(self.side, &mut self.ticket, attempt, waker) {
            Retry::Answer(answer) => Poll::Ready(answer),
            Retry::Waits | Retry::GaveUp { .. } => Poll::Pending,
        }
    }

    /// As [`attempt`](Self::attempt); the worker drives meanwhile.
    fn poll<T>(
        &mut self,
        cx: &task::Context<'_>,
        attempt: impl FnOnce(&mut Core<E>, &mut Deferred) -> Option<T>,
    ) -> Poll<T> {
        let tried = self.attempt(cx, attempt);
        if tried.is_pending() {
            self.ctx.shared().driver.needs_worker();
        }
        tried
    }
}

impl<E: Engine> Drop for Registration<'_, E> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let Self { ctx, side, .. } = *self;
        let waits = ctx.shared().step(|core, deferred| {
            let waits = core.waiters.remove(ctx.ctx(), side, ticket);
            ctx.promote(core, deferred);
            waits
        });
        if waits.is_none() {
            ctx.pass_on(side);
        }
    }
}
