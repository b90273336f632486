use std::thread;
use std::time::Duration;

use sp::{CloseReason, DialError, ListenOptions, ProtocolId, Pull, Push, Req, Socket};
use sp_core::clock;
use sp_protocols::engine::{self, Engine};

use crate::shared::pattern;
use crate::support::{
    DEADLINE, Raw, RawListener, Scene, Wire, connected, eager, handshake, recv, refused,
};

/// sp-wire 8.1 items 1 and 2
#[test]
fn every_pattern_says_who_it_is_without_waiting_for_its_peer() {
    for wire in Wire::BOTH {
        says::<engine::Pub>(wire, [0x00, 0x53, 0x50, 0x00, 0x00, 0x20, 0x00, 0x00]);
        says::<engine::Sub>(wire, [0x00, 0x53, 0x50, 0x00, 0x00, 0x21, 0x00, 0x00]);
        says::<engine::Req>(wire, [0x00, 0x53, 0x50, 0x00, 0x00, 0x30, 0x00, 0x00]);
        says::<engine::Rep>(wire, [0x00, 0x53, 0x50, 0x00, 0x00, 0x31, 0x00, 0x00]);
        says::<engine::Push>(wire, [0x00, 0x53, 0x50, 0x00, 0x00, 0x50, 0x00, 0x00]);
        says::<engine::Pull>(wire, [0x00, 0x53, 0x50, 0x00, 0x00, 0x51, 0x00, 0x00]);
        says::<engine::Pair>(wire, [0x00, 0x53, 0x50, 0x00, 0x00, 0x10, 0x00, 0x00]);
        says::<engine::Pair1>(wire, [0x00, 0x53, 0x50, 0x00, 0x00, 0x11, 0x00, 0x00]);
        says::<engine::Surveyor>(wire, [0x00, 0x53, 0x50, 0x00, 0x00, 0x62, 0x00, 0x00]);
        says::<engine::Respondent>(wire, [0x00, 0x53, 0x50, 0x00, 0x00, 0x63, 0x00, 0x00]);
        says::<engine::Bus>(wire, [0x00, 0x53, 0x50, 0x00, 0x00, 0x70, 0x00, 0x00]);
        says::<engine::Star>(wire, [0x00, 0x53, 0x50, 0x00, 0x06, 0x40, 0x00, 0x00]);
    }
}

fn says<E: Engine>(wire: Wire, expected: [u8; 8]) {
    let socket = Socket::<E>::new().unwrap();
    let listener = socket.listen(wire.url()).unwrap();
    assert_eq!(Raw::dial(listener.endpoint()).read(8), expected, "listening");
    let host = RawListener::new(wire);
    socket.dial_with(host.url(), &eager()).unwrap();
    assert_eq!(host.accept().read(8), expected, "dialling");
}

/// sp-wire 8.1 item 3
#[test]
fn a_handshake_in_single_bytes_is_accepted() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Pull>::new(wire);
        let mut slow = scene.stranger();
        for byte in handshake(ProtocolId::PUSH) {
            // The bystander's exchange makes the worker come by between two bytes.
            scene.bystander_works();
            slow.send(&[byte]);
        }
        scene.connected();
        slow.send_message(b"at last");
        assert_eq!(recv(&scene.socket), "at last");
    }
}

/// sp-wire 8.1 item 4
#[test]
fn a_message_right_behind_the_handshake_is_delivered() {
    for wire in Wire::BOTH {
        let at_once = [&handshake(ProtocolId::PUSH)[..], &wire.frame(b"at once")].concat();
        let scene = Scene::<engine::Pull>::new(wire);
        let mut guest = scene.stranger();
        guest.send(&at_once);
        assert_eq!(recv(&scene.socket), "at once");

        let pull = Pull::new().unwrap();
        let host = RawListener::new(wire);
        pull.dial_with(host.url(), &eager()).unwrap();
        // Kept until the message is there: hanging up with the other handshake unread would reset the stream.
        let mut guest = host.accept();
        guest.send(&at_once);
        assert_eq!(recv(&pull), "at once");
    }
}

/// sp-wire 8.1 item 4, and 4.4: closing is closing the stream
#[test]
fn a_peer_that_says_everything_at_once_and_leaves_is_heard_and_seen_leaving() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Pull>::new(wire);
        // The sizes are on both sides of what gets a buffer of its own and of one read.
        for size in [0, 3, 1000, 40_000, 70_000].into_iter().cycle().take(25) {
            let body = pattern(size);
            let mut guest = scene.stranger();
            guest.send(&[&handshake(ProtocolId::PUSH)[..], &wire.frame(&body)].concat());
            guest.finish();
            let peer = scene.connected();
            assert_eq!(recv(&scene.socket), body);
            assert_eq!(scene.closed(peer), CloseReason::PeerClosed, "after {size} bytes");
            guest.rest();
        }
        scene.bystander_works();
    }
}

