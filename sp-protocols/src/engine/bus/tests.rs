use super::*;
use crate::engine::Counter;
use crate::engine::testing::{Effect, Rig};

const MAIN: CtxId = CtxId::MAIN;

/// What of the broadcasts has arrived at `peer` since the last look.
fn got(rig: &mut Rig<Bus>, peer: PeerId) -> Vec<String> {
    let bodies = rig.world.take_broadcasts(peer).into_iter();
    bodies.map(|body| String::from_utf8(body).unwrap()).collect()
}

/// sp-wire 8.14 item 151
#[test]
fn a_message_reaches_every_neighbour_once_and_never_its_sender() {
    let mut rig = Rig::<Bus>::new();
    let peers = [rig.peer(), rig.peer(), rig.peer()];
    let mut msg = Message::from("news");
    let _ = msg.push_header(1);
    rig.send(msg).unwrap();
    let broadcast = Effect::Broadcast(b"news".to_vec());
    rig.expect(peers.map(Effect::Join).into_iter().chain([broadcast]));
    for peer in peers {
        assert_eq!(got(&mut rig, peer), ["news"]);
    }
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
}

/// sp-wire 8.14 item 151
#[test]
fn what_comes_from_one_is_not_passed_on_to_others() {
    let mut rig = Rig::<Bus>::new();
    let [a, b] = [rig.peer(), rig.peer()];
    rig.world.take_effects();
    let _ = rig.arrive(a, ["from a"]);
    let _ = rig.arrive(b, ["from b"]);
    rig.expect([]);
    for (peer, body) in [(a, "from a"), (b, "from b")] {
        let msg = rig.recv().unwrap();
        assert_eq!((msg.as_str(), msg.source()), (Ok(body), Some(peer)));
    }
}

/// sp-wire 8.14 item 152
#[test]
fn a_slow_neighbour_misses_the_newest_alone_and_gets_what_comes_once_it_has_room() {
    let mut rig = Rig::<Bus>::with(BusOptions::new().send_queue(2));
    let (slow, other) = (rig.peer_with_room(0), rig.peer());
    for text in ["1", "2"] {
        rig.send(text).unwrap();
    }
    assert_eq!(rig.counted(), []);
    for text in ["3", "4"] {
        rig.send(text).unwrap();
    }
    assert_eq!(rig.counted(), [Counter::DroppedOnSend; 2]);
    rig.set_room(slow, 9);
    rig.send("5").unwrap();
    assert_eq!(rig.counted(), []);
    assert_eq!(got(&mut rig, slow), ["1", "2", "5"]);
    assert_eq!(got(&mut rig, other), ["1", "2", "3", "4", "5"]);
}

#[test]
fn for_a_slow_neighbour_the_oldest_is_dropped_or_it_is_disconnected_or_waited_for() {
    let slow = |when_slow| {
        let mut rig = Rig::<Bus>::with(BusOptions::new().send_queue(1).when_slow(when_slow));
        let peers = (rig.peer_with_room(0), rig.peer());
        rig.send("1").unwrap();
        rig.world.take_effects();
        (rig, peers)
    };
    let (mut rig, (peer, _)) = slow(WhenSlow::DropOldest);
    rig.send("2").unwrap();
    assert_eq!(rig.counted(), [Counter::DroppedOnSend]);
    rig.set_room(peer, 9);
    assert_eq!(got(&mut rig, peer), ["2"]);

    let (mut rig, (peer, other)) = slow(WhenSlow::Disconnect);
    rig.send("2").unwrap();
    let why = CloseReason::TooSlow { waiting: 1 };
    assert!(rig.world.take_effects().contains(&Effect::Close(peer, why)));
    assert_eq!(got(&mut rig, other), ["1", "2"]);

    let (mut rig, (peer, other)) = slow(WhenSlow::Block);
    assert!(rig.send_waiting(MAIN, "2").is_err(), "it waits for the slow one");
    rig.set_room(peer, 9);
    assert!(rig.world.woken_send().is_some());
    rig.send("2").unwrap();
    assert_eq!([got(&mut rig, peer), got(&mut rig, other)], [["1", "2"]; 2]);
    assert_eq!(rig.counted(), []);
}

