//! Receiving through a channel: in `select!`, bounded, and without losing anything at its end.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Select, bounded, never, select};
use sp::{Message, Pull, PullOptions, Push, RecvError, Sub, TryRecvError};
use support::{DEADLINE, Transport, block_on, connect, pattern, spawn, threads, wait_until};

mod support;

#[test]
fn two_sockets_and_a_channel_are_waited_for_together() {
    const EACH: u32 = 500;
    let _turn = turn();
    for transport in Transport::ALL {
        let [(a, to_a), (b, to_b)] = [(); 2].map(|()| pipeline(transport, PullOptions::new()));
        let (tell, told) = bounded(3);
        let senders = [to_a, to_b].map(|push| {
            spawn(move || {
                (0..EACH).for_each(|n| push.send(n.to_be_bytes()).expect("there is a receiver"));
                push
            })
        });
        let teller = spawn(move || {
            (0..EACH).for_each(|n| tell.send(n).expect("somebody listens"));
            tell
        });
        let (from_a, from_b) =
            (a.receiver(4).expect("a receiver"), b.receiver(100).expect("a receiver"));
        let mut seen = [0; 3];
        while seen != [EACH; 3] {
            let (which, n) = select! {
                recv(from_a) -> message => (0, number(&message.expect("the socket is open"))),
                recv(from_b) -> message => (1, number(&message.expect("the socket is open"))),
                recv(told) -> n => (2, n.expect("the teller lives")),
                default(DEADLINE) => panic!("nothing comes any more after {seen:?}"),
            };
            assert_eq!(n, seen[which], "in order from each, over {transport:?}");
            seen[which] += 1;
        }
        drop((senders.map(support::Task::join), teller.join()));
    }
}

#[test]
fn a_receiver_serves_a_list_of_operations_too() {
    let _turn = turn();
    let (pull, push) = pipeline(Transport::Tcp, PullOptions::new());
    let (work, silence) = (pull.receiver(1).expect("a receiver"), never::<()>());
    let mut list = Select::new();
    list.recv(&silence);
    let at = list.recv(&work);
    push.send("work").expect("there is a receiver");
    let ready = list.select_timeout(DEADLINE).expect("the message comes");
    assert_eq!(ready.index(), at);
    assert_eq!(ready.recv(&work).expect("the socket is open"), "work");
}

#[test]
fn a_channel_that_nobody_empties_pushes_back() {
    let _turn = turn();
    for transport in Transport::ALL {
        let (pull, push) = pipeline(transport, PullOptions::new().queue(4));
        let work = pull.receiver(3).expect("a receiver");
        let body = pattern(64 << 10);
        let mut sent = 0;
        while push.send_timeout(&body[..], Duration::from_millis(20)).is_ok() {
            sent += 1;
            assert!(sent < 10_000, "nobody receives, so there must be an end");
        }
        wait_until("the channel is full", || work.is_full());
        assert_eq!(work.len(), 3, "and has what was asked for, over {transport:?}");
        let sending = spawn(move || push.send("the last").map(|()| push));
        for _ in 0..sent {
            assert!(work.recv_timeout(DEADLINE).expect("it comes when there is room") == body);
        }
        assert_eq!(work.recv_timeout(DEADLINE).expect("the last as well"), "the last");
        drop(sending.join().expect("there was room in the end"));
    }
}

#[test]
fn a_receiver_ends_with_its_socket_and_not_before_it_is_empty() {
    let _turn = turn();
    for transport in Transport::ALL {
        for capacity in [2, 100] {
            let (pull, push) = pipeline(transport, PullOptions::new());
            let work = pull.receiver(capacity).expect("a receiver");
            (0..10u32).for_each(|n| push.send(n.to_be_bytes()).expect("there is a receiver"));
            wait_until("what fits is there", || work.len() == capacity.min(10));
            pull.clone().close();
            let left: Vec<u32> = work.iter().map(|message| number(&message)).collect();
            assert!(left.iter().copied().eq(0..left.len() as u32), "{left:?}");
            assert_eq!(left.len(), capacity.min(10), "the rest ended with the socket");
            let after = pull.receiver(1).expect("a receiver");
            assert_eq!(after.recv_timeout(DEADLINE), Err(RecvTimeoutError::Disconnected));
        }
    }
}

