//! Whole sockets under a model checker that decides at every lock and atomic who runs next: `--cfg shuttle`.
//!
//! The library is the real one, worker thread, kernel and all; only its locks, atomics, threads and clock are the
//! model's. What hangs or breaks in one order of events out of thousands fails here, with a schedule to replay.
#![cfg(shuttle)]

use std::future::Future;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread::{self, JoinHandle};
use shuttle::{Config, MaxSteps, Runner};
use sp::{Message, PollSet, Pub, Pull, PullOptions, Push, Rep, Req, SendError, Socket, Sub};
use sp_protocols::engine::Engine;
use support::Transport;

#[path = "model/device.rs"]
mod device;
mod support;

#[test]
fn no_message_and_no_wake_is_lost_over_tcp() {
    explore(|| pipeline(Transport::Tcp, PullOptions::new()));
}

#[test]
fn no_message_and_no_wake_is_lost_over_inproc() {
    explore(|| pipeline(Transport::Inproc, PullOptions::new()));
}

#[test]
fn a_receiver_that_pauses_is_resumed_over_tcp() {
    explore(|| pipeline(Transport::Tcp, PullOptions::new().queue(1)));
}

#[test]
fn a_receiver_that_pauses_is_resumed_over_inproc() {
    explore(|| pipeline(Transport::Inproc, PullOptions::new().queue(1)));
}

#[test]
fn a_stream_leaves_in_order_and_whole_over_tcp() {
    explore(|| stream(Transport::Tcp, 2));
}

#[test]
fn a_stream_leaves_in_order_and_whole_over_inproc() {
    explore(|| stream(Transport::Inproc, 2));
}

#[test]
fn the_last_of_a_burst_is_not_left_behind_over_tcp() {
    explore_longer(4, || burst(Transport::Tcp));
}

#[test]
fn the_last_of_a_burst_is_not_left_behind_over_inproc() {
    explore_longer(4, || burst(Transport::Inproc));
}

#[test]
fn a_stream_goes_on_after_the_kernel_was_full() {
    explore(|| stream(Transport::Ipc, 100_000));
}

#[test]
fn whoever_gives_up_passes_its_wake_on_over_tcp() {
    explore(|| giving_up(Transport::Tcp));
}

#[test]
fn whoever_gives_up_passes_its_wake_on_over_inproc() {
    explore(|| giving_up(Transport::Inproc));
}

#[test]
fn every_context_gets_its_own_reply_over_tcp() {
    explore(|| contexts(Transport::Tcp));
}

#[test]
fn every_context_gets_its_own_reply_over_inproc() {
    explore(|| contexts(Transport::Inproc));
}

#[test]
fn every_subscriber_gets_everything_in_order_over_tcp() {
    explore(|| publications(Transport::Tcp));
}

#[test]
fn every_subscriber_gets_everything_in_order_over_inproc() {
    explore(|| publications(Transport::Inproc));
}

#[test]
fn a_close_in_the_middle_ends_every_call_over_tcp() {
    explore(|| closing(Transport::Tcp));
}

#[test]
fn a_close_in_the_middle_ends_every_call_over_inproc() {
    explore(|| closing(Transport::Inproc));
}

#[test]
fn the_programs_own_loop_is_told_of_everything_over_tcp() {
    explore(|| own_loop(Transport::Tcp));
}

#[test]
fn the_programs_own_loop_is_told_of_everything_over_inproc() {
    explore(|| own_loop(Transport::Inproc));
}

#[test]
fn a_loop_that_comes_and_goes_leaves_no_gap_over_tcp() {
    explore(|| visiting_loop(Transport::Tcp));
}

#[test]
fn a_loop_that_comes_and_goes_leaves_no_gap_over_inproc() {
    explore(|| visiting_loop(Transport::Inproc));
}

