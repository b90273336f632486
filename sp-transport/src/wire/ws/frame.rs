//! Frames: what stands in front of a payload (RFC 6455, 5.2).

use sp_core::pipe::CloseReason;
use sp_core::websocket::FrameFault;

use super::mask::Mask;

/// Which end of a connection: what a dialer sends is masked, what a listener sends is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client of HTTP.
    Dialer,
    /// The server.
    Listener,
}

impl Side {
    /// The other end.
    pub const fn peer(self) -> Self {
        match self {
            Self::Dialer => Self::Listener,
            Self::Listener => Self::Dialer,
        }
    }

    /// Bytes in front of a payload in one frame.
    pub(in crate::wire) const fn header_bytes(self, payload_bytes: usize) -> usize {
        let (bare, masked) = match payload_bytes {
            0..126 => (2, 6),
            126..0x1_0000 => (4, 8),
            _ => (10, 14),
        };
        match self {
            Self::Dialer => masked,
            Self::Listener => bare,
        }
    }
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) enum Opcode {
    Continuation,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    const fn number(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The header of a frame that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) struct Head {
    /// The frame is its message's last.
    pub(in crate::wire) is_final: bool,
    pub(in crate::wire) opcode: Opcode,
    pub(in crate::wire) mask: Option<Mask>,
    pub(in crate::wire) payload_bytes: u64,
    /// How long the header is itself.
    pub(in crate::wire) bytes: usize,
}

impl Head {
    /// Reads the header at the front of `bytes`, which came from `from`; nothing while they are too few to say.
    ///
    /// What is wrong is refused as soon as it is seen.
    pub(in crate::wire) fn parse(bytes: &[u8], from: Side) -> Result<Option<Self>, FrameFault> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(FrameFault::ReservedBits);
        }
        let opcode = match first & 0x0f {
            0 => Opcode::Continuation,
            1 => return Err(FrameFault::Text),
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            got => return Err(FrameFault::Opcode { got }),
        };
        let is_final = first & 0x80 != 0;
        let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
        match (from, second & 0x80 != 0) {
            (Side::Dialer, false) => return Err(FrameFault::Unmasked),
            (Side::Listener, true) => return Err(FrameFault::Masked),
            _ => {}
        }
        let short = second & 0x7f;
        if opcode.is_control() && (short > CONTROL_MAX as u8 || !is_final) {
            return Err(FrameFault::Control);
        }
        let (payload_bytes, shortest, rest) = match short {
            126 => {
                let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(*length)), 126, rest)
            }
            127 => {
                let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (u64::from_be_bytes(*length), 0x1_0000, rest)
            }
            short => (u64::from(short), 0, rest),
        };
        if payload_bytes < shortest {
            return Err(FrameFault::LongForm);
        }
        let (mask, rest) = match from {
            Side::Dialer => {
                let Some((mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (Some(Mask(*mask)), rest)
            }
            Side::Listener => (None, rest),
        };
        let bytes = bytes.len().saturating_sub(rest.len());
        Ok(Some(Self { is_final, opcode, mask, payload_bytes, bytes }))
    }
}

/// The header of a frame to send.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire) struct Encoded {
    bytes: [u8; HEADER_BYTES_MAX],
    len: usize,
    /// What the payload is to be masked with.
    pub(in crate::wire) mask: Option<Mask>,
}

impl Encoded {
    /// The header of a message in one frame.
    pub(in crate::wire) fn whole(side: Side, payload_bytes: usize) -> Self {
        Self::new(side, Opcode::Binary, true, payload_bytes)
    }

    /// The header of one of several fragments.
    pub(in crate::wire) fn fragment(
        side: Side,
        is_first: bool,
        is_last: bool,
        bytes: usize,
    ) -> Self {
        let opcode = if is_first { Opcode::Binary } else { Opcode::Continuation };
        Self::new(side, opcode, is_last, bytes)
    }

    fn new(side: Side, opcode: Opcode, is_final: bool, payload_bytes: usize) -> Self {
        let mut encoded = Self { bytes: [0; HEADER_BYTES_MAX], len: 0, mask: None };
        let first = opcode.number() | if is_final { 0x80 } else { 0 };
        let masked = if side == Side::Dialer { 0x80 } else { 0 };
        let length = payload_bytes as u64;
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ 0..126), _) => encoded.put(&[first, masked | short]),
            (_, Ok(medium)) => {
                encoded.put(&[first, masked | 126]);
                encoded.put(&medium.to_be_bytes());
            }
            _ => {
                encoded.put(&[first, masked | 127]);
                encoded.put(&length.to_be_bytes());
            }
        }
        if side == Side::Dialer {
            let mask = Mask::fresh();
            encoded.put(&mask.0);
            encoded.mask = Some(mask);
        }
        encoded
    }

    fn put(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..) {
            room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        }
        self.len = self.len.saturating_add(bytes.len());
    }

    pub(in crate::wire) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

/// The answer to a ping with `payload`.
pub fn pong_frame(side: Side, payload: &[u8]) -> Vec<u8> {
    control(side, Opcode::Pong, payload)
}

/// The last frame of a connection that ends because of `why`.
pub fn close_frame(side: Side, why: &CloseReason) -> Vec<u8> {
    let code: u16 = match why {
        CloseReason::BadFrame(FrameFault::Text) => 1003,
        CloseReason::BadFrame(FrameFault::CloseText) => 1007,
        CloseReason::TooLong { .. } => 1009,
        CloseReason::BadFrame(_)
        | CloseReason::BadHeader { .. }
        | CloseReason::Unexpected { .. } => 1002,
        _ => 1000,
    };
    control(side, Opcode::Close, &code.to_be_bytes())
}

fn control(side: Side, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let payload = payload.get(..CONTROL_MAX).unwrap_or(payload);
    let head = Encoded::new(side, opcode, true, payload.len());
    let mut frame = [head.bytes(), payload].concat();
    if let (Some(mask), Some(payload)) = (head.mask, frame.get_mut(head.len..)) {
        mask.apply(payload, 0);
    }
    frame
}

/// Larger messages go out in fragments of this size: nng reads frames of 1 MiB at the most.
pub const FRAGMENT_BYTES: usize = 1 << 20;

/// The longest payload of a control frame.
const CONTROL_MAX: usize = 125;

const HEADER_BYTES_MAX: usize = 14;
