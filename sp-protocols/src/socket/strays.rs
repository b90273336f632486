//! Datagrams that belong to no peer.

use std::sync::atomic::{AtomicU64, Ordering};

use sp_core::datagram::Lost;
use sp_core::stats::Stats;

/// How many there were, by what was wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Strays {
    counts: [AtomicU64; Lost::STRAYS.len()],
}

impl Strays {
    pub(crate) fn count(&self, what: Lost, times: usize) {
        if let Some(at) = Lost::STRAYS.iter().position(|stray| *stray == what) {
            self.counts[at].fetch_add(times as u64, Ordering::Relaxed);
        }
    }

    /// As a branch of the statistics; `None` if there was none.
    pub(crate) fn tree(&self) -> Option<Stats> {
        let counts = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        let tree = Lost::STRAYS
            .iter()
            .zip(counts)
            .fold(Stats::new("stray_datagrams"), |tree, (what, count)| {
                tree.value(what.name(), count)
            });
        counts.iter().any(|count| *count > 0).then_some(tree)
    }
}
