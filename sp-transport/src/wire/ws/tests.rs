//! Golden bytes of sp-wire 2.7, every fault of frames and upgrades, and framing under any splitting.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that is wrong should fail loudly"
)]

use proptest::prelude::*;
use proptest::sample::{Index, select};
use sp_core::batch::Batch;
use sp_core::held::Frames;
use sp_core::pipe::{CloseReason, ProtocolId};
use sp_core::pool::BufferPool;
use sp_core::websocket::{FrameFault, UpgradeFault};

use super::{
    FRAGMENT_BYTES, HEAD_BYTES_MAX, Key, Mask, Request, Side, WsDecoder, check_answer,
    check_status, close_frame, dialer_of, head_end, pong_frame, refusal, request,
};
use crate::wire::{Framing, LARGE_BODY_BYTES};

/// sp-wire 2.7, its examples
#[test]
fn the_frames_of_the_reference_are_read_byte_for_byte() {
    let hello = b"\x82\x89\x37\xfa\x21\x3d\xb7\xfa\x21\x3c\x5f\x9f\x4d\x51\x58";
    assert_eq!(read(Side::Dialer, None, hello, &[]).0, [b"\x80\0\0\x01hello"]);
    let world = b"\x82\x09\x80\0\0\x01world";
    assert_eq!(read(Side::Listener, None, world, &[]).0, [b"\x80\0\0\x01world"]);
    assert_eq!(frame(Side::Listener, b"\x80\0\0\x01world"), world);
    assert_eq!(frame(Side::Listener, b""), b"\x82\x00");
    assert_eq!(frame(Side::Dialer, b"")[..2], *b"\x82\x80");
}

#[test]
fn masks_are_applied_alike_in_words_and_bytes_from_any_offset() {
    let mask = Mask([1, 20, 77, 250]);
    let body: Vec<u8> = (0..100).collect();
    let naive: Vec<u8> = body.iter().zip(mask.0.iter().cycle()).map(|(a, b)| a ^ b).collect();
    for cut in 0..body.len() {
        let (first, second) = body.split_at(cut);
        let (mut first, mut second) = (first.to_vec(), second.to_vec());
        mask.apply(&mut first, 0);
        mask.apply(&mut second, cut);
        assert_eq!([first, second].concat(), naive, "cut at {cut}");
    }
}

#[test]
fn every_frame_has_a_mask_of_its_own() {
    let frames: Vec<Vec<u8>> = (0..100).map(|_| frame(Side::Dialer, b"")).collect();
    let mut masks: Vec<&[u8]> = frames.iter().map(|frame| &frame[2..6]).collect();
    masks.sort_unstable();
    masks.dedup();
    assert!(masks.len() > 98, "{} masks for 100 frames", masks.len());
}

/// sp-wire 8.5 items 65 to 68 and 70: what comes, from whom, and what is wrong with it.
#[test]
fn what_is_no_frame_is_refused_as_soon_as_it_is_seen() {
    use FrameFault::{
        Control, HalfCode, Interrupted, LongForm, Masked, Opcode, ReservedBits, Text, Unmasked,
        Unstarted,
    };
    let listener: [(&[u8], FrameFault); 19] = [
        (b"\x81", Text),
        (b"\x01", Text),
        (b"\xc2", ReservedBits),
        (b"\xa2", ReservedBits),
        (b"\x92", ReservedBits),
        (b"\x83", Opcode { got: 3 }),
        (b"\x87", Opcode { got: 7 }),
        (b"\x8b", Opcode { got: 11 }),
        (b"\x8f", Opcode { got: 15 }),
        (b"\x82\x80", Masked),
        (b"\x82\x7e\x00\x05", LongForm),
        (b"\x82\x7e\x00\x7d", LongForm),
        (b"\x82\x7f\0\0\0\0\0\0\0\x7e", LongForm),
        (b"\x82\x7f\0\0\0\0\0\0\xff\xff", LongForm),
        (b"\x89\x7e", Control),
        (b"\x09\x01", Control),
        (b"\x80\x01x", Unstarted),
        (b"\x02\x01x\x82\x01y", Interrupted),
        (b"\x88\x01x", HalfCode),
    ];
    for (bytes, fault) in listener {
        let (_, why) = read(Side::Listener, None, bytes, &[]);
        assert_eq!(why, Some(CloseReason::BadFrame(fault)), "{bytes:02x?}");
    }
    assert_eq!(read(Side::Dialer, None, b"\x82\x00", &[]).1, Some(Unmasked.into()));
    assert_eq!(
        close_frame(Side::Listener, &Text.into()),
        b"\x88\x02\x03\xeb",
        "text is closed with 1003"
    );
    assert_eq!(close_frame(Side::Listener, &Unmasked.into()), b"\x88\x02\x03\xea");
    let too_long = CloseReason::TooLong { announced: 1, limit: 0 };
    assert_eq!(close_frame(Side::Listener, &too_long), b"\x88\x02\x03\xf1");
    assert_eq!(close_frame(Side::Listener, &CloseReason::PeerClosed), b"\x88\x02\x03\xe8");
}

