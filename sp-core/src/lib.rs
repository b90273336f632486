//! The ground that the Scalability Protocols library stands on: messages in pooled buffers, registries of
//! peers and connections, ids, endpoints, options, statistics and the seam between transports and sockets.
//!
//! No sockets, no threads, no polling. Programs use the `scalability-protocols` crate, which re-exports what
//! they need from here. The types that matter:
//!
//! - [`Message`](message::Message): what travels; owns its buffer and gives it back when dropped.
//! - [`BufferPool`](pool::BufferPool): where the buffers come from and go home to.
//! - [`Pipe`](pipe::Pipe) and [`PipeEvents`](pipe::PipeEvents): how a transport and a socket talk.

pub mod batch;
pub mod clock;
pub mod config;
pub mod datagram;
pub mod endpoint;
pub mod foreign;
pub mod held;
pub mod id;
pub mod message;
pub mod pipe;
pub mod pool;
pub mod process;
pub mod registry;
pub mod stats;
pub mod sync;
pub mod tls;
pub mod websocket;
