//! REQ/REP, or PAIR: one request at a time, each waiting for its reply; alone, beside a stream, or so many a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Bench;
use super::far::{Far, FarState, Start};
use super::gauge::{Gauge, Part};
use super::latency::Latencies;
use super::metric::{CONNECT, STREAM};
use super::{Cell, Figures};
use crate::error::{Error, Result};
use crate::peer::{Aligned, End, Role, Variant};
use crate::place::Side;
use crate::sys;

/// One round: the far end echoes, this end takes the time of every round trip.
pub(super) fn measure(cell: &Cell, variant: Variant) -> Result<Figures> {
    let mut far = Far::start(cell, variant, Start::default())?;
    let peer = far.peer();
    let mut urls = far.url().split(' ');
    let url = urls.next().unwrap_or_default();
    // The stream comes in on another socket of this process.
    let stream = urls.next().map(|url| peer.connect(Role::Pull, url, cell.size)).transpose()?;
    let begin = sys::now();
    let mut end = peer.connect(cell.bench.roles().0, url, cell.size)?;
    if cell.shares_process() {
        cell.seats.enter(Side::Near)?;
    }
    let body = Aligned::new(cell.size, 7);
    let mut trip = || {
        end.send(&body)?;
        let got = end.recv()?;
        if got == cell.size { Ok(()) } else { Err(Error::Length { got, wanted: cell.size }) }
    };
    trip()?;
    let connected = sys::now() - begin;
    let drain = stream.map(|end| Drain::start(end, cell.size));
    let mut trips = Latencies::new();
    let period = (cell.bench == Bench::Paced).then(|| Duration::from_secs(1) / cell.many as u32);
    if period.is_some() {
        sys::sleep_sharply();
    }
    let mut streamed = 0;
    let gauge = Gauge::take(cell, &mut far, |part, until| {
        let before = drain.as_ref().map_or(0, Drain::count);
        let mut add = |time| {
            if part == Part::Timed {
                trips.add(time);
            }
        };
        let done = match period {
            None => in_a_row(&mut trip, &mut add, until),
            Some(period) => paced(&mut trip, &mut add, period, until),
        };
        if part == Part::Timed {
            streamed = drain.as_ref().map_or(0, Drain::count) - before;
        }
        done
    })?;
    let mut figures = gauge.round_trips(&mut trips, variant);
    if drain.is_some() {
        figures.push((STREAM, streamed as f64 / gauge.secs));
    } else {
        figures.push((CONNECT, connected.as_secs_f64() * 1e6));
    }
    Ok(figures)
}

/// One after the other; a clock reading ends one and begins the next.
pub(super) fn in_a_row(
    trip: &mut impl FnMut() -> Result<()>,
    add: &mut impl FnMut(Duration),
    until: Instant,
) -> Result<(u64, Instant)> {
    let (mut count, mut last) = (0, sys::now());
    while last < until {
        trip()?;
        let now = sys::now();
        add(now - last);
        count += 1;
        last = now;
    }
    Ok((count, last))
}

/// One every `period`; the client sleeps in between. How late the clock wakes it is the system's affair and not
/// counted, the same for all.
fn paced(
    trip: &mut impl FnMut() -> Result<()>,
    add: &mut impl FnMut(Duration),
    period: Duration,
    until: Instant,
) -> Result<(u64, Instant)> {
    let mut turn = sys::now() + period;
    let mut count = 0;
    while turn < until {
        sys::sleep_until(turn);
        let asked = sys::now();
        trip()?;
        let now = sys::now();
        add(now - asked);
        count += 1;
        turn += period;
        // A peer that cannot keep the pace falls behind by whole turns; they are left out, not piled up.
        while turn < now {
            turn += period;
        }
    }
    Ok((count, sys::now()))
}

/// A thread that receives a stream for as long as the process lives.
struct Drain(Arc<AtomicU64>);

impl Drain {
    fn start(mut end: Box<dyn End>, size: usize) -> Self {
        let count = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&count);
        thread::spawn(move || {
            // A stream that breaks shows as one that carried nothing.
            while let Ok(more) = end.recv_burst(size, 1) {
                counter.fetch_add(more, Ordering::Relaxed);
            }
        });
        Self(count)
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The far end: echoes for ever.
pub(super) fn echo(mut end: Box<dyn End>) -> Result<()> {
    loop {
        end.echo()?;
    }
}

/// The far end of the stream: `a_second` messages a second in even portions.
pub(super) fn stream(mut end: Box<dyn End>, cell: &Cell, state: &FarState) -> Result<()> {
    let body = Aligned::new(cell.size, 7);
    let portion = (cell.many as u64 * STREAM_PERIOD.as_micros() as u64 / 1_000_000).max(1);
    sys::sleep_sharply();
    let mut turn = sys::now();
    while !state.stop.load(Ordering::Relaxed) {
        end.send_burst(&body, portion)?;
        end.flush()?;
        // A peer that cannot keep up sends as fast as it can.
        turn = (turn + STREAM_PERIOD).max(sys::now() - STREAM_PERIOD);
        sys::sleep_until(turn);
    }
    Ok(())
}

/// A thousand portions a second: even enough for a stream, and sleeping costs little.
const STREAM_PERIOD: Duration = Duration::from_millis(1);
