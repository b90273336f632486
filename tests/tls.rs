//! TLS under each protocol that runs over it: who is let in, what is said of those who are not, and that nobody notices
//! otherwise.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use sp::tls::{Authorities, Client, Error, Identity, Server, Version};
use sp::{
    CloseReason, DialError, DialOptions, Endpoint, Fault, ListenError, ListenOptions, Listener,
    PeerId, PipeEvent, Pub, Pull, Push, Rep, Req, Sub, TlsAlert, TlsFault,
};
use support::certificates::{
    AUTHORITY, CLIENT, ELSEWHERE, EXPIRED, OTHER_AUTHORITY, SELF_SIGNED, SERVER, SERVER2, STRANGER,
};
use support::tls::{authorities, authority, client, identity, scripted_client, server};
use support::{DEADLINE, Transport, connect, pattern, spawn, wait_event};

mod support;

#[test]
fn both_sides_know_who_the_other_is() {
    for url in URLS {
        let (rep, req) = (Rep::new().unwrap(), Req::new().unwrap());
        let (at_rep, at_req) = (rep.events(), req.events());
        let listener = rep.listen_with(url, &ListenOptions::new().tls(&server())).unwrap();
        assert_eq!(listener.endpoint().with_port(0), url.parse().unwrap());
        req.dial_with(listener.endpoint(), &DialOptions::new().tls(&client())).unwrap();
        let (asking, answering) = (connected(&at_rep), connected(&at_req));
        let shown = rep.peer(asking).unwrap().peer_certificate.expect("it was required");
        assert_eq!(*shown, *CLIENT.certificate);
        let shown = req.peer(answering).unwrap().peer_certificate.expect("servers always show one");
        assert_eq!(*shown, *SERVER.certificate);
        req.send("who is there?").unwrap();
        assert_eq!(rep.recv_timeout(DEADLINE).unwrap(), "who is there?");
        rep.send("you know").unwrap();
        assert_eq!(req.recv_timeout(DEADLINE).unwrap(), "you know");
    }
}

#[test]
fn a_client_that_was_only_asked_may_come_without_a_certificate() {
    for url in URLS {
        let asking = Server::builder(identity(&SERVER)).ask_clients(&authority()).build().unwrap();
        let scene = Scene::new(url, &asking);
        scene.push.dial_with(scene.url(), &trusting()).unwrap();
        let peer = connected(&scene.events);
        assert_eq!(scene.pull.peer(peer).unwrap().peer_certificate, None);
        // One that shows a stranger's is turned away all the same.
        let stranger = Client::builder(&authority()).identity(identity(&STRANGER)).build().unwrap();
        let why = scene.refuses(&DialOptions::new().tls(&stranger));
        assert_eq!(why, TlsFault::UnknownIssuer);
    }
}

/// Each wrong client learns why, and so does the server; the connection that was there goes on.
#[test]
fn a_failed_handshake_is_counted_with_its_reason_and_disturbs_nobody() {
    for url in URLS {
        let scene = Scene::new(url, &server());
        scene.push.dial_with(scene.url(), &DialOptions::new().tls(&client())).unwrap();
        connected(&scene.events);
        let unknown_ca = TlsAlert(48);
        let without = Client::builder(&authority()).build().unwrap();
        let stranger = Client::builder(&authority()).identity(identity(&STRANGER)).build().unwrap();
        let mistrusting = Client::builder(&authorities(&OTHER_AUTHORITY))
            .identity(identity(&CLIENT))
            .build()
            .unwrap();
        let refused = |alert| TlsFault::Refused { alert };
        let cases = [
            (without, refused(TlsAlert(116)), TlsFault::NoCertificate),
            (stranger, refused(unknown_ca), TlsFault::UnknownIssuer),
            (mistrusting, TlsFault::UnknownIssuer, refused(unknown_ca)),
        ];
        for (client, to_client, to_server) in cases {
            let (at_client, at_server) = scene.fails(&DialOptions::new().tls(&client));
            assert_eq!((at_client, at_server), (to_client, to_server));
            scene.passes("on and on");
        }
        assert_eq!(scene.pull.stats().get("refused"), Some(3));
    }
}

