//! The Scalability Protocols in pure Rust: messaging that talks with nng, nanomsg and mangos.
//!
//! Pick a pattern, connect it, send and receive:
//!
//! - [`Req`] asks, [`Rep`] answers.
//! - [`Surveyor`] asks everybody, [`Respondent`] answers.
//! - [`Pub`] publishes, [`Sub`] receives what it subscribed to.
//! - [`Push`] hands out work, [`Pull`] collects it.
//! - [`Pair`] talks with one other, and [`Pair1`]; [`Pair1Poly`] with many, each on its own.
//! - [`Bus`] sends to all its neighbours, [`Star`] to everybody behind them too.
//!
//! ```
//! use sp::{Rep, Req};
//!
//! let rep = Rep::new()?;
//! let req = Req::new()?;
//! req.dial(rep.listen("tcp://127.0.0.1:0")?.endpoint())?;
//! req.send("ping")?;
//! assert_eq!(rep.recv()?, "ping");
//! rep.send("pong")?;
//! assert_eq!(req.recv()?, "pong");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Addresses are URLs: `tcp://host:port`, `ws://host:port/path`, `udp://host:port`, `ipc:///path`, `abstract://name`,
//! `socket://`, `inproc://name`, and with the feature `tls` `tls+tcp://host:port` and `wss://host:port/path`; see
//! [`Endpoint`], [`DialOptions`] and [`ListenOptions`], and for a table of all of them the [`readme`]. A program can
//! bring a [`transport`] of its own.
//! [`Socket::admit`] decides who is let in. Every send and receive comes in four forms: `try_`, blocking, with a
//! timeout or deadline, and as a plain [`Future`] for any runtime.
//!
//! [`raw`] sockets leave a message's header to the program, and a [`raw::Device`] forwards between two of them.
//!
//! A [`Context`] is one more conversation on a socket: many requests or surveys outstanding, many answered in parallel,
//! many subscriptions with a queue of their own.
//!
//! Features, none of them on unless asked for: `tls`, `tokio` for sockets whose tasks do their own I/O, `stream` for
//! receiving as a `Stream`, `bytes` for messages from and to `Bytes`.
//!
//! All sockets of a process share one I/O thread, started with the first and ended with the last. A call that
//! waits does its socket's I/O itself.

pub use sp_core::datagram::{DatagramFault, DisconnectReason};
pub use sp_core::endpoint::{Endpoint, EndpointError};
pub use sp_core::id::{PeerId, SocketId};
pub use sp_core::message::{HeaderTooLong, Message, TooShort};
pub use sp_core::pipe::{CloseReason, Credentials, Fault, PipeInfo, ProtocolId};
pub use sp_core::stats::Stats;
pub use sp_core::tls::{TlsAlert, TlsFault};
pub use sp_core::websocket::{FrameFault, UpgradeFault};
pub use sp_core::{config, pool, registry};
pub use sp_protocols::engine::{
    BadOption, BusOptions, ContextEngine, Engine, FeedEngine, Pair1Options, Pair1PolyOptions,
    PairOptions, PubOptions, PullOptions, PushOptions, RecvEngine, RepOptions, ReqOptions,
    RespondentOptions, SendEngine, StarOptions, SubOptions, SurveyorOptions, TunableEngine,
    WhenFull, WhenSlow,
};
pub use sp_protocols::raw;
#[cfg(feature = "stream")]
pub use sp_protocols::socket::RecvStream;
pub use sp_protocols::socket::{
    Admission, Context, Dialer, Driven, Events, Iter, Listener, OpenError, PipeEvent, PollSet,
    Receiver, RecvError, RecvFuture, SendError, SendFuture, Socket, TooFewPeers, TryIter,
    TryRecvError, TrySendError,
};
pub use sp_protocols::sockets::{
    Bus, Pair, Pair1, Pair1Poly, Pub, Pull, Push, Rep, RepContext, Req, ReqContext, Respondent,
    RespondentContext, Star, Sub, SubContext, Surveyor, SurveyorContext,
};
#[cfg(feature = "tokio")]
pub use sp_protocols::tokio;
#[cfg(feature = "tls")]
pub use sp_transport::tls;
pub use sp_transport::transport;
pub use sp_transport::{
    AttachError, DialError, DialOptions, ListenError, ListenOptions, UdpOptions,
};

/// The README: all URLs and patterns, every option of endpoints with its default, what holds on an open port, figures.
#[doc = ""]
#[doc = include_str!("../README.md")]
pub mod readme {}

/// Compiles what has to compile, and sees that the rest does not.
#[cfg(doctest)]
#[doc = include_str!("../tests/misuse.md")]
struct Misuse;
