//! Sockets: the engines at work over real connections.
//!
//! [`Socket`] is one type for all patterns; what it can do follows from the engine. The patterns' own names and
//! guides stand in [`crate::sockets`].

mod admission;
mod attendant;
mod calls;
mod context;
mod core;
pub(crate) mod device;
mod endpoints;
mod error;
mod futures;
mod iter;
mod live;
mod lookout;
mod monitor;
mod peers;
mod poll_set;
mod receiver;
mod strays;
#[cfg(feature = "stream")]
mod stream;
#[cfg(feature = "tokio")]
pub mod tokio;
mod wait;

pub use admission::Admission;
pub use context::Context;
pub use endpoints::{Dialer, Listener};
pub use error::{OpenError, RecvError, SendError, TooFewPeers, TryRecvError, TrySendError};
pub use futures::{RecvFuture, SendFuture};
pub use iter::{Iter, TryIter};
pub use monitor::{Events, PipeEvent};
pub use receiver::Receiver;
pub use sp_transport::{Driven, PollSet};
#[cfg(feature = "stream")]
pub use stream::RecvStream;

use std::fmt;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sp_core::clock;
use sp_core::config::Config;
use sp_core::id::{PeerId, SocketId};
use sp_core::message::Message;
use sp_core::process::PerProcess;
use sp_core::stats::Stats;

use self::core::{Shared, traffic_of};
use crate::engine::{Engine, Pair1Poly, SendToBlocked};

/// A socket of the pattern `E`.
///
/// A handle: clones are the same socket, from any thread. When the last is dropped the socket closes without
/// making the caller wait: what is queued and the kernel takes at once is sent, the rest in the background for
/// up to the linger time (1 s). [`close`](Self::close) waits for it, which a program should do before it exits.
///
/// In a child of `fork` a parent's socket is of no use: every call fails at once with an error called `Forked`, or does
/// nothing, and the parent does not notice. The child can open sockets of its own.
///
/// What sends and receives is the socket's own [`Context`], to which it dereferences.
pub struct Socket<E: Engine> {
    main: Context<E>,
}

/// What all clones of a handle share, and all contexts: dropped with the last one.
struct Handle<E: Engine> {
    /// A forked child has a closed socket in its place, and touches nothing of the parent's.
    shared: PerProcess<Arc<Shared<E>>>,
}

impl<E: Engine> Socket<E> {
    /// Opens a socket with default options. It is connected to nobody yet.
    ///
    /// # Errors
    ///
    /// [`OpenError::System`] if the system has no descriptor or thread left.
    pub fn new() -> Result<Self, OpenError> {
        Self::with(E::Options::default())
    }

    /// Opens a socket with the options given.
    ///
    /// # Errors
    ///
    /// [`OpenError::Option`] if an option is out of its range, otherwise as [`new`](Self::new).
    pub fn with(options: E::Options) -> Result<Self, OpenError> {
        let handle = Arc::new(Handle { shared: PerProcess::new(Shared::open(options)?) });
        Ok(Self { main: Context::main(handle) })
    }

    /// Events of this socket's connections from now on: connected, refused and why, closed and why.
    ///
    /// The channel keeps 1,024 events; a program too slow for that misses some, which the statistics count as
    /// `events_lost`. It ends when the socket closes.
    pub fn events(&self) -> Events {
        self.shared().monitor.watch()
    }

    /// What passed, what was dropped and why: for the socket since it was opened, and for each peer that is
    /// connected. A peer has those reasons only for which something was counted.
    ///
    /// Datagrams that belong to no peer are counted by reason under `stray_datagrams`, once there has been one.
    pub fn stats(&self) -> Stats {
        let shared = self.shared();
        let total = shared.traffic();
        let mut stats = Stats::new(E::SELF.to_string())
            .value("peers", shared.peers.count() as u64)
            .value("messages_sent", total.messages_sent)
            .value("bytes_sent", total.bytes_sent)
            .value("messages_received", total.messages_received)
            .value("bytes_received", total.bytes_received)
            .value("refused", shared.refused.load(Ordering::Relaxed))
            .value("panics", shared.panics.load(Ordering::Relaxed))
            .value("events_lost", shared.monitor.lost());
        for (counter, count) in shared.counts.iter() {
            stats = stats.value(counter.name(), count);
        }
        if let Some(strays) = shared.strays.tree() {
            stats = stats.child(strays);
        }
        shared.peers.all().iter().fold(stats, |stats, peer| {
            let traffic = traffic_of(peer);
            let child = Stats::new(peer.id().to_string())
                .value("messages_sent", traffic.messages_sent)
                .value("bytes_sent", traffic.bytes_sent)
                .value("messages_received", traffic.messages_received)
                .value("bytes_received", traffic.bytes_received)
                .value("waiting", peer.attached().standing().waiting);
            stats.child(shared.account_of(peer.id(), child))
        })
    }

