//! What is used wrongly fails with a typed error that says what was tried, where, and what to do.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use sp::{
    BadOption, CloseReason, DialError, DialOptions, EndpointError, ListenError, ListenOptions,
    OpenError, PipeEvent, Pub, PubOptions, Pull, PullOptions, Push, RecvError, Rep, RepOptions,
    Req, ReqOptions, SendError, Socket, Sub, SubOptions, TryRecvError, TrySendError,
};
use support::{DEADLINE, Transport, block_on, connect, wait_event};

mod support;

#[test]
fn a_url_that_makes_no_sense_is_refused() {
    let req = Req::new().expect("REQ opens");
    for url in [
        "",
        "127.0.0.1:5555",
        "tcp:/127.0.0.1:1",
        "tcp://[::1",
        "tcp://127.0.0.1:",
        "tcp://::1:5555",
    ] {
        let dial = req.dial(url).expect_err("the URL is no URL");
        assert!(
            matches!(&dial, DialError::Endpoint(EndpointError::Syntax { .. })),
            "{url:?}: {dial:?}"
        );
        says(&dial, &[url, "not a valid URL"]);
        let listen = req.listen(url).expect_err("the URL is no URL");
        assert!(
            matches!(&listen, ListenError::Endpoint(EndpointError::Syntax { .. })),
            "{url:?}: {listen:?}"
        );
        says(&listen, &[url, "not a valid URL"]);
    }
}

#[test]
fn a_url_with_content_that_cannot_be_used_is_refused() {
    let req = Req::new().expect("REQ opens");
    let long_path = format!("ipc:///{}", "a".repeat(108));
    let urls = [
        "tcp://127.0.0.1:70000",
        "tcp://127.0.0.1:http",
        "tcp://a b:1",
        "tcp://h:1/path",
        "ipc://",
        &long_path,
    ];
    for url in urls {
        let dial = req.dial(url).expect_err("the address is no address");
        assert!(
            matches!(&dial, DialError::Endpoint(EndpointError::Address { .. })),
            "{url:?}: {dial:?}"
        );
        says(&dial, &[url, "cannot be used"]);
    }
}

#[test]
fn a_dialer_needs_a_host_and_a_port() {
    let req = Req::new().expect("REQ opens");
    for (url, advice) in
        [("tcp://127.0.0.1:0", "port"), ("tcp://*:5555", "host"), ("tcp://127.0.0.1", "port")]
    {
        let error = req.dial(url).expect_err("nobody can be dialled there");
        assert!(
            matches!(&error, DialError::Endpoint(EndpointError::Address { .. })),
            "{url:?}: {error:?}"
        );
        says(&error, &["dialer", advice]);
    }
}

#[test]
fn a_scheme_that_nobody_knows_is_refused_with_those_there_are() {
    let req = Req::new().expect("REQ opens");
    let error = req.dial("carrier-pigeon://roof").expect_err("no such transport");
    assert!(
        matches!(&error, DialError::Endpoint(EndpointError::UnknownScheme { .. })),
        "{error:?}"
    );
    says(&error, &["carrier-pigeon://roof", "tcp", "ipc", "inproc"]);
    let error = req.listen("carrier-pigeon://roof").expect_err("no such transport");
    says(&error, &["carrier-pigeon://roof", "tcp", "ipc", "inproc"]);
}

#[test]
fn a_scheme_that_is_not_built_is_told_from_an_unknown_one() {
    let req = Req::new().expect("REQ opens");
    for url in ["wss://127.0.0.1:1/", "dtls://127.0.0.1:1"] {
        let error = req.dial(url).expect_err("not in this build");
        assert!(
            matches!(&error, DialError::Endpoint(EndpointError::NotBuilt { .. })),
            "{url:?}: {error:?}"
        );
        says(&error, &[url, "not in this build"]);
    }
}

#[test]
fn an_address_in_use_is_refused() {
    for transport in Transport::BARE {
        let (first, second) = (Rep::new().expect("REP opens"), Rep::new().expect("REP opens"));
        let taken = first.listen(transport.url()).expect("the address is free");
        let error = second.listen(taken.endpoint()).expect_err("the address is taken");
        assert!(matches!(&error, ListenError::InUse { .. }) && error.is_in_use(), "{error:?}");
        says(&error, &["listen", &taken.endpoint().to_string(), "in use"]);
        taken.close();
        second.listen(error_url(&error)).expect("the address is free again");
    }
}

#[test]
fn a_path_that_is_no_socket_is_left_alone() {
    let path = std::env::temp_dir().join(support::unique());
    fs::write(&path, "precious").expect("the directory is writable");
    let url = format!("ipc://{}", path.display());
    let error = Rep::new().expect("REP opens").listen(&url).expect_err("that is a file");
    assert!(matches!(&error, ListenError::NotASocket { .. }), "{error:?}");
    says(&error, &["listen", &url, "remove"]);
    assert_eq!(fs::read(&path).expect("the file is still there"), b"precious");
    fs::remove_file(path).expect("the file is ours");
}

