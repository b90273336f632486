//! The protocol header of a message: a stack of big-endian words in front of the body, top first.

use super::Message;

impl Message {
    /// The most header bytes a message has: 16 words, which is nng's limit too.
    pub const HEADER_MAX: usize = 64;

    /// Puts a word on top of the header, in front of everything.
    ///
    /// Answers false and changes nothing if the header is full.
    #[must_use = "a full header refuses the word"]
    pub fn push_header(&mut self, word: u32) -> bool {
        if self.header_len() + WORD > Self::HEADER_MAX {
            return false;
        }
        self.store.prepend(&word.to_be_bytes());
        self.store.set_header_len(self.header_len() + WORD);
        true
    }

    /// Takes the top word off the header; `None` if the header has no whole word.
    pub fn pop_header(&mut self) -> Option<u32> {
        let word = self.peek_header()?;
        self.store.trim_front(WORD);
        self.store.set_header_len(self.header_len() - WORD);
        Some(word)
    }

    /// The top word of the header, left in place.
    pub fn peek_header(&self) -> Option<u32> {
        self.header().first_chunk().map(|word| u32::from_be_bytes(*word))
    }

    /// Makes the first word of the body the last of the header and returns it. Copies nothing.
    ///
    /// `None`, and nothing changes, if the body is shorter than a word or the header is full.
    pub fn take_header_word(&mut self) -> Option<u32> {
        let word = *self.body().first_chunk()?;
        if self.header_len() + WORD > Self::HEADER_MAX {
            return None;
        }
        self.store.set_header_len(self.header_len() + WORD);
        Some(u32::from_be_bytes(word))
    }

    /// The words of the header, top first. Bytes behind the last whole word are left out.
    pub fn header_words(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        let (words, _) = self.header().as_chunks();
        words.iter().map(|word| u32::from_be_bytes(*word))
    }

    /// Replaces the header, which is the program's to set on raw sockets only: others replace or drop it.
    ///
    /// Any bytes will do here; whether they make sense is looked at when the message is sent.
    ///
    /// # Errors
    ///
    /// [`HeaderTooLong`] if it is longer than [`HEADER_MAX`](Self::HEADER_MAX); nothing changes then.
    pub fn set_header(&mut self, header: &[u8]) -> Result<(), HeaderTooLong> {
        if header.len() > Self::HEADER_MAX {
            return Err(HeaderTooLong { len: header.len() });
        }
        self.clear_header();
        self.store.prepend(header);
        self.store.set_header_len(header.len());
        Ok(())
    }

    /// Makes the header part of the body, as a message looks to whoever receives it. Copies nothing.
    pub const fn merge_header(&mut self) {
        self.store.set_header_len(0);
    }

    /// Removes the header; the body stays.
    #[inline]
    pub fn clear_header(&mut self) {
        if self.header_len() > 0 {
            self.store.trim_front(self.header_len());
            self.store.set_header_len(0);
        }
    }
}

/// A header was to be longer than headers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a header of {len} bytes is too long, 64 bytes are allowed")]
pub struct HeaderTooLong {
    /// Bytes that it was to have.
    pub len: usize,
}

const WORD: usize = size_of::<u32>();
