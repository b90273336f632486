//! REQ/REP: one request at a time, each waiting for its reply.

use std::time::Duration;

use super::far::{Command, Far, Start};
use super::{CPU, Cell, Figures, P50, P99, P999, RATE, WARM_UP, Window};
use crate::error::{Error, Result};
use crate::peer::{Aligned, End, Role, Variant};
use crate::place::Side;
use crate::sys;

/// One round: the far end echoes, this end takes the time of every round trip.
pub(super) fn measure(cell: &Cell, variant: Variant) -> Result<Figures> {
    let mut far = Far::start(cell, variant, Start::default())?;
    let mut end = far.peer().connect(Role::Req, far.url(), cell.size)?;
    if cell.shares_process() {
        cell.seats.enter(Side::Near)?;
    }
    let body = Aligned::new(cell.size, 7);
    let mut trip = || {
        end.send(&body)?;
        let got = end.recv()?;
        if got == cell.size { Ok(()) } else { Err(Error::Length { got, wanted: cell.size }) }
    };
    let warm = sys::now() + WARM_UP;
    while sys::now() < warm {
        trip()?;
    }
    // Touched beforehand, so that no page fault falls into the measurement.
    let mut trips = vec![u32::MAX; TRIPS_MAX];
    far.send(Command::Mark)?;
    let window = Window::open();
    let (mut count, mut last) = (0, window.start);
    while last < window.start + cell.time && count < TRIPS_MAX {
        trip()?;
        let now = sys::now();
        trips[count] = nanos(now - last);
        count += 1;
        last = now;
    }
    let (secs, near_cpu) = window.close(last);
    far.send(Command::Mark)?;
    let cpu = near_cpu + far.cpu_between_marks()?.as_secs_f64();
    trips.truncate(count);
    trips.sort_unstable();
    let micros = |share: f64| f64::from(trips[(count as f64 * share) as usize]) / 1e3;
    Ok(vec![
        (P50, micros(0.5)),
        (P99, micros(0.99)),
        (P999, micros(0.999)),
        (RATE, count as f64 / secs),
        (CPU, cpu * 1e6 / count as f64),
    ])
}

/// The far end: echoes for ever.
pub(super) fn echo(mut end: Box<dyn End>) -> Result<()> {
    loop {
        end.echo()?;
    }
}

fn nanos(time: Duration) -> u32 {
    u32::try_from(time.as_nanos()).unwrap_or(u32::MAX)
}

/// A round of four seconds at one million round trips a second; 16 MB.
const TRIPS_MAX: usize = 4_000_000;
