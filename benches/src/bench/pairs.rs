//! Several REQ/REP pairs at once: more threads that want to run than processors.

use std::thread;
use std::time::{Duration, Instant};

use super::far::{Far, Start};
use super::gauge::{Gauge, Part};
use super::latency::Latencies;
use super::{Cell, Figures, rtt};
use crate::error::{Error, Result};
use crate::peer::{Aligned, End, Role, Variant};
use crate::place::Side;
use crate::sys;

/// One round: a thread here and one at the far end for each pair; all round trips count together.
pub(super) fn measure(cell: &Cell, variant: Variant) -> Result<Figures> {
    let mut far = Far::start(cell, variant, Start::default())?;
    let peer = far.peer();
    let mut ends = Vec::new();
    for url in far.url().split(' ') {
        ends.push(peer.connect(Role::Req, url, cell.size)?);
    }
    if cell.shares_process() {
        cell.seats.enter(Side::Near)?;
    }
    let mut trips = Latencies::new();
    let gauge = Gauge::take(cell, &mut far, |part, until| {
        let each = thread::scope(|scope| {
            let ask = |end| scope.spawn(|| ask(end, cell.size, until));
            let threads: Vec<_> = ends.iter_mut().map(ask).collect();
            let joined =
                threads.into_iter().map(|thread| thread.join().unwrap_or(Err(Error::Gone)));
            joined.collect::<Result<Vec<_>>>()
        })?;
        let count = each.iter().map(|times| times.len() as u64).sum();
        if part == Part::Timed {
            each.into_iter().flatten().for_each(|time| trips.add(time));
        }
        Ok((count, sys::now()))
    })?;
    Ok(gauge.round_trips(&mut trips, variant))
}

fn ask(end: &mut Box<dyn End>, size: usize, until: Instant) -> Result<Vec<Duration>> {
    let body = Aligned::new(size, 7);
    // Growing would allocate while allocations are counted.
    let mut times = Vec::with_capacity(TIMES);
    let mut last = sys::now();
    while last < until {
        end.send(&body)?;
        let got = end.recv()?;
        if got != size {
            return Err(Error::Length { got, wanted: size });
        }
        let now = sys::now();
        times.push(now - last);
        last = now;
    }
    Ok(times)
}

/// The far end: a thread that echoes for each end.
pub(super) fn echo(ends: Vec<Box<dyn End>>) -> Result<()> {
    thread::scope(|scope| {
        let threads: Vec<_> = ends.into_iter().map(|end| scope.spawn(|| rtt::echo(end))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or(Err(Error::Gone)))
    })
}

/// More round trips than one pair makes in a second over sockets.
const TIMES: usize = 1 << 17;
