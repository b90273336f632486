use std::pin::pin;
use std::time::Duration;

use crossbeam_channel::Receiver;
use sp::{
    CloseReason, ListenOptions, PeerId, PipeEvent, ProtocolId, RecvError, Respondent, SendError,
    Surveyor, SurveyorOptions, TryRecvError,
};
use sp_core::clock;
use sp_protocols::engine;

use crate::shared::{Transport, connect, pattern, spawn, wait_until};
use crate::support::{
    DEADLINE, Raw, Scene, Wire, alone, block_on, connected, poll_once, recv, split, with_id,
};

/// Surveys that outlast every test.
const PATIENT: SurveyorOptions = SurveyorOptions::new().survey_time(DEADLINE);

/// Long enough to be waited for in full.
const SOON: Duration = Duration::from_millis(50);

const STATE: RecvError = RecvError::State { protocol: ProtocolId::SURVEYOR };
const OVER: RecvError = RecvError::SurveyOver { protocol: ProtocolId::SURVEYOR };

/// A SURVEYOR that listens, with its events.
fn asking(wire: Wire, options: SurveyorOptions) -> (Surveyor, sp::Listener, Receiver<PipeEvent>) {
    let surveyor = Surveyor::with(options).unwrap();
    let events = surveyor.events();
    let listener = surveyor.listen(wire.url()).unwrap();
    (surveyor, listener, events)
}

/// A scripted RESPONDENT that is connected to a SURVEYOR.
fn answering(listener: &sp::Listener, events: &Receiver<PipeEvent>) -> (Raw, PeerId) {
    let mut respondent = Raw::dial(listener.endpoint());
    assert_eq!(respondent.shake(ProtocolId::RESPONDENT), *b"\0SP\0\0\x62\0\0");
    let peer = connected(events);
    (respondent, peer)
}

