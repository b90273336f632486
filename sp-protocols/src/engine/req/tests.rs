use std::time::Duration;

use super::*;
use crate::engine::testing::{Effect, Rig, Unsent, with_words};

const MAIN: CtxId = CtxId::MAIN;
const MINUTE: Duration = Duration::from_secs(60);

/// A rig with requests never sent again.
fn impatient() -> Rig<Req> {
    Rig::with(ReqOptions::new().resend_time(None))
}

/// Sends `body` and returns the peer it went to and its id.
#[track_caller]
fn ask(rig: &mut Rig<Req>, ctx: CtxId, body: &str) -> (PeerId, u32) {
    rig.send_in(ctx, body).unwrap();
    only(rig.transmitted(), body)
}

/// The peer and id of the one request in `sent`.
#[track_caller]
fn only(sent: Vec<(PeerId, Vec<u8>)>, body: &str) -> (PeerId, u32) {
    assert_eq!(sent.len(), 1, "{sent:?}");
    let (id, rest) = sent[0].1.split_first_chunk().unwrap();
    assert_eq!(rest, body.as_bytes());
    (sent[0].0, u32::from_be_bytes(*id))
}

fn reply(rig: &mut Rig<Req>, peer: PeerId, id: u32, body: &str) {
    assert_eq!(rig.arrive(peer, [with_words(&[id], body)]), Flow::More);
}

/// sp-wire 8.8 item 93
#[test]
fn ids_have_the_high_bit_go_up_by_one_and_start_at_the_seed() {
    let mut firsts = Vec::new();
    for seed in 0..4 {
        let mut rig = Rig::<Req>::seeded(ReqOptions::new(), seed);
        rig.peer();
        let (_, first) = ask(&mut rig, MAIN, "1");
        let (_, second) = ask(&mut rig, MAIN, "2");
        assert!(first >= 0x8000_0000);
        assert_eq!(second, first.wrapping_add(1) | 0x8000_0000);
        firsts.push(first);
    }
    firsts.dedup();
    assert_eq!(firsts.len(), 4);
}

/// sp-wire 8.8 item 95
#[test]
fn a_receive_without_a_request_is_refused_and_so_is_a_second_one() {
    let mut rig = Rig::<Req>::new();
    assert_eq!(rig.recv(), Err(RecvBlocked::State));
    rig.peer();
    let (a, id) = ask(&mut rig, MAIN, "ask");
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
    reply(&mut rig, a, id, "tell");
    let msg = rig.recv().unwrap();
    assert_eq!(msg, "tell");
    assert_eq!(msg.source(), Some(a));
    assert!(msg.header().is_empty());
    assert_eq!(rig.recv(), Err(RecvBlocked::State));
}

/// sp-wire 8.8 item 96
#[test]
fn a_send_cancels_the_earlier_request_and_its_waiting_receive_once() {
    let mut rig = impatient();
    let a = rig.peer();
    let (_, first) = ask(&mut rig, MAIN, "1");
    assert_eq!(rig.recv_waiting(MAIN), Err(RecvBlocked::Empty));
    rig.send("2").unwrap();
    let effects = rig.world.take_effects();
    assert_eq!(effects[0], Effect::WakeRecv(MAIN));
    assert_eq!(rig.recv_waiting(MAIN), Err(RecvBlocked::Canceled));
    assert_eq!(rig.recv_waiting(MAIN), Err(RecvBlocked::Empty));
    reply(&mut rig, a, first, "late");
    rig.expect([Effect::Count(Counter::StaleReply)]);
    reply(&mut rig, a, first + 1, "now");
    rig.expect([Effect::WakeRecv(MAIN)]);
    assert_eq!(rig.recv().unwrap(), "now");
}

#[test]
fn a_receive_that_only_asked_in_passing_is_not_canceled() {
    let mut rig = Rig::<Req>::new();
    rig.peer();
    ask(&mut rig, MAIN, "1");
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
    let (a, id) = ask(&mut rig, MAIN, "2");
    reply(&mut rig, a, id, "two");
    assert_eq!(rig.recv().unwrap(), "two");
}