/// What is no handshake of the pattern `wanted`, which talks to `own`, and why it is refused.
pub(crate) fn not_a_handshake(
    own: ProtocolId,
    wanted: ProtocolId,
) -> Vec<(&'static str, Vec<u8>, CloseReason)> {
    let good = handshake(wanted);
    let garbage = |bytes: &[u8]| CloseReason::BadHandshake { got: *bytes.first_chunk().unwrap() };
    let changed = |at: usize, to: u8| {
        let mut bytes = good;
        bytes[at] = to;
        bytes.to_vec()
    };
    let mut cases = vec![
        ("item 7: version 1", changed(3, 1), CloseReason::BadVersion { got: 1 }),
        ("item 7: version 255", changed(3, 255), CloseReason::BadVersion { got: 255 }),
    ];
    let client_hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0x7a];
    for (name, bytes) in [
        ("item 5: first byte", changed(0, 1)),
        ("item 6: no S", changed(1, b's')),
        ("item 6: no P", changed(2, b'p')),
        ("item 8: byte 6", changed(6, 1)),
        ("item 9: byte 7", changed(7, 0x80)),
        ("item 18: HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("item 19: TLS", client_hello.to_vec()),
    ] {
        let why = garbage(&bytes);
        cases.push((name, bytes, why));
    }
    for (name, number) in [
        ("item 10: our own number", own),
        ("item 11: right major, wrong minor", ProtocolId(wanted.0 | 0x000f)),
        ("item 13: 0x1234", ProtocolId(0x1234)),
        ("item 13: 0x0000", ProtocolId(0x0000)),
        ("item 13: 0xffff", ProtocolId(0xffff)),
        ("item 14: little-endian", ProtocolId(wanted.0.swap_bytes())),
        ("another pattern", ProtocolId::REQ),
    ] {
        // Some talk to their own kind.
        if number != wanted {
            let why = CloseReason::WrongProtocol { got: number, wanted };
            cases.push((name, handshake(number).to_vec(), why));
        }
    }
    cases
}

/// sp-wire 8.1 items 5 to 11, 13, 14, 18 and 19
#[test]
fn a_stranger_with_a_wrong_handshake_is_turned_away_and_nobody_else_notices() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Pull>::new(wire);
        let cases = not_a_handshake(ProtocolId::PULL, ProtocolId::PUSH);
        let count = cases.len() as u64;
        for (name, bytes, why) in cases {
            assert_eq!(scene.turns_away(&bytes), why, "{name}");
        }
        assert_eq!(scene.socket.stats().get("refused"), Some(count), "each is counted");
    }
}

/// sp-wire 8.1 items 5 to 11, 13, 14, 18 and 19: the dialling side
#[test]
fn a_dialer_turns_away_a_wrong_host_and_tries_on_until_it_is_right() {
    for wire in Wire::BOTH {
        let pull = Pull::new().unwrap();
        let events = pull.events();
        let host = RawListener::new(wire);
        pull.dial_with(host.url(), &eager()).unwrap();
        for (name, bytes, why) in not_a_handshake(ProtocolId::PULL, ProtocolId::PUSH) {
            let mut wrong = host.accept();
            wrong.send_in_vain(&bytes);
            assert_eq!(refused(&events), why, "{name}");
            assert_eq!(wrong.rest(), handshake(ProtocolId::PULL), "{name}");
        }
        let mut right = host.accept();
        right.shake(ProtocolId::PUSH);
        connected(&events);
        right.send_message(b"there you are");
        assert_eq!(recv(&pull), "there you are");
    }
}

/// sp-wire 8.1 item 7, and quirk 2: the dial result says what was wrong
#[test]
fn a_dial_that_waits_fails_with_what_the_host_did_wrong() {
    let wanted = ProtocolId::REP;
    for (bytes, expected) in [
        (b"\0SP\x01\0\x31\0\0", CloseReason::BadVersion { got: 1 }),
        (b"SSH-2.0-", CloseReason::BadHandshake { got: *b"SSH-2.0-" }),
        (b"\0SP\0\0\x30\0\0", CloseReason::WrongProtocol { got: ProtocolId::REQ, wanted }),
    ] {
        let host = RawListener::new(Wire::Tcp);
        let url = host.url();
        let req = Req::new().unwrap();
        let dialled = thread::scope(|scope| {
            scope.spawn(|| {
                let mut wrong = host.accept();
                wrong.send(bytes);
                wrong.rest();
            });
            req.dial(url.as_str())
        });
        let Err(error @ DialError::Failed { .. }) = dialled else {
            panic!("the dial should fail, but: {dialled:?}");
        };
        assert_eq!(
            error.is_wrong_protocol(),
            matches!(expected, CloseReason::WrongProtocol { .. })
        );
        assert!(error.to_string().contains(&expected.to_string()), "{error}");
    }
}

