use sp::{CloseReason, Pair, Pair1, Pair1Options, Pair1Poly, PeerId, ProtocolId, TrySendError};
use sp_protocols::engine::{self, SendEngine};

use crate::shared::{Transport, connect, pattern};
use crate::support::{
    DEADLINE, Raw, Scene, Wire, alone, any_closed, assert_lacks, connected, recv, refused,
};

type Poly = Scene<engine::Pair1Poly>;

const BAD: CloseReason = CloseReason::BadHeader { protocol: ProtocolId::PAIR1 };

fn came(hops: u32, body: &str) -> Vec<u8> {
    [&hops.to_be_bytes()[..], body.as_bytes()].concat()
}

/// sp-wire 8.13 item 144
#[test]
fn a_message_leaves_with_one_hop() {
    for wire in Wire::BOTH {
        let pair = Pair1::new().unwrap();
        let events = pair.events();
        let listener = pair.listen(wire.url()).unwrap();
        let mut peer = Raw::dial(listener.endpoint());
        assert_eq!(peer.shake(ProtocolId::PAIR1), *b"\0SP\0\0\x11\0\0");
        connected(&events);
        pair.send("hi").unwrap();
        let frame = wire.frame(&[0, 0, 0, 1, b'h', b'i']);
        assert_eq!(peer.read(frame.len()), frame);
        pair.send("").unwrap();
        assert_eq!(peer.message(), [0, 0, 0, 1]);
    }
}

/// sp-wire 8.13 item 145: a message that k devices have passed comes with k + 1, so seven pass and eight do not (item
/// 148)
#[test]
fn hops_up_to_the_limit_are_delivered_and_more_are_dropped() {
    for wire in Wire::BOTH {
        let scene = Poly::new(wire);
        let (mut peer, id) = scene.peer();
        for hops in 0..=8 {
            peer.send_message(&came(hops, "near"));
            let msg = recv(&scene.socket);
            assert_eq!((msg.as_str(), msg.source()), (Ok("near"), Some(id)), "{hops} hops");
        }
        for hops in [9, 10, 0x7F, 0xFE, 0xFF] {
            peer.send_message(&came(hops, "far"));
        }
        peer.send_message(&came(1, "still here"));
        assert_eq!(recv(&scene.socket), "still here");
        assert_eq!(scene.socket.stats().get("hop_limit"), Some(5));
        scene.bystander_works();
    }
}

/// sp-wire 8.13 item 145, and item 170 on the range
#[test]
fn the_limit_can_be_set() {
    for wire in Wire::BOTH {
        let pair = Pair1::with(Pair1Options::new().ttl(1)).unwrap();
        let events = pair.events();
        let listener = pair.listen(wire.url()).unwrap();
        let mut peer = Raw::dial(listener.endpoint());
        peer.shake(ProtocolId::PAIR1);
        connected(&events);
        for (hops, body) in [(2, "far"), (1, "near")] {
            peer.send_message(&came(hops, body));
        }
        assert_eq!(recv(&pair), "near");
    }
    for ttl in [0, 16] {
        assert!(Pair1::with(Pair1Options::new().ttl(ttl)).is_err());
    }
}

/// sp-wire 8.13 items 145 and 146
#[test]
fn a_malformed_header_closes_its_sender_alone() {
    for wire in Wire::BOTH {
        let scene = Poly::new(wire);
        for len in 0..4 {
            assert_eq!(scene.closes(&wire.frame(&vec![0; len])), BAD, "{len} bytes");
        }
        for hops in [0x100, 0x0001_0001, 0x0100_0000, u32::MAX] {
            assert_eq!(scene.closes(&wire.frame(&came(hops, "body"))), BAD, "{hops:#x}");
        }
        assert!(scene.socket.try_recv().is_err(), "nothing of it is delivered");
    }
}

/// sp-wire 8.13 items 145 and 146
#[test]
fn after_a_malformed_header_the_next_peer_is_let_in() {
    for wire in Wire::BOTH {
        let pair = Pair1::new().unwrap();
        let events = pair.events();
        let listener = pair.listen(wire.url()).unwrap();
        let mut bad = Raw::dial(listener.endpoint());
        bad.shake(ProtocolId::PAIR1);
        connected(&events);
        bad.send(&[wire.frame(&came(1, "good")), wire.frame(b"bad")].concat());
        assert_eq!(any_closed(&events), BAD);
        assert!(bad.rest().is_empty());
        assert_eq!(recv(&pair), "good", "what came before it is delivered");
        let next = Pair1::new().unwrap();
        next.dial(listener.endpoint()).unwrap();
        next.send_timeout("better", DEADLINE).unwrap();
        assert_eq!(recv(&pair), "better");
    }
}

