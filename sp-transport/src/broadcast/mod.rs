//! What a socket sends to all of its connections at once.
//!
//! A message is encoded once for each framing in use and appended to a [`Log`](log::Log); each connection has a
//! cursor there. Publishing costs the same however many connections there are: one writer machine, the same that a
//! single connection has, says for all of them together who sees to the writing and when. Whoever that is makes a
//! *sweep*: releases what has been appended, and has every connection write what it lacks. A connection whose kernel
//! buffer is full is passed over; its driver goes on with it.

mod chunk;
mod log;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};

use sp_core::id::PeerId;
use sp_core::message::Message;
use sp_core::pipe::{Backlog, Flush, Standing};
use sp_core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use sp_core::sync::{Mutex, lock};

use crate::conn::{Decision, Pacer, Piece, STREAM_FLUSH_BYTES, StreamPipe, Turn};
use crate::driver::Driver;
use crate::wire::Framing;
use crate::worker::Tended;
pub(crate) use log::Loaded;
use log::{Allowance, Log};

/// One socket's broadcasts to its stream connections.
pub struct Broadcast {
    me: Weak<Self>,
    state: Mutex<State>,
    /// What may be published before anybody could be slow: messages, and bytes as limits count them. Changed under
    /// the socket's lock only, so that plain loads and stores do.
    free_messages: AtomicU64,
    free_bytes: AtomicU64,
    /// Whose connections these are.
    driver: Weak<Driver>,
    /// Somebody sent something since the last flush: this is a conversation.
    heard: AtomicBool,
    /// The worker looks after the broadcasts. Only the worker touches this.
    tended: AtomicBool,
}

struct State {
    /// One for each framing.
    logs: [Log; Framing::ALL.len()],
    /// A snapshot for sweeps; copied when it changes during one.
    pipes: Arc<Vec<Weak<StreamPipe>>>,
    pacer: Pacer,
    /// What has been appended since the last sweep: messages, and the bytes they are for each connection.
    fresh_messages: usize,
    fresh_bytes: usize,
}

impl Broadcast {
    pub(crate) fn new(driver: Weak<Driver>) -> Arc<Self> {
        let state = State {
            logs: Framing::ALL.map(Log::new),
            pipes: Arc::default(),
            pacer: Pacer::new(),
            fresh_messages: 0,
            fresh_bytes: 0,
        };
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            state: Mutex::new(state),
            free_messages: AtomicU64::new(0),
            free_bytes: AtomicU64::new(0),
            driver,
            heard: AtomicBool::new(false),
            tended: AtomicBool::new(false),
        })
    }

    /// Appends `msg` for every connection that has joined. Called under the socket's lock: short, no system call.
    ///
    /// Answers whether the caller has to [`flush`](Self::flush) afterwards; if not, somebody else sees to it.
    pub fn publish(&self, msg: &mut Message) -> bool {
        let cost = (msg.payload_len() + Backlog::OVERHEAD) as u64;
        let free_messages = self.free_messages.load(Ordering::Relaxed);
        self.free_messages.store(free_messages.saturating_sub(1), Ordering::Relaxed);
        let free_bytes = self.free_bytes.load(Ordering::Relaxed);
        self.free_bytes.store(free_bytes.saturating_sub(cost), Ordering::Relaxed);
        let mut state = lock(&self.state);
        let mut frame = 0;
        for log in &mut state.logs {
            frame = log.append(msg).max(frame);
        }
        if frame == 0 {
            return false;
        }
        state.fresh_messages += 1;
        state.fresh_bytes += frame;
        state.pacer.writer.wants_flush(state.pressing())
    }

    /// Sees to it that what was published leaves. Called under no lock.
    pub fn flush(&self, how: Flush) {
        let heard = self.heard.swap(false, Ordering::Relaxed);
        let (decision, direct) = {
            let mut state = lock(&self.state);
            let few = state.pipes.len() <= DIRECT_PIPES_MAX;
            let how = match how {
                // To write to more takes longer than waking the worker.
                Flush::Now if !few => Flush::Soon,
                how => how,
            };
            let pressing = state.pressing();
            let decision = state.pacer.flush(pressing, how, heard);
            let direct = (decision == Decision::Delegate).then(|| state.release());
            (decision, direct)
        };
        match decision {
            Decision::Write => self.sweep(),
            Decision::Delegate => {
                self.delegate();
                // While the worker wakes up the first ones can be served.
                kick(direct.iter().flat_map(|pipes| pipes.iter()).take(DIRECT_PIPES_MAX));
            }
            Decision::Leave => {}
        }
    }

    /// A connection that has joined and for which as much waits as its limit allows. As a rule answered without
    /// looking at any. Called under the socket's lock.
    pub fn slow(&self) -> Option<PeerId> {
        let free = self.free_messages.load(Ordering::Relaxed) > 0
            && self.free_bytes.load(Ordering::Relaxed) > 0;
        if free { None } else { self.look_for_slow() }
    }

    #[cold]
    fn look_for_slow(&self) -> Option<PeerId> {
        let mut free = Allowance::ENDLESS;
        for log in &lock(&self.state).logs {
            match log.allowance() {
                Ok(Allowance { messages, bytes }) => free = free.min(messages, bytes),
                Err(peer) => return Some(peer),
            }
        }
        self.free_messages.store(free.messages, Ordering::Relaxed);
        self.free_bytes.store(free.bytes, Ordering::Relaxed);
        None
    }

    /// Lets connections take what has been published, whoever writes.
    pub(crate) fn release(&self) {
        lock(&self.state).release();
    }

    /// Has every connection write what it lacks. Only for whoever the machine chose.
    fn sweep(&self) {
        let pipes = lock(&self.state).begin_sweep();
        kick(pipes.iter());
        drop(pipes);
        let handed_over = {
            let mut state = lock(&self.state);
            if state.fresh_messages == 0 {
                state.pacer.drained();
                Decision::Leave
            } else {
                // Published meanwhile: that waits for company, as it would have without this sweep.
                state.pacer.writer.handed_over()
            }
        };
        if handed_over == Decision::Delegate {
            self.delegate();
        }
    }

    fn delegate(&self) {
        if let (Some(me), Some(driver)) = (self.me.upgrade(), self.driver.upgrade()) {
            driver.tend(me);
        }
    }
}

