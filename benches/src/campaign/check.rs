//! The short campaign that judges every target.

#![expect(clippy::print_stdout, reason = "the verdicts are the output")]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::Campaign;
use super::progress::Progress;
use crate::bench::targets::{Demand, Spot, TARGETS, Target};
use crate::error::Result;
use crate::peer::Variant;
use crate::report::{ratio, short};

/// Measures what the targets need, repeats what is missed or close, prints every verdict, and fails if a target is
/// missed.
pub(crate) fn check(json: Option<&Path>) -> Result<ExitCode> {
    let mut campaign = Campaign::new(TIME)?;
    let spots = spots();
    let mut progress = Progress::new(spots.len() * ROUNDS);
    // Rounds over the whole: a neighbour's burst of work then spoils one round of many figures, which a median
    // bears, and not all rounds of one.
    for round in 0..ROUNDS {
        for (spot, variants) in &spots {
            if round == 0 || progress.elapsed() < ROUNDS_END {
                measure(&mut campaign, &mut progress, *spot, variants, 1)?;
            }
        }
    }
    for _ in 0..REPEATS_MAX {
        let doubtful = |(spot, _): &&(Spot, Vec<Variant>)| {
            let mut here = TARGETS.iter().filter(|target| target.needs(*spot));
            here.any(|target| target.verdicts(&campaign).iter().any(Verdict::is_doubtful))
        };
        let again: Vec<_> = spots.iter().filter(doubtful).collect();
        progress.extend(again.len());
        for (spot, variants) in again {
            if progress.elapsed() < REPEATS_END {
                measure(&mut campaign, &mut progress, *spot, variants, ROUNDS)?;
            }
        }
    }
    progress.clear();
    campaign.write_json(json)?;
    Ok(print(&campaign, progress.elapsed()))
}

fn measure(
    campaign: &mut Campaign,
    progress: &mut Progress,
    spot: Spot,
    variants: &[Variant],
    rounds: usize,
) -> Result<()> {
    progress.begin(&spot.to_string());
    campaign.measure(spot, variants, rounds)?;
    progress.step();
    Ok(())
}

/// Where to measure, and whom: this library and who is named in a demand, as far as they are built in.
/// What this library itself cannot do as it was built is left out.
fn spots() -> Vec<(Spot, Vec<Variant>)> {
    let mut spots: Vec<(Spot, Vec<Variant>)> = Vec::new();
    for target in TARGETS {
        if !is_built_in(target.spot, target.who) {
            continue;
        }
        let at = spots.iter().position(|(spot, _)| *spot == target.spot).unwrap_or_else(|| {
            spots.push((target.spot, Vec::new()));
            spots.len() - 1
        });
        let rivals = target.demands.iter().filter_map(|demand| demand.beside());
        for who in [target.who].into_iter().chain(rivals) {
            if is_built_in(target.spot, who) && !spots[at].1.contains(&who) {
                spots[at].1.push(who);
            }
        }
    }
    spots
}

fn is_built_in(spot: Spot, who: Variant) -> bool {
    spot.everybody().contains(&who)
}

/// What has become of a demand.
struct Verdict {
    demand: Demand,
    /// What is judged, or whom beside, is not built in.
    is_absent: bool,
    /// How good it is: 1 is just enough, more is better. `None` without figures.
    margin: Option<f64>,
    measured: String,
}

impl Verdict {
    fn is_missed(&self) -> bool {
        !self.is_absent && self.margin.is_none_or(|margin| margin < 1.0)
    }

    /// Missed, or so close that another median could decide otherwise.
    fn is_doubtful(&self) -> bool {
        !self.is_absent && self.margin.is_none_or(|margin| margin < CLOSE)
    }
}

impl Target {
    fn needs(&self, spot: Spot) -> bool {
        let beside = |demand: &Demand| matches!(demand, Demand::Beside(at, _) if *at == spot);
        self.spot == spot || self.demands.iter().any(beside)
    }

    fn verdicts(&self, campaign: &Campaign) -> Vec<Verdict> {
        self.demands.iter().map(|&demand| self.verdict(demand, campaign)).collect()
    }

