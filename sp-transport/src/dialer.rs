//! Connecting, and connecting again.

use std::collections::{VecDeque, hash_map::RandomState};
use std::hash::BuildHasher;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use sp_core::clock;
use sp_core::pipe::CloseReason;

use crate::backoff::Backoff;
use crate::listener::tune;
use crate::options::DialOptions;
use crate::runtime::Report;

/// A dialer in the worker's care: at most one connection at a time.
pub(crate) struct Dialer {
    pub(crate) options: DialOptions,
    pub(crate) backoff: Backoff,
    /// Addresses of this attempt that have not been tried.
    pub(crate) addresses: VecDeque<SocketAddr>,
    /// When the present connection was made.
    connected_at: Option<Instant>,
    /// Who waits for the outcome of the first attempt.
    report: Option<Report>,
}

impl Dialer {
    pub(crate) fn new(options: DialOptions, report: Option<Report>) -> Self {
        // A random seed from std: the hasher's keys come from the system.
        let seed = RandomState::new().hash_one(0u8);
        let backoff = Backoff::new(options.reconnect_min, options.reconnect_max, seed);
        Self { options, backoff, addresses: VecDeque::new(), connected_at: None, report }
    }

    /// A connection has been made and accepted.
    pub(crate) fn succeeded(&mut self) {
        self.connected_at = Some(clock::now());
        self.addresses.clear();
        if let Some(report) = self.report.take() {
            // The caller may have given up waiting.
            let _ = report.send(Ok(()));
        }
    }

    /// The connection is gone. Answers how long to wait before the next attempt.
    pub(crate) fn lost(&mut self) -> Duration {
        let lived = self.connected_at.take().map(|at| clock::now().saturating_duration_since(at));
        // A peer that accepts and closes at once is no success: attempts go on growing rarer.
        if lived.is_some_and(|lived| lived >= self.backoff.next()) {
            self.backoff.succeed();
        }
        self.backoff.fail()
    }

    /// The attempt came to nothing. Answers whether somebody waited for it, and then there is no other.
    pub(crate) fn failed(&mut self, why: CloseReason) -> bool {
        let Some(report) = self.report.take() else { return false };
        let _ = report.send(Err(why));
        true
    }
}

/// Starts a TCP connection.
pub(crate) fn connect_tcp(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    tune(&socket);
    connect(socket, &addr.into())
}

/// Connects to a socket file.
pub(crate) fn connect_ipc(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    connect(socket, &SockAddr::unix(path)?).map_err(|error| match error.kind() {
        // A full backlog; the next attempt may find room.
        ErrorKind::WouldBlock => ErrorKind::ConnectionRefused.into(),
        _ => error,
    })
}

fn connect(socket: Socket, addr: &SockAddr) -> io::Result<Socket> {
    socket.set_nonblocking(true)?;
    match socket.connect(addr) {
        Ok(()) => Ok(socket),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}
