//! The seam between transports and sockets.
//!
//! A transport makes a [`Pipe`] for each live connection and hands it to the socket through [`PipeEvents`].
//! Everything a socket wants from a connection and everything a connection tells a socket passes here, once
//! per batch, so the calls are dynamic; inside the crates they are not.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::batch::Batch;
use crate::datagram::{DatagramFault, Lost};
use crate::endpoint::Endpoint;
use crate::held::Held;
use crate::id::{PeerId, TimerKey};
use crate::message::Message;
use crate::tls::TlsFault;
use crate::websocket::{FrameFault, UpgradeFault};

/// A protocol number of the Scalability Protocols: `major * 16 + minor`, as sp-wire section 1 lists them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolId(pub u16);

impl ProtocolId {
    /// Talks with one peer.
    pub const PAIR0: Self = Self(0x0010);
    /// Talks with one peer, and counts the devices between.
    pub const PAIR1: Self = Self(0x0011);
    /// Publishes to every subscriber.
    pub const PUB: Self = Self(0x0020);
    /// Receives what it subscribed to.
    pub const SUB: Self = Self(0x0021);
    /// Asks and gets one answer.
    pub const REQ: Self = Self(0x0030);
    /// Answers requests.
    pub const REP: Self = Self(0x0031);
    /// Hands out work.
    pub const PUSH: Self = Self(0x0050);
    /// Collects work.
    pub const PULL: Self = Self(0x0051);
    /// Asks everybody and collects their answers.
    pub const SURVEYOR: Self = Self(0x0062);
    /// Answers surveys.
    pub const RESPONDENT: Self = Self(0x0063);
    /// Talks with all its neighbours.
    pub const BUS: Self = Self(0x0070);
    /// Talks with everybody, through its neighbours.
    pub const STAR: Self = Self(0x0640);

    /// The pattern's name, if this library knows the number.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::PAIR0 => "PAIR0",
            Self::PAIR1 => "PAIR1",
            Self::PUB => "PUB",
            Self::SUB => "SUB",
            Self::REQ => "REQ",
            Self::REP => "REP",
            Self::PUSH => "PUSH",
            Self::PULL => "PULL",
            Self::SURVEYOR => "SURVEYOR",
            Self::RESPONDENT => "RESPONDENT",
            Self::BUS => "BUS",
            Self::STAR => "STAR",
            _ => return None,
        })
    }
}

impl fmt::Display for ProtocolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "protocol {:#06x}", self.0),
        }
    }
}

impl fmt::Debug for ProtocolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a connection is and where it leads.
#[derive(Clone, Debug)]
pub struct PipeInfo {
    /// The endpoint whose dialer or listener made the connection.
    pub endpoint: Arc<Endpoint>,
    /// Whether this side dialled.
    pub dialed: bool,
    /// The pattern at the other end.
    pub peer_protocol: ProtocolId,
    /// Our address, where the transport has one.
    pub local_addr: Option<SocketAddr>,
    /// The peer's address, where the transport has one.
    pub peer_addr: Option<SocketAddr>,
    /// The peer's certificate in DER, where it showed one: over TLS. It has been found good.
    pub peer_certificate: Option<Arc<[u8]>>,
    /// Who runs the peer, where the transport knows: on ipc under Linux.
    pub credentials: Option<Credentials>,
}

impl PipeInfo {
    /// For a connection without addresses, certificates and credentials.
    pub const fn new(endpoint: Arc<Endpoint>, dialed: bool, peer_protocol: ProtocolId) -> Self {
        Self {
            endpoint,
            dialed,
            peer_protocol,
            local_addr: None,
            peer_addr: None,
            peer_certificate: None,
            credentials: None,
        }
    }
}

/// The process at the other end of a connection and whose it is, as the system vouches for it: not as the peer says.
///
/// It is who made the connection, or who listened when it was made; the process may have ended or changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The process; `None` if it cannot be seen from here, as from within a container.
    pub pid: Option<u32>,
}

/// How urgently queued messages should reach the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// The caller may write here and now; while messages stream, this is the same as `Soon`.
    Now,
    /// Somebody else should write, within a fraction of a millisecond.
    Soon,
    /// The caller writes everything that waits, streaming or not.
    Urgent,
}

/// How much of what a socket broadcasts may wait for one of its pipes; each at least 1.
///
/// A message counts as its payload and what a [`Message`] itself takes up. A limit is reached by what waits and not
/// by what comes: while there is room a message of any length is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Messages.
    pub messages: usize,
    /// Bytes.
    pub bytes: usize,
}

impl Backlog {
    /// What a message counts beside its payload.
    pub const OVERHEAD: usize = size_of::<Message>();

