//! Bare sockets: what the kernel allows without any library. Messages have no framing, only their known size.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

#[cfg(feature = "tls")]
use super::tls;
use super::{Aligned, End, Peer, Role};
use crate::error::{Error, Result};

/// How a bare socket is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Raw {
    /// Blocking calls, one per message.
    Block,
    /// Non-blocking calls, yielding between tries.
    Spin,
    /// A write per message, reads as large as they come.
    Each,
    /// Writes of [`BATCH_BYTES`], reads as large as they come.
    Batch,
}

impl Peer for Raw {
    fn serve(&self, _role: Role, url: &str, size: usize) -> Result<(Box<dyn End>, String)> {
        let (listener, at) = Listener::bind(url).map_err(Error::io("listen"))?;
        Ok((Box::new(RawEnd::new(*self, Link::Waiting(listener), size)), at))
    }

    fn connect(&self, _role: Role, url: &str, size: usize) -> Result<Box<dyn End>> {
        let stream = Stream::connect(url)
            .and_then(|stream| stream.prepare(*self))
            .map_err(Error::io("connect"))?;
        Ok(Box::new(RawEnd::new(*self, Link::Open(stream), size)))
    }
}

struct RawEnd {
    mode: Raw,
    link: Link,
    size: usize,
    /// Where a message, or a large read, lands.
    incoming: Aligned,
    /// Bytes read of a message that is not whole yet.
    part: usize,
    /// A batch in the making, filled up to `held`.
    outgoing: Aligned,
    held: usize,
}

/// An end that waits for its connection until it is first used, so that its address can be told before.
enum Link {
    Waiting(Listener),
    Open(Stream),
}

impl RawEnd {
    fn new(mode: Raw, link: Link, size: usize) -> Self {
        let incoming = match mode {
            Raw::Block | Raw::Spin => size,
            Raw::Each | Raw::Batch => READ_BYTES,
        };
        let outgoing = if mode == Raw::Batch { (BATCH_BYTES / size).max(1) * size } else { 0 };
        Self {
            mode,
            link,
            size,
            incoming: Aligned::new(incoming, 0),
            part: 0,
            outgoing: Aligned::new(outgoing, 0),
            held: 0,
        }
    }

    fn open(&mut self) -> Result<()> {
        if let Link::Waiting(listener) = &self.link {
            let stream = listener
                .accept()
                .and_then(|stream| stream.prepare(self.mode))
                .map_err(Error::io("accept"))?;
            self.link = Link::Open(stream);
        }
        Ok(())
    }

    /// Reads as much as there is; gives how many messages that made whole.
    fn read_some(&mut self) -> Result<u64> {
        let Link::Open(stream) = &mut self.link else { unreachable!("opened by the caller") };
        let got = match stream.read(&mut self.incoming) {
            Ok(0) => return Err(Error::Gone),
            Ok(got) => got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
            Err(e) if is_would_block(&e) => return Ok(0),
            Err(e) => return Err(Error::io("read")(e)),
        };
        let bytes = self.part + got;
        self.part = bytes % self.size;
        Ok((bytes / self.size) as u64)
    }

    fn write(&mut self, body: &[u8]) -> Result<()> {
        self.open()?;
        let Link::Open(stream) = &mut self.link else { unreachable!("just opened") };
        let mut sent = 0;
        spin_until(|| match stream.write(&body[sent..])? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            more => {
                sent += more;
                Ok(sent == body.len())
            }
        })
        .map_err(Error::io("write"))
    }
}

impl End for RawEnd {
    fn send(&mut self, body: &[u8]) -> Result<()> {
        self.write(body)
    }

