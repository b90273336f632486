use std::cell::Cell;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sp::{
    CloseReason, DatagramFault, DialError, DialOptions, DisconnectReason, Endpoint, ListenOptions,
    PipeEvent, Pull, PullOptions, Push, Rep, RepOptions, Req, UdpOptions,
};
use sp_protocols::engine;

use crate::shared::{DEADLINE, apart, connect, descriptors, memory, pattern, spawn, wait_until};
use crate::support::{Host, Scene, Wire, any_closed, connected, eager, recv, refused, with_id};

/// A REQ calls; a REP calls; a PUB calls.
const REQ_CALLS: [u8; 8] = *b"\x01\x01\x30\x00\xe8\xfd\x01\x00";
const REP_CALLS: [u8; 8] = *b"\x01\x01\x31\x00\xe8\xfd\x01\x00";
/// A REP answers; a REQ answers.
const REP_ANSWERS: [u8; 8] = *b"\x01\x02\x31\x00\xe8\xfd\x01\x00";
const REQ_ANSWERS: [u8; 8] = *b"\x01\x02\x30\x00\xe8\xfd\x01\x00";
/// What the operation with this number is nobody knows.
const UNKNOWN: [u8; 8] = *b"\x01\x63\x30\x00\x00\x00\x00\x00";

/// What a REP says when it disconnects.
const fn rep_disconnects(reason: u8) -> [u8; 8] {
    [1, 3, 0x31, 0, reason, 0, 0, 0]
}

const fn req_disconnects(reason: u8) -> [u8; 8] {
    [1, 3, 0x30, 0, reason, 0, 0, 0]
}

/// A request with an id of its own.
fn request(body: &[u8]) -> Vec<u8> {
    Wire::Udp.frame(&with_id(0x8000_0001, body))
}

/// A peer that says exactly what it is told to.
struct Peer {
    socket: UdpSocket,
    /// Whom it talks to.
    to: Cell<SocketAddr>,
}

impl Peer {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_read_timeout(Some(DEADLINE)).expect("a limit");
        let to = Cell::new(SocketAddr::from(([127, 0, 0, 1], 9)));
        Self { socket, to }
    }

    /// One that talks to whoever listens at `at`.
    fn to(at: &Endpoint) -> Self {
        let peer = Self::new();
        peer.to.set(SocketAddr::from(([127, 0, 0, 1], at.port().expect("udp has a port"))));
        peer
    }

    fn url(&self) -> String {
        format!("udp://{}", self.socket.local_addr().expect("it is bound"))
    }

    fn say(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.to.get()).expect("a datagram leaves");
    }

    /// The next datagram, but for calls of whom it talks to already: a dialer repeats them whenever time has passed.
    fn hear(&self) -> Vec<u8> {
        loop {
            let known = self.to.get();
            let bytes = self.hear_any();
            if bytes.get(1) != Some(&1) || self.to.get() != known {
                return bytes;
            }
        }
    }

    /// The next datagram. From now on it talks to whom that came from.
    fn hear_any(&self) -> Vec<u8> {
        let mut bytes = vec![0; 65_536];
        let (len, from) = self.socket.recv_from(&mut bytes).expect("a datagram comes");
        self.to.set(from);
        bytes.truncate(len);
        bytes
    }

    /// Nothing else was said to it: the answer to this comes next.
    fn hears_nothing(&self) {
        self.say(&UNKNOWN);
        assert_eq!(&self.hear()[..2], [1, 3]);
    }
}

type RepScene = Scene<engine::Rep>;

/// A REP that listens, and a bystander that asks it.
fn scene() -> RepScene {
    Scene::new(Wire::Udp)
}

/// A scripted peer that has been let in.
fn guest(scene: &RepScene) -> (Peer, sp::PeerId) {
    let peer = Peer::to(scene.listener.endpoint());
    peer.say(&REQ_CALLS);
    let id = scene.connected();
    assert_eq!(peer.hear(), REP_ANSWERS);
    (peer, id)
}

