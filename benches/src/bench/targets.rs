//! What this library is to reach, and beside whom: the one table that `check` judges.

use super::metric::{
    ALLOCATIONS, CALLS, CONNECTED, CPU, DELIVERED, IDLE_CPU, KEPT, LOST, LOST_SHARE, MEMORY, P50,
    P99, RATE, SERVED,
};
use super::{Bench, Metric, Transport};
use crate::peer::Variant;
use crate::place::Placement;

/// Something measured that has to be good enough.
pub(crate) struct Target {
    /// Its name for people.
    pub(crate) what: &'static str,
    /// Whose figure counts: this library's, one way or another.
    pub(crate) who: Variant,
    /// What is measured.
    pub(crate) spot: Spot,
    /// Which of its figures counts.
    pub(crate) metric: Metric,
    /// What the figure has to be.
    pub(crate) demands: &'static [Demand],
}

/// A workload and where it runs; with a duration and processors it is a [`Cell`](super::Cell).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The workload.
    pub(crate) bench: Bench,
    /// The connection.
    pub(crate) transport: Transport,
    /// Bytes in a message.
    pub(crate) size: usize,
    /// Where the two ends run.
    pub(crate) placement: Placement,
    /// What [`Bench::many`] says.
    pub(crate) many: usize,
}

/// What a figure of this library has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Demand {
    /// So many times better than a peer's.
    Times(Variant, f64),
    /// At most so many times worse than a floor's.
    Within(Variant, f64),
    /// At least this share of a floor's.
    Share(Variant, f64),
    /// No more than a peer's, where nought is best.
    NoMore(Variant),
    /// At most so many times the figure somewhere else.
    Beside(Spot, f64),
    /// At most this, in the unit of the metric.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

impl Demand {
    /// Who has to be measured to judge it.
    pub(crate) const fn beside(self) -> Option<Variant> {
        match self {
            Self::Times(who, _)
            | Self::Within(who, _)
            | Self::Share(who, _)
            | Self::NoMore(who) => Some(who),
            Self::Beside(..) | Self::AtMost(_) | Self::AtLeast(_) => None,
        }
    }
}

impl Spot {
    const fn new(bench: Bench, transport: Transport, size: usize, placement: Placement) -> Self {
        Self { bench, transport, size, placement, many: 1 }
    }

    const fn many(self, many: usize) -> Self {
        Self { many, ..self }
    }

    /// The same with messages of `size` bytes.
    pub(crate) const fn sized(self, size: usize) -> Self {
        Self { size, ..self }
    }

