use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::id::Id;
use crate::pool::PoolConfig;

#[derive(Clone, Debug)]
enum Op {
    Append(Vec<u8>),
    Prepend(Vec<u8>),
    Trim(usize),
    Chop(usize),
    Truncate(usize),
    Clear,
    Reserve(usize),
    Push(u32),
    Pop,
    Take,
    SetHeader(Vec<u8>),
    ClearHeader,
    AppendU16(u16),
    PrependU64(u64),
    TrimU32,
    ChopU64,
    Share,
    Clone,
}

fn op() -> impl Strategy<Value = Op> {
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
    prop_oneof![
        bytes(200).prop_map(Op::Append),
        bytes(20).prop_map(Op::Append),
        bytes(150).prop_map(Op::Prepend),
        (0..100_usize).prop_map(Op::Trim),
        (0..100_usize).prop_map(Op::Chop),
        (0..400_usize).prop_map(Op::Truncate),
        Just(Op::Clear),
        (0..1000_usize).prop_map(Op::Reserve),
        any::<u32>().prop_map(Op::Push),
        Just(Op::Pop),
        Just(Op::Take),
        bytes(80).prop_map(Op::SetHeader),
        Just(Op::ClearHeader),
        any::<u16>().prop_map(Op::AppendU16),
        any::<u64>().prop_map(Op::PrependU64),
        Just(Op::TrimU32),
        Just(Op::ChopU64),
        Just(Op::Share),
        Just(Op::Clone),
    ]
}

/// What a message is, said as plainly as possible.
#[derive(Clone, Debug, Default)]
struct Model {
    header: Vec<u8>,
    body: Vec<u8>,
}

impl Model {
    /// Removes and returns `n` bytes of the body from `at`, if it has them.
    fn cut(&mut self, n: usize, from_end: bool) -> Option<Vec<u8>> {
        let at = if from_end { self.body.len().checked_sub(n)? } else { 0 };
        (n <= self.body.len()).then(|| self.body.drain(at..at + n).collect())
    }

    /// Applies `op` to both and checks that they answer alike.
    fn step(&mut self, msg: &mut Message, op: &Op) -> Result<(), TestCaseError> {
        match op {
            Op::Append(bytes) => {
                msg.append(bytes);
                self.body.extend(bytes);
            }
            Op::Prepend(bytes) => {
                msg.prepend(bytes);
                self.body.splice(..0, bytes.iter().copied());
            }
            Op::Trim(n) => prop_assert_eq!(msg.trim(*n).is_ok(), self.cut(*n, false).is_some()),
            Op::Chop(n) => prop_assert_eq!(msg.chop(*n).is_ok(), self.cut(*n, true).is_some()),
            Op::Truncate(n) => {
                msg.truncate(*n);
                self.body.truncate(*n);
            }
            Op::Clear => {
                msg.clear();
                self.body.clear();
            }
            Op::Reserve(n) => {
                msg.reserve(*n);
                prop_assert!(msg.capacity() >= self.body.len() + n);
            }
            Op::AppendU16(n) => {
                msg.append_u16(*n);
                self.body.extend(n.to_be_bytes());
            }
            Op::PrependU64(n) => {
                msg.prepend_u64(*n);
                self.body.splice(..0, n.to_be_bytes());
            }
            Op::TrimU32 => {
                let word =
                    self.cut(4, false).map(|b| b.iter().fold(0, |n, &b| n << 8 | u32::from(b)));
                prop_assert_eq!(msg.trim_u32(), word);
            }
            Op::ChopU64 => {
                let word =
                    self.cut(8, true).map(|b| b.iter().fold(0, |n, &b| n << 8 | u64::from(b)));
                prop_assert_eq!(msg.chop_u64(), word);
            }
            Op::Share | Op::Clone => {}
            header => self.step_header(msg, header)?,
        }
        Ok(())
    }

    fn step_header(&mut self, msg: &mut Message, op: &Op) -> Result<(), TestCaseError> {
        let word = |b: Vec<u8>| b.iter().fold(0, |n, &b| n << 8 | u32::from(b));
        let full = self.header.len() + 4 > Message::HEADER_MAX;
        match op {
            Op::Push(n) => {
                prop_assert_eq!(msg.push_header(*n), !full);
                if !full {
                    self.header.splice(..0, n.to_be_bytes());
                }
            }
            Op::Pop => {
                let top = (self.header.len() >= 4).then(|| word(self.header.drain(..4).collect()));
                prop_assert_eq!(msg.peek_header(), top);
                prop_assert_eq!(msg.pop_header(), top);
            }
            Op::Take => {
                let first = if full { None } else { self.cut(4, false) };
                self.header.extend(first.iter().flatten());
                prop_assert_eq!(msg.take_header_word(), first.map(word));
            }
            Op::SetHeader(bytes) => {
                let fits = bytes.len() <= Message::HEADER_MAX;
                prop_assert_eq!(msg.set_header(bytes).is_ok(), fits);
                if fits {
                    self.header = bytes.clone();
                }
            }
            Op::ClearHeader => {
                msg.clear_header();
                self.header.clear();
            }
            other => unreachable!("{other:?} is no header operation"),
        }
        Ok(())
    }

