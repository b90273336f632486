//! Many workloads measured one after the other, with their results kept together.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::bench::targets::Spot;
use crate::bench::{Cell, Metric};
use crate::error::{Error, Result};
use crate::peer::{Family, Variant};
use crate::report::Report;
use crate::round::{self, Scratch, Series, Summary};

pub(crate) mod chart;
pub(crate) mod check;
pub(crate) mod page;
pub(crate) mod progress;
pub(crate) mod report;

/// Everything measured so far.
pub(crate) struct Campaign {
    scratch: Scratch,
    time: Duration,
    results: Vec<(Spot, Cell, Vec<Series>)>,
}

impl Campaign {
    /// An empty one whose rounds measure for `time`.
    pub(crate) fn new(time: Duration) -> Result<Self> {
        Ok(Self { scratch: Scratch::new()?, time, results: Vec::new() })
    }

    /// Measures `spot` `rounds` more times with each of `variants` in turn.
    pub(crate) fn measure(
        &mut self,
        spot: Spot,
        variants: &[Variant],
        rounds: usize,
    ) -> Result<()> {
        let cell = spot.cell(self.time)?;
        let more = round::run(&cell, variants, rounds, &self.scratch);
        let at = self.results.iter().position(|(at, ..)| *at == spot).unwrap_or_else(|| {
            self.results.push((spot, cell, Vec::new()));
            self.results.len() - 1
        });
        let all = &mut self.results[at].2;
        for series in more {
            match all.iter_mut().find(|known| known.variant == series.variant) {
                Some(known) => known.rounds.extend(series.rounds),
                None => all.push(series),
            }
        }
        Ok(())
    }

    /// The figure of `variant` at `spot`, if it has one.
    pub(crate) fn figure(&self, spot: Spot, variant: Variant, metric: Metric) -> Option<Summary> {
        let (_, _, all) = self.results.iter().find(|(at, ..)| *at == spot)?;
        all.iter().find(|series| series.variant == variant)?.summary(metric)
    }

    /// Writes every figure into a new file at `path`, if there is one.
    pub(crate) fn write_json(&self, path: Option<&Path>) -> Result<()> {
        let Some(path) = path else { return Ok(()) };
        let text: String =
            self.results.iter().map(|(_, cell, all)| Report::new(cell, all).json()).collect();
        fs::write(path, text).map_err(Error::io("write the results"))
    }

    /// Every spot with its results, in the order they were first measured.
    pub(crate) fn results(&self) -> impl Iterator<Item = (&Spot, &Cell, &[Series])> {
        self.results.iter().map(|(spot, cell, all)| (spot, cell, &all[..]))
    }
}

impl Spot {
    fn cell(self, time: Duration) -> Result<Cell> {
        let Self { bench, transport, size, placement, many } = self;
        Ok(Cell { bench, transport, size, placement, seats: placement.seats()?, many, time })
    }

    /// Everybody built in who can do it.
    fn everybody(self) -> Vec<Variant> {
        Family::able(&Family::defaults(), self.bench, self.transport)
    }
}