/// sp-wire 8.14 item 152
#[test]
fn a_full_inbox_drops_the_newest_and_pauses_nobody() {
    let mut rig = Rig::<Bus>::with(BusOptions::new().recv_queue(2));
    let [a, b] = [rig.peer(), rig.peer()];
    rig.world.take_effects();
    assert_eq!(rig.arrive(a, ["1", "2", "3"]), Flow::More);
    assert_eq!(rig.arrive(b, ["4"]), Flow::More);
    rig.expect([
        Effect::Count(Counter::DroppedOnReceive),
        Effect::Count(Counter::DroppedOnReceive),
    ]);
    assert_eq!(rig.recv_all(1), [b"1"]);
    assert_eq!(rig.arrive(b, ["5"]), Flow::More);
    assert_eq!(rig.recv_all(9), [b"2", b"5"]);
}

#[test]
fn a_full_inbox_drops_the_oldest_or_is_not_read_where_that_is_set() {
    let full = |when_full| {
        let mut rig = Rig::<Bus>::with(BusOptions::new().recv_queue(2).when_full(when_full));
        let peer = rig.peer();
        rig.world.take_effects();
        let flow = rig.arrive(peer, ["1", "2", "3"]);
        (rig, peer, flow)
    };
    let (mut rig, _, flow) = full(WhenFull::DropOldest);
    assert_eq!(flow, Flow::More);
    rig.expect([Effect::Count(Counter::DroppedOnReceive)]);
    assert_eq!(rig.recv_all(9), [b"2", b"3"]);
    let (mut rig, peer, flow) = full(WhenFull::Block);
    assert_eq!(flow, Flow::Pause);
    assert_eq!(rig.recv_all(1), [b"1"]);
    rig.expect([Effect::Resume(peer)]);
    assert_eq!(rig.read(peer), Flow::More);
    assert_eq!(rig.recv_all(9), [b"2", b"3"]);
}

#[test]
fn a_neighbour_that_goes_leaves_its_turn_to_be_read_to_the_next() {
    let options = BusOptions::new().recv_queue(1).when_full(WhenFull::Block);
    let mut rig = Rig::<Bus>::with(options);
    let [a, b] = [rig.peer(), rig.peer()];
    assert_eq!(rig.arrive(a, ["1", "2"]), Flow::Pause);
    assert_eq!(rig.arrive(b, ["3"]), Flow::Pause);
    assert_eq!(rig.recv_all(1), [b"1"]);
    rig.world.take_effects();
    rig.close(a);
    rig.expect([Effect::Resume(b)]);
}

/// sp-wire 8.14 item 152
#[test]
fn a_send_without_neighbours_succeeds() {
    let mut rig = Rig::<Bus>::new();
    rig.send("into the void").unwrap();
    let late = rig.peer();
    assert_eq!(got(&mut rig, late), Vec::<String>::new());
}

#[test]
fn what_waited_for_a_neighbour_that_goes_is_counted() {
    let mut rig = Rig::<Bus>::new();
    let gone = rig.peer_with_room(1);
    for text in ["1", "2", "3"] {
        rig.send(text).unwrap();
    }
    rig.close(gone);
    assert_eq!(rig.counted(), [Counter::LostWithPeer; 2]);
}

#[test]
fn no_more_receives_are_woken_than_can_succeed() {
    let mut rig = Rig::<Bus>::with(BusOptions::new().recv_queue(1));
    let a = rig.peer();
    rig.world.take_effects();
    rig.recv_waiting(MAIN).unwrap_err();
    rig.recv_waiting(MAIN).unwrap_err();
    let _ = rig.arrive(a, ["1", "2"]);
    rig.expect([Effect::WakeRecv(MAIN), Effect::Count(Counter::DroppedOnReceive)]);
    rig.abandon_recv(MAIN);
    rig.expect([Effect::WakeRecv(MAIN)]);
}

#[test]
fn options_are_checked_and_printed() {
    let named = |options: BusOptions| options.check().map_err(|bad| bad.option);
    assert_eq!(named(BusOptions::default()), Ok(()));
    assert_eq!(named(BusOptions::new().recv_queue(0)), Err("recv_queue"));
    assert_eq!(named(BusOptions::new().send_queue(0)), Err("send_queue"));
    assert_eq!(named(BusOptions::new().queue_bytes(0)), Err("queue_bytes"));
    assert_eq!(
        BusOptions::default().to_string(),
        "recv_queue 1024, send_queue 4096, queue_bytes 16777216, when_full drop newest, when_slow drop newest"
    );
    let set = BusOptions::new().recv_queue(7).send_queue(8).queue_bytes(9);
    let set = set.when_full(WhenFull::Block).when_slow(WhenSlow::Disconnect).to_string();
    let wanted = "recv_queue 7, send_queue 8, queue_bytes 9, when_full block, when_slow disconnect";
    assert_eq!(set, wanted);
}
