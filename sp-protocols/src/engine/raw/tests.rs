use sp_core::id::{CtxId, Id as _, PeerId};
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::*;
use crate::engine::testing::{Effect, Rig, Unsent, with_words};
use crate::engine::{Counter, Options as _, RecvEngine, WhenFull};

const ID: u32 = 0x8000_0005;

fn with_header(words: &[u32], body: &str) -> Message {
    let mut msg = Message::from(body);
    let header = with_words(words, "");
    msg.set_header(&header).unwrap();
    msg
}

fn words(msg: &Message) -> Vec<u32> {
    msg.header_words().collect()
}

/// The word of a peer that sends a message of `words`.
fn word_of<R: Role>(rig: &mut Rig<TwoWay<R>>, peer: PeerId, stack: &[u32]) -> u32 {
    let _ = rig.arrive(peer, [with_words(stack, "hello")]);
    let word = rig.recv().unwrap().peek_header().unwrap();
    rig.world.take_effects();
    word
}

fn is_closed<E: RecvEngine>(rig: &mut Rig<E>, peer: PeerId, message: Vec<u8>) -> bool {
    assert_eq!(rig.arrive(peer, [message]), Flow::More);
    let why = CloseReason::BadHeader { protocol: E::SELF };
    rig.world.take_effects().contains(&Effect::Close(peer, why))
}

/// sp-wire 8.8 item 113
#[test]
fn req_receives_the_words_through_the_id_as_header() {
    let mut rig = Rig::<Req>::new();
    let a = rig.peer();
    let _ = rig.arrive(a, [with_words(&[3, 2, ID, ID], "pong")]);
    let reply = rig.recv().unwrap();
    assert_eq!((words(&reply), reply.body()), (vec![3, 2, ID], &with_words(&[ID], "pong")[..]));
    assert_eq!(reply.source(), Some(a));
    for broken in [vec![], vec![0x80, 0, 0], with_words(&[1, 2], "abc"), with_words(&[1; 20], "")] {
        let b = rig.peer();
        assert!(is_closed(&mut rig, b, broken));
    }
    // A header holds no more than this.
    let mut longest = [1; 16];
    longest[15] = ID;
    let _ = rig.arrive(a, [with_words(&longest, "")]);
    assert_eq!(words(&rig.recv().unwrap()), longest);
}

/// sp-wire 3.0
#[test]
fn req_sends_a_whole_stack_as_it_is_to_the_next_peer_with_room() {
    let mut rig = Rig::<Req>::new();
    assert!(matches!(
        rig.send_waiting(CtxId::MAIN, with_header(&[9, ID], "ask")),
        Err(Unsent::Full(msg)) if words(&msg) == [9, ID]
    ));
    let (a, b) = (rig.peer_with_room(1), rig.peer());
    rig.expect([Effect::WakeSend(CtxId::MAIN)]);
    for _ in 0..3 {
        rig.send(with_header(&[9, ID], "ask")).unwrap();
    }
    let sent = with_words(&[9, ID], "ask");
    assert_eq!(rig.transmitted(), [a, b, b].map(|peer| (peer, sent.clone())));
}

#[test]
fn req_and_surveyor_refuse_headers_that_no_peer_could_read() {
    let (mut req, mut surveyor) = (Rig::<Req>::new(), Rig::<Surveyor>::new());
    req.peer();
    surveyor.peer();
    let half = |words: &[u32]| {
        let mut msg = Message::from("body");
        msg.set_header(&with_words(words, "ab")).unwrap();
        msg
    };
    let bad =
        [with_header(&[], "body"), with_header(&[1, 2], "body"), with_header(&[ID, 1], "body")];
    for msg in bad.into_iter().chain([with_header(&[ID, ID], "body"), half(&[ID]), half(&[])]) {
        let header = msg.header().to_vec();
        for sent in [req.send(msg.clone()), surveyor.send(msg)] {
            let Err(Unsent::Header(back)) = sent else { panic!("{header:02x?}: {sent:?}") };
            assert_eq!((back.header(), back.body()), (&header[..], &b"body"[..]));
        }
    }
    assert!(req.transmitted().is_empty() && surveyor.transmitted().is_empty());
}

