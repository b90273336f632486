//! Which process this is: after `fork` there are two with the same memory, and only the threads that forked in the
//! second.
//!
//! In the child every lock may be held by a thread that is not there, every descriptor is the parent's as well, and no
//! worker runs. So what belongs to a process is found through a [`PerProcess`], which gives a child its own, and
//! leaves what it inherited alone.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How many forks lie between the first process of this program and this one. Changed where no other thread is.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Tells this process from the one it was forked from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u32);

impl Process {
    /// This one. No system call: whoever hears of forks [says so](Self::forked).
    #[inline]
    pub fn current() -> Self {
        Self(GENERATION.load(Relaxed))
    }

    /// Whether this is the one.
    #[inline]
    pub fn is_current(self) -> bool {
        self == Self::current()
    }

    /// To be called in a forked child before anything else. Safe in a handler of `pthread_atfork`.
    pub fn forked() {
        GENERATION.fetch_add(1, Relaxed);
    }
}

/// One value for each process in a line of forks: who forks does not hand it on.
///
/// ```
/// use sp_core::process::{PerProcess, Process};
///
/// let mine = PerProcess::new("the parent's");
/// assert_eq!(*mine.get(|_| "the child's"), "the parent's");
/// # // As a child does.
/// Process::forked();
/// assert_eq!(*mine.get(|_| "the child's"), "the child's");
/// ```
#[derive(Debug)]
pub struct PerProcess<T> {
    process: Process,
    value: T,
    /// What this process and its children have, if the value is another one's.
    next: OnceLock<Box<Self>>,
}

impl<T> PerProcess<T> {
    /// The value of the first process, for statics.
    pub const fn first(value: T) -> Self {
        Self { process: Process(0), value, next: OnceLock::new() }
    }

    /// The value of this process.
    pub fn new(value: T) -> Self {
        Self { process: Process::current(), value, next: OnceLock::new() }
    }

    /// The value of this process; if it has none yet, what `make` makes of one that it inherited.
    #[inline]
    pub fn get(&self, make: impl Fn(&T) -> T) -> &T {
        if self.process.is_current() { &self.value } else { self.in_child(make) }
    }

    /// The value, if it is another process's.
    pub fn inherited(&self) -> Option<&T> {
        (!self.process.is_current()).then_some(&self.value)
    }

    #[cold]
    fn in_child(&self, make: impl Fn(&T) -> T) -> &T {
        let mut at = self;
        while !at.process.is_current() {
            if at.next.get().is_none() {
                // Made before it is set, so that nothing but the setting itself may be under way when another thread
                // forks. Whoever is first sets it.
                let next = Box::new(Self::new(make(&at.value)));
                let _ = at.next.set(next);
            }
            let Some(next) = at.next.get() else { unreachable!("it has been set") };
            at = next;
        }
        &at.value
    }
}

impl<T: Default> PerProcess<T> {
    /// The value of this process, a fresh one if it has none yet.
    #[inline]
    pub fn or_default(&self) -> &T {
        self.get(|_| T::default())
    }
}

impl<T: Default> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}
