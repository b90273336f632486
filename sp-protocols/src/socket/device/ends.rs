//! The sockets of a device, and which go together.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use sp_core::stats::Stats;
use sp_transport::Driver;

use super::lane::{Forward, Lane};
use crate::engine::raw::{Plain, RawEngine, Role, TwoWay};
use crate::engine::{Engine, Pub, Pull, Push, RecvEngine, SendEngine, Star, Sub};
use crate::socket::Socket;
use crate::socket::wait::{Side, Ticket};

/// A raw pattern that a [`Device`](super::Device) can connect with the raw pattern `B`: each is what the other talks
/// to.
#[diagnostic::on_unimplemented(
    message = "a device cannot pass messages between `{Self}` and `{B}`",
    note = "it connects raw sockets of two patterns that talk to each other, such as `sp::raw::Rep` and `sp::raw::Req`"
)]
pub trait Fits<B: RawEngine>: RawEngine {
    /// The ways that messages go.
    #[doc(hidden)]
    fn lanes(a: &Socket<Self>, b: &Socket<B>) -> Lanes;
}

/// From the first socket to the second, and back.
pub struct Lanes {
    pub(super) there: Option<Box<dyn Forward>>,
    pub(super) back: Option<Box<dyn Forward>>,
}

impl Lanes {
    fn both_ways<A, B>(a: &Socket<A>, b: &Socket<B>) -> Self
    where
        A: SendEngine + RecvEngine,
        B: SendEngine + RecvEngine,
    {
        Self { there: Some(Box::new(Lane::new(a, b))), back: Some(Box::new(Lane::new(b, a))) }
    }
}

impl<R: Role> Fits<TwoWay<R::Peer>> for TwoWay<R> {
    fn lanes(a: &Socket<Self>, b: &Socket<TwoWay<R::Peer>>) -> Lanes {
        Lanes::both_ways(a, b)
    }
}

impl Fits<Self> for Plain<Star> {
    fn lanes(a: &Socket<Self>, b: &Socket<Self>) -> Lanes {
        if a.id() == b.id() {
            // It passes on by itself, and a second time would be once too often.
            return Lanes { there: None, back: None };
        }
        Lanes::both_ways(a, b)
    }
}

macro_rules! one_way {
    ($($from:ty => $to:ty;)*) => {$(
        impl Fits<Plain<$to>> for Plain<$from> {
            fn lanes(a: &Socket<Self>, b: &Socket<Plain<$to>>) -> Lanes {
                Lanes { there: Some(Box::new(Lane::new(a, b))), back: None }
            }
        }

        impl Fits<Plain<$from>> for Plain<$to> {
            fn lanes(a: &Socket<Self>, b: &Socket<Plain<$from>>) -> Lanes {
                Lanes { there: None, back: Some(Box::new(Lane::new(b, a))) }
            }
        }
    )*};
}

one_way! {
    Sub => Pub;
    Pull => Push;
}

/// A socket of a device, whatever its pattern.
pub(super) trait End: Send + Sync + fmt::Debug {
    /// Closes it and waits until what it has accepted has left.
    fn close(&self);
    /// Closes it; what it has accepted leaves in the background.
    fn abandon(&self);
    /// Wakes `waker` when it closes.
    fn watch(&self, waker: &Waker) -> Ticket;
    /// Wakes nobody any more.
    fn unwatch(&self, ticket: Ticket);
    fn is_closed(&self) -> bool;
    fn stats(&self) -> Stats;
    fn driver(&self) -> &Arc<Driver>;
}

impl<E: Engine> End for Socket<E> {
    fn close(&self) {
        // What could not leave is told by its own statistics, to whoever keeps a handle.
        let _ = self.clone().close();
    }

    fn abandon(&self) {
        self.shared().abandon();
    }

    fn watch(&self, waker: &Waker) -> Ticket {
        let waker = waker.clone();
        self.shared().step(|core, _| core.waiters.add(self.ctx(), Side::Close, waker))
    }

    fn unwatch(&self, ticket: Ticket) {
        let _dropped_unlocked =
            self.shared().step(|core, _| core.waiters.remove(self.ctx(), Side::Close, ticket));
    }

    fn is_closed(&self) -> bool {
        self.shared().is_closed()
    }

    fn stats(&self) -> Stats {
        self.stats()
    }

    fn driver(&self) -> &Arc<Driver> {
        &self.shared().driver
    }
}
