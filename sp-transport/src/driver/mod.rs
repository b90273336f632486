//! A socket's I/O, run by whoever waits for it.
//!
//! Each socket has one [`Driver`]: a poll set with all its connections. A caller that waits drives it; while
//! nobody waits the worker does, for the poll set is itself a descriptor in the worker's poll set. Whoever
//! holds the gate drives, everything behind the gate is touched by that thread alone.
//!
//! A caller that leaves does not put the poll set back at once: it will come again, and two system calls for
//! each wait, or a worker that wakes between two waits, cost more than the wait. It leaves the driver on
//! *lease*: the worker looks from time to time, and takes over when nobody came. Whoever has news that cannot
//! wait for that sends the worker.
//!
//! A program with an event loop of its own puts the poll set into that and is the socket's *host* (`host.rs`,
//! `poll_set.rs`): then the worker does not drive, and news make the poll set readable instead of sending it.

mod gate;
mod host;
mod poll_set;
mod wheel;

pub use host::{Driven, Host};
pub use poll_set::PollSet;

use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mio::Token;
use sp_core::pipe::CloseReason;
use sp_core::process::Process;
use sp_core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use sp_core::sync::{Mutex, lock};

use crate::broadcast::Broadcast;
use crate::conn::{Conn, StreamPipe};
use crate::sleep::Sleep;
use crate::udp::Hub;
use crate::worker::{Tended, WorkerHandle};
use gate::{Gate, Left, Seat};
use poll_set::Bell;
use wheel::Wheel;

/// One socket's poll set and connections.
pub struct Driver {
    /// Whose it is: a forked child must not touch the poll set, which it shares with its parent.
    process: Process,
    /// `None` once the socket has ended.
    gate: Gate<Wheel>,
    /// `None` once the socket has ended: its connections are gone.
    mail: Mutex<Option<Vec<Mail>>>,
    has_mail: AtomicBool,
    /// There may be connections to poll.
    streams: AtomicBool,
    sleep: Sleep,
    poll_fd: RawFd,
    worker: WorkerHandle,
    /// Made when the first connection takes part.
    broadcast: OnceLock<Arc<Broadcast>>,
    /// The worker's name for this driver.
    place: OnceLock<usize>,
    /// The worker hears of this driver's events. Changed behind the gate.
    watched: AtomicBool,
    /// A caller has driven since the worker last looked.
    used: AtomicBool,
    /// How long callers may be away before the worker takes over, in its ticks.
    lease_ticks: AtomicU8,
    /// How many foreign loops hear of the poll set and drive: while there are any the worker does not. Each change
    /// is followed by `settle`.
    hosts: AtomicUsize,
    /// What tells the program's own loop of news that no descriptor has.
    bell: Mutex<Option<Arc<Bell>>>,
    /// Whether there is a bell: what every arrival may ask without a lock.
    has_bell: AtomicBool,
    /// Nanoseconds a waiting call polls before it sleeps. Read at the start of each wait.
    polling: AtomicU64,
}

/// What the worker finds when it looks after a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lease {
    /// Callers have driven meanwhile.
    GoesOn,
    /// The worker has taken over, or a caller drives right now.
    Ended,
    /// The worker has taken over, and work is left.
    EndedBusy,
}

/// News for whoever drives.
enum Mail {
    /// A new connection, opened and accepted.
    Adopt(Box<Conn>),
    /// Somebody wants this connection read again or ended.
    Attend(Arc<StreamPipe>),
    /// A new descriptor for datagrams, or one of whose pipes somebody wants to receive again or waits for the kernel.
    Hub(Arc<Hub>),
}

impl Driver {
    /// Makes a poll set for one socket and puts it into the care of `worker`.
    pub(crate) fn new(
        worker: WorkerHandle,
        polling: Duration,
        asks: bool,
    ) -> io::Result<Arc<Self>> {
        let wheel = Wheel::new(asks)?;
        let poll_fd = wheel.poll_fd();
        let sleep = Sleep::new(wheel.registry(), WAKER)?;
        let mail = Some(Vec::new());
        let driver =
            Arc::new(Self::with(Gate::new(wheel), mail, sleep, poll_fd, worker, nanos(polling)));
        driver.worker.add_driver(&driver);
        driver.worker.enroll(&driver).inspect_err(|_| driver.worker.remove_driver(&driver))?;
        driver.watched.store(true, Ordering::Relaxed);
        Ok(driver)
    }

