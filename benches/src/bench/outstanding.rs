//! REQ/REP with many requests outstanding on one socket, answered by one socket.

use super::far::{Far, Start};
use super::gauge::Gauge;
use super::metric::RATE;
use super::{Cell, Figures};
use crate::error::Result;
use crate::peer::Variant;
use crate::place::Side;
use crate::sys;

/// One round: this end keeps as many requests outstanding as the cell says.
pub(super) fn measure(cell: &Cell, variant: Variant) -> Result<Figures> {
    let mut far = Far::start(cell, variant, Start::default())?;
    let mut asker = far.peer().outstanding(far.url(), cell.size, cell.many)?;
    if cell.shares_process() {
        cell.seats.enter(Side::Near)?;
    }
    let gauge = Gauge::take(cell, &mut far, |_, until| {
        let count = asker.run_for(until.saturating_duration_since(sys::now()))?;
        Ok((count, sys::now()))
    })?;
    let mut figures = vec![(RATE, gauge.rate())];
    figures.extend(gauge.costs(variant));
    Ok(figures)
}
