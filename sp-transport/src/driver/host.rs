//! Foreign loops that drive: while a driver has a host, the worker leaves it alone.
//!
//! A host hears of the poll set because that is nested in a loop of its own, and calls [`Driver::host_turn`] when it is
//! readable. How news finds the host, whatever comes first:
//!
//! - *Bytes, room in the kernel*: events of the poll set. If somebody else drives just then, that one fetches them or
//!   leaves them; a turn that found the gate taken marks `missed`, and whoever leaves the gate makes the poll set
//!   readable again. A turn itself goes on until a poll brings fewer events than it could: later ones announce
//!   themselves. Connections with more to read than their share make the poll set readable on leaving.
//! - *Mail*: whoever posts it swaps in *notified*. Before that the state was *asleep*: the waker is in the poll set. Or
//!   *awake*: whoever drives reads the mail before it leaves. Or *away*, since the host has begun a moment ago:
//!   `settle` follows, which reads the mail, and a worker that was sent comes for nothing.
//! - *A host begins or ends* while another leaves the gate having looked before: `settle` finds the gate free, or marks
//!   `missed` and the other looks again.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use sp_core::sync::atomic::Ordering;
use sp_core::sync::lock;

use super::Driver;
use crate::sys;

/// What a turn of a foreign loop came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Driven {
    /// Nothing is left to do: wait until the descriptor is readable.
    Idle,
    /// The turn's share is used up and more is left. The descriptor is readable, so waiting for that will do.
    More,
    /// The socket is closed; no more will come.
    Closed,
}

/// Keeps a driver in the care of a foreign loop. Dropped, the worker's care begins again.
pub struct Host {
    driver: Arc<Driver>,
}

impl Driver {
    /// Puts the driver into the care of a loop that hears of [`poll_set`](Self::poll_set) and calls
    /// [`host_turn`](Self::host_turn). Several may share it.
    pub fn host(self: &Arc<Self>) -> Host {
        self.hosts.fetch_add(1, Ordering::SeqCst);
        self.settle();
        Host { driver: Arc::clone(self) }
    }

    /// The poll set, for nesting in another. An error if the socket is closed.
    pub fn poll_set(&self) -> io::Result<OwnedFd> {
        // `retire` takes the mail before it closes the poll set, so it is open until this lock is released.
        match &*lock(&self.mail) {
            Some(_) => sys::duplicate(self.poll_fd),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Does what is ready, without waiting. For the loop of a [`Host`].
    pub fn host_turn(self: &Arc<Self>) -> Driven {
        if !self.process.is_current() {
            return Driven::Closed;
        }
        let Some(mut seat) = self.gate.try_enter_or_tell() else { return Driven::Idle };
        let Some(wheel) = seat.as_mut() else { return Driven::Closed };
        self.used.store(true, Ordering::Relaxed);
        self.sleep.wake_up();
        for _ in 0..HOST_STEPS {
            wheel.step(self, Some(Duration::ZERO));
            if !wheel.has_work() {
                break;
            }
        }
        if self.release(seat) { Driven::More } else { Driven::Idle }
    }

    pub(super) fn is_hosted(&self) -> bool {
        // Sequentially consistent, as the gate's fences are: whoever changed it came by the gate afterwards.
        self.hosts.load(Ordering::SeqCst) > 0
    }

    /// Passes the gate once, so that the driver is left as the hosts now want it.
    fn settle(self: &Arc<Self>) {
        if !self.process.is_current() {
            return;
        }
        self.used.store(true, Ordering::Relaxed);
        if let Some(seat) = self.gate.try_enter_or_tell() {
            self.release(seat);
        }
    }
}

impl Host {
    /// What is in the loop's care.
    pub fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.driver.hosts.fetch_sub(1, Ordering::SeqCst);
        self.driver.settle();
    }
}

/// Steps in one turn before the loop looks after its other descriptors.
const HOST_STEPS: usize = 4;