/// A REQ that has dialled a scripted peer.
fn dialed(options: &DialOptions) -> (Req, Peer) {
    let (req, peer) = (Req::new().expect("a socket"), Peer::new());
    let url = peer.url();
    let (dialing, options) = (req.clone(), options.clone());
    let dialing = spawn(move || drop(dialing.dial_with(url, &options).expect("it is answered")));
    assert_eq!(peer.hear(), REQ_CALLS);
    peer.say(&REP_ANSWERS);
    dialing.join();
    (req, peer)
}

fn strays(scene: &RepScene, what: &str) -> u64 {
    scene.socket.stats().get(&format!("stray_datagrams/{what}")).unwrap_or(0)
}

/// sp-wire 8.6 items 77, 81 and 87
#[test]
fn a_conversation_is_byte_for_byte_as_written_down() {
    let (req, rep) = dialed(&DialOptions::new());
    req.send("hello").expect("a peer");
    let said = rep.hear();
    let (head, asked) = said.split_at(8);
    assert_eq!(head, b"\x01\x00\x30\x00\x09\x00\x00\x00");
    assert_eq!((asked[0] & 0x80, &asked[4..]), (0x80, &b"hello"[..]));
    // Garbage where nothing stands, and more bytes than were announced.
    rep.say(&[b"\x01\x00\x31\x00\x09\x00\xde\xad", &asked[..4], b"worldwide"].concat());
    assert_eq!(recv(&req), "world");
    spawn(move || req.close()).join();
    assert_eq!(rep.hear(), req_disconnects(0));

    let scene = scene();
    let (req, peer) = guest(&scene);
    req.say(&request(b"hello"));
    assert_eq!(recv(&scene.socket), "hello");
    scene.socket.send("world").expect("a request");
    assert_eq!(req.hear(), b"\x01\x00\x31\x00\x09\x00\x00\x00\x80\x00\x00\x01world");
    req.say(&req_disconnects(0));
    assert_eq!(scene.closed(peer), CloseReason::PeerClosed);
    let (req, _) = guest(&scene);
    scene.bystander_works();
    let socket = scene.socket;
    spawn(move || socket.close()).join();
    assert_eq!(req.hear(), rep_disconnects(0));
}

/// sp-wire 8.6 item 78
#[test]
fn a_call_is_repeated_and_given_up() {
    let silent = Peer::new();
    let req = Req::new().expect("a socket");
    let calls = UdpOptions::new().retry(Duration::from_millis(5));
    req.dial_with(silent.url(), &eager().udp(calls)).expect("in the background");
    for _ in 0..3 {
        assert_eq!(silent.hear_any(), REQ_CALLS);
    }
    let calls = UdpOptions::new().expire(Duration::from_millis(50));
    match req.dial_with(silent.url(), &DialOptions::new().udp(calls)) {
        Err(DialError::Failed { why: CloseReason::HandshakeTimeout, .. }) => {}
        other => panic!("{other:?}"),
    }
}

