//! Masking: what a client sends is combined with four bytes that change with every frame.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// A frame's mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask(pub(super) [u8; 4]);

impl Mask {
    /// One that cannot be foretold, as RFC 6455, 5.3 asks for: half of a keyed hash of a number that counts up. The key
    /// is the system's, and a thread's own. The other half is the next one.
    pub fn fresh() -> Self {
        thread_local! {
            static NEXT: Cell<Option<[u8; 4]>> = const { Cell::new(None) };
        }
        Self(NEXT.take().unwrap_or_else(|| {
            let (word, next) = random();
            NEXT.set(Some(next));
            word
        }))
    }

    /// Masks or unmasks `bytes`, which stand at `offset` of their frame's payload.
    pub fn apply(self, bytes: &mut [u8], offset: usize) {
        let mut key = self.0;
        key.rotate_left(offset & 3);
        let [a, b, c, d] = key;
        let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, rest) = bytes.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
            *byte ^= key;
        }
    }
}

/// Eight bytes that cannot be foretold.
pub(super) fn random() -> ([u8; 4], [u8; 4]) {
    thread_local! {
        static SOURCE: RefCell<(RandomState, u64)> = RefCell::new((RandomState::new(), 0));
    }
    let draw = |source: &mut (RandomState, u64)| {
        source.1 = source.1.wrapping_add(1);
        source.0.hash_one(source.1)
    };
    // A thread that is ending has no source of its own any more.
    let word = SOURCE
        .try_with(|source| draw(&mut source.borrow_mut()))
        .unwrap_or_else(|_| draw(&mut (RandomState::new(), 0)));
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    ([a, b, c, d], [e, f, g, h])
}
