use super::*;
use crate::engine::testing::{Effect, Rig, Unsent, with_words};

const MAIN: CtxId = CtxId::MAIN;
const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_nanos(1);

/// Surveys in `ctx` and returns the survey's id, after a look at whom it went to.
#[track_caller]
fn ask(rig: &mut Rig<Surveyor>, ctx: CtxId, body: &str, peers: &[PeerId]) -> u32 {
    rig.send_in(ctx, body).unwrap();
    let sent = rig.transmitted();
    let to: Vec<PeerId> = sent.iter().map(|(peer, _)| *peer).collect();
    assert_eq!(to, peers);
    let (id, rest) = sent[0].1.split_first_chunk().unwrap();
    assert_eq!(rest, body.as_bytes());
    assert!(sent.iter().all(|(_, bytes)| *bytes == sent[0].1), "everybody is asked the same");
    u32::from_be_bytes(*id)
}

fn respond(rig: &mut Rig<Surveyor>, peer: PeerId, id: u32, body: &str) {
    assert_eq!(rig.arrive(peer, [with_words(&[id], body)]), Flow::More);
}

fn with_time(survey_time: Duration) -> SurveyorOptions {
    SurveyorOptions::new().survey_time(survey_time)
}

/// sp-wire 8.9 item 116
#[test]
fn a_survey_goes_to_every_peer_under_one_id_and_ids_go_up_by_one() {
    let mut firsts = Vec::new();
    for seed in 0..4 {
        let mut rig = Rig::<Surveyor>::seeded(SurveyorOptions::new(), seed);
        let peers = [rig.peer(), rig.peer(), rig.peer()];
        let first = ask(&mut rig, MAIN, "who?", &peers);
        let second = ask(&mut rig, MAIN, "who?", &peers);
        assert!(first >= 0x8000_0000);
        assert_eq!(second, first.wrapping_add(1) | 0x8000_0000);
        firsts.push(first);
    }
    firsts.dedup();
    assert_eq!(firsts.len(), 4);
}

/// sp-wire 8.9 item 117
#[test]
fn a_receive_without_a_survey_is_refused() {
    let mut rig = Rig::<Surveyor>::new();
    assert_eq!(rig.recv(), Err(RecvBlocked::State));
    rig.send("who?").unwrap();
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
}

/// sp-wire 8.9 items 117 and 120
#[test]
fn when_its_time_is_over_a_survey_ends_for_all_who_wait_and_all_who_come() {
    let mut rig = Rig::<Surveyor>::new();
    rig.send("anybody?").unwrap();
    rig.expect([Effect::Arm(SURVEY_END, SECOND)]);
    rig.recv_waiting(MAIN).unwrap_err();
    rig.recv_waiting(MAIN).unwrap_err();
    rig.advance(SECOND - MOMENT);
    rig.expect([]);
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
    rig.advance(MOMENT);
    rig.expect([Effect::WakeRecv(MAIN)]);
    assert_eq!(rig.recv_waiting(MAIN), Err(RecvBlocked::SurveyOver));
    rig.expect([Effect::WakeRecv(MAIN)]);
    assert_eq!(rig.recv_waiting(MAIN), Err(RecvBlocked::SurveyOver));
    assert_eq!(rig.recv(), Err(RecvBlocked::SurveyOver));
    rig.send("once more?").unwrap();
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
}

#[test]
fn a_timer_that_is_late_makes_no_survey_longer() {
    let mut rig = Rig::<Surveyor>::new();
    let a = rig.peer();
    let id = ask(&mut rig, MAIN, "who?", &[a]);
    rig.advance_silently(SECOND);
    respond(&mut rig, a, id, "late");
    rig.expect([Effect::Count(Counter::StaleReply)]);
    assert_eq!(rig.recv(), Err(RecvBlocked::SurveyOver));
}

