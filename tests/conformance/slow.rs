use std::collections::BTreeSet;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use std::{iter, thread};

use sp::{
    CloseReason, Pair1, Pair1Options, PeerId, ProtocolId, Pub, PubOptions, Pull, PullOptions,
    Respondent, RespondentOptions, SendError, Socket, Star, StarOptions, Sub, SubOptions,
    TrySendError, WhenFull, WhenSlow, pool,
};
use sp_protocols::engine::{self, RecvEngine};

use crate::shared::{DEADLINE, Transport, apart, block_on, connect, pattern, spawn, wait_until};
use crate::support::{Raw, Scene, Wire, alone, any_closed, connected, poll_once, recv};

/// Larger than any buffer of the kernel's when a few dozen wait.
const BODY: usize = 64 << 10;

/// Longer than a writer is away that has something to do.
const AWHILE: Duration = Duration::from_millis(200);

fn numbered(number: u32, len: usize) -> Vec<u8> {
    let mut body = pattern(len.max(4));
    body[..4].copy_from_slice(&number.to_be_bytes());
    body
}

fn number(body: &[u8]) -> u32 {
    let number = u32::from_be_bytes(*body.first_chunk().expect("a number"));
    assert_eq!(body[4..], numbered(number, body.len())[4..], "message {number}");
    number
}

/// A publisher with a subscriber that takes nothing until it is asked to.
struct Stalled {
    publisher: Pub,
    subscriber: Raw,
    peer: PeerId,
    events: sp::Events,
    listener: sp::Listener,
}

impl Stalled {
    fn new(wire: Wire, queue: usize, policy: WhenSlow) -> Self {
        let options = PubOptions::new().queue(queue).when_slow(policy);
        let publisher = Pub::with(options).unwrap();
        let events = publisher.events();
        let listener = publisher.listen(wire.url()).unwrap();
        let mut subscriber = Raw::dial(listener.endpoint());
        subscriber.shake(ProtocolId::SUB);
        let peer = connected(&events);
        Self { publisher, subscriber, peer, events, listener }
    }

    fn counted(&self, what: &str) -> u64 {
        self.publisher.stats().get(what).expect("a counter")
    }

    /// Publishes until `happened`, and says how many messages that took.
    fn publish_until(&self, mut happened: impl FnMut(&Self) -> bool) -> u32 {
        let mut published = 0;
        while !happened(self) {
            self.publisher.try_send(numbered(published, BODY)).unwrap();
            published += 1;
        }
        published
    }
}

/// A subscriber that keeps up, by whatever transport.
fn follower(publisher: &Pub, transport: Transport) -> (Sub, sp::Listener) {
    let sub = Sub::new().unwrap();
    sub.subscribe("");
    let listener = connect(transport, publisher, &sub);
    (sub, listener)
}

#[test]
fn a_slow_subscriber_loses_only_its_own_and_the_counts_add_up() {
    const MESSAGES: u32 = 400;
    let _turn = alone();
    for wire in Wire::BOTH {
        let mut scene = Stalled::new(wire, 16, WhenSlow::DropOldest);
        let fast = Transport::BARE.map(|transport| follower(&scene.publisher, transport));
        for n in 0..MESSAGES {
            scene.publisher.send(numbered(n, BODY)).unwrap();
            // Nobody of these is ever behind by more than this one.
            for (sub, _) in &fast {
                assert_eq!(number(&recv(sub)), n);
            }
        }
        let mut got = Vec::new();
        while got.last() != Some(&(MESSAGES - 1)) {
            got.push(number(&scene.subscriber.message()));
        }
        assert!(got.is_sorted_by(|a, b| a < b), "in order: {got:?}");
        let dropped = scene.counted("dropped_on_send");
        assert!(dropped > 0, "the test fills every buffer");
        assert_eq!(dropped + got.len() as u64, u64::from(MESSAGES));
        let its_own = format!("{}/dropped_on_send", scene.peer);
        assert_eq!(scene.counted(&its_own), dropped, "all were its own");
        assert_eq!(
            scene.counted("messages_sent"),
            u64::from(MESSAGES) * (fast.len() as u64 + 1) - dropped
        );
    }
}

