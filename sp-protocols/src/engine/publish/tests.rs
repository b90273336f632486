use super::*;
use crate::engine::Counter;
use crate::engine::testing::{Effect, Rig, Unsent};

fn publisher(queue: usize, policy: WhenSlow) -> Rig<Pub> {
    Rig::with(PubOptions::new().queue(queue).when_slow(policy))
}

fn dropping_oldest(queue: usize) -> Rig<Pub> {
    publisher(queue, WhenSlow::DropOldest)
}

/// What of the broadcasts has arrived at `peer` since the last look.
fn got(rig: &mut Rig<Pub>, peer: PeerId) -> Vec<String> {
    let bodies = rig.world.take_broadcasts(peer).into_iter();
    bodies.map(|body| String::from_utf8(body).unwrap()).collect()
}

fn broadcast(text: &str) -> Effect {
    Effect::Broadcast(text.into())
}

/// sp-wire 8.10 item 130
#[test]
fn a_send_succeeds_without_peers() {
    for policy in [WhenSlow::DropOldest, WhenSlow::Block] {
        assert!(publisher(1, policy).send("news").is_ok());
    }
}

#[test]
fn every_peer_gets_every_message_without_its_foreign_header() {
    let mut rig = dropping_oldest(1);
    let peers = [rig.peer(), rig.peer(), rig.peer()];
    let mut msg = Message::from("news");
    let _ = msg.push_header(1);
    rig.send(msg).unwrap();
    rig.expect(peers.map(Effect::Join).into_iter().chain([broadcast("news")]));
    for peer in peers {
        assert_eq!(got(&mut rig, peer), ["news"]);
    }
}

/// sp-wire 8.10 item 130
#[test]
fn a_stalled_peer_wakes_up_to_the_newest_in_order() {
    let mut rig = dropping_oldest(2);
    let (stalled, other) = (rig.peer_with_room(1), rig.peer());
    for text in ["1", "2", "3"] {
        rig.send(text).unwrap();
    }
    rig.world.take_effects();
    rig.send("4").unwrap();
    let dropped = [Effect::DropOldest(stalled, 1), Effect::Count(Counter::DroppedOnSend)];
    rig.expect(dropped.into_iter().chain([broadcast("4")]));
    rig.set_room(stalled, 9);
    assert_eq!(got(&mut rig, stalled), ["1", "3", "4"]);
    assert_eq!(got(&mut rig, other), ["1", "2", "3", "4"]);
}

#[test]
fn a_stalled_peer_misses_as_many_of_the_oldest_as_the_bytes_require() {
    let mut rig = Rig::<Pub>::with(PubOptions::new().queue_bytes(1000));
    let stalled = rig.peer_with_room(0);
    for text in ["1", "2", "3"] {
        rig.send(text).unwrap();
    }
    rig.send([b'4'; 2000]).unwrap();
    assert_eq!(rig.counted(), []);
    rig.send("5").unwrap();
    assert_eq!(rig.counted(), [Counter::DroppedOnSend; 4]);
    rig.set_room(stalled, 9);
    assert_eq!(got(&mut rig, stalled), ["5"]);
}

#[test]
fn a_peer_that_drops_the_newest_keeps_the_oldest_and_joins_again_when_there_is_room() {
    let mut rig = publisher(2, WhenSlow::DropNewest);
    let (stalled, other) = (rig.peer_with_room(0), rig.peer());
    for text in ["1", "2"] {
        rig.send(text).unwrap();
    }
    rig.world.take_effects();
    rig.send("3").unwrap();
    let count = || Effect::Count(Counter::DroppedOnSend);
    rig.expect([Effect::Leave(stalled), count(), broadcast("3")]);
    rig.send("4").unwrap();
    rig.expect([count(), broadcast("4")]);
    rig.set_room(stalled, 1);
    rig.send("5").unwrap();
    rig.expect([Effect::Join(stalled), broadcast("5")]);
    rig.send("6").unwrap();
    rig.expect([Effect::Leave(stalled), count(), broadcast("6")]);
    rig.set_room(stalled, 9);
    assert_eq!(got(&mut rig, stalled), ["1", "2", "5"]);
    assert_eq!(got(&mut rig, other).len(), 6);
}

