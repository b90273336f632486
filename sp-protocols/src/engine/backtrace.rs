//! The header of requests: the way back, word by word (sp-wire 3.0).

use sp_core::message::Message;

use super::BadOption;

/// How the header of an arrived request turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// It is whole and now stands in the message's header.
    Whole,
    /// It passed more devices than allowed.
    TooFar,
    /// The body ran out before the word that ends it.
    Broken,
}

/// Moves the backtrace from the front of the body to the header of `msg`.
///
/// At most `ttl` words are taken, the id included. The count is looked at before the bytes are, so that a
/// message from too far is too far even where it is broken as well.
pub(crate) fn read_header(msg: &mut Message, ttl: u8) -> Header {
    for _ in 0..ttl {
        match msg.take_header_word() {
            None => return Header::Broken,
            Some(word) if word & END_BIT != 0 => return Header::Whole,
            Some(_) => {}
        }
    }
    Header::TooFar
}

/// A backtrace kept apart from its message, until the reply is there. Lives in place, without allocation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backtrace {
    /// In the order in which they were popped; zeros behind them.
    words: [u32; WORDS_MAX],
    taken: usize,
}

impl Backtrace {
    /// Takes the whole header off `msg`.
    pub(crate) fn take_from(msg: &mut Message) -> Self {
        let mut trace = Self::default();
        for slot in &mut trace.words {
            let Some(word) = msg.pop_header() else { break };
            *slot = word;
            trace.taken = trace.taken.saturating_add(1);
        }
        trace
    }

    /// Makes this the header of `msg`, in place of the one it has.
    pub(crate) fn put_on(&self, msg: &mut Message) {
        msg.clear_header();
        for &word in self.words.iter().take(self.taken).rev() {
            let fits = msg.push_header(word);
            debug_assert!(fits, "what came off a header fits on one");
        }
    }
}

/// Whether a limit on the words of a header is in its range.
pub(crate) fn check_ttl(ttl: u8) -> Result<(), BadOption> {
    if (TTL_MIN..=TTL_MAX).contains(&ttl) {
        return Ok(());
    }
    Err(BadOption { option: "ttl", value: ttl.to_string(), allowed: "1 to 15" })
}

/// What all peers use (sp-wire 3.0).
pub(crate) const TTL: u8 = 8;
pub(crate) const TTL_MIN: u8 = 1;
/// A header holds 16 words, one of which a raw socket may need for itself.
pub(crate) const TTL_MAX: u8 = 15;

/// Ends a backtrace: set in its last word, the id, and in no other.
pub(crate) const END_BIT: u32 = 0x8000_0000;

/// A message's header holds 64 bytes.
const WORDS_MAX: usize = Message::HEADER_MAX / 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::with_words;

    fn message(words: &[u32], body: &str) -> Message {
        Message::from_slice(&with_words(words, body))
    }

    #[test]
    fn a_backtrace_comes_back_as_it_was() {
        let words = [3, 2, 1, 0x8000_0009];
        let mut request = message(&words, "ask");
        assert_eq!(read_header(&mut request, 8), Header::Whole);
        let trace = Backtrace::take_from(&mut request);
        assert!(request.header().is_empty());
        assert_eq!(request.body(), b"ask");
        let mut reply = Message::from_slice(b"tell");
        let _ = reply.push_header(77);
        trace.put_on(&mut reply);
        assert_eq!([reply.header(), reply.body()].concat(), message(&words, "tell").body());
    }

    #[test]
    fn too_far_goes_before_broken() {
        assert_eq!(read_header(&mut message(&[1; 8], ""), 8), Header::TooFar);
        assert_eq!(read_header(&mut message(&[1; 7], "abc"), 8), Header::Broken);
        assert_eq!(read_header(&mut message(&[1; 15], ""), 15), Header::TooFar);
    }
}
