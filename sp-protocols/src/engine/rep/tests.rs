use super::*;
use crate::engine::Options as _;
use crate::engine::testing::{Effect, Rig, Unsent, with_words};

const MAIN: CtxId = CtxId::MAIN;
const ID: u32 = 0x8000_0007;

fn request(rig: &mut Rig<Rep>, peer: PeerId, body: &str) {
    assert_eq!(rig.arrive(peer, [with_words(&[ID], body)]), Flow::More);
}

/// Receives in the main context; the body.
#[track_caller]
fn next(rig: &mut Rig<Rep>) -> Vec<u8> {
    rig.recv().unwrap().body().to_vec()
}

/// sp-wire 8.8 item 94
#[test]
fn the_reply_carries_the_backtrace_of_its_request() {
    for devices in [0_u32, 1, 2, 7] {
        let mut rig = Rig::<Rep>::new();
        let a = rig.peer();
        let words: Vec<u32> = (1..=devices).chain([ID]).collect();
        assert_eq!(rig.arrive(a, [with_words(&words, "ask")]), Flow::More);
        let msg = rig.recv().unwrap();
        assert_eq!(msg, "ask");
        assert!(msg.header().is_empty());
        assert_eq!(msg.source(), Some(a));
        let mut answer = Message::from("tell");
        let _ = answer.push_header(0x1234_5678);
        rig.send(answer).unwrap();
        assert_eq!(rig.transmitted(), [(a, with_words(&words, "tell"))]);
    }
}

/// sp-wire 8.8 items 94 and 108
#[test]
fn a_request_from_too_far_is_dropped_and_the_pipe_lives() {
    let mut rig = Rig::<Rep>::new();
    let a = rig.peer();
    let nine: Vec<u32> = (1..=8).chain([ID]).collect();
    let _ = rig.arrive(a, [with_words(&nine, ""), with_words(&[1; 20], "")]);
    rig.expect([Effect::Count(Counter::HopLimit), Effect::Count(Counter::HopLimit)]);
    request(&mut rig, a, "near");
    assert_eq!(next(&mut rig), b"near");
}

#[test]
fn the_hop_limit_is_what_was_set() {
    for ttl in [1_u8, 2, 15] {
        let mut rig = Rig::<Rep>::with(RepOptions::new().ttl(ttl));
        let a = rig.peer();
        let fits: Vec<u32> = (1..u32::from(ttl)).chain([ID]).collect();
        let too_far: Vec<u32> = (1..=u32::from(ttl)).chain([ID]).collect();
        let _ = rig.arrive(a, [with_words(&too_far, "far"), with_words(&fits, "near")]);
        assert_eq!(rig.counted(), [Counter::HopLimit]);
        assert_eq!(next(&mut rig), b"near");
        rig.send("tell").unwrap();
        assert_eq!(rig.transmitted(), [(a, with_words(&fits, "tell"))]);
    }
}

/// sp-wire 8.8 item 107
#[test]
fn a_header_without_an_end_closes_the_pipe_and_loses_its_requests() {
    for words in [&[][..], &[1], &[1, 2], &[1, 2, 3]] {
        for rest in ["", "1", "12", "123"] {
            let mut rig = Rig::<Rep>::new();
            let a = rig.peer();
            request(&mut rig, a, "good");
            let bad = with_words(words, rest);
            assert_eq!(rig.arrive(a, [bad, with_words(&[ID], "after")]), Flow::More);
            let why = CloseReason::BadHeader { protocol: ProtocolId::REP };
            rig.expect([Effect::Count(Counter::LostWithPeer), Effect::Close(a, why)]);
            request(&mut rig, a, "last words");
            assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
            rig.close(a);
            rig.expect([]);
        }
    }
}

/// sp-wire 8.8 items 109 and 110
#[test]
fn only_words_through_the_first_end_bit_are_header() {
    let mut rig = Rig::<Rep>::new();
    let a = rig.peer();
    request(&mut rig, a, "");
    assert_eq!(next(&mut rig), b"");
    let _ = rig.arrive(a, [with_words(&[ID, 0x8000_0002], "x")]);
    assert_eq!(next(&mut rig), with_words(&[0x8000_0002], "x"));
}