#[test]
fn a_send_waits_for_the_slowest_and_is_woken_when_nobody_is_slow() {
    let mut rig = publisher(1, WhenSlow::Block);
    let (a, b) = (rig.peer_with_room(0), rig.peer_with_room(0));
    rig.send("1").unwrap();
    rig.world.take_effects();
    assert!(matches!(rig.send_waiting(CtxId::MAIN, "2"), Err(Unsent::Full(msg)) if msg == "2"));
    rig.expect([]);
    rig.set_room(a, 1);
    rig.expect([]);
    rig.set_room(b, 1);
    rig.expect([Effect::WakeSend(CtxId::MAIN)]);
    rig.send_waiting(CtxId::MAIN, "2").unwrap();
    rig.expect([broadcast("2")]);
    assert_eq!((got(&mut rig, a), got(&mut rig, b)), (vec!["1".into()], vec!["1".into()]));
}

#[test]
fn a_send_that_waits_is_woken_when_the_slow_peer_goes() {
    let mut rig = publisher(1, WhenSlow::Block);
    let (slow, rogue) = (rig.peer_with_room(0), rig.peer_with_room(0));
    rig.send("1").unwrap();
    assert!(rig.send_waiting(CtxId::MAIN, "2").is_err());
    let _ = rig.arrive(rogue, ["not for a publisher"]);
    rig.world.take_effects();
    rig.close(slow);
    rig.expect([Effect::Count(Counter::LostWithPeer), Effect::WakeSend(CtxId::MAIN)]);
}

#[test]
fn one_success_wakes_the_next_send_that_waits() {
    let mut rig = publisher(1, WhenSlow::Block);
    let slow = rig.peer_with_room(0);
    rig.send("1").unwrap();
    for text in ["2", "3"] {
        assert!(rig.send_waiting(CtxId::MAIN, text).is_err());
    }
    rig.world.take_effects();
    rig.set_room(slow, 9);
    rig.expect([Effect::WakeSend(CtxId::MAIN)]);
    rig.send_waiting(CtxId::MAIN, "2").unwrap();
    rig.expect([broadcast("2"), Effect::WakeSend(CtxId::MAIN)]);
    rig.abandon_send(CtxId::MAIN);
    rig.send("4").unwrap();
    rig.expect([broadcast("4")]);
}

#[test]
fn a_slow_peer_is_disconnected_with_its_backlog_counted() {
    let mut rig = publisher(2, WhenSlow::Disconnect);
    let (slow, other) = (rig.peer_with_room(0), rig.peer());
    for text in ["1", "2"] {
        rig.send(text).unwrap();
    }
    rig.world.take_effects();
    rig.send("3").unwrap();
    let why = CloseReason::TooSlow { waiting: 2 };
    rig.expect([
        Effect::Count(Counter::TooSlow),
        Effect::Leave(slow),
        Effect::Close(slow, why),
        broadcast("3"),
    ]);
    rig.send("4").unwrap();
    rig.expect([broadcast("4")]);
    rig.close(slow);
    assert_eq!(rig.counted(), [Counter::LostWithPeer; 2]);
    assert_eq!(got(&mut rig, other).len(), 4);
}

/// sp-wire 8.10 item 132
#[test]
fn a_peer_that_sends_is_closed_and_gets_nothing_more() {
    let mut rig = dropping_oldest(9);
    let [rogue, good] = [rig.peer(), rig.peer()];
    rig.world.take_effects();
    assert_eq!(rig.arrive(rogue, ["x", "y"]), Flow::More);
    let why = CloseReason::Unexpected { protocol: ProtocolId::PUB };
    rig.expect([Effect::Leave(rogue), Effect::Close(rogue, why)]);
    assert_eq!(rig.arrive(rogue, ["z"]), Flow::More);
    rig.send("news").unwrap();
    rig.expect([broadcast("news")]);
    assert_eq!(got(&mut rig, rogue).len(), 0);
    assert_eq!(got(&mut rig, good), ["news"]);
}

#[test]
fn what_waited_for_a_lost_peer_is_counted() {
    let mut rig = dropping_oldest(9);
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
    assert_eq!(
        PubOptions::default().to_string(),
        "queue 4096, queue_bytes 16777216, when_slow drop oldest"
    );
    let options = PubOptions::new().queue(7).queue_bytes(8);
    for (policy, name) in [
        (WhenSlow::DropNewest, "drop newest"),
        (WhenSlow::Block, "block"),
        (WhenSlow::Disconnect, "disconnect"),
    ] {
        assert_eq!(
            options.clone().when_slow(policy).to_string(),
            format!("queue 7, queue_bytes 8, when_slow {name}")
        );
    }
}