/// sp-wire 8.13 item 147
#[test]
fn a_message_of_four_bytes_is_delivered_as_empty() {
    for wire in Wire::BOTH {
        let scene = Poly::new(wire);
        let (mut peer, id) = scene.peer();
        peer.send_message(&[0, 0, 0, 1]);
        let msg = recv(&scene.socket);
        assert_eq!((msg.len(), msg.source()), (0, Some(id)));
        scene.bystander_works();
    }
}

/// sp-wire 8.13 item 150
#[test]
fn each_peer_gets_what_is_addressed_to_it_with_one_hop() {
    for wire in Wire::BOTH {
        let scene = Poly::new(wire);
        let (mut a, of_a) = scene.peer();
        let (mut b, of_b) = scene.peer();
        for (peer, body) in [(of_b, "b1"), (of_a, "a1"), (of_b, "b2")] {
            scene.socket.send_to(peer, body).unwrap();
        }
        assert_eq!(a.message(), came(1, "a1"));
        assert_eq!(b.message(), came(1, "b1"));
        assert_eq!(b.message(), came(1, "b2"));
        for (raw, peer) in [(&mut b, of_b), (&mut a, of_a)] {
            raw.send_message(&came(0, "who am I?"));
            assert_eq!(recv(&scene.socket).source(), Some(peer));
        }
        scene.bystander_works();
    }
}

/// sp-wire 8.13 item 150
#[test]
fn a_message_to_a_peer_that_is_gone_comes_back() {
    for wire in Wire::BOTH {
        let scene = Poly::new(wire);
        let (raw, gone) = scene.peer();
        drop(raw);
        scene.closed(gone);
        gives_back(&scene.socket, gone);
        // One that takes its place is somebody else.
        let (_raw, next) = scene.peer();
        assert_ne!(next, gone);
        gives_back(&scene.socket, gone);
        scene.bystander_works();
    }
}

fn gives_back(poly: &Pair1Poly, gone: PeerId) {
    match poly.send_to(gone, "hello?").unwrap_err() {
        TrySendError::PeerGone { protocol: ProtocolId::PAIR1, message } => {
            assert_eq!(message, "hello?");
            assert!(message.header().is_empty());
        }
        other => panic!("{other}"),
    }
}

/// sp-wire 8.13 item 150, section 6: best effort
#[test]
fn a_slow_peer_is_refused_more_and_holds_up_nobody() {
    let _turn = alone();
    for wire in Wire::BOTH {
        let scene = Poly::new(wire);
        let (mut slow, peer) = scene.peer();
        let body = pattern(64 << 10);
        let mut sent = 0;
        let full = loop {
            match scene.socket.send_to(peer, &body[..]) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert!(full.is_full(), "{full}");
        assert!(full.into_message() == body[..], "the message comes back");
        scene.bystander_works();
        for _ in 0..sent {
            assert!(slow.message()[4..] == body);
        }
        scene.socket.send_to(peer, "there is room again").unwrap();
        assert_eq!(slow.message(), came(1, "there is room again"));
    }
}

/// sp-wire 8.13 item 150: who talks with one that is polyamorous cannot tell
#[test]
fn a_polyamorous_socket_talks_with_many_over_every_transport() {
    let poly = Pair1Poly::new().unwrap();
    let others = Transport::ALL.map(|transport| {
        let other = Pair1::new().unwrap();
        let listener = connect(transport, &poly, &other);
        (other, listener)
    });
    for (n, (other, _)) in others.iter().enumerate() {
        other.send_timeout(n.to_string(), DEADLINE).unwrap();
    }
    for _ in &others {
        let msg = recv(&poly);
        poly.send_to(msg.source().unwrap(), msg).unwrap();
    }
    for (n, (other, _)) in others.iter().enumerate() {
        assert_eq!(recv(other), n.to_string());
    }
}

/// sp-wire 8.13 item 150: a plain send would have to guess
#[test]
fn a_polyamorous_socket_has_no_send_without_an_address() {
    assert_lacks!(engine::Pair1Poly: SendEngine);
}

/// sp-wire section 1: the versions never match each other
#[test]
fn a_pair_and_a_pair1_refuse_each_other() {
    for transport in Transport::ALL {
        let host = Pair::new().unwrap();
        let events = host.events();
        let listener = host.listen_with(transport.url(), &transport.listen_options()).unwrap();
        let options = transport.dial_options();
        let error = Pair1::new().unwrap().dial_with(listener.endpoint(), &options).unwrap_err();
        // Over WebSocket the listener answers 400, as to anything else that it does not understand.
        let answered = error.to_string().contains("the HTTP status 400");
        assert!(error.is_wrong_protocol() || transport.is_web() && answered, "{error}");
        let wrong =
            CloseReason::WrongProtocol { got: ProtocolId::PAIR1, wanted: ProtocolId::PAIR0 };
        assert_eq!(refused(&events), wrong);
    }
}
