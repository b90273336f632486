//! A conversation in the program's own loop takes no other thread, and leaves nothing.
//!
//! What is counted belongs to the whole process, so this binary has a single test.

use std::fs;
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use sp::{PollSet, Rep, Req, TryRecvError};
use support::{DEADLINE, Transport, connect, descriptors, threads, wait_until};

mod support;

#[test]
fn a_conversation_runs_on_one_thread_while_the_worker_sleeps_and_leaves_nothing() {
    let before = descriptors();
    for transport in [Transport::Tcp, Transport::Ipc] {
        let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
        connect(transport, &rep, &req);
        let mut sets = [rep.poll_set(), req.poll_set()].map(|set| set.expect("it has none yet"));
        converse(&rep, &req, &mut sets, WARM_UP);
        let asleep = worker_wakes();
        converse(&rep, &req, &mut sets, ROUNDS);
        let woken = worker_wakes() - asleep;
        assert!(woken <= WAKES_MAX, "the worker ran {woken} times over {transport:?}");
    }
    wait_until("the worker ends", || threads().is_empty());
    assert_eq!(descriptors(), before, "descriptors are left");
}

/// Asks and answers on this thread alone.
fn converse(rep: &Rep, req: &Req, sets: &mut [PollSet; 2], rounds: u32) {
    let mut poll = Poll::new().expect("a poll set");
    for (nth, set) in sets.iter().enumerate() {
        let mut source = SourceFd(&set.as_raw_fd());
        let registered = poll.registry().register(&mut source, Token(nth), Interest::READABLE);
        registered.expect("it can be nested");
    }
    let mut events = Events::with_capacity(8);
    req.try_send("ping").expect("the server is connected");
    let mut round = 0;
    while round < rounds {
        poll.poll(&mut events, Some(DEADLINE)).expect("a poll");
        assert!(!events.is_empty(), "nothing is readable for {DEADLINE:?}, in round {round}");
        for event in &events {
            let _ = sets[event.token().0].drive();
        }
        match rep.try_recv() {
            Ok(request) => rep.try_send(request).expect("there is a request"),
            Err(error) => assert_eq!(error, TryRecvError::Empty),
        }
        match req.try_recv() {
            Ok(reply) => {
                assert_eq!(reply, "ping");
                round += 1;
                if round < rounds {
                    req.try_send(reply).expect("the server is connected");
                }
            }
            Err(TryRecvError::Empty) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// How often the worker has gone to sleep so far.
fn worker_wakes() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux has it").flatten();
    let status = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    let worker = status.filter(|status| status.contains("\tsp-io-0\n"));
    let sleeps = worker.filter_map(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line?.trim().parse::<u64>().ok()
    });
    sleeps.sum()
}

const WARM_UP: u32 = 100;
const ROUNDS: u32 = 2_000;

/// A lease from before may end meanwhile; one wake for every hundredth message would show.
const WAKES_MAX: u64 = 5;
