use std::collections::BTreeMap;
use std::time::Duration;

use sp::{CloseReason, ProtocolId};

use crate::catalogue::{Frames, Request, Stranger, kind};
use crate::raw::{Raw, handshake};
use crate::scene::{Door, Hears, Port};
use crate::shared::{DEADLINE, Transport, apart, wait_until};

/// Longer than any test takes: who is turned away is so for what it says.
fn patient() -> Port {
    Port::open(|options| options.handshake_limit(6 * DEADLINE))
}

#[test]
fn whatever_strangers_say_they_are_turned_away_for_it_and_nobody_else_notices() {
    apart(|| {
        let port = patient();
        let mut wrong = Vec::new();
        let mut count = 0;
        port.beside_honest_talk(|port| {
            for stranger in Stranger::all() {
                for door in Door::all() {
                    let mut raw = port.stranger(door);
                    raw.send_in_vain(&stranger.bytes);
                    raw.finish();
                    let why = port.refused(&raw);
                    count += 1;
                    if let CloseReason::BadHandshake { got } = why {
                        assert_eq!(got, stranger.bytes[..8], "{}", stranger.name);
                    }
                    if kind(&why) != stranger.why(door) {
                        let (name, wanted) = (stranger.name, stranger.why(door));
                        wrong.push(format!("{name} | {door:?} | {wanted} | {why:?}"));
                    }
                    raw.rest();
                }
            }
        });
        assert!(wrong.is_empty(), "otherwise than the table says:\n{}", wrong.join("\n"));
        assert_eq!(port.count_refused(), count, "each is counted");
        port.close();
    });
}

/// All at once, and a byte of each at a time: so nobody is waited for, and no first read tells much.
#[test]
fn strangers_that_come_all_together_and_speak_a_byte_at_a_time_are_told_apart() {
    apart(|| {
        let port = patient();
        port.beside_honest_talk(|port| {
            // Those with more to say have been heard in the other test.
            let brief = |stranger: &Stranger| stranger.bytes.len() <= 200;
            let strangers: Vec<Stranger> = Stranger::all().into_iter().filter(brief).collect();
            for door in Door::all() {
                let mut wanted = BTreeMap::<String, usize>::new();
                let mut raws: Vec<(Raw, &[u8])> = Vec::new();
                for stranger in &strangers {
                    *wanted.entry(stranger.why(door).to_owned()).or_default() += 1;
                    raws.push((port.stranger(door), &stranger.bytes));
                }
                for at in 0..200 {
                    for (raw, bytes) in &mut raws {
                        if let Some(byte) = bytes.get(at) {
                            raw.send_in_vain(&[*byte]);
                        }
                    }
                }
                raws.iter_mut().for_each(|(raw, _)| raw.finish());
                assert_eq!(port.refusals(strangers.len()), wanted, "{door:?}");
                raws.iter_mut().for_each(|(raw, _)| drop(raw.rest()));
            }
        });
        port.close();
    });
}

/// Every one of the 2,040 ways to change one byte of the handshake, and the protocols that do not belong here.
#[test]
fn a_handshake_with_any_byte_changed_is_turned_away_for_that_byte() {
    apart(|| {
        let port = patient();
        let good = handshake(ProtocolId::REQ);
        port.beside_honest_talk(|port| {
            for door in [Transport::Tcp, Transport::Ipc].map(Door::Street) {
                for (at, value) in (0..8).flat_map(|at| (0..=255u8).map(move |value| (at, value))) {
                    let mut got = good;
                    got[at] = value;
                    if got == good {
                        continue;
                    }
                    let wanted = match at {
                        3 => CloseReason::BadVersion { got: value },
                        4 | 5 => CloseReason::WrongProtocol {
                            got: ProtocolId(u16::from_be_bytes([got[4], got[5]])),
                            wanted: ProtocolId::REQ,
                        },
                        _ => CloseReason::BadHandshake { got },
                    };
                    let mut raw = port.stranger(door);
                    raw.send(&got);
                    assert_eq!(port.refused(&raw), wanted, "{got:02x?} on {door:?}");
                    assert_eq!(raw.rest(), handshake(ProtocolId::REP));
                }
            }
        });
        port.close();
    });
}

#[test]
fn a_good_beginning_cut_at_any_byte_is_told_from_a_whole_one() {
    apart(|| {
        let port = patient();
        port.beside_honest_talk(|port| {
            for door in Door::all() {
                let greeting = port.greeting(door);
                for cut in 0..greeting.len() {
                    let mut raw = port.stranger(door);
                    raw.send(&greeting[..cut]);
                    raw.finish();
                    assert_eq!(port.refused(&raw), CloseReason::Truncated, "{cut} at {door:?}");
                    raw.rest();
                }
                if door.hears() == Hears::Tls {
                    continue;
                }
                let message = door.wire().frame(b"\x80\0\0\x01hello");
                for cut in 0..=message.len() {
                    let (mut raw, peer) = port.peer(door);
                    raw.send(&message[..cut]);
                    raw.finish();
                    let whole = cut == 0 || cut == message.len();
                    let wanted =
                        if whole { CloseReason::PeerClosed } else { CloseReason::Truncated };
                    assert_eq!(port.closed(peer), wanted, "{cut} at {door:?}");
                    raw.rest();
                }
            }
        });
        port.close();
    });
}

