//! The workloads, and what a result consists of.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;

use crate::error::Result;
use crate::peer::{Role, Variant};
use crate::place::{Placement, Seats, Side};

mod client;
mod clients;
mod engine;
mod fanout;
pub(crate) mod far;
mod gauge;
mod idle;
mod latency;
pub(crate) mod metric;
mod oneway;
mod outstanding;
mod pairs;
mod pool;
mod rtt;
mod siege;
mod survey;
pub(crate) mod targets;
mod wire;

pub(crate) use metric::{Better, Metric};

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bench {
    /// REQ/REP round trips, one at a time.
    Rtt,
    /// The same on PAIR.
    RttPair,
    /// REQ/REP round trips beside a stream between the same two processes.
    Load,
    /// PUSH/PULL as fast as it goes.
    Oneway,
    /// The same on PAIR.
    OnewayPair,
    /// REQ/REP with many requests outstanding on one socket.
    Outstanding,
    /// PUB/SUB in a closed loop.
    Fanout,
    /// The same on BUS, all from one.
    FanoutBus,
    /// PUB/SUB as fast as it goes.
    Flood,
    /// The same on BUS, all from one.
    FloodBus,
    /// PUB/SUB as fast as it goes where both sides wait instead of dropping.
    Lossless,
    /// One survey after the other, each answered by everybody.
    Survey,
    /// Many sockets of the library, each asking one REP in a closed loop.
    Clients,
    /// The same with one bare client for the servers of all.
    BareClients,
    /// REQ/REP round trips, so many a second.
    Paced,
    /// Several REQ/REP pairs at once.
    Pairs,
    /// Buffers, registries and messages inside one process.
    Pool,
    /// The patterns' state machines without sockets.
    Engine,
    /// Many silent connections to one REP.
    Idle,
    /// REQ/REP round trips beside strangers who never finish their handshake.
    Siege,
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
    /// Datagrams over loopback, two processes. Messages have at most 65,000 bytes.
    Udp,
    /// WebSocket over loopback, two processes.
    Ws,
    /// TLS over loopback, two processes. Needs the feature `tls`, nng's also `peer-nng-tls`.
    Tls,
    /// WebSocket over TLS over loopback, two processes. Needs the same.
    Wss,
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
    /// How many subscribers, clients, requests, pairs or connections there are, or how often a second something
    /// happens: [`Bench::many`] says which.
    pub(crate) many: usize,
    /// How long a round measures, after [`WARM_UP`].
    pub(crate) time: Duration,
}

/// The figures of one round.
pub(crate) type Figures = Vec<(Metric, f64)>;

impl Cell {
    /// Runs one round of `variant` in this process.
    pub(crate) fn measure(&self, variant: Variant) -> Result<Figures> {
        match self.transport {
            Transport::Inproc if !self.bench.is_alone() => self.seats.enter_shared()?,
            _ => self.seats.enter(Side::Near)?,
        }
        match self.bench {
            Bench::Rtt | Bench::RttPair | Bench::Load | Bench::Paced => rtt::measure(self, variant),
            Bench::Oneway | Bench::OnewayPair => oneway::measure(self, variant),
            Bench::Outstanding => outstanding::measure(self, variant),
            Bench::Fanout | Bench::FanoutBus | Bench::Flood | Bench::FloodBus | Bench::Lossless => {
                fanout::measure(self, variant)
            }
            Bench::Survey => survey::measure(self, variant),
            Bench::Clients | Bench::BareClients => clients::measure(self, variant),
            Bench::Pairs => pairs::measure(self, variant),
            Bench::Pool => pool::measure(self, variant),
            Bench::Engine => engine::measure(self, variant),
            Bench::Idle => idle::measure(self, variant),
            Bench::Siege => siege::measure(self, variant),
        }
    }

    /// Whether both ends run in one process.
    pub(crate) fn shares_process(&self) -> bool {
        self.transport == Transport::Inproc
    }

