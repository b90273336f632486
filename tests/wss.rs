//! WebSocket over TLS: what neither of the two has alone. What each has is tested over `wss` beside it, in `tls.rs`
//! and in `conformance/ws.rs`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use sp::tls::{Client, ClientBuilder, Server};
use sp::{
    CloseReason, DialError, DialOptions, ListenError, ListenOptions, Listener, PipeEvent, Pull,
    Push, Rep, Req, TlsAlert, TlsFault,
};
use support::certificates::{SERVER, SERVER2};
use support::tls::{authority, client, identity, scripted_client, scripted_server, server};
use support::{DEADLINE, spawn, wait_event};

mod support;

#[test]
fn sockets_share_a_port_by_their_paths_and_one_set_up() {
    let (pull, rep) = (Pull::new().unwrap(), Rep::new().unwrap());
    let options = ListenOptions::new().tls(&server());
    let first = pull.listen_with("wss://127.0.0.1:0/work", &options).unwrap();
    let at = |path: &str| format!("wss://127.0.0.1:{}/{path}", port(&first));
    let second = rep.listen_with(at("questions"), &options).unwrap();
    assert_eq!(port(&second), port(&first));

    let (push, req) = (Push::new().unwrap(), Req::new().unwrap());
    let dialing = DialOptions::new().tls(&client());
    push.dial_with(at("work"), &dialing).unwrap();
    req.dial_with(at("questions"), &dialing).unwrap();
    push.send_timeout("work", DEADLINE).unwrap();
    assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), "work");
    req.send_timeout("question", DEADLINE).unwrap();
    assert_eq!(rep.recv_timeout(DEADLINE).unwrap(), "question");
    let shown = rep.peer(rep.peers()[0]).unwrap().peer_certificate;
    assert!(shown.is_some(), "whoever accepted the client, its certificate is told here");

    let nobody = Push::new().unwrap().dial_with(at("nobody"), &dialing);
    assert!(nobody.unwrap_err().is_refused());
    let taken = Pull::new().unwrap().listen_with(at("work/"), &options);
    assert!(taken.unwrap_err().is_in_use());
    // Equal is not enough: what it is replaced with later has to hold for all.
    let other = ListenOptions::new().tls(&server());
    let refused = Pull::new().unwrap().listen_with(at("free"), &other);
    assert!(matches!(refused, Err(ListenError::OtherTls { .. })), "{refused:?}");
    let plain = Pull::new().unwrap().listen(at("free").replace("wss", "ws"));
    assert!(plain.unwrap_err().is_in_use());
    Pull::new().unwrap().listen_with(at("free"), &options).expect("nothing was left behind");
}

#[test]
fn a_port_without_tls_is_not_shared_with_one_that_has_it() {
    let options = ListenOptions::new().tls(&server());
    // Options for TLS do not make it one.
    let first = Pull::new().unwrap();
    let plain = first.listen_with("ws://127.0.0.1:0/work", &options).unwrap();
    let url = format!("wss://127.0.0.1:{}/free", port(&plain));
    assert!(Pull::new().unwrap().listen_with(url, &options).unwrap_err().is_in_use());
    Push::new().unwrap().dial(plain.endpoint()).expect("it speaks in clear");
}

#[test]
fn replaced_certificates_hold_for_all_who_share_a_port() {
    let in_use = server();
    let options = ListenOptions::new().tls(&in_use);
    let (one, other) = (Pull::new().unwrap(), Pull::new().unwrap());
    let first = one.listen_with("wss://127.0.0.1:0/one", &options).unwrap();
    let url = format!("wss://127.0.0.1:{}/other", port(&first));
    other.listen_with(url, &options).unwrap();
    let renewed = Server::builder(identity(&SERVER2)).require_clients(&authority());
    in_use.replace(&renewed.build().unwrap());
    let shown = |path: &str| {
        let push = Push::new().unwrap();
        let url = format!("wss://127.0.0.1:{}/{path}", port(&first));
        push.dial_with(url, &DialOptions::new().tls(&client())).unwrap();
        push.peer(push.peers()[0]).unwrap().peer_certificate.unwrap()
    };
    let renewed = shown("one");
    assert_eq!(renewed, shown("other"));
    drop(one);
    assert_eq!(renewed, shown("other"), "the one that listened first need not stay");
}

