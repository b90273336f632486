use std::pin::pin;
use std::time::Duration;

use crossbeam_channel::Receiver;
use sp::{
    CloseReason, PeerId, PipeEvent, ProtocolId, RecvError, Rep, Req, ReqOptions, SendError,
    TryRecvError, TrySendError,
};
use sp_core::clock;
use sp_protocols::engine;

use crate::shared::{Transport, connect, pattern, spawn};
use crate::support::{
    DEADLINE, Raw, Scene, Wire, alone, any_closed, block_on, connected, poll_once, recv, split,
    with_id,
};

/// A REQ that listens, with its events.
fn asking(wire: Wire, options: ReqOptions) -> (Req, sp::Listener, Receiver<PipeEvent>) {
    let req = Req::with(options).unwrap();
    let events = req.events();
    let listener = req.listen(wire.url()).unwrap();
    (req, listener, events)
}

/// A scripted REP that is connected to a REQ.
fn answering(listener: &sp::Listener, events: &Receiver<PipeEvent>) -> (Raw, PeerId) {
    let mut rep = Raw::dial(listener.endpoint());
    rep.shake(ProtocolId::REP);
    let peer = connected(events);
    (rep, peer)
}

const STATE_REQ: RecvError = RecvError::State { protocol: ProtocolId::REQ };

/// sp-wire 8.8 item 93
#[test]
fn ids_have_the_high_bit_count_up_and_do_not_start_alike() {
    let first_ids = [(); 4].map(|()| {
        let (req, listener, events) = asking(Wire::Tcp, ReqOptions::new());
        let (mut rep, _) = answering(&listener, &events);
        let ids = [(); 5].map(|()| {
            req.send("?").unwrap();
            let request = rep.message();
            rep.send_message(&request);
            assert_eq!(recv(&req), "?");
            split(&request).0
        });
        for pair in ids.windows(2) {
            // The one after the last is the first again.
            assert_eq!(pair[1], pair[0].wrapping_add(1) | 0x8000_0000);
        }
        assert_eq!(ids[0] & 0x8000_0000, 0x8000_0000);
        ids[0]
    });
    assert!(first_ids.iter().any(|id| *id != first_ids[0]), "{first_ids:08x?}");
}

/// sp-wire 8.8 item 95
#[test]
fn a_req_receives_only_what_it_has_asked_for() {
    for transport in Transport::BARE {
        let (req, rep) = (Req::new().unwrap(), Rep::new().unwrap());
        connect(transport, &rep, &req);
        assert_eq!(req.recv(), Err(STATE_REQ), "nothing asked");
        req.send("?").unwrap();
        assert_eq!(recv(&rep), "?");
        rep.send("!").unwrap();
        assert_eq!(recv(&req), "!");
        assert_eq!(req.recv(), Err(STATE_REQ), "the reply has been received");
        assert!(matches!(req.try_recv(), Err(TryRecvError::Failed(STATE_REQ))));
    }
}

/// sp-wire 8.8 item 96
#[test]
fn a_new_request_cancels_the_one_before() {
    for wire in Wire::BOTH {
        let (req, listener, events) = asking(wire, ReqOptions::new());
        let (mut rep, _) = answering(&listener, &events);
        req.send("old").unwrap();
        let old = rep.message();
        let mut waiting = pin!(req.recv_async());
        assert!(poll_once(waiting.as_mut()).is_pending());
        req.send("new").unwrap();
        assert_eq!(block_on(waiting), Err(RecvError::Canceled { protocol: ProtocolId::REQ }));
        let new = rep.message();
        rep.send_message(&with_id(split(&old).0, b"too late"));
        rep.send_message(&with_id(split(&new).0, b"in time"));
        assert_eq!(recv(&req), "in time");
        assert_eq!(req.stats().get("stale_replies"), Some(1));
    }
}

