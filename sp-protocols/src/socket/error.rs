//! What can go wrong when messages are sent and received.

use std::io;

use sp_core::message::Message;
use sp_core::pipe::ProtocolId;

use crate::engine::BadOption;

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// An option is out of its range.
    #[error(transparent)]
    Option(#[from] BadOption),
    /// The system gave no poll set or no thread.
    #[error("open {protocol}: {source}; the process may be out of descriptors or threads")]
    System {
        /// The pattern.
        protocol: ProtocolId,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a blocking or timed send failed. The message comes back with [`into_message`](Self::into_message).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The socket is closed.
    #[error("send on {protocol}: the socket is closed")]
    Closed {
        /// The pattern.
        protocol: ProtocolId,
        /// The message that was not sent.
        message: Message,
    },
    /// The socket is one of the process that this one was forked from.
    #[error(
        "send on {protocol}: the socket belongs to the process that forked this one; open another here"
    )]
    Forked {
        /// The pattern.
        protocol: ProtocolId,
        /// The message that was not sent.
        message: Message,
    },
    /// The pattern allows no send now: there is nothing to answer.
    #[error("send on {protocol}: there is nothing to answer; receive first")]
    State {
        /// The pattern.
        protocol: ProtocolId,
        /// The message that was not sent.
        message: Message,
    },
    /// The header of the message is none that this pattern sends. Only raw sockets look at it.
    #[error("send on {protocol}: the message's header is none that this raw socket sends")]
    BadHeader {
        /// The pattern.
        protocol: ProtocolId,
        /// The message that was not sent.
        message: Message,
    },
    /// No peer is connected, and the socket was told not to wait for one.
    #[error("send on {protocol}: no peer is connected")]
    NoPeer {
        /// The pattern.
        protocol: ProtocolId,
        /// The message that was not sent.
        message: Message,
    },
    /// No peer took the message in time.
    #[error(
        "send on {protocol}: no peer took the message in time; is one connected and receiving?"
    )]
    TimedOut {
        /// The pattern.
        protocol: ProtocolId,
        /// The message that was not sent.
        message: Message,
    },
}

/// Why a send that does not wait failed. The message comes back with [`into_message`](Self::into_message).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError {
    /// No peer can take a message now.
    #[error("try_send on {protocol}: no peer can take a message now")]
    Full {
        /// The pattern.
        protocol: ProtocolId,
        /// The message that was not sent.
        message: Message,
    },
    /// The socket is closed.
    #[error("try_send on {protocol}: the socket is closed")]
    Closed {
        /// The pattern.
        protocol: ProtocolId,
        /// The message that was not sent.
        message: Message,
    },
    /// The socket is one of the process that this one was forked from.
    #[error(
        "try_send on {protocol}: the socket belongs to the process that forked this one; open another here"
    )]
    Forked {
        /// The pattern.
        protocol: ProtocolId,
        /// The message that was not sent.
        message: Message,
    },
    /// The peer that the message was for is not connected, or no more.
    #[error("send on {protocol}: the peer that the message was for is gone")]
    PeerGone {
        /// The pattern.
        protocol: ProtocolId,
        /// The message that was not sent.
        message: Message,
    },
    /// The pattern allows no send now: there is nothing to answer.
    #[error("try_send on {protocol}: there is nothing to answer; receive first")]
    State {
        /// The pattern.
        protocol: ProtocolId,
        /// The message that was not sent.
        message: Message,
    },
    /// The header of the message is none that this pattern sends. Only raw sockets look at it.
    #[error("try_send on {protocol}: the message's header is none that this raw socket sends")]
    BadHeader {
        /// The pattern.
        protocol: ProtocolId,
        /// The message that was not sent.
        message: Message,
    },
    /// No peer is connected, and the socket was told not to wait for one.
    #[error("try_send on {protocol}: no peer is connected")]
    NoPeer {
        /// The pattern.
        protocol: ProtocolId,
        /// The message that was not sent.
        message: Message,
    },
}

