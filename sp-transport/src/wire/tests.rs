//! Golden bytes of sp-wire 2.1 and 2.4, every handshake, and framing under any splitting.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a test that is wrong should fail loudly"
)]

use std::ops::Range;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use sp_core::batch::Batch;
use sp_core::pipe::{CloseReason, ProtocolId};

use super::{Decoder, Framing, HANDSHAKE_BYTES, LARGE_BODY_BYTES, check_handshake, handshake};

/// sp-wire 2.1
#[test]
fn the_handshake_of_each_pattern_is_byte_for_byte_the_reference() {
    for (protocol, bytes) in [
        (ProtocolId::PUB, [0x00, 0x53, 0x50, 0x00, 0x00, 0x20, 0x00, 0x00]),
        (ProtocolId::SUB, [0x00, 0x53, 0x50, 0x00, 0x00, 0x21, 0x00, 0x00]),
        (ProtocolId::REQ, [0x00, 0x53, 0x50, 0x00, 0x00, 0x30, 0x00, 0x00]),
        (ProtocolId::REP, [0x00, 0x53, 0x50, 0x00, 0x00, 0x31, 0x00, 0x00]),
        (ProtocolId::PUSH, [0x00, 0x53, 0x50, 0x00, 0x00, 0x50, 0x00, 0x00]),
        (ProtocolId::PULL, [0x00, 0x53, 0x50, 0x00, 0x00, 0x51, 0x00, 0x00]),
    ] {
        assert_eq!(handshake(protocol), bytes, "{protocol}");
        assert_eq!(check_handshake(bytes), Ok(protocol));
    }
}

#[test]
fn every_protocol_number_passes_through_the_handshake() {
    for number in 0..=u16::MAX {
        let protocol = ProtocolId(number);
        let [high, low] = number.to_be_bytes();
        let bytes = handshake(protocol);
        assert_eq!(bytes, [0, b'S', b'P', 0, high, low, 0, 0]);
        assert_eq!(check_handshake(bytes), Ok(protocol));
    }
}

#[test]
fn every_one_byte_change_of_a_handshake_is_another_number_or_refused() {
    let good = handshake(ProtocolId::REQ);
    for at in 0..HANDSHAKE_BYTES {
        for value in (0..=u8::MAX).filter(|value| *value != good[at]) {
            let mut got = good;
            got[at] = value;
            let expected = match at {
                3 => Err(CloseReason::BadVersion { got: value }),
                4 => Ok(ProtocolId(u16::from_be_bytes([value, good[5]]))),
                5 => Ok(ProtocolId(u16::from_be_bytes([good[4], value]))),
                _ => Err(CloseReason::BadHandshake { got }),
            };
            assert_eq!(check_handshake(got), expected, "byte {at} is {value:#04x}");
        }
    }
}

/// The examples of sp-wire 2.1 and 2.4: name, framing, payload, the frame on the wire.
#[test]
fn the_frames_of_the_reference_are_written_and_read_byte_for_byte() {
    use Framing::{Length, TypeAndLength};
    let examples: [(&str, Framing, &[u8], &[u8]); 10] = [
        ("REQ hello", Length, b"\x80\0\0\x01hello", b"\0\0\0\0\0\0\0\x09\x80\0\0\x01hello"),
        ("REP world", Length, b"\x80\0\0\x01world", b"\0\0\0\0\0\0\0\x09\x80\0\0\x01world"),
        (
            "REQ hello behind a device",
            Length,
            b"\x12\x34\x56\x78\x80\0\0\x01hello",
            b"\0\0\0\0\0\0\0\x0d\x12\x34\x56\x78\x80\0\0\x01hello",
        ),
        ("PUB abc", Length, b"abc", b"\0\0\0\0\0\0\0\x03abc"),
        ("PUSH nothing", Length, b"", b"\0\0\0\0\0\0\0\0"),
        ("SURVEYOR q", Length, b"\x80\0\0\x05q", b"\0\0\0\0\0\0\0\x05\x80\0\0\x05q"),
        ("PAIR1 hi", Length, b"\0\0\0\x01hi", b"\0\0\0\0\0\0\0\x06\0\0\0\x01hi"),
        ("BUS hi", Length, b"hi", b"\0\0\0\0\0\0\0\x02hi"),
        (
            "REQ hello over ipc",
            TypeAndLength,
            b"\x80\0\0\x01hello",
            b"\x01\0\0\0\0\0\0\0\x09\x80\0\0\x01hello",
        ),
        ("nothing over ipc", TypeAndLength, b"", b"\x01\0\0\0\0\0\0\0\0"),
    ];
    for (name, framing, payload, frame) in examples {
        assert_eq!(encode(framing, [payload]), frame, "{name}");
        assert_eq!(read(framing, None, frame, &[]), (vec![payload.to_vec()], None), "{name}");
    }
}

