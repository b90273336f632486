//! Raw sockets and devices: the patterns without their conversations.
//!
//! A raw socket speaks its pattern on the wire as any other, and its peers cannot tell. It leaves the
//! [header](sp_core::message::Message::header) of each message to the program, knows no requests, contexts or timers,
//! and never says that a call comes at the wrong time: sends and receives have nothing to do with each other. [`Role`]
//! lists what stands in a header and where it sends a message, but for [`Star`], which says so itself.
//!
//! Most programs want them for a [`Device`], which passes everything on between two sockets. For one of its own a
//! program sends what it has received, with the header as it is or with the header of another message:
//!
//! ```
//! use sp_protocols::{raw, sockets as sp};
//! use sp_core::message::Message;
//!
//! let (server, client) = (raw::Rep::new()?, sp::Req::new()?);
//! client.dial(server.listen("tcp://127.0.0.1:0")?.endpoint())?;
//! client.send("ping")?;
//! let request = server.recv()?;
//! let mut reply = Message::from("pong");
//! reply.set_header(request.header())?;
//! server.send(reply)?;
//! assert_eq!(client.recv()?, "pong");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use crate::socket::device::{Device, DeviceHandle, Fits};

pub use crate::engine::raw::{Alike, Plain, RawEngine, RawOptions, Role, TwoWay};

use crate::engine::raw;
use crate::socket::Socket;

/// Sends requests to one peer each, in turn, and receives the replies of all.
///
/// Header: the words of devices, then the request's id, which alone has the high bit. A send waits while no peer has
/// room. Nothing is sent again, and every reply is received, whatever its id.
pub type Req = Socket<raw::Req>;

/// Receives requests, and sends each reply to where its header says.
///
/// Header: the word of the peer, then as on [`Req`]. A reply to a peer that is gone or has no room is dropped and
/// counted as `peer_gone` or `dropped_on_send`. Requests that have passed too many devices are dropped as `hop_limit`.
pub type Rep = Socket<raw::Rep>;

/// Sends surveys to every peer that has room, and receives the responses of all. Header as on [`Req`].
pub type Surveyor = Socket<raw::Surveyor>;

/// Receives surveys, and sends each response to where its header says. Header as on [`Rep`].
pub type Respondent = Socket<raw::Respondent>;

/// Talks with one peer, in order. No header.
pub type Pair = Socket<raw::Pair>;

/// Talks with one peer, in order. Header: one word, the hop count, which goes out one higher than the program sets it.
pub type Pair1 = Socket<raw::Pair1>;

/// Sends to every neighbour that has room but for the one that the header names; receives from all.
///
/// Header: the word of the neighbour it came from. Messages go round for ever where devices make a ring.
pub type Bus = Socket<raw::Bus>;

/// Sends to everybody, near and far; receives from all, and passes on what comes from one neighbour to the others.
///
/// Header: one word, the hops it has made, this one included; what is sent goes out with the word as it is, 255 at
/// most, so 0 for a message of one's own. What has been received has been passed on by then: only another network lacks
/// it.
pub type Star = Socket<raw::Star>;

/// Publishes, as [`crate::sockets::Pub`] does. No header.
pub type Pub = Socket<raw::Pub>;

/// Receives everything that is published, without subscriptions. No header.
pub type Sub = Socket<raw::Sub>;

/// Hands out work, as [`crate::sockets::Push`] does. No header.
pub type Push = Socket<raw::Push>;

/// Collects work, as [`crate::sockets::Pull`] does. No header.
pub type Pull = Socket<raw::Pull>;
