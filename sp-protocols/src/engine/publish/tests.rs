use super::*;
use crate::engine::testing::{Effect, Rig};

fn publisher(queue: usize) -> Rig<Pub> {
    Rig::with(PubOptions::new().queue(queue))
}

/// sp-wire 8.10 item 130
#[test]
fn a_send_succeeds_without_peers() {
    assert!(publisher(1).send("news").is_ok());
}

#[test]
fn every_peer_gets_every_message_without_its_foreign_header() {
    let mut rig = publisher(1);
    let [a, b, c] = [rig.peer(), rig.peer(), rig.peer()];
    let mut msg = Message::from("news");
    let _ = msg.push_header(1);
    rig.send(msg).unwrap();
    rig.expect([a, b, c].map(|peer| Effect::Transmit(peer, b"news".to_vec())));
}

/// sp-wire 8.10 item 130
#[test]
fn a_stalled_peer_wakes_up_to_the_newest_in_order() {
    let mut rig = publisher(2);
    let stalled = rig.peer_with_room(1);
    let other = rig.peer();
    for text in ["1", "2", "3", "4"] {
        rig.send(text).unwrap();
    }
    let effects = rig.world.take_effects();
    assert_eq!(
        effects.iter().filter(|e| matches!(e, Effect::Transmit(p, _) if *p == other)).count(),
        4
    );
    assert_eq!(effects.iter().filter(|e| **e == Effect::Count(Counter::DroppedOnSend)).count(), 1);
    rig.set_room(stalled, 1);
    rig.expect([Effect::Transmit(stalled, b"3".to_vec())]);
    rig.set_room(stalled, 9);
    rig.expect([Effect::Transmit(stalled, b"4".to_vec())]);
}

#[test]
fn a_stalled_peer_misses_as_many_of_the_oldest_as_the_bytes_require() {
    let mut rig = Rig::<Pub>::with(PubOptions::new().queue_bytes(1000));
    let stalled = rig.peer_with_room(0);
    for text in ["1", "2", "3"] {
        rig.send(text).unwrap();
    }
    rig.send([4; 2000]).unwrap();
    rig.expect([]);
    rig.send("5").unwrap();
    assert_eq!(rig.counted(), [Counter::DroppedOnSend; 4]);
    rig.set_room(stalled, 9);
    rig.expect([Effect::Transmit(stalled, b"5".to_vec())]);
}

#[test]
fn a_new_message_does_not_overtake_those_that_wait() {
    let mut rig = publisher(9);
    let a = rig.peer_with_room(0);
    rig.send("1").unwrap();
    rig.set_room(a, 1);
    rig.send("2").unwrap();
    rig.set_room(a, 9);
    assert_eq!(rig.transmitted(), [(a, b"1".to_vec()), (a, b"2".to_vec())]);
}

/// sp-wire 8.10 item 132
#[test]
fn a_peer_that_sends_is_closed_and_gets_nothing_more() {
    let mut rig = publisher(9);
    let [rogue, good] = [rig.peer(), rig.peer()];
    assert_eq!(rig.arrive(rogue, ["x", "y"]), Flow::More);
    let why = CloseReason::Unexpected { protocol: ProtocolId::PUB };
    rig.expect([Effect::Close(rogue, why)]);
    assert_eq!(rig.arrive(rogue, ["z"]), Flow::More);
    rig.send("news").unwrap();
    rig.expect([Effect::Transmit(good, b"news".to_vec())]);
}

#[test]
fn what_waited_for_a_lost_peer_is_counted() {
    let mut rig = publisher(9);
    let a = rig.peer_with_room(0);
    rig.send("1").unwrap();
    rig.send("2").unwrap();
    rig.close(a);
    assert_eq!(rig.counted(), [Counter::LostWithPeer; 2]);
}

#[test]
fn a_queue_of_zero_is_refused_and_options_are_printed() {
    assert!(PubOptions::new().queue(0).check().is_err());
    assert!(PubOptions::new().queue_bytes(0).check().is_err());
    assert_eq!(PubOptions::default().check(), Ok(()));
    assert_eq!(PubOptions::default().to_string(), "queue 1024, queue_bytes 16777216");
    assert_eq!(PubOptions::new().queue(7).queue_bytes(8).to_string(), "queue 7, queue_bytes 8");
}
