//! Times of single round trips.

use std::time::Duration;

use super::Figures;
use super::metric::{P50, P99, P999};

/// The times of the round trips of one round.
pub(super) struct Latencies {
    nanos: Vec<u32>,
    count: usize,
}

impl Latencies {
    /// Room for [`LATENCIES_MAX`], touched beforehand, so that no page fault falls into the measurement.
    pub(super) fn new() -> Self {
        Self { nanos: vec![u32::MAX; LATENCIES_MAX], count: 0 }
    }

    /// Adds one. Beyond the room there is they are left out: a quarter of an hour of round trips over sockets fits.
    pub(super) fn add(&mut self, time: Duration) {
        if let Some(slot) = self.nanos.get_mut(self.count) {
            *slot = u32::try_from(time.as_nanos()).unwrap_or(u32::MAX);
            self.count += 1;
        }
    }

    /// Microseconds that `share` of all were faster than.
    pub(super) fn micros(&mut self, share: f64) -> f64 {
        let all = &mut self.nanos[..self.count];
        if all.is_empty() {
            return f64::NAN;
        }
        let at = ((all.len() as f64 * share) as usize).min(all.len() - 1);
        f64::from(*all.select_nth_unstable(at).1) / 1e3
    }

    /// The middle and the tail.
    pub(super) fn figures(&mut self) -> Figures {
        vec![(P50, self.micros(0.5)), (P99, self.micros(0.99)), (P999, self.micros(0.999))]
    }
}

/// A round of four seconds at one million round trips a second; 16 MB.
const LATENCIES_MAX: usize = 4_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_what_so_many_were_faster_than() {
        let mut all = Latencies::new();
        (1..=1000).rev().for_each(|micros| all.add(Duration::from_micros(micros)));
        let figures: Vec<f64> = all.figures().into_iter().map(|(_, value)| value).collect();
        assert_eq!(figures, [501.0, 991.0, 1000.0]);
    }
}
