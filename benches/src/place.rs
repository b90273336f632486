//! Which processors the two ends run on.

use clap::ValueEnum;

use crate::error::{Error, Result};
use crate::sys;

/// Where the two ends of a measurement run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Placement {
    /// The system decides.
    Free,
    /// One end on the first allowed processor, the other on the second.
    TwoCores,
    /// Everything on the first allowed processor.
    OneCore,
}

/// The two ends of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The end that measures.
    Near,
    /// The end it talks to.
    Far,
}

impl Placement {
    /// The placement's name on the command line and in results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::TwoCores => "two-cores",
            Self::OneCore => "one-core",
        }
    }

    /// The processors the two ends get, out of those this process may use now.
    ///
    /// To be asked before anything is pinned: whatever a pinned thread starts may use that one processor alone.
    pub(crate) fn seats(self) -> Result<Seats> {
        let allowed = sys::allowed_cpus();
        let cpu = |index: usize| match allowed.get(index) {
            Some(&cpu) => Ok(Some(cpu)),
            None => Err(Error::TooFewCpus { has: allowed.len() }),
        };
        Ok(match self {
            Self::Free => Seats { near: None, far: None },
            Self::TwoCores => Seats { near: cpu(0)?, far: cpu(1)? },
            Self::OneCore => Seats { near: cpu(0)?, far: cpu(0)? },
        })
    }
}

/// The processor of each side; none where the system decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seats {
    /// Of the end that measures.
    pub(crate) near: Option<usize>,
    /// Of the end it talks to.
    pub(crate) far: Option<usize>,
}

impl Seats {
    /// Pins the calling thread and all it starts later. Done before a library starts threads of its own, a
    /// process of one side keeps them all on its side.
    pub(crate) fn enter(self, side: Side) -> Result<()> {
        let seat = match side {
            Side::Near => self.near,
            Side::Far => self.far,
        };
        seat.map_or(Ok(()), |cpu| sys::pin(cpu).map_err(Error::io("pin to a processor")))
    }

    /// As [`enter`](Self::enter), for a process that holds both sides: with two processors only its two working
    /// threads are pinned, later, and the threads of the library stay free.
    pub(crate) fn enter_shared(self) -> Result<()> {
        if self.near == self.far { self.enter(Side::Near) } else { Ok(()) }
    }
}