/// sp-wire 8.5 items 69 and 70
#[test]
fn a_message_above_the_limit_is_refused_however_it_is_cut_into_frames() {
    let too_long = |announced, limit| Some(CloseReason::TooLong { announced, limit });
    let read = |bytes: &[u8]| read(Side::Listener, Some(5), bytes, &[]);
    assert_eq!(read(b"\x82\x05hello"), (vec![b"hello".to_vec()], None));
    assert_eq!(read(b"\x82\x06"), (vec![], too_long(6, 5)));
    assert_eq!(read(b"\x02\x03hel\x80\x02lo"), (vec![b"hello".to_vec()], None));
    assert_eq!(read(b"\x02\x03hel\x80\x03"), (vec![], too_long(6, 5)));
    for announced in [1 << 63, u64::MAX] {
        let head = [&b"\x82\x7f"[..], &announced.to_be_bytes()].concat();
        assert_eq!(read(&head).1, too_long(announced, 5));
        let mut decoder = WsDecoder::new(Side::Listener, None);
        let refused = decoder.decode(&head, &mut Batch::new(), 1);
        assert!(matches!(refused, Err(CloseReason::TooLong { .. })), "{refused:?}");
    }
}

/// sp-wire 8.5 item 65
#[test]
fn a_ping_between_fragments_is_answered_and_disturbs_nothing() {
    let bytes = b"\x02\x01a\x89\x04ping\x00\x00\x8a\x00\x00\x01b\x80\x01c";
    let mut decoder = WsDecoder::new(Side::Listener, None);
    let mut batch = Batch::new();
    assert_eq!(decoder.decode(bytes, &mut batch, 9), Ok(bytes.len()));
    assert_eq!(batch.pop().unwrap().body(), b"abc");
    assert_eq!(decoder.take_ping().as_deref(), Some(&b"ping"[..]));
    assert_eq!(decoder.take_ping(), None);
    assert_eq!(pong_frame(Side::Listener, b"ping"), b"\x8a\x04ping");
}

#[test]
fn an_orderly_close_ends_the_connection_behind_its_last_message() {
    let (got, why) = read(Side::Listener, None, b"\x82\x01a\x88\x02\x03\xe8\x82\x01b", &[]);
    assert_eq!((got, why), (vec![b"a".to_vec()], Some(CloseReason::PeerClosed)));
}

/// sp-wire 8.5 item 76
#[test]
fn large_messages_go_out_in_fragments_that_every_peer_reads() {
    for side in [Side::Listener, Side::Dialer] {
        for len in [FRAGMENT_BYTES, FRAGMENT_BYTES + 1, 3 * FRAGMENT_BYTES] {
            let mut payload = BufferPool::global().take(len);
            payload.extend_from_slice(&body(len));
            let mut bytes = Vec::new();
            let mut parts = 0;
            Framing::WebSocket(side).encode_large(payload, |header, part| {
                assert!(part.len() <= FRAGMENT_BYTES);
                bytes.extend_from_slice(header);
                bytes.extend_from_slice(&part);
                parts += 1;
            });
            assert_eq!(parts, len.div_ceil(FRAGMENT_BYTES));
            assert!(read(side, None, &bytes, &[]) == (vec![body(len)], None), "{side:?} {len}");
        }
    }
}

