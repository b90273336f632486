//! The workloads, and what a result consists of.

use std::fmt;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::error::Result;
use crate::peer::Variant;
use crate::place::{Placement, Seats, Side};
use crate::sys;

mod fanout;
pub(crate) mod far;
mod oneway;
mod pool;
mod rtt;

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bench {
    /// REQ/REP round trips, one at a time.
    Rtt,
    /// PUSH/PULL as fast as it goes.
    Oneway,
    /// PUB/SUB in a closed loop.
    Fanout,
    /// Buffers, registries and messages inside one process.
    Pool,
}

/// How the two ends are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// Loopback, two processes.
    Tcp,
    /// A UNIX socket, two processes.
    Ipc,
    /// Two threads of one process.
    Inproc,
}

/// Everything that stays the same while the peers take turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cell {
    /// The workload.
    pub(crate) bench: Bench,
    /// The connection.
    pub(crate) transport: Transport,
    /// Bytes in a message.
    pub(crate) size: usize,
    /// Where the two ends run.
    pub(crate) placement: Placement,
    /// The processors that makes.
    pub(crate) seats: Seats,
    /// Subscribers of a fan-out.
    pub(crate) subscribers: usize,
    /// How long a round measures, after [`WARM_UP`].
    pub(crate) time: Duration,
}

/// What one figure of a round means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metric {
    /// Its name in results.
    pub(crate) name: &'static str,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// Which way is better.
    pub(crate) better: Better,
}

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    /// Larger: a ratio is ours to theirs.
    Higher,
    /// Smaller: a ratio is theirs to ours.
    Lower,
    /// It should be nought: no ratio makes sense.
    None,
}

/// The figures of one round.
pub(crate) type Figures = Vec<(Metric, f64)>;

impl Cell {
    /// Runs one round of `variant` in this process.
    pub(crate) fn measure(&self, variant: Variant) -> Result<Figures> {
        match self.transport {
            Transport::Inproc if self.bench != Bench::Pool => self.seats.enter_shared()?,
            _ => self.seats.enter(Side::Near)?,
        }
        match self.bench {
            Bench::Rtt => rtt::measure(self, variant),
            Bench::Oneway => oneway::measure(self, variant),
            Bench::Fanout => fanout::measure(self, variant),
            Bench::Pool => pool::measure(self, variant),
        }
    }

    /// Whether both ends run in one process.
    pub(crate) fn shares_process(&self) -> bool {
        self.transport == Transport::Inproc
    }

    /// The address to listen on, unused by any other round that runs now.
    fn url(&self) -> String {
        let id = std::process::id();
        match self.transport {
            Transport::Tcp => "tcp://127.0.0.1:0".to_owned(),
            Transport::Ipc => format!("ipc://{}", scratch_path(id, "sock").display()),
            Transport::Inproc => format!("inproc://sp-bench-{id}"),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bench.name())?;
        if self.bench != Bench::Pool {
            write!(f, " {}", self.transport.name())?;
        }
        write!(f, " {} B, {}", self.size, self.placement.name())?;
        if self.bench == Bench::Fanout {
            write!(f, ", {} subscribers", self.subscribers)?;
        }
        Ok(())
    }
}

impl Bench {
    /// The workload's name on the command line and in results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rtt => "rtt",
            Self::Oneway => "oneway",
            Self::Fanout => "fanout",
            Self::Pool => "pool",
        }
    }
}

impl Transport {
    /// The transport's name on the command line and in results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Ipc => "ipc",
            Self::Inproc => "inproc",
        }
    }
}

impl Metric {
    /// The metric called `name`, if there is one.
    pub(crate) fn named(name: &str) -> Option<Self> {
        METRICS.into_iter().find(|metric| metric.name == name)
    }

    const fn new(name: &'static str, unit: &'static str, better: Better) -> Self {
        Self { name, unit, better }
    }
}

/// A file name of process `id` in the directory for temporary files.
pub(crate) fn scratch_path(id: u32, kind: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("sp-bench-{id}.{kind}"))
}

/// The part of a round that is measured: its length and the CPU time of this process.
struct Window {
    start: Instant,
    cpu: Duration,
}

impl Window {
    fn open() -> Self {
        let cpu = sys::cpu_time();
        Self { start: sys::now(), cpu }
    }

    /// Seconds until `end`, and seconds of CPU time until now.
    fn close(&self, end: Instant) -> (f64, f64) {
        let cpu = sys::cpu_time() - self.cpu;
        ((end - self.start).as_secs_f64(), cpu.as_secs_f64())
    }
}

/// Long enough for connections, allocators and processor clocks to settle.
pub(crate) const WARM_UP: Duration = Duration::from_millis(200);

const P50: Metric = Metric::new("p50", "us", Better::Lower);
const P99: Metric = Metric::new("p99", "us", Better::Lower);
const P999: Metric = Metric::new("p999", "us", Better::Lower);
/// Round trips or messages.
const RATE: Metric = Metric::new("rate", "1/s", Better::Higher);
const BYTES: Metric = Metric::new("bytes", "B/s", Better::Higher);
/// Received by all subscribers together.
const DELIVERED: Metric = Metric::new("delivered", "1/s", Better::Higher);
/// CPU time of both ends for each round trip, message or delivery.
const CPU: Metric = Metric::new("cpu", "us", Better::Lower);
/// Messages sent that never came in.
const LOST: Metric = Metric::new("lost", "1", Better::None);
const POOL_SAME: Metric = Metric::new("get-put", "ns", Better::Lower);
const POOL_BURST: Metric = Metric::new("get-put-burst", "ns", Better::Lower);
const POOL_CROSS: Metric = Metric::new("get-put-cross", "ns", Better::Lower);
const PEER_LOOKUP: Metric = Metric::new("peer-lookup", "ns", Better::Lower);
const PEER_ADD: Metric = Metric::new("peer-add", "ns", Better::Lower);
const CLONE: Metric = Metric::new("clone-1k", "ns", Better::Lower);

const METRICS: [Metric; 14] = [
    P50,
    P99,
    P999,
    RATE,
    BYTES,
    DELIVERED,
    CPU,
    LOST,
    POOL_SAME,
    POOL_BURST,
    POOL_CROSS,
    PEER_LOOKUP,
    PEER_ADD,
    CLONE,
];
