use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use sp::{
    CloseReason, DialError, DialOptions, Endpoint, EndpointError, ListenError, PipeEvent,
    ProtocolId, Pub, PubOptions, Pull, Push, RecvError, Rep, Req, SendError, Sub,
};
use sp_core::clock;
use sp_protocols::engine;

use crate::shared::{Transport, connect, spawn};
use crate::support::{
    DEADLINE, Raw, RawListener, Scene, Wire, alone, any_closed, block_on, connected, eager,
    fresh_path, next_event, poll_once, recv, refused,
};

/// A port of this machine that is taken, and on which nobody listens until somebody does.
struct DeadPort {
    socket: Socket,
    addr: SocketAddr,
}

impl DeadPort {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // A listener may then bind to it as well, while no other socket gets the port by chance.
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        Self { socket, addr }
    }

    fn url(&self) -> String {
        format!("tcp://{}", self.addr)
    }

    fn listen(self) -> RawListener {
        self.socket.listen(16).unwrap();
        RawListener::from(TcpListener::from(self.socket))
    }
}

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Scheme,
    NotBuilt,
    Syntax,
    Address,
}

fn wrong(error: &EndpointError) -> Wrong {
    match error {
        EndpointError::UnknownScheme { .. } => Wrong::Scheme,
        EndpointError::NotBuilt { .. } => Wrong::NotBuilt,
        EndpointError::Syntax { .. } => Wrong::Syntax,
        EndpointError::Address { .. } => Wrong::Address,
        other => panic!("{other:?}"),
    }
}

/// sp-wire 8.16 item 162
#[test]
fn urls_that_make_no_sense_are_refused_by_dialers_and_listeners_alike() {
    let socket = Push::new().unwrap();
    for (url, expected) in [
        ("", Wrong::Syntax),
        ("127.0.0.1:5555", Wrong::Syntax),
        ("tcp:127.0.0.1:5555", Wrong::Syntax),
        ("tcp://127.0.0.1:", Wrong::Syntax),
        ("tcp://::1:5555", Wrong::Syntax),
        ("tcp://[::1", Wrong::Syntax),
        ("tcp://[::1]5555", Wrong::Syntax),
        ("tcp://127.0.0.1:65536", Wrong::Address),
        ("tcp://127.0.0.1:http", Wrong::Address),
        ("tcp://user@127.0.0.1:5555", Wrong::Address),
        ("tcp://127.0.0.1:5555/path", Wrong::Address),
        ("tcp://127.0.0.1:5555?query", Wrong::Address),
        ("tcp://127.0.0.1:5555#fragment", Wrong::Address),
        ("tcp://[localhost]:5555", Wrong::Address),
        ("tcp://eth0;127.0.0.1:5555", Wrong::Address),
        ("tcp4://[::1]:5555", Wrong::Address),
        ("tcp6://127.0.0.1:5555", Wrong::Address),
        ("ipc://", Wrong::Address),
        ("unix://", Wrong::Address),
        ("ipc://nul\0byte", Wrong::Address),
        ("http://127.0.0.1:80", Wrong::Scheme),
        ("://127.0.0.1:80", Wrong::Scheme),
        #[cfg(not(feature = "tls"))]
        ("wss://127.0.0.1:443/", Wrong::NotBuilt),
        ("dtls://127.0.0.1:5555", Wrong::NotBuilt),
        ("abstract://", Wrong::Address),
        ("abstract://name%0", Wrong::Syntax),
        ("socket://x", Wrong::Address),
    ] {
        match socket.listen(url) {
            Err(ListenError::Endpoint(error)) => assert_eq!(wrong(&error), expected, "{url}"),
            other => panic!("listen {url}: {other:?}"),
        }
        match socket.dial_with(url, &eager()) {
            Err(DialError::Endpoint(error)) => assert_eq!(wrong(&error), expected, "{url}"),
            other => panic!("dial {url}: {other:?}"),
        }
    }
}

