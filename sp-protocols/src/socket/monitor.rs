//! Pipe events: what happens to a socket's connections, for programs that want to see it.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use sp_core::endpoint::Endpoint;
use sp_core::id::PeerId;
use sp_core::pipe::CloseReason;
use sp_core::sync::lock;
use std::sync::Arc;

/// Something that happened to a connection of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PipeEvent {
    /// A peer is connected; messages can pass.
    Connected {
        /// The peer.
        peer: PeerId,
        /// The dialer's or listener's endpoint.
        endpoint: Arc<Endpoint>,
        /// The peer's address, where the transport has one.
        peer_addr: Option<SocketAddr>,
    },
    /// A peer was turned away, or could not be reached.
    Refused {
        /// The dialer's or listener's endpoint.
        endpoint: Arc<Endpoint>,
        /// The address of the other side, where it is known.
        peer_addr: Option<SocketAddr>,
        /// What was wrong.
        why: CloseReason,
    },
    /// A connected peer is gone.
    Closed {
        /// The peer.
        peer: PeerId,
        /// Why.
        why: CloseReason,
    },
}

/// Where a socket's events come out; see [`Socket::events`](super::Socket::events).
pub type Events = Receiver<PipeEvent>;

/// Hands events to whoever asked for them.
#[derive(Debug)]
pub(crate) struct Monitor {
    /// `None` once the socket has ended.
    watchers: Mutex<Option<Vec<Sender<PipeEvent>>>>,
    lost: AtomicU64,
}

impl Monitor {
    /// One that has nothing to tell.
    pub(crate) fn ended() -> Self {
        Self { watchers: Mutex::new(None), lost: AtomicU64::new(0) }
    }

    /// Events from now on.
    pub(crate) fn watch(&self) -> Events {
        let (send, events) = bounded(EVENTS_MAX);
        if let Some(watchers) = &mut *lock(&self.watchers) {
            watchers.push(send);
        }
        events
    }

    pub(crate) fn tell(&self, event: impl FnOnce() -> PipeEvent) {
        let mut watchers = lock(&self.watchers);
        let Some(watchers) = watchers.as_mut().filter(|watchers| !watchers.is_empty()) else {
            return;
        };
        let event = event();
        watchers.retain(|watcher| match watcher.try_send(event.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        });
    }

    /// No event will come any more.
    pub(crate) fn end(&self) {
        lock(&self.watchers).take();
    }

    /// Events that a watcher was too slow for.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Self { watchers: Mutex::new(Some(Vec::new())), lost: AtomicU64::new(0) }
    }
}

/// Events kept for one watcher; a socket never waits for it.
const EVENTS_MAX: usize = 1024;