#[test]
fn dropping_the_newest_keeps_what_came_first_and_goes_on_when_there_is_room() {
    let _turn = alone();
    for wire in Wire::BOTH {
        let mut scene = Stalled::new(wire, 16, WhenSlow::DropNewest);
        let first_gap = scene.publish_until(|scene| scene.counted("dropped_on_send") > 0) - 1;
        for more in 1..=20 {
            scene.publisher.try_send(numbered(first_gap + more, BODY)).unwrap();
        }
        let its_own = format!("{}/dropped_on_send", scene.peer);
        assert_eq!((scene.counted("dropped_on_send"), scene.counted(&its_own)), (21, 21));
        for n in 0..first_gap {
            assert_eq!(number(&scene.subscriber.message()), n, "nothing is missing before the gap");
        }
        scene.publisher.try_send(numbered(9999, BODY)).unwrap();
        assert_eq!(number(&scene.subscriber.message()), 9999);
        assert_eq!(scene.counted("dropped_on_send"), 21);
    }
}

#[test]
fn blocking_waits_for_the_slowest_in_every_form_of_send_and_loses_nothing() {
    let _turn = alone();
    for wire in Wire::BOTH {
        let mut scene = Stalled::new(wire, 16, WhenSlow::Block);
        let (fast, _listener) = follower(&scene.publisher, Transport::Tcp);
        let mut sent = 0;
        // Not only full for a moment because the writer is at work.
        while scene.publisher.send_timeout(numbered(sent, BODY), AWHILE).is_ok() {
            assert_eq!(number(&recv(&fast)), sent);
            sent += 1;
        }
        let full = scene.publisher.try_send("full");
        assert!(matches!(full, Err(TrySendError::Full { message, .. }) if message == "full"));
        let late = scene.publisher.send_timeout("late", Duration::from_millis(1));
        assert!(matches!(late, Err(SendError::TimedOut { message, .. }) if message == "late"));
        {
            let publisher = &scene.publisher;
            let mut dropped = pin!(publisher.send_async("dropped with its future"));
            assert!(poll_once(dropped.as_mut()).is_pending());
        }
        let publisher = scene.publisher.clone();
        let body = numbered(sent, BODY);
        let blocked = spawn(move || publisher.send(body));
        blocked.wait_asleep();
        let publisher = scene.publisher.clone();
        let body = numbered(sent + 1, BODY);
        let task = spawn(move || block_on(publisher.send_async(body)));
        task.wait_asleep();
        for n in 0..sent {
            assert_eq!(number(&scene.subscriber.message()), n);
        }
        let last: BTreeSet<u32> = (0..2).map(|_| number(&scene.subscriber.message())).collect();
        assert_eq!(last, BTreeSet::from([sent, sent + 1]), "whoever was woken first");
        blocked.join().unwrap();
        task.join().unwrap();
        assert_eq!(scene.counted("dropped_on_send"), 0);
    }
}

#[test]
fn a_subscriber_that_is_too_slow_is_disconnected_alone() {
    let _turn = alone();
    for wire in Wire::BOTH {
        let scene = Stalled::new(wire, 16, WhenSlow::Disconnect);
        let (fast, _listener) = follower(&scene.publisher, Transport::Inproc);
        let mut published = 0;
        while scene.counted("too_slow") == 0 {
            scene.publisher.send(numbered(published, BODY)).unwrap();
            assert_eq!(number(&recv(&fast)), published);
            published += 1;
        }
        assert_eq!(any_closed(&scene.events), CloseReason::TooSlow { waiting: 16 });
        wait_until("the backlog is counted", || scene.counted("lost_with_peer") == 16);
        assert_eq!((scene.counted("too_slow"), scene.counted("dropped_on_send")), (1, 0));
        let mut again = Raw::dial(scene.listener.endpoint());
        again.shake(ProtocolId::SUB);
        connected(&scene.events);
        scene.publisher.send("welcome back").unwrap();
        assert_eq!(again.message(), b"welcome back");
    }
}

