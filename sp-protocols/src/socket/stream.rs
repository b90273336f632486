//! Receiving as a stream.

use std::pin::Pin;
use std::task::{self, Poll};

use futures_core::Stream;
use sp_core::message::Message;

use super::context::Context;
use super::futures::RecvFuture;
use crate::engine::{Engine, RecvEngine};

impl<E: Engine> Context<E> {
    /// Every message as it comes, as a [`Stream`] for any runtime, until a receive fails: as a rule because the socket
    /// is closed. What [`iter`](Self::iter) is to threads.
    ///
    /// A stream that is dropped has taken no message that it has not handed out.
    pub const fn recv_stream(&self) -> RecvStream<'_, E>
    where
        E: RecvEngine,
    {
        RecvStream { next: RecvFuture::new(self) }
    }
}

/// Messages as they come; see [`Context::recv_stream`].
#[must_use = "a stream does nothing unless it is polled"]
pub struct RecvStream<'a, E: RecvEngine> {
    /// Ready again and again: each answer leaves it as new.
    next: RecvFuture<'a, E>,
}

impl<E: RecvEngine> Stream for RecvStream<'_, E> {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Message>> {
        Pin::new(&mut self.get_mut().next).poll(cx).map(Result::ok)
    }
}
