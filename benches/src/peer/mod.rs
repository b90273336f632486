//! Who is measured: the library, other libraries, and the bare kernel.
//!
//! A [`Peer`] opens ends, an [`End`] moves messages. All calls are the blocking ones that a program of that library
//! would write first; what a peer does per message beyond that is said in its file.

use std::time::Duration;

use clap::ValueEnum;

use crate::bench::{Bench, Transport};
use crate::error::{Error, Result};

mod buffer;
#[cfg(feature = "peer-nng")]
mod nng;
mod raw;
mod sp;
mod xbeam;

pub(crate) use buffer::Aligned;

/// What `--peers` takes; one choice can stand for several variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Family {
    /// This library.
    Sp,
    /// nng 2, through its blocking calls.
    Nng,
    /// What there is without a library: bare sockets, a channel, the allocator.
    Raw,
}

/// One way of doing a benchmark, a row of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Variant {
    /// This library.
    Sp,
    /// nng 2, through its blocking calls.
    Nng,
    /// Blocking reads and writes.
    RawBlock,
    /// Non-blocking reads and writes, yielding between tries.
    RawSpin,
    /// A write per message, large reads.
    RawEach,
    /// Writes of 64 KiB, large reads.
    RawBatch,
    /// crossbeam-channel, with small bodies inside the message.
    RawXbeam,
    /// Vectors from the allocator.
    Malloc,
}

/// What an end is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Asks and gets one answer.
    Req,
    /// Answers.
    Rep,
    /// Sends one way.
    Push,
    /// Receives one way.
    Pull,
    /// Sends to every subscriber.
    Pub,
    /// Receives everything that is published.
    Sub,
}

/// A library, or the lack of one.
///
/// In inproc both ends are opened on the same `Peer`.
pub(crate) trait Peer: Send + Sync {
    /// Opens an end that waits for others at `url`, and gives the address to connect to.
    fn serve(&self, role: Role, url: &str, size: usize) -> Result<(Box<dyn End>, String)>;

    /// Opens an end that connects to `url`.
    fn connect(&self, role: Role, url: &str, size: usize) -> Result<Box<dyn End>>;
}

/// One end of a conversation in which every message has the same size.
pub(crate) trait End: Send {
    /// Sends one message, waiting for room.
    fn send(&mut self, body: &[u8]) -> Result<()>;

    /// Waits for a message and gives its length.
    fn recv(&mut self) -> Result<usize>;

    /// Waits for a message and sends the same body back.
    fn echo(&mut self) -> Result<()>;

    /// Waits at most `limit`; gives how many whole messages came in, 0 if none.
    fn recv_within(&mut self, limit: Duration) -> Result<u64>;

    /// Sends `count` messages, one call for each unless the peer is about batches.
    fn send_burst(&mut self, body: &[u8], count: u64) -> Result<()> {
        for _ in 0..count {
            self.send(body)?;
        }
        Ok(())
    }

    /// Waits for about `count` messages of `size` bytes, one call for each unless the peer reads in bulk; gives
    /// how many came in, at least one.
    fn recv_burst(&mut self, size: usize, count: u64) -> Result<u64> {
        for _ in 0..count {
            let got = self.recv()?;
            if got != size {
                return Err(Error::Length { got, wanted: size });
            }
        }
        Ok(count)
    }

    /// Sends what was held back.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Family {
    /// What is measured unless the command line says otherwise.
    pub(crate) fn defaults() -> Vec<Self> {
        if cfg!(feature = "peer-nng") {
            vec![Self::Sp, Self::Nng, Self::Raw]
        } else {
            vec![Self::Sp, Self::Raw]
        }
    }

    /// The variants of this family that can do `bench` over `transport`.
    pub(crate) const fn variants(self, bench: Bench, transport: Transport) -> &'static [Variant] {
        match (self, bench, transport) {
            (Self::Nng, Bench::Pool, _) | (Self::Raw, Bench::Fanout, _) => &[],
            (Self::Sp, ..) => &[Variant::Sp],
            (Self::Nng, ..) => &[Variant::Nng],
            (Self::Raw, Bench::Pool, _) => &[Variant::Malloc],
            (Self::Raw, _, Transport::Inproc) => &[Variant::RawXbeam],
            (Self::Raw, Bench::Rtt, _) => &[Variant::RawBlock, Variant::RawSpin],
            (Self::Raw, Bench::Oneway, _) => &[Variant::RawEach, Variant::RawBatch],
        }
    }
}

impl Variant {
    /// The name on the hidden command line and in results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sp => "sp",
            Self::Nng => "nng",
            Self::RawBlock => "raw-block",
            Self::RawSpin => "raw-spin",
            Self::RawEach => "raw-each",
            Self::RawBatch => "raw-batch",
            Self::RawXbeam => "raw-xbeam",
            Self::Malloc => "malloc",
        }
    }

    /// The settings it is measured with, for people.
    pub(crate) const fn settings(self) -> &'static str {
        match self {
            Self::Sp => "this library, blocking calls, default options",
            Self::Nng => {
                "nng 2.0, blocking calls, TCP_NODELAY; PUSH, PULL, PUB, SUB buffers of 1000 messages"
            }
            Self::RawBlock => "blocking read and write, TCP_NODELAY",
            Self::RawSpin => "non-blocking read and write, yielding between tries, TCP_NODELAY",
            Self::RawEach => "a write per message, reads of up to 256 KiB, 64-byte aligned",
            Self::RawBatch => "writes of 64 KiB, reads of up to 256 KiB, 64-byte aligned",
            Self::RawXbeam => {
                "crossbeam-channel, bodies up to 64 B inline; 64 (rtt) or 1024 (oneway) slots"
            }
            Self::Malloc => "vectors from the allocator",
        }
    }

    /// The peer, ready to open ends.
    pub(crate) fn peer(self) -> Result<Box<dyn Peer>> {
        match self {
            Self::Sp => Ok(Box::new(sp::Sp)),
            #[cfg(feature = "peer-nng")]
            Self::Nng => Ok(Box::new(nng::Nng::new()?)),
            #[cfg(not(feature = "peer-nng"))]
            Self::Nng => Err(Error::NoNng),
            Self::RawBlock => Ok(Box::new(raw::Raw::Block)),
            Self::RawSpin => Ok(Box::new(raw::Raw::Spin)),
            Self::RawEach => Ok(Box::new(raw::Raw::Each)),
            Self::RawBatch => Ok(Box::new(raw::Raw::Batch)),
            Self::RawXbeam => Ok(Box::new(xbeam::Xbeam::default())),
            Self::Malloc => Err(Error::NoPeers),
        }
    }
}
