//! Who is measured: the library, other libraries, and the bare kernel.
//!
//! A [`Peer`] opens ends, an [`End`] moves messages. All calls are the blocking ones that a program of that library
//! would write first; what a peer does per message beyond that is said in its file. Where a workload is about many
//! requests or many subscribers at a time, an [`Asker`], an [`Answerer`] or a [`Crowd`] does all of its side with
//! whatever the library offers for that.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use clap::ValueEnum;

use crate::bench::{Bench, Transport};
use crate::error::{Error, Result};

mod buffer;
mod echo;
#[cfg(feature = "peer-nanomsg")]
mod nanomsg;
#[cfg(feature = "peer-nng")]
mod nng;
#[cfg(feature = "peer-nng")]
mod nng_aio;
#[cfg(feature = "peer-omq")]
mod omq;
mod raw;
mod sp;
mod xbeam;
#[cfg(feature = "peer-zmq")]
mod zmq;

pub(crate) use buffer::Aligned;

/// What `--peers` takes; one choice can stand for several variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Family {
    /// This library.
    Sp,
    /// nng 2, through its blocking calls.
    Nng,
    /// nng 2, through its asynchronous calls with many operations outstanding.
    NngAio,
    /// libzmq.
    Zmq,
    /// nanomsg.
    Nanomsg,
    /// omq-tokio, ZeroMQ in Rust.
    Omq,
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
    /// nng 2, through its asynchronous calls with many operations outstanding.
    NngAio,
    /// libzmq, through its blocking calls.
    Zmq,
    /// nanomsg, through its blocking calls.
    Nanomsg,
    /// omq-tokio in its best documented setting for the workload.
    Omq,
    /// omq-tokio without a thread of its own, or without polling.
    OmqAlone,
    /// Blocking reads and writes.
    RawBlock,
    /// Non-blocking reads and writes, yielding between tries.
    RawSpin,
    /// A write per message, large reads.
    RawEach,
    /// Writes of 64 KiB, large reads.
    RawBatch,
    /// One thread that sends back what it reads from any of its connections.
    RawEpoll,
    /// crossbeam-channel, with small bodies inside the message.
    RawXbeam,
    /// Vectors from the allocator.
    Malloc,
}

/// What a server understands, for the bare client that asks servers of every kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// The Scalability Protocols' mapping for streams: sp, nng, nanomsg.
    Sp,
    /// ZMTP 3: libzmq, omq.
    Zmtp,
    /// No handshake: whatever comes is sent back.
    Bare,
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

    /// Opens one socket that connects to `url` and can keep `lanes` requests outstanding.
    fn outstanding(&self, url: &str, size: usize, lanes: usize) -> Result<Box<dyn Asker>> {
        let _ = (url, size, lanes);
        Err(Error::Cannot { doing: "keep many requests outstanding" })
    }

    /// Opens one socket that answers whoever asks at `url`, up to `lanes` requests at a time, and gives the address
    /// to connect to. It takes any number of connections.
    fn answer(&self, url: &str, size: usize, lanes: usize) -> Result<(Box<dyn Answerer>, String)> {
        let _ = lanes;
        let (end, at) = self.serve(Role::Rep, url, size)?;
        Ok((Box::new(Echo(end)), at))
    }

    /// Opens `count` subscribers of everything that is published at `url`, each a socket of its own.
    fn subscribers(&self, url: &str, size: usize, count: usize) -> Result<Box<dyn Crowd>> {
        let ends = (0..count).map(|_| self.connect(Role::Sub, url, size));
        Ok(Box::new(Threads { ends: ends.collect::<Result<_>>()?, size }))
    }
}

/// One socket with many requests under way.
pub(crate) trait Asker: Send {
    /// Asks for `time`, always with all lanes outstanding; gives how many replies came in. What is outstanding at
    /// the end may stay so until the next call.
    fn run_for(&mut self, time: Duration) -> Result<u64>;
}

/// One socket that answers with the body of the request.
pub(crate) trait Answerer: Send {
    /// Answers for ever, in this thread or others.
    fn run(self: Box<Self>) -> Result<()>;
}

/// Many subscribers in one process.
pub(crate) trait Crowd: Send {
    /// Receives for ever, in this thread or others, and tells `heard` after each receive which subscriber got how
    /// many messages.
    fn run(self: Box<Self>, heard: Heard) -> Result<()>;
}

/// Told of messages that came in: the subscriber's number and how many there were.
pub(crate) type Heard = Arc<dyn Fn(usize, u64) + Send + Sync>;

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

/// An answerer that has one request at a time.
struct Echo(Box<dyn End>);

