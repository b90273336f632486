//! Scenes: a listening socket with a bystander that must not notice what a scripted peer does.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crossbeam_channel::Receiver;
use sp::{CloseReason, DialOptions, ListenOptions, Listener, Message, PeerId, PipeEvent, Socket};
use sp_protocols::engine::{self, Engine, RecvEngine, SendEngine};

use crate::raw::ws_request;
pub(crate) use crate::raw::{Raw, RawListener, Wire, fresh_path, handshake};
use crate::shared::Transport;
pub(crate) use crate::shared::{DEADLINE, block_on, unique};

/// A dialer that tries on in the background, quickly.
pub(crate) fn eager() -> DialOptions {
    eager_over(Transport::Tcp)
}

/// As [`eager`], with what the transport needs.
pub(crate) fn eager_over(transport: Transport) -> DialOptions {
    let pause = Duration::from_millis(2);
    transport.dial_options().background(true).reconnect(pause, pause)
}

/// A pattern that can be the listening side of a scene.
pub(crate) trait Host: Engine {
    /// The pattern of those who dial it.
    type Guest: Engine;

    /// Makes a guest ready to exchange messages.
    fn prepare(_host: &Socket<Self>, _guest: &Socket<Self::Guest>) {}

    /// Drops what the host has received from others.
    fn drain(_host: &Socket<Self>) {}

    /// Something passes between the two, and the host receives nothing else.
    fn exchange(host: &Socket<Self>, guest: &Socket<Self::Guest>);
}

impl Host for engine::Pull {
    type Guest = engine::Push;

    fn drain(pull: &Socket<Self>) {
        pull.try_iter().for_each(drop);
    }

    fn exchange(pull: &Socket<Self>, push: &Socket<engine::Push>) {
        let work = unique();
        push.send_timeout(work.as_str(), DEADLINE).expect("the PULL has room");
        assert_eq!(pull.recv_timeout(DEADLINE).expect("work"), work.as_str());
    }
}

impl Host for engine::Rep {
    type Guest = engine::Req;

    fn exchange(rep: &Socket<Self>, req: &Socket<engine::Req>) {
        let (question, answer) = (unique(), unique());
        req.send_timeout(question.as_str(), DEADLINE).expect("the REP has room");
        assert_eq!(rep.recv_timeout(DEADLINE).expect("a question"), question.as_str());
        rep.send_timeout(answer.as_str(), DEADLINE).expect("there is a question");
        assert_eq!(req.recv_timeout(DEADLINE).expect("an answer"), answer.as_str());
    }
}

impl Host for engine::Pub {
    type Guest = engine::Sub;

    fn prepare(_publisher: &Socket<Self>, sub: &Socket<engine::Sub>) {
        sub.subscribe("");
    }

    fn exchange(publisher: &Socket<Self>, sub: &Socket<engine::Sub>) {
        let news = unique();
        publisher.send(news.as_str()).expect("a PUB always sends");
        // What was published for others came here as well.
        while sub.recv_timeout(DEADLINE).expect("news") != news.as_str() {}
    }
}

impl Host for engine::Sub {
    type Guest = engine::Pub;

    fn prepare(sub: &Socket<Self>, _publisher: &Socket<engine::Pub>) {
        sub.subscribe("");
    }

    fn drain(sub: &Socket<Self>) {
        sub.try_iter().for_each(drop);
    }

    fn exchange(sub: &Socket<Self>, publisher: &Socket<engine::Pub>) {
        let news = unique();
        publisher.send(news.as_str()).expect("a PUB always sends");
        assert_eq!(sub.recv_timeout(DEADLINE).expect("news"), news.as_str());
    }
}

impl Host for engine::Pair {
    type Guest = Self;

    fn exchange(here: &Socket<Self>, there: &Socket<Self>) {
        for (from, to) in [(there, here), (here, there)] {
            let word = unique();
            from.send_timeout(word.as_str(), DEADLINE).expect("the other one has room");
            assert_eq!(to.recv_timeout(DEADLINE).expect("a word"), word.as_str());
        }
    }
}

impl Host for engine::Pair1Poly {
    type Guest = engine::Pair1;

    fn drain(poly: &Socket<Self>) {
        poly.try_iter().for_each(drop);
    }

    fn exchange(poly: &Socket<Self>, pair: &Socket<engine::Pair1>) {
        let (question, answer) = (unique(), unique());
        pair.send_timeout(question.as_str(), DEADLINE).expect("the other one has room");
        let got = poly.recv_timeout(DEADLINE).expect("a question");
        assert_eq!(got, question.as_str());
        poly.send_to(got.source().expect("a source"), answer.as_str()).expect("it has room");
        assert_eq!(pair.recv_timeout(DEADLINE).expect("an answer"), answer.as_str());
    }
}

