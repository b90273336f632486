//! Results: a table for people, a line of JSON for each figure and ratio.

use std::fmt::Write as _;

use crate::bench::{Better, Cell, Metric};
use crate::peer::Variant;
use crate::round::{Series, Summary};

/// The result of a cell: a summary for each variant and metric that has figures.
pub(crate) struct Report<'a> {
    cell: &'a Cell,
    rows: Vec<Row>,
    /// Who gave no figures.
    failed: Vec<Variant>,
}

struct Row {
    variant: Variant,
    metric: Metric,
    median: f64,
    min: f64,
    max: f64,
    rounds: usize,
    /// How much better this library is, for every other variant that can be compared.
    ratio: Option<f64>,
}

impl<'a> Report<'a> {
    /// Summarises all rounds of a cell: metric by metric, the variants in the order they were measured.
    pub(crate) fn new(cell: &'a Cell, all: &[Series]) -> Self {
        let mut metrics: Vec<Metric> = Vec::new();
        for (metric, _) in all.iter().flat_map(|series| &series.rounds).flatten() {
            if !metrics.contains(metric) {
                metrics.push(*metric);
            }
        }
        let mut rows = Vec::new();
        for metric in metrics {
            let first = rows.len();
            rows.extend(all.iter().filter_map(|series| Row::new(series, metric)));
            let ours = rows[first..].iter().find(|row| row.variant == Variant::Sp);
            if let Some(ours) = ours.map(|row| row.median) {
                for row in rows[first..].iter_mut().filter(|row| row.variant != Variant::Sp) {
                    row.ratio = ratio(metric, ours, row.median);
                }
            }
        }
        let failed = all.iter().filter(|series| series.rounds.is_empty());
        Self { cell, rows, failed: failed.map(|series| series.variant).collect() }
    }

    /// The table, with a heading and an empty line at its end.
    pub(crate) fn table(&self) -> String {
        let mut out = format!("{}\n", self.cell);
        let mut last = None;
        for row in &self.rows {
            let heading = if last == Some(row.metric.name) { "" } else { row.metric.name };
            last = Some(row.metric.name);
            let unit = if heading.is_empty() { "" } else { row.metric.unit };
            let range = format!("{}–{}", short(row.min), short(row.max));
            let ratio = row.ratio.map_or_else(String::new, |ratio| format!("sp x{}", short(ratio)));
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "  {heading:<14}{unit:<5}{:<11}{:>9}  {range:<17} {:>2}  {ratio}",
                row.variant.name(),
                short(row.median),
                row.rounds,
            );
        }
        for variant in &self.failed {
            let _ = writeln!(out, "  every round of {} failed", variant.name());
        }
        out.push('\n');
        out
    }

    /// The JSON lines.
    pub(crate) fn json(&self) -> String {
        let mut out = String::new();
        let place = self.json_place();
        for row in &self.rows {
            // Every name is one of ours and needs no escaping; writing to a string cannot fail.
            let _ = writeln!(
                out,
                r#"{{{place},"peer":"{}","metric":"{}","unit":"{}","median":{},"min":{},"max":{},"rounds":{}}}"#,
                row.variant.name(),
                row.metric.name,
                row.metric.unit,
                number(row.median),
                number(row.min),
                number(row.max),
                row.rounds,
            );
            if let Some(ratio) = row.ratio {
                let _ = writeln!(
                    out,
                    r#"{{"ratio_of":"sp","to":"{}",{place},"metric":"{}","value":{}}}"#,
                    row.variant.name(),
                    row.metric.name,
                    number(ratio),
                );
            }
        }
        out
    }

    fn json_place(&self) -> String {
        let cell = self.cell;
        let transport = if cell.bench.is_alone() { "none" } else { cell.transport.name() };
        let mut out = format!(
            r#""bench":"{}","transport":"{transport}","size":{},"placement":"{}""#,
            cell.bench.name(),
            cell.size,
            cell.placement.name(),
        );
        if let Some(name) = cell.bench.many() {
            let _ = write!(out, r#","{name}":{}"#, cell.many);
        }
        out
    }
}