#[test]
fn an_announced_length_gets_one_buffer_until_bytes_come() {
    let head = [&b"\x82\x7f"[..], &(1_u64 << 40).to_be_bytes()].concat();
    let mut decoder = WsDecoder::new(Side::Listener, None);
    let mut batch = Batch::new();
    assert_eq!(decoder.decode(&head, &mut batch, 1), Ok(head.len()));
    let mut came = 0;
    for _ in 0..6 {
        let read = decoder.read_large(&mut batch, |room| {
            assert!(
                !room.is_empty() && room.len() <= came + (1 << 17),
                "{} for {came}",
                room.len()
            );
            Ok(room.len())
        });
        came += read.unwrap().unwrap();
    }
    assert!(decoder.is_in_large() && batch.is_empty());
}

/// sp-wire 2.7
#[test]
fn the_request_and_its_answer_are_those_of_the_reference() {
    let key = Key::from("dGhlIHNhbXBsZSBub25jZQ==");
    let asked = request("127.0.0.1:8080", "/sp", ProtocolId::REP, &key).unwrap();
    let wanted = "GET /sp HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUpgrade: websocket\r\nConnection: \
                  Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                  Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: rep.sp.nanomsg.org\r\n\r\n";
    assert_eq!(String::from_utf8(asked.clone()).unwrap(), wanted);
    let asked = Request::parse(&asked).unwrap();
    assert_eq!(asked.path(), "/sp");
    let answer = asked.answer(Some(ProtocolId::REP)).unwrap();
    let wanted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\
                  \r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                  Sec-WebSocket-Protocol: rep.sp.nanomsg.org\r\n\r\n";
    assert_eq!(String::from_utf8(answer.clone()).unwrap(), wanted);
    assert_eq!(check_answer(&answer, ProtocolId::REP, &key), Ok(()));
    assert_ne!(Key::fresh(), Key::fresh());
}

/// sp-wire 8.5 item 59
#[test]
fn every_pattern_is_asked_for_by_its_listeners_name() {
    for (number, name, dialer) in [
        (0x10, "pair", 0x10),
        (0x11, "pair1", 0x11),
        (0x20, "pub", 0x21),
        (0x21, "sub", 0x20),
        (0x30, "req", 0x31),
        (0x31, "rep", 0x30),
        (0x50, "push", 0x51),
        (0x51, "pull", 0x50),
        (0x62, "surveyor", 0x63),
        (0x63, "respondent", 0x62),
        (0x70, "bus", 0x70),
    ] {
        let listener = ProtocolId(number);
        let key = Key::fresh();
        let asked = request("h", "/", listener, &key).unwrap();
        let text = String::from_utf8(asked.clone()).unwrap();
        assert!(text.contains(&format!("Protocol: {name}.sp.nanomsg.org\r\n")), "{text}");
        let answer = Request::parse(&asked).unwrap().answer(Some(listener)).unwrap();
        assert_eq!(check_answer(&answer, listener, &key), Ok(()));
        assert_eq!(dialer_of(listener), Some(ProtocolId(dialer)));
    }
    assert_eq!(request("h", "/", ProtocolId(0x1234), &Key::fresh()), None);
}