/// What the host says for one reaches all: others have to pass over it.
impl Host for engine::Bus {
    type Guest = Self;

    fn exchange(here: &Socket<Self>, there: &Socket<Self>) {
        exchange_among_all(here, there);
    }
}

/// As a BUS.
impl Host for engine::Star {
    type Guest = Self;

    fn exchange(here: &Socket<Self>, there: &Socket<Self>) {
        exchange_among_all(here, there);
    }
}

fn exchange_among_all<E: SendEngine + RecvEngine>(here: &Socket<E>, there: &Socket<E>) {
    for (from, to) in [(there, here), (here, there)] {
        let word = unique();
        from.send(word.as_str()).expect("it never waits");
        while to.recv_timeout(DEADLINE).expect("a word") != word.as_str() {}
    }
}

/// Exchanges while it has one peer only: the next message goes to any.
impl Host for engine::Push {
    type Guest = engine::Pull;

    fn exchange(push: &Socket<Self>, pull: &Socket<engine::Pull>) {
        engine::Pull::exchange(pull, push);
    }
}

/// Exchanges while it has one peer only: the next request goes to any.
impl Host for engine::Req {
    type Guest = engine::Rep;

    fn exchange(req: &Socket<Self>, rep: &Socket<engine::Rep>) {
        engine::Rep::exchange(rep, req);
    }
}

impl Host for engine::Respondent {
    type Guest = engine::Surveyor;

    fn exchange(respondent: &Socket<Self>, surveyor: &Socket<engine::Surveyor>) {
        let (question, answer) = (unique(), unique());
        let context = patient(surveyor);
        context.send(question.as_str()).expect("a survey is always sent");
        assert_eq!(respondent.recv_timeout(DEADLINE).expect("a survey"), question.as_str());
        respondent.send_timeout(answer.as_str(), DEADLINE).expect("there is a survey");
        assert_eq!(context.recv_timeout(DEADLINE).expect("a response"), answer.as_str());
    }
}

impl Host for engine::Surveyor {
    type Guest = engine::Respondent;

    fn exchange(surveyor: &Socket<Self>, respondent: &Socket<engine::Respondent>) {
        let (question, answer) = (unique(), unique());
        let context = patient(surveyor);
        context.send(question.as_str()).expect("a survey is always sent");
        // What others were asked came here as well.
        while respondent.recv_timeout(DEADLINE).expect("a survey") != question.as_str() {}
        respondent.send_timeout(answer.as_str(), DEADLINE).expect("there is a survey");
        assert_eq!(context.recv_timeout(DEADLINE).expect("a response"), answer.as_str());
    }
}

/// A context whose surveys outlast every test.
fn patient(surveyor: &Socket<engine::Surveyor>) -> sp::SurveyorContext {
    let options = sp::SurveyorOptions::new().survey_time(DEADLINE);
    surveyor.context_with(options).expect("a good survey time")
}

/// A socket that listens, and a bystander connected to it.
pub(crate) struct Scene<H: Host> {
    pub(crate) wire: Wire,
    pub(crate) socket: Socket<H>,
    pub(crate) listener: Listener,
    pub(crate) events: Receiver<PipeEvent>,
    pub(crate) bystander: Socket<H::Guest>,
}

impl<H: Host> Scene<H> {
    pub(crate) fn new(wire: Wire) -> Self {
        Self::with(wire, H::Options::default(), &ListenOptions::new())
    }

    pub(crate) fn with(wire: Wire, options: H::Options, listen: &ListenOptions) -> Self {
        let socket = Socket::<H>::with(options).expect("a socket");
        let events = socket.events();
        let listen = wire.transport().listening(listen.clone());
        let listener = socket.listen_with(wire.url(), &listen).expect("a free address");
        let bystander = Socket::new().expect("a socket");
        let scene = Self { wire, socket, listener, events, bystander };
        H::prepare(&scene.socket, &scene.bystander);
        scene.dials(&scene.bystander);
        scene.connected();
        scene.bystander_works();
        scene
    }

    fn dials(&self, guest: &Socket<H::Guest>) {
        let options = self.wire.transport().dial_options();
        guest.dial_with(self.listener.endpoint(), &options).expect("the listener accepts");
    }

    /// The next event of the listening socket.
    pub(crate) fn event(&self) -> PipeEvent {
        next_event(&self.events)
    }

    /// The next event is that a peer has connected.
    pub(crate) fn connected(&self) -> PeerId {
        connected(&self.events)
    }

    /// The next event is that somebody was turned away.
    pub(crate) fn refused(&self) -> CloseReason {
        refused(&self.events)
    }

    /// The next event is that `offender` is gone.
    pub(crate) fn closed(&self, offender: PeerId) -> CloseReason {
        match self.event() {
            PipeEvent::Closed { peer, why } if peer == offender => why,
            other => panic!("{offender} should be closed, but: {other:?}"),
        }
    }

