//! The network as data: who dials whom, and the connections between them.

use std::cell::Cell;
use std::collections::VecDeque;

use sp_core::id::PeerId;
use sp_core::message::Message;
use sp_core::pipe::Backlog;

use crate::route::{Asking, Route};

/// One life of one node: a node that has crashed comes back as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) node: usize,
    pub(crate) life: u32,
}

/// Who dials whom, again and again.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) dialer: usize,
    pub(crate) listener: usize,
    pub(crate) asking: Option<Asking>,
    /// The connection as long as the dialer has its end of it.
    pub(crate) conn: Option<usize>,
    /// The node that had as many peers as it may: there is no other try until it has one less.
    pub(crate) refused_by: Option<usize>,
}

/// Names one end of a connection: side 0 is the dialer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndId {
    pub(crate) conn: usize,
    pub(crate) side: usize,
}

impl EndId {
    pub(crate) const fn other(self) -> Self {
        Self { conn: self.conn, side: 1 - self.side }
    }
}

/// One connection: a stream each way, which loses nothing and swaps nothing until it is cut.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) edge: usize,
    pub(crate) ends: [End; 2],
    pub(crate) route: Option<Route>,
    /// Nothing passes any more.
    pub(crate) is_cut: bool,
}

/// How far a node is with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndState {
    /// The engine has not heard of it.
    Opening,
    Open,
    /// The engine has closed it and has not heard of its end.
    Closing,
    Gone,
}

/// One end: what its node sends, and what has come for it.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) place: Place,
    pub(crate) state: EndState,
    /// What its engine calls it, once open.
    pub(crate) peer: Option<PeerId>,

    /// What was transmitted and has not left.
    pub(crate) queue: VecDeque<Message>,
    pub(crate) capacity: usize,
    /// What was broadcast and has not left.
    pub(crate) backlog: VecDeque<Message>,
    pub(crate) has_joined: bool,
    /// What may wait of what is broadcast, once the end has joined for the first time.
    pub(crate) limit: Option<Backlog>,
    /// The engine has been told that there is no room, and is owed an event.
    pub(crate) owes_room: Cell<bool>,
    /// It is about to hear that there is room.
    pub(crate) is_telling_room: bool,
    pub(crate) is_carrying: bool,
    pub(crate) stalled_until: u64,

    /// What has come and has not been taken.
    pub(crate) inbox: VecDeque<Message>,
    pub(crate) window: usize,
    pub(crate) is_paused: bool,
    /// It was resumed before the pause was known, in the same call.
    pub(crate) was_resumed: bool,
    pub(crate) is_reading: bool,
    pub(crate) deaf_until: u64,
}

impl End {
    pub(crate) const fn new(place: Place, capacity: usize, window: usize) -> Self {
        Self {
            place,
            state: EndState::Opening,
            peer: None,
            queue: VecDeque::new(),
            capacity,
            backlog: VecDeque::new(),
            has_joined: false,
            limit: None,
            owes_room: Cell::new(false),
            is_telling_room: false,
            is_carrying: false,
            stalled_until: 0,
            inbox: VecDeque::new(),
            window,
            is_paused: false,
            was_resumed: false,
            is_reading: false,
            deaf_until: 0,
        }
    }

    /// Whether another message may be transmitted, or wait if the end has joined.
    pub(crate) fn has_room(&self) -> bool {
        let Some(limit) = self.limit else { return self.queue.len() < self.capacity };
        let cost = |msg: &Message| (msg.payload_len() + Backlog::OVERHEAD) as u64;
        limit.has_room(self.backlog.len() as u64, self.backlog.iter().map(cost).sum())
    }

    /// Whether there is room and the engine knows.
    pub(crate) fn is_usable(&self) -> bool {
        self.is_open() && self.has_room() && !self.owes_room.get() && !self.is_telling_room
    }

    /// Takes the next message that leaves.
    pub(crate) fn next_out(&mut self) -> Option<Message> {
        self.queue.pop_front().or_else(|| self.backlog.pop_front())
    }

    /// Messages that wait to leave.
    pub(crate) fn unsent(&self) -> usize {
        self.queue.len() + self.backlog.len()
    }

    /// Whether messages may be sent to it.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state, EndState::Open)
    }

    /// Whether the engine knows of this end.
    pub(crate) const fn is_known(&self) -> bool {
        matches!(self.state, EndState::Open | EndState::Closing)
    }
}

/// Everything there is between the nodes.
#[derive(Debug, Default)]
pub(crate) struct Net {
    pub(crate) edges: Vec<Edge>,
    pub(crate) conns: Vec<Conn>,
    /// When an engine heard of a connection last.
    pub(crate) opened_at: u64,
}

impl Net {
    pub(crate) fn end(&self, id: EndId) -> &End {
        &self.conns[id.conn].ends[id.side]
    }

    pub(crate) fn end_mut(&mut self, id: EndId) -> &mut End {
        &mut self.conns[id.conn].ends[id.side]
    }

    /// Every end that some node has.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (EndId, &End)> {
        let conns = self.conns.iter().enumerate();
        let ends = conns.flat_map(|(conn, link)| {
            link.ends.iter().enumerate().map(move |(side, end)| (EndId { conn, side }, end))
        });
        ends.filter(|(_, end)| end.state != EndState::Gone)
    }

    /// Whether `edge` is not connected because one of its nodes has another peer in its place.
    pub(crate) fn is_refused(&self, edge: &Edge) -> bool {
        let has_peer = |node| self.ends().any(|(_, end)| end.place.node == node && end.is_open());
        edge.refused_by.is_some_and(has_peer)
    }

    /// Whether the connection of `edge` is there, and open at both ends.
    pub(crate) fn is_connected(&self, edge: &Edge) -> bool {
        edge.conn.map(|conn| &self.conns[conn]).is_some_and(|conn| {
            !conn.is_cut && conn.ends.iter().all(|end| end.state == EndState::Open)
        })
    }
}