#[test]
fn a_receiver_that_waits_ends_with_its_socket() {
    let _turn = turn();
    let (pull, _push) = pipeline(Transport::Tcp, PullOptions::new());
    let work = pull.receiver(1).expect("a receiver");
    let waiting = spawn(move || work.recv().is_err());
    waiting.wait_asleep();
    pull.close();
    assert!(waiting.join(), "it is told that nothing comes any more");
}

#[test]
fn a_receiver_keeps_its_socket_open() {
    let _turn = turn();
    let (pull, push) = pipeline(Transport::Tcp, PullOptions::new());
    let work = pull.receiver(1).expect("a receiver");
    drop(pull);
    for n in 0..20u32 {
        push.send(n.to_be_bytes()).expect("the receiver is connected");
        assert_eq!(work.recv_timeout(DEADLINE).expect("it comes"), n.to_be_bytes());
    }
    drop(work);
    wait_until("the socket closes with it", || push.peers().is_empty());
}

#[test]
fn a_receiver_that_is_dropped_gives_back_what_nobody_took() {
    const MESSAGES: u32 = 100;
    let _turn = turn();
    for transport in Transport::ALL {
        // The channel is full, or it has everything and waits for more.
        for capacity in [1, 8, 1000] {
            let (pull, push) = pipeline(transport, PullOptions::new());
            let work = pull.receiver(capacity).expect("a receiver");
            (0..MESSAGES).for_each(|n| push.send(n.to_be_bytes()).expect("there is a receiver"));
            for n in 0..5 {
                assert_eq!(work.recv_timeout(DEADLINE).expect("it comes"), u32::to_be_bytes(n));
            }
            wait_until("the channel is as full as it gets", || {
                work.len() == capacity.min(MESSAGES as usize - 5)
            });
            drop(work);
            for n in 5..MESSAGES {
                let message = pull.recv_timeout(DEADLINE).expect("nothing is lost");
                assert_eq!(number(&message), n, "capacity {capacity} over {transport:?}");
            }
            assert_eq!(pull.try_recv(), Err(TryRecvError::Empty));
            push.send("more").expect("there is a receiver");
            assert_eq!(pull.recv_timeout(DEADLINE).expect("it comes"), "more");
        }
    }
}

#[test]
fn what_is_given_back_keeps_its_order_while_others_fill_the_channel() {
    const MESSAGES: u32 = 40;
    let _turn = turn();
    let (pull, push) = pipeline(Transport::Tcp, PullOptions::new());
    for taken in (0..300).map(|round| round % 12) {
        let work = pull.receiver(4).expect("a receiver");
        (0..MESSAGES).for_each(|n| push.send(n.to_be_bytes()).expect("there is a receiver"));
        for n in 0..taken {
            assert_eq!(work.recv_timeout(DEADLINE).expect("it comes"), u32::to_be_bytes(n));
        }
        // Whoever saw that there was room is still at it.
        drop(work);
        for n in taken..MESSAGES {
            assert_eq!(number(&pull.recv_timeout(DEADLINE).expect("nothing is lost")), n);
        }
    }
}

#[test]
fn what_is_given_back_wakes_those_who_wait_and_reaches_every_form_of_receive() {
    let _turn = turn();
    let (pull, push) = pipeline(Transport::Inproc, PullOptions::new());
    let work = pull.receiver(10).expect("a receiver");
    (0..4u32).for_each(|n| push.send(n.to_be_bytes()).expect("there is a receiver"));
    wait_until("the receiver has them all", || work.len() == 4);
    let waiting = spawn({
        let pull = pull.clone();
        move || pull.recv()
    });
    waiting.wait_asleep();
    drop(work);
    let first = waiting.join().expect("it is woken");
    let rest = [
        pull.try_recv().expect("it is there"),
        block_on(pull.recv_async()).expect("it is there"),
        pull.receiver(1).expect("a receiver").recv_timeout(DEADLINE).expect("it is there"),
    ];
    let mut all: Vec<u32> = std::iter::once(&first).chain(&rest).map(number).collect();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
}

