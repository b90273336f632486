//! What endpoints can be told, and descriptors that others have opened.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixListener, UnixStream};
use std::time::Duration;

use shared::{DEADLINE, Transport, unique, wait_connected, wait_event};
use sp::{
    AttachError, CloseReason, DialError, DialOptions, Endpoint, ListenError, ListenOptions,
    PipeEvent, Pull, Push,
};

#[path = "support/mod.rs"]
mod shared;

/// One message from a newcomer to `pull`, which hears it through `url`.
fn delivers(pull: &Pull, url: &Endpoint) {
    let push = Push::new().unwrap();
    push.dial(url).unwrap_or_else(|error| panic!("{url}: {error}"));
    let work = unique();
    push.send(work.as_str()).unwrap();
    assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), work.as_str());
}

fn nobody_at(url: &Endpoint) {
    let error = Push::new().unwrap().dial(url).unwrap_err();
    assert!(error.is_refused(), "{error}");
}

fn abstract_url() -> String {
    format!("abstract://{}", unique())
}

/// sp-wire 8.16 item 169
#[test]
fn one_socket_has_endpoints_of_every_transport_which_go_one_by_one() {
    let pull = Pull::new().unwrap();
    let mut urls: Vec<String> = Transport::ALL.map(Transport::url).into();
    urls.extend(["tcp://127.0.0.1:0".to_owned(), "tcp4://*:0".to_owned(), abstract_url()]);
    let mut listeners: Vec<_> = urls
        .iter()
        .map(|url| {
            let listener = pull.listen(url).unwrap();
            let at = match listener.endpoint().port() {
                Some(port) => Endpoint::from(SocketAddr::from(([127, 0, 0, 1], port))),
                None => listener.endpoint().clone(),
            };
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
        let listener = pull.listen(transport.url()).unwrap();
        dialers.push(push.dial(listener.endpoint()).unwrap());
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
        let listener = pull.listen_on(fd, &ListenOptions::new()).unwrap();
        assert!(listener.endpoint().to_string().starts_with(&url), "{}", listener.endpoint());
        delivers(&pull, listener.endpoint());
        let at = listener.endpoint().clone();
        listener.close();
        nobody_at(&at);
    }
    assert!(path.exists(), "the file belongs to whoever made it");
    fs::remove_file(&path).unwrap();
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
        let refused = pull.listen_on(fd, &ListenOptions::new());
        assert!(matches!(refused, Err(ListenError::NotListening)), "{refused:?}");
    }
    let closed = pull.clone();
    pull.close();
    let refused = closed.listen_on(listening, &ListenOptions::new());
    assert!(matches!(refused, Err(ListenError::Closed { .. })), "{refused:?}");
}

#[test]
fn a_listener_has_no_more_connections_than_it_may() {
    for url in [Transport::Tcp.url(), Transport::Ipc.url(), abstract_url()] {
        let pull = Pull::new().unwrap();
        let events = pull.events();
        let options = ListenOptions::new().connections_max(Some(2));
        let listener = pull.listen_with(&url, &options).unwrap();
        let second = pull.listen_with(Transport::Tcp.url(), &options).unwrap();
        let mut pushes = [(); 2].map(|()| {
            let push = Push::new().unwrap();
            push.dial(listener.endpoint()).unwrap();
            wait_connected(&events);
            push
        });
        assert!(Push::new().unwrap().dial(listener.endpoint()).is_err());
        wait_event(&events, "a refusal", |event| {
            matches!(event, PipeEvent::Refused { why: CloseReason::TooMany { limit: 2 }, .. })
        });
        // It is this listener's limit and not the socket's.
        delivers(&pull, second.endpoint());
        // One goes, and there is a place again.
        let gone = std::mem::replace(&mut pushes[0], Push::new().unwrap());
        gone.close();
        let pause = Duration::from_millis(2);
        let eager = DialOptions::new().background(true).reconnect(pause, pause);
        pushes[0].dial_with(listener.endpoint(), &eager).unwrap();
        pushes[0].send("in its place").unwrap();
        assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), "in its place");
    }
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
fn a_dialer_comes_from_the_address_it_is_told() {
    let pull = Pull::new().unwrap();
    let listener = pull.listen("tcp://127.0.0.1:0").unwrap();
    for source in [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 1, 2, 3)] {
        let push = Push::new().unwrap();
        let options = DialOptions::new().local_address(Some(IpAddr::V4(source)));
        push.dial_with(listener.endpoint(), &options).unwrap();
        push.send("from there").unwrap();
        let sender = pull.recv_timeout(DEADLINE).unwrap().source().unwrap();
        assert_eq!(pull.peer(sender).unwrap().peer_addr.unwrap().ip(), source);
    }
    // An address that is not this machine's.
    let foreign = DialOptions::new().local_address(Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
    let error = Push::new().unwrap().dial_with(listener.endpoint(), &foreign).unwrap_err();
    let wanted = CloseReason::Io(std::io::ErrorKind::AddrNotAvailable);
    assert!(matches!(&error, DialError::Failed { why, .. } if *why == wanted), "{error:?}");
}

#[test]
fn sockets_keep_to_the_interface_they_are_told() {
    let pull = Pull::new().unwrap();
    let listen = ListenOptions::new().interface(Some("lo"));
    let listener = pull.listen_with("tcp://127.0.0.1:0", &listen).unwrap();
    let push = Push::new().unwrap();
    push.dial_with(listener.endpoint(), &DialOptions::new().interface(Some("lo"))).unwrap();
    push.send("over lo").unwrap();
    assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), "over lo");

    let missing = Some("no-such-if");
    let refused = pull.listen_with("tcp://127.0.0.1:0", &ListenOptions::new().interface(missing));
    assert!(matches!(refused, Err(ListenError::System { .. })), "{refused:?}");
    let refused = push.dial_with(listener.endpoint(), &DialOptions::new().interface(missing));
    assert!(matches!(refused, Err(DialError::Failed { .. })), "{refused:?}");
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

#[test]
fn silent_connections_are_kept_alive_unless_that_is_switched_off() {
    for (option, timer) in [(Some(None), 0), (Some(Some(Duration::from_secs(5))), 2), (None, 2)] {
        let (mut listen, mut dial) = (ListenOptions::new(), DialOptions::new());
        if let Some(idle) = option {
            (listen, dial) = (listen.keepalive(idle), dial.keepalive(idle));
        }
        let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
        let events = pull.events();
        let listener = pull.listen_with("tcp://127.0.0.1:0", &listen).unwrap();
        push.dial_with(listener.endpoint(), &dial).unwrap();
        wait_connected(&events);
        for peers in [push.peer(push.peers()[0]), pull.peer(pull.peers()[0])] {
            let pipe = peers.unwrap();
            let (local, peer) = (pipe.local_addr.unwrap(), pipe.peer_addr.unwrap());
            shared::wait_until("the handshake is acknowledged", || timer_of(local, peer) != 1);
            assert_eq!(timer_of(local, peer), timer, "{option:?}");
        }
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
