//! The byte streams that connections run over.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use socket2::Socket;
use sp_core::pipe::Credentials;

use crate::sys;

/// A connected, non-blocking byte stream. Reading and writing need no exclusive access: the kernel orders
/// them, and this library sees to it that one thread at a time does either.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Socket,
}

impl Stream {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket }
    }

    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        (&self.socket).read(into)
    }

    /// Reads into `first` and then into `second`, in one system call.
    pub(crate) fn read_two(&self, first: &mut [u8], second: &mut [u8]) -> io::Result<usize> {
        (&self.socket).read_vectored(&mut [IoSliceMut::new(first), IoSliceMut::new(second)])
    }

    /// Writes without raising SIGPIPE.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.send_with_flags(bytes, NO_SIGNAL)
    }

    /// Writes several pieces without raising SIGPIPE, which std's vectored write would.
    pub(crate) fn write_pieces(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.send_vectored_with_flags(pieces, NO_SIGNAL)
    }

    /// Ends both directions; the descriptor is closed when the last owner drops the stream.
    pub(crate) fn shutdown(&self) {
        // The peer may have been faster; there is nothing left to do either way.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }

    /// Who is at the other end, where the system knows.
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        sys::credentials(self.socket.as_fd())
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Where the flag does not exist socket2 sets the equivalent option on every socket it makes.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
const NO_SIGNAL: i32 = 0;
