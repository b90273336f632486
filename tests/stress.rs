//! More threads than cores, calls that give up at random, sockets that close in the middle: what comes is whole, in
//! order and once, what does not come is counted, and nobody hangs.
//!
//! Which call gives up is drawn from fixed seeds; how the threads run is the system's choice.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{self, Poll, Waker};
use std::thread;
use std::time::Duration;

use sp::{
    Context, Message, Pub, PubOptions, Pull, PullOptions, Push, RecvError, Rep, Req, SendError,
    Sub, SubOptions, TryRecvError,
};
use sp_core::clock;
use sp_protocols::engine::{RecvEngine, SendEngine};
use support::{DEADLINE, Task, Transport, connect, spawn};

mod support;

#[test]
fn work_comes_once_and_in_order_over_tcp() {
    work(Transport::Tcp);
}

#[test]
fn work_comes_once_and_in_order_over_inproc() {
    work(Transport::Inproc);
}

#[test]
fn every_request_gets_its_own_reply_over_tcp() {
    requests(Transport::Tcp);
}

#[test]
fn every_request_gets_its_own_reply_over_inproc() {
    requests(Transport::Inproc);
}

#[test]
fn publications_come_in_order_and_the_missing_are_counted_over_tcp() {
    publications(Transport::Tcp);
}

#[test]
fn publications_come_in_order_and_the_missing_are_counted_over_inproc() {
    publications(Transport::Inproc);
}

#[test]
fn sockets_that_close_in_the_middle_end_every_call_over_tcp() {
    closing(Transport::Tcp);
}

#[test]
fn sockets_that_close_in_the_middle_end_every_call_over_inproc() {
    closing(Transport::Inproc);
}

/// Two pushers with several threads each, one collector with several threads and little room.
fn work(transport: Transport) {
    let pull = Pull::with(PullOptions::new().queue(64)).expect("PULL opens");
    let pushes = [0, 1].map(|_| Push::new().expect("PUSH opens"));
    pushes.iter().for_each(|push| drop(connect(transport, &pull, push)));
    let senders: Vec<Task<()>> = (0..crowd())
        .map(|name| {
            let push = pushes[name as usize % 2].clone();
            spawn(move || {
                let mut dice = Dice::new(name);
                for n in 0..WORK {
                    let body = numbered(name, n, &mut dice);
                    send_somehow(&push, &mut dice, &body);
                }
            })
        })
        .collect();
    let total = crowd() * WORK;
    let got = Arc::new(AtomicU32::new(0));
    let receivers: Vec<Task<Vec<(u32, u32)>>> = (0..crowd())
        .map(|name| {
            let (pull, got) = (pull.clone(), Arc::clone(&got));
            spawn(move || {
                let mut dice = Dice::new(name + 100);
                let mut mine = Vec::new();
                while got.load(Ordering::Relaxed) < total {
                    if let Some(message) = recv_somehow(&pull, &mut dice) {
                        got.fetch_add(1, Ordering::Relaxed);
                        mine.push(parse(&message));
                    }
                }
                mine
            })
        })
        .collect();
    senders.into_iter().for_each(Task::join);
    let mut all = Vec::new();
    for receiver in receivers {
        let mine = receiver.join();
        assert_ascending(&mine);
        all.extend(mine);
    }
    all.sort_unstable();
    let sent: Vec<_> = (0..crowd()).flat_map(|name| (0..WORK).map(move |n| (name, n))).collect();
    assert!(all == sent, "{} of {} came", all.len(), sent.len());
}

