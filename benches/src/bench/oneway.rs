//! PUSH/PULL, or PAIR: one end sends as fast as its calls return, the other counts.
//!
//! The rate is that of what comes in. Over udp nobody slows the sender down, and what finds no room is lost; how much
//! was sent says the sender itself, on a way on which nothing is lost.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::far::{Command, Far, FarState, Start};
use super::gauge::Gauge;
use super::metric::losses;
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
    let (sent, lost) = drain(end.as_mut(), received, || far.sent())?;
    let mut figures = gauge.messages(cell.size, variant);
    figures.extend(losses(lost, sent));
    Ok(figures)
}

/// Receives until the far end has told how much it sent and all of that is here, or nothing more comes; gives what was
/// sent and what of it is missing.
fn drain(
    end: &mut dyn End,
    mut received: u64,
    mut told: impl FnMut() -> Result<Option<u64>>,
) -> Result<(u64, u64)> {
    let sent = loop {
        match told()? {
            Some(sent) => break sent,
            // A far end that waits for room has to be read on before it can stop.
            None => received += end.recv_within(STOP_POLL)?,
        }
    };
    while received < sent {
        match end.recv_within(SILENCE)? {
            0 => break,
            more => received += more,
        }
    }
    Ok((sent, sent.saturating_sub(received)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::metric::{LOST, LOST_SHARE};

    /// An end at which so many messages come in at each look, and then none for ever.
    struct Incoming(Vec<u64>);

    impl End for Incoming {
        fn send(&mut self, _body: &[u8]) -> Result<()> {
            unreachable!("it only receives")
        }

        fn recv(&mut self) -> Result<usize> {
            unreachable!("a drain never waits without a limit")
        }

        fn echo(&mut self) -> Result<()> {
            unreachable!("it only receives")
        }

        fn recv_within(&mut self, _limit: Duration) -> Result<u64> {
            Ok(if self.0.is_empty() { 0 } else { self.0.remove(0) })
        }
    }

    /// What is sent and lost when `received` messages are here, these come in, and the sender tells at the third look
    /// that it has sent 100.
    fn check(received: u64, coming: &[u64]) -> (u64, u64) {
        let mut looks = 0;
        let told = || {
            looks += 1;
            Ok((looks == 3).then_some(100))
        };
        let mut end = Incoming(coming.to_vec());
        drain(&mut end, received, told).expect("neither side fails")
    }

    #[test]
    fn what_comes_in_before_and_after_the_sender_has_stopped_is_not_lost() {
        assert_eq!(check(90, &[3, 0, 6, 1]), (100, 0));
    }

    #[test]
    fn what_has_not_come_in_before_a_silence_is_lost() {
        assert_eq!(check(70, &[3, 0, 6, 1, 0, 20]), (100, 20));
        assert_eq!(check(0, &[]), (100, 100));
    }

    #[test]
    fn losses_are_a_number_and_a_share() {
        assert_eq!(losses(20, 80), [(LOST, 20.0), (LOST_SHARE, 25.0)]);
        assert_eq!(losses(0, 0), [(LOST, 0.0), (LOST_SHARE, 0.0)]);
    }
}
