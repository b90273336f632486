//! The four forms of each call - at once, blocking, until a deadline, as a future - and how they mix.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use sp::{
    Message, Pub, PubOptions, Pull, PullOptions, Push, RecvError, Rep, Req, SendError, Sub,
    SubOptions, TryRecvError, TrySendError,
};
use sp_core::clock;
use support::{DEADLINE, Task, Transport, bell, block_on, connect, spawn};

mod support;

#[test]
fn try_recv_takes_what_is_there_and_nothing_else() {
    let (pull, push) = pipeline();
    assert_eq!(pull.try_recv(), Err(TryRecvError::Empty));
    push.send_timeout("work", DEADLINE).expect("the receiver is connected");
    support::wait_until("the message comes", || match pull.try_recv() {
        Ok(message) => {
            assert_eq!(message, "work");
            true
        }
        Err(TryRecvError::Empty) => false,
        Err(error) => panic!("{error}"),
    });
    assert_eq!(pull.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn try_send_without_a_peer_gives_the_message_back() {
    let push = Push::new().expect("PUSH opens");
    let error = push.try_send("work").expect_err("nobody is connected");
    assert!(matches!(error, TrySendError::Full { .. }), "{error}");
    assert_eq!(error.into_message(), "work");
}

#[test]
fn try_send_fills_the_queues_and_no_more() {
    let (pull, push) = pipeline();
    let body = support::pattern(1000);
    let mut sent = 0;
    while push.try_send(&body[..]).is_ok() {
        sent += 1;
        assert!(sent < 1_000_000, "nobody receives, so there must be an end");
    }
    for _ in 0..sent {
        assert_eq!(pull.recv_timeout(DEADLINE).expect("what was taken comes"), body);
    }
    assert_eq!(pull.try_recv(), Err(TryRecvError::Empty));
    push.send_timeout("more", DEADLINE).expect("there is room again");
}

/// sp-wire 8.16 item 171
#[test]
fn a_timeout_ends_a_receive_and_not_before_its_time() {
    let (pull, _push) = pipeline();
    let begun = clock::now();
    assert!(matches!(pull.recv_timeout(BLINK), Err(RecvError::TimedOut { .. })));
    assert!(clock::now() - begun >= BLINK);
    let deadline = clock::now() + BLINK;
    assert!(matches!(pull.recv_deadline(deadline), Err(RecvError::TimedOut { .. })));
    assert!(clock::now() >= deadline);
}

/// sp-wire 8.16 item 171
#[test]
fn a_timeout_ends_a_send_and_gives_the_message_back() {
    let push = Push::new().expect("PUSH opens");
    let begun = clock::now();
    let error = push.send_timeout("work", BLINK).expect_err("nobody is connected");
    assert!(clock::now() - begun >= BLINK);
    assert!(matches!(error, SendError::TimedOut { .. }), "{error}");
    assert_eq!(error.into_message(), "work");
    let deadline = clock::now() + BLINK;
    let error = push.send_deadline("work", deadline).expect_err("nobody is connected");
    assert!(clock::now() >= deadline && error.is_timeout());
}

/// sp-wire 8.16 item 171
#[test]
fn a_timeout_of_zero_is_a_try() {
    let (pull, push) = pipeline();
    assert!(matches!(pull.recv_timeout(Duration::ZERO), Err(RecvError::TimedOut { .. })));
    assert!(matches!(pull.recv_deadline(clock::now()), Err(RecvError::TimedOut { .. })));
    push.send_timeout("work", Duration::ZERO).expect("there is room");
    let alone = Push::new().expect("PUSH opens");
    assert!(alone.send_timeout("work", Duration::ZERO).is_err_and(|error| error.is_timeout()));
}

/// sp-wire 8.16 item 171
#[test]
fn the_longest_timeout_is_no_timeout() {
    let (pull, push) = pipeline();
    let receiver = spawn(move || pull.recv_timeout(Duration::MAX));
    receiver.wait_asleep();
    push.send_timeout("work", Duration::MAX).expect("the receiver is connected");
    assert_eq!(receiver.join().expect("the message comes"), "work");
}

#[test]
fn a_blocking_send_goes_through_when_a_peer_comes() {
    let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
    let sender = spawn({
        let push = push.clone();
        move || push.send("work")
    });
    sender.wait_asleep();
    connect(Transport::Tcp, &pull, &push);
    sender.join().expect("a peer came");
    assert_eq!(pull.recv_timeout(DEADLINE).expect("the message comes"), "work");
}

#[test]
fn a_blocking_send_goes_through_when_the_receiver_makes_room() {
    let (pull, push) = pipeline();
    let body = support::pattern(1000);
    let mut sent = 0;
    // Full is full only when the kernel takes no more either.
    while push.send_timeout(&body[..], BLINK).is_ok() {
        sent += 1;
    }
    let sender = spawn(move || push.send("last").map(|()| push));
    sender.wait_asleep();
    for _ in 0..sent {
        assert_eq!(pull.recv_timeout(DEADLINE).expect("what was taken comes"), body);
    }
    assert_eq!(pull.recv_timeout(DEADLINE).expect("the last comes too"), "last");
    sender.join().expect("the receiver made room");
}

#[test]
fn a_receive_that_times_out_ends_its_request() {
    for transport in Transport::EVERY {
        let (rep, req) = conversation(transport);
        req.send_timeout("first", DEADLINE).expect("the server is connected");
        assert!(req.recv_timeout(BLINK).is_err_and(|error| error.is_timeout()));
        assert!(
            matches!(req.recv_timeout(BLINK), Err(RecvError::State { .. })),
            "the request is over"
        );

        assert_eq!(rep.recv_timeout(DEADLINE).expect("the request came"), "first");
        rep.send("late").expect("there is a request");
        req.send_timeout("second", DEADLINE).expect("the server is connected");
        assert_eq!(rep.recv_timeout(DEADLINE).expect("the request comes"), "second");
        rep.send("in time").expect("there is a request");
        assert_eq!(req.recv_timeout(DEADLINE).expect("the reply comes"), "in time");
    }
}

#[test]
fn a_new_request_cancels_the_receive_that_waits_for_the_old_one() {
    for transport in Transport::EVERY {
        let (rep, req) = conversation(transport);
        req.send_timeout("old", DEADLINE).expect("the server is connected");
        let waiter = spawn({
            let req = req.clone();
            move || req.recv()
        });
        waiter.wait_asleep();
        req.send_timeout("new", DEADLINE).expect("the server is connected");
        assert!(matches!(waiter.join(), Err(RecvError::Canceled { .. })), "{transport:?}");
        for wanted in ["old", "new"] {
            assert_eq!(rep.recv_timeout(DEADLINE).expect("the request comes"), wanted);
            rep.send(wanted).expect("there is a request");
        }
        assert_eq!(req.recv_timeout(DEADLINE).expect("the reply comes"), "new");
    }
}

/// Whoever waits holds the connections; a request sent meanwhile leaves all the same.
#[test]
fn a_receive_that_waits_gets_the_reply_to_a_request_sent_by_another_thread() {
    for transport in Transport::EVERY {
        let (rep, req) = conversation(transport);
        let server = spawn(move || {
            let request = rep.recv_timeout(DEADLINE).expect("the request comes");
            rep.send(request).expect("there is a request");
            rep.close();
        });
        server.wait_asleep();
        req.send_timeout("ping", DEADLINE).expect("the server is connected");
        let waiter = spawn(move || req.recv());
        assert_eq!(waiter.join().expect("the reply comes"), "ping");
        server.join();
    }
}

#[test]
fn publishers_of_two_threads_reach_a_subscriber_that_waits() {
    for transport in Transport::ALL {
        let all = 2 * MESSAGES as usize;
        let publisher = Pub::with(PubOptions::new().queue(all)).expect("PUB opens");
        let sub = Sub::with(SubOptions::new().queue(all)).expect("SUB opens");
        sub.subscribe("");
        connect(transport, &publisher, &sub);
        let waiter = spawn(move || check_producers(2, || sub.recv_timeout(DEADLINE)));
        waiter.wait_asleep();
        let producers: Vec<_> = (0..2)
            .map(|id| {
                let publisher = publisher.clone();
                spawn(move || {
                    (0..MESSAGES).for_each(|n| {
                        publisher.send(marked(id, n)).expect("a publisher never waits")
                    });
                })
            })
            .collect();
        producers.into_iter().for_each(Task::join);
        waiter.join();
    }
}

#[test]
fn interleaved_producers_keep_each_its_order() {
    for transport in Transport::ALL {
        let (pull, push) = pipeline_over(transport);
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|id| {
                let push = push.clone();
                spawn(move || {
                    (0..MESSAGES).for_each(|n| match n % 3 {
                        // All three ways lead through the same door.
                        0 => push.send(marked(id, n)).expect("the receiver is connected"),
                        1 => push
                            .send_timeout(marked(id, n), DEADLINE)
                            .expect("the receiver receives"),
                        _ => block_on(push.send_async(marked(id, n)))
                            .expect("the receiver is connected"),
                    });
                })
            })
            .collect();
        check_producers(PRODUCERS, || pull.recv_timeout(DEADLINE));
        producers.into_iter().for_each(Task::join);
    }
}

#[test]
fn threads_that_wait_together_get_a_message_each() {
    for transport in Transport::EVERY {
        let (pull, push) = pipeline_over(transport);
        let waiters: Vec<_> = (0..WAITERS)
            .map(|_| {
                let pull = pull.clone();
                spawn(move || pull.recv())
            })
            .collect();
        waiters.iter().for_each(Task::wait_asleep);
        (0..WAITERS).for_each(|n| {
            push.send_timeout(numbered(n), DEADLINE).expect("the receiver is connected")
        });
        let mut got: Vec<_> =
            waiters.into_iter().map(|waiter| number(&waiter.join().expect("one each"))).collect();
        got.sort_unstable();
        assert_eq!(got, (0..WAITERS).collect::<Vec<_>>(), "{transport:?}");
    }
}

#[test]
fn blocking_and_async_receivers_share_a_socket() {
    for transport in Transport::EVERY {
        let (pull, push) = pipeline_over(transport);
        let waiters: Vec<_> = (0..WAITERS)
            .map(|n| {
                let pull = pull.clone();
                spawn(move || match n % 3 {
                    0 => pull.recv(),
                    1 => block_on(pull.recv_async()),
                    _ => pull.recv_timeout(DEADLINE),
                })
            })
            .collect();
        waiters.iter().for_each(Task::wait_asleep);
        (0..WAITERS).for_each(|n| {
            push.send_timeout(numbered(n), DEADLINE).expect("the receiver is connected")
        });
        let mut got: Vec<_> =
            waiters.into_iter().map(|waiter| number(&waiter.join().expect("one each"))).collect();
        got.sort_unstable();
        assert_eq!(got, (0..WAITERS).collect::<Vec<_>>(), "{transport:?}");
    }
}

/// Receivers come and give up all the time; every message is somebody's.
#[test]
fn receivers_that_give_up_lose_nothing() {
    for transport in Transport::ALL {
        let (pull, push) = pipeline_over(transport);
        let left = Arc::new(AtomicUsize::new(MESSAGES as usize));
        let got = Arc::new(Mutex::new(Vec::new()));
        let receivers: Vec<_> = (0..4)
            .map(|id| {
                let (pull, left, got) = (pull.clone(), Arc::clone(&left), Arc::clone(&got));
                spawn(move || {
                    let until = clock::now() + DEADLINE;
                    while left.load(Ordering::SeqCst) > 0 && clock::now() < until {
                        let received = if id % 2 == 0 {
                            pull.recv_timeout(Duration::from_micros(50)).ok()
                        } else {
                            poll_once(pull.recv_async()).and_then(Result::ok)
                        };
                        if let Some(message) = received {
                            got.lock().expect("nobody panics with it").push(number(&message));
                            left.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                })
            })
            .collect();
        for n in 0..MESSAGES {
            push.send_timeout(numbered(n), DEADLINE).expect("the receivers receive");
        }
        receivers.into_iter().for_each(Task::join);
        let mut got = got.lock().expect("nobody panics with it").clone();
        got.sort_unstable();
        assert!(got.into_iter().eq(0..MESSAGES), "each message once, over {transport:?}");
    }
}

#[test]
fn a_conversation_works_with_futures_alone() {
    for transport in Transport::EVERY {
        let (rep, req) = conversation(transport);
        let server = spawn(move || {
            block_on(async {
                for _ in 0..ROUNDS {
                    let request = rep.recv_async().await.expect("the request comes");
                    rep.send_async(request).await.expect("there is a request");
                }
            });
            rep.close();
        });
        block_on(async {
            for n in 0..ROUNDS {
                req.send_async(numbered(n)).await.expect("the server is connected");
                assert_eq!(number(&req.recv_async().await.expect("the reply comes")), n);
            }
        });
        server.join();
    }
}

#[test]
fn both_sides_can_be_tasks_of_one_thread() {
    for transport in Transport::ALL {
        let (rep, req) = conversation(transport);
        let (pull, push) = pipeline_over(transport);
        block_on(Together(vec![
            Box::pin(async {
                for _ in 0..ROUNDS {
                    let request = rep.recv_async().await.expect("the request comes");
                    rep.send_async(request).await.expect("there is a request");
                }
            }),
            Box::pin(async {
                for n in 0..ROUNDS {
                    req.send_async(numbered(n)).await.expect("the server is connected");
                    assert_eq!(number(&req.recv_async().await.expect("the reply comes")), n);
                }
            }),
            Box::pin(async {
                for n in 0..MESSAGES {
                    push.send_async(numbered(n)).await.expect("the receiver is connected");
                }
            }),
            Box::pin(async {
                for n in 0..MESSAGES {
                    assert_eq!(number(&pull.recv_async().await.expect("work comes")), n);
                }
            }),
        ]));
    }
}

#[test]
fn a_receive_future_that_is_dropped_has_taken_nothing() {
    for transport in Transport::EVERY {
        let (pull, push) = pipeline_over(transport);
        let (waker, rung) = bell();
        let mut future = Box::pin(pull.recv_async());
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        push.send_timeout("work", DEADLINE).expect("the receiver is connected");
        rung.recv_timeout(DEADLINE).expect("the future is woken");
        drop(future);
        assert_eq!(pull.recv_timeout(DEADLINE).expect("the message is still there"), "work");
    }
}

#[test]
fn a_receive_future_that_is_woken_and_dropped_passes_its_wake_on() {
    for transport in Transport::EVERY {
        let (pull, push) = pipeline_over(transport);
        let ((first_waker, first_rung), (second_waker, second_rung)) = (bell(), bell());
        let mut first = Box::pin(pull.recv_async());
        let mut second = Box::pin(pull.recv_async());
        assert!(first.as_mut().poll(&mut Context::from_waker(&first_waker)).is_pending());
        assert!(second.as_mut().poll(&mut Context::from_waker(&second_waker)).is_pending());
        push.send_timeout("work", DEADLINE).expect("the receiver is connected");
        first_rung.recv_timeout(DEADLINE).expect("the first is woken");
        assert!(second_rung.is_empty(), "one message wakes one");
        drop(first);
        second_rung.recv_timeout(DEADLINE).expect("the second is woken in its place");
        match second.as_mut().poll(&mut Context::from_waker(&second_waker)) {
            Poll::Ready(message) => assert_eq!(message.expect("the message comes"), "work"),
            Poll::Pending => panic!("woken for nothing over {transport:?}"),
        }
    }
}

#[test]
fn a_receive_future_that_is_woken_and_dropped_wakes_a_thread_that_waits() {
    for transport in Transport::EVERY {
        let (pull, push) = pipeline_over(transport);
        let (waker, rung) = bell();
        let mut future = Box::pin(pull.recv_async());
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let waiter = spawn({
            let pull = pull.clone();
            move || pull.recv()
        });
        waiter.wait_asleep();
        push.send_timeout("work", DEADLINE).expect("the receiver is connected");
        rung.recv_timeout(DEADLINE).expect("the future is woken first: it came first");
        drop(future);
        assert_eq!(waiter.join().expect("the message comes"), "work");
    }
}

#[test]
fn a_future_that_moves_to_another_task_wakes_that_one() {
    let (pull, push) = pipeline();
    let ((old_waker, old_rung), (new_waker, new_rung)) = (bell(), bell());
    let mut future = Box::pin(pull.recv_async());
    assert!(future.as_mut().poll(&mut Context::from_waker(&old_waker)).is_pending());
    assert!(future.as_mut().poll(&mut Context::from_waker(&new_waker)).is_pending());
    push.send_timeout("work", DEADLINE).expect("the receiver is connected");
    new_rung.recv_timeout(DEADLINE).expect("the task that polled last is woken");
    assert!(old_rung.is_empty());
    assert!(future.as_mut().poll(&mut Context::from_waker(&new_waker)).is_ready());
}

#[test]
fn a_send_future_that_is_dropped_has_sent_nothing() {
    let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
    assert!(poll_once(push.send_async("dropped")).is_none(), "nobody is connected");
    connect(Transport::Tcp, &pull, &push);
    push.send_timeout("sent", DEADLINE).expect("the receiver is connected");
    assert_eq!(pull.recv_timeout(DEADLINE).expect("the message comes"), "sent");
}

#[test]
fn a_send_future_that_is_woken_and_dropped_passes_its_wake_on() {
    for transport in Transport::ALL {
        let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
        let ((first_waker, first_rung), (second_waker, second_rung)) = (bell(), bell());
        let mut first = Box::pin(push.send_async("first"));
        let mut second = Box::pin(push.send_async("second"));
        assert!(first.as_mut().poll(&mut Context::from_waker(&first_waker)).is_pending());
        assert!(second.as_mut().poll(&mut Context::from_waker(&second_waker)).is_pending());
        connect(transport, &pull, &push);
        first_rung.recv_timeout(DEADLINE).expect("the first is woken");
        drop(first);
        second_rung.recv_timeout(DEADLINE).expect("the second is woken in its place");
        match second.as_mut().poll(&mut Context::from_waker(&second_waker)) {
            Poll::Ready(sent) => sent.expect("the receiver is connected"),
            Poll::Pending => panic!("woken for nothing over {transport:?}"),
        }
        assert_eq!(pull.recv_timeout(DEADLINE).expect("the message comes"), "second");
    }
}

#[test]
fn a_request_survives_the_receive_future_that_is_dropped() {
    let (rep, req) = conversation(Transport::Tcp);
    req.send_timeout("ping", DEADLINE).expect("the server is connected");
    assert!(poll_once(req.recv_async()).is_none(), "nobody has answered yet");
    assert_eq!(rep.recv_timeout(DEADLINE).expect("the request comes"), "ping");
    rep.send("pong").expect("there is a request");
    assert_eq!(req.recv_timeout(DEADLINE).expect("the reply comes"), "pong");
}

#[test]
fn iterating_ends_with_the_socket() {
    let (pull, push) = pipeline();
    let collector = spawn({
        let pull = pull.clone();
        move || pull.iter().map(|message| number(&message)).collect::<Vec<_>>()
    });
    (0..ROUNDS)
        .for_each(|n| push.send_timeout(numbered(n), DEADLINE).expect("the receiver is connected"));
    let received = || pull.stats().children.first().and_then(|peer| peer.get("messages_received"));
    support::wait_until("all have arrived", || received() == Some(u64::from(ROUNDS)));
    collector.wait_asleep();
    pull.close();
    assert!(collector.join().into_iter().eq(0..ROUNDS));
}

#[test]
fn iterating_over_what_is_there_does_not_wait() {
    let (pull, push) = pipeline();
    assert_eq!(pull.try_iter().count(), 0);
    (0..3)
        .for_each(|n| push.send_timeout(numbered(n), DEADLINE).expect("the receiver is connected"));
    let mut got = Vec::new();
    support::wait_until("all have arrived", || {
        got.extend(pull.try_iter().map(|message| number(&message)));
        got.len() == 3
    });
    assert_eq!(got, [0, 1, 2]);
}

/// Runs several futures as one; each time it is woken it polls all that are left.
struct Together<'a>(Vec<Pin<Box<dyn Future<Output = ()> + 'a>>>);

impl Future for Together<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if self.0.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Polls a future a single time and drops it.
fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let (waker, _rung) = bell();
    match pin!(future).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn pipeline() -> (Pull, Push) {
    pipeline_over(Transport::Tcp)
}

fn pipeline_over(transport: Transport) -> (Pull, Push) {
    let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
    connect(transport, &pull, &push);
    (pull, push)
}

fn conversation(transport: Transport) -> (Rep, Req) {
    let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
    connect(transport, &rep, &req);
    (rep, req)
}

/// Receives what `producers` send and checks that each one's messages come in order and complete.
fn check_producers(producers: u32, recv: impl Fn() -> Result<Message, RecvError>) {
    let mut next = vec![0; producers as usize];
    for _ in 0..producers * MESSAGES {
        let mut message = recv().expect("a message comes");
        let (id, n) = (message.trim_u32().expect("marked"), message.trim_u32().expect("marked"));
        let expected = &mut next[id as usize];
        assert_eq!(n, *expected, "producer {id} is out of order");
        *expected += 1;
    }
}

fn marked(producer: u32, n: u32) -> Message {
    let mut message = Message::new();
    message.append_u32(producer);
    message.append_u32(n);
    message
}

fn numbered(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

fn number(message: &Message) -> u32 {
    u32::from_be_bytes(message.body().try_into().expect("a number has four bytes"))
}

/// Long enough to be measured, short enough not to be noticed.
const BLINK: Duration = Duration::from_millis(10);
const PRODUCERS: u32 = 4;
const WAITERS: u32 = 6;
const MESSAGES: u32 = 2_000;
const ROUNDS: u32 = 200;

#[test]
fn close_says_how_much_could_not_be_sent() {
    for transport in Transport::ALL {
        let (pull, push) = (Pull::with(PullOptions::new().queue(1)), Push::new());
        let (pull, push) = (pull.expect("PULL opens"), push.expect("PUSH opens"));
        connect(transport, &pull, &push);
        // Not only full for a moment because the writer is at work.
        while push.send_timeout(&support::pattern(4096)[..], 20 * BLINK).is_ok() {}
        assert!(push.close_within(Duration::ZERO) > 0, "{transport:?}: the backlog is lost");
        assert_eq!(pull.close(), 0, "{transport:?}: a PULL has nothing to send");
    }
}

#[test]
fn statistics_keep_what_passed_with_peers_that_are_gone() {
    let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
    connect(Transport::Tcp, &pull, &push);
    push.send("hello").expect("the receiver is connected");
    assert_eq!(pull.recv().expect("the message comes"), "hello");
    assert_eq!(push.close(), 0, "it has been received");
    support::wait_until("the peer is gone", || pull.peers().is_empty());
    support::wait_until("it is counted", || pull.stats().get("messages_received") == Some(1));
    assert_eq!(pull.stats().get("bytes_received"), Some(5));
}
