use super::*;
use crate::engine::testing::{Effect, Rig};

const MAIN: CtxId = CtxId::MAIN;

fn sub(options: SubOptions, topics: &[&str]) -> (Rig<Sub>, PeerId) {
    let mut rig = Rig::<Sub>::with(options);
    let publisher = rig.peer();
    for topic in topics {
        assert!(rig.engine.subscribe(MAIN, topic.as_bytes()));
    }
    (rig, publisher)
}

/// What of `sent` a subscriber to `topics` receives.
fn received(topics: &[&str], sent: &[&str]) -> Vec<String> {
    let (mut rig, publisher) = sub(SubOptions::new(), topics);
    assert_eq!(rig.arrive(publisher, sent.iter().copied()), Flow::More);
    rig.recv_all(99).into_iter().map(|body| String::from_utf8(body).unwrap()).collect()
}

/// What waits in `ctx`.
fn received_in(rig: &mut Rig<Sub>, ctx: CtxId) -> Vec<String> {
    let messages = std::iter::from_fn(|| rig.recv_in(ctx).ok());
    messages.map(|msg| msg.as_str().unwrap().to_owned()).collect()
}

/// sp-wire 8.10 item 125
#[test]
fn a_topic_matches_what_begins_with_it() {
    let sent = ["a", "ab", "b", ""];
    assert!(received(&[], &sent).is_empty());
    assert_eq!(received(&[""], &sent), sent);
    assert_eq!(received(&["a"], &sent), ["a", "ab"]);
}

/// sp-wire 8.10 item 126
#[test]
fn topics_are_bytes_and_may_be_longer_than_the_message() {
    assert_eq!(received(&["a\0b"], &["a", "a\0", "a\0b", "a\0bc", "a\0c"]), ["a\0b", "a\0bc"]);
}

/// sp-wire 8.10 item 127
#[test]
fn a_topic_counts_once() {
    let (mut rig, publisher) = sub(SubOptions::new(), &["a"]);
    assert!(!rig.engine.subscribe(MAIN, b"a"));
    assert!(rig.engine.unsubscribe(MAIN, b"a", &mut rig.world));
    assert!(!rig.engine.unsubscribe(MAIN, b"a", &mut rig.world));
    let _ = rig.arrive(publisher, ["a"]);
    rig.expect([Effect::Count(Counter::Unwanted)]);
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
}

/// sp-wire 8.10 item 128
#[test]
fn an_unsubscribe_removes_waiting_messages_that_no_longer_match() {
    let (mut rig, publisher) = sub(SubOptions::new(), &["a", "ab"]);
    let _ = rig.arrive(publisher, ["a1", "ab1", "a2"]);
    assert!(rig.engine.unsubscribe(MAIN, b"a", &mut rig.world));
    assert_eq!(rig.counted(), [Counter::Unwanted; 2]);
    assert_eq!(rig.recv_all(9), [b"ab1"]);
}

/// sp-wire 8.10 item 129
#[test]
fn overlapping_topics_deliver_once() {
    assert_eq!(received(&["", "a", "ab"], &["abc"]), ["abc"]);
}

/// sp-wire 8.10 item 131
#[test]
fn a_full_queue_loses_its_oldest_or_the_newest() {
    for (when_full, kept) in
        [(WhenFull::DropOldest, ["2", "3"]), (WhenFull::DropNewest, ["1", "2"])]
    {
        let (mut rig, publisher) = sub(SubOptions::new().queue(2).when_full(when_full), &[""]);
        assert_eq!(rig.arrive(publisher, ["1", "2", "3"]), Flow::More);
        assert_eq!(rig.counted(), [Counter::DroppedOnReceive]);
        assert_eq!(rig.recv_all(9), kept.map(str::as_bytes));
        assert_eq!(rig.engine.missed(MAIN), 1);
        assert_eq!(rig.engine.missed(MAIN), 0);
    }
}