    /// Whether another message may wait behind `messages` that count `bytes` in all.
    pub const fn has_room(self, messages: u64, bytes: u64) -> bool {
        messages < self.messages as u64 && bytes < self.bytes as u64
    }
}

/// How a pipe stands with what its socket broadcasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Messages that wait for the pipe; once it is closed, those that waited then.
    pub waiting: u64,
    /// Messages the pipe has taken.
    pub sent: u64,
    /// Their payload bytes.
    pub sent_bytes: u64,
}

/// A socket's view of one connection. Given by a transport, held by a socket.
pub trait Pipe: Send + Sync {
    /// What the connection is.
    fn info(&self) -> PipeInfo;

    /// Whether another message may be queued; of a pipe that has joined, whether as much waits as may. Answering
    /// no promises one [`PipeEvents::room`] later.
    fn room(&self) -> bool;

    /// Puts `msg` at the end of the send queue. Called under the socket's lock: short, no system call.
    ///
    /// Takes what it needs out of `msg`, whatever is left there.
    /// While messages stream the pipe may leave it in `held`, which is always the same one for a pipe, and asks
    /// for it with [`PipeEvents::commit`] within a fraction of a millisecond. A message queued without
    /// [`room`](Self::room) is taken all the same; a closed pipe drops it. Answers whether the caller has to
    /// [`flush`](Self::flush) afterwards; if not, somebody else sees to the queue.
    fn queue(&self, msg: &mut Message, held: &mut Held) -> bool;

    /// Takes over what is `held`. Called under the socket's lock; answers as [`queue`](Self::queue) does.
    fn commit(&self, held: &mut Held) -> bool;

    /// Sees to it that queued messages leave. Called under no lock.
    fn flush(&self, how: Flush);

    /// Reads on after [`Flow::Pause`].
    fn resume(&self);

    /// Ends the connection. [`PipeEvents::closed`] follows, unless the socket itself is closing.
    fn close(&self, why: CloseReason);

    /// Bytes queued and not yet taken by the transport, without those held; 0 once everything has left.
    fn unsent(&self) -> usize;

    /// From now on the pipe, which the socket calls `peer`, gets what is broadcast, and `limit` is what may wait
    /// for it. Called under the socket's lock, like the next three.
    ///
    /// Answers whether it reads along by itself; if not, the socket queues each message. There is no order between
    /// what is broadcast and what is queued for this pipe alone.
    fn join(&self, peer: PeerId, limit: Backlog) -> bool;

    /// The pipe gets nothing more of what is broadcast until it joins again. What waits still goes out.
    fn leave(&self);

    /// Drops what has waited longest until there is room, and answers how many messages. Frames that are partly
    /// written are never touched.
    fn drop_oldest(&self) -> usize;

    /// How the pipe stands with what is broadcast.
    fn standing(&self) -> Standing;
}

/// What a socket wants to hear of its connections. Given by a socket, called by transports under no lock.
pub trait PipeEvents: Send + Sync {
    /// The pattern this side speaks.
    fn protocol(&self) -> ProtocolId;

    /// The pattern the other side has to speak.
    fn peer_protocol(&self) -> ProtocolId;

    /// A connection has been made and its peer speaks the right pattern: whether the program wants it. Runs the
    /// program's code, so no lock of any kind may be held, and endpoints and sockets may be closed when it returns.
    fn admit(&self, info: &PipeInfo) -> Result<(), CloseReason>;

    /// A connection has been made and is wanted.
    fn opened(&self, pipe: Arc<dyn Pipe>) -> Result<PeerId, CloseReason>;

    /// Messages came in. The socket takes what fits from the front and leaves the rest.
    fn arrived(&self, peer: PeerId, batch: &mut Batch) -> Flow;

    /// A pipe that had no room has some again.
    fn room(&self, peer: PeerId);

    /// The pipe wants what is held for it: [`Pipe::commit`] and, if that says so, [`Pipe::flush`].
    fn commit(&self, peer: PeerId);

    /// The connection is gone.
    fn closed(&self, peer: PeerId, why: CloseReason);

    /// A timer the socket armed is due.
    fn timer(&self, key: TimerKey, now: Instant);

    /// A connection came to nothing before it was a pipe, or an attempt to make one failed.
    fn refused(&self, at: &Arc<Endpoint>, peer_addr: Option<SocketAddr>, why: CloseReason);

    /// Something was passed over, to or from `peer` where it is known. Only transports that lose tell this.
    fn lost(&self, peer: Option<PeerId>, what: Lost, times: usize);
}

/// Whether a connection should be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Read on.
    More,
    /// Stop reading until [`Pipe::resume`]; what was not taken stays with the connection.
    Pause,
}

