//! What endpoints can be told, and descriptors that others have opened.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crossbeam_channel::bounded;
use shared::{DEADLINE, Transport, apart, unique, wait_connected, wait_event};
use socket2::{Domain, SockAddr, Socket, Type};
use sp::{
    Admission, AttachError, CloseReason, DialError, DialOptions, Endpoint, EndpointError,
    ListenError, ListenOptions, PipeEvent, PipeInfo, Pull, Push, Rep, Req,
};

#[path = "support/mod.rs"]
mod shared;

/// What it takes to dial a URL.
fn dial_options(url: &Endpoint) -> DialOptions {
    let scheme = format!("{}:", url.scheme());
    let transport = Transport::ALL.into_iter().find(|each| each.url().starts_with(&scheme));
    transport.map_or_else(DialOptions::new, Transport::dial_options)
}

/// The transports that tcp carries.
fn over_tcp() -> impl Iterator<Item = Transport> {
    Transport::ALL.into_iter().filter(|transport| transport.is_over_tcp())
}

/// One message from a newcomer to `pull`, which hears it through `url`.
fn delivers(pull: &Pull, url: &Endpoint) {
    let push = Push::new().unwrap();
    push.dial_with(url, &dial_options(url)).unwrap_or_else(|error| panic!("{url}: {error}"));
    let work = unique();
    push.send(work.as_str()).unwrap();
    assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), work.as_str());
}

fn nobody_at(url: &Endpoint) {
    let error = Push::new().unwrap().dial_with(url, &dial_options(url)).unwrap_err();
    assert!(error.is_refused(), "{error}");
}

fn abstract_url() -> String {
    format!("abstract://{}", unique())
}

/// sp-wire 8.16 item 169
#[test]
fn one_socket_has_endpoints_of_every_transport_which_go_one_by_one() {
    let pull = Pull::new().unwrap();
    let every = Transport::ALL.map(|each| (each.url(), each.listen_options()));
    let more = ["tcp://127.0.0.1:0".to_owned(), "tcp4://*:0".to_owned(), abstract_url()];
    let more = more.map(|url| (url, ListenOptions::new()));
    let mut listeners: Vec<_> = every
        .into_iter()
        .chain(more)
        .map(|(url, options)| {
            let listener = pull.listen_with(&url, &options).unwrap();
            let (at, port) = (listener.endpoint(), listener.endpoint().port().unwrap_or(0));
            let at = at.with_socket_addr(SocketAddr::from(([127, 0, 0, 1], port)));
            (listener, at)
        })
        .collect();
    let (one, other) = UnixStream::pair().unwrap();
    let push = Push::new().unwrap();
    push.listen("socket://").unwrap().attach(one).unwrap();
    pull.listen("socket://").unwrap().attach(other).unwrap();
    while let Some((gone, at)) = listeners.pop() {
        delivers(&pull, &at);
        gone.close();
        nobody_at(&at);
        listeners.iter().for_each(|(_, at)| delivers(&pull, at));
        push.send("the pair stays").unwrap();
        assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), "the pair stays");
    }
}

#[test]
fn dialers_of_one_socket_go_one_by_one() {
    let push = Push::new().unwrap();
    let pulls: Vec<_> = Transport::ALL.map(|_| Pull::new().unwrap()).into();
    let mut dialers = Vec::new();
    for (pull, transport) in pulls.iter().zip(Transport::ALL) {
        let listener = pull.listen_with(transport.url(), &transport.listen_options()).unwrap();
        dialers.push(push.dial_with(listener.endpoint(), &transport.dial_options()).unwrap());
    }
    let events = push.events();
    for left in (0..pulls.len()).rev() {
        dialers.pop().unwrap().close();
        wait_event(&events, "its end", |event| matches!(event, PipeEvent::Closed { .. }));
        assert_eq!(push.stats().get("peers"), Some(left as u64));
        for number in 0..left as u8 {
            push.send([number]).unwrap();
        }
        // One after the other has its turn.
        for pull in &pulls[..left] {
            pull.recv_timeout(DEADLINE).unwrap();
        }
    }
    assert!(push.try_send("nobody").is_err());
}

