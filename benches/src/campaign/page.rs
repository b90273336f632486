//! The report as a page of text with pictures beside it.

use std::fmt::Write as _;
use std::time::Duration;

use super::Campaign;
use super::report::Sweep;
use crate::bench::metric::{
    ALLOCATIONS, CALLS, CONNECTED, CPU, IDLE_CPU, LOST_SHARE, MEMORY, P50, P99, P999, RATE,
    RESIDENT, SERVED, SWITCHES,
};
use crate::bench::targets::{LOAD, Spot, TARGETS};
use crate::bench::{Bench, Metric};
use crate::peer::Variant;
use crate::report::{ratio, short};
use crate::sys;

/// The whole page. Writing to a string cannot fail, here and below.
pub(super) fn write(campaign: &Campaign, sweeps: &[Sweep], took: Duration) -> String {
    let mut out = String::from(
        "# Benchmarks\n\nWritten by `sp-bench report`. Peers take turns, each round in processes of its own; a figure \
         is the median of its rounds. Differences below a fifth are noise on most machines. Latencies are in \
         microseconds.\n\n",
    );
    machine(&mut out, campaign, took);
    headline(&mut out, campaign);
    losses(&mut out, campaign, sweeps);
    out.push_str("## Curves\n\n");
    for sweep in sweeps {
        let _ = writeln!(out, "![{}, {}]({})\n", sweep.title, sweep.metric.name, sweep.file);
    }
    tails(&mut out, campaign);
    costs(&mut out, campaign);
    idle(&mut out, campaign);
    out
}

fn machine(out: &mut String, campaign: &Campaign, took: Duration) {
    out.push_str("## Machine and settings\n\n| | |\n| --- | --- |\n");
    for (name, value) in sys::machine() {
        let _ = writeln!(out, "| {name} | {value} |");
    }
    let _ = writeln!(out, "| whole campaign | {:.0} s |", took.as_secs_f64());
    for variant in everybody(campaign) {
        let _ = writeln!(out, "| {} | {} |", variant.name(), variant.settings());
    }
    out.push_str(
        "\nPlacement: `two-cores` pins each end to a processor, `one-core` both to the same, `free` leaves it to the \
         system.\n\n",
    );
}

/// Everybody with a figure anywhere, in the order of first appearance.
fn everybody(campaign: &Campaign) -> Vec<Variant> {
    let mut all = Vec::new();
    for series in campaign.results().flat_map(|(_, _, all)| all) {
        if !series.rounds.is_empty() && !all.contains(&series.variant) {
            all.push(series.variant);
        }
    }
    all.sort_by_key(|variant| variant.is_floor());
    all
}

/// Every target's figure beside the peers and the best floor.
fn headline(out: &mut String, campaign: &Campaign) {
    let peers: Vec<Variant> =
        everybody(campaign).into_iter().filter(|variant| !variant.is_floor()).collect();
    let names: Vec<&str> = peers.iter().map(|peer| peer.name()).collect();
    let _ = writeln!(
        out,
        "## Beside the peers and the floor\n\n| workload | figure | {} | floor |\n| --- | --- |{} --- |",
        names.join(" | "),
        " --- |".repeat(names.len()),
    );
    for target in TARGETS {
        let (spot, metric) = (target.spot, target.metric);
        let figure = |who| campaign.figure(spot, who, metric);
        let cell = |who: &Variant| figure(*who).map_or_else(|| "–".to_owned(), |s| short(s.median));
        let floors = everybody(campaign).into_iter().filter(|variant| variant.is_floor());
        let best = floors
            .filter_map(|who| figure(who).map(|s| (who, s.median)))
            .reduce(|a, b| if ratio(metric, b.1, a.1).is_some_and(|r| r > 1.0) { b } else { a });
        let floor = best
            .map_or_else(|| "–".to_owned(), |(who, v)| format!("{} ({})", short(v), who.name()));
        let figures: Vec<String> = peers.iter().map(cell).collect();
        let _ = writeln!(
            out,
            "| {} | {}, {} | {} | {floor} |",
            target.what,
            metric.name,
            metric.unit,
            figures.join(" | "),
        );
    }
    out.push('\n');
}

