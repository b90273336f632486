//! A connection on its way to becoming a pipe: connecting, then one handshake after the other.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use sp_core::pipe::{CloseReason, ProtocolId};

use crate::layers::Layers;
use crate::runtime::EndpointId;
use crate::stream::{Stream, end_reason};
use crate::timer::Deadline;
use crate::upgrade::Upgrade;
use crate::wire::{HANDSHAKE_BYTES, check_handshake, handshake};
use crate::worker::Origin;

/// A stream whose two ends have not yet said who they are.
pub(crate) struct HalfOpen {
    pub(crate) layers: Layers,
    pub(crate) origin: Origin,
    /// When it will have taken too long, all handshakes together.
    pub(crate) deadline: Deadline,
    pub(crate) peer_addr: Option<SocketAddr>,
}

/// One of the exchanges that make a stream a pipe.
///
/// A handshake reads not a byte more than its own, or leaves what it read too much in [`Layers::early`].
#[derive(Debug)]
pub(crate) enum Handshake {
    /// The stream's own, before it carries anything.
    #[cfg(feature = "tls")]
    Tls,
    /// Both sides say which pattern they speak.
    Sp(SpHandshake),
    /// HTTP becomes WebSocket, and says whose pattern is asked for.
    Upgrade(Box<Upgrade>),
}

/// How far a half-open connection has come.
#[derive(Debug)]
pub(crate) enum Step {
    /// More events are needed.
    Waiting,
    /// The stream has done its share; others have their turn first, and no event would tell of the rest.
    Yielding,
    /// All handshakes are through; the peer says it speaks this.
    Shaken(ProtocolId),
    /// It came to nothing.
    Failed(CloseReason),
}

/// How a handshake ended.
pub(crate) enum Outcome {
    /// It is through; the last one of a connection has learnt what the peer speaks.
    Through(Option<ProtocolId>),
    Failed(CloseReason),
}

impl HalfOpen {
    /// Does whatever can be done now.
    pub(crate) fn advance(&mut self) -> Step {
        let Layers { stream, handshakes, early, .. } = &mut self.layers;
        loop {
            let Some(handshake) = handshakes.last_mut() else {
                unreachable!("the last handshake says what the peer speaks")
            };
            match handshake.advance(stream, early) {
                Ok(Outcome::Through(Some(protocol))) => return Step::Shaken(protocol),
                Ok(Outcome::Through(None)) => drop(handshakes.pop()),
                Ok(Outcome::Failed(why)) => return Step::Failed(why),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) =>
                {
                    return Step::Waiting;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => return Step::Yielding,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Step::Failed(CloseReason::Truncated);
                }
                Err(error) => return Step::Failed(end_reason(&error)),
            }
        }
    }

    /// Whose connection it will be: the endpoint that made it, unless the peer asked for another.
    pub(crate) fn endpoint(&self) -> EndpointId {
        match self.layers.handshakes.last() {
            Some(Handshake::Upgrade(upgrade)) => upgrade.route().unwrap_or(self.origin.endpoint),
            _ => self.origin.endpoint,
        }
    }

    /// It comes to nothing because of `why`: ends the stream, with a word to the peer if there is a way to say it.
    pub(crate) fn turn_away(&self, why: &CloseReason) {
        let Layers { stream, handshakes, .. } = &self.layers;
        if let Some(Handshake::Upgrade(upgrade)) = handshakes.last() {
            upgrade.turn_away(stream, why);
        }
        stream.shutdown();
    }
}

impl Handshake {
    /// Goes on until it has ended or would block. If there is no connection yet that means `NotConnected`.
    fn advance(&mut self, stream: &Stream, early: &mut Vec<u8>) -> io::Result<Outcome> {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls => stream.shake().map(|()| Outcome::Through(None)),
            Self::Sp(sp) => sp.advance(stream),
            Self::Upgrade(upgrade) => upgrade.advance(stream, early),
        }
    }
}

/// The eight bytes of sp-wire 2.1.
#[derive(Debug)]
pub(crate) struct SpHandshake {
    ours: [u8; HANDSHAKE_BYTES],
    sent: usize,
    theirs: [u8; HANDSHAKE_BYTES],
    got: usize,
}

impl SpHandshake {
    pub(crate) const fn new(protocol: ProtocolId) -> Self {
        Self { ours: handshake(protocol), sent: 0, theirs: [0; HANDSHAKE_BYTES], got: 0 }
    }

    fn advance(&mut self, stream: &Stream) -> io::Result<Outcome> {
        // Ours goes out without waiting for theirs. If there is no connection yet it would block, and if there will be
        // none it fails for the reason.
        while self.sent < HANDSHAKE_BYTES {
            self.sent += retry(|| stream.write(&self.ours[self.sent..]))?;
        }
        // Not a byte more than the handshake: what the peer sent behind it is the pipe's.
        while self.got < HANDSHAKE_BYTES {
            match stream.read(&mut self.theirs[self.got..])?.bytes {
                0 => return Ok(Outcome::Failed(CloseReason::Truncated)),
                more => self.got += more,
            }
        }
        Ok(match check_handshake(self.theirs) {
            Ok(protocol) => Outcome::Through(Some(protocol)),
            Err(why) => Outcome::Failed(why),
        })
    }
}

pub(crate) fn retry<T>(mut io: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match io() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
