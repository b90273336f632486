//! Devices: one waiter that stands in the lines of two sockets, each with connections and a driver of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::future::block_on;
use shuttle::thread;
use sp::raw::{self, Device, RawOptions};
use sp::{Pair, PairOptions, Stats};

use crate::support::Transport;
use crate::{EACH, ENOUGH, connect, explore, explore_evenly, join};

#[test]
fn a_device_on_a_thread_passes_everything_on_over_tcp() {
    explore(|| passing(Transport::Tcp, Device::run));
}

#[test]
fn a_device_on_a_thread_passes_everything_on_over_inproc() {
    explore(|| passing(Transport::Inproc, Device::run));
}

#[test]
fn a_device_in_a_task_passes_everything_on_over_tcp() {
    explore(|| passing(Transport::Tcp, block_on));
}

#[test]
fn a_device_in_a_task_passes_everything_on_over_inproc() {
    explore(|| passing(Transport::Inproc, block_on));
}

#[test]
fn a_device_ends_when_told_in_the_middle_over_tcp() {
    explore_evenly(|| stopping(Transport::Tcp, Device::run));
}

#[test]
fn a_device_ends_when_told_in_the_middle_over_inproc() {
    explore_evenly(|| stopping(Transport::Inproc, block_on));
}

#[test]
fn a_device_ends_when_told_as_it_begins_to_wait() {
    explore(|| {
        for run in [Device::run, block_on] {
            let [front, back] = [(); 2].map(|()| raw::Pair::new().expect("raw PAIR opens"));
            let device = Device::new(front, back);
            let handle = device.handle();
            let moving = thread::spawn(move || run(device));
            handle.stop();
            assert_eq!(join(moving).get("lost"), Some(0));
        }
    });
}

/// Both sides come when they come, and then send and receive at once; what comes for one that is not there yet waits.
fn passing(transport: Transport, run: fn(Device) -> Stats) {
    let (sides, peers) = between();
    let device = device(&sides);
    let handle = device.handle();
    let moving = thread::spawn(move || run(device));
    let talking = sides.into_iter().zip(&peers).map(|(side, peer)| {
        let [sending, receiving] = [peer.clone(), peer.clone()];
        let sender = thread::spawn(move || {
            connect(transport, &side, &sending);
            (0..EACH).for_each(|n| sending.send([n]).expect("the socket is open"));
        });
        let receiver = thread::spawn(move || {
            (0..EACH).for_each(|n| assert_eq!(receiving.recv().expect("the socket is open"), [n]));
        });
        [sender, receiver]
    });
    talking.collect::<Vec<_>>().into_iter().flatten().for_each(join);
    handle.stop();
    let stats = join(moving);
    let counted = ["there", "back", "held", "lost"].map(|what| stats.get(what));
    assert_eq!(counted, [EACH, EACH, 0, 0].map(|count| Some(u64::from(count))));
}

/// Both sides send and receive as long as they can: what has passed comes, in order, and nothing else.
fn stopping(transport: Transport, run: fn(Device) -> Stats) {
    let (sides, peers) = between();
    sides.iter().zip(&peers).for_each(|(side, peer)| connect(transport, side, peer));
    let device = device(&sides);
    let handle = device.handle();
    let moving = thread::spawn(move || run(device));
    let talking = peers.each_ref().map(|peer| {
        let [sending, receiving] = [peer.clone(), peer.clone()];
        let received = Arc::new(AtomicU64::new(0));
        let sender = thread::spawn(move || {
            (0..ENOUGH).take_while(|n| sending.send([*n]).is_ok()).count() as u64
        });
        let receiver = {
            let received = Arc::clone(&received);
            thread::spawn(move || {
                while let Ok(message) = receiving.recv() {
                    let before = received.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(message, [before as u8], "in order and without a gap");
                }
            })
        };
        (sender, receiver, received)
    });
    handle.stop();
    let stats = join(moving);
    let passed = ["back", "there"].map(|what| stats.get(what).expect("a counter"));
    for ((_, _, received), passed) in talking.iter().zip(passed) {
        while received.load(Ordering::SeqCst) < passed {
            thread::yield_now();
        }
    }
    peers.into_iter().for_each(|peer| drop(peer.close()));
    let [left, right] = talking.map(|(sender, receiver, received)| {
        join(receiver);
        (join(sender), received.load(Ordering::SeqCst))
    });
    assert_eq!([left.1, right.1], passed, "nothing comes that has not passed");
    assert!(passed[0] <= right.0 && passed[1] <= left.0, "nothing passes that was not sent");
}

/// The sockets of a device, and who talks through them. Every queue holds one message.
fn between() -> ([raw::Pair; 2], [Pair; 2]) {
    let side = || raw::Pair::with(RawOptions::new().queue(1)).expect("raw PAIR opens");
    let peer = || Pair::with(PairOptions::new().recv_queue(1)).expect("PAIR opens");
    ([side(), side()], [peer(), peer()])
}

fn device([front, back]: &[raw::Pair; 2]) -> Device {
    Device::new(front.clone(), back.clone())
}