#[test]
fn every_message_that_bytes_leave_no_room_for_is_counted_as_missed() {
    let long = "x".repeat(2000);
    let sent = ["1", "2", &long, "3", "4"];
    let kept =
        [(WhenFull::DropOldest, &["3", "4"][..]), (WhenFull::DropNewest, &["1", "2", &long])];
    for (when_full, kept) in kept {
        let options = SubOptions::new().queue_bytes(1000).when_full(when_full);
        let (mut rig, publisher) = sub(options, &[""]);
        assert_eq!(rig.arrive(publisher, sent), Flow::More);
        let dropped = sent.len() - kept.len();
        assert_eq!(rig.counted(), vec![Counter::DroppedOnReceive; dropped]);
        assert_eq!(rig.engine.missed(MAIN), dropped as u64);
        assert_eq!(rig.recv_all(9), kept.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
    }
}

#[test]
fn a_waiting_receive_is_woken_and_learns_the_source() {
    let (mut rig, publisher) = sub(SubOptions::new(), &["a"]);
    assert_eq!(rig.recv_waiting(MAIN), Err(RecvBlocked::Empty));
    let _ = rig.arrive(publisher, ["b", "a", "a"]);
    rig.expect([Effect::WakeRecv(MAIN), Effect::Count(Counter::Unwanted)]);
    assert_eq!(rig.recv().unwrap().source(), Some(publisher));
}

/// Options of a subscriber that has room for so many messages and does not miss one.
fn blocking(queue: usize) -> SubOptions {
    SubOptions::new().queue(queue).when_full(WhenFull::Block)
}

#[test]
fn a_subscriber_that_blocks_is_not_read_beyond_its_queue_until_half_is_free() {
    let (mut rig, publisher) = sub(blocking(4), &["a"]);
    let sent = ["a1", "b", "a2", "a3", "a4", "b", "a5", "a6"];
    assert_eq!(rig.arrive(publisher, sent), Flow::Pause);
    assert_eq!(rig.counted(), [Counter::Unwanted; 2], "what nobody wants needs no room");
    assert_eq!(rig.recv_all(1), [b"a1"]);
    rig.expect([]);
    assert_eq!(rig.recv_all(1), [b"a2"]);
    rig.expect([Effect::Resume(publisher)]);
    assert_eq!(rig.read(publisher), Flow::More);
    assert_eq!(rig.recv_all(9), [b"a3", b"a4", b"a5", b"a6"]);
    assert_eq!(rig.engine.missed(MAIN), 0);
}

#[test]
fn bytes_block_as_well() {
    let (mut rig, publisher) = sub(blocking(9).queue_bytes(300), &[""]);
    assert_eq!(rig.arrive(publisher, ["1", "2", "3", "4"]), Flow::Pause);
    assert_eq!(rig.recv_all(9), [b"1", b"2", b"3"]);
    assert_eq!(rig.read(publisher), Flow::More);
    assert_eq!(rig.recv_all(9), [b"4"]);
}

#[test]
fn publishers_that_were_stopped_go_on_in_turn() {
    let (mut rig, a) = sub(blocking(1), &[""]);
    let [b, c] = [rig.peer(), rig.peer()];
    assert_eq!(rig.arrive(a, ["a1", "a2"]), Flow::Pause);
    assert_eq!(rig.arrive(b, ["b1"]), Flow::Pause);
    assert_eq!(rig.arrive(c, ["c1"]), Flow::Pause);
    for body in [b"a1", b"a2", b"b1", b"c1"] {
        assert_eq!(rig.recv_all(1), [body]);
        rig.read_all();
    }
    assert!([a, b, c].into_iter().all(|peer| rig.world.is_read(peer)));
}

#[test]
fn a_publisher_that_goes_leaves_its_turn_to_the_next() {
    let (mut rig, a) = sub(blocking(1), &[""]);
    let b = rig.peer();
    assert_eq!(rig.arrive(a, ["a1", "a2"]), Flow::Pause);
    assert_eq!(rig.arrive(b, ["b1"]), Flow::Pause);
    assert_eq!(rig.recv_all(1), [b"a1"]);
    rig.expect([Effect::Resume(a)]);
    rig.close(a);
    rig.expect([Effect::Resume(b)]);
}

#[test]
fn a_context_that_blocks_holds_up_the_others_and_only_for_what_it_wants() {
    let (mut rig, publisher) = sub(SubOptions::new().queue(9), &[""]);
    let x = rig.open_ctx_with(blocking(1));
    rig.engine.subscribe(x, b"x");
    assert_eq!(rig.arrive(publisher, ["x1", "a", "x2", "b"]), Flow::Pause);
    assert_eq!(received_in(&mut rig, MAIN), ["x1", "a"]);
    rig.expect([]);
    assert_eq!(received_in(&mut rig, x), ["x1"]);
    rig.expect([Effect::Resume(publisher)]);
    assert_eq!(rig.read(publisher), Flow::More);
    assert_eq!(received_in(&mut rig, MAIN), ["x2", "b"]);
    assert_eq!(received_in(&mut rig, x), ["x2"]);
}

#[test]
fn a_context_that_ends_or_wants_nothing_more_blocks_nobody() {
    for ends in [true, false] {
        let (mut rig, publisher) = sub(SubOptions::new(), &[""]);
        let x = rig.open_ctx_with(blocking(1));
        rig.engine.subscribe(x, b"x");
        assert_eq!(rig.arrive(publisher, ["x1", "x2"]), Flow::Pause);
        rig.world.take_effects();
        if ends {
            rig.close_ctx(x);
        } else {
            assert!(rig.engine.unsubscribe(x, b"x", &mut rig.world));
        }
        let effects = rig.world.take_effects();
        assert!(effects.contains(&Effect::Resume(publisher)), "{effects:?}");
        assert_eq!(rig.read(publisher), Flow::More);
        assert_eq!(received_in(&mut rig, MAIN), ["x1", "x2"]);
    }
}

/// sp-wire 8.10 item 134
#[test]
fn each_context_gets_what_it_wants_and_one_that_wants_it_twice_gets_it_once() {
    let (mut rig, publisher) = sub(SubOptions::new(), &["a"]);
    let [x, y] = [rig.open_ctx(), rig.open_ctx()];
    for topic in ["", "a", "ab"] {
        rig.engine.subscribe(x, topic.as_bytes());
    }
    let _ = rig.arrive(publisher, ["abc", "b"]);
    rig.engine.subscribe(y, b"b");
    let _ = rig.arrive(publisher, ["b2", "c"]);
    assert_eq!(rig.counted(), [Counter::Unwanted; 0], "somebody wants each of them");
    assert_eq!(received_in(&mut rig, MAIN), ["abc"]);
    assert_eq!(received_in(&mut rig, x), ["abc", "b", "b2", "c"]);
    assert_eq!(received_in(&mut rig, y), ["b2"]);
}

#[test]
fn a_message_that_no_context_wants_is_counted_once() {
    let (mut rig, publisher) = sub(SubOptions::new(), &["a"]);
    let x = rig.open_ctx();
    rig.engine.subscribe(x, b"b");
    let _ = rig.arrive(publisher, ["c"]);
    rig.expect([Effect::Count(Counter::Unwanted)]);
}

#[test]
fn a_message_wakes_the_contexts_that_want_it() {
    let (mut rig, publisher) = sub(SubOptions::new(), &["a"]);
    let [x, y] = [rig.open_ctx(), rig.open_ctx()];
    rig.engine.subscribe(x, b"a");
    rig.engine.subscribe(y, b"b");
    for ctx in [MAIN, x, y] {
        assert_eq!(rig.recv_waiting(ctx), Err(RecvBlocked::Empty));
    }
    let _ = rig.arrive(publisher, ["a"]);
    rig.expect([Effect::WakeRecv(MAIN), Effect::WakeRecv(x)]);
}

#[test]
fn each_context_has_its_own_queue_and_misses_on_its_own() {
    let (mut rig, publisher) = sub(SubOptions::new(), &[""]);
    let small = rig.open_ctx_with(SubOptions::new().queue(1).when_full(WhenFull::DropNewest));
    rig.engine.subscribe(small, b"");
    let _ = rig.arrive(publisher, ["1", "2", "3"]);
    assert_eq!(rig.counted(), [Counter::DroppedOnReceive; 2]);
    assert_eq!((rig.engine.missed(MAIN), rig.engine.missed(small)), (0, 2));
    assert_eq!(received_in(&mut rig, MAIN), ["1", "2", "3"]);
    assert_eq!(received_in(&mut rig, small), ["1"]);
}

#[test]
fn a_closed_context_drops_what_waits_for_it_and_wants_nothing_more() {
    let (mut rig, publisher) = sub(SubOptions::new(), &["a"]);
    let x = rig.open_ctx();
    rig.engine.subscribe(x, b"");
    let _ = rig.arrive(publisher, ["a1", "b1"]);
    rig.world.take_effects();
    rig.close_ctx(x);
    assert_eq!(rig.counted(), [Counter::Unwanted; 2]);
    let _ = rig.arrive(publisher, ["a2", "b2"]);
    assert_eq!(rig.counted(), [Counter::Unwanted]);
    assert_eq!(received_in(&mut rig, MAIN), ["a1", "a2"]);
    assert_eq!(rig.recv_in(x), Err(RecvBlocked::State));
    assert!(!rig.engine.subscribe(x, b"") && !rig.engine.unsubscribe(x, b"", &mut rig.world));
    assert_eq!(rig.engine.missed(x), 0);
}

#[test]
fn a_queue_of_zero_is_refused_and_options_are_printed() {
    assert!(SubOptions::new().queue(0).check().is_err());
    assert!(SubOptions::new().queue_bytes(0).check().is_err());
    assert_eq!(SubOptions::default().check(), Ok(()));
    assert_eq!(
        SubOptions::default().to_string(),
        "queue 1024, queue_bytes 16777216, when_full drop oldest"
    );
    assert_eq!(
        SubOptions::new().queue(7).queue_bytes(8).when_full(WhenFull::Block).to_string(),
        "queue 7, queue_bytes 8, when_full block"
    );
}
