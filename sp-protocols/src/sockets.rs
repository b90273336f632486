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
/// it, which the server may still see. Each [`context`](Socket::context) has another. `send` waits until some REP can
/// take the request, or fails while none is connected, [as set](engine::ReqOptions::fail_without_peer). If the peer
/// that has it vanishes, the request is sent again to another at once; if no reply comes within the resend time (60 s),
/// it is sent again to whoever is ready. A REP may therefore see a request twice. `recv` without a request is an error.
/// The resend time can be another for each context, or none, with [`context_with`](Socket::context_with).
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
/// Use [`Push`] and [`Pull`] when no answer is needed, [`Surveyor`] when everybody is to answer.
pub type Req = Socket<engine::Req>;

/// Answers requests.
///
/// `recv` a request, then `send` its reply, which goes to the peer that asked. A `recv` before the reply gives the
/// request up; a `send` without a request is an error. A reply to a peer that has vanished is no error: it is
/// dropped and counted.
///
/// ```text
///   REQ ──▶ ┐
///   REQ ──▶ ├──▶ REP        peers are served in turn; each reply goes back to the one that asked
///   REQ ──▶ ┘
/// ```
///
/// Requests wait in order of arrival, and peers are held back while the queue is full, or as
/// [`when_full`](engine::RepOptions::when_full) says. A REQ that does not read its replies holds up itself alone: its
/// next request waits until the reply before it has left. One that dies takes its waiting requests with it
/// (`lost_with_peer`).
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
/// See [`Req`] for a program. Use [`Respondent`] where an answer is not owed, [`Pull`] where none is wanted.
pub type Rep = Socket<engine::Rep>;

/// One conversation of a [`Req`]: what asks and hears the answer. A `&Req` serves where a `&ReqContext` is wanted.
pub type ReqContext = Context<engine::Req>;

/// One conversation of a [`Rep`]: what is asked and answers. A `&Rep` serves where a `&RepContext` is wanted.
pub type RepContext = Context<engine::Rep>;

/// Asks everybody, and gathers the answers that come in time.
///
/// ```text
///               ┌──▶ RESPONDENT ──┐
///   SURVEYOR ───┼──▶ RESPONDENT   ├──▶ SURVEYOR      whoever answers in time is heard
///               └──▶ RESPONDENT ──┘
/// ```
///
/// `send` a survey, then `recv` responses, one after the other, until that fails because the
/// [survey is over](crate::socket::RecvError::is_survey_over): there is no telling earlier whether somebody else still
/// thinks about it, unless the program knows how many are to answer. A survey takes 1 second, or what
/// [`survey_time`](engine::SurveyorOptions::survey_time) says. What came in time can be received later; what comes too
/// late is dropped and counted as `stale_replies`. `recv` without a survey is an error. A receive with a timeout of its
/// own leaves the survey as it is.
///
/// ```
/// # use sp_protocols::sockets as sp;
/// # use sp_protocols::engine::SurveyorOptions;
/// use sp::{Respondent, Surveyor};
/// use std::time::Duration;
///
/// let surveyor = Surveyor::with(SurveyorOptions::new().survey_time(Duration::from_millis(200)))?;
/// let listener = surveyor.listen("tcp://127.0.0.1:0")?;
/// # let connected = surveyor.events();
/// for name in ["left", "right"] {
///     let respondent = Respondent::new()?;
///     respondent.dial(listener.endpoint())?;
///     std::thread::spawn(move || {
///         for survey in respondent.iter() {
///             assert_eq!(survey, "who is there?");
///             // Fails only when the socket is closed, and then there are no more surveys.
///             let _ = respondent.send(name);
///         }
///     });
/// }
/// # while surveyor.peers().len() < 2 { let _ = connected.recv_timeout(Duration::from_millis(5)); }
/// surveyor.send("who is there?")?;
/// let mut names: Vec<_> = surveyor.iter().map(|name| name.to_string()).collect();
/// names.sort();
/// assert_eq!(names, ["left", "right"]);
/// # surveyor.close();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// `send` never waits and never fails. It goes to the respondents that are connected and have room at that moment: one
/// that is so slow that thousands of messages wait for it misses the survey, which is counted as `dropped_on_send` and
/// delays nobody else. One that dies simply does not answer, and one that comes later is asked next time. A new `send`
/// ends the survey before it. Each [`context`](Socket::context) has another, with a survey time of its own if made by
/// [`context_with`](Socket::context_with).
///
/// Responses that wait to be received queue up to 1,024 or 16 MiB for each survey; more are dropped and counted as
/// `dropped_on_receive`, or [as set](engine::SurveyorOptions::when_full).
///
/// Use [`Req`] when one answer is enough and must not be missed, [`Pub`] when no answer is needed.
pub type Surveyor = Socket<engine::Surveyor>;

