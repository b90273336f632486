//! WebSocket through the public API: listeners that share a port, and what their URLs mean.

use sp::{Endpoint, ListenError, ListenOptions, Pub, Pull, Push, Rep, Req, Sub};
use support::{DEADLINE, Transport, pattern, wait_connected};

mod support;

#[test]
fn sockets_share_a_port_by_their_paths() {
    let (pull, rep) = (Pull::new().expect("a socket"), Rep::new().expect("a socket"));
    let first = pull.listen("ws://127.0.0.1:0/work").expect("a free port");
    let port = first.endpoint().port().expect("a port");
    let second = rep.listen(format!("ws://127.0.0.1:{port}/questions")).expect("a free path");
    assert_eq!(second.endpoint().port(), Some(port));

    let (push, req) = (Push::new().expect("a socket"), Req::new().expect("a socket"));
    push.dial(format!("ws://127.0.0.1:{port}/work/?query")).expect("a PULL listens");
    req.dial(format!("ws://127.0.0.1:{port}//./questions")).expect("a REP listens");
    push.send_timeout("work", DEADLINE).expect("the PULL has room");
    assert_eq!(pull.recv_timeout(DEADLINE).expect("work"), "work");
    req.send_timeout("question", DEADLINE).expect("the REP has room");
    assert_eq!(rep.recv_timeout(DEADLINE).expect("a question"), "question");

    let nobody = Push::new().expect("a socket").dial(format!("ws://127.0.0.1:{port}/nobody"));
    assert!(nobody.expect_err("nobody has this path").is_refused());
    let taken = Pull::new().expect("a socket").listen(format!("ws://127.0.0.1:{port}/work/"));
    assert!(taken.expect_err("the path is taken").is_in_use());
    let other_transport = Pull::new().expect("a socket").listen(format!("tcp://127.0.0.1:{port}"));
    assert!(matches!(other_transport, Err(ListenError::InUse { .. })));
}

#[test]
fn a_shared_port_lives_as_long_as_any_of_its_listeners() {
    let (one, other) = (Pull::new().expect("a socket"), Pull::new().expect("a socket"));
    let first = one.listen("ws://127.0.0.1:0/one").expect("a free port");
    let port = first.endpoint().port().expect("a port");
    other.listen(format!("ws://127.0.0.1:{port}/other")).expect("a free path");
    one.close();
    let push = Push::new().expect("a socket");
    for _ in 0..10 {
        let push = Push::new().expect("a socket");
        push.dial(format!("ws://127.0.0.1:{port}/other")).expect("the other listens on");
    }
    let gone = push.dial(format!("ws://127.0.0.1:{port}/one"));
    assert!(gone.expect_err("its listener has closed").is_refused());
    let again = Pull::new().expect("a socket");
    again.listen(format!("ws://127.0.0.1:{port}/one")).expect("the path is free again");
    push.dial(format!("ws://127.0.0.1:{port}/one")).expect("somebody else listens");

    again.close();
    other.close();
    let tcp = Pull::new().expect("a socket");
    tcp.listen(format!("tcp://127.0.0.1:{port}")).expect("the port is free again");
}

#[test]
fn a_limit_of_connections_counts_those_of_its_path() {
    let (full, free) = (Pull::new().expect("a socket"), Pull::new().expect("a socket"));
    let one = ListenOptions::new().connections_max(Some(1));
    let first = full.listen_with("ws://127.0.0.1:0/full", &one).expect("a free port");
    let port = first.endpoint().port().expect("a port");
    free.listen(format!("ws://127.0.0.1:{port}/free")).expect("a free path");
    let events = full.events();
    let push = Push::new().expect("a socket");
    push.dial(first.endpoint()).expect("room for one");
    wait_connected(&events);
    let pushes = [(); 3].map(|()| {
        let push = Push::new().expect("a socket");
        push.dial(format!("ws://127.0.0.1:{port}/free")).expect("no limit here");
        push
    });
    // It has its answer before it is turned away, and comes again in vain.
    let late = Push::new().expect("a socket");
    late.dial(first.endpoint()).expect("the upgrade goes through");
    let refused = support::wait_event(&events, "a refusal", |event| {
        matches!(event, sp::PipeEvent::Refused { why: sp::CloseReason::TooMany { limit: 1 }, .. })
    });
    drop((refused, pushes));
    assert_eq!(full.peers().len(), 1);
}

#[test]
fn broadcasts_of_any_size_reach_both_who_dials_and_who_listens() {
    let publisher = Pub::new().expect("a socket");
    let (near, far) = (Sub::new().expect("a socket"), Sub::new().expect("a socket"));
    near.subscribe("");
    far.subscribe("");
    let events = publisher.events();
    let listener = publisher.listen(Transport::Ws.url()).expect("a free port");
    near.dial(listener.endpoint()).expect("the PUB listens");
    let at = far.listen(Transport::Ws.url()).expect("a free port");
    publisher.dial(at.endpoint()).expect("the SUB listens");
    wait_connected(&events);
    wait_connected(&events);
    for len in [0, 1, 125, 126, 65_535, 65_536, (1 << 20) + 1, 5 << 20] {
        let body = pattern(len);
        publisher.send(&body[..]).expect("a PUB always sends");
        for sub in [&near, &far] {
            let got = sub.recv_timeout(DEADLINE).expect("news");
            assert!(got == body[..], "{len} bytes");
        }
    }
}

#[test]
fn a_listeners_url_names_its_port_and_path() {
    let pull = Pull::new().expect("a socket");
    let listener = pull.listen("ws://127.0.0.1:0/a/../b%7e?c").expect("a free port");
    let port = listener.endpoint().port().expect("a port");
    assert_eq!(listener.endpoint().to_string(), format!("ws://127.0.0.1:{port}/b~?c"));
    let wildcard: Endpoint = "ws://*:80/".parse().expect("a URL");
    assert!(Push::new().expect("a socket").dial(&wildcard).is_err());
}
