//! Bytes to messages and back, without I/O.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

pub mod datagram;
mod decoder;
mod framing;
mod sp;
pub mod ws;

pub use decoder::{Decoder, LARGE_BODY_BYTES};
pub use framing::{AnyDecoder, Framing};
pub use sp::{HANDSHAKE_BYTES, check_handshake, handshake};

#[cfg(test)]
mod tests;
