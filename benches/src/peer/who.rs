//! The names of who is measured, and what each can do.

use clap::ValueEnum;

use crate::bench::{Bench, Transport};

/// What `--peers` takes; one choice can stand for several variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Family {
    /// This library.
    Sp,
    /// This library, by tasks on tokio.
    SpTokio,
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
    /// This library, by tasks on tokio.
    SpTokio,
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
    /// A task on tokio that reads and writes.
    RawTokio,
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

impl Family {
    /// What is measured unless the command line says otherwise: everybody that is built in.
    pub(crate) fn defaults() -> Vec<Self> {
        let all = Self::value_variants().iter().copied();
        all.filter(|family| family.is_built_in()).collect()
    }

    /// Who of `families` can do `bench` over `transport` as this program was built.
    pub(crate) fn able(families: &[Self], bench: Bench, transport: Transport) -> Vec<Variant> {
        let of = families.iter().flat_map(|family| family.variants(bench, transport)).copied();
        of.filter(|variant| variant.is_built_in(transport)).collect()
    }

    /// Whether this program was built with it.
    pub(crate) const fn is_built_in(self) -> bool {
        match self {
            Self::Sp | Self::Raw => true,
            Self::SpTokio => cfg!(feature = "tokio"),
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
            Self::SpTokio => "sp-tokio",
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
            // Bare clients speak nothing else.
            (
                _,
                Bench::BareClients | Bench::Idle,
                Transport::Ws | Transport::Tls | Transport::Wss | Transport::Udp,
            )
            // Without connections nobody stands there.
            | (_, Bench::Siege, Transport::Udp) => &[],
            // Few libraries have it, and a request that is lost beside a stream is asked again after a minute.
            (Self::Zmq | Self::Nanomsg | Self::Omq, _, Transport::Udp)
            | (_, Bench::Load, Transport::Udp) => &[],
            (Self::Sp, ..) => &[Variant::Sp],
            (Self::SpTokio, Bench::Rtt, Transport::Tcp) => &[Variant::SpTokio],
            (Self::SpTokio, ..) => &[],
            // No other library of these protocols waits for a subscriber.
            (_, Bench::Lossless, _) => &[],
            (Self::Raw, ..) => Self::floors(bench, transport),
            (_, Bench::Pool | Bench::Engine, _) => &[],
            // Many requests outstanding are asynchronous by their nature.
            (Self::Nng, Bench::Outstanding, _) => &[],
            (Self::Nng, ..) => &[Variant::Nng],
            // These wait for one thing at a time.
            (Self::NngAio, Bench::RttPair | Bench::Survey, _) => &[],
            (Self::NngAio, ..) => &[Variant::NngAio],
            (_, _, Transport::Ws | Transport::Tls | Transport::Wss) => &[],
            // It has no way to do this short of its raw sockets.
            (Self::Nanomsg, Bench::Outstanding, _) => &[],
            (Self::Nanomsg, ..) => &[Variant::Nanomsg],
            // ZeroMQ has other patterns; its PAIR is left out.
            (
                _,
                Bench::RttPair
                | Bench::OnewayPair
                | Bench::FanoutBus
                | Bench::FloodBus
                | Bench::Survey,
                _,
            ) => &[],
            (Self::Zmq, ..) => &[Variant::Zmq],
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
            (Bench::Oneway | Bench::OnewayPair, Transport::Tls) => &[Variant::RawBatch],
            (Bench::Rtt | Bench::RttPair | Bench::Paced | Bench::Load, Transport::Tls) => {
                &[Variant::RawBlock]
            }
            (Bench::Oneway | Bench::OnewayPair, Transport::Udp) => &[Variant::RawEach],
            (_, Transport::Ws | Transport::Tls | Transport::Wss)
            | (Bench::Clients, Transport::Udp) => &[],
            (Bench::Clients | Bench::BareClients | Bench::Idle, _) => &[Variant::RawEpoll],
            (Bench::Fanout | Bench::FanoutBus | Bench::Flood | Bench::FloodBus, _) => &[],
            // A bare server of one client is besieged by nobody.
            (
                Bench::Siege | Bench::Lossless | Bench::Survey | Bench::Outstanding | Bench::Engine,
                _,
            ) => &[],
            (_, Transport::Inproc) => &[Variant::RawXbeam],
            (Bench::Paced, _) => &[Variant::RawBlock],
            (Bench::Rtt, Transport::Tcp) => {
                &[Variant::RawBlock, Variant::RawSpin, Variant::RawTokio]
            }
            (Bench::Rtt | Bench::RttPair | Bench::Load | Bench::Pairs, _) => {
                &[Variant::RawBlock, Variant::RawSpin]
            }
            (Bench::Oneway | Bench::OnewayPair, _) => &[Variant::RawEach, Variant::RawBatch],
        }
    }
}

impl Variant {
    /// The name on the hidden command line and in results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sp => "sp",
            Self::SpTokio => "sp-tokio",
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
            Self::RawTokio => "raw-tokio",
            Self::RawXbeam => "raw-xbeam",
            Self::Malloc => "malloc",
        }
    }

    /// The settings it is measured with, for people.
    pub(crate) const fn settings(self) -> &'static str {
        match self {
            Self::Sp => "this library, blocking calls, default options",
            Self::SpTokio => "this library, a runtime of one thread for each end",
            Self::Nng => {
                "nng 2.0, blocking calls, TCP_NODELAY; buffers of 1000 messages but for REQ and REP"
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
            Self::RawBlock => "blocking read and write, TCP_NODELAY; tls: rustls",
            Self::RawSpin => "non-blocking read and write, yielding between tries, TCP_NODELAY",
            Self::RawEach => {
                "a write per message, reads of up to 256 KiB, 64-byte aligned; udp: room for 4 MiB"
            }
            Self::RawBatch => {
                "writes of 64 KiB, reads of up to 256 KiB, 64-byte aligned; tls: rustls"
            }
            Self::RawEpoll => "one thread in epoll that sends back what it reads, TCP_NODELAY",
            Self::RawTokio => "tokio::net, a runtime of one thread for each end, TCP_NODELAY",
            Self::RawXbeam => {
                "crossbeam-channel, bodies up to 64 B inline; 64 (rtt) or 1024 (oneway) slots"
            }
            Self::Malloc => "vectors from the allocator",
        }
    }

    /// What its servers understand.
    pub(crate) const fn wire(self) -> Wire {
        match self {
            Self::Sp | Self::SpTokio | Self::Nng | Self::NngAio | Self::Nanomsg => Wire::Sp,
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
                | Self::RawTokio
                | Self::RawXbeam
                | Self::Malloc
        )
    }

    /// Whether it is a library that is not this one.
    pub(crate) const fn is_other_library(self) -> bool {
        !self.is_floor() && !matches!(self, Self::Sp | Self::SpTokio)
    }

    /// Whether this program was built with what it needs over `transport`, its family's own feature apart.
    const fn is_built_in(self, transport: Transport) -> bool {
        let has_tls = match self {
            Self::Nng | Self::NngAio => cfg!(feature = "peer-nng-tls"),
            _ => cfg!(feature = "tls"),
        };
        let has_tokio = cfg!(feature = "tokio");
        (has_tls || !matches!(transport, Transport::Tls | Transport::Wss))
            && (has_tokio || !matches!(self, Self::RawTokio))
    }

    /// Whether its allocations pass through the allocator of this program.
    pub(crate) const fn is_rust(self) -> bool {
        !matches!(self, Self::Nng | Self::NngAio | Self::Zmq | Self::Nanomsg)
    }
}
