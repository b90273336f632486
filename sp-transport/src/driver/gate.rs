//! Who is at the wheel, and what those who come in vain leave behind.
//!
//! Two threads that pass each other here each see what the other did: whoever finds the gate taken has left word
//! before, and whoever leaves looks for word after. Neither lock nor flags give that by themselves, the fences do.

use crate::sync::atomic::{AtomicBool, Ordering, fence};
use crate::sync::{Mutex, MutexGuard, lock, try_lock};

/// A wheel that one thread at a time has; `None` once there is none any more.
#[derive(Debug)]
pub(super) struct Gate<T> {
    seat: Mutex<Option<T>>,
    /// Somebody came while another was driving; whoever that is looks again when it leaves.
    missed: AtomicBool,
    /// The worker looks from time to time whether callers still drive.
    leased: AtomicBool,
}

/// Who holds this drives.
pub(super) type Seat<'a, T> = MutexGuard<'a, Option<T>>;

impl<T> Gate<T> {
    pub(super) fn new(wheel: T) -> Self {
        Self::with(Some(wheel))
    }

    /// Without a wheel.
    pub(super) fn ended() -> Self {
        Self::with(None)
    }

    fn with(wheel: Option<T>) -> Self {
        Self {
            seat: Mutex::new(wheel),
            missed: AtomicBool::new(false),
            leased: AtomicBool::new(false),
        }
    }

    /// Waits for whoever drives.
    pub(super) fn enter(&self) -> Seat<'_, T> {
        lock(&self.seat)
    }

    /// The wheel unless somebody else has it.
    pub(super) fn try_enter(&self) -> Option<Seat<'_, T>> {
        try_lock(&self.seat)
    }

    /// Tries so that either the wheel is ours or its holder finds, when it leaves, that we came by.
    pub(super) fn try_enter_or_tell(&self) -> Option<Seat<'_, T>> {
        if let Some(seat) = self.try_enter() {
            return Some(seat);
        }
        self.missed.store(true, Ordering::SeqCst);
        // Pairs with the fence in `was_missed`: either this sees the gate free or that sees `missed`.
        fence(Ordering::SeqCst);
        self.try_enter()
    }

    /// Leaves the wheel settled for the world as `view` shows it. If somebody came by meanwhile who had changed that
    /// before, settles once more.
    ///
    /// Two who leave one after the other may each find that the other came by; that the view has to be another than
    /// the one settled for keeps them from going on for ever.
    pub(super) fn leave<'a, V: Copy + PartialEq>(
        &'a self,
        mut seat: Seat<'a, T>,
        view: impl Fn() -> V,
        mut settle: impl FnMut(&mut T, V),
    ) -> Left {
        let mut left = Left::Unseen;
        loop {
            let Some(wheel) = seat.as_mut() else { return Left::ToAnother };
            let seen = view();
            settle(wheel, seen);
            drop(seat);
            if !self.was_missed() {
                return left;
            }
            left = Left::Missed;
            if view() == seen {
                return left;
            }
            match self.try_enter_or_tell() {
                Some(again) => seat = again,
                None => return Left::ToAnother,
            }
        }
    }

    /// Asked by whoever has left: did somebody come meanwhile and find the gate taken?
    fn was_missed(&self) -> bool {
        // Pairs with the fences in `try_enter_or_tell` and `end_lease`.
        fence(Ordering::SeqCst);
        self.missed.swap(false, Ordering::SeqCst)
    }

    /// After `was_missed`: from now on the worker has to look from time to time. Answers no if it does already.
    pub(super) fn lease(&self) -> bool {
        !self.leased.swap(true, Ordering::SeqCst)
    }

    /// The worker looks no more, and takes the wheel unless somebody has it, who leases anew when it leaves.
    pub(super) fn end_lease(&self) -> Option<Seat<'_, T>> {
        self.leased.store(false, Ordering::SeqCst);
        // Pairs with the fence in `was_missed`: either this sees the gate free or that thread sees no lease.
        fence(Ordering::SeqCst);
        self.try_enter()
    }
}

/// What happened while one left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nobody came by.
    Unseen,
    /// Somebody came by in vain.
    Missed,
    /// Somebody came by in vain, and it is up to whoever is at the wheel now; or there is no wheel any more.
    ToAnother,
}

#[cfg(all(test, loom))]
mod model;