/// Many conversations on one connection, of which some lose patience.
fn requests(transport: Transport) {
    let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
    connect(transport, &rep, &req);
    let servers: Vec<Task<()>> = (0..crowd())
        .map(|name| {
            let context = rep.context();
            spawn(move || {
                let mut dice = Dice::new(name + 100);
                loop {
                    match recv_once(&context, &mut dice) {
                        Ok(Some(request)) => match context.send(request) {
                            Ok(()) => {}
                            Err(error) => {
                                return assert!(
                                    matches!(error, SendError::Closed { .. }),
                                    "{error}"
                                );
                            }
                        },
                        Ok(None) => {}
                        Err(error) => {
                            return assert!(matches!(error, RecvError::Closed { .. }), "{error}");
                        }
                    }
                }
            })
        })
        .collect();
    let clients: Vec<Task<()>> = (0..crowd())
        .map(|name| {
            let context = req.context();
            spawn(move || {
                let mut dice = Dice::new(name);
                for n in 0..REQUESTS {
                    let request = numbered(name, n, &mut dice);
                    context.send_timeout(&request[..], DEADLINE).expect("the server is connected");
                    if dice.one_in(4) {
                        // A future that is dropped leaves the request alive.
                        if let Some(reply) = poll_once(context.recv_async()) {
                            assert_eq!(reply.expect("the socket is open"), request);
                            continue;
                        }
                    }
                    let patience = if dice.one_in(4) { dice.blink() } else { DEADLINE };
                    match context.recv_timeout(patience) {
                        Ok(reply) => assert_eq!(reply, request, "the reply is to this request"),
                        Err(RecvError::TimedOut { .. }) if patience < DEADLINE => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    clients.into_iter().for_each(Task::join);
    rep.close();
    servers.into_iter().for_each(Task::join);
}

/// Several threads publish on one socket; one subscriber has room for everything, the others for little.
fn publications(transport: Transport) {
    let total = crowd() * WORK;
    let publisher = Pub::with(PubOptions::new().queue(total as usize)).expect("PUB opens");
    let subs = [total as usize, 8, 1].map(|room| {
        let sub = Sub::with(SubOptions::new().queue(room)).expect("SUB opens");
        sub.subscribe("");
        connect(transport, &publisher, &sub);
        (sub, room)
    });
    let senders: Vec<Task<()>> = (0..crowd())
        .map(|name| {
            let publisher = publisher.clone();
            spawn(move || {
                let mut dice = Dice::new(name);
                for n in 0..WORK {
                    let body = numbered(name, n, &mut dice);
                    publisher.send(&body[..]).expect("a publisher never waits");
                }
            })
        })
        .collect();
    let receivers = subs.map(|(sub, room)| {
        spawn(move || {
            let mut dice = Dice::new(room as u32);
            let (mut got, mut missed) = (Vec::new(), 0);
            let deadline = clock::now() + DEADLINE;
            while got.len() as u64 + missed < u64::from(total) {
                assert!(clock::now() < deadline, "{} came, {missed} missed of {total}", got.len());
                got.extend(recv_somehow(&sub, &mut dice).map(|message| parse(&message)));
                missed += sub.missed();
            }
            assert_ascending(&got);
            assert!(room < total as usize || missed == 0, "there was room for all");
            assert_eq!(sub.try_recv(), Err(TryRecvError::Empty), "nothing comes twice");
        })
    });
    senders.into_iter().for_each(Task::join);
    receivers.into_iter().for_each(Task::join);
}

/// Either side closes while calls of all kinds are under way.
fn closing(transport: Transport) {
    for round in 0..ROUNDS {
        let pull = Pull::with(PullOptions::new().queue(16)).expect("PULL opens");
        let push = Push::new().expect("PUSH opens");
        connect(transport, &pull, &push);
        let senders: Vec<Task<()>> = (0..crowd() / 2)
            .map(|name| {
                let push = push.clone();
                spawn(move || {
                    let mut dice = Dice::new(round * 100 + name);
                    let waits = name % 2 == 0;
                    for n in 0.. {
                        let body = numbered(name, n, &mut dice);
                        let sent = if waits {
                            push.send(&body[..])
                        } else {
                            push.send_timeout(&body[..], dice.blink())
                        };
                        match sent {
                            Err(SendError::Closed { .. }) => return,
                            Ok(()) | Err(SendError::TimedOut { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        let receivers: Vec<Task<Vec<(u32, u32)>>> = (0..crowd() / 2)
            .map(|name| {
                let pull = pull.clone();
                spawn(move || {
                    let mut dice = Dice::new(round * 100 + name + 50);
                    let mut mine = Vec::new();
                    loop {
                        match recv_once(&pull, &mut dice) {
                            Ok(Some(message)) => mine.push(parse(&message)),
                            Ok(None) => {}
                            Err(RecvError::Closed { .. }) => return mine,
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        for _ in 0..Dice::new(round).below(200) {
            thread::yield_now();
        }
        if round % 2 == 0 {
            pull.close();
            push.close_within(Duration::ZERO);
        } else {
            push.close_within(Duration::ZERO);
            pull.close();
        }
        senders.into_iter().for_each(Task::join);
        receivers.into_iter().for_each(|receiver| assert_ascending(&receiver.join()));
    }
}

/// Sends once, by a call drawn at random, some of which give up and are followed by another.
fn send_somehow<E: SendEngine>(context: &Context<E>, dice: &mut Dice, body: &[u8]) {
    let deadline = clock::now() + DEADLINE;
    while clock::now() < deadline {
        let sent = match dice.below(4) {
            0 => context.send(body),
            1 => context.send_timeout(body, dice.blink()),
            2 => poll_once(context.send_async(body)).unwrap_or_else(|| context.send(body)),
            _ => match context.try_send(body) {
                Ok(()) => return,
                Err(_) => context.send_deadline(body, deadline),
            },
        };
        match sent {
            Ok(()) => return,
            Err(SendError::TimedOut { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("nobody takes a message");
}

/// Tries to receive by a call drawn at random, all of which give up at some time.
fn recv_once<E: RecvEngine>(
    context: &Context<E>,
    dice: &mut Dice,
) -> Result<Option<Message>, RecvError> {
    match dice.below(3) {
        0 => match context.try_recv() {
            Ok(message) => Ok(Some(message)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Failed(error)) => Err(error),
            Err(error) => panic!("{error}"),
        },
        1 => poll_once(context.recv_async()).transpose(),
        _ => match context.recv_timeout(dice.blink()) {
            Err(RecvError::TimedOut { .. }) => Ok(None),
            other => other.map(Some),
        },
    }
}

fn recv_somehow<E: RecvEngine>(context: &Context<E>, dice: &mut Dice) -> Option<Message> {
    recv_once(context, dice).expect("the socket is open")
}

/// Polls a future once and drops it.
fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let polled = future.as_mut().poll(&mut task::Context::from_waker(Waker::noop()));
    // Time for a wake-up to meet a future that is about to be dropped.
    thread::yield_now();
    match polled {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A body that says who sent it and as which, of a size that takes another way through the library now and then.
fn numbered(sender: u32, n: u32, dice: &mut Dice) -> Vec<u8> {
    let mut body = [sender.to_be_bytes(), n.to_be_bytes()].concat();
    if dice.one_in(16) {
        body.resize([200, 5_000, 40_000][dice.below(3) as usize], n as u8);
    }
    body
}

fn parse(message: &Message) -> (u32, u32) {
    let (head, rest) = message.split_at(8);
    let word = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let (sender, n) = (word(0), word(4));
    assert!(rest.iter().all(|byte| *byte == n as u8), "a body arrives unchanged");
    (sender, n)
}

/// What one thread got of each sender comes in the order it was sent.
fn assert_ascending(got: &[(u32, u32)]) {
    let mut last = BTreeMap::new();
    for &(sender, n) in got {
        let before = last.insert(sender, n);
        assert!(before.is_none_or(|before| before < n), "{sender}: {n} came after {before:?}");
    }
}

/// More threads than cores, on each side.
fn crowd() -> u32 {
    let cores = thread::available_parallelism().map_or(2, |cores| cores.get() as u32);
    (2 * cores).clamp(4, 12)
}

/// Numbers that look random and come again with the same seed.
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn new(seed: u32) -> Self {
        Self((u64::from(seed) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as u32 % limit
    }

    fn one_in(&mut self, chances: u32) -> bool {
        self.below(chances) == 0
    }

    /// A time that ends sometimes before and sometimes after what is waited for.
    fn blink(&mut self) -> Duration {
        Duration::from_micros(u64::from(self.below(300)))
    }
}

/// Messages of each sender.
const WORK: u32 = 500;

/// Requests of each client.
const REQUESTS: u32 = 100;

/// Pairs of sockets that close in the middle.
const ROUNDS: u32 = 8;