    /// Writes what is queued as far as the kernel takes it, without waiting for company.
    ///
    /// Needed only by programs that stream and cannot wait the tenth of a millisecond after which it happens by
    /// itself.
    pub fn flush(&self) {
        self.shared().flush();
    }

    /// Closes the socket for all its handles and waits until what is queued has left, up to 1 s.
    ///
    /// Waiting calls end with an error. Afterwards every connection, buffer, descriptor and, with the process's
    /// last socket, the worker thread is gone. What was handed to the system may still be lost if the peer dies.
    ///
    /// Answers how many bytes were still queued and are lost: 0, unless a peer did not take them in time. The
    /// call that closes gets the answer; for a socket that is closed already it is 0.
    pub fn close(self) -> usize {
        self.close_within(Config::new().linger)
    }

    /// As [`close`](Self::close), with a linger time of one's own. Zero drops what is still queued.
    pub fn close_within(self, linger: Duration) -> usize {
        let shared = self.shared();
        let mut lost = 0;
        if shared.begin_close() {
            if let Some(runtime) = shared.runtime() {
                runtime.close_endpoints_of(shared.id);
            }
            shared.drain(clock::after(clock::now(), linger));
            lost = shared.unsent();
            shared.finish();
        }
        lost
    }

    /// The socket's number in this process.
    pub fn id(&self) -> SocketId {
        self.shared().id
    }
}

impl Socket<Pair1Poly> {
    /// Sends `message` to one peer, if that can take it now. It never waits, so that no peer holds up the others.
    ///
    /// Who the peers are is told by [`Message::source`] of what they send, by [`peers`](Self::peers) and by
    /// [`events`](Self::events).
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] if the peer is slow, [`TrySendError::PeerGone`] if it is not connected, or no more, and
    /// [`TrySendError::Closed`]. Each gives the message back.
    pub fn send_to(&self, peer: PeerId, message: impl Into<Message>) -> Result<(), TrySendError> {
        let (shared, protocol) = (self.shared(), Pair1Poly::SELF);
        let mut message = message.into();
        if shared.is_closed() {
            return Err(if shared.is_forked {
                TrySendError::Forked { protocol, message }
            } else {
                TrySendError::Closed { protocol, message }
            });
        }
        match shared.engine(|poly, fx| poly.send_to(peer, &mut message, fx)) {
            Ok(()) => Ok(()),
            Err(SendToBlocked::Full) => {
                shared.driver.needs_worker();
                Err(TrySendError::Full { protocol, message })
            }
            Err(SendToBlocked::PeerGone) => Err(TrySendError::PeerGone { protocol, message }),
        }
    }
}

impl<E: Engine> Handle<E> {
    #[inline]
    fn shared(&self) -> &Arc<Shared<E>> {
        self.shared.get(|parents| parents.closed_in_child())
    }
}

impl<E: Engine> Drop for Handle<E> {
    fn drop(&mut self) {
        match self.shared.inherited() {
            // Not even dropped: that would end what the parent goes on with.
            Some(parents) => mem::forget(Arc::clone(parents)),
            None => self.shared().abandon(),
        }
    }
}

impl<E: Engine> Clone for Socket<E> {
    fn clone(&self) -> Self {
        Self { main: Context::main(self.main.handle()) }
    }
}

impl<E: Engine> Deref for Socket<E> {
    type Target = Context<E>;

    fn deref(&self) -> &Context<E> {
        &self.main
    }
}

impl<E: Engine> fmt::Debug for Socket<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("protocol", &E::SELF)
            .field("id", &self.id())
            .field("peers", &self.shared().peers.count())
            .finish()
    }
}
