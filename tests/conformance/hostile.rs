use std::cell::Cell;
use std::fs;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use sp::{CloseReason, ListenOptions, PipeEvent, PullOptions};
use sp_protocols::engine;

use crate::shared::{apart, descriptors, memory, pattern, spawn, wait_until};
use crate::support::{Host, Raw, Scene, Wire, handshake, recv};

/// A process that believed what its peers announce would grow by more than this.
const MUCH: u64 = 32 << 20;

/// Peers that have said one message and then the beginning of a message of `announced` bytes, which the library has
/// seen: it has delivered the message before it, and both came in one write.
fn announcing(scene: &Scene<engine::Pull>, peers: usize, announced: u64) -> Vec<Raw> {
    let beginning = [scene.wire.frame(b"seen"), scene.wire.head(announced), vec![7; 10]].concat();
    (0..peers)
        .map(|_| {
            let (mut liar, _) = scene.peer();
            liar.send(&beginning);
            assert_eq!(recv(&scene.socket), "seen");
            liar
        })
        .collect()
}

/// sp-wire 8.2 items 28, 32 and 35
#[test]
fn announced_lengths_cost_memory_only_as_bytes_come() {
    apart(|| {
        let unlimited = ListenOptions::new().recv_max(None);
        for wire in Wire::all() {
            for announced in [1 << 30, 0x0fff_ffff_ffff_ffff] {
                let scene = Scene::<engine::Pull>::with(wire, PullOptions::new(), &unlimited);
                let (reserved, used) = memory();
                let mut liars = announcing(&scene, 64, announced);
                let (reserved_then, used_then) = memory();
                let grown = used_then.saturating_sub(used);
                assert!(grown < MUCH, "{grown} bytes for 64 times 10 bytes");
                // Half of the smaller promise; a stack or heap of a thread is far less.
                let grown = reserved_then.saturating_sub(reserved);
                assert!(grown < 32 << 30, "{grown} bytes reserved for 64 times 10 bytes");
                liars[0].send(&pattern(1 << 20));
                scene.bystander_works();
                let grown = memory().1.saturating_sub(used);
                assert!(grown < MUCH, "{grown} bytes for one MiB");
                scene.newcomer_works();
                liars.iter_mut().for_each(Raw::finish);
                for liar in &mut liars {
                    match scene.event() {
                        PipeEvent::Closed { why: CloseReason::Truncated, .. } => {}
                        other => panic!("{other:?}"),
                    }
                    liar.rest();
                }
                scene.bystander_works();
            }
        }
    });
}

/// sp-wire 8.2 item 28
#[test]
fn a_length_above_the_limit_costs_no_memory_at_all() {
    apart(|| {
        let options = ListenOptions::new().recv_max(Some(1000));
        for wire in Wire::all() {
            let scene = Scene::<engine::Pull>::with(wire, PullOptions::new(), &options);
            let before = memory().1;
            for _ in 0..32 {
                let too_long = CloseReason::TooLong { announced: 1 << 30, limit: 1000 };
                assert_eq!(scene.closes(&wire.head(1 << 30)), too_long);
            }
            let grown = memory().1.saturating_sub(before);
            assert!(grown < MUCH, "{grown} bytes for 32 refused messages");
        }
    });
}

/// sp-wire 8.2 item 35
#[test]
fn a_peer_that_falls_silent_in_a_message_holds_up_nobody_and_no_close() {
    for wire in Wire::all() {
        let scene = Scene::<engine::Pull>::new(wire);
        let mut silent = announcing(&scene, 3, 1 << 20);
        (0..20).for_each(|_| scene.bystander_works());
        scene.newcomer_works();
        let socket = scene.socket.clone();
        spawn(move || socket.close()).join();
        for liar in &mut silent {
            let farewell: &[u8] = if wire.is_web() { b"\x88\x02\x03\xe8" } else { b"" };
            assert_eq!(liar.rest(), farewell);
        }
    }
}

/// sp-wire 8.16 item 173, a short version
#[test]
fn a_thousand_connects_and_disconnects_leave_nothing_behind() {
    apart(|| {
        for wire in Wire::all() {
            let scene = Scene::<engine::Pull>::new(wire);
            let come_and_go = |times: usize| {
                for turn in 0..times {
                    if turn % 10 == 0 {
                        scene.newcomer_works();
                        continue;
                    }
                    let (mut guest, peer) = scene.peer();
                    guest.send_message(b"hello");
                    assert_eq!(recv(&scene.socket), "hello");
                    drop(guest);
                    assert_eq!(scene.closed(peer), CloseReason::PeerClosed);
                }
            };
            // What is made once and kept is there after this.
            come_and_go(50);
            let threads = || fs::read_dir("/proc/self/task").expect("Linux").count();
            let (used, open, running) = (memory().1, descriptors(), threads());
            come_and_go(1000);
            let grown = memory().1.saturating_sub(used);
            assert!(grown < MUCH, "{grown} bytes more");
            wait_until("the last connection is gone", || descriptors() <= open);
            assert_eq!(threads(), running);
            assert_eq!(scene.socket.stats().get("peers"), Some(1), "the bystander");
            scene.bystander_works();
        }
    });
}

/// What a fuzzing peer says, before it is put into the words of a wire and a pattern.
#[derive(Clone, Debug)]
enum Script {
    /// Anything.
    Noise(Vec<u8>),
    /// A good session with some damage.
    Session { payloads: Vec<Vec<u8>>, damage: Vec<(Index, Damage)> },
}

#[derive(Clone, Debug)]
enum Damage {
    Set(u8),
    Remove,
    Double,
    Cut,
}