/// sp-wire 8.6 items 79, 80, 82, 83 and 87: what is said, what is answered, and what it counts as.
#[test]
fn what_strangers_say_is_passed_over_and_counted() {
    let scene = scene();
    let rows: [(&[u8], Option<u8>, &str); 11] = [
        (b"", None, "short"),
        (b"\x01", None, "short"),
        (b"\x01\x01\x30\x00\xe8\xfd\x01", None, "short"),
        (b"\x00\x01\x30\x00\xe8\xfd\x01\x00", None, "bad_version"),
        (b"\x02\x01\x30\x00\xe8\xfd\x01\x00", None, "bad_version"),
        (b"\x00\x53\x50\x00\x00\x30\x00\x00", None, "bad_version"),
        (b"\x01\x04\x30\x00\x00\x00\x00\x00", Some(7), "unexpected"),
        (&UNKNOWN, Some(7), "unexpected"),
        (&REQ_ANSWERS, None, "unexpected"),
        (b"\x01\x00\x30\x00\x05\x00\x00\x00hello", None, "stranger"),
        (b"\x01\x03\x30\x00\x00\x00\x00\x00", None, "stranger"),
    ];
    for (said, answer, counted) in rows {
        let before = strays(&scene, counted);
        let stranger = Peer::to(scene.listener.endpoint());
        stranger.say(said);
        if let Some(reason) = answer {
            assert_eq!(stranger.hear(), rep_disconnects(reason), "{said:02x?}");
        }
        stranger.hears_nothing();
        let more = if counted == "unexpected" { 2 } else { 1 };
        assert_eq!(strays(&scene, counted), before + more, "{said:02x?}");
        scene.bystander_works();
    }
    scene.newcomer_works();
}

/// sp-wire 8.6 item 83
#[test]
fn calls_that_cannot_be_agreed_to_are_answered_with_the_reason() {
    let scene = scene();
    let wrong =
        CloseReason::WrongProtocol { got: sp::ProtocolId::REP, wanted: sp::ProtocolId::REQ };
    for (said, why, reason) in [
        (*b"\x01\x01\x30\x00\xe8\xfd\x00\x00", DatagramFault::NoRefresh.into(), 5),
        (REP_CALLS, wrong, 1),
    ] {
        let stranger = Peer::to(scene.listener.endpoint());
        stranger.say(&said);
        assert_eq!(stranger.hear(), rep_disconnects(reason));
        assert_eq!(scene.refused(), why, "before it is a peer");
        let (peer, id) = guest(&scene);
        peer.say(&said);
        assert_eq!(peer.hear(), rep_disconnects(reason));
        assert_eq!(scene.closed(id), why, "when it is one");
        scene.bystander_works();
    }
    scene.newcomer_works();

    let (req, rep) = dialed(&DialOptions::new());
    rep.say(&REP_CALLS);
    assert_eq!(rep.hear(), req_disconnects(3), "who dials is not called");
    req.send("still there").expect("a peer");
    assert!(rep.hear().ends_with(b"still there"));
}

/// sp-wire 8.6 item 81
#[test]
fn messages_of_a_wrong_length_end_their_sender() {
    let options = ListenOptions::new().recv_max(Some(100));
    let scene = RepScene::with(Wire::Udp, RepOptions::new(), &options);
    for (said, why) in [
        (
            request(b"cut short")[..20].to_vec(),
            DatagramFault::Cut { announced: 13, got: 12 }.into(),
        ),
        (Wire::Udp.frame(&[7; 101]), CloseReason::TooLong { announced: 101, limit: 100 }),
    ] {
        let peer = Peer::to(scene.listener.endpoint());
        peer.say(&REQ_CALLS);
        let id = scene.connected();
        assert_eq!(peer.hear(), *b"\x01\x02\x31\x00\x64\x00\x01\x00", "the limit is told");
        peer.say(&request(b"before"));
        assert_eq!(recv(&scene.socket), "before");
        peer.say(&said);
        assert_eq!(peer.hear(), rep_disconnects(4));
        assert_eq!(scene.closed(id), why);
        scene.bystander_works();
    }
    scene.newcomer_works();
}

/// sp-wire 8.6 item 81: the longest message in the longest datagram, whose end does not belong to it, and what is
/// longer than any message.
#[test]
fn the_longest_datagram_there_is_arrives_whole() {
    let scene = scene();
    let (peer, id) = guest(&scene);
    let longest = pattern(65_000 - 4);
    peer.say(&[&request(&longest)[..], &[0xff; 499]].concat());
    assert_eq!(recv(&scene.socket), &longest[..]);
    scene.socket.send(&longest[..]).expect("it has been asked");
    assert_eq!(peer.hear()[8 + 4..], longest);
    scene.bystander_works();
    peer.say(&request(&pattern(65_507 - 8 - 4)));
    assert_eq!(peer.hear(), rep_disconnects(4));
    assert_eq!(scene.closed(id), CloseReason::TooLong { announced: 65_499, limit: 65_000 });
}

