//! Transports and I/O workers of the Scalability Protocols library: tcp, WebSocket, ipc and inproc.
//!
//! Programs use the `scalability-protocols` crate. This one carries bytes: it knows connections, framing and
//! readiness, and no pattern. A socket hands it a [`PipeEvents`](sp_core::pipe::PipeEvents) and gets a
//! [`Pipe`](sp_core::pipe::Pipe) for every connection its listeners and dialers make.
//!
//! - [`Runtime`]: the worker threads, shared by all sockets of the process, started on first use.
//! - [`Driver`]: one socket's I/O, run by whoever waits for it.
//! - [`Broadcast`]: what one socket sends to all of its connections, encoded once.
//! - [`transport`]: transports that the program brings.
//! - [`wire`]: handshake and framing without I/O.

mod backoff;
mod broadcast;
mod conn;
mod dialer;
mod driver;
mod error;
mod given;
mod half_open;
mod inproc;
mod layers;
mod listener;
mod options;
mod own;
mod patience;
mod ports;
mod resolver;
mod runtime;
mod seldom;
mod sleep;
mod stream;
mod sync;
mod sys;
mod tcp;
mod timer;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls/absent.rs"]
mod tls;
pub mod transport;
mod udp;
mod upgrade;
pub mod wire;
mod worker;

pub use broadcast::Broadcast;
pub use driver::{Drive, Driven, Driver, Host, PollSet};
pub use error::{AttachError, DialError, ListenError};
pub use options::{DialOptions, ListenOptions};
pub use runtime::{EndpointId, Lingering, Owner, Runtime};
pub use udp::UdpOptions;
