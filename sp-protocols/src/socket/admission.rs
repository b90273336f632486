//! Whom a socket lets in.

use std::sync::Arc;

use sp_core::pipe::PipeInfo;

use super::Socket;
use crate::engine::Engine;

/// Whether a connection is wanted; see [`Socket::admit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Messages may pass.
    Accept,
    /// The connection ends, counted and told as refused.
    Refuse,
}

/// The program's code that decides.
pub(crate) type Admit = dyn Fn(&PipeInfo) -> Admission + Send + Sync;

impl<E: Engine> Socket<E> {
    /// Has `decide` say about each new connection, of dialers and listeners alike, whether it is wanted: it is told
    /// which endpoint made it and, where the transport knows, the peer's address, its certificate and who runs it. It is asked after
    /// the handshake and before a message passes. What another call gave before is replaced; connections that exist
    /// stay.
    ///
    /// A peer that is refused finds its connection closed. That is counted in the statistics as `refused` and told as
    /// an event with [`CloseReason::NotAdmitted`](sp_core::pipe::CloseReason::NotAdmitted); a dialer tries again,
    /// after growing pauses.
    ///
    /// `decide` runs on the thread that does the I/O of all sockets, which it keeps from its work: it should look
    /// something up and answer, and not wait. No lock is held meanwhile, so it may use this library, close this socket
    /// included. If it panics the connection is refused and the statistics count it in `panics`. If it holds a handle
    /// of this socket, only closing the socket lets go of it.
    ///
    /// ```
    /// # use sp_protocols::{socket::Admission, sockets as sp};
    /// use sp::{Pull, Push};
    ///
    /// let own = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(".")?);
    /// let pull = Pull::new()?;
    /// pull.admit(move |pipe| match pipe.credentials {
    ///     Some(peer) if peer.uid == own => Admission::Accept,
    ///     _ => Admission::Refuse,
    /// });
    /// let listener = pull.listen("tcp://127.0.0.1:0")?;
    /// let push = Push::new()?;
    /// let _ = push.dial(listener.endpoint()); // tcp does not know who runs the peer: refused
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn admit(&self, decide: impl Fn(&PipeInfo) -> Admission + Send + Sync + 'static) {
        // The one before is dropped here, under no lock.
        let _before = self.shared().set_admission(Some(Arc::new(decide)));
    }
}
