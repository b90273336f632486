//! Just enough of two wire formats for a bare client to ask servers of any library, byte for byte the same work.

use super::Transport;
use crate::peer::Wire;

/// What a client of one server writes and waits for.
pub(super) struct Script {
    wire: Wire,
    /// Written first.
    pub(super) hello: Vec<u8>,
    /// Written for every request. The reply has the same length: REP gives back header and body.
    pub(super) request: Vec<u8>,
}

impl Script {
    /// For requests of `size` bytes.
    pub(super) fn new(wire: Wire, transport: Transport, size: usize) -> Self {
        let body = vec![7; size];
        match wire {
            Wire::Bare => Self { wire, hello: Vec::new(), request: body },
            Wire::Sp => {
                Self { wire, hello: SP_REQ.to_vec(), request: sp_request(transport, &body) }
            }
            Wire::Zmtp => Self { wire, hello: zmtp_hello(), request: zmtp_request(&body) },
        }
    }

    /// How many bytes the server's hello has, as far as `seen` of it tells: at least what is there when it is whole.
    pub(super) fn hello_len(&self, seen: &[u8]) -> usize {
        match self.wire {
            Wire::Bare => 0,
            Wire::Sp => SP_REQ.len(),
            // A greeting of fixed length, then one short command that says its length.
            Wire::Zmtp => match seen.get(ZMTP_GREETING + 1) {
                Some(&len) => ZMTP_GREETING + 2 + usize::from(len),
                None => ZMTP_GREETING + 2,
            },
        }
    }
}

fn sp_request(transport: Transport, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if transport == Transport::Ipc {
        out.push(1);
    }
    out.extend((body.len() as u64 + 4).to_be_bytes());
    // One request at a time, so that one id will do; the first bit ends the header.
    out.extend(0x8000_0001_u32.to_be_bytes());
    out.extend(body);
    out
}

fn zmtp_hello() -> Vec<u8> {
    let mut out = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0];
    out.extend(b"NULL");
    out.resize(ZMTP_GREETING, 0);
    let mut ready = b"\x05READY".to_vec();
    ready.extend(b"\x0bSocket-Type\x00\x00\x00\x03REQ");
    ready.extend(b"\x08Identity\x00\x00\x00\x00");
    // A short command.
    out.extend([4, ready.len() as u8]);
    out.extend(ready);
    out
}

fn zmtp_request(body: &[u8]) -> Vec<u8> {
    // An empty frame that more follow, then the last one.
    let mut out = vec![1, 0];
    match u8::try_from(body.len()) {
        Ok(len) => out.extend([0, len]),
        Err(_) => {
            out.push(2);
            out.extend((body.len() as u64).to_be_bytes());
        }
    }
    out.extend(body);
    out
}

/// A REQ introduces itself.
const SP_REQ: [u8; 8] = [0, b'S', b'P', 0, 0, 0x30, 0, 0];

/// Bytes of a ZMTP greeting.
const ZMTP_GREETING: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_framed_as_its_wire_wants_it() {
        let sp = Script::new(Wire::Sp, Transport::Tcp, 2);
        assert_eq!(sp.request, [0, 0, 0, 0, 0, 0, 0, 6, 0x80, 0, 0, 1, 7, 7]);
        let ipc = Script::new(Wire::Sp, Transport::Ipc, 2);
        assert_eq!(ipc.request[..2], [1, 0]);
        let zmtp = Script::new(Wire::Zmtp, Transport::Tcp, 2);
        assert_eq!(zmtp.request, [1, 0, 0, 2, 7, 7]);
        let long = Script::new(Wire::Zmtp, Transport::Tcp, 256);
        assert_eq!(long.request[..11], [1, 0, 2, 0, 0, 0, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn the_length_of_a_hello_is_known_once_it_has_been_told() {
        let zmtp = Script::new(Wire::Zmtp, Transport::Tcp, 2);
        assert_eq!(zmtp.hello_len(&[0; 64]), 66);
        let whole = zmtp_hello();
        assert_eq!(zmtp.hello_len(&whole), whole.len());
    }
}
