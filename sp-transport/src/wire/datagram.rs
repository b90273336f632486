//! SP over UDP as nng 2.0 speaks it: eight bytes in front of what each datagram says, little-endian (sp-wire 2.8).

use sp_core::datagram::{DisconnectReason, Lost};
use sp_core::pipe::ProtocolId;

/// What a datagram says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// A message of a peer.
    Message(&'a [u8]),
    /// A message that is said to be longer than its datagram.
    Cut {
        /// Bytes announced.
        announced: u16,
        /// Bytes that came.
        got: usize,
    },
    /// A dialer asks to be a peer, or says that it still is one.
    Call(Offer),
    /// A listener's answer to that.
    Answer(Offer),
    /// The sender is nobody's peer any more.
    Disconnect(DisconnectReason),
    /// Nothing known.
    Unknown,
}

/// What the two sides tell each other of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The sender's pattern.
    pub protocol: ProtocolId,
    /// The longest message it takes, header included.
    pub payload_max: u16,
    /// In which interval the dialer is to say that it is there, in seconds.
    pub refresh: u16,
}

/// Every datagram begins with as many bytes.
pub const HEAD_BYTES: usize = 8;

/// Reads a datagram. Of one that cannot be read nothing is known, not even that it is meant for this protocol.
pub fn parse(bytes: &[u8]) -> Result<Datagram<'_>, Lost> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Err(Lost::Short);
    };
    let [version, opcode, p0, p1, a0, a1, b0, b1] = *head;
    if version != VERSION {
        return Err(Lost::BadVersion);
    }
    let first = u16::from_le_bytes([a0, a1]);
    let offer = Offer {
        protocol: ProtocolId(u16::from_le_bytes([p0, p1])),
        payload_max: first,
        refresh: u16::from_le_bytes([b0, b1]),
    };
    Ok(match opcode {
        DATA => match rest.get(..usize::from(first)) {
            Some(payload) => Datagram::Message(payload),
            None => Datagram::Cut { announced: first, got: rest.len() },
        },
        CALL => Datagram::Call(offer),
        ANSWER => Datagram::Answer(offer),
        DISCONNECT => Datagram::Disconnect(DisconnectReason(first)),
        _ => Datagram::Unknown,
    })
}

/// What stands in front of a message of `len` bytes from a side that speaks `protocol`.
pub const fn message_head(protocol: ProtocolId, len: u16) -> [u8; HEAD_BYTES] {
    head(DATA, protocol, len, 0)
}

/// A dialer's call.
pub const fn call(offer: Offer) -> [u8; HEAD_BYTES] {
    head(CALL, offer.protocol, offer.payload_max, offer.refresh)
}

/// A listener's answer.
pub const fn answer(offer: Offer) -> [u8; HEAD_BYTES] {
    head(ANSWER, offer.protocol, offer.payload_max, offer.refresh)
}

/// The end.
pub const fn disconnect(protocol: ProtocolId, reason: DisconnectReason) -> [u8; HEAD_BYTES] {
    head(DISCONNECT, protocol, reason.0, 0)
}

const fn head(opcode: u8, protocol: ProtocolId, first: u16, second: u16) -> [u8; HEAD_BYTES] {
    let [p0, p1] = protocol.0.to_le_bytes();
    let [a0, a1] = first.to_le_bytes();
    let [b0, b1] = second.to_le_bytes();
    [VERSION, opcode, p0, p1, a0, a1, b0, b1]
}

const VERSION: u8 = 1;

