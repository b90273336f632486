//! Every pattern over every transport: bodies of all sizes arrive unchanged and in order.
//!
//! Each scene is written once and run for each transport.

use sp::{
    Bus, BusOptions, Message, OpenError, Pair, Pair1, Pair1Poly, PeerId, Pub, PubOptions, Pull,
    Push, Rep, Req, Respondent, Socket, Star, StarOptions, Sub, SubOptions, Surveyor,
    SurveyorOptions, TrySendError,
};
use sp_protocols::engine::{RecvEngine, SendEngine};
use support::{DEADLINE, Transport, connect, pattern, spawn, wait_until};

mod support;

/// Runs each scene on one transport.
macro_rules! on_transport {
    ($name:ident, $transport:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn requests_and_replies_of_every_size_arrive_unchanged() {
                requests_and_replies($transport);
            }

            #[test]
            fn surveys_and_responses_of_every_size_arrive_unchanged() {
                surveys_and_responses($transport);
            }

            #[test]
            fn publications_of_every_size_arrive_unchanged() {
                publications($transport);
            }

            #[test]
            fn work_of_every_size_arrives_unchanged() {
                work($transport);
            }

            #[test]
            fn what_a_pair_says_arrives_unchanged_both_ways() {
                both_ways($transport, &open(Pair::new), &open(Pair::new));
            }

            #[test]
            fn what_a_pair1_says_arrives_unchanged_both_ways() {
                both_ways($transport, &open(Pair1::new), &open(Pair1::new));
            }

            #[test]
            fn what_a_polyamorous_pair1_says_to_each_arrives_unchanged() {
                to_each($transport);
            }

            #[test]
            fn what_a_bus_says_arrives_unchanged_both_ways() {
                both_ways($transport, &open(Bus::new), &open(Bus::new));
            }

            #[test]
            fn what_a_star_says_arrives_unchanged_both_ways() {
                both_ways($transport, &open(Star::new), &open(Star::new));
            }

            #[test]
            fn requests_are_answered_in_order() {
                ordered_requests($transport);
            }

            #[test]
            fn surveys_are_answered_by_everybody() {
                answered_surveys($transport);
            }
        }
    };
}

/// Runs the scenes in which more is sent than waited for, where nothing of it may be lost.
macro_rules! on_stream {
    ($name:ident, $transport:expr) => {
        mod $name {
            use super::*;

            on_transport!(each, $transport);

            #[test]
            fn publications_keep_their_order() {
                ordered_publications($transport);
            }

            #[test]
            fn work_keeps_its_order() {
                ordered_work($transport);
            }

            #[test]
            fn what_a_pair_says_keeps_its_order() {
                ordered_both_ways($transport, open(Pair::new), open(Pair::new));
            }

            #[test]
            fn what_a_pair1_says_keeps_its_order() {
                ordered_both_ways($transport, open(Pair1::new), open(Pair1::new));
            }

            #[test]
            fn what_many_say_to_a_polyamorous_pair1_keeps_the_order_of_each() {
                ordered_from_each($transport);
            }

            #[test]
            fn what_a_bus_says_keeps_its_order() {
                let bus = || Bus::with(BusOptions::new().recv_queue(ALL).send_queue(ALL));
                ordered_both_ways($transport, open(bus), open(bus));
            }

            #[test]
            fn what_a_star_says_keeps_its_order() {
                ordered_far_away($transport);
            }

            #[test]
            fn work_of_mixed_sizes_keeps_its_order() {
                mixed_work($transport);
            }
        }
    };
}

on_stream!(tcp, Transport::Tcp);
on_stream!(ipc, Transport::Ipc);
on_stream!(abstract_name, Transport::Abstract);
on_stream!(given, Transport::Given);
on_stream!(inproc, Transport::Inproc);
#[cfg(feature = "tls")]
on_stream!(tls, Transport::Tls);
on_stream!(ws, Transport::Ws);
#[cfg(feature = "tls")]
on_stream!(wss, Transport::Wss);
on_stream!(own, Transport::Own);
on_transport!(udp, Transport::Udp);