/// sp-wire 8.8 item 111
#[test]
fn words_of_the_backtrace_route_nothing_here() {
    let mut rig = Rig::<Rep>::new();
    let [a, b] = [rig.peer(), rig.peer()];
    let words = [0, 1, ID];
    let _ = rig.arrive(b, [with_words(&words, "ask")]);
    rig.recv().unwrap();
    rig.send("tell").unwrap();
    assert_eq!(rig.transmitted(), [(b, with_words(&words, "tell"))]);
    assert_ne!(a, b);
}

/// sp-wire 8.8 item 105
#[test]
fn a_send_needs_a_request_and_ends_it() {
    let mut rig = Rig::<Rep>::new();
    assert!(matches!(rig.send("tell"), Err(Unsent::State(msg)) if msg == "tell"));
    let a = rig.peer();
    request(&mut rig, a, "ask");
    rig.recv().unwrap();
    rig.send("tell").unwrap();
    assert!(matches!(rig.send("more"), Err(Unsent::State(_))));
}

/// sp-wire 8.8 item 105
#[test]
fn a_reply_to_a_peer_that_left_succeeds_and_is_counted() {
    let mut rig = Rig::<Rep>::new();
    let a = rig.peer();
    request(&mut rig, a, "ask");
    rig.recv().unwrap();
    rig.close(a);
    rig.world.take_effects();
    rig.send("tell").unwrap();
    rig.expect([Effect::Count(Counter::PeerGone)]);
    assert!(matches!(rig.send("more"), Err(Unsent::State(_))));
}

/// sp-wire 8.8 item 106
#[test]
fn a_receive_discards_the_request_held_before() {
    let mut rig = Rig::<Rep>::new();
    let [a, b] = [rig.peer(), rig.peer()];
    request(&mut rig, a, "1");
    request(&mut rig, b, "2");
    assert_eq!(next(&mut rig), b"1");
    rig.expect([]);
    assert_eq!(next(&mut rig), b"2");
    rig.expect([Effect::Count(Counter::Unanswered)]);
    rig.send("two").unwrap();
    assert_eq!(rig.transmitted(), [(b, with_words(&[ID], "two"))]);
}

#[test]
fn a_receive_that_finds_nothing_leaves_the_held_request() {
    let mut rig = Rig::<Rep>::new();
    let a = rig.peer();
    request(&mut rig, a, "1");
    rig.recv().unwrap();
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
    rig.send("one").unwrap();
    assert_eq!(rig.transmitted().len(), 1);
}

/// sp-wire 8.8 item 114
#[test]
fn a_peer_that_does_not_read_holds_up_itself_alone() {
    let mut rig = Rig::<Rep>::new();
    let slow = rig.peer_with_room(0);
    let b = rig.peer();
    for body in ["s1", "s2", "s3"] {
        request(&mut rig, slow, body);
    }
    assert_eq!(next(&mut rig), b"s1");
    rig.send("one").unwrap();
    assert!(rig.transmitted().is_empty());
    for _ in 0..3 {
        request(&mut rig, b, "b");
        assert_eq!(next(&mut rig), b"b");
        rig.send("answer").unwrap();
        assert_eq!(rig.transmitted(), [(b, with_words(&[ID], "answer"))]);
        assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
    }
    rig.recv_waiting(MAIN).unwrap_err();
    rig.set_room(slow, 9);
    rig.expect([Effect::Transmit(slow, with_words(&[ID], "one")), Effect::WakeRecv(MAIN)]);
    assert_eq!(next(&mut rig), b"s2");
}

#[test]
fn a_peer_is_not_read_while_a_reply_of_it_is_parked() {
    let mut rig = Rig::<Rep>::new();
    let slow = rig.peer_with_room(0);
    request(&mut rig, slow, "1");
    rig.recv().unwrap();
    rig.send("one").unwrap();
    assert_eq!(rig.arrive(slow, empty(1)), Flow::Pause);
    rig.set_room(slow, 1);
    rig.expect([Effect::Transmit(slow, with_words(&[ID], "one")), Effect::Resume(slow)]);
    assert_eq!(rig.read(slow), Flow::More);
}