#[test]
fn a_send_without_room_forgets_the_earlier_request_as_well() {
    let mut rig = Rig::<Req>::new();
    let a = rig.peer_with_room(1);
    let (_, id) = ask(&mut rig, MAIN, "1");
    assert_eq!(rig.recv_waiting(MAIN), Err(RecvBlocked::Empty));
    assert!(
        matches!(rig.send("2"), Err(Unsent::Full(msg)) if msg == "2" && msg.header().is_empty())
    );
    reply(&mut rig, a, id, "late");
    assert_eq!(rig.recv(), Err(RecvBlocked::Canceled));
    assert_eq!(rig.recv(), Err(RecvBlocked::State));
}

#[test]
fn a_send_forgets_a_stored_reply() {
    let mut rig = Rig::<Req>::new();
    rig.peer();
    let (a, id) = ask(&mut rig, MAIN, "1");
    reply(&mut rig, a, id, "one");
    let (a, id) = ask(&mut rig, MAIN, "2");
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
    reply(&mut rig, a, id, "two");
    assert_eq!(rig.recv().unwrap(), "two");
}

/// sp-wire 8.8 items 97 and 99
#[test]
fn replies_that_fit_no_request_are_dropped_and_the_right_one_still_comes() {
    let mut rig = Rig::<Req>::new();
    rig.peer();
    let (a, id) = ask(&mut rig, MAIN, "ask");
    for stray in [id.wrapping_sub(1) | 0x8000_0000, id.wrapping_add(1), id & 0x7fff_ffff, 0] {
        reply(&mut rig, a, stray, "stray");
        rig.expect([Effect::Count(Counter::StaleReply)]);
    }
    reply(&mut rig, a, id, "tell");
    rig.world.take_effects();
    reply(&mut rig, a, id, "again");
    rig.expect([Effect::Count(Counter::StaleReply)]);
    assert_eq!(rig.recv().unwrap(), "tell");
}

/// sp-wire 8.8 item 98
#[test]
fn a_reply_without_room_for_an_id_closes_the_pipe_and_the_request_goes_elsewhere() {
    for bytes in [&b""[..], b"1", b"12", b"123"] {
        let mut rig = Rig::<Req>::new();
        let [bad, good] = [rig.peer(), rig.peer()];
        let (to, id) = ask(&mut rig, MAIN, "ask");
        assert_eq!(to, bad);
        assert_eq!(rig.arrive(bad, [bytes.to_vec(), with_words(&[id], "too late")]), Flow::More);
        let why = CloseReason::BadHeader { protocol: ProtocolId::REQ };
        rig.expect([Effect::Close(bad, why)]);
        reply(&mut rig, bad, id, "too late");
        rig.expect([]);
        rig.close(bad);
        assert_eq!(only(rig.transmitted(), "ask"), (good, id));
    }
}

/// sp-wire 8.8 item 100
#[test]
fn a_send_waits_for_a_peer() {
    let mut rig = Rig::<Req>::new();
    assert!(matches!(rig.send_waiting(MAIN, "ask"), Err(Unsent::Full(_))));
    rig.peer();
    rig.expect([Effect::WakeSend(MAIN)]);
    ask(&mut rig, MAIN, "ask");
}

/// sp-wire 8.8 item 101
#[test]
fn a_request_whose_peer_is_lost_goes_to_another_at_once_under_the_same_id() {
    let mut rig = Rig::<Req>::new();
    let [a, b] = [rig.peer(), rig.peer()];
    let (to, id) = ask(&mut rig, MAIN, "ask");
    assert_eq!(to, a);
    rig.close(a);
    let bytes = with_words(&[id], "ask");
    rig.expect([Effect::Transmit(b, bytes.clone()), Effect::Count(Counter::Resent)]);
    rig.close(b);
    rig.expect([]);
    let c = rig.peer_with_room(0);
    rig.expect([]);
    rig.set_room(c, 1);
    rig.expect([Effect::Transmit(c, bytes), Effect::Count(Counter::Resent)]);
    reply(&mut rig, c, id, "tell");
    assert_eq!(rig.recv().unwrap(), "tell");
}

