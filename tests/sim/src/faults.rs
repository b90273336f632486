//! What may go wrong.

use std::fmt;

use crate::rng::Rng;

/// One kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Connections break; what is under way is lost, and each side notices in its own time.
    Cut,
    /// Messages, wake-ups and timers are late, by up to seconds.
    Delay,
    /// A connection takes nothing for a while.
    Stall,
    /// A connection is not read for a while.
    Deaf,
    /// Batches come in pieces.
    Partial,
    /// A node is gone without a word and comes back without memory.
    Crash,
    /// A node does nothing for a while.
    Freeze,
    /// Requests come over more devices than allowed.
    Detour,
    /// Calls give up, or their futures are dropped, woken or not.
    GiveUp,
    /// Programs take their time, and leave requests unanswered.
    Dawdle,
}

impl Fault {
    const ALL: [Self; 10] = [
        Self::Cut,
        Self::Delay,
        Self::Stall,
        Self::Deaf,
        Self::Partial,
        Self::Crash,
        Self::Freeze,
        Self::Detour,
        Self::GiveUp,
        Self::Dawdle,
    ];

    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// A set of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    bits: u32,
}

impl Faults {
    /// All goes well.
    pub const NONE: Self = Self { bits: 0 };

    /// Each kind with a chance of one half: runs in which a few kinds meet find more than runs with all of them.
    pub fn draw(luck: &mut Rng) -> Self {
        Fault::ALL.into_iter().filter(|_| luck.one_in(2)).collect()
    }

    /// Whether `fault` may happen.
    pub const fn has(self, fault: Fault) -> bool {
        self.bits & (1 << fault as u32) != 0
    }

    /// Reads `none`, `all`, or names with commas between them.
    ///
    /// # Errors
    ///
    /// What is allowed, for the person who typed it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "none" => return Ok(Self::NONE),
            "all" => return Ok(Fault::ALL.into_iter().collect()),
            _ => {}
        }
        let named = |name: &str| Fault::ALL.into_iter().find(|fault| fault.name() == name);
        text.split(',').map(|name| named(name).ok_or_else(|| unknown(name))).collect()
    }
}

fn unknown(name: &str) -> String {
    let names = Fault::ALL.map(Fault::name).join(", ");
    format!("there is no fault {name}; allowed are none, all, or some of {names}")
}

impl FromIterator<Fault> for Faults {
    fn from_iter<I: IntoIterator<Item = Fault>>(faults: I) -> Self {
        Self { bits: faults.into_iter().fold(0, |bits, fault| bits | 1 << fault as u32) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> =
            Fault::ALL.into_iter().filter(|fault| self.has(*fault)).map(Fault::name).collect();
        f.write_str(if names.is_empty() { "none" } else { "" })?;
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_read_as_it_is_printed() {
        let mut luck = Rng::new(5);
        for set in (0..20).map(|_| Faults::draw(&mut luck)).chain([Faults::NONE]) {
            assert_eq!(Faults::parse(&set.to_string()), Ok(set));
        }
        assert!(Faults::parse("cut,rain").is_err_and(|why| why.contains("rain")));
    }
}
