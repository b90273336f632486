//! The long campaign behind published figures.

#![expect(clippy::print_stdout, reason = "says where the page is")]

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::Campaign;
use super::chart::{Chart, Curve};
use super::page;
use super::progress::Progress;
use crate::bench::Metric;
use crate::bench::Transport::{Inproc, Ipc};
use crate::bench::metric::{BYTES, DELIVERED, P50, RATE};
use crate::bench::targets::{
    BARE_CLIENTS, BUS, CLIENTS, FANOUT, FLOOD, IDLE, LOAD, ONEWAY_INPROC, ONEWAY_IPC, ONEWAY_TCP,
    ONEWAY_TLS, ONEWAY_UDP, ONEWAY_WS, ONEWAY_WSS, PAIR_ONEWAY, PAIR_RTT, RTT_INPROC, RTT_IPC,
    RTT_TCP, RTT_TLS, RTT_UDP, RTT_WS, RTT_WSS, SURVEY, Spot, TARGETS,
};
use crate::error::{Error, Result};

/// A figure over sizes or numbers, measured and drawn.
pub(super) struct Sweep {
    /// The name of its picture.
    pub(super) file: &'static str,
    pub(super) title: &'static str,
    across: &'static str,
    spots: Vec<Spot>,
    /// Where a spot stands.
    place: fn(&Spot) -> usize,
    pub(super) metric: Metric,
}