/// Two senders and two receivers share a pipe; all wait for each other.
fn pipeline(transport: Transport, options: PullOptions) {
    let (pull, push) = (Pull::with(options).expect("PULL opens"), Push::new().expect("PUSH opens"));
    connect(transport, &pull, &push);
    let senders = [0u8, 1].map(|sender| {
        let push = push.clone();
        thread::spawn(move || {
            for n in 0..EACH {
                push.send([sender, n]).expect("the socket is open");
            }
        })
    });
    let receivers = [0, 1].map(|_| {
        let pull = pull.clone();
        thread::spawn(move || {
            (0..EACH).map(|_| pull.recv().expect("the socket is open")).collect::<Vec<_>>()
        })
    });
    senders.into_iter().for_each(join);
    let received = receivers.map(join);
    for (receiver, sender) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let of_one = received[receiver].iter().filter(|message| message[0] == sender);
        assert!(of_one.map(|message| message[1]).is_sorted(), "out of order");
    }
    let mut all: Vec<_> = received.iter().flatten().map(Message::body).collect();
    all.sort_unstable();
    let sent: Vec<_> = [0, 1].into_iter().flat_map(|s| (0..EACH).map(move |n| [s, n])).collect();
    assert_eq!(all, sent, "everything comes once");
}

/// Three senders without a pause: direct writes, the worker's, and what is held in between.
fn stream(transport: Transport, len: usize) {
    let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
    connect(transport, &pull, &push);
    let senders = [0u8, 1, 2].map(|sender| {
        let push = push.clone();
        thread::spawn(move || {
            let mut body = vec![sender; len];
            for n in 0..MANY {
                body[1] = n;
                push.send(&body[..]).expect("the socket is open");
            }
        })
    });
    let mut next = [0; 3];
    for _ in 0..3 * MANY {
        let message = pull.recv().expect("the socket is open");
        let expected = &mut next[usize::from(message[0])];
        assert_eq!((message.len(), message[1]), (len, *expected), "in order and without a gap");
        *expected += 1;
    }
    senders.into_iter().for_each(join);
    assert!(pull.try_recv().is_err(), "nothing comes twice");
}

/// One sender, whose last message comes about when the worker stops to look after the stream.
fn burst(transport: Transport) {
    let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
    connect(transport, &pull, &push);
    let sender = thread::spawn(move || {
        for n in 0..MANY {
            push.send([n]).expect("the socket is open");
        }
        (0..thread_rng().gen_range(0..PAUSE_MAX)).for_each(|_| thread::yield_now());
        push.send([MANY]).expect("the socket is open");
        push
    });
    for n in 0..=MANY {
        assert_eq!(pull.recv().expect("the socket is open"), [n], "in order and without a gap");
    }
    join(sender);
}

/// One receiver stays, others give up: one that was first in line and is dropped, one whose time runs out. Who is
/// woken and leaves tells the one that stays.
fn giving_up(transport: Transport) {
    let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
    connect(transport, &pull, &push);
    let mut first = Box::pin(pull.recv_async());
    let polled = first.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "nothing has been sent");
    let staying = {
        let pull = pull.clone();
        thread::spawn(move || pull.recv().expect("the socket is open"))
    };
    let timing_out = {
        let pull = pull.clone();
        thread::spawn(move || pull.recv_timeout(BLINK).is_ok())
    };
    let sender = thread::spawn(move || {
        for _ in 0..2 {
            push.send("one").expect("the socket is open");
        }
        push
    });
    thread::yield_now();
    drop(first);
    // Two messages, and one of them may go to the one whose time runs out.
    assert_eq!(join(staying), "one");
    if !join(timing_out) {
        pull.recv().expect("the socket is open");
    }
    join(sender);
    assert!(pull.try_recv().is_err(), "nothing comes twice");
}

