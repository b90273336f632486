use std::pin::pin;
use std::time::Duration;

use sp::{CloseReason, Pair, PairOptions, PipeEvent, ProtocolId, TrySendError};
use sp_protocols::engine;

use crate::shared::{Transport, connect, pattern, spawn, wait_connected, wait_event};
use crate::support::{
    DEADLINE, Raw, Scene, Wire, alone, any_closed, block_on, connected, eager_over, next_event,
    poll_once, recv,
};

type Busy = Scene<engine::Pair>;

/// sp-wire 8.12 item 141
#[test]
fn a_second_peer_is_refused_and_the_first_notices_nothing() {
    for wire in Wire::BOTH {
        let scene = Busy::new(wire);
        for _ in 0..3 {
            let mut second = scene.stranger();
            assert_eq!(second.shake(ProtocolId::PAIR0), *b"\0SP\0\0\x10\0\0");
            second.send_in_vain(&wire.frame(b"for nobody"));
            assert_eq!(scene.refused(), CloseReason::TooMany { limit: 1 });
            assert!(second.rest().is_empty());
            scene.bystander_works();
        }
        assert_eq!(scene.socket.stats().get("refused"), Some(3));
        assert_eq!(scene.socket.peers().len(), 1);
    }
}

/// sp-wire 8.12 item 141
#[test]
fn a_refused_peer_tries_again_and_gets_in_when_the_first_has_left() {
    for transport in Transport::ALL {
        let (host, first, second) = (open(), open(), open());
        let events = host.events();
        let listener = connect(transport, &host, &first);
        second.dial_with(listener.endpoint(), &eager_over(transport)).unwrap();
        let busy = |event: &PipeEvent| {
            matches!(event, PipeEvent::Refused { why: CloseReason::TooMany { limit: 1 }, .. })
        };
        wait_event(&events, "a refusal", busy);
        exchange(&host, &first);
        first.close();
        wait_event(&events, "the end of the first", |event| {
            matches!(event, PipeEvent::Closed { .. })
        });
        wait_connected(&events);
        exchange(&host, &second);
    }
}

/// sp-wire 8.12 item 142
#[test]
fn messages_keep_their_order_both_ways() {
    for transport in Transport::ALL {
        let (here, there) = (open(), open());
        connect(transport, &here, &there);
        let tasks = [here, there].map(|pair| {
            let sender = pair.clone();
            let sending = spawn(move || {
                for n in 0..3000 {
                    sender.send_timeout(numbered(n), DEADLINE).unwrap();
                }
            });
            let receiving = spawn(move || {
                for n in 0..3000 {
                    assert_eq!(recv(&pair), *numbered(n), "{transport:?}");
                }
                // Until the other one has got all.
                pair
            });
            (sending, receiving)
        });
        let _open = tasks.map(|(sending, receiving)| {
            sending.join();
            receiving.join()
        });
    }
}

/// sp-wire 8.12 item 142
#[test]
fn what_waits_survives_the_change_of_peer() {
    let _turn = alone();
    for wire in Wire::BOTH {
        let pair = Pair::with(PairOptions::new().send_queue(5)).unwrap();
        let events = pair.events();
        let listener = pair.listen(wire.url()).unwrap();
        let mut first = Raw::dial(listener.endpoint());
        first.shake(ProtocolId::PAIR0);
        connected(&events);
        // The first one takes nothing: its connection fills up, and then the queue.
        let mut sent = 0;
        while pair.try_send(&large(sent)[..]).is_ok() {
            sent += 1;
        }
        drop(first);
        any_closed(&events);
        let mut second = Raw::dial(listener.endpoint());
        second.shake(ProtocolId::PAIR0);
        for n in sent - 5..sent {
            assert!(second.message() == large(n), "message {n} of {sent} is the next");
        }
        pair.send_timeout("and on", DEADLINE).unwrap();
        assert_eq!(second.message(), b"and on");
    }
}

