//! The log against one naive list per pipe, and what it holds.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sp_core::id::Id as _;

use super::chunk::Mark;
use super::log::Log;
use super::*;
use crate::wire::ws::Side;

/// What a pipe has been handed, as a kernel would see it: bytes, read back as frames at the end.
#[derive(Default)]
struct Reader {
    key: usize,
    limit: Option<Backlog>,
    joined: bool,
    /// Taken and not yet written: the writes hold shares of chunks.
    flight: VecDeque<Piece>,
    wire: Vec<u8>,
    /// The model: what waits, by number and length.
    waiting: VecDeque<(u64, usize)>,
    /// The model: what should have been handed over.
    taken: Vec<u64>,
    missed: usize,
    owed: bool,
}

impl Reader {
    fn has_room(&self) -> bool {
        let cost = self.waiting.iter().map(|(_, len)| (len + Backlog::OVERHEAD) as u64).sum();
        self.limit.is_some_and(|limit| limit.has_room(self.waiting.len() as u64, cost))
    }

    fn write(&mut self, pieces: usize) {
        for piece in self.flight.drain(..pieces.min(self.flight.len())) {
            self.wire.extend_from_slice(piece.bytes());
        }
    }

    /// The numbers of the messages on the wire; each must be whole.
    fn read(&self, framing: Framing) -> Vec<u64> {
        let mut rest = &self.wire[..];
        let mut numbers = Vec::new();
        while !rest.is_empty() {
            let len = framing.decode_header(rest, None).unwrap().expect("a whole header");
            let (payload, next) = rest[framing.header_bytes(len)..].split_at(len);
            let number = u64::from_be_bytes(payload[..8].try_into().unwrap());
            assert_eq!(payload[8..], body(number, len)[8..], "message {number}");
            numbers.push(number);
            rest = next;
        }
        numbers
    }
}

fn body(number: u64, len: usize) -> Vec<u8> {
    let mut body = vec![number as u8; len];
    body[..8].copy_from_slice(&number.to_be_bytes());
    body
}