/// sp-wire 8.8 item 112
#[test]
fn rep_puts_the_peers_word_on_top_and_routes_by_it() {
    let mut rig = Rig::<Rep>::new();
    let (a, b) = (rig.peer(), rig.peer());
    let _ = rig.arrive(b, [with_words(&[7, ID], "ask")]);
    let request = rig.recv().unwrap();
    let [word, 7, ID] = words(&request)[..] else { panic!("{request:?}") };
    assert!(word != 0 && word >> 31 == 0);
    assert_ne!(word, word_of(&mut rig, a, &[ID]));
    rig.send(with_header(&[word, 7, ID], "answer")).unwrap();
    assert_eq!(rig.transmitted(), [(b, with_words(&[7, ID], "answer"))]);
}

/// sp-wire 8.8 item 112
#[test]
fn a_reply_to_nobody_is_dropped_and_the_send_succeeds() {
    let mut rig = Rig::<Rep>::new();
    let a = rig.peer();
    let word = word_of(&mut rig, a, &[ID]);
    let mut short = Message::from("answer");
    short.set_header(&[1, 2, 3]).unwrap();
    let unknown = with_header(&[word ^ 1, ID], "answer");
    for msg in [with_header(&[], "answer"), short, with_header(&[0, ID], "answer"), unknown] {
        rig.send(msg).unwrap();
        rig.expect([Effect::Count(Counter::PeerGone)]);
    }
    rig.close(a);
    rig.send(with_header(&[word, ID], "answer")).unwrap();
    rig.expect([Effect::Count(Counter::PeerGone)]);
}

#[test]
fn a_reply_to_a_peer_without_room_is_dropped_and_others_get_theirs() {
    let mut rig = Rig::<Respondent>::new();
    let (slow, b) = (rig.peer_with_room(1), rig.peer());
    let [to_slow, to_b] = [slow, b].map(|peer| word_of(&mut rig, peer, &[ID]));
    for word in [to_slow, to_slow, to_b] {
        rig.send(with_header(&[word, ID], "1")).unwrap();
    }
    let sent = with_words(&[ID], "1");
    rig.expect([
        Effect::Transmit(slow, sent.clone()),
        Effect::Count(Counter::DroppedOnSend),
        Effect::Transmit(b, sent),
    ]);
}

/// sp-wire 8.8 items 94, 107 and 108
#[test]
fn rep_takes_as_many_words_as_allowed_and_drops_what_has_more() {
    for ttl in [1, 8, 15] {
        let mut rig = Rig::<Rep>::with(RawOptions::new().ttl(ttl));
        let a = rig.peer();
        let mut stack = vec![1; usize::from(ttl) - 1];
        stack.push(ID);
        let _ = rig.arrive(a, [with_words(&stack, "near")]);
        assert_eq!(words(&rig.recv().unwrap())[1..], stack);
        let _ = rig.arrive(a, [with_words(&[&[1], &stack[..]].concat(), "far")]);
        assert_eq!(rig.counted(), [Counter::HopLimit]);
        let _ = rig.arrive(a, [with_words(&stack, "still there")]);
        assert_eq!(rig.recv().unwrap(), "still there");
        let cut = with_words(&stack[1..], "");
        assert!(is_closed(&mut rig, a, cut[..cut.len().saturating_sub(1)].to_vec()));
    }
}

#[test]
fn what_came_before_a_malformed_header_is_received_and_nothing_after_it() {
    let mut rig = Rig::<Rep>::new();
    let a = rig.peer();
    let good = |body| with_words(&[ID], body);
    let _ = rig.arrive(a, [good("1"), vec![1, 2, 3], good("2")]);
    assert_eq!(rig.recv_all(9), [b"1"]);
    assert_eq!(rig.arrive(a, [good("3")]), Flow::More);
    assert!(rig.recv().is_err());
}

