//! Bytes to messages and back, without I/O.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

mod decoder;
mod sp;

pub use decoder::{Decoder, LARGE_BODY_BYTES};
pub use sp::{Framing, HANDSHAKE_BYTES, check_handshake, handshake};

#[cfg(test)]
mod tests;
