//! Protocol engines and sockets of the Scalability Protocols library: REQ/REP, SURVEYOR/RESPONDENT, PUB/SUB,
//! PUSH/PULL, PAIR, BUS.
//!
//! - [`engine`]: each pattern as a deterministic state machine, without input or output of its own.
//! - `raw` (feature `sockets`): raw sockets, and devices that forward between them.
//! - `socket` (feature `sockets`): what drives an engine over real connections, and what programs call.
//!
//! Programs use the `scalability-protocols` crate, which re-exports what they need from here.

pub mod engine;
#[cfg(feature = "sockets")]
pub mod raw;
#[cfg(feature = "sockets")]
pub mod socket;
#[cfg(feature = "sockets")]
pub mod sockets;
#[cfg(feature = "tokio")]
pub use socket::tokio;
