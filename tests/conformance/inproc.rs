use std::io::ErrorKind;

use sp::{CloseReason, DialOptions, ListenOptions, PipeEvent, Pub, Pull, Push, Rep, Req, Sub};

use crate::support::{any_closed, connected, eager, next_event, recv, refused, unique};

/// sp-wire 8.4 item 51
#[test]
fn names_match_byte_for_byte() {
    let name = unique();
    let names = [
        format!("inproc://{name}"),
        format!("inproc://{}", name.to_uppercase()),
        format!("inproc://{name}/"),
        format!("inproc://{name}?a b#%41"),
        "inproc://".to_owned(),
    ];
    let pulls = names.each_ref().map(|name| {
        let pull = Pull::new().unwrap();
        pull.listen(name).unwrap();
        pull
    });
    for (name, pull) in names.iter().zip(&pulls) {
        let push = Push::new().unwrap();
        push.dial(name).unwrap();
        push.send(name.as_str()).unwrap();
        assert_eq!(recv(pull), name.as_str());
    }
}

/// sp-wire 8.4 item 52
#[test]
fn a_dial_without_a_listener_is_refused_or_tried_again() {
    let url = format!("inproc://{}", unique());
    let push = Push::new().unwrap();
    let error = push.dial(&url).unwrap_err();
    assert!(error.is_refused(), "{error}");

    let events = push.events();
    push.dial_with(&url, &eager()).unwrap();
    assert_eq!(refused(&events), CloseReason::Io(ErrorKind::ConnectionRefused));
    let pull = Pull::new().unwrap();
    pull.listen(&url).unwrap();
    push.send("there now").unwrap();
    assert_eq!(recv(&pull), "there now");
}

/// sp-wire 8.4 item 53
#[test]
fn a_name_has_one_listener_and_is_free_when_that_closes() {
    let url = format!("inproc://{}", unique());
    let (first, second) = (Pull::new().unwrap(), Pull::new().unwrap());
    let listener = first.listen(&url).unwrap();
    assert!(second.listen(&url).unwrap_err().is_in_use());
    assert!(first.listen(&url).unwrap_err().is_in_use(), "for its own socket as well");
    listener.close();
    second.listen(&url).unwrap();
    second.close();
    first.listen(&url).unwrap();
}

/// sp-wire 8.4 item 54
#[test]
fn patterns_that_do_not_belong_together_are_refused_on_both_sides() {
    let url = format!("inproc://{}", unique());
    let (pull, req) = (Pull::new().unwrap(), Req::new().unwrap());
    let (at_pull, at_req) = (pull.events(), req.events());
    pull.listen(&url).unwrap();
    let error = req.dial(&url).unwrap_err();
    assert!(error.is_wrong_protocol(), "{error}");
    for (events, socket_stats) in [(at_pull, pull.stats()), (at_req, req.stats())] {
        assert!(matches!(refused(&events), CloseReason::WrongProtocol { .. }));
        assert_eq!(socket_stats.get("refused"), Some(1));
        assert_eq!(socket_stats.get("peers"), Some(0));
    }
    let push = Push::new().unwrap();
    push.dial(&url).unwrap();
    push.send("the right one").unwrap();
    assert_eq!(recv(&pull), "the right one");
}

/// sp-wire 8.4 item 54: in the background the dialer tries on
#[test]
fn a_mismatched_dialer_is_refused_again_and_again() {
    let url = format!("inproc://{}", unique());
    let (publisher, rep) = (Pub::new().unwrap(), Rep::new().unwrap());
    let events = publisher.events();
    publisher.listen(&url).unwrap();
    rep.dial_with(&url, &eager()).unwrap();
    for _ in 0..3 {
        assert!(matches!(refused(&events), CloseReason::WrongProtocol { .. }));
    }
}

/// sp-wire 8.4 item 56
#[test]
fn a_receiver_changes_its_copy_alone() {
    // Below and above the size that lies inside a message.
    for size in [5, 5000] {
        let url = format!("inproc://{}", unique());
        let publisher = Pub::new().unwrap();
        let events = publisher.events();
        publisher.listen(&url).unwrap();
        let subs = [(); 3].map(|()| {
            let sub = Sub::new().unwrap();
            sub.subscribe("");
            sub.dial(&url).unwrap();
            connected(&events);
            sub
        });
        let body = vec![b'o'; size];
        publisher.send(body.clone()).unwrap();
        let mut changed = recv(&subs[0]);
        changed.body_mut().fill(b'x');
        changed.append(b"and more");
        for sub in &subs[1..] {
            assert_eq!(recv(sub), body);
        }
        publisher.send(body.clone()).unwrap();
        assert_eq!(recv(&subs[0]), body);
    }
}

/// sp-wire 8.4 item 57
#[test]
fn a_listener_that_closes_ends_its_pipes() {
    let url = format!("inproc://{}", unique());
    let (pull, push) = (Pull::new().unwrap(), Push::new().unwrap());
    let (at_pull, at_push) = (pull.events(), push.events());
    let listener = pull.listen_with(&url, &ListenOptions::new()).unwrap();
    push.dial_with(&url, &DialOptions::new()).unwrap();
    push.send("one").unwrap();
    assert_eq!(recv(&pull), "one");
    listener.close();
    assert_eq!(any_closed(&at_pull), CloseReason::Closed);
    assert_eq!(any_closed(&at_push), CloseReason::PeerClosed);
    // The dialer comes back when the name does.
    assert_eq!(refused(&at_push), CloseReason::Io(ErrorKind::ConnectionRefused));
    pull.listen(&url).unwrap();
    while !matches!(next_event(&at_push), PipeEvent::Connected { .. }) {}
    push.send("two").unwrap();
    assert_eq!(recv(&pull), "two");
}
