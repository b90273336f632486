//! The patterns' sockets by name, each with a guide.

use crate::engine;
use crate::socket::{Context, Socket};

/// Asks, and gets one answer to each question.
///
/// ```text
///   REQ ──request──▶ REP        the request goes to one of the REPs that can take it
///   REQ ◀──reply──── REP        the reply comes back to this REQ alone
/// ```
///
/// `send` a request, `recv` its reply. One request is outstanding at a time: a new `send` cancels the one before
/// it, which the server may still see. Each [`context`](Socket::context) has another. `send` waits until some REP can take the request,
/// or fails while none is connected, [as set](engine::ReqOptions::fail_without_peer). If the peer that has it vanishes, the request is sent
/// again to another at once; if no reply comes within the resend time (60 s), it is sent again to whoever is
/// ready. A REP may therefore see a request twice. `recv` without a request is an error.
///
/// ```
/// # use sp_protocols::sockets as sp;
/// use sp::{Rep, Req};
///
/// let rep = Rep::new()?;
/// let req = Req::new()?;
/// req.dial(rep.listen("tcp://127.0.0.1:0")?.endpoint())?;
/// req.send("ping")?;
/// assert_eq!(rep.recv()?, "ping");
/// rep.send("pong")?;
/// assert_eq!(req.recv()?, "pong");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Use [`Push`] and [`Pull`] when no answer is needed.
pub type Req = Socket<engine::Req>;

/// Answers requests.
///
/// `recv` a request, then `send` its reply, which goes to the peer that asked. A `recv` before the reply gives the
/// request up; a `send` without a request is an error. A reply to a peer that has vanished is no error: it is
/// dropped and counted. Requests wait in order of arrival, and peers are held back while the queue is full.
///
/// Several threads or tasks that answer in parallel need a [`context`](Socket::context) each:
///
/// ```
/// # use sp_protocols::sockets as sp;
/// # let rep = sp::Rep::new()?;
/// for _ in 0..4 {
///     let context = rep.context();
///     std::thread::spawn(move || {
///         for request in context.iter() {
///             // Fails only when the socket is closed, and then there are no more requests.
///             let _ = context.send(request);
///         }
///     });
/// }
/// # rep.close();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// See [`Req`] for a program.
pub type Rep = Socket<engine::Rep>;

/// One conversation of a [`Req`]: what asks and hears the answer. A `&Req` serves where a `&ReqContext` is wanted.
pub type ReqContext = Context<engine::Req>;

/// One conversation of a [`Rep`]: what is asked and answers. A `&Rep` serves where a `&RepContext` is wanted.
pub type RepContext = Context<engine::Rep>;

/// Publishes to every subscriber that is connected.
///
/// ```text
///          ┌──▶ SUB "weather"
///   PUB ───┼──▶ SUB "sport"         everybody gets everything and keeps what it wants
///          └──▶ SUB ""
/// ```
///
/// `send` never waits. A subscriber that is slower than the publisher misses the oldest messages that wait for it;
/// they are counted as `dropped_on_send`. Nothing is kept for subscribers that come later. With
/// [`SlowSubscriber`](engine::SlowSubscriber) it can be the newest that are missed, the slow can be disconnected, or
/// `send` can wait for them.
///
/// A message is encoded once and kept once, however many subscribers there are.
///
/// ```
/// # use sp_protocols::sockets as sp;
/// use sp::{Pub, Sub};
/// use std::time::Duration;
///
/// let publisher = Pub::new()?;
/// let sub = Sub::new()?;
/// sub.subscribe("weather");
/// sub.dial(publisher.listen("tcp://127.0.0.1:0")?.endpoint())?;
/// // What is published before a subscriber is there does not reach it.
/// publisher.wait_for_peers(1, Duration::from_secs(5))?;
/// publisher.send("sport: 2-1")?;
/// publisher.send("weather: sunny")?;
/// assert_eq!(sub.recv()?, "weather: sunny");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Use [`Push`] when each message is for one receiver and none may be dropped.
pub type Pub = Socket<engine::Pub>;

/// Receives what it subscribed to.
///
/// A message is wanted if it begins with one of the topics. Without a subscription nothing is received; the empty
/// topic wants everything. When the program is slow, the oldest waiting messages are dropped, or the newest where
/// `prefer_new` is off; [`missed`](Socket::missed) tells how many.
///
/// See [`Pub`] for a program.
pub type Sub = Socket<engine::Sub>;

/// Hands out work: each message goes to exactly one PULL.
///
/// ```text
///           ┌──▶ PULL    1, 4, 7
///   PUSH ───┼──▶ PULL    2, 5, 8        in turn, whoever has room
///           └──▶ PULL    3, 6, 9
/// ```
///
/// `send` waits while no PULL has room; with [`fail_without_peer`](engine::PushOptions::fail_without_peer) it fails
/// while none is connected. Nothing is dropped while a peer is connected; what was on its way to a peer
/// that dies is lost with it. Order is kept between one PUSH and one PULL.
///
/// ```
/// # use sp_protocols::sockets as sp;
/// use sp::{Pull, Push};
///
/// let pull = Pull::new()?;
/// let push = Push::new()?;
/// push.dial(pull.listen("tcp://127.0.0.1:0")?.endpoint())?;
/// push.send("work")?;
/// assert_eq!(pull.recv()?, "work");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Push = Socket<engine::Push>;

/// Collects work from every PUSH it is connected to, fairly.
///
/// A peer is held back while the queue is full, so nothing is dropped. See [`Push`] for a program.
pub type Pull = Socket<engine::Pull>;
