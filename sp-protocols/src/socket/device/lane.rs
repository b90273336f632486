//! One way through a device.

use std::mem;
use std::sync::Arc;
use std::task::{self, Poll, ready};

use sp_core::batch::Batch;
use sp_core::message::Message;
use sp_core::sync::atomic::{AtomicU64, Ordering};
use sp_transport::Driver;

use crate::engine::{RecvEngine, SendEngine};
use crate::socket::Socket;
use crate::socket::context::Context;
use crate::socket::core::Core;
use crate::socket::error::{Unreceived, Unsent};
use crate::socket::futures::Registration;
use crate::socket::live::Deferred;
use crate::socket::wait::{Side, Ticket};

/// What passes from one socket to another.
///
/// Many messages are taken under one lock and given away under one. While they cannot be given away none are taken, so
/// that they wait where there is a limit for it.
pub(super) struct Lane<A: RecvEngine, B: SendEngine> {
    from: Socket<A>,
    to: Socket<B>,
    /// Taken from the one and not yet accepted by the other.
    batch: Batch,
    /// Places in line; at most one of them.
    receiving: Option<Ticket>,
    sending: Option<Ticket>,
    /// Something was given away that may be held back for company.
    may_hold: bool,
    tally: Arc<Tally>,
}

/// What has passed one way.
#[derive(Debug, Default)]
pub(super) struct Tally {
    // Written by one thread at a time, published to nobody.
    passed: AtomicU64,
    /// Taken from the one and not yet accepted by the other.
    held: AtomicU64,
    lost: AtomicU64,
}

/// A lane between sockets of whatever patterns.
pub(super) trait Forward: Send {
    /// Passes on what there is, and waits for more, or for room. Ready once one of the sockets is closed.
    fn poll(&mut self, cx: &task::Context<'_>) -> Poll<()>;
    fn tally(&self) -> &Arc<Tally>;
    /// Of the socket that receives.
    fn driver(&self) -> &Arc<Driver>;
}

impl<A: RecvEngine, B: SendEngine> Lane<A, B> {
    pub(super) fn new(from: &Socket<A>, to: &Socket<B>) -> Self {
        Self {
            from: from.clone(),
            to: to.clone(),
            batch: Batch::new(),
            receiving: None,
            sending: None,
            may_hold: false,
            tally: Arc::default(),
        }
    }

    /// Fills the batch. Ready with a no if the socket is closed.
    fn take(&mut self, cx: &task::Context<'_>) -> Poll<bool> {
        let Self { from, batch, .. } = self;
        let mut wait = Registration { ctx: from, side: Side::Recv, ticket: self.receiving.take() };
        let taken = wait.attempt(cx, |core, deferred| take_some(from, batch, core, deferred));
        self.receiving = wait.ticket.take();
        self.tally.hold(self.batch.len() as u64);
        taken
    }

    /// Empties the batch. Ready with a no if the socket is closed.
    fn give(&mut self, cx: &task::Context<'_>) -> Poll<bool> {
        let Self { to, batch, tally, .. } = self;
        let mut wait = Registration { ctx: to, side: Side::Send, ticket: self.sending.take() };
        let given = wait.attempt(cx, |core, deferred| give_all(to, batch, tally, core, deferred));
        self.sending = wait.ticket.take();
        self.may_hold = true;
        given
    }

    /// What was given away need not wait for company: none comes for now.
    fn hurry(&mut self) {
        if mem::take(&mut self.may_hold) {
            self.to.shared().step(|core, deferred| core.lines.hurry(deferred));
        }
    }
}

impl<A: RecvEngine, B: SendEngine> Forward for Lane<A, B> {
    fn poll(&mut self, cx: &task::Context<'_>) -> Poll<()> {
        for _ in 0..BATCHES_PER_TURN {
            if self.batch.is_empty() {
                match self.take(cx) {
                    Poll::Ready(true) => {}
                    Poll::Ready(false) => return Poll::Ready(()),
                    Poll::Pending => {
                        self.hurry();
                        return Poll::Pending;
                    }
                }
            }
            if !ready!(self.give(cx)) {
                return Poll::Ready(());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    fn driver(&self) -> &Arc<Driver> {
        &self.from.shared().driver
    }
}

impl<A: RecvEngine, B: SendEngine> Drop for Lane<A, B> {
    fn drop(&mut self) {
        self.tally.hold(0);
        self.tally.lose(self.batch.len() as u64);
        // Leaves the lines, and passes on a wake that came for it.
        drop(Registration { ctx: &*self.from, side: Side::Recv, ticket: self.receiving.take() });
        drop(Registration { ctx: &*self.to, side: Side::Send, ticket: self.sending.take() });
    }
}

impl Tally {
    pub(super) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn pass(&self, messages: u64) {
        self.passed.store(self.passed() + messages, Ordering::Relaxed);
    }

    fn hold(&self, messages: u64) {
        self.held.store(messages, Ordering::Relaxed);
    }

    fn lose(&self, messages: u64) {
        self.lost.store(self.lost() + messages, Ordering::Relaxed);
    }
}

/// Takes what is there, up to a batch. `None` if nothing is, no if the socket is closed.
fn take_some<A: RecvEngine>(
    from: &Context<A>,
    batch: &mut Batch,
    core: &mut Core<A>,
    deferred: &mut Deferred,
) -> Option<bool> {
    let shared = from.shared();
    while batch.len() < BATCH_MESSAGES && batch.bytes() < BATCH_BYTES {
        let mut msg = Message::new();
        match from.attempt_recv(shared, core, deferred, &mut msg) {
            Ok(()) => batch.push(msg),
            Err(Unreceived::Closed | Unreceived::Forked) => return Some(false),
            Err(_) => break,
        }
    }
    (!batch.is_empty()).then_some(true)
}

/// Gives everything away. `None` if there is no room for all, no if the socket is closed.
fn give_all<B: SendEngine>(
    to: &Context<B>,
    batch: &mut Batch,
    tally: &Tally,
    core: &mut Core<B>,
    deferred: &mut Deferred,
) -> Option<bool> {
    let (shared, mut msg) = (to.shared(), Message::new());
    let mut passed = 0;
    let outcome = loop {
        if !batch.pop_into(&mut msg) {
            break Some(true);
        }
        match to.attempt_send(shared, core, deferred, &mut msg) {
            Ok(()) => passed += 1,
            Err(Unsent::BadHeader | Unsent::State) => {
                debug_assert!(false, "what one side receives the other can send");
                tally.lose(1);
            }
            Err(unsent) => {
                batch.put_back(mem::take(&mut msg));
                break matches!(unsent, Unsent::Closed | Unsent::Forked).then_some(false);
            }
        }
    };
    tally.pass(passed);
    tally.hold(batch.len() as u64);
    outcome
}

/// Messages moved under one lock: enough for the lock to cost nothing, 16 KiB with nothing but themselves.
const BATCH_MESSAGES: usize = 128;

/// Bytes after which a batch is full: as much as one write usefully takes. A longer message goes alone.
const BATCH_BYTES: u64 = 64 * 1024;

/// Batches before the other way, and other tasks, have their turn.
const BATCHES_PER_TURN: usize = 8;
