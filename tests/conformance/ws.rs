use std::io::ErrorKind;
use std::time::Duration;

use sp::{
    CloseReason, DialError, DialOptions, FrameFault, ListenOptions, Pull, PullOptions, Push, Req,
    UpgradeFault,
};
use sp_protocols::engine;

use crate::raw::ws_head;
use crate::shared::{DEADLINE, pattern, spawn};
use crate::support::{Raw, RawListener, Scene, Wire, next_event, recv};

/// sp-wire 8.5 items 58, 63 and 64
#[test]
fn a_req_asks_for_a_rep_and_masks_its_first_frame() {
    for wire in Wire::WEB {
        let (listener, url, options) = scripted(wire);
        let req = Req::new().expect("a socket");
        let dialing = req.clone();
        let dialer = spawn(move || dialing.dial_with(format!("{url}/sp?a=b"), &options).map(drop));
        let mut rep = listener.accept();
        let asked = rep.http_head();
        assert!(asked.starts_with("GET /sp?a=b HTTP/1.1\r\nHost: 127.0.0.1:"), "{asked}");
        assert!(asked.contains("\r\nSec-WebSocket-Protocol: rep.sp.nanomsg.org\r\n"), "{asked}");
        rep.send(answer_to(&asked, "rep").as_bytes());
        dialer.join().expect("the answer is right");

        req.send_timeout("hello", DEADLINE).expect("there is a REP");
        assert_eq!(rep.read(2), [0x82, 0x89]);
        let id = unmasked(&mut rep, 9);
        assert!(id[0] >= 0x80 && id[4..] == *b"hello", "{id:02x?}");
        rep.send(&[&[0x82, 9][..], &id[..4], b"world"].concat());
        assert_eq!(recv(&req), "world");
    }
}

/// sp-wire 8.5 items 63 and 64
#[test]
fn a_listener_sends_plain_frames_without_any_handshake_inside() {
    for wire in Wire::WEB {
        let scene = Scene::<engine::Pub>::new(wire);
        let (mut sub, _) = scene.peer();
        for body in [&b""[..], b"abc", &pattern(126), &pattern(70_000)] {
            scene.socket.send(body).expect("a PUB always sends");
            let head = ws_head(0x82, 0, body.len() as u64);
            assert_eq!(sub.read(head.len()), head);
            assert!(sub.read(body.len()) == body);
        }
    }
}

/// sp-wire 8.5 items 60 to 62, and 73: what in a good request is replaced by what, the status, and why.
#[test]
fn who_asks_for_anything_else_gets_an_answer_and_is_counted() {
    for wire in Wire::WEB {
        let scene = Scene::<engine::Pull>::new(wire);
        let wrong =
            CloseReason::WrongProtocol { got: sp::ProtocolId::PULL, wanted: sp::ProtocolId::PUSH };
        let too_long = format!("Host: h\r\nCookie: {}", "c".repeat(9000));
        for (good, bad, status, why) in [
            ("GET /", "GET /other", 404, UpgradeFault::Path.into()),
            ("GET ", "POST ", 405, UpgradeFault::Method.into()),
            ("HTTP/1.1", "HTTP/1.0", 505, UpgradeFault::HttpVersion.into()),
            ("Host: h\r\n", "", 400, UpgradeFault::Host.into()),
            ("Host: h", &too_long, 431, UpgradeFault::TooLarge.into()),
            ("Upgrade: websocket\r\n", "", 400, UpgradeFault::Upgrade.into()),
            ("Version: 13", "Version: 12", 400, UpgradeFault::Version.into()),
            ("Key: d", "Key: ", 400, UpgradeFault::Key.into()),
            (
                "Sec-WebSocket-Protocol: pull.sp.nanomsg.org\r\n",
                "",
                400,
                UpgradeFault::Subprotocol.into(),
            ),
            ("pull.sp", "push.sp", 400, wrong),
        ] {
            let asked = scene.request().replacen(good, bad, 1);
            let mut stranger = scene.stranger();
            stranger.send_in_vain(asked.as_bytes());
            let answer = String::from_utf8(stranger.rest()).expect("text");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bad}: {answer}");
            assert_eq!(scene.refused(), why, "{bad}");
            scene.bystander_works();
        }
        for no_http in [&b"\0SP\0\0\x50\0\0"[..], b"\x16\x03\x01\x02\0\x01\0"] {
            assert_eq!(scene.turns_away(no_http), UpgradeFault::Malformed.into());
        }
    }
}