/// sp-wire 8.5 items 60 to 62: what in a good request is replaced by what, and the status of the answer.
#[test]
fn requests_are_judged_as_the_reference_lists_them() {
    const GOOD: &str = "GET /sp HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                        Sec-WebSocket-Protocol: rep.sp.nanomsg.org\r\n\r\n";
    let rows = [
        ("", "", 101),
        ("/sp ", "/sp?query ", 101),
        ("/sp ", " ", 101),
        ("rep.sp", "REP.SP", 101),
        ("rep.sp.nanomsg.org", "foo, rep.sp.nanomsg.org", 101),
        ("rep.sp.nanomsg.org", "foo\r\nSec-WebSocket-Protocol:rep.sp.nanomsg.org ", 101),
        ("Connection: Upgrade", "connection:keep-alive, upgrade", 101),
        ("Upgrade: websocket", "Upgrade: h2c, WebSocket", 101),
        ("Host: h\r\n", "Host: h\r\nContent-Length: 0\r\nCookie: a=b:c\r\n", 101),
        ("GET ", "POST ", 405),
        ("GET ", "HEAD ", 400),
        ("HTTP/1.1", "HTTP/1.0", 505),
        ("HTTP/1.1", "HTTP/2", 505),
        ("HTTP/1.1", "", 400),
        ("/sp HTTP", "HTTP", 400),
        ("/sp ", "sp ", 404),
        ("Host: h\r\n", "", 400),
        ("Host: h\r\n", "Host: h\r\nHost: h\r\n", 400),
        ("Host: h\r\n", "Host: h\r\n folded: yes\r\n", 400),
        ("Host: h\r\n", "Host: h\r\nno colon\r\n", 400),
        ("Host: h\r\n", "Host: h\r\n: no name\r\n", 400),
        ("Host: h\r\n", "Host: h\r\nTransfer-Encoding: chunked\r\n", 501),
        ("Host: h\r\n", "Host: h\r\nContent-Length: 1\r\n", 413),
        ("Upgrade: websocket\r\n", "", 400),
        ("Connection: Upgrade\r\n", "", 400),
        ("Version: 13", "Version: 12", 400),
        ("Sec-WebSocket-Version: 13\r\n", "", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "", 400),
        ("Sec-WebSocket-Protocol: rep.sp.nanomsg.org\r\n", "", 400),
        ("rep.sp.nanomsg.org", "req.sp.nanomsg.org", 400),
        ("rep.sp.nanomsg.org", "rep.sp.nanomsg.org.example", 400),
    ];
    for (good, bad, status) in rows {
        let asked = GOOD.replacen(good, bad, 1);
        let answer = Request::parse(asked.as_bytes())
            .map_err(CloseReason::from)
            .and_then(|request| request.answer(Some(ProtocolId::REP)))
            .unwrap_or_else(|why| refusal(&why));
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{asked}{answer}");
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        if status != 101 {
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", text.len())), "{answer}");
        }
    }
    let request = Request::parse(GOOD.as_bytes()).unwrap();
    assert_eq!(request.answer(None), Err(UpgradeFault::Path.into()));
    let to_a_pull = CloseReason::WrongProtocol { got: ProtocolId::REQ, wanted: ProtocolId::PUSH };
    assert_eq!(request.answer(Some(ProtocolId::PULL)), Err(to_a_pull));
}

/// sp-wire 8.5 item 72
#[test]
fn answers_are_judged_as_the_reference_lists_them() {
    use std::io::ErrorKind::{ConnectionRefused, PermissionDenied};
    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: \
                        Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                        Sec-WebSocket-Protocol: rep.sp.nanomsg.org\r\n\r\n";
    let key = Key::from("dGhlIHNhbXBsZSBub25jZQ==");
    let wrong = CloseReason::WrongProtocol { got: ProtocolId::REQ, wanted: ProtocolId::REP };
    for (good, bad, why) in [
        ("rep.sp", "REP.SP", None),
        (" Switching Protocols", "", None),
        ("s3p", "S3p", Some(UpgradeFault::Accept.into())),
        ("rep.sp.nanomsg.org", "req.sp.nanomsg.org", Some(wrong)),
        ("rep.sp.nanomsg.org", "chat", Some(UpgradeFault::Subprotocol.into())),
        ("101", "200", Some(UpgradeFault::Status(200).into())),
        ("101", "500", Some(UpgradeFault::Status(500).into())),
        ("101", "404", Some(CloseReason::Io(ConnectionRefused))),
        ("101", "405", Some(CloseReason::Io(ConnectionRefused))),
        ("101", "501", Some(CloseReason::Io(ConnectionRefused))),
        ("101", "401", Some(CloseReason::Io(PermissionDenied))),
        ("101", "403", Some(CloseReason::Io(PermissionDenied))),
        ("101", "1o1", Some(UpgradeFault::Malformed.into())),
        ("HTTP/1.1", "HTTP/1.0", Some(UpgradeFault::HttpVersion.into())),
        ("HTTP/1.1", "SSH-2.0", Some(UpgradeFault::Malformed.into())),
        ("Upgrade: websocket", "Upgrade: h2c", Some(UpgradeFault::Upgrade.into())),
        ("Connection: Upgrade", "Connection: close", Some(UpgradeFault::Connection.into())),
    ] {
        let answer = GOOD.replacen(good, bad, 1);
        let judged = check_answer(answer.as_bytes(), ProtocolId::REP, &key);
        assert_eq!(judged.err(), why, "{answer}");
    }
    let nanomsgs = b"HTTP/1.1 400 Incompatible Socket Type\r\nSec-WebSocket-Version: 13\r\n";
    for end in 0..nanomsgs.len() {
        let refused = (end > 37).then_some(CloseReason::BadUpgrade(UpgradeFault::Status(400)));
        assert_eq!(check_status(&nanomsgs[..end]).err(), refused, "{end}");
    }
}

