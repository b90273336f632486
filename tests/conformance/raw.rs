//! Scripted peers over plain sockets: they say exactly what a test tells them to.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use socket2::SockRef;
use sp::{Endpoint, ProtocolId};

use crate::shared::{DEADLINE, Transport, unique};

/// A transport with a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Tcp,
    Ipc,
    Ws,
    /// Datagrams; scripted peers stand in `udp.rs`.
    Udp,
}

impl Wire {
    pub(crate) const BOTH: [Self; 2] = [Self::Tcp, Self::Ipc];

    /// A URL to listen on that nobody else uses.
    pub(crate) fn url(self) -> String {
        match self {
            Self::Tcp => Transport::Tcp.url(),
            Self::Ipc => Transport::Ipc.url(),
            Self::Ws => Transport::Ws.url(),
            Self::Udp => Transport::Udp.url(),
        }
    }

    /// A message as it stands on this wire.
    pub(crate) fn frame(self, payload: &[u8]) -> Vec<u8> {
        [&self.head(payload.len() as u64), payload].concat()
    }

    /// What stands in front of a message of `length` bytes.
    pub(crate) fn head(self, length: u64) -> Vec<u8> {
        match self {
            Self::Tcp => length.to_be_bytes().to_vec(),
            Self::Ipc => [&[1][..], &length.to_be_bytes()].concat(),
            // Nobody looks at the pattern, which is missing here.
            Self::Udp => [&[1, 0, 0, 0][..], &(length as u32).to_le_bytes()].concat(),
            // As a client says it, with a mask that changes nothing.
            Self::Ws => [&ws_head(0x82, 0x80, length)[..], &[0; 4]].concat(),
        }
    }
}

/// A WebSocket frame's first byte, and its length in the shortest form.
pub(crate) fn ws_head(first: u8, masked: u8, length: u64) -> Vec<u8> {
    match length {
        0..126 => vec![first, masked | length as u8],
        126..0x1_0000 => [&[first, masked | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, masked | 127][..], &length.to_be_bytes()].concat(),
    }
}

/// What a WebSocket client of a listener of `protocol` says first.
pub(crate) fn ws_request(at: &Endpoint, protocol: ProtocolId) -> String {
    let url = at.to_string();
    let path = url.rsplit('/').next().expect("a path");
    let name = protocol.to_string().to_lowercase();
    format!(
        "GET /{path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {name}.sp.nanomsg.org\r\n\r\n"
    )
}

/// A path for a socket file that nobody else uses.
pub(crate) fn fresh_path() -> PathBuf {
    std::env::temp_dir().join(unique())
}

/// The handshake of a pattern, written down here once more so that the library is not compared with itself.
pub(crate) fn handshake(protocol: ProtocolId) -> [u8; 8] {
    let [high, low] = protocol.0.to_be_bytes();
    [0x00, 0x53, 0x50, 0x00, high, low, 0x00, 0x00]
}

trait Stream: Read + Write + Send {
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
    fn set_patience(&self, patience: Duration) -> io::Result<()>;
    fn local(&self) -> Option<SocketAddr>;
}

impl Stream for TcpStream {
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }
    fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.set_nodelay(true)?;
        self.set_read_timeout(Some(patience))?;
        self.set_write_timeout(Some(patience))
    }
    fn local(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }
}

impl Stream for UnixStream {
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }
    fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))?;
        self.set_write_timeout(Some(patience))
    }
    fn local(&self) -> Option<SocketAddr> {
        None
    }
}

/// A peer that says exactly what it is told to.
pub(crate) struct Raw {
    pub(crate) wire: Wire,
    stream: Box<dyn Stream>,
}

impl Raw {
    pub(crate) fn dial(at: &Endpoint) -> Self {
        let url = at.to_string();
        if let Some(path) = url.strip_prefix("ipc://") {
            return Self::new(Wire::Ipc, UnixStream::connect(path).expect("a socket file"));
        }
        if let Some(rest) = url.strip_prefix("ws://") {
            let addr = rest.split('/').next().expect("an address");
            return Self::new(Wire::Ws, TcpStream::connect(addr).expect("a listener"));
        }
        // Under TLS as well, of which it knows nothing.
        let bare = url.strip_prefix("tls+").unwrap_or(&url);
        let addr = bare.strip_prefix("tcp://").expect("tcp, ws, ipc or TLS");
        Self::new(Wire::Tcp, TcpStream::connect(addr).expect("a listener"))
    }