/// sp-wire 8.8 item 101
#[test]
fn without_resending_a_lost_peer_is_reported_once() {
    let mut rig = impatient();
    let [a, _b] = [rig.peer(), rig.peer()];
    ask(&mut rig, MAIN, "1");
    assert_eq!(rig.recv_waiting(MAIN), Err(RecvBlocked::Empty));
    rig.close(a);
    rig.expect([Effect::WakeRecv(MAIN)]);
    assert_eq!(rig.recv(), Err(RecvBlocked::PeerGone));
    assert_eq!(rig.recv(), Err(RecvBlocked::State));
}

#[test]
fn without_resending_a_new_request_makes_up_for_a_lost_one() {
    let mut rig = impatient();
    let a = rig.peer();
    ask(&mut rig, MAIN, "1");
    rig.close(a);
    rig.peer();
    ask(&mut rig, MAIN, "2");
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
}

/// sp-wire 8.8 item 102
#[test]
fn an_unanswered_request_is_sent_again_every_resend_time_and_never_before() {
    let mut rig = Rig::<Req>::new();
    let [a, b] = [rig.peer(), rig.peer()];
    rig.send("ask").unwrap();
    let effects = rig.world.take_effects();
    assert_eq!(effects[1], Effect::Arm(RESEND, MINUTE));
    let Effect::Transmit(_, bytes) = &effects[0] else { panic!("{effects:?}") };
    for (round, to) in [(2, b), (3, a), (4, b)] {
        rig.advance(MINUTE - Duration::from_nanos(1));
        rig.expect([]);
        rig.advance(Duration::from_nanos(1));
        rig.expect([
            Effect::Transmit(to, bytes.clone()),
            Effect::Count(Counter::Resent),
            Effect::Arm(RESEND, MINUTE * round),
        ]);
    }
    let id = u32::from_be_bytes(bytes[..4].try_into().unwrap());
    reply(&mut rig, a, id, "late but first");
    reply(&mut rig, b, id, "second");
    assert_eq!(rig.recv().unwrap(), "late but first");
    assert_eq!(rig.counted(), [Counter::StaleReply]);
    rig.advance(10 * MINUTE);
    rig.expect([]);
}

/// sp-wire 8.8 item 102
#[test]
fn without_resending_no_timer_is_armed() {
    let mut rig = impatient();
    rig.peer();
    rig.send("ask").unwrap();
    rig.advance(100 * MINUTE);
    assert_eq!(rig.transmitted().len(), 1);
}

#[test]
fn many_requests_cost_one_timer_per_resend_time() {
    let mut rig = Rig::<Req>::new();
    let a = rig.peer();
    for n in 0..600 {
        rig.advance(Duration::from_secs(1));
        let _ = n;
        rig.send("ask").unwrap();
        let sent = rig.world.take_effects();
        let Some(Effect::Transmit(_, bytes)) =
            sent.iter().find(|e| matches!(e, Effect::Transmit(..)))
        else {
            panic!("{sent:?}")
        };
        let armed = sent.iter().filter(|e| matches!(e, Effect::Arm(..))).count();
        assert!(armed <= 1 && !sent.contains(&Effect::Count(Counter::Resent)), "{n}: {sent:?}");
        let id = u32::from_be_bytes(bytes[..4].try_into().unwrap());
        reply(&mut rig, a, id, "tell");
    }
}

#[test]
fn a_request_due_without_room_is_sent_as_soon_as_there_is_some() {
    let mut rig = Rig::<Req>::new();
    let a = rig.peer_with_room(1);
    let (_, id) = ask(&mut rig, MAIN, "ask");
    rig.advance(2 * MINUTE);
    rig.expect([]);
    rig.set_room(a, 1);
    assert_eq!(only(rig.transmitted(), "ask"), (a, id));
    rig.set_room(a, 9);
    rig.advance(MINUTE);
    assert_eq!(only(rig.transmitted(), "ask"), (a, id));
}

