//! The program's own transports as connections see them: every call guarded, every answer checked.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::OnceLock;

use sp_core::foreign::guarded;
use sp_core::pipe::CloseReason;

use crate::transport::{ByteListener, ByteStream, Transport};

/// How often a call is made that is interrupted each time. Without an end, the stream would keep its thread for ever.
const TRIES_MAX: u32 = 16;

/// A stream that the program's transport made.
pub(crate) struct OwnStream {
    made: Made<dyn ByteStream>,
    /// What it did that no stream may do. It is asked for nothing any more.
    fault: OnceLock<CloseReason>,
}

/// A listener that the program's transport made.
pub(crate) struct OwnListener {
    made: Made<dyn ByteListener>,
}

/// Has a transport start a connection.
pub(crate) fn dial(transport: &dyn Transport, address: &str) -> io::Result<OwnStream> {
    OwnStream::new(within(|| transport.dial(address))?)
}

impl OwnStream {
    fn new(made: Box<dyn ByteStream>) -> io::Result<Self> {
        Ok(Self { made: Made::new(made)?, fault: OnceLock::new() })
    }

    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let room = into.len();
        self.ask(room, |stream| stream.read(into))
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        some(self.ask(bytes.len(), |stream| stream.write(bytes))?)
    }

    pub(crate) fn write_pieces(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let offered = pieces.iter().map(|piece| piece.len()).sum();
        some(self.ask(offered, |stream| stream.write_vectored(pieces))?)
    }

    pub(crate) fn shutdown(&self) {
        // What has a fault has ended as well as it can.
        let _ = self.ask(0, |stream| {
            stream.shutdown();
            Ok(0)
        });
    }

    /// What it did that no stream may do.
    pub(crate) fn fault(&self) -> Option<CloseReason> {
        self.fault.get().cloned()
    }

    /// Has it move at most `most` bytes.
    fn ask(
        &self,
        most: usize,
        mut ask: impl FnMut(&dyn ByteStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if let Some(fault) = self.fault() {
            return Err(io::Error::other(fault));
        }
        let moved = (0..TRIES_MAX)
            .map(|_| self.made.call(&mut ask))
            .find(|moved| !is_interrupted(moved))
            .unwrap_or_else(|| Err(io::Error::other("interrupted without end")));
        let fault = match &moved {
            Ok(moved) if *moved > most => CloseReason::TransportOverran,
            Err(error) if is_panic(error) => CloseReason::TransportPanicked,
            _ => return moved,
        };
        // Whoever reads and whoever writes may both come here; the first fault counts.
        Err(io::Error::other(self.fault.get_or_init(|| fault).clone()))
    }
}

fn is_interrupted(moved: &io::Result<usize>) -> bool {
    moved.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted)
}

/// A stream that takes nothing, and does not say that it would block, would be offered the same for ever.
fn some(written: usize) -> io::Result<usize> {
    if written == 0 { Err(ErrorKind::WriteZero.into()) } else { Ok(written) }
}

impl OwnListener {
    pub(crate) fn new(made: Box<dyn ByteListener>) -> io::Result<Self> {
        Ok(Self { made: Made::new(made)? })
    }

    pub(crate) fn accept(&self) -> io::Result<OwnStream> {
        OwnStream::new(self.made.call(|listener| listener.accept())?)
    }
}

/// What the program made, and its descriptor.
struct Made<T: ?Sized> {
    /// `None` only while it is dropped.
    made: Option<Box<T>>,
    fd: RawFd,
}

impl<T: AsFd + ?Sized> Made<T> {
    fn new(made: Box<T>) -> io::Result<Self> {
        let mut made = Self { made: Some(made), fd: -1 };
        made.fd = made.call(|made| Ok(made.as_fd().as_raw_fd()))?;
        Ok(made)
    }

    fn call<R>(&self, call: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
        match &self.made {
            Some(made) => within(|| call(made)),
            None => unreachable!("nothing is asked of what is being dropped"),
        }
    }
}

impl<T: ?Sized> Drop for Made<T> {
    fn drop(&mut self) {
        let made = self.made.take();
        // The panic hook has reported it, and there is nothing more to end.
        let _ = guarded(|| drop(made));
    }
}

/// Runs the program's code, whose panic becomes an error.
fn within<R>(call: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    guarded(call).unwrap_or_else(|_| Err(io::Error::other(CloseReason::TransportPanicked)))
}

fn is_panic(error: &io::Error) -> bool {
    fault_of(error) == Some(CloseReason::TransportPanicked)
}

/// What the program's transport did wrong, if the error is about that.
pub(crate) fn fault_of(error: &io::Error) -> Option<CloseReason> {
    match error.get_ref()?.downcast_ref()? {
        CloseReason::TransportPanicked => Some(CloseReason::TransportPanicked),
        CloseReason::TransportOverran => Some(CloseReason::TransportOverran),
        _ => None,
    }
}

impl AsRawFd for OwnStream {
    fn as_raw_fd(&self) -> RawFd {
        self.made.fd
    }
}

impl AsRawFd for OwnListener {
    fn as_raw_fd(&self) -> RawFd {
        self.made.fd
    }
}

impl fmt::Debug for OwnStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnStream").field("fd", &self.made.fd).field("fault", &self.fault).finish()
    }
}