#[test]
fn dialling_where_nobody_listens_fails_at_once() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.local_addr().expect("it is bound").port()
    };
    let missing = Transport::Ipc.url();
    let unheard = Transport::Inproc.url();
    for url in [format!("tcp://127.0.0.1:{port}"), missing, unheard] {
        let req = Req::new().expect("REQ opens");
        let error = req.dial(&url).expect_err("nobody listens");
        assert!(matches!(&error, DialError::Failed { .. }), "{url}: {error:?}");
        says(&error, &["dial", &url, "background"]);
        assert!(error.is_refused(), "a missing socket file counts as refused, too: {error:?}");
        assert!(req.peers().is_empty());
    }
}

#[test]
fn dialling_the_wrong_pattern_says_so() {
    // Over WebSocket the listener answers 400, as to anything else that it does not understand.
    for transport in [Transport::Tcp, Transport::Ipc, Transport::Inproc] {
        let pull = Pull::new().expect("PULL opens");
        let refusals = pull.events();
        let listener = pull.listen(transport.url()).expect("the address is free");
        let error = Req::new()
            .expect("REQ opens")
            .dial(listener.endpoint())
            .expect_err("PULL answers nothing");
        assert!(error.is_wrong_protocol(), "{transport:?}: {error:?}");
        says(&error, &["dial", &listener.endpoint().to_string(), "PULL", "REP"]);
        wait_event(&refusals, "the refusal", |event| {
            matches!(event, PipeEvent::Refused { why: CloseReason::WrongProtocol { .. }, .. })
        });
        assert_eq!(pull.stats().get("refused"), Some(1));
    }
}

#[test]
fn dialling_what_speaks_no_sp_says_so() {
    let web = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("tcp://{}", web.local_addr().expect("it is bound"));
    let server = support::spawn(move || {
        let (mut client, _) = web.accept().expect("somebody dials");
        client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("the dialer reads");
        client
    });
    let error = Req::new().expect("REQ opens").dial(&url).expect_err("that is a web server");
    assert!(
        matches!(&error, DialError::Failed { why: CloseReason::BadHandshake { .. }, .. }),
        "{error:?}"
    );
    says(&error, &["dial", &url, "no SP handshake"]);
    server.join();
}

#[test]
fn dialling_what_says_nothing_ends_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("tcp://{}", silent.local_addr().expect("it is bound"));
    let options = DialOptions::new().handshake_limit(Duration::from_millis(50));
    let error =
        Req::new().expect("REQ opens").dial_with(&url, &options).expect_err("nobody answers");
    assert!(
        matches!(&error, DialError::Failed { why: CloseReason::HandshakeTimeout, .. }),
        "{error:?}"
    );
    says(&error, &["dial", &url, "in time"]);
}

#[test]
fn a_name_that_does_not_resolve_is_refused() {
    let url = "tcp://no-such-host.invalid:5555";
    let error = Req::new().expect("REQ opens").dial(url).expect_err("the name cannot exist");
    assert!(matches!(&error, DialError::Failed { why: CloseReason::Unresolved, .. }), "{error:?}");
    says(&error, &["dial", url, "resolved"]);
}

#[test]
fn sending_on_a_closed_socket_gives_the_message_back() {
    let push = Push::new().expect("PUSH opens");
    let clone = push.clone();
    push.close();
    let error = clone.send("work").expect_err("the socket is closed");
    assert!(matches!(&error, SendError::Closed { .. }) && error.is_closed(), "{error:?}");
    says(&error, &["send", "PUSH", "closed"]);
    assert_eq!(error.into_message(), "work");

    let error = clone.try_send("work").expect_err("the socket is closed");
    assert!(matches!(&error, TrySendError::Closed { .. }), "{error:?}");
    says(&error, &["send", "PUSH", "closed"]);
    assert_eq!(error.into_message(), "work");

    let error = clone.send_timeout("work", DEADLINE).expect_err("the socket is closed");
    assert_eq!(error.into_message(), "work");
    let error = block_on(clone.send_async("work")).expect_err("the socket is closed");
    assert!(error.is_closed());
    assert_eq!(error.into_message(), "work");
}