#[test]
fn subscribers_on_every_transport_get_small_and_large_messages_in_order() {
    const MESSAGES: u32 = 3000;
    let _turn = alone();
    let all = MESSAGES as usize;
    let publisher = Pub::with(PubOptions::new().queue(all).queue_bytes(usize::MAX)).unwrap();
    let subs: Vec<_> = (0..4)
        .flat_map(|_| Transport::BARE)
        .map(|transport| {
            let sub = Sub::with(SubOptions::new().queue(all).queue_bytes(usize::MAX)).unwrap();
            sub.subscribe("");
            let listener = connect(transport, &publisher, &sub);
            (sub, listener)
        })
        .collect();
    // Lengths around every boundary: inline, chunks, own memory, several reads.
    let lengths = [4, 64, 101, 4000, 16_383, 16_384, 70_000, 200, 9000];
    let length = |n: u32| {
        if n.is_multiple_of(40) { lengths[n as usize / 40 % 9] } else { 20 + n as usize % 90 }
    };
    for n in 0..MESSAGES {
        publisher.send(numbered(n, length(n))).unwrap();
    }
    for (sub, _) in &subs {
        for n in 0..MESSAGES {
            let msg = recv(sub);
            assert_eq!((number(&msg), msg.len()), (n, length(n)));
        }
    }
    assert_eq!(publisher.stats().get("dropped_on_send"), Some(0));
}

#[test]
fn subscribers_that_block_and_a_publisher_that_waits_for_them_lose_nothing() {
    const SUBSCRIBERS: usize = 64;
    const END: u32 = u32::MAX;
    let _turn = alone();
    for transport in Transport::BARE {
        let options = PubOptions::new().queue(8).when_slow(WhenSlow::Block);
        let publisher = Pub::with(options).unwrap();
        let members: Vec<(Sub, sp::Listener)> = (0..SUBSCRIBERS)
            .map(|_| {
                let options = SubOptions::new().queue(8).when_full(WhenFull::Block);
                let sub = Sub::with(options).unwrap();
                sub.subscribe("");
                let listener = connect(transport, &publisher, &sub);
                (sub, listener)
            })
            .collect();
        publisher.wait_for_peers(SUBSCRIBERS, DEADLINE).unwrap();
        let read = |sub: &Sub| -> Vec<u32> {
            let numbers = iter::from_fn(|| Some(number(&recv(sub))).filter(|n| *n != END));
            let numbers = numbers.collect();
            assert_eq!(sub.stats().get("dropped_on_receive"), Some(0));
            numbers
        };
        let ((late, _), others) = members.split_first().expect("there are many");
        thread::scope(|scope| {
            let read = &read;
            let begin = |sub: Sub| scope.spawn(move || read(&sub));
            let mut readers: Vec<_> = others.iter().map(|(sub, _)| begin(sub.clone())).collect();
            // One that does not read stops the publisher, whoever else does.
            let mut published = 0;
            let tried = Duration::from_millis(100);
            while publisher.send_timeout(numbered(published, BODY), tried).is_ok() {
                published += 1;
            }
            readers.push(begin(late.clone()));
            for _ in 0..100 {
                publisher.send(numbered(published, BODY)).unwrap();
                published += 1;
            }
            publisher.send(numbered(END, 4)).unwrap();
            for reader in readers {
                assert!(reader.join().unwrap().into_iter().eq(0..published), "over {transport:?}");
            }
        });
        assert_eq!(publisher.stats().get("dropped_on_send"), Some(0));
    }
}

#[test]
fn a_subscriber_that_leaves_in_the_middle_harms_nobody_and_holds_nothing() {
    apart(|| {
        for wire in Wire::BOTH {
            let before = pool::BufferPool::global().stats().out;
            let mut scene = Stalled::new(wire, 64, WhenSlow::DropOldest);
            let (fast, _listener) = follower(&scene.publisher, Transport::Tcp);
            let mut n = 0;
            while scene.counted("dropped_on_send") == 0 {
                scene.publisher.send(numbered(n, 5000)).unwrap();
                assert_eq!(number(&recv(&fast)), n);
                n += 1;
            }
            // Half of a frame has been read, and the kernel holds part of another.
            scene.subscriber.read(2500);
            drop(scene.subscriber);
            any_closed(&scene.events);
            wait_until("its backlog is counted", || {
                scene.publisher.stats().get("lost_with_peer").unwrap() > 0
            });
            for more in n..n + 100 {
                scene.publisher.send(numbered(more, 5000)).unwrap();
                assert_eq!(number(&recv(&fast)), more);
            }
            wait_until("nothing is held for it", || {
                pool::BufferPool::global().stats().out <= before + 8
            });
        }
    });
}