/// A client that knows several protocols gets HTTP/1.1, one that knows none of ours is turned away.
#[test]
fn a_listener_chooses_http_among_the_application_protocols() {
    let pull = Pull::new().unwrap();
    let events = pull.events();
    let options = ListenOptions::new().tls(&server());
    let listener = pull.listen_with("wss://127.0.0.1:0/", &options).unwrap();
    let offering = |names: &[&str]| {
        let stream = TcpStream::connect(("127.0.0.1", port(&listener))).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = scripted_client(stream, names);
        let asked = client.write_all(b"GET /nobody HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut answer = String::new();
        let outcome = asked.and_then(|()| client.read_to_string(&mut answer));
        (outcome, answer, client.conn.alpn_protocol().map(<[u8]>::to_vec))
    };
    for (names, chosen) in [(&["h2", "http/1.1"][..], Some(b"http/1.1".to_vec())), (&[], None)] {
        let (outcome, answer, alpn) = offering(names);
        outcome.expect("the answer ends with a goodbye");
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        assert_eq!(alpn, chosen);
    }
    let (outcome, _, _) = offering(&["h2"]);
    assert!(outcome.unwrap_err().to_string().contains("NoApplicationProtocol"));
    wait_event(&events, "a refusal", |event| {
        let PipeEvent::Refused { why, .. } = event else { return false };
        matches!(why, CloseReason::Tls(TlsFault::Incompatible { .. }))
    });
}

#[test]
fn a_dialer_offers_http_and_nothing_else() {
    let refused = CloseReason::Tls(TlsFault::Refused { alert: TlsAlert(120) });
    for (knows, chosen, end) in
        [("http/1.1", Some(b"http/1.1".to_vec()), CloseReason::Truncated), ("h2", None, refused)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("wss://{}", listener.local_addr().unwrap());
        let dialing = DialOptions::new().tls(&client());
        let dialer = spawn(move || Push::new().unwrap().dial_with(url, &dialing).map(drop));
        let mut server = scripted_server(listener.accept().unwrap().0, &[knows]);
        // Its request, or its end.
        let heard = server.read(&mut [0; 1000]);
        assert_eq!(server.conn.alpn_protocol().map(<[u8]>::to_vec), chosen);
        assert_eq!(heard.is_ok(), chosen.is_some());
        drop(server);
        let why = match dialer.join() {
            Err(DialError::Failed { why, .. }) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(why, end);
    }
}

#[test]
fn what_a_program_names_is_chosen_instead_of_http() {
    let named = Server::builder(identity(&SERVER)).alpn(["sp"]).build().unwrap();
    let pull = Pull::new().unwrap();
    let options = ListenOptions::new().tls(&named);
    let listener = pull.listen_with("wss://127.0.0.1:0/", &options).unwrap();
    let ours = Client::builder(&authority());
    let dial = |client: ClientBuilder| {
        let options = DialOptions::new().tls(&client.build().unwrap());
        Push::new().unwrap().dial_with(listener.endpoint(), &options)
    };
    dial(ours.alpn(["sp"])).expect("both name the same");
    let refused = dial(Client::builder(&authority()));
    assert!(refused.is_err(), "HTTP was not named");
}

/// What a browser says that was sent to `http` instead of `https`, and a client of `ws`.
#[test]
fn who_speaks_in_clear_is_turned_away() {
    let pull = Pull::new().unwrap();
    let events = pull.events();
    let options = ListenOptions::new().tls(&server());
    let listener = pull.listen_with("wss://127.0.0.1:0/", &options).unwrap();
    let url = listener.endpoint().to_string().replace("wss", "ws");
    Push::new().unwrap().dial(url).expect_err("nobody speaks in clear there");
    wait_event(&events, "a refusal", |event| {
        let clear = CloseReason::Tls(TlsFault::NotTls);
        matches!(event, PipeEvent::Refused { why, .. } if *why == clear)
    });
}

fn port(listener: &Listener) -> u16 {
    listener.endpoint().port().expect("it is bound")
}
