//! The part of a round that is measured, the same for every workload.

use std::time::{Duration, Instant};

use super::far::{Command, Far};
use super::latency::Latencies;
use super::metric::{ALLOCATIONS, BYTES, CALLS, CPU, RATE, RESIDENT, SWITCHES};
use super::{Cell, Figures, WARM_UP};
use crate::error::Result;
use crate::peer::Variant;
use crate::sys::{self, Usage};
use crate::trace::SystemCalls;

/// What a workload is asked to do for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Settle.
    WarmUp,
    /// Be measured.
    Timed,
    /// Have the system calls counted, which slows them down.
    Counted,
}

/// What the measured part came to.
pub(super) struct Gauge {
    /// Round trips, messages or deliveries.
    pub(super) count: u64,
    /// How long they took.
    pub(super) secs: f64,
    used: Usage,
    calls: Option<f64>,
    resident: Option<u64>,
}

impl Gauge {
    /// Lets `run` warm up, be measured, and have its system calls counted. It works until the time it is given, and
    /// gives how much it did and when it really ended.
    ///
    /// The far end is asked for its usage while `run` goes on: pausing would fill buffers in between.
    pub(super) fn take(
        cell: &Cell,
        far: &mut Far,
        mut run: impl FnMut(Part, Instant) -> Result<(u64, Instant)>,
    ) -> Result<Self> {
        run(Part::WarmUp, sys::now() + WARM_UP)?;
        far.send(Command::Mark)?;
        let (before, start) = (Usage::now(), sys::now());
        let (count, end) = run(Part::Timed, start + cell.time)?;
        let used = Usage::now().since(before);
        far.send(Command::Mark)?;
        let calls = count_calls(far, &mut run)?;
        let used = used.and(far.used_between_marks()?);
        let resident = sys::resident_memory(far.process().unwrap_or_else(std::process::id));
        Ok(Self { count, secs: (end - start).as_secs_f64(), used, calls, resident })
    }

    /// What happened in a second.
    pub(super) fn rate(&self) -> f64 {
        self.count as f64 / self.secs
    }

    /// How long things took, how many there were, and what they cost.
    pub(super) fn round_trips(&self, trips: &mut Latencies, variant: Variant) -> Figures {
        let mut figures = trips.figures();
        figures.push((RATE, self.rate()));
        figures.extend(self.costs(variant));
        figures
    }

    /// How many messages of `size` bytes there were, and what they cost.
    pub(super) fn messages(&self, size: usize, variant: Variant) -> Figures {
        let mut figures = vec![(RATE, self.rate()), (BYTES, self.rate() * size as f64)];
        figures.extend(self.costs(variant));
        figures
    }

    /// What each of them cost.
    pub(super) fn costs(&self, variant: Variant) -> Figures {
        let each = |total: f64| total / self.count as f64;
        let mut figures = vec![(CPU, each(self.used.cpu.as_secs_f64() * 1e6))];
        figures.extend(self.calls.map(|calls| (CALLS, calls)));
        figures.push((SWITCHES, each(self.used.switches as f64)));
        if variant.is_rust() {
            figures.push((ALLOCATIONS, each(self.used.allocations as f64)));
        }
        figures.extend(self.resident.map(|bytes| (RESIDENT, bytes as f64 / 1024.0)));
        figures
    }
}

/// System calls of both ends for each thing done, if the kernel tells.
fn count_calls(
    far: &Far,
    run: &mut impl FnMut(Part, Instant) -> Result<(u64, Instant)>,
) -> Result<Option<f64>> {
    let processes: Vec<u32> = far.process().into_iter().chain([std::process::id()]).collect();
    let Some(calls) = SystemCalls::watch(&processes) else { return Ok(None) };
    let (count, _) = run(Part::Counted, sys::now() + COUNTED)?;
    Ok(calls.count().filter(|_| count > 0).map(|calls| calls as f64 / count as f64))
}

/// Long enough for some hundred of the slowest round trips.
const COUNTED: Duration = Duration::from_millis(50);