#[test]
fn a_listening_descriptor_is_taken_over_whatever_its_kind() {
    let path = std::env::temp_dir().join(unique());
    let name = unique();
    let named = net::SocketAddr::from_abstract_name(&name).unwrap();
    let given: [(OwnedFd, String); 3] = [
        (TcpListener::bind("127.0.0.1:0").unwrap().into(), "tcp://127.0.0.1:".into()),
        (UnixListener::bind(&path).unwrap().into(), format!("ipc://{}", path.display())),
        (UnixListener::bind_addr(&named).unwrap().into(), format!("abstract://{name}")),
    ];
    for (fd, url) in given {
        let pull = Pull::new().unwrap();
        // Only the kind of the address counts.
        let kind = if url.starts_with("tcp") { "tcp4://*:1" } else { "ipc://anything" };
        let listener = pull.listen_on(fd, kind, &ListenOptions::new()).unwrap();
        let url = url.replace("tcp:", "tcp4:");
        assert!(listener.endpoint().to_string().starts_with(&url), "{}", listener.endpoint());
        delivers(&pull, listener.endpoint());
        let at = listener.endpoint().clone();
        listener.close();
        nobody_at(&at);
    }
    assert!(path.exists(), "the file belongs to whoever made it");
    fs::remove_file(&path).unwrap();
}

/// As a supervisor does it: it has the port, and starts the program for the first client.
#[test]
fn a_process_listens_on_what_it_was_started_with() {
    const STARTED: &str = "SP_TEST_STARTED_WITH_A_LISTENER";
    if std::env::var_os(STARTED).is_some() {
        let rep = Rep::new().unwrap();
        let given = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        rep.listen_on(given, "tcp://*", &ListenOptions::new()).unwrap();
        let question = rep.recv_timeout(DEADLINE).unwrap();
        rep.send(question).unwrap();
        assert_eq!(rep.close_within(DEADLINE), 0);
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let req = Req::new().unwrap();
    let url = format!("tcp://{}", port.local_addr().unwrap());
    req.dial_with(url, &DialOptions::new().background(true)).unwrap();
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args(["a_process_listens_on_what_it_was_started_with", "--exact"])
        .env(STARTED, "1")
        .stdin(OwnedFd::from(port))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    req.send_timeout("is served", DEADLINE).unwrap();
    assert_eq!(req.recv_timeout(DEADLINE).unwrap(), "is served");
    assert!(program.wait().unwrap().success());
}

#[test]
fn only_a_listening_stream_socket_is_taken_over_as_a_listener() {
    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let given: [OwnedFd; 4] = [
        UnixStream::pair().unwrap().0.into(),
        TcpStream::connect(listening.local_addr().unwrap()).unwrap().into(),
        UdpSocket::bind("127.0.0.1:0").unwrap().into(),
        fs::File::open("/dev/null").unwrap().into(),
    ];
    let pull = Pull::new().unwrap();
    for fd in given {
        let refused = pull.listen_on(fd, "tcp://*", &ListenOptions::new());
        assert!(matches!(refused, Err(ListenError::NotListening)), "{refused:?}");
    }
    for url in ["ipc://file", "abstract://name", "tcp6://*", "ws6://*", "inproc://", "socket://"] {
        let fd = listening.try_clone().unwrap();
        let refused = pull.listen_on(fd, url, &ListenOptions::new());
        let is_address =
            matches!(refused, Err(ListenError::Endpoint(EndpointError::Address { .. })));
        assert!(is_address, "{url}: {refused:?}");
    }
    let closed = pull.clone();
    pull.close();
    let refused = closed.listen_on(listening, "tcp://*", &ListenOptions::new());
    assert!(matches!(refused, Err(ListenError::Closed { .. })), "{refused:?}");
}

#[test]
fn a_listener_has_no_more_connections_than_it_may() {
    let streams = Transport::ALL.into_iter().filter(|each| *each != Transport::Inproc);
    let cases = streams.map(|each| (each.url(), each.listen_options()));
    for (url, options) in cases.chain([(abstract_url(), ListenOptions::new())]) {
        let pull = Pull::new().unwrap();
        let events = pull.events();
        let options = options.connections_max(Some(2));
        let listener = pull.listen_with(&url, &options).unwrap();
        let second = pull.listen_with(Transport::Tcp.url(), &options).unwrap();
        let dial = dial_options(listener.endpoint());
        let mut pushes = [(); 2].map(|()| {
            let push = Push::new().unwrap();
            push.dial_with(listener.endpoint(), &dial).unwrap();
            wait_connected(&events);
            push
        });
        let leaves = pull.peers()[0];
        // WebSocket has answered before it is known whose the connection is.
        let late = Push::new().unwrap();
        assert!(late.dial_with(listener.endpoint(), &dial).is_err() || url.starts_with("ws"));
        wait_event(&events, "a refusal", |event| {
            matches!(event, PipeEvent::Refused { why: CloseReason::TooMany { limit: 2 }, .. })
        });
        // It is this listener's limit and not the socket's.
        delivers(&pull, second.endpoint());
        late.close();
        // One goes, and there is a place again: once the listener knows, for over WebSocket who comes too early seems
        // to be connected for a moment, and what is sent in it is lost.
        let gone = std::mem::replace(&mut pushes[0], Push::new().unwrap());
        gone.close();
        wait_event(
            &events,
            "a place",
            |event| matches!(event, PipeEvent::Closed { peer, .. } if *peer == leaves),
        );
        let pause = Duration::from_millis(2);
        let eager = dial.background(true).reconnect(pause, pause);
        pushes[0].dial_with(listener.endpoint(), &eager).unwrap();
        pushes[0].send("in its place").unwrap();
        assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), "in its place");
    }
}

