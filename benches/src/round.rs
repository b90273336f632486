//! Rounds: the peers take turns, each round in a process of its own, under a watchdog.
//!
//! A process for each round keeps one peer's threads, memory and processor placement from touching the next, and
//! a round that hangs is ended by the id of its process. Its far end notices and ends itself.

use std::env;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::bench::{Cell, Figures, Metric, WARM_UP};
use crate::error::{Error, Result};
use crate::peer::Variant;
use crate::sys;

/// All rounds of one variant in one cell.
pub(crate) struct Series {
    /// Who was measured.
    pub(crate) variant: Variant,
    /// The figures of the rounds that succeeded.
    pub(crate) rounds: Vec<Figures>,
}

/// A metric over all rounds of a variant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    /// The middle round, or what lies between the middle two.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
    /// How many rounds have the metric.
    pub(crate) rounds: usize,
}

impl Series {
    /// What the rounds say of `metric`, if any has it.
    pub(crate) fn summary(&self, metric: Metric) -> Option<Summary> {
        let mut values: Vec<f64> = self.rounds.iter().filter_map(|f| metric.of(f)).collect();
        values.sort_unstable_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Summary { median, min, max, rounds: values.len() })
    }
}

/// A directory for the files of the rounds, removed with all that killed processes left in it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes the directory.
    pub(crate) fn new() -> Result<Self> {
        let path = crate::bench::scratch_path(std::process::id(), "dir");
        fs::create_dir(&path).map_err(Error::io("make a directory for temporary files"))?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system, which clears its temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Measures every variant `rounds` times, taking turns: A B C A B C. A round that fails is told on the standard
/// error output and left out.
pub(crate) fn run(
    cell: &Cell,
    variants: &[Variant],
    rounds: usize,
    scratch: &Scratch,
) -> Vec<Series> {
    let new = |&variant| Series { variant, rounds: Vec::with_capacity(rounds) };
    let mut all: Vec<Series> = variants.iter().map(new).collect();
    for round in 1..=rounds {
        for series in &mut all {
            match run_one(cell, series.variant, scratch) {
                Ok(figures) => series.rounds.push(figures),
                Err(e) => {
                    eprintln!("failed: {}, {}, round {round}: {e}", cell, series.variant.name())
                }
            }
        }
    }
    all
}

/// This program again, for `part` of a round: `measure` or `serve`.
pub(crate) fn again(part: &str, cell: &Cell, variant: Variant) -> Result<Command> {
    let mut command = Command::new(env::current_exe().map_err(Error::io("find this program"))?);
    command
        .arg(part)
        .args(["--bench", cell.bench.name()])
        .args(["--transport", cell.transport.name()])
        .args(["--size", &cell.size.to_string()])
        .args(["--placement", cell.placement.name()])
        .args(["--many", &cell.many.to_string()])
        .args(["--seconds", &cell.time.as_secs_f64().to_string()])
        .args(["--variant", variant.name()]);
    for (name, seat) in [("--near-cpu", cell.seats.near), ("--far-cpu", cell.seats.far)] {
        command.args(seat.map(|cpu| [name.to_owned(), cpu.to_string()]).into_iter().flatten());
    }
    Ok(command)
}

/// Lets this process end when the one that started it, and holds the other side of its standard input, is gone.
pub(crate) fn end_with_parent() {
    thread::spawn(|| {
        // Nothing is ever written there: the read returns when the other side is closed.
        let _ = io::stdin().lock().read(&mut [0]);
        sys::exit_now(1)
    });
}

fn run_one(cell: &Cell, variant: Variant, scratch: &Scratch) -> Result<Figures> {
    let mut child = again("measure", cell, variant)?
        .env("TMPDIR", scratch.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::io("start a round"))?;
    let lifeline = child.stdin.take();
    let told = watch(&mut child, WARM_UP + cell.time + SLACK);
    // After a round that ended by itself this does nothing.
    let _ = child.kill();
    let status = child.wait().map_err(Error::io("wait for a round"))?;
    drop(lifeline);
    let (out, err) = told?;
    if status.success() { parse(&out) } else { Err(last_words(status, &err)) }
}

/// What the child says on its two outputs, if it closes the first one within `limit`.
fn watch(child: &mut Child, limit: Duration) -> Result<(String, String)> {
    let out = collect(child.stdout.take());
    let err = collect(child.stderr.take());
    let out = match out.recv_timeout(limit) {
        Ok(text) => text.map_err(Error::io("read from a round"))?,
        Err(RecvTimeoutError::Timeout) => return Err(Error::Watchdog(limit)),
        Err(RecvTimeoutError::Disconnected) => return Err(Error::Gone),
    };
    // The far end holds this output too and may outlive the round by a moment.
    let err = err.recv_timeout(ERRORS_MAX).ok().and_then(io::Result::ok).unwrap_or_default();
    Ok((out, err))
}

fn collect(from: Option<impl Read + Send + 'static>) -> mpsc::Receiver<io::Result<String>> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let read = from.map_or(Ok(0), |mut from| from.read_to_string(&mut text));
        // After the limit nobody listens any more.
        let _ = tell.send(read.map(|_| text));
    });
    told
}

/// The figures, a line each: name and value.
fn parse(out: &str) -> Result<Figures> {
    let figure = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((Metric::named(name)?, value.parse().ok()?))
    };
    out.lines()
        .map(|line| figure(line).ok_or_else(|| Error::Child { why: format!("said `{line}`") }))
        .collect()
}

fn last_words(status: ExitStatus, err: &str) -> Error {
    let last = err.lines().last().unwrap_or_default();
    let why = if last.is_empty() { status.to_string() } else { last.to_owned() };
    Error::Child { why }
}

/// What a round may take beyond its warm-up and measurement: start, connections, draining.
const SLACK: Duration = Duration::from_secs(15);

/// How long a round's error output is waited for after its figures.
const ERRORS_MAX: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_parsed_by_name() {
        let figures = parse("p50 12.5\nlost 0\n").unwrap_or_default();
        let plain: Vec<_> = figures.iter().map(|(metric, value)| (metric.name, *value)).collect();
        assert_eq!(plain, [("p50", 12.5), ("lost", 0.0)]);
    }

    #[test]
    fn an_unknown_figure_is_an_error() {
        assert!(parse("speed 3").is_err());
        assert!(parse("p50 fast").is_err());
        assert!(parse("p50").is_err());
    }

    #[test]
    fn a_child_that_says_nothing_is_given_up_after_the_limit() {
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("every system this runs on has `cat`");
        let told = watch(&mut child, Duration::from_millis(20));
        assert!(matches!(told, Err(Error::Watchdog(_))));
        drop(child.stdin.take());
        assert!(child.wait().is_ok());
    }
}
