//! How messages are told apart on a stream, in both directions.

use std::io;

use sp_core::batch::Batch;
use sp_core::held::Frames;
use sp_core::id::PeerId;
use sp_core::pipe::CloseReason;
use sp_core::pool::PooledBuf;

use super::decoder::Decoder;
use super::sp::{LARGEST_CONSIDERED, MESSAGE_TYPE, typed};
use super::ws::{self, FRAGMENT_BYTES, Mask, Side, WsDecoder};

/// How messages are told apart on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A big-endian `u64` length (sp-wire 2.1).
    Length,
    /// The octet 1, then the length (sp-wire 2.4, ipc).
    TypeAndLength,
    /// WebSocket frames (sp-wire 2.7), seen from this side.
    WebSocket(Side),
}

impl Framing {
    /// All there are.
    pub const ALL: [Self; 4] = [
        Self::Length,
        Self::TypeAndLength,
        Self::WebSocket(Side::Dialer),
        Self::WebSocket(Side::Listener),
    ];

    /// Bytes in front of a payload that goes out as one frame.
    pub const fn header_bytes(self, payload_bytes: usize) -> usize {
        match self {
            Self::Length => 8,
            Self::TypeAndLength => 9,
            Self::WebSocket(side) => side.header_bytes(payload_bytes),
        }
    }

    /// Hands `put` the bytes that go in front of a payload of `payload_bytes`. Answers what the payload has to be
    /// masked with.
    #[must_use = "a frame with an unmasked payload is another message"]
    pub fn encode_header(self, payload_bytes: usize, put: impl FnOnce(&[u8])) -> Option<Mask> {
        let length = (payload_bytes as u64).to_be_bytes();
        match self {
            Self::Length => put(&length),
            Self::TypeAndLength => put(&typed(length)),
            Self::WebSocket(side) => {
                let header = ws::Encoded::whole(side, payload_bytes);
                put(header.bytes());
                return header.mask;
            }
        }
        None
    }

    /// Adds a whole frame to `frames`, or answers false if it does not fit.
    #[inline]
    #[must_use = "a frame that does not fit is not added"]
    pub fn encode(self, payload: &[u8], frames: &mut Frames) -> bool {
        let length = (payload.len() as u64).to_be_bytes();
        match self {
            Self::Length => frames.push(&length, payload),
            Self::TypeAndLength => frames.push(&typed(length), payload),
            Self::WebSocket(side) => {
                let header = ws::Encoded::whole(side, payload.len());
                let Some(room) = frames.push_slice(header.bytes(), payload) else { return false };
                if let Some(mask) = header.mask {
                    mask.apply(room, 0);
                }
                true
            }
        }
    }

    /// Hands `put` the frames of a message that lies in memory of its own: one header and one part of the payload
    /// after the other.
    pub fn encode_large(self, mut payload: PooledBuf, mut put: impl FnMut(&[u8], PooledBuf)) {
        let side = match self {
            Self::Length => return put(&(payload.len() as u64).to_be_bytes(), payload),
            Self::TypeAndLength => {
                return put(&typed((payload.len() as u64).to_be_bytes()), payload);
            }
            Self::WebSocket(side) => side,
        };
        let mut is_first = true;
        loop {
            let is_last = payload.len() <= FRAGMENT_BYTES;
            let bytes = payload.len().min(FRAGMENT_BYTES);
            let encoded = if is_first && is_last {
                ws::Encoded::whole(side, bytes)
            } else {
                ws::Encoded::fragment(side, is_first, is_last, bytes)
            };
            if let (Some(mask), Some(part)) = (encoded.mask, payload.get_mut(..bytes)) {
                mask.apply(part, 0);
            }
            if is_last {
                return put(encoded.bytes(), payload);
            }
            let mut part = payload.share();
            part.truncate(bytes);
            put(encoded.bytes(), part);
            payload.trim_front(bytes);
            is_first = false;
        }
    }

    /// The payload length that `bytes` announce, or nothing while they are too few to say.
    ///
    /// A wrong type octet is refused as soon as it is seen, an over-long message as soon as its length is.
    pub fn decode_header(
        self,
        bytes: &[u8],
        limit: Option<u64>,
    ) -> Result<Option<usize>, CloseReason> {
        let announced = match (self, bytes) {
            (Self::WebSocket(side), _) => {
                ws::Head::parse(bytes, side)?.map(|head| head.payload_bytes)
            }
            (Self::Length, length) | (Self::TypeAndLength, [MESSAGE_TYPE, length @ ..]) => {
                length.first_chunk().map(|length| u64::from_be_bytes(*length))
            }
            (Self::TypeAndLength, [got, ..]) => {
                return Err(CloseReason::BadMessageType { got: *got });
            }
            (Self::TypeAndLength, []) => None,
        };
        let Some(announced) = announced else { return Ok(None) };
        let limit = limit.unwrap_or(LARGEST_CONSIDERED).min(LARGEST_CONSIDERED);
        if announced > limit {
            return Err(CloseReason::TooLong { announced, limit });
        }
        match usize::try_from(announced) {
            Ok(announced) => Ok(Some(announced)),
            Err(_) => Err(CloseReason::TooLong { announced, limit: usize::MAX as u64 }),
        }
    }

    /// What says goodbye to the peer of a connection that ends because of `why`.
    pub(crate) fn farewell(self, why: &CloseReason) -> Option<Vec<u8>> {
        match self {
            Self::WebSocket(side) => Some(ws::close_frame(side, why)),
            Self::Length | Self::TypeAndLength => None,
        }
    }
}

/// The decoder of any framing.
#[derive(Debug)]
pub enum AnyDecoder {
    /// Of lengths.
    Plain(Decoder),
    /// Of WebSocket frames; in a box, for it is larger and rarer.
    WebSocket(Side, Box<WsDecoder>),
}

impl AnyDecoder {
    /// A decoder for what comes on a fresh connection from `peer`, that refuses messages above `limit` bytes.
    pub fn new(framing: Framing, limit: Option<u64>, peer: PeerId) -> Self {
        match framing {
            Framing::WebSocket(side) => {
                Self::WebSocket(side, Box::new(WsDecoder::new(side.peer(), limit).from_peer(peer)))
            }
            _ => Self::Plain(Decoder::new(framing, limit).from_peer(peer)),
        }
    }

    /// See [`Decoder::decode`].
    #[inline]
    pub fn decode(
        &mut self,
        bytes: &[u8],
        batch: &mut Batch,
        most: usize,
    ) -> Result<usize, CloseReason> {
        match self {
            Self::Plain(decoder) => decoder.decode(bytes, batch, most),
            Self::WebSocket(_, decoder) => decoder.decode(bytes, batch, most),
        }
    }

    /// See [`Decoder::read_large`].
    #[inline]
    pub fn read_large(
        &mut self,
        batch: &mut Batch,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        match self {
            Self::Plain(decoder) => decoder.read_large(batch, read),
            Self::WebSocket(_, decoder) => decoder.read_large(batch, read),
        }
    }

    /// See [`Decoder::is_in_large`].
    pub fn is_in_large(&self) -> bool {
        match self {
            Self::Plain(decoder) => decoder.is_in_large(),
            Self::WebSocket(_, decoder) => decoder.is_in_large(),
        }
    }

    /// What the peer's last request for a sign of life is to be answered with.
    #[inline]
    pub fn take_answer(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Plain(_) => None,
            Self::WebSocket(side, decoder) => {
                decoder.take_ping().map(|payload| ws::pong_frame(*side, &payload))
            }
        }
    }
}
