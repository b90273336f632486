//! Sockets on tokio: the task that waits does the socket's I/O, on its own thread.
//!
//! A [`Socket`] is one of the library's sockets with its poll set registered at tokio's. A call tries; if there is
//! nothing it waits until the poll set is readable, drives the socket, and tries again. No other thread is woken for a
//! message. Several tasks may wait on one socket: one of them listens to the poll set, and drives for all.
//!
//! While no task waits, or where the runtime does not run, the library's own thread looks after the socket, so that
//! what was sent leaves and peers are heard in any case.
//!
//! ```
//! use sp_protocols::tokio::{Rep, Req};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
//! # runtime.block_on(async {
//! let (rep, req) = (Rep::new()?, Req::new()?);
//! req.dial(rep.listen("tcp://127.0.0.1:0")?.endpoint().clone()).await?;
//! let server = tokio::spawn(async move {
//!     let question = rep.recv().await?;
//!     assert_eq!(question, "ping");
//!     rep.send("pong").await?;
//!     rep.close().await;
//!     Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! });
//! req.send("ping").await?;
//! assert_eq!(req.recv().await?, "pong");
//! # server.await.expect("no panic").map_err(|error| error as Box<dyn std::error::Error>)
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::future::{pending, poll_fn};
use std::io;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::task::{self, Poll, Waker, ready};

use ::tokio::io::Interest;
use ::tokio::io::unix::AsyncFd;
use ::tokio::task::{coop, spawn_blocking};
use sp_core::endpoint::{Endpoint, EndpointError};
use sp_core::message::Message;
use sp_core::sync::atomic::{AtomicBool, Ordering};
use sp_transport::{DialError, DialOptions, Driven, Driver, Host};

use super::core::Core;
use super::endpoints::Dialer;
use super::error::{OpenError, RecvError, SendError};
use super::futures::Registration;
use super::live::Deferred;
use super::wait::Side;
use crate::engine::{
    self, BadOption, ContextEngine, Engine, RecvEngine, SendEngine, TunableEngine,
};

/// A socket of the pattern `E` whose calls are for tasks on tokio.
///
/// A handle, as the socket it wraps: clones are the same socket, for any number of tasks. Everything but sending,
/// receiving, dialling and closing is that of the [socket](super::Socket) it dereferences to.
///
/// It belongs to the runtime in which it was made. Calls in other runtimes work as long as that one runs.
pub struct Socket<E: Engine> {
    socket: super::Socket<E>,
    ear: Arc<Ear>,
}

impl<E: Engine> Socket<E> {
    /// Opens a socket with default options. It is connected to nobody yet.
    ///
    /// # Errors
    ///
    /// [`OpenError::System`] if the system has no descriptor or thread left.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, or in one without I/O.
    pub fn new() -> Result<Self, OpenError> {
        Self::with(E::Options::default())
    }

    /// Opens a socket with the options given.
    ///
    /// # Errors
    ///
    /// [`OpenError::Option`] if an option is out of its range, otherwise as [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub fn with(options: E::Options) -> Result<Self, OpenError> {
        let failed = |source| OpenError::System { protocol: E::SELF, source };
        Self::attach(super::Socket::with(options)?).map_err(failed)
    }

    /// Makes a socket usable on this runtime. It can be used in all other ways as before.
    ///
    /// # Errors
    ///
    /// If the socket is closed or the system has no descriptor left.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub fn attach(socket: super::Socket<E>) -> io::Result<Self> {
        let driver = &socket.shared().driver;
        #[allow(
            deprecated,
            reason = "it is sound for an owned descriptor; what replaces it is unsafe"
        )]
        let poll_set = AsyncFd::with_interest(driver.poll_set()?, Interest::READABLE)?;
        let ear = Ear { poll_set, is_taken: AtomicBool::new(false), driver: Arc::clone(driver) };
        Ok(Self { socket, ear: Arc::new(ear) })
    }

    /// Connects to `url` and keeps the connection up, as [`super::Socket::dial`], without blocking the thread.
    ///
    /// Not to be cancelled: dropped before it is ready, it may yet connect.
    ///
    /// # Errors
    ///
    /// As [`super::Socket::dial`].
    pub async fn dial<U>(&self, url: U) -> Result<Dialer, DialError>
    where
        U: TryInto<Endpoint>,
        U::Error: Into<EndpointError>,
    {
        self.dial_with(url, &DialOptions::new()).await
    }

    /// As [`dial`](Self::dial), with options.
    ///
    /// # Errors
    ///
    /// As [`super::Socket::dial_with`].
    pub async fn dial_with<U>(&self, url: U, options: &DialOptions) -> Result<Dialer, DialError>
    where
        U: TryInto<Endpoint>,
        U::Error: Into<EndpointError>,
    {
        let endpoint: Endpoint = url.try_into().map_err(Into::into)?;
        let (socket, options) = (self.socket.clone(), options.clone());
        aside(move || socket.dial_with(endpoint, &options)).await
    }

    /// Closes the socket for all its handles, as [`super::Socket::close`], without blocking the thread.
    ///
    /// Dropped before it is ready, the socket closes all the same.
    pub async fn close(self) -> usize {
        let Self { socket, ear } = self;
        drop(ear);
        aside(move || socket.close()).await
    }
}