/// sp-wire 8.5 items 60 and 61
#[test]
fn names_in_upper_case_and_in_lists_are_understood() {
    for wire in Wire::WEB {
        let scene = Scene::<engine::Pull>::new(wire);
        for (name, wanted) in [
            ("PULL.SP.nanomsg.org", "PULL.SP.nanomsg.org"),
            ("foo, pull.sp.nanomsg.org", "pull.sp.nanomsg.org"),
        ] {
            let mut peer = scene.stranger();
            peer.send(scene.request().replace("pull.sp.nanomsg.org", name).as_bytes());
            let answer = peer.http_head();
            assert!(
                answer.contains(&format!("\r\nSec-WebSocket-Protocol: {wanted}\r\n")),
                "{answer}"
            );
            scene.connected();
            peer.send_message(b"work");
            assert_eq!(recv(&scene.socket), "work");
            drop(peer);
            assert!(matches!(next_event(&scene.events), sp::PipeEvent::Closed { .. }));
        }
    }
}

/// sp-wire 8.5 item 73
#[test]
fn a_peer_may_speak_a_byte_at_a_time_and_right_behind_its_request() {
    for wire in Wire::WEB {
        let scene = Scene::<engine::Pull>::new(wire);
        let messages = [wire.frame(b"one"), wire.frame(&pattern(300))].concat();
        let said = [scene.request().as_bytes(), &messages].concat();
        let mut slow = scene.stranger();
        said.iter().for_each(|byte| slow.send(&[*byte]));
        assert_eq!(recv(&scene.socket), "one");
        assert!(recv(&scene.socket) == pattern(300)[..]);
        scene.connected();
        let mut hasty = scene.stranger();
        hasty.send(&said);
        assert_eq!(recv(&scene.socket), "one");
        assert!(recv(&scene.socket) == pattern(300)[..]);
        scene.connected();
        scene.bystander_works();
    }
}

/// sp-wire 8.5 item 73
#[test]
fn a_peer_that_does_not_come_to_the_end_of_its_request_is_turned_away_in_time() {
    for wire in Wire::WEB {
        let options = ListenOptions::new().handshake_limit(Duration::from_secs(1));
        let scene = Scene::<engine::Pull>::with(wire, PullOptions::new(), &options);
        let mut slow = scene.stranger();
        slow.send(b"GET / HTTP/1.1\r\n");
        assert_eq!(scene.refused(), CloseReason::HandshakeTimeout);
        assert!(slow.rest().starts_with(b"HTTP/1.1 408 "));
        scene.bystander_works();
        scene.newcomer_works();
    }
}

/// sp-wire 8.5 item 65
#[test]
fn a_fragmented_message_is_one_and_a_ping_inside_is_answered() {
    for wire in Wire::WEB {
        let scene = Scene::<engine::Pull>::new(wire);
        let (mut peer, _) = scene.peer();
        let fragment = |first: u8, payload: &[u8]| {
            [&ws_head(first, 0x80, payload.len() as u64)[..], &[0; 4], payload].concat()
        };
        peer.send(&fragment(0x02, b"to"));
        peer.send(&fragment(0x89, b"alive?"));
        assert_eq!(peer.read(8), b"\x8a\x06alive?");
        peer.send(&fragment(0x00, b"get"));
        peer.send(&fragment(0x80, b"her"));
        assert_eq!(recv(&scene.socket), "together");
        scene.bystander_works();
    }
}