    /// The address for the listener `index`, unused by any other round that runs now.
    fn url(&self, index: usize) -> String {
        let id = std::process::id();
        match self.transport {
            Transport::Tcp => "tcp://127.0.0.1:0".to_owned(),
            Transport::Udp => "udp://127.0.0.1:0".to_owned(),
            Transport::Ipc => {
                format!("ipc://{}", scratch_path(id, &format!("{index}.sock")).display())
            }
            Transport::Inproc => format!("inproc://sp-bench-{id}-{index}"),
            Transport::Ws => "ws://127.0.0.1:0/sp-bench".to_owned(),
            Transport::Tls => "tls+tcp://127.0.0.1:0".to_owned(),
            Transport::Wss => "wss://127.0.0.1:0/sp-bench".to_owned(),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bench, transport, size, placement, many, .. } = *self;
        targets::Spot { bench, transport, size, placement, many }.fmt(f)
    }
}

impl fmt::Display for targets::Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bench.name())?;
        if !self.bench.is_alone() {
            write!(f, " {}", self.transport.name())?;
        }
        write!(f, " {} B, {}", self.size, self.placement.name())?;
        let many = self.bench.many().map(|name| name.replace('_', " "));
        many.map_or(Ok(()), |name| write!(f, ", {} {name}", self.many))
    }
}

impl Bench {
    /// The workload's name on the hidden command line and in results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rtt => "rtt",
            Self::RttPair => "rtt-pair",
            Self::Load => "load",
            Self::Oneway => "oneway",
            Self::OnewayPair => "oneway-pair",
            Self::Outstanding => "outstanding",
            Self::Fanout => "fanout",
            Self::FanoutBus => "fanout-bus",
            Self::Flood => "flood",
            Self::FloodBus => "flood-bus",
            Self::Lossless => "lossless",
            Self::Survey => "survey",
            Self::Clients => "clients",
            Self::BareClients => "bare-clients",
            Self::Paced => "paced",
            Self::Pairs => "pairs",
            Self::Pool => "pool",
            Self::Engine => "engine",
            Self::Idle => "idle",
            Self::Siege => "siege",
        }
    }

    /// What there are many of, and by which name the number stands in results.
    pub(crate) const fn many(self) -> Option<&'static str> {
        match self {
            Self::Rtt | Self::RttPair | Self::Oneway | Self::OnewayPair | Self::Pool => None,
            Self::Load => Some("streamed_per_second"),
            Self::Outstanding => Some("outstanding"),
            Self::Fanout | Self::Flood | Self::Lossless | Self::Engine => Some("subscribers"),
            Self::FanoutBus | Self::FloodBus => Some("neighbours"),
            Self::Survey => Some("respondents"),
            Self::Clients | Self::BareClients => Some("clients"),
            Self::Paced => Some("per_second"),
            Self::Pairs => Some("pairs"),
            Self::Idle => Some("connections"),
            Self::Siege => Some("strangers"),
        }
    }

    /// What the end that measures is for, and what the far end is for.
    pub(crate) const fn roles(self) -> (Role, Role) {
        match self {
            Self::Oneway => (Role::Pull, Role::Push),
            Self::OnewayPair => (Role::PairIn, Role::PairOut),
            Self::RttPair => (Role::Pair, Role::Pair),
            Self::Fanout | Self::Flood => (Role::Pub, Role::Sub),
            Self::FanoutBus | Self::FloodBus => (Role::Bus, Role::Bus),
            Self::Lossless => (Role::WaitingPub, Role::WaitingSub),
            Self::Survey => (Role::Surveyor, Role::Respondent),
            _ => (Role::Req, Role::Rep),
        }
    }

    /// Whether it publishes as fast as it goes.
    const fn is_flood(self) -> bool {
        matches!(self, Self::Flood | Self::FloodBus | Self::Lossless)
    }

    /// Whether it runs inside one thread or two, without any transport.
    pub(crate) const fn is_alone(self) -> bool {
        matches!(self, Self::Pool | Self::Engine)
    }
}

impl Transport {
    /// The transport's name on the command line and in results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Ipc => "ipc",
            Self::Inproc => "inproc",
            Self::Udp => "udp",
            Self::Ws => "ws",
            Self::Tls => "tls",
            Self::Wss => "wss",
        }
    }
}

/// A file name of process `id` in the directory for temporary files.
pub(crate) fn scratch_path(id: u32, kind: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("sp-bench-{id}.{kind}"))
}

/// Long enough for connections, allocators and processor clocks to settle.
pub(crate) const WARM_UP: Duration = Duration::from_millis(100);
