//! Who is connected: the peers of each socket, the connections of the process.
//!
//! A slot's number is used again after its owner is gone; ids carry a generation, so an id that has been kept too
//! long finds nothing instead of somebody else.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::id::{Id, SocketId};

mod conn;
mod peer;
mod snapshot;

pub use conn::{ConnControl, ConnEntry, ConnRegistry, ConnSpec, conns};
pub use peer::{Peer, PeerAddr, PeerRegistry, PeerState, Traffic};

/// An id for a new socket, never given out before in this process.
///
/// Numbers are not reused: a process makes few sockets, and whoever keys by socket uses a map.
pub fn next_socket_id() -> SocketId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Only the number matters; it publishes nothing.
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    SocketId::from_parts(n as u32, (n >> 32) as u32)
}

#[cfg(test)]
mod tests;