/// sp-wire 8.16 items 162 and 163
#[test]
fn urls_to_listen_on_are_accepted_and_report_the_real_port() {
    let ipv6 = TcpListener::bind("[::1]:0").is_ok();
    for (url, how_to_dial) in [
        ("tcp://127.0.0.1:0", "127.0.0.1"),
        ("tcp://127.0.0.1", "127.0.0.1"),
        ("tcp://127.0.0.1:0/", "127.0.0.1"),
        ("tcp4://127.0.0.1:0", "127.0.0.1"),
        ("tcp://localhost:0", "localhost"),
        ("tcp://LocalHost:0", "localhost"),
        ("tcp://0.0.0.0:0", "127.0.0.1"),
        ("tcp://:0", "127.0.0.1"),
        ("tcp://*:0", "127.0.0.1"),
        ("tcp4://*:0", "127.0.0.1"),
        ("tcp://[::1]:0", "[::1]"),
        ("tcp6://[::1]:0", "[::1]"),
        ("tcp6://*:0", "[::1]"),
        ("tcp://[::]:0", "[::1]"),
    ] {
        if how_to_dial == "[::1]" && !ipv6 {
            continue;
        }
        for scheme in ["tcp", "udp"] {
            let url = url.replace("tcp", scheme);
            let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
            let listener = pull.listen(&url).unwrap_or_else(|error| panic!("{url}: {error}"));
            let port = listener.endpoint().port().expect("it has a port");
            assert_ne!(port, 0, "{url}");
            let reported: Endpoint = listener.endpoint().to_string().parse().unwrap();
            assert_eq!(&reported, listener.endpoint(), "what is printed can be read");
            push.dial(format!("{scheme}://{how_to_dial}:{port}"))
                .unwrap_or_else(|error| panic!("{url}: {error}"));
            push.send(url.as_str()).unwrap();
            assert_eq!(recv(&pull), url);
        }
    }
}

/// sp-wire 8.16 items 162 and 163
#[test]
fn a_dialer_needs_a_host_and_a_port() {
    let push = Push::new().unwrap();
    for url in [
        "tcp://:5555",
        "tcp://*:5555",
        "tcp4://*:5555",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1",
        "socket://",
        "udp://:5555",
        "udp://127.0.0.1",
    ] {
        for options in [DialOptions::new(), eager()] {
            match push.dial_with(url, &options) {
                Err(DialError::Endpoint(error)) => {
                    assert_eq!(wrong(&error), Wrong::Address, "{url}")
                }
                other => panic!("{url}: {other:?}"),
            }
        }
    }
}

/// sp-wire 8.16 item 163, and 5.4: an address in use
#[test]
fn a_port_has_one_listener_and_is_free_when_that_closes() {
    let port = DeadPort::new();
    let (first, second) = (Pull::new().unwrap(), Pull::new().unwrap());
    let listener = first.listen(port.url()).unwrap();
    let error = second.listen(port.url()).unwrap_err();
    assert!(error.is_in_use(), "{error}");
    listener.close();
    second.listen(port.url()).unwrap();
}

/// sp-wire 8.16 item 164
#[test]
fn a_dial_to_a_dead_port_fails_once_or_tries_until_somebody_listens() {
    let port = DeadPort::new();
    let push = Push::new().unwrap();
    let events = push.events();
    let nobody = CloseReason::Io(ErrorKind::ConnectionRefused);
    let error = push.dial(port.url()).unwrap_err();
    assert!(error.is_refused(), "{error}");
    assert_eq!(refused(&events), nobody);
    push.dial_with(port.url(), &eager()).unwrap();
    for _ in 0..3 {
        assert_eq!(refused(&events), nobody);
    }
    let host = port.listen();
    let mut pull = host.accept();
    pull.shake(ProtocolId::PULL);
    // Had the failed dial left a dialer behind, there would be two connections.
    while !matches!(next_event(&events), PipeEvent::Connected { .. }) {}
    push.send("there now").unwrap();
    assert_eq!(pull.message(), b"there now");
    assert_eq!(push.stats().get("peers"), Some(1));
}

/// sp-wire 8.16 items 165 and 167
#[test]
fn a_dialer_that_is_refused_pauses_longer_and_longer() {
    let host = RawListener::new(Wire::Tcp);
    let push = Push::new().unwrap();
    let events = push.events();
    let ms = Duration::from_millis;
    let start = clock::now();
    push.dial_with(host.url(), &DialOptions::new().background(true).reconnect(ms(20), ms(80)))
        .unwrap();
    // Each pause is drawn from the upper half of 20, 40, 80, 80 and 80 ms.
    let mut at_least = Duration::ZERO;
    for pause in [0, 10, 20, 40, 40, 40] {
        at_least += ms(pause);
        let mut wrong = host.accept();
        assert!(clock::now() - start >= at_least, "an attempt comes before {at_least:?}");
        wrong.shake(ProtocolId::REP);
        assert!(matches!(refused(&events), CloseReason::WrongProtocol { .. }));
        wrong.rest();
    }
}

