//! Devices: what comes in on one raw socket goes out on another.

mod ends;
mod lane;

pub use ends::Fits;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, Waker};

use sp_core::stats::Stats;
use sp_core::sync::{Mutex, lock};
use sp_transport::Driver;

use self::ends::{End, Lanes};
use self::lane::{Forward, Tally};
use super::Socket;
use super::wait::{Parker, Ticket};
use crate::engine::raw::{RawEngine, Role, TwoWay};

/// Passes everything on between two raw sockets, header included: from one network to another.
///
/// ```text
///   REQ ──▶ raw REP ═══ device ═══ raw REQ ──▶ REP        and the replies back
///   PUB ──▶ raw SUB ═══ device ═══ raw PUB ──▶ SUB        one way
/// ```
///
/// ```
/// use sp_protocols::{raw, sockets as sp};
///
/// let (front, back) = (raw::Rep::new()?, raw::Req::new()?);
/// let (client, server) = (sp::Req::new()?, sp::Rep::new()?);
/// client.dial(front.listen("inproc://front")?.endpoint())?;
/// server.dial(back.listen("inproc://back")?.endpoint())?;
///
/// let device = raw::Device::new(front, back);
/// let handle = device.handle();
/// let thread = std::thread::spawn(move || device.run());
///
/// client.send("ping")?;
/// assert_eq!(server.recv()?, "ping");
/// server.send("pong")?;
/// assert_eq!(client.recv()?, "pong");
///
/// handle.stop();
/// let stats = thread.join().expect("a device does not panic");
/// assert_eq!((stats.get("there"), stats.get("back")), (Some(1), Some(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`run`](Self::run) it on a thread, or await it: it is a plain future, for any runtime. It ends when one of the two
/// sockets closes or when [`DeviceHandle::stop`] says so, and then closes both. Dropped, it ends as well. Peers come
/// and go without ending it.
///
/// **A slow side holds up what is on its way to it, and nothing else.** What one side cannot take waits: in the other
/// socket up to its queue, then with the peers, which are not read. The other direction goes on. Where a pattern does
/// not wait but drops (PUB, SURVEYOR, BUS, STAR, replies and responses), the device drops as well, and the sockets
/// count it.
///
/// **Loops** end where headers count: REP, RESPONDENT, PAIR1 and STAR drop what has passed more devices than their
/// [`ttl`](crate::engine::raw::RawOptions::ttl) allows. BUS has no such count, and PUB and PUSH have no header at
/// all: never close a ring with them.
///
/// Nothing is allocated for a message, and a body in a buffer is not copied, unless a sender in the same process still
/// shares it and the header grows. Other calls on the two sockets go on working, but compete for what comes in.
///
/// Sockets of patterns that do not talk to each other do not fit, and sockets that are not raw do not either:
///
/// ```compile_fail,E0308
/// use sp_protocols::raw;
/// raw::Device::new(raw::Req::new().unwrap(), raw::Req::new().unwrap());
/// ```
///
/// ```compile_fail,E0308
/// use sp_protocols::raw;
/// raw::Device::new(raw::Pub::new().unwrap(), raw::Pull::new().unwrap());
/// ```
///
/// ```compile_fail,E0277
/// use sp_protocols::{raw, sockets as sp};
/// raw::Device::new(sp::Rep::new().unwrap(), sp::Req::new().unwrap());
/// ```
#[must_use = "a device does nothing unless it is run or awaited"]
pub struct Device {
    /// The first drives its socket where the device has a thread.
    lanes: Vec<Box<dyn Forward>>,
    control: Arc<Control>,
    /// Who hears of the end while the device waits.
    watch: Option<Watch>,
}

/// Who is woken by the end of each of the sockets.
struct Watch {
    waker: Waker,
    tickets: Vec<Ticket>,
}

/// Stops a device and tells what it did. Any number of clones, in any thread.
#[derive(Clone)]
pub struct DeviceHandle {
    control: Arc<Control>,
}

/// What a device and its handles share.
struct Control {
    /// One or two sockets.
    ends: Vec<Box<dyn End>>,
    there: Arc<Tally>,
    back: Arc<Tally>,
    call: Mutex<Call>,
}

/// Whether the device has been told to end, and who is to hear of that.
#[derive(Default)]
struct Call {
    is_stopped: bool,
    waker: Option<Waker>,
}

impl Device {
    /// Connects two raw sockets of patterns that talk to each other, in any order.
    ///
    /// Given the same socket twice, this is a [`reflector`](Self::reflector). A STAR is one by itself: then the device
    /// only waits for its end.
    pub fn new<A: Fits<B>, B: RawEngine>(a: Socket<A>, b: Socket<B>) -> Self {
        let Lanes { there, back } = A::lanes(&a, &b);
        let [tally_there, tally_back] = [&there, &back]
            .map(|lane| lane.as_ref().map(|lane| Arc::clone(lane.tally())).unwrap_or_default());
        let is_same = a.id() == b.id();
        let mut ends: Vec<Box<dyn End>> = vec![Box::new(a)];
        if !is_same {
            ends.push(Box::new(b));
        }
        let control =
            Control { ends, there: tally_there, back: tally_back, call: Mutex::default() };
        // A second lane would race with the first.
        let lanes = there.into_iter().chain(back.filter(|_| !is_same)).collect();
        Self { lanes, control: Arc::new(control), watch: None }
    }