#[test]
fn whatever_peers_say_behind_a_handshake_they_are_closed_for_it_and_nobody_else_notices() {
    apart(|| {
        let port = patient();
        let mut wrong = Vec::new();
        port.beside_honest_talk(|port| {
            for Frames { name, on, why: wanted, code, bytes } in Frames::all() {
                for door in Door::speaking(on) {
                    let (mut raw, peer) = port.peer(door);
                    raw.send_in_vain(&bytes);
                    raw.finish();
                    let why = port.closed(peer);
                    let rest = raw.rest();
                    let said = rest.last_chunk::<4>().filter(|last| last.starts_with(&[0x88, 2]));
                    let said = said.map(|last| u16::from_be_bytes([last[2], last[3]]));
                    if kind(&why) != wanted || (code.is_some() && said != code) {
                        wrong.push(format!(
                            "{name} | {door:?} | {wanted} {code:?} | {why:?} {said:?}"
                        ));
                    }
                }
            }
        });
        assert!(wrong.is_empty(), "otherwise than the table says:\n{}", wrong.join("\n"));
        port.close();
    });
}

#[test]
fn whatever_is_wrong_with_a_request_is_told_by_status_and_reason() {
    apart(|| {
        let port = patient();
        let mut wrong = Vec::new();
        port.beside_honest_talk(|port| {
            let requests = Request::all();
            for door in Door::speaking(Transport::Ws) {
                let good = String::from_utf8(port.greeting(door)).expect("HTTP is text");
                for Request { name, status, why: wanted, change: [from, to] } in &requests {
                    let asked = good.replacen(from, to, 1);
                    assert_ne!(asked, good, "{name} changes nothing");
                    let mut raw = port.stranger(door);
                    raw.send_in_vain(asked.as_bytes());
                    raw.finish();
                    let why = port.refused(&raw);
                    let answer = raw.rest();
                    let is_told = answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes());
                    if kind(&why) != *wanted || !is_told {
                        let answer = String::from_utf8_lossy(&answer[..12.min(answer.len())]);
                        wrong.push(format!(
                            "{name} | {door:?} | {status} {wanted} | {answer} {why:?}"
                        ));
                    }
                }
            }
        });
        assert!(wrong.is_empty(), "otherwise than the table says:\n{}", wrong.join("\n"));
        port.close();
    });
}

/// Seeded, so that the same bytes come each time.
#[test]
fn bytes_at_random_are_turned_away_with_a_reason() {
    apart(|| {
        let port = patient();
        port.beside_honest_talk(|port| {
            for seed in 1..=100 {
                let said = noise(seed);
                for door in Door::all() {
                    let mut raw = port.stranger(door);
                    raw.send_in_vain(&said);
                    raw.finish();
                    let why = kind(&port.refused(&raw));
                    let expected: &[&str] = match door.hears() {
                        Hears::Sp if said.len() < 8 => &["Truncated"],
                        Hears::Sp => &["BadHandshake"],
                        Hears::Http => &["Malformed", "Truncated"],
                        Hears::Tls => &["NotTls", "Broken", "Truncated"],
                    };
                    assert!(expected.contains(&&*why), "seed {seed} at {door:?}: {why}");
                    raw.rest();
                }
            }
        });
        port.close();
    });
}

/// The first byte is one of those that a record of TLS begins with every fifth time.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as u8
    };
    let len = usize::from(next()) + 1;
    let mut bytes: Vec<u8> = (0..len).map(|_| next()).collect();
    bytes[0] = if seed.is_multiple_of(5) { 20 + bytes[0] % 5 } else { bytes[0] | 1 };
    bytes
}

/// A thousand that say nothing and 64 that stop before the end. How much they leave of the honest traffic is measured
/// by `sp-bench siege`.
#[test]
fn a_siege_of_silent_and_slow_strangers_ends_when_their_time_is_up() {
    apart(|| {
        let port = Port::open(|options| options.handshake_limit(Duration::from_millis(1_500)));
        let talk = port.beside_honest_talk(|port| {
            let mut raws: Vec<Raw> =
                Door::streets().cycle().take(SILENT).map(|door| port.stranger(door)).collect();
            for door in Door::all().cycle().take(SLOW) {
                let (mut slow, greeting) = (port.stranger(door), port.greeting(door));
                slow.send_in_vain(&greeting[..greeting.len() - 1]);
                raws.push(slow);
            }
            // More at a time than events are kept.
            let all = (SILENT + SLOW) as u64;
            wait_until("all are turned away", || port.count_refused() == all);
            let late = BTreeMap::from([("HandshakeTimeout".to_owned(), SILENT)]);
            assert_eq!(port.refusals(SILENT), late);
            raws.iter_mut().for_each(|raw| drop(raw.rest()));
        });
        assert!(talk.answers > 100, "honest talk went on while they stood there: {talk:?}");
        port.close();
    });
}

/// What it said is known before it is seen to leave, and is the reason.
#[test]
fn a_peer_that_leaves_right_behind_its_offence_is_closed_for_the_offence() {
    apart(|| {
        let port = patient();
        for _ in 0..50 {
            let (mut raw, peer) = port.peer(Door::Street(Transport::Tcp));
            raw.send(&[0; 8]);
            raw.finish();
            let offence = CloseReason::BadHeader { protocol: ProtocolId::REP };
            assert_eq!(port.closed(peer), offence);
        }
        port.close();
    });
}

const SILENT: usize = 1_000;
const SLOW: usize = 64;