fn requests_and_replies(transport: Transport) {
    let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
    connect(transport, &rep, &req);
    let server = spawn(move || {
        for _ in sizes(transport) {
            let request = recv(&rep);
            rep.send(request).expect("there is a request");
        }
        // Until the last reply has left.
        assert_eq!(rep.close_within(DEADLINE), 0);
    });
    for len in sizes(transport) {
        let body = pattern(len);
        req.send_timeout(&body[..], DEADLINE).expect("the server is connected");
        assert_same(&recv(&req), &body);
    }
    server.join();
}

fn surveys_and_responses(transport: Transport) {
    let (surveyor, respondent) = (patient_surveyor(), Respondent::new().expect("it opens"));
    connect(transport, &surveyor, &respondent);
    let server = spawn(move || {
        for _ in sizes(transport) {
            let survey = recv(&respondent);
            respondent.send(survey).expect("there is a survey");
        }
        // Until the last response has left.
        assert_eq!(respondent.close_within(DEADLINE), 0);
    });
    for len in sizes(transport) {
        let body = pattern(len);
        surveyor.send(&body[..]).expect("a surveyor never waits");
        assert_same(&recv(&surveyor), &body);
    }
    server.join();
}

fn publications(transport: Transport) {
    let (publisher, sub) = (Pub::new().expect("PUB opens"), Sub::new().expect("SUB opens"));
    sub.subscribe("");
    connect(transport, &publisher, &sub);
    for len in sizes(transport) {
        let body = pattern(len);
        publisher.send(&body[..]).expect("a publisher never waits");
        assert_same(&recv(&sub), &body);
    }
}

fn work(transport: Transport) {
    let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
    connect(transport, &pull, &push);
    for len in sizes(transport) {
        let body = pattern(len);
        push.send_timeout(&body[..], DEADLINE).expect("the receiver is connected");
        assert_same(&recv(&pull), &body);
    }
}

fn both_ways<E: SendEngine + RecvEngine>(
    transport: Transport,
    here: &Socket<E>,
    there: &Socket<E>,
) {
    connect(transport, here, there);
    for len in sizes(transport) {
        let body = pattern(len);
        for (from, to) in [(here, there), (there, here)] {
            from.send_timeout(&body[..], DEADLINE).expect("the peer is connected");
            assert_same(&recv(to), &body);
        }
    }
    assert!(here.try_recv().is_err() && there.try_recv().is_err(), "each comes once");
}

fn to_each(transport: Transport) {
    let poly = open(Pair1Poly::new);
    let others = [(); 3].map(|()| {
        let other = open(Pair1::new);
        connect(transport, &poly, &other);
        other.send_timeout("it is me", DEADLINE).expect("the server is connected");
        let source = recv(&poly).source().expect("it was received");
        (source, other)
    });
    for len in sizes(transport) {
        let body = pattern(len);
        for (peer, other) in &others {
            send_to(&poly, *peer, &body);
            assert_same(&recv(other), &body);
            other.send_timeout(&body[..], DEADLINE).expect("the server is connected");
            let answer = recv(&poly);
            assert_same(&answer, &body);
            assert_eq!(answer.source(), Some(*peer), "the message tells its source");
        }
    }
}

/// Sends to a peer that reads.
fn send_to(poly: &Pair1Poly, peer: PeerId, body: &[u8]) {
    wait_until("the peer has room", || match poly.send_to(peer, body) {
        Ok(()) => true,
        Err(TrySendError::Full { .. }) => false,
        Err(error) => panic!("{error}"),
    });
}