/// Whoever accepts is the worker, which is kept by the program's own admission meanwhile.
#[test]
fn the_system_keeps_as_many_waiting_as_the_backlog_says() {
    apart(|| {
        for backlog in [3, 20] {
            let pull = Pull::new().unwrap();
            let (arrive, arrived) = bounded(1);
            let (let_go, gone) = bounded::<()>(0);
            pull.admit(move |_| {
                arrive.send(()).unwrap();
                assert!(gone.recv().is_err());
                Admission::Accept
            });
            let options = ListenOptions::new().backlog(backlog);
            let listener = pull.listen_with(abstract_url(), &options).unwrap();
            let push = Push::new().unwrap();
            push.dial_with(listener.endpoint(), &DialOptions::new().background(true)).unwrap();
            arrived.recv_timeout(DEADLINE).unwrap();
            let name = listener.endpoint().to_string();
            let name = name.strip_prefix("abstract://").unwrap();
            let at = SockAddr::unix(format!("\0{name}")).unwrap();
            let wait = || {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
                socket.set_nonblocking(true).unwrap();
                socket.connect(&at).map(|()| socket)
            };
            let waiting: Vec<_> = std::iter::from_fn(|| wait().ok()).take(100).collect();
            // Linux has one more than it is told.
            assert_eq!(waiting.len(), backlog as usize + 1);
            drop(let_go);
        }
    });
}

/// sp-wire 8.7 item 91: a limit on those who wait to shake hands, as for any listener.
#[test]
fn a_listener_for_descriptors_has_its_limits() {
    let pull = Pull::new().unwrap();
    let listener = pull.listen_with("socket://", &ListenOptions::new().half_open_max(16)).unwrap();
    let silent: Vec<_> = (0..17).map(|_| UnixStream::pair().unwrap()).collect();
    let (mut ours, mut theirs): (Vec<_>, Vec<_>) = silent.into_iter().unzip();
    let one_more = ours.pop().unwrap();
    ours.into_iter().for_each(|fd| listener.attach(fd).unwrap());
    let refused = listener.attach(one_more);
    assert!(matches!(refused, Err(AttachError::TooMany { limit: 16 })), "{refused:?}");
    // Its end is closed, and the others are not.
    let end = theirs.pop().unwrap();
    assert_eq!(std::io::Read::read(&mut &end, &mut [0; 8]).unwrap(), 0);
    let mut greeting = [0; 8];
    std::io::Read::read_exact(&mut &theirs[15], &mut greeting).unwrap();
    assert_eq!(greeting, *b"\0SP\0\0\x51\0\0");
}