/// sp-wire 8.1 item 15. With a pause of 100 ms for each bad client, as nng makes, no client after one would be quick.
#[test]
fn clients_that_hang_up_in_their_handshake_delay_nobody() {
    let scene = Scene::<engine::Pull>::new(Wire::Tcp);
    let hello = handshake(ProtocolId::PUSH);
    let delays = (0..200).map(|round| {
        let mut quitter = scene.stranger();
        quitter.read(8);
        quitter.send(&hello[..round % 8]);
        drop(quitter);
        assert_eq!(scene.refused(), CloseReason::Truncated, "after {} bytes", round % 8);
        let begun = clock::now();
        scene.newcomer_works();
        clock::now() - begun
    });
    // However busy the machine is, it is not in every one of them.
    let quick = delays.filter(|delay| *delay < Duration::from_millis(50)).count();
    assert!(quick >= 20, "{quick} of 200 were quick: the listener pauses");
    scene.bystander_works();
}

/// sp-wire 8.1 item 15 on ipc
#[test]
fn a_client_that_hangs_up_in_its_handshake_is_refused_on_ipc_as_well() {
    let scene = Scene::<engine::Pull>::new(Wire::Ipc);
    let hello = handshake(ProtocolId::PUSH);
    for said in 0..8 {
        let mut quitter = scene.stranger();
        quitter.send(&hello[..said]);
        quitter.finish();
        assert_eq!(scene.refused(), CloseReason::Truncated, "after {said} bytes");
        assert_eq!(quitter.rest().len(), 8);
        scene.newcomer_works();
    }
    scene.bystander_works();
}

/// sp-wire 8.1 item 16
#[test]
fn a_hundred_silent_clients_keep_nobody_out_and_go_when_their_time_is_up() {
    for wire in Wire::BOTH {
        let limit = ListenOptions::new().handshake_limit(Duration::from_secs(1));
        let scene = Scene::<engine::Pull>::with(wire, Default::default(), &limit);
        let mut silent: Vec<Raw> = (0..100).map(|_| scene.stranger()).collect();
        // All of them are accepted and introduced before the good peer comes.
        for client in &mut silent {
            client.read(8);
        }
        let push = Push::new().unwrap();
        push.dial(scene.listener.endpoint()).unwrap();
        push.send("not silent").unwrap();
        assert_eq!(recv(&scene.socket), "not silent");
        let mut timeouts = 0;
        while timeouts < silent.len() {
            match scene.event() {
                sp::PipeEvent::Connected { .. } => {}
                sp::PipeEvent::Refused { why: CloseReason::HandshakeTimeout, .. } => timeouts += 1,
                other => panic!("{other:?}"),
            }
        }
        for mut client in silent {
            client.rest();
        }
        scene.bystander_works();
        scene.newcomer_works();
    }
}

/// sp-wire 8.1 item 17
#[test]
fn a_handshake_that_trickles_in_gets_no_more_time_than_a_silent_one() {
    let limit = Duration::from_secs(1);
    let options = ListenOptions::new().handshake_limit(limit);
    let scene = Scene::<engine::Pull>::with(Wire::Tcp, Default::default(), &options);
    let hello = handshake(ProtocolId::PUSH);
    let mut slow = scene.stranger();
    slow.read(8);
    slow.send(&hello[..4]);
    // If each byte began the time anew, the end would come after the second more byte at the earliest.
    let mut more = 0;
    while !slow.ends_within(limit * 9 / 10) {
        slow.send_in_vain(&hello[4 + more..5 + more]);
        more += 1;
        assert!(more < 2, "the limit is for the whole handshake");
    }
    assert_eq!(scene.refused(), CloseReason::HandshakeTimeout);
    scene.newcomer_works();
}

/// sp-wire 8.1 items 16 and 10 for dialers: a host that says nothing is left and dialled again
#[test]
fn a_dialer_leaves_a_silent_host_and_tries_again() {
    for wire in Wire::BOTH {
        let push = Push::new().unwrap();
        let events = push.events();
        let host = RawListener::new(wire);
        let options = eager().handshake_limit(Duration::from_millis(50));
        push.dial_with(host.url(), &options).unwrap();
        let mut silent = host.accept();
        assert_eq!(refused(&events), CloseReason::HandshakeTimeout);
        assert_eq!(silent.rest(), handshake(ProtocolId::PUSH));
        // A later attempt may be given up as well before this thread comes to answer it.
        loop {
            let mut awake = host.accept();
            awake.send_in_vain(&handshake(ProtocolId::PULL));
            if matches!(crate::support::next_event(&events), sp::PipeEvent::Connected { .. }) {
                assert_eq!(awake.read(8), handshake(ProtocolId::PUSH));
                push.send_timeout("work", DEADLINE).unwrap();
                assert_eq!(awake.message(), b"work");
                break;
            }
        }
    }
}

/// sp-wire 8.1 item 20
#[test]
fn a_second_handshake_is_taken_for_a_message_and_refused() {
    let again = handshake(ProtocolId::PUSH);
    let scene = Scene::<engine::Pull>::new(Wire::Tcp);
    let expected = CloseReason::TooLong { announced: u64::from_be_bytes(again), limit: 64 << 20 };
    assert_eq!(scene.closes(&again), expected);
    let scene = Scene::<engine::Pull>::new(Wire::Ipc);
    assert_eq!(scene.closes(&again), CloseReason::BadMessageType { got: 0 });
}
