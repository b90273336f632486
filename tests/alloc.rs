//! Sending and receiving allocate nothing once everything is warm, and connections that are silent take little.
//!
//! An allocator counts for all threads of the process, so this binary has a single test. Where something
//! allocates, the test prints the places.
#![expect(unsafe_code, reason = "a global allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{self, Poll, Wake, Waker};
use std::time::Duration;
use std::{mem, thread};

use crossbeam_channel::{Sender, bounded};
use sp::pool::BufferPool;
use sp::raw::{self, Device, Fits};
use sp::{
    Bus, Context, ContextEngine, Message, OpenError, Pair, Pair1, Pair1Poly, PeerId, Pub, Pull,
    Push, RecvError, Rep, RepContext, Req, ReqContext, Respondent, Socket, Star, Sub, Surveyor,
    SurveyorOptions,
};
use sp_protocols::engine::{Engine, RecvEngine, SendEngine};
use support::{DEADLINE, Transport, connect, spawn, threads, wait_until};

mod support;

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_message_in_steady_state_allocates_nothing() {
    let mut table = String::new();
    let mut sites: BTreeMap<String, u64> = BTreeMap::new();
    let mut exceeded = Vec::new();
    for case in cases() {
        let found = spawn(move || case.run()).join_within(CASE_LIMIT);
        // What a thread kept goes to the pool when it ends; that belongs to this case and not to the next.
        wait_until("the worker ends", || threads().is_empty());
        let _ = writeln!(table, "{:>4} in {MEASURED} messages: {case:?}", found.count);
        if found.count > case.allowed() {
            exceeded.push(case);
        }
        for site in found.sites {
            *sites.entry(site).or_default() += 1;
        }
    }
    let growth = [Transport::Tcp, Transport::Udp].map(growth_by_connections);
    let over = CYCLES / ROUNDS;
    let _ = writeln!(table, "{growth:?} bytes kept by {over} connections that are over");
    let silent = bytes_of_a_silent_connection();
    let _ = writeln!(table, "{silent} bytes for a silent connection");
    for (site, times) in &sites {
        let _ = writeln!(table, "seen {times} times, innermost first:\n{site}");
    }
    assert!(sites.is_empty(), "a message allocates:\n{table}");
    assert!(exceeded.is_empty(), "{exceeded:?} allocate more than they may:\n{table}");
    assert!(
        growth.iter().all(|bytes| *bytes < KEPT_MAX),
        "connections leave memory behind:\n{table}"
    );
    assert!(silent < SILENT_MAX, "silent connections take too much:\n{table}");
}

/// What a case allocated.
struct Found {
    count: u64,
    /// Where, for the first few, and not by rustls.
    sites: Vec<String>,
}

/// What is sent how over what.
#[derive(Clone, Copy, Debug)]
struct Case {
    pattern: Pattern,
    transport: Transport,
    bytes: usize,
    threads: Threads,
}

#[derive(Clone, Copy, Debug)]
enum Pattern {
    ReqRep,
    /// Several contexts on each side, all with a request under way.
    Contexts,
    /// One asks several.
    Survey,
    PubSub,
    /// Several contexts of the subscriber, each of which gets every message.
    SubContexts,
    PushPull,
    Pair,
    Pair1,
    /// One that names its peer, to one that is plain.
    Poly,
    Bus,
    Star,
    /// Requests and replies through a device with a thread of its own.
    ReqRepDevice,
    /// Work through a device with a thread of its own.
    PushPullDevice,
    /// And everything else that can go through one.
    PubSubDevice,
    SurveyDevice,
    PairDevice,
    Pair1Device,
    BusDevice,
    StarDevice,
}

#[derive(Clone, Copy, Debug)]
enum Threads {
    /// One thread sends and receives by turns.
    One,
    /// Each side has its thread.
    Two,
}

