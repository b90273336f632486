//! SURVEY: one survey after the other, each over when everybody has answered it.

use std::sync::Arc;
use std::time::Duration;

use super::far::{Far, Start};
use super::gauge::{Gauge, Part};
use super::latency::Latencies;
use super::{Cell, Figures, rtt};
use crate::error::{Error, Result};
use crate::peer::{Aligned, End, Peer, Variant};
use crate::place::Side;
use crate::sys;

/// One round: this end asks, the far end answers with as many respondents as the cell has, each in a thread.
pub(super) fn measure(cell: &Cell, variant: Variant) -> Result<Figures> {
    let peer: Arc<dyn Peer> = variant.peer()?.into();
    let (mut end, url) = peer.serve(cell.bench.roles().0, &cell.url(0), cell.size)?;
    let mut far =
        Far::start(cell, variant, Start { peer: Some(peer), url: Some(url), counters: None })?;
    if cell.shares_process() {
        cell.seats.enter(Side::Near)?;
    }
    let body = Aligned::new(cell.size, 7);
    prove(end.as_mut(), &body, cell.many as u64)?;
    let mut survey = || {
        end.send(&body)?;
        for _ in 0..cell.many {
            let got = end.recv()?;
            if got != cell.size {
                return Err(Error::Length { got, wanted: cell.size });
            }
        }
        Ok(())
    };
    let mut times = Latencies::new();
    let gauge = Gauge::take(cell, &mut far, |part, until| {
        let mut add = |time| {
            if part == Part::Timed {
                times.add(time);
            }
        };
        rtt::in_a_row(&mut survey, &mut add, until)
    })?;
    Ok(gauge.round_trips(&mut times, variant))
}

/// Asks until everybody has answered one survey: all are connected.
fn prove(end: &mut dyn End, body: &[u8], all: u64) -> Result<()> {
    let limit = sys::now() + CONNECT_MAX;
    loop {
        end.send(body)?;
        let mut answered = 0;
        while answered < all {
            match end.recv_within(PROOF_MAX)? {
                0 => break,
                more => answered += more,
            }
        }
        if answered == all {
            return Ok(());
        }
        if sys::now() > limit {
            return Err(Error::Deaf { missing: (all - answered) as usize, all: all as usize });
        }
    }
}

/// How long an answer may take while not all are connected.
const PROOF_MAX: Duration = Duration::from_millis(100);

/// How long all connections may take together.
const CONNECT_MAX: Duration = Duration::from_secs(5);