#[test]
fn a_request_sent_again_belongs_to_its_new_peer() {
    let mut rig = Rig::<Req>::new();
    let [a, b] = [rig.peer(), rig.peer()];
    let (_, id) = ask(&mut rig, MAIN, "ask");
    rig.advance(MINUTE);
    assert_eq!(only(rig.transmitted(), "ask"), (b, id));
    rig.close(a);
    rig.expect([]);
    rig.close(b);
    rig.peer();
    assert_eq!(only(rig.transmitted(), "ask").1, id);
}

/// sp-wire 8.8 item 103
#[test]
fn a_receive_that_gives_up_ends_the_request() {
    let mut rig = Rig::<Req>::new();
    rig.peer();
    let (a, id) = ask(&mut rig, MAIN, "1");
    assert_eq!(rig.recv_waiting(MAIN), Err(RecvBlocked::Empty));
    rig.abandon_recv(MAIN);
    assert_eq!(rig.recv(), Err(RecvBlocked::State));
    let (_, second) = ask(&mut rig, MAIN, "2");
    reply(&mut rig, a, id, "late");
    assert_eq!(rig.recv(), Err(RecvBlocked::Empty));
    reply(&mut rig, a, second, "two");
    assert_eq!(rig.recv().unwrap(), "two");
}

#[test]
fn a_canceled_receive_that_gives_up_leaves_the_new_request_alone() {
    let mut rig = Rig::<Req>::new();
    rig.peer();
    ask(&mut rig, MAIN, "1");
    assert_eq!(rig.recv_waiting(MAIN), Err(RecvBlocked::Empty));
    let (a, id) = ask(&mut rig, MAIN, "2");
    rig.abandon_recv(MAIN);
    reply(&mut rig, a, id, "two");
    assert_eq!(rig.recv().unwrap(), "two");
}

#[test]
fn a_reply_outlives_the_receive_that_was_woken_for_it() {
    let mut rig = Rig::<Req>::new();
    rig.peer();
    let (a, id) = ask(&mut rig, MAIN, "ask");
    assert_eq!(rig.recv_waiting(MAIN), Err(RecvBlocked::Empty));
    reply(&mut rig, a, id, "tell");
    rig.abandon_recv(MAIN);
    assert_eq!(rig.recv().unwrap(), "tell");
}

#[test]
fn a_second_receive_hears_that_the_first_took_the_reply() {
    let mut rig = Rig::<Req>::new();
    rig.peer();
    let (a, id) = ask(&mut rig, MAIN, "ask");
    rig.recv_waiting(MAIN).unwrap_err();
    rig.recv_waiting(MAIN).unwrap_err();
    reply(&mut rig, a, id, "tell");
    rig.expect([Effect::WakeRecv(MAIN)]);
    assert_eq!(rig.recv().unwrap(), "tell");
    rig.expect([Effect::WakeRecv(MAIN)]);
    assert_eq!(rig.recv(), Err(RecvBlocked::State));
}

/// sp-wire 8.8 item 104
#[test]
fn contexts_get_their_own_replies_in_any_order() {
    let mut rig = Rig::<Req>::new();
    let a = rig.peer();
    let [x, y] = [rig.open_ctx(), rig.open_ctx()];
    let (_, for_x) = ask(&mut rig, x, "x?");
    let (_, for_y) = ask(&mut rig, y, "y?");
    assert_ne!(for_x, for_y);
    reply(&mut rig, a, for_y, "y!");
    assert_eq!(rig.recv_in(x), Err(RecvBlocked::Empty));
    assert_eq!(rig.recv_in(y).unwrap(), "y!");
    reply(&mut rig, a, for_x, "x!");
    assert_eq!(rig.recv_in(x).unwrap(), "x!");
}

