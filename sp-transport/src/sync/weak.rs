//! Primitives of the model checker that explores what weakly ordered memory may show.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;

pub(crate) use loom::sync::atomic;

use atomic::{AtomicBool, Ordering};

/// A lock that looks taken for a while after it was released, as one made of atomics may: a try that fails is a
/// plain load.
pub(crate) struct Mutex<T> {
    value: loom::sync::Mutex<T>,
    taken: AtomicBool,
}

/// Unlocks when dropped.
pub(crate) struct MutexGuard<'a, T> {
    /// Taken when dropped.
    value: Option<loom::sync::MutexGuard<'a, T>>,
    taken: &'a AtomicBool,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: loom::sync::Mutex::new(value), taken: AtomicBool::new(false) }
    }
}

/// As [`sp_core::sync::lock`].
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    let value = mutex.value.lock().unwrap_or_else(PoisonError::into_inner);
    mutex.taken.store(true, Ordering::Relaxed);
    MutexGuard { value: Some(value), taken: &mutex.taken }
}

/// As [`sp_core::sync::try_lock`].
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    if mutex.taken.load(Ordering::Relaxed) {
        return None;
    }
    let value = mutex.value.try_lock().ok()?;
    mutex.taken.store(true, Ordering::Relaxed);
    Some(MutexGuard { value: Some(value), taken: &mutex.taken })
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.taken.store(false, Ordering::Release);
        self.value = None;
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("held until dropped")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("held until dropped")
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}
