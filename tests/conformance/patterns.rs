use sp::{CloseReason, ListenOptions, Message, ProtocolId, Socket};
use sp_protocols::engine::{self, Engine, RecvEngine, SendEngine};

use crate::handshake::not_a_handshake;
use crate::shared::pattern;
use crate::support::{
    Raw, Wire, any_closed, connected, eager, handshake, next_event, recv, refused, split, unique,
};

/// What a scripted peer says to a pattern that receives.
trait Hears: RecvEngine {
    /// A whole message with this body, as it comes in.
    fn payload(socket: &Socket<Self>, peer: &mut Raw, body: &[u8]) -> Vec<u8>;
}

impl Hears for engine::Pair {
    fn payload(_pair: &Socket<Self>, _peer: &mut Raw, body: &[u8]) -> Vec<u8> {
        body.to_vec()
    }
}

impl Hears for engine::Pair1 {
    fn payload(_pair: &Socket<Self>, _peer: &mut Raw, body: &[u8]) -> Vec<u8> {
        [&[0, 0, 0, 1], body].concat()
    }
}

impl Hears for engine::Pair1Poly {
    fn payload(_pair: &Socket<Self>, _peer: &mut Raw, body: &[u8]) -> Vec<u8> {
        [&[0, 0, 0, 1], body].concat()
    }
}

impl Hears for engine::Surveyor {
    fn payload(surveyor: &Socket<Self>, peer: &mut Raw, body: &[u8]) -> Vec<u8> {
        surveyor.send("?").expect("a survey is always sent");
        let (id, _) = split(&peer.message());
        [&id.to_be_bytes(), body].concat()
    }
}

impl Hears for engine::Respondent {
    fn payload(_respondent: &Socket<Self>, _peer: &mut Raw, body: &[u8]) -> Vec<u8> {
        [&[0x80, 0, 0, 1], body].concat()
    }
}

impl Hears for engine::Bus {
    fn payload(_bus: &Socket<Self>, _peer: &mut Raw, body: &[u8]) -> Vec<u8> {
        body.to_vec()
    }
}

impl Hears for engine::Star {
    fn payload(_star: &Socket<Self>, _peer: &mut Raw, body: &[u8]) -> Vec<u8> {
        [&[0, 0, 0, 0], body].concat()
    }
}

/// Runs a scene for each of these patterns, over tcp and ipc.
macro_rules! for_each_pattern {
    ($scene:ident) => {
        for wire in Wire::BOTH {
            $scene::<engine::Pair>(wire);
            $scene::<engine::Pair1>(wire);
            $scene::<engine::Pair1Poly>(wire);
            $scene::<engine::Surveyor>(wire);
            $scene::<engine::Respondent>(wire);
            $scene::<engine::Bus>(wire);
            $scene::<engine::Star>(wire);
        }
    };
}

/// sp-wire 8.1 items 5 to 14, 18 and 19
#[test]
fn every_pattern_turns_a_wrong_handshake_away_and_takes_the_next_that_is_right() {
    fn scene<E: Hears>(wire: Wire) {
        let socket = Socket::<E>::new().unwrap();
        let events = socket.events();
        let listener = socket.listen(wire.url()).unwrap();
        let cases = not_a_handshake(E::SELF, E::PEER);
        let count = cases.len() as u64;
        for (name, bytes, why) in cases {
            let mut stranger = Raw::dial(listener.endpoint());
            stranger.send_in_vain(&bytes);
            assert_eq!(refused(&events), why, "{name} to {:?}", E::SELF);
            stranger.rest();
        }
        assert_eq!(socket.stats().get("refused"), Some(count), "each is counted");
        let mut right = Raw::dial(listener.endpoint());
        assert_eq!(right.shake(E::PEER), handshake(E::SELF));
        connected(&events);
        let payload = E::payload(&socket, &mut right, b"the right one");
        right.send_message(&payload);
        assert_eq!(recv(&socket), "the right one");
    }
    for_each_pattern!(scene);
}

/// sp-wire 8.1 item 3, 8.2 items 22 and 24 to 26, and 8.3 item 41
#[test]
fn every_pattern_reads_what_comes_in_pieces_and_what_comes_at_once() {
    fn scene<E: Hears>(wire: Wire) {
        let socket = Socket::<E>::new().unwrap();
        let events = socket.events();
        let listener = socket.listen(wire.url()).unwrap();
        let mut peer = Raw::dial(listener.endpoint());
        handshake(E::PEER).iter().for_each(|byte| peer.send(&[*byte]));
        assert_eq!(peer.read(8), handshake(E::SELF));
        connected(&events);
        let large = pattern(70_000);
        for body in [b"", &b"a few bytes"[..], &large] {
            let frame = wire.frame(&E::payload(&socket, &mut peer, body));
            let (first, rest) = frame.split_at(40.min(frame.len()));
            first.iter().for_each(|byte| peer.send(&[*byte]));
            rest.chunks(7001).for_each(|piece| peer.send(piece));
            assert!(recv(&socket) == body, "{} bytes to {:?}", body.len(), E::SELF);
        }
        let header = E::payload(&socket, &mut peer, b"");
        let numbers = 0..100_u32;
        let framed = |n: u32| wire.frame(&[&header[..], &n.to_be_bytes()].concat());
        peer.send(&numbers.clone().flat_map(framed).collect::<Vec<u8>>());
        for n in numbers {
            assert_eq!(recv(&socket), n.to_be_bytes());
        }
    }
    for_each_pattern!(scene);
}

