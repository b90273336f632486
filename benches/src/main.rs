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

mod bench;
mod error;
mod peer;
mod place;
mod report;
mod round;
mod sys;

#[derive(Parser)]
#[command(name = "sp-bench", about = "Measures the library beside its peers and the bare kernel")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// REQ/REP round trips: time, rate, CPU.
    Rtt(Wired),
    /// PUSH/PULL one way: messages, bytes, CPU, losses.
    Oneway(Wired),
    /// PUB/SUB in a closed loop, at most 64 messages ahead of the slowest subscriber.
    Fanout {
        /// How many subscribers there are.
        #[arg(long, default_value = "8", value_delimiter = ',', value_parser = positive)]
        subscribers: Vec<usize>,
        #[command(flatten)]
        wired: Wired,
    },
    /// Buffers, registries and messages inside one process.
    Pool(Common),
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
    subscribers: usize,
    #[arg(long, value_parser = seconds)]
    seconds: Duration,
    #[arg(long)]
    variant: Variant,
}

fn main() -> ExitCode {
    let done = match Cli::parse().what {
        What::Rtt(wired) => wired.run(Bench::Rtt, &[1]),
        What::Oneway(wired) => wired.run(Bench::Oneway, &[1]),
        What::Fanout { subscribers, wired } => wired.run(Bench::Fanout, &subscribers),
        What::Pool(common) => common.run_pool(),
        What::Measure(one) => one.measure(),
        What::Serve { one, url, counters } => {
            bench::far::serve(one.cell(), one.variant, url, counters)
        }
    };
    match done {
        Ok(code) => code,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

impl Wired {
    fn run(&self, bench: Bench, subscribers: &[usize]) -> Result<ExitCode> {
        let time = self.common.seconds;
        let mut cells = Vec::new();
        for &transport in &self.transport {
            for &size in &self.size {
                for &placement in &self.common.placement {
                    let seats = placement.seats()?;
                    cells.extend(subscribers.iter().map(|&subscribers| Cell {
                        bench,
                        transport,
                        size,
                        placement,
                        seats,
                        subscribers,
                        time,
                    }));
                }
            }
        }
        self.common.run(&cells)
    }
}

impl Common {
    fn run_pool(&self) -> Result<ExitCode> {
        let cell = |&placement: &Placement| {
            Ok(Cell {
                bench: Bench::Pool,
                transport: Transport::Inproc,
                size: POOL_BYTES,
                placement,
                seats: placement.seats()?,
                subscribers: 1,
                time: self.seconds,
            })
        };
        let cells = self.placement.iter().map(cell).collect::<Result<Vec<Cell>>>()?;
        self.run(&cells)
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
        let variants = |cell: &Cell| -> Vec<Variant> {
            let of = |family: &Family| family.variants(cell.bench, cell.transport);
            families.iter().flat_map(of).copied().collect()
        };
        self.print_settings(&cells.iter().flat_map(variants).collect::<Vec<_>>())?;
        let scratch = Scratch::new()?;
        let mut code = ExitCode::SUCCESS;
        for cell in cells {
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
            subscribers: self.subscribers,
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

/// Beyond this a round says nothing new.
const SECONDS_MAX: Duration = Duration::from_secs(60);