    fn recv(&mut self) -> Result<usize> {
        self.open()?;
        let Link::Open(stream) = &mut self.link else { unreachable!("just opened") };
        let mut got = 0;
        let into = &mut self.incoming[..self.size];
        spin_until(|| match stream.read(&mut into[got..])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            more => {
                got += more;
                Ok(got == into.len())
            }
        })
        .map_err(Error::io("read"))?;
        Ok(got)
    }

    fn echo(&mut self) -> Result<()> {
        self.recv()?;
        let body = std::mem::replace(&mut self.incoming, Aligned::empty());
        let sent = self.write(&body);
        self.incoming = body;
        sent
    }

    fn recv_within(&mut self, limit: Duration) -> Result<u64> {
        self.open()?;
        let Link::Open(stream) = &self.link else { unreachable!("just opened") };
        stream.set_read_timeout(limit).map_err(Error::io("set a read timeout"))?;
        loop {
            let part = self.part;
            let whole = self.read_some()?;
            // A large message comes in many pieces; only a read that brought nothing has timed out.
            if whole > 0 || self.part == part {
                return Ok(whole);
            }
        }
    }

    fn send_burst(&mut self, body: &[u8], count: u64) -> Result<()> {
        for _ in 0..count {
            if self.mode != Raw::Batch {
                self.write(body)?;
                continue;
            }
            self.outgoing[self.held..self.held + body.len()].copy_from_slice(black_box(body));
            self.held += body.len();
            if self.held == self.outgoing.len() {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn recv_burst(&mut self, _size: usize, _count: u64) -> Result<u64> {
        self.open()?;
        loop {
            let whole = self.read_some()?;
            if whole > 0 {
                return Ok(whole);
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        let batch = std::mem::replace(&mut self.outgoing, Aligned::empty());
        let sent = if self.held > 0 { self.write(&batch[..self.held]) } else { Ok(()) };
        self.outgoing = batch;
        self.held = 0;
        sent
    }
}

enum Listener {
    Tcp(TcpListener),
    #[cfg(feature = "tls")]
    Tls(TcpListener),
    Udp(UdpSocket),
    Unix(UnixListener),
}

impl Listener {
    fn bind(url: &str) -> io::Result<(Self, String)> {
        if let Some(address) = url.strip_prefix("tcp://") {
            let listener = TcpListener::bind(address)?;
            let at = format!("tcp://{}", listener.local_addr()?);
            return Ok((Self::Tcp(listener), at));
        }
        #[cfg(feature = "tls")]
        if let Some(address) = url.strip_prefix("tls+tcp://") {
            let listener = TcpListener::bind(address)?;
            let at = format!("tls+tcp://{}", listener.local_addr()?);
            return Ok((Self::Tls(listener), at));
        }
        if let Some(address) = url.strip_prefix("udp://") {
            let socket = UdpSocket::bind(address)?;
            let at = format!("udp://{}", socket.local_addr()?);
            return Ok((Self::Udp(socket), at));
        }
        let path = url.strip_prefix("ipc://").ok_or(io::ErrorKind::InvalidInput)?;
        Ok((Self::Unix(UnixListener::bind(path)?), url.to_owned()))
    }

    fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().map(|(stream, _)| Stream::Tcp(stream)),
            #[cfg(feature = "tls")]
            Self::Tls(listener) => {
                let (socket, _) = listener.accept()?;
                tls::Stream::server(socket).map(|stream| Stream::Tls(Box::new(stream)))
            }
            Self::Udp(socket) => {
                let (_, from) = socket.recv_from(&mut [])?;
                socket.connect(from)?;
                socket.try_clone().map(Stream::Udp)
            }
            Self::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<tls::Stream>),
    /// A datagram is a message. The first one has no bytes and says who has connected.
    Udp(UdpSocket),
    Unix(UnixStream),
}

impl Stream {
    fn connect(url: &str) -> io::Result<Self> {
        if let Some(address) = url.strip_prefix("tcp://") {
            return TcpStream::connect(address).map(Self::Tcp);
        }
        #[cfg(feature = "tls")]
        if let Some(address) = url.strip_prefix("tls+tcp://") {
            let stream = tls::Stream::client(TcpStream::connect(address)?)?;
            return Ok(Self::Tls(Box::new(stream)));
        }
        if let Some(address) = url.strip_prefix("udp://") {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            SockRef::from(&socket).set_recv_buffer_size(RECV_BUFFER_BYTES)?;
            socket.connect(address)?;
            socket.send(&[])?;
            return Ok(Self::Udp(socket));
        }
        let path = url.strip_prefix("ipc://").ok_or(io::ErrorKind::InvalidInput)?;
        UnixStream::connect(path).map(Self::Unix)
    }

    fn prepare(self, mode: Raw) -> io::Result<Self> {
        match &self {
            Self::Tcp(stream) => {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(mode == Raw::Spin)?;
            }
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.socket.set_nodelay(true)?,
            Self::Udp(socket) => socket.set_nonblocking(mode == Raw::Spin)?,
            Self::Unix(stream) => stream.set_nonblocking(mode == Raw::Spin)?,
        }
        Ok(self)
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.read(into),
            Self::Udp(socket) => socket.recv(into),
            Self::Unix(stream) => stream.read(into),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.write(bytes),
            Self::Udp(socket) => socket.send(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn set_read_timeout(&self, limit: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(limit)),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.socket.set_read_timeout(Some(limit)),
            Self::Udp(socket) => socket.set_read_timeout(Some(limit)),
            Self::Unix(stream) => stream.set_read_timeout(Some(limit)),
        }
    }
}

/// Repeats `step` until it says it is done. Between tries that would block, others may run: two spinners that
/// share a processor would otherwise wait out each other's time slices.
fn spin_until(mut step: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    loop {
        match step() {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if is_would_block(&e) => thread::yield_now(),
            Err(e) => return Err(e),
        }
    }
}

fn is_would_block(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The batch a writer of small messages reaches most of the kernel's throughput with.
const BATCH_BYTES: usize = 64 * 1024;

/// What this library asks for as well.
const RECV_BUFFER_BYTES: usize = 4 << 20;

/// Four batches: beyond this the measured rate no longer rose.
const READ_BYTES: usize = 256 * 1024;