#[test]
fn what_is_dropped_on_arrival_makes_nobody_wait_for_room() {
    let mut rig = Rig::<Rep>::with(RawOptions::new().ttl(1).queue(2));
    let a = rig.peer();
    rig.recv_waiting(CtxId::MAIN).unwrap_err();
    let far = with_words(&[1, ID], "far");
    let batch = [far.clone(), far.clone(), far.clone(), far, with_words(&[ID], "near")];
    assert_eq!(rig.arrive(a, batch), Flow::More);
    assert_eq!(rig.world.woken_recv(), Some(CtxId::MAIN));
    assert_eq!(rig.recv().unwrap(), "near");
}

/// sp-wire 8.9 item 123
#[test]
fn a_survey_goes_to_every_peer_that_has_room() {
    let mut rig = Rig::<Surveyor>::new();
    rig.send(with_header(&[ID], "nobody there")).unwrap();
    let (a, slow, c) = (rig.peer(), rig.peer_with_room(0), rig.peer());
    rig.send(with_header(&[5, ID], "?")).unwrap();
    let survey = with_words(&[5, ID], "?");
    rig.expect([
        Effect::Count(Counter::DroppedOnSend),
        Effect::Transmit(a, survey.clone()),
        Effect::Transmit(c, survey),
    ]);
    rig.set_room(slow, 1);
    assert_eq!(rig.transmitted(), []);
}

/// sp-wire 8.12 items 141 and 143
#[test]
fn a_pair_has_one_peer_and_waits_for_it() {
    let mut rig = Rig::<Pair>::new();
    assert!(matches!(rig.send_waiting(CtxId::MAIN, "1"), Err(Unsent::Full(_))));
    let a = rig.peer();
    rig.expect([Effect::WakeSend(CtxId::MAIN)]);
    let second = PeerId::from_parts(9, 0);
    let refused = rig.engine.opened(second, &mut rig.world);
    assert_eq!(refused, Err(CloseReason::TooMany { limit: 1 }));
    rig.send(with_header(&[1], "1")).unwrap();
    assert_eq!(rig.transmitted(), [(a, b"1".to_vec())]);
    let _ = rig.arrive(a, [with_words(&[7], "no header of mine")]);
    assert_eq!(words(&rig.recv().unwrap()), []);
    rig.close(a);
    let next = rig.peer();
    rig.send("2").unwrap();
    assert_eq!(rig.transmitted(), [(next, b"2".to_vec())]);
}

/// sp-wire 8.13 items 145 to 147
#[test]
fn pair1_reads_the_hop_count() {
    let mut rig = Rig::<Pair1>::with(RawOptions::new().ttl(3));
    let mut a = rig.peer();
    for hops in 0..=3 {
        let _ = rig.arrive(a, [with_words(&[hops], "")]);
        let msg = rig.recv().unwrap();
        assert_eq!((words(&msg), msg.body()), (vec![hops], &b""[..]));
    }
    rig.world.take_effects();
    let _ = rig.arrive(a, [with_words(&[4], ""), with_words(&[0xff], "")]);
    assert_eq!(rig.counted(), [Counter::HopLimit; 2]);
    for broken in [vec![], vec![0, 0, 1], with_words(&[0x100], "x"), with_words(&[1 << 24], "x")] {
        assert!(is_closed(&mut rig, a, broken));
        rig.close(a);
        a = rig.peer();
    }
}

/// sp-wire 8.13 item 149
#[test]
fn pair1_sends_one_hop_more_and_refuses_other_headers() {
    let mut rig = Rig::<Pair1>::new();
    let waits = with_header(&[4], "waits");
    assert!(matches!(rig.send(waits), Err(Unsent::Full(msg)) if words(&msg) == [4]));
    let a = rig.peer();
    for hops in [0, 1, 0xfe] {
        rig.send(with_header(&[hops], "x")).unwrap();
        assert_eq!(rig.transmitted(), [(a, with_words(&[hops + 1], "x"))]);
    }
    let headers = [&[][..], &[0, 0, 1], &[0, 0, 0, 1, 2], &[0; 8], &[0, 0, 0, 0xff], &[1, 0, 0, 0]];
    for header in headers {
        let mut msg = Message::from("x");
        msg.set_header(header).unwrap();
        let sent = rig.send(msg);
        assert!(matches!(&sent, Err(Unsent::Header(back)) if back.header() == header), "{sent:?}");
    }
}

