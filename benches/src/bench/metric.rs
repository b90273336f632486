//! What a figure means.

use super::Figures;

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

impl Metric {
    /// The metric called `name`, if there is one.
    pub(crate) fn named(name: &str) -> Option<Self> {
        METRICS.into_iter().find(|metric| metric.name == name)
    }

    /// Its figure in a round.
    pub(crate) fn of(self, figures: &Figures) -> Option<f64> {
        figures.iter().find(|(metric, _)| *metric == self).map(|(_, value)| *value)
    }

    const fn new(name: &'static str, unit: &'static str, better: Better) -> Self {
        Self { name, unit, better }
    }
}

pub(crate) const P50: Metric = Metric::new("p50", "us", Better::Lower);
pub(crate) const P99: Metric = Metric::new("p99", "us", Better::Lower);
pub(crate) const P999: Metric = Metric::new("p999", "us", Better::Lower);
/// Round trips or messages.
pub(crate) const RATE: Metric = Metric::new("rate", "1/s", Better::Higher);
pub(crate) const BYTES: Metric = Metric::new("bytes", "B/s", Better::Higher);
/// Received by all subscribers together.
pub(crate) const DELIVERED: Metric = Metric::new("delivered", "1/s", Better::Higher);
/// What the stream carried beside the round trips.
pub(crate) const STREAM: Metric = Metric::new("stream", "1/s", Better::Higher);
/// CPU time of both ends for each round trip, message or delivery.
pub(crate) const CPU: Metric = Metric::new("cpu", "us", Better::Lower);
/// System calls of both ends, per message as above.
pub(crate) const CALLS: Metric = Metric::new("system-calls", "1", Better::Lower);
/// Context switches of both ends, per message as above.
pub(crate) const SWITCHES: Metric = Metric::new("switches", "1", Better::Lower);
/// Allocations of both ends, per message as above. Only Rust code is counted.
pub(crate) const ALLOCATIONS: Metric = Metric::new("allocations", "1", Better::None);
/// Messages sent that never came in.
pub(crate) const LOST: Metric = Metric::new("lost", "1", Better::None);
/// Their share of all deliveries that should have been.
pub(crate) const LOST_SHARE: Metric = Metric::new("lost-share", "%", Better::None);
/// From the call that connects until the first reply.
pub(crate) const CONNECT: Metric = Metric::new("connect", "us", Better::Lower);
/// From the first connection until every client has had a reply.
pub(crate) const CONNECTED: Metric = Metric::new("connected", "ms", Better::Lower);
/// Present memory of the far process, or of the one there is.
pub(crate) const RESIDENT: Metric = Metric::new("resident", "KiB", Better::Lower);
/// What each idle connection adds to it.
pub(crate) const MEMORY: Metric = Metric::new("memory", "B", Better::Lower);
/// CPU time of a server whose connections are all silent.
pub(crate) const IDLE_CPU: Metric = Metric::new("idle-cpu", "us/s", Better::None);
/// From the first step of a new client, among all the silent ones, until its reply.
pub(crate) const SERVED: Metric = Metric::new("served", "us", Better::Lower);
/// Of the rate without strangers, the share that is left among them.
pub(crate) const KEPT: Metric = Metric::new("kept", "%", Better::Higher);
pub(crate) const POOL_SAME: Metric = Metric::new("get-put", "ns", Better::Lower);
pub(crate) const POOL_BURST: Metric = Metric::new("get-put-burst", "ns", Better::Lower);
pub(crate) const POOL_CROSS: Metric = Metric::new("get-put-cross", "ns", Better::Lower);
pub(crate) const PEER_LOOKUP: Metric = Metric::new("peer-lookup", "ns", Better::Lower);
pub(crate) const PEER_ADD: Metric = Metric::new("peer-add", "ns", Better::Lower);
pub(crate) const CLONE: Metric = Metric::new("clone-1k", "ns", Better::Lower);
/// A call of an engine where questions are asked and answered.
pub(crate) const ENGINE_REQ_REP: Metric = Metric::new("req-rep", "ns", Better::Lower);
/// A call of an engine where messages are sent and received.
pub(crate) const ENGINE_PUSH_PULL: Metric = Metric::new("push-pull", "ns", Better::Lower);
/// A delivery of a message that is published to many.
pub(crate) const ENGINE_PUB_SUB: Metric = Metric::new("pub-sub", "ns", Better::Lower);
/// The same.
pub(crate) const ENGINE_PAIR: Metric = Metric::new("pair", "ns", Better::Lower);
/// The same with a count of hops.
pub(crate) const ENGINE_PAIR1: Metric = Metric::new("pair1", "ns", Better::Lower);
/// The same to a peer that is named.
pub(crate) const ENGINE_POLY: Metric = Metric::new("pair1-poly", "ns", Better::Lower);
/// A delivery of a message that is sent to many neighbours.
pub(crate) const ENGINE_BUS: Metric = Metric::new("bus", "ns", Better::Lower);
/// A delivery to one of many neighbours, and its receipt.
pub(crate) const ENGINE_STAR: Metric = Metric::new("star", "ns", Better::Lower);
/// A call of an engine where one respondent is surveyed.
pub(crate) const ENGINE_SURVEY: Metric = Metric::new("survey", "ns", Better::Lower);
/// A call of an engine where questions are asked and answered in raw mode.
pub(crate) const ENGINE_RAW_REQ_REP: Metric = Metric::new("raw-req-rep", "ns", Better::Lower);
/// A call of an engine where messages with a count of hops are sent and received in raw mode.
pub(crate) const ENGINE_RAW_PAIR1: Metric = Metric::new("raw-pair1", "ns", Better::Lower);

/// What it says of a workload that `lost` of `of` messages, or deliveries, never came in.
pub(super) fn losses(lost: u64, of: u64) -> [(Metric, f64); 2] {
    let share = lost as f64 / of.max(1) as f64;
    [(LOST, lost as f64), (LOST_SHARE, share * 100.0)]
}

const METRICS: [Metric; 37] = [
    P50,
    P99,
    P999,
    RATE,
    BYTES,
    DELIVERED,
    STREAM,
    CPU,
    CALLS,
    SWITCHES,
    ALLOCATIONS,
    LOST,
    LOST_SHARE,
    CONNECT,
    CONNECTED,
    RESIDENT,
    MEMORY,
    IDLE_CPU,
    SERVED,
    KEPT,
    POOL_SAME,
    POOL_BURST,
    POOL_CROSS,
    PEER_LOOKUP,
    PEER_ADD,
    CLONE,
    ENGINE_REQ_REP,
    ENGINE_PUSH_PULL,
    ENGINE_PUB_SUB,
    ENGINE_PAIR,
    ENGINE_PAIR1,
    ENGINE_POLY,
    ENGINE_BUS,
    ENGINE_STAR,
    ENGINE_SURVEY,
    ENGINE_RAW_REQ_REP,
    ENGINE_RAW_PAIR1,
];
