//! What happened: a hash of everything, and the last of it in words.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::rng::spread;

/// One event as it is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    at: u64,
    node: u32,
    what: &'static str,
    details: [u64; 2],
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, node, what, details: [a, b] } = self;
        let at = Duration::from_nanos(*at).as_secs_f64();
        if *node == NOBODY {
            write!(f, "{at:>14.9}           {what} {a} {b}")
        } else {
            write!(f, "{at:>14.9}  node {node:<3} {what} {a} {b}")
        }
    }
}

/// The record of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    events: u64,
    last: VecDeque<Entry>,
    /// How many of the last are kept.
    kept: usize,
}

impl Trace {
    pub(crate) const fn new(kept: usize) -> Self {
        Self { hash: 0, events: 0, last: VecDeque::new(), kept }
    }

    pub(crate) fn note(&mut self, at: u64, node: u32, what: &'static str, details: [u64; 2]) {
        self.events += 1;
        let word = what.bytes().fold(0, |word: u64, byte| word.rotate_left(8) ^ u64::from(byte));
        for part in [at, u64::from(node), word, details[0], details[1]] {
            self.hash = spread(self.hash.rotate_left(5) ^ part);
        }
        self.last.push_back(Entry { at, node, what, details });
        if self.last.len() > self.kept {
            self.last.pop_front();
        }
    }

    /// A number that two runs share if the same happened in both.
    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) const fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn last(&self) -> Vec<Entry> {
        self.last.iter().copied().collect()
    }
}

/// Stands for the world itself where an entry names a node.
pub(crate) const NOBODY: u32 = u32::MAX;
