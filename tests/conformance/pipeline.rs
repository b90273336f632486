use std::pin::pin;

use crossbeam_channel::unbounded;
use sp::{CloseReason, ListenOptions, ProtocolId, Pull, PullOptions, Push, TrySendError};
use sp_protocols::engine::{self, RecvEngine, SendEngine};

use crate::shared::{Transport, connect, pattern, spawn};
use crate::support::{
    DEADLINE, Raw, Scene, Wire, alone, any_closed, assert_lacks, block_on, connected, poll_once,
    recv,
};

/// sp-wire 8.11 item 135
#[test]
fn each_message_goes_to_one_pull_and_all_get_equal_shares() {
    const MESSAGES: u32 = 300;
    for wire in Wire::BOTH {
        let push = Push::new().unwrap();
        let events = push.events();
        let listener = push.listen(wire.url()).unwrap();
        let mut pulls = [(); 3].map(|()| {
            let mut pull = Raw::dial(listener.endpoint());
            pull.shake(ProtocolId::PULL);
            connected(&events);
            pull
        });
        for n in 0..MESSAGES {
            push.send_timeout(n.to_be_bytes(), DEADLINE).unwrap();
        }
        push.close();
        let mut all = Vec::new();
        for pull in &mut pulls {
            let frames = pull.rest();
            let frame_bytes = wire.frame(&[0; 4]).len();
            assert_eq!(frames.len() % frame_bytes, 0);
            let share: Vec<u32> = frames
                .chunks(frame_bytes)
                .map(|frame| u32::from_be_bytes(*frame.last_chunk().unwrap()))
                .collect();
            // All of it fits into each queue, so nobody is ever passed over.
            assert_eq!(share.len(), MESSAGES as usize / 3);
            assert!(share.is_sorted(), "order is kept on the way to one PULL");
            all.extend(share);
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..MESSAGES), "each message once");
    }
}

/// sp-wire 8.11 item 136
#[test]
fn a_send_without_a_peer_waits_until_one_comes() {
    for transport in Transport::BARE {
        let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
        let full = push.try_send("now").unwrap_err();
        assert!(matches!(&full, TrySendError::Full { .. }), "{full}");
        assert_eq!(full.into_message(), "now", "the message comes back");
        let late = push.send_timeout("soon", std::time::Duration::from_millis(5)).unwrap_err();
        assert!(late.is_timeout());
        assert_eq!(late.into_message(), "soon");
        let mut sending = pin!(push.send_async("whenever"));
        assert!(poll_once(sending.as_mut()).is_pending());
        connect(transport, &pull, &push);
        block_on(sending).unwrap();
        assert_eq!(recv(&pull), "whenever");
    }
}

/// sp-wire 8.11 item 137
#[test]
fn what_arrives_at_a_push_is_ignored_and_its_pipe_lives() {
    for wire in Wire::BOTH {
        let push = Push::new().unwrap();
        let events = push.events();
        let listener = push.listen(wire.url()).unwrap();
        let mut pull = Raw::dial(listener.endpoint());
        pull.shake(ProtocolId::PULL);
        connected(&events);
        pull.send_message(b"a PUSH does not want this");
        pull.send_message(b"");
        push.send_timeout("work", DEADLINE).unwrap();
        assert_eq!(pull.message(), b"work");
        pull.finish();
        assert_eq!(any_closed(&events), CloseReason::PeerClosed, "not before the peer left");
        assert_eq!(push.stats().get("ignored"), Some(2));
    }
}

/// sp-wire 8.11 item 137
#[test]
fn what_arrives_at_a_pull_before_it_receives_is_kept() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Pull>::new(wire);
        let (mut push, peer) = scene.peer();
        for body in ["one", "two", "three"] {
            push.send_message(body.as_bytes());
        }
        push.finish();
        // Even its sender may be gone.
        assert_eq!(scene.closed(peer), CloseReason::PeerClosed);
        for body in ["one", "two", "three"] {
            assert_eq!(recv(&scene.socket), body);
        }
        scene.bystander_works();
    }
}