    fn verdict(&self, demand: Demand, campaign: &Campaign) -> Verdict {
        let figure = |spot, who| campaign.figure(spot, who, self.metric).map(|s| s.median);
        let ours = figure(self.spot, self.who);
        let theirs = demand.beside().and_then(|who| figure(self.spot, who));
        let times = ours.zip(theirs).and_then(|(ours, theirs)| ratio(self.metric, ours, theirs));
        let (margin, measured) = match demand {
            Demand::Times(_, wanted) | Demand::Share(_, wanted) => {
                (times.map(|times| times / wanted), times.map(|times| format!("{}x", short(times))))
            }
            Demand::Within(_, allowed) => (
                times.map(|times| times * allowed),
                times.map(|times| format!("{}x", short(1.0 / times))),
            ),
            Demand::NoMore(_) => (
                ours.zip(theirs).map(|(ours, theirs)| at_most(ours, theirs)),
                ours.zip(theirs).map(|(o, t)| format!("{} beside {}", short(o), short(t))),
            ),
            Demand::Beside(spot, allowed) => {
                let times = ours.zip(figure(spot, self.who)).map(|(here, there)| here / there);
                (
                    times.map(|times| allowed / times),
                    times.map(|times| format!("{}x", short(times))),
                )
            }
            Demand::AtMost(most) => (ours.map(|ours| at_most(ours, most)), ours.map(short)),
            Demand::AtLeast(least) => (ours.map(|ours| ours / least), ours.map(short)),
        };
        let mut needed = demand.beside().into_iter().chain([self.who]);
        let is_absent = needed.any(|who| !is_built_in(self.spot, who));
        let measured = measured.unwrap_or_else(|| "no figure".to_owned());
        Verdict { demand, is_absent, margin, measured }
    }

    /// What is demanded, in words.
    fn wanted(&self, demand: Demand) -> String {
        let unit = self.metric.unit;
        match demand {
            Demand::Times(who, times) => format!("{times}x {}", who.name()),
            Demand::Within(who, times) => format!("within {times}x of {}", who.name()),
            Demand::Share(who, share) => format!("at least {share} of {}", who.name()),
            Demand::NoMore(who) => format!("no more than {}", who.name()),
            Demand::Beside(_, times) => format!("at most {times}x of unloaded"),
            Demand::AtMost(most) => format!("at most {} {unit}", short(most)),
            Demand::AtLeast(least) => format!("at least {} {unit}", short(least)),
        }
    }
}

/// How much room is left below `most`; nought leaves any amount.
fn at_most(ours: f64, most: f64) -> f64 {
    if ours <= 0.0 { f64::INFINITY } else { most / ours }
}

fn print(campaign: &Campaign, took: Duration) -> ExitCode {
    println!("{:<38}{:<28}{:<18}verdict", "target", "wanted", "measured");
    let mut missed = Vec::new();
    let mut absent = 0;
    for target in TARGETS {
        let ours = campaign.figure(target.spot, target.who, target.metric);
        let ours = ours.map_or_else(String::new, |s| {
            format!("{} {} {}", target.metric.name, short(s.median), target.metric.unit)
        });
        println!("{:<38}{ours}", target.what);
        for verdict in target.verdicts(campaign) {
            let wanted = target.wanted(verdict.demand);
            let word = match (verdict.is_absent, verdict.is_missed()) {
                (true, _) => "not built in",
                (false, true) => "MISSED",
                (false, false) => "met",
            };
            let measured = if verdict.is_absent { "" } else { &verdict.measured };
            println!("{:<38}{wanted:<28}{measured:<18}{word}", "");
            absent += usize::from(verdict.is_absent);
            if verdict.is_missed() {
                missed.push(format!("{}: {wanted}, measured {}", target.what, verdict.measured));
            }
        }
    }
    println!("\n{:.0} s, {absent} demands not judged, {} missed", took.as_secs_f64(), missed.len());
    missed.iter().for_each(|line| println!("missed: {line}"));
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How long a round measures: enough for hundreds of the slowest round trips.
const TIME: Duration = Duration::from_millis(120);

/// Rounds of every spot, and of one in doubt each time it is repeated.
const ROUNDS: usize = 3;

/// No round of all but the first goes on after this, to leave time for what is in doubt.
const ROUNDS_END: Duration = Duration::from_secs(220);

/// How often a spot in doubt is repeated.
const REPEATS_MAX: usize = 3;

/// No repeat begins later than this: the whole takes less than five minutes.
const REPEATS_END: Duration = Duration::from_secs(275);

/// A margin below this is within what medians of a few rounds scatter.
const CLOSE: f64 = 1.1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nought_is_below_any_limit() {
        assert!(at_most(0.0, 0.001) >= 1.0);
        assert!(at_most(0.002, 0.001) < 1.0);
        assert!(at_most(0.0, 0.0) >= 1.0);
    }

    #[test]
    fn a_demand_without_figures_is_missed_unless_its_peer_is_absent() {
        let verdict = |is_absent| Verdict {
            demand: Demand::AtMost(1.0),
            is_absent,
            margin: None,
            measured: String::new(),
        };
        assert!(verdict(false).is_missed());
        assert!(!verdict(true).is_missed());
    }
}
