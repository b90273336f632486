//! One peer at a time: what PAIR and PAIR1 have in common.

use std::mem;

use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_core::pipe::CloseReason;

use super::inbox::Inbox;
use super::queue::{Limits, Queue};
use super::waiters::Waiters;
use super::{Effects, SendBlocked, WhenFull};

/// The partner, what waits for one, and what waits to be received.
///
/// While there is a partner another peer is refused. What waits here is the next partner's if this one goes; what
/// its pipe has taken is lost with it.
#[derive(Debug)]
pub(crate) struct Couple {
    partner: Option<PeerId>,
    pub(super) inbox: Inbox,
    /// Messages for which the partner had no room, or that had no partner. `None` if none may wait: then senders do.
    outbox: Option<Queue>,
    senders: Waiters,
}

impl Couple {
    pub(crate) fn new(when_full: WhenFull, limits: Limits) -> Self {
        Self {
            partner: None,
            inbox: Inbox::new(when_full, limits.inbox()),
            outbox: (limits.send > 0).then(|| Queue::new(limits.outbox())),
            senders: Waiters::new(),
        }
    }

    /// Sends `msg`, its header as it is to travel.
    pub(crate) fn send(
        &mut self,
        ctx: CtxId,
        msg: &mut Message,
        fx: &mut impl Effects,
    ) -> Result<(), SendBlocked> {
        if let Some(peer) = ready(self.partner, &self.outbox, fx) {
            fx.transmit(peer, msg);
        } else if let Some(outbox) = self.outbox.as_mut().filter(|outbox| !outbox.is_full()) {
            let queued = outbox.push(mem::take(msg));
            debug_assert!(queued.is_ok(), "it was not full");
        } else {
            msg.clear_header();
            self.senders.add(ctx);
            return Err(SendBlocked::Full);
        }
        self.wake_sender(fx);
        Ok(())
    }

    /// A send that waited gave up.
    pub(crate) fn send_abandoned(&mut self, fx: &mut impl Effects) {
        // It may have been the one that was woken.
        self.wake_sender(fx);
    }

    pub(crate) fn opened(
        &mut self,
        peer: PeerId,
        fx: &mut impl Effects,
    ) -> Result<(), CloseReason> {
        if self.partner.is_some() {
            return Err(CloseReason::TooMany { limit: 1 });
        }
        self.partner = Some(peer);
        self.room(fx);
        Ok(())
    }

    pub(crate) fn closed(&mut self, peer: PeerId, fx: &mut impl Effects) {
        if self.is_partner(peer) {
            self.partner = None;
            self.inbox.closed(peer, fx);
        }
    }

    /// The partner may have room.
    pub(crate) fn room(&mut self, fx: &mut impl Effects) {
        while let (Some(peer), Some(outbox)) = (self.partner, &mut self.outbox)
            && !outbox.is_empty()
            && fx.room(peer)
            && let Some(mut msg) = outbox.pop()
        {
            fx.transmit(peer, &mut msg);
        }
        self.wake_sender(fx);
    }

    pub(crate) fn is_partner(&self, peer: PeerId) -> bool {
        self.partner == Some(peer)
    }

    /// Bytes that wait for a partner to take them.
    pub(crate) fn unsent(&self) -> usize {
        self.outbox.as_ref().map_or(0, Queue::bytes)
    }

    /// Wakes a send that waits if it may succeed. Its success wakes the next.
    fn wake_sender(&mut self, fx: &mut impl Effects) {
        let Self { partner, outbox, senders, .. } = self;
        let takes_more = outbox.as_ref().is_some_and(|outbox| !outbox.is_full());
        senders.wake_send_if(|fx| takes_more || ready(*partner, outbox, fx).is_some(), fx);
    }
}

/// The partner, if a message may go straight to it. Otherwise there is none, or a room event is promised.
fn ready(partner: Option<PeerId>, outbox: &Option<Queue>, fx: &impl Effects) -> Option<PeerId> {
    let behind_others = outbox.as_ref().is_some_and(|outbox| !outbox.is_empty());
    partner.filter(|peer| !behind_others && fx.room(*peer))
}
