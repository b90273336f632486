use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use sp::{
    AttachError, CloseReason, DialError, EndpointError, ListenError, PipeEvent, ProtocolId, Pull,
    Push,
};

use crate::support::{connected, eager, handshake, next_event, recv, refused};

/// sp-wire 8.7 item 90
#[test]
fn two_listeners_talk_over_a_connected_pair_framed_as_on_tcp() {
    let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
    let (one, other) = UnixStream::pair().unwrap();
    push.listen("socket://").unwrap().attach(one).unwrap();
    pull.listen("socket://").unwrap().attach(other).unwrap();
    for body in ["", "over a pair"] {
        push.send(body).unwrap();
        assert_eq!(recv(&pull), body);
    }
    // To the byte: no type octet, though the descriptor is a local one.
    let (one, mut wire) = UnixStream::pair().unwrap();
    let pull = Pull::new().unwrap();
    pull.listen("socket://").unwrap().attach(one).unwrap();
    let mut greeting = [0; 8];
    wire.read_exact(&mut greeting).unwrap();
    assert_eq!(greeting, handshake(ProtocolId::PULL));
    wire.write_all(&handshake(ProtocolId::PUSH)).unwrap();
    wire.write_all(b"\0\0\0\0\0\0\0\x05hello").unwrap();
    assert_eq!(recv(&pull), "hello");
}

/// sp-wire 8.7 item 91. There is no option to read: descriptors are handed in by a call.
#[test]
fn a_url_for_descriptors_is_for_listeners_and_has_nothing_behind_it() {
    let pull = Pull::new().unwrap();
    let is_address = |error: &EndpointError| matches!(error, EndpointError::Address { .. });
    let refused = pull.listen("socket://x");
    assert!(matches!(&refused, Err(ListenError::Endpoint(error)) if is_address(error)));
    let refused = pull.dial_with("socket://", &eager());
    assert!(matches!(&refused, Err(DialError::Endpoint(error)) if is_address(error)));

    let (one, other) = UnixStream::pair().unwrap();
    let refused = pull.listen("tcp://127.0.0.1:0").unwrap().attach(one);
    assert!(matches!(refused, Err(AttachError::NotForDescriptors { .. })), "{refused:?}");
    let listener = pull.listen("socket://").unwrap();
    let refused = listener.attach(std::fs::File::open("/dev/null").unwrap());
    assert!(matches!(refused, Err(AttachError::NotAStream)), "{refused:?}");
    pull.close();
    let refused = listener.attach(other);
    assert!(matches!(refused, Err(AttachError::Closed)), "{refused:?}");
}

/// sp-wire 8.7 item 92
#[test]
fn garbage_on_a_descriptor_ends_that_connection_alone_and_closes_it() {
    let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
    let events = pull.events();
    let listener = pull.listen("socket://").unwrap();
    let (one, other) = UnixStream::pair().unwrap();
    listener.attach(one).unwrap();
    let good = push.listen("socket://").unwrap();
    good.attach(other).unwrap();
    connected(&events);
    let goes_on = |body: &str| {
        push.send(body).unwrap();
        assert_eq!(recv(&pull), body);
    };

    let (one, mut stranger) = UnixStream::pair().unwrap();
    listener.attach(one).unwrap();
    stranger.write_all(b"GET / HT").unwrap();
    assert!(matches!(refused(&events), CloseReason::BadHandshake { .. }));
    let mut rest = Vec::new();
    stranger.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, handshake(ProtocolId::PULL), "closed behind our own words");
    goes_on("after a stranger");

    let (one, mut rogue) = UnixStream::pair().unwrap();
    listener.attach(one).unwrap();
    rogue.write_all(&handshake(ProtocolId::PUSH)).unwrap();
    connected(&events);
    rogue.write_all(&[0xff; 8]).unwrap();
    assert!(matches!(
        next_event(&events),
        PipeEvent::Closed { why: CloseReason::TooLong { .. }, .. }
    ));
    rogue.read_to_end(&mut rest).unwrap();
    goes_on("after a rogue");

    listener.close();
    assert!(matches!(next_event(&events), PipeEvent::Closed { why: CloseReason::Closed, .. }));
}
