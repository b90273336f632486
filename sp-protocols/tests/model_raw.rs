//! The raw patterns against a list of what was taken from whom and a table of who has room.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_protocols::engine::raw::{self, RawOptions, Role, TwoWay};
use sp_protocols::engine::testing::{Effect, Rig, Unsent, with_words};
use sp_protocols::engine::{Counter, Effects as _, RecvBlocked, WhenFull};

#[derive(Clone, Debug)]
enum Op {
    Open(usize),
    Close(usize),
    Room(usize, usize),
    Arrive(usize, Vec<Vec<u8>>),
    Read(usize),
    Recv(bool),
    /// With the header of the message received so many before the last, or with one made up.
    Send(bool, Result<usize, Vec<u8>>),
    AbandonRecv,
    AbandonSend,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0_usize..4).prop_map(Op::Open),
        1 => any::<usize>().prop_map(Op::Close),
        4 => (any::<usize>(), 0_usize..4).prop_map(|(peer, room)| Op::Room(peer, room)),
        6 => (any::<usize>(), prop::collection::vec(payload(), 0..5))
            .prop_map(|(peer, messages)| Op::Arrive(peer, messages)),
        3 => any::<usize>().prop_map(Op::Read),
        8 => any::<bool>().prop_map(Op::Recv),
        6 => (any::<bool>(), 0_usize..3).prop_map(|(waits, which)| Op::Send(waits, Ok(which))),
        2 => (any::<bool>(), payload()).prop_map(|(waits, header)| Op::Send(waits, Err(header))),
        1 => Just(Op::AbandonRecv),
        1 => Just(Op::AbandonSend),
    ]
}

/// Mostly what some pattern can read.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::collection::vec(0_u32..12, 0..5);
    let ends = prop_oneof![8 => Just(Some(0x8000_0007)), 1 => Just(None)];
    (words, ends, prop::collection::vec(any::<u8>(), 0..3)).prop_map(|(mut words, end, body)| {
        words.extend(end);
        with_words(&words, body)
    })
}

/// How a pattern reads a message, written down once more and naively.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    /// So many bytes are header.
    Header(usize),
    TooFar,
    Broken,
}

fn read<R: Role>(payload: &[u8]) -> Read {
    let words: Vec<u32> =
        payload.chunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
    let end = words.iter().position(|word| word >> 31 == 1);
    match R::SELF.0 {
        0x30 | 0x62 => end.map_or(Read::Broken, |end| Read::Header(4 * end + 4)),
        0x31 | 0x63 => match end {
            Some(end) if end < TTL => Read::Header(4 * end + 4),
            None if words.len() < TTL => Read::Broken,
            _ => Read::TooFar,
        },
        0x11 => match words.first() {
            Some(&hops) if hops as usize <= TTL => Read::Header(4),
            Some(0..256) => Read::TooFar,
            _ => Read::Broken,
        },
        _ => Read::Header(0),
    }
}

/// The engine, and beside it what it should do.
struct Model<R> {
    rig: Rig<TwoWay<R>>,
    when_full: WhenFull,
    inbox: VecDeque<(PeerId, Vec<u8>, usize)>,
    /// Peers with what is to come from them; the engine has not closed them.
    peers: Vec<(PeerId, VecDeque<Vec<u8>>)>,
    /// What headers have called each, the gone included.
    words: BTreeMap<u32, PeerId>,
    headers: Vec<Vec<u8>>,
}

impl<R: Role> Model<R> {
    fn pairs() -> bool {
        matches!(R::SELF.0, 0x10 | 0x11)
    }