    /// A stranger that is connected and has said nothing.
    pub(crate) fn stranger(&self) -> Raw {
        Raw::dial(self.listener.endpoint())
    }

    /// A scripted peer with its handshake done.
    pub(crate) fn peer(&self) -> (Raw, PeerId) {
        let mut raw = self.stranger();
        if self.wire.is_web() {
            raw.send(self.request().as_bytes());
            assert!(raw.http_head().starts_with("HTTP/1.1 101 "));
        } else {
            assert_eq!(raw.shake(H::PEER), handshake(H::SELF));
        }
        let peer = self.connected();
        (raw, peer)
    }

    /// What a WebSocket client of this listener says first.
    pub(crate) fn request(&self) -> String {
        ws_request(self.listener.endpoint(), H::SELF)
    }

    pub(crate) fn bystander_works(&self) {
        H::exchange(&self.socket, &self.bystander);
    }

    /// The listener takes one more good peer.
    pub(crate) fn newcomer_works(&self) {
        let newcomer = Socket::<H::Guest>::new().expect("a socket");
        H::prepare(&self.socket, &newcomer);
        self.dials(&newcomer);
        let peer = self.connected();
        H::exchange(&self.socket, &newcomer);
        newcomer.close();
        assert_eq!(self.closed(peer), CloseReason::PeerClosed);
    }

    /// A stranger says `bytes` where a handshake should be. Answers why it was turned away.
    pub(crate) fn turns_away(&self, bytes: &[u8]) -> CloseReason {
        self.bystander_works();
        let mut stranger = self.stranger();
        self.bystander_works();
        stranger.send_in_vain(bytes);
        let why = match self.event() {
            PipeEvent::Refused { why, peer_addr, .. } => {
                assert_eq!(peer_addr, stranger.local(), "the event names the stranger");
                why
            }
            other => panic!("{bytes:02x?} should be refused, but: {other:?}"),
        };
        self.is_over(stranger);
        why
    }

    /// A peer with a good handshake says `bytes`. Answers why it was closed.
    pub(crate) fn closes(&self, bytes: &[u8]) -> CloseReason {
        self.bystander_works();
        let (mut offender, peer) = self.peer();
        self.bystander_works();
        offender.send_in_vain(bytes);
        let why = self.closed(peer);
        self.is_over(offender);
        why
    }

    /// The offender's stream has ended, and everybody else goes on.
    pub(crate) fn is_over(&self, mut offender: Raw) {
        offender.rest();
        self.bystander_works();
        self.newcomer_works();
    }
}

pub(crate) fn next_event(events: &Receiver<PipeEvent>) -> PipeEvent {
    events.recv_timeout(DEADLINE).expect("an event")
}

pub(crate) fn connected(events: &Receiver<PipeEvent>) -> PeerId {
    match next_event(events) {
        PipeEvent::Connected { peer, .. } => peer,
        other => panic!("a peer should be connected, but: {other:?}"),
    }
}

pub(crate) fn refused(events: &Receiver<PipeEvent>) -> CloseReason {
    match next_event(events) {
        PipeEvent::Refused { why, .. } => why,
        other => panic!("somebody should be refused, but: {other:?}"),
    }
}

/// Waits until some peer is gone, passing over what else happens.
pub(crate) fn any_closed(events: &Receiver<PipeEvent>) -> CloseReason {
    loop {
        if let PipeEvent::Closed { why, .. } = next_event(events) {
            return why;
        }
    }
}

/// The id of a request or survey and its body.
pub(crate) fn split(request: &[u8]) -> (u32, &[u8]) {
    let (id, body) = request.split_first_chunk().expect("a request has an id");
    (u32::from_be_bytes(*id), body)
}

pub(crate) fn with_id(id: u32, body: &[u8]) -> Vec<u8> {
    [&id.to_be_bytes(), body].concat()
}

/// The next message.
pub(crate) fn recv<E: RecvEngine>(context: &sp::Context<E>) -> Message {
    context.recv_timeout(DEADLINE).expect("a message")
}

/// Polls once: afterwards the future is done or stands in line.
pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Tests that move much memory take turns.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed leaves nothing behind that matters to the next.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds where a type does not have a trait; asked while compiling.
macro_rules! assert_lacks {
    ($type:ty: $trait:path) => {
        const _: fn() = || {
            trait Ambiguous<A> {
                fn it() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct HasIt;
            impl<T: ?Sized + $trait> Ambiguous<HasIt> for T {}
            // If the type had the trait, there would be two.
            let _ = <$type as Ambiguous<_>>::it;
        };
    };
}
pub(crate) use assert_lacks;
