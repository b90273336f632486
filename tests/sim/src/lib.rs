//! Many engines in one simulated world that fails them.
//!
//! A world has nodes, each with one engine, some tasks that use it as programs do, and connections to other nodes.
//! Time is virtual, one thread runs everything, and every draw comes from one seed: a run can be had again exactly.
//!
//! A run is a few storms. In a storm connections break, nodes crash and freeze, calls give up, as drawn
//! ([`faults::Faults`]). Then faults end, everything comes to rest, and each node has to prove in turn that it works.
//! [`oracle::Oracle`] lists what has to hold, all the time or at rest. Calls are tried again only when the engine has
//! woken them: a wake that is lost leaves something stuck.
//!
//! | file | holds |
//! | --- | --- |
//! | `world.rs` | storms and rest; which event goes where |
//! | `stage.rs` | time, events, luck, the record |
//! | `net.rs`, `link.rs`, `route.rs` | connections as data; how they come, carry and go; devices on the way |
//! | `node.rs`, `body.rs`, `effects.rs` | an engine, what a socket keeps beside it, its effects and what it owes |
//! | `task.rs`, `post.rs` | programs and how they wait; messages that can be told apart |
//! | `patterns/` | nodes, tasks and promises of each pattern |
//! | `mutate.rs` | whether the oracles notice engines that are broken on purpose |

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use faults::Faults;
use oracle::{Failure, Oracle};
use patterns::Pattern;
use rng::Rng;
use trace::Entry;
use world::World;

pub mod faults;
pub mod mutate;
pub mod oracle;
pub mod patterns;
pub mod rng;
pub mod trace;

mod body;
mod effects;
mod link;
mod net;
mod node;
mod post;
mod route;
mod stage;
mod task;
mod world;

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// Two runs in which the same happened have the same.
    pub hash: u64,
    /// How much happened.
    pub events: u64,
    /// How much virtual time passed.
    pub time: Duration,
    /// The first promise that was broken.
    pub failure: Option<Failure>,
    /// What happened last.
    pub last: Vec<Entry>,
}

/// What a run is made from, besides its pattern and seed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The faults of its storms, instead of those that the seed draws.
    pub faults: Option<Faults>,
    /// How many of its last events are remembered.
    pub events: usize,
}

impl Default for Settings {
    fn default() -> Self {
        // Two screens.
        Self { faults: None, events: 80 }
    }
}

/// Runs the world of `pattern` that `seed` makes.
pub fn run(pattern: &Pattern, seed: u64, settings: Settings) -> Report {
    let mut world = World::new(Rng::new(seed), settings);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        (pattern.build)(&mut world);
        world.run();
    }));
    let stage = &mut world.stage;
    if let Err(panic) = ran {
        stage.failure = Some(Failure::new(Oracle::Panic, message(&*panic)));
    }
    Report {
        hash: stage.trace.hash(),
        events: stage.trace.events(),
        time: Duration::from_nanos(stage.now),
        failure: stage.failure.take(),
        last: stage.trace.last(),
    }
}

/// What a panic had to say.
fn message(panic: &dyn std::any::Any) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}
