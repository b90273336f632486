//! How connections come, carry and go.

use std::time::Duration;

use sp_core::batch::Batch;
use sp_core::id::PeerId;
use sp_core::message::Message;
use sp_core::pipe::Flow;

use crate::faults::Fault;
use crate::net::{Conn, Edge, End, EndId, EndState, Place};
use crate::oracle::Oracle;
use crate::route::Route;
use crate::stage::{Event, Stage};

impl Stage {
    /// The dialer of `edge` tries to connect; if it comes to nothing, again later.
    pub(crate) fn dial(&mut self, edge: usize) {
        let Edge { dialer, listener, asking, conn, .. } = self.net.edges[edge];
        if conn.is_some() {
            return;
        }
        self.net.edges[edge].refused_by = None;
        let place = |stage: &Self, node: usize| {
            let life = stage.hosts[node].life?;
            Some(Place { node, life })
        };
        // A dialer that is down dials when it is up again.
        let Some(here) = place(self, dialer) else { return };
        let Some(there) = place(self, listener) else { return self.redial(edge) };
        let id = self.net.conns.len();
        let detours = self.faults.has(Fault::Detour);
        let route = asking.map(|asking| Route::draw(asking, detours, &mut self.luck));
        let ends = [here, there].map(|place| {
            let capacity = 1 + self.luck.small(CAPACITY_MAX) as usize;
            let window = 1 + self.luck.small(CAPACITY_MAX) as usize;
            End::new(place, capacity, window)
        });
        self.net.conns.push(Conn { edge, ends, route, is_cut: false });
        self.net.edges[edge].conn = Some(id);
        for side in [0, 1] {
            let after = self.delay();
            self.schedule(after, Event::Open(EndId { conn: id, side }));
        }
        self.note(dialer, "connect", [listener as u64, id as u64]);
    }

    fn redial(&mut self, edge: usize) {
        let after = self.luck.upto(BACKOFF_MAX);
        self.schedule(after, Event::Dial(edge));
    }

    /// From now on nothing passes a connection; its ends hear of it after at most `notice`.
    pub(crate) fn cut(&mut self, conn: usize, notice: Duration) {
        if std::mem::replace(&mut self.net.conns[conn].is_cut, true) {
            return;
        }
        self.note(usize::MAX, "cut", [conn as u64, 0]);
        for side in [0, 1] {
            let end = EndId { conn, side };
            if self.net.end(end).state != EndState::Gone {
                let after = self.luck.upto(notice);
                self.schedule(after, Event::Closed(end));
            }
        }
    }

    /// An end is no more, and what it held is lost.
    pub(crate) fn end_gone(&mut self, id: EndId) {
        let end = self.net.end_mut(id);
        let (was_known, node) = (end.is_known(), end.place.node);
        end.state = EndState::Gone;
        end.queue.clear();
        end.backlog.clear();
        end.inbox.clear();
        let edge = self.net.conns[id.conn].edge;
        if id.side == 0 {
            self.net.edges[edge].conn = None;
            if self.net.edges[edge].refused_by.is_none() {
                self.redial(edge);
            }
        }
        if was_known {
            self.one_less(node);
        }
    }

    /// The engine at `id`, of which it has just heard, has as many peers as it may.
    ///
    /// A real dialer goes on trying. This one waits until there is a place, so that there is rest.
    pub(crate) fn refused(&mut self, id: EndId) {
        let end = self.net.end_mut(id);
        let node = end.place.node;
        (end.state, end.peer) = (EndState::Opening, None);
        self.net.edges[self.net.conns[id.conn].edge].refused_by = Some(node);
        self.note(node, "refuse", [id.conn as u64, 0]);
        self.cut(id.conn, NOTICE_MAX);
        self.end_gone(id);
    }

    /// A node has one peer less: whom it has refused may try again.
    fn one_less(&mut self, node: usize) {
        for edge in 0..self.net.edges.len() {
            let Edge { refused_by, conn, .. } = &mut self.net.edges[edge];
            let waits = conn.is_none();
            if refused_by.take_if(|by| *by == node).is_some() && waits {
                self.redial(edge);
            }
        }
    }

    /// Something waits at `id`: it leaves soon.
    pub(crate) fn carry_soon(&mut self, id: EndId) {
        let end = self.net.end_mut(id);
        if end.unsent() > 0 && !std::mem::replace(&mut end.is_carrying, true) {
            let after = self.delay();
            self.schedule(after, Event::Carry(id));
        }
    }

