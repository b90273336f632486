use super::*;
use crate::engine::testing::{Effect, Rig, Unsent};

const MAIN: CtxId = CtxId::MAIN;

fn sent_to(rig: &mut Rig<Push>) -> Vec<PeerId> {
    rig.transmitted().into_iter().map(|(peer, _)| peer).collect()
}

/// sp-wire 8.11 item 135
#[test]
fn ready_peers_are_used_in_turn() {
    let mut rig = Rig::<Push>::new();
    let [a, b, c] = [rig.peer(), rig.peer(), rig.peer()];
    for n in 0..7 {
        rig.send([n]).unwrap();
    }
    assert_eq!(sent_to(&mut rig), [a, b, c, a, b, c, a]);
}

/// sp-wire 8.11 item 136
#[test]
fn a_send_waits_for_a_peer_and_goes_on_when_one_comes() {
    let mut rig = Rig::<Push>::new();
    assert!(matches!(rig.send_waiting(MAIN, "job"), Err(Unsent::Full(msg)) if msg == "job"));
    let a = rig.peer();
    rig.expect([Effect::WakeSend(MAIN)]);
    rig.send("job").unwrap();
    rig.expect([Effect::Transmit(a, b"job".to_vec())]);
}

/// sp-wire 8.11 item 137
#[test]
fn data_arriving_at_a_push_is_discarded_and_the_pipe_lives() {
    let mut rig = Rig::<Push>::new();
    let a = rig.peer();
    assert_eq!(rig.arrive(a, ["1", "2"]), Flow::More);
    rig.expect([Effect::Count(Counter::Ignored), Effect::Count(Counter::Ignored)]);
    rig.send("job").unwrap();
    assert_eq!(sent_to(&mut rig), [a]);
}

/// sp-wire 8.11 item 138
#[test]
fn a_stalled_peer_leaves_its_turns_to_the_others() {
    let mut rig = Rig::<Push>::new();
    let stalled = rig.peer_with_room(1);
    let b = rig.peer();
    for n in 0..4 {
        rig.send([n]).unwrap();
    }
    assert_eq!(sent_to(&mut rig), [stalled, b, b, b]);
    rig.set_room(stalled, 5);
    rig.send("5").unwrap();
    rig.send("6").unwrap();
    assert_eq!(sent_to(&mut rig), [b, stalled]);
}

/// sp-wire 8.11 item 140
#[test]
fn messages_to_one_peer_keep_their_order_and_lose_a_foreign_header() {
    let mut rig = Rig::<Push>::new();
    let a = rig.peer();
    let mut first = Message::from("1");
    let _ = first.push_header(9);
    rig.send(first).unwrap();
    rig.send("2").unwrap();
    rig.expect([Effect::Transmit(a, b"1".to_vec()), Effect::Transmit(a, b"2".to_vec())]);
}

#[test]
fn one_room_event_wakes_one_send_and_its_success_the_next() {
    let mut rig = Rig::<Push>::new();
    let a = rig.peer_with_room(0);
    for n in 0..3 {
        rig.send_waiting(MAIN, [n]).unwrap_err();
    }
    rig.set_room(a, 2);
    rig.expect([Effect::WakeSend(MAIN)]);
    rig.send("first").unwrap();
    rig.expect([Effect::Transmit(a, b"first".to_vec()), Effect::WakeSend(MAIN)]);
    rig.send("second").unwrap();
    rig.expect([Effect::Transmit(a, b"second".to_vec())]);
    assert!(rig.world.send_waits(MAIN));
}

#[test]
fn a_woken_send_that_gives_up_passes_the_wake_on() {
    let mut rig = Rig::<Push>::new();
    let a = rig.peer_with_room(0);
    rig.send_waiting(MAIN, "1").unwrap_err();
    rig.send_waiting(MAIN, "2").unwrap_err();
    rig.set_room(a, 1);
    rig.expect([Effect::WakeSend(MAIN)]);
    rig.abandon_send(MAIN);
    rig.expect([Effect::WakeSend(MAIN)]);
}

#[test]
fn a_closed_peer_gets_nothing_more() {
    let mut rig = Rig::<Push>::new();
    let a = rig.peer();
    rig.close(a);
    assert!(matches!(rig.send("job"), Err(Unsent::Full(_))));
}

#[test]
fn options_are_printed() {
    assert_eq!(PushOptions::new().to_string(), "fail_without_peer false");
    assert_eq!(PushOptions::new().check(), Ok(()));
}
