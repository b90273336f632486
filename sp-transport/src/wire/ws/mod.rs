//! The WebSocket mapping of sp-wire 2.7: an HTTP upgrade that names the pattern, then one binary message for each of
//! ours.

mod accept;
mod decoder;
mod frame;
mod head;
mod mask;
mod subprotocol;
mod upgrade;

pub use decoder::WsDecoder;
pub use frame::{FRAGMENT_BYTES, Side, close_frame, pong_frame};
pub use head::{HEAD_BYTES_MAX, head_end};
pub use mask::Mask;
pub use subprotocol::dialer_of;
pub use upgrade::{Key, Request, check_answer, check_status, refusal, request};

pub(super) use frame::{Encoded, Head};

#[cfg(test)]
mod tests;