/// sp-wire 8.16 item 166
#[test]
fn after_its_peer_has_restarted_a_dialer_is_back_and_an_open_request_is_answered() {
    let port = DeadPort::new();
    let file = format!("ipc://{}", fresh_path().display());
    for url in [port.url(), file] {
        let req = Req::new().unwrap();
        let events = req.events();
        let rep = Rep::new().unwrap();
        rep.listen(&url).unwrap();
        req.dial_with(&url, &eager()).unwrap();
        connected(&events);
        req.send("before").unwrap();
        assert_eq!(recv(&rep), "before");
        rep.send("first life").unwrap();
        assert_eq!(recv(&req), "first life");

        req.send("during").unwrap();
        assert_eq!(recv(&rep), "during");
        rep.close();
        assert_eq!(any_closed(&events), CloseReason::PeerClosed);

        let rep = Rep::new().unwrap();
        rep.listen(&url).unwrap();
        assert_eq!(recv(&rep), "during", "sent again");
        rep.send("second life").unwrap();
        assert_eq!(recv(&req), "second life");
    }
}

/// sp-wire 8.16 item 166
#[test]
fn a_dialer_whose_connection_is_cut_makes_it_again() {
    for wire in Wire::BOTH {
        let host = RawListener::new(wire);
        let push = Push::new().unwrap();
        let events = push.events();
        push.dial_with(host.url(), &eager()).unwrap();
        for life in 0..5u8 {
            let mut pull = host.accept();
            pull.shake(ProtocolId::PULL);
            connected(&events);
            push.send([life]).unwrap();
            assert_eq!(pull.message(), [life]);
            drop(pull);
            assert_eq!(any_closed(&events), CloseReason::PeerClosed);
        }
    }
}

/// sp-wire 8.16 item 168. Starting twice cannot be written down: an endpoint is started by being made.
#[test]
fn nothing_is_dialled_or_listened_on_after_the_socket_has_closed() {
    let socket = Pull::new().unwrap();
    let events = socket.events();
    let listener = socket.listen(Wire::Tcp.url()).unwrap();
    let dialer = socket.dial_with(listener.endpoint(), &eager()).unwrap();
    let handle = socket.clone();
    socket.close();
    for url in [Wire::Tcp.url(), Wire::Ipc.url(), Transport::Inproc.url()] {
        let listened = handle.listen(&url);
        assert!(matches!(listened, Err(ListenError::Closed { .. })), "{listened:?}");
        let dialled = handle.dial_with(listener.endpoint(), &eager());
        assert!(matches!(dialled, Err(DialError::Closed { .. })), "{dialled:?}");
    }
    let _ = (listener.close(), dialer.close(), handle.close());
    assert!(events.iter().all(|event| !matches!(event, PipeEvent::Connected { .. })));
}

/// sp-wire 8.16 item 169
#[test]
fn closing_a_listener_ends_its_own_connections_alone() {
    let scene = Scene::<engine::Pull>::new(Wire::Tcp);
    let other = scene.socket.listen(Wire::Ipc.url()).unwrap();
    let mut guest = Raw::dial(other.endpoint());
    guest.shake(ProtocolId::PUSH);
    let peer = scene.connected();
    let mut half_open = Raw::dial(other.endpoint());
    half_open.read(8);
    other.close();
    assert_eq!(scene.closed(peer), CloseReason::Closed);
    assert!(guest.rest().is_empty() && half_open.rest().is_empty());
    scene.bystander_works();
    scene.newcomer_works();
}

/// sp-wire 8.16 item 169
#[test]
fn closing_a_dialer_ends_its_connection_for_good() {
    let scene = Scene::<engine::Pull>::new(Wire::Tcp);
    let push = Push::new().unwrap();
    let events = push.events();
    let dialer = push.dial_with(scene.listener.endpoint(), &eager()).unwrap();
    let peer = scene.connected();
    connected(&events);
    dialer.close();
    assert_eq!(any_closed(&events), CloseReason::Closed);
    assert_eq!(scene.closed(peer), CloseReason::PeerClosed);
    // Were it to dial again, that would be the next event here.
    scene.newcomer_works();
    assert!(push.try_send("nobody").is_err());
}

