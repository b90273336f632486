//! Sockets in the care of the program's own event loop.

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use sp::{
    Driven, Message, PollSet, Pub, Pull, PullOptions, Push, Socket, Sub, TryRecvError, TrySendError,
};
use sp_core::clock;
use sp_protocols::engine::Engine;
use support::{DEADLINE, Task, Transport, block_on, connect, spawn, wait_until};

mod support;

#[test]
fn the_first_look_finds_what_came_before() {
    for transport in Transport::EVERY {
        let (pull, push) = pipeline(transport);
        push.send_timeout("early", DEADLINE).expect("the receiver is connected");
        let received = || pull.stats().get("messages_received");
        wait_until("the worker delivers it", || received() == Some(1));
        let mut own = Loop::of([poll_set(&pull)]);
        own.run_until(|| pull.try_recv().is_ok_and(|message| message == "early"));
    }
}

#[test]
fn a_descriptor_is_readable_as_long_as_there_is_something_to_do_and_no_longer() {
    for transport in Transport::EVERY {
        let (pull, push) = pipeline(transport);
        let mut set = poll_set(&pull);
        assert!(is_readable(&set), "the first look is free, over {transport:?}");
        settle(&mut set);
        push.send_timeout("work", DEADLINE).expect("the receiver is connected");
        wait_until("it is readable", || is_readable(&set));
        assert!(is_readable(&set), "nobody has driven yet");
        settle(&mut set);
        assert_eq!(pull.try_recv().expect("it was delivered"), "work");
        assert_eq!(pull.try_recv(), Err(TryRecvError::Empty));
        // Over udp the peer may just have said that it is there.
        settle(&mut set);
    }
}

#[test]
fn a_loop_takes_a_stream_as_fast_as_it_likes_and_in_order() {
    for transport in Transport::ALL {
        let pull = Pull::with(PullOptions::new().queue(16)).expect("PULL opens");
        let push = Push::new().expect("PUSH opens");
        connect(transport, &pull, &push);
        let mut own = Loop::of([poll_set(&pull)]);
        let sender = spawn(move || {
            (0..MESSAGES).for_each(|n| {
                push.send_timeout(n.to_be_bytes(), DEADLINE).expect("the receiver receives")
            });
            push
        });
        let mut next = 0;
        own.run_until(|| {
            for message in pull.try_iter() {
                assert_eq!(number(&message), next, "over {transport:?}");
                next += 1;
            }
            next == MESSAGES
        });
        sender.join();
    }
}

#[test]
fn a_loop_sends_a_backlog_as_the_kernel_takes_it() {
    for transport in Transport::ALL {
        let (pull, push) = pipeline(transport);
        let mut own = Loop::of([poll_set(&push)]);
        let body = support::pattern(1000);
        let mut sent = 0;
        while push.try_send(&body[..]).is_ok() {
            sent += 1;
        }
        let receiver = spawn(move || {
            for _ in 0..2 * sent {
                assert_eq!(pull.recv_timeout(DEADLINE).expect("what was taken comes"), body);
            }
        });
        let body = support::pattern(1000);
        let mut left = sent;
        own.run_until(|| {
            while left > 0 {
                match push.try_send(&body[..]) {
                    Ok(()) => left -= 1,
                    Err(TrySendError::Full { .. }) => return false,
                    Err(error) => panic!("{error}"),
                }
            }
            true
        });
        // What is still queued leaves by the loop as well: it has nobody else.
        own.run_beside(|| {}, || receiver.is_over());
        receiver.join();
    }
}

#[test]
fn messages_that_stream_leave_without_company_and_without_the_worker() {
    for transport in Transport::ALL {
        let (pull, push) = pipeline(transport);
        let mut own = Loop::of([poll_set(&push)]);
        let receiver = spawn(move || {
            for n in 0..BURST {
                assert_eq!(number(&pull.recv_timeout(DEADLINE).expect("the burst comes")), n);
            }
        });
        // Enough in a row to count as a stream, far too few to fill a write.
        (0..BURST).for_each(|n| push.try_send(n.to_be_bytes()).expect("there is room"));
        own.run_beside(|| {}, || receiver.is_over());
        receiver.join();
    }
}

#[test]
fn a_new_connection_reaches_the_loop() {
    for transport in Transport::ALL {
        let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
        let mut sets = [poll_set(&pull), poll_set(&push)];
        sets.iter_mut().for_each(settle);
        let mut own = Loop::of(sets);
        connect(transport, &pull, &push);
        own.run_until(|| push.try_send("work").is_ok());
        own.run_until(|| pull.try_recv().is_ok_and(|message| message == "work"));
    }
}