    fn new(wire: Wire, stream: impl Stream + 'static) -> Self {
        stream.set_patience(DEADLINE).expect("a live stream");
        Self { wire, stream: Box::new(stream) }
    }

    /// Says who it is and hears who the other side is.
    pub(crate) fn shake(&mut self, as_protocol: ProtocolId) -> Vec<u8> {
        self.send(&handshake(as_protocol));
        self.read(8)
    }

    /// Reads a head of HTTP, empty line included.
    pub(crate) fn http_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.read(1));
        }
        String::from_utf8(head).expect("a head is text")
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the other side takes it");
    }

    /// Sends as much as the other side lets it.
    pub(crate) fn send_in_vain(&mut self, bytes: &[u8]) {
        // It may have hung up before the end.
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn send_message(&mut self, payload: &[u8]) {
        let frame = self.wire.frame(payload);
        self.send(&frame);
    }

    pub(crate) fn read(&mut self, bytes: usize) -> Vec<u8> {
        let mut got = vec![0; bytes];
        self.stream.read_exact(&mut got).expect("the other side sends it");
        got
    }

    /// The next message: SP header and body.
    pub(crate) fn message(&mut self) -> Vec<u8> {
        let head = self.wire.head(0).len();
        let head = self.read(head);
        let (of_type, length) = head.split_at(head.len() - 8);
        assert!(matches!(of_type, [] | [1]), "the message type is {of_type:?}");
        let length = u64::from_be_bytes(length.try_into().expect("eight bytes"));
        self.read(usize::try_from(length).expect("a length that fits"))
    }

    /// Sends nothing more, and goes on reading.
    pub(crate) fn finish(&self) {
        // The other side may have hung up already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Waits until the other side hangs up and answers what came before.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the other side does not hang up: {error}"),
        }
        rest
    }

    /// The end of the stream if it comes within `wait`; nothing may come before it.
    pub(crate) fn ends_within(&mut self, wait: Duration) -> bool {
        self.stream.set_patience(wait).expect("a live stream");
        match self.stream.read(&mut [0]) {
            Ok(0) => true,
            Ok(_) => panic!("the other side said something"),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => false,
                ErrorKind::ConnectionReset => true,
                _ => panic!("{error}"),
            },
        }
    }

    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.stream.local()
    }
}

/// A scripted listener.
pub(crate) enum RawListener {
    Tcp(TcpListener),
    Ipc(UnixListener, PathBuf),
}

impl RawListener {
    pub(crate) fn new(wire: Wire) -> Self {
        match wire {
            Wire::Tcp | Wire::Ws => {
                Self::from(TcpListener::bind("127.0.0.1:0").expect("a free port"))
            }
            Wire::Udp => unreachable!("datagrams need no listener"),
            Wire::Ipc => {
                let path = fresh_path();
                let listener = UnixListener::bind(&path).expect("a fresh path");
                patient(SockRef::from(&listener));
                Self::Ipc(listener, path)
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Tcp(listener) => format!("tcp://{}", listener.local_addr().expect("bound")),
            Self::Ipc(_, path) => format!("ipc://{}", path.display()),
        }
    }

    pub(crate) fn accept(&self) -> Raw {
        match self {
            Self::Tcp(listener) => {
                Raw::new(Wire::Tcp, listener.accept().expect("somebody dials").0)
            }
            Self::Ipc(listener, _) => {
                Raw::new(Wire::Ipc, listener.accept().expect("somebody dials").0)
            }
        }
    }
}

impl From<TcpListener> for RawListener {
    fn from(listener: TcpListener) -> Self {
        patient(SockRef::from(&listener));
        Self::Tcp(listener)
    }
}

impl Drop for RawListener {
    fn drop(&mut self) {
        if let Self::Ipc(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// On Linux the time limit for reading holds for accepting as well.
fn patient(listener: SockRef<'_>) {
    listener.set_read_timeout(Some(DEADLINE)).expect("a live listener");
}
