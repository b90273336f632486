//! PUSH/PULL, or PAIR: one end sends as fast as its calls return, the other counts.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::far::{Command, Far, FarState, Start};
use super::gauge::Gauge;
use super::metric::LOST;
use super::{Cell, Figures};
use crate::error::Result;
use crate::peer::{Aligned, End, Variant};
use crate::place::Side;
use crate::sys;

/// One round: the far end sends, this end receives and takes the time; afterwards everything sent has to come in.
pub(super) fn measure(cell: &Cell, variant: Variant) -> Result<Figures> {
    let mut far = Far::start(cell, variant, Start::default())?;
    let mut end = far.peer().connect(cell.bench.roles().0, far.url(), cell.size)?;
    if cell.shares_process() {
        cell.seats.enter(Side::Near)?;
    }
    let burst = burst(cell.size);
    let mut received = 0;
    let gauge = Gauge::take(cell, &mut far, |_, until| {
        let (mut count, mut last) = (0, sys::now());
        while last < until {
            count += end.recv_burst(cell.size, burst)?;
            last = sys::now();
        }
        received += count;
        Ok((count, last))
    })?;
    far.send(Command::Stop)?;
    let lost = drain(&mut far, end.as_mut(), &mut received)?;
    let mut figures = gauge.messages(cell.size, variant);
    figures.push((LOST, lost as f64));
    Ok(figures)
}

/// Receives until the far end has stopped and all it sent is here, or nothing more comes; gives what is missing.
fn drain(far: &mut Far, end: &mut dyn End, received: &mut u64) -> Result<u64> {
    let sent = loop {
        match far.sent()? {
            Some(sent) => break sent,
            // A far end that waits for room has to be read on before it can stop.
            None => *received += end.recv_within(STOP_POLL)?,
        }
    };
    while *received < sent {
        match end.recv_within(SILENCE)? {
            0 => break,
            more => *received += more,
        }
    }
    Ok(sent.saturating_sub(*received))
}

/// The far end: sends until it is told to stop; gives how many messages that were.
pub(super) fn push(mut end: Box<dyn End>, size: usize, state: &FarState) -> Result<u64> {
    let body = Aligned::new(size, 7);
    let burst = burst(size);
    let mut sent = 0;
    while !state.stop.load(Ordering::Relaxed) {
        end.send_burst(&body, burst)?;
        sent += burst;
    }
    end.flush()?;
    // Closing could drop what is still queued: the end stays open until the process ends.
    std::mem::forget(end);
    Ok(sent)
}

/// Messages between two looks at the clock, which costs as much as a few small messages.
const fn burst(size: usize) -> u64 {
    if size < 8192 { 64 } else { 1 }
}

/// How long a draining end waits for a message before it looks again whether the sender has stopped.
const STOP_POLL: Duration = Duration::from_millis(1);

/// What has not come in after this long without any message is lost.
const SILENCE: Duration = Duration::from_millis(200);