/// A listener over udp hears of new peers where it hears of everything.
#[test]
fn a_new_peer_over_udp_reaches_the_loop() {
    let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
    let mut own = Loop::of([poll_set(&pull), poll_set(&push)]);
    let listener = pull.listen(Transport::Udp.url()).expect("the address is free");
    let dialing = push.clone();
    let dialer = spawn(move || {
        dialing.dial(listener.endpoint()).expect("somebody listens");
    });
    own.run_until(|| dialer.is_over());
    dialer.join();
    own.run_until(|| push.try_send("work").is_ok());
    own.run_until(|| pull.try_recv().is_ok_and(|message| message == "work"));
}

#[test]
fn a_subscriber_in_a_loop_misses_nothing_of_a_publisher_in_the_same() {
    for transport in Transport::ALL {
        let (publisher, sub) = (Pub::new().expect("PUB opens"), Sub::new().expect("SUB opens"));
        sub.subscribe("");
        connect(transport, &publisher, &sub);
        let mut own = Loop::of([poll_set(&publisher), poll_set(&sub)]);
        for n in 0..1000u32 {
            publisher.send(n.to_be_bytes()).expect("a publisher never waits");
            if n % 10 == 9 {
                let mut next = n - 9;
                own.run_until(|| {
                    sub.try_iter().for_each(|message| {
                        assert_eq!(number(&message), next, "over {transport:?}");
                        next += 1;
                    });
                    next == n + 1
                });
            }
        }
    }
}

/// A thread that drives takes the events, and may leave messages that it does not want.
#[test]
fn what_a_blocking_receiver_leaves_reaches_the_loop() {
    for transport in Transport::EVERY {
        let (pull, push) = pipeline(transport);
        let mut own = Loop::of([poll_set(&pull)]);
        let waiter = spawn({
            let pull = pull.clone();
            move || pull.recv()
        });
        waiter.wait_asleep();
        push.try_send("one").expect("there is room");
        push.try_send("two").expect("there is room");
        let mut got = Vec::new();
        own.run_until(|| {
            got.extend(pull.try_recv().ok());
            !got.is_empty()
        });
        got.push(waiter.join().expect("one each"));
        got.sort_unstable_by_key(|message| message.body().to_vec());
        assert_eq!(got, ["one", "two"], "over {transport:?}");
    }
}

