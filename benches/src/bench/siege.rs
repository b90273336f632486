//! REQ/REP beside strangers who never finish their handshake: silent ones, and some that say a byte a second.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::far::{Far, Start};
use super::gauge::{Gauge, Part};
use super::latency::Latencies;
use super::metric::KEPT;
use super::rtt::in_a_row;
use super::{Cell, Figures, WARM_UP};
use crate::error::{Error, Result};
use crate::peer::{Aligned, End, Role, Variant};
use crate::sys;

/// One round: an honest client among strangers, and then beside another that has a server to itself. The two take
/// turns of an instant each, so that whatever else the machine does favours neither.
pub(super) fn measure(cell: &Cell, variant: Variant) -> Result<Figures> {
    let mut far = Far::start(cell, variant, Start::default())?;
    let quiet = Far::start(cell, variant, Start::default())?;
    let mut among = Client::of(&far, cell)?;
    let mut alone = Client::of(&quiet, cell)?;
    let siege = Siege::lay(far.url(), cell.many)?;
    let mut trips = Latencies::new();
    let gauge = Gauge::take(cell, &mut far, |part, until| {
        let mut add = |time| {
            if part == Part::Timed {
                trips.add(time);
            }
        };
        in_a_row(&mut || among.trip(), &mut add, until)
    })?;
    alone.rate(WARM_UP)?;
    let turns = (cell.time.as_micros() / TURN.as_micros()).max(1);
    let mut kept = Vec::new();
    for _ in 0..turns {
        siege.rest(true);
        let without = alone.rate(TURN)?;
        siege.rest(false);
        kept.push(among.rate(TURN)? / without);
    }
    siege.lift();
    kept.sort_unstable_by(f64::total_cmp);
    let mut figures = gauge.round_trips(&mut trips, variant);
    figures.push((KEPT, 100.0 * kept[kept.len() / 2]));
    Ok(figures)
}

/// One that says who it is, and asks.
struct Client {
    end: Box<dyn End>,
    body: Aligned,
}

impl Client {
    fn of(server: &Far, cell: &Cell) -> Result<Self> {
        let end = server.peer().connect(Role::Req, server.url(), cell.size)?;
        Ok(Self { end, body: Aligned::new(cell.size, 7) })
    }

    fn trip(&mut self) -> Result<()> {
        self.end.send(&self.body)?;
        let (got, wanted) = (self.end.recv()?, self.body.len());
        if got == wanted { Ok(()) } else { Err(Error::Length { got, wanted }) }
    }

    /// Round trips a second.
    fn rate(&mut self, time: Duration) -> Result<f64> {
        let start = sys::now();
        let (count, stop) = in_a_row(&mut || self.trip(), &mut |_| {}, start + time)?;
        Ok(count as f64 / (stop - start).as_secs_f64())
    }
}

/// Strangers that come again within a second when they are turned away.
struct Siege {
    orders: Arc<Orders>,
    thread: JoinHandle<()>,
}

/// What the strangers are told. Relaxed: nothing is published with it.
#[derive(Default)]
struct Orders {
    rest: AtomicBool,
    leave: AtomicBool,
}

impl Siege {
    /// Answers once all of them stand there.
    fn lay(url: &str, silent: usize) -> Result<Self> {
        let come = |slow| Stranger::come(url, slow);
        let silent = (0..silent).map(|_| come(false));
        let mut strangers =
            silent.chain((0..SLOW).map(|_| come(true))).collect::<Result<Vec<_>>>()?;
        let orders = Arc::new(Orders::default());
        let (told, url) = (Arc::clone(&orders), url.to_owned());
        let thread = thread::Builder::new().name("strangers".into()).spawn(move || {
            let share = strangers.len().div_ceil(TICKS_PER_SECOND);
            let mut next = 0;
            while !told.leave.load(Ordering::Relaxed) {
                sys::pause(Duration::from_secs(1) / TICKS_PER_SECOND as u32);
                if told.rest.load(Ordering::Relaxed) {
                    continue;
                }
                let some = strangers.iter_mut().skip(next * share).take(share);
                some.for_each(|stranger| stranger.stay(&url));
                next = (next + 1) % TICKS_PER_SECOND;
            }
        });
        Ok(Self { orders, thread: thread.map_err(Error::io("start a thread"))? })
    }

    /// Whether they only stand there for now.
    fn rest(&self, yes: bool) {
        self.orders.rest.store(yes, Ordering::Relaxed);
    }

    fn lift(self) {
        self.orders.leave.store(true, Ordering::Relaxed);
        // It only waits and tries; a panic of it has been reported.
        let _ = self.thread.join();
    }
}

/// Somebody who connects and does not say who it is.
struct Stranger {
    stream: Box<dyn Stream>,
    /// What it says, a byte a second.
    left: &'static [u8],
    is_slow: bool,
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

impl Stranger {
    fn come(url: &str, is_slow: bool) -> Result<Self> {
        let stream = connect(url).map_err(Error::io("connect a stranger"))?;
        let left = if is_slow { hello(url) } else { b"" };
        Ok(Self { stream, left, is_slow })
    }

    /// Says the next byte, if it says any, and comes again if it has been turned away.
    fn stay(&mut self, url: &str) {
        let is_gone = loop {
            match self.stream.read(&mut [0; 64]) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => break error.kind() != ErrorKind::WouldBlock,
            }
        };
        if is_gone && let Ok(again) = Self::come(url, self.is_slow) {
            *self = again;
        }
        if let Some((byte, left)) = self.left.split_first() {
            // Turned away in this instant: it comes again in a second.
            let _ = self.stream.write(&[*byte]);
            self.left = left;
        }
    }
}

fn connect(url: &str) -> io::Result<Box<dyn Stream>> {
    let (scheme, place) = url.split_once("://").ok_or(ErrorKind::InvalidInput)?;
    if scheme == "ipc" {
        let stream = UnixStream::connect(place)?;
        stream.set_nonblocking(true)?;
        return Ok(Box::new(stream));
    }
    let address = place.split('/').next().unwrap_or_default();
    let stream = TcpStream::connect(address)?;
    stream.set_nonblocking(true)?;
    Ok(Box::new(stream))
}

/// What a REQ says first, without the end.
fn hello(url: &str) -> &'static [u8] {
    match url.split(':').next() {
        Some("ws") => b"GET /sp-bench HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        Some("tls+tcp" | "wss") => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        _ => b"\0SP\0\0\x30\0",
    }
}

/// Strangers that say a byte a second, beside the silent ones.
const SLOW: usize = 64;

/// Each stranger has its turn once a second, in so many groups.
const TICKS_PER_SECOND: usize = 50;

/// Two of those: in a turn the strangers do what they do in that time.
const TURN: Duration = Duration::from_millis(40);