#[test]
fn parked_replies_keep_their_order_and_are_one_per_context() {
    let mut rig = Rig::<Rep>::new();
    let a = rig.peer_with_room(0);
    let contexts = [MAIN, rig.open_ctx(), rig.open_ctx()];
    let _ = rig.arrive(a, (0..4_u32).map(|n| with_words(&[ID + n], "ask")));
    for ctx in contexts {
        rig.recv_in(ctx).unwrap();
    }
    for ctx in contexts {
        rig.send_in(ctx, "tell").unwrap();
        assert_eq!(rig.recv_in(ctx), Err(RecvBlocked::Empty));
    }
    rig.world.take_effects();
    rig.set_room(a, 2);
    assert_eq!(rig.transmitted().len(), 2);
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
    rig.set_room(a, 2);
    assert_eq!(rig.transmitted(), [(a, with_words(&[ID + 2], "tell"))]);
    assert_eq!(next(&mut rig), b"ask");
}

#[test]
fn replies_parked_for_a_lost_peer_are_counted() {
    let mut rig = Rig::<Rep>::new();
    let a = rig.peer_with_room(0);
    request(&mut rig, a, "1");
    request(&mut rig, a, "2");
    rig.recv().unwrap();
    rig.send("one").unwrap();
    rig.close(a);
    rig.expect([Effect::Count(Counter::LostWithPeer), Effect::Count(Counter::PeerGone)]);
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
}

#[test]
fn peers_are_served_in_turn_in_the_order_of_their_arrival() {
    let mut rig = Rig::<Rep>::new();
    let [a, b, c] = [rig.peer(), rig.peer(), rig.peer()];
    for (peer, body) in [(b, "b1"), (b, "b2"), (b, "b3"), (a, "a1"), (c, "c1"), (a, "a2")] {
        request(&mut rig, peer, body);
    }
    let order: Vec<_> = (0..6).map(|_| next(&mut rig)).collect();
    assert_eq!(order, [b"b1", b"a1", b"c1", b"b2", b"a2", b"b3"]);
}

#[test]
fn a_peer_with_too_many_requests_is_paused_until_half_is_free() {
    let mut rig = Rig::<Rep>::with(RepOptions::new().queue(4));
    let [a, b] = [rig.peer(), rig.peer()];
    let five = (0..5_u32).map(|n| with_words(&[ID + n], ""));
    assert_eq!(rig.arrive(a, five), Flow::Pause);
    request(&mut rig, b, "");
    for resumed in [false, false, true] {
        rig.recv().unwrap();
        assert_eq!(rig.world.take_effects().contains(&Effect::Resume(a)), resumed);
    }
    assert_eq!(rig.read(a), Flow::More);
}

/// A rig in which ten empty requests may wait, five of one peer.
fn narrow() -> Rig<Rep> {
    Rig::with(RepOptions::new().queue_bytes(10 * COST))
}

/// What an empty request costs: its id and its place in the queue.
const COST: usize = 4 + 128;

/// `count` empty requests.
fn empty(count: usize) -> impl Iterator<Item = Vec<u8>> {
    std::iter::repeat_with(|| with_words(&[ID], "")).take(count)
}

/// The peers that were let go on since the last look at the effects.
fn resumed(rig: &mut Rig<Rep>) -> Vec<PeerId> {
    let effects = rig.world.take_effects().into_iter();
    effects.filter_map(|e| if let Effect::Resume(peer) = e { Some(peer) } else { None }).collect()
}

#[test]
fn a_flood_from_one_peer_alone_leaves_room_for_others() {
    let mut rig = narrow();
    let [flood, b] = [rig.peer(), rig.peer()];
    assert_eq!(rig.arrive(flood, empty(99)), Flow::Pause);
    assert_eq!(rig.world.backlog_of(flood), 94);
    assert_eq!(rig.arrive(b, empty(4)), Flow::More);
    for wanted in [&[][..], &[], &[], &[], &[flood]] {
        rig.recv().unwrap();
        assert_eq!(resumed(&mut rig), wanted);
    }
}