/// Why a connection ended, or never became a pipe.
///
/// The first group is the peer's doing, the second ours, the third the system's, the fourth that of a transport of the
/// program's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed in an orderly way, between messages.
    #[error("closed by the peer")]
    PeerClosed,
    /// The peer closed or vanished in the middle of a handshake or message.
    #[error("the peer vanished in the middle of a handshake or message")]
    Truncated,
    /// The first bytes were no SP handshake.
    #[error("the peer sent no SP handshake: got {got:02x?}, expected 00 53 50 00")]
    BadHandshake {
        /// The eight bytes that came.
        got: [u8; 8],
    },
    /// The handshake names a version other than 0.
    #[error("the peer speaks SP version {got}, this library speaks version 0")]
    BadVersion {
        /// The version that came.
        got: u8,
    },
    /// The peer speaks a pattern that does not belong to ours.
    #[error("the peer is {got}, but {wanted} is needed here")]
    WrongProtocol {
        /// What the peer is.
        got: ProtocolId,
        /// What it has to be.
        wanted: ProtocolId,
    },
    /// No complete handshake came within the limit.
    #[error("the peer did not finish its handshake in time")]
    HandshakeTimeout,
    /// The peer announced a message above the receive limit.
    #[error("the peer announced a message of {announced} bytes, the limit is {limit}")]
    TooLong {
        /// Bytes announced.
        announced: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// An ipc message did not start with the type octet 1.
    #[error("the peer sent message type {got:#04x}, only 0x01 exists")]
    BadMessageType {
        /// The octet that came.
        got: u8,
    },
    /// The HTTP that begins a WebSocket connection was wrong.
    #[error("no WebSocket connection with what the peer sent: {0}")]
    BadUpgrade(#[from] UpgradeFault),
    /// A WebSocket frame was wrong.
    #[error("the peer sent a bad WebSocket frame: {0}")]
    BadFrame(#[from] FrameFault),
    /// Over UDP the peer was silent, wrong, or said why it ends.
    #[error("over udp the peer is gone: {0}")]
    Datagram(#[from] DatagramFault),
    /// The pattern's header was malformed.
    #[error("the peer sent a malformed {protocol} header")]
    BadHeader {
        /// The pattern that expected the header.
        protocol: ProtocolId,
    },
    /// The peer sent to a pattern that receives nothing.
    #[error("the peer sent a message to {protocol}, which receives none")]
    Unexpected {
        /// The pattern that receives nothing.
        protocol: ProtocolId,
    },
    /// The peer took what was sent so slowly that as much waited for it as may, and the socket was told to end
    /// such connections.
    #[error("the peer was too slow: {waiting} messages waited for it")]
    TooSlow {
        /// Messages that waited and are lost.
        waiting: u64,
    },

    /// TLS was refused by one of the two sides, or broken.
    #[error("TLS: {0}")]
    Tls(#[from] TlsFault),

    /// This side closed the socket or endpoint.
    #[error("closed on this side")]
    Closed,
    /// This side's admission did not want the peer.
    #[error("the peer was not admitted")]
    NotAdmitted,
    /// This side has as many connections as it allows.
    #[error("too many connections: the limit is {limit}")]
    TooMany {
        /// Connections allowed.
        limit: usize,
    },

    /// The process or the system has no descriptor or memory left for one more connection. Listeners and dialers
    /// pause, and go on by themselves once there is.
    #[error(
        "out of descriptors or memory: raise the limit (`ulimit -n`) or allow fewer connections"
    )]
    Exhausted,
    /// The system reported an error on the connection.
    #[error("{}", fmt_io(.0))]
    Io(std::io::ErrorKind),
    /// The address could not be resolved.
    #[error("the name could not be resolved")]
    Unresolved,

    /// The program's own transport has panicked; the panic hook has reported where.
    #[error("the program's own transport panicked")]
    TransportPanicked,
    /// The program's own transport claims to have read or written more bytes than it was given room or bytes for.
    #[error("the program's own transport claims more bytes than there were")]
    TransportOverran,
}

fn fmt_io(kind: &std::io::ErrorKind) -> String {
    kind.to_string()
}

impl CloseReason {
    /// Who is at fault.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Closed
            | Self::NotAdmitted
            | Self::TooMany { .. }
            | Self::TransportPanicked
            | Self::TransportOverran => Fault::Caller,
            Self::Exhausted
            | Self::Io(_)
            | Self::Unresolved
            | Self::Tls(TlsFault::Failed { .. }) => Fault::System,
            _ => Fault::Peer,
        }
    }
}

/// Whose doing an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The program that calls the library.
    Caller,
    /// The program at the other end.
    Peer,
    /// The operating system or the network.
    System,
}