/// sp-wire 8.8 items 97 and 99
#[test]
fn replies_that_nobody_waits_for_are_dropped_and_the_right_one_still_comes() {
    for wire in Wire::BOTH {
        let (req, listener, events) = asking(wire, ReqOptions::new());
        let (mut rep, _) = answering(&listener, &events);
        req.send("canceled").unwrap();
        let (canceled, _) = split(&rep.message());
        req.send("current").unwrap();
        let (current, _) = split(&rep.message());
        rep.send_message(&with_id(canceled, b"of a canceled request"));
        rep.send_message(&with_id(current.wrapping_add(7) | 0x8000_0000, b"of no request"));
        rep.send_message(&with_id(current & 0x7fff_ffff, b"without the high bit"));
        rep.send_message(&with_id(current, b"right"));
        rep.send_message(&with_id(current, b"right, once more"));
        assert_eq!(recv(&req), "right");
        req.send("next").unwrap();
        let (next, _) = split(&rep.message());
        rep.send_message(&with_id(current, b"right, a third time"));
        rep.send_message(&with_id(next, b"next"));
        assert_eq!(recv(&req), "next");
        assert_eq!(req.stats().get("stale_replies"), Some(5));
        assert_eq!(req.stats().get("peers"), Some(1), "the pipe lives");
    }
}

/// sp-wire 8.8 item 98
#[test]
fn a_reply_without_an_id_closes_its_pipe_and_the_request_goes_elsewhere() {
    for wire in Wire::BOTH {
        let (req, listener, events) = asking(wire, ReqOptions::new());
        let bystander = Rep::new().unwrap();
        bystander.dial(listener.endpoint()).unwrap();
        connected(&events);
        let answer = |question: &str| {
            assert_eq!(recv(&bystander), question);
            bystander.send("!").unwrap();
            assert_eq!(recv(&req), "!");
        };
        req.send("before").unwrap();
        answer("before");
        for length in 0..4 {
            let (mut offender, peer) = answering(&listener, &events);
            // One of the two gets it; if it is the offender, it is sent again to the bystander.
            req.send("during").unwrap();
            offender.send_message(&[0x80; 4][..length]);
            let expected = CloseReason::BadHeader { protocol: ProtocolId::REQ };
            match events.recv_timeout(DEADLINE).unwrap() {
                PipeEvent::Closed { peer: closed, why } => {
                    assert_eq!((closed, why), (peer, expected))
                }
                other => panic!("{other:?}"),
            }
            offender.rest();
            answer("during");
            req.send("after").unwrap();
            answer("after");
        }
    }
}

/// sp-wire 8.8 item 100
#[test]
fn a_request_without_a_peer_waits_until_one_comes() {
    for transport in Transport::BARE {
        let (req, rep) = (Req::new().unwrap(), Rep::new().unwrap());
        let full = req.try_send("now").unwrap_err();
        assert!(matches!(&full, TrySendError::Full { .. }), "{full}");
        assert_eq!(full.into_message(), "now");
        let late = req.send_timeout("soon", Duration::from_millis(5)).unwrap_err();
        assert!(matches!(&late, SendError::TimedOut { .. }), "{late}");
        assert_eq!(late.into_message(), "soon", "without the id it was to have");
        assert_eq!(req.recv(), Err(STATE_REQ), "nothing has been asked");
        let mut sending = pin!(req.send_async("whenever"));
        assert!(poll_once(sending.as_mut()).is_pending());
        connect(transport, &rep, &req);
        block_on(sending).unwrap();
        assert_eq!(recv(&rep), "whenever");
        rep.send("!").unwrap();
        assert_eq!(recv(&req), "!");
    }
}

/// sp-wire 8.8 item 101
#[test]
fn a_request_whose_peer_is_lost_goes_to_another_with_the_same_id_at_once() {
    for wire in Wire::BOTH {
        // The default resend time is a minute: only the loss makes it go again.
        let (req, listener, events) = asking(wire, ReqOptions::new());
        let (mut first, _) = answering(&listener, &events);
        req.send("keep asking").unwrap();
        let request = first.message();
        drop(first);
        any_closed(&events);
        let (mut second, _) = answering(&listener, &events);
        assert_eq!(second.message(), request, "the same id and body");
        second.send_message(&with_id(split(&request).0, b"here"));
        assert_eq!(recv(&req), "here");
        assert_eq!(req.stats().get("resent"), Some(1));
    }
}