const DATA: u8 = 0;
const CALL: u8 = 1;
const ANSWER: u8 = 2;
const DISCONNECT: u8 = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn offer(protocol: ProtocolId, refresh: u16) -> Offer {
        Offer { protocol, payload_max: 65_000, refresh }
    }

    /// sp-wire 8.6 item 77
    #[test]
    fn datagrams_are_written_and_read_as_the_reference_has_them() {
        let data = |protocol, body: &[u8]| {
            [&message_head(protocol, 4 + body.len() as u16)[..], b"\x80\0\0\x01", body].concat()
        };
        let (req, rep) = (ProtocolId::REQ, ProtocolId::REP);
        let asked = Datagram::Call(offer(req, 1));
        let answered = Datagram::Answer(offer(rep, 1));
        let closed = Datagram::Disconnect(DisconnectReason::CLOSED);
        let rows: [(Vec<u8>, &[u8], Datagram<'_>); 5] = [
            (call(offer(req, 1)).into(), b"\x01\x01\x30\x00\xe8\xfd\x01\x00", asked),
            (answer(offer(rep, 1)).into(), b"\x01\x02\x31\x00\xe8\xfd\x01\x00", answered),
            (
                data(req, b"hello"),
                b"\x01\x00\x30\x00\x09\x00\x00\x00\x80\x00\x00\x01hello",
                Datagram::Message(b"\x80\0\0\x01hello"),
            ),
            (
                data(rep, b"world"),
                b"\x01\x00\x31\x00\x09\x00\x00\x00\x80\x00\x00\x01world",
                Datagram::Message(b"\x80\0\0\x01world"),
            ),
            (
                disconnect(req, DisconnectReason::CLOSED).into(),
                b"\x01\x03\x30\x00\x00\x00\x00\x00",
                closed,
            ),
        ];
        for (written, bytes, means) in rows {
            assert_eq!(written, bytes);
            assert_eq!(parse(bytes), Ok(means));
        }
    }

    /// sp-wire 8.6 items 77, 79, 81 and 82
    #[test]
    fn what_is_odd_is_read_as_what_it_is() {
        let rows: [(&[u8], Result<Datagram<'_>, Lost>); 10] = [
            (b"", Err(Lost::Short)),
            (b"\x01\x00\x30\x00\x00\x00\x00", Err(Lost::Short)),
            (b"\x00\x00\x30\x00\x00\x00\x00\x00", Err(Lost::BadVersion)),
            (b"\x02\x01\x30\x00\xe8\xfd\x01\x00", Err(Lost::BadVersion)),
            (b"\x01\x00\x30\x00\x01\x00\xde\xadx", Ok(Datagram::Message(b"x"))),
            (b"\x01\x00\x30\x00\x01\x00\x00\x00xyz", Ok(Datagram::Message(b"x"))),
            (b"\x01\x00\x30\x00\x00\x00\x00\x00", Ok(Datagram::Message(b""))),
            (b"\x01\x00\x30\x00\x04\x00\x00\x00xyz", Ok(Datagram::Cut { announced: 4, got: 3 })),
            (b"\x01\x04\x30\x00\x00\x00\x00\x00", Ok(Datagram::Unknown)),
            (b"\x01\x63\x30\x00\x00\x00\x00\x00", Ok(Datagram::Unknown)),
        ];
        for (bytes, means) in rows {
            assert_eq!(parse(bytes), means, "{bytes:02x?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_looking_beyond_them(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            match parse(&bytes) {
                Err(why) => prop_assert!((why == Lost::Short) == (bytes.len() < HEAD_BYTES)),
                Ok(Datagram::Message(payload)) => {
                    let behind = bytes.iter().skip(HEAD_BYTES).take(payload.len());
                    prop_assert!(behind.eq(payload));
                }
                Ok(Datagram::Cut { announced, got }) => {
                    prop_assert_eq!(Some(got), bytes.len().checked_sub(HEAD_BYTES));
                    prop_assert!(usize::from(announced) > got);
                }
                Ok(_) => {}
            }
        }

        #[test]
        fn what_is_written_is_read_again(protocol: u16, payload_max: u16, refresh: u16) {
            let offer = Offer { protocol: ProtocolId(protocol), payload_max, refresh };
            let reason = DisconnectReason(payload_max);
            for (bytes, means) in [
                (call(offer), Datagram::Call(offer)),
                (answer(offer), Datagram::Answer(offer)),
                (disconnect(offer.protocol, reason), Datagram::Disconnect(reason)),
            ] {
                prop_assert_eq!(parse(&bytes), Ok(means));
            }
        }
    }
}
