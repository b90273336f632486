//! What peers get wrong when they speak over UDP, what they say at the end, and what is lost there.

use std::fmt;
use std::time::Duration;

/// Why an association over UDP ended, or was never made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramFault {
    /// The peer ended it, or did not begin it, and says why.
    #[error("it ended the association: {0}")]
    Disconnected(DisconnectReason),
    /// The peer has been silent for five times the interval in which it was to say that it is there.
    #[error("nothing came from it for {:?}", .after)]
    Silent {
        /// How long.
        after: Duration,
    },
    /// A message is said to be longer than its datagram.
    #[error("it announced a message of {announced} bytes in a datagram with {got}")]
    Cut {
        /// Bytes announced.
        announced: u16,
        /// Bytes that came.
        got: usize,
    },
    /// The peer wants to be asked never whether it is there.
    #[error("it offered an interval of 0 seconds to say that it is there")]
    NoRefresh,
}

/// What a peer says at the end of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DisconnectReason(pub u16);

impl DisconnectReason {
    /// The peer closed.
    pub const CLOSED: Self = Self(0);
    /// The patterns do not belong together.
    pub const PROTOCOL: Self = Self(1);
    /// There is no association.
    pub const NOT_CONNECTED: Self = Self(2);
    /// The peer does not want us.
    pub const REFUSED: Self = Self(3);
    /// A message was too long.
    pub const TOO_LONG: Self = Self(4);
    /// What was offered could not be agreed on.
    pub const NEGOTIATION: Self = Self(5);
    /// Nothing was heard for too long.
    pub const INACTIVE: Self = Self(6);
    /// Something else was wrong.
    pub const OTHER: Self = Self(7);
    /// The peer has too many peers.
    pub const RESOURCES: Self = Self(8);
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::CLOSED => "it closed",
            Self::PROTOCOL => "the patterns do not belong together",
            Self::NOT_CONNECTED => "it knows of no association",
            Self::REFUSED => "it does not want this side",
            Self::TOO_LONG => "a message was too long for it",
            Self::NEGOTIATION => "it cannot agree to what was offered",
            Self::INACTIVE => "it heard nothing for too long",
            Self::OTHER => "it found something wrong with what was said",
            Self::RESOURCES => "it has too many peers",
            Self(unknown) => return write!(f, "reason {unknown}"),
        })
    }
}

/// What is passed over without an end to any connection, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// A message that is longer than its peer or the network takes.
    TooLong,
    /// A message that the system did not send.
    NotSent,
    /// A message that came while there was no room for it.
    NoRoom,
    /// A datagram without a whole header.
    Short,
    /// A datagram of another version.
    BadVersion,
    /// A datagram that says nothing known, or nothing that is said to this side.
    Unexpected,
    /// A message or an end from an address that nobody is connected from.
    Stranger,
    /// A datagram that the system had no room for, since nobody read fast enough. Known on Linux only.
    Overrun,
}

impl Lost {
    /// What belongs to no peer.
    pub const STRAYS: [Self; 5] =
        [Self::Short, Self::BadVersion, Self::Unexpected, Self::Stranger, Self::Overrun];

    /// The name in statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::NotSent => "not_sent",
            Self::NoRoom => "no_room",
            Self::Short => "short",
            Self::BadVersion => "bad_version",
            Self::Unexpected => "unexpected",
            Self::Stranger => "stranger",
            Self::Overrun => "overrun",
        }
    }
}
