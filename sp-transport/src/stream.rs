//! The byte streams that connections run over: a socket, alone or with layers on it.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;

use socket2::Socket;
use sp_core::pipe::{CloseReason, Credentials};

use crate::own::{self, OwnStream};
use crate::sys;
use crate::tcp::Tuning;

#[cfg(feature = "tls")]
use crate::tls::{self, Tls};

/// A connected, non-blocking byte stream. Reading and writing need no exclusive access: one thread at a time does
/// either, which this library sees to, and what both share a layer keeps under a lock of its own.
#[derive(Debug)]
pub(crate) enum Stream {
    /// What goes through is what the kernel gets.
    Plain(Plain),
    /// The kernel gets it encrypted.
    #[cfg(feature = "tls")]
    Tls(Box<Tls>),
    /// The program says what becomes of it.
    Own(Box<OwnStream>),
}

/// What one read brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    /// Bytes read; 0 at the end of the stream.
    pub(crate) bytes: usize,
    /// Nothing is left for now, and an event will announce what comes.
    pub(crate) drained: bool,
}

impl Stream {
    #[inline]
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<Chunk> {
        match self {
            Self::Plain(plain) => plain.read(into),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.read(into),
            Self::Own(own) => own.read(into).map(Chunk::of_own),
        }
    }

    /// Reads into `first` and, if that is filled, into `second`.
    #[inline]
    pub(crate) fn read_two(&self, first: &mut [u8], second: &mut [u8]) -> io::Result<Chunk> {
        match self {
            Self::Plain(plain) => plain.read_two(first, second),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.read_two(first, second),
            // One piece is as good as two: whoever reads comes again until nothing is left.
            Self::Own(own) => {
                own.read(if first.is_empty() { second } else { first }).map(Chunk::of_own)
            }
        }
    }

    /// Answers how many bytes will leave without being offered again. After `WouldBlock` the next write begins
    /// with the same bytes.
    #[inline]
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.write(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.write_pieces(&[IoSlice::new(bytes)]),
            Self::Own(own) => own.write(bytes),
        }
    }

    /// As [`write`](Self::write), for several pieces.
    #[inline]
    pub(crate) fn write_pieces(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.write_pieces(pieces),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.write_pieces(pieces),
            Self::Own(own) => own.write_pieces(pieces),
        }
    }

    /// Ends both directions; the descriptor is closed when the last owner drops the stream.
    pub(crate) fn shutdown(&self) {
        match self {
            Self::Plain(plain) => plain.shutdown(),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.shutdown(),
            Self::Own(own) => own.shutdown(),
        }
    }

    /// The kernel has room again: what the layers themselves have to say leaves.
    pub(crate) fn writable(&self) {
        #[cfg(feature = "tls")]
        if let Self::Tls(tls) = self {
            tls.writable();
        }
    }

    /// Whether bytes may wait within the stream that no event will announce.
    pub(crate) const fn may_hold_bytes(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }

    /// Whether an event for one direction may be about the other.
    pub(crate) const fn hears_both_at_once(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// What an error of this kind, when writing, means for the connection.
    pub(crate) fn end_reason(&self, kind: ErrorKind) -> CloseReason {
        match self {
            Self::Own(own) => own.fault().unwrap_or(CloseReason::Io(kind)),
            _ => CloseReason::Io(kind),
        }
    }

    /// Goes on with the handshake of the layers, until it is through or would block.
    #[cfg(feature = "tls")]
    pub(crate) fn shake(&self) -> io::Result<()> {
        match self {
            Self::Tls(tls) => tls.shake(),
            Self::Plain(_) | Self::Own(_) => Ok(()),
        }
    }

    /// What the peer showed, in DER.
    pub(crate) fn peer_certificate(&self) -> Option<Arc<[u8]>> {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.peer_certificate(),
            Self::Plain(_) | Self::Own(_) => None,
        }
    }

    /// Whether there is a connection by now.
    pub(crate) fn is_connected(&self) -> bool {
        self.plain().is_none_or(|plain| plain.socket.peer_addr().is_ok())
    }

    /// Sets what is set on TCP connections.
    pub(crate) fn tune(&self, tuning: &Tuning) {
        if let Some(plain) = self.plain() {
            tuning.apply(&plain.socket);
        }
    }

    /// Who is at the other end, where the system knows.
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        self.plain()?.credentials()
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.plain()?.socket.local_addr().ok()?.as_socket()
    }

    /// The socket below, where that is known.
    const fn plain(&self) -> Option<&Plain> {
        match self {
            Self::Plain(plain) => Some(plain),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => Some(&tls.plain),
            Self::Own(_) => None,
        }
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Plain(plain) => plain.socket.as_raw_fd(),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.plain.socket.as_raw_fd(),
            Self::Own(own) => own.as_raw_fd(),
        }
    }
}

/// What an error of a stream means for its connection.
pub(crate) fn end_reason(error: &io::Error) -> CloseReason {
    #[cfg(feature = "tls")]
    if let Some(fault) = tls::fault_of(error) {
        return CloseReason::Tls(fault);
    }
    own::fault_of(error).unwrap_or_else(|| CloseReason::Io(error.kind()))
}

/// Why the system made no connection.
pub(crate) fn no_connection(error: &io::Error) -> CloseReason {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => CloseReason::Exhausted,
        _ => end_reason(error),
    }
}

/// A socket with nothing on it. The kernel orders reads and writes.
#[derive(Debug)]
pub(crate) struct Plain {
    socket: Socket,
}

impl Plain {
    pub(crate) const fn new(socket: Socket) -> Self {
        Self { socket }
    }

    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<Chunk> {
        let asked = into.len();
        let bytes = (&self.socket).read(into)?;
        Ok(Chunk::of_kernel(bytes, asked))
    }

    fn read_two(&self, first: &mut [u8], second: &mut [u8]) -> io::Result<Chunk> {
        let asked = first.len() + second.len();
        let bytes =
            (&self.socket).read_vectored(&mut [IoSliceMut::new(first), IoSliceMut::new(second)])?;
        Ok(Chunk::of_kernel(bytes, asked))
    }

    /// Writes without raising SIGPIPE.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.send_with_flags(bytes, NO_SIGNAL)
    }

    /// Writes several pieces without raising SIGPIPE, which std's vectored write would.
    pub(crate) fn write_pieces(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.send_vectored_with_flags(pieces, NO_SIGNAL)
    }

    pub(crate) fn shutdown(&self) {
        // The peer may have been faster; there is nothing left to do either way.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    /// Who is at the other end, where the system knows.
    fn credentials(&self) -> Option<Credentials> {
        sys::credentials(self.socket.as_fd())
    }
}

impl Chunk {
    /// Others may read as little at a time as they like, and say themselves when nothing is left.
    const fn of_own(bytes: usize) -> Self {
        Self { bytes, drained: false }
    }

    /// From the kernel a short read means that nothing is left: more bytes raise a new event, and so does the peer's
    /// close unless it came with these. Saves the system call that would only say so.
    const fn of_kernel(bytes: usize, asked: usize) -> Self {
        Self { bytes, drained: bytes < asked }
    }
}

/// Where the flag does not exist socket2 sets the equivalent option on every socket it makes.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
const NO_SIGNAL: i32 = 0;
