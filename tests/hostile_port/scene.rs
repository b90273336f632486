//! A REP that listens on every transport with an address, honest clients that talk to it all the while, and strangers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::Receiver;
use sp::pool::BufferPool;
use sp::registry::conns;
use sp::{CloseReason, ListenOptions, Listener, PeerId, PipeEvent, ProtocolId, Rep, Req};
use sp_core::clock;

use crate::catalogue::kind;
use crate::raw::{Raw, Wire, handshake, ws_request};
use crate::shared::{DEADLINE, Task, Transport, descriptors, spawn, wait_until};

/// Those with a wire.
fn wires() -> impl Iterator<Item = Transport> + Clone {
    Transport::ALL.into_iter().filter(|on| *on != Transport::Inproc)
}

/// Where strangers come in: at every listener, and at those with TLS once more behind its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Street(Transport),
    WithinTls(Transport),
}

impl Door {
    pub(crate) fn all() -> impl Iterator<Item = Self> + Clone {
        let within = wires().filter(|on| on.is_secure()).map(Self::WithinTls);
        Self::streets().chain(within)
    }

    pub(crate) fn streets() -> impl Iterator<Item = Self> + Clone {
        wires().map(Self::Street)
    }

    /// Where the same is spoken as on `plain`: there, and within TLS.
    pub(crate) fn speaking(plain: Transport) -> impl Iterator<Item = Self> {
        let is_same = move |door: &Self| match *door {
            Self::Street(on) => on == plain,
            Self::WithinTls(on) if on.is_web() => plain == Transport::Ws,
            Self::WithinTls(_) => plain == Transport::Tcp,
        };
        Self::all().filter(is_same)
    }

    /// Whose listener it belongs to.
    pub(crate) const fn on(self) -> Transport {
        let (Self::Street(on) | Self::WithinTls(on)) = self;
        on
    }

    /// How messages are framed there.
    pub(crate) fn wire(self) -> Wire {
        match self.on() {
            Transport::Ipc => Wire::Ipc,
            on if on.is_web() => Wire::Ws,
            _ => Wire::Tcp,
        }
    }

    pub(crate) fn hears(self) -> Hears {
        match self {
            Self::Street(on) if on.is_secure() => Hears::Tls,
            Self::Street(on) | Self::WithinTls(on) if on.is_web() => Hears::Http,
            _ => Hears::Sp,
        }
    }
}

/// What a listener expects to hear first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hears {
    Sp,
    Http,
    Tls,
}

pub(crate) struct Port {
    rep: Rep,
    events: Receiver<PipeEvent>,
    listeners: Vec<(Transport, Listener)>,
    /// One honest client for each.
    bystanders: Vec<Req>,
    answering: Task<()>,
}

/// How the honest fared meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    pub(crate) answers: u64,
    pub(crate) slowest: Duration,
}

impl Port {
    /// `options` hold for each listener, beside what its transport needs.
    pub(crate) fn open(options: impl Fn(ListenOptions) -> ListenOptions) -> Self {
        let rep = Rep::new().unwrap();
        let events = rep.events();
        let listeners: Vec<_> = wires()
            .map(|wire| {
                let options = options(wire.listen_options());
                (wire, rep.listen_with(wire.url(), &options).expect("a free address"))
            })
            .collect();
        let answering = spawn({
            let rep = rep.clone();
            move || {
                while let Ok(question) = rep.recv() {
                    // Whoever asked may be gone.
                    let _ = rep.send(question);
                }
            }
        });
        let bystanders: Vec<Req> = listeners
            .iter()
            .map(|(wire, listener)| {
                let req = Req::new().unwrap();
                req.dial_with(listener.endpoint(), &wire.dial_options()).unwrap();
                req
            })
            .collect();
        let port = Self { rep, events, listeners, bystanders, answering };
        port.bystanders.iter().for_each(|_| {
            port.connected();
        });
        // What is made once and kept is there after this.
        port.bystanders.iter().for_each(|req| {
            exchange(req);
        });
        port
    }

    /// Does something while the honest clients talk without a pause: each gets every answer, soon, and afterwards the
    /// process holds what it held before.
    pub(crate) fn beside_honest_talk(&self, act: impl FnOnce(&Self)) -> Talk {
        let before = Held::now();
        let is_over = &AtomicBool::new(false);
        let (talk, held_up) = thread::scope(|scope| {
            let watch = scope.spawn(|| held_up(is_over));
            let talks: Vec<_> = self
                .bystanders
                .iter()
                .map(|req| {
                    scope.spawn(move || {
                        let mut talk = Talk::default();
                        while !is_over.load(Ordering::Relaxed) || talk.answers == 0 {
                            talk.slowest = talk.slowest.max(exchange(req));
                            talk.answers += 1;
                        }
                        talk
                    })
                })
                .collect();
            // However it ends, so that a failure is told and not waited for.
            let over = Over(is_over);
            act(self);
            drop(over);
            let talk = talks.into_iter().map(|talk| talk.join().expect("every answer comes")).fold(
                Talk::default(),
                |all, one| Talk {
                    answers: all.answers + one.answers,
                    slowest: all.slowest.max(one.slowest),
                },
            );
            (talk, watch.join().expect("it only waits"))
        });
        assert!(talk.slowest < SLOWEST + held_up, "the honest had to wait: {talk:?}, {held_up:?}");
        wait_until("the process holds what it held before", || Held::now().is_within(before));
        assert_eq!(self.rep.stats().get("peers"), Some(self.bystanders.len() as u64));
        talk
    }