/// sp-wire section 6: back-pressure drops nothing, and what follows it is not forgotten
#[test]
fn a_push_that_is_held_back_and_leaves_is_heard_to_the_end() {
    const MESSAGES: u32 = 3000;
    for wire in Wire::BOTH {
        let options = PullOptions::new().queue(16);
        let scene = Scene::<engine::Pull>::with(wire, options, &ListenOptions::new());
        let (mut push, peer) = scene.peer();
        let frames: Vec<u8> = (0..MESSAGES).flat_map(|n| wire.frame(&n.to_be_bytes())).collect();
        push.send(&frames);
        push.finish();
        for n in 0..MESSAGES {
            assert_eq!(number(&recv(&scene.socket)), n);
        }
        assert_eq!(scene.closed(peer), CloseReason::PeerClosed);
        assert!(push.rest().is_empty());
        scene.bystander_works();
    }
}

/// sp-wire 8.11 item 138
#[test]
fn a_pull_that_stalls_holds_up_nobody() {
    const MESSAGES: u32 = 400;
    const BODY: usize = 64 << 10;
    let _turn = alone();
    for wire in Wire::BOTH {
        let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
        let events = push.events();
        let listener = push.listen(wire.url()).unwrap();
        let mut stalled = Raw::dial(listener.endpoint());
        stalled.shake(ProtocolId::PULL);
        pull.dial(listener.endpoint()).unwrap();
        for _ in 0..2 {
            connected(&events);
        }
        let (tell, told) = unbounded();
        let busy = {
            let pull = pull.clone();
            spawn(move || pull.iter().for_each(|msg| tell.send(number(&msg)).unwrap()))
        };
        // 25 MiB are more than the stalled one can hold in its buffers.
        let mut body = pattern(BODY);
        for n in 0..MESSAGES {
            body[..4].copy_from_slice(&n.to_be_bytes());
            push.send_timeout(body.as_slice(), DEADLINE).unwrap();
        }
        let closing = spawn(move || push.close_within(DEADLINE));
        let frames = stalled.rest();
        closing.join();
        let held =
            frames.chunks(wire.head(0).len() + BODY).map(|frame| &frame[wire.head(0).len()..]);
        let held: Vec<u32> = held.map(number).collect();
        assert!((1..MESSAGES as usize).contains(&held.len()), "{} messages", held.len());
        let mut got: Vec<u32> = (held.len()..MESSAGES as usize)
            .map(|_| told.recv_timeout(DEADLINE).expect("what the stalled one did not get"))
            .collect();
        pull.close();
        busy.join();
        assert!(told.is_empty());
        got.extend(held);
        got.sort_unstable();
        assert!(got.into_iter().eq(0..MESSAGES), "each message once");
    }
}

/// sp-wire 8.11 item 139
#[test]
fn a_pull_cannot_send_and_a_push_cannot_receive() {
    assert_lacks!(engine::Pull: SendEngine);
    assert_lacks!(engine::Push: RecvEngine);
}

/// sp-wire 8.11 item 140
#[test]
fn order_is_kept_between_a_push_and_a_pull() {
    for transport in Transport::BARE {
        let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
        connect(transport, &pull, &push);
        let sending = spawn(move || {
            for n in 0..5000u32 {
                // Sizes on both sides of every border that the library knows.
                let body = [&n.to_be_bytes()[..], &pattern((n as usize * 31) % 4000)].concat();
                push.send_timeout(body, DEADLINE).unwrap();
            }
            push.close();
        });
        for n in 0..5000u32 {
            let msg = recv(&pull);
            assert_eq!(number(&msg), n, "{transport:?}");
            assert_eq!(msg[4..], pattern((n as usize * 31) % 4000));
        }
        sending.join();
    }
}

fn number(body: &[u8]) -> u32 {
    u32::from_be_bytes(*body.first_chunk().unwrap())
}