#[test]
fn everything_else_on_a_closed_socket_says_that_it_is_closed() {
    let sub = Sub::new().expect("SUB opens");
    let clone = sub.clone();
    sub.close();
    let error = clone.recv().expect_err("the socket is closed");
    assert!(error.is_closed(), "{error:?}");
    says(&error, &["receive", "SUB", "closed"]);
    assert!(matches!(clone.try_recv(), Err(TryRecvError::Failed(RecvError::Closed { .. }))));
    assert!(clone.recv_timeout(DEADLINE).is_err_and(|error| error.is_closed()));
    assert!(block_on(clone.recv_async()).is_err_and(|error| error.is_closed()));
    assert_eq!((clone.iter().count(), clone.try_iter().count(), clone.peers().len()), (0, 0, 0));

    let url = Transport::Inproc.url();
    let error = clone.dial(&url).expect_err("the socket is closed");
    assert!(matches!(&error, DialError::Closed { .. }), "{error:?}");
    says(&error, &["dial", &url, "closed"]);
    let error = clone.listen(&url).expect_err("the socket is closed");
    assert!(matches!(&error, ListenError::Closed { .. }), "{error:?}");
    says(&error, &["listen", &url, "closed"]);
    clone.subscribe("topic");
    clone.flush();
    clone.close();
}

#[test]
fn receiving_on_req_without_a_request_fails() {
    for transport in Transport::BARE {
        let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
        let error = req.recv().expect_err("there is no request");
        assert!(matches!(error, RecvError::State { .. }), "{error:?}");
        says(&error, &["receive", "REQ", "send first"]);
        assert!(matches!(req.try_recv(), Err(TryRecvError::Failed(RecvError::State { .. }))));
        assert!(matches!(block_on(req.recv_async()), Err(RecvError::State { .. })));

        connect(transport, &rep, &req);
        req.send_timeout("ping", DEADLINE).expect("the server is connected");
        rep.recv_timeout(DEADLINE).expect("the request comes");
        rep.send("pong").expect("there is a request");
        req.recv_timeout(DEADLINE).expect("the reply comes");
        assert!(matches!(req.recv(), Err(RecvError::State { .. })), "one reply to one request");
    }
}

#[test]
fn sending_on_rep_without_a_request_gives_the_message_back() {
    for transport in Transport::BARE {
        let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
        let error = rep.send("pong").expect_err("there is no request");
        assert!(matches!(&error, SendError::State { .. }), "{error:?}");
        says(&error, &["send", "REP", "receive first"]);
        assert_eq!(error.into_message(), "pong");
        let error = rep.try_send("pong").expect_err("there is no request");
        assert!(matches!(&error, TrySendError::State { .. }), "{error:?}");
        says(&error, &["send", "REP", "receive first"]);
        assert_eq!(error.into_message(), "pong");
        let error = block_on(rep.send_async("pong")).expect_err("there is no request");
        assert_eq!(error.into_message(), "pong");

        connect(transport, &rep, &req);
        req.send_timeout("ping", DEADLINE).expect("the server is connected");
        rep.recv_timeout(DEADLINE).expect("the request comes");
        rep.send("pong").expect("there is a request");
        let error = rep.send("again").expect_err("the request is answered");
        assert!(matches!(error, SendError::State { .. }), "one reply to one request");
    }
}

#[test]
fn a_request_that_is_not_repeated_is_lost_with_its_peer() {
    for transport in Transport::BARE {
        let rep = Rep::new().expect("REP opens");
        let req = Req::with(ReqOptions::new().resend_time(None)).expect("the options are right");
        connect(transport, &rep, &req);
        req.send_timeout("ping", DEADLINE).expect("the server is connected");
        rep.recv_timeout(DEADLINE).expect("the request comes");
        rep.close();
        let error = req.recv_timeout(DEADLINE).expect_err("nobody is left to answer");
        assert!(matches!(error, RecvError::PeerGone { .. }), "{error:?}");
        says(&error, &["receive", "REQ", "gone"]);
        assert!(matches!(req.recv(), Err(RecvError::State { .. })));
    }
}

/// sp-wire 8.16 item 170. Ours: a type that does not fit does not compile
#[test]
fn options_out_of_range_are_refused_with_the_range() {
    for ttl in [0, 16] {
        let error = bad_option(Rep::with(RepOptions::new().ttl(ttl)));
        assert_eq!((error.option, error.value.as_str()), ("ttl", ttl.to_string().as_str()));
        says(&error, &["ttl", "1 to 15"]);
    }
    for ttl in [1, 15] {
        Rep::with(RepOptions::new().ttl(ttl)).expect("the bounds are allowed");
    }
    let queues = [
        bad_option(Rep::with(RepOptions::new().queue(0))),
        bad_option(Pub::with(PubOptions::new().queue(0))),
        bad_option(Sub::with(SubOptions::new().queue(0))),
        bad_option(Pull::with(PullOptions::new().queue(0))),
    ];
    for error in queues {
        assert_eq!((error.option, error.value.as_str()), ("queue", "0"));
        says(&error, &["queue", "1 or more"]);
    }
    let queue_bytes = [
        bad_option(Rep::with(RepOptions::new().queue_bytes(0))),
        bad_option(Pub::with(PubOptions::new().queue_bytes(0))),
        bad_option(Sub::with(SubOptions::new().queue_bytes(0))),
        bad_option(Pull::with(PullOptions::new().queue_bytes(0))),
    ];
    for error in queue_bytes {
        assert_eq!((error.option, error.value.as_str()), ("queue_bytes", "0"));
        says(&error, &["queue_bytes", "1 or more"]);
    }
    let error = bad_option(Req::with(ReqOptions::new().resend_time(Some(Duration::ZERO))));
    assert_eq!(error.option, "resend_time");
}