#[test]
fn what_came_in_time_can_be_received_later() {
    let mut rig = Rig::<Surveyor>::new();
    let a = rig.peer();
    let id = ask(&mut rig, MAIN, "who?", &[a]);
    respond(&mut rig, a, id, "in time");
    rig.advance(SECOND);
    respond(&mut rig, a, id, "too late");
    assert_eq!(rig.counted(), [Counter::StaleReply]);
    let msg = rig.recv().unwrap();
    assert_eq!(msg, "in time");
    assert_eq!(msg.source(), Some(a));
    assert!(msg.header().is_empty());
    assert_eq!(rig.recv(), Err(RecvBlocked::SurveyOver));
}

/// sp-wire 8.9 item 118
#[test]
fn a_new_survey_cancels_the_one_before_and_everybody_who_waits_for_it() {
    let mut rig = Rig::<Surveyor>::new();
    let a = rig.peer();
    let first = ask(&mut rig, MAIN, "1?", &[a]);
    for _ in 0..2 {
        assert_eq!(rig.recv_waiting(MAIN), Err(RecvBlocked::Empty));
    }
    let second = ask(&mut rig, MAIN, "2?", &[a]);
    for _ in 0..2 {
        assert_eq!(rig.recv_waiting(MAIN), Err(RecvBlocked::Canceled));
    }
    assert_eq!(rig.recv_waiting(MAIN), Err(RecvBlocked::Empty));
    respond(&mut rig, a, first, "late");
    rig.expect([Effect::Count(Counter::StaleReply)]);
    respond(&mut rig, a, second, "now");
    rig.expect([Effect::WakeRecv(MAIN)]);
    assert_eq!(rig.recv().unwrap(), "now");
}

#[test]
fn a_canceled_receive_that_is_dropped_leaves_nothing_behind() {
    let mut rig = Rig::<Surveyor>::new();
    rig.send("1?").unwrap();
    rig.recv_waiting(MAIN).unwrap_err();
    rig.send("2?").unwrap();
    rig.drop_woken_recv(MAIN);
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
}

#[test]
fn a_receive_that_gives_up_leaves_the_survey_open() {
    let mut rig = Rig::<Surveyor>::new();
    let a = rig.peer();
    let id = ask(&mut rig, MAIN, "who?", &[a]);
    rig.recv_waiting(MAIN).unwrap_err();
    rig.abandon_recv(MAIN);
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
    respond(&mut rig, a, id, "me");
    assert_eq!(rig.recv().unwrap(), "me");
}

#[test]
fn a_new_survey_drops_what_was_not_received() {
    let mut rig = Rig::<Surveyor>::new();
    let a = rig.peer();
    let id = ask(&mut rig, MAIN, "1?", &[a]);
    respond(&mut rig, a, id, "one");
    respond(&mut rig, a, id, "another one");
    rig.world.take_effects();
    rig.send("2?").unwrap();
    assert_eq!(rig.counted(), [Counter::StaleReply; 2]);
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
}

/// sp-wire 8.9 item 119
#[test]
fn a_response_without_room_for_an_id_closes_the_pipe_and_one_of_no_survey_is_dropped() {
    for bytes in [&b""[..], b"1", b"12", b"123"] {
        let mut rig = Rig::<Surveyor>::new();
        let [bad, good] = [rig.peer(), rig.peer()];
        let id = ask(&mut rig, MAIN, "who?", &[bad, good]);
        assert_eq!(rig.arrive(bad, [bytes.to_vec(), with_words(&[id], "last words")]), Flow::More);
        rig.expect([Effect::Close(bad, CloseReason::BadHeader { protocol: ProtocolId::SURVEYOR })]);
        respond(&mut rig, bad, id, "last words");
        rig.expect([]);
        for stray in [id.wrapping_sub(1) | 0x8000_0000, id.wrapping_add(1), id & 0x7fff_ffff, 0] {
            respond(&mut rig, good, stray, "stray");
            rig.expect([Effect::Count(Counter::StaleReply)]);
        }
        respond(&mut rig, good, id, "me");
        assert_eq!(rig.recv().unwrap(), "me");
        assert_eq!(ask(&mut rig, MAIN, "and now?", &[good]), id.wrapping_add(1) | 0x8000_0000);
    }
}

