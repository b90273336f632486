//! A transport of the tests' own: local sockets, whose streams do all that a byte stream may do.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::{EventfdFlags, epoll, eventfd};
use sp::transport::{ByteListener, ByteStream, Transport, register};

/// The scheme, registered on first use.
pub(crate) fn choppy() -> &'static str {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| register("choppy", Choppy).expect("nobody else has it"));
    "choppy"
}

/// Names stand for abstract sockets.
struct Choppy;

impl Transport for Choppy {
    fn dial(&self, address: &str) -> io::Result<Box<dyn ByteStream>> {
        Ok(Box::new(Chopped::new(connect(address)?)?))
    }

    fn listen(&self, address: &str) -> io::Result<Box<dyn ByteListener>> {
        Ok(Box::new(Door(listen(address)?)))
    }
}

struct Door(UnixListener);

impl ByteListener for Door {
    fn accept(&self) -> io::Result<Box<dyn ByteStream>> {
        Ok(Box::new(Chopped::new(self.0.accept()?.0)?))
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A stream that reads and writes less than it could, a byte even, and says in between that it would block though it
/// would not.
struct Chopped {
    line: UnixStream,
    /// Rings when it would not have blocked.
    alarm: OwnedFd,
    /// Hears the line and the alarm.
    both: OwnedFd,
    turn: AtomicUsize,
}

impl Chopped {
    fn new(line: UnixStream) -> io::Result<Self> {
        line.set_nonblocking(true)?;
        let alarm = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let both = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&both, &alarm, epoll::EventData::new_u64(0), edge)?;
        let edge = edge | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP;
        epoll::add(&both, &line, epoll::EventData::new_u64(1), edge)?;
        Ok(Self { line, alarm, both, turn: AtomicUsize::new(0) })
    }

    /// How many bytes may move now.
    fn portion(&self, wanted: usize) -> io::Result<usize> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        match PORTIONS[turn % PORTIONS.len()] {
            0 => {
                rustix::io::write(&self.alarm, &1_u64.to_ne_bytes())?;
                Err(ErrorKind::WouldBlock.into())
            }
            portion => Ok(portion.min(wanted)),
        }
    }
}

impl ByteStream for Chopped {
    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let portion = self.portion(into.len())?;
        (&self.line).read(&mut into[..portion])
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let portion = self.portion(bytes.len())?;
        (&self.line).write(&bytes[..portion])
    }

    fn shutdown(&self) {
        let _ = self.line.shutdown(Shutdown::Both);
    }
}

impl AsFd for Chopped {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.both.as_fd()
    }
}

pub(crate) fn connect(name: &str) -> io::Result<UnixStream> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)
}

pub(crate) fn listen(name: &str) -> io::Result<UnixListener> {
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Bytes that move at a time; 0 stands for a wait in vain.
const PORTIONS: [usize; 11] = [1, 0, 65_536, 3, 0, 0, 7, 40_000, 0, 65_536, 65_536];
