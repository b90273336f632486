//! The requests under way: whose they are, and which peer has them.

use sp_core::id::{CtxId, PeerId};

use super::conversation::Request;
use crate::engine::groups::Groups;
use crate::engine::numbers::RequestIds;

/// Exactly the requests of contexts in state asked.
#[derive(Debug)]
pub(super) struct UnderWay {
    ids: RequestIds,
    /// Contexts by the peer that has their request, oldest first; a request that no peer has is in no group.
    by_peer: Groups<PeerId, CtxId>,
}

impl UnderWay {
    /// No request; the first id is drawn from `seed`.
    pub(super) const fn new(seed: u64) -> Self {
        Self { ids: RequestIds::new(seed), by_peer: Groups::new() }
    }

    /// A fresh id for a request of `ctx`.
    pub(super) fn begin(&mut self, ctx: CtxId) -> u32 {
        self.ids.assign(ctx)
    }

    /// `peer` has the request of `ctx` from now on.
    pub(super) fn sent(&mut self, request: &mut Request, ctx: CtxId, peer: PeerId) {
        self.take_back(request, ctx);
        request.peer = Some(peer);
        self.by_peer.push(peer, ctx);
    }

    /// No peer has the request of `ctx` any more: it is to be sent again.
    pub(super) fn take_back(&mut self, request: &mut Request, ctx: CtxId) {
        if let Some(peer) = request.peer.take() {
            self.by_peer.remove(peer, ctx);
        }
    }

    /// The request of `ctx` is over.
    pub(super) fn end(&mut self, request: &mut Request, ctx: CtxId) {
        self.take_back(request, ctx);
        self.ids.remove(request.id);
    }

    /// Whose request this is.
    pub(super) fn owner(&self, id: u32) -> Option<CtxId> {
        self.ids.owner(id)
    }

    /// A context whose request `peer` has, the one that asked first.
    pub(super) fn first_at(&self, peer: PeerId) -> Option<CtxId> {
        self.by_peer.first(peer)
    }
}