    fn check(&self, msg: &Message) -> Result<(), TestCaseError> {
        prop_assert_eq!(msg.header(), &self.header[..]);
        prop_assert_eq!(msg.body(), &self.body[..]);
        prop_assert_eq!(msg.payload(), [&self.header[..], &self.body[..]].concat());
        prop_assert_eq!(msg.payload_len(), self.header.len() + self.body.len());
        prop_assert_eq!((msg.len(), msg.is_empty()), (self.body.len(), self.body.is_empty()));
        let words: Vec<_> = msg.header_words().flat_map(u32::to_be_bytes).collect();
        prop_assert_eq!(&words[..], &self.header[..self.header.len() / 4 * 4]);
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_message_behaves_like_two_vectors(
        body in prop::collection::vec(any::<u8>(), 0..300),
        ops in prop::collection::vec(op(), 0..40),
    ) {
        let mut model = Model { header: Vec::new(), body: body.clone() };
        let mut msg = Message::from_slice(&body);
        // Copies made on the way, shared or deep, must stay as they were whatever happens to the original.
        let mut others = Vec::new();
        for op in ops {
            match op {
                Op::Share => others.push((msg.share(), model.clone())),
                Op::Clone => others.push((msg.clone(), model.clone())),
                _ => model.step(&mut msg, &op)?,
            }
            model.check(&msg)?;
        }
        for (other, then) in &others {
            then.check(other)?;
        }
    }
}

#[test]
fn a_backtrace_is_a_stack_in_front_of_the_body() {
    let mut msg = Message::from_payload(b"\x12\x34\x56\x78\x80\x00\x00\x01hello");
    assert_eq!(msg.take_header_word(), Some(0x1234_5678));
    assert_eq!(msg.take_header_word(), Some(0x8000_0001));
    assert_eq!(msg, "hello");
    assert!(msg.header_words().eq([0x1234_5678, 0x8000_0001]));
    assert!(msg.push_header(7));
    assert_eq!(msg.payload(), b"\x00\x00\x00\x07\x12\x34\x56\x78\x80\x00\x00\x01hello");
    assert_eq!(msg.pop_header(), Some(7));
}

#[test]
fn a_header_ends_at_sixteen_words() {
    let mut msg = Message::from("body");
    assert!((0..16).all(|word| msg.push_header(word)));
    assert!(!msg.push_header(16));
    assert_eq!(msg.take_header_word(), None);
    assert_eq!((msg.header().len(), msg.body()), (64, &b"body"[..]));
}

#[test]
fn a_header_word_is_not_taken_from_a_short_body() {
    let mut msg = Message::from("abc");
    assert_eq!(msg.take_header_word(), None);
    assert_eq!((msg.header(), msg.body()), (&b""[..], &b"abc"[..]));
}

#[test]
fn words_of_a_header_need_no_move_in_short_and_in_long_messages() {
    for len in [0, 93, 200] {
        let mut msg = Message::from_slice(&vec![1; len]);
        let body = msg.body().as_ptr();
        assert!((0..4).all(|word| msg.push_header(word)));
        assert_eq!(msg.body().as_ptr(), body, "{len}");
    }
}

#[test]
fn short_messages_need_no_buffer_and_long_ones_bring_theirs_home() {
    let pool = BufferPool::new(PoolConfig::new());
    let short = Message::with_capacity_in(&pool, 112);
    assert_eq!(pool.stats().gets, 0);
    let mut long = Message::with_capacity_in(&pool, 113);
    long.append(&[1; 113]);
    let (shared, copy) = (long.share(), long.clone());
    assert_eq!(pool.stats().out, 2);
    assert_eq!(shared.body().as_ptr(), long.body().as_ptr());
    assert_ne!(copy.body().as_ptr(), long.body().as_ptr());
    drop((short, long, shared, copy));
    assert_eq!(pool.stats().out, 0);
}

#[test]
fn a_changed_share_leaves_the_other_alone() {
    for len in [10, 1000] {
        let mut a = Message::from_slice(&vec![b'a'; len]);
        let mut b = a.share();
        b.body_mut()[0] = b'b';
        assert!(b.push_header(1));
        assert_eq!((a.body()[0], a.header()), (b'a', &b""[..]));
    }
}

#[test]
fn reserved_room_is_used_without_moving() {
    let mut msg = Message::with_capacity(500);
    msg.append(b"start");
    let body = msg.body().as_ptr();
    msg.append(&[0; 495]);
    assert_eq!(msg.body().as_ptr(), body);
}

#[test]
fn dropping_more_than_there_is_fails_and_changes_nothing() {
    let mut msg = Message::from("abc");
    assert_eq!(msg.trim(4), Err(TooShort { wanted: 4, len: 3 }));
    assert_eq!(msg.chop(usize::MAX), Err(TooShort { wanted: usize::MAX, len: 3 }));
    assert_eq!((msg.trim_u32(), msg.chop_u64()), (None, None));
    assert_eq!(msg, b"abc");
    assert_eq!(TooShort { wanted: 4, len: 3 }.to_string(), "cannot drop 4 bytes from a body of 3");
}

#[test]
fn messages_are_made_from_and_compared_with_what_programs_have() {
    let forms: [Message; 10] = [
        b"text".into(),
        (*b"text").into(),
        (&b"text"[..]).into(),
        "text".into(),
        String::from("text").into(),
        (&String::from("text")).into(),
        Vec::from("text").into(),
        (&Vec::from("text")).into(),
        Box::<[u8]>::from(&b"text"[..]).into(),
        {
            let mut buf = BufferPool::global().take(4);
            buf.extend_from_slice(b"text");
            buf.into()
        },
    ];
    for msg in forms {
        assert_eq!(msg, "text");
        assert_eq!(msg, *b"text");
        assert_eq!(msg, b"text");
        assert_eq!(msg, b"text"[..]);
        assert_eq!(msg, Vec::from("text"));
        assert_eq!(msg.as_str(), Ok("text"));
        let (text, bytes, vec) = (String::from("text"), &b"text"[..], Vec::from("text"));
        assert!("text" == msg && *"text" == msg && text == msg && "texts" != msg);
        assert!(b"text" == msg && *b"text" == msg && *bytes == msg && bytes == msg && vec == msg);
        assert!(msg.starts_with(b"te"));
        assert_eq!(*Box::<[u8]>::from(msg.clone()), *b"text");
        assert_eq!(String::try_from(msg.clone()).as_deref(), Ok("text"));
        assert_eq!(Vec::from(msg), b"text");
    }
    let no_text = Message::from(b"\xff");
    assert!(no_text.as_str().is_err());
    assert_eq!(String::try_from(no_text).map_err(|error| error.into_bytes()), Err(vec![0xff]));
}

#[cfg(feature = "bytes")]
#[test]
fn messages_turn_into_bytes_that_bring_their_buffer_home() {
    for len in [0, 4, 5000] {
        let pool = BufferPool::new(PoolConfig::new());
        let body = vec![7; len];
        let mut msg = Message::with_capacity_in(&pool, len);
        msg.append(&body);
        assert!(msg.push_header(0x8000_0001));
        let bytes = bytes::Bytes::from(msg);
        assert_eq!(bytes, body, "the header is left behind");
        let part = bytes.slice(len / 2..);
        drop(bytes);
        assert_eq!(pool.stats().out, u64::from(len > 112), "nothing was copied");
        assert_eq!(Message::from(part.clone()), body[len / 2..]);
        drop(part);
        assert_eq!(pool.stats().out, 0, "{len} bytes");
    }
}

#[test]
fn writing_appends() {
    let mut msg = Message::new();
    assert!(write!(msg, "{}-{}", 1, 2).is_ok());
    assert_eq!(msg, "1-2");
}

#[test]
fn debug_shows_lengths_and_the_first_bytes_only() {
    let mut msg = Message::from_slice(&[b'\n'; 40]);
    msg.set_source(Some(PeerId::from_parts(1, 2)));
    assert!(msg.push_header(0x8000_0001));
    let printed = format!("{msg:?}");
    let shown = "\\n".repeat(32);
    assert_eq!(
        printed,
        format!("Message(40 bytes, \"{shown}\"..., header [80, 00, 00, 01], from peer 1.2)")
    );
    assert_eq!(format!("{:?}", Message::from("hi")), "Message(2 bytes, \"hi\")");
}
