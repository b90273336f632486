//! Measures this library beside nng and beside what the system offers without a library, in the same run.
//!
//! ```text
//! cargo run --release -p sp-bench --features peer-nng -- rtt --transport tcp --size 64
//! ```
//!
//! The peers take turns, round by round; a figure is the median of its rounds with their range, a ratio says how
//! many times better this library is. Read differences below a fifth as none.

#![expect(clippy::print_stdout, reason = "a program whose results are its output")]

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use bench::{Bench, Cell, Transport};
use error::{Error, Result};
use peer::{Family, Variant};
use place::{Placement, Seats};
use report::Report;
use round::Scratch;

mod alloc;
mod bench;
mod campaign;
mod error;
mod peer;
mod place;
mod report;
mod round;
mod sys;
mod trace;

#[derive(Parser)]
#[command(name = "sp-bench", about = "Measures the library beside its peers and the bare kernel")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Round trips: time, rate, CPU.
    Rtt {
        /// The pattern that carries them.
        #[arg(long, default_value = "req", value_delimiter = ',')]
        pattern: Vec<Asking>,
        /// REQ/REP beside a stream of so many messages a second between the same two processes.
        #[arg(long, conflicts_with = "pattern", value_delimiter = ',', value_parser = positive, num_args = 0..=1, default_missing_value = LOAD)]
        load: Option<Vec<usize>>,
        #[command(flatten)]
        wired: Wired,
    },
    /// One way: messages and bytes that arrive, CPU, losses.
    Oneway {
        /// The pattern that carries them.
        #[arg(long, default_value = "push", value_delimiter = ',')]
        pattern: Vec<Sending>,
        #[command(flatten)]
        wired: Wired,
    },
    /// REQ/REP with many requests outstanding on one socket.
    Outstanding {
        /// How many are outstanding.
        #[arg(long, default_value = "64", value_delimiter = ',', value_parser = positive)]
        outstanding: Vec<usize>,
        #[command(flatten)]
        wired: Wired,
    },
    /// One to many: what all subscribers or neighbours receive together, and what they lose.
    Fanout {
        /// The pattern that carries it.
        #[arg(long, default_value = "pub", value_delimiter = ',')]
        pattern: Vec<Publishing>,
        /// How many subscribers there are.
        #[arg(long, default_value = "1,8,64", value_delimiter = ',', value_parser = positive)]
        subscribers: Vec<usize>,
        /// At most 64 messages or 6 MiB ahead of the slowest subscriber, as fast as it goes, or so that nothing is
        /// lost.
        #[arg(long, default_value = "window,flood", value_delimiter = ',')]
        mode: Vec<Mode>,
        #[command(flatten)]
        wired: Wired,
    },
    /// SURVEY: time and rate of surveys that everybody answers.
    Survey {
        /// How many respondents there are.
        #[arg(long, default_value = "1,8,64", value_delimiter = ',', value_parser = positive)]
        respondents: Vec<usize>,
        #[command(flatten)]
        wired: Wired,
    },
    /// Many clients of one REP, each asking again when it has its reply.
    Clients {
        /// Sockets of the library itself, or one bare client that asks the servers of all.
        #[arg(long, default_value = "own,bare", value_delimiter = ',')]
        client: Vec<Client>,
        /// How many connections there are.
        #[arg(long, default_value = "1,100,1000", value_delimiter = ',', value_parser = positive)]
        clients: Vec<usize>,
        #[command(flatten)]
        wired: Wired,
    },
    /// REQ/REP round trips, so many a second: time and CPU of each.
    Paced {
        /// How many a second.
        #[arg(long, default_value = "1000,10000", value_delimiter = ',', value_parser = positive)]
        per_second: Vec<usize>,
        #[command(flatten)]
        wired: Wired,
    },
    /// Several REQ/REP pairs at once; their round trips count together.
    Pairs {
        /// How many pairs there are.
        #[arg(long, default_value = "4", value_delimiter = ',', value_parser = positive)]
        pairs: Vec<usize>,
        #[command(flatten)]
        wired: Wired,
    },
    /// Buffers, registries and messages inside one process.
    Pool(Common),
    /// The patterns' state machines by themselves: for each call, where one sends to many for each delivery.
    Engine {
        /// How many subscribers the publisher has.
        #[arg(long, default_value = "64", value_delimiter = ',', value_parser = positive)]
        subscribers: Vec<usize>,
        #[command(flatten)]
        common: Common,
    },
    /// Silent connections to one REP: memory, CPU, and how soon somebody new is served.
    Idle {
        /// How many connections there are.
        #[arg(long, default_value = "1000", value_delimiter = ',', value_parser = positive)]
        connections: Vec<usize>,
        #[command(flatten)]
        wired: Wired,
    },
    /// REQ/REP round trips beside strangers who connect and never say who they are: what is left of the rate.
    Siege {
        /// How many are silent; 64 more say a byte a second.
        #[arg(long, default_value = "1000", value_delimiter = ',', value_parser = positive)]
        strangers: Vec<usize>,
        #[command(flatten)]
        wired: Wired,
    },
    /// The short campaign: judges every target, and fails if one is missed. Less than five minutes.
    Check {
        /// A file for all figures, a JSON object a line; it is replaced.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// The long campaign: writes a page with tables and curves. Less than a quarter of an hour.
    Report {
        /// The folder for the page and its pictures.
        #[arg(long, default_value = "benches/report")]
        into: PathBuf,
        /// Rounds of everything; those after the first only while there is time.
        #[arg(long, default_value = "3", value_parser = positive)]
        rounds: usize,
        /// A file for all figures, a JSON object a line; it is replaced.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// One round, for this program itself.
    #[command(hide = true)]
    Measure(One),
    /// The far end of a round, for this program itself.
    #[command(hide = true)]
    Serve {
        #[command(flatten)]
        one: One,
        #[arg(long)]
        url: Option<String>,
        #[arg(long)]
        counters: Option<PathBuf>,
    },
}

/// What carries round trips.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Asking {
    /// REQ/REP.
    Req,
    /// PAIR at both ends.
    Pair,
}