/// sp-wire 8.5 item 73
#[test]
fn a_head_is_found_or_refused_however_its_bytes_are_cut() {
    let head = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n\x82\x00";
    for cut in 0..=head.len() {
        let first = head_end(&head[..cut], 0).unwrap();
        let end = head.len() - 2;
        assert_eq!(first, (cut >= end).then_some(end), "cut at {cut}");
        if first.is_none() {
            assert_eq!(head_end(head, cut), Ok(Some(end)), "cut at {cut}");
        }
    }
    for no_http in [&b"\0SP\0\0\x30\0\0"[..], b"\x16\x03\x01\x02\0\x01", b"GET / HTTP/1.1\r\n\x07"]
    {
        assert_eq!(head_end(no_http, 0), Err(UpgradeFault::Malformed));
    }
    assert_eq!(head_end(&[b'a'; HEAD_BYTES_MAX], 0), Ok(None));
    assert_eq!(head_end(&[b'a'; HEAD_BYTES_MAX + 1], HEAD_BYTES_MAX), Err(UpgradeFault::TooLarge));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// House rule for a new wire: however the bytes are cut, the same messages come out, fragmented or whole, with
    /// pings between.
    #[test]
    fn any_split_of_the_bytes_gives_the_same_messages(
        side in sides(),
        messages in prop::collection::vec((sizes(), fragments(), any::<bool>()), 1..7),
        cuts in prop::collection::vec(any::<Index>(), 0..40),
    ) {
        let mut bytes = Vec::new();
        let mut sent = Vec::new();
        for (size, fragments, pings) in messages {
            bytes.extend(fragmented(side, &body(size), &fragments, pings));
            sent.push(body(size));
        }
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        prop_assert_eq!(read(side, None, &bytes, &cuts), (sent, None));
    }

    /// Garbage, and good frames with some bytes changed: a typed error, messages within the limit, or waiting; the same
    /// however it is cut.
    #[test]
    fn garbage_is_refused_within_the_limits_or_waits(
        side in sides(),
        limit in 0u64..3000,
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        good in prop::collection::vec((0..300usize, fragments()), 0..4),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 0..4),
        cuts in prop::collection::vec(any::<Index>(), 0..20),
    ) {
        let mut session: Vec<u8> = Vec::new();
        for (size, fragments) in good {
            session.extend(fragmented(side, &body(size), &fragments, true));
        }
        for (at, value) in damage {
            if !session.is_empty() {
                let at = at.index(session.len());
                session[at] = value;
            }
        }
        session.extend(bytes);
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(session.len().max(1))).collect();
        let (got, why) = read(side, Some(limit), &session, &cuts);
        prop_assert!(got.iter().all(|msg| msg.len() as u64 <= limit));
        let typed = match &why {
            None | Some(CloseReason::BadFrame(_) | CloseReason::PeerClosed) => true,
            Some(CloseReason::TooLong { announced, limit }) => announced > limit,
            Some(_) => false,
        };
        prop_assert!(typed, "{:?} is no fault of framing", why);
        prop_assert_eq!(read(side, Some(limit), &session, &[]), (got, why));
    }

    /// Whatever comes as a head is read or refused; refusals have an answer.
    #[test]
    fn any_head_is_read_or_refused(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[A-Z]{1,4} /[a-z?#%]{0,4} HTTP/1.[01]\r\n([A-Za-z-]{0,9}:? ?[a-z,\"]{0,9}\r\n){0,5}\r\n"
                .prop_map(String::into_bytes),
        ],
    ) {
        let judged = match head_end(&bytes, 0) {
            Ok(None) => return Ok(()),
            Ok(Some(end)) => Request::parse(&bytes[..end]).map_err(CloseReason::from),
            Err(fault) => Err(fault.into()),
        };
        let judged = judged.and_then(|request| request.answer(Some(ProtocolId::REP)));
        let answer = judged.unwrap_or_else(|why| refusal(&why));
        prop_assert!(answer.starts_with(b"HTTP/1.1 "));
        let end = head_end(&bytes, 0).ok().flatten().unwrap_or_default();
        prop_assert!(check_answer(&bytes[..end], ProtocolId::REP, &Key::fresh()).is_err());
    }
}