#[test]
fn receivers_and_threads_share_the_messages() {
    const MESSAGES: u32 = 3000;
    let _turn = turn();
    for transport in Transport::ALL {
        let (pull, push) = pipeline(transport, PullOptions::new().queue(16));
        let channels = [1, 7].map(|capacity| {
            let work = pull.receiver(capacity).expect("a receiver");
            spawn(move || work.iter().map(|message| number(&message)).collect::<Vec<_>>())
        });
        let threads = [(); 2].map(|()| {
            let pull = pull.clone();
            spawn(move || pull.iter().map(|message| number(&message)).collect::<Vec<_>>())
        });
        // Receivers that come and go lose nothing either.
        let guest = spawn({
            let pull = pull.clone();
            move || {
                let mut got = Vec::new();
                for capacity in 1..40 {
                    let work = pull.receiver(capacity % 5).expect("a receiver");
                    got.extend(work.try_iter().map(|message| number(&message)));
                }
                got
            }
        });
        (0..MESSAGES).for_each(|n| push.send(n.to_be_bytes()).expect("there are receivers"));
        let mut all = guest.join();
        let received = || push.stats().get("messages_sent") == Some(u64::from(MESSAGES));
        wait_until("everything has left", received);
        wait_until("everything has come", || {
            pull.stats().get("messages_received") == Some(u64::from(MESSAGES))
        });
        // Whoever waits has taken what there was; what stands in a channel comes out of it.
        wait_until("nothing is left", || match pull.try_recv() {
            Ok(message) => {
                all.push(number(&message));
                false
            }
            Err(error) => error.is_empty(),
        });
        pull.close();
        for task in channels.into_iter().chain(threads) {
            let got = task.join();
            all.extend(got);
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..MESSAGES), "each once, over {transport:?}");
    }
}

#[test]
fn a_subscriber_can_be_a_channel() {
    let _turn = turn();
    let (publisher, sub) = (sp::Pub::new().expect("PUB opens"), Sub::new().expect("SUB opens"));
    sub.subscribe("a");
    connect(Transport::Tcp, &publisher, &sub);
    let news = sub.receiver(0).expect("a receiver");
    assert_eq!(news.capacity(), Some(1), "at least one");
    for line in ["a1", "b1", "a2"] {
        publisher.send(line).expect("a publisher never waits");
    }
    assert_eq!(news.recv_timeout(DEADLINE).expect("it comes"), "a1");
    assert_eq!(news.recv_timeout(DEADLINE).expect("it comes"), "a2");
}

#[test]
fn the_thread_that_waits_for_room_ends_with_the_last_receiver() {
    let _turn = turn();
    let runs = || threads().iter().any(|name| name == "sp-hand-out");
    wait_until("the receivers of other tests are gone", || !runs());
    let (pull, push) = pipeline(Transport::Tcp, PullOptions::new());
    let [first, second] = [(); 2].map(|()| pull.receiver(1).expect("a receiver"));
    wait_until("there is one thread", || {
        threads().iter().filter(|name| *name == "sp-hand-out").count() == 1
    });
    (0..4u32).for_each(|n| push.send(n.to_be_bytes()).expect("there is a receiver"));
    wait_until("both are full", || first.is_full() && second.is_full());
    drop(first);
    assert!(runs(), "the other still needs it");
    drop(second);
    wait_until("nobody needs it", || !runs());
    let mut got: Vec<u32> =
        (0..4).map(|_| number(&pull.recv_timeout(DEADLINE).expect("nothing is lost"))).collect();
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2, 3]);
    pull.clone().close();
    assert!(matches!(pull.recv(), Err(RecvError::Closed { .. })));
}

/// The tests take turns: one looks at the threads of the process.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pipeline(transport: Transport, options: PullOptions) -> (Pull, Push) {
    let pull = Pull::with(options).expect("PULL opens");
    let push = Push::new().expect("PUSH opens");
    connect(transport, &pull, &push);
    (pull, push)
}

fn number(message: &Message) -> u32 {
    u32::from_be_bytes(*message.first_chunk().expect("a number"))
}