#[test]
fn a_rep_that_is_told_to_drops_requests_and_reads_on() {
    for (when_full, kept) in
        [(WhenFull::DropNewest, [b"1", b"2"]), (WhenFull::DropOldest, [b"4", b"5"])]
    {
        let mut rig = Rig::<Rep>::with(RepOptions::new().queue(2).when_full(when_full));
        let (flood, calm) = (rig.peer(), rig.peer());
        let batch = ["1", "2", "3", "4", "5"].map(|body| with_words(&[ID], body));
        assert_eq!(rig.arrive(flood, batch), Flow::More);
        assert_eq!(rig.counted(), [Counter::DroppedOnReceive; 3]);
        request(&mut rig, calm, "calm");
        assert_eq!(
            [next(&mut rig), next(&mut rig), next(&mut rig)],
            [&kept[0][..], b"calm", kept[1]]
        );
        assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
    }
}

#[test]
fn requests_of_a_peer_that_does_not_read_its_replies_make_way_for_nothing() {
    for when_full in [WhenFull::DropNewest, WhenFull::DropOldest] {
        let mut rig = Rig::<Rep>::with(RepOptions::new().when_full(when_full));
        let a = rig.peer_with_room(0);
        let _ = rig.arrive(a, ["1", "2"].map(|body| with_words(&[ID], body)));
        assert_eq!(next(&mut rig), b"1");
        rig.send("parked").unwrap();
        request(&mut rig, a, "3");
        assert_eq!(rig.counted(), [Counter::DroppedOnReceive]);
        assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
        rig.set_room(a, 1);
        assert_eq!(next(&mut rig), b"2");
    }
}

#[test]
fn while_others_fill_the_room_for_requests_the_oldest_of_a_peer_make_way_and_then_its_newest() {
    let options = RepOptions::new().queue_bytes(4 * 132).when_full(WhenFull::DropOldest);
    let mut rig = Rig::<Rep>::with(options);
    let [a, b, c] = [rig.peer(), rig.peer(), rig.peer()];
    let two = || ["1", "2"].map(|_| with_words(&[ID], ""));
    let _ = rig.arrive(a, two());
    let _ = rig.arrive(b, two());
    let _ = rig.arrive(c, two());
    assert_eq!(rig.counted(), [Counter::DroppedOnReceive; 2]);
    let _ = rig.arrive(b, [with_words(&[ID], "newest")]);
    assert_eq!(rig.counted(), [Counter::DroppedOnReceive]);
    assert_eq!([next(&mut rig), next(&mut rig)], [b"", b""]);
    assert_eq!([next(&mut rig), next(&mut rig)], [&b""[..], b"newest"]);
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
}

#[test]
fn many_peers_share_one_bound_and_go_on_in_turn_once_half_is_free() {
    let mut rig = narrow();
    let peers = [(); 8].map(|()| rig.peer());
    for &peer in &peers[..2] {
        assert_eq!(rig.arrive(peer, empty(5)), Flow::More);
    }
    for &peer in &peers[2..] {
        assert_eq!(rig.arrive(peer, empty(4)), Flow::Pause);
        assert_eq!(rig.world.backlog_of(peer), 4);
    }
    next(&mut rig);
    for &peer in &peers[2..] {
        // Nine wait; the next one goes on when five do, and makes them nine again.
        for _ in 0..3 {
            next(&mut rig);
            assert_eq!(resumed(&mut rig), []);
        }
        next(&mut rig);
        assert_eq!(resumed(&mut rig), [peer]);
        assert_eq!(rig.read(peer), Flow::More);
        assert_eq!(resumed(&mut rig), []);
    }
}