/// sp-wire 8.9 item 116
#[test]
fn a_survey_goes_to_every_peer_under_one_id_and_ids_count_up() {
    let first_ids = [(); 4].map(|()| {
        let (surveyor, listener, events) = asking(Wire::Tcp, PATIENT);
        let mut respondents = [(); 3].map(|()| answering(&listener, &events).0);
        let ids = [(); 5].map(|()| {
            surveyor.send("who?").unwrap();
            let surveys = respondents.each_mut().map(Raw::message);
            assert!(surveys.iter().all(|survey| *survey == surveys[0]), "{surveys:02x?}");
            let (id, body) = split(&surveys[0]);
            assert_eq!(body, b"who?");
            for (n, respondent) in respondents.iter_mut().enumerate() {
                respondent.send_message(&with_id(id, &[n as u8]));
            }
            let mut responses = [(); 3].map(|()| recv(&surveyor).body().to_vec());
            responses.sort_unstable();
            assert_eq!(responses, [[0], [1], [2]]);
            id
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

/// sp-wire 8.9 item 116
#[test]
fn a_respondent_answers_under_the_id_and_the_backtrace_of_the_survey() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Respondent>::new(wire);
        let (mut surveyor, _) = scene.peer();
        for devices in [&b""[..], b"\0\0\0\x01", b"\0\0\0\x01\x7f\xff\xff\xff"] {
            let survey = [devices, &with_id(0x8000_0009, b"who?")].concat();
            surveyor.send_message(&survey);
            assert_eq!(recv(&scene.socket), "who?");
            scene.socket.send("me").unwrap();
            assert_eq!(surveyor.message(), [devices, &with_id(0x8000_0009, b"me")].concat());
        }
        scene.bystander_works();
    }
}

/// sp-wire 8.9 items 117 and 120; nng says ETIMEDOUT to whoever waits and ESTATE to whoever comes later, this library
/// `SurveyOver` to all of them
#[test]
fn a_receive_ends_with_the_survey_and_not_before() {
    for transport in Transport::ALL {
        let surveyor = Surveyor::with(SurveyorOptions::new().survey_time(SOON)).unwrap();
        assert_eq!(surveyor.recv(), Err(STATE), "nothing asked");
        assert!(matches!(surveyor.try_recv(), Err(TryRecvError::Failed(STATE))));
        for peers in 0..2 {
            let start = clock::now();
            surveyor.send("anybody?").unwrap();
            assert_eq!(surveyor.recv(), Err(OVER), "with {peers} peers over {transport:?}");
            assert!(clock::now() - start >= SOON, "the survey is over early");
            assert_eq!(surveyor.recv(), Err(OVER));
            assert_eq!(surveyor.recv_timeout(DEADLINE), Err(OVER));
            assert!(matches!(surveyor.try_recv(), Err(TryRecvError::Failed(OVER))));
            // Later ones come to a RESPONDENT that keeps silent.
            connect(transport, &surveyor, &Respondent::new().unwrap());
        }
        surveyor.send("once more?").unwrap();
        assert_eq!(block_on(surveyor.recv_async()), Err(OVER));
    }
}

/// sp-wire 3.2: where nng ends the survey with a receive that gives up
#[test]
fn a_receive_that_does_not_wait_or_not_as_long_leaves_the_survey_open() {
    for wire in Wire::BOTH {
        let (surveyor, listener, events) = asking(wire, PATIENT);
        let (mut respondent, _) = answering(&listener, &events);
        surveyor.send("who?").unwrap();
        assert!(matches!(surveyor.try_recv(), Err(TryRecvError::Empty)));
        let late = surveyor.recv_timeout(Duration::from_millis(5));
        assert_eq!(late, Err(RecvError::TimedOut { protocol: ProtocolId::SURVEYOR }));
        let survey = respondent.message();
        respondent.send_message(&survey);
        assert_eq!(recv(&surveyor), "who?");
    }
}

/// sp-wire 8.9 item 118
#[test]
fn a_new_survey_cancels_the_one_before() {
    for wire in Wire::BOTH {
        let (surveyor, listener, events) = asking(wire, PATIENT);
        let (mut respondent, _) = answering(&listener, &events);
        surveyor.send("old").unwrap();
        let old = respondent.message();
        let mut waiting = pin!([surveyor.recv_async(), surveyor.recv_async()]);
        for future in waiting.iter_mut() {
            assert!(poll_once(pin!(future)).is_pending());
        }
        surveyor.send("new").unwrap();
        for future in waiting.iter_mut() {
            let canceled = RecvError::Canceled { protocol: ProtocolId::SURVEYOR };
            assert_eq!(block_on(future), Err(canceled), "all that wait");
        }
        let new = respondent.message();
        respondent.send_message(&with_id(split(&old).0, b"too late"));
        respondent.send_message(&with_id(split(&new).0, b"in time"));
        assert_eq!(recv(&surveyor), "in time");
        assert_eq!(surveyor.stats().get("stale_replies"), Some(1));
    }
}

/// sp-wire 8.9 item 118
#[test]
fn a_response_that_comes_when_the_survey_is_over_is_dropped() {
    for wire in Wire::BOTH {
        let (surveyor, listener, events) =
            asking(wire, SurveyorOptions::new().survey_time(SOON).queue(2));
        let (mut respondent, _) = answering(&listener, &events);
        surveyor.send("who?").unwrap();
        let survey = respondent.message();
        assert_eq!(surveyor.recv(), Err(OVER));
        respondent.send_message(&survey);
        wait_until("the late response is counted", || {
            surveyor.stats().get("stale_replies") == Some(1)
        });
        assert_eq!(surveyor.recv(), Err(OVER));
        assert_eq!(surveyor.stats().get("peers"), Some(1), "the pipe lives");
    }
}

/// sp-wire 8.9 item 119
#[test]
fn a_response_without_an_id_closes_its_pipe_and_nobody_else_notices() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Surveyor>::with(wire, PATIENT, &ListenOptions::new());
        for length in 0..4 {
            let expected = CloseReason::BadHeader { protocol: ProtocolId::SURVEYOR };
            assert_eq!(scene.closes(&wire.frame(&[0x80; 4][..length])), expected, "{length} bytes");
        }
    }
}

/// sp-wire 8.9 item 119
#[test]
fn responses_to_no_survey_are_dropped_and_the_right_one_still_comes() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Surveyor>::with(wire, PATIENT, &ListenOptions::new());
        let (mut respondent, _) = scene.peer();
        let before = scene.socket.stats().get("stale_replies").unwrap();
        scene.socket.send("who?").unwrap();
        let (id, _) = split(&respondent.message());
        respondent.send_message(&with_id(id.wrapping_add(7) | 0x8000_0000, b"to no survey"));
        respondent.send_message(&with_id(id & 0x7fff_ffff, b"without the high bit"));
        respondent.send_message(&with_id(0, b""));
        respondent.send_message(&with_id(id, b"right"));
        assert_eq!(recv(&scene.socket), "right");
        assert_eq!(scene.socket.stats().get("stale_replies"), Some(before + 3));
        scene.bystander_works();
    }
}

