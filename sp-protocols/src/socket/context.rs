//! The conversations of one socket.

use std::fmt;
use std::sync::Arc;

use sp_core::id::CtxId;

use super::core::Shared;
use super::{Handle, Socket};
use crate::engine::{BadOption, ContextEngine, Engine, Options as _, Sub, TunableEngine};

/// One conversation on a socket: all that sends and receives.
///
/// Every socket has one from the start and dereferences to it, so these calls are a socket's own. Sockets of some
/// patterns can have any number of others, which share the socket's connections and nothing else:
///
/// - Each context of a REQ has its own outstanding request and gets the reply to it, in whatever order replies
///   come. A new `send` cancels the request of this context only.
/// - Each context of a REP holds the request that it received last and answers that one. A request goes to one of
///   the contexts that wait to receive.
/// - Each context of a SURVEYOR has its own survey, with its own time and responses. A RESPONDENT is as a REP.
/// - Each context of a SUB has its own topics and queue. A message goes to every context that wants it.
///
/// ```
/// # use sp_protocols::sockets as sp;
/// use sp::{Rep, Req};
///
/// let (rep, req) = (Rep::new()?, Req::new()?);
/// req.dial(rep.listen("tcp://127.0.0.1:0")?.endpoint())?;
/// let asked = ["one", "two"].map(|question| {
///     let context = req.context();
///     context.send(question).map(|()| context)
/// });
/// // Both are held at a time, and the second is answered first.
/// let [first, second] = [rep.context(), rep.context()];
/// for worker in [&first, &second] {
///     worker.recv()?;
/// }
/// second.send("2")?;
/// first.send("1")?;
/// for (context, answer) in asked.into_iter().zip(["1", "2"]) {
///     assert_eq!(context?.recv()?, answer);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A context costs no thread, no connection and no descriptor: thousands are fine, in as many threads or tasks as
/// one likes. It keeps its socket open, and [`Socket::close`] ends its calls with an error.
///
/// Dropping a context ends its conversation and no other. The request or survey it has outstanding is over, and a
/// reply that comes nevertheless is dropped and counted as `stale_replies`; the request it holds stays unanswered,
/// counted as `unanswered`; messages that wait in it alone are dropped and counted as `unwanted`.
pub struct Context<E: Engine> {
    handle: Arc<Handle<E>>,
    id: CtxId,
}

impl<E: Engine> Socket<E> {
    /// Begins another conversation on this socket.
    pub fn context(&self) -> Context<E>
    where
        E: ContextEngine,
    {
        let handle = self.handle();
        let id = handle.shared().engine(|engine, _| engine.open_ctx());
        Context { handle, id }
    }

    /// Begins another conversation on this socket, with options of its own in place of the socket's.
    ///
    /// ```
    /// # use sp_protocols::sockets as sp;
    /// # use sp_protocols::engine::ReqOptions;
    /// use std::time::Duration;
    ///
    /// let req = sp::Req::new()?;
    /// let hasty = req.context_with(ReqOptions::new().resend_time(Some(Duration::from_secs(2))))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If an option is out of its range.
    pub fn context_with(&self, options: E::Options) -> Result<Context<E>, BadOption>
    where
        E: TunableEngine,
    {
        options.check()?;
        let handle = self.handle();
        let id = handle.shared().engine(|engine, _| engine.open_ctx_with(options));
        Ok(Context { handle, id })
    }
}

impl Context<Sub> {
    /// Receives messages that begin with `topic` from now on. The empty topic matches every message.
    ///
    /// Subscriptions stay on this side: a publisher sends everything to everybody. Subscribing twice is
    /// subscribing once.
    pub fn subscribe(&self, topic: impl AsRef<[u8]>) {
        let (ctx, topic) = (self.id, topic.as_ref());
        self.shared().engine(|sub, _| sub.subscribe(ctx, topic));
    }

    /// Takes a subscription back; messages already received that no longer match are dropped. Answers whether
    /// there was one.
    pub fn unsubscribe(&self, topic: impl AsRef<[u8]>) -> bool {
        let (ctx, topic) = (self.id, topic.as_ref());
        self.shared().engine(|sub, fx| sub.unsubscribe(ctx, topic, fx))
    }

    /// How many messages were dropped since the last call because this context received too slowly.
    pub fn missed(&self) -> u64 {
        self.shared().engine(|sub, _| sub.missed(self.id))
    }
}

impl<E: Engine> Context<E> {
    /// The conversation that every socket has from the start.
    pub(super) const fn main(handle: Arc<Handle<E>>) -> Self {
        Self { handle, id: CtxId::MAIN }
    }

    pub(super) fn handle(&self) -> Arc<Handle<E>> {
        Arc::clone(&self.handle)
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Arc<Shared<E>> {
        self.handle.shared()
    }

    pub(super) const fn ctx(&self) -> CtxId {
        self.id
    }
}

impl<E: Engine> Drop for Context<E> {
    fn drop(&mut self) {
        let id = self.id;
        if id == CtxId::MAIN {
            // It belongs to the socket and ends with it.
            return;
        }
        let shared = self.shared();
        let _dropped_unlocked = shared.step(|core, deferred| {
            core.engine(&shared.counts, deferred, |engine, fx| engine.close_ctx(id, fx));
            core.waiters.end(id)
        });
    }
}

impl<E: Engine> fmt::Debug for Context<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("protocol", &E::SELF)
            .field("socket", &self.shared().id)
            .field("id", &self.id)
            .finish()
    }
}