/// sp-wire 8.9 item 121
#[test]
fn every_response_in_time_is_delivered_until_the_queue_is_full() {
    let mut rig = Rig::<Surveyor>::with(SurveyorOptions::new().queue(128));
    let [a, b] = [rig.peer(), rig.peer()];
    let id = ask(&mut rig, MAIN, "who?", &[a, b]);
    for n in 0..129 {
        respond(&mut rig, if n % 3 == 0 { a } else { b }, id, &n.to_string());
    }
    assert_eq!(rig.counted(), [Counter::DroppedOnReceive]);
    let wanted: Vec<Vec<u8>> = (0..128).map(|n| n.to_string().into_bytes()).collect();
    assert_eq!(rig.recv_all(999), wanted, "the newest was dropped");
}

#[test]
fn the_oldest_responses_make_way_if_told_to() {
    let options = SurveyorOptions::new().queue(2).when_full(WhenFull::DropOldest);
    let mut rig = Rig::<Surveyor>::with(options);
    let a = rig.peer();
    let id = ask(&mut rig, MAIN, "who?", &[a]);
    let _ = ["1", "2", "3"].map(|body| respond(&mut rig, a, id, body));
    assert_eq!(rig.counted(), [Counter::DroppedOnReceive]);
    assert_eq!(rig.recv_all(9), [b"2", b"3"]);
}

#[test]
fn a_survey_that_blocks_stops_its_peers_until_half_is_free_or_it_is_over() {
    let options = with_time(SECOND).queue(2).when_full(WhenFull::Block);
    let mut rig = Rig::<Surveyor>::with(options);
    let a = rig.peer();
    let of = |id, count| (0..count).map(move |_| with_words(&[id], "me"));
    let goes_on = |rig: &mut Rig<_>| rig.world.take_effects().contains(&Effect::Resume(a));
    let first = ask(&mut rig, MAIN, "who?", &[a]);
    assert_eq!(rig.arrive(a, of(first, 5)), Flow::Pause);
    assert!(rig.recv().is_ok() && goes_on(&mut rig));
    assert_eq!(rig.read(a), Flow::Pause);
    // Those of the survey before stand in the way of nobody.
    rig.send("and now?").unwrap();
    assert!(goes_on(&mut rig));
    assert_eq!(rig.read(a), Flow::More);
    assert_eq!(rig.counted(), [Counter::StaleReply; 2]);
    let third = ask(&mut rig, MAIN, "who?", &[a]);
    assert_eq!(rig.arrive(a, of(third, 3)), Flow::Pause);
    rig.advance(SECOND);
    assert!(goes_on(&mut rig));
    assert_eq!(rig.read(a), Flow::More);
    assert_eq!(rig.counted(), [Counter::StaleReply]);
    assert_eq!(rig.recv_all(9).len(), 2);
}

/// sp-wire 8.9 item 123
#[test]
fn a_peer_without_room_misses_the_survey_and_nobody_else_does() {
    let mut rig = Rig::<Surveyor>::new();
    let [a, slow, b] = [rig.peer(), rig.peer_with_room(1), rig.peer()];
    ask(&mut rig, MAIN, "1?", &[a, slow, b]);
    rig.send("2?").unwrap();
    let effects = rig.world.take_effects();
    assert!(effects.contains(&Effect::Count(Counter::DroppedOnSend)), "{effects:?}");
    let to = effects.iter().filter_map(|effect| match effect {
        Effect::Transmit(peer, _) => Some(*peer),
        _ => None,
    });
    assert_eq!(to.collect::<Vec<_>>(), [a, b]);
    rig.set_room(slow, 1);
    ask(&mut rig, MAIN, "3?", &[a, slow, b]);
}

