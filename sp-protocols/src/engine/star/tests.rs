use super::*;
use crate::engine::testing::{Effect, Rig, with_words};

fn came(hops: u32, body: &str) -> Vec<u8> {
    with_words(&[hops], body)
}

/// sp-wire 8.14 item 155
#[test]
fn a_message_leaves_with_no_hop_to_every_neighbour() {
    let mut rig = Rig::<Star>::new();
    let peers = [rig.peer(), rig.peer()];
    let mut msg = Message::from("hi");
    let _ = msg.push_header(77);
    rig.send(msg).unwrap();
    rig.expect(peers.map(|peer| Effect::Transmit(peer, vec![0, 0, 0, 0, b'h', b'i'])));
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
}

/// sp-wire 8.14 item 155
#[test]
fn what_comes_is_received_and_passed_on_to_all_but_its_source_with_one_more_hop() {
    let mut rig = Rig::<Star>::new();
    let [a, b, c] = [rig.peer(), rig.peer(), rig.peer()];
    let _ = rig.arrive(b, [came(0, "1"), came(7, "2")]);
    rig.expect([
        Effect::Transmit(a, came(1, "1")),
        Effect::Transmit(c, came(1, "1")),
        Effect::Transmit(a, came(8, "2")),
        Effect::Transmit(c, came(8, "2")),
    ]);
    for body in ["1", "2"] {
        let msg = rig.recv().unwrap();
        assert_eq!((msg.header(), msg.as_str()), (&[][..], Ok(body)));
        assert_eq!(msg.source(), Some(b));
    }
}

/// sp-wire 8.14 item 155
#[test]
fn what_came_too_far_or_is_malformed_is_dropped_and_its_peer_stays() {
    let mut rig = Rig::<Star>::with(StarOptions::new().ttl(3));
    let [a, b] = [rig.peer(), rig.peer()];
    for hops in [3, 8, 0xFF, 0x100, 0x0001_0000, 0x0100_0000] {
        let _ = rig.arrive(a, [came(hops, "body")]);
        rig.expect([Effect::Count(Counter::HopLimit)]);
    }
    for len in 0..4 {
        let _ = rig.arrive(a, [vec![0; len]]);
        rig.expect([Effect::Count(Counter::Malformed)]);
    }
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
    let _ = rig.arrive(a, [came(2, "body")]);
    rig.expect([Effect::Transmit(b, came(3, "body"))]);
    assert_eq!(rig.recv_all(9), [b"body"]);
}

#[test]
fn a_neighbour_without_room_misses_what_is_sent_and_what_is_passed_on() {
    let mut rig = Rig::<Star>::new();
    let (slow, other) = (rig.peer_with_room(0), rig.peer());
    rig.send("1").unwrap();
    let missed = Effect::Count(Counter::DroppedOnSend);
    rig.expect([missed.clone(), Effect::Transmit(other, came(0, "1"))]);
    let _ = rig.arrive(other, [came(0, "2")]);
    rig.expect([missed]);
    rig.set_room(slow, 1);
    rig.send("3").unwrap();
    rig.expect([Effect::Transmit(slow, came(0, "3")), Effect::Transmit(other, came(0, "3"))]);
}

#[test]
fn a_full_inbox_drops_the_newest_and_passes_it_on_all_the_same() {
    let mut rig = Rig::<Star>::with(StarOptions::new().queue(1));
    let [a, b] = [rig.peer(), rig.peer()];
    assert_eq!(rig.arrive(a, [came(0, "1"), came(0, "2")]), Flow::More);
    rig.expect([
        Effect::Transmit(b, came(1, "1")),
        Effect::Transmit(b, came(1, "2")),
        Effect::Count(Counter::DroppedOnReceive),
    ]);
    assert_eq!(rig.recv_all(9), [b"1"]);
}

#[test]
fn a_full_inbox_drops_the_oldest_or_blocks_if_told_to() {
    let mut rig = Rig::<Star>::with(StarOptions::new().queue(1).when_full(WhenFull::DropOldest));
    let [a, b] = [rig.peer(), rig.peer()];
    assert_eq!(rig.arrive(a, [came(0, "1"), came(0, "2")]), Flow::More);
    rig.expect([
        Effect::Transmit(b, came(1, "1")),
        Effect::Transmit(b, came(1, "2")),
        Effect::Count(Counter::DroppedOnReceive),
    ]);
    assert_eq!(rig.recv_all(9), [b"2"]);
    let mut rig = Rig::<Star>::with(StarOptions::new().queue(1).when_full(WhenFull::Block));
    let [a, b] = [rig.peer(), rig.peer()];
    assert_eq!(rig.arrive(a, [came(0, "1"), came(0, "2")]), Flow::Pause);
    rig.expect([Effect::Transmit(b, came(1, "1"))]);
    assert_eq!(rig.recv_all(1), [b"1"]);
    rig.expect([Effect::Resume(a)]);
    assert_eq!(rig.read(a), Flow::More);
    rig.expect([Effect::Transmit(b, came(1, "2"))]);
    assert_eq!(rig.recv_all(9), [b"2"]);
}

#[test]
fn a_neighbour_that_has_gone_gets_nothing() {
    let mut rig = Rig::<Star>::new();
    let [gone, stays] = [rig.peer(), rig.peer()];
    rig.close(gone);
    rig.send("1").unwrap();
    rig.expect([Effect::Transmit(stays, came(0, "1"))]);
}

#[test]
fn options_are_checked_and_printed() {
    let named = |options: StarOptions| options.check().map_err(|bad| bad.option);
    assert_eq!(named(StarOptions::default()), Ok(()));
    assert_eq!(named(StarOptions::new().ttl(16)), Err("ttl"));
    assert_eq!(named(StarOptions::new().queue(0)), Err("queue"));
    assert_eq!(named(StarOptions::new().queue_bytes(0)), Err("queue_bytes"));
    let set = StarOptions::new().ttl(3).queue(7).queue_bytes(9).when_full(WhenFull::Block);
    assert_eq!(set.to_string(), "ttl 3, queue 7, queue_bytes 9, when_full block");
    let default = "ttl 8, queue 1024, queue_bytes 16777216, when_full drop newest";
    assert_eq!(StarOptions::default().to_string(), default);
}