/// With TLS only what that brings: the rest is the same with and without.
fn cases() -> impl Iterator<Item = Case> {
    let without = bare_cases().chain(datagrams());
    without.filter(|_| !cfg!(feature = "tls")).chain(secure_cases())
}

fn bare_cases() -> impl Iterator<Item = Case> {
    let patterns = [
        Pattern::ReqRep,
        Pattern::Contexts,
        Pattern::Survey,
        Pattern::PubSub,
        Pattern::SubContexts,
        Pattern::PushPull,
        Pattern::Pair,
        Pattern::Pair1,
        Pattern::Poly,
        Pattern::Bus,
        Pattern::Star,
        Pattern::ReqRepDevice,
        Pattern::PushPullDevice,
        Pattern::PubSubDevice,
        Pattern::SurveyDevice,
        Pattern::PairDevice,
        Pattern::Pair1Device,
        Pattern::BusDevice,
        Pattern::StarDevice,
    ];
    let all = patterns.into_iter().flat_map(|pattern| {
        Transport::BARE.into_iter().flat_map(move |transport| {
            [64, 1024].into_iter().flat_map(move |bytes| {
                [Threads::One, Threads::Two].into_iter().map(move |threads| Case {
                    pattern,
                    transport,
                    bytes,
                    threads,
                })
            })
        })
    });
    all.filter(|case| case.pattern.is_basic() || case.is_full())
}

/// Where datagrams could be lost somebody would wait for them for ever: each is received before the next is sent.
fn datagrams() -> impl Iterator<Item = Case> {
    let cases = [
        (Pattern::ReqRep, Threads::One),
        (Pattern::ReqRep, Threads::Two),
        (Pattern::PubSub, Threads::One),
        (Pattern::PushPull, Threads::One),
    ];
    cases.into_iter().flat_map(|(pattern, threads)| {
        [64, 1024].map(|bytes| Case { pattern, transport: Transport::Udp, bytes, threads })
    })
}

/// TLS has one form of what is basic.
#[cfg(feature = "tls")]
fn secure_cases() -> impl Iterator<Item = Case> {
    [Transport::Tls, Transport::Wss].into_iter().flat_map(|transport| {
        [Pattern::ReqRep, Pattern::PubSub, Pattern::PushPull].into_iter().map(move |pattern| Case {
            pattern,
            transport,
            bytes: 1024,
            threads: Threads::Two,
        })
    })
}

#[cfg(not(feature = "tls"))]
fn secure_cases() -> impl Iterator<Item = Case> {
    std::iter::empty()
}

impl Pattern {
    /// The others are made of the same parts: one form of each will do.
    const fn is_basic(self) -> bool {
        matches!(self, Self::ReqRep | Self::PubSub | Self::PushPull)
    }
}

impl Case {
    /// Bodies in buffers, and every side with a thread of its own.
    const fn is_full(self) -> bool {
        self.bytes > 64 && matches!(self.threads, Threads::Two)
    }

    /// How often it may allocate: where there is TLS, rustls does so for each record.
    fn allowed(self) -> u64 {
        if self.transport.is_secure() { ALLOCATED_BY_TLS * MEASURED } else { 0 }
    }

