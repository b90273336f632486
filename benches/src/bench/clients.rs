//! Many connections to one REP, each asking again as soon as it has its reply.

use super::client::Clients;
use super::far::{Far, Start};
use super::gauge::{Gauge, Part};
use super::latency::Latencies;
use super::metric::CONNECTED;
use super::{Cell, Figures};
use crate::error::Result;
use crate::peer::Variant;

/// One round: the far end serves, a bare client in this thread asks through as many connections as the cell says.
pub(super) fn measure(cell: &Cell, variant: Variant) -> Result<Figures> {
    let mut far = Far::start(cell, variant, Start::default())?;
    let mut clients = Clients::new(cell, variant, far.url())?;
    let connected = clients.connect(cell.many)?;
    let mut trips = Latencies::new();
    let gauge = Gauge::take(cell, &mut far, |part, until| {
        let trips = (part == Part::Timed).then_some(&mut trips);
        let (count, end, late) = clients.ask_until(until, trips)?;
        // System calls are counted until all is quiet.
        Ok((if part == Part::Counted { count + late } else { count }, end))
    })?;
    let mut figures = gauge.round_trips(&mut trips, variant);
    figures.push((CONNECTED, connected.as_secs_f64() * 1e3));
    Ok(figures)
}
