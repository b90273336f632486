//! Sockets on tokio, on one thread and on several.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use sp::tokio::{Pub, Pull, Push, Rep, Req, Respondent, Socket, Sub, Surveyor};
use sp::{
    DialOptions, Engine, Message, PullOptions, RecvError, SendError, SubOptions, SurveyorOptions,
};
use support::{DEADLINE, Transport, block_on, spawn, wait_connected};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, yield_now};

mod support;

#[test]
fn tasks_converse() {
    everywhere(|transport| async move {
        let (rep, req) = (open::<_>(Rep::new()), open::<_>(Req::new()));
        connect(transport, &rep, &req).await;
        let server = tokio::spawn(async move {
            for _ in 0..ROUNDS {
                let request = rep.recv().await.expect("the request comes");
                rep.send(request).await.expect("there is a request");
            }
            rep.close().await
        });
        for n in 0..ROUNDS {
            req.send(n.to_be_bytes()).await.expect("the server is connected");
            assert_eq!(number(&req.recv().await.expect("the reply comes")), n);
        }
        assert_eq!(server.await.expect("no panic"), 0, "every reply has been received");
    });
}

#[test]
fn a_stream_comes_in_order_through_a_small_queue() {
    everywhere(|transport| async move {
        let pull = open(Pull::with(PullOptions::new().queue(16)));
        let push = open(Push::new());
        connect(transport, &pull, &push).await;
        let sender = tokio::spawn(async move {
            for n in 0..MESSAGES {
                push.send(n.to_be_bytes()).await.expect("the receiver receives");
            }
            push
        });
        for n in 0..MESSAGES {
            assert_eq!(number(&pull.recv().await.expect("they come")), n);
        }
        drop(sender.await.expect("no panic"));
    });
}

#[test]
fn a_subscriber_gets_what_is_published() {
    everywhere(|transport| async move {
        let (publisher, sub) = (open(Pub::new()), open(Sub::new()));
        sub.subscribe("a");
        connect(transport, &publisher, &sub).await;
        for n in 0..100u32 {
            publisher.send("b").await.expect("a publisher never waits");
            publisher.send(format!("a{n}")).await.expect("a publisher never waits");
            assert_eq!(sub.recv().await.expect("it comes"), format!("a{n}").as_bytes());
        }
    });
}