/// sp-wire 8.12 item 143
#[test]
fn a_send_without_a_peer_waits_until_one_comes() {
    for transport in Transport::ALL {
        let (here, there) = (open(), open());
        let full = here.try_send("now").unwrap_err();
        assert!(matches!(&full, TrySendError::Full { .. }), "{full}");
        assert_eq!(full.into_message(), "now", "the message comes back");
        let late = here.send_timeout("soon", Duration::from_millis(5)).unwrap_err();
        assert!(late.is_timeout());
        let mut sending = pin!(here.send_async("whenever"));
        assert!(poll_once(sending.as_mut()).is_pending());
        connect(transport, &there, &here);
        block_on(sending).unwrap();
        assert_eq!(recv(&there), "whenever");
    }
}

/// sp-wire 8.12 item 143
#[test]
fn a_send_queue_takes_as_many_as_it_says_without_a_peer() {
    for transport in Transport::ALL {
        let here = Pair::with(PairOptions::new().send_queue(3)).unwrap();
        let there = open();
        for n in 0..3 {
            here.try_send(numbered(n)).unwrap();
        }
        assert!(here.try_send("one too many").unwrap_err().is_full());
        let listener = connect(transport, &there, &here);
        for n in 0..3 {
            let msg = recv(&there);
            assert_eq!(msg, *numbered(n));
            assert_eq!(msg.source(), there.peers().first().copied(), "{}", listener.endpoint());
        }
    }
}

/// sp-wire section 6: what is queued leaves before a socket closes, and what cannot is told.
#[test]
fn closing_waits_for_the_send_queue_while_there_is_a_peer() {
    let _turn = alone();
    for wire in Wire::BOTH {
        let options = || PairOptions::new().send_queue(20);
        let pair = Pair::with(options()).unwrap();
        let events = pair.events();
        let listener = pair.listen(wire.url()).unwrap();
        let mut slow = Raw::dial(listener.endpoint());
        slow.shake(ProtocolId::PAIR0);
        connected(&events);
        let mut sent = 0;
        while pair.try_send(&large(sent)[..]).is_ok() {
            sent += 1;
        }
        let closing = spawn(move || pair.close_within(DEADLINE));
        for n in 0..sent {
            assert!(slow.message() == large(n), "message {n} of {sent}");
        }
        assert!(slow.rest().is_empty());
        assert_eq!(closing.join(), 0, "nothing is lost");
    }
    let alone = Pair::with(PairOptions::new().send_queue(2)).unwrap();
    alone.send("to whom?").unwrap();
    assert!(alone.close_within(DEADLINE) > 0, "what nobody can take is told at once");
}

/// sp-wire section 6: a slow reader holds its peer back, and nothing is dropped.
#[test]
fn a_peer_that_is_held_back_and_leaves_is_heard_to_the_end() {
    const MESSAGES: u32 = 3000;
    for wire in Wire::BOTH {
        let pair = Pair::with(PairOptions::new().recv_queue(16)).unwrap();
        let events = pair.events();
        let listener = pair.listen(wire.url()).unwrap();
        let mut peer = Raw::dial(listener.endpoint());
        peer.shake(ProtocolId::PAIR0);
        connected(&events);
        let frames: Vec<u8> = (0..MESSAGES).flat_map(|n| wire.frame(&n.to_be_bytes())).collect();
        peer.send(&frames);
        peer.finish();
        for n in 0..MESSAGES {
            assert_eq!(recv(&pair), n.to_be_bytes());
        }
        let PipeEvent::Closed { why, .. } = next_event(&events) else { panic!("not closed") };
        assert_eq!(why, CloseReason::PeerClosed);
    }
}

fn open() -> Pair {
    Pair::new().unwrap()
}

fn exchange(here: &Pair, there: &Pair) {
    <engine::Pair as crate::support::Host>::exchange(here, there);
}

/// Sizes on both sides of every border that the library knows.
fn numbered(n: u32) -> Vec<u8> {
    [&n.to_be_bytes()[..], &pattern((n as usize * 31) % 4000)].concat()
}

/// A few dozen are more than any buffer of the kernel's.
fn large(n: u32) -> Vec<u8> {
    let mut body = pattern(64 << 10);
    body[..4].copy_from_slice(&n.to_be_bytes());
    body
}
