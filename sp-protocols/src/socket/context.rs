//! The conversations of one socket.

use std::fmt;
use std::sync::Arc;

use sp_core::id::CtxId;

use super::core::Shared;
use super::{Handle, Socket};
use crate::engine::{ContextEngine, Engine};

/// One conversation on a socket: all that sends and receives.
///
/// Every socket has one from the start and dereferences to it, so these calls are a socket's own. A REQ and a REP
/// can have any number of others, which share the socket's connections and nothing else:
///
/// - Each context of a REQ has its own outstanding request and gets the reply to it, in whatever order replies
///   come. A new `send` cancels the request of this context only.
/// - Each context of a REP holds the request that it received last and answers that one. A request goes to one of
///   the contexts that wait to receive.
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
/// Dropping a context ends its conversation and no other. The request it has outstanding is over, and a reply that
/// comes nevertheless is dropped and counted as `stale_replies`; the request it holds stays unanswered, counted as
/// `unanswered`.
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
        let id = handle.shared.engine(|engine, _| engine.open_ctx());
        Context { handle, id }
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

    pub(crate) fn shared(&self) -> &Arc<Shared<E>> {
        &self.handle.shared
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