impl Script {
    fn bytes<H: Host>(&self, scene: &Scene<H>) -> Vec<u8> {
        let (payloads, damage) = match self {
            Self::Noise(bytes) => return bytes.clone(),
            Self::Session { payloads, damage } => (payloads, damage),
        };
        let mut bytes = if scene.wire.is_web() {
            scene.request().into_bytes()
        } else {
            handshake(H::PEER).to_vec()
        };
        payloads.iter().for_each(|payload| bytes.extend(scene.wire.frame(payload)));
        for (at, damage) in damage {
            // Whatever was there may have been cut and removed.
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match damage {
                Damage::Set(value) => bytes[at] = *value,
                Damage::Remove => drop(bytes.remove(at)),
                Damage::Double => bytes.insert(at, bytes[at]),
                Damage::Cut => bytes.truncate(at + 1),
            }
        }
        bytes
    }
}

fn scripts() -> impl Strategy<Value = Script> {
    let body = || prop::collection::vec(any::<u8>(), 0..60);
    // Words like those of a backtrace: small, large, and with the end bit.
    let word = prop_oneof![0..9u32, any::<u32>(), 0x8000_0000u32..0x8000_0009];
    let headed = (prop::collection::vec(word, 0..12), body()).prop_map(|(words, body)| {
        words.into_iter().flat_map(u32::to_be_bytes).chain(body).collect::<Vec<u8>>()
    });
    let payload = prop_oneof![4 => headed, 4 => body(), 1 => Just(pattern(40_000))];
    let damage = prop_oneof![
        4 => any::<u8>().prop_map(Damage::Set),
        2 => Just(Damage::Remove),
        2 => Just(Damage::Double),
        1 => Just(Damage::Cut),
    ];
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Script::Noise),
        4 => (
            prop::collection::vec(payload, 0..20),
            prop::collection::vec((any::<Index>(), damage), 0..4),
        ).prop_map(|(payloads, damage)| Script::Session { payloads, damage }),
    ]
}

/// Many peers that talk nonsense to one socket, one after the other.
fn endures<H: Host>() {
    for wire in Wire::all() {
        // After a failure the next try has a fresh one, so that what is found is the failure's cause.
        let spare = Cell::new(None);
        let before = memory().1;
        let config = Config {
            cases: 40,
            failure_persistence: None,
            // A hang takes its whole deadline each time it is tried again.
            max_shrink_time: 60_000,
            ..Config::default()
        };
        let strategy = (scripts(), prop::collection::vec(any::<Index>(), 0..4));
        let endured = TestRunner::new(config).run(&strategy, |(script, cuts)| {
            let scene = spare.take().unwrap_or_else(|| Scene::<H>::new(wire));
            let bytes = script.bytes(&scene);
            let mut fool = scene.stranger();
            // Connected and silent it is nobody's peer yet.
            scene.bystander_works();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            cuts.windows(2).for_each(|pair| fool.send_in_vain(&bytes[pair[0]..pair[1]]));
            fool.finish();
            fool.rest();
            let why = loop {
                match scene.event() {
                    PipeEvent::Connected { .. } => {}
                    PipeEvent::Closed { why, .. } | PipeEvent::Refused { why, .. } => break why,
                    other => panic!("{other:?}"),
                }
            };
            prop_assert_ne!(why, CloseReason::Closed, "the peer ends it, or what it says");
            H::drain(&scene.socket);
            scene.bystander_works();
            spare.set(Some(scene));
            Ok(())
        });
        if let Err(error) = endured {
            panic!("{:?} over {wire:?}: {error}", H::SELF);
        }
        let grown = memory().1.saturating_sub(before);
        assert!(grown < 2 * MUCH, "{grown} bytes more after nothing but nonsense");
    }
}

/// sp-wire 8.16 item 174
#[test]
fn a_pull_endures_nonsense() {
    apart(|| {
        endures::<engine::Pull>();
    });
}

/// sp-wire 8.16 item 174
#[test]
fn a_push_endures_nonsense() {
    apart(|| {
        endures::<engine::Push>();
    });
}

/// sp-wire 8.16 item 174
#[test]
fn a_rep_endures_nonsense() {
    apart(|| {
        endures::<engine::Rep>();
    });
}

/// sp-wire 8.16 item 174
#[test]
fn a_req_endures_nonsense() {
    apart(|| {
        endures::<engine::Req>();
    });
}

/// sp-wire 8.16 item 174
#[test]
fn a_sub_endures_nonsense() {
    apart(|| {
        endures::<engine::Sub>();
    });
}

/// sp-wire 8.16 item 174
#[test]
fn a_pub_endures_nonsense() {
    apart(|| {
        endures::<engine::Pub>();
    });
}

/// sp-wire 8.16 item 174
#[test]
fn a_surveyor_endures_nonsense() {
    apart(|| {
        endures::<engine::Surveyor>();
    });
}

/// sp-wire 8.16 item 174
#[test]
fn a_respondent_endures_nonsense() {
    apart(|| {
        endures::<engine::Respondent>();
    });
}

/// sp-wire 8.16 item 174
#[test]
fn a_polyamorous_pair1_endures_nonsense() {
    apart(|| {
        endures::<engine::Pair1Poly>();
    });
}

/// sp-wire 8.16 item 174
#[test]
fn a_bus_endures_nonsense() {
    apart(|| {
        endures::<engine::Bus>();
    });
}

/// sp-wire 8.16 item 174
#[test]
fn a_star_endures_nonsense() {
    apart(|| {
        endures::<engine::Star>();
    });
}