    /// As this one will be once it has ended, without looking at what it is now.
    pub fn ended(&self) -> Arc<Self> {
        let (gate, worker) = (Gate::ended(), self.worker.clone());
        Arc::new(Self::with(gate, None, Sleep::ended(), -1, worker, 0))
    }

    fn with(
        gate: Gate<Wheel>,
        mail: Option<Vec<Mail>>,
        sleep: Sleep,
        poll_fd: RawFd,
        worker: WorkerHandle,
        polling: u64,
    ) -> Self {
        Self {
            process: Process::current(),
            gate,
            mail: Mutex::new(mail),
            has_mail: AtomicBool::new(false),
            streams: AtomicBool::new(false),
            sleep,
            poll_fd,
            worker,
            broadcast: OnceLock::new(),
            place: OnceLock::new(),
            watched: AtomicBool::new(false),
            used: AtomicBool::new(false),
            lease_ticks: AtomicU8::new(1),
            hosts: AtomicUsize::new(0),
            bell: Mutex::new(None),
            has_bell: AtomicBool::new(false),
            polling: AtomicU64::new(polling),
        }
    }

    /// The worker gives this driver a name, before anybody can find it by that.
    pub(crate) fn take_place(&self, place: usize) {
        // Given once.
        let _ = self.place.set(place);
    }

    /// The worker's name for this driver.
    pub(crate) fn place(&self) -> usize {
        self.place.get().copied().unwrap_or(usize::MAX)
    }

    /// Ends every connection, takes the driver out of the worker's care and gives its descriptors back.
    pub fn retire(self: &Arc<Self>, why: &CloseReason) {
        self.drive().close_all(why);
        self.worker.remove_driver(self);
        let mail = lock(&self.mail).take();
        drop(mail);
        let wheel = self.gate.enter().take();
        drop(wheel);
        self.sleep.retire();
        // A loop that waits learns of the end.
        self.announce();
    }

    /// How long a waiting call polls before it sleeps, at the most. Zero switches that off.
    pub fn set_polling(&self, budget: Duration) {
        self.polling.store(nanos(budget), Ordering::Relaxed);
    }

    fn polling(&self) -> Duration {
        Duration::from_nanos(self.polling.load(Ordering::Relaxed))
    }