impl SendError {
    /// The message that was not sent.
    pub fn into_message(self) -> Message {
        match self {
            Self::Closed { message, .. }
            | Self::Forked { message, .. }
            | Self::State { message, .. }
            | Self::BadHeader { message, .. }
            | Self::NoPeer { message, .. }
            | Self::TimedOut { message, .. } => message,
        }
    }

    /// Whether time ran out.
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }

    /// Whether the socket is closed.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// Whether no peer is connected, and the socket was told not to wait for one.
    pub const fn is_no_peer(&self) -> bool {
        matches!(self, Self::NoPeer { .. })
    }
}

impl TrySendError {
    /// The message that was not sent.
    pub fn into_message(self) -> Message {
        match self {
            Self::Full { message, .. }
            | Self::Closed { message, .. }
            | Self::Forked { message, .. }
            | Self::PeerGone { message, .. }
            | Self::State { message, .. }
            | Self::BadHeader { message, .. }
            | Self::NoPeer { message, .. } => message,
        }
    }

    /// Whether a later try may succeed.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Whether the socket is closed.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// Whether no peer is connected, and the socket was told not to wait for one.
    pub const fn is_no_peer(&self) -> bool {
        matches!(self, Self::NoPeer { .. })
    }
}

/// Why a blocking or timed receive failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The socket is closed.
    #[error("receive on {protocol}: the socket is closed")]
    Closed {
        /// The pattern.
        protocol: ProtocolId,
    },
    /// The socket is one of the process that this one was forked from.
    #[error(
        "receive on {protocol}: the socket belongs to the process that forked this one; open another here"
    )]
    Forked {
        /// The pattern.
        protocol: ProtocolId,
    },
    /// The pattern allows no receive now: nothing has been asked that is not answered.
    #[error("receive on {protocol}: nothing has been asked; send first")]
    State {
        /// The pattern.
        protocol: ProtocolId,
    },
    /// The request or survey that this receive waited for was replaced by a newer one.
    #[error("receive on {protocol}: what was asked was replaced by something newer")]
    Canceled {
        /// The pattern.
        protocol: ProtocolId,
    },
    /// The peer that had the request is gone, and requests are not repeated.
    #[error("receive on {protocol}: the peer that had the request is gone; send it again")]
    PeerGone {
        /// The pattern.
        protocol: ProtocolId,
    },
    /// The time of the survey is over, and every response that came in time has been received.
    #[error("receive on {protocol}: the survey is over; send another")]
    SurveyOver {
        /// The pattern.
        protocol: ProtocolId,
    },
    /// Nothing came in time.
    #[error("receive on {protocol}: nothing came in time")]
    TimedOut {
        /// The pattern.
        protocol: ProtocolId,
    },
}

/// Why a receive that does not wait failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryRecvError {
    /// Nothing is there now.
    #[error("nothing to receive now")]
    Empty,
    /// A receive that waits would fail as well.
    #[error(transparent)]
    Failed(RecvError),
}

impl RecvError {
    /// Whether the time that the receive was given ran out.
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }

    /// Whether the time of the survey is over: no response comes any more.
    pub const fn is_survey_over(&self) -> bool {
        matches!(self, Self::SurveyOver { .. })
    }

    /// Whether the socket is closed.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

impl TryRecvError {
    /// Whether a later try may succeed.
    pub const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Whether the socket is closed.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Failed(RecvError::Closed { .. }))
    }
}

impl From<TryRecvError> for io::Error {
    fn from(error: TryRecvError) -> Self {
        match error {
            TryRecvError::Empty => Self::new(io::ErrorKind::WouldBlock, error),
            TryRecvError::Failed(error) => error.into(),
        }
    }
}