/// sp-wire 8.8 item 115
#[test]
fn requests_spread_over_the_peers() {
    let mut rig = Rig::<Req>::new();
    let [a, b] = [rig.peer(), rig.peer()];
    let x = rig.open_ctx();
    assert_eq!(ask(&mut rig, MAIN, "1").0, a);
    assert_eq!(ask(&mut rig, x, "2").0, b);
    assert_eq!(ask(&mut rig, MAIN, "3").0, a);
}

#[test]
fn room_wakes_a_context_that_waits_and_not_one_that_asked_in_passing() {
    let mut rig = Rig::<Req>::new();
    let x = rig.open_ctx();
    rig.send("in passing").unwrap_err();
    rig.send_waiting(x, "waits").unwrap_err();
    rig.peer();
    rig.expect([Effect::WakeSend(x)]);
}

#[test]
fn the_success_of_a_woken_send_wakes_the_next_while_there_is_room() {
    let mut rig = Rig::<Req>::new();
    let x = rig.open_ctx();
    rig.send_waiting(MAIN, "1").unwrap_err();
    rig.send_waiting(x, "2").unwrap_err();
    rig.peer_with_room(2);
    rig.expect([Effect::WakeSend(MAIN)]);
    rig.send_waiting(MAIN, "1").unwrap();
    assert_eq!(rig.world.take_effects().last(), Some(&Effect::WakeSend(x)));
}

#[test]
fn a_woken_send_that_closes_or_gives_up_passes_the_wake_on() {
    let ends: [fn(&mut Rig<Req>, CtxId); 3] =
        [Rig::<Req>::close_ctx, Rig::<Req>::abandon_send, Rig::<Req>::drop_woken_send];
    for end in ends {
        let mut rig = Rig::<Req>::new();
        let [x, y] = [rig.open_ctx(), rig.open_ctx()];
        rig.send_waiting(x, "1").unwrap_err();
        rig.send_waiting(y, "2").unwrap_err();
        rig.peer();
        rig.expect([Effect::WakeSend(x)]);
        end(&mut rig, x);
        assert_eq!(rig.world.take_effects().last(), Some(&Effect::WakeSend(y)));
    }
}

#[test]
fn a_closed_context_leaves_the_deadlines_of_others() {
    let mut rig = Rig::<Req>::new();
    let a = rig.peer();
    let [x, y] = [rig.open_ctx(), rig.open_ctx()];
    ask(&mut rig, x, "x?");
    ask(&mut rig, y, "y?");
    rig.close_ctx(x);
    rig.world.take_effects();
    rig.advance(MINUTE);
    assert_eq!(rig.counted(), [Counter::Resent], "y is asked again, x is not");
    assert!(rig.world.is_read(a));
}

#[test]
fn a_closed_context_ends_its_request() {
    let mut rig = Rig::<Req>::new();
    let [a, b] = [rig.peer(), rig.peer()];
    let x = rig.open_ctx();
    let (to, id) = ask(&mut rig, x, "ask");
    assert_eq!(to, a);
    rig.close_ctx(x);
    rig.world.take_effects();
    rig.close(a);
    rig.advance(2 * MINUTE);
    rig.expect([]);
    reply(&mut rig, b, id, "tell");
    rig.expect([Effect::Count(Counter::StaleReply)]);
    assert_eq!(rig.recv_in(x), Err(RecvBlocked::State));
    assert!(matches!(rig.send_in(x, "more"), Err(Unsent::State(_))));
}

#[test]
fn a_foreign_header_does_not_travel() {
    let mut rig = Rig::<Req>::new();
    rig.peer();
    let mut msg = Message::from("ask");
    let _ = msg.push_header(5);
    rig.send(msg).unwrap();
    only(rig.transmitted(), "ask");
}

#[test]
fn a_resend_time_of_zero_is_refused_and_options_are_printed() {
    assert!(ReqOptions::new().resend_time(Some(Duration::ZERO)).check().is_err());
    assert_eq!(ReqOptions::default().check(), Ok(()));
    assert_eq!(ReqOptions::new().to_string(), "resend_time 60s, fail_without_peer false");
    assert!(ReqOptions::new().resend_time(None).to_string().starts_with("resend_time none, "));
}