#[test]
fn an_address_that_does_not_answer_is_given_up_in_time() {
    // Nobody accepts, and there is no more room to wait for that.
    let place = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    place.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    place.listen(0).unwrap();
    let at = place.local_addr().unwrap().as_socket().unwrap();
    let _waits = TcpStream::connect(at).unwrap();
    for transport in over_tcp() {
        let url = transport.url().replace("127.0.0.1:0", &at.to_string());
        let hasty = transport.dial_options().handshake_limit(Duration::from_millis(50));
        let error = Push::new().unwrap().dial_with(url, &hasty).unwrap_err();
        let late = CloseReason::HandshakeTimeout;
        assert!(matches!(&error, DialError::Failed { why, .. } if *why == late), "{error:?}");
    }
}

#[test]
fn a_dialer_comes_from_the_address_it_is_told() {
    for transport in over_tcp() {
        let pull = Pull::new().unwrap();
        let listener = pull.listen_with(transport.url(), &transport.listen_options()).unwrap();
        for source in [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 1, 2, 3)] {
            let push = Push::new().unwrap();
            let options = transport.dial_options().local_address(Some(IpAddr::V4(source)));
            push.dial_with(listener.endpoint(), &options).unwrap();
            push.send("from there").unwrap();
            let sender = pull.recv_timeout(DEADLINE).unwrap().source().unwrap();
            assert_eq!(pull.peer(sender).unwrap().peer_addr.unwrap().ip(), source);
        }
        // An address that is not this machine's.
        let foreign = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        let foreign = transport.dial_options().local_address(foreign);
        let error = Push::new().unwrap().dial_with(listener.endpoint(), &foreign).unwrap_err();
        let wanted = CloseReason::Io(std::io::ErrorKind::AddrNotAvailable);
        assert!(matches!(&error, DialError::Failed { why, .. } if *why == wanted), "{error:?}");
    }
}

#[test]
fn sockets_keep_to_the_interface_they_are_told() {
    for transport in over_tcp() {
        let (lo, missing) = (Some("lo"), Some("no-such-if"));
        let listen = |interface| transport.listen_options().interface(interface);
        let dial = |interface| transport.dial_options().interface(interface);
        let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
        let listener = pull.listen_with(transport.url(), &listen(lo)).unwrap();
        push.dial_with(listener.endpoint(), &dial(lo)).unwrap();
        push.send("over lo").unwrap();
        assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), "over lo");

        let refused = pull.listen_with(transport.url(), &listen(missing));
        assert!(matches!(refused, Err(ListenError::System { .. })), "{refused:?}");
        let refused = push.dial_with(listener.endpoint(), &dial(missing));
        assert!(matches!(refused, Err(DialError::Failed { .. })), "{refused:?}");
    }
}

#[test]
fn a_port_is_shared_by_those_of_one_interface_alone() {
    let lo = ListenOptions::new().interface(Some("lo"));
    for (first, other) in [(&lo, &ListenOptions::new()), (&ListenOptions::new(), &lo)] {
        let pull = Pull::new().unwrap();
        let listener = pull.listen_with("ws://127.0.0.1:0/one", first).unwrap();
        let port = listener.endpoint().port().unwrap();
        pull.listen_with(format!("ws://127.0.0.1:{port}/same"), first).unwrap();
        let refused = pull.listen_with(format!("ws://127.0.0.1:{port}/other"), other);
        assert!(refused.unwrap_err().is_in_use());
    }
}

#[test]
fn listeners_that_share_a_port_have_their_own_connections_tuned() {
    let pull = Pull::new().unwrap();
    let events = pull.events();
    let asking = ListenOptions::new().keepalive(Some(Duration::from_secs(5)));
    let silent = ListenOptions::new().keepalive(None);
    let first = pull.listen_with("ws://127.0.0.1:0/asking", &asking).unwrap();
    let port = first.endpoint().port().unwrap();
    let url = format!("ws://127.0.0.1:{port}/silent");
    let second = pull.listen_with(url, &silent).unwrap();
    // One of them accepts for both.
    for _ in 0..5 {
        for (listener, timer) in [(&first, 2), (&second, 0)] {
            let push = Push::new().unwrap();
            push.dial(listener.endpoint()).unwrap();
            wait_connected(&events);
            let pipe = pull.peer(*pull.peers().last().unwrap()).unwrap();
            assert_eq!(*pipe.endpoint, *listener.endpoint());
            check_timer(&pipe, timer);
            push.close();
            wait_event(&events, "its end", |event| matches!(event, PipeEvent::Closed { .. }));
        }
    }
}

