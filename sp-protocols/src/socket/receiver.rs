//! Receiving through a channel, for programs that wait for several things with crossbeam's `select!`.

use std::fmt;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Wake, Waker};

use crossbeam_channel::{self as channel, Sender, bounded};
use sp_core::message::Message;
use sp_core::process::PerProcess;
use sp_core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use sp_core::sync::{Mutex, lock};

use super::Socket;
use super::attendant::Attendant;
use super::calls::Retry;
use super::context::Context;
use super::error::OpenError;
use super::wait::{Side, Ticket};
use crate::engine::{Engine, FeedEngine};

impl<E: Engine> Socket<E> {
    /// Hands out a channel that what is received comes out of, for `select!` beside other channels.
    ///
    /// At most `capacity` messages, and at least one, stand in the channel; the rest stays with the socket, whose
    /// queue pushes back or drops as ever. Several receivers, and plain receives, share the messages: each goes to
    /// one of them. What is in the channel is out of the reach of [`unsubscribe`](Context::unsubscribe).
    ///
    /// ```
    /// # use sp_protocols::sockets as sp;
    /// use crossbeam_channel::{select, tick};
    ///
    /// let (pull, push) = (sp::Pull::new()?, sp::Push::new()?);
    /// push.dial(pull.listen("tcp://127.0.0.1:0")?.endpoint())?;
    /// push.send("work")?;
    ///
    /// let (work, clock) = (pull.receiver(64)?, tick(std::time::Duration::from_secs(1)));
    /// let done = loop {
    ///     select! {
    ///         recv(work) -> message => break message?,
    ///         recv(clock) -> _ => println!("still waiting"),
    ///     }
    /// };
    /// assert_eq!(done, "work");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// No thread stands between socket and channel: whoever brings a message puts it in. But no channel tells when
    /// there is room again, so one thread for all receivers of the process, `sp-hand-out`, waits for that. It is there
    /// as long as there is a receiver, and sleeps unless a channel is full.
    ///
    /// # Errors
    ///
    /// [`OpenError::System`] if that thread cannot be started.
    pub fn receiver(&self, capacity: usize) -> Result<Receiver<E>, OpenError>
    where
        E: FeedEngine,
    {
        let failed = |source| OpenError::System { protocol: E::SELF, source };
        let (outlet, messages) = bounded(capacity.max(1));
        let pump = Arc::new(Pump {
            ctx: Context::main(self.handle()),
            attendant: Attendant::acquire().map_err(failed)?,
            calls: AtomicUsize::new(0),
            work: Mutex::new(Work { outlet: Some(outlet), ticket: None }),
            given_up: AtomicBool::new(false),
        });
        pump.wake_by_ref();
        Ok(Receiver { pump, messages: PerProcess::new(messages) })
    }
}

/// What a socket receives, as a channel; see [`Socket::receiver`].
///
/// It dereferences to the channel. It keeps the socket open as any handle does, and ends when the socket is closed:
/// what is in the channel still comes out, and then [`RecvError`](channel::RecvError). In a child of `fork` it has
/// ended.
///
/// Dropped, it loses nothing: what is in the channel goes back to the socket and is what that receives next. A clone
/// of the channel itself takes its share, and ends with this.
pub struct Receiver<E: FeedEngine> {
    pump: Arc<Pump<E>>,
    /// A forked child has one that has ended.
    messages: PerProcess<channel::Receiver<Message>>,
}

impl<E: FeedEngine> Deref for Receiver<E> {
    type Target = channel::Receiver<Message>;

    fn deref(&self) -> &channel::Receiver<Message> {
        self.messages.get(|_| bounded(0).1)
    }
}

impl<E: FeedEngine> Drop for Receiver<E> {
    fn drop(&mut self) {
        if let Some(parents) = self.messages.inherited() {
            // Left as they are, for the parent goes on with them.
            return mem::forget((parents.clone(), Arc::clone(&self.pump)));
        }
        let Pump { ctx, given_up, .. } = &*self.pump;
        // Under the socket's lock, as all that the pump moves: so whoever receives next finds it all in order.
        ctx.shared().step(|core, deferred| {
            given_up.store(true, Ordering::Relaxed);
            core.give_back(self.try_iter(), deferred);
        });
        self.pump.wake_by_ref();
    }
}

impl<E: FeedEngine> fmt::Debug for Receiver<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("context", &self.pump.ctx)
            .field("messages", &**self)
            .finish()
    }
}

/// Moves messages from a socket to a channel whenever it is woken: because there is a message, or because there is
/// room.
struct Pump<E: FeedEngine> {
    ctx: Context<E>,
    attendant: Arc<Attendant>,
    /// Wakes since the pump began to work. Whoever makes it one works, and goes on until no more have come meanwhile:
    /// so one thread at a time does, and none waits for another.
    calls: AtomicUsize,
    /// Taken out by the one who works.
    work: Mutex<Work>,
    /// Nobody wants what comes out of the channel any more. Only looked at and changed with the socket's lock.
    given_up: AtomicBool,
}

#[derive(Default)]
struct Work {
    /// `None` once nothing more is to come out.
    outlet: Option<Sender<Message>>,
    /// The pump's place in the line of those who wait to receive.
    ticket: Option<Ticket>,
}

impl<E: FeedEngine> Pump<E> {
    /// Moves what there is, as far as there is room. `None` ends the channel.
    fn work(self: &Arc<Self>, work: Work) -> Option<Work> {
        let Work { outlet, mut ticket } = work;
        let outlet = outlet?;
        // A message is taken only when there is room for it; nobody else puts any in.
        while !outlet.is_full() {
            let is_wanted = || !self.given_up.load(Ordering::Relaxed);
            let attempt = |core: &mut _, deferred: &mut _| {
                let mut message = Message::new();
                let retry = || self.ctx.retry_recv(core, deferred, &mut message);
                let received = is_wanted().then(retry)??;
                Some(received.map(|()| {
                    let sent = outlet.try_send(message);
                    debug_assert!(sent.is_ok(), "there was room, and a receiver");
                }))
            };
            let waker = || is_wanted().then(|| Waker::from(Arc::clone(self)));
            match self.ctx.retry(Side::Recv, &mut ticket, attempt, waker) {
                Retry::Answer(Ok(())) => {}
                Retry::Answer(Err(_closed)) => return None,
                Retry::Waits => {
                    self.ctx.shared().driver.needs_worker();
                    return Some(Work { outlet: Some(outlet), ticket });
                }
                Retry::GaveUp { was_woken } => {
                    if was_woken {
                        self.ctx.pass_on(Side::Recv);
                    }
                    return None;
                }
            }
        }
        self.attendant.watch(outlet.clone(), Waker::from(Arc::clone(self)));
        Some(Work { outlet: Some(outlet), ticket })
    }
}

impl<E: FeedEngine> Wake for Pump<E> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Acquire and release hand the work from one thread to the next.
        if self.calls.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let mut answered = 1;
        loop {
            // No lock is held while it works, for that may run anybody's waker.
            let work = mem::take(&mut *lock(&self.work));
            let left = self.work(work).unwrap_or_default();
            *lock(&self.work) = left;
            match self.calls.compare_exchange(answered, 0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(calls) => answered = calls,
            }
        }
    }
}