/// sp-wire 8.8 item 101
#[test]
fn without_resending_the_loss_of_the_peer_ends_the_request() {
    for wire in Wire::BOTH {
        let gone = Err(RecvError::PeerGone { protocol: ProtocolId::REQ });
        let (req, listener, events) = asking(wire, ReqOptions::new().resend_time(None));
        let (mut rep, _) = answering(&listener, &events);
        req.send("once").unwrap();
        rep.message();
        let mut waiting = pin!(req.recv_async());
        assert!(poll_once(waiting.as_mut()).is_pending());
        drop(rep);
        assert_eq!(block_on(waiting), gone, "a receive that waits");
        assert_eq!(req.recv(), Err(STATE_REQ), "told once");

        any_closed(&events);
        let (mut rep, _) = answering(&listener, &events);
        req.send("once more").unwrap();
        rep.message();
        drop(rep);
        any_closed(&events);
        assert_eq!(req.recv(), gone, "a receive that comes later");
        assert_eq!(req.recv(), Err(STATE_REQ));
    }
}

/// sp-wire 8.8 item 102
#[test]
fn an_unanswered_request_is_sent_again_after_the_resend_time_and_not_before() {
    let resend_time = Duration::from_millis(100);
    for wire in Wire::BOTH {
        let options = ReqOptions::new().resend_time(Some(resend_time));
        let (req, listener, events) = asking(wire, options);
        let (mut rep, _) = answering(&listener, &events);
        let start = clock::now();
        req.send("?").unwrap();
        let request = rep.message();
        for times in 1..4 {
            assert_eq!(rep.message(), request, "the same id and body");
            assert!(clock::now() - start >= resend_time * times, "resend {times} is early");
        }
        // A late answer is as good as any; the answers to the repetitions are dropped.
        rep.send_message(&request);
        rep.send_message(&request);
        assert_eq!(recv(&req), "?");
        assert_eq!(req.recv(), Err(STATE_REQ));
    }
}

/// sp-wire 8.8 item 102
#[test]
fn without_a_resend_time_a_request_is_sent_once() {
    for wire in Wire::BOTH {
        let (req, listener, events) = asking(wire, ReqOptions::new().resend_time(None));
        let (mut rep, _) = answering(&listener, &events);
        req.send("first").unwrap();
        assert!(req.recv_timeout(Duration::from_millis(300)).is_err());
        req.send("second").unwrap();
        assert_eq!(split(&rep.message()).1, b"first");
        assert_eq!(split(&rep.message()).1, b"second", "nothing in between");
        assert_eq!(req.stats().get("resent"), Some(0));
    }
}

/// sp-wire 8.8 item 103
#[test]
fn a_receive_that_times_out_ends_its_request() {
    for wire in Wire::BOTH {
        let (req, listener, events) = asking(wire, ReqOptions::new());
        let (mut rep, _) = answering(&listener, &events);
        req.send("slow").unwrap();
        let late = req.recv_timeout(Duration::from_millis(5));
        assert_eq!(late, Err(RecvError::TimedOut { protocol: ProtocolId::REQ }));
        assert_eq!(req.recv(), Err(STATE_REQ));
        let (slow, _) = split(&rep.message());
        req.send("quick").unwrap();
        let (quick, _) = split(&rep.message());
        rep.send_message(&with_id(slow, b"at last"));
        rep.send_message(&with_id(quick, b"at once"));
        assert_eq!(recv(&req), "at once");
    }
}

