//! What can go wrong in a round.

use std::io;

/// The result of anything that can fail a round.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a round, or the whole run, gave no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The system refused something.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A library under test refused something.
    #[error("{peer} cannot {doing}: {why}")]
    Peer {
        /// The library.
        peer: &'static str,
        /// What was tried.
        doing: &'static str,
        /// What it said.
        why: String,
    },
    /// A message of another length than the one sent came in.
    #[error("a message of {got} bytes came in, {wanted} were sent")]
    Length {
        /// Bytes received.
        got: usize,
        /// Bytes sent.
        wanted: usize,
    },
    /// The other end of the conversation is gone.
    #[error("the other end is gone")]
    Gone,
    /// The far end gave up.
    #[error("far end: {why}")]
    Far {
        /// What it said.
        why: String,
    },
    /// The far end said nothing.
    #[error("the far end did not answer in time")]
    Silent,
    /// Not everybody got or answered the messages that prove it connected.
    #[error("{missing} of {all} others never got a message, or never answered")]
    Deaf {
        /// Those without a message.
        missing: usize,
        /// All of them.
        all: usize,
    },
    /// Messages were lost so early that no rate can be given.
    #[error("the closed loop stood still after {sent} messages, {lost} were lost")]
    Stalled {
        /// Messages published.
        sent: u64,
        /// Deliveries that never happened.
        lost: u64,
    },
    /// The round took longer than any round may.
    #[error("ended by the watchdog after {0:?}")]
    Watchdog(std::time::Duration),
    /// The process of the round failed.
    #[error("{why}")]
    Child {
        /// Its last words.
        why: String,
    },
    /// A placement needs more processors than are allowed.
    #[error("the placement needs more processors than the {has} this process may use")]
    TooFewCpus {
        /// Processors allowed.
        has: usize,
    },
    /// A peer was asked for but is not built in.
    #[error("{peer} is not built in: see the features of benches/Cargo.toml")]
    NotBuiltIn {
        /// The peer.
        peer: &'static str,
    },
    /// A peer has nothing for this workload.
    #[error("this peer cannot {doing}")]
    Cannot {
        /// What it lacks.
        doing: &'static str,
    },
    /// Nothing is left to measure.
    #[error("none of the chosen peers can do this benchmark")]
    NoPeers,
}

impl Error {
    /// Says what was being done when the system refused, for `map_err`.
    pub(crate) const fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }

    /// Says what a library was doing when it refused, for `map_err`.
    pub(crate) fn peer<E: std::fmt::Display>(
        peer: &'static str,
        doing: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |why| Self::Peer { peer, doing, why: why.to_string() }
    }
}