/// sp-wire 8.6 item 84
#[test]
fn a_full_listener_turns_newcomers_away_and_nobody_else() {
    for options in [
        ListenOptions::new().udp(UdpOptions::new().peers_max(3)),
        ListenOptions::new().connections_max(Some(3)),
    ] {
        let scene = RepScene::with(Wire::Udp, RepOptions::new(), &options);
        let (first, id) = guest(&scene);
        let (second, _) = guest(&scene);
        for _ in 0..50 {
            let newcomer = Peer::to(scene.listener.endpoint());
            newcomer.say(&REQ_CALLS);
            assert_eq!(newcomer.hear(), rep_disconnects(8));
            assert_eq!(scene.refused(), CloseReason::TooMany { limit: 3 });
            newcomer.say(&request(b"let me in"));
            newcomer.hears_nothing();
        }
        scene.bystander_works();
        second.say(&REQ_CALLS);
        assert_eq!(second.hear(), REP_ANSWERS);
        first.say(&req_disconnects(0));
        assert_eq!(scene.closed(id), CloseReason::PeerClosed);
        scene.newcomer_works();
    }
}

/// sp-wire 8.6 item 85. The bystander says every second that it is there.
#[test]
fn silence_ends_an_association_and_refreshing_keeps_it() {
    let scene = scene();
    let (silent, id) = guest(&scene);
    assert_eq!(silent.hear(), rep_disconnects(6));
    let after = Duration::from_secs(5);
    assert_eq!(scene.closed(id), DatagramFault::Silent { after }.into());
    scene.bystander_works();

    let (req, silent) = dialed(&eager());
    let events = req.events();
    for _ in 0..4 {
        assert_eq!(silent.hear_any(), REQ_CALLS);
    }
    assert_eq!(silent.hear(), req_disconnects(6));
    assert_eq!(any_closed(&events), DatagramFault::Silent { after }.into());
    silent.hear();
    silent.say(&REP_ANSWERS);
    connected(&events);
}

/// sp-wire 8.6 item 85: whatever was agreed with others, and however long a call would have waited for its answer.
#[test]
fn each_association_keeps_its_own_time() {
    let rep = Rep::new().expect("a socket");
    let rarely = UdpOptions::new().refresh(Duration::from_secs(60));
    let listener = rep.listen_with(Wire::Udp.url(), &ListenOptions::new().udp(rarely));
    let listener = listener.expect("a free port");
    let [patient, lively] = [(); 2].map(|()| Peer::to(listener.endpoint()));
    patient.say(b"\x01\x01\x30\x00\xe8\xfd\x3c\x00");
    assert_eq!(patient.hear(), *b"\x01\x02\x31\x00\xe8\xfd\x3c\x00");
    lively.say(&REQ_CALLS);
    assert_eq!(lively.hear(), REP_ANSWERS);
    assert_eq!(lively.hear(), rep_disconnects(6));

    let rarely = UdpOptions::new().retry(DEADLINE).expire(DEADLINE);
    let (_req, rep) = dialed(&DialOptions::new().udp(rarely));
    assert_eq!(rep.hear_any(), REQ_CALLS, "it says that it is there before it misses the other");
}

