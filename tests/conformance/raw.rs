//! Scripted peers over plain sockets: they say exactly what a test tells them to.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
#[cfg(feature = "tls")]
use std::ops::DerefMut;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "tls")]
use rustls::{ConnectionCommon, SideData, StreamOwned};
use socket2::SockRef;
use sp::{Endpoint, ProtocolId};

#[cfg(feature = "tls")]
use crate::shared::tls::{scripted_client, scripted_server};
use crate::shared::{DEADLINE, Transport, unique};

/// A transport with a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Tcp,
    Ipc,
    Ws,
    /// Datagrams; scripted peers stand in `udp.rs`.
    Udp,
    #[cfg(feature = "tls")]
    Wss,
}

impl Wire {
    pub(crate) const BOTH: [Self; 2] = [Self::Tcp, Self::Ipc];

    /// Those that begin with HTTP.
    #[cfg(not(feature = "tls"))]
    pub(crate) const WEB: [Self; 1] = [Self::Ws];
    #[cfg(feature = "tls")]
    pub(crate) const WEB: [Self; 2] = [Self::Ws, Self::Wss];

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::BOTH.into_iter().chain(Self::WEB)
    }

    pub(crate) fn is_web(self) -> bool {
        Self::WEB.contains(&self)
    }

    /// The transport that has this wire.
    pub(crate) const fn transport(self) -> Transport {
        match self {
            Self::Tcp => Transport::Tcp,
            Self::Ipc => Transport::Ipc,
            Self::Ws => Transport::Ws,
            Self::Udp => Transport::Udp,
            #[cfg(feature = "tls")]
            Self::Wss => Transport::Wss,
        }
    }

    /// A URL to listen on that nobody else uses.
    pub(crate) fn url(self) -> String {
        self.transport().url()
    }

    fn scheme(self) -> String {
        self.url().split(':').next().unwrap_or_default().to_owned()
    }

    /// A TCP connection as a peer's end of this wire.
    fn dialing(self, stream: TcpStream) -> Raw {
        #[cfg(feature = "tls")]
        if self == Self::Wss {
            return Raw::new(self, scripted_client(stream, &[]));
        }
        Raw::new(self, stream)
    }

    /// As [`dialing`](Self::dialing), for one that was accepted.
    fn accepted(self, stream: TcpStream) -> Raw {
        #[cfg(feature = "tls")]
        if self == Self::Wss {
            return Raw::new(self, scripted_server(stream, &[]));
        }
        Raw::new(self, stream)
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
            _ => [&ws_head(0x82, 0x80, length)[..], &[0; 4]].concat(),
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
    /// Says that nothing more will come, as far as there are words for it.
    fn goodbye(&mut self) {}
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

#[cfg(feature = "tls")]
impl<C, S> Stream for StreamOwned<C, TcpStream>
where
    C: DerefMut<Target = ConnectionCommon<S>> + Send,
    S: SideData,
{
    fn goodbye(&mut self) {
        self.conn.send_close_notify();
        // The other side may have hung up already.
        let _ = self.flush();
    }
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.sock.shutdown(how)
    }
    fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.sock.set_patience(patience)
    }
    fn local(&self) -> Option<SocketAddr> {
        self.sock.local()
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
        let (scheme, rest) = url.split_once("://").expect("a URL");
        // Under TLS as well, of which it knows nothing.
        let wire = Wire::all().find(|wire| wire.scheme() == scheme).unwrap_or(Wire::Tcp);
        let addr = rest.split('/').next().expect("an address");
        wire.dialing(TcpStream::connect(addr).expect("a listener"))
    }

    /// As [`dial`](Self::dial), without TLS where there should be.
    pub(crate) fn dial_in_clear(at: &Endpoint) -> Self {
        let addr = SocketAddr::from(([127, 0, 0, 1], at.port().expect("a port")));
        Self::new(Wire::Tcp, TcpStream::connect(addr).expect("a listener"))
    }

    /// Where TLS comes first, with its handshake behind them.
    #[cfg(feature = "tls")]
    pub(crate) fn dial_within_tls(at: &Endpoint) -> Self {
        let mut raw = match at.to_string().strip_prefix("tls+tcp://") {
            Some(addr) => {
                let stream = TcpStream::connect(addr).expect("a listener");
                Self::new(Wire::Tcp, scripted_client(stream, &[]))
            }
            None => Self::dial(at),
        };
        raw.stream.flush().expect("certificates that both sides trust");
        raw
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
    pub(crate) fn finish(&mut self) {
        self.stream.goodbye();
        // The other side may have hung up already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Waits until the other side hangs up and answers what came before.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => match error.kind() {
                ErrorKind::ConnectionReset => {}
                // Over TLS: without a goodbye, before it has taken what we said, or with an alert.
                ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::InvalidData => {}
                _ => panic!("the other side does not hang up: {error}"),
            },
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

impl Drop for Raw {
    fn drop(&mut self) {
        self.stream.goodbye();
    }
}

/// A scripted listener.
pub(crate) enum RawListener {
    Tcp(Wire, TcpListener),
    Ipc(UnixListener, PathBuf),
}

impl RawListener {
    pub(crate) fn new(wire: Wire) -> Self {
        match wire {
            Wire::Ipc => {
                let path = fresh_path();
                let listener = UnixListener::bind(&path).expect("a fresh path");
                patient(SockRef::from(&listener));
                Self::Ipc(listener, path)
            }
            Wire::Udp => unreachable!("datagrams need no listener"),
            _ => {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
                patient(SockRef::from(&listener));
                Self::Tcp(wire, listener)
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Tcp(wire, listener) => {
                format!("{}://{}", wire.scheme(), listener.local_addr().expect("bound"))
            }
            Self::Ipc(_, path) => format!("ipc://{}", path.display()),
        }
    }

    pub(crate) fn accept(&self) -> Raw {
        match self {
            Self::Tcp(wire, listener) => {
                wire.accepted(listener.accept().expect("somebody dials").0)
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
        Self::Tcp(Wire::Tcp, listener)
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