impl Row {
    fn new(series: &Series, metric: Metric) -> Option<Self> {
        let Summary { median, min, max, rounds } = series.summary(metric)?;
        Some(Self { variant: series.variant, metric, median, min, max, rounds, ratio: None })
    }
}

/// How much better `ours` is than `theirs`: above 1 is better, whichever way the metric goes.
pub(crate) fn ratio(metric: Metric, ours: f64, theirs: f64) -> Option<f64> {
    let ratio = match metric.better {
        Better::Higher => ours / theirs,
        Better::Lower => theirs / ours,
        Better::None => return None,
    };
    ratio.is_finite().then_some(ratio)
}

/// Three digits and a letter for the size.
pub(crate) fn short(value: f64) -> String {
    let (scaled, letter) = match value.abs() {
        v if v >= 999.5e6 => (value / 1e9, "G"),
        v if v >= 999.5e3 => (value / 1e6, "M"),
        v if v >= 9999.5 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        v if v >= 99.95 || v == 0.0 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        _ => 3,
    };
    format!("{scaled:.digits$}{letter}")
}

/// A number as JSON has them; it has no infinities.
fn number(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { "null".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Bench, Transport};
    use crate::place::{Placement, Seats};
    use std::time::Duration;

    fn cell() -> Cell {
        Cell {
            bench: Bench::Rtt,
            transport: Transport::Tcp,
            size: 64,
            placement: Placement::Free,
            seats: Seats { near: None, far: None },
            many: 1,
            time: Duration::from_secs(1),
        }
    }

    fn series(variant: Variant, name: &str, values: &[f64]) -> Series {
        let metric = Metric::named(name).expect("the test names a metric that exists");
        let rounds = values.iter().map(|&value| vec![(metric, value)]).collect();
        Series { variant, rounds }
    }

    #[test]
    fn a_ratio_above_one_means_this_library_is_better() {
        let cell = cell();
        let rate = [series(Variant::Sp, "rate", &[30.0]), series(Variant::Nng, "rate", &[10.0])];
        assert_eq!(Report::new(&cell, &rate).rows[1].ratio, Some(3.0));
        let time = [series(Variant::Sp, "p50", &[10.0]), series(Variant::Nng, "p50", &[30.0])];
        assert_eq!(Report::new(&cell, &time).rows[1].ratio, Some(3.0));
        let lost = [series(Variant::Sp, "lost", &[0.0]), series(Variant::Nng, "lost", &[5.0])];
        assert_eq!(Report::new(&cell, &lost).rows[1].ratio, None);
    }

    #[test]
    fn the_median_stands_between_the_middle_rounds() {
        let cell = cell();
        let report = Report::new(&cell, &[series(Variant::RawSpin, "p50", &[4.0, 1.0, 2.0, 9.0])]);
        let row = &report.rows[0];
        assert_eq!((row.median, row.min, row.max, row.rounds), (3.0, 1.0, 9.0, 4));
    }

    #[test]
    fn a_figure_and_a_ratio_are_a_line_of_json_each() {
        let cell = cell();
        let all = [series(Variant::Sp, "p50", &[10.0]), series(Variant::RawBlock, "p50", &[5.0])];
        let json = Report::new(&cell, &all).json();
        let lines: Vec<&str> = json.lines().collect();
        assert_eq!(
            lines,
            [
                r#"{"bench":"rtt","transport":"tcp","size":64,"placement":"free","peer":"sp","metric":"p50","unit":"us","median":10,"min":10,"max":10,"rounds":1}"#,
                r#"{"bench":"rtt","transport":"tcp","size":64,"placement":"free","peer":"raw-block","metric":"p50","unit":"us","median":5,"min":5,"max":5,"rounds":1}"#,
                r#"{"ratio_of":"sp","to":"raw-block","bench":"rtt","transport":"tcp","size":64,"placement":"free","metric":"p50","value":0.5}"#,
            ]
        );
    }

    #[test]
    fn numbers_are_shortened_to_three_digits() {
        let shown: Vec<String> =
            [0.0, 0.4312, 9.67, 105.2, 5113.0, 61_300.0, 61.3e6, 4.06e9].map(short).to_vec();
        assert_eq!(shown, ["0", "0.431", "9.67", "105", "5113", "61.3k", "61.3M", "4.06G"]);
    }
}
