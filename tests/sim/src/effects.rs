//! An engine's effects on the simulated world, and what every engine owes it.

use std::time::Instant;

use sp_core::id::{CtxId, PeerId, TimerKey};
use sp_core::message::Message;
use sp_core::pipe::{Backlog, CloseReason};
use sp_protocols::engine::{Counter, Effects};

use crate::body::{Body, Side};
use crate::link::NOTICE_MAX;
use crate::net::{End, EndId, EndState};
use crate::oracle::Oracle;
use crate::stage::{Event, Stage, nanos};

/// The effects of one engine call.
pub(crate) struct Fx<'a> {
    pub(crate) body: &'a mut Body,
    pub(crate) stage: &'a mut Stage,
}

impl Fx<'_> {
    fn end(&self, peer: PeerId) -> Option<&End> {
        self.body.peers.get(peer).map(|id| self.stage.net.end(*id))
    }

    fn end_mut(&mut self, peer: PeerId) -> Option<(EndId, &mut End)> {
        self.body.peers.get(peer).map(|id| (*id, self.stage.net.end_mut(*id)))
    }

    fn note(&mut self, what: &'static str, peer: PeerId, detail: usize) {
        let id = self.body.peers.get(peer).map_or(usize::MAX, |id| id.conn);
        self.stage.note(self.body.place.node, what, [id as u64, detail as u64]);
    }

    fn joined(&self) -> impl Iterator<Item = (PeerId, EndId)> {
        let peers = self.body.peers.iter().map(|(peer, id)| (peer, *id));
        peers.filter(|(_, id)| self.stage.net.end(*id).has_joined)
    }
}

impl Effects for Fx<'_> {
    fn now(&mut self) -> Instant {
        self.stage.instant()
    }

    fn room(&self, peer: PeerId) -> bool {
        let Some(end) = self.end(peer) else { return false };
        let room = end.has_room();
        if !room {
            end.owes_room.set(true);
        }
        room
    }

    fn transmit(&mut self, peer: PeerId, msg: &mut Message) {
        self.note("transmit", peer, msg.payload_len());
        let copy = Message::from_payload(msg.payload());
        // What is left in it is nobody's business.
        *msg = Message::new();
        match self.end_mut(peer) {
            None => {
                self.stage.fail(Oracle::Room, format!("a message went to {peer}, which is gone"))
            }
            Some((_, end)) if end.state == EndState::Closing => {
                self.stage.fail(Oracle::Room, format!("a message went to {peer}, which is closed"));
            }
            Some((_, end)) if end.queue.len() >= end.capacity => {
                self.stage.fail(Oracle::Room, format!("{peer} has no room for a message"));
            }
            Some((id, end)) => {
                end.queue.push_back(copy);
                self.body.tally.transmitted += 1;
                self.stage.carry_soon(id);
            }
        }
    }

    fn join(&mut self, peer: PeerId, limit: Backlog) {
        self.note("join", peer, 0);
        let Some((_, end)) = self.end_mut(peer) else { return };
        end.limit = Some(limit);
        if std::mem::replace(&mut end.has_joined, true) {
            self.stage.fail(Oracle::Room, format!("{peer} joined twice"));
        }
    }

    fn leave(&mut self, peer: PeerId) {
        self.note("leave", peer, 0);
        if let Some((_, end)) = self.end_mut(peer) {
            end.has_joined = false;
        }
    }

    fn slow(&mut self) -> Option<PeerId> {
        let found = self.joined().find(|(_, id)| !self.stage.net.end(*id).has_room());
        found.map(|(peer, _)| peer)
    }

    fn drop_oldest(&mut self, peer: PeerId) -> usize {
        let Some((_, end)) = self.end_mut(peer) else { return 0 };
        let before = end.backlog.len();
        while !end.has_room() && end.backlog.pop_front().is_some() {}
        let dropped = before - end.backlog.len();
        self.note("drop oldest", peer, dropped);
        dropped
    }

    fn waiting(&self, peer: PeerId) -> u64 {
        self.end(peer).map_or(0, |end| end.backlog.len() as u64)
    }

    fn broadcast(&mut self, msg: &mut Message) {
        let joined: Vec<EndId> = self.joined().map(|(_, id)| id).collect();
        self.stage.note(self.body.place.node, "broadcast", [joined.len() as u64, 0]);
        for id in joined {
            let end = self.stage.net.end_mut(id);
            if !end.has_room() {
                self.stage.fail(Oracle::Room, "a message was broadcast, and a peer has no room");
                return;
            }
            end.backlog.push_back(Message::from_payload(msg.payload()));
            self.stage.carry_soon(id);
        }
        *msg = Message::new();
    }

    fn resume(&mut self, peer: PeerId) {
        self.note("resume", peer, 0);
        let Some((id, end)) = self.end_mut(peer) else { return };
        end.was_resumed = true;
        if std::mem::take(&mut end.is_paused) {
            self.stage.read_soon(id);
        } else {
            self.stage.fail(Oracle::Flow, format!("{peer} was resumed and had not been paused"));
        }
    }

    fn close(&mut self, peer: PeerId, why: CloseReason) {
        self.note("close", peer, 0);
        if !matches!(why, CloseReason::TooSlow { .. }) {
            self.stage.fail(Oracle::Peace, format!("{peer} was closed: {why}"));
        }
        let Some((id, end)) = self.end_mut(peer) else { return };
        if end.state == EndState::Closing {
            return self.stage.fail(Oracle::Peace, format!("{peer} was closed twice"));
        }
        end.state = EndState::Closing;
        self.stage.cut(id.conn, NOTICE_MAX);
    }

    fn wake_recv(&mut self, ctx: CtxId) {
        self.body.wake(ctx, Side::Recv, self.stage);
    }

    fn wake_send(&mut self, ctx: CtxId) {
        self.body.wake(ctx, Side::Send, self.stage);
    }

    fn recv_waits(&self, ctx: CtxId) -> bool {
        self.body.waits(ctx, Side::Recv)
    }

    fn send_waits(&self, ctx: CtxId) -> bool {
        self.body.waits(ctx, Side::Send)
    }

    fn arm(&mut self, key: TimerKey, at: Instant) {
        let at = self.stage.nanos(at);
        self.body.timers.insert(key, at);
        let late = self.stage.delay();
        let due = at.max(self.stage.now).saturating_add(nanos(late));
        self.stage.schedule_at(due, Event::Timer(self.body.place, key, at));
    }

    fn count(&mut self, what: Counter) {
        self.stage.note(self.body.place.node, what.name(), [0, 0]);
        self.body.tally.count(what);
    }
}