#[test]
fn surveys_of_many_tasks_are_answered_and_end() {
    everywhere(|transport| async move {
        let patient = SurveyorOptions::new().survey_time(DEADLINE);
        let hasty = SurveyorOptions::new().survey_time(Duration::from_millis(20));
        let (surveyor, respondent) = (open(Surveyor::with(patient)), open(Respondent::new()));
        connect(transport, &surveyor, &respondent).await;
        let unheard = surveyor.context_with(hasty).expect("a good survey time");
        unheard.send("anybody?").await.expect("a surveyor never waits");
        assert!(unheard.recv().await.is_err_and(|error| error.is_survey_over()));
        let server = tokio::spawn(async move {
            while let Ok(survey) = respondent.recv().await {
                respondent.send(survey).await.expect("there is a survey");
            }
        });
        let tasks: Vec<_> = (0..TASKS)
            .map(|n| {
                let context = surveyor.context();
                tokio::spawn(async move {
                    context.send(n.to_be_bytes()).await.expect("a surveyor never waits");
                    assert_eq!(number(&context.recv().await.expect("the response comes")), n);
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        server.abort();
    });
}

#[test]
fn every_task_hears_what_its_context_subscribed_to() {
    everywhere(|transport| async move {
        let (publisher, sub) = (open(Pub::new()), open(Sub::new()));
        connect(transport, &publisher, &sub).await;
        let tasks: Vec<_> = (0..TASKS)
            .map(|n| {
                let context = sub.context_with(SubOptions::new().queue(2)).expect("a good queue");
                context.subscribe(n.to_be_bytes());
                tokio::spawn(async move {
                    for _ in 0..2 {
                        assert_eq!(number(&context.recv().await.expect("the news come")), n);
                    }
                })
            })
            .collect();
        for n in (0..TASKS).chain(0..TASKS) {
            publisher.send(n.to_be_bytes()).await.expect("a publisher never waits");
        }
        for task in tasks {
            task.await.expect("no panic");
        }
    });
}

#[test]
fn tasks_that_wait_together_get_a_message_each() {
    everywhere(|transport| async move {
        let (pull, push) = pipeline(transport).await;
        for _ in 0..10 {
            let waiters: Vec<_> = (0..TASKS).map(|_| receiver(&pull)).collect();
            yield_now().await;
            for n in 0..TASKS {
                push.send(n.to_be_bytes()).await.expect("the receiver is connected");
            }
            let mut got = Vec::new();
            for waiter in waiters {
                got.push(number(&waiter.await.expect("no panic").expect("one each")));
            }
            got.sort_unstable();
            assert_eq!(got, (0..TASKS).collect::<Vec<_>>(), "over {transport:?}");
        }
    });
}

#[test]
fn the_task_that_listens_leaves_that_to_another_when_it_is_cancelled() {
    everywhere(|transport| async move {
        let (pull, push) = pipeline(transport).await;
        for n in 0..100u32 {
            // The first of them listens, whichever that is on several threads.
            let mut waiters: Vec<_> = (0..3).map(|_| receiver(&pull)).collect();
            yield_now().await;
            for waiter in waiters.drain(..2) {
                waiter.abort();
                assert!(waiter.await.expect_err("it was cancelled").is_cancelled());
            }
            push.send(n.to_be_bytes()).await.expect("the receiver is connected");
            let last = waiters.pop().expect("one is left");
            assert_eq!(number(&last.await.expect("no panic").expect("it comes")), n);
        }
    });
}

/// Receives are begun and dropped all the time, at every stage; every message is somebody's.
#[test]
fn receives_that_are_dropped_lose_nothing() {
    everywhere(|transport| async move {
        let (pull, push) = pipeline(transport).await;
        let seen: Arc<Vec<_>> = Arc::new((0..MESSAGES).map(|_| AtomicU32::new(0)).collect());
        let left = Arc::new(AtomicU32::new(MESSAGES));
        let receivers: Vec<_> = (1..=4)
            .map(|polls| {
                let (pull, seen, left) = (pull.clone(), Arc::clone(&seen), Arc::clone(&left));
                tokio::spawn(async move {
                    while left.load(Ordering::Relaxed) > 0 {
                        let received = poll_times(pull.recv(), polls).await;
                        if let Some(message) = received {
                            let n = number(&message.expect("the socket is open"));
                            seen[n as usize].fetch_add(1, Ordering::Relaxed);
                            left.fetch_sub(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        for n in 0..MESSAGES {
            push.send(n.to_be_bytes()).await.expect("the receivers receive");
        }
        for receiver in receivers {
            receiver.await.expect("no panic");
        }
        let once = seen.iter().all(|times| times.load(Ordering::Relaxed) == 1);
        assert!(once, "each message once, over {transport:?}");
    });
}

#[test]
fn a_send_waits_for_a_peer_and_one_that_is_dropped_sends_nothing() {
    everywhere(|transport| async move {
        let (pull, push) = (open(Pull::new()), open(Push::new()));
        assert!(poll_times(push.send("dropped"), 3).await.is_none(), "nobody is connected");
        let sender = tokio::spawn({
            let push = push.clone();
            async move { push.send("sent").await }
        });
        yield_now().await;
        connect(transport, &pull, &push).await;
        sender.await.expect("no panic").expect("a peer came");
        assert_eq!(pull.recv().await.expect("it comes"), "sent");
    });
}

#[test]
fn a_send_waits_for_room() {
    everywhere(|transport| async move {
        let (pull, push) = pipeline(transport).await;
        let body = support::pattern(1000);
        let mut sent = 0;
        while push.try_send(&body[..]).is_ok() {
            sent += 1;
        }
        let sender = tokio::spawn(async move { push.send("last").await.map(|()| push) });
        yield_now().await;
        // More may have found room in the kernel meanwhile, but not less.
        for _ in 0..sent {
            assert_eq!(pull.recv().await.expect("what was taken comes"), body);
        }
        assert_eq!(pull.recv().await.expect("the last comes too"), "last");
        sender.await.expect("no panic").expect("there was room");
    });
}

#[test]
fn closing_wakes_the_tasks_that_wait() {
    everywhere(|transport| async move {
        let (pull, _push) = pipeline(transport).await;
        let lonely = open(Push::new());
        let waiters: Vec<_> = (0..3).map(|_| receiver(&pull)).collect();
        let sender = tokio::spawn({
            let lonely = lonely.clone();
            async move { lonely.send("in vain").await }
        });
        yield_now().await;
        pull.close().await;
        lonely.close().await;
        for waiter in waiters {
            assert!(matches!(waiter.await.expect("no panic"), Err(RecvError::Closed { .. })));
        }
        let error = sender.await.expect("no panic").expect_err("it is closed");
        assert!(matches!(&error, SendError::Closed { .. }), "{error}");
        assert_eq!(error.into_message(), "in vain");
    });
}

#[test]
fn tasks_share_a_socket_with_threads_and_other_futures() {
    everywhere(|transport| async move {
        let (pull, push) = pipeline(transport).await;
        let total = Arc::new(AtomicU32::new(0));
        let threads: Vec<_> = (0..4)
            .map(|nth| {
                let (pull, total) = ((*pull).clone(), Arc::clone(&total));
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
        let tasks: Vec<_> = (0..2)
            .map(|_| {
                let (pull, total) = (pull.clone(), Arc::clone(&total));
                tokio::spawn(async move {
                    while !pull.recv().await.expect("messages come until the end").is_empty() {
                        total.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for n in 0..MESSAGES {
            push.send(n.to_be_bytes()).await.expect("the receivers receive");
        }
        for _ in 0..6 {
            push.send("").await.expect("the receivers receive");
        }
        for task in tasks {
            task.await.expect("no panic");
        }
        tokio::task::spawn_blocking(move || threads.into_iter().for_each(support::Task::join))
            .await
            .expect("no panic");
        assert_eq!(total.load(Ordering::Relaxed), MESSAGES, "over {transport:?}");
    });
}

#[test]
fn what_was_sent_leaves_although_the_runtime_stands_still() {
    for transport in Transport::ALL {
        let runtime = one_thread();
        let (pull, push) = runtime.block_on(pipeline(transport));
        let pull = (*pull).clone();
        let receiver = spawn(move || {
            for n in 0..MESSAGES {
                assert_eq!(number(&pull.recv_timeout(DEADLINE).expect("they come")), n);
            }
        });
        runtime.block_on(async {
            for n in 0..MESSAGES {
                push.send(n.to_be_bytes()).await.expect("the receiver receives");
            }
        });
        // From here on nobody runs the runtime.
        receiver.join();
    }
}

#[test]
fn a_socket_works_on_when_its_runtime_is_gone() {
    for transport in Transport::ALL {
        let runtime = one_thread();
        let (pull, push) = runtime.block_on(pipeline(transport));
        drop(runtime);
        limited(move || {
            one_thread().block_on(async move {
                let sender = tokio::spawn(async move {
                    for n in 0..ROUNDS {
                        push.send(n.to_be_bytes()).await.expect("the receiver is connected");
                        yield_now().await;
                    }
                    push
                });
                for n in 0..ROUNDS {
                    assert_eq!(number(&pull.recv().await.expect("they come")), n);
                }
                drop(sender.await.expect("no panic"));
            });
        });
    }
}

#[test]
fn dialling_in_vain_is_an_error_and_blocks_nobody() {
    everywhere(|_| async move {
        let req = open(Req::new());
        let other = tokio::spawn(async { 7 });
        assert!(req.dial("inproc://nobody-listens-here").await.is_err());
        assert!(req.dial("no url").await.is_err());
        let background = DialOptions::new().background(true);
        req.dial_with("inproc://nobody-listens-here", &background).await.expect("it tries on");
        assert_eq!(other.await.expect("no panic"), 7);
    });
}

/// Runs a test over each transport, on one thread and on several.
fn everywhere<F: Future<Output = ()> + Send + 'static>(test: fn(Transport) -> F) {
    for transport in Transport::ALL {
        limited(move || one_thread().block_on(test(transport)));
        limited(move || {
            let runtime = Builder::new_multi_thread().worker_threads(3).enable_io().build();
            let runtime = runtime.expect("a runtime");
            // As a task, so that it runs on one of the threads that steal from each other.
            runtime.block_on(runtime.spawn(test(transport))).expect("no panic");
        });
    }
}

/// Runs a test in a thread, so that one that hangs fails.
fn limited(test: impl FnOnce() + Send + 'static) {
    spawn(test).join();
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_io().build().expect("a runtime")
}

fn open<E: Engine>(socket: Result<Socket<E>, sp::OpenError>) -> Socket<E> {
    socket.expect("it opens")
}

async fn connect<L: Engine, D: Engine>(transport: Transport, near: &Socket<L>, far: &Socket<D>) {
    let events = near.events();
    let listener = near.listen_with(transport.url(), &transport.listen_options());
    let at = listener.expect("the address is free").endpoint().clone();
    far.dial_with(at, &transport.dial_options()).await.expect("somebody listens");
    wait_connected(&events);
}

async fn pipeline(transport: Transport) -> (Pull, Push) {
    let (pull, push) = (open(Pull::new()), open(Push::new()));
    connect(transport, &pull, &push).await;
    (pull, push)
}

fn receiver(pull: &Pull) -> JoinHandle<Result<Message, RecvError>> {
    let pull = pull.clone();
    tokio::spawn(async move { pull.recv().await })
}

/// Polls a future as often as that, each time it is woken or sooner, and drops it.
async fn poll_times<F: Future>(future: F, times: u32) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..times {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        yield_now().await;
    }
    None
}

fn number(message: &Message) -> u32 {
    u32::from_be_bytes(message.body().try_into().expect("a number has four bytes"))
}

const MESSAGES: u32 = 2_000;
const ROUNDS: u32 = 500;
const TASKS: u32 = 20;