    fn names_peers() -> bool {
        matches!(R::SELF.0, 0x31 | 0x63 | 0x70)
    }

    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        let count = self.peers.len().max(1);
        match op {
            Op::Open(room) if !Self::pairs() || self.peers.is_empty() => {
                self.peers.push((self.rig.peer_with_room(room), VecDeque::new()));
            }
            Op::Close(which) if which % count < self.peers.len() => {
                let (peer, _) = self.peers.remove(which % count);
                self.rig.close(peer);
            }
            Op::Room(which, more) => {
                if let Some((peer, _)) = self.peers.get(which % count) {
                    self.rig.set_room(*peer, self.rig.world.room_of(*peer) + more);
                }
            }
            Op::Arrive(which, messages) => self.arrive(which % count, messages)?,
            Op::Read(which) => self.arrive(which % count, Vec::new())?,
            Op::Recv(waits) => self.recv(waits)?,
            Op::Send(waits, Ok(which)) => {
                let at = self.headers.len().checked_sub(which + 1);
                if let Some(header) = at.map(|at| self.headers[at].clone()) {
                    self.send(waits, header)?;
                }
            }
            Op::Send(waits, Err(header)) => self.send(waits, header)?,
            Op::AbandonRecv => self.rig.abandon_recv(CtxId::MAIN),
            Op::AbandonSend => self.rig.abandon_send(CtxId::MAIN),
            _ => {}
        }
        self.settle()
    }

    fn arrive(&mut self, at: usize, messages: Vec<Vec<u8>>) -> Result<(), TestCaseError> {
        let Some((peer, backlog)) = self.peers.get_mut(at) else { return Ok(()) };
        let peer = *peer;
        backlog.extend(messages.iter().cloned());
        let is_read = self.rig.world.is_read(peer);
        self.rig.world.take_effects();
        let _ = self.rig.arrive(peer, messages);
        let mut counted = Vec::new();
        while is_read
            && (self.inbox.len() < QUEUE || self.when_full != WhenFull::Block)
            && let Some(payload) = backlog.pop_front()
        {
            match read::<R>(&payload) {
                Read::Header(len) => {
                    self.inbox.push_back((peer, payload, len));
                    if self.inbox.len() > QUEUE {
                        let is_oldest = self.when_full == WhenFull::DropOldest;
                        self.inbox.remove(if is_oldest { 0 } else { QUEUE });
                        counted.push(Counter::DroppedOnReceive);
                    }
                }
                Read::TooFar => counted.push(Counter::HopLimit),
                Read::Broken => {
                    self.peers.remove(at);
                    let closed = |effect: &Effect| matches!(effect, Effect::Close(..));
                    prop_assert!(self.rig.world.take_effects().iter().any(closed));
                    return Ok(());
                }
            }
        }
        let left = backlog.len();
        let mut found = self.rig.counted();
        found.sort();
        counted.sort();
        prop_assert_eq!(found, counted);
        prop_assert_eq!(self.rig.world.backlog_of(peer), left);
        Ok(())
    }

    fn recv(&mut self, waits: bool) -> Result<(), TestCaseError> {
        let got = if waits { self.rig.recv_waiting(CtxId::MAIN) } else { self.rig.recv() };
        let Some((peer, payload, header_len)) = self.inbox.pop_front() else {
            prop_assert_eq!(got, Err(RecvBlocked::Empty));
            return Ok(());
        };
        let mut msg = got.unwrap();
        prop_assert_eq!(msg.source(), Some(peer));
        self.headers.push(msg.header().to_vec());
        if Self::names_peers() {
            let word = msg.pop_header().unwrap();
            prop_assert!(word != 0 && word >> 31 == 0);
            prop_assert_eq!(*self.words.entry(word).or_insert(peer), peer);
        }
        let (header, body) = payload.split_at(header_len);
        prop_assert_eq!((msg.header(), msg.body()), (header, body));
        Ok(())
    }

    fn send(&mut self, waits: bool, header: Vec<u8>) -> Result<(), TestCaseError> {
        let mut msg = Message::from("body");
        prop_assume!(msg.set_header(&header).is_ok());
        self.rig.world.take_effects();
        let room = |rig: &Rig<_>, peer| rig.world.room_of(peer) > 0;
        let before: Vec<_> =
            self.peers.iter().map(|(peer, _)| (*peer, room(&self.rig, *peer))).collect();
        let with_room: Vec<_> = before.iter().filter(|(_, room)| *room).map(|(p, _)| *p).collect();
        let sent = if waits { self.rig.send_waiting(CtxId::MAIN, msg) } else { self.rig.send(msg) };
        let effects = self.rig.world.take_effects();
        let mut to = Vec::new();
        let mut counted = Vec::new();
        for effect in effects {
            match effect {
                Effect::Transmit(peer, bytes) => {
                    prop_assert_eq!(bytes, [&self.wire(&header)[..], b"body"].concat());
                    to.push(peer);
                }
                Effect::Count(what) => counted.push(what),
                Effect::WakeSend(_) => {}
                other => prop_assert!(false, "{:?}", other),
            }
        }
        let first = header.first_chunk().map(|word| u32::from_be_bytes(*word));
        if !self.may_send(&header) {
            prop_assert!(matches!(sent, Err(Unsent::Header(msg)) if msg.header() == header));
            prop_assert!(to.is_empty() && counted.is_empty());
            return Ok(());
        }
        match R::SELF.0 {
            0x31 | 0x63 => {
                prop_assert!(sent.is_ok());
                let peer = first.and_then(|word| self.words.get(&word));
                let peer = before.iter().find(|(other, _)| Some(other) == peer);
                match peer {
                    // The model may not know yet what the peer is called.
                    None if to.len() == 1 => prop_assert!(with_room.contains(&to[0])),
                    None => prop_assert_eq!(counted.len(), 1),
                    Some((_, false)) => prop_assert_eq!(counted, [Counter::DroppedOnSend]),
                    Some((peer, true)) => prop_assert_eq!(to, [*peer]),
                }
            }
            0x62 | 0x70 => {
                prop_assert!(sent.is_ok());
                let except = first.filter(|_| R::SELF.0 == 0x70);
                let except = except.and_then(|word| self.words.get(&word)).copied();
                let wanted: Vec<_> =
                    with_room.iter().copied().filter(|peer| Some(*peer) != except).collect();
                prop_assert_eq!(to, wanted);
                let without = before.iter().filter(|(p, room)| !room && Some(*p) != except);
                prop_assert_eq!(counted, vec![Counter::DroppedOnSend; without.count()]);
            }
            _ => {
                prop_assert!(counted.is_empty());
                prop_assert_eq!(sent.is_ok(), !with_room.is_empty());
                prop_assert_eq!(to.len(), usize::from(sent.is_ok()));
                prop_assert!(to.iter().all(|peer| with_room.contains(peer)));
                if let Err(Unsent::Full(msg)) = sent {
                    prop_assert_eq!((msg.header(), msg.body()), (&header[..], &b"body"[..]));
                }
            }
        }
        Ok(())
    }

    fn may_send(&self, header: &[u8]) -> bool {
        match R::SELF.0 {
            0x30 | 0x62 => read::<R>(header) == Read::Header(header.len()),
            0x11 => header.len() == 4 && header[..3] == [0; 3] && header[3] < 255,
            0x70 => header.is_empty() || header.len() >= 4,
            _ => true,
        }
    }

    /// What of a header goes out.
    fn wire(&self, header: &[u8]) -> Vec<u8> {
        match R::SELF.0 {
            0x30 | 0x62 => header.to_vec(),
            0x31 | 0x63 => header[4..].to_vec(),
            0x11 => vec![0, 0, 0, header[3] + 1],
            _ => Vec::new(),
        }
    }

    /// Woken calls try again; then nobody waits beside what it waits for.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        while self.rig.world.woken_recv().is_some() {
            self.recv(true)?;
        }
        while self.rig.world.woken_send().is_some() {
            self.send(true, self.sendable())?;
        }
        if self.rig.world.recv_waits(CtxId::MAIN) {
            prop_assert!(self.inbox.is_empty(), "a receive waits beside a message");
        }
        if self.rig.world.send_waits(CtxId::MAIN) {
            let room = self.peers.iter().any(|(peer, _)| self.rig.world.room_of(*peer) > 0);
            prop_assert!(!room, "a send waits beside room");
        }
        let can_bring = |(peer, backlog): &(PeerId, VecDeque<_>)| {
            self.rig.world.is_read(*peer) && !backlog.is_empty()
        };
        let any_paused = self.peers.iter().any(|(peer, _)| !self.rig.world.is_read(*peer));
        if any_paused && self.inbox.len() <= QUEUE / 2 {
            prop_assert!(self.peers.iter().any(can_bring), "all are paused beside room");
        }
        Ok(())
    }

    /// A header that this pattern sends.
    fn sendable(&self) -> Vec<u8> {
        match R::SELF.0 {
            0x11 => with_words(&[1], ""),
            _ => with_words(&[0x8000_0007], ""),
        }
    }
}