/// sp-wire 8.9 item 121; nng's queue holds 128 as well unless told otherwise, this library's 1,024
#[test]
fn all_responses_in_time_are_delivered_and_the_newest_beyond_the_queue_is_dropped() {
    for wire in Wire::BOTH {
        let (surveyor, listener, events) = asking(wire, PATIENT.queue(128));
        let mut respondents = [(); 2].map(|()| answering(&listener, &events).0);
        surveyor.send("how much?").unwrap();
        let ids = respondents.each_mut().map(|respondent| split(&respondent.message()).0);
        let [one, other] = &mut respondents;
        for n in 0..128_u8 {
            one.send_message(&with_id(ids[0], &[n]));
        }
        let received = || surveyor.stats().get("messages_received");
        wait_until("the queue is full", || received() == Some(128));
        other.send_message(&with_id(ids[1], b"the 129th"));
        wait_until("it is dropped", || surveyor.stats().get("dropped_on_receive") == Some(1));
        for n in 0..128_u8 {
            assert_eq!(recv(&surveyor), [n], "in order");
        }
        other.send_message(&with_id(ids[1], b"there is room again"));
        assert_eq!(recv(&surveyor), "there is room again");
    }
}

/// sp-wire 8.9 item 122
#[test]
fn a_respondent_answers_each_survey_once_and_may_leave_it() {
    for transport in Transport::ALL {
        let (surveyor, respondent) = (Surveyor::with(PATIENT).unwrap(), Respondent::new().unwrap());
        connect(transport, &respondent, &surveyor);
        let unasked = respondent.send("nobody asked").unwrap_err();
        assert!(matches!(&unasked, SendError::State { .. }), "{unasked}");
        assert_eq!(unasked.into_message(), "nobody asked");
        surveyor.send("not worth an answer").unwrap();
        assert_eq!(recv(&respondent), "not worth an answer");
        surveyor.send("who?").unwrap();
        assert_eq!(recv(&respondent), "who?");
        respondent.send("me").unwrap();
        assert!(matches!(respondent.send("me"), Err(SendError::State { .. })), "answered already");
        assert_eq!(recv(&surveyor), "me");
        assert_eq!(respondent.stats().get("unanswered"), Some(1));
    }
}

/// sp-wire 8.9 item 122
#[test]
fn a_survey_from_too_far_is_dropped_and_one_without_end_closes_its_pipe() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Respondent>::new(wire);
        let (mut far, _) = scene.peer();
        let devices = |count: u32| (1..=count).flat_map(u32::to_be_bytes).collect::<Vec<u8>>();
        let survey = with_id(0x8000_0009, b"near enough");
        for header in [devices(20), [devices(8), survey.clone()].concat(), devices(8)] {
            far.send_message(&header);
        }
        scene.bystander_works();
        far.send_message(&[devices(7), survey].concat());
        assert_eq!(recv(&scene.socket), "near enough");
        scene.socket.send("and back").unwrap();
        assert_eq!(far.message(), [devices(7), with_id(0x8000_0009, b"and back")].concat());
        assert_eq!(scene.socket.stats().get("hop_limit"), Some(3));
        let broken = [Vec::new(), vec![0x80; 3], devices(1), devices(3), vec![0, 0, 0, 1, 0x80]];
        for survey in broken {
            let expected = CloseReason::BadHeader { protocol: ProtocolId::RESPONDENT };
            assert_eq!(scene.closes(&wire.frame(&survey)), expected, "{survey:02x?}");
        }
    }
}

/// sp-wire 8.9 item 123; where nng keeps 8 surveys for a slow peer, this library keeps what a pipe may have waiting
#[test]
fn a_respondent_that_does_not_read_misses_surveys_and_delays_nobody() {
    const SURVEYS: u8 = 200;
    let _turn = alone();
    for wire in Wire::BOTH {
        let (surveyor, listener, events) = asking(wire, PATIENT);
        let (mut slow, _) = answering(&listener, &events);
        let quick = Respondent::new().unwrap();
        quick.dial(listener.endpoint()).unwrap();
        connected(&events);
        let server = spawn(move || {
            for _ in 0..SURVEYS {
                let survey = recv(&quick);
                quick.send([survey[0]]).unwrap();
            }
            quick
        });
        // More than the buffers on the way hold.
        let mut body = pattern(128 << 10);
        for n in 0..SURVEYS {
            body[0] = n;
            surveyor.send(body.as_slice()).unwrap();
            assert_eq!(recv(&surveyor), [n]);
        }
        server.join();
        let dropped = surveyor.stats().get("dropped_on_send").unwrap();
        assert!((1..u64::from(SURVEYS)).contains(&dropped), "{dropped} dropped over {wire:?}");
        for n in 0..SURVEYS - dropped as u8 {
            assert_eq!(split(&slow.message()).1[0], n, "those that came first are kept");
        }
        wait_until("it has read everything", || {
            surveyor.stats().children.iter().all(|peer| peer.get("unsent_bytes") == Some(0))
        });
        surveyor.send("still there?").unwrap();
        assert_eq!(split(&slow.message()).1, b"still there?");
    }
}