impl<E: Engine> Socket<E> {
    /// Sends `message`, waiting until a peer can take it.
    ///
    /// Safe to cancel: dropped before it is ready, nothing was sent, and the message is dropped with it.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`], or [`SendError::State`] where the pattern allows no send now.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError>
    where
        E: SendEngine,
    {
        send(&self.socket, &self.ear, message.into()).await
    }
}

impl<E: Engine> Socket<E> {
    /// Receives the next message, waiting for it.
    ///
    /// Safe to cancel: dropped before it is ready, no message was taken. On REQ the request goes on; receive again for
    /// its reply.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`], or another where the pattern allows no receive now.
    pub async fn recv(&self) -> Result<Message, RecvError>
    where
        E: RecvEngine,
    {
        recv(&self.socket, &self.ear).await
    }
}

impl<E: Engine> Socket<E> {
    /// Begins another conversation on this socket, for a task of its own.
    pub fn context(&self) -> Context<E>
    where
        E: ContextEngine,
    {
        self.listening_to(self.socket.context())
    }

    /// Begins another conversation with options of its own, as [`super::Socket::context_with`].
    ///
    /// # Errors
    ///
    /// As [`super::Socket::context_with`].
    pub fn context_with(&self, options: E::Options) -> Result<Context<E>, BadOption>
    where
        E: TunableEngine,
    {
        self.socket.context_with(options).map(|context| self.listening_to(context))
    }

    fn listening_to(&self, context: super::Context<E>) -> Context<E> {
        Context { context, ear: Arc::clone(&self.ear) }
    }
}

/// One conversation on a socket, for tasks on tokio; see [`super::Context`], to which it dereferences.
pub struct Context<E: Engine> {
    context: super::Context<E>,
    ear: Arc<Ear>,
}

impl<E: Engine> Context<E> {
    /// Sends `message` in this conversation, as [`Socket::send`].
    ///
    /// # Errors
    ///
    /// As [`Socket::send`].
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError>
    where
        E: SendEngine,
    {
        send(&self.context, &self.ear, message.into()).await
    }
}

impl<E: Engine> Context<E> {
    /// Receives this conversation's next message, as [`Socket::recv`].
    ///
    /// # Errors
    ///
    /// As [`Socket::recv`].
    pub async fn recv(&self) -> Result<Message, RecvError>
    where
        E: RecvEngine,
    {
        recv(&self.context, &self.ear).await
    }
}

async fn send<E: SendEngine>(
    ctx: &super::Context<E>,
    ear: &Ear,
    mut message: Message,
) -> Result<(), SendError> {
    let mut call = Call::new(ctx, ear, Side::Send);
    poll_fn(|cx| call.poll(cx, |core, deferred| ctx.retry_send(core, deferred, &mut message))).await
}

async fn recv<E: RecvEngine>(ctx: &super::Context<E>, ear: &Ear) -> Result<Message, RecvError> {
    let mut call = Call::new(ctx, ear, Side::Recv);
    let mut message = Message::new();
    poll_fn(|cx| call.poll(cx, |core, deferred| ctx.retry_recv(core, deferred, &mut message)))
        .await
        .map(|()| message)
}

impl<E: Engine> Deref for Socket<E> {
    type Target = super::Socket<E>;

    fn deref(&self) -> &super::Socket<E> {
        &self.socket
    }
}

impl<E: Engine> Deref for Context<E> {
    type Target = super::Context<E>;

    fn deref(&self) -> &super::Context<E> {
        &self.context
    }
}

impl<E: Engine> Clone for Socket<E> {
    fn clone(&self) -> Self {
        Self { socket: self.socket.clone(), ear: Arc::clone(&self.ear) }
    }
}

impl<E: Engine> fmt::Debug for Socket<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

impl<E: Engine> fmt::Debug for Context<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.context.fmt(f)
    }
}

/// Asks questions, on tokio; see [`crate::sockets::Req`].
pub type Req = Socket<engine::Req>;
/// Answers questions, on tokio; see [`crate::sockets::Rep`].
pub type Rep = Socket<engine::Rep>;
/// Asks everybody, on tokio; see [`crate::sockets::Surveyor`].
pub type Surveyor = Socket<engine::Surveyor>;
/// Answers surveys, on tokio; see [`crate::sockets::Respondent`].
pub type Respondent = Socket<engine::Respondent>;
/// Publishes, on tokio; see [`crate::sockets::Pub`].
pub type Pub = Socket<engine::Pub>;
/// Subscribes, on tokio; see [`crate::sockets::Sub`].
pub type Sub = Socket<engine::Sub>;
/// Hands out work, on tokio; see [`crate::sockets::Push`].
pub type Push = Socket<engine::Push>;
/// Collects work, on tokio; see [`crate::sockets::Pull`].
pub type Pull = Socket<engine::Pull>;