/// Answers surveys.
///
/// Used as a [`Rep`]: `recv` a survey, then `send` the response, which goes to the SURVEYOR that asked. Other than a
/// request, a survey may be left unanswered: `recv` the next. A response that comes too late is dropped by the
/// SURVEYOR, one to a SURVEYOR that has vanished by this side; `send` succeeds all the same.
///
/// A RESPONDENT that is slow holds up nobody else. Surveys wait in order of arrival, and their peer is not read while
/// the queue is full; what a SURVEYOR sends beyond that is lost to this RESPONDENT. With
/// [`when_full`](engine::RespondentOptions::when_full) it can be the oldest that are lost, as they are the first to be
/// too late to answer. Several threads or tasks that answer in parallel need a [`context`](Socket::context) each.
///
/// See [`Surveyor`] for a picture and a program. Use [`Rep`] where each question is for one and owed an answer.
pub type Respondent = Socket<engine::Respondent>;

/// One conversation of a [`Surveyor`]: what asks and hears the answers.
pub type SurveyorContext = Context<engine::Surveyor>;

/// One conversation of a [`Respondent`]: what is asked and answers.
pub type RespondentContext = Context<engine::Respondent>;

/// Publishes to every subscriber that is connected.
///
/// ```text
///          ┌──▶ SUB "weather"
///   PUB ───┼──▶ SUB "sport"         everybody gets everything and keeps what it wants
///          └──▶ SUB ""
/// ```
///
/// `send` never waits. A subscriber that is slower than the publisher misses the oldest messages that wait for it;
/// they are counted as `dropped_on_send`. Nothing is kept for subscribers that come later, nor for one that has died
/// and comes again; what waited for it is counted as `lost_with_peer`. With [`WhenSlow`](engine::WhenSlow) it can be
/// the newest that are missed, the slow can be disconnected, or `send` can wait for them.
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
/// topic wants everything. When the program is slow, the oldest waiting messages are dropped, and
/// [`missed`](Context::missed) tells how many. With [`WhenFull`](engine::WhenFull) it can be the newest, or publishers
/// are not read until there is room: with a [`Pub`] that waits for its subscribers nothing is lost then.
///
/// Each [`context`](Socket::context) has topics and a queue of its own, over the connections of the one socket: a
/// message goes to every context that wants it. What it costs to find them does not depend on how many there are.
///
/// ```
/// # use sp_protocols::sockets as sp;
/// # use sp_protocols::engine::SubOptions;
/// let sub = sp::Sub::new()?;
/// let (weather, scores) = (sub.context(), sub.context_with(SubOptions::new().queue(1))?);
/// weather.subscribe("weather");
/// // Of these the latest is enough.
/// scores.subscribe("sport: ");
/// # let publisher = sp::Pub::new()?;
/// # let connected = publisher.events();
/// # sub.dial(publisher.listen("tcp://127.0.0.1:0")?.endpoint())?;
/// # connected.recv()?;
/// # for news in ["sport: 0-1", "sport: 1-1", "weather: sunny"] { publisher.send(news)?; }
/// assert_eq!(weather.recv()?, "weather: sunny");
/// assert_eq!(scores.recv()?, "sport: 1-1");
/// assert_eq!(scores.missed(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A SUB that has dialled finds its publisher again when that has died and come back, and misses what was published in
/// between; what had come before can still be received.
///
/// See [`Pub`] for a picture and a program. Use [`Pull`] when each message is for one receiver and none may be dropped.
pub type Sub = Socket<engine::Sub>;

/// One conversation of a [`Sub`]: topics and what has come for them. A `&Sub` serves where a `&SubContext` is wanted.
pub type SubContext = Context<engine::Sub>;

