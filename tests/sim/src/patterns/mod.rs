//! The patterns: which nodes there are, what their programs do, and what is promised.
//!
//! A pattern is one file. Its `build` draws nodes, adds each with a `Spec` (options, tasks, an
//! audit of its books), and connects them; what its tasks learn they write into a ledger that they share. A line in
//! [`ALL`] makes it known.

use std::time::Duration;

use crate::world::World;

mod answering;
mod bus;
mod crowd;
mod device;
mod pair;
mod pipeline;
mod poly;
mod pubsub;
mod reqrep;
mod single;
mod star;
mod survey;

/// A pattern in the simulated world.
#[derive(Clone, Copy)]
pub struct Pattern {
    /// As the command line has it.
    pub name: &'static str,
    /// Fills a world.
    pub(crate) build: fn(&mut World),
}

/// Every pattern.
pub const ALL: [Pattern; 9] = [
    Pattern { name: "reqrep", build: reqrep::build },
    Pattern { name: "pubsub", build: pubsub::build },
    Pattern { name: "pipeline", build: pipeline::build },
    Pattern { name: "survey", build: survey::build },
    Pattern { name: "device", build: device::build },
    Pattern { name: "pair", build: pair::build },
    Pattern { name: "poly", build: poly::build },
    Pattern { name: "bus", build: bus::build },
    Pattern { name: "star", build: star::build },
];

/// The pattern of that name.
pub fn named(name: &str) -> Option<&'static Pattern> {
    ALL.iter().find(|pattern| pattern.name == name)
}

/// Longer than any run waits before it holds that nothing moves any more: what is to happen after this time is not
/// to be relied upon.
pub(crate) const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Connects each of `from` with some of `to`, at least one, dialing from either side.
fn connect_some(world: &mut World, from: &[usize], to: &[usize]) -> Vec<(usize, usize)> {
    let mut made = Vec::new();
    for &one in from {
        let sure = *world.stage.luck.pick(to);
        for &other in to {
            if other == sure || world.stage.luck.one_in(2) {
                made.push((one, other));
            }
        }
    }
    made
}
