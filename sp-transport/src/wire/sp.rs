//! The stream mapping of sp-wire 2.1 and 2.4: an eight-byte handshake, then messages with a length in front.

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

/// The length with the type octet in front of it (sp-wire 2.4, ipc).
pub(super) const fn typed(length: [u8; 8]) -> [u8; 9] {
    let [a, b, c, d, e, f, g, h] = length;
    [MESSAGE_TYPE, a, b, c, d, e, f, g, h]
}

/// The only message type that exists on ipc.
pub(super) const MESSAGE_TYPE: u8 = 1;

/// The largest length nng considers (sp-wire 2.1); above it arithmetic on lengths could overflow.
pub(super) const LARGEST_CONSIDERED: u64 = 0x0fff_ffff_ffff_ffff;
