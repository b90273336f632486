//! Transports of the program's own: any reliable byte stream with a descriptor that can be polled.
//!
//! A [`Transport`] makes [`ByteStream`]s by dialling and [`ByteListener`]s by listening. [`register`] gives it a
//! scheme, and from then on every socket of the process dials and listens at URLs with that scheme. The rest is the
//! library's, the same as for tcp: who the two ends are and where messages begin (a handshake of eight bytes, and eight
//! bytes of length before each message), connecting again, limits, admission, events, statistics, closing.
//!
//! A transport over local sockets, which the library has of course, shows all there is to write:
//!
//! ```
//! # use sp_transport as sp;
//! use std::io::{self, Read, Write};
//! use std::net::Shutdown;
//! use std::os::fd::{AsFd, BorrowedFd};
//! use std::os::unix::net::{UnixListener, UnixStream};
//! use sp::transport::{ByteListener, ByteStream, Transport, register};
//!
//! struct Local;
//!
//! impl Transport for Local {
//!     fn dial(&self, address: &str) -> io::Result<Box<dyn ByteStream>> {
//!         Line::of(UnixStream::connect(address)?)
//!     }
//!
//!     fn listen(&self, address: &str) -> io::Result<Box<dyn ByteListener>> {
//!         let listener = UnixListener::bind(address)?;
//!         listener.set_nonblocking(true)?;
//!         Ok(Box::new(Door(listener)))
//!     }
//! }
//!
//! struct Door(UnixListener);
//!
//! impl ByteListener for Door {
//!     fn accept(&self) -> io::Result<Box<dyn ByteStream>> {
//!         Line::of(self.0.accept()?.0)
//!     }
//! }
//!
//! struct Line(UnixStream);
//!
//! impl Line {
//!     fn of(stream: UnixStream) -> io::Result<Box<dyn ByteStream>> {
//!         stream.set_nonblocking(true)?;
//!         Ok(Box::new(Self(stream)))
//!     }
//! }
//!
//! impl ByteStream for Line {
//!     fn read(&self, into: &mut [u8]) -> io::Result<usize> {
//!         (&self.0).read(into)
//!     }
//!
//!     fn write(&self, bytes: &[u8]) -> io::Result<usize> {
//!         (&self.0).write(bytes)
//!     }
//!
//!     fn shutdown(&self) {
//!         let _ = self.0.shutdown(Shutdown::Both);
//!     }
//! }
//!
//! // Whom the poller asks.
//! impl AsFd for Door {
//!     fn as_fd(&self) -> BorrowedFd<'_> {
//!         self.0.as_fd()
//!     }
//! }
//!
//! impl AsFd for Line {
//!     fn as_fd(&self) -> BorrowedFd<'_> {
//!         self.0.as_fd()
//!     }
//! }
//!
//! register("local", Local)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Afterwards `rep.listen("local:///tmp/a.sock")` and `req.dial("local:///tmp/a.sock")` work as with any other scheme.
//! The example `own_transport` is one over serial lines.
//!
//! # Who calls
//!
//! | | on | may block |
//! | --- | --- | --- |
//! | [`Transport::listen`] | the thread that calls the socket's `listen` | for as long as that may |
//! | [`Transport::dial`], [`ByteListener::accept`] | the I/O thread, which serves every socket of the process | never |
//! | a [`ByteStream`]'s methods | whoever sends or drives: any thread, one at a time for each direction | never |
//! | `drop` | any thread | never |
//!
//! Code that the library calls for a stream is in the middle of a send or receive, and calls no sockets: it would wait
//! for itself.
//!
//! # What may go wrong
//!
//! An error ends the attempt or the connection with [`CloseReason::Io`] and its kind, and a dialer comes again. A read
//! or write that was [`Interrupted`](std::io::ErrorKind::Interrupted) is tried again at once, 16 times in all, and then
//! ends the connection as [`Other`](std::io::ErrorKind::Other). What panics, or claims to have moved more bytes than
//! there were, is asked for nothing more: the connection ends with [`CloseReason::TransportPanicked`] or
//! [`CloseReason::TransportOverran`]. No other connection notices. A listener whose `accept` fails or panics pauses and
//! is asked again, and its socket's events tell each time. `listen` alone runs on a thread of the program, which its
//! panic is for.
//!
//! [`CloseReason::Io`]: sp_core::pipe::CloseReason::Io
//! [`CloseReason::TransportPanicked`]: sp_core::pipe::CloseReason::TransportPanicked
//! [`CloseReason::TransportOverran`]: sp_core::pipe::CloseReason::TransportOverran

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