/// Hands out work: each message goes to exactly one PULL.
///
/// ```text
///           ┌──▶ PULL    1, 4, 7
///   PUSH ───┼──▶ PULL    2, 5, 8        in turn, whoever has room
///           └──▶ PULL    3, 6, 9
/// ```
///
/// A PULL that is slow gets less, and the others get more. `send` waits while none has room; with
/// [`fail_without_peer`](engine::PushOptions::fail_without_peer) it fails while none is connected. Nothing is dropped
/// while a peer is connected; what was on its way to a peer that dies is lost with it. Order is kept between one PUSH
/// and one PULL.
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
///
/// Use [`Req`] when work must not be lost with whoever does it, [`Pub`] when everybody is to get everything.
pub type Push = Socket<engine::Push>;

/// Collects work from every PUSH it is connected to, fairly.
///
/// ```text
///   PUSH ──▶ ┐
///   PUSH ──▶ ├──▶ PULL        one after the other, whoever has something
///   PUSH ──▶ ┘
/// ```
///
/// A peer is held back while the queue is full, so nothing is dropped, unless
/// [`when_full`](engine::PullOptions::when_full) says so. What has come from a peer that dies can still be received;
/// what had not left it is lost with it.
///
/// See [`Push`] for a program. Use [`Rep`] when whoever sends is to hear what came of it, [`Sub`] to get only what is
/// wanted.
pub type Pull = Socket<engine::Pull>;

/// Talks with one other, both ways.
///
/// ```text
///   PAIR ◀──────▶ PAIR        each sends whenever it likes
///          ✗ ◀─── PAIR        a second one is refused until the first leaves
/// ```
///
/// Messages arrive in order. `send` waits while there is no peer or it has no room, and a peer is held back while the
/// receive queue is full ([or not](engine::PairOptions::when_full)), so nothing is dropped while the two are connected.
/// A peer that comes while there is one is refused ([`TooMany`](sp_core::pipe::CloseReason::TooMany)); it tries again
/// by itself, as every dialer does, and is let in once the first has left. When the peer dies, what was on its way is
/// lost, and so is what was sent to a peer that turns out to refuse us; what waits in the send queue
/// ([`PairOptions::send_queue`](engine::PairOptions), none unless set) is the next peer's.
///
/// ```
/// # use sp_protocols::sockets as sp;
/// use sp::Pair;
///
/// let (here, there) = (Pair::new()?, Pair::new()?);
/// there.dial(here.listen("tcp://127.0.0.1:0")?.endpoint())?;
/// here.send("your move")?;
/// there.send("no, yours")?;
/// assert_eq!(there.recv()?, "your move");
/// assert_eq!(here.recv()?, "no, yours");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// This is version 0, which every implementation has; what nng calls simply pair is [`Pair1`], and the two do not
/// talk with each other. Use [`Req`] and [`Rep`] where each message has an answer, [`Pair1Poly`] or [`Bus`] for more
/// than two.
pub type Pair = Socket<engine::Pair>;

/// Talks with one other, both ways, through devices too: version 1 of [`Pair`], the one that nng opens by default.
///
/// All that is said of [`Pair`] holds. In addition each message counts its hops, so that one that goes round in circles
/// between devices comes to an end: what has made more than [`ttl`](engine::Pair1Options::ttl) is dropped and counted
/// as `hop_limit`. nng and mangos speak this version, nanomsg does not.
///
/// ```
/// # use sp_protocols::sockets as sp;
/// use sp::Pair1;
///
/// let (here, there) = (Pair1::new()?, Pair1::new()?);
/// there.dial(here.listen("tcp://127.0.0.1:0")?.endpoint())?;
/// there.send("hello")?;
/// assert_eq!(here.recv()?, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Pair1 = Socket<engine::Pair1>;

/// Talks with many, and with each on its own: the polyamorous [`Pair1`].
///
/// ```text
///                ┌──▶ PAIR1
///   Pair1Poly ◀──┼──▶ PAIR1        each of them believes that it talks with a plain PAIR1
///                └──▶ PAIR1
/// ```
///
/// Each message that is received tells [whom it came from](sp_core::message::Message::source), and
/// [`send_to`](Socket::send_to) names the peer that a message is for:
///
/// ```
/// # use sp_protocols::sockets as sp;
/// use sp::{Pair1, Pair1Poly};
///
/// let (server, client) = (Pair1Poly::new()?, Pair1::new()?);
/// client.dial(server.listen("tcp://127.0.0.1:0")?.endpoint())?;
/// client.send("hello")?;
/// let greeting = server.recv()?;
/// let peer = greeting.source().expect("it was received");
/// server.send_to(peer, "hello to you")?;
/// server.send_to(peer, "and good day")?;
/// assert_eq!(client.recv()?, "hello to you");
/// assert_eq!(client.recv()?, "and good day");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A plain `send` does not exist, for it would have to guess:
///
/// ```compile_fail
/// # use sp_protocols::sockets as sp;
/// let server = sp::Pair1Poly::new().unwrap();
/// server.send("to whom?").unwrap();
/// ```
///
/// `send_to` never waits. If the peer is slow or gone, the message comes back with an error that says so, and nobody
/// else is held up. Peers are read in turn, and held back while the receive queue is full, or
/// [as set](engine::Pair1PolyOptions::when_full). What was on its way to a
/// peer that dies is lost; when it comes back, it is a new peer.
///
/// Use [`Rep`] where every message is answered once: it does the addressing by itself.
pub type Pair1Poly = Socket<engine::Pair1Poly>;