#[test]
fn a_message_above_the_limit_ends_the_connection_and_says_why() {
    for transport in [Transport::Tcp, Transport::Ipc] {
        let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
        let events = pull.events();
        let options = ListenOptions::new().recv_max(Some(1000));
        let listener = pull.listen_with(transport.url(), &options).expect("the address is free");
        push.dial(listener.endpoint()).expect("somebody listens");
        push.send_timeout(&support::pattern(1000)[..], DEADLINE)
            .expect("the receiver is connected");
        assert_eq!(pull.recv_timeout(DEADLINE).expect("the limit itself is allowed").len(), 1000);
        push.send_timeout(&support::pattern(1001)[..], DEADLINE).expect("this side has no limit");
        let closed =
            wait_event(&events, "the end", |event| matches!(event, PipeEvent::Closed { .. }));
        let PipeEvent::Closed { why, .. } = closed else {
            unreachable!("no other event was waited for")
        };
        assert_eq!(why, CloseReason::TooLong { announced: 1001, limit: 1000 }, "{transport:?}");
        says(&why, &["1001", "1000"]);
        // The dialer comes back, and what is within the limit passes.
        support::wait_connected(&events);
        push.send_timeout("short", DEADLINE).expect("connected again");
        assert_eq!(pull.recv_timeout(DEADLINE).expect("the message comes"), "short");
    }
}

#[test]
fn a_peer_that_sends_no_handshake_is_refused_and_the_next_is_served() {
    let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
    let events = pull.events();
    let listener = pull.listen(Transport::Tcp.url()).expect("the address is free");
    let port = listener.endpoint().port().expect("tcp has a port");
    let mut browser = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    browser.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("the connection is open");
    wait_event(&events, "the refusal", |event| {
        matches!(event, PipeEvent::Refused { why: CloseReason::BadHandshake { .. }, .. })
    });
    push.dial(listener.endpoint()).expect("the listener goes on");
}

#[test]
fn unsubscribing_what_was_not_subscribed_says_no() {
    let sub = Sub::new().expect("SUB opens");
    sub.subscribe("a");
    assert!(!sub.unsubscribe("b"));
    assert!(sub.unsubscribe("a"));
    assert!(!sub.unsubscribe("a"));
}

#[test]
fn errors_and_sockets_can_go_anywhere() {
    fn error<T: Error + Send + Sync + 'static>() {}
    fn socket<T: Clone + Send + Sync + 'static>() {}
    fn sent<T: Send + Sync + 'static>() {}

    error::<BadOption>();
    error::<CloseReason>();
    error::<DialError>();
    error::<EndpointError>();
    error::<ListenError>();
    error::<OpenError>();
    error::<RecvError>();
    error::<SendError>();
    error::<TryRecvError>();
    error::<TrySendError>();
    socket::<Req>();
    socket::<Rep>();
    socket::<Pub>();
    socket::<Sub>();
    socket::<Push>();
    socket::<Pull>();
    sent::<sp::Message>();
    sent::<sp::Dialer>();
    sent::<sp::Listener>();
    sent::<PipeEvent>();
}

#[test]
fn errors_turn_into_io_errors_of_the_right_kind() {
    let push = Push::new().expect("PUSH opens");
    let timed_out = push.send_timeout("work", Duration::ZERO).expect_err("nobody is connected");
    assert_eq!(std::io::Error::from(timed_out).kind(), std::io::ErrorKind::TimedOut);
    let clone = push.clone();
    push.close();
    let closed = clone.send("work").expect_err("the socket is closed");
    assert_eq!(std::io::Error::from(closed).kind(), std::io::ErrorKind::NotConnected);
}

/// An error's words, and that it is one line without a full stop, as all are.
fn says(error: &dyn Error, words: &[&str]) {
    let said = error.to_string();
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
    assert!(!said.ends_with('.') && !said.contains('\n'), "not in the style of all errors: {said}");
}

fn bad_option<E: sp_protocols::engine::Engine>(opened: Result<Socket<E>, OpenError>) -> BadOption {
    match opened {
        Err(OpenError::Option(bad)) => bad,
        other => panic!("the option is out of range: {other:?}"),
    }
}

fn error_url(error: &ListenError) -> &str {
    match error {
        ListenError::InUse { url } => url,
        other => panic!("{other:?}"),
    }
}