/// What carries messages one way.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Sending {
    /// PUSH/PULL.
    Push,
    /// PAIR at both ends.
    Pair,
}

/// What carries messages from one to many.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Publishing {
    /// PUB/SUB.
    Pub,
    /// BUS at all ends.
    Bus,
}

/// How a publisher publishes.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// At most 64 messages or 6 MiB ahead of the slowest subscriber.
    Window,
    /// As fast as it goes.
    Flood,
    /// As fast as the slowest subscriber goes: this library's PUB and SUB, told to wait.
    Lossless,
}

/// Who asks a server of many clients.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Client {
    /// Sockets of the library itself.
    Own,
    /// The same bare client for the servers of all.
    Bare,
}

#[derive(Args)]
struct Wired {
    /// The transports.
    #[arg(long, default_value = "tcp,ipc,inproc", value_delimiter = ',')]
    transport: Vec<Transport>,
    /// The message sizes in bytes.
    #[arg(long, default_value = "64,1024", value_delimiter = ',', value_parser = positive)]
    size: Vec<usize>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Common {
    /// Who takes part; everybody that is built in by default.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<Family>,
    /// Which processors the two ends run on.
    #[arg(long, default_value = "free", value_delimiter = ',')]
    placement: Vec<Placement>,
    /// How often each peer gets its turn.
    #[arg(long, default_value = "5", value_parser = positive)]
    rounds: usize,
    /// How long a round measures.
    #[arg(long, default_value = "0.4", value_parser = seconds)]
    seconds: Duration,
    /// A file for the results, a JSON object a line; it is replaced.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A cell and who is measured, as one process of this program passes them to another.
#[derive(Args)]
struct One {
    #[arg(long)]
    bench: Bench,
    #[arg(long)]
    transport: Transport,
    #[arg(long)]
    size: usize,
    #[arg(long)]
    placement: Placement,
    #[arg(long)]
    near_cpu: Option<usize>,
    #[arg(long)]
    far_cpu: Option<usize>,
    #[arg(long)]
    many: usize,
    #[arg(long, value_parser = seconds)]
    seconds: Duration,
    #[arg(long)]
    variant: Variant,
}

fn main() -> ExitCode {
    sys::raise_descriptor_limit();
    match Cli::parse().what.run() {
        Ok(code) => code,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

impl What {
    fn run(self) -> Result<ExitCode> {
        match self {
            Self::Rtt { load: Some(rates), wired, .. } => wired.run(&[Bench::Load], &rates),
            Self::Rtt { load: None, pattern, wired } => {
                let bench = |pattern| match pattern {
                    Asking::Req => Bench::Rtt,
                    Asking::Pair => Bench::RttPair,
                };
                wired.run(&pattern.into_iter().map(bench).collect::<Vec<_>>(), &[1])
            }
            Self::Oneway { pattern, wired } => {
                let bench = |pattern| match pattern {
                    Sending::Push => Bench::Oneway,
                    Sending::Pair => Bench::OnewayPair,
                };
                wired.run(&pattern.into_iter().map(bench).collect::<Vec<_>>(), &[1])
            }
            Self::Outstanding { outstanding, wired } => {
                wired.run(&[Bench::Outstanding], &outstanding)
            }
            Self::Fanout { pattern, subscribers, mode, wired } => {
                let bench = |pattern, mode| match (pattern, mode) {
                    (Publishing::Pub, Mode::Window) => Some(Bench::Fanout),
                    (Publishing::Pub, Mode::Flood) => Some(Bench::Flood),
                    (Publishing::Pub, Mode::Lossless) => Some(Bench::Lossless),
                    (Publishing::Bus, Mode::Window) => Some(Bench::FanoutBus),
                    (Publishing::Bus, Mode::Flood) => Some(Bench::FloodBus),
                    // A BUS never waits.
                    (Publishing::Bus, Mode::Lossless) => None,
                };
                let of = |pattern| mode.iter().filter_map(move |&mode| bench(pattern, mode));
                wired.run(&pattern.into_iter().flat_map(of).collect::<Vec<_>>(), &subscribers)
            }
            Self::Survey { respondents, wired } => wired.run(&[Bench::Survey], &respondents),
            Self::Clients { client, clients, wired } => {
                let bench = |client| match client {
                    Client::Own => Bench::Clients,
                    Client::Bare => Bench::BareClients,
                };
                wired.run(&client.into_iter().map(bench).collect::<Vec<_>>(), &clients)
            }
            Self::Paced { per_second, wired } => wired.run(&[Bench::Paced], &per_second),
            Self::Pairs { pairs, wired } => wired.run(&[Bench::Pairs], &pairs),
            Self::Pool(common) => common.run_alone(Bench::Pool, POOL_BYTES, &[1]),
            Self::Engine { subscribers, common } => {
                common.run_alone(Bench::Engine, ENGINE_BYTES, &subscribers)
            }
            Self::Idle { connections, wired } => wired.run(&[Bench::Idle], &connections),
            Self::Siege { strangers, wired } => wired.run(&[Bench::Siege], &strangers),
            Self::Check { json } => campaign::check::check(json.as_deref()),
            Self::Report { into, rounds, json } => {
                campaign::report::report(&into, rounds, json.as_deref())
            }
            Self::Measure(one) => one.measure(),
            Self::Serve { one, url, counters } => {
                bench::far::serve(one.cell(), one.variant, url, counters)
            }
        }
    }
}

impl Wired {
    fn run(&self, benches: &[Bench], many: &[usize]) -> Result<ExitCode> {
        let mut cells = Vec::new();
        for &bench in benches {
            for &transport in &self.transport {
                for &size in &self.size {
                    cells.extend(self.common.cells(bench, transport, size, many)?);
                }
            }
        }
        self.common.run(&cells)
    }
}

impl Common {
    fn run_alone(&self, bench: Bench, size: usize, many: &[usize]) -> Result<ExitCode> {
        self.run(&self.cells(bench, Transport::Inproc, size, many)?)
    }

    fn cells(
        &self,
        bench: Bench,
        transport: Transport,
        size: usize,
        many: &[usize],
    ) -> Result<Vec<Cell>> {
        let mut cells = Vec::new();
        for &placement in &self.placement {
            let seats = placement.seats()?;
            let time = self.seconds;
            let cell = |&many| Cell { bench, transport, size, placement, seats, many, time };
            cells.extend(many.iter().map(cell));
        }
        Ok(cells)
    }

    /// Measures all cells, one after the other. Fails when some peer gave no figures at all in some cell.
    fn run(&self, cells: &[Cell]) -> Result<ExitCode> {
        let families = if self.peers.is_empty() { Family::defaults() } else { self.peers.clone() };
        if let Some(absent) = families.iter().find(|family| !family.is_built_in()) {
            return Err(Error::NotBuiltIn { peer: absent.name() });
        }
        let mut json = match &self.json {
            Some(path) => Some(File::create(path).map_err(Error::io("write the results"))?),
            None => None,
        };
        let variants = |cell: &Cell| Family::able(&families, cell.bench, cell.transport);
        self.print_settings(&cells.iter().flat_map(variants).collect::<Vec<_>>())?;
        let scratch = Scratch::new()?;
        let mut code = ExitCode::SUCCESS;
        for cell in cells.iter().filter(|cell| !variants(cell).is_empty()) {
            let all = round::run(cell, &variants(cell), self.rounds, &scratch);
            if all.iter().any(|series| series.rounds.is_empty()) {
                code = ExitCode::FAILURE;
            }
            let report = Report::new(cell, &all);
            print!("{}", report.table());
            if let Some(file) = &mut json {
                file.write_all(report.json().as_bytes()).map_err(Error::io("write the results"))?;
            }
        }
        Ok(code)
    }

    fn print_settings(&self, variants: &[Variant]) -> Result<()> {
        let mut named = Vec::new();
        for variant in variants {
            if !named.contains(variant) {
                named.push(*variant);
            }
        }
        if named.is_empty() {
            return Err(Error::NoPeers);
        }
        println!(
            "{} rounds in turn, {:?} of warm-up and {:?} of measurement each; {} processors, load before {}",
            self.rounds,
            bench::WARM_UP,
            self.seconds,
            sys::allowed_cpus().len(),
            sys::load().as_deref().unwrap_or("unknown"),
        );
        for variant in named {
            println!("  {:<11}{}", variant.name(), variant.settings());
        }
        println!(
            "columns: metric, unit, peer, median, range, rounds, how many times better sp is\n"
        );
        Ok(())
    }
}

impl One {
    fn cell(&self) -> Cell {
        Cell {
            bench: self.bench,
            transport: self.transport,
            size: self.size,
            placement: self.placement,
            seats: Seats { near: self.near_cpu, far: self.far_cpu },
            many: self.many,
            time: self.seconds,
        }
    }

    /// Runs a round and prints its figures. Ends the process: threads of the peer may still be at work.
    fn measure(&self) -> Result<ExitCode> {
        round::end_with_parent();
        let figures = self.cell().measure(self.variant)?;
        for (metric, value) in figures {
            println!("{} {value}", metric.name);
        }
        std::io::stdout().flush().map_err(Error::io("write the figures"))?;
        sys::exit_now(0)
    }
}

fn positive(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number above 0 is needed".to_owned()),
        Ok(number) => Ok(number),
    }
}

fn seconds(text: &str) -> std::result::Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "a number of seconds is needed".to_owned())?;
    match Duration::try_from_secs_f64(number) {
        Ok(time) if !time.is_zero() && time <= SECONDS_MAX => Ok(time),
        _ => Err(format!("above 0 and at most {SECONDS_MAX:?}")),
    }
}

/// The size at which the allocator and a pool are compared.
const POOL_BYTES: usize = 1024;

/// The body that a pattern's state machine is measured with.
const ENGINE_BYTES: usize = 64;

/// Messages a second of the stream beside which round trips are measured: what every peer can carry.
const LOAD: &str = "10000";

/// Beyond this a round says nothing new.
const SECONDS_MAX: Duration = Duration::from_secs(60);
