//! One live stream connection: what its driver owns ([`Conn`]) and what everybody may touch ([`StreamPipe`]). And
//! [`Outbox`], the queue of pipes without a stream.

mod info;
mod outbox;
mod pacer;
mod pieces;
mod pipe;
mod rx;
mod tx;
mod writer;

pub(crate) use outbox::Outbox;
pub(crate) use pacer::Pacer;
pub(crate) use pieces::Piece;
pub(crate) use pipe::{PipeSpec, StreamPipe};
pub(crate) use rx::{Progress, ReadBuf, Rx};
pub(crate) use tx::GATHER_BYTES;
pub(crate) use writer::{Decision, STREAM_FLUSH_BYTES, Turn};

use std::sync::Arc;

use sp_core::id::PeerId;
use sp_core::registry::ConnEntry;

use crate::worker::Origin;

/// A connection as its driver sees it.
pub(crate) struct Conn {
    pub(crate) pipe: Arc<StreamPipe>,
    pub(crate) rx: Rx,
    pub(crate) peer: PeerId,
    /// The connection's entry in the registry of the process.
    pub(crate) entry: Arc<ConnEntry>,
    /// Who made the connection and wants to know of its end.
    pub(crate) origin: Origin,
}