    /// How often it allocated, and where first.
    fn run(self) -> Found {
        match self.pattern {
            Pattern::ReqRep => {
                let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
                connect(self.transport, &rep, &req);
                match self.threads {
                    Threads::One => self.converse(&req, &rep),
                    Threads::Two => self.serve(req, rep),
                }
            }
            Pattern::Contexts => {
                let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
                connect(self.transport, &rep, &req);
                let (asking, answering) = (contexts(&req), contexts(&rep));
                match self.threads {
                    Threads::One => self.converse_at_once(&asking, &answering),
                    Threads::Two => self.serve_at_once(&asking, answering),
                }
            }
            Pattern::Survey => {
                let surveyor = patient_surveyor();
                let respondents = self.respondents(&surveyor);
                match self.threads {
                    Threads::One => self.survey(&surveyor, respondents),
                    Threads::Two => self.survey_others(&surveyor, respondents),
                }
            }
            Pattern::PubSub | Pattern::SubContexts => {
                let (publisher, sub) =
                    (Pub::new().expect("PUB opens"), Sub::new().expect("SUB opens"));
                let others = match self.pattern {
                    Pattern::SubContexts => contexts(&sub),
                    _ => Vec::new(),
                };
                sub.subscribe("");
                others.iter().for_each(|context| context.subscribe(""));
                connect(self.transport, &publisher, &sub);
                self.one_way(publisher, sub, others)
            }
            Pattern::PushPull => {
                let (pull, push) =
                    (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
                connect(self.transport, &pull, &push);
                self.one_way(push, pull, Vec::new())
            }
            Pattern::ReqRepDevice => {
                let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
                let (front, back) =
                    (raw::Rep::new().expect("REP opens"), raw::Req::new().expect("REQ opens"));
                connect(self.transport, &front, &req);
                connect(self.transport, &rep, &back);
                through(Device::new(front, back), || self.serve(req, rep))
            }
            Pattern::PushPullDevice => {
                let (pull, push) =
                    (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
                let (front, back) =
                    (raw::Pull::new().expect("PULL opens"), raw::Push::new().expect("PUSH opens"));
                connect(self.transport, &front, &push);
                connect(self.transport, &pull, &back);
                through(Device::new(front, back), || {
                    let send = |msg: Message| push.send(msg).expect("the device is connected");
                    self.stream(send, pull, Vec::new())
                })
            }
            Pattern::PubSubDevice => {
                let (publisher, sub) =
                    (Pub::new().expect("PUB opens"), Sub::new().expect("SUB opens"));
                let (front, back) =
                    (raw::Sub::new().expect("SUB opens"), raw::Pub::new().expect("PUB opens"));
                sub.subscribe("");
                connect(self.transport, &publisher, &front);
                connect(self.transport, &back, &sub);
                through(Device::new(front, back), || self.one_way(publisher, sub, Vec::new()))
            }
            Pattern::SurveyDevice => {
                let surveyor = patient_surveyor();
                let (front, back) = (
                    raw::Respondent::new().expect("RESPONDENT opens"),
                    raw::Surveyor::new().expect("SURVEYOR opens"),
                );
                connect(self.transport, &surveyor, &front);
                let respondents = self.respondents(&back);
                through(Device::new(front, back), || self.survey_others(&surveyor, respondents))
            }
            Pattern::PairDevice => self.across(Pair::new, raw::Pair::new),
            Pattern::Pair1Device => self.across(Pair1::new, raw::Pair1::new),
            Pattern::BusDevice => self.across(Bus::new, raw::Bus::new),
            Pattern::StarDevice => self.across(Star::new, raw::Star::new),
            Pattern::Pair => self.among_equals(Pair::new),
            Pattern::Pair1 => self.among_equals(Pair1::new),
            Pattern::Poly => {
                let (poly, other) =
                    (Pair1Poly::new().expect("PAIR1 opens"), Pair1::new().expect("PAIR1 opens"));
                connect(self.transport, &poly, &other);
                let peer = poly.peers()[0];
                match self.threads {
                    Threads::One => self.alternate(|msg| to_one(&poly, peer, msg), &other, &[]),
                    Threads::Two => self.stream(|msg| to_one(&poly, peer, msg), other, Vec::new()),
                }
            }
            Pattern::Bus => self.among_equals(Bus::new),
            Pattern::Star => self.among_equals(Star::new),
        }
    }

    fn among_equals<E: SendEngine + RecvEngine>(
        self,
        open: impl Fn() -> Result<Socket<E>, OpenError>,
    ) -> Found {
        let (here, there) = (open().expect("it opens"), open().expect("it opens"));
        connect(self.transport, &here, &there);
        self.one_way(here, there, Vec::new())
    }

    /// As [`among_equals`](Self::among_equals), with a device between the two.
    fn across<E: SendEngine + RecvEngine, R: Fits<R>>(
        self,
        open: impl Fn() -> Result<Socket<E>, OpenError>,
        open_raw: impl Fn() -> Result<Socket<R>, OpenError>,
    ) -> Found {
        let (here, there) = (open().expect("it opens"), open().expect("it opens"));
        let (front, back) = (open_raw().expect("it opens"), open_raw().expect("it opens"));
        connect(self.transport, &here, &front);
        connect(self.transport, &there, &back);
        through(Device::new(front, back), || self.one_way(here, there, Vec::new()))
    }

    fn respondents<E: Engine>(self, surveyor: &Socket<E>) -> Vec<Respondent> {
        let respondents = (0..RESPONDENTS).map(|_| {
            let respondent = Respondent::new().expect("RESPONDENT opens");
            connect(self.transport, surveyor, &respondent);
            respondent
        });
        respondents.collect()
    }

    /// Each message is received in `to`, and in each of `others`.
    fn one_way<S: SendEngine, R: RecvEngine>(
        self,
        from: Socket<S>,
        to: Socket<R>,
        others: Vec<Context<R>>,
    ) -> Found {
        let send = |msg: Message| from.send(msg).expect("the peer is connected");
        match self.threads {
            Threads::One => self.alternate(send, &to, &others),
            Threads::Two => self.stream(send, to, others),
        }
    }

    fn body(self) -> Vec<u8> {
        support::pattern(self.bytes)
    }

    fn alternate<R: RecvEngine>(
        self,
        send: impl Fn(Message),
        to: &Socket<R>,
        others: &[Context<R>],
    ) -> Found {
        let body = self.body();
        let send = || send(Message::from(&body[..]));
        let mut sent = 0;
        measured(|| {
            sent += 1;
            let got = if sent <= FILLED {
                received_by_task(to, send)
            } else {
                send();
                if sent <= SLEPT {
                    // Nobody waits for it, so the worker reads it.
                    wait_until("the message has arrived", || messages_received(to) == sent);
                }
                to.recv()
            };
            assert_eq!(got.expect("the message comes").len(), body.len(), "it comes whole");
            recv_each(others);
        })
    }

    fn converse(self, req: &Req, rep: &Rep) -> Found {
        let body = self.body();
        let ask = || req.send(Message::from(&body[..])).expect("the server is connected");
        let answer = |request: Message| {
            rep.send(Message::from(request.body())).expect("there is a request");
        };
        let mut sent = 0;
        measured(|| {
            sent += 1;
            let reply = if sent <= FILLED {
                let request = received_by_task(rep, ask).expect("the request comes");
                received_by_task(req, || answer(request))
            } else {
                ask();
                answer(rep.recv().expect("the request comes"));
                req.recv()
            };
            assert_eq!(reply.expect("the reply comes").len(), body.len(), "it comes whole");
        })
    }

    /// A server of its own thread.
    fn serve(self, req: Req, rep: Rep) -> Found {
        let body = self.body();
        let request = received_by_task(&rep, || {
            req.send(Message::from(&body[..])).expect("the server is connected");
        });
        let request = request.expect("the request comes");
        let reply = received_by_task(&req, || rep.send(request).expect("there is a request"));
        reply.expect("the reply comes");
        let server = spawn(move || {
            warm_thread();
            for _ in 0..WARM_UP + MEASURED_ROUNDS * MEASURED {
                let request = rep.recv().expect("the request comes");
                rep.send(Message::from(request.body())).expect("there is a request");
            }
            rep
        });
        let found = measured(|| {
            req.send(Message::from(&body[..])).expect("the server is connected");
            let reply = req.recv().expect("the reply comes");
            assert_eq!(reply.len(), body.len(), "the reply comes whole");
        });
        server.join_within(CASE_LIMIT);
        found
    }

    /// All ask before the first is answered, and the last is answered first.
    fn converse_at_once(self, asking: &[ReqContext], answering: &[RepContext]) -> Found {
        let body = self.body();
        let mut passed = 0;
        measured(|| {
            passed += 1;
            let ask = || asking.iter().for_each(|context| self.ask(context, &body));
            if passed <= FILLED {
                let (first, others) = answering.split_first().expect("there are some");
                let request = received_by_task(first, ask).expect("the request comes");
                answer_all(others);
                first.send(request).expect("there is a request");
            } else {
                ask();
                answer_all(answering);
            }
            asking.iter().for_each(|context| self.hear(context));
        })
    }

    /// The same with a server of its own thread.
    fn serve_at_once(self, asking: &[ReqContext], answering: Vec<RepContext>) -> Found {
        let body = self.body();
        let server = spawn(move || {
            warm_thread();
            for _ in 0..WARM_UP + MEASURED_ROUNDS * MEASURED {
                answer_all(&answering);
            }
            answering
        });
        let found = measured(|| {
            asking.iter().for_each(|context| self.ask(context, &body));
            asking.iter().for_each(|context| self.hear(context));
        });
        server.join_within(CASE_LIMIT);
        found
    }

    /// Everybody is asked before the first answers.
    fn survey(self, surveyor: &Surveyor, respondents: Vec<Respondent>) -> Found {
        let body = self.body();
        let ask = || surveyor.send(Message::from(&body[..])).expect("a surveyor never waits");
        let (first, others) = respondents.split_first().expect("there are some");
        let mut passed = 0;
        measured(|| {
            passed += 1;
            if passed <= FILLED {
                let survey = received_by_task(first, ask).expect("the survey comes");
                let respond = || first.send(survey).expect("there is a survey");
                received_by_task(surveyor, respond).expect("the response comes");
            } else {
                ask();
                respond(first);
                self.hear(surveyor);
            }
            others.iter().for_each(respond);
            others.iter().for_each(|_| self.hear(surveyor));
        })
    }

    /// The same with a thread for each respondent.
    fn survey_others(self, surveyor: &Surveyor, respondents: Vec<Respondent>) -> Found {
        let body = self.body();
        let respondents = respondents.into_iter().map(|respondent| {
            spawn(move || {
                warm_thread();
                (0..WARM_UP + MEASURED_ROUNDS * MEASURED).for_each(|_| respond(&respondent));
                respondent
            })
        });
        let respondents: Vec<_> = respondents.collect();
        let found = measured(|| {
            surveyor.send(Message::from(&body[..])).expect("a surveyor never waits");
            respondents.iter().for_each(|_| self.hear(surveyor));
        });
        respondents.into_iter().for_each(|respondent| drop(respondent.join()));
        found
    }

    fn ask(self, context: &ReqContext, body: &[u8]) {
        context.send(Message::from(body)).expect("the server is connected");
    }

    fn hear<E: RecvEngine>(self, context: &Context<E>) {
        let reply = context.recv().expect("the reply comes");
        assert_eq!(reply.len(), self.bytes, "the reply comes whole");
    }

    /// A stream from thread to thread, never more than a window under way.
    fn stream<R: RecvEngine>(
        self,
        send: impl Fn(Message),
        to: Socket<R>,
        others: Vec<Context<R>>,
    ) -> Found {
        let body = self.body();
        let send = || send(Message::from(&body[..]));
        received_by_task(&to, send).expect("the message comes");
        recv_each(&others);
        let received = Arc::new(AtomicU64::new(0));
        let full = Arc::new(Barrier::new(2));
        let receiver = spawn({
            let (received, full) = (Arc::clone(&received), Arc::clone(&full));
            move || {
                warm_thread();
                for n in 0..WARM_UP + MEASURED_ROUNDS * MEASURED {
                    if n < FILLED && n % WINDOW == 0 {
                        full.wait();
                    }
                    to.recv().expect("the message comes");
                    recv_each(&others);
                    received.fetch_add(1, Ordering::Release);
                }
                to
            }
        });
        let mut sent = 0;
        let found = measured(|| {
            let window = match sent {
                // At first the window is filled before anything is received: later no more buffers are needed.
                ..FILLED => sent / WINDOW * WINDOW,
                // Then the receiver sleeps before anything is sent.
                FILLED..SLEPT => sent,
                _ => sent - WINDOW + 1,
            };
            while received.load(Ordering::Acquire) < window {
                thread::yield_now();
            }
            if (FILLED..SLEPT).contains(&sent) {
                receiver.wait_asleep();
            }
            send();
            sent += 1;
            if sent <= FILLED && sent % WINDOW == 0 {
                full.wait();
            }
        });
        receiver.join_within(CASE_LIMIT);
        found
    }
}

fn to_one(poly: &Pair1Poly, peer: PeerId, msg: Message) {
    poly.send_to(peer, msg).expect("the window is smaller than its queue");
}

/// Runs a device beside.
fn through(device: Device, run: impl FnOnce() -> Found) -> Found {
    let handle = device.handle();
    let thread = spawn(move || {
        warm_thread();
        device.run()
    });
    let found = run();
    handle.stop();
    thread.join();
    found
}

/// No timer comes up meanwhile: one that does moves its entry, once for each survey time.
fn patient_surveyor() -> Surveyor {
    let options = SurveyorOptions::new().survey_time(10 * DEADLINE);
    Surveyor::with(options).expect("SURVEYOR opens")
}

fn contexts<E: ContextEngine>(socket: &Socket<E>) -> Vec<Context<E>> {
    (0..CONTEXTS).map(|_| socket.context()).collect()
}

/// Holds a request in each, then answers all, the last first.
fn answer_all(contexts: &[RepContext]) {
    if let Some((first, others)) = contexts.split_first() {
        let request = first.recv().expect("the request comes");
        answer_all(others);
        first.send(Message::from(request.body())).expect("there is a request");
    }
}

fn respond(respondent: &Respondent) {
    let survey = respondent.recv().expect("the survey comes");
    respondent.send(Message::from(survey.body())).expect("there is a survey");
}

/// Receives a message in each.
fn recv_each<E: RecvEngine>(contexts: &[Context<E>]) {
    contexts.iter().for_each(|context| drop(context.recv().expect("the message comes")));
}

/// What came in on a socket with one peer.
fn messages_received<E: Engine>(socket: &Socket<E>) -> u64 {
    let stats = socket.stats();
    stats.children.first().and_then(|peer| peer.get("messages_received")).unwrap_or_default()
}

/// What a task receives that waits while `send` is called: over a wire the worker reads it and wakes the task.
fn received_by_task<E: RecvEngine>(
    context: &Context<E>,
    send: impl FnOnce(),
) -> Result<Message, RecvError> {
    /// Warms the thread that wakes, since the worker can be reached in no other way.
    struct Warming(Sender<()>);

    impl Wake for Warming {
        fn wake(self: Arc<Self>) {
            warm_thread();
            // Full: it has been rung already.
            let _ = self.0.try_send(());
        }
    }

    let (ring, rung) = bounded(1);
    let waker = Waker::from(Arc::new(Warming(ring)));
    let mut cx = task::Context::from_waker(&waker);
    let mut received = pin!(context.recv_async());
    assert!(received.as_mut().poll(&mut cx).is_pending(), "nothing was sent yet");
    send();
    loop {
        rung.recv_timeout(DEADLINE).expect("the task is woken");
        if let Poll::Ready(message) = received.as_mut().poll(&mut cx) {
            return message;
        }
    }
}

/// Fills this thread's share of the pool, once, so that its lists have their size.
fn warm_thread() {
    thread_local! {
        static WARM: Cell<bool> = const { Cell::new(false) };
    }

    if !WARM.replace(true) {
        take_buffers(SHARED);
    }
}

/// Fills the pool's depot as a long run does: a thread's share goes there when the thread ends.
fn fill_pool() {
    spawn(|| take_buffers(POOLED)).join();
}

/// Has so many buffers of each class in use at a time.
fn take_buffers(of_each: usize) {
    let pool = BufferPool::global();
    for size in pool.class_sizes() {
        drop((0..of_each).map(|_| pool.take(size)).collect::<Vec<_>>());
    }
}

/// Calls `pass` until all is warm, then counts what it allocates in the round in which it allocates least: a queue
/// that is fuller than ever before grows once, what a message allocates it allocates in each round.
fn measured(mut pass: impl FnMut()) -> Found {
    warm_thread();
    fill_pool();
    (0..WARM_UP).for_each(|_| pass());
    let rounds = (0..MEASURED_ROUNDS).map(|_| {
        COUNT.store(0, Ordering::SeqCst);
        COUNTS.store(true, Ordering::SeqCst);
        (0..MEASURED).for_each(|_| pass());
        COUNTS.store(false, Ordering::SeqCst);
        let traces = mem::take(&mut *TRACES.lock().expect("nobody panics with it"));
        let traces = traces.iter().map(Backtrace::to_string);
        let ours = traces.filter(|trace| !trace.contains(" rustls::"));
        let sites = ours.map(|trace| site(&trace)).collect();
        Found { count: COUNT.load(Ordering::SeqCst), sites }
    });
    rounds.min_by_key(|found| found.count).expect("there are rounds")
}

/// The library's own lines of a backtrace, innermost first.
fn site(trace: &str) -> String {
    let places = trace.lines().filter_map(|line| line.trim().strip_prefix("at "));
    let ours = places.filter_map(|place| Some(&place[place.find("sp-")?..]));
    let ours: Vec<_> = ours.filter(|place| place.contains("/src/")).take(10).collect();
    if ours.is_empty() { trace.to_owned() } else { ours.join("\n") }
}

/// By how many bytes the process grows while peers come and go, in the round in which it grows least: a table that
/// doubles does so in few rounds, what a connection leaves behind it leaves in each.
fn growth_by_connections(transport: Transport) -> i64 {
    let pull = Pull::new().expect("PULL opens");
    let listener = pull.listen(transport.url()).expect("the address is free");
    let cycle = || {
        let push = Push::new().expect("PUSH opens");
        push.dial(listener.endpoint()).expect("somebody listens");
        push.send("hello").expect("the receiver is connected");
        pull.recv_timeout(DEADLINE).expect("the message comes");
        push.close();
        wait_until("the peer is gone", || pull.peers().is_empty());
    };
    let growth = (0..ROUNDS).map(|_| {
        let before = LIVE_BYTES.load(Ordering::SeqCst);
        (0..CYCLES / ROUNDS).for_each(|_| cycle());
        LIVE_BYTES.load(Ordering::SeqCst) - before
    });
    growth.min().unwrap_or_default()
}

/// What a connection to a REP takes, of the memory that was asked for, once it has asked and been answered. At the end
/// the tables are full, as far as their sizes can be known.
fn bytes_of_a_silent_connection() -> i64 {
    let rep = Rep::new().expect("REP opens");
    let listener = rep.listen("tcp://127.0.0.1:0").expect("the address is free");
    let url = listener.endpoint().to_string();
    let addr: SocketAddr = url.trim_start_matches("tcp://").parse().expect("it is bound");
    // Bare ones, so that all that is allocated is the listener's.
    let mut clients = Vec::with_capacity(SILENT);
    let mut connect = || {
        let mut client = TcpStream::connect(addr).expect("somebody listens");
        client.write_all(b"\0SP\0\0\x30\0\0").expect("a handshake leaves");
        client.write_all(b"\0\0\0\0\0\0\0\x08\x80\0\0\x01ping").expect("a request leaves");
        let request = rep.recv_timeout(DEADLINE).expect("the request comes");
        rep.send(request).expect("there is a request");
        let mut answer = [0; 8 + 8 + 8];
        client.read_exact(&mut answer).expect("the reply comes");
        assert!(answer.ends_with(b"ping"));
        clients.push(client);
    };
    // What the first ones bring about is the socket's own, not theirs.
    (0..SILENT_FIRST).for_each(|_| connect());
    let before = LIVE_BYTES.load(Ordering::SeqCst);
    (SILENT_FIRST..SILENT).for_each(|_| connect());
    (LIVE_BYTES.load(Ordering::SeqCst) - before) / (SILENT - SILENT_FIRST) as i64
}

/// The system's allocator, counted.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);
/// Where the first allocations of a case happened.
static TRACES: Mutex<Vec<Backtrace>> = Mutex::new(Vec::new());

thread_local! {
    /// This thread takes a backtrace, which allocates as well.
    static TRACING: Cell<bool> = const { Cell::new(false) };
}

impl Counting {
    fn allocated(&self) {
        if !COUNTS.load(Ordering::Relaxed) || TRACING.try_with(Cell::get).unwrap_or(true) {
            return;
        }
        if thread::panicking() {
            // Whoever prints a panic holds the lock that a backtrace would take.
            return;
        }
        if COUNT.fetch_add(1, Ordering::Relaxed) < TRACES_MAX {
            let _ = TRACING.try_with(|tracing| tracing.set(true));
            let trace = Backtrace::force_capture();
            if let Ok(mut traces) = TRACES.lock() {
                traces.push(trace);
            }
            let _ = TRACING.try_with(|tracing| tracing.set(false));
        }
    }
}

// SAFETY: every call is handed on to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.allocated();
        LIVE_BYTES.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout` is the one `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: `ptr` came from `System` with this layout, since every allocation here does.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.allocated();
        LIVE_BYTES.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.allocated();
        LIVE_BYTES.fetch_add(new_size as i64 - layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as for `dealloc`; the promise about `new_size` is handed on.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

/// Most of it runs freely: queues that swap their memory grow in turn.
/// For what a case passes on a loaded machine: twenty thousand messages, and each may be waited for.
const CASE_LIMIT: Duration = Duration::from_secs(300);
const WARM_UP: u64 = 10_240;
const MEASURED: u64 = 4_096;
const MEASURED_ROUNDS: u64 = 3;
/// By rustls, for a request and its reply: each is a record, which is encrypted and decrypted.
const ALLOCATED_BY_TLS: u64 = 24;
/// Messages under way at a time.
///
/// Odd, so that queues that swap their memory all have a turn in holding a window.
const WINDOW: u64 = 63;
/// Messages of the warm-up that wait before they are received; full windows.
const FILLED: u64 = 9 * WINDOW;
/// Up to here each message of the warm-up is waited for.
const SLEPT: u64 = FILLED + 64;
/// Buffers of each class that are in the pool from the start.
const POOLED: usize = 512;
/// More buffers than a thread keeps of any class.
const SHARED: usize = 130;
/// Backtraces kept per case.
const TRACES_MAX: u64 = 32;
/// Connections made and ended.
const CYCLES: usize = 1_000;
const ROUNDS: usize = 5;
/// Less than 20 bytes for each connection of a round.
const KEPT_MAX: i64 = 4_000;
/// Silent connections: few enough for any limit of descriptors, and as many as fit slots that double from 16.
const SILENT: usize = 16 + 32 + 64 + 128;
const SILENT_FIRST: usize = 16;
/// Bytes for each. A hash decides how full nodes of a tree are, which makes a difference of a few.
const SILENT_MAX: i64 = 850;

/// On each side. Few: a fourth message in a row would wait for company, and the test for it.
const CONTEXTS: usize = 3;

/// More than one, so that a survey is shared.
const RESPONDENTS: usize = 2;