    pub(crate) fn listener(&self, on: Transport) -> &Listener {
        let found = self.listeners.iter().find(|(wire, _)| *wire == on);
        &found.expect("it listens on all").1
    }

    /// A stranger that is connected and has said nothing there.
    pub(crate) fn stranger(&self, door: Door) -> Raw {
        let at = self.listener(door.on()).endpoint();
        match door {
            Door::Street(on) if on.is_secure() => Raw::dial_in_clear(at),
            Door::Street(_) => Raw::dial(at),
            #[cfg(feature = "tls")]
            Door::WithinTls(_) => Raw::dial_within_tls(at),
            #[cfg(not(feature = "tls"))]
            Door::WithinTls(_) => unreachable!("no listener has it"),
        }
    }

    /// A peer that has said who it is as a REQ should.
    pub(crate) fn peer(&self, door: Door) -> (Raw, PeerId) {
        let mut raw = self.stranger(door);
        raw.send(&self.greeting(door));
        if door.hears() == Hears::Http {
            assert!(raw.http_head().starts_with("HTTP/1.1 101 "));
        } else {
            assert_eq!(raw.read(8), handshake(ProtocolId::REP));
        }
        let peer = self.connected();
        (raw, peer)
    }

    /// What a good REQ says first, or the head of a record where TLS is expected.
    pub(crate) fn greeting(&self, door: Door) -> Vec<u8> {
        match door.hears() {
            Hears::Sp => handshake(ProtocolId::REQ).to_vec(),
            Hears::Http => {
                ws_request(self.listener(door.on()).endpoint(), ProtocolId::REP).into_bytes()
            }
            Hears::Tls => b"\x16\x03\x01\x02\x00\x01".to_vec(),
        }
    }

    fn connected(&self) -> PeerId {
        match self.event() {
            PipeEvent::Connected { peer, .. } => peer,
            other => panic!("a peer should be connected, but: {other:?}"),
        }
    }

    fn event(&self) -> PipeEvent {
        // Whatever holds up the machine holds up one of these waits, not all.
        let mut waits = std::iter::repeat_with(|| self.events.recv_timeout(DEADLINE / 20));
        waits.by_ref().take(20).find_map(Result::ok).expect("an event")
    }

    /// A stranger has been turned away, as the next event says, with its address where it has one.
    pub(crate) fn refused(&self, stranger: &Raw) -> CloseReason {
        match self.event() {
            PipeEvent::Refused { why, peer_addr, .. } => {
                assert_eq!(peer_addr, stranger.local(), "the event names the stranger");
                why
            }
            other => panic!("a stranger should be turned away, but: {other:?}"),
        }
    }

    /// A peer is gone, as the next event says.
    pub(crate) fn closed(&self, offender: PeerId) -> CloseReason {
        match self.event() {
            PipeEvent::Closed { peer, why } if peer == offender => why,
            other => panic!("{offender} should be closed, but: {other:?}"),
        }
    }

    /// The reasons of the next so many who are turned away, and how many had each.
    pub(crate) fn refusals(&self, count: usize) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for _ in 0..count {
            match self.event() {
                PipeEvent::Refused { why, .. } => *reasons.entry(kind(&why)).or_default() += 1,
                other => panic!("a stranger should be turned away, but: {other:?}"),
            }
        }
        reasons
    }

    /// How many were turned away since it opened, by the statistics.
    pub(crate) fn count_refused(&self) -> u64 {
        self.rep.stats().get("refused").expect("it is counted")
    }

    pub(crate) fn close(self) {
        self.rep.close();
        self.answering.join();
    }
}

/// Asks and waits for the answer. Answers how long that took.
fn exchange(req: &Req) -> Duration {
    let begun = clock::now();
    let question = format!("{begun:?}");
    req.send(question.as_str()).expect("it is connected");
    assert_eq!(req.recv().expect("it is answered"), question.as_str());
    clock::now() - begun
}

/// For how long this process was kept from running, at the most in one piece.
fn held_up(is_over: &AtomicBool) -> Duration {
    let (tick, never) = (Duration::from_millis(20), crossbeam_channel::never::<()>());
    let mut longest = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        let begun = clock::now();
        let _ = never.recv_timeout(tick);
        longest = longest.max((clock::now() - begun).saturating_sub(tick));
    }
    longest
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What strangers could leave behind.
#[derive(Clone, Copy, Debug)]
struct Held {
    descriptors: usize,
    buffers: u64,
    connections: usize,
}

impl Held {
    fn now() -> Self {
        Self {
            descriptors: descriptors(),
            buffers: BufferPool::global().stats().out,
            connections: conns().count(),
        }
    }

    fn is_within(self, other: Self) -> bool {
        self.descriptors <= other.descriptors
            && self.buffers <= other.buffers
            && self.connections <= other.connections
    }
}

/// An honest client waits less than this for any answer, whatever strangers do: far more than it takes, for the machine
/// may be busy with something else.
const SLOWEST: Duration = Duration::from_secs(5);