/// Wherever a library is ahead by more than noise.
fn losses(out: &mut String, campaign: &Campaign, sweeps: &[Sweep]) {
    out.push_str("## Where this library loses\n\n");
    let of_targets = TARGETS.iter().map(|target| (target.spot, target.metric));
    let of_sweeps =
        sweeps.iter().flat_map(|sweep| sweep.spots().iter().map(|spot| (*spot, sweep.metric)));
    let mut seen: Vec<(Spot, Metric)> = Vec::new();
    let mut lines = String::new();
    for (spot, metric) in of_targets.chain(of_sweeps) {
        if seen.contains(&(spot, metric)) {
            continue;
        }
        seen.push((spot, metric));
        if spot.everybody().is_empty() {
            continue;
        }
        let Some(ours) = campaign.figure(spot, Variant::Sp, metric) else {
            let _ = writeln!(lines, "- {spot}: no figure for {}", metric.name);
            continue;
        };
        for who in everybody(campaign).into_iter().filter(|who| who.is_other_library()) {
            let theirs = campaign.figure(spot, who, metric);
            let times = theirs.and_then(|theirs| ratio(metric, ours.median, theirs.median));
            if let Some(times) = times.filter(|times| *times < NOISE) {
                let _ = writeln!(
                    lines,
                    "- {spot}: {} is {}x better than sp ({})",
                    who.name(),
                    short(1.0 / times),
                    metric.name,
                );
            }
        }
    }
    out.push_str(if lines.is_empty() { "Nowhere in this run.\n" } else { &lines });
    out.push('\n');
}

/// Latency with its tail, alone and beside a stream.
fn tails(out: &mut String, campaign: &Campaign) {
    let of = |spot: &Spot| {
        matches!(spot.bench, Bench::Rtt | Bench::Load | Bench::Paced | Bench::Pairs)
            && spot.size == LOAD.size
    };
    table(out, "Latency and its tail", campaign, of, &[P50, P99, P999, RATE]);
}

/// What a round trip or a message costs.
fn costs(out: &mut String, campaign: &Campaign) {
    let of = |spot: &Spot| {
        spot.bench != Bench::Idle
            && spot.size == LOAD.size
            && TARGETS.iter().any(|target| target.spot == *spot)
    };
    let metrics = [CPU, CALLS, SWITCHES, ALLOCATIONS, RESIDENT, LOST_SHARE, CONNECTED];
    table(out, "Costs of each message, request or delivery", campaign, of, &metrics);
}

fn idle(out: &mut String, campaign: &Campaign) {
    let of = |spot: &Spot| spot.bench == Bench::Idle;
    let metrics = [MEMORY, IDLE_CPU, SERVED, CONNECTED];
    table(out, "Silent connections", campaign, of, &metrics);
}

/// A row for everybody at every spot that `of` picks, a column for each metric.
fn table(
    out: &mut String,
    heading: &str,
    campaign: &Campaign,
    of: impl Fn(&Spot) -> bool,
    metrics: &[Metric],
) {
    let names: Vec<String> = metrics.iter().map(|m| format!("{}, {}", m.name, m.unit)).collect();
    let _ = writeln!(
        out,
        "## {heading}\n\n| workload | who | {} |\n| --- | --- |{}",
        names.join(" | "),
        " --- |".repeat(names.len()),
    );
    for (spot, _, all) in campaign.results().filter(|(spot, ..)| of(spot)) {
        for series in all {
            let cell = |metric: &Metric| {
                series.summary(*metric).map_or_else(|| "–".to_owned(), |s| short(s.median))
            };
            let figures: Vec<String> = metrics.iter().map(cell).collect();
            let _ =
                writeln!(out, "| {spot} | {} | {} |", series.variant.name(), figures.join(" | "));
        }
    }
    out.push('\n');
}

/// Below this share of a peer's figure we have lost; what lies between is a draw.
const NOISE: f64 = 0.95;
