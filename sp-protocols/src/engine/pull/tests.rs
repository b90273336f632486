use super::*;
use crate::engine::testing::{Effect, Rig};

const MAIN: CtxId = CtxId::MAIN;

fn pull(queue: usize) -> Rig<Pull> {
    Rig::with(PullOptions::new().queue(queue))
}

fn pull_bytes(queue_bytes: usize) -> Rig<Pull> {
    Rig::with(PullOptions::new().queue_bytes(queue_bytes))
}

#[test]
fn a_full_inbox_pauses_the_peer_until_half_is_free() {
    let mut rig = pull(4);
    let a = rig.peer();
    assert_eq!(rig.arrive(a, ["1", "2", "3", "4", "5"]), Flow::Pause);
    assert_eq!(rig.recv_all(1), [b"1"]);
    rig.expect([]);
    assert_eq!(rig.recv_all(1), [b"2"]);
    rig.expect([Effect::Resume(a)]);
    assert_eq!(rig.read(a), Flow::More);
    assert_eq!(rig.recv_all(9), [b"3", b"4", b"5"]);
}

#[test]
fn a_flood_of_empty_messages_pauses_the_peer_until_half_of_the_bytes_are_free() {
    let mut rig = pull_bytes(4 * 128);
    let a = rig.peer();
    assert_eq!(rig.arrive(a, [""; 9]), Flow::Pause);
    assert_eq!(rig.world.backlog_of(a), 5);
    assert_eq!(rig.recv_all(1).len(), 1);
    rig.expect([]);
    assert_eq!(rig.recv_all(1).len(), 1);
    rig.expect([Effect::Resume(a)]);
    assert_eq!(rig.read(a), Flow::Pause);
    assert_eq!(rig.world.backlog_of(a), 3);
}

#[test]
fn a_message_longer_than_the_inbox_is_received_and_the_next_one_waits() {
    let mut rig = pull_bytes(1000);
    let a = rig.peer();
    assert_eq!(rig.arrive(a, [vec![1; 5000], vec![2; 5000]]), Flow::Pause);
    assert_eq!(rig.recv_all(1), [[1; 5000]]);
    rig.expect([Effect::Resume(a)]);
    assert_eq!(rig.read(a), Flow::More);
    assert_eq!(rig.recv_all(9), [[2; 5000]]);
}

#[test]
fn a_long_message_is_not_kept_out_by_short_ones() {
    let mut rig = pull_bytes(1000);
    let [long, short] = [rig.peer(), rig.peer()];
    assert_eq!(rig.arrive(short, ["s"; 99]), Flow::Pause);
    assert_eq!(rig.arrive(long, [[0; 900]]), Flow::Pause);
    while rig.world.backlog_of(long) > 0 {
        assert_eq!(rig.recv().unwrap(), "s");
        rig.read_all();
    }
    assert!(rig.world.backlog_of(short) > 0);
}

#[test]
fn a_peer_whose_turn_came_to_nothing_goes_first_next_time() {
    let mut rig = pull(1);
    let [a, b] = [rig.peer(), rig.peer()];
    assert_eq!(rig.arrive(a, ["a1", "a2", "a3"]), Flow::Pause);
    assert_eq!(rig.arrive(b, ["b1", "b2"]), Flow::Pause);
    assert_eq!(rig.recv_all(1), [b"a1"]);
    rig.expect([Effect::Resume(a)]);
    assert!(rig.recv().is_err());
    rig.expect([Effect::Resume(b)]);
    // Both have been let go; a is faster and fills the inbox again.
    assert_eq!(rig.read(a), Flow::Pause);
    assert_eq!(rig.read(b), Flow::Pause);
    assert_eq!(rig.recv_all(1), [b"a2"]);
    rig.expect([Effect::Resume(b)]);
}

/// sp-wire 8.11 item 137
#[test]
fn what_arrives_before_a_receive_is_kept() {
    let mut rig = pull(4);
    let a = rig.peer();
    assert_eq!(rig.arrive(a, ["1"]), Flow::More);
    let msg = rig.recv().unwrap();
    assert_eq!(msg, "1");
    assert_eq!(msg.source(), Some(a));
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
}