impl From<TrySendError> for io::Error {
    fn from(error: TrySendError) -> Self {
        let kind = match &error {
            TrySendError::Full { .. } => io::ErrorKind::WouldBlock,
            TrySendError::Closed { .. }
            | TrySendError::Forked { .. }
            | TrySendError::NoPeer { .. } => io::ErrorKind::NotConnected,
            TrySendError::PeerGone { .. } => io::ErrorKind::ConnectionReset,
            TrySendError::State { .. } | TrySendError::BadHeader { .. } => {
                io::ErrorKind::InvalidInput
            }
        };
        Self::new(kind, error)
    }
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Option(_) => Self::new(io::ErrorKind::InvalidInput, error),
            OpenError::System { source, .. } => source,
        }
    }
}

impl From<SendError> for io::Error {
    fn from(error: SendError) -> Self {
        let kind = match &error {
            SendError::Closed { .. } | SendError::Forked { .. } | SendError::NoPeer { .. } => {
                io::ErrorKind::NotConnected
            }
            SendError::State { .. } | SendError::BadHeader { .. } => io::ErrorKind::InvalidInput,
            SendError::TimedOut { .. } => io::ErrorKind::TimedOut,
        };
        Self::new(kind, error)
    }
}

impl From<RecvError> for io::Error {
    fn from(error: RecvError) -> Self {
        let kind = match &error {
            RecvError::Closed { .. } | RecvError::Forked { .. } => io::ErrorKind::NotConnected,
            RecvError::State { .. } => io::ErrorKind::InvalidInput,
            RecvError::Canceled { .. } => io::ErrorKind::Interrupted,
            RecvError::PeerGone { .. } => io::ErrorKind::ConnectionReset,
            RecvError::SurveyOver { .. } | RecvError::TimedOut { .. } => io::ErrorKind::TimedOut,
        };
        Self::new(kind, error)
    }
}

/// Fewer peers than wanted were connected in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wait for peers on {protocol}: {connected} of {wanted} were connected in time")]
pub struct TooFewPeers {
    /// The pattern.
    pub protocol: ProtocolId,
    /// Peers that were waited for.
    pub wanted: usize,
    /// Peers that were connected in the end.
    pub connected: usize,
}

impl From<TooFewPeers> for io::Error {
    fn from(error: TooFewPeers) -> Self {
        Self::new(io::ErrorKind::TimedOut, error)
    }
}

/// Why a send did not happen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unsent {
    /// No peer takes it now.
    Full,
    /// The pattern allows none now.
    State,
    /// The pattern has no such header.
    BadHeader,
    /// There is no peer, and none is waited for.
    NoPeer,
    /// The socket is closed.
    Closed,
    /// The socket is another process's.
    Forked,
}

impl Unsent {
    /// What the caller is told, who waits no longer.
    pub(super) fn into_error(self, protocol: ProtocolId, message: Message) -> SendError {
        match self {
            Self::Full => SendError::TimedOut { protocol, message },
            Self::State => SendError::State { protocol, message },
            Self::BadHeader => SendError::BadHeader { protocol, message },
            Self::NoPeer => SendError::NoPeer { protocol, message },
            Self::Closed => SendError::Closed { protocol, message },
            Self::Forked => SendError::Forked { protocol, message },
        }
    }
}

/// Why a receive did not happen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unreceived {
    /// Nothing is there.
    Empty,
    /// The pattern allows none now.
    State,
    Canceled,
    PeerGone,
    SurveyOver,
    /// The socket is closed.
    Closed,
    /// The socket is another process's.
    Forked,
}

impl Unreceived {
    /// What the caller is told, who waits no longer.
    pub(super) const fn into_error(self, protocol: ProtocolId) -> RecvError {
        match self {
            Self::Empty => RecvError::TimedOut { protocol },
            Self::State => RecvError::State { protocol },
            Self::Canceled => RecvError::Canceled { protocol },
            Self::PeerGone => RecvError::PeerGone { protocol },
            Self::SurveyOver => RecvError::SurveyOver { protocol },
            Self::Closed => RecvError::Closed { protocol },
            Self::Forked => RecvError::Forked { protocol },
        }
    }
}