#[test]
fn a_frame_header_says_nothing_until_it_is_whole() {
    for framing in FRAMINGS {
        let frame = encode(framing, [&[7; 300]]);
        for known in 0..framing.header_bytes(300) {
            assert_eq!(
                framing.decode_header(&frame[..known], None),
                Ok(None),
                "{framing:?} {known}"
            );
        }
        assert_eq!(framing.decode_header(&frame, None), Ok(Some(300)), "{framing:?}");
    }
}

#[test]
fn a_wrong_type_octet_is_refused_as_soon_as_it_is_seen() {
    for got in (0..=u8::MAX).filter(|got| *got != 1) {
        let refused = Framing::TypeAndLength.decode_header(&[got], None);
        assert_eq!(refused, Err(CloseReason::BadMessageType { got }));
    }
}

/// sp-wire 8.2 items 28 to 32
#[test]
fn a_length_above_the_limit_is_refused_as_soon_as_it_is_known() {
    const NNG_MAX: u64 = 0x0fff_ffff_ffff_ffff;
    for (limit, announced, refused_with) in [
        (Some(1000), 1000, None),
        (Some(1000), 1001, Some(1000)),
        (Some(0), 0, None),
        (Some(0), 1, Some(0)),
        (Some(u64::MAX), NNG_MAX + 1, Some(NNG_MAX)),
        (None, NNG_MAX, None),
        (None, NNG_MAX + 1, Some(NNG_MAX)),
        (None, i64::MAX as u64, Some(NNG_MAX)),
        (None, u64::MAX, Some(NNG_MAX)),
    ] {
        let expected = match refused_with {
            Some(limit) => Err(CloseReason::TooLong { announced, limit }),
            None => Ok(Some(announced as usize)),
        };
        for framing in FRAMINGS {
            let mut header = vec![1; framing.header_bytes(0) - 8];
            header.extend(announced.to_be_bytes());
            assert_eq!(framing.decode_header(&header, limit), expected, "{framing:?} {announced}");
            let mut decoder = Decoder::new(framing, limit);
            let decoded = decoder.decode(&header, &mut Batch::new(), usize::MAX);
            assert_eq!(decoded.err().as_ref(), expected.as_ref().err(), "{framing:?} {announced}");
        }
    }
}

#[test]
fn every_split_of_a_short_session_in_two_or_into_single_bytes_gives_the_same_messages() {
    for framing in FRAMINGS {
        let sent = [0, 1, 0, 112, 113, 3].map(body);
        let bytes = encode(framing, &sent);
        let expected = (sent.to_vec(), None);
        for cut in 0..=bytes.len() {
            assert_eq!(read(framing, None, &bytes, &[cut]), expected, "{framing:?} cut at {cut}");
        }
        let everywhere: Vec<usize> = (0..bytes.len()).collect();
        assert_eq!(read(framing, None, &bytes, &everywhere), expected, "{framing:?}");
    }
}

/// The first cuts fall one byte before, at and one byte behind every border of a frame and of a large body.
#[test]
fn splits_around_every_border_give_the_same_messages() {
    let sizes = [0, 1, LARGE_BODY_BYTES - 1, LARGE_BODY_BYTES, LARGE_BODY_BYTES + 1, 65_537, 2];
    for framing in FRAMINGS {
        let sent = sizes.map(body);
        let bytes = encode(framing, &sent);
        let mut at = 0;
        for size in sizes {
            for border in [
                at,
                at + 1,
                at + framing.header_bytes(size),
                at + framing.header_bytes(size) + size,
            ] {
                for cut in border.saturating_sub(1)..=border + 1 {
                    let got = read(framing, None, &bytes, &[cut, cut + 1]);
                    assert_eq!(got, (sent.to_vec(), None), "{framing:?} cut at {cut}");
                }
            }
            at += framing.header_bytes(size) + size;
        }
    }
}

