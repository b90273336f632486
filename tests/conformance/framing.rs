use std::thread;

use sp::{CloseReason, ListenOptions, ProtocolId, Pull, PullOptions, Push, Rep, Req};
use sp_protocols::engine;

use crate::shared::{Transport, connect, pattern, spawn};
use crate::support::{
    DEADLINE, Raw, RawListener, Scene, Wire, alone, any_closed, connected, eager, handshake, recv,
};

/// sp-wire 8.2 items 21 and 23
#[test]
fn a_request_is_its_length_its_id_and_its_body() {
    for wire in Wire::BOTH {
        let host = RawListener::new(wire);
        let req = Req::new().unwrap();
        req.dial_with(host.url(), &eager()).unwrap();
        let mut rep = host.accept();
        rep.shake(ProtocolId::REP);
        req.send("hello").unwrap();
        let got = rep.read(wire.head(0).len() + 9);
        let (head, payload) = got.split_at(wire.head(0).len());
        match wire {
            Wire::Tcp => assert_eq!(head, [0, 0, 0, 0, 0, 0, 0, 9]),
            Wire::Ipc => assert_eq!(head, [1, 0, 0, 0, 0, 0, 0, 0, 9]),
            _ => unreachable!("they have tests of their own"),
        }
        assert_eq!(payload[0] & 0x80, 0x80, "the id's high bit ends the header");
        assert_eq!(payload[4..], *b"hello");
    }
}

/// sp-wire 8.2 item 22
#[test]
fn an_empty_message_is_its_length_alone_and_is_delivered() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Pull>::new(wire);
        let (mut guest, _) = scene.peer();
        guest.send_message(b"");
        assert!(recv(&scene.socket).is_empty());

        let push = Push::new().unwrap();
        let listener = push.listen(wire.url()).unwrap();
        let mut pull = Raw::dial(listener.endpoint());
        pull.shake(ProtocolId::PULL);
        push.send_timeout("", DEADLINE).unwrap();
        let expected: &[u8] = match wire {
            Wire::Tcp => &[0; 8],
            Wire::Ipc => &[1, 0, 0, 0, 0, 0, 0, 0, 0],
            _ => unreachable!("they have tests of their own"),
        };
        assert_eq!(pull.read(expected.len()), expected);
        push.close();
        assert!(pull.rest().is_empty());
    }
}

/// sp-wire 8.2 items 24 and 25
#[test]
fn a_message_in_single_bytes_is_delivered_once_and_whole() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Pull>::new(wire);
        let (mut slow, _) = scene.peer();
        for byte in wire.frame(&pattern(120)) {
            // The bystander's exchange makes the driver come by between two bytes.
            scene.bystander_works();
            slow.send(&[byte]);
        }
        assert_eq!(recv(&scene.socket), pattern(120));
        scene.bystander_works();
    }
}

/// sp-wire 8.2 item 25, for a body that is read into a buffer of its own
#[test]
fn a_large_body_in_pieces_is_delivered_once_and_whole() {
    let body = pattern(200_000);
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Pull>::new(wire);
        let (mut slow, _) = scene.peer();
        for piece in wire.frame(&body).chunks(7001) {
            scene.bystander_works();
            slow.send(piece);
        }
        assert_eq!(recv(&scene.socket), body);
        scene.bystander_works();
    }
}

/// sp-wire 8.2 item 26
#[test]
fn a_thousand_messages_in_one_segment_are_delivered_in_order() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Pull>::new(wire);
        let (mut guest, _) = scene.peer();
        let numbers = 0..1000u32;
        let frames: Vec<u8> = numbers.clone().flat_map(|n| wire.frame(&n.to_be_bytes())).collect();
        guest.send(&frames);
        for n in numbers {
            assert_eq!(recv(&scene.socket), n.to_be_bytes());
        }
        scene.bystander_works();
    }
}

/// sp-wire 8.2 item 27
#[test]
fn a_message_of_any_size_comes_back_unchanged() {
    const KIB: usize = 1024;
    let _turn = alone();
    for transport in Transport::BARE {
        let (req, rep) = (Req::new().unwrap(), Rep::new().unwrap());
        let _listener = connect(transport, &rep, &req);
        let answering = rep.clone();
        let answers = spawn(move || {
            for question in answering.iter() {
                answering.send(question).unwrap();
            }
        });
        for size in [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, KIB * KIB, 16 * KIB * KIB] {
            let body = pattern(size);
            req.send(body.as_slice()).unwrap();
            // No assert_eq: nobody wants to see 16 MiB.
            assert!(recv(&req) == body, "{size} bytes over {transport:?}");
        }
        rep.close();
        answers.join();
    }
}

/// sp-wire 8.2 item 28: the SP header counts
#[test]
fn a_message_at_the_limit_passes_and_one_byte_more_is_refused_by_its_length_alone() {
    const LIMIT: u64 = 1000;
    let options = ListenOptions::new().recv_max(Some(LIMIT));
    let expected = CloseReason::TooLong { announced: LIMIT + 1, limit: LIMIT };
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Pull>::with(wire, PullOptions::new(), &options);
        let (mut guest, _) = scene.peer();
        guest.send_message(&pattern(1000));
        assert_eq!(recv(&scene.socket), pattern(1000));
        assert_eq!(scene.closes(&wire.head(LIMIT + 1)), expected, "the length alone");
        assert_eq!(scene.closes(&wire.frame(&pattern(1001))), expected, "with its body");
        scene.bystander_works();

        let scene = Scene::<engine::Rep>::with(wire, Default::default(), &options);
        let request = |body: usize| [&[0x80, 0, 0, 1][..], &pattern(body)].concat();
        let (mut guest, _) = scene.peer();
        guest.send_message(&request(996));
        assert_eq!(recv(&scene.socket), pattern(996));
        assert_eq!(scene.closes(&wire.frame(&request(997))), expected, "four bytes are header");
    }
}