    /// Sends what comes in on a raw socket out on the same: on BUS to all but the one it came from, on PAIR back.
    ///
    /// ```compile_fail,E0271
    /// use sp_protocols::raw;
    /// raw::Device::reflector(raw::Rep::new().unwrap());
    /// ```
    ///
    /// ```compile_fail,E0308
    /// use sp_protocols::raw;
    /// raw::Device::reflector(raw::Star::new().unwrap());
    /// ```
    pub fn reflector<R: Role<Peer = R>>(socket: Socket<TwoWay<R>>) -> Self {
        Self::new(socket.clone(), socket)
    }

    /// What stops the device and tells what it did.
    pub fn handle(&self) -> DeviceHandle {
        DeviceHandle { control: Arc::clone(&self.control) }
    }

    /// Forwards on this thread until the device ends, and answers what it did, as [`DeviceHandle::stats`].
    ///
    /// The thread does the I/O of one of the sockets, the one that receives if there is one way only. At the end it
    /// waits for each socket until what it has accepted has left, up to 1 s.
    pub fn run(mut self) -> Stats {
        let parker = Parker::take();
        let waker = parker.waker();
        loop {
            parker.prepare();
            if self.step(&task::Context::from_waker(&waker)) {
                break;
            }
            let Some(driver) = self.driver() else { break };
            self.control.leave_to_worker(|end| !Arc::ptr_eq(end.driver(), driver));
            parker.wait(driver, None);
        }
        parker.put_back();
        self.lanes.clear();
        self.control.ends.iter().for_each(|end| end.close());
        self.control.stats()
    }

    /// Forwards what there is. Answers whether the device is to end.
    fn step(&mut self, cx: &task::Context<'_>) -> bool {
        self.watch_with(cx.waker());
        // After the waker is known to whoever closes or stops.
        if self.control.is_over() {
            return true;
        }
        let mut is_over = false;
        for lane in &mut self.lanes {
            // Each, for one that has to wait does not keep the other from going on.
            is_over |= lane.poll(cx).is_ready();
        }
        is_over
    }

    /// Sees to it that the end of a socket and of the device wake `waker`.
    fn watch_with(&mut self, waker: &Waker) {
        if self.watch.as_ref().is_some_and(|watch| watch.waker.will_wake(waker)) {
            return;
        }
        self.unwatch();
        let tickets = self.control.ends.iter().map(|end| end.watch(waker)).collect();
        self.watch = Some(Watch { waker: waker.clone(), tickets });
        let _dropped_unlocked = lock(&self.control.call).waker.replace(waker.clone());
    }

    /// What the device drives where it has a thread.
    fn driver(&self) -> Option<&Arc<Driver>> {
        let lane = self.lanes.first().map(|lane| lane.driver());
        lane.or_else(|| self.control.ends.first().map(|end| end.driver()))
    }

    fn unwatch(&mut self) {
        let tickets = self.watch.take().map(|watch| watch.tickets).unwrap_or_default();
        for (end, ticket) in self.control.ends.iter().zip(tickets) {
            end.unwatch(ticket);
        }
    }
}

impl Future for Device {
    type Output = Stats;

    /// Ready with what the device did once it has ended. The sockets send what they have accepted in the background.
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Stats> {
        let this = self.get_mut();
        if this.step(cx) {
            this.lanes.clear();
            this.control.abandon();
            return Poll::Ready(this.control.stats());
        }
        this.control.leave_to_worker(|_| true);
        Poll::Pending
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.unwatch();
        // Those that are closed stay so.
        self.control.abandon();
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("ends", &self.control.ends).finish_non_exhaustive()
    }
}

impl DeviceHandle {
    /// Ends the device, and with it both sockets. What it has taken from one and not yet given to the other is lost and
    /// counted.
    pub fn stop(&self) {
        let waker = {
            let mut call = lock(&self.control.call);
            call.is_stopped = true;
            call.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// How many messages went from the first socket to the second (`there`) and the other way (`back`), how many it
    /// holds because there is no room for them (`held`), how many were `lost` at the end; below, the statistics of the
    /// sockets, which say what was dropped and why.
    pub fn stats(&self) -> Stats {
        self.control.stats()
    }
}

impl fmt::Debug for DeviceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceHandle").field("ends", &self.control.ends).finish_non_exhaustive()
    }
}

impl Control {
    /// Whether the device has been told to end, or one of its sockets has.
    fn is_over(&self) -> bool {
        lock(&self.call).is_stopped || self.ends.iter().any(|end| end.is_closed())
    }

    /// The worker looks after these sockets while the device waits.
    fn leave_to_worker(&self, which: impl Fn(&dyn End) -> bool) {
        let ends = self.ends.iter().filter(|end| which(end.as_ref()));
        ends.for_each(|end| end.driver().needs_worker());
    }

    fn abandon(&self) {
        self.ends.iter().for_each(|end| end.abandon());
    }

    fn stats(&self) -> Stats {
        let stats = Stats::new("device")
            .value("there", self.there.passed())
            .value("back", self.back.passed())
            .value("held", self.there.held() + self.back.held())
            .value("lost", self.there.lost() + self.back.lost());
        self.ends.iter().fold(stats, |stats, end| stats.child(end.stats()))
    }
}