/// Sends to all its neighbours, and receives from all of them.
///
/// ```text
///   BUS ◀──▶ BUS
///    ▲        ▲         three that know each other: what one sends, the two others get
///    └▶ BUS ◀─┘
/// ```
///
/// A message goes to those that are connected directly, once to each and never back to its sender; nobody passes it on.
/// For everybody to hear everybody, each has to be connected with each, by one of the two dialling.
///
/// `send` never waits: what is sent while too much waits for a neighbour is missed by that neighbour alone, counted as
/// `dropped_on_send`. With [`WhenSlow`](engine::WhenSlow) it can be the oldest that are missed, the slow can be
/// disconnected, or `send` can wait for them; neighbours that all wait for each other and receive nothing meanwhile
/// wait for ever. A program that receives too slowly misses what comes while its queue is full, counted as
/// `dropped_on_receive`; or its neighbours are not read, as [`WhenFull`](engine::WhenFull) says. What was on its way to
/// a neighbour that dies is lost (`lost_with_peer` counts what still waited), and one that comes later gets what is
/// sent from then on.
///
/// ```
/// # use sp_protocols::sockets as sp;
/// use sp::Bus;
///
/// let (anna, bert) = (Bus::new()?, Bus::new()?);
/// let connected = anna.events();
/// bert.dial(anna.listen("tcp://127.0.0.1:0")?.endpoint())?;
/// // What is sent before a neighbour is there is not kept for it.
/// connected.recv()?;
/// anna.send("anybody here?")?;
/// let question = bert.recv()?;
/// assert_eq!(question, "anybody here?");
/// assert_eq!(question.source(), bert.peers().first().copied());
/// bert.send("I am")?;
/// assert_eq!(anna.recv()?, "I am");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A message is encoded once and kept once, however many neighbours there are. Use [`Pub`] and [`Sub`] where few send
/// and many listen, [`Push`] where each message is for one.
pub type Bus = Socket<engine::Bus>;

/// Sends to everybody in a network of STARs, however far, and receives from everybody.
///
/// ```text
///   STAR ◀──▶ STAR ◀──▶ STAR ◀──▶ STAR        what one sends, all others get
/// ```
///
/// As a [`Bus`], but each passes on what it gets to its other neighbours, while its program need not even receive. So
/// it is enough if all are connected somehow. The network should be a tree: where it has a loop, messages come
/// several times, until their hops are used up ([`ttl`](engine::StarOptions::ttl), 8 unless set).
///
/// `send` never waits: a neighbour whose connection has no room misses the message, and with it everybody behind that
/// neighbour; this is counted as `dropped_on_send`, what this program receives too slowly as `dropped_on_receive`,
/// unless it is [to be waited for](engine::StarOptions::when_full). When a node dies, the network falls apart into the
/// parts it held together, until it comes back.
///
/// ```
/// # use sp_protocols::sockets as sp;
/// use sp::Star;
///
/// let (left, middle, right) = (Star::new()?, Star::new()?, Star::new()?);
/// let url = middle.listen("tcp://127.0.0.1:0")?.endpoint().to_string();
/// let connected = middle.events();
/// left.dial(url.as_str())?;
/// right.dial(url.as_str())?;
/// for _ in 0..2 {
///     connected.recv()?;
/// }
/// left.send("hello")?;
/// assert_eq!(right.recv()?, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Besides this library only mangos has this pattern. Use [`Bus`] where each is connected with each and nobody is to
/// pass anything on, [`Pub`] and [`Sub`] where few send and many listen.
pub type Star = Socket<engine::Star>;