fn run<R: Role>(when_full: WhenFull, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let options = RawOptions::new().ttl(TTL as u8).queue(QUEUE).when_full(when_full);
    let mut model = Model::<R> {
        rig: Rig::with(options),
        when_full,
        inbox: VecDeque::new(),
        peers: Vec::new(),
        words: BTreeMap::new(),
        headers: Vec::new(),
    };
    for op in ops {
        model.apply(op)?;
    }
    // Nothing of a live peer stays behind.
    while !model.inbox.is_empty() || model.peers.iter().any(|(_, backlog)| !backlog.is_empty()) {
        for at in (0..model.peers.len()).rev() {
            model.arrive(at, Vec::new())?;
        }
        model.apply(Op::Recv(false))?;
    }
    Ok(())
}

macro_rules! models {
    ($($name:ident: $role:ty;)*) => {
        proptest! {$(
            #[test]
            fn $name(
                when_full in prop::sample::select(vec![
                    WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block,
                ]),
                ops in prop::collection::vec(op(), 0..80),
            ) {
                run_of::<$role>(when_full, ops)?;
            }
        )*}
    };
}

/// By the engine's name, for that is what programs know.
trait Raw {
    type Role: Role;
}

impl<R: Role> Raw for TwoWay<R> {
    type Role = R;
}

fn run_of<E: Raw>(when_full: WhenFull, ops: Vec<Op>) -> Result<(), TestCaseError> {
    run::<E::Role>(when_full, ops)
}

models! {
    raw_req_agrees_with_lists: raw::Req;
    raw_rep_agrees_with_lists: raw::Rep;
    raw_surveyor_agrees_with_lists: raw::Surveyor;
    raw_respondent_agrees_with_lists: raw::Respondent;
    raw_pair0_agrees_with_lists: raw::Pair;
    raw_pair1_agrees_with_lists: raw::Pair1;
    raw_bus_agrees_with_lists: raw::Bus;
}

const TTL: usize = 4;
const QUEUE: usize = 3;
