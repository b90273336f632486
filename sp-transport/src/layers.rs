//! What a connection is put together from, by its endpoint: a socket and what lies on it, the handshakes that have to
//! be gone through, and the framing.

use std::sync::Arc;

use sp_core::endpoint::{Address, Host};
use sp_core::pipe::{CloseReason, PipeEvents};
#[cfg(feature = "tls")]
use sp_core::tls::TlsFault;

use crate::half_open::{Handshake, SpHandshake};
use crate::listener::Bound;
use crate::options::{ConnOptions, DialOptions};
use crate::stream::Stream;
#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::upgrade::Upgrade;
use crate::wire::Framing;
use crate::wire::ws::Side;

/// The parts of one connection. Adding a part adds no second transport.
pub(crate) struct Layers {
    pub(crate) stream: Stream,
    /// What is to be gone through, the next one last.
    pub(crate) handshakes: Vec<Handshake>,
    pub(crate) framing: Framing,
    /// What a handshake read behind its own end: the beginning of the first messages.
    pub(crate) early: Vec<u8>,
}

/// What is spoken inside TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Inside {
    /// What these protocols say over tcp, which has no name among application protocols.
    Sp,
    /// HTTP, that becomes WebSocket.
    Http,
}

/// Which end of a connection we are, and what was set for it.
#[derive(Clone, Copy)]
pub(crate) enum End<'a> {
    Dialing(&'a DialOptions),
    Listening(&'a Bound),
}

impl<'a> End<'a> {
    pub(crate) const fn conn(self) -> &'a ConnOptions {
        match self {
            Self::Dialing(options) => &options.conn,
            Self::Listening(bound) => &bound.options.conn,
        }
    }
}

impl Layers {
    /// For a connection of an endpoint at `address` whose socket hears of `events`; `bare` has nothing on it.
    pub(crate) fn new(
        bare: Stream,
        address: &Address,
        events: &dyn PipeEvents,
        end: End<'_>,
    ) -> Result<Self, CloseReason> {
        let sp = || Handshake::Sp(SpHandshake::new(events.protocol()));
        let (framing, handshake) = match address {
            Address::Tcp { .. } | Address::Tls { .. } | Address::Socket | Address::Own { .. } => {
                (Framing::Length, sp())
            }
            Address::Ipc { .. } | Address::Abstract { .. } => (Framing::TypeAndLength, sp()),
            Address::Ws { secure, host, port, target, .. } => {
                let host = host_header(*secure, host, *port);
                let (side, upgrade) = upgrade(&host, target, events, end);
                (Framing::WebSocket(side), Handshake::Upgrade(Box::new(upgrade)))
            }
            Address::Udp { .. } | Address::Inproc { .. } => {
                unreachable!("udp and inproc have no stream")
            }
        };
        let mut handshakes = vec![handshake];
        let stream = match address {
            Address::Tls { host, .. } => secured(bare, host, Inside::Sp, end, &mut handshakes)?,
            Address::Ws { secure: true, host, .. } => {
                secured(bare, host, Inside::Http, end, &mut handshakes)?
            }
            _ => bare,
        };
        Ok(Self { stream, handshakes, framing, early: Vec::new() })
    }
}

/// Which side of an upgrade we are, and our part in it.
fn upgrade(host: &str, target: &str, events: &dyn PipeEvents, end: End<'_>) -> (Side, Upgrade) {
    match end {
        End::Dialing(_) => (Side::Dialer, Upgrade::dialer(host, target, events.peer_protocol())),
        End::Listening(bound) => {
            let Some(port) = bound.port() else {
                unreachable!("a listener of WebSocket has a place at its port")
            };
            (Side::Listener, Upgrade::listener(Arc::clone(port)))
        }
    }
}

/// Whom an HTTP client asks: the port only where it is not the usual one.
fn host_header(secure: bool, host: &Host, port: u16) -> String {
    match (secure, port) {
        (false, 80) | (true, 443) => host.to_string(),
        _ => format!("{host}:{port}"),
    }
}

/// Puts TLS on a socket, whose handshake comes before those there are.
#[cfg(feature = "tls")]
fn secured(
    bare: Stream,
    host: &Host,
    inside: Inside,
    end: End<'_>,
    handshakes: &mut Vec<Handshake>,
) -> Result<Stream, CloseReason> {
    let session = match end {
        End::Dialing(options) => options.tls.as_ref().map(|client| client.session(host, inside)),
        End::Listening(bound) => bound.options.tls.as_ref().map(|server| server.session(inside)),
    };
    let Some(session) = session else {
        unreachable!("an endpoint with TLS is opened with its set-up only")
    };
    let Stream::Plain(plain) = bare else { unreachable!("TLS lies on a socket") };
    let failed = |error: rustls::Error| TlsFault::Failed { why: error.to_string().into() };
    handshakes.push(Handshake::Tls);
    Ok(Stream::Tls(Box::new(Tls::new(plain, session.map_err(failed)?))))
}

#[cfg(not(feature = "tls"))]
fn secured(
    _: Stream,
    _: &Host,
    _: Inside,
    _: End<'_>,
    _: &mut Vec<Handshake>,
) -> Result<Stream, CloseReason> {
    unreachable!("an endpoint with TLS is not opened without the feature")
}

#[cfg(test)]
mod tests {
    use sp_core::endpoint::{Address, Endpoint};

    use super::host_header;

    /// sp-wire 8.5 item 75
    #[test]
    fn the_usual_port_is_left_out_and_ipv6_stands_in_brackets() {
        for (url, wanted) in [
            ("ws://example.org", "example.org"),
            ("ws://example.org:80/path", "example.org"),
            ("ws://127.0.0.1:8080", "127.0.0.1:8080"),
            ("ws://[::1]", "[::1]"),
            ("ws://[::1]:8080/", "[::1]:8080"),
            ("ws://[::1]:443/", "[::1]:443"),
            #[cfg(feature = "tls")]
            ("wss://example.org/", "example.org"),
            #[cfg(feature = "tls")]
            ("wss://[::1]:443", "[::1]"),
            #[cfg(feature = "tls")]
            ("wss://example.org:80", "example.org:80"),
        ] {
            let endpoint: Endpoint = url.parse().expect("a URL");
            let Address::Ws { secure, host, port, .. } = endpoint.address() else {
                panic!("{url}")
            };
            assert_eq!(host_header(*secure, host, *port), wanted, "{url}");
        }
    }
}
