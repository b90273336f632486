//! A bar that says how far a campaign is.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use crate::sys;

/// A bar on the standard error output; plain lines where that is no terminal.
pub(crate) struct Progress {
    total: usize,
    done: usize,
    start: Instant,
    is_terminal: bool,
}

impl Progress {
    /// A bar for `total` steps.
    pub(crate) fn new(total: usize) -> Self {
        Self { total, done: 0, start: sys::now(), is_terminal: stderr().is_terminal() }
    }

    /// Shows that `what` begins.
    pub(crate) fn begin(&self, what: &str) {
        let mut err = stderr();
        // A bar that cannot be drawn stops nothing.
        let _ = if self.is_terminal {
            write!(err, "\r\x1b[K{} {what}", self.bar()).and_then(|()| err.flush())
        } else {
            writeln!(err, "{}/{} {what}", self.done + 1, self.total)
        };
    }

    /// One step is done.
    pub(crate) const fn step(&mut self) {
        self.done += 1;
    }

    /// So many more steps turned out to be needed.
    pub(crate) const fn extend(&mut self, more: usize) {
        self.total += more;
    }

    /// How long it has been going on.
    pub(crate) fn elapsed(&self) -> Duration {
        sys::now() - self.start
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if self.is_terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }

    fn bar(&self) -> String {
        let total = self.total.max(1);
        let full = BAR_WIDTH * self.done / total;
        let bar: String = (0..BAR_WIDTH).map(|at| if at < full { '#' } else { '.' }).collect();
        let left = match self.done {
            0 => String::new(),
            done => {
                let secs = self.elapsed().as_secs_f64() / done as f64 * (total - done) as f64;
                format!(", {secs:.0} s left")
            }
        };
        format!("[{bar}] {}/{total}{left} ", self.done)
    }
}

const BAR_WIDTH: usize = 30;