/// sp-wire 8.6 item 86
#[test]
fn what_the_peer_cannot_take_is_dropped_and_counted() {
    let (push, peer) = (Push::new().expect("a socket"), Peer::new());
    let events = push.events();
    push.dial_with(peer.url(), &eager()).expect("in the background");
    peer.hear();
    peer.say(b"\x01\x02\x51\x00\x0a\x00\x01\x00");
    let id = connected(&events);
    for body in ["more than ten", "just right", "again more than ten", ""] {
        push.send_timeout(body, DEADLINE).expect("it is connected");
    }
    assert_eq!(peer.hear(), b"\x01\x00\x50\x00\x0a\x00\x00\x00just right");
    assert_eq!(peer.hear(), b"\x01\x00\x50\x00\x00\x00\x00\x00");
    let stats = push.stats();
    assert_eq!(stats.get("too_long"), Some(2));
    assert_eq!(stats.get(&format!("{id}/too_long")), Some(2));
}

/// sp-wire 8.6 item 86: what no datagram has room for.
#[test]
fn what_the_network_cannot_take_is_dropped_and_counted() {
    let (push, peer) = (Push::new().expect("a socket"), Peer::new());
    push.dial_with(peer.url(), &eager()).expect("in the background");
    peer.hear();
    peer.say(b"\x01\x02\x51\x00\xff\xff\x01\x00");
    for len in [65_535, 65_500, 65_499, 65_536, 1 << 20] {
        push.send_timeout(vec![7; len], DEADLINE).expect("it is connected");
    }
    push.send_timeout("the end", DEADLINE).expect("it is connected");
    assert_eq!(peer.hear().len(), 65_507);
    assert!(peer.hear().ends_with(b"the end"));
    assert_eq!(push.stats().get("too_long"), Some(4));
}

/// sp-wire 8.6 item 88
#[test]
fn a_burst_arrives_as_far_as_the_system_delivers_it() {
    const BURST: u64 = 10_000;
    let pull = Pull::with(PullOptions::new().queue(100)).expect("a socket");
    let events = pull.events();
    let listener = pull.listen(Wire::Udp.url()).expect("a free port");
    let peer = Peer::to(listener.endpoint());
    peer.say(b"\x01\x01\x50\x00\xe8\xfd\x05\x00");
    peer.hear();
    let id = connected(&events);
    let receiver = pull.clone();
    let receiving = spawn(move || while receiver.recv().is_ok_and(|msg| msg != "the end") {});
    for n in 0..BURST {
        peer.say(&Wire::Udp.frame(&n.to_be_bytes()));
    }
    let arrived = || {
        let stats = pull.stats();
        // Which find no room because the program does not keep up are counted.
        let dropped = stats.get("dropped_on_receive").expect("always there");
        stats.get(&format!("{id}/messages_received")).expect("it is connected") + dropped
    };
    wait_until("every datagram is accounted for", || arrived() + kernel_drops(&peer) == BURST);
    // What the system dropped is known when it has nothing more.
    let overrun = || pull.stats().get("stray_datagrams/overrun").unwrap_or(0);
    wait_until("and what the system dropped, too", || overrun() == kernel_drops(&peer));
    peer.say(&Wire::Udp.frame(b"the end"));
    receiving.join();
}

/// How many datagrams the system has dropped at the port that `peer` talks to.
fn kernel_drops(peer: &Peer) -> u64 {
    let port = peer.to.get().port();
    let table = std::fs::read_to_string("/proc/net/udp").expect("Linux");
    let mine = format!(":{port:04X}");
    let columns = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut drops = columns.filter(|columns| columns[1].ends_with(&mine)).map(|columns| {
        columns.last().expect("a line has columns").parse::<u64>().expect("a number")
    });
    drops.next().expect("the port is bound")
}

/// sp-wire 8.6 item 87 and 8.16 item 166
#[test]
fn a_dialer_that_is_sent_away_comes_back() {
    let (req, rep) = dialed(&eager());
    let events = req.events();
    for (said, why) in [
        (rep_disconnects(0), CloseReason::PeerClosed),
        (rep_disconnects(8), DatagramFault::Disconnected(DisconnectReason::RESOURCES).into()),
    ] {
        rep.say(&said);
        assert_eq!(any_closed(&events), why);
        assert_eq!(rep.hear(), REQ_CALLS);
        rep.say(&REP_ANSWERS);
        connected(&events);
    }
}

