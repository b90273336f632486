//! Raw mode: the patterns without their conversations, for devices and for programs that keep their own.
//!
//! A raw engine speaks its pattern on the wire as any other. What differs is that it leaves each message's header to
//! the program and knows no requests, no contexts and no timers: sends and receives have nothing to do with each other.
//! What stands in a header, see [`Role`] and [`Star`]; a message that has come in by one raw engine can go out by one
//! of the other side as it is, and that is all a device does.

use super::Engine;

mod options;
mod plain;
mod role;
mod two_way;

pub use options::RawOptions;
pub use plain::{Alike, Plain};
pub use role::Role;
pub use two_way::TwoWay;

/// A pattern in raw mode.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a pattern in raw mode",
    note = "devices forward between raw sockets: `sp::raw::Rep` instead of `sp::Rep`, and so on"
)]
pub trait RawEngine: Engine {}

/// Sends requests to any peer, and collects the replies.
pub type Req = TwoWay<role::Req>;
/// Collects requests, and routes replies back.
pub type Rep = TwoWay<role::Rep>;
/// Sends surveys to all peers, and collects the responses.
pub type Surveyor = TwoWay<role::Surveyor>;
/// Collects surveys, and routes responses back.
pub type Respondent = TwoWay<role::Respondent>;
/// Talks with one peer.
pub type Pair = TwoWay<role::Pair>;
/// Talks with one peer, and counts the devices between.
pub type Pair1 = TwoWay<role::Pair1>;
/// Talks with all neighbours.
pub type Bus = TwoWay<role::Bus>;
/// Talks with everybody, near and far, and passes on. Header: the hops a message has made, in one word, which goes out
/// as it is.
pub type Star = Plain<super::Star>;
/// Publishes.
pub type Pub = Plain<super::Pub>;
/// Receives everything that is published.
pub type Sub = Plain<super::Sub>;
/// Hands out work.
pub type Push = Plain<super::Push>;
/// Collects work.
pub type Pull = Plain<super::Pull>;

#[cfg(test)]
mod tests;