/// A message in one frame, as it is queued.
fn frame(side: Side, payload: &[u8]) -> Vec<u8> {
    let mut frames = Frames::new();
    assert!(Framing::WebSocket(side).encode(payload, &mut frames));
    frames.as_bytes().to_vec()
}

/// A message cut at `cuts`, each piece a frame, perhaps with a ping before each piece but the first.
fn fragmented(side: Side, payload: &[u8], cuts: &[Index], pings: bool) -> Vec<u8> {
    let mut borders: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
    borders.extend([0, payload.len()]);
    borders.sort_unstable();
    let last = borders.len() - 2;
    let mut bytes = Vec::new();
    for (at, pair) in borders.windows(2).enumerate() {
        let mut part = payload[pair[0]..pair[1]].to_vec();
        let head = super::Encoded::fragment(side, at == 0, at == last, part.len());
        if let Some(mask) = head.mask {
            mask.apply(&mut part, 0);
        }
        if pings && at > 0 {
            let mut ping = pong_frame(side, b"alive?");
            ping[0] = 0x89;
            bytes.extend(ping);
        }
        bytes.extend_from_slice(head.bytes());
        bytes.extend(part);
    }
    bytes
}

/// Feeds `bytes` that come from `side`, parted at `cuts`, as a connection would: what is not used is offered again.
fn read(
    side: Side,
    limit: Option<u64>,
    bytes: &[u8],
    cuts: &[usize],
) -> (Vec<Vec<u8>>, Option<CloseReason>) {
    let mut borders: Vec<usize> = cuts.iter().copied().chain([0, bytes.len()]).collect();
    borders.sort_unstable();
    let mut decoder = WsDecoder::new(side, limit);
    let mut batch = Batch::new();
    let mut carry: Vec<u8> = Vec::new();
    let mut why = None;
    for pair in borders.windows(2) {
        let mut part = &bytes[pair[0]..pair[1]];
        if carry.is_empty() && pair[0] % 2 == 0 && !part.is_empty() {
            let read = decoder.read_large(&mut batch, |room| {
                let n = room.len().min(part.len());
                assert!(n > 0, "a read without room would look like the end of the stream");
                room[..n].copy_from_slice(&part[..n]);
                Ok(n)
            });
            part = &part[read.map_or(0, Result::unwrap)..];
        }
        carry.extend_from_slice(part);
        loop {
            match decoder.decode(&carry, &mut batch, 2) {
                Ok(0) => break,
                Ok(used) => drop(carry.drain(..used)),
                Err(fault) => {
                    why = Some(fault);
                    break;
                }
            }
        }
        if why.is_some() {
            break;
        }
        assert!(carry.len() < LARGE_BODY_BYTES + 14);
    }
    (std::iter::from_fn(|| batch.pop()).map(|msg| msg.payload().to_vec()).collect(), why)
}

/// A body in which a lost, doubled or swapped byte shows.
fn body(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ size) as u8).collect()
}

fn sides() -> impl Strategy<Value = Side> {
    select(&[Side::Dialer, Side::Listener][..])
}

fn fragments() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 0..4)
}

/// Sizes at the borders: nothing, other forms of length, what is read into its own buffer.
fn sizes() -> impl Strategy<Value = usize> {
    const BORDERS: [usize; 5] = [1, 126, LARGE_BODY_BYTES, 64 * 1024, 128 * 1024];
    prop_oneof![
        (select(&BORDERS[..]), 0..3usize).prop_map(|(border, more)| border + more - 1),
        0..300usize,
    ]
}