fn ordered_requests(transport: Transport) {
    let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
    connect(transport, &rep, &req);
    let server = spawn(move || {
        for n in 0..REQUESTS {
            let request = recv(&rep);
            assert_eq!(request, numbered(n), "requests come in order");
            rep.send(request).expect("there is a request");
        }
        assert_eq!(rep.close_within(DEADLINE), 0);
    });
    for n in 0..REQUESTS {
        req.send_timeout(numbered(n), DEADLINE).expect("the server is connected");
        assert_eq!(recv(&req), numbered(n), "each reply belongs to its request");
    }
    server.join();
}

fn answered_surveys(transport: Transport) {
    let surveyor = patient_surveyor();
    // More than one call writes to by itself.
    let servers: Vec<_> = (0..6_u32)
        .map(|name| {
            let respondent = Respondent::new().expect("RESPONDENT opens");
            connect(transport, &surveyor, &respondent);
            spawn(move || {
                for n in 0..SURVEYS {
                    assert_eq!(recv(&respondent), numbered(n), "surveys come in order");
                    respondent.send(numbered(n * 100 + name)).expect("there is a survey");
                }
                assert_eq!(respondent.close_within(DEADLINE), 0);
            })
        })
        .collect();
    for n in 0..SURVEYS {
        surveyor.send(numbered(n)).expect("a surveyor never waits");
        let mut responses: Vec<_> = servers.iter().map(|_| recv(&surveyor).to_vec()).collect();
        responses.sort_unstable();
        assert!(responses.into_iter().eq((0..6).map(|name| numbered(n * 100 + name))));
    }
    servers.into_iter().for_each(support::Task::join);
}

fn ordered_publications(transport: Transport) {
    let publisher = Pub::with(PubOptions::new().queue(ALL)).expect("PUB opens");
    let sub = Sub::with(SubOptions::new().queue(ALL)).expect("SUB opens");
    sub.subscribe("");
    connect(transport, &publisher, &sub);
    let sender = spawn(move || {
        for n in 0..MESSAGES {
            publisher.send(numbered(n)).expect("a publisher never waits");
        }
        publisher
    });
    for n in 0..MESSAGES {
        assert_eq!(recv(&sub), numbered(n), "publications come in order");
    }
    sender.join();
    assert_eq!(sub.missed(), 0, "nothing was missed");
}

fn ordered_work(transport: Transport) {
    let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
    connect(transport, &pull, &push);
    let sender = spawn(move || {
        for n in 0..MESSAGES {
            push.send_timeout(numbered(n), DEADLINE).expect("the receiver is connected");
        }
        push
    });
    for n in 0..MESSAGES {
        assert_eq!(recv(&pull), numbered(n), "work comes in order");
    }
    sender.join();
}

/// Both send at the same time. Nothing is dropped: the queues of those that drop have room for all of them.
fn ordered_both_ways<E: SendEngine + RecvEngine>(
    transport: Transport,
    here: Socket<E>,
    there: Socket<E>,
) {
    connect(transport, &here, &there);
    let tasks = [here, there].map(|socket| {
        let receiver = socket.clone();
        let receiving = spawn(move || {
            for n in 0..MESSAGES {
                assert_eq!(recv(&receiver), numbered(n), "messages come in order");
            }
        });
        let sending = spawn(move || {
            for n in 0..MESSAGES {
                socket.send_timeout(numbered(n), DEADLINE).expect("the peer is connected");
            }
            // Until the other one has got all.
            socket
        });
        (receiving, sending)
    });
    let sockets = tasks.map(|(receiving, sending)| {
        receiving.join();
        sending.join()
    });
    drop(sockets);
}