/// sp-wire 8.16 items 164 and 166: the system says that nobody has the port.
#[test]
fn a_port_that_nobody_has_is_noticed_at_once() {
    let gone = Peer::new().url();
    let req = Req::new().expect("a socket");
    let error = req.dial(gone.as_str()).expect_err("nobody is there");
    assert!(error.is_refused(), "{error}");

    let events = req.events();
    req.dial_with(gone.as_str(), &eager()).expect("in the background");
    assert_eq!(refused(&events), CloseReason::Io(ErrorKind::ConnectionRefused));
    let rep = Rep::new().expect("a socket");
    let listener = rep.listen(gone.as_str()).expect("the port is free");
    while !matches!(events.recv_timeout(DEADLINE).expect("an event"), PipeEvent::Connected { .. }) {
    }
    engine::Rep::exchange(&rep, &req);
    listener.close();
    assert_eq!(any_closed(&events), CloseReason::PeerClosed);
    let _again = rep.listen(gone.as_str()).expect("the port is free at once");
    while !matches!(events.recv_timeout(DEADLINE).expect("an event"), PipeEvent::Connected { .. }) {
    }
    engine::Rep::exchange(&rep, &req);
}

/// sp-wire 8.16 item 167
#[test]
fn a_wrong_pattern_is_named_on_both_sides() {
    let rep = Rep::new().expect("a socket");
    let events = rep.events();
    let listener = rep.listen(Wire::Udp.url()).expect("a free port");
    let error = Push::new().expect("a socket").dial(listener.endpoint()).expect_err("no REQ");
    assert!(error.is_wrong_protocol(), "{error}");
    let wrong =
        CloseReason::WrongProtocol { got: sp::ProtocolId::PUSH, wanted: sp::ProtocolId::REQ };
    assert_eq!(refused(&events), wrong);

    let (push, peer) = (Push::new().expect("a socket"), Peer::new());
    let url = peer.url();
    let dialing = spawn(move || push.dial(url).map(drop));
    peer.hear();
    peer.say(&REP_ANSWERS);
    let error = dialing.join().expect_err("a REP answered");
    assert!(error.is_wrong_protocol(), "{error}");
    assert_eq!(peer.hear(), *b"\x01\x03\x50\x00\x01\x00\x00\x00");
}

#[test]
fn a_dialer_hears_nobody_but_whom_it_called() {
    let (req, rep) = dialed(&DialOptions::new());
    let stranger = Peer::new();
    stranger.to.set(rep.to.get());
    req.send("hello").expect("a peer");
    let said = rep.hear();
    stranger.say(&rep_disconnects(0));
    stranger.say(&[b"\x01\x00\x31\x00\x0a\x00\x00\x00", &said[8..12], b"forged"].concat());
    rep.say(&[b"\x01\x00\x31\x00\x08\x00\x00\x00", &said[8..12], b"true"].concat());
    assert_eq!(recv(&req), "true");
}