impl Answerer for Echo {
    fn run(mut self: Box<Self>) -> Result<()> {
        loop {
            self.0.echo()?;
        }
    }
}

/// A crowd with a thread for each subscriber.
struct Threads {
    ends: Vec<Box<dyn End>>,
    size: usize,
}

impl Crowd for Threads {
    fn run(self: Box<Self>, heard: Heard) -> Result<()> {
        let (fail, failed) = mpsc::channel();
        for (index, mut end) in self.ends.into_iter().enumerate() {
            let (heard, fail, size) = (Arc::clone(&heard), fail.clone(), self.size);
            let mut count = move || -> Result<()> {
                loop {
                    let got = end.recv()?;
                    if got != size {
                        return Err(Error::Length { got, wanted: size });
                    }
                    heard(index, 1);
                }
            };
            thread::Builder::new()
                .stack_size(SUBSCRIBER_STACK_BYTES)
                .spawn(move || fail.send(count()))
                .map_err(Error::io("start a subscriber"))?;
        }
        drop(fail);
        failed.recv().unwrap_or(Err(Error::Gone))
    }
}

impl Family {
    /// What is measured unless the command line says otherwise: everybody that is built in.
    pub(crate) fn defaults() -> Vec<Self> {
        let all = Self::value_variants().iter().copied();
        all.filter(|family| family.is_built_in()).collect()
    }

    /// Whether this program was built with it.
    pub(crate) const fn is_built_in(self) -> bool {
        match self {
            Self::Sp | Self::Raw => true,
            Self::Nng | Self::NngAio => cfg!(feature = "peer-nng"),
            Self::Zmq => cfg!(feature = "peer-zmq"),
            Self::Nanomsg => cfg!(feature = "peer-nanomsg"),
            Self::Omq => cfg!(feature = "peer-omq"),
        }
    }

    /// The name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sp => "sp",
            Self::Nng => "nng",
            Self::NngAio => "nng-aio",
            Self::Zmq => "zmq",
            Self::Nanomsg => "nanomsg",
            Self::Omq => "omq",
            Self::Raw => "raw",
        }
    }

    /// The variants of this family that can do `bench` over `transport`.
    pub(crate) const fn variants(self, bench: Bench, transport: Transport) -> &'static [Variant] {
        match (self, bench, transport) {
            // These are about a server process of its own.
            (
                _,
                Bench::Clients | Bench::BareClients | Bench::Idle | Bench::Siege,
                Transport::Inproc,
            ) => &[],
            // What is sent faster than it is received is lost, and few libraries have it.
            (Self::Zmq | Self::Nanomsg | Self::Omq | Self::Raw, _, Transport::Udp)
            | (_, Bench::Oneway | Bench::Load | Bench::Flood, Transport::Udp) => &[],
            (Self::Sp, ..) => &[Variant::Sp],
            (Self::Raw, ..) => Self::floors(bench, transport),
            (_, Bench::Pool | Bench::Engine, _) => &[],
            // Many requests outstanding are asynchronous by their nature.
            (Self::Nng, Bench::Outstanding, _) => &[],
            (Self::Nng, ..) => &[Variant::Nng],
            (Self::NngAio, ..) => &[Variant::NngAio],
            (Self::Zmq, ..) => &[Variant::Zmq],
            // It has no way to do this short of its raw sockets.
            (Self::Nanomsg, Bench::Outstanding, _) => &[],
            (Self::Nanomsg, ..) => &[Variant::Nanomsg],
            // Its own thread, or a receive that polls, wins with a processor to spare and loses without.
            (
                Self::Omq,
                Bench::Rtt | Bench::Paced | Bench::Load | Bench::Pairs,
                Transport::Ipc | Transport::Inproc,
            ) => &[Variant::Omq, Variant::OmqAlone],
            (Self::Omq, ..) => &[Variant::Omq],
        }
    }

    const fn floors(bench: Bench, transport: Transport) -> &'static [Variant] {
        match (bench, transport) {
            (Bench::Pool, _) => &[Variant::Malloc],
            (Bench::Clients | Bench::BareClients | Bench::Idle, _) => &[Variant::RawEpoll],
            // A bare server of one client is besieged by nobody.
            (
                Bench::Fanout | Bench::Flood | Bench::Outstanding | Bench::Engine | Bench::Siege,
                _,
            ) => &[],
            (_, Transport::Inproc) => &[Variant::RawXbeam],
            (Bench::Paced, _) => &[Variant::RawBlock],
            (Bench::Rtt | Bench::Load | Bench::Pairs, _) => &[Variant::RawBlock, Variant::RawSpin],
            (Bench::Oneway, _) => &[Variant::RawEach, Variant::RawBatch],
        }
    }
}

