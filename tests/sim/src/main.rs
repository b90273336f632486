//! Runs simulated worlds, seed after seed, until a promise is broken or the time is over.
//!
//! ```text
//! cargo run --release -p sp-sim -- --seconds 60
//! cargo run --release -p sp-sim -- --pattern reqrep --seed 7
//! ```

#![expect(clippy::print_stdout, reason = "a program whose results are its output")]

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sp_core::clock;
use sp_sim::faults::Faults;
use sp_sim::oracle::{Failure, Oracle};
use sp_sim::patterns::{self, Pattern};
use sp_sim::{Report, Settings, mutate, run};

fn main() -> ExitCode {
    // A broken engine may panic; what it says is reported with the run.
    std::panic::set_hook(Box::new(|_| {}));
    let mut args = std::env::args().skip(1).peekable();
    let done = if args.next_if_eq("mutate").is_some() {
        mutate::check(&args.collect::<Vec<String>>(), |line| println!("{line}"))
    } else {
        Wanted::parse(args).and_then(|wanted| wanted.run())
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// What was asked for.
struct Wanted {
    first: u64,
    seeds: u64,
    until: Option<Instant>,
    pattern: Option<&'static Pattern>,
    settings: Settings,
}

impl Wanted {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut seeds, mut first, mut until) = (None, None, None);
        let (mut pattern, mut settings) = (None, Settings::default());
        while let Some(arg) = args.next() {
            let value = args.next().ok_or_else(|| format!("{arg} wants a value\n{USAGE}"))?;
            let bad = || format!("{arg} cannot be {value}\n{USAGE}");
            match arg.as_str() {
                "--seed" => first = Some(number(&value).ok_or_else(bad)?),
                "--seeds" => seeds = Some(number(&value).ok_or_else(bad)?),
                "--seconds" => {
                    let seconds = number(&value).ok_or_else(bad)?;
                    until = Some(clock::after(clock::now(), Duration::from_secs(seconds)));
                }
                "--pattern" => pattern = Some(patterns::named(&value).ok_or_else(bad)?),
                "--faults" => settings.faults = Some(Faults::parse(&value)?),
                "--events" => settings.events = number(&value).ok_or_else(bad)? as usize,
                _ => return Err(format!("{arg} is unknown\n{USAGE}")),
            }
        }
        // One seed is one run, unless a number or a time says otherwise.
        let usual = if first.is_some() && until.is_none() { 1 } else { u64::MAX };
        if first.is_none() && until.is_none() && seeds.is_none() {
            until = Some(clock::after(clock::now(), USUALLY));
        }
        let first = first.unwrap_or_else(|| RandomState::new().hash_one(0_u8));
        Ok(Self { first, seeds: seeds.unwrap_or(usual), until, pattern, settings })
    }

    fn run(&self) -> Result<(), String> {
        let (mut events, mut time, mut runs) = (0, Duration::ZERO, 0);
        let start = clock::now();
        while runs < self.seeds && self.until.is_none_or(|until| clock::now() < until) {
            let seed = self.first.wrapping_add(runs);
            let pattern = self
                .pattern
                .unwrap_or_else(|| &patterns::ALL[(seed % patterns::ALL.len() as u64) as usize]);
            let mut report = run(pattern, seed, self.settings);
            if runs.is_multiple_of(REPLAYED)
                && run(pattern, seed, self.settings).hash != report.hash
            {
                let what = "the same seed made two different runs";
                report.failure.get_or_insert_with(|| Failure::new(Oracle::Replay, what));
            }
            if let Some(failure) = &report.failure {
                return Err(self.describe(pattern, seed, &report, failure));
            }
            events += report.events;
            time += report.time;
            runs += 1;
        }
        let (hours, took) = (time.as_secs_f64() / 3600.0, clock::now() - start);
        println!(
            "{runs} runs from seed {}, {events} events, {hours:.1} virtual hours, {took:.1?}",
            self.first
        );
        Ok(())
    }

    /// The last events, the promise, and the command that makes this run again.
    fn describe(&self, pattern: &Pattern, seed: u64, report: &Report, failure: &Failure) -> String {
        let events: String = report.last.iter().map(|entry| format!("{entry}\n")).collect();
        let faults =
            self.settings.faults.map(|faults| format!(" --faults {faults}")).unwrap_or_default();
        let name = pattern.name;
        let again =
            format!("cargo run --release -p sp-sim -- --pattern {name} --seed {seed}{faults}");
        format!("{events}FAILED {failure}\nFAILED {} again with: {again}", failure.oracle)
    }
}

/// A number, in decimal or after `0x` in hexadecimal.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Every so many runs one is made twice and has to come out the same.
const REPLAYED: u64 = 50;

/// How long it runs if nothing is said.
const USUALLY: Duration = Duration::from_secs(10);

const USAGE: &str = "\
usage: sp-sim [--seconds N] [--seeds N] [--seed S] [--pattern P] [--faults none|all|cut,delay,…] [--events N]
       sp-sim mutate [NAME]…";