    /// Takes the wheel unless somebody else has it.
    pub fn try_drive(self: &Arc<Self>) -> Option<Drive<'_>> {
        let seat = self.gate.try_enter().filter(|seat| seat.is_some())?;
        Some(Drive::new(self, seat))
    }

    /// Takes the wheel, waiting for whoever has it. For closing only: a waiting receiver may hold it long.
    pub fn drive(self: &Arc<Self>) -> Drive<'_> {
        Drive::new(self, self.gate.enter())
    }

    /// Makes whoever drives look up, and sends the worker if nobody does.
    pub fn notify(self: &Arc<Self>) {
        if !self.sleep.notify() {
            self.worker.come_again(Arc::clone(self));
        }
    }

    /// A write waits for the kernel: somebody has to be there when it has room.
    pub(crate) fn blocked(self: &Arc<Self>) {
        if self.sleep.is_away() {
            self.notify();
        }
    }

    /// What the socket sends to all of its connections, once one of them takes part.
    pub fn broadcast(&self) -> Option<&Arc<Broadcast>> {
        self.broadcast.get()
    }

    /// A connection takes part in what the socket sends to all.
    pub(crate) fn begin_broadcast(self: &Arc<Self>) -> &Arc<Broadcast> {
        self.broadcast.get_or_init(|| Broadcast::new(Arc::downgrade(self)))
    }

    /// Whether nobody drives, nobody hears of events and nobody has been sent: the caller that was the last to
    /// drive has left. Whoever waits should drive then.
    pub fn is_deserted(&self) -> bool {
        self.sleep.is_away()
    }

    /// Something streams and wants its queue looked after, by the program's own loop if there is one.
    pub(crate) fn tend(&self, pipe: Arc<dyn Tended>) {
        let left = match self.bell() {
            Some(bell) => bell.tend_later(pipe),
            None => Some(pipe),
        };
        if let Some(pipe) = left {
            self.worker.tend(pipe);
        }
    }

    /// Whether a receiver may look out for a moment instead of driving: there is nothing to poll, so nothing
    /// reaches the socket but from within the process, and polling is not switched off.
    pub fn may_look_out(&self) -> bool {
        !self.streams.load(Ordering::Relaxed) && !self.polling().is_zero()
    }

    pub(crate) fn poll_fd(&self) -> RawFd {
        self.poll_fd
    }

    /// The worker has made a connection. Answers whether work is left that no event will announce.
    pub(crate) fn adopt(self: &Arc<Self>, conn: Conn) -> bool {
        self.streams.store(true, Ordering::Relaxed);
        self.post(Mail::Adopt(Box::new(conn)));
        // Most sockets to which connections come are driven by the worker, which need not wake itself.
        match self.gate.try_enter() {
            Some(seat) => self.take_over(seat),
            None => {
                self.notify();
                false
            }
        }
    }

    /// A pipe has a wish.
    pub(crate) fn attend(self: &Arc<Self>, pipe: Arc<StreamPipe>) {
        self.post(Mail::Attend(pipe));
        self.notify();
    }

    /// A pipe wishes to be read again, which can wait while the driver is on lease: the caller comes when it has
    /// taken what it got. Sending the worker would cost more and make two threads of one.
    pub(crate) fn attend_when_needed(self: &Arc<Self>, pipe: Arc<StreamPipe>) {
        self.post(Mail::Attend(pipe));
        if !self.sleep.is_away() {
            self.notify();
        }
    }

    /// The worker has a new descriptor for datagrams.
    pub(crate) fn adopt_hub(self: &Arc<Self>, hub: Arc<Hub>) {
        self.streams.store(true, Ordering::Relaxed);
        self.attend_hub(hub);
    }

    /// A descriptor for datagrams has a wish.
    pub(crate) fn attend_hub(self: &Arc<Self>, hub: Arc<Hub>) {
        self.post(Mail::Hub(hub));
        self.notify();
    }

    /// As [`attend_when_needed`](Self::attend_when_needed), for a pipe of a descriptor for datagrams.
    pub(crate) fn attend_hub_when_needed(self: &Arc<Self>, hub: Arc<Hub>) {
        self.post(Mail::Hub(hub));
        if !self.sleep.is_away() {
            self.notify();
        }
    }

    /// A receiver found nothing and does not drive: the worker has to, unless a foreign loop does.
    pub fn needs_worker(self: &Arc<Self>) {
        if !self.is_hosted() && !self.watched.load(Ordering::Acquire) {
            self.worker.come_again(Arc::clone(self));
        } else if self.has_mail.load(Ordering::Acquire) {
            self.notify();
        }
    }

    /// The worker looks after a lease.
    pub(crate) fn renew(self: &Arc<Self>) -> Lease {
        if self.used.swap(false, Ordering::Relaxed) {
            self.lengthen_lease(LEASE_TICKS_IN_USE);
            return Lease::GoesOn;
        }
        // A host that begins now comes by the gate after this, and so does the last one that goes, which leases anew.
        let busy = self.gate.end_lease().is_some_and(|seat| self.take_over(seat));
        if busy { Lease::EndedBusy } else { Lease::Ended }
    }

    /// How long callers may be away before the worker takes over, in its ticks.
    pub(crate) fn lease_ticks(&self) -> u8 {
        self.lease_ticks.load(Ordering::Relaxed)
    }

    fn lengthen_lease(&self, most: u8) {
        let ticks = self.lease_ticks();
        if ticks < most {
            self.lease_ticks.store((ticks * 2).min(most), Ordering::Relaxed);
        }
    }

    /// Connections come and go: whoever watches them does not want to wait for a lease.
    pub(crate) fn shorten_lease(&self) {
        if self.lease_ticks.swap(1, Ordering::Relaxed) > 1 {
            self.worker.lease(self.place());
        }
    }

    fn post(&self, mail: Mail) {
        if let Some(waiting) = &mut *lock(&self.mail) {
            waiting.push(mail);
        }
        // Release pairs with the acquire of whoever looks for mail.
        self.has_mail.store(true, Ordering::Release);
    }

    /// The worker's turn. Answers whether work is left that no event will announce.
    pub(crate) fn turn(self: &Arc<Self>) -> bool {
        self.gate.try_enter_or_tell().is_some_and(|seat| self.take_over(seat))
    }

    /// The worker drives, and from now on hears of events. Answers whether work is left.
    fn take_over<'a>(self: &'a Arc<Self>, mut seat: Seat<'a, Wheel>) -> bool {
        let mut busy = false;
        // What the worker was sent for before there was a host, that has found when it settled.
        if !self.is_hosted()
            && let Some(wheel) = seat.as_mut()
        {
            self.sleep.wake_up();
            for _ in 0..WORKER_STEPS {
                busy = wheel.step(self, Some(Duration::ZERO));
                if !busy {
                    break;
                }
            }
            if !self.watched.load(Ordering::Relaxed) {
                // Fails only for want of kernel memory; then the driver stays on lease.
                let watched = self.worker.watch(self).is_ok();
                self.watched.store(watched, Ordering::Release);
            }
        }
        let left = self.release(seat);
        (busy || left) && !self.is_hosted()
    }

    /// Gives the wheel back so that news find somebody: they wake the worker or the host's loop, or send the worker,
    /// or wait for the end of a lease. Answers whether work is left that no event will announce.
    fn release<'a>(self: &'a Arc<Self>, seat: Seat<'a, Wheel>) -> bool {
        let mut busy = false;
        let settle = |wheel: &mut Wheel, hosted| busy = self.settle_wheel(wheel, hosted);
        match self.gate.leave(seat, || self.is_hosted(), settle) {
            Left::Unseen => {}
            // It may have been a host's loop that has heard of events and will hear of them no more. Whoever is at the
            // wheel by now either fetches them or leaves this one with them.
            Left::Missed if self.is_hosted() => self.sleep.ring(),
            Left::Missed => self.worker.come_again(Arc::clone(self)),
            Left::ToAnother => return busy,
        }
        let heard = self.is_hosted() || self.watched.load(Ordering::Relaxed);
        if !heard && self.gate.lease() {
            self.worker.lease(self.place());
        }
        busy
    }

    /// Brings the wheel into a state where news wakes the worker or the host's loop, or whoever has it sends the
    /// worker. Answers whether work is left, which reading mail may have brought.
    fn settle_wheel(&self, wheel: &mut Wheel, hosted: bool) -> bool {
        if hosted && self.watched.swap(false, Ordering::Relaxed) {
            self.worker.release(self);
        }
        let heard = hosted || self.watched.load(Ordering::Relaxed);
        loop {
            self.sleep.wake_up();
            wheel.read_mail(self);
            let left = if heard { self.sleep.fall_asleep() } else { self.sleep.go_away() };
            if left {
                break;
            }
        }
        let busy = wheel.has_work();
        if busy && hosted {
            // No event will say so; the poll set does. It sleeps, so it is woken.
            let _ = self.sleep.notify();
        }
        busy
    }
}