    /// Moves what waits at `id` to the other end, or a part of it.
    pub(crate) fn carry(&mut self, id: EndId) {
        self.net.end_mut(id).is_carrying = false;
        let conn = &self.net.conns[id.conn];
        let (from, to) = (&conn.ends[id.side], &conn.ends[1 - id.side]);
        let fits = from.unsent().min(to.window.saturating_sub(to.inbox.len()));
        if conn.is_cut || fits == 0 {
            // If there is no room, the end that makes some carries on.
            return;
        }
        if from.stalled_until > self.now {
            self.net.end_mut(id).is_carrying = true;
            return self.schedule_at(self.net.end(id).stalled_until, Event::Carry(id));
        }
        let node = from.place.node;
        let partial = self.faults.has(Fault::Partial) && self.luck.one_in(2);
        let moved = if partial { self.luck.within(1, fits as u64) } else { fits as u64 };
        for _ in 0..moved {
            self.carry_one(id);
        }
        self.note(node, "carry", [id.conn as u64, moved]);
        self.room_soon(id);
        self.carry_soon(id);
        self.read_soon(id.other());
    }

    fn carry_one(&mut self, id: EndId) {
        let conn = &mut self.net.conns[id.conn];
        let from = &mut conn.ends[id.side];
        let broadcasts = from.backlog.len();
        let Some(msg) = from.next_out() else { return };
        let left = (broadcasts - from.backlog.len()) as u64;
        self.hosts[from.place.node].carried += left;
        let passed = match &mut conn.route {
            None => Ok(msg.payload().to_vec()),
            Some(route) => route.pass(id.side, msg.payload()),
        };
        match passed {
            Ok(payload) => conn.ends[1 - id.side].inbox.push_back(Message::from_payload(&payload)),
            Err(failure) => self.fail_with(failure),
        }
    }

    /// If there is room at `id` again, and its engine is owed that, it hears of it soon.
    pub(crate) fn room_soon(&mut self, id: EndId) {
        let end = self.net.end_mut(id);
        if end.has_room() && end.owes_room.replace(false) {
            end.is_telling_room = true;
            let after = self.delay();
            self.schedule(after, Event::Room(id));
        }
    }

    /// Something has come to `id`: its engine gets it soon, unless it does not want to.
    pub(crate) fn read_soon(&mut self, id: EndId) {
        let end = self.net.end_mut(id);
        let wanted = end.is_known() && !end.is_paused && !end.inbox.is_empty();
        if wanted && !std::mem::replace(&mut end.is_reading, true) {
            let after = self.delay();
            self.schedule(after, Event::Read(id));
        }
    }

    /// What the engine at `id` gets now.
    pub(crate) fn take_batch(&mut self, id: EndId) -> Option<(PeerId, Batch)> {
        let partial = self.faults.has(Fault::Partial) && self.luck.one_in(2);
        let now = self.now;
        let end = self.net.end_mut(id);
        end.is_reading = false;
        let peer = end.peer.filter(|_| end.is_known() && !end.is_paused)?;
        if end.inbox.is_empty() {
            return None;
        }
        if end.deaf_until > now {
            end.is_reading = true;
            let at = end.deaf_until;
            self.schedule_at(at, Event::Read(id));
            return None;
        }
        let all = end.inbox.len();
        let taken = if partial { self.luck.within(1, all as u64) as usize } else { all };
        let end = self.net.end_mut(id);
        end.was_resumed = false;
        let mut batch = Batch::new();
        for mut msg in end.inbox.drain(..taken) {
            msg.set_source(Some(peer));
            batch.push(msg);
        }
        Some((peer, batch))
    }

    /// What the engine at `id` has left, and what it has said.
    pub(crate) fn give_back(&mut self, id: EndId, mut left: Batch, flow: Flow) {
        if (flow == Flow::Pause) == left.is_empty() {
            let what = format!("the answer is {flow:?}, and {} messages are left", left.len());
            self.fail(Oracle::Flow, what);
        }
        let end = self.net.end_mut(id);
        end.is_paused = flow == Flow::Pause && !end.was_resumed;
        let rest: Vec<Message> = std::iter::from_fn(|| left.pop()).collect();
        rest.into_iter().rev().for_each(|msg| end.inbox.push_front(msg));
        self.read_soon(id);
        self.carry_soon(id.other());
    }
}

/// Messages in a queue: from one to some dozens.
const CAPACITY_MAX: u64 = 64;

/// Until both sides have heard of a connection that one of them does not want.
pub(crate) const NOTICE_MAX: Duration = Duration::from_secs(1);

/// Between two tries of a dialer.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