#[test]
fn a_peer_that_was_held_back_and_dies_hands_its_turn_on() {
    let mut rig = narrow();
    let [a, b, gone, c, d] = [(); 5].map(|()| rig.peer());
    for peer in [a, b] {
        assert_eq!(rig.arrive(peer, empty(5)), Flow::More);
    }
    for peer in [gone, c, d] {
        assert_eq!(rig.arrive(peer, empty(1)), Flow::Pause);
    }
    rig.close(gone);
    assert_eq!(resumed(&mut rig), []);
    rig.close(a);
    assert_eq!(resumed(&mut rig), [c]);
    rig.close(c);
    assert_eq!(resumed(&mut rig), [d]);
    assert_eq!(rig.read(d), Flow::More);
}

#[test]
fn one_long_request_passes_and_holds_the_next_ones_back() {
    let mut rig = narrow();
    let [a, b] = [rig.peer(), rig.peer()];
    assert_eq!(rig.arrive(a, [with_words(&[ID], [1; 9999])]), Flow::More);
    assert_eq!(rig.arrive(b, empty(1)), Flow::Pause);
    assert_eq!(next(&mut rig), [1; 9999]);
    rig.expect([Effect::Resume(b)]);
    assert_eq!(rig.read(b), Flow::More);
}

#[test]
fn requests_of_peers_that_do_not_read_make_way_only_when_nothing_else_waits() {
    let mut rig = narrow();
    let [good, other] = [rig.peer(), rig.peer()];
    for _ in 0..2 {
        let deaf = rig.peer_with_room(0);
        assert_eq!(rig.arrive(deaf, empty(6)), Flow::Pause);
        rig.recv().unwrap();
        let _ = rig.read(deaf);
        rig.send("parked").unwrap();
    }
    // The two fill the room, and nothing else waits: one of them makes way.
    rig.expect([]);
    assert_eq!(rig.arrive(good, empty(5)), Flow::More);
    assert_eq!(rig.counted(), [Counter::DroppedOnReceive; 5]);
    // Now something waits: the newcomer is held back until it has been received.
    assert_eq!(rig.arrive(other, empty(1)), Flow::Pause);
    for wanted in [&[][..], &[], &[], &[], &[other]] {
        rig.recv().unwrap();
        assert_eq!(resumed(&mut rig), wanted);
    }
    assert_eq!(rig.read(other), Flow::More);
}

#[test]
fn a_request_does_not_make_way_for_the_next_of_its_own_peer() {
    let mut rig = Rig::<Rep>::with(RepOptions::new().queue_bytes(1));
    let peer = rig.peer_with_room(0);
    let x = rig.open_ctx();
    request(&mut rig, peer, "1");
    rig.recv_in(x).unwrap();
    request(&mut rig, peer, "2");
    rig.send_in(x, "parked").unwrap();
    assert_eq!(rig.arrive(peer, [with_words(&[ID], "3")]), Flow::Pause);
    assert_eq!(rig.counted(), []);
    rig.set_room(peer, 2);
    assert_eq!(next(&mut rig), b"2");
}

#[test]
fn waiting_receives_do_not_hide_that_requests_have_to_make_way() {
    let mut rig = narrow();
    let deaf = [(); 2].map(|()| rig.peer_with_room(0));
    let good = rig.peer();
    let x = rig.open_ctx();
    for peer in deaf {
        let _ = rig.arrive(peer, empty(6));
        rig.recv().unwrap();
        let _ = rig.read(peer);
        rig.send("parked").unwrap();
    }
    rig.recv_waiting(x).unwrap_err();
    rig.world.take_effects();
    assert_eq!(rig.arrive(good, empty(1)), Flow::More);
    assert_eq!(rig.world.take_effects().last(), Some(&Effect::WakeRecv(x)));
}