/// sp-wire 8.2 item 28 for dialers
#[test]
fn a_dialer_keeps_its_own_limit_and_dials_again_after_a_breach() {
    for wire in Wire::BOTH {
        let pull = Pull::new().unwrap();
        let events = pull.events();
        let host = RawListener::new(wire);
        pull.dial_with(host.url(), &eager().recv_max(Some(10))).unwrap();
        let mut offender = host.accept();
        offender.shake(ProtocolId::PUSH);
        offender.send_message(b"ten bytes.");
        assert_eq!(recv(&pull), "ten bytes.");
        offender.send_in_vain(&wire.frame(b"ten bytes, and more"));
        assert_eq!(any_closed(&events), CloseReason::TooLong { announced: 19, limit: 10 });
        offender.rest();
        let mut again = host.accept();
        again.shake(ProtocolId::PUSH);
        connected(&events);
        again.send_message(b"again");
        assert_eq!(recv(&pull), "again");
    }
}

/// sp-wire 8.2 item 29
#[test]
fn without_a_limit_sixteen_mebibytes_pass() {
    let _turn = alone();
    let body = pattern(16 << 20);
    let options = ListenOptions::new().recv_max(None);
    let scene = Scene::<engine::Pull>::with(Wire::Tcp, PullOptions::new(), &options);
    let (mut guest, _) = scene.peer();
    thread::scope(|scope| {
        scope.spawn(|| guest.send_message(&body));
        assert!(recv(&scene.socket) == body);
    });
}

/// sp-wire 8.2 items 30 to 32
#[test]
fn lengths_near_the_end_of_the_numbers_are_refused() {
    const NNG_MAX: u64 = 0x0fff_ffff_ffff_ffff;
    for wire in Wire::BOTH {
        for (limit, allowed) in [(Some(64 << 20), 64 << 20), (None, NNG_MAX)] {
            let options = ListenOptions::new().recv_max(limit);
            let scene = Scene::<engine::Pull>::with(wire, PullOptions::new(), &options);
            for announced in [u64::MAX, i64::MAX as u64, NNG_MAX + 1, NNG_MAX] {
                if announced > allowed {
                    let expected = CloseReason::TooLong { announced, limit: allowed };
                    assert_eq!(scene.closes(&wire.head(announced)), expected, "{limit:?}");
                }
            }
        }
    }
}

/// sp-wire 8.2 items 33 and 34
#[test]
fn a_peer_that_leaves_in_the_middle_of_a_message_is_closed_and_nothing_is_delivered() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Pull>::new(wire);
        let head = wire.head(0).len();
        let short = wire.frame(b"never to be seen");
        let long = wire.frame(&pattern(100_000));
        let cuts = (1..head).map(|cut| &short[..cut]).chain([
            &short[..head],
            &short[..head + 1],
            &short[..short.len() - 1],
            &long[..head],
            &long[..head + 1],
            &long[..50_000],
            &long[..long.len() - 1],
        ]);
        for said in cuts {
            scene.bystander_works();
            let (mut quitter, peer) = scene.peer();
            quitter.send(said);
            quitter.finish();
            assert_eq!(scene.closed(peer), CloseReason::Truncated, "after {} bytes", said.len());
            assert!(quitter.rest().is_empty());
            // Nothing else may be received in between.
            scene.bystander_works();
            scene.newcomer_works();
        }
    }
}

/// sp-wire 8.2 item 36
#[test]
fn messages_of_peers_that_send_at_once_do_not_mix() {
    const ROUNDS: usize = 40;
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Pull>::new(wire);
        let peers: Vec<Raw> = (0..4).map(|_| scene.peer().0).collect();
        thread::scope(|scope| {
            for (name, mut peer) in (1u8..).zip(peers) {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        // Below and above the size that gets a buffer of its own.
                        let body = vec![name; 1 + (round * 7919) % 90_000];
                        peer.wire.frame(&body).chunks(4093).for_each(|piece| peer.send(piece));
                    }
                });
            }
            let mut received = [0; 5];
            for _ in 0..4 * ROUNDS {
                let msg = recv(&scene.socket);
                let name = msg[0];
                assert!(msg.iter().all(|byte| *byte == name), "a message of {name} is mixed");
                let round = received[usize::from(name)];
                assert_eq!(msg.len(), 1 + (round * 7919) % 90_000, "message {round} of {name}");
                received[usize::from(name)] += 1;
            }
        });
        // The four have left.
        (0..4).for_each(|_| assert_eq!(any_closed(&scene.events), CloseReason::PeerClosed));
        scene.bystander_works();
    }
}

/// sp-wire 8.2 item 37. Ours: a limit belongs to its endpoint from the start and never changes.
#[test]
fn each_listener_of_a_socket_has_its_own_limit() {
    let pull = Pull::new().unwrap();
    let events = pull.events();
    let strict =
        pull.listen_with(Wire::Tcp.url(), &ListenOptions::new().recv_max(Some(5))).unwrap();
    let lenient = pull.listen(Wire::Tcp.url()).unwrap();
    let [mut offender, mut good] = [&strict, &lenient].map(|listener| {
        let mut guest = Raw::dial(listener.endpoint());
        assert_eq!(guest.shake(ProtocolId::PUSH), handshake(ProtocolId::PULL));
        connected(&events);
        guest
    });
    offender.send_message(b"six by");
    assert_eq!(any_closed(&events), CloseReason::TooLong { announced: 6, limit: 5 });
    offender.rest();
    good.send_message(b"six by");
    assert_eq!(recv(&pull), "six by");
}
