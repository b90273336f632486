//! Whose turn it is among the peers that can take a message.

use std::collections::VecDeque;

use sp_core::id::{IdMap, PeerId};

use super::Effects;

/// Peers with room stand in a line; the first is used and goes to the end.
///
/// A peer found without room leaves the line and is promised a room event, which brings it back. So a look at
/// the line costs nothing for peers that are busy.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    line: VecDeque<PeerId>,
    /// Every peer, and whether it stands in the line.
    standing: IdMap<PeerId, bool>,
}

impl Rotation {
    /// An empty line; allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { line: VecDeque::new(), standing: IdMap::new() }
    }

    /// Lets a new peer stand in line.
    pub(crate) fn add(&mut self, peer: PeerId) {
        debug_assert!(!self.contains(peer), "{peer} opened twice");
        self.standing.insert(peer, true);
        self.line.push_back(peer);
    }

    /// Forgets a peer; no harm if it is unknown.
    pub(crate) fn remove(&mut self, peer: PeerId) {
        if self.standing.remove(peer) == Some(true) {
            self.line.retain(|&other| other != peer);
        }
    }

    /// `peer` has room again: it joins the line at the end, unless it stands there already.
    pub(crate) fn rejoin(&mut self, peer: PeerId) {
        if let Some(standing @ false) = self.standing.get_mut(peer) {
            *standing = true;
            self.line.push_back(peer);
        }
    }

    /// Whether some peer has room. After a no every peer is promised a room event.
    pub(crate) fn has_room(&mut self, fx: &impl Effects) -> bool {
        while let Some(&peer) = self.line.front() {
            if fx.room(peer) {
                return true;
            }
            self.line.pop_front();
            if let Some(standing) = self.standing.get_mut(peer) {
                *standing = false;
            }
        }
        false
    }

    /// The peer whose turn it is. After `None` every peer is promised a room event.
    pub(crate) fn next(&mut self, fx: &impl Effects) -> Option<PeerId> {
        if !self.has_room(fx) {
            return None;
        }
        let peer = self.line.pop_front()?;
        self.line.push_back(peer);
        Some(peer)
    }

    /// Whether `peer` is known.
    pub(crate) fn contains(&self, peer: PeerId) -> bool {
        self.standing.contains(peer)
    }
}