impl Tended for Broadcast {
    fn tend(&self) -> bool {
        let turn = {
            let mut state = lock(&self.state);
            if state.pacer.writer.take_flushed() {
                // The publisher sweeps by itself.
                return true;
            }
            let pressing = state.pressing();
            state.pacer.writer.turn(pressing)
        };
        if turn == Turn::Write {
            self.sweep();
        }
        turn != Turn::Done
    }

    fn set_tended(&self, tended: bool) -> bool {
        self.tended.swap(tended, Ordering::Relaxed) != tended
    }
}

impl State {
    /// How many bytes press for a sweep. Half of what may wait for a connection is as pressing as any number.
    fn pressing(&self) -> usize {
        let half_full = self.logs.iter().any(|log| {
            let least = log.least();
            let cost = self.fresh_bytes + self.fresh_messages * Backlog::OVERHEAD;
            self.fresh_messages >= least.messages.div_ceil(2) || cost >= least.bytes.div_ceil(2)
        });
        if half_full && self.fresh_messages > 0 {
            self.fresh_bytes.max(STREAM_FLUSH_BYTES)
        } else {
            self.fresh_bytes
        }
    }

    /// Releases what has been published, and answers who is to write it.
    fn release(&mut self) -> Arc<Vec<Weak<StreamPipe>>> {
        self.logs.iter_mut().for_each(Log::release);
        Arc::clone(&self.pipes)
    }

    /// As [`release`](Self::release), for a caller who sees to it that all of them write.
    fn begin_sweep(&mut self) -> Arc<Vec<Weak<StreamPipe>>> {
        self.fresh_messages = 0;
        self.fresh_bytes = 0;
        self.release()
    }
}

fn kick<'a>(pipes: impl Iterator<Item = &'a Weak<StreamPipe>>) {
    // One that is gone has nothing to write.
    pipes.filter_map(Weak::upgrade).for_each(|pipe| pipe.write_waiting());
}

/// One connection's place in its socket's broadcasts; given up when dropped.
pub(crate) struct Tail {
    broadcast: Arc<Broadcast>,
    log: usize,
    key: usize,
}

impl Tail {
    pub(crate) fn new(
        broadcast: &Arc<Broadcast>,
        framing: Framing,
        peer: PeerId,
        limit: Backlog,
        pipe: Weak<StreamPipe>,
    ) -> Self {
        let log = Framing::ALL.iter().position(|other| *other == framing).unwrap_or_default();
        let mut state = lock(&broadcast.state);
        let key = state.logs[log].add(peer, limit);
        Arc::make_mut(&mut state.pipes).push(pipe);
        drop(state);
        Self { broadcast: Arc::clone(broadcast), log, key }
    }

    pub(crate) fn join(&self, limit: Backlog) {
        // Whoever asks next has to look.
        self.broadcast.free_messages.store(0, Ordering::Relaxed);
        self.with(|log, key| log.join(key, limit));
    }

    pub(crate) fn leave(&self) {
        self.with(Log::leave);
    }

    pub(crate) fn drop_oldest(&self) -> usize {
        self.with(Log::drop_oldest)
    }

    pub(crate) fn room(&self) -> bool {
        self.with(Log::room)
    }

    pub(crate) fn standing(&self) -> Standing {
        self.with(|log, key| log.standing(key))
    }

    /// Takes some of what the connection is to write next.
    pub(crate) fn load(&self, into: &mut VecDeque<Piece>) -> Loaded {
        self.with(|log, key| log.load(key, into))
    }

    /// Bytes that wait for the connection and may be taken now.
    pub(crate) fn ready(&self) -> usize {
        self.with(|log, key| log.waiting(key).1)
    }

    /// Bytes that wait for the connection.
    pub(crate) fn waiting(&self) -> usize {
        self.with(|log, key| log.waiting(key).0)
    }

    /// Lets the connection take what has been published.
    pub(crate) fn release(&self) {
        self.broadcast.release();
    }

    /// Something came in on the connection.
    pub(crate) fn heard(&self) {
        self.broadcast.heard.store(true, Ordering::Relaxed);
    }

    /// The connection is closed: drops what waits for it.
    pub(crate) fn retire(&self, pipe: &Weak<StreamPipe>) {
        let mut state = lock(&self.broadcast.state);
        state.logs[self.log].retire(self.key);
        Arc::make_mut(&mut state.pipes).retain(|other| !Weak::ptr_eq(other, pipe));
    }

    fn with<R>(&self, act: impl FnOnce(&mut Log, usize) -> R) -> R {
        act(&mut lock(&self.broadcast.state).logs[self.log], self.key)
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.with(Log::remove);
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Connections that one call writes to by itself: each write costs as much as waking the worker.
const DIRECT_PIPES_MAX: usize = 4;

#[cfg(test)]
mod tests;