/// Talks with one other, on tokio; see [`crate::sockets::Pair`].
pub type Pair = Socket<engine::Pair>;
/// Talks with one other, through devices too, on tokio; see [`crate::sockets::Pair1`].
pub type Pair1 = Socket<engine::Pair1>;
/// Talks with many, each on its own, on tokio; see [`crate::sockets::Pair1Poly`]. `send_to` is the socket's own: it
/// never waits.
pub type Pair1Poly = Socket<engine::Pair1Poly>;
/// Sends to all its neighbours, on tokio; see [`crate::sockets::Bus`].
pub type Bus = Socket<engine::Bus>;
/// Sends to everybody near and far, on tokio; see [`crate::sockets::Star`].
pub type Star = Socket<engine::Star>;

/// Where the poll set is heard on this runtime: by one task at a time, since tokio wakes one.
struct Ear {
    poll_set: AsyncFd<OwnedFd>,
    /// A task listens.
    is_taken: AtomicBool,
    driver: Arc<Driver>,
}

impl Ear {
    fn listen(&self) -> Option<Listening<'_>> {
        // Acquire pairs with the release of the task that listened before.
        let taken = self.is_taken.swap(true, Ordering::Acquire);
        (!taken).then(|| Listening { ear: self, _host: self.driver.host() })
    }
}

/// The task that holds this drives the socket whenever its poll set is readable.
struct Listening<'a> {
    ear: &'a Ear,
    _host: Host,
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.ear.is_taken.store(false, Ordering::Release);
    }
}

/// A call under way.
///
/// Whoever waits is in the socket's line first and tries to listen then; whoever stops listening looks into the line
/// afterwards and wakes one that waits (`Shared::promote`). So the one that comes finds the place free, or the one that
/// goes finds it in line. Until the next task listens, the library's thread is sent for what cannot wait and looks in
/// after milliseconds.
struct Call<'a, E: Engine> {
    wait: Registration<'a, E>,
    ear: &'a Ear,
    listening: Option<Listening<'a>>,
}

impl<'a, E: Engine> Call<'a, E> {
    const fn new(ctx: &'a super::Context<E>, ear: &'a Ear, side: Side) -> Self {
        Self { wait: Registration::new(ctx, side), ear, listening: None }
    }

    fn poll<T>(
        &mut self,
        cx: &mut task::Context<'_>,
        mut attempt: impl FnMut(&mut Core<E>, &mut Deferred) -> Option<T>,
    ) -> Poll<T> {
        // A task that always finds what it wants lets others run from time to time, as with tokio's own sockets.
        let budget = ready!(coop::poll_proceed(cx));
        loop {
            if let Poll::Ready(answer) = self.wait.attempt(cx, &mut attempt) {
                budget.made_progress();
                return Poll::Ready(answer);
            }
            if self.listening.is_none() {
                self.listening = self.ear.listen();
            }
            if self.listening.is_none() {
                return Poll::Pending;
            }
            match ready!(self.ear.poll_set.poll_read_ready(cx)) {
                Ok(mut guard) => {
                    // What this task is about to deliver to itself need not wake it.
                    self.wait.mute();
                    // Events that come after the turn has looked make it ready again, whatever is cleared here.
                    if self.ear.driver.host_turn() != Driven::More {
                        guard.clear_ready();
                    }
                }
                Err(_) => {
                    // The runtime of the poll set is going down: the library's thread wakes this task.
                    self.listening = None;
                    self.ear.driver.needs_worker();
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<E: Engine> Drop for Call<'_, E> {
    fn drop(&mut self) {
        if self.listening.take().is_some() {
            self.wait.leave();
        }
    }
}

impl<E: Engine> Registration<'_, E> {
    /// Keeps the place in line without being woken. To be followed by another attempt.
    fn mute(&self) {
        let Some(ticket) = self.ticket else { return };
        let Self { ctx, side, .. } = *self;
        let _dropped_unlocked = ctx
            .shared()
            .step(|core, _| core.waiters.exchange(ctx.ctx(), side, ticket, Waker::noop().clone()));
    }

    /// This task has driven for others that wait, and does so no more.
    fn leave(&self) {
        // One that is still in line looks after them when it leaves that.
        if self.ticket.is_none() {
            self.ctx.shared().step(|core, deferred| self.ctx.promote(core, deferred));
        }
    }
}

/// Runs a call that blocks on a thread of tokio's for such.
async fn aside<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(call).await.map_err(|error| error.try_into_panic()) {
        Ok(result) => result,
        Err(Ok(panic)) => resume_unwind(panic),
        // The runtime is going down and polls nobody again.
        Err(Err(_)) => pending().await,
    }
}