#[test]
fn nothing_makes_way_for_a_peer_whose_own_replies_keep_it_from_being_read() {
    let mut rig = Rig::<Rep>::with(RepOptions::new().queue(1).queue_bytes(1));
    let [asks, waits] = [(); 2].map(|()| rig.peer_with_room(0));
    request(&mut rig, asks, "1");
    assert_eq!(next(&mut rig), b"1");
    request(&mut rig, waits, "2");
    assert_eq!(rig.arrive(asks, [with_words(&[ID], "3")]), Flow::Pause);
    rig.send("one").unwrap();
    // Too much is parked for the next request, and the peer that is paused would not go on if that were dropped.
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
    assert_eq!(rig.counted(), []);
    assert!(!rig.world.is_read(asks));
    rig.set_room(waits, 9);
    assert_eq!(next(&mut rig), b"2");
    rig.set_room(asks, 9);
    assert!(rig.world.is_read(asks), "its reply has left, and there is room for what it asks next");
}

#[test]
fn while_too_much_is_parked_only_requests_whose_replies_find_room_are_handed_out() {
    let mut rig = narrow();
    let deaf = [(); 3].map(|()| rig.peer_with_room(0));
    let reader = rig.peer_with_room(2);
    let y = rig.open_ctx();
    request(&mut rig, deaf[0], "");
    next(&mut rig);
    rig.send([0; 11 * COST]).unwrap();
    for peer in [deaf[1], deaf[2]] {
        request(&mut rig, peer, "");
    }
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
    for body in ["1", "2", "3"] {
        request(&mut rig, reader, body);
    }
    assert_eq!(next(&mut rig), b"1");
    // The second one's reply might find no room, as long as the first one's is to come.
    assert_eq!(rig.recv_waiting(y), Err(RecvBlocked::Empty));
    rig.world.take_effects();
    rig.send("one").unwrap();
    let words = [ID];
    rig.expect([Effect::Transmit(reader, with_words(&words, "one")), Effect::WakeRecv(y)]);
    assert_eq!(rig.recv_waiting(y).unwrap(), "2");
    rig.send_in(y, "two").unwrap();
    assert_eq!(rig.recv_waiting(y), Err(RecvBlocked::Empty));
    rig.world.take_effects();
    rig.set_room(reader, 1);
    rig.expect([Effect::WakeRecv(y)]);
    assert_eq!(rig.recv_waiting(y).unwrap(), "3");
    // What was passed over is handed out as soon as its peer reads.
    rig.set_room(deaf[2], 1);
    assert_eq!(rig.recv().unwrap().source(), Some(deaf[2]));
}

#[test]
fn who_waits_with_a_request_held_gets_the_next_of_that_peer_once_less_is_parked() {
    for peer_is_lost in [false, true] {
        let mut rig = narrow();
        let (deaf, reader) = (rig.peer_with_room(0), rig.peer());
        request(&mut rig, deaf, "");
        next(&mut rig);
        rig.send([0; 11 * COST]).unwrap();
        request(&mut rig, reader, "1");
        request(&mut rig, reader, "2");
        assert_eq!(next(&mut rig), b"1");
        assert_eq!(rig.recv_waiting(CtxId::MAIN), Err(RecvBlocked::Empty));
        if peer_is_lost {
            rig.close(deaf);
        } else {
            rig.set_room(deaf, 1);
        }
        assert_eq!(rig.world.woken_recv(), Some(CtxId::MAIN));
        assert_eq!(rig.recv_waiting(CtxId::MAIN).unwrap(), "2");
    }
}

#[test]
fn a_request_given_up_lets_the_next_of_its_peer_be_handed_out() {
    for close in [false, true] {
        let mut rig = narrow();
        let deaf = rig.peer_with_room(0);
        let reader = rig.peer();
        let [x, y] = [rig.open_ctx(), rig.open_ctx()];
        request(&mut rig, deaf, "");
        next(&mut rig);
        rig.send([0; 11 * COST]).unwrap();
        request(&mut rig, reader, "1");
        rig.recv_in(x).unwrap();
        request(&mut rig, reader, "2");
        assert_eq!(rig.recv_waiting(y), Err(RecvBlocked::Empty));
        rig.world.take_effects();
        if close {
            rig.close_ctx(x);
        } else {
            let other = rig.peer();
            request(&mut rig, other, "other");
            assert_eq!(rig.recv_in(x).unwrap(), "other");
        }
        assert!(rig.world.take_effects().contains(&Effect::WakeRecv(y)));
        assert_eq!(rig.recv_waiting(y).unwrap(), "2");
    }
}

