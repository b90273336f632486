//! The model checker's primitives.

use std::ops::DerefMut;
use std::sync::{Arc, PoisonError};

pub use shuttle::sync::{Mutex, MutexGuard, atomic};
pub use shuttle::thread_local;

/// Threads that the model checker runs.
pub mod thread {
    use std::time::Duration;

    pub use shuttle::thread::*;

    /// As std's: time passes with every look at the clock, so whoever waits for it lets others run and looks again.
    pub fn park_timeout(_: Duration) {
        yield_now();
    }
}

/// Locks `mutex`, poisoned or not. It may be one of std's, which no model knows: nothing modelled happens under it.
pub fn lock<M: Lock>(mutex: &M) -> M::Guard<'_> {
    mutex.acquire()
}

/// What may be locked.
pub trait Lock {
    /// Unlocks when dropped.
    type Guard<'a>: DerefMut
    where
        Self: 'a;

    /// Waits for the lock.
    fn acquire(&self) -> Self::Guard<'_>;
}

impl<T> Lock for Mutex<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    fn acquire(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Lock for std::sync::Mutex<T> {
    type Guard<'a>
        = std::sync::MutexGuard<'a, T>
    where
        T: 'a;

    fn acquire(&self) -> std::sync::MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Lock> Lock for Arc<M> {
    type Guard<'a>
        = M::Guard<'a>
    where
        M: 'a;

    fn acquire(&self) -> M::Guard<'_> {
        (**self).acquire()
    }
}
