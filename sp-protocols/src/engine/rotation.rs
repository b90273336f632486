//! Whose turn it is among the peers that can take a message.

use sp_core::id::{IdMap, PeerId};

use super::line::Line;
use super::{Effects, SendBlocked};

/// Peers with room stand in a line; the first is used and goes to the end.
///
/// A peer found without room leaves the line and is promised a room event, which brings it back. So a look at
/// the line costs nothing for peers that are busy.
#[derive(Debug)]
pub(crate) struct Rotation {
    line: Line<PeerId>,
    /// Every peer, in line or busy.
    known: IdMap<PeerId, ()>,
    /// Where there is no peer, none is waited for.
    needs_peer: bool,
}

impl Rotation {
    /// No peer; allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { line: Line::new(), known: IdMap::new(), needs_peer: false }
    }

    /// The same, where `needs_peer` says whether a send without any peer is to fail.
    pub(crate) fn needing_peer(self, needs_peer: bool) -> Self {
        Self { needs_peer, ..self }
    }

    /// Lets a new peer stand in line.
    pub(crate) fn add(&mut self, peer: PeerId) {
        debug_assert!(!self.contains(peer), "{peer} opened twice");
        self.known.insert(peer, ());
        self.line.push(peer);
    }

    /// Forgets a peer; no harm if it is unknown.
    pub(crate) fn remove(&mut self, peer: PeerId) {
        self.known.remove(peer);
        self.line.remove(peer);
    }

    /// `peer` has room again: it joins the line at the end, unless it stands there already.
    pub(crate) fn rejoin(&mut self, peer: PeerId) {
        if self.contains(peer) {
            self.line.push(peer);
        }
    }

    /// Whether some peer has room. After a no every peer is promised a room event.
    pub(crate) fn has_room(&mut self, fx: &impl Effects) -> bool {
        while let Some(peer) = self.line.first() {
            if fx.room(peer) {
                return true;
            }
            self.line.pop();
        }
        false
    }

    /// The peer whose turn it is. Unless there is one, every peer is promised a room event.
    pub(crate) fn next(&mut self, fx: &impl Effects) -> Result<PeerId, SendBlocked> {
        if self.is_lacking() {
            return Err(SendBlocked::NoPeer);
        }
        let next = if self.has_room(fx) { self.line.rotate() } else { None };
        next.ok_or(SendBlocked::Full)
    }

    /// Whether there is no peer although there has to be one.
    pub(crate) const fn is_lacking(&self) -> bool {
        self.needs_peer && self.known.is_empty()
    }

    /// Whether `peer` is known.
    pub(crate) fn contains(&self, peer: PeerId) -> bool {
        self.known.contains(peer)
    }
}