/// sp-wire 8.11 item 140
#[test]
fn each_peers_order_and_source_are_kept() {
    let mut rig = pull(9);
    let [a, b] = [rig.peer(), rig.peer()];
    let _ = rig.arrive(a, ["a1", "a2"]);
    let _ = rig.arrive(b, ["b1"]);
    let _ = rig.arrive(a, ["a3"]);
    let got: Vec<_> = std::iter::from_fn(|| rig.recv().ok()).collect();
    assert_eq!(
        got.iter().map(|m| m.as_str().unwrap()).collect::<Vec<_>>(),
        ["a1", "a2", "b1", "a3"]
    );
    let sources: Vec<_> = got.iter().map(|m| m.source().unwrap()).collect();
    assert_eq!(sources, [a, a, b, a]);
}

#[test]
fn what_was_taken_from_a_peer_stays_when_it_goes() {
    let mut rig = pull(4);
    let a = rig.peer();
    let _ = rig.arrive(a, ["1", "2"]);
    rig.close(a);
    assert_eq!(rig.recv_all(9), [b"1", b"2"]);
}

#[test]
fn paused_peers_go_on_in_turn() {
    let mut rig = pull(2);
    let [flood, b] = [rig.peer(), rig.peer()];
    let _ = rig.arrive(flood, ["f1", "f2", "f3", "f4", "f5"]);
    let _ = rig.arrive(b, ["b1"]);
    assert_eq!(rig.recv_all(1), [b"f1"]);
    rig.expect([Effect::Resume(flood)]);
    assert_eq!(rig.read(flood), Flow::Pause);
    assert_eq!(rig.recv_all(1), [b"f2"]);
    rig.expect([Effect::Resume(b)]);
    assert_eq!(rig.read(b), Flow::More);
    assert_eq!(rig.recv_all(2), [b"f3", b"b1"]);
}

#[test]
fn a_resumed_peer_that_brings_little_lets_the_next_go_on() {
    let mut rig = pull(4);
    let peers = [(); 5].map(|()| rig.peer());
    assert_eq!(rig.arrive(peers[0], ["1", "2", "3", "4", "5"]), Flow::Pause);
    for &peer in &peers[1..] {
        assert_eq!(rig.arrive(peer, ["more"]), Flow::Pause);
    }
    assert_eq!(rig.recv_all(4).len(), 4);
    rig.expect([0, 1, 2].map(|at| Effect::Resume(peers[at])));
    assert_eq!(rig.read(peers[0]), Flow::More);
    rig.expect([Effect::Resume(peers[3])]);
}

#[test]
fn a_resumed_peer_that_dies_hands_its_turn_on() {
    let mut rig = pull(1);
    let [a, b] = [rig.peer(), rig.peer()];
    let _ = rig.arrive(a, ["a1", "a2"]);
    let _ = rig.arrive(b, ["b1"]);
    assert_eq!(rig.recv_all(1), [b"a1"]);
    rig.expect([Effect::Resume(a)]);
    rig.close(a);
    rig.expect([Effect::Resume(b)]);
    rig.read_all();
    assert_eq!(rig.recv_all(1), [b"b1"]);
}

#[test]
fn no_more_receives_are_woken_than_wait_or_can_succeed() {
    let mut rig = pull(9);
    let a = rig.peer();
    for _ in 0..3 {
        rig.recv_waiting(MAIN).unwrap_err();
    }
    let _ = rig.arrive(a, ["1", "2"]);
    rig.expect([Effect::WakeRecv(MAIN), Effect::WakeRecv(MAIN)]);
    let _ = rig.arrive(a, ["3", "4", "5"]);
    rig.expect([Effect::WakeRecv(MAIN)]);
}

#[test]
fn a_woken_receive_that_gives_up_passes_the_wake_on() {
    let mut rig = pull(9);
    let a = rig.peer();
    rig.recv_waiting(MAIN).unwrap_err();
    rig.recv_waiting(MAIN).unwrap_err();
    let _ = rig.arrive(a, ["1"]);
    rig.expect([Effect::WakeRecv(MAIN)]);
    rig.abandon_recv(MAIN);
    rig.expect([Effect::WakeRecv(MAIN)]);
}

#[test]
fn a_queue_of_zero_is_refused_and_options_are_printed() {
    assert!(PullOptions::new().queue(0).check().is_err());
    assert!(PullOptions::new().queue_bytes(0).check().is_err());
    assert_eq!(PullOptions::default().check(), Ok(()));
    let default = "queue 1024, queue_bytes 16777216, when_full block";
    assert_eq!(PullOptions::default().to_string(), default);
    let set = PullOptions::new().queue(7).queue_bytes(8).when_full(WhenFull::DropNewest);
    assert_eq!(set.to_string(), "queue 7, queue_bytes 8, when_full drop newest");
}