#[test]
fn contexts_have_surveys_of_their_own() {
    let mut rig = Rig::<Surveyor>::new();
    let a = rig.peer();
    let x = rig.open_ctx();
    let y = rig.open_ctx_with(with_time(3 * SECOND).queue(1));
    let for_x = ask(&mut rig, x, "x?", &[a]);
    let for_y = ask(&mut rig, y, "y?", &[a]);
    assert_eq!(rig.recv(), Err(RecvBlocked::State), "nothing was asked here");
    respond(&mut rig, a, for_y, "y!");
    respond(&mut rig, a, for_y, "too much");
    assert_eq!(rig.counted(), [Counter::DroppedOnReceive]);
    assert_eq!(rig.recv_in(x), Err(RecvBlocked::Empty));
    rig.advance(SECOND);
    respond(&mut rig, a, for_x, "late");
    assert_eq!(rig.recv_in(x), Err(RecvBlocked::SurveyOver));
    assert_eq!(rig.recv_in(y).unwrap(), "y!");
    assert_eq!(rig.recv_in(y), Err(RecvBlocked::Empty));
    rig.advance(2 * SECOND);
    assert_eq!(rig.recv_in(y), Err(RecvBlocked::SurveyOver));
}

#[test]
fn a_closed_context_ends_its_survey_and_no_other() {
    let mut rig = Rig::<Surveyor>::new();
    let a = rig.peer();
    let [x, y] = [rig.open_ctx(), rig.open_ctx()];
    let for_x = ask(&mut rig, x, "x?", &[a]);
    let for_y = ask(&mut rig, y, "y?", &[a]);
    respond(&mut rig, a, for_x, "x!");
    rig.world.take_effects();
    rig.close_ctx(x);
    assert_eq!(rig.counted(), [Counter::StaleReply], "what was not received");
    respond(&mut rig, a, for_x, "x!");
    assert_eq!(rig.counted(), [Counter::StaleReply]);
    assert!(matches!(rig.send_in(x, "more"), Err(Unsent::State(msg)) if msg == "more"));
    assert_eq!(rig.recv_in(x), Err(RecvBlocked::State));
    respond(&mut rig, a, for_y, "y!");
    assert_eq!(rig.recv_in(y).unwrap(), "y!");
    rig.advance(SECOND);
    assert_eq!(rig.recv_in(y), Err(RecvBlocked::SurveyOver));
}

#[test]
fn many_surveys_cost_one_timer_per_survey_time() {
    let mut rig = Rig::<Surveyor>::new();
    let step = Duration::from_millis(100);
    let mut armed = 0;
    for _ in 0..100 {
        rig.send("who?").unwrap();
        rig.advance(step);
        let effects = rig.world.take_effects();
        armed += effects.iter().filter(|effect| matches!(effect, Effect::Arm(..))).count();
        assert!(!effects.contains(&Effect::WakeRecv(MAIN)), "the survey is younger than its time");
    }
    assert!(armed <= 12, "{armed} timers in 10 survey times");
}

#[test]
fn a_survey_without_end_needs_no_timer() {
    let mut rig = Rig::<Surveyor>::with(with_time(Duration::MAX));
    rig.send("take your time").unwrap();
    rig.expect([]);
    rig.advance(1_000_000 * SECOND);
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
}

#[test]
fn a_foreign_header_does_not_travel() {
    let mut rig = Rig::<Surveyor>::new();
    let a = rig.peer();
    let mut msg = Message::from("who?");
    let _ = msg.push_header(5);
    rig.send(msg).unwrap();
    let sent = rig.transmitted();
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].0, &sent[0].1[4..]), (a, &b"who?"[..]));
}

#[test]
fn a_survey_time_of_zero_is_refused_and_options_are_printed() {
    let refused = |options: SurveyorOptions| options.check().map_err(|bad| bad.option);
    assert_eq!(refused(with_time(Duration::ZERO)), Err("survey_time"));
    assert_eq!(refused(SurveyorOptions::new().queue(0)), Err("queue"));
    assert_eq!(refused(SurveyorOptions::new().queue_bytes(0)), Err("queue_bytes"));
    assert_eq!(refused(SurveyorOptions::default()), Ok(()));
    assert_eq!(
        with_time(SECOND / 2).queue(7).queue_bytes(8).when_full(WhenFull::Block).to_string(),
        "survey_time 500ms, queue 7, queue_bytes 8, when_full block"
    );
}