/// sp-wire 8.16 item 169
#[test]
fn closing_a_socket_wakes_everybody_who_waits() {
    for transport in Transport::BARE {
        let (push, pull, lonely) =
            (Push::new().unwrap(), Pull::new().unwrap(), Push::new().unwrap());
        connect(transport, &pull, &push);
        let mut receiving = pin!(pull.recv_async());
        assert!(poll_once(receiving.as_mut()).is_pending());
        let mut sending = pin!(lonely.send_async("nobody"));
        assert!(poll_once(sending.as_mut()).is_pending());
        let receivers = [(); 3].map(|()| {
            let pull = pull.clone();
            spawn(move || pull.recv())
        });
        let senders = [(); 3].map(|()| {
            let lonely = lonely.clone();
            spawn(move || lonely.send("nobody"))
        });
        receivers.iter().for_each(|task| task.wait_asleep());
        senders.iter().for_each(|task| task.wait_asleep());
        pull.clone().close();
        lonely.clone().close();
        let closed = Err(RecvError::Closed { protocol: ProtocolId::PULL });
        assert_eq!(block_on(receiving), closed);
        for task in receivers {
            assert_eq!(task.join(), closed);
        }
        let is_closed =
            |sent| matches!(sent, Err(SendError::Closed { message, .. }) if message == "nobody");
        assert!(is_closed(block_on(sending)));
        assert!(senders.into_iter().all(|task| is_closed(task.join())));
        assert_eq!(pull.recv(), closed, "and from now on");
    }
}

/// sp-wire 8.16 item 169
#[test]
fn closing_a_socket_with_a_million_messages_queued_is_quick_and_ends_its_connections() {
    const MESSAGES: usize = 1_000_000;
    let _turn = alone();
    let publisher = Pub::with(PubOptions::new().queue(MESSAGES)).unwrap();
    let events = publisher.events();
    let listener = publisher.listen(Wire::Tcp.url()).unwrap();
    let mut stalled = Raw::dial(listener.endpoint());
    stalled.shake(ProtocolId::SUB);
    connected(&events);
    // More than the buffers on the way hold.
    let large = vec![0; 1 << 20];
    (0..16).for_each(|_| publisher.send(large.as_slice()).unwrap());
    (0..MESSAGES).for_each(|_| publisher.send("queued").unwrap());
    spawn(move || publisher.close_within(Duration::ZERO)).join();
    assert!(
        events
            .iter()
            .any(|event| { matches!(event, PipeEvent::Closed { why: CloseReason::Closed, .. }) })
    );
    stalled.rest();
}

/// sp-wire 8.16 item 172
#[test]
fn what_happens_to_a_pipe_is_told_once_each_in_order() {
    const LIVES: usize = 20;
    for transport in Transport::ALL {
        let (near, far) = (Pull::new().unwrap(), Push::new().unwrap());
        let (at_near, at_far) = (near.events(), far.events());
        let options = transport.listen_options();
        let listener = near.listen_with(transport.url(), &options).unwrap();
        for life in 0..LIVES {
            let options = transport.dial_options();
            let dialer = far.dial_with(listener.endpoint(), &options).unwrap();
            let [there, here] = [&at_near, &at_far].map(connected);
            far.send(life.to_string()).unwrap();
            let msg = recv(&near);
            assert_eq!(msg, life.to_string());
            assert_eq!(msg.source(), Some(there), "the event comes before the first message");
            dialer.close();
            for (events, id, why) in
                [(&at_near, there, CloseReason::PeerClosed), (&at_far, here, CloseReason::Closed)]
            {
                assert_eq!(next_event(events), PipeEvent::Closed { peer: id, why });
            }
        }
        let _ = (near.close(), far.close());
        assert!(at_near.iter().chain(at_far.iter()).next().is_none(), "nothing is told twice");
    }
}

/// sp-wire section 6: closing waits for what is queued, as far as the linger time allows
#[test]
fn closing_a_socket_lets_queued_messages_leave_first() {
    for wire in Wire::BOTH {
        let sub = Sub::new().unwrap();
        sub.subscribe("");
        let publisher = Pub::new().unwrap();
        let events = publisher.events();
        let listener = publisher.listen(wire.url()).unwrap();
        sub.dial(listener.endpoint()).unwrap();
        connected(&events);
        (0..500u32).for_each(|n| publisher.send(n.to_be_bytes()).unwrap());
        publisher.close_within(DEADLINE);
        (0..500u32).for_each(|n| assert_eq!(recv(&sub), n.to_be_bytes()));
    }
}