#[derive(Clone, Debug)]
enum Op {
    Join(usize, usize, usize),
    Leave(usize),
    Publish(usize),
    Release,
    Load(usize),
    Write(usize, usize),
    DropOldest(usize),
    Room(usize),
    Retire(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![6 => 8_usize..300, 2 => 300_usize..9000, 1 => 16_000_usize..40_000];
    prop_oneof![
        2 => (0_usize..5, 1_usize..40, 1_usize..100_000).prop_map(|(r, m, b)| Op::Join(r, m, b)),
        1 => (0_usize..5).prop_map(Op::Leave),
        9 => len.prop_map(Op::Publish),
        3 => Just(Op::Release),
        4 => (0_usize..5).prop_map(Op::Load),
        4 => (0_usize..5, 1_usize..5).prop_map(|(r, n)| Op::Write(r, n)),
        2 => (0_usize..5).prop_map(Op::DropOldest),
        1 => (0_usize..5).prop_map(Op::Room),
        1 => (0_usize..5).prop_map(Op::Retire),
    ]
}

fn peer(number: usize) -> PeerId {
    PeerId::from_parts(number as u32, 0)
}

/// Framings that the test can take apart: what is masked, it cannot.
const READABLE: [Framing; 3] =
    [Framing::Length, Framing::TypeAndLength, Framing::WebSocket(Side::Listener)];

proptest! {
    #[test]
    fn every_pipe_gets_whole_frames_in_order_and_misses_exactly_what_is_counted(
        framing in prop::sample::select(&READABLE[..]),
        ops in prop::collection::vec(op(), 0..150),
    ) {
        let mut log = Log::new(framing);
        let mut readers = BTreeMap::<usize, Reader>::new();
        let mut published = 0;
        for op in ops {
            match op {
                Op::Join(which, messages, bytes) => {
                    let limit = Backlog { messages, bytes };
                    let reader = readers.entry(which).or_insert_with(|| Reader {
                        key: log.add(peer(which), limit),
                        ..Reader::default()
                    });
                    log.join(reader.key, limit);
                    reader.joined = true;
                    reader.limit = Some(limit);
                }
                Op::Leave(which) => if let Some(reader) = readers.get_mut(&which) {
                    log.leave(reader.key);
                    reader.joined = false;
                }
                Op::Publish(len) => {
                    let slow = readers.iter().find(|(_, r)| r.joined && !r.has_room());
                    prop_assert_eq!(log.allowance().is_err(), slow.is_some());
                    log.append(&mut Message::from_slice(&body(published, len)));
                    for reader in readers.values_mut() {
                        if reader.joined {
                            reader.waiting.push_back((published, len));
                        } else {
                            reader.missed += 1;
                        }
                    }
                    published += 1;
                }
                Op::Release => log.release(),
                Op::Load(which) => if let Some(reader) = readers.get_mut(&which) {
                    let before = reader.flight.len();
                    let (_, ready) = log.waiting(reader.key);
                    let loaded = log.load(reader.key, &mut reader.flight);
                    let pieces = reader.flight.range(before..);
                    prop_assert_eq!(pieces.map(|piece| piece.bytes().len()).sum::<usize>(), loaded.bytes);
                    prop_assert_eq!(ready > 0, loaded.bytes > 0, "what is ready can be taken");
                    // What was handed over comes off the model's list.
                    let mut bytes = loaded.bytes;
                    while bytes > 0 {
                        let (number, len) = reader.waiting.pop_front().unwrap();
                        reader.taken.push(number);
                        bytes -= framing.header_bytes(len) + len;
                    }
                    prop_assert_eq!(loaded.room, reader.owed && reader.has_room());
                    reader.owed &= !loaded.room;
                }
                Op::Write(which, pieces) => if let Some(reader) = readers.get_mut(&which) {
                    reader.write(pieces);
                }
                Op::DropOldest(which) => if let Some(reader) = readers.get_mut(&which) {
                    let mut dropped = 0;
                    while !reader.has_room() && reader.waiting.pop_front().is_some() {
                        dropped += 1;
                    }
                    prop_assert_eq!(log.drop_oldest(reader.key), dropped);
                }
                Op::Room(which) => if let Some(reader) = readers.get_mut(&which) {
                    let room = reader.has_room();
                    prop_assert_eq!(log.room(reader.key), room);
                    reader.owed |= !room;
                }
                Op::Retire(which) => if let Some(mut reader) = readers.remove(&which) {
                    log.retire(reader.key);
                    prop_assert_eq!(log.standing(reader.key).waiting, reader.waiting.len() as u64);
                    prop_assert_eq!(log.waiting(reader.key), (0, 0));
                    reader.write(usize::MAX);
                    prop_assert_eq!(reader.read(framing), reader.taken);
                    log.remove(reader.key);
                }
            }
            for reader in readers.values() {
                let standing = log.standing(reader.key);
                prop_assert_eq!(standing.waiting, reader.waiting.len() as u64);
                prop_assert_eq!(standing.sent, reader.taken.len() as u64);
                let waiting = reader.waiting.iter().map(|(_, len)| len + framing.header_bytes(0));
                prop_assert_eq!(log.waiting(reader.key).0, waiting.sum::<usize>());
            }
        }
        // Everybody takes the rest; then the log is empty.
        log.release();
        for reader in readers.values_mut() {
            while log.load(reader.key, &mut reader.flight).bytes > 0 {}
            reader.write(usize::MAX);
            reader.taken.extend(reader.waiting.drain(..).map(|(number, _)| number));
            prop_assert_eq!(reader.read(framing), &reader.taken[..]);
        }
        prop_assert_eq!(log.chunks(), 0);
        prop_assert_eq!(log.caught_up(), readers.values().filter(|reader| reader.joined).count());
    }
}

/// A log with one pipe that has joined with a limit of `messages`.
fn followed(messages: usize) -> (Log, usize) {
    let mut log = Log::new(Framing::Length);
    let limit = Backlog { messages, bytes: usize::MAX };
    let key = log.add(peer(0), limit);
    log.join(key, limit);
    (log, key)
}

fn publish(log: &mut Log, len: usize) {
    log.append(&mut Message::from_slice(&vec![1; len]));
}

#[test]
fn what_nobody_follows_is_not_kept() {
    let (mut log, key) = followed(1);
    log.leave(key);
    publish(&mut log, 100);
    assert_eq!((log.chunks(), log.waiting(key)), (0, (0, 0)));
}

#[test]
fn only_what_is_released_is_taken() {
    let (mut log, key) = followed(9);
    let mut flight = VecDeque::new();
    publish(&mut log, 100);
    assert_eq!(log.load(key, &mut flight).bytes, 0);
    log.release();
    publish(&mut log, 100);
    assert_eq!(log.waiting(key), (216, 108));
    assert_eq!(log.load(key, &mut flight).bytes, 108);
    assert_eq!(log.load(key, &mut flight).bytes, 0);
}

#[test]
fn a_chunk_goes_on_being_filled_once_it_is_written() {
    let (mut log, key) = followed(9);
    let limit = Backlog { messages: 9, bytes: usize::MAX };
    let stalled = log.add(peer(1), limit);
    log.join(stalled, limit);
    let mut flight = VecDeque::new();
    publish(&mut log, 100);
    log.release();
    assert_eq!(log.load(key, &mut flight).bytes, 108);
    publish(&mut log, 100);
    assert_eq!(log.chunks(), 2, "the first is being written");
    log.release();
    assert_eq!(log.load(key, &mut flight).bytes, 108);
    flight.clear();
    publish(&mut log, 100);
    assert_eq!(log.chunks(), 2, "nobody writes any more");
}

#[test]
fn a_stalled_pipe_that_loses_its_oldest_holds_no_more_than_its_limit() {
    let (mut log, stalled) = followed(100);
    let limit = Backlog { messages: 100, bytes: usize::MAX };
    let fast = log.add(peer(1), limit);
    log.join(fast, limit);
    let mut flight = VecDeque::new();
    let mut dropped = 0;
    for _ in 0..100_000 {
        dropped += log.drop_oldest(stalled);
        publish(&mut log, 200);
        log.release();
        // Written at once: a chunk for each message would be the worst.
        assert_eq!(log.load(fast, &mut flight).bytes, 208);
        flight.clear();
        assert!(log.chunks() <= 100 * 208 / 4096 + 2, "{} chunks", log.chunks());
    }
    assert_eq!(dropped, 100_000 - 100);
}

#[test]
fn a_pipe_that_missed_the_newest_holds_no_chunk_of_those() {
    let (mut log, stalled) = followed(100);
    let limit = Backlog { messages: 100, bytes: usize::MAX };
    let fast = log.add(peer(1), limit);
    log.join(fast, limit);
    let mut flight = VecDeque::new();
    for number in 0..1000 {
        if number == 100 {
            assert_eq!(log.allowance(), Err(peer(0)));
            log.leave(stalled);
        }
        publish(&mut log, 200);
        log.release();
        while log.load(fast, &mut flight).bytes > 0 {}
        flight.clear();
    }
    assert_eq!(log.chunks(), 0, "what the stalled pipe has is its own");
    assert_eq!(log.standing(stalled).waiting, 100);
}

#[test]
fn an_allowance_is_what_the_slowest_has_room_for() {
    let (mut log, slow) = followed(100);
    let limit = Backlog { messages: 50, bytes: 10_000 };
    let fast = log.add(peer(1), limit);
    log.join(fast, limit);
    let mut flight = VecDeque::new();
    for published in 0..99 {
        let slowest = (100 - published).min(50);
        assert_eq!(log.allowance(), Ok(Allowance { messages: slowest, bytes: 10_000 }));
        publish(&mut log, 8);
        log.release();
        log.load(fast, &mut flight);
    }
    publish(&mut log, 8);
    assert_eq!(log.allowance(), Err(peer(0)));
    log.leave(slow);
    assert_eq!(log.allowance().map(|allowance| allowance.messages), Ok(49));
}

#[test]
fn a_mark_costs_what_messages_cost_elsewhere() {
    let mark = Mark { messages: 3, payload: 100 };
    assert_eq!(mark.cost(), 100 + 3 * size_of::<Message>() as u64);
}
