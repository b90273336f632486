//! PUB/SUB, or BUS, in two ways.
//!
//! In a closed loop the publisher is never more than [`AHEAD_MAX`] messages or [`AHEAD_BYTES_MAX`] ahead of its slowest
//! subscriber, so a peer whose queues hold that much loses nothing. In a flood it publishes as fast as its calls
//! return, and what counts is how much arrives, and how much is lost.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::far::{Far, Start};
use super::gauge::Gauge;
use super::metric::{DELIVERED, losses};
use super::{Cell, Figures, scratch_path};
use crate::error::{Error, Result};
use crate::peer::{Aligned, End, Heard, Peer, Variant};
use crate::place::Side;
use crate::sys::{self, SharedCounters};

/// One round: this end publishes, the far end counts on as many subscribers as the cell has.
pub(super) fn measure(cell: &Cell, variant: Variant) -> Result<Figures> {
    let id = std::process::id();
    let path = scratch_path(id, "counters");
    let counters = SharedCounters::create(&path, cell.many).map_err(Error::io("make counters"))?;
    let peer: Arc<dyn Peer> = variant.peer()?.into();
    let (end, url) = peer.serve(cell.bench.roles().0, &cell.url(0), cell.size)?;
    let far = Far::start(
        cell,
        variant,
        Start { peer: Some(peer), url: Some(url), counters: Some(path.clone()) },
    );
    // Both ends have it mapped, or the round has failed.
    let _ = fs::remove_file(&path);
    let mut far = far?;
    if cell.shares_process() {
        cell.seats.enter(Side::Near)?;
    }
    let mut feed = Feed::new(end, cell.size, counters);
    feed.prove()?;
    let gauge = Gauge::take(cell, &mut far, |_, until| {
        let before = feed.delivered();
        let end = if cell.bench.is_flood() { feed.flood(until) } else { feed.run(until) }?;
        Ok((feed.delivered() - before, end))
    })?;
    let lost = if cell.bench.is_flood() { feed.wait_for_silence() } else { feed.settle() };
    let mut figures = vec![(DELIVERED, gauge.rate())];
    figures.extend(gauge.costs(variant));
    figures.extend(losses(lost, feed.sent * feed.base.len() as u64));
    Ok(figures)
}

/// What the far end's subscribers tell: each has its counter.
pub(super) fn counting(counters: SharedCounters) -> Heard {
    Arc::new(move |index, count| {
        // Relaxed: the number alone matters, it publishes nothing else.
        counters.counter(index).fetch_add(count, Ordering::Relaxed);
    })
}

/// The publisher and what it knows of its subscribers.
struct Feed {
    end: Box<dyn End>,
    body: Aligned,
    counters: SharedCounters,
    /// What each counter stood at when the loop began.
    base: Vec<u64>,
    /// Messages published since then.
    sent: u64,
    /// How many of these the slowest subscriber had at the last look.
    slowest: u64,
    /// How many more it may have published.
    ahead: u64,
}

impl Feed {
    fn new(end: Box<dyn End>, size: usize, counters: SharedCounters) -> Self {
        let base = vec![0; counters.len()];
        let ahead = (AHEAD_BYTES_MAX / size as u64).clamp(2, AHEAD_MAX);
        Self { end, body: Aligned::new(size, 7), counters, base, sent: 0, slowest: 0, ahead }
    }

    /// Publishes now and then until three messages in a row have reached everybody: all subscriptions are in place.
    fn prove(&mut self) -> Result<()> {
        let end = sys::now() + CONNECT_MAX;
        let mut in_a_row = 0;
        while in_a_row < 3 {
            self.rebase();
            self.end.send(&self.body)?;
            self.sent = 1;
            let heard = self.wait_for(1, sys::now() + PROOF_MAX);
            in_a_row = if heard { in_a_row + 1 } else { 0 };
            if sys::now() > end {
                let missing = (0..self.base.len()).filter(|&i| self.has(i) == 0).count();
                return Err(Error::Deaf { missing, all: self.base.len() });
            }
        }
        self.rebase();
        Ok(())
    }

    /// Publishes until `end`; gives when it really ended.
    fn run(&mut self, end: Instant) -> Result<Instant> {
        let mut now = sys::now();
        while now < end {
            if self.sent == self.slowest + self.ahead
                && !self.wait_for(self.sent - self.ahead / 2, sys::now() + SILENCE)
            {
                let lost = self.missing();
                return Err(Error::Stalled { sent: self.sent, lost });
            }
            for _ in 0..BURST.min(self.slowest + self.ahead - self.sent) {
                self.end.send(&self.body)?;
                self.sent += 1;
            }
            now = sys::now();
        }
        Ok(now)
    }

    /// Publishes until `end` without looking at the subscribers; gives when it really ended.
    fn flood(&mut self, end: Instant) -> Result<Instant> {
        let mut now = sys::now();
        while now < end {
            for _ in 0..BURST {
                self.end.send(&self.body)?;
            }
            self.sent += BURST;
            now = sys::now();
        }
        Ok(now)
    }

    /// Waits until nothing more arrives; gives what never came.
    fn wait_for_silence(&self) -> u64 {
        let (mut before, mut last) = (self.delivered(), sys::now());
        while sys::now() < last + QUIET {
            sys::pause(QUIET / 10);
            let delivered = self.delivered();
            if delivered != before {
                (before, last) = (delivered, sys::now());
            }
        }
        self.missing()
    }

    /// Waits for the rest; gives what never came.
    fn settle(&mut self) -> u64 {
        self.wait_for(self.sent, sys::now() + SILENCE);
        self.missing()
    }

    /// Waits until every subscriber has `count` messages; whether that came about before `limit`.
    fn wait_for(&mut self, count: u64, limit: Instant) -> bool {
        let mut tries = 0;
        loop {
            self.slowest = (0..self.base.len()).map(|i| self.has(i)).min().unwrap_or(0);
            if self.slowest >= count {
                return true;
            }
            if tries < YIELDS {
                thread::yield_now();
                tries += 1;
            } else if sys::now() < limit {
                sys::pause(PAUSE);
            } else {
                return false;
            }
        }
    }

    fn rebase(&mut self) {
        for index in 0..self.base.len() {
            self.base[index] += self.has(index);
        }
        (self.sent, self.slowest) = (0, 0);
    }

    fn has(&self, index: usize) -> u64 {
        self.counters.counter(index).load(Ordering::Relaxed) - self.base[index]
    }

    fn delivered(&self) -> u64 {
        (0..self.base.len()).map(|i| self.has(i)).sum()
    }

    fn missing(&self) -> u64 {
        (self.sent * self.base.len() as u64).saturating_sub(self.delivered())
    }
}

/// Far below the queues of every peer measured.
const AHEAD_MAX: u64 = 64;

/// Below half of what this library holds for a subscriber by default.
const AHEAD_BYTES_MAX: u64 = 6 << 20;

/// Messages between two looks at the clock.
const BURST: u64 = 16;

/// Tries before a publisher that waits for its subscribers goes to sleep: some 20 microseconds.
const YIELDS: u32 = 32;

/// How long it sleeps then.
const PAUSE: Duration = Duration::from_micros(20);

/// How long one message may take to reach everybody.
const PROOF_MAX: Duration = Duration::from_millis(100);

/// How long all subscriptions may take together.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A subscriber that has made no progress for this long has lost what it misses.
const SILENCE: Duration = Duration::from_millis(500);

/// After a flood, what has not come in after this long without any message is lost.
const QUIET: Duration = Duration::from_millis(200);
