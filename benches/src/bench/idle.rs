//! Many connections to one REP that have asked once and are silent since.

use std::time::Duration;

use super::client::Clients;
use super::far::{Far, Start};
use super::metric::{CONNECTED, IDLE_CPU, MEMORY, RESIDENT, SERVED};
use super::{Cell, Figures};
use crate::error::{Error, Result};
use crate::peer::Variant;
use crate::sys;

/// One round: what the silence costs the far end, and how soon it serves somebody new.
pub(super) fn measure(cell: &Cell, variant: Variant) -> Result<Figures> {
    let far = Far::start(cell, variant, Start::default())?;
    let server = far.process().ok_or(Error::Cannot { doing: "be measured in its own process" })?;
    let resident =
        || sys::resident_memory(server).ok_or(Error::Cannot { doing: "tell its memory" });
    let mut clients = Clients::new(cell, variant, far.url())?;
    // What the first ones bring about is the server's own, not theirs.
    clients.connect(FIRST)?;
    let before = resident()?;
    let connected = clients.connect(cell.many)?;
    sys::pause(SETTLED);
    let after = resident()?;
    // Looked at from outside: a server that was asked would not be idle.
    let cpu = || sys::cpu_time_of(server).ok_or(Error::Cannot { doing: "tell its CPU time" });
    let (cpu_before, start) = (cpu()?, sys::now());
    sys::pause(cell.time);
    let used = cpu()?.saturating_sub(cpu_before);
    let silence = sys::now() - start;
    let served = clients.connect(1)?;
    Ok(vec![
        (MEMORY, after.saturating_sub(before) as f64 / cell.many as f64),
        (IDLE_CPU, used.as_secs_f64() * 1e6 / silence.as_secs_f64()),
        (SERVED, served.as_secs_f64() * 1e6),
        (CONNECTED, connected.as_secs_f64() * 1e3),
        (RESIDENT, after as f64 / 1024.0),
    ])
}

/// Enough for every pool and table to be made.
const FIRST: usize = 16;

/// After so long without a message nothing is left of the last ones: whoever polls has stopped, whoever drove for a
/// while has handed back.
const SETTLED: Duration = Duration::from_millis(500);
