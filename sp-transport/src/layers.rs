//! What a connection is put together from, by its endpoint: a socket and what lies on it, the handshakes that have to
//! be gone through, and the framing.

use socket2::Socket;
use sp_core::endpoint::{Address, Host};
use sp_core::pipe::{CloseReason, ProtocolId};
#[cfg(feature = "tls")]
use sp_core::tls::TlsFault;

use crate::half_open::{Handshake, SpHandshake};
use crate::options::{ConnOptions, DialOptions, ListenOptions};
use crate::stream::{Plain, Stream};
#[cfg(feature = "tls")]
use crate::tls::Tls;
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

/// Which end of a connection we are, and what was set for it.
#[derive(Clone, Copy)]
pub(crate) enum End<'a> {
    Dialing(&'a DialOptions),
    Listening(&'a ListenOptions),
}

impl<'a> End<'a> {
    pub(crate) const fn conn(self) -> &'a ConnOptions {
        match self {
            Self::Dialing(options) => &options.conn,
            Self::Listening(options) => &options.conn,
        }
    }
}

impl Layers {
    /// For a connection of an endpoint at `address` whose socket speaks `protocol`.
    pub(crate) fn new(
        socket: Socket,
        address: &Address,
        protocol: ProtocolId,
        end: End<'_>,
    ) -> Result<Self, CloseReason> {
        let framing = match address {
            Address::Tcp { .. } | Address::Tls { .. } => Framing::Length,
            Address::Ipc { .. } => Framing::TypeAndLength,
            Address::Inproc { .. } => unreachable!("inproc has no stream"),
        };
        let mut handshakes = vec![Handshake::Sp(SpHandshake::new(protocol))];
        let plain = Plain::new(socket);
        let stream = match address {
            Address::Tls { host, .. } => secured(plain, host, end, &mut handshakes)?,
            _ => Stream::Plain(plain),
        };
        Ok(Self { stream, handshakes, framing, early: Vec::new() })
    }
}

/// Puts TLS on a socket, whose handshake comes before those there are.
#[cfg(feature = "tls")]
fn secured(
    plain: Plain,
    host: &Host,
    end: End<'_>,
    handshakes: &mut Vec<Handshake>,
) -> Result<Stream, CloseReason> {
    let session = match end {
        End::Dialing(options) => options.tls.as_ref().map(|client| client.session(host)),
        End::Listening(options) => options.tls.as_ref().map(|server| server.session()),
    };
    let Some(session) = session else {
        unreachable!("an endpoint with TLS is opened with its set-up only")
    };
    let failed = |error: rustls::Error| TlsFault::Failed { why: error.to_string().into() };
    handshakes.push(Handshake::Tls);
    Ok(Stream::Tls(Box::new(Tls::new(plain, session.map_err(failed)?))))
}

#[cfg(not(feature = "tls"))]
fn secured(_: Plain, _: &Host, _: End<'_>, _: &mut Vec<Handshake>) -> Result<Stream, CloseReason> {
    unreachable!("an endpoint with TLS is not opened without the feature")
}
