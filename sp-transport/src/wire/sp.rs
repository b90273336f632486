//! The stream mapping of sp-wire 2.1 and 2.4: an eight-byte handshake, then messages with a length in front.

use sp_core::held::Frames;
use sp_core::pipe::{CloseReason, ProtocolId};

/// Bytes of the handshake that both ends send first.
pub const HANDSHAKE_BYTES: usize = 8;

/// What we send as soon as the stream is up: `00 'S' 'P' version protocol(2) reserved(2)`.
pub const fn handshake(protocol: ProtocolId) -> [u8; HANDSHAKE_BYTES] {
    let [high, low] = protocol.0.to_be_bytes();
    [0, b'S', b'P', 0, high, low, 0, 0]
}

/// Reads the peer's handshake: the pattern it speaks, or what is wrong with it.
pub const fn check_handshake(got: [u8; HANDSHAKE_BYTES]) -> Result<ProtocolId, CloseReason> {
    match got {
        [0, b'S', b'P', 0, high, low, 0, 0] => Ok(ProtocolId(u16::from_be_bytes([high, low]))),
        [0, b'S', b'P', version, ..] if version != 0 => {
            Err(CloseReason::BadVersion { got: version })
        }
        _ => Err(CloseReason::BadHandshake { got }),
    }
}

/// How messages are told apart on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A big-endian `u64` length (sp-wire 2.1).
    Length,
    /// The octet 1, then the length (sp-wire 2.4, ipc).
    TypeAndLength,
}

impl Framing {
    /// Bytes in front of a payload of `payload_bytes`.
    pub const fn header_bytes(self, _payload_bytes: usize) -> usize {
        match self {
            Self::Length => 8,
            Self::TypeAndLength => 9,
        }
    }

    /// Hands `put` the bytes that go in front of a payload of `payload_bytes`.
    pub fn encode_header(self, payload_bytes: usize, put: impl FnOnce(&[u8])) {
        let length = (payload_bytes as u64).to_be_bytes();
        match self {
            Self::Length => put(&length),
            Self::TypeAndLength => put(&typed(length)),
        }
    }

    /// Adds a whole frame to `frames`, or answers false if it does not fit.
    #[inline]
    #[must_use = "a frame that does not fit is not added"]
    pub fn encode(self, payload: &[u8], frames: &mut Frames) -> bool {
        let length = (payload.len() as u64).to_be_bytes();
        match self {
            Self::Length => frames.push(&length, payload),
            Self::TypeAndLength => frames.push(&typed(length), payload),
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
        let length = match (self, bytes) {
            (Self::Length, _) => bytes,
            (Self::TypeAndLength, [MESSAGE_TYPE, length @ ..]) => length,
            (Self::TypeAndLength, [got, ..]) => {
                return Err(CloseReason::BadMessageType { got: *got });
            }
            (Self::TypeAndLength, []) => return Ok(None),
        };
        let Some(length) = length.first_chunk::<8>() else { return Ok(None) };
        let announced = u64::from_be_bytes(*length);
        let limit = limit.unwrap_or(LARGEST_CONSIDERED).min(LARGEST_CONSIDERED);
        if announced > limit {
            return Err(CloseReason::TooLong { announced, limit });
        }
        match usize::try_from(announced) {
            Ok(announced) => Ok(Some(announced)),
            Err(_) => Err(CloseReason::TooLong { announced, limit: usize::MAX as u64 }),
        }
    }
}

const fn typed(length: [u8; 8]) -> [u8; 9] {
    let [a, b, c, d, e, f, g, h] = length;
    [MESSAGE_TYPE, a, b, c, d, e, f, g, h]
}

/// The only message type that exists on ipc.
const MESSAGE_TYPE: u8 = 1;

/// The largest length nng considers (sp-wire 2.1); above it arithmetic on lengths could overflow.
const LARGEST_CONSIDERED: u64 = 0x0fff_ffff_ffff_ffff;