/// Two conversations on one connection at each end.
fn contexts(transport: Transport) {
    let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
    connect(transport, &rep, &req);
    let servers = [0, 1].map(|_| {
        let context = rep.context();
        thread::spawn(move || {
            while let Ok(request) = context.recv() {
                let last = request == "end";
                context.send(request).expect("there is a request");
                if last {
                    return;
                }
            }
        })
    });
    let clients = [0u8, 1].map(|client| {
        let context = req.context();
        thread::spawn(move || {
            for n in 0..EACH {
                context.send([client, n]).expect("the socket is open");
                assert_eq!(context.recv().expect("the socket is open"), [client, n]);
            }
            context.send("end").expect("the socket is open");
            assert_eq!(context.recv().expect("the socket is open"), "end");
        })
    });
    clients.into_iter().for_each(join);
    servers.into_iter().for_each(join);
}

/// Two publishers in one socket, two subscribers, one of which asks at once or not at all.
fn publications(transport: Transport) {
    let publisher = Pub::new().expect("PUB opens");
    let subs = [0, 1].map(|_| {
        let sub = Sub::new().expect("SUB opens");
        sub.subscribe("");
        connect(transport, &publisher, &sub);
        sub
    });
    while publisher.peers().len() < subs.len() {
        thread::yield_now();
    }
    let senders = [0u8, 1].map(|sender| {
        let publisher = publisher.clone();
        thread::spawn(move || {
            for n in 0..EACH {
                publisher.send([sender, n]).expect("a publisher never waits");
            }
        })
    });
    let receivers = subs.map(|sub| {
        thread::spawn(move || {
            let mut next = [0; 2];
            for _ in 0..2 * EACH {
                let message = sub.recv().expect("the socket is open");
                let expected = &mut next[usize::from(message[0])];
                assert_eq!(message[1], *expected, "in order and without a gap");
                *expected += 1;
            }
        })
    });
    senders.into_iter().for_each(join);
    receivers.into_iter().for_each(join);
}

/// The receiver closes while others send and receive; what came before is in order.
fn closing(transport: Transport) {
    let options = PullOptions::new().queue(1);
    let (pull, push) = (Pull::with(options).expect("PULL opens"), Push::new().expect("PUSH opens"));
    connect(transport, &pull, &push);
    let sender = {
        let push = push.clone();
        thread::spawn(move || {
            for n in 0..ENOUGH {
                match push.send_timeout([n], BLINK) {
                    Ok(()) => {}
                    Err(SendError::TimedOut { .. } | SendError::Closed { .. }) => return,
                    Err(error) => panic!("{error}"),
                }
            }
        })
    };
    let receiver = {
        let pull = pull.clone();
        thread::spawn(move || {
            let mut expected = 0;
            while let Ok(message) = pull.recv() {
                assert_eq!(message, [expected], "in order and without a gap");
                expected += 1;
            }
        })
    };
    thread::yield_now();
    pull.close();
    join(receiver);
    join(sender);
    push.close();
}