    /// The same over another transport.
    pub(crate) const fn over(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    /// The same with another number of what there are many of.
    pub(crate) const fn with_many(self, many: usize) -> Self {
        self.many(many)
    }
}

const fn target(
    what: &'static str,
    spot: Spot,
    metric: Metric,
    demands: &'static [Demand],
) -> Target {
    Target { what, who: Variant::Sp, spot, metric, demands }
}

use Demand::{AtLeast, AtMost, Beside, NoMore, Share, Times, Within};
use Placement::{Free, OneCore, TwoCores};
use Transport::{Inproc, Ipc, Tcp, Tls, Udp, Ws, Wss};
use Variant::{
    Nng, NngAio, Omq, RawBatch, RawBlock, RawEpoll, RawSpin, RawTokio, RawXbeam, SpTokio, Zmq,
};

/// Round trips over tcp, each end on its own processor.
pub(crate) const RTT_TCP: Spot = Spot::new(Bench::Rtt, Tcp, 64, TwoCores);
const RTT_TCP_FREE: Spot = Spot::new(Bench::Rtt, Tcp, 64, Free);
/// Round trips over ipc.
pub(crate) const RTT_IPC: Spot = Spot::new(Bench::Rtt, Ipc, 64, TwoCores);
/// Round trips in one process.
pub(crate) const RTT_INPROC: Spot = Spot::new(Bench::Rtt, Inproc, 64, TwoCores);
const RTT_ONE_CORE: Spot = Spot::new(Bench::Rtt, Tcp, 64, OneCore);
/// Round trips beside a stream that every peer can carry.
pub(crate) const LOAD: Spot = Spot::new(Bench::Load, Tcp, 64, Free).many(10_000);
const OUTSTANDING: Spot = Spot::new(Bench::Outstanding, Tcp, 64, TwoCores).many(64);
const PAIRS: Spot = Spot::new(Bench::Pairs, Tcp, 64, Free).many(4);
const PACED_1K: Spot = Spot::new(Bench::Paced, Tcp, 64, Free).many(1000);
const PACED_10K: Spot = Spot::new(Bench::Paced, Tcp, 64, Free).many(10_000);
/// A stream over tcp.
pub(crate) const ONEWAY_TCP: Spot = Spot::new(Bench::Oneway, Tcp, 64, TwoCores);
/// A stream over ipc.
pub(crate) const ONEWAY_IPC: Spot = Spot::new(Bench::Oneway, Ipc, 64, TwoCores);
/// A stream in one process.
pub(crate) const ONEWAY_INPROC: Spot = Spot::new(Bench::Oneway, Inproc, 64, TwoCores);
/// Round trips on PAIR.
pub(crate) const PAIR_RTT: Spot = Spot::new(Bench::RttPair, Tcp, 64, TwoCores);
/// A stream on PAIR.
pub(crate) const PAIR_ONEWAY: Spot = Spot::new(Bench::OnewayPair, Tcp, 64, TwoCores);
/// A BUS to many neighbours in a closed loop.
pub(crate) const BUS: Spot = Spot::new(Bench::FanoutBus, Tcp, 64, Free).many(16);
/// Surveys that everybody answers.
pub(crate) const SURVEY: Spot = Spot::new(Bench::Survey, Tcp, 64, Free).many(16);
/// Round trips over WebSocket.
pub(crate) const RTT_WS: Spot = RTT_TCP.over(Ws);
/// Round trips over TLS.
pub(crate) const RTT_TLS: Spot = RTT_TCP.over(Tls);
/// Round trips over WebSocket and TLS.
pub(crate) const RTT_WSS: Spot = RTT_TCP.over(Wss);
/// Round trips of datagrams.
pub(crate) const RTT_UDP: Spot = RTT_TCP.over(Udp);
/// A stream of datagrams, which nobody slows down.
pub(crate) const ONEWAY_UDP: Spot = ONEWAY_TCP.over(Udp);
/// A stream over WebSocket.
pub(crate) const ONEWAY_WS: Spot = ONEWAY_TCP.over(Ws);
/// A stream over TLS.
pub(crate) const ONEWAY_TLS: Spot = ONEWAY_TCP.over(Tls);
/// A stream over WebSocket and TLS.
pub(crate) const ONEWAY_WSS: Spot = ONEWAY_TCP.over(Wss);
/// Publishing in a closed loop.
pub(crate) const FANOUT: Spot = Spot::new(Bench::Fanout, Tcp, 64, Free).many(64);
/// Publishing as fast as it goes.
pub(crate) const FLOOD: Spot = Spot::new(Bench::Flood, Tcp, 64, Free).many(64);
const LOSSLESS: Spot = Spot::new(Bench::Lossless, Tcp, 64, Free).many(64);
/// Many clients.
pub(crate) const CLIENTS: Spot = Spot::new(Bench::Clients, Tcp, 64, Free).many(1000);
/// The same, the servers of all asked by one bare client.
pub(crate) const BARE_CLIENTS: Spot = Spot::new(Bench::BareClients, Tcp, 64, Free).many(1000);
/// Many silent connections.
pub(crate) const IDLE: Spot = Spot::new(Bench::Idle, Tcp, 64, Free).many(2000);
const SIEGE: Spot = Spot::new(Bench::Siege, Tcp, 64, Free).many(1000);

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// All of them, in the order of the printed table. "Never slower than the fastest rival in Rust" is the demand of
/// once omq.
pub(crate) const TARGETS: &[Target] = &[
    target(
        "round trip tcp 64 B, two cores",
        RTT_TCP,
        P50,
        &[Times(Nng, 8.0), Times(Zmq, 7.0), Within(RawSpin, 1.7), Times(Omq, 1.0)],
    ),
    target(
        "round trip tcp 64 B, unpinned",
        RTT_TCP_FREE,
        P50,
        &[Times(Nng, 8.0), Times(Zmq, 7.0), Within(RawSpin, 1.7), Times(Omq, 1.0)],
    ),
    target(
        "round trip ipc 64 B",
        RTT_IPC,
        P50,
        &[Times(Nng, 14.0), Times(Zmq, 10.0), Within(RawSpin, 1.8), Times(Omq, 1.0)],
    ),
    target(
        "round trip inproc 64 B",
        RTT_INPROC,
        P50,
        &[Times(Nng, 100.0), Times(Zmq, 80.0), AtMost(1.0), Times(Omq, 1.0)],
    ),
    target(
        "round trip tcp, one core",
        RTT_ONE_CORE,
        P50,
        &[Times(Nng, 4.0), Times(Zmq, 2.8), Within(RawBlock, 1.2), Times(Omq, 1.0)],
    ),
    target(
        "64 requests outstanding, tcp",
        OUTSTANDING,
        RATE,
        &[Times(NngAio, 10.0), Times(Zmq, 2.0), Times(Omq, 1.0)],
    ),
    target(
        "4 pairs on 2 cores, sum",
        PAIRS,
        RATE,
        &[Times(Nng, 5.0), Times(Zmq, 3.0), Times(Omq, 1.0)],
    ),
    target(
        "paced at 1 kHz, p50",
        PACED_1K,
        P50,
        &[Times(Nng, 4.0), Times(Zmq, 3.0), Within(RawBlock, 1.4), Times(Omq, 1.0)],
    ),
    target("paced at 1 kHz, CPU", PACED_1K, CPU, &[Times(Nng, 3.0), Times(Zmq, 2.0)]),
    target(
        "paced at 10 kHz, p50",
        PACED_10K,
        P50,
        &[Times(Nng, 4.0), Times(Zmq, 3.0), Within(RawBlock, 1.4), Times(Omq, 1.0)],
    ),
    target("paced at 10 kHz, CPU", PACED_10K, CPU, &[Times(Nng, 3.0), Times(Zmq, 2.0)]),
    target(
        "one way tcp 64 B",
        ONEWAY_TCP,
        RATE,
        &[
            Times(Nng, 300.0),
            Times(NngAio, 40.0),
            Times(Zmq, 4.0),
            Share(RawBatch, 0.3),
            Times(Omq, 1.0),
        ],
    ),
    target(
        "one way ipc 64 B",
        ONEWAY_IPC,
        RATE,
        &[Times(Nng, 300.0), Times(Zmq, 4.0), Share(RawBatch, 0.3), Times(Omq, 1.0)],
    ),
    target(
        "one way tcp 1 KiB",
        ONEWAY_TCP.sized(KIB),
        RATE,
        &[
            Times(Nng, 40.0),
            Times(NngAio, 8.0),
            Times(Zmq, 3.0),
            Share(RawBatch, 0.5),
            Times(Omq, 1.0),
        ],
    ),
    target(
        "one way tcp 64 KiB",
        ONEWAY_TCP.sized(64 * KIB),
        RATE,
        &[Times(Nng, 2.5), Times(Zmq, 1.5), Share(RawBatch, 0.8), Times(Omq, 1.0)],
    ),
    target(
        "one way ipc 64 KiB",
        ONEWAY_IPC.sized(64 * KIB),
        RATE,
        &[Times(Nng, 2.5), Times(Zmq, 2.5), Share(RawBatch, 0.8), Times(Omq, 1.0)],
    ),
    target(
        "one way tcp 1 MiB",
        ONEWAY_TCP.sized(MIB),
        RATE,
        &[Times(Nng, 1.0), Times(Zmq, 1.0), Share(RawBatch, 0.8), Times(Omq, 1.0)],
    ),
    target(
        "one way ipc 1 MiB",
        ONEWAY_IPC.sized(MIB),
        RATE,
        &[Times(Nng, 1.0), Times(Zmq, 1.0), Share(RawBatch, 0.8), Times(Omq, 1.0)],
    ),
    target(
        "one way inproc 64 B",
        ONEWAY_INPROC,
        RATE,
        &[Times(Nng, 500.0), Times(Zmq, 4.0), Share(RawXbeam, 0.6), Times(Omq, 1.0)],
    ),
    target(
        "64 subscribers, closed loop",
        FANOUT,
        DELIVERED,
        &[Times(Nng, 40.0), Times(Zmq, 2.0), Times(Omq, 1.0)],
    ),
    target(
        "64 subscribers, flood",
        FLOOD,
        DELIVERED,
        &[Times(Nng, 30.0), Times(Zmq, 2.0), Times(Omq, 1.0)],
    ),
    target("64 subscribers, flood, lost", FLOOD, LOST_SHARE, &[NoMore(Nng)]),
    target("64 subscribers, nothing dropped", LOSSLESS, DELIVERED, &[AtLeast(10e6)]),
    target("64 subscribers, nothing dropped, lost", LOSSLESS, LOST, &[AtMost(0.0)]),
    target("1,000 clients", CLIENTS, RATE, &[Times(Nng, 4.0), Times(Zmq, 2.0), Times(Omq, 1.0)]),
    target("PAIR round trip tcp 64 B", PAIR_RTT, P50, &[Times(Nng, 1.0)]),
    target("PAIR round trip inproc 64 B", PAIR_RTT.over(Inproc), P50, &[Times(Nng, 1.0)]),
    target("PAIR one way tcp 64 B", PAIR_ONEWAY, RATE, NOT_SLOWER),
    target("PAIR one way ipc 64 KiB", PAIR_ONEWAY.over(Ipc).sized(64 * KIB), RATE, NOT_SLOWER),
    target("PAIR one way inproc 1 MiB", PAIR_ONEWAY.over(Inproc).sized(MIB), RATE, NOT_SLOWER),
    target("BUS to 16, closed loop", BUS, DELIVERED, NOT_SLOWER),
    target("BUS to 16, closed loop, 64 KiB", BUS.sized(64 * KIB), DELIVERED, NOT_SLOWER),
    target("BUS to 16, inproc", BUS.over(Inproc), DELIVERED, NOT_SLOWER),
    target("surveys of 16, tcp", SURVEY, RATE, &[Times(Nng, 1.0)]),
    target("surveys of 16, ipc", SURVEY.over(Ipc), RATE, &[Times(Nng, 1.0)]),
    target("surveys of 16, inproc", SURVEY.over(Inproc), RATE, &[Times(Nng, 1.0)]),
    target("round trip ws 64 B", RTT_WS, P50, &[Times(Nng, 1.0)]),
    target("one way ws 64 B", ONEWAY_WS, RATE, NOT_SLOWER),
    target("one way ws 64 KiB", ONEWAY_WS.sized(64 * KIB), RATE, NOT_SLOWER),
    target("one way ws 1 MiB", ONEWAY_WS.sized(MIB), RATE, NOT_SLOWER),
    target("round trip udp 64 B", RTT_UDP, P50, &[Times(Nng, 1.0)]),
    target("round trip udp 32 KiB", RTT_UDP.sized(32 * KIB), P50, &[Times(Nng, 1.0)]),
    target("one way udp 64 B, what arrives", ONEWAY_UDP, RATE, NOT_SLOWER),
    target("one way udp 64 B, lost", ONEWAY_UDP, LOST_SHARE, &[NoMore(Nng), NoMore(NngAio)]),
    target("one way udp 60,000 B, what arrives", ONEWAY_UDP.sized(60_000), RATE, NOT_SLOWER),
    target("surveys of 16, udp", SURVEY.over(Udp), RATE, &[Times(Nng, 1.0)]),
    target("round trip tls 64 B", RTT_TLS, P50, &[Times(Nng, 1.0)]),
    target("one way tls 64 B", ONEWAY_TLS, RATE, NOT_SLOWER),
    target(
        "one way tls 64 KiB",
        ONEWAY_TLS.sized(64 * KIB),
        RATE,
        &[Times(Nng, 1.0), Times(NngAio, 1.0), Share(RawBatch, 0.85)],
    ),
    target("round trip wss 64 B", RTT_WSS, P50, &[Times(Nng, 1.0)]),
    target("one way wss 64 B", ONEWAY_WSS, RATE, NOT_SLOWER),
    target("one way wss 64 KiB", ONEWAY_WSS.sized(64 * KIB), RATE, NOT_SLOWER),
    Target {
        who: SpTokio,
        ..target("round trip tcp 64 B, tasks", RTT_TCP, P50, &[Within(RawTokio, 1.5)])
    },
    // A floor is one for the server only if the client is the same.
    target("1,000 clients, bare", BARE_CLIENTS, RATE, &[Share(RawEpoll, 0.6)]),
    target(
        "5,000 clients connected and answered",
        CLIENTS.with_many(5000),
        CONNECTED,
        &[Times(Nng, 2.0), AtMost(1000.0)],
    ),
    target("memory per idle connection", IDLE, MEMORY, &[Times(Nng, 4.0), Times(Zmq, 20.0)]),
    target("idle CPU", IDLE, IDLE_CPU, &[AtMost(IDLE_MICROS_MAX)]),
    target("a new client among idle ones", IDLE, SERVED, &[AtMost(50_000.0)]),
    target("rate kept among 1,064 strangers, tcp", SIEGE, KEPT, &[AtLeast(80.0)]),
    target("rate kept among 1,064 strangers, ws", SIEGE.over(Ws), KEPT, &[AtLeast(80.0)]),
    target("rate kept among 1,064 strangers, tls", SIEGE.over(Tls), KEPT, &[AtLeast(80.0)]),
    target("system calls, round trip", RTT_TCP, CALLS, &[AtMost(12.0)]),
    target("system calls, streaming", ONEWAY_TCP, CALLS, &[AtMost(0.01)]),
    target("allocations, round trip", RTT_TCP, ALLOCATIONS, &[AtMost(ALLOCATIONS_MAX)]),
    target("allocations, streaming", ONEWAY_TCP, ALLOCATIONS, &[AtMost(ALLOCATIONS_MAX)]),
    target(
        "round trip beside a stream, p99",
        LOAD,
        P99,
        &[Beside(RTT_TCP_FREE, 5.0), Times(Nng, 1.0)],
    ),
];

/// Of nng in either of its ways.
const NOT_SLOWER: &[Demand] = &[Times(Nng, 1.0), Times(NngAio, 1.0)];

/// Nothing, but for what the harness itself does a few times in a round.
const ALLOCATIONS_MAX: f64 = 0.001;

/// Nothing: a tenth of a thousandth of a processor, which a single stray wake-up may take.
const IDLE_MICROS_MAX: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_target_is_stated_twice_and_each_demands_something() {
        for (index, target) in TARGETS.iter().enumerate() {
            assert!(!target.demands.is_empty(), "{}", target.what);
            let same = |other: &&Target| {
                (other.who, other.spot, other.metric) == (target.who, target.spot, target.metric)
            };
            assert_eq!(TARGETS.iter().position(|other| same(&other)), Some(index));
        }
    }

    #[test]
    fn whoever_a_target_names_takes_part_in_its_workload() {
        use crate::peer::Family;
        use clap::ValueEnum as _;
        for target in TARGETS {
            let families = Family::value_variants().iter();
            let present: Vec<Variant> = families
                .flat_map(|family| family.variants(target.spot.bench, target.spot.transport))
                .copied()
                .collect();
            let rivals = target.demands.iter().filter_map(|demand| demand.beside());
            for who in rivals.chain([target.who]) {
                assert!(present.contains(&who), "{}: {}", target.what, who.name());
            }
        }
    }
}