/// sp-wire 8.14 items 151 and 153
#[test]
fn bus_leaves_out_the_peer_that_the_header_names() {
    let mut rig = Rig::<Bus>::new();
    let (a, b, c) = (rig.peer(), rig.peer(), rig.peer());
    rig.send("all").unwrap();
    assert_eq!(rig.transmitted(), [a, b, c].map(|peer| (peer, b"all".to_vec())));
    let _ = rig.arrive(b, ["from b"]);
    let msg = rig.recv().unwrap();
    assert_eq!((msg.header().len(), msg.body()), (4, &b"from b"[..]));
    rig.send(msg).unwrap();
    assert_eq!(rig.transmitted(), [a, c].map(|peer| (peer, b"from b".to_vec())));
    // A word that nobody has leaves nobody out.
    rig.send(with_header(&[0, 1], "all")).unwrap();
    assert_eq!(rig.transmitted().len(), 3);
    let mut short = Message::from("x");
    short.set_header(&[1, 2]).unwrap();
    assert!(matches!(rig.send(short), Err(Unsent::Header(_))));
}

/// sp-wire 8.14 item 152
#[test]
fn a_full_bus_drops_the_newest_both_ways() {
    let mut rig = Rig::<Bus>::with(RawOptions::new().queue(2));
    let a = rig.peer_with_room(1);
    assert_eq!(rig.arrive(a, ["1", "2", "3", "4"]), Flow::More);
    assert_eq!(rig.counted(), [Counter::DroppedOnReceive; 2]);
    assert_eq!(rig.recv_all(9), [b"1", b"2"]);
    rig.send("kept").unwrap();
    rig.send("dropped").unwrap();
    rig.expect([Effect::Transmit(a, b"kept".to_vec()), Effect::Count(Counter::DroppedOnSend)]);
}

#[test]
fn a_full_raw_socket_does_what_it_is_told_to() {
    let arrived = |when_full| {
        let mut rig = Rig::<Rep>::with(RawOptions::new().queue(2).ttl(1).when_full(when_full));
        let a = rig.peer();
        let near = |body| with_words(&[ID], body);
        let far = with_words(&[1, ID], "far");
        let _ = rig.arrive(a, [near("1"), near("2"), far, near("3"), near("4")]);
        let counted = rig.counted();
        (rig.recv_all(9).concat(), counted, rig.world.backlog_of(a))
    };
    let (far, dropped) = (Counter::HopLimit, Counter::DroppedOnReceive);
    let newest = (b"12".to_vec(), vec![far, dropped, dropped], 0);
    assert_eq!(arrived(WhenFull::DropNewest), newest);
    let oldest = (b"34".to_vec(), vec![far, dropped, dropped], 0);
    assert_eq!(arrived(WhenFull::DropOldest), oldest);
    assert_eq!(arrived(WhenFull::Block), (b"12".to_vec(), vec![], 3));
}

/// sp-wire 8.14 item 155
#[test]
fn star_shows_the_hops_and_passes_on_all_the_same() {
    let mut rig = Rig::<Star>::new();
    let [a, b, c] = [rig.peer(), rig.peer(), rig.peer()];
    let _ = rig.arrive(b, [with_words(&[3], "on"), with_words(&[8], "far"), vec![0, 0, 1]]);
    rig.expect([
        Effect::Transmit(a, with_words(&[4], "on")),
        Effect::Transmit(c, with_words(&[4], "on")),
        Effect::Count(Counter::HopLimit),
        Effect::Count(Counter::Malformed),
    ]);
    let msg = rig.recv().unwrap();
    assert_eq!((words(&msg), msg.body(), msg.source()), (vec![4], &b"on"[..], Some(b)));
    assert!(rig.recv().is_err());
}