/// sp-wire 8.5 items 65 to 70: what a client says, why it is closed, and with which code.
#[test]
fn frames_that_do_not_exist_are_closed_with_their_code() {
    for wire in Wire::WEB {
        let options = ListenOptions::new().recv_max(Some(1000));
        let scene = Scene::<engine::Pull>::with(wire, PullOptions::new(), &options);
        let too_long = |announced| CloseReason::TooLong { announced, limit: 1000 };
        let masked = |head: &[u8]| [head, &[0; 4]].concat();
        let opcode = |got| CloseReason::BadFrame(FrameFault::Opcode { got });
        for (said, why, code) in [
            (masked(b"\x81\x80"), FrameFault::Text.into(), 1003),
            (masked(b"\x80\x80"), FrameFault::Unstarted.into(), 1002),
            (masked(b"\xc2\x80"), FrameFault::ReservedBits.into(), 1002),
            (masked(b"\x83\x80"), opcode(3), 1002),
            (masked(b"\x8b\x80"), opcode(11), 1002),
            (masked(b"\x89\xfe\0\x7e"), FrameFault::Control.into(), 1002),
            (masked(b"\x09\x80"), FrameFault::Control.into(), 1002),
            (b"\x82\x00".to_vec(), FrameFault::Unmasked.into(), 1002),
            (masked(b"\x82\xfe\0\x05"), FrameFault::LongForm.into(), 1002),
            (masked(b"\x82\xff\0\0\0\0\0\0\0\x7e"), FrameFault::LongForm.into(), 1002),
            (
                [masked(b"\x02\x80"), masked(b"\x82\x80")].concat(),
                FrameFault::Interrupted.into(),
                1002,
            ),
            (wire.head(1001), too_long(1001), 1009),
            (
                [masked(b"\x02\x81"), vec![7], masked(b"\x80\xfe\x03\xe8")].concat(),
                too_long(1001),
                1009,
            ),
            (wire.head(1 << 63), too_long(1 << 63), 1009),
            (wire.head(u64::MAX), too_long(u64::MAX), 1009),
        ] {
            let (mut offender, peer) = scene.peer();
            offender.send_in_vain(&said);
            assert_eq!(scene.closed(peer), why, "{said:02x?}");
            assert_eq!(
                offender.rest(),
                [&[0x88, 2], &u16::to_be_bytes(code)[..]].concat(),
                "{said:02x?}"
            );
            scene.bystander_works();
        }
        scene.newcomer_works();
    }
}

/// sp-wire 8.5 item 71
#[test]
fn a_close_is_answered_and_a_stream_that_ends_without_one_is_closed_as_well() {
    for wire in Wire::WEB {
        let scene = Scene::<engine::Pull>::new(wire);
        let (mut polite, peer) = scene.peer();
        polite.send(&[&wire.frame(b"last")[..], b"\x88\x82\0\0\0\0\x03\xe8"].concat());
        assert_eq!(recv(&scene.socket), "last");
        assert_eq!(scene.closed(peer), CloseReason::PeerClosed);
        assert_eq!(polite.rest(), b"\x88\x02\x03\xe8");

        let (rude, peer) = scene.peer();
        drop(rude);
        assert_eq!(scene.closed(peer), CloseReason::PeerClosed);
        let (mut cut, peer) = scene.peer();
        cut.send(&wire.frame(b"never whole")[..8]);
        cut.finish();
        assert_eq!(scene.closed(peer), CloseReason::Truncated);
        scene.bystander_works();

        let (mut silent, _) = scene.peer();
        let socket = scene.socket;
        spawn(move || socket.close()).join();
        assert_eq!(silent.rest(), b"\x88\x02\x03\xe8", "our close waits for nobody");
    }
}