/// sp-wire 8.8 item 105
#[test]
fn a_rep_answers_each_request_once() {
    for transport in Transport::BARE {
        let (req, rep) = (Req::new().unwrap(), Rep::new().unwrap());
        connect(transport, &rep, &req);
        let unasked = rep.send("nobody asked").unwrap_err();
        assert!(matches!(&unasked, SendError::State { .. }), "{unasked}");
        assert_eq!(unasked.into_message(), "nobody asked");
        req.send("?").unwrap();
        assert_eq!(recv(&rep), "?");
        rep.send("!").unwrap();
        assert!(matches!(rep.send("!!"), Err(SendError::State { .. })), "answered already");
        assert!(matches!(rep.try_send("!!"), Err(TrySendError::State { .. })));
        assert_eq!(recv(&req), "!");
    }
}

/// sp-wire 8.8 item 105
#[test]
fn an_answer_to_a_peer_that_has_left_is_no_error() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Rep>::new(wire);
        let (mut asker, peer) = scene.peer();
        asker.send_message(&with_id(0x8000_0001, b"?"));
        assert_eq!(recv(&scene.socket), "?");
        drop(asker);
        scene.closed(peer);
        scene.socket.send("anybody there?").unwrap();
        assert!(matches!(scene.socket.send("hello?"), Err(SendError::State { .. })));
        assert_eq!(scene.socket.stats().get("peer_gone"), Some(1));
        scene.bystander_works();
    }
}

/// sp-wire 8.8 item 106
#[test]
fn a_receive_gives_the_held_request_up() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Rep>::new(wire);
        let [mut first, mut second] = [(); 2].map(|()| scene.peer().0);
        first.send_message(&with_id(0x8000_0001, b"given up"));
        assert_eq!(recv(&scene.socket), "given up");
        second.send_message(&with_id(0x8000_0002, b"answered"));
        assert_eq!(recv(&scene.socket), "answered");
        scene.socket.send("for the second").unwrap();
        assert_eq!(second.message(), with_id(0x8000_0002, b"for the second"));
        // The first thing that the first peer hears is the answer to its next request.
        first.send_message(&with_id(0x8000_0003, b"again"));
        assert_eq!(recv(&scene.socket), "again");
        scene.socket.send("for the first").unwrap();
        assert_eq!(first.message(), with_id(0x8000_0003, b"for the first"));
        assert_eq!(scene.socket.stats().get("unanswered"), Some(1));
    }
}

/// sp-wire 8.8 item 107
#[test]
fn a_request_whose_header_does_not_end_closes_its_pipe() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Rep>::new(wire);
        let clear: [u8; 12] = [0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 3];
        let requests: [&[u8]; 8] = [
            &[],
            &[0x80],
            &[0x80, 0],
            &[0x80, 0, 0],
            &clear[..4],
            &clear[..8],
            &clear,
            &[0, 0, 0, 1, 0x80, 0, 0],
        ];
        for request in requests {
            let expected = CloseReason::BadHeader { protocol: ProtocolId::REP };
            assert_eq!(scene.closes(&wire.frame(request)), expected, "{request:02x?}");
        }
    }
}

/// sp-wire 8.8 item 108, and the header rules of item 94
#[test]
fn a_request_from_too_far_is_dropped_and_its_pipe_lives() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Rep>::new(wire);
        let (mut far, _) = scene.peer();
        let request = |devices: usize, end: &[u8]| {
            let words = (1..=devices as u32).flat_map(u32::to_be_bytes);
            words.chain(end.iter().copied()).collect::<Vec<u8>>()
        };
        let end = with_id(0x8000_0009, b"near enough");
        far.send_message(&request(20, b""));
        far.send_message(&request(8, &end));
        far.send_message(&request(8, b""));
        scene.bystander_works();
        // Seven devices and the id are eight words, the most that pass.
        far.send_message(&request(7, &end));
        assert_eq!(recv(&scene.socket), "near enough");
        scene.socket.send("and back").unwrap();
        let back = with_id(0x8000_0009, b"and back");
        assert_eq!(far.message(), request(7, &back), "the way back is the way there");
        assert_eq!(scene.socket.stats().get("hop_limit"), Some(3));
        scene.bystander_works();
    }
}