#[test]
fn a_server_with_the_wrong_name_or_no_time_left_is_refused() {
    for url in URLS {
        let cases =
            [(identity(&ELSEWHERE), TlsFault::WrongName), (identity(&EXPIRED), TlsFault::Expired)];
        for (identity, wrong) in cases {
            let scene = Scene::new(url, &Server::builder(identity).build().unwrap());
            let (at_client, at_server) = scene.fails(&trusting());
            assert_eq!(at_client, wrong);
            assert!(matches!(at_server, TlsFault::Refused { .. }), "{at_server:?}");
            assert_eq!(CloseReason::Tls(at_client).fault(), Fault::Peer);
        }
    }
}

#[test]
fn a_certificate_is_good_for_one_role_only() {
    for url in URLS {
        let scene = Scene::new(url, &Server::builder(identity(&CLIENT)).build().unwrap());
        let (at_client, _) = scene.fails(&trusting());
        assert!(matches!(at_client, TlsFault::BadCertificate { .. }), "{at_client:?}");

        let scene = Scene::new(url, &server());
        let posing = Client::builder(&authority()).identity(identity(&SERVER)).build().unwrap();
        let at_server = scene.refuses(&DialOptions::new().tls(&posing));
        assert!(matches!(at_server, TlsFault::BadCertificate { .. }), "{at_server:?}");
    }
}

#[test]
fn the_name_to_look_for_can_be_set() {
    for url in URLS {
        let scene = Scene::new(url, &Server::builder(identity(&ELSEWHERE)).build().unwrap());
        let named = Client::builder(&authority()).server_name("elsewhere.example").build().unwrap();
        scene.push.dial_with(scene.url(), &DialOptions::new().tls(&named)).unwrap();
        connected(&scene.events);
        scene.passes("hello");
    }
}