/// The wheel in one's hands; dropping it leaves it to the host's loop, or on lease.
pub struct Drive<'a> {
    driver: &'a Arc<Driver>,
    /// Taken when dropped.
    seat: Option<Seat<'a, Wheel>>,
}

impl<'a> Drive<'a> {
    fn new(driver: &'a Arc<Driver>, seat: Seat<'a, Wheel>) -> Self {
        if driver.watched.swap(false, Ordering::Relaxed) {
            driver.worker.release(driver);
            // The worker took over in vain: next time it waits longer.
            driver.lengthen_lease(LEASE_TICKS_MAX);
        }
        driver.used.store(true, Ordering::Relaxed);
        driver.sleep.wake_up();
        Self { driver, seat: Some(seat) }
    }

    /// Polls, reads, delivers and writes until `done` says so or `deadline` passes. Answers what `done` said
    /// last.
    ///
    /// Before it sleeps it polls for a bounded time that adapts to what that brought before.
    pub fn run_until(&mut self, done: impl Fn() -> bool, deadline: Option<Instant>) -> bool {
        match self.wheel() {
            Some((wheel, driver)) => wheel.run_until(driver, done, deadline),
            None => done(),
        }
    }

    /// Ends every connection. Their sockets are told as of any other end.
    pub fn close_all(&mut self, why: &CloseReason) {
        if let Some((wheel, driver)) = self.wheel() {
            wheel.close_all(driver, why);
        }
    }

    fn wheel(&mut self) -> Option<(&mut Wheel, &'a Arc<Driver>)> {
        Some((self.seat.as_mut()?.as_mut()?, self.driver))
    }
}

impl Drop for Drive<'_> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            self.driver.release(seat);
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The longest lease: a tenth of a second. A caller that comes again within that is not helped by the worker, and both
/// would pay for it; what waits meanwhile is news for which nobody waits, such as a peer's end.
const LEASE_TICKS_MAX: u8 = 50;

/// The longest lease only because callers come again and again: 16 ms. Each look wakes the worker, which costs a socket
/// in steady use a third of its time where requests come once in a millisecond.
const LEASE_TICKS_IN_USE: u8 = 8;

/// What the waker's events come with.
const WAKER: Token = Token(usize::MAX);

/// Steps in one worker turn before the worker looks after its other sockets.
const WORKER_STEPS: usize = 8;
