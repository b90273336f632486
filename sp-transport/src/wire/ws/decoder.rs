//! Messages out of WebSocket frames, however the bytes are cut.

use std::io;

use sp_core::batch::Batch;
use sp_core::id::PeerId;
use sp_core::message::Message;
use sp_core::pipe::CloseReason;
use sp_core::websocket::FrameFault;

use super::frame::{Head, Opcode, Side};
use super::mask::Mask;
use crate::wire::decoder::{LARGE_BODY_BYTES, LargeBody};
use crate::wire::sp::LARGEST_CONSIDERED;

/// Turns the bytes of one connection into messages, as [`Decoder`](crate::wire::Decoder) does for plain streams.
///
/// Messages in one frame are taken straight out of the bytes offered. Large ones, and those in several fragments, move
/// into a buffer of their own as they come and are unmasked there.
#[derive(Debug)]
pub struct WsDecoder {
    /// Who sends.
    peer: Side,
    limit: u64,
    source: Option<PeerId>,
    message: Option<Partial>,
    /// The payload of the last ping that has not been answered.
    ping: Option<Vec<u8>>,
}

/// A message that has begun and not ended.
#[derive(Debug)]
struct Partial {
    /// Its bytes so far, and how many the present frame still lacks.
    body: LargeBody,
    mask: Option<Mask>,
    /// How much of the present frame's payload has come.
    offset: usize,
    /// The present frame is the last.
    is_final: bool,
}

impl WsDecoder {
    /// A decoder for what `peer` sends, that refuses messages above `limit` bytes.
    pub fn new(peer: Side, limit: Option<u64>) -> Self {
        let limit = limit.unwrap_or(LARGEST_CONSIDERED).min(LARGEST_CONSIDERED);
        Self { peer, limit, source: None, message: None, ping: None }
    }

    /// The messages name `peer` as their source.
    #[must_use]
    pub fn from_peer(self, peer: PeerId) -> Self {
        Self { source: Some(peer), ..self }
    }

