//! Letters: messages that can be told apart, and what is known of each.

use sp_core::message::Message;

use crate::rng::spread;

/// Writes letters and recognises them. `T` is what a pattern remembers of one.
#[derive(Debug)]
pub(crate) struct Post<T> {
    letters: Vec<(Vec<u8>, T)>,
}

impl<T> Post<T> {
    pub(crate) const fn new() -> Self {
        Self { letters: Vec::new() }
    }

    /// A letter like no other, which begins with `topic`.
    pub(crate) fn write(&mut self, topic: &[u8], known: T) -> Letter {
        let number = self.letters.len();
        let body = compose(topic, number);
        self.letters.push((topic.to_vec(), known));
        Letter { number, message: Message::from_slice(&body) }
    }

    /// Which letter `body` is; `None` if nobody wrote it, or not so.
    pub(crate) fn read(&self, body: &[u8]) -> Option<usize> {
        let number = usize::try_from(u64::from_be_bytes(*body.last_chunk()?)).ok()?;
        let (topic, _) = self.letters.get(number)?;
        (compose(topic, number) == body).then_some(number)
    }

    /// What is known of a letter that [`read`](Self::read) has recognised.
    pub(crate) fn of(&mut self, number: usize) -> &mut T {
        &mut self.letters[number].1
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.letters.iter().map(|(_, known)| known).enumerate()
    }
}

/// A letter on its way into a socket.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) number: usize,
    pub(crate) message: Message,
}

/// Topic, filling, number. The filling is mostly short; now and then it is more than a message holds in itself.
fn compose(topic: &[u8], number: usize) -> Vec<u8> {
    let number = number as u64;
    let luck = spread(number);
    let filling = if luck.is_multiple_of(8) { 100 + luck % 300 } else { luck % 40 };
    let filling = (0..filling).map(|at| spread(number ^ at) as u8);
    topic.iter().copied().chain(filling).chain(number.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_known_by_every_byte() {
        let mut post = Post::new();
        let letters: Vec<Letter> = (0..50).map(|nth| post.write(b"ab", nth)).collect();
        for letter in letters {
            let mut body = letter.message.body().to_vec();
            assert_eq!(post.read(&body), Some(letter.number));
            assert_eq!(*post.of(letter.number), letter.number);
            body[1] ^= 1;
            assert_eq!(post.read(&body), None);
        }
        assert_eq!(post.read(b"short"), None);
    }
}
