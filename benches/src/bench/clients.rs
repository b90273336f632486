//! Many connections to one REP, each asking again when it has its reply.
//!
//! The clients are sockets of the library itself, all in one thread of one process. As a second workload the same bare
//! client asks the servers of all: then the server alone makes the difference.

use std::time::{Duration, Instant};

use super::client::Clients;
use super::far::{Far, Start};
use super::gauge::{Gauge, Part};
use super::latency::Latencies;
use super::metric::CONNECTED;
use super::{Bench, Cell, Figures};
use crate::error::{Error, Result};
use crate::peer::{Aligned, End, Peer, Role, Variant};
use crate::sys;

/// One round: the far end serves, this thread asks through as many connections as the cell says.
pub(super) fn measure(cell: &Cell, variant: Variant) -> Result<Figures> {
    let mut far = Far::start(cell, variant, Start::default())?;
    // Without a library there are no sockets but the bare ones.
    if cell.bench == Bench::BareClients || variant.is_floor() {
        let mut clients = Clients::new(cell, variant, far.url())?;
        let connected = clients.connect(cell.many)?;
        let ask = |until, trips: Option<&mut _>| clients.ask_until(until, trips);
        return figures(cell, variant, &mut far, connected, ask);
    }
    let (peer, url) = (far.peer(), far.url().to_owned());
    let (mut clients, connected) = Own::connect(cell, &*peer, &url)?;
    let ask = |until, trips: Option<&mut _>| clients.ask_until(until, trips);
    figures(cell, variant, &mut far, connected, ask)
}

/// Lets the clients ask; `ask` gives the replies until it was told to end, when it did, and how many came later.
fn figures(
    cell: &Cell,
    variant: Variant,
    far: &mut Far,
    connected: Duration,
    mut ask: impl FnMut(Instant, Option<&mut Latencies>) -> Result<(u64, Instant, u64)>,
) -> Result<Figures> {
    let mut trips = Latencies::new();
    let gauge = Gauge::take(cell, far, |part, until| {
        let trips = (part == Part::Timed).then_some(&mut trips);
        let (count, end, late) = ask(until, trips)?;
        // System calls are counted until all is quiet.
        Ok((if part == Part::Counted { count + late } else { count }, end))
    })?;
    let mut figures = gauge.round_trips(&mut trips, variant);
    figures.push((CONNECTED, connected.as_secs_f64() * 1e3));
    Ok(figures)
}

/// Sockets of the library, one for each client, and when each asked.
struct Own {
    ends: Vec<(Box<dyn End>, Instant)>,
    body: Aligned,
}

impl Own {
    /// Opens all clients and lets each ask once; gives how long that took.
    fn connect(cell: &Cell, peer: &dyn Peer, url: &str) -> Result<(Self, Duration)> {
        let start = sys::now();
        let mut ends = Vec::with_capacity(cell.many);
        for _ in 0..cell.many {
            ends.push((peer.connect(Role::Req, url, cell.size)?, start));
        }
        let mut own = Self { ends, body: Aligned::new(cell.size, 7) };
        own.ask_all(None)?;
        Ok((own, sys::now() - start))
    }

    fn ask_until(
        &mut self,
        until: Instant,
        mut trips: Option<&mut Latencies>,
    ) -> Result<(u64, Instant, u64)> {
        let (mut count, mut now) = (0, sys::now());
        while now < until {
            self.ask_all(trips.as_deref_mut())?;
            count += self.ends.len() as u64;
            now = sys::now();
        }
        Ok((count, now, 0))
    }

    /// All send, then all receive.
    fn ask_all(&mut self, mut trips: Option<&mut Latencies>) -> Result<()> {
        for (end, asked) in &mut self.ends {
            *asked = sys::now();
            end.send(&self.body)?;
        }
        for (end, asked) in &mut self.ends {
            let got = end.recv()?;
            if got != self.body.len() {
                return Err(Error::Length { got, wanted: self.body.len() });
            }
            if let Some(trips) = &mut trips {
                trips.add(sys::now() - *asked);
            }
        }
        Ok(())
    }
}