#[test]
fn an_announced_length_gets_one_buffer_until_bytes_come() {
    for framing in FRAMINGS {
        let mut header = vec![1; framing.header_bytes(0) - 8];
        header.extend((1u64 << 40).to_be_bytes());
        let mut reader = Reader::new(framing, None);
        reader.feed(&header).unwrap();
        // The reader itself checks the room it is offered against what has come, at every step.
        for _ in 0..8 {
            reader.feed(&[0; 50_000]).unwrap();
        }
        assert!(reader.decoder.is_in_large());
        assert!(reader.got.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// House rule for a new wire: however the bytes are cut, the same messages come out.
    #[test]
    fn any_split_of_the_bytes_gives_the_same_messages(
        framing in framings(),
        sizes in prop::collection::vec(sizes(), 1..7),
        cuts in prop::collection::vec(any::<Index>(), 0..40),
    ) {
        let sent: Vec<Vec<u8>> = sizes.into_iter().map(body).collect();
        let bytes = encode(framing, &sent);
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        prop_assert_eq!(read(framing, None, &bytes, &cuts), (sent, None));
    }

    /// Garbage, and good frames with some bytes changed: a typed error, messages within the limit, or waiting;
    /// exactly what the plain reading of the whole says.
    #[test]
    fn garbage_is_refused_within_the_limits_or_waits(
        framing in framings(),
        limit in prop::option::of(0u64..3000),
        bytes in prop_oneof![garbage(), damaged_frames()],
        cuts in prop::collection::vec(any::<Index>(), 0..20),
    ) {
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len().max(1))).collect();
        let (got, refused) = read(framing, limit, &bytes, &cuts);
        prop_assert!(got.iter().all(|msg| limit.is_none_or(|limit| msg.len() as u64 <= limit)));
        match &refused {
            None => {}
            Some(CloseReason::TooLong { announced, limit }) => prop_assert!(announced > limit),
            Some(CloseReason::BadMessageType { got }) => {
                prop_assert!(framing == Framing::TypeAndLength && *got != 1);
            }
            Some(other) => panic!("{other:?} is no fault of framing"),
        }
        prop_assert_eq!((got, refused), plainly_read(framing, limit, &bytes));
    }
}

/// What a connection does with a decoder, without the connection.
struct Reader {
    decoder: Decoder,
    framing: Framing,
    /// Read and not decoded yet.
    carry: Vec<u8>,
    /// Bytes fed since the last whole message.
    unfinished: usize,
    got: Vec<Vec<u8>>,
    /// Large bodies go through `read_large` every other time, else through `decode`.
    reads_large: bool,
}

impl Reader {
    fn new(framing: Framing, limit: Option<u64>) -> Self {
        let decoder = Decoder::new(framing, limit);
        Self {
            decoder,
            framing,
            carry: Vec::new(),
            unfinished: 0,
            got: Vec::new(),
            reads_large: true,
        }
    }

    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), CloseReason> {
        self.unfinished += bytes.len();
        let mut batch = Batch::new();
        while self.reads_large && !bytes.is_empty() {
            let received = self.unfinished;
            let read = self.decoder.read_large(&mut batch, |room| {
                // An announced length is never believed: room comes only as bytes do.
                assert!(room.len() <= received + FIRST_BYTES, "{} for {received}", room.len());
                let n = room.len().min(bytes.len());
                assert!(n > 0, "a read without room would look like the end of the stream");
                room[..n].copy_from_slice(&bytes[..n]);
                Ok(n)
            });
            let Some(read) = read else { break };
            bytes = &bytes[read.unwrap()..];
        }
        self.reads_large = !self.reads_large;
        self.carry.extend_from_slice(bytes);
        let mut used = 0;
        // One, then two, then three messages at a time: a full batch is no reason to forget the rest.
        let decoded = (1..).try_for_each(|most| {
            let before = batch.len();
            used += self.decoder.decode(&self.carry[used..], &mut batch, most).map_err(Some)?;
            assert!(batch.len() - before <= most);
            if batch.len() - before < most { Err(None) } else { Ok(()) }
        });
        self.carry.drain(..used);
        if !batch.is_empty() {
            self.unfinished = self.carry.len();
        }
        self.got.extend(std::iter::from_fn(|| batch.pop()).map(|msg| msg.payload().to_vec()));
        if let Err(Some(why)) = decoded {
            return Err(why);
        }
        assert!(self.carry.len() < self.framing.header_bytes(LARGE_BODY_BYTES) + LARGE_BODY_BYTES);
        assert!(!self.decoder.is_in_large() || self.carry.is_empty());
        Ok(())
    }
}

