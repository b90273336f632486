//! Operations of nng that are started again from their own callbacks: all unsafe code of this peer.

#![expect(unsafe_code, reason = "nng is a C library")]

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nng_sys as c;

use crate::error::{Error, Result};
use crate::peer::nng::{Message, Socket, check};

/// What a lane does when its operation has ended. Called by threads of nng, for one lane by one at a time.
pub(super) trait Work: Send + Sync + Sized + 'static {
    fn ended(lane: &Lane<Self>, outcome: Result<Ended>);
}

/// How an operation ended well.
pub(super) enum Ended {
    Sent,
    Received(Message),
}

/// One operation at a time, for ever: it is started again from its own callback.
pub(super) struct Lane<W> {
    aio: *mut c::nng_aio,
    /// Whether the operation that runs is a send. Relaxed: nng orders the start of an operation and its callback.
    is_sending: AtomicBool,
    pub(super) work: W,
}

// SAFETY: the pointer is set before anybody else sees the lane and never changes; nng takes operations from any
// thread.
unsafe impl<W: Sync> Sync for Lane<W> {}

impl<W: Work> Lane<W> {
    const fn new(work: W) -> Self {
        Self { aio: ptr::null_mut(), is_sending: AtomicBool::new(false), work }
    }

    /// Starts a send. Only while no other operation of this lane runs.
    pub(super) fn send(&self, socket: c::nng_socket, message: Message) {
        self.is_sending.store(true, Ordering::Relaxed);
        // SAFETY: the operation is ours and at rest, so it may be given a message and be started.
        unsafe {
            c::nng_aio_set_msg(self.aio, message.into_raw());
            c::nng_socket_send(socket, self.aio);
        }
    }

    /// Starts a receive. Only while no other operation of this lane runs.
    pub(super) fn recv(&self, socket: c::nng_socket) {
        self.is_sending.store(false, Ordering::Relaxed);
        // SAFETY: the operation is ours and at rest.
        unsafe { c::nng_socket_recv(socket, self.aio) };
    }

    /// Starts a send in a context. Only while no other operation of this lane runs.
    pub(super) fn send_in(&self, context: c::nng_ctx, message: Message) {
        self.is_sending.store(true, Ordering::Relaxed);
        // SAFETY: as for a send on a socket.
        unsafe {
            c::nng_aio_set_msg(self.aio, message.into_raw());
            c::nng_ctx_send(context, self.aio);
        }
    }

    /// Starts a receive in a context. Only while no other operation of this lane runs.
    pub(super) fn recv_in(&self, context: c::nng_ctx) {
        self.is_sending.store(false, Ordering::Relaxed);
        // SAFETY: the operation is ours and at rest.
        unsafe { c::nng_ctx_recv(context, self.aio) };
    }
}

/// nng's way into a lane.
///
/// # Safety
///
/// `at` is the lane that this callback was registered with, and the lane lives.
unsafe extern "C" fn ended<W: Work>(at: *mut c_void) {
    // SAFETY: the caller says so; lanes are only ever shared.
    let lane = unsafe { &*at.cast_const().cast::<Lane<W>>() };
    // SAFETY: the operation has ended, so its outcome stands.
    let result = unsafe { c::nng_aio_result(lane.aio) };
    let has_sent = lane.is_sending.load(Ordering::Relaxed);
    // What was received is ours now, and what was not sent is ours again; what was sent is nng's.
    let message = if has_sent == (result == c::nng_err::NNG_OK) {
        None
    } else {
        // SAFETY: as above, and the message is the operation's no longer.
        unsafe {
            let message = Message::from_raw(c::nng_aio_get_msg(lane.aio));
            c::nng_aio_set_msg(lane.aio, ptr::null_mut());
            message
        }
    };
    let outcome = match (result, message) {
        (c::nng_err::NNG_OK, Some(message)) => Ok(Ended::Received(message)),
        (c::nng_err::NNG_OK, None) if has_sent => Ok(Ended::Sent),
        (c::nng_err::NNG_OK, None) => Err(Error::Gone),
        (why, _) => Err(Error::peer("nng", "go on")(why)),
    };
    W::ended(lane, outcome);
}

/// Lanes of the same work, stopped on drop.
pub(super) struct Lanes<W>(Vec<NonNull<Lane<W>>>);

// SAFETY: lanes are owned by this alone; they may be used and dropped by any thread.
unsafe impl<W: Send + Sync> Send for Lanes<W> {}

impl<W: Work> Lanes<W> {
    pub(super) fn new(works: impl IntoIterator<Item = W>) -> Result<Self> {
        let mut lanes = Self(Vec::new());
        for work in works {
            let lane = Box::into_raw(Box::new(Lane::new(work)));
            // SAFETY: the lane was just made and nobody else knows it; it lives until after its operation is freed.
            let made =
                unsafe { c::nng_aio_alloc(&raw mut (*lane).aio, Some(ended::<W>), lane.cast()) };
            if made != c::nng_err::NNG_OK {
                // SAFETY: the lane was just made by the box, and without an operation nobody else knows it.
                drop(unsafe { Box::from_raw(lane) });
                return Err(Error::peer("nng", "allocate an operation")(made));
            }
            lanes.0.extend(NonNull::new(lane));
        }
        Ok(lanes)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Lane<W>> {
        // SAFETY: the lanes live as long as `self`, and are only ever shared.
        self.0.iter().map(|lane| unsafe { lane.as_ref() })
    }

    pub(super) fn lane(&self, index: usize) -> &Lane<W> {
        // SAFETY: as above.
        unsafe { self.0[index].as_ref() }
    }
}

impl<W> Drop for Lanes<W> {
    fn drop(&mut self) {
        for &lane in &self.0 {
            // SAFETY: the lane lives. After this call no callback of it runs and none will start.
            unsafe { c::nng_aio_stop(lane.as_ref().aio) };
        }
        for &lane in &self.0 {
            // SAFETY: the operation has stopped, so nobody else uses it or the lane; both are freed once.
            unsafe {
                c::nng_aio_free(lane.as_ref().aio);
                drop(Box::from_raw(lane.as_ptr()));
            }
        }
    }
}

/// What callbacks and the thread of the program share.
pub(super) struct Shared<T> {
    state: Mutex<T>,
    /// Told when the program may have something to go on with.
    pub(super) news: Condvar,
}

impl<T> Shared<T> {
    pub(super) fn new(state: T) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(state), news: Condvar::new() })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait<'a>(&self, state: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.news.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait_within<'a>(
        &self,
        state: MutexGuard<'a, T>,
        limit: Duration,
    ) -> MutexGuard<'a, T> {
        self.news.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A new context of a socket, which is closed with it.
pub(super) fn context(socket: &Socket) -> Result<c::nng_ctx> {
    let mut context = c::nng_ctx::NNG_CTX_INITIALIZER;
    // SAFETY: the socket is open, `context` is live and is filled.
    check("open a context", unsafe { c::nng_ctx_open(&raw mut context, socket.0) })?;
    Ok(context)
}
