//! Luck: every draw of a run comes from its seed.

use std::time::Duration;

/// Steele, Lea and Flood's SplitMix64: one addition and a few shifts a number, and any seed is as good as another.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The sequence that belongs to `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Any number.
    pub const fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        spread(self.state)
    }

    /// A number from 0 to `limit`, without `limit`; 0 if that is 0.
    pub const fn below(&mut self, limit: u64) -> u64 {
        ((self.number() as u128 * limit as u128) >> 64) as u64
    }

    /// A number from `least` to `most`, both included.
    pub const fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True once in `times`.
    pub const fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`, which are not empty.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// An index into something of length `len`, which is not empty.
    pub const fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// A number below `limit`, mostly much smaller: each of a dozen powers of two is as likely as any other.
    pub fn small(&mut self, limit: u64) -> u64 {
        let scale = self.below(MAGNITUDES);
        self.below(limit >> scale)
    }

    /// A time up to `most`, mostly much shorter.
    pub fn upto(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(self.small(u64::try_from(most.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Spreads a number over all bits.
pub(crate) const fn spread(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// From seconds down to fractions of a millisecond.
const MAGNITUDES: u64 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_in_their_range_and_reach_its_ends() {
        let mut luck = Rng::new(1);
        let drawn: Vec<u64> = (0..200).map(|_| luck.within(3, 6)).collect();
        assert_eq!(drawn.iter().min(), Some(&3));
        assert_eq!(drawn.iter().max(), Some(&6));
        assert!((0..200).all(|_| luck.upto(Duration::from_secs(1)) < Duration::from_secs(1)));
        assert_eq!(luck.below(0), 0);
    }
}
