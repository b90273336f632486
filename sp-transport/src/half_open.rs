//! A connection on its way to becoming a pipe: connecting, then exchanging handshakes.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use sp_core::pipe::{CloseReason, ProtocolId};

use crate::stream::Stream;
use crate::timer::Deadline;
use crate::wire::{Framing, HANDSHAKE_BYTES, check_handshake, handshake};
use crate::worker::Origin;

/// A stream whose two ends have not yet said who they are.
pub(crate) struct HalfOpen {
    pub(crate) stream: Stream,
    pub(crate) framing: Framing,
    pub(crate) origin: Origin,
    /// When it will have taken too long.
    pub(crate) deadline: Deadline,
    pub(crate) peer_addr: Option<SocketAddr>,
    ours: [u8; HANDSHAKE_BYTES],
    sent: usize,
    theirs: [u8; HANDSHAKE_BYTES],
    got: usize,
}

/// How far a half-open connection has come.
#[derive(Debug)]
pub(crate) enum Step {
    /// More events are needed.
    Waiting,
    /// Both handshakes are through; the peer says it speaks this.
    Shaken(ProtocolId),
    /// It came to nothing.
    Failed(CloseReason),
}

impl HalfOpen {
    pub(crate) fn new(
        stream: Stream,
        framing: Framing,
        protocol: ProtocolId,
        origin: Origin,
        deadline: Deadline,
        peer_addr: Option<SocketAddr>,
    ) -> Self {
        Self {
            stream,
            framing,
            origin,
            deadline,
            peer_addr,
            ours: handshake(protocol),
            sent: 0,
            theirs: [0; HANDSHAKE_BYTES],
            got: 0,
        }
    }

    /// Whether something has been said: the other side has answered by then, at least by connecting.
    pub(crate) const fn has_spoken(&self) -> bool {
        self.sent > 0
    }

    /// Does whatever can be done now.
    pub(crate) fn advance(&mut self) -> Step {
        match self.try_advance() {
            Ok(step) => step,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) =>
            {
                Step::Waiting
            }
            Err(error) => Step::Failed(CloseReason::Io(error.kind())),
        }
    }

    fn try_advance(&mut self) -> io::Result<Step> {
        // Ours goes out without waiting for theirs. If there is no connection yet it would block, and if there will be
        // none it fails for the reason.
        while self.sent < HANDSHAKE_BYTES {
            self.sent += retry(|| self.stream.write(&self.ours[self.sent..]))?;
        }
        // Not a byte more than the handshake: what the peer sent behind it is the pipe's.
        while self.got < HANDSHAKE_BYTES {
            match retry(|| self.stream.read(&mut self.theirs[self.got..]))? {
                0 => return Ok(Step::Failed(CloseReason::Truncated)),
                more => self.got += more,
            }
        }
        Ok(match check_handshake(self.theirs) {
            Ok(protocol) => Step::Shaken(protocol),
            Err(why) => Step::Failed(why),
        })
    }
}

fn retry<T>(mut io: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match io() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
