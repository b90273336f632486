//! What can go wrong when endpoints are opened.

use std::io;

use sp_core::datagram::{DatagramFault, DisconnectReason};
use sp_core::endpoint::EndpointError;
use sp_core::pipe::CloseReason;

/// Why a `dial` failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The URL cannot be dialled.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Nobody accepted the connection, or it broke before both sides had said who they are.
    #[error("dial {url}: {why}; {}", advice(why))]
    Failed {
        /// The URL dialled.
        url: String,
        /// What happened.
        why: CloseReason,
    },
    /// TLS without anything to trust.
    #[error(
        "dial {url}: TLS needs an authority to trust; set it with DialOptions::tls (feature tls)"
    )]
    NoTls {
        /// The URL dialled.
        url: String,
    },
    /// The socket was closed meanwhile.
    #[error("dial {url}: the socket is closed")]
    Closed {
        /// The URL dialled.
        url: String,
    },
    /// The socket is one of the process that this one was forked from.
    #[error(
        "dial {url}: the socket belongs to the process that forked this one; open another here"
    )]
    Forked {
        /// The URL dialled.
        url: String,
    },
    /// A blocking dial from within a task's waker, which the I/O thread runs: it would wait for itself.
    #[error("dial {url}: a blocking dial from a waker waits for itself; dial in the background")]
    WouldDeadlock {
        /// The URL dialled.
        url: String,
    },
}

/// What the caller of a dial can do about it.
const fn advice(why: &CloseReason) -> &'static str {
    match why {
        CloseReason::Io(io::ErrorKind::NotFound) => {
            "there is no such socket file; check the path and that the other side listens, or dial in the background \
             to keep trying"
        }
        CloseReason::Io(_) | CloseReason::Unresolved | CloseReason::HandshakeTimeout => {
            "check the address and that the other side listens, or dial in the background to keep trying"
        }
        CloseReason::Exhausted => "or dial in the background to keep trying",
        CloseReason::NotAdmitted => "this socket's own admission refused it",
        CloseReason::TransportPanicked | CloseReason::TransportOverran => {
            "mend the transport that was registered for this scheme"
        }
        CloseReason::Tls(_) => "check the certificates, names and authorities of both sides",
        CloseReason::WrongProtocol { .. } => "check which pattern listens at this address",
        CloseReason::TooMany { .. } | CloseReason::PeerClosed | CloseReason::Truncated => {
            "the other side turned the connection away; its events say why"
        }
        _ => "check what listens at this address",
    }
}

impl DialError {
    /// Whether nobody listens at the address: connections are refused, or the socket file is missing.
    pub const fn is_refused(&self) -> bool {
        use io::ErrorKind::{ConnectionRefused, NotFound};
        matches!(self, Self::Failed { why: CloseReason::Io(ConnectionRefused | NotFound), .. })
    }

    /// Whether the other side speaks a pattern that does not belong to ours.
    pub const fn is_wrong_protocol(&self) -> bool {
        let Self::Failed { why, .. } = self else { return false };
        matches!(
            why,
            CloseReason::WrongProtocol { .. }
                | CloseReason::Datagram(DatagramFault::Disconnected(DisconnectReason::PROTOCOL))
        )
    }
}

/// Why a `listen` failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The URL cannot be listened on.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Somebody listens there already.
    #[error("listen {url}: the address is in use; choose another or stop its owner")]
    InUse {
        /// The URL.
        url: String,
    },
    /// The name could not be resolved to an address of this machine.
    #[error("listen {url}: the host name resolves to no usable address")]
    Unresolved {
        /// The URL.
        url: String,
    },
    /// The path exists and is no socket; it is left alone.
    #[error("listen {url}: the path exists and is no socket; remove it or choose another")]
    NotASocket {
        /// The URL.
        url: String,
    },
    /// The descriptor handed in is no listening stream socket.
    #[error(
        "listen: the descriptor is no listening stream socket; bind it and have it listen first"
    )]
    NotListening,
    /// TLS without anything to show.
    #[error("listen {url}: TLS needs a certificate; set it with ListenOptions::tls (feature tls)")]
    NoTls {
        /// The URL.
        url: String,
    },
    /// Others share this port, and have another set-up of TLS.
    #[error("listen {url}: those who share this port use another tls::Server; use that one")]
    OtherTls {
        /// The URL.
        url: String,
    },
    /// The socket is closed.
    #[error("listen {url}: the socket is closed")]
    Closed {
        /// The URL.
        url: String,
    },
    /// The socket is one of the process that this one was forked from.
    #[error(
        "listen {url}: the socket belongs to the process that forked this one; open another here"
    )]
    Forked {
        /// The URL.
        url: String,
    },
    /// The system refused.
    #[error("listen {url}: {source}")]
    System {
        /// The URL.
        url: String,
        /// What the system said.
        source: io::Error,
    },
}

impl ListenError {
    /// Whether somebody listens at the address already.
    pub const fn is_in_use(&self) -> bool {
        matches!(self, Self::InUse { .. })
    }

    pub(crate) fn from_io(url: String, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::AddrInUse {
            Self::InUse { url }
        } else {
            Self::System { url, source }
        }
    }
}

/// Why a connected descriptor was not taken over. It is closed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The listener makes its connections by itself.
    #[error(
        "attach to {url}: this listener makes its connections by itself; listen on socket:// for others"
    )]
    NotForDescriptors {
        /// The listener's URL.
        url: String,
    },
    /// The descriptor is no connected stream socket.
    #[error(
        "attach: the descriptor is no connected stream socket, such as one end of a socket pair"
    )]
    NotAStream,
    /// The listener has as many connections as it may have, or as many without a finished handshake.
    #[error(
        "attach: too many connections, the limit is {limit}; raise it in the listener's options"
    )]
    TooMany {
        /// Connections allowed.
        limit: usize,
    },
    /// The listener or its socket is closed.
    #[error("attach: the listener is closed")]
    Closed,
    /// The listener is one of the process that this one was forked from.
    #[error("attach: the listener belongs to the process that forked this one; listen here")]
    Forked,
}

impl From<AttachError> for io::Error {
    fn from(error: AttachError) -> Self {
        let kind = match &error {
            AttachError::NotForDescriptors { .. } | AttachError::NotAStream => {
                io::ErrorKind::InvalidInput
            }
            AttachError::TooMany { .. } => io::ErrorKind::QuotaExceeded,
            AttachError::Closed | AttachError::Forked => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}

impl From<DialError> for io::Error {
    fn from(error: DialError) -> Self {
        let kind = match &error {
            DialError::Endpoint(_) | DialError::NoTls { .. } => io::ErrorKind::InvalidInput,
            DialError::Failed { why: CloseReason::Io(kind), .. } => *kind,
            DialError::Failed { .. } => io::ErrorKind::ConnectionAborted,
            DialError::Closed { .. } | DialError::Forked { .. } => io::ErrorKind::NotConnected,
            DialError::WouldDeadlock { .. } => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

impl From<ListenError> for io::Error {
    fn from(error: ListenError) -> Self {
        let kind = match &error {
            ListenError::Endpoint(_) | ListenError::NotListening | ListenError::NoTls { .. } => {
                io::ErrorKind::InvalidInput
            }
            ListenError::InUse { .. } | ListenError::OtherTls { .. } => io::ErrorKind::AddrInUse,
            ListenError::Unresolved { .. } => io::ErrorKind::AddrNotAvailable,
            ListenError::NotASocket { .. } => io::ErrorKind::AlreadyExists,
            ListenError::Closed { .. } | ListenError::Forked { .. } => io::ErrorKind::NotConnected,
            ListenError::System { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}