#[test]
fn paths_of_websocket_may_listen_on_copies_of_one_descriptor() {
    let given = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = given.local_addr().unwrap();
    let (one, other) = (Pull::new().unwrap(), Pull::new().unwrap());
    let copy = given.try_clone().unwrap();
    let first = one.listen_on(copy, "ws://*/one?a", &ListenOptions::new()).unwrap();
    assert_eq!(first.endpoint().to_string(), format!("ws://{at}/one?a"));
    let copy = given.try_clone().unwrap();
    let second = other.listen_on(copy, "ws://*/other", &ListenOptions::new()).unwrap();
    let taken = other.listen_on(given, "ws://*/one", &ListenOptions::new());
    assert!(taken.unwrap_err().is_in_use());
    for _ in 0..5 {
        delivers(&one, first.endpoint());
        delivers(&other, second.endpoint());
    }
    let gone = first.endpoint().clone();
    one.close();
    nobody_at(&gone);
    delivers(&other, second.endpoint());
}

#[cfg(feature = "tls")]
#[test]
fn tls_may_listen_on_a_descriptor() {
    let given = TcpListener::bind("127.0.0.1:0").unwrap();
    let pull = Pull::new().unwrap();
    let refused = pull.listen_on(given.try_clone().unwrap(), "tls+tcp://*", &ListenOptions::new());
    assert!(matches!(refused, Err(ListenError::NoTls { .. })), "{refused:?}");
    let options = Transport::Tls.listen_options();
    let listener = pull.listen_on(given, "tls+tcp://*", &options).unwrap();
    assert!(listener.endpoint().to_string().starts_with("tls+tcp://127.0.0.1:"));
    delivers(&pull, listener.endpoint());
}

/// The timer that the system runs for a connection, as it stands in `/proc/net/tcp`: 0 for none, 2 for keep-alive.
fn timer_of(local: SocketAddr, peer: SocketAddr) -> u8 {
    let [local, peer] = [local, peer].map(|addr| format!(":{:04X}", addr.port()));
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let row = table.lines().skip(1).find(|row| {
        let mut columns = row.split_whitespace().skip(1);
        columns.next().is_some_and(|addr| addr.ends_with(&local))
            && columns.next().is_some_and(|addr| addr.ends_with(&peer))
    });
    let timer = row.expect("the connection is listed").split_whitespace().nth(5).unwrap();
    timer.split(':').next().unwrap().parse().unwrap()
}

fn check_timer(pipe: &PipeInfo, timer: u8) {
    let (local, peer) = (pipe.local_addr.unwrap(), pipe.peer_addr.unwrap());
    shared::wait_until("the handshake is acknowledged", || timer_of(local, peer) != 1);
    assert_eq!(timer_of(local, peer), timer, "{pipe:?}");
}

#[test]
fn silent_connections_are_kept_alive_unless_that_is_switched_off() {
    let options = [(Some(None), 0), (Some(Some(Duration::from_secs(5))), 2), (None, 2)];
    for (transport, (option, timer)) in over_tcp().flat_map(|each| options.map(|it| (each, it))) {
        let (mut listen, mut dial) = (transport.listen_options(), transport.dial_options());
        if let Some(idle) = option {
            (listen, dial) = (listen.keepalive(idle), dial.keepalive(idle));
        }
        let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
        let events = pull.events();
        let listener = pull.listen_with(transport.url(), &listen).unwrap();
        push.dial_with(listener.endpoint(), &dial).unwrap();
        wait_connected(&events);
        check_timer(&push.peer(push.peers()[0]).unwrap(), timer);
        check_timer(&pull.peer(pull.peers()[0]).unwrap(), timer);
    }
}

#[test]
fn every_option_is_printed() {
    let dial = DialOptions::new().user_timeout(Some(Duration::from_secs(60))).nodelay(false);
    let printed = dial.to_string();
    for part in ["keepalive=Some(30s)", "user_timeout=Some(60s)", "nodelay=false", "local_address"]
    {
        assert!(printed.contains(part), "{part} is missing in {printed}");
    }
    let listen = ListenOptions::new().permissions(Some(0o600)).to_string();
    assert!(listen.contains("permissions=0o600") && listen.contains("backlog=4096"), "{listen}");
}
