//! What a connection is put together from, by its endpoint: a socket and what lies on it, the handshakes that have to
//! be gone through, and the framing.

use socket2::Socket;
use sp_core::endpoint::Address;
use sp_core::pipe::ProtocolId;

use crate::half_open::{Handshake, SpHandshake};
use crate::stream::{Plain, Stream};
use crate::wire::Framing;

/// The parts of one connection. Adding a part adds no second transport.
pub(crate) struct Layers {
    pub(crate) stream: Stream,
    /// What is to be gone through, the next one last.
    pub(crate) handshakes: Vec<Handshake>,
    pub(crate) framing: Framing,
    /// What a handshake read behind its own end: the beginning of the first messages.
    pub(crate) early: Vec<u8>,
}

impl Layers {
    /// For a connection of an endpoint at `address` whose socket speaks `protocol`.
    pub(crate) fn new(socket: Socket, address: &Address, protocol: ProtocolId) -> Self {
        let framing = match address {
            Address::Tcp { .. } => Framing::Length,
            Address::Ipc { .. } => Framing::TypeAndLength,
            Address::Inproc { .. } => unreachable!("inproc has no stream"),
        };
        Self {
            stream: Stream::Plain(Plain::new(socket)),
            handshakes: vec![Handshake::Sp(SpHandshake::new(protocol))],
            framing,
            early: Vec::new(),
        }
    }
}
