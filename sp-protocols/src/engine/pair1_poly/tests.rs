use sp_core::id::Id as _;

use super::*;
use crate::engine::Counter;
use crate::engine::testing::{Effect, Rig, with_words};

fn came(hops: u32, body: &str) -> Vec<u8> {
    with_words(&[hops], body)
}

fn send_to(
    rig: &mut Rig<Pair1Poly>,
    peer: PeerId,
    body: &str,
) -> Result<(), (SendToBlocked, Message)> {
    let mut msg = Message::from(body);
    let sent = rig.engine.send_to(peer, &mut msg, &mut rig.world);
    sent.map_err(|why| (why, msg))
}

/// sp-wire 8.13 item 150
#[test]
fn each_peer_gets_what_is_sent_to_it_with_one_hop() {
    let mut rig = Rig::<Pair1Poly>::new();
    let [a, b] = [rig.peer(), rig.peer()];
    for (peer, body) in [(b, "1"), (a, "2"), (b, "3")] {
        send_to(&mut rig, peer, body).unwrap();
        rig.expect([Effect::Transmit(peer, came(1, body))]);
    }
}

/// sp-wire 8.13 item 150
#[test]
fn a_message_tells_its_source_and_the_answer_goes_there() {
    let mut rig = Rig::<Pair1Poly>::new();
    let [a, b] = [rig.peer(), rig.peer()];
    let _ = rig.arrive(b, [came(1, "from b")]);
    let _ = rig.arrive(a, [came(0, "from a")]);
    for peer in [b, a] {
        let mut msg = rig.recv().unwrap();
        assert_eq!((msg.header(), msg.source()), (&[][..], Some(peer)));
        rig.engine.send_to(peer, &mut msg, &mut rig.world).unwrap();
    }
    rig.expect([Effect::Transmit(b, came(1, "from b")), Effect::Transmit(a, came(1, "from a"))]);
}

/// sp-wire 8.13 item 150
#[test]
fn a_message_to_nobody_comes_back() {
    let mut rig = Rig::<Pair1Poly>::new();
    let [gone, stays] = [rig.peer(), rig.peer()];
    rig.close(gone);
    for nobody in [gone, PeerId::from_parts(9, 0), PeerId::from_parts(1, 1)] {
        let (why, msg) = send_to(&mut rig, nobody, "hello?").unwrap_err();
        assert_eq!(why, SendToBlocked::PeerGone);
        assert_eq!((msg.header(), msg.body()), (&[][..], &b"hello?"[..]));
    }
    rig.expect([]);
    send_to(&mut rig, stays, "hello").unwrap();
}

#[test]
fn a_slow_peer_holds_up_nobody() {
    let mut rig = Rig::<Pair1Poly>::new();
    let (slow, other) = (rig.peer_with_room(1), rig.peer());
    send_to(&mut rig, slow, "1").unwrap();
    let (why, msg) = send_to(&mut rig, slow, "2").unwrap_err();
    assert_eq!((why, msg), (SendToBlocked::Full, Message::from("2")));
    send_to(&mut rig, other, "3").unwrap();
    rig.set_room(slow, 1);
    send_to(&mut rig, slow, "2").unwrap();
    let sent: Vec<_> = rig.transmitted().into_iter().map(|(peer, _)| peer).collect();
    assert_eq!(sent, [slow, other, slow]);
}

/// sp-wire 8.13 item 145, item 146
#[test]
fn one_bad_peer_is_closed_and_the_others_stay() {
    let mut rig = Rig::<Pair1Poly>::new();
    let [bad, far, good] = [rig.peer(), rig.peer(), rig.peer()];
    let _ = rig.arrive(bad, [came(8, "1"), came(0x100, "2"), came(1, "3")]);
    let why = CloseReason::BadHeader { protocol: ProtocolId::PAIR1 };
    rig.expect([Effect::Close(bad, why)]);
    assert_eq!(send_to(&mut rig, bad, "?").unwrap_err().0, SendToBlocked::PeerGone);
    let _ = rig.arrive(bad, [Vec::new()]);
    rig.expect([]);
    let _ = rig.arrive(far, [came(9, "4"), came(0xFF, "5"), came(7, "6")]);
    rig.expect([Effect::Count(Counter::HopLimit), Effect::Count(Counter::HopLimit)]);
    let _ = rig.arrive(good, [came(0, "7")]);
    rig.close(bad);
    assert_eq!(rig.recv_all(9), [b"1", b"6", b"7"]);
}

#[test]
fn paused_peers_go_on_in_turn() {
    let mut rig = Rig::<Pair1Poly>::with(Pair1PolyOptions::new().queue(2));
    let [flood, b] = [rig.peer(), rig.peer()];
    let _ = rig.arrive(flood, ["f1", "f2", "f3", "f4", "f5"].map(|body| came(1, body)));
    let _ = rig.arrive(b, [came(1, "b1")]);
    assert_eq!(rig.recv_all(1), [b"f1"]);
    rig.expect([Effect::Resume(flood)]);
    assert_eq!(rig.read(flood), Flow::Pause);
    assert_eq!(rig.recv_all(1), [b"f2"]);
    rig.expect([Effect::Resume(b)]);
    assert_eq!(rig.read(b), Flow::More);
    assert_eq!(rig.recv_all(2), [b"f3", b"b1"]);
}

#[test]
fn options_are_checked_and_printed() {
    let named = |options: Pair1PolyOptions| options.check().map_err(|bad| bad.option);
    assert_eq!(named(Pair1PolyOptions::default()), Ok(()));
    assert_eq!(named(Pair1PolyOptions::new().ttl(0)), Err("ttl"));
    assert_eq!(named(Pair1PolyOptions::new().queue(0)), Err("queue"));
    assert_eq!(named(Pair1PolyOptions::new().queue_bytes(0)), Err("queue_bytes"));
    let set = Pair1PolyOptions::new().ttl(3).queue(7).queue_bytes(9);
    let set = set.when_full(WhenFull::DropOldest).to_string();
    assert_eq!(set, "ttl 3, queue 7, queue_bytes 9, when_full drop oldest");
    let default = "ttl 8, queue 1024, queue_bytes 16777216, when_full block";
    assert_eq!(Pair1PolyOptions::default().to_string(), default);
}
