//! The handshake of WebSocket: an HTTP request and its answer.

use std::io;
use std::sync::Arc;

use sp_core::pipe::{CloseReason, ProtocolId};
use sp_core::websocket::UpgradeFault;

use crate::half_open::{Outcome, retry};
use crate::ports::Port;
use crate::runtime::EndpointId;
use crate::stream::Stream;
use crate::wire::ws::{self, Key, Request};

/// One side of an upgrade.
#[derive(Debug)]
pub(crate) struct Upgrade {
    role: Role,
    /// What this side says, and how much of it has left.
    ours: Vec<u8>,
    sent: usize,
    /// What has come.
    theirs: Vec<u8>,
    /// What the peer speaks, once that is settled.
    settled: Option<ProtocolId>,
}

#[derive(Debug)]
enum Role {
    /// Asks for a listener of this pattern.
    Dialer { listener: ProtocolId, key: Key },
    /// Answers for whoever listens at this port.
    Listener { port: Arc<Port>, route: Option<EndpointId> },
}

impl Upgrade {
    /// Asks `host` for `target`, where somebody should speak `listener`.
    pub(crate) fn dialer(host: &str, target: &str, listener: ProtocolId) -> Self {
        let key = Key::fresh();
        // A pattern that has no name goes without a request: the listener would not know it either.
        let ours = ws::request(host, target, listener, &key).unwrap_or_default();
        Self::new(Role::Dialer { listener, key }, ours)
    }

    /// Answers a client that has come to `port`.
    pub(crate) fn listener(port: Arc<Port>) -> Self {
        Self::new(Role::Listener { port, route: None }, Vec::new())
    }

    fn new(role: Role, ours: Vec<u8>) -> Self {
        Self { role, ours, sent: 0, theirs: Vec::new(), settled: None }
    }

    /// Goes on until it has ended or would block. What came behind the peer's head goes to `early`.
    pub(crate) fn advance(&mut self, stream: &Stream, early: &mut Vec<u8>) -> io::Result<Outcome> {
        loop {
            while let Some(left) = self.ours.get(self.sent..).filter(|left| !left.is_empty()) {
                self.sent += retry(|| stream.write(left))?;
            }
            if let Some(protocol) = self.settled {
                return Ok(Outcome::Through(Some(protocol)));
            }
            let seen = self.theirs.len();
            let mut more = [0; READ_BYTES];
            let got = stream.read(&mut more)?.bytes;
            if got == 0 {
                return Ok(Outcome::Failed(CloseReason::Truncated));
            }
            self.theirs.extend_from_slice(&more[..got]);
            if let Err(why) = self.judge(seen, early) {
                return Ok(Outcome::Failed(why));
            }
        }
    }

    /// Whose the connection is, where that depends on what the client asked for.
    pub(crate) const fn route(&self) -> Option<EndpointId> {
        match self.role {
            Role::Dialer { .. } => None,
            Role::Listener { route, .. } => route,
        }
    }

    /// Tells a client why it gets no connection.
    pub(crate) fn turn_away(&self, stream: &Stream, why: &CloseReason) {
        let is_asked = matches!(self.role, Role::Listener { .. }) && !self.theirs.is_empty();
        if is_asked && self.settled.is_none() {
            // A client that is gone already, or takes nothing, has its answer.
            let _ = stream.write(&ws::refusal(why));
        }
    }

    /// Looks whether the peer has said all, and what that means.
    fn judge(&mut self, seen: usize, early: &mut Vec<u8>) -> Result<(), CloseReason> {
        let Some(end) = ws::head_end(&self.theirs, seen)? else {
            return match self.role {
                Role::Dialer { .. } => ws::check_status(&self.theirs),
                Role::Listener { .. } => Ok(()),
            };
        };
        let (head, behind) = self.theirs.split_at(end);
        match &mut self.role {
            Role::Dialer { listener, key } => {
                ws::check_answer(head, *listener, key)?;
                self.settled = Some(*listener);
            }
            Role::Listener { port, route } => {
                let request = Request::parse(head)?;
                let found = port.find(request.path());
                *route = found.as_ref().map(|route| route.endpoint);
                let listener = found.map(|route| route.protocol);
                self.ours = request.answer(listener)?;
                // An answer was possible, so the pattern has a name and a counterpart.
                let peer = listener.and_then(ws::dialer_of).ok_or(UpgradeFault::Subprotocol)?;
                self.settled = Some(peer);
            }
        }
        early.extend_from_slice(behind);
        Ok(())
    }
}

/// A request of this library or of a browser comes in one read.
const READ_BYTES: usize = 2048;