#[test]
fn what_a_stalled_subscriber_holds_is_bounded() {
    apart(|| {
        for policy in [WhenSlow::DropOldest, WhenSlow::DropNewest] {
            let scene = Stalled::new(Wire::Ipc, 1000, policy);
            let (fast, _listener) = follower(&scene.publisher, Transport::Tcp);
            let publish = |messages: u32| {
                for n in 0..messages {
                    scene.publisher.send(numbered(n, 500)).unwrap();
                    assert_eq!(number(&recv(&fast)), n);
                }
            };
            while scene.counted("dropped_on_send") < 1000 {
                publish(100);
            }
            let before = pool::BufferPool::global().stats().out;
            publish(5000);
            let out = pool::BufferPool::global().stats().out;
            // A thousand messages of 500 bytes, in chunks of 4 KiB or more.
            assert!(before < 250 && out < 250, "{before} and then {out} buffers are held");
        }
    });
}

#[test]
fn nobody_notices_that_another_is_closed_for_talking() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Pub>::new(wire);
        let (mut rogue, peer) = scene.peer();
        let (mut good, _) = scene.peer();
        rogue.send_message(b"me too");
        assert_eq!(scene.closed(peer), CloseReason::Unexpected { protocol: ProtocolId::PUB });
        scene.socket.send("news").unwrap();
        assert_eq!(good.message(), b"news");
    }
}

#[test]
fn a_lone_publication_leaves_at_once() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Pub>::new(wire);
        let mut peers: Vec<Raw> = (0..20).map(|_| scene.peer().0).collect();
        scene.socket.send("news").unwrap();
        for peer in &mut peers {
            assert_eq!(peer.message(), b"news");
        }
        assert!(matches!(poll_once(pin!(scene.socket.send_async("more"))), Poll::Ready(Ok(()))));
        for peer in &mut peers {
            assert_eq!(peer.message(), b"more");
        }
        assert!(scene.socket.close_within(DEADLINE) == 0);
    }
}

/// Four come while there is room for two: what is kept, and what the rest is counted as.
#[test]
fn whoever_receives_drops_the_newest_or_the_oldest_if_told_to() {
    fn keeps<E: RecvEngine>(socket: Socket<E>, wire: Wire, header: &[u8], kept: [&str; 2]) {
        let listener = socket.listen(wire.url()).unwrap();
        let mut raw = Raw::dial(listener.endpoint());
        raw.shake(E::PEER);
        for body in ["1", "2", "3", "4"] {
            raw.send_message(&[header, body.as_bytes()].concat());
        }
        wait_until("two are dropped", || socket.stats().get("dropped_on_receive") == Some(2));
        assert_eq!([recv(&socket), recv(&socket)], kept);
        let its_own = format!("{}/dropped_on_receive", socket.peers()[0]);
        assert_eq!(socket.stats().get(&its_own), Some(2));
    }
    const SURVEY: [u8; 4] = [0x80, 0, 0, 1];
    const HOP: [u8; 4] = [0, 0, 0, 1];
    for wire in Wire::BOTH {
        for (policy, kept) in
            [(WhenFull::DropNewest, ["1", "2"]), (WhenFull::DropOldest, ["3", "4"])]
        {
            let options = PullOptions::new().queue(2).when_full(policy);
            keeps(Pull::with(options).unwrap(), wire, &[], kept);
            let options = Pair1Options::new().recv_queue(2).when_full(policy);
            keeps(Pair1::with(options).unwrap(), wire, &HOP, kept);
            let options = StarOptions::new().queue(2).when_full(policy);
            keeps(Star::with(options).unwrap(), wire, &HOP, kept);
            let options = RespondentOptions::new().queue(2).when_full(policy);
            keeps(Respondent::with(options).unwrap(), wire, &SURVEY, kept);
        }
    }
}