fn ordered_from_each(transport: Transport) {
    const SENDERS: u32 = 3;
    let poly = open(Pair1Poly::new);
    let senders = [(); SENDERS as usize].map(|()| {
        let sender = open(Pair1::new);
        connect(transport, &poly, &sender);
        spawn(move || {
            for n in 0..MESSAGES / SENDERS {
                sender.send_timeout(numbered(n), DEADLINE).expect("the receiver is connected");
            }
            sender
        })
    });
    let peers = poly.peers();
    let mut next = [0; SENDERS as usize];
    for _ in 0..MESSAGES / SENDERS * SENDERS {
        let msg = recv(&poly);
        let sender = peers.iter().position(|peer| Some(*peer) == msg.source()).expect("a peer");
        assert_eq!(msg, numbered(next[sender]), "what one sends comes in order");
        next[sender] += 1;
    }
    senders.into_iter().for_each(|sender| drop(sender.join()));
}

/// Through one in the middle, which does not receive by itself.
fn ordered_far_away(transport: Transport) {
    let star = || Star::with(StarOptions::new().queue(ALL));
    let (near, middle, far) = (open(star), open(star), open(star));
    connect(transport, &middle, &near);
    connect(transport, &middle, &far);
    let mut sent = 0;
    for n in 0..MESSAGES {
        // No more under way than the connections' queues have room for.
        while sent < MESSAGES && sent < n + WINDOW {
            near.send(numbered(sent)).expect("a STAR never waits");
            sent += 1;
        }
        assert_eq!(recv(&far), numbered(n), "messages come in order");
    }
    for n in 0..MESSAGES {
        assert_eq!(recv(&middle), numbered(n), "the one in the middle got all of them, too");
    }
}

/// Large and small bodies take different ways through the library; neither overtakes the other.
fn mixed_work(transport: Transport) {
    let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
    connect(transport, &pull, &push);
    let sender = spawn(move || {
        for len in mixed_sizes() {
            push.send_timeout(&pattern(len)[..], DEADLINE).expect("the receiver is connected");
        }
        push
    });
    for len in mixed_sizes() {
        assert_same(&recv(&pull), &pattern(len));
    }
    sender.join();
}

/// Its surveys outlast every test.
fn patient_surveyor() -> Surveyor {
    let options = SurveyorOptions::new().survey_time(DEADLINE);
    Surveyor::with(options).expect("SURVEYOR opens")
}

fn open<T>(open: impl FnOnce() -> Result<T, OpenError>) -> T {
    open().expect("a socket opens")
}

fn recv<E: RecvEngine>(socket: &Socket<E>) -> Message {
    socket.recv_timeout(DEADLINE).expect("a message comes")
}

/// As `assert_eq`, without printing megabytes.
fn assert_same(got: &Message, wanted: &[u8]) {
    assert_eq!(got.len(), wanted.len(), "the length differs");
    let differs = got.iter().zip(wanted).position(|(got, wanted)| got != wanted);
    assert!(got.body() == wanted, "a body of {} bytes differs at {differs:?}", wanted.len());
}

fn numbered(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

/// Around every size at which the library changes its ways: body inside the message or in a buffer, copied or
/// gathered, small or large read, pooled or not.
fn sizes(transport: Transport) -> impl Iterator<Item = usize> {
    let around = |n: usize| n - 1..=n + 1;
    [0, 1]
        .into_iter()
        .chain(100..=120)
        .chain(around(16 << 10))
        .chain(around(32 << 10))
        .chain(around(64 << 10))
        .chain([65_000 - 4, 1 << 20, 16 << 20])
        .filter(move |len| transport.takes(*len))
}

fn mixed_sizes() -> impl Iterator<Item = usize> {
    const ROUND: [usize; 12] =
        [0, 70_000, 1, 112, 16_384, 113, 40_000, 300_000, 3, 32_768, 5_000, 65_536];
    (0..25).flat_map(|_| ROUND)
}

const MESSAGES: u32 = 10_000;
/// Room for all of them, where a pattern drops what has none: then what is missing is a fault and no slowness.
const ALL: usize = MESSAGES as usize;
/// Few enough for the queue of a connection.
const WINDOW: u32 = 1_000;
const REQUESTS: u32 = 1_000;
const SURVEYS: u32 = 300;