/// Messages that come before the program has a use for them wait, up to a limit, and what is beyond it is counted.
#[test]
fn a_flood_fills_no_memory_and_is_counted() {
    apart(|| {
        const FLOOD: u64 = 3_000;
        let pull = Pull::with(PullOptions::new().queue(10)).expect("a socket");
        let events = pull.events();
        let listener = pull.listen(Wire::Udp.url()).expect("a free port");
        let (flooder, push) = (Peer::to(listener.endpoint()), Push::new().expect("a socket"));
        flooder.say(b"\x01\x01\x50\x00\xe8\xfd\x05\x00");
        flooder.hear();
        let id = connected(&events);
        let before = memory().1;
        let body = vec![7; 60_000];
        let mut said = 0;
        while said < FLOOD {
            flooder.say(&Wire::Udp.frame(&body));
            said += 1;
            // Waits until it has been heard, so that the system drops none.
            flooder.say(b"\x01\x01\x50\x00\xe8\xfd\x05\x00");
            flooder.hear();
        }
        let grown = memory().1.saturating_sub(before);
        assert!(grown < 32 << 20, "{grown} bytes for {FLOOD} messages that nobody takes");
        let dropped =
            pull.stats().get(&format!("{id}/dropped_on_receive")).expect("it is connected");
        let mut got = 0;
        while pull.try_recv().is_ok() {
            got += 1;
        }
        // What waited for room comes when there is.
        while got + dropped < FLOOD {
            assert_eq!(recv(&pull).len(), body.len());
            got += 1;
        }
        assert!(pull.try_recv().is_err() && dropped > FLOOD / 2, "{got} and {dropped}");
        push.dial(listener.endpoint()).expect("the listener accepts");
        engine::Pull::exchange(&pull, &push);
    });
}

/// sp-wire 8.16 item 174
#[test]
fn nonsense_is_endured() {
    apart(|| {
        let word =
            (0..6_u8, 0x2e..0x34_u8, any::<[u8; 4]>(), prop::collection::vec(any::<u8>(), 0..40))
                .prop_map(|(opcode, protocol, rest, body)| {
                    [
                        &[1, opcode, protocol, 0, rest[0] % 50, rest[1] % 2, rest[2] % 3, 0][..],
                        &body,
                    ]
                    .concat()
                });
        let said = prop_oneof![
            6 => word,
            3 => Just(REQ_CALLS.to_vec()),
            2 => Just(request(b"a request")),
            2 => prop::collection::vec(any::<u8>(), 0..50),
        ];
        let scene = scene();
        let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
        let before = memory().1;
        let endured = TestRunner::new(config).run(&prop::collection::vec(said, 0..40), |said| {
            let fool = Peer::to(scene.listener.endpoint());
            said.iter().for_each(|bytes| fool.say(bytes));
            fool.say(&UNKNOWN);
            fool.say(&req_disconnects(0));
            // Until all of it has been heard: the answer to what nobody knows may be one of many.
            scene.socket.try_recv().map(drop).ok();
            let stranger = Peer::to(scene.listener.endpoint());
            stranger.hears_nothing();
            while scene.socket.try_recv().is_ok() {}
            engine::Rep::exchange(&scene.socket, &scene.bystander);
            Ok(())
        });
        if let Err(error) = endured {
            panic!("{error}");
        }
        let grown = memory().1.saturating_sub(before);
        assert!(grown < 64 << 20, "{grown} bytes more after nothing but nonsense");
    });
}

/// One listener, many peers on its one descriptor, each with its own conversation.
#[test]
fn many_peers_share_a_descriptor_and_nothing_else() {
    apart(|| {
        let rep = Rep::new().expect("a socket");
        let first = Req::new().expect("a socket");
        let listener = connect(crate::shared::Transport::Udp, &rep, &first);
        let before = descriptors();
        let events = rep.events();
        let peers: Vec<_> = (0..100).map(|_| Peer::to(listener.endpoint())).collect();
        for peer in &peers {
            peer.say(&REQ_CALLS);
            assert_eq!(peer.hear(), REP_ANSWERS);
            connected(&events);
        }
        assert!(descriptors() < before + 150, "the listener opens none for a peer");
        assert_eq!(rep.peers().len(), 101);
        for (number, peer) in peers.iter().enumerate() {
            peer.say(&request(number.to_string().as_bytes()));
        }
        for _ in &peers {
            let asked = recv(&rep);
            rep.send(asked).expect("a request");
        }
        for (number, peer) in peers.iter().enumerate() {
            assert!(peer.hear().ends_with(&with_id(0x8000_0001, number.to_string().as_bytes())));
        }
        engine::Rep::exchange(&rep, &first);
    });
}
