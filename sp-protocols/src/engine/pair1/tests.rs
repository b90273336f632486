use sp_core::id::Id as _;

use super::*;
use crate::engine::Counter;
use crate::engine::testing::{Effect, Rig, Unsent, with_words};

const MAIN: CtxId = CtxId::MAIN;
const BAD: CloseReason = CloseReason::BadHeader { protocol: ProtocolId::PAIR1 };

fn pair1(ttl: u8) -> Rig<Pair1> {
    Rig::with(Pair1Options::new().ttl(ttl))
}

fn came(hops: u32, body: &str) -> Vec<u8> {
    with_words(&[hops], body)
}

/// sp-wire 8.13 item 144
#[test]
fn a_message_leaves_with_one_hop_whatever_header_it_had() {
    let mut rig = Rig::<Pair1>::new();
    let peer = rig.peer();
    let mut msg = Message::from("hi");
    let _ = msg.push_header(77);
    rig.send(msg).unwrap();
    rig.expect([Effect::Transmit(peer, vec![0, 0, 0, 1, b'h', b'i'])]);
}

/// sp-wire 8.13 item 145
#[test]
fn hops_up_to_the_limit_are_delivered_and_more_are_dropped() {
    for ttl in [1, 8, 15] {
        let mut rig = pair1(ttl);
        let peer = rig.peer();
        for hops in 0..=0xFF {
            assert_eq!(rig.arrive(peer, [came(hops, "body")]), Flow::More);
            if hops <= u32::from(ttl) {
                let msg = rig.recv().unwrap();
                assert_eq!((msg.header(), msg.body()), (&[][..], &b"body"[..]), "{hops}");
                assert_eq!(msg.source(), Some(peer));
                rig.expect([]);
            } else {
                assert_eq!(rig.recv(), Err(RecvBlocked::Empty), "{hops}");
                rig.expect([Effect::Count(Counter::HopLimit)]);
            }
        }
    }
}

/// sp-wire 8.13 item 145, item 146
#[test]
fn a_malformed_header_closes_the_peer() {
    let short = (0..4).map(|len| vec![0; len]);
    let large = [0x100, 0x0100_0000, u32::MAX].map(|hops| came(hops, "body"));
    for bad in short.chain(large) {
        let mut rig = Rig::<Pair1>::new();
        let peer = rig.peer();
        assert_eq!(rig.arrive(peer, [came(1, "good"), bad, came(1, "too late")]), Flow::More);
        rig.expect([Effect::Close(peer, BAD)]);
        // Its last words do not count, and another may come before it is gone.
        let _ = rig.arrive(peer, [came(1, "much too late"), Vec::new()]);
        rig.expect([]);
        assert_eq!(rig.recv_all(9), [b"good"]);
        let next = rig.peer();
        rig.close(peer);
        rig.send("you").unwrap();
        rig.expect([Effect::Transmit(next, came(1, "you"))]);
    }
}

#[test]
fn a_malformed_header_is_seen_when_there_is_room_for_what_comes_before_it() {
    let mut rig = Rig::<Pair1>::with(Pair1Options::new().recv_queue(1));
    let peer = rig.peer();
    let good = ["1", "2"].map(|body| came(0, body));
    assert_eq!(rig.arrive(peer, good.into_iter().chain([Vec::new()])), Flow::Pause);
    for body in [b"1", b"2"] {
        assert_eq!(rig.recv_all(1), [body]);
        rig.expect([Effect::Resume(peer)]);
        let _ = rig.read(peer);
    }
    rig.expect([Effect::Close(peer, BAD)]);
}

/// sp-wire 8.13 item 147
#[test]
fn a_message_of_four_bytes_is_delivered_as_empty() {
    let mut rig = Rig::<Pair1>::new();
    let peer = rig.peer();
    let _ = rig.arrive(peer, [[0, 0, 0, 0]]);
    assert_eq!(rig.recv().unwrap(), "");
}

#[test]
fn what_waits_behind_a_full_inbox_loses_its_header_once() {
    let mut rig = Rig::<Pair1>::with(Pair1Options::new().recv_queue(2));
    let peer = rig.peer();
    let messages = ["1", "2", "3", "4"].map(|body| came(2, body));
    assert_eq!(rig.arrive(peer, messages), Flow::Pause);
    for body in [b"1", b"2", b"3", b"4"] {
        assert_eq!(rig.recv_all(1), [body]);
        rig.read_all();
    }
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
}

/// sp-wire 3.6: as PAIR.
#[test]
fn a_second_peer_is_refused_and_what_waits_goes_to_the_next() {
    let mut rig = Rig::<Pair1>::with(Pair1Options::new().send_queue(1));
    let first = rig.peer_with_room(0);
    let second = PeerId::from_parts(7, 0);
    let busy = Err(CloseReason::TooMany { limit: 1 });
    assert_eq!(rig.engine.opened(second, &mut rig.world), busy);
    rig.send("1").unwrap();
    let Err(Unsent::Full(msg)) = rig.send_waiting(MAIN, "2") else { panic!("there is no room") };
    assert_eq!((msg.header(), msg.body()), (&[][..], &b"2"[..]));
    assert_eq!(rig.engine.unsent(), 4 + 1 + 128);
    rig.close(first);
    rig.expect([]);
    let next = rig.peer();
    rig.expect([Effect::Transmit(next, came(1, "1")), Effect::WakeSend(MAIN)]);
}

#[test]
fn what_is_dropped_for_want_of_room_is_looked_at_all_the_same() {
    for (when_full, kept) in [(WhenFull::DropNewest, b"1"), (WhenFull::DropOldest, b"2")] {
        let options = Pair1Options::new().ttl(3).recv_queue(1).when_full(when_full);
        let mut rig = Rig::<Pair1>::with(options);
        let peer = rig.peer();
        assert_eq!(rig.arrive(peer, [came(1, "1"), came(4, "far"), came(1, "2")]), Flow::More);
        assert_eq!(rig.counted(), [Counter::HopLimit, Counter::DroppedOnReceive]);
        assert_eq!(rig.recv_all(9), [kept]);
        let _ = rig.arrive(peer, [came(1, "3"), came(1, "4"), vec![0; 3]]);
        assert!(rig.world.take_effects().contains(&Effect::Close(peer, BAD)));
    }
}

#[test]
fn options_are_checked_and_printed() {
    let named = |options: Pair1Options| options.check().map_err(|bad| bad.option);
    assert_eq!(named(Pair1Options::default()), Ok(()));
    assert_eq!(named(Pair1Options::new().ttl(0)), Err("ttl"));
    assert_eq!(named(Pair1Options::new().ttl(16)), Err("ttl"));
    assert_eq!(named(Pair1Options::new().recv_queue(0)), Err("recv_queue"));
    assert_eq!(named(Pair1Options::new().queue_bytes(0)), Err("queue_bytes"));
    let set = Pair1Options::new().ttl(3).recv_queue(7).send_queue(8).queue_bytes(9);
    let set = set.when_full(WhenFull::DropNewest).to_string();
    assert_eq!(set, "ttl 3, recv_queue 7, send_queue 8, queue_bytes 9, when_full drop newest");
    assert_eq!(
        Pair1Options::default().to_string(),
        "ttl 8, recv_queue 1024, send_queue 0, queue_bytes 16777216, when_full block"
    );
}
