//! What a step costs, in looks into the tables that grow with contexts: counted in tests, nothing otherwise.
//!
//! Every table that has an entry for each context counts a look where it is read or changed, so that a pass over
//! all contexts cannot hide. Time would tell less, and not the same every time.

#[cfg(test)]
use std::cell::Cell;

#[cfg(test)]
thread_local! {
    static LOOKS: Cell<u64> = const { Cell::new(0) };
}

/// One entry is looked at.
#[inline]
pub(crate) fn look() {
    #[cfg(test)]
    LOOKS.with(|looks| looks.set(looks.get().wrapping_add(1)));
}

/// How many entries `work` looks at.
#[cfg(test)]
pub(crate) fn looks_of(work: impl FnOnce()) -> u64 {
    let before = LOOKS.get();
    work();
    LOOKS.get().wrapping_sub(before)
}

#[cfg(test)]
mod tests;
