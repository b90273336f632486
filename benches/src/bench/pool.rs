//! What happens inside one process: buffers, the registry of peers, copies of messages.

use std::hint::black_box;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError, bounded};
use sp::pool::BufferPool;
use sp::registry::PeerRegistry;
use sp::{Message, PeerId};

use super::metric::{CLONE, PEER_ADD, PEER_LOOKUP, POOL_BURST, POOL_CROSS, POOL_SAME};
use super::{Cell, Figures};
use crate::error::{Error, Result};
use crate::peer::Variant;
use crate::place::Side;
use crate::sys;

/// One round of all the figures this variant has.
pub(super) fn measure(cell: &Cell, variant: Variant) -> Result<Figures> {
    let mut figures = match variant {
        Variant::Sp => buffers(cell, || BufferPool::global().take(cell.size))?,
        Variant::Malloc => buffers(cell, || Vec::<u8>::with_capacity(cell.size))?,
        _ => return Err(Error::NoPeers),
    };
    let body = vec![7; CLONE_BYTES];
    let part = cell.time / PARTS;
    if variant == Variant::Sp {
        let message = Message::from(&body[..]);
        figures.push((CLONE, nanos_each(part, 1, || drop(black_box(message.clone())))));
        figures.push((PEER_LOOKUP, look_up(part)));
        figures.push((PEER_ADD, add(part)));
    } else {
        figures.push((CLONE, nanos_each(part, 1, || drop(black_box(body.clone())))));
    }
    Ok(figures)
}

/// Looking a peer up by its id, among as many as a busy server has.
fn look_up(time: Duration) -> f64 {
    let peers = PeerRegistry::new();
    let ids: Vec<PeerId> = addresses().map(|at| peers.add(at, ())).collect();
    let mut turn = ids.iter().cycle();
    nanos_each(time, 1, || {
        black_box(turn.next().and_then(|&id| peers.get(id)));
    })
}

/// Adding peers to a registry that had that many before, so that its tables need not grow. Taking them out again
/// is not counted.
fn add(time: Duration) -> f64 {
    let peers = PeerRegistry::new();
    let fill = || {
        let start = sys::now();
        let ids: Vec<PeerId> = addresses().map(|at| peers.add(at, ())).collect();
        let spent = sys::now() - start;
        ids.into_iter().for_each(|id| drop(peers.remove(id)));
        spent
    };
    fill();
    let (mut spent, mut added) = (Duration::ZERO, 0);
    while spent < time {
        spent += fill();
        added += PEERS;
    }
    spent.as_nanos() as f64 / added as f64
}

fn addresses() -> impl Iterator<Item = SocketAddr> {
    (1..=PEERS as u16).map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
}

/// Gets and puts of buffers that `take` makes and a drop gives back.
fn buffers<B: Send + 'static>(cell: &Cell, take: impl Fn() -> B) -> Result<Figures> {
    let part = cell.time / PARTS;
    let same = nanos_each(part, 1, || drop(black_box(take())));
    let mut held = Vec::with_capacity(BURST);
    let burst = nanos_each(part, BURST, || {
        held.extend((0..BURST).map(|_| black_box(take())));
        held.clear();
    });
    let cross = cross_threads(cell, part, take)?;
    Ok(vec![(POOL_SAME, same), (POOL_BURST, burst), (POOL_CROSS, cross)])
}

/// Buffers taken here and dropped by another thread. They go over in bursts, and neither thread ever sleeps, so
/// that the channel costs little and wake-ups nothing.
fn cross_threads<B: Send + 'static>(
    cell: &Cell,
    time: Duration,
    take: impl Fn() -> B,
) -> Result<f64> {
    let (full_tx, full_rx) = bounded::<Vec<B>>(HANDS);
    let (empty_tx, empty_rx) = bounded::<Vec<B>>(HANDS);
    for _ in 0..HANDS {
        let _ = empty_tx.send(Vec::with_capacity(BURST));
    }
    let seats = cell.seats;
    let other = thread::spawn(move || {
        seats.enter(Side::Far)?;
        while let Some(mut burst) = spin_recv(&full_rx) {
            burst.clear();
            let _ = empty_tx.send(burst);
        }
        Ok(())
    });
    let each = nanos_each(time, BURST, || {
        // Only a far thread that failed leaves nothing here; its error is told below.
        if let Some(mut burst) = spin_recv(&empty_rx) {
            burst.extend((0..BURST).map(|_| black_box(take())));
            let _ = full_tx.send(burst);
        }
    });
    drop(full_tx);
    other.join().unwrap_or(Err(Error::Gone))?;
    Ok(each)
}

/// Receives without ever sleeping; `None` when the other side is gone.
fn spin_recv<T>(from: &Receiver<T>) -> Option<T> {
    loop {
        match from.try_recv() {
            Ok(item) => return Some(item),
            Err(TryRecvError::Empty) => thread::yield_now(),
            Err(TryRecvError::Disconnected) => return None,
        }
    }
}

/// Runs `step`, which does `count` operations, for `time` and gives the nanoseconds of one operation. A tenth of
/// the time before that warms up.
pub(super) fn nanos_each(time: Duration, count: usize, mut step: impl FnMut()) -> f64 {
    let warm = sys::now() + time / 10;
    while sys::now() < warm {
        step();
    }
    let steps = (STEP_OPERATIONS / count).max(1);
    let start = sys::now();
    let (mut end, mut operations) = (start, 0);
    while end < start + time {
        for _ in 0..steps {
            step();
        }
        operations += steps * count;
        end = sys::now();
    }
    (end - start).as_nanos() as f64 / operations as f64
}

/// A round's time is shared by as many figures.
const PARTS: u32 = 6;

/// The size whose copy has a bound in the requirements.
const CLONE_BYTES: usize = 1024;

/// Peers in a registry.
const PEERS: usize = 1000;

/// Buffers held at a time: half of what a thread usually keeps at hand.
const BURST: usize = 64;

/// Bursts under way between two threads: enough that neither waits each time for the other.
const HANDS: usize = 16;

/// Operations between two looks at the clock.
const STEP_OPERATIONS: usize = 1024;