#[test]
fn a_peer_without_tls_is_refused_as_that() {
    for url in URLS {
        let scene = Scene::new(url, &server());
        let mut plain = TcpStream::connect(("127.0.0.1", scene.port())).unwrap();
        plain.write_all(b"\0SP\0\0\x50\0\0").unwrap();
        assert_eq!(refused(&scene.events), CloseReason::Tls(TlsFault::NotTls));
        assert_eq!(plain.read_to_end(&mut Vec::new()).unwrap_or(0), 0, "it is closed");

        let plain = Pull::new().unwrap();
        let listener = plain.listen("tcp://127.0.0.1:0").unwrap();
        let port = listener.endpoint().port().unwrap();
        let url = url.parse::<Endpoint>().unwrap().with_port(port);
        match Push::new().unwrap().dial_with(url, &trusting()) {
            Err(DialError::Failed { why: CloseReason::Tls(TlsFault::NotTls), .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn handshakes_that_stop_in_the_middle_end_in_time_and_hold_nobody_up() {
    for url in URLS {
        let limit = Duration::from_secs(1);
        let scene = Scene::with(url, &ListenOptions::new().tls(&server()).handshake_limit(limit));
        // One is silent, one stops after half a record, one hangs up there.
        let silent = TcpStream::connect(("127.0.0.1", scene.port())).unwrap();
        let mut halting = TcpStream::connect(("127.0.0.1", scene.port())).unwrap();
        halting.write_all(&[22, 3, 1, 1, 0, 1]).unwrap();
        let mut leaving = TcpStream::connect(("127.0.0.1", scene.port())).unwrap();
        leaving.write_all(&[22, 3, 1, 1, 0, 1]).unwrap();
        leaving.shutdown(Shutdown::Write).unwrap();
        assert_eq!(refused(&scene.events), CloseReason::Truncated);
        scene.push.dial_with(scene.url(), &DialOptions::new().tls(&client())).unwrap();
        scene.passes("not held up");
        // In any order, should the machine have stood still until all limits had run out.
        let events = [(); 3].map(|()| scene.events.recv_timeout(DEADLINE).unwrap());
        let timeouts = events.iter().filter(|event| {
            matches!(event, PipeEvent::Refused { why: CloseReason::HandshakeTimeout, .. })
        });
        assert_eq!(timeouts.count(), 2, "{events:?}");
        drop((silent, halting));
    }
}

#[test]
fn closing_a_socket_does_not_wait_for_handshakes() {
    for url in URLS {
        let scene = Scene::new(url, &server());
        let _silent = TcpStream::connect(("127.0.0.1", scene.port())).unwrap();
        let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = url.parse::<Endpoint>().unwrap().with_socket_addr(deaf.local_addr().unwrap());
        let background = DialOptions::new().tls(&client()).background(true);
        scene.push.dial_with(url, &background).unwrap();
        let Scene { pull, push, .. } = scene;
        spawn(move || (pull.close(), push.close())).join();
    }
}

/// A byte at a time each way, which cuts records and handshakes everywhere.
#[test]
fn any_cut_of_the_bytes_gives_the_same_messages() {
    for url in URLS {
        let scene = Scene::new(url, &server());
        let way = Way::to(scene.listener.endpoint(), |bytes, to| {
            for byte in bytes {
                to.write_all(&[byte])?;
            }
            Ok(())
        });
        let client = DialOptions::new().tls(&client());
        scene.push.dial_with(&way.url, &client).unwrap();
        for len in [0, 1, 100, 20_000] {
            scene.push.send_timeout(pattern(len), DEADLINE).unwrap();
            assert!(scene.pull.recv_timeout(DEADLINE).unwrap() == pattern(len)[..], "{len}");
        }
    }
}

#[test]
fn a_message_that_was_changed_on_its_way_ends_the_connection_and_is_not_delivered() {
    for url in URLS {
        let scene = Scene::new(url, &server());
        let mut passed = 0;
        let way = Way::to(scene.listener.endpoint(), move |mut bytes, to| {
            passed += bytes.len();
            // The handshake takes less; this is within the message.
            if passed > 10_000 {
                *bytes.last_mut().unwrap() ^= 1;
            }
            to.write_all(&bytes)
        });
        scene.push.dial_with(&way.url, &DialOptions::new().tls(&client())).unwrap();
        let peer = connected(&scene.events);
        scene.push.send(pattern(12_000)).unwrap();
        match closed(&scene.events, peer) {
            CloseReason::Tls(TlsFault::Broken { .. }) => {}
            other => panic!("{other:?}"),
        }
        assert!(scene.pull.try_recv().is_err(), "nothing was delivered");
    }
}

#[test]
fn a_goodbye_is_told_from_a_cut() {
    for url in URLS {
        let scene = Scene::new(url, &server());
        scene.push.dial_with(scene.url(), &DialOptions::new().tls(&client())).unwrap();
        let polite = connected(&scene.events);
        let Scene { pull, push, events, listener } = scene;
        push.close();
        assert_eq!(closed(&events, polite), CloseReason::PeerClosed);

        // Cut once the first message has passed.
        let way = Way::to(listener.endpoint(), |bytes, to| to.write_all(&bytes));
        let push = Push::new().unwrap();
        push.dial_with(&way.url, &DialOptions::new().tls(&client())).unwrap();
        let cut = connected(&events);
        push.send(pattern(12_000)).unwrap();
        assert_eq!(pull.recv_timeout(DEADLINE).unwrap().len(), 12_000);
        way.end.recv_timeout(DEADLINE).unwrap().shutdown(Shutdown::Both).unwrap();
        assert_eq!(closed(&events, cut), CloseReason::Tls(TlsFault::NoGoodbye));

        // Cut behind the first of several records: the handshake takes less than 4 KiB.
        let mut left = 24_000;
        let way = Way::to(listener.endpoint(), move |bytes, to| {
            let most = bytes.len().min(left);
            left -= most;
            to.write_all(&bytes[..most])?;
            if left == 0 { to.shutdown(Shutdown::Both) } else { Ok(()) }
        });
        let push = Push::new().unwrap();
        push.dial_with(&way.url, &DialOptions::new().tls(&client())).unwrap();
        let cut = connected(&events);
        push.send(pattern(40_000)).unwrap();
        assert_eq!(closed(&events, cut), CloseReason::Truncated);
        assert!(pull.try_recv().is_err(), "half a message is none");
    }
}

/// Its last bytes are no message, and its end came together with them.
#[test]
fn a_peer_that_ends_within_a_record_is_noticed() {
    let scene = Scene::new(URLS[0], &server());
    // Whether both are there when we first look is up to the system: nearly always.
    for _ in 0..20 {
        let stream = TcpStream::connect(("127.0.0.1", scene.port())).unwrap();
        let mut peer = scripted_client(stream, &[]);
        peer.write_all(b"\0SP\0\0\x50\0\0").unwrap();
        peer.read_exact(&mut [0; 8]).unwrap();
        let gone = connected(&scene.events);
        peer.sock.write_all(&[23, 3, 3, 1, 0, 7]).unwrap();
        peer.sock.shutdown(Shutdown::Write).unwrap();
        assert_eq!(closed(&scene.events, gone), CloseReason::Tls(TlsFault::NoGoodbye));
    }
}

#[test]
fn certificates_are_replaced_while_connections_go_on() {
    for url in URLS {
        let in_use = server();
        let scene = Scene::new(url, &in_use);
        let dial = || {
            let push = Push::new().unwrap();
            push.dial_with(scene.url(), &DialOptions::new().tls(&client())).unwrap();
            connected(&scene.events);
            let shown = push.peer(push.peers()[0]).unwrap().peer_certificate.unwrap();
            (push, shown)
        };
        let (before, shown) = dial();
        assert_eq!(*shown, *SERVER.certificate);
        let next =
            Server::builder(identity(&SERVER2)).require_clients(&authority()).build().unwrap();
        in_use.replace(&next);
        let (after, shown) = dial();
        assert_eq!(*shown, *SERVER2.certificate);
        for push in [before, after] {
            push.send("still here").unwrap();
            assert_eq!(scene.pull.recv_timeout(DEADLINE).unwrap(), "still here");
        }
    }
}

/// What waits at the sender when it closes has been encrypted or not; all of it arrives.
#[test]
fn what_was_sent_before_closing_arrives_however_slowly_it_is_taken() {
    for transport in [Transport::Tls, Transport::Wss] {
        let (pull, push) = (Pull::new().unwrap(), Push::new().unwrap());
        connect(transport, &pull, &push);
        let sender = spawn(move || {
            for n in 0..64_u8 {
                push.send_timeout(vec![n; 100_000], DEADLINE).unwrap();
            }
            push.close()
        });
        for n in 0..64_u8 {
            let message = pull.recv_timeout(DEADLINE).unwrap();
            assert!(message == vec![n; 100_000][..], "message {n}");
        }
        assert_eq!(sender.join(), 0, "nothing was left");
    }
}

#[test]
fn a_peer_that_takes_nothing_does_not_hold_up_the_others() {
    for url in URLS {
        let publisher = Pub::new().unwrap();
        let events = publisher.events();
        let listener = publisher.listen_with(url, &ListenOptions::new().tls(&server())).unwrap();
        let subs: Vec<Sub> = (0..3).map(|_| Sub::new().unwrap()).collect();
        for sub in &subs {
            sub.subscribe("");
            sub.dial_with(listener.endpoint(), &DialOptions::new().tls(&client())).unwrap();
            connected(&events);
        }
        // The first one never receives: its queues fill, then the kernel's.
        for n in 0..200_u8 {
            publisher.send(vec![n; 50_000]).unwrap();
            for sub in &subs[1..] {
                assert_eq!(sub.recv_timeout(DEADLINE).unwrap()[0], n);
            }
        }
        assert!(subs[0].recv_timeout(DEADLINE).is_ok(), "and it has not been forgotten");
    }
}

#[test]
fn large_messages_of_one_peer_leave_room_for_small_ones_of_another() {
    for transport in [Transport::Tls, Transport::Wss] {
        let rep = Rep::new().unwrap();
        let pull = Pull::new().unwrap();
        let large = Push::new().unwrap();
        connect(transport, &pull, &large);
        let req = Req::new().unwrap();
        connect(transport, &rep, &req);
        let sender = spawn(move || {
            for _ in 0..4 {
                large.send_timeout(pattern(8 << 20), DEADLINE).unwrap();
            }
            large
        });
        let receiver = spawn(move || {
            (0..4).map(|_| pull.recv_timeout(DEADLINE).unwrap().len()).sum::<usize>()
        });
        for _ in 0..100 {
            req.send("small").unwrap();
            let asked = rep.recv_timeout(DEADLINE).unwrap();
            rep.send(asked).unwrap();
            assert_eq!(req.recv_timeout(DEADLINE).unwrap(), "small");
        }
        assert_eq!(receiver.join(), 32 << 20);
        sender.join();
    }
}

#[test]
fn versions_and_application_protocols_have_to_meet() {
    for url in URLS {
        let build = |names: &[&str]| {
            let server = Server::builder(identity(&SERVER)).min_version(Version::Tls13);
            server.alpn(names.iter().copied()).build().unwrap()
        };
        let offer = |name: &str| {
            let client = Client::builder(&authority()).min_version(Version::Tls13).alpn([name]);
            DialOptions::new().tls(&client.build().unwrap())
        };
        let scene = Scene::new(url, &build(&["sp", "other"]));
        let (at_client, at_server) = scene.fails(&offer("http/1.1"));
        assert_eq!(at_client, TlsFault::Refused { alert: TlsAlert(120) });
        assert!(matches!(at_server, TlsFault::Incompatible { .. }), "{at_server:?}");
        scene.push.dial_with(scene.url(), &offer("sp")).unwrap();
        connected(&scene.events);
        scene.passes("the same protocol");
    }
}

#[test]
fn what_cannot_work_is_said_before_anything_is_opened() {
    let (certificate, key) = (SERVER.certificate_pem(), CLIENT.key_pem());
    let mixed = Identity::from_pem(&certificate, &key).unwrap();
    assert!(matches!(Server::builder(mixed).build(), Err(Error::Identity { .. })));
    let mixed = Identity::from_pem(&certificate, &key).unwrap();
    let client = Client::builder(&authority()).identity(mixed).build();
    assert!(matches!(client, Err(Error::Identity { .. })));
    assert!(matches!(Identity::from_pem(&key, &key), Err(Error::Pem { .. })));
    assert!(matches!(Identity::from_pem(&certificate, &certificate), Err(Error::Pem { .. })));
    assert!(matches!(Authorities::from_pem(""), Err(Error::Pem { .. })));
    assert!(matches!(Authorities::from_der([b"no DER"]), Err(Error::Authority { .. })));
    assert!(matches!(
        Identity::from_der([&*SERVER.certificate], *b"no key"),
        Err(Error::Key { .. })
    ));
    let named = Client::builder(&authority()).server_name("no name").build();
    assert!(matches!(named, Err(Error::ServerName { .. })));

    let pull = Pull::new().unwrap();
    for url in URLS {
        assert!(matches!(pull.listen(url), Err(ListenError::NoTls { .. })));
        assert!(matches!(pull.dial(url.replace(":0", ":1")), Err(DialError::NoTls { .. })));
    }
}

#[test]
fn certificates_and_keys_can_be_given_in_der() {
    let trusted = Authorities::from_der([&*AUTHORITY.certificate]).unwrap();
    let shown =
        Identity::from_der([&*SERVER.certificate], SERVER.key().secret_pkcs8_der()).unwrap();
    assert!(!format!("{shown:?}").contains("key"), "keys are not printed");
    let scene = Scene::new(URLS[0], &Server::builder(shown).build().unwrap());
    let client = Client::builder(&trusted).build().unwrap();
    scene.push.dial_with(scene.url(), &DialOptions::new().tls(&client)).unwrap();
    connected(&scene.events);
}

/// sp-wire 8.5 item 74, with the options there are: verification cannot be switched off
#[test]
fn a_certificate_that_signed_itself_is_refused_unless_it_is_trusted() {
    for url in URLS {
        let scene = Scene::new(url, &Server::builder(identity(&SELF_SIGNED)).build().unwrap());
        let (at_client, at_server) = scene.fails(&trusting());
        assert_eq!(at_client, TlsFault::UnknownIssuer);
        assert_eq!(at_server, TlsFault::Refused { alert: TlsAlert(48) });
        let client = Client::builder(&authorities(&SELF_SIGNED)).build().unwrap();
        scene.push.dial_with(scene.url(), &DialOptions::new().tls(&client)).unwrap();
        connected(&scene.events);
        scene.passes("trusted");
    }
}

/// A receiver over TLS, and a sender that has yet to dial.
struct Scene {
    pull: Pull,
    push: Push,
    events: Receiver<PipeEvent>,
    listener: Listener,
}

impl Scene {
    fn new(url: &str, server: &Server) -> Self {
        Self::with(url, &ListenOptions::new().tls(server))
    }

    fn with(url: &str, options: &ListenOptions) -> Self {
        let (pull, push) = (Pull::new().unwrap(), Push::new().unwrap());
        let events = pull.events();
        let listener = pull.listen_with(url, options).unwrap();
        Self { pull, push, events, listener }
    }

    fn url(&self) -> String {
        self.listener.endpoint().to_string()
    }

    fn port(&self) -> u16 {
        self.listener.endpoint().port().unwrap()
    }

    fn passes(&self, text: &str) {
        self.push.send_timeout(text, DEADLINE).unwrap();
        assert_eq!(self.pull.recv_timeout(DEADLINE).unwrap(), text);
    }

    /// What another client and the server say of its handshake.
    fn fails(&self, client: &DialOptions) -> (TlsFault, TlsFault) {
        let at_client = match Push::new().unwrap().dial_with(self.url(), client) {
            Err(DialError::Failed { why: CloseReason::Tls(fault), .. }) => fault,
            other => panic!("{other:?}"),
        };
        match refused(&self.events) {
            CloseReason::Tls(at_server) => (at_client, at_server),
            other => panic!("{other:?}"),
        }
    }

    /// What the server says of a client whose handshake fails.
    fn refuses(&self, client: &DialOptions) -> TlsFault {
        self.fails(client).1
    }
}

/// A way to a listener on which something happens to the bytes that are sent there.
struct Way {
    /// Where the dialer finds it.
    url: String,
    /// The connection to the listener, once it is made.
    end: Receiver<TcpStream>,
}

impl Way {
    /// `pass` gets what the dialer sends, in the pieces that come, and where it goes.
    fn to(
        at: &Endpoint,
        pass: impl FnMut(Vec<u8>, &mut TcpStream) -> std::io::Result<()> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (tell, end) = bounded(1);
        let url = at.with_port(listener.local_addr().unwrap().port()).to_string();
        let (way, port) = (Self { url, end }, at.port().unwrap());
        std::thread::spawn(move || {
            let (near, _) = listener.accept().unwrap();
            let far = TcpStream::connect(("127.0.0.1", port)).unwrap();
            far.set_nodelay(true).unwrap();
            // Most tests do not ask for it.
            let _ = tell.send(far.try_clone().unwrap());
            let (back_from, back_to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            std::thread::spawn(move || carry(back_from, back_to, |bytes, to| to.write_all(&bytes)));
            carry(near, far, pass);
        });
        way
    }
}

fn carry(
    mut from: TcpStream,
    mut to: TcpStream,
    mut pass: impl FnMut(Vec<u8>, &mut TcpStream) -> std::io::Result<()>,
) {
    let mut room = vec![0; 64 << 10];
    while let Ok(got @ 1..) = from.read(&mut room) {
        if pass(room[..got].to_vec(), &mut to).is_err() {
            break;
        }
    }
    // Whoever is left hears of the end.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn connected(events: &Receiver<PipeEvent>) -> PeerId {
    match wait_event(events, "a peer", |event| matches!(event, PipeEvent::Connected { .. })) {
        PipeEvent::Connected { peer, .. } => peer,
        other => unreachable!("{other:?}"),
    }
}

fn refused(events: &Receiver<PipeEvent>) -> CloseReason {
    match wait_event(events, "a refusal", |event| matches!(event, PipeEvent::Refused { .. })) {
        PipeEvent::Refused { why, .. } => why,
        other => unreachable!("{other:?}"),
    }
}

fn closed(events: &Receiver<PipeEvent>, gone: PeerId) -> CloseReason {
    let ours = |event: &PipeEvent| matches!(event, PipeEvent::Closed { peer, .. } if *peer == gone);
    match wait_event(events, "an end", ours) {
        PipeEvent::Closed { why, .. } => why,
        other => unreachable!("{other:?}"),
    }
}

/// A server is checked, and nothing shown.
fn trusting() -> DialOptions {
    DialOptions::new().tls(&Client::builder(&authority()).build().unwrap())
}

const URLS: [&str; 2] = ["tls+tcp://127.0.0.1:0", "wss://127.0.0.1:0/here"];
