//! The header of PAIR1 and STAR: one word that counts the hops of a message (sp-wire 3.6 and 3.8).

use sp_core::batch::Batch;
use sp_core::id::PeerId;
use sp_core::message::Message;
use sp_core::pipe::{CloseReason, Flow, ProtocolId};

use super::inbox::Inbox;
use super::{Counter, Effects};

/// Makes the count of hops the header of `msg`, in place of any it has.
pub(crate) fn put_on(msg: &mut Message, hops: u32) {
    msg.clear_header();
    let fits = msg.push_header(hops);
    debug_assert!(fits, "an empty header has room for a word");
}

/// As [`Inbox::arrived`], for messages of PAIR1 with their header, which is taken off. Those that have made more than
/// `ttl` hops are dropped and counted.
///
/// At a malformed header the peer is to be closed; what it sent behind that is dropped.
pub(crate) fn arrived(
    inbox: &mut Inbox,
    peer: PeerId,
    batch: &mut Batch,
    ttl: u8,
    fx: &mut impl Effects,
) -> Result<Flow, CloseReason> {
    let mut is_broken = false;
    let taken = inbox.take(
        peer,
        batch,
        |msg, fx| {
            let hops = msg.take_header_word().filter(|hops| !is_broken && *hops <= HOPS_MAX);
            msg.clear_header();
            is_broken = hops.is_none();
            let is_near = hops.is_some_and(|hops| hops <= u32::from(ttl));
            if !is_near && !is_broken {
                fx.count_for(peer, Counter::HopLimit, 1);
            }
            is_near
        },
        fx,
    );
    if is_broken {
        batch.clear();
        return Err(CloseReason::BadHeader { protocol: ProtocolId::PAIR1 });
    }
    Ok(inbox.read_on(peer, taken, batch, fx))
}

/// Of a PAIR1's own message. nng counts a hop when a message leaves, mangos when it arrives; both accept either.
pub(crate) const FIRST_HOP: u32 = 1;

/// The count is a byte in a word.
pub(crate) const HOPS_MAX: u32 = 0xFF;