/// A loop receives, beside a thread that blocks and drives as well. It tries only when its descriptor says so.
fn own_loop(transport: Transport) {
    let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
    connect(transport, &pull, &push);
    let received = Arc::new(AtomicU8::new(0));
    let looping = {
        let (pull, received) = (pull.clone(), Arc::clone(&received));
        let mut own = OwnLoop::of(&pull);
        thread::spawn(move || {
            while received.load(Ordering::SeqCst) < 2 * EACH {
                if own.turn() {
                    let taken = pull.try_iter().count() as u8;
                    received.fetch_add(taken, Ordering::SeqCst);
                }
                thread::yield_now();
            }
        })
    };
    let blocking = {
        let (pull, received) = (pull.clone(), Arc::clone(&received));
        thread::spawn(move || {
            for _ in 0..2 * EACH {
                // Takes the wheel for a moment, and leaves it wherever that may be.
                if pull.recv_timeout(Duration::ZERO).is_ok() {
                    received.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
    };
    let sender = thread::spawn(move || {
        (0..2 * EACH).for_each(|n| push.send([n]).expect("the socket is open"));
        push
    });
    join(blocking);
    join(looping);
    join(sender);
}

/// A loop takes the socket into its care and lets go of it while a thread waits that never drives for long.
fn visiting_loop(transport: Transport) {
    let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
    connect(transport, &pull, &push);
    let receiver = {
        let pull = pull.clone();
        thread::spawn(move || {
            (0..2 * EACH).for_each(|n| assert_eq!(pull.recv().expect("the socket is open"), [n]));
        })
    };
    let visitor = thread::spawn(move || {
        for _ in 0..3 {
            let mut own = OwnLoop::of(&pull);
            own.turn();
            thread::yield_now();
            drop(own);
            thread::yield_now();
        }
        pull
    });
    for n in 0..2 * EACH {
        push.send([n]).expect("the socket is open");
    }
    join(receiver);
    join(visitor);
}

/// An edge-triggered loop around one socket.
struct OwnLoop {
    poll: Poll,
    events: Events,
    set: PollSet,
}

impl OwnLoop {
    fn of(socket: &Socket<impl Engine>) -> Self {
        let poll = Poll::new().expect("a poll set");
        let set = socket.poll_set().expect("it has none yet");
        let mut source = SourceFd(&set.as_raw_fd());
        poll.registry().register(&mut source, Token(0), Interest::READABLE).expect("it nests");
        Self { poll, events: Events::with_capacity(1), set }
    }

    /// Drives if the socket is readable; whether it was.
    fn turn(&mut self) -> bool {
        self.poll.poll(&mut self.events, Some(Duration::ZERO)).expect("a poll");
        let readable = !self.events.is_empty();
        if readable {
            let _ = self.set.drive();
        }
        readable
    }
}

/// Runs a scene in many orders, some chosen evenly, some to find what takes a rare one.
fn explore(scene: impl Fn() + Copy + Send + Sync + 'static) {
    explore_longer(1, scene);
}

/// As [`explore`], several times as many orders.
fn explore_longer(times: usize, scene: impl Fn() + Copy + Send + Sync + 'static) {
    run(RandomScheduler::new(times * RUNS), scene);
    run(PctScheduler::new(SWITCHES, times * RUNS), scene);
}

/// As [`explore`], all orders chosen evenly: for a scene that goes on until a thread comes to end it, for the scheduler
/// that looks for rare orders may let the others run for ever.
fn explore_evenly(scene: impl Fn() + Copy + Send + Sync + 'static) {
    run(RandomScheduler::new(2 * RUNS), scene);
}

fn run(scheduler: impl Scheduler + 'static, scene: impl Fn() + Send + Sync + 'static) {
    // The worker is the process's, and one that belongs to a scene that failed never runs again.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().expect("no scene has failed before");
    let mut config = Config::new();
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.stack_size = STACK_BYTES;
    Runner::new(scheduler, config).run(scene);
}

fn connect<L: Engine, D: Engine>(transport: Transport, listening: &Socket<L>, dialing: &Socket<D>) {
    let listener = listening.listen(transport.url()).expect("the address is free");
    dialing.dial(listener.endpoint()).expect("somebody listens");
}

fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().expect("a panic was reported")
}

/// Messages of each sender.
const EACH: u8 = 3;

/// Enough for a stream.
const MANY: u8 = 6;

/// The longest pause of a sender, in turns of other threads.
const PAUSE_MAX: u32 = 150;

/// More than a scene sends before its end.
const ENOUGH: u8 = 50;

/// Orders tried by each scheduler.
const RUNS: usize = 200;

/// Moments at which the scheduler that looks for rare orders turns them around.
const SWITCHES: usize = 3;

/// No scene takes a tenth of this unless it hangs.
const STEPS_MAX: usize = 300_000;

const STACK_BYTES: usize = 1 << 20;

/// Some looks at the model's clock.
const BLINK: Duration = Duration::from_micros(200);