/// Feeds `bytes`, parted at `cuts`, until the end or an error.
fn read(
    framing: Framing,
    limit: Option<u64>,
    bytes: &[u8],
    cuts: &[usize],
) -> (Vec<Vec<u8>>, Option<CloseReason>) {
    let mut reader = Reader::new(framing, limit);
    let refused =
        parts(bytes.len(), cuts).into_iter().find_map(|part| reader.feed(&bytes[part]).err());
    (reader.got, refused)
}

fn parts(len: usize, cuts: &[usize]) -> Vec<Range<usize>> {
    let mut borders: Vec<usize> = cuts.iter().map(|cut| *cut.min(&len)).chain([0, len]).collect();
    borders.sort_unstable();
    borders.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

/// The same as the decoder, slowly: one look at the whole.
fn plainly_read(
    framing: Framing,
    limit: Option<u64>,
    mut rest: &[u8],
) -> (Vec<Vec<u8>>, Option<CloseReason>) {
    let mut got = Vec::new();
    loop {
        match framing.decode_header(rest, limit) {
            Err(why) => return (got, Some(why)),
            Ok(Some(len)) if rest.len() - framing.header_bytes(len) >= len => {
                let (payload, behind) = rest[framing.header_bytes(len)..].split_at(len);
                got.push(payload.to_vec());
                rest = behind;
            }
            Ok(_) => return (got, None),
        }
    }
}

fn encode<B: AsRef<[u8]>>(framing: Framing, payloads: impl IntoIterator<Item = B>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for payload in payloads {
        let mask =
            framing.encode_header(payload.as_ref().len(), |header| bytes.extend_from_slice(header));
        assert_eq!(mask, None);
        bytes.extend_from_slice(payload.as_ref());
    }
    bytes
}

/// A body in which a lost, doubled or swapped byte shows.
fn body(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ size) as u8).collect()
}

fn framings() -> impl Strategy<Value = Framing> {
    select(&FRAMINGS[..])
}

/// Sizes at the borders: nothing, what fits inside a message, what is read into its own buffer, what is pooled.
fn sizes() -> impl Strategy<Value = usize> {
    const BORDERS: [usize; 6] = [0, 1, 112, LARGE_BODY_BYTES, 64 * 1024, 128 * 1024];
    prop_oneof![
        (select(&BORDERS[..]), 0..3usize)
            .prop_map(|(border, more)| (border + more).saturating_sub(1)),
        0..300usize,
    ]
}

fn garbage() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![2 => 0..3u8, 1 => any::<u8>()], 0..200)
}

fn damaged_frames() -> impl Strategy<Value = Vec<u8>> {
    let sizes = prop::collection::vec(0..40usize, 1..6);
    let damage = prop::collection::vec((any::<Index>(), any::<u8>()), 0..4);
    (framings(), sizes, damage).prop_map(|(framing, sizes, damage)| {
        let mut bytes = encode(framing, sizes.into_iter().map(body));
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes
    })
}

const FRAMINGS: [Framing; 2] = [Framing::Length, Framing::TypeAndLength];

/// What a peer gets for a promise alone (sp-wire 2.1, "grow as bytes arrive").
const FIRST_BYTES: usize = 64 * 1024;
