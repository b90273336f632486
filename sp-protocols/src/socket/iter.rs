//! Receiving in a loop.

use sp_core::message::Message;

use super::context::Context;
use crate::engine::RecvEngine;

/// Messages as they come; see [`Context::iter`].
#[derive(Debug)]
pub struct Iter<'a, E: RecvEngine> {
    ctx: &'a Context<E>,
}

impl<'a, E: RecvEngine> Iter<'a, E> {
    pub(super) const fn new(ctx: &'a Context<E>) -> Self {
        Self { ctx }
    }
}

impl<E: RecvEngine> Iterator for Iter<'_, E> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.ctx.recv().ok()
    }
}

/// Messages that are there; see [`Context::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, E: RecvEngine> {
    ctx: &'a Context<E>,
}

impl<'a, E: RecvEngine> TryIter<'a, E> {
    pub(super) const fn new(ctx: &'a Context<E>) -> Self {
        Self { ctx }
    }
}

impl<E: RecvEngine> Iterator for TryIter<'_, E> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.ctx.try_recv().ok()
    }
}
