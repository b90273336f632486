//! The model checker's primitives.

use std::ops::DerefMut;
use std::sync::{Arc, PoisonError};

pub use shuttle::sync::{Mutex, MutexGuard, atomic};
pub use shuttle::thread_local;

/// Threads that the model checker runs.
pub mod thread {
    use std::sync::Arc;
    use std::time::Duration;

    use shuttle::sync::Condvar;
    pub use shuttle::thread::{Builder, JoinHandle, ThreadId, yield_now};

    use super::{Mutex, lock};

    /// A thread that can be unparked.
    #[derive(Clone, Debug)]
    pub struct Thread {
        id: ThreadId,
        token: Arc<Token>,
    }

    #[derive(Debug, Default)]
    struct Token {
        given: Mutex<bool>,
        changed: Condvar,
    }

    shuttle::thread_local! {
        static TOKEN: Arc<Token> = Arc::default();
    }

    impl Thread {
        /// Names the thread.
        pub fn id(&self) -> ThreadId {
            self.id
        }

        /// Ends the thread's park, or its next.
        pub fn unpark(&self) {
            *lock(&self.token.given) = true;
            self.token.changed.notify_one();
        }
    }

    /// The calling thread.
    pub fn current() -> Thread {
        Thread { id: shuttle::thread::current().id(), token: TOKEN.with(Arc::clone) }
    }

    /// Waits to be unparked. Never returns without, as the model checker's own would: that hides a lost wake-up.
    pub fn park() {
        let token = TOKEN.with(Arc::clone);
        let mut given = lock(&token.given);
        while !*given {
            given = token.changed.wait(given).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        *given = false;
    }

    /// As std's: time passes with every look at the clock, so whoever waits for it lets others run and looks again.
    pub fn park_timeout(_: Duration) {
        *lock(&TOKEN.with(Arc::clone).given) = false;
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
