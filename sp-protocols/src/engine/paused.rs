//! Whose turn it is to bring more.

use sp_core::id::PeerId;
use sp_core::pipe::Flow;

use super::Effects;
use super::line::Line;

/// Peers whose messages found no room. Once there is some they go on one after the other, so that a flood from one does
/// not keep out the rest.
#[derive(Debug)]
pub(crate) struct Paused {
    /// Peers told to stop, longest first.
    waiting: Line<PeerId>,
    /// Peers let go that have not brought anything yet.
    let_go: Line<PeerId>,
}

impl Paused {
    /// Nobody; allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { waiting: Line::new(), let_go: Line::new() }
    }

    /// All that `peer` brought was taken: the next may go on if `has_room`.
    pub(crate) fn emptied(&mut self, peer: PeerId, has_room: bool, fx: &mut impl Effects) -> Flow {
        self.let_go.remove(peer);
        self.resume_next(has_room, fx);
        Flow::More
    }

    /// Of what `peer` brought only `taken` messages were taken: it has to wait.
    pub(crate) fn stopped(&mut self, peer: PeerId, taken: usize) -> Flow {
        if self.let_go.remove(peer) && taken == 0 {
            // Another peer was faster, so it still is its turn.
            self.waiting.push_front(peer);
        } else {
            self.waiting.push(peer);
        }
        Flow::Pause
    }

    /// Nothing more comes from `peer`. It may have been the one whose turn it was.
    pub(crate) fn closed(&mut self, peer: PeerId, has_room: bool, fx: &mut impl Effects) {
        self.waiting.remove(peer);
        self.let_go.remove(peer);
        self.resume_next(has_room, fx);
    }

    /// Lets the peer go on that has waited longest, if `has_room`.
    ///
    /// One at a time: what it brings is followed by another call of this, by its arrival or its end.
    pub(crate) fn resume_next(&mut self, has_room: bool, fx: &mut impl Effects) {
        if has_room && let Some(peer) = self.waiting.pop() {
            self.let_go.push(peer);
            fx.resume(peer);
        }
    }
}
