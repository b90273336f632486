//! What hand-overs are made of: [`sp_core::sync`], or the model checker of weakly ordered memory under `--cfg loom`;
//! and the waits that end in the kernel, which under `--cfg shuttle` must not: all threads of a model share one of the
//! system's.

use std::io;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvError};
use mio::{Events, Poll};

#[cfg(loom)]
mod weak;

#[cfg(not(loom))]
pub(crate) use sp_core::sync::{Mutex, MutexGuard, atomic, lock, try_lock};
#[cfg(loom)]
pub(crate) use weak::{Mutex, MutexGuard, atomic, lock, try_lock};

/// Waits for events.
#[cfg(not(shuttle))]
pub(crate) fn poll(set: &mut Poll, events: &mut Events, wait: Option<Duration>) -> io::Result<()> {
    set.poll(events, wait)
}

/// Waits for events, looking again and again.
#[cfg(shuttle)]
pub(crate) fn poll(set: &mut Poll, events: &mut Events, wait: Option<Duration>) -> io::Result<()> {
    use sp_core::clock;

    let until = wait.map(|wait| clock::after(clock::now(), wait));
    loop {
        set.poll(events, Some(Duration::ZERO))?;
        if !events.is_empty() || until.is_some_and(|at| clock::now() >= at) {
            return Ok(());
        }
        sp_core::sync::thread::yield_now();
    }
}

/// Waits for the worker's answer, polling at first: a connection to the same machine is made in less time than it
/// takes to sleep and be woken.
#[cfg(not(shuttle))]
pub(crate) fn recv<T>(answers: &Receiver<T>) -> Result<T, RecvError> {
    let until = sp_core::clock::now() + ANSWER_POLLING;
    while sp_core::clock::now() < until {
        if let Ok(answer) = answers.try_recv() {
            return Ok(answer);
        }
        std::thread::yield_now();
    }
    answers.recv()
}

/// Waits for the worker's answer, looking again and again.
#[cfg(shuttle)]
pub(crate) fn recv<T>(answers: &Receiver<T>) -> Result<T, RecvError> {
    loop {
        match answers.try_recv() {
            Ok(answer) => return Ok(answer),
            Err(crossbeam_channel::TryRecvError::Disconnected) => return Err(RecvError),
            Err(crossbeam_channel::TryRecvError::Empty) => sp_core::sync::thread::yield_now(),
        }
    }
}

/// About three times what connecting over loopback takes. Took a tenth off the time of thousands of connections.
#[cfg(not(shuttle))]
const ANSWER_POLLING: Duration = Duration::from_micros(100);
