use sp_core::id::Id as _;

use super::*;
use crate::engine::Counter;
use crate::engine::testing::{Effect, Rig, Unsent};

const MAIN: CtxId = CtxId::MAIN;

fn pair(options: PairOptions) -> Rig<Pair> {
    Rig::with(options)
}

fn queueing(send_queue: usize) -> Rig<Pair> {
    pair(PairOptions::new().send_queue(send_queue))
}

fn sent(rig: &mut Rig<Pair>) -> Vec<(PeerId, String)> {
    let sent = rig.transmitted().into_iter();
    sent.map(|(peer, bytes)| (peer, String::from_utf8(bytes).unwrap())).collect()
}

fn full(sent: Result<(), Unsent>) -> Message {
    match sent {
        Err(Unsent::Full(msg)) => msg,
        other => panic!("there should be no room, but: {other:?}"),
    }
}

/// sp-wire 8.12 item 141
#[test]
fn a_second_peer_is_refused_until_the_first_leaves() {
    let mut rig = Rig::<Pair>::new();
    let first = rig.peer();
    let second = PeerId::from_parts(7, 0);
    let busy = Err(CloseReason::TooMany { limit: 1 });
    assert_eq!(rig.engine.opened(second, &mut rig.world), busy);
    rig.expect([]);
    rig.send("to the first").unwrap();
    rig.expect([Effect::Transmit(first, b"to the first".to_vec())]);
    assert_eq!(rig.arrive(first, ["from the first"]), Flow::More);
    assert_eq!(rig.recv().unwrap(), "from the first");
    rig.close(first);
    let third = rig.peer();
    rig.send("to the third").unwrap();
    assert_eq!(sent(&mut rig), [(third, "to the third".to_owned())]);
}

/// sp-wire 8.12 item 141
#[test]
fn the_end_of_a_stranger_changes_nothing() {
    let mut rig = Rig::<Pair>::new();
    let first = rig.peer();
    let stranger = PeerId::from_parts(7, 0);
    let _ = rig.engine.opened(stranger, &mut rig.world);
    rig.engine.closed(stranger, &mut rig.world);
    rig.send("still here?").unwrap();
    assert_eq!(sent(&mut rig), [(first, "still here?".to_owned())]);
}

/// sp-wire 8.12 item 142
#[test]
fn messages_keep_their_order_and_source() {
    let mut rig = Rig::<Pair>::new();
    let peer = rig.peer();
    for text in ["1", "2", "3"] {
        rig.send(text).unwrap();
    }
    let bodies = sent(&mut rig).into_iter().map(|(_, body)| body);
    assert_eq!(bodies.collect::<Vec<_>>(), ["1", "2", "3"]);
    let _ = rig.arrive(peer, ["4", "5"]);
    let _ = rig.arrive(peer, ["6"]);
    for text in ["4", "5", "6"] {
        let msg = rig.recv().unwrap();
        assert_eq!((msg.as_str(), msg.source()), (Ok(text), Some(peer)));
    }
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
}

#[test]
fn a_foreign_header_does_not_travel() {
    let mut rig = Rig::<Pair>::new();
    let peer = rig.peer();
    let mut msg = Message::from("body");
    let _ = msg.push_header(9);
    rig.send(msg).unwrap();
    rig.expect([Effect::Transmit(peer, b"body".to_vec())]);
}

/// sp-wire 8.12 item 142
#[test]
fn what_waits_goes_to_the_next_peer() {
    let mut rig = queueing(4);
    let first = rig.peer_with_room(1);
    for text in ["1", "2", "3"] {
        rig.send(text).unwrap();
    }
    rig.expect([Effect::Transmit(first, b"1".to_vec())]);
    rig.close(first);
    rig.send("4").unwrap();
    assert_eq!(rig.engine.unsent(), 3 * (1 + 128));
    let next = rig.peer();
    let wanted = ["2", "3", "4"].map(|text| Effect::Transmit(next, text.into()));
    rig.expect(wanted);
    assert_eq!(rig.engine.unsent(), 0);
}

/// sp-wire 8.12 item 143
#[test]
fn a_send_without_a_peer_waits_unless_it_may_queue() {
    for (send_queue, taken) in [(0, 0), (1, 1), (3, 3)] {
        let mut rig = queueing(send_queue);
        for n in 0..taken {
            rig.send_waiting(MAIN, n.to_string()).unwrap();
        }
        assert_eq!(full(rig.send_waiting(MAIN, "late")), "late");
        rig.expect([]);
        let peer = rig.peer();
        let transmitted = (0..taken).map(|n| Effect::Transmit(peer, n.to_string().into_bytes()));
        rig.expect(transmitted.chain([Effect::WakeSend(MAIN)]));
        rig.send_waiting(MAIN, "late").unwrap();
        rig.expect([Effect::Transmit(peer, b"late".to_vec())]);
    }
}