/// sp-wire 8.8 items 109 and 110
#[test]
fn the_header_ends_with_the_first_word_that_has_the_high_bit() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Rep>::new(wire);
        let (mut asker, _) = scene.peer();
        let bodies: [&[u8]; 4] =
            [b"", b"\x80", b"\x80\0\0\x02 is no id", b"\0\0\0\x01 is no device"];
        for body in bodies {
            let header = [0, 0, 0, 5, 0x80, 0, 0, 1];
            asker.send_message(&[&header, body].concat());
            assert_eq!(recv(&scene.socket), body);
            scene.socket.send(body).unwrap();
            assert_eq!(asker.message(), [&header, body].concat());
        }
        scene.bystander_works();
    }
}

/// sp-wire 8.8 item 114
#[test]
fn every_req_gets_its_own_answers() {
    for transport in Transport::BARE {
        let rep = Rep::new().unwrap();
        let reqs = [(); 3].map(|()| {
            let req = Req::new().unwrap();
            connect(transport, &rep, &req);
            req
        });
        let server = {
            let rep = rep.clone();
            spawn(move || rep.iter().for_each(|question| rep.send(question).unwrap()))
        };
        let askers: Vec<_> = reqs
            .into_iter()
            .enumerate()
            .map(|(asker, req)| {
                spawn(move || {
                    for n in 0..200 {
                        let question = format!("question {n} of {asker}");
                        req.send(question.as_str()).unwrap();
                        assert_eq!(recv(&req), question.as_str());
                    }
                })
            })
            .collect();
        askers.into_iter().for_each(|asker| asker.join());
        rep.close();
        server.join();
    }
}

/// sp-wire 8.8 item 115
#[test]
fn requests_of_several_contexts_are_shared_out_equally() {
    const REPS: usize = 3;
    const ROUNDS: usize = 20;
    for wire in Wire::BOTH {
        let (req, listener, events) = asking(wire, ReqOptions::new());
        let mut reps = [(); REPS].map(|()| answering(&listener, &events).0);
        let contexts = [(); 2 * REPS].map(|()| req.context());
        for round in 0..ROUNDS {
            for context in &contexts {
                context.send(round.to_string()).unwrap();
            }
            for rep in &mut reps {
                // Two of the six each; a third would be a question that somebody else never gets.
                for _ in 0..2 {
                    let request = rep.message();
                    assert_eq!(split(&request).1, round.to_string().as_bytes());
                    rep.send_message(&request);
                }
            }
            for context in &contexts {
                assert_eq!(context.recv_timeout(DEADLINE).unwrap(), round.to_string());
            }
        }
        assert_eq!(req.stats().get("resent"), Some(0));
    }
}

/// sp-wire 8.8 item 114
#[test]
fn a_peer_that_reads_no_answers_holds_up_itself_alone() {
    const REQUESTS: u32 = 64;
    let _turn = alone();
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Rep>::new(wire);
        let (mut greedy, _) = scene.peer();
        let answer = pattern(256 << 10);
        let server = {
            let (rep, answer) = (scene.socket.clone(), answer.clone());
            spawn(move || rep.iter().for_each(|_| rep.send(answer.as_slice()).unwrap()))
        };
        // Their answers are more than the buffers on the way hold.
        for n in 0..REQUESTS {
            greedy.send_message(&with_id(0x8000_0000 + n, b"more"));
        }
        for _ in 0..20 {
            scene.bystander.send("please").unwrap();
            assert_eq!(recv(&scene.bystander), answer);
        }
        // Once it reads, it gets all of its answers.
        for n in 0..REQUESTS {
            assert!(greedy.message() == with_id(0x8000_0000 + n, &answer), "answer {n}");
        }
        scene.socket.close();
        server.join();
    }
}