pub use sp_core::endpoint::SchemeError;
use sp_core::endpoint::add_scheme;
use sp_core::process::PerProcess;
use sp_core::sync::lock;

/// Makes the connections of one scheme. See the [module](self) for a whole one.
pub trait Transport: Send + Sync + 'static {
    /// Starts a connection to `address`, which is what follows `://`. A dialer that has lost its connection asks again.
    ///
    /// It need not be through: until it is, reading and writing answer `WouldBlock` or `NotConnected`, and the
    /// descriptor becomes writable once it is. What takes longer to find out is for a thread of the transport's own,
    /// with a descriptor for the news.
    ///
    /// # Errors
    ///
    /// Whatever kept it from starting. [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) and
    /// [`NotFound`](io::ErrorKind::NotFound) mean that nobody listens there.
    fn dial(&self, address: &str) -> io::Result<Box<dyn ByteStream>>;

    /// Listens at `address`, which is what follows `://`. Until what it answers is dropped.
    ///
    /// Where both ends are alike, as on a serial line, nobody needs to listen: both dial.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if somebody listens there, [`Unsupported`](io::ErrorKind::Unsupported)
    /// if nobody can.
    fn listen(&self, address: &str) -> io::Result<Box<dyn ByteListener>>;
}

/// A reliable, ordered stream of bytes both ways that never blocks.
///
/// [`as_fd`](AsFd::as_fd) is asked once, and the descriptor stays open and the same until the stream is dropped. The
/// library polls it edge-triggered: after each `WouldBlock` an event has to come as soon as going on makes sense. Any
/// event counts for both directions, so that the descriptor may also be one that stands for others: a poll set (epoll,
/// kqueue) with both pipes of a pair in it, or an eventfd that another thread makes readable.
///
/// What a stream keeps in memory is its own affair, but what it has taken to write has to leave without another call.
pub trait ByteStream: AsFd + Send + Sync + 'static {
    /// Reads what there is, at most as much as `into` has room for. 0 says that the peer has ended the stream.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing is there now. Any other error ends the connection, as the
    /// [module](self) says.
    fn read(&self, into: &mut [u8]) -> io::Result<usize>;

    /// Writes a first part of `bytes` and says how long it is: at least 1.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room now; the same bytes are offered again. Any other
    /// error ends the connection, as the [module](self) says.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// As [`write`](Self::write), for several pieces one behind the other. Writes of the first that is not empty,
    /// unless the stream knows better.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    fn write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let first = pieces.iter().find(|piece| !piece.is_empty());
        first.map_or(Ok(0), |piece| self.write(piece))
    }

    /// Ends both directions, so that the peer hears of it. The stream is dropped soon afterwards.
    fn shutdown(&self);
}

/// Where connections come in.
///
/// [`as_fd`](AsFd::as_fd) is asked once, and the descriptor stays open and the same until the listener is dropped. It
/// becomes readable when there is somebody to accept.
pub trait ByteListener: AsFd + Send + 'static {
    /// The next connection that waits.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if nobody waits.
    fn accept(&self) -> io::Result<Box<dyn ByteStream>>;

    /// The address to dial, where it is not the one that was asked for: as with a port that the system chose. Asked
    /// once.
    fn address(&self) -> Option<String> {
        None
    }
}

/// Has `transport` serve the URLs that begin with `scheme` and `://`, for all sockets, as long as the process lives.
///
/// # Errors
///
/// [`SchemeError`] if the scheme is none, belongs to the Scalability Protocols, or is registered already.
pub fn register(scheme: &'static str, transport: impl Transport) -> Result<(), SchemeError> {
    let transport: Arc<dyn Transport> = Arc::new(transport);
    // Locked first, so that whoever finds the scheme finds the transport.
    let mut registered = lock(here());
    add_scheme(scheme)?;
    registered.push((scheme, transport));
    Ok(())
}

/// The transport of an endpoint's scheme, which is missing only if the process was forked while it was registered.
pub(crate) fn registered(scheme: &str) -> io::Result<Arc<dyn Transport>> {
    let registered = lock(here());
    let found = registered.iter().find(|(of, _)| *of == scheme);
    found
        .map(|(_, transport)| Arc::clone(transport))
        .ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// What this process has. A forked child begins with what its parent had.
fn here() -> &'static Mutex<Registered> {
    REGISTERED.get(|parents| {
        Mutex::new(parents.try_lock().map_or_else(|_| Vec::new(), |had| had.clone()))
    })
}

/// A handful, and looked at only to dial and listen.
static REGISTERED: PerProcess<Mutex<Registered>> = PerProcess::first(Mutex::new(Vec::new()));

type Registered = Vec<(&'static str, Arc<dyn Transport>)>;
