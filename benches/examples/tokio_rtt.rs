//! Round trips of 64 bytes over tcp on tokio: this library's sockets beside tokio's own, in the same run.
//!
//! ```text
//! cargo run --release -p sp-bench --features tokio --example tokio_rtt
//! ```
//!
//! Each side is a thread with a runtime of its own. The two take turns, round by round; a figure is the median of the
//! medians of its rounds, with their range.
#![expect(clippy::print_stdout, reason = "a program whose results are its output")]
#![expect(clippy::disallowed_methods, reason = "a measurement must not depend on what it measures")]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sp::tokio::{Rep, Req};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    println!("round trips of {BYTES} bytes over tcp, p50 in microseconds, {ROUNDS} rounds");
    for (placement, cores) in [("one core", [0, 0]), ("two cores", [0, 1])] {
        let mut medians = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            medians[0].push(round(cores, raw_server, raw_client)?);
            medians[1].push(round(cores, sp_server, sp_client)?);
        }
        let [raw, ours] = medians.map(Summary::of);
        let ratio = ours.median / raw.median;
        println!("{placement:>9}: tokio::net {raw}   sp::tokio {ours}   ratio {ratio:.2}");
    }
    Ok(())
}

/// Serves in one thread, asks in another; the median round trip.
fn round(
    [near, far]: [usize; 2],
    server: fn(&Runtime, mpsc::Sender<String>) -> Result<()>,
    client: fn(&Runtime, &str) -> Result<Vec<Duration>>,
) -> Result<f64> {
    let (tell, address) = mpsc::channel();
    let server = thread::spawn(move || {
        pin(far);
        server(&runtime()?, tell)
    });
    let client = thread::spawn(move || {
        pin(near);
        client(&runtime()?, &address.recv()?)
    });
    let mut times = client.join().expect("the client does not panic")?;
    server.join().expect("the server does not panic")?;
    times.sort_unstable();
    Ok(times[times.len() / 2].as_secs_f64() * 1e6)
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_io().build()?)
}

fn raw_server(runtime: &Runtime, tell: mpsc::Sender<String>) -> Result<()> {
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        tell.send(listener.local_addr()?.to_string())?;
        let (mut peer, _) = listener.accept().await?;
        peer.set_nodelay(true)?;
        let mut body = [0; BYTES];
        // The client leaves when it has enough.
        while peer.read_exact(&mut body).await.is_ok() {
            peer.write_all(&body).await?;
        }
        Ok(())
    })
}

fn raw_client(runtime: &Runtime, address: &str) -> Result<Vec<Duration>> {
    runtime.block_on(async {
        let mut server = TcpStream::connect(address.parse::<SocketAddr>()?).await?;
        server.set_nodelay(true)?;
        let mut body = [7; BYTES];
        let mut clock = Clock::start();
        while clock.goes_on() {
            server.write_all(&body).await?;
            server.read_exact(&mut body).await?;
        }
        Ok(clock.times)
    })
}

fn sp_server(runtime: &Runtime, tell: mpsc::Sender<String>) -> Result<()> {
    runtime.block_on(async {
        let rep = Rep::new()?;
        tell.send(rep.listen("tcp://127.0.0.1:0")?.endpoint().to_string())?;
        loop {
            let request = rep.recv().await?;
            let last = request.is_empty();
            rep.send(request).await?;
            if last {
                break;
            }
        }
        rep.close().await;
        Ok(())
    })
}

fn sp_client(runtime: &Runtime, address: &str) -> Result<Vec<Duration>> {
    runtime.block_on(async {
        let req = Req::new()?;
        req.dial(address).await?;
        let body = [7; BYTES];
        let mut clock = Clock::start();
        while clock.goes_on() {
            req.send(&body[..]).await?;
            req.recv().await?;
        }
        req.send("").await?;
        req.recv().await?;
        req.close().await;
        Ok(clock.times)
    })
}

/// Takes the time of each turn once it is warm.
struct Clock {
    times: Vec<Duration>,
    begun: Instant,
    last: Instant,
}

impl Clock {
    fn start() -> Self {
        let now = Instant::now();
        Self { times: Vec::with_capacity(200_000), begun: now, last: now }
    }

    /// Ends a turn. Answers whether there is to be another.
    fn goes_on(&mut self) -> bool {
        let now = Instant::now();
        if now - self.begun > WARM_UP {
            self.times.push(now - self.last);
        }
        self.last = now;
        now - self.begun < WARM_UP + LENGTH
    }
}

/// What came of all rounds.
struct Summary {
    median: f64,
    least: f64,
    most: f64,
}

impl Summary {
    fn of(mut rounds: Vec<f64>) -> Self {
        rounds.sort_unstable_by(f64::total_cmp);
        Self { median: rounds[rounds.len() / 2], least: rounds[0], most: rounds[rounds.len() - 1] }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} ({:.1} to {:.1})", self.median, self.least, self.most)
    }
}

/// Keeps the calling thread, and what it starts, on one processor.
#[expect(unsafe_code, reason = "std offers no affinity")]
fn pin(cpu: usize) {
    // SAFETY: all-zero is the empty `cpu_set_t`; it is live during the call and its true size is passed; 0 names the
    // calling thread.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        // Where that fails the system decides.
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set);
    }
}

const BYTES: usize = 64;
const ROUNDS: usize = 7;
const WARM_UP: Duration = Duration::from_millis(200);
const LENGTH: Duration = Duration::from_millis(800);
