//! REQ/REP beside strangers who never finish their handshake: silent ones, and some that say a byte a second.

use std::io::{ErrorKind, Read, Write};
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
use crate::peer::{Aligned, Role, Variant};
use crate::sys;

/// One round: the rate of an honest client without strangers, and then among them.
pub(super) fn measure(cell: &Cell, variant: Variant) -> Result<Figures> {
    let mut far = Far::start(cell, variant, Start::default())?;
    let url = far.url().to_owned();
    let mut end = far.peer().connect(Role::Req, &url, cell.size)?;
    let body = Aligned::new(cell.size, 7);
    let mut trip = || {
        end.send(&body)?;
        let got = end.recv()?;
        if got == cell.size { Ok(()) } else { Err(Error::Length { got, wanted: cell.size }) }
    };
    let mut trips = Latencies::new();
    in_a_row(&mut trip, &mut |_| {}, sys::now() + WARM_UP)?;
    let start = sys::now();
    let (count, stop) = in_a_row(&mut trip, &mut |_| {}, start + cell.time)?;
    let alone = count as f64 / (stop - start).as_secs_f64();

    let siege = Siege::lay(&url, cell.many)?;
    let gauge = Gauge::take(cell, &mut far, |part, until| {
        let mut add = |time| {
            if part == Part::Timed {
                trips.add(time);
            }
        };
        in_a_row(&mut trip, &mut add, until)
    })?;
    siege.lift();
    let mut figures = gauge.round_trips(&mut trips, variant);
    figures.push((KEPT, 100.0 * gauge.rate() / alone));
    Ok(figures)
}

/// Strangers that come again within a second when they are turned away.
struct Siege {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Siege {
    /// Answers once all of them stand there.
    fn lay(url: &str, silent: usize) -> Result<Self> {
        let come = |slow| Stranger::come(url, slow);
        let silent = (0..silent).map(|_| come(false));
        let mut strangers =
            silent.chain((0..SLOW).map(|_| come(true))).collect::<Result<Vec<_>>>()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, url) = (Arc::clone(&is_over), url.to_owned());
        let thread = thread::Builder::new().name("strangers".into()).spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let share = strangers.len().div_ceil(TICKS_PER_SECOND);
                for some in strangers.chunks_mut(share) {
                    sys::pause(Duration::from_secs(1) / TICKS_PER_SECOND as u32);
                    some.iter_mut().for_each(|stranger| stranger.stay(&url));
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            }
        });
        Ok(Self { is_over, thread: thread.map_err(Error::io("start a thread"))? })
    }

    fn lift(self) {
        self.is_over.store(true, Ordering::Relaxed);
        // It only waits and tries; a panic of it has been reported.
        let _ = self.thread.join();
    }
}

/// Somebody who connects and does not say who it is.
struct Stranger {
    stream: Box<dyn Stream>,
    is_slow: bool,
    said: usize,
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

impl Stranger {
    fn come(url: &str, is_slow: bool) -> Result<Self> {
        let failed = Error::io("connect a stranger");
        let stream: std::io::Result<Box<dyn Stream>> =
            if let Some(path) = url.strip_prefix("ipc://") {
                UnixStream::connect(path).and_then(|stream| {
                    stream.set_nonblocking(true)?;
                    Ok(Box::new(stream) as Box<dyn Stream>)
                })
            } else {
                TcpStream::connect(url.trim_start_matches("tcp://")).and_then(|stream| {
                    stream.set_nonblocking(true)?;
                    Ok(Box::new(stream) as Box<dyn Stream>)
                })
            };
        Ok(Self { stream: stream.map_err(failed)?, is_slow, said: 0 })
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
        // All but the last byte.
        if self.is_slow
            && let Some(byte) = HELLO[..7].get(self.said..=self.said)
        {
            // Turned away in this instant: it comes again in a second.
            let _ = self.stream.write(byte);
            self.said += 1;
        }
    }
}

/// What a REQ says first.
const HELLO: &[u8; 8] = b"\0SP\0\0\x30\0\0";

/// Strangers that say a byte a second, beside the silent ones.
const SLOW: usize = 64;

/// Each stranger has its turn once a second, in so many groups.
const TICKS_PER_SECOND: usize = 50;