impl Variant {
    /// The name on the hidden command line and in results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sp => "sp",
            Self::Nng => "nng",
            Self::NngAio => "nng-aio",
            Self::Zmq => "zmq",
            Self::Nanomsg => "nanomsg",
            Self::Omq => "omq",
            Self::OmqAlone => "omq-alone",
            Self::RawBlock => "raw-block",
            Self::RawSpin => "raw-spin",
            Self::RawEach => "raw-each",
            Self::RawBatch => "raw-batch",
            Self::RawEpoll => "raw-epoll",
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
            Self::NngAio => {
                "nng 2.0, callbacks: 64 sends or 16 receives outstanding, REP and SUB in callbacks; buffers as nng"
            }
            Self::Zmq => "libzmq 4.3, blocking calls, its default marks of 1000 messages",
            Self::Nanomsg => "nanomsg 1.1, blocking calls, TCP_NODELAY",
            Self::Omq => "omq-tokio 0.33, its best documented setting for the workload",
            Self::OmqAlone => {
                "omq-tokio 0.33, one runtime for program and sockets; inproc: blocking calls"
            }
            Self::RawBlock => "blocking read and write, TCP_NODELAY",
            Self::RawSpin => "non-blocking read and write, yielding between tries, TCP_NODELAY",
            Self::RawEach => "a write per message, reads of up to 256 KiB, 64-byte aligned",
            Self::RawBatch => "writes of 64 KiB, reads of up to 256 KiB, 64-byte aligned",
            Self::RawEpoll => "one thread in epoll that sends back what it reads, TCP_NODELAY",
            Self::RawXbeam => {
                "crossbeam-channel, bodies up to 64 B inline; 64 (rtt) or 1024 (oneway) slots"
            }
            Self::Malloc => "vectors from the allocator",
        }
    }

    /// What its servers understand.
    pub(crate) const fn wire(self) -> Wire {
        match self {
            Self::Sp | Self::Nng | Self::NngAio | Self::Nanomsg => Wire::Sp,
            Self::Zmq | Self::Omq | Self::OmqAlone => Wire::Zmtp,
            _ => Wire::Bare,
        }
    }

    /// Whether it is what there is without a library.
    pub(crate) const fn is_floor(self) -> bool {
        matches!(
            self,
            Self::RawBlock
                | Self::RawSpin
                | Self::RawEach
                | Self::RawBatch
                | Self::RawEpoll
                | Self::RawXbeam
                | Self::Malloc
        )
    }

    /// Whether its allocations pass through the allocator of this program.
    pub(crate) const fn is_rust(self) -> bool {
        !matches!(self, Self::Nng | Self::NngAio | Self::Zmq | Self::Nanomsg)
    }

    /// The peer, ready to open ends.
    pub(crate) fn peer(self) -> Result<Box<dyn Peer>> {
        match self {
            Self::Sp => Ok(Box::new(sp::Sp)),
            #[cfg(feature = "peer-nng")]
            Self::Nng => Ok(Box::new(nng::Nng::new()?)),
            #[cfg(feature = "peer-nng")]
            Self::NngAio => Ok(Box::new(nng_aio::NngAio::new()?)),
            #[cfg(feature = "peer-zmq")]
            Self::Zmq => Ok(Box::new(zmq::Zmq::new()?)),
            #[cfg(feature = "peer-nanomsg")]
            Self::Nanomsg => Ok(Box::new(nanomsg::Nanomsg)),
            #[cfg(feature = "peer-omq")]
            Self::Omq => Ok(Box::new(omq::Omq::default())),
            #[cfg(feature = "peer-omq")]
            Self::OmqAlone => Ok(Box::new(omq::Omq::alone())),
            Self::RawBlock => Ok(Box::new(raw::Raw::Block)),
            Self::RawSpin => Ok(Box::new(raw::Raw::Spin)),
            Self::RawEach => Ok(Box::new(raw::Raw::Each)),
            Self::RawBatch => Ok(Box::new(raw::Raw::Batch)),
            Self::RawXbeam => Ok(Box::new(xbeam::Xbeam::default())),
            Self::RawEpoll => Ok(Box::new(echo::EpollEcho)),
            Self::Malloc => Err(Error::NoPeers),
            #[allow(
                unreachable_patterns,
                reason = "with all features every peer has its arm above"
            )]
            _ => Err(Error::NotBuiltIn { peer: self.name() }),
        }
    }
}

/// A subscriber only receives and counts.
const SUBSCRIBER_STACK_BYTES: usize = 256 * 1024;
