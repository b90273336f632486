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
use crate::listener::abstract_addr;
use crate::options::DialOptions;
use crate::runtime::Report;
use crate::worker::Calling;

/// A dialer in the worker's care: at most one connection at a time.
pub(crate) struct Dialer {
    pub(crate) options: DialOptions,
    pub(crate) backoff: Backoff,
    /// Addresses of this attempt that have not been tried.
    pub(crate) addresses: VecDeque<SocketAddr>,
    /// Where the worker keeps the connections that are being made: several while none has been answered.
    pub(crate) trying: Vec<usize>,
    /// Counts what happens to an attempt, so that a timer of an earlier state does nothing.
    pub(crate) turn: u64,
    /// Whom it calls over UDP.
    pub(crate) calling: Option<Calling>,
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
        let addresses = VecDeque::new();
        let (trying, turn) = (Vec::new(), 0);
        let (calling, connected_at) = (None, None);
        Self { options, backoff, addresses, trying, turn, calling, connected_at, report }
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

/// The addresses of a name in the order to try them: as the resolver has them, but the IP versions by turns, so that
/// one that leads nowhere costs one wait and not one for each address.
pub(crate) fn by_turns(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|addr| addr.is_ipv6() == first_is_v6);
    let mut ordered = VecDeque::with_capacity(first.len() + second.len());
    while !(first.is_empty() && second.is_empty()) {
        ordered.extend(first.pop_front().into_iter().chain(second.pop_front()));
    }
    ordered
}

/// Starts a TCP connection.
pub(crate) fn connect_tcp(addr: SocketAddr, options: &DialOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    options.conn.tuning.apply(&socket);
    options.conn.tuning.bind_interface(&socket)?;
    if let Some(ip) = options.local_address {
        socket.bind(&SocketAddr::new(ip, 0).into())?;
    }
    connect(socket, &addr.into())
}

/// Connects to a socket file.
pub(crate) fn connect_ipc(path: &Path) -> io::Result<Socket> {
    connect_local(&SockAddr::unix(path)?)
}

/// Connects to an abstract socket.
pub(crate) fn connect_abstract(name: &[u8]) -> io::Result<Socket> {
    connect_local(&abstract_addr(name)?)
}

fn connect_local(addr: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    connect(socket, addr).map_err(|error| match error.kind() {
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

/// How long an address may be silent before the next one is tried beside it. What RFC 8305 recommends.
pub(crate) const NEXT_ADDRESS: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::thread;

    use crossbeam_channel::{Sender, bounded};
    use sp_core::batch::Batch;
    use sp_core::datagram::Lost;
    use sp_core::endpoint::Endpoint;
    use sp_core::id::{PeerId, TimerKey};
    use sp_core::pipe::{Flow, Pipe, PipeEvents, PipeInfo, ProtocolId};
    use sp_core::registry::next_socket_id;

    use super::*;
    use crate::runtime::{Owner, Runtime};
    use crate::wire::ws::Request;
    use crate::wire::{HANDSHAKE_BYTES, handshake};

    #[test]
    fn addresses_are_tried_with_the_ip_versions_by_turns() {
        let addr = |text: &str| text.parse::<SocketAddr>().expect("the test has a literal address");
        let got = by_turns(["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1"].map(addr).into());
        assert_eq!(got, ["[::1]:1", "127.0.0.1:1", "[::2]:1", "[::3]:1"].map(addr));
        assert!(by_turns(Vec::new()).is_empty());
    }

    /// Counts as a socket, and admits nobody.
    struct Doorman(Sender<Option<SocketAddr>>);

    impl PipeEvents for Doorman {
        fn protocol(&self) -> ProtocolId {
            ProtocolId::PUSH
        }

        fn peer_protocol(&self) -> ProtocolId {
            ProtocolId::PULL
        }

        fn admit(&self, info: &PipeInfo) -> Result<(), CloseReason> {
            let _ = self.0.send(info.peer_addr);
            Err(CloseReason::NotAdmitted)
        }

        fn opened(&self, _: Arc<dyn Pipe>) -> Result<PeerId, CloseReason> {
            unreachable!("nobody is admitted")
        }

        fn arrived(&self, _: PeerId, _: &mut Batch) -> Flow {
            unreachable!("nobody is admitted")
        }

        fn room(&self, _: PeerId) {}
        fn commit(&self, _: PeerId) {}
        fn closed(&self, _: PeerId, _: CloseReason) {}
        fn timer(&self, _: TimerKey, _: Instant) {}
        fn refused(&self, _: &Arc<Endpoint>, _: Option<SocketAddr>, _: CloseReason) {}
        fn lost(&self, _: Option<PeerId>, _: Lost, _: usize) {}
    }

    /// A place whose every connection waits for ever: nobody accepts, and there is no room to wait to be accepted.
    fn stuck() -> (Socket, TcpStream, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        socket.listen(0).expect("a bound socket listens");
        let addr = socket.local_addr().ok().and_then(|addr| addr.as_socket()).expect("tcp");
        let waits = TcpStream::connect(addr).expect("the one there is room for");
        (socket, waits, addr)
    }

    /// The time for a handshake is ten seconds for each address; a name with two that are silent would be late.
    #[test]
    fn addresses_that_are_silent_do_not_hold_up_the_one_that_answers() {
        reaches_the_last("tcp://127.0.0.1:1", |stream| {
            stream.read_exact(&mut [0; HANDSHAKE_BYTES]).expect("a handshake");
            stream.write_all(&handshake(ProtocolId::PULL)).expect("it listens");
        });
        reaches_the_last("ws://127.0.0.1:1/path", |stream| {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a request");
                head.extend(byte);
            }
            let request = Request::parse(&head).expect("a request");
            assert_eq!(request.path(), "/path");
            let answer = request.answer(Some(ProtocolId::PULL)).expect("it is for a PULL");
            stream.write_all(&answer).expect("it listens");
        });
    }

    fn reaches_the_last(url: &str, answer: impl FnOnce(&mut TcpStream) + Send + 'static) {
        let places = [stuck(), stuck(), stuck()];
        let good = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let answers = good.local_addr().expect("it is bound");
        let runtime = Runtime::acquire().expect("a worker");
        let (tell, told) = bounded(16);
        let owner = Owner {
            socket: next_socket_id(),
            events: Arc::new(Doorman(tell)),
            driver: runtime.driver(Duration::ZERO, false).expect("a poll set"),
        };
        let options = DialOptions::new().background(true).handshake_limit(Duration::from_secs(600));
        // The first address is dialled as it stands, and the others come as from a resolver.
        let url: Endpoint = url.parse().expect("a URL");
        let url = url.with_socket_addr(places[0].2);
        let id = runtime.dial(&owner, &url, &options).expect("dialled");
        runtime.resolved(id, vec![places[1].2, places[2].2, answers]);
        let host = thread::spawn(move || {
            let (mut stream, _) = good.accept().expect("a connection");
            answer(&mut stream);
        });
        // The system itself gives up on a silent address only after minutes.
        let reached = told.recv_timeout(Duration::from_secs(20)).expect("the doorman is asked");
        host.join().expect("the host has done its part");
        assert_eq!(reached, Some(answers), "{url}");
        runtime.close_endpoint(id);
        owner.driver.retire(&CloseReason::Closed);
    }
}