/// sp-wire 8.5 item 71
#[test]
fn what_was_said_before_a_close_waits_for_room_and_comes() {
    for wire in Wire::WEB {
        let scene =
            Scene::<engine::Pull>::with(wire, PullOptions::new().queue(2), &ListenOptions::new());
        let (mut polite, peer) = scene.peer();
        let said: Vec<u8> = (0..20).flat_map(|n| wire.frame(&[n])).collect();
        polite.send(&[&said[..], b"\x88\x82\0\0\0\0\x03\xe8"].concat());
        for n in 0..20 {
            assert_eq!(recv(&scene.socket), [n]);
        }
        assert_eq!(scene.closed(peer), CloseReason::PeerClosed);
        assert_eq!(polite.rest(), b"\x88\x02\x03\xe8");
        scene.bystander_works();
    }
}

/// sp-wire 8.5 item 67
#[test]
fn a_server_that_masks_is_closed() {
    for wire in Wire::WEB {
        let (listener, url, options) = scripted(wire);
        let pull = Pull::new().expect("a socket");
        let events = pull.events();
        let dialer = spawn(move || pull.dial_with(url, &options).map(|_| pull));
        let mut push = listener.accept();
        let asked = push.http_head();
        push.send(answer_to(&asked, "push").as_bytes());
        let _pull = dialer.join().expect("the answer is right");
        push.send(&wire.frame(b"masked"));
        let masked = CloseReason::BadFrame(FrameFault::Masked);
        assert_eq!(crate::support::any_closed(&events), masked);
        assert_eq!(push.read(2), [0x88, 0x82]);
        assert_eq!(unmasked(&mut push, 2), 1002_u16.to_be_bytes());
    }
}

/// sp-wire 8.5 item 72: what in a good answer is replaced by what, and how the dial fails.
#[test]
fn a_dial_fails_for_what_the_answer_says() {
    for wire in Wire::WEB {
        for (good, bad, why) in [
            ("Accept: ", "Accept: x", UpgradeFault::Accept.into()),
            ("pull.sp", "chat", UpgradeFault::Subprotocol.into()),
            ("101", "200", UpgradeFault::Status(200).into()),
            ("101", "404", CloseReason::Io(ErrorKind::ConnectionRefused)),
            ("101", "401", CloseReason::Io(ErrorKind::PermissionDenied)),
            ("101", "403", CloseReason::Io(ErrorKind::PermissionDenied)),
            ("HTTP/1.1", "SSH-2.0", UpgradeFault::Malformed.into()),
        ] {
            let (listener, url, options) = scripted(wire);
            let dialer =
                spawn(move || Push::new().expect("a socket").dial_with(url, &options).map(drop));
            let mut server = listener.accept();
            let asked = server.http_head();
            server.send(answer_to(&asked, "pull").replacen(good, bad, 1).as_bytes());
            match dialer.join() {
                Err(DialError::Failed { why: said, .. }) => assert_eq!(said, why, "{bad}"),
                other => panic!("{bad}: {other:?}"),
            }
            server.rest();
        }
    }
}

/// A listener that does what a test says, and its URL.
fn scripted(wire: Wire) -> (RawListener, String, DialOptions) {
    let listener = RawListener::new(wire);
    let url = listener.url();
    (listener, url, wire.transport().dial_options())
}

/// The right answer to a request. The proof is computed by the library's own listener, whose vectors are tested apart.
fn answer_to(asked: &str, listener: &str) -> String {
    let request = sp_transport::wire::ws::Request::parse(asked.as_bytes()).expect("a request");
    let protocol = match listener {
        "rep" => sp::ProtocolId::REP,
        "push" => sp::ProtocolId::PUSH,
        _ => sp::ProtocolId::PULL,
    };
    let answer = request.answer(Some(protocol)).expect("a good request");
    String::from_utf8(answer).expect("text")
}

/// A payload behind its mask.
fn unmasked(peer: &mut Raw, len: usize) -> Vec<u8> {
    let mask = peer.read(4);
    peer.read(len).iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}