/// Measures all of it in rounds over the whole, as many as fit the time, and writes the page into `into`.
pub(crate) fn report(into: &Path, rounds: usize, json: Option<&Path>) -> Result<ExitCode> {
    fs::create_dir_all(into).map_err(Error::io("make the folder of the report"))?;
    let sweeps = sweeps();
    let mut spots = headline();
    spots.extend(sweeps.iter().flat_map(|sweep| sweep.spots.iter().copied()));
    let mut once = Vec::new();
    spots.retain(|spot| {
        !once.contains(spot) && !spot.everybody().is_empty() && {
            once.push(*spot);
            true
        }
    });
    let mut campaign = Campaign::new(TIME)?;
    let mut progress = Progress::new(spots.len() * rounds);
    'all: for round in 0..rounds {
        for spot in &spots {
            // A first round is never cut short: a page without some figure would say nothing of it.
            if round > 0 && progress.elapsed() > ROUNDS_END {
                break 'all;
            }
            progress.begin(&spot.to_string());
            campaign.measure(*spot, &spot.everybody(), 1)?;
            progress.step();
        }
    }
    progress.clear();
    campaign.write_json(json)?;
    for sweep in &sweeps {
        let svg = sweep.chart(&campaign).svg();
        fs::write(into.join(sweep.file), svg).map_err(Error::io("write a picture"))?;
    }
    let text = page::write(&campaign, &sweeps, progress.elapsed());
    let path = into.join("BENCHMARKS.md");
    fs::write(&path, text).map_err(Error::io("write the report"))?;
    println!("{}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// What stands in the table: every spot with a target, and the full number of silent connections.
fn headline() -> Vec<Spot> {
    let mut spots: Vec<Spot> = TARGETS.iter().map(|target| target.spot).collect();
    spots.extend([LOAD, IDLE.with_many(SILENT)]);
    spots
}

fn sweeps() -> Vec<Sweep> {
    let many = |spot: Spot, many: &[usize]| many.iter().map(|&m| spot.with_many(m)).collect();
    let up_to = |most: usize, file, title, spot: Spot, metric| Sweep {
        file,
        title,
        across: "bytes in a message",
        spots: SIZES.iter().filter(|&&s| s <= most).map(|&size| spot.sized(size)).collect(),
        place: |spot| spot.size,
        metric,
    };
    let by_size = |file, title, spot, metric| up_to(usize::MAX, file, title, spot, metric);
    // Beside nng alone, where larger messages show nothing new.
    let up_to_mib = |file, title, spot, metric| up_to(1 << 20, file, title, spot, metric);
    let in_datagrams = |file, title, spot, metric| up_to(65_000, file, title, spot, metric);
    let by_many = |file, title, across, spot, of: &[usize], metric| Sweep {
        file,
        title,
        across,
        spots: many(spot, of),
        place: |spot| spot.many,
        metric,
    };
    vec![
        by_size("rtt-tcp.svg", "Round trip over tcp", RTT_TCP, P50),
        by_size("rtt-ipc.svg", "Round trip over ipc", RTT_IPC, P50),
        by_size("rtt-inproc.svg", "Round trip in one process", RTT_INPROC, P50),
        by_size("oneway-tcp.svg", "One way over tcp", ONEWAY_TCP, RATE),
        by_size("oneway-ipc.svg", "One way over ipc", ONEWAY_IPC, RATE),
        by_size("oneway-inproc.svg", "One way in one process", ONEWAY_INPROC, RATE),
        by_size("bytes-tcp.svg", "Bytes a second over tcp", ONEWAY_TCP, BYTES),
        by_many(
            "fanout.svg",
            "Publishing in a closed loop, tcp, 64 B",
            "subscribers",
            FANOUT,
            &SUBSCRIBERS,
            DELIVERED,
        ),
        by_many(
            "flood.svg",
            "Publishing as fast as it goes, tcp, 64 B",
            "subscribers",
            FLOOD,
            &SUBSCRIBERS,
            DELIVERED,
        ),
        by_many(
            "clients.svg",
            "Requests of many clients, tcp, 64 B",
            "clients",
            CLIENTS,
            &CLIENT_COUNTS,
            RATE,
        ),
        by_many(
            "bare-clients.svg",
            "Requests of one bare client with many connections, tcp, 64 B",
            "connections",
            BARE_CLIENTS,
            &CLIENT_COUNTS,
            RATE,
        ),
        up_to_mib("rtt-pair-tcp.svg", "PAIR: round trip over tcp", PAIR_RTT, P50),
        up_to_mib("oneway-pair-tcp.svg", "PAIR: one way over tcp", PAIR_ONEWAY, RATE),
        up_to_mib("oneway-pair-ipc.svg", "PAIR: one way over ipc", PAIR_ONEWAY.over(Ipc), RATE),
        up_to_mib(
            "oneway-pair-inproc.svg",
            "PAIR: one way in one process",
            PAIR_ONEWAY.over(Inproc),
            RATE,
        ),
        up_to_mib("bus-tcp.svg", "BUS to 16 in a closed loop, tcp", BUS, DELIVERED),
        up_to_mib("bus-ipc.svg", "BUS to 16 in a closed loop, ipc", BUS.over(Ipc), DELIVERED),
        up_to_mib(
            "bus-inproc.svg",
            "BUS to 16 in a closed loop, in one process",
            BUS.over(Inproc),
            DELIVERED,
        ),
        up_to_mib("survey-tcp.svg", "Surveys of 16, tcp", SURVEY, RATE),
        up_to_mib("survey-ipc.svg", "Surveys of 16, ipc", SURVEY.over(Ipc), RATE),
        up_to_mib("survey-inproc.svg", "Surveys of 16, in one process", SURVEY.over(Inproc), RATE),
        up_to_mib("rtt-ws.svg", "Round trip over ws", RTT_WS, P50),
        up_to_mib("oneway-ws.svg", "One way over ws", ONEWAY_WS, RATE),
        in_datagrams("rtt-udp.svg", "Round trip over udp", RTT_UDP, P50),
        in_datagrams("oneway-udp.svg", "One way over udp: what arrives", ONEWAY_UDP, RATE),
        up_to_mib("rtt-tls.svg", "Round trip over tls", RTT_TLS, P50),
        up_to_mib("oneway-tls.svg", "One way over tls", ONEWAY_TLS, RATE),
        up_to_mib("rtt-wss.svg", "Round trip over wss", RTT_WSS, P50),
        up_to_mib("oneway-wss.svg", "One way over wss", ONEWAY_WSS, RATE),
    ]
}

impl Sweep {
    fn chart(&self, campaign: &Campaign) -> Chart {
        let mut curves: Vec<Curve> = Vec::new();
        for spot in &self.spots {
            for variant in spot.everybody() {
                let Some(figure) = campaign.figure(*spot, variant, self.metric) else { continue };
                // A logarithm has no place for nought, and a rate of nought no meaning.
                if figure.median <= 0.0 {
                    continue;
                }
                let point = ((self.place)(spot) as f64, figure.median);
                match curves.iter_mut().find(|curve| curve.variant == variant) {
                    Some(curve) => curve.points.push(point),
                    None => curves.push(Curve { variant, points: vec![point] }),
                }
            }
        }
        let up = format!("{}, {}", self.metric.name, self.metric.unit);
        Chart { title: self.title.to_owned(), across: self.across, up, curves }
    }

    /// Where it is measured.
    pub(super) fn spots(&self) -> &[Spot] {
        &self.spots
    }
}

/// How long a round measures.
const TIME: Duration = Duration::from_millis(200);

/// No further round begins later than this: the whole takes less than a quarter of an hour.
const ROUNDS_END: Duration = Duration::from_secs(13 * 60);

/// From a few words to what fills every buffer on the way.
const SIZES: [usize; 11] =
    [16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20];

const SUBSCRIBERS: [usize; 6] = [1, 4, 16, 64, 256, 1024];

const CLIENT_COUNTS: [usize; 5] = [1, 10, 100, 1000, 5000];

/// Silent connections of the report.
const SILENT: usize = 10_000;