    /// Takes messages from the front of `bytes` into `batch`, `most` at the most, and returns how many bytes
    /// it used.
    ///
    /// After an error, among which is the peer's orderly close, the connection is over.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        batch: &mut Batch,
        most: usize,
    ) -> Result<usize, CloseReason> {
        let mut rest = bytes;
        let full = batch.len().saturating_add(most);
        while batch.len() < full {
            if let Some(message) = self.message.as_mut().filter(|message| message.body.missing > 0)
            {
                rest = message.append(rest);
                if message.body.missing > 0 {
                    break;
                }
                self.finish(batch);
                continue;
            }
            let Some(head) = Head::parse(rest, self.peer)? else { break };
            let Some(behind) = rest.get(head.bytes..) else { break };
            let next = match head.opcode {
                Opcode::Binary | Opcode::Continuation => self.begin(head, behind, batch)?,
                Opcode::Close | Opcode::Ping | Opcode::Pong => self.control(head, behind)?,
            };
            match next {
                Some(next) => rest = next,
                None => break,
            }
        }
        Ok(bytes.len().saturating_sub(rest.len()))
    }

    /// Lets `read` write into the message that is under way, then takes what lies behind it.
    ///
    /// `read` gets the room and returns how many bytes it wrote there. Returns nothing when a frame's header is what
    /// comes next.
    pub fn read_large(
        &mut self,
        batch: &mut Batch,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        let message = self.message.as_mut().filter(|message| message.body.missing > 0)?;
        let from = message.body.buf.len();
        let got = message.body.fill_with(read);
        if got.is_ok() {
            message.unmask(from);
            if message.body.missing == 0 {
                self.finish(batch);
            }
        }
        Some(got)
    }

    /// Whether a message has begun and not ended.
    pub const fn is_in_large(&self) -> bool {
        self.message.is_some()
    }

    /// The payload of the last ping, once: only that one has to be answered (RFC 6455, 5.5.3).
    pub const fn take_ping(&mut self) -> Option<Vec<u8>> {
        self.ping.take()
    }

    /// A data frame. Answers what lies behind what it took, or nothing if more has to come first.
    fn begin<'a>(
        &mut self,
        head: Head,
        behind: &'a [u8],
        batch: &mut Batch,
    ) -> Result<Option<&'a [u8]>, CloseReason> {
        let so_far = match (&self.message, head.opcode) {
            (None, Opcode::Continuation) => return Err(FrameFault::Unstarted.into()),
            (Some(_), Opcode::Binary) => return Err(FrameFault::Interrupted.into()),
            (None, _) => 0,
            (Some(message), _) => message.body.buf.len(),
        };
        let announced = (so_far as u64).saturating_add(head.payload_bytes);
        let too_long = CloseReason::TooLong { announced, limit: self.limit };
        let Ok(payload_bytes) = usize::try_from(head.payload_bytes) else { return Err(too_long) };
        if announced > self.limit {
            return Err(too_long);
        }
        if self.message.is_none() && head.is_final {
            if let Some(next) = batch.push_front_of(behind, payload_bytes, self.source) {
                if let Some(mask) = head.mask {
                    mask.apply(batch.last_body_mut(), 0);
                }
                return Ok(Some(next));
            }
            if payload_bytes < LARGE_BODY_BYTES {
                return Ok(None);
            }
        }
        let body = match self.message.take() {
            Some(Partial { mut body, .. }) => {
                body.missing = payload_bytes;
                body
            }
            None => LargeBody::new(payload_bytes),
        };
        let Head { mask, is_final, .. } = head;
        self.message = Some(Partial { body, mask, offset: 0, is_final });
        if payload_bytes == 0 {
            self.finish(batch);
        }
        Ok(Some(behind))
    }

    /// A control frame. Answers as [`begin`](Self::begin) does.
    fn control<'a>(
        &mut self,
        head: Head,
        behind: &'a [u8],
    ) -> Result<Option<&'a [u8]>, CloseReason> {
        let payload_bytes = usize::try_from(head.payload_bytes).unwrap_or(usize::MAX);
        let Some((payload, next)) = behind.split_at_checked(payload_bytes) else { return Ok(None) };
        let unmasked = || {
            let mut payload = payload.to_vec();
            if let Some(mask) = head.mask {
                mask.apply(&mut payload, 0);
            }
            payload
        };
        match head.opcode {
            Opcode::Close => {
                Err(check_close(&unmasked()).err().map_or(CloseReason::PeerClosed, Into::into))
            }
            Opcode::Ping => {
                self.ping = Some(unmasked());
                Ok(Some(next))
            }
            _ => Ok(Some(next)),
        }
    }

    /// The present frame is whole; so is the message, if it was the last.
    fn finish(&mut self, batch: &mut Batch) {
        if let Some(message) = self.message.take_if(|message| message.is_final) {
            let mut msg = Message::from_buf(message.body.buf);
            msg.set_source(self.source);
            batch.push(msg);
        }
    }
}

/// Whether a close frame may say this: nothing, or a status code and a text (RFC 6455, 5.5.1 and 7.4).
fn check_close(payload: &[u8]) -> Result<(), FrameFault> {
    let Some((code, text)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(()) } else { Err(FrameFault::HalfCode) };
    };
    match u16::from_be_bytes(*code) {
        1000..=1003 | 1007..=1014 | 3000..=4999 => {}
        got => return Err(FrameFault::CloseCode { got }),
    }
    str::from_utf8(text).map(drop).map_err(|_| FrameFault::CloseText)
}

impl Partial {
    /// Takes what belongs to the present frame from `bytes` and returns the rest.
    fn append<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let from = self.body.buf.len();
        let rest = self.body.append(bytes);
        self.unmask(from);
        rest
    }

    /// Unmasks what came since the body had `from` bytes.
    fn unmask(&mut self, from: usize) {
        let Some(came) = self.body.buf.len().checked_sub(from) else { return };
        if let (Some(mask), Some(bytes)) = (self.mask, self.body.buf.get_mut(from..)) {
            mask.apply(bytes, self.offset);
        }
        self.offset = self.offset.saturating_add(came);
    }
}