/// sp-wire 3.5: no message overtakes those that wait.
#[test]
fn what_waits_leaves_first_when_there_is_room() {
    let mut rig = queueing(2);
    let peer = rig.peer_with_room(0);
    rig.send("1").unwrap();
    rig.send("2").unwrap();
    assert_eq!(full(rig.send_waiting(MAIN, "3")), "3");
    rig.set_room(peer, 1);
    rig.expect([Effect::Transmit(peer, b"1".to_vec()), Effect::WakeSend(MAIN)]);
    rig.send_waiting(MAIN, "3").unwrap();
    rig.expect([]);
    rig.set_room(peer, 9);
    let wanted = ["2", "3"].map(|text| Effect::Transmit(peer, text.into()));
    rig.expect(wanted);
}

#[test]
fn a_queue_full_of_bytes_makes_the_send_wait() {
    let mut rig = pair(PairOptions::new().send_queue(9).queue_bytes(1000));
    rig.send(vec![0; 5000]).unwrap();
    assert_eq!(full(rig.send("one more")), "one more");
    let peer = rig.peer();
    rig.expect([Effect::Transmit(peer, vec![0; 5000])]);
}

#[test]
fn a_send_waits_while_its_peer_has_no_room() {
    let mut rig = Rig::<Pair>::new();
    let peer = rig.peer_with_room(1);
    rig.send("1").unwrap();
    assert_eq!(full(rig.send_waiting(MAIN, "2")), "2");
    assert_eq!(full(rig.send_waiting(MAIN, "3")), "3");
    rig.world.take_effects();
    rig.set_room(peer, 2);
    // One at a time: its success wakes the next.
    rig.expect([Effect::WakeSend(MAIN)]);
    rig.send_waiting(MAIN, "2").unwrap();
    rig.expect([Effect::Transmit(peer, b"2".to_vec()), Effect::WakeSend(MAIN)]);
}

#[test]
fn a_woken_send_that_gives_up_passes_the_wake_on() {
    let mut rig = Rig::<Pair>::new();
    full(rig.send_waiting(MAIN, "1"));
    full(rig.send_waiting(MAIN, "2"));
    rig.peer();
    rig.expect([Effect::WakeSend(MAIN)]);
    rig.abandon_send(MAIN);
    rig.expect([Effect::WakeSend(MAIN)]);
}

#[test]
fn a_full_inbox_pauses_the_peer_until_half_is_free() {
    let mut rig = pair(PairOptions::new().recv_queue(4));
    let peer = rig.peer();
    assert_eq!(rig.arrive(peer, ["1", "2", "3", "4", "5"]), Flow::Pause);
    assert_eq!(rig.recv_all(1), [b"1"]);
    rig.expect([]);
    assert_eq!(rig.recv_all(1), [b"2"]);
    rig.expect([Effect::Resume(peer)]);
    assert_eq!(rig.read(peer), Flow::More);
    assert_eq!(rig.recv_all(9), [b"3", b"4", b"5"]);
}

#[test]
fn what_was_taken_from_a_peer_stays_when_it_goes_and_the_next_one_comes() {
    let mut rig = pair(PairOptions::new().recv_queue(2));
    let first = rig.peer();
    assert_eq!(rig.arrive(first, ["1", "2", "lost with it"]), Flow::Pause);
    rig.close(first);
    let next = rig.peer();
    assert_eq!(rig.arrive(next, ["3"]), Flow::Pause);
    assert_eq!(rig.recv_all(1), [b"1"]);
    rig.expect([Effect::Resume(next)]);
    rig.read_all();
    assert_eq!(rig.recv_all(9), [b"2", b"3"]);
}

#[test]
fn a_pair_that_is_told_to_drops_what_it_has_no_room_for_and_reads_on() {
    for (when_full, kept) in
        [(WhenFull::DropNewest, [b"1", b"2"]), (WhenFull::DropOldest, [b"3", b"4"])]
    {
        let mut rig = Rig::<Pair>::with(PairOptions::new().recv_queue(2).when_full(when_full));
        let peer = rig.peer();
        assert_eq!(rig.arrive(peer, ["1", "2", "3", "4"]), Flow::More);
        assert_eq!(rig.counted(), [Counter::DroppedOnReceive; 2]);
        assert_eq!(rig.recv_all(9), kept);
    }
}

#[test]
fn options_are_checked_and_printed() {
    let named = |options: PairOptions| options.check().map_err(|bad| bad.option);
    assert_eq!(named(PairOptions::default()), Ok(()));
    assert_eq!(named(PairOptions::new().recv_queue(0)), Err("recv_queue"));
    assert_eq!(named(PairOptions::new().queue_bytes(0)), Err("queue_bytes"));
    assert_eq!(
        PairOptions::default().to_string(),
        "recv_queue 1024, send_queue 0, queue_bytes 16777216, when_full block"
    );
    let set = PairOptions::new().recv_queue(7).send_queue(8).queue_bytes(9);
    let set = set.when_full(WhenFull::DropOldest).to_string();
    assert_eq!(set, "recv_queue 7, send_queue 8, queue_bytes 9, when_full drop oldest");
}