#[test]
fn a_loop_threads_and_futures_share_a_socket() {
    for transport in Transport::EVERY {
        let (pull, push) = pipeline(transport);
        let mut own = Loop::of([poll_set(&pull)]);
        let total = Arc::new(AtomicU32::new(0));
        let threads: Vec<_> = (0..4)
            .map(|nth| {
                let (pull, total) = (pull.clone(), Arc::clone(&total));
                spawn(move || {
                    loop {
                        let received = match nth % 2 {
                            0 => pull.recv_timeout(DEADLINE),
                            _ => block_on(pull.recv_async()),
                        };
                        if received.expect("messages come until the end").is_empty() {
                            return;
                        }
                        total.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let sender = spawn(move || {
            for n in 0..MESSAGES {
                push.send_timeout(n.to_be_bytes(), DEADLINE).expect("the receivers receive");
            }
            push
        });
        let take_all = || {
            for message in pull.try_iter() {
                assert!(!message.is_empty(), "the end is for those who wait");
                total.fetch_add(1, Ordering::Relaxed);
            }
        };
        own.run_beside(take_all, || total.load(Ordering::Relaxed) == MESSAGES);
        let push = sender.join();
        // One for each of the others; the loop goes on driving for the futures.
        for _ in 0..4 {
            push.send_timeout("", DEADLINE).expect("the receivers receive");
        }
        own.run_beside(|| {}, || threads.iter().all(Task::is_over));
        threads.into_iter().for_each(Task::join);
    }
}

#[test]
fn a_blocking_call_needs_no_loop() {
    for transport in Transport::EVERY {
        let (pull, push) = pipeline(transport);
        // Nobody ever drives these.
        let _sets = [poll_set(&pull), poll_set(&push)];
        let receiver = spawn(move || {
            for n in 0..MESSAGES {
                assert_eq!(number(&pull.recv_timeout(DEADLINE).expect("they come")), n);
            }
        });
        for n in 0..MESSAGES {
            push.send_timeout(n.to_be_bytes(), DEADLINE).expect("the receiver receives");
            if n % 100 == 99 {
                push.flush();
            }
        }
        receiver.join();
    }
}

#[test]
fn the_worker_takes_over_when_the_poll_set_is_dropped() {
    for transport in Transport::EVERY {
        let (pull, push) = pipeline(transport);
        let sets = [poll_set(&pull), poll_set(&push)];
        // A stream that the loop of the sender was to look after, and bytes that of the receiver was to read.
        (0..BURST).for_each(|n| push.try_send(n.to_be_bytes()).expect("there is room"));
        drop(sets);
        for n in 0..BURST {
            assert_eq!(number(&block_on(pull.recv_async()).expect("they come")), n);
        }
    }
}

#[test]
fn poll_sets_that_come_and_go_lose_nothing() {
    for transport in Transport::ALL {
        let (pull, push) = pipeline(transport);
        let sender = spawn(move || {
            (0..MESSAGES).for_each(|n| {
                push.send_timeout(n.to_be_bytes(), DEADLINE).expect("the receiver receives")
            });
            push
        });
        let mut next = 0;
        while next < MESSAGES {
            let mut own = Loop::of([poll_set(&pull)]);
            own.run_until(|| match pull.try_recv() {
                Ok(message) => {
                    assert_eq!(number(&message), next);
                    next += 1;
                    true
                }
                Err(error) => {
                    assert_eq!(error, TryRecvError::Empty);
                    false
                }
            });
            drop(own);
            if next < MESSAGES {
                let message = block_on(pull.recv_async()).expect("there are more");
                assert_eq!(number(&message), next, "over {transport:?}");
                next += 1;
            }
        }
        sender.join();
    }
}

#[test]
fn a_socket_has_one_poll_set_at_a_time() {
    let pull = Pull::new().expect("PULL opens");
    let set = poll_set(&pull);
    assert_eq!(pull.poll_set().expect_err("there is one").kind(), ErrorKind::AlreadyExists);
    drop(set);
    drop(poll_set(&pull));
}

#[test]
fn the_end_of_the_socket_reaches_the_loop() {
    let pull = Pull::new().expect("PULL opens");
    let mut set = poll_set(&pull);
    settle(&mut set);
    let other = pull.clone();
    pull.close();
    assert!(is_readable(&set));
    assert_eq!(set.drive(), Driven::Closed);
    assert_eq!(other.poll_set().expect_err("it is closed").kind(), ErrorKind::NotConnected);
}

/// An event loop as a program may have one.
struct Loop<const N: usize> {
    poll: Poll,
    events: Events,
    sets: [PollSet; N],
}

impl<const N: usize> Loop<N> {
    fn of(sets: [PollSet; N]) -> Self {
        let poll = Poll::new().expect("a poll set");
        for (nth, set) in sets.iter().enumerate() {
            let mut source = SourceFd(&set.as_raw_fd());
            let registered = poll.registry().register(&mut source, Token(nth), Interest::READABLE);
            registered.expect("it can be nested");
        }
        Self { poll, events: Events::with_capacity(8), sets }
    }

    /// Drives what is readable until `done`, which is asked after each turn and only then: whoever finds nothing there
    /// has to be told when to ask again.
    fn run_until(&mut self, mut done: impl FnMut() -> bool) {
        while !done() {
            assert!(self.turn(DEADLINE), "nothing is readable for {DEADLINE:?}");
        }
    }

    /// Drives what is readable and does `work` after each turn and only then, until other threads have brought about
    /// what `ended` asks for.
    fn run_beside(&mut self, mut work: impl FnMut(), ended: impl Fn() -> bool) {
        let deadline = clock::now() + DEADLINE;
        while !ended() {
            assert!(clock::now() < deadline, "somebody waits in vain");
            if self.turn(TICK) {
                work();
            }
        }
    }

    /// Waits until something is readable and drives it. Answers whether something was.
    fn turn(&mut self, wait: Duration) -> bool {
        self.poll.poll(&mut self.events, Some(wait)).expect("a poll");
        for event in &self.events {
            let _ = self.sets[event.token().0].drive();
        }
        !self.events.is_empty()
    }
}

fn poll_set<E: Engine>(socket: &Socket<E>) -> PollSet {
    socket.poll_set().expect("it has none yet")
}

/// Drives until the descriptor is not readable any more.
fn settle(set: &mut PollSet) {
    wait_until("it is not readable", || {
        let driven = set.drive();
        driven == Driven::Idle && !is_readable(set)
    });
}

/// Whether a level-triggered loop would find it readable.
fn is_readable(set: &PollSet) -> bool {
    let mut poll = Poll::new().expect("a poll set");
    let mut source = SourceFd(&set.as_raw_fd());
    poll.registry().register(&mut source, Token(0), Interest::READABLE).expect("it can be nested");
    let mut events = Events::with_capacity(1);
    poll.poll(&mut events, Some(Duration::ZERO)).expect("a poll");
    !events.is_empty()
}

fn pipeline(transport: Transport) -> (Pull, Push) {
    let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
    connect(transport, &pull, &push);
    (pull, push)
}

fn number(message: &Message) -> u32 {
    u32::from_be_bytes(message.body().try_into().expect("a number has four bytes"))
}

const MESSAGES: u32 = 5_000;
const BURST: u32 = 20;

/// How often a loop looks for the end of other threads, which no descriptor tells it.
const TICK: Duration = Duration::from_millis(1);
