//! The primitives that hand-made waiting and hand-overs are built on, and locks that outlive a panic.
//!
//! They are std's. Under `--cfg shuttle` they are those of a model checker, which then decides who runs: whatever
//! takes part in a hand-over takes its primitives from here. Statics and what is only counted stay with std.
//!
//! No lock of this library is held while foreign code runs, so a poisoned lock still guards a whole value:
//! the panic happened in the user's code and is the user's to handle.

use std::sync::TryLockError;

#[cfg(shuttle)]
mod modelled;

#[cfg(shuttle)]
pub use modelled::{Mutex, MutexGuard, atomic, lock, thread, thread_local};
#[cfg(not(shuttle))]
pub use std::{
    sync::{Mutex, MutexGuard, atomic},
    thread, thread_local,
};

/// Locks `mutex`, poisoned or not.
#[cfg(not(shuttle))]
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Locks `mutex` if nobody holds it.
pub fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