/// sp-wire 8.14 item 155
#[test]
fn star_sends_the_hops_as_they_are_and_no_other_header() {
    let mut rig = Rig::<Star>::new();
    let peers = [rig.peer(), rig.peer()];
    for hops in [0, 4, 255] {
        rig.send(with_header(&[hops], "x")).unwrap();
        assert_eq!(rig.transmitted(), peers.map(|peer| (peer, with_words(&[hops], "x"))));
    }
    for header in [&[][..], &[0, 0, 1], &[0, 0, 0, 1, 2], &[0; 8], &[0, 0, 1, 0], &[1, 0, 0, 0]] {
        let mut msg = Message::from("x");
        msg.set_header(header).unwrap();
        let sent = rig.send(msg);
        assert!(matches!(&sent, Err(Unsent::Header(back)) if back.header() == header), "{sent:?}");
    }
    assert_eq!(rig.transmitted(), []);
}

/// sp-wire 3.3
#[test]
fn sub_receives_everything_and_pub_and_push_send_no_header() {
    let mut sub = Rig::<Sub>::new();
    let a = sub.peer();
    let _ = sub.arrive(a, ["", "news"]);
    assert_eq!(sub.recv_all(9), [&b""[..], b"news"]);
    let mut push = Rig::<Push>::new();
    let a = push.peer();
    push.send(with_header(&[1], "work")).unwrap();
    assert_eq!(push.transmitted(), [(a, b"work".to_vec())]);
    let mut publisher = Rig::<Pub>::new();
    publisher.peer();
    publisher.send(with_header(&[1], "news")).unwrap();
    assert!(publisher.world.take_effects().contains(&Effect::Broadcast(b"news".to_vec())));
}

#[test]
fn a_flood_from_one_peer_pauses_it_and_others_have_their_turn() {
    let mut rig = Rig::<Pair1>::with(RawOptions::new().queue(2));
    let a = rig.peer();
    let numbered = (0..5).map(|n: u8| with_words(&[1], [n]));
    assert_eq!(rig.arrive(a, numbered), Flow::Pause);
    assert_eq!(rig.world.backlog_of(a), 3);
    assert_eq!(rig.recv_all(1), [[0]]);
    rig.read_all();
    assert_eq!(rig.recv_all(1), [[1]]);
    rig.read_all();
    rig.read_all();
    assert_eq!(rig.recv_all(9).len(), 2);
    rig.read_all();
    assert_eq!(rig.recv_all(9), [[4]]);
}

#[test]
fn raw_speaks_the_numbers_of_its_pattern() {
    let numbers = [
        (Req::SELF, Req::PEER, 0x30, 0x31),
        (Rep::SELF, Rep::PEER, 0x31, 0x30),
        (Surveyor::SELF, Surveyor::PEER, 0x62, 0x63),
        (Respondent::SELF, Respondent::PEER, 0x63, 0x62),
        (Pair::SELF, Pair::PEER, 0x10, 0x10),
        (Pair1::SELF, Pair1::PEER, 0x11, 0x11),
        (Bus::SELF, Bus::PEER, 0x70, 0x70),
        (Star::SELF, Star::PEER, 0x640, 0x640),
        (Pub::SELF, Pub::PEER, 0x20, 0x21),
        (Sub::SELF, Sub::PEER, 0x21, 0x20),
        (Push::SELF, Push::PEER, 0x50, 0x51),
        (Pull::SELF, Pull::PEER, 0x51, 0x50),
    ];
    for (own, peer, wanted, wanted_peer) in numbers {
        assert_eq!((own, peer), (ProtocolId(wanted), ProtocolId(wanted_peer)));
    }
}

#[test]
fn options_are_checked_and_printed() {
    assert_eq!(RawOptions::new().to_string(), "ttl 8, queue 1024, queue_bytes 16777216");
    let set = RawOptions::new().ttl(3).queue(7).queue_bytes(9).when_full(WhenFull::DropOldest);
    assert_eq!(set.to_string(), "ttl 3, queue 7, queue_bytes 9, when_full drop oldest");
    assert_eq!(RawOptions::new().check(), Ok(()));
    for (bad, option) in [
        (RawOptions::new().ttl(0), "ttl"),
        (RawOptions::new().ttl(16), "ttl"),
        (RawOptions::new().queue(0), "queue"),
        (RawOptions::new().queue_bytes(0), "queue_bytes"),
    ] {
        assert_eq!(bad.check().unwrap_err().option, option);
    }
}