#[test]
fn a_request_wakes_a_context_that_waits_and_not_one_that_asked_in_passing() {
    let mut rig = Rig::<Rep>::new();
    let a = rig.peer();
    let [x, y] = [rig.open_ctx(), rig.open_ctx()];
    rig.recv().unwrap_err();
    rig.recv_waiting(x).unwrap_err();
    rig.recv_waiting(y).unwrap_err();
    request(&mut rig, a, "1");
    rig.expect([Effect::WakeRecv(x)]);
    request(&mut rig, a, "2");
    rig.expect([Effect::WakeRecv(y)]);
    request(&mut rig, a, "3");
    rig.expect([]);
}

#[test]
fn a_woken_context_that_closes_or_gives_up_passes_the_wake_on() {
    let ends: [fn(&mut Rig<Rep>, CtxId); 3] =
        [Rig::<Rep>::close_ctx, Rig::<Rep>::abandon_recv, Rig::<Rep>::drop_woken_recv];
    for end in ends {
        let mut rig = Rig::<Rep>::new();
        let a = rig.peer();
        let [x, y] = [rig.open_ctx(), rig.open_ctx()];
        rig.recv_waiting(x).unwrap_err();
        rig.recv_waiting(y).unwrap_err();
        request(&mut rig, a, "1");
        end(&mut rig, x);
        assert_eq!(rig.world.take_effects().last(), Some(&Effect::WakeRecv(y)));
    }
}

#[test]
fn a_closed_context_leaves_its_request_unanswered() {
    let mut rig = Rig::<Rep>::new();
    let a = rig.peer();
    let x = rig.open_ctx();
    request(&mut rig, a, "ask");
    rig.recv_in(x).unwrap();
    rig.close_ctx(x);
    assert_eq!(rig.counted(), [Counter::Unanswered]);
    assert!(matches!(rig.send_in(x, "tell"), Err(Unsent::State(_))));
    assert_eq!(rig.recv_in(x), Err(RecvBlocked::State));
}

#[test]
fn options_outside_their_range_are_refused_by_name() {
    for ttl in [0, 16, 255] {
        let bad = RepOptions::new().ttl(ttl).check().unwrap_err();
        assert_eq!(bad.to_string(), format!("option ttl is {ttl}, allowed is 1 to 15"));
    }
    for ttl in [1, 15] {
        assert_eq!(RepOptions::new().ttl(ttl).check(), Ok(()));
    }
    assert_eq!(RepOptions::new().queue(0).check().unwrap_err().option, "queue");
    assert_eq!(RepOptions::new().queue_bytes(0).check().unwrap_err().option, "queue_bytes");
    assert_eq!(
        RepOptions::default().to_string(),
        "ttl 8, queue 128, queue_bytes 16777216, when_full block"
    );
}

/// sp-wire 8.9 item 122
#[test]
fn a_respondent_answers_surveys_as_a_rep_answers_requests() {
    let mut rig = Rig::<Respondent>::new();
    assert!(matches!(rig.send("me"), Err(Unsent::State(msg)) if msg == "me"));
    let a = rig.peer();
    let nine: Vec<u32> = (1..=8).chain([ID]).collect();
    let _ = rig.arrive(a, [with_words(&nine, "far"), with_words(&nine[1..], "near")]);
    assert_eq!(rig.counted(), [Counter::HopLimit]);
    assert_eq!(rig.recv().unwrap(), "near");
    rig.send("me").unwrap();
    assert_eq!(rig.transmitted(), [(a, with_words(&nine[1..], "me"))]);
    assert!(matches!(rig.send("me"), Err(Unsent::State(_))));
    let _ = rig.arrive(a, [with_words(&[1, 2], "")]);
    rig.expect([Effect::Close(a, CloseReason::BadHeader { protocol: ProtocolId::RESPONDENT })]);
}
