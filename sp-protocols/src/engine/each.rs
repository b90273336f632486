//! One message for several peers, each of which has it queued for itself.

use sp_core::id::PeerId;
use sp_core::message::Message;

use super::{Counter, Effects};

/// Sends `msg` to each of `peers` that has room; what the others miss is counted.
///
/// Each but the last gets a share, so that a single one gets the message itself.
pub(crate) fn send_to_each(
    peers: impl Iterator<Item = PeerId>,
    msg: &mut Message,
    fx: &mut impl Effects,
) {
    let mut last = None;
    for peer in peers {
        if !fx.room(peer) {
            fx.count_for(peer, Counter::DroppedOnSend, 1);
        } else if let Some(before) = last.replace(peer) {
            fx.transmit(before, &mut msg.share());
        }
    }
    if let Some(last) = last {
        fx.transmit(last, msg);
    }
}
