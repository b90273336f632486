//! A connection on its way to becoming a pipe: connecting, then exchanging handshakes.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use sp_core::pipe::{CloseReason, ProtocolId};

use crate::runtime::EndpointId;
use crate::stream::Stream;
use crate::wire::{Framing, HANDSHAKE_BYTES, check_handshake, handshake};

/// A stream whose two ends have not yet said who they are.
pub(crate) struct HalfOpen {
    pub(crate) stream: Stream,
    pub(crate) framing: Framing,
    pub(crate) endpoint: EndpointId,
    pub(crate) serial: u64,
    pub(crate) peer_addr: Option<SocketAddr>,
    connecting: bool,
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
    /// `connecting` says that the stream may not be connected yet.
    pub(crate) fn new(
        stream: Stream,
        framing: Framing,
        protocol: ProtocolId,
        (endpoint, serial): (EndpointId, u64),
        connecting: bool,
        peer_addr: Option<SocketAddr>,
    ) -> Self {
        Self {
            stream,
            framing,
            endpoint,
            serial,
            peer_addr,
            connecting,
            ours: handshake(protocol),
            sent: 0,
            theirs: [0; HANDSHAKE_BYTES],
            got: 0,
        }
    }

    /// Does whatever can be done now.
    pub(crate) fn advance(&mut self) -> Step {
        match self.try_advance() {
            Ok(step) => step,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Step::Waiting,
            Err(error) => Step::Failed(CloseReason::Io(error.kind())),
        }
    }

    fn try_advance(&mut self) -> io::Result<Step> {
        if self.connecting {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            if !self.stream.is_connected() {
                return Ok(Step::Waiting);
            }
            self.connecting = false;
        }
        // Ours goes out without waiting for theirs.
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