/// sp-wire 8.2 items 28, 30, 31, 33 and 34
#[test]
fn every_pattern_closes_whoever_breaks_a_frame_and_takes_the_next_peer() {
    fn scene<E: Hears>(wire: Wire) {
        const LIMIT: u64 = 1000;
        let socket = Socket::<E>::new().unwrap();
        let events = socket.events();
        let options = ListenOptions::new().recv_max(Some(LIMIT));
        let listener = socket.listen_with(wire.url(), &options).unwrap();
        let too_long = |announced| CloseReason::TooLong { announced, limit: LIMIT };
        let whole = wire.frame(b"never to be seen");
        let cases = [
            (wire.head(LIMIT + 1), too_long(LIMIT + 1)),
            (wire.head(u64::MAX), too_long(u64::MAX)),
            (wire.head(i64::MAX as u64), too_long(i64::MAX as u64)),
            (whole[..3].to_vec(), CloseReason::Truncated),
            (whole[..whole.len() - 1].to_vec(), CloseReason::Truncated),
        ];
        for (bytes, why) in cases {
            let mut offender = Raw::dial(listener.endpoint());
            offender.shake(E::PEER);
            connected(&events);
            offender.send_in_vain(&bytes);
            offender.finish();
            assert_eq!(any_closed(&events), why, "{:?}", E::SELF);
            offender.rest();
        }
        let mut good = Raw::dial(listener.endpoint());
        good.shake(E::PEER);
        connected(&events);
        let payload = E::payload(&socket, &mut good, b"whole");
        good.send_message(&payload);
        assert_eq!(recv(&socket), "whole");
    }
    for_each_pattern!(scene);
}

/// sp-wire 8.4 items 52 and 54
#[test]
fn every_pattern_refuses_what_it_does_not_talk_to_within_the_process_and_waits_for_what_it_does() {
    fn scene<E: Engine, F: Engine>(says: impl Fn(&Socket<E>), hears: impl Fn(&Socket<F>)) {
        let url = format!("inproc://{}", unique());
        let (here, there) = (Socket::<E>::new().unwrap(), Socket::<F>::new().unwrap());
        let (at_here, at_there) = (here.events(), there.events());
        assert!(there.dial(&url).unwrap_err().is_refused());
        there.dial_with(&url, &eager()).unwrap();
        here.listen(&url).unwrap();
        let stranger = sp::Pull::new().unwrap();
        assert!(stranger.dial(&url).unwrap_err().is_wrong_protocol());
        let mut events =
            [at_here, at_there].map(|events| std::iter::from_fn(move || Some(next_event(&events))));
        for events in &mut events {
            let is_connected = |event| matches!(event, sp::PipeEvent::Connected { .. });
            assert!(events.any(is_connected));
        }
        says(&here);
        hears(&there);
    }
    fn equals<E: SendEngine + RecvEngine>() {
        scene::<E, E>(|here| here.send("hi").unwrap(), |there| assert_eq!(recv(there), "hi"));
    }
    equals::<engine::Pair>();
    equals::<engine::Pair1>();
    equals::<engine::Bus>();
    equals::<engine::Star>();
    scene::<engine::Pair1Poly, engine::Pair1>(
        |poly| poly.send_to(poly.peers()[0], Message::from("hi")).unwrap(),
        |pair| assert_eq!(recv(pair), "hi"),
    );
    scene::<engine::Surveyor, engine::Respondent>(
        |surveyor| surveyor.send("hi").unwrap(),
        |respondent| assert_eq!(recv(respondent), "hi"),
    );
}

/// What is right for the one is wrong for the other: sp-wire 8.1 item 12
#[test]
fn the_two_versions_of_pair_turn_each_other_away() {
    fn scene<E: Hears>(wire: Wire, other: ProtocolId) {
        let socket = Socket::<E>::new().unwrap();
        let events = socket.events();
        let listener = socket.listen(wire.url()).unwrap();
        let mut stranger = Raw::dial(listener.endpoint());
        stranger.send_in_vain(&handshake(other));
        let why = CloseReason::WrongProtocol { got: other, wanted: E::PEER };
        assert_eq!(refused(&events), why);
    }
    for wire in Wire::BOTH {
        scene::<engine::Pair>(wire, ProtocolId::PAIR1);
        scene::<engine::Pair1>(wire, ProtocolId::PAIR0);
        scene::<engine::Pair1Poly>(wire, ProtocolId::PAIR0);
    }
}
