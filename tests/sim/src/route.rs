//! Devices between an asker and an answerer, as far as the two can tell: words on the way there, off on the way back.

use std::collections::BTreeSet;

use crate::oracle::{Failure, Oracle};
use crate::rng::Rng;

/// Says of an edge that requests travel on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    /// Whether the dialer asks; if not, the listener does.
    pub(crate) by_dialer: bool,
    /// How many words the answerer accepts.
    pub(crate) ttl: u8,
    /// Whether there may be more devices than that allows, if things go wrong.
    pub(crate) may_go_astray: bool,
}

/// The devices of one connection, and what has passed them.
#[derive(Debug)]
pub(crate) struct Route {
    asker: usize,
    /// The words that the devices put on, the last device's first.
    words: Vec<u8>,
    /// More words than the answerer accepts.
    pub(crate) is_too_far: bool,
    /// The headers of what was asked, without the words of these devices.
    asked: BTreeSet<Vec<u8>>,
}

impl Route {
    /// Draws how many devices there are; too many only where `detours` happen.
    pub(crate) fn draw(asking: Asking, detours: bool, luck: &mut Rng) -> Self {
        let allowed = u64::from(asking.ttl) - 1;
        let most =
            if detours && asking.may_go_astray { (allowed + 3).min(DEVICES_MAX) } else { allowed };
        let devices = if luck.one_in(2) { luck.within(0, most) } else { 0 };
        let words = (0..devices).flat_map(|_| (luck.number() as u32 & !END_BIT).to_be_bytes());
        Self {
            asker: usize::from(!asking.by_dialer),
            words: words.collect(),
            is_too_far: devices > allowed,
            asked: BTreeSet::new(),
        }
    }

    /// What becomes of `payload` on its way from the side `from`.
    pub(crate) fn pass(&mut self, from: usize, payload: &[u8]) -> Result<Vec<u8>, Failure> {
        if from == self.asker {
            self.asked.insert(header(payload)?.to_vec());
            return Ok([&self.words, payload].concat());
        }
        if self.is_too_far {
            return Err(Failure::new(Oracle::HopLimit, "a request from too far was answered"));
        }
        let Some(rest) = payload.strip_prefix(self.words.as_slice()) else {
            return Err(Failure::new(Oracle::Route, "a reply lacks the words of its way"));
        };
        if !self.asked.contains(header(rest)?) {
            return Err(Failure::new(Oracle::Route, "a reply took a way that no request took"));
        }
        Ok(rest.to_vec())
    }
}

/// All words up to the one with the high bit.
fn header(payload: &[u8]) -> Result<&[u8], Failure> {
    let (words, _) = payload.as_chunks::<4>();
    let end = words.iter().position(|word| u32::from_be_bytes(*word) & END_BIT != 0);
    let header = end.and_then(|end| payload.get(..4 * (end + 1)));
    header.ok_or_else(|| Failure::new(Oracle::Route, "a message has no header"))
}

const END_BIT: u32 = 0x8000_0000;

/// With the id 16 words: as many as a header holds.
const DEVICES_MAX: u64 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn route(devices: &[u32]) -> Route {
        let words = devices.iter().flat_map(|word| word.to_be_bytes()).collect();
        Route { asker: 0, words, is_too_far: false, asked: BTreeSet::new() }
    }

    #[test]
    fn words_go_on_there_and_come_off_on_the_way_back() {
        let mut route = route(&[7, 9]);
        let asked = [0x80, 0, 0, 5, b'q'];
        let there = route.pass(0, &asked).unwrap();
        assert_eq!(there, [&[0, 0, 0, 7, 0, 0, 0, 9], asked.as_slice()].concat());
        let reply = [&there[..12], b"a"].concat();
        assert_eq!(route.pass(1, &reply).unwrap(), [0x80, 0, 0, 5, b'a']);
    }

    #[test]
    fn a_reply_that_came_astray_is_noticed() {
        let broken = |route: &mut Route, reply: &[u8]| route.pass(1, reply).unwrap_err().oracle;
        let mut one = route(&[7]);
        assert_eq!(broken(&mut one, &[0x80, 0, 0, 5]), Oracle::Route);
        assert_eq!(broken(&mut one, &[0, 0, 0, 7, 0x80, 0, 0, 5]), Oracle::Route);
        one.is_too_far = true;
        assert_eq!(broken(&mut one, &[]), Oracle::HopLimit);
    }
}
