use proptest::prelude::*;
use sp_core::clock;

use super::*;
use crate::wire::datagram::{answer, call, disconnect, message_head};

const OURS: ProtocolId = ProtocolId::REP;
const THEIRS: ProtocolId = ProtocolId::REQ;

/// A table, the time, and who is where.
struct Rig {
    table: Table<u16>,
    now: Instant,
}

impl Rig {
    fn new(is_dialer: bool) -> Self {
        let terms = Terms {
            protocol: OURS,
            wanted: THEIRS,
            payload_max: 1000,
            refresh: 5,
            retry: Duration::from_millis(200),
            peers_max: 2,
        };
        Self { table: Table::new(terms, is_dialer), now: clock::now() }
    }

    /// A listener with a peer at `port`, which has offered to call every second.
    fn with_peer(port: u16) -> Self {
        let mut rig = Self::new(false);
        rig.join(port);
        rig
    }

    /// A dialer that calls for 5 s.
    fn calling(port: u16) -> Self {
        let mut rig = Self::new(true);
        let until = rig.now + Duration::from_secs(5);
        rig.table.call(addr(port), port, rig.now, until);
        rig
    }

    fn join(&mut self, port: u16) {
        assert_eq!(self.hear(port, &call(offer(THEIRS, 1))), Heard::Knock(offer(THEIRS, 1)));
        assert_eq!(self.table.admit(addr(port), port), Some(answer(offer(OURS, 1))));
    }

    fn hear<'a>(&mut self, port: u16, bytes: &'a [u8]) -> Heard<'a, u16> {
        self.table.heard(addr(port), bytes, self.now)
    }

    /// What is due once `millis` have passed, and how long until more may be.
    fn pass(&mut self, millis: u64) -> (Vec<Due<u16>>, Option<Duration>) {
        self.now += Duration::from_millis(millis);
        let mut due = Vec::new();
        let next = self.table.tick(self.now, &mut due);
        (due, next.map(|at| at - self.now))
    }

    fn is_peer(&self, port: u16) -> bool {
        self.table.at(addr(port)).is_some()
    }
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

const fn offer(protocol: ProtocolId, refresh: u16) -> Offer {
    Offer { protocol, payload_max: 1000, refresh }
}

fn message(body: &[u8]) -> Vec<u8> {
    [&message_head(THEIRS, body.len() as u16)[..], body].concat()
}

const fn goodbye(reason: DisconnectReason) -> Word {
    disconnect(OURS, reason)
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// sp-wire 8.6 items 77 and 78
#[test]
fn a_dialer_calls_until_it_is_answered_and_then_in_the_interval_agreed() {
    let mut rig = Rig::calling(1);
    let said = |refresh| vec![Due::Say(addr(1), call(offer(OURS, refresh)))];
    let retry = Duration::from_millis(200);
    assert_eq!(rig.pass(0), (said(5), Some(retry)));
    assert_eq!(rig.pass(199), (vec![], Some(Duration::from_millis(1))));
    assert_eq!(rig.pass(1), (said(5), Some(retry)));
    assert_eq!(rig.hear(1, &message(b"too early")), Heard::Stray(Lost::Stranger, None));
    let answered = Heard::Opened(1, offer(THEIRS, 2));
    assert_eq!(rig.hear(1, &answer(offer(THEIRS, 2))), answered);
    assert_eq!(rig.hear(1, &message(b"now")), Heard::Message(1, b"now"));
    assert_eq!(rig.pass(0), (vec![], Some(secs(2))));
    assert_eq!(rig.pass(2000), (said(5), Some(secs(2))));
    assert_eq!(rig.hear(1, &answer(offer(THEIRS, 2))), Heard::Answer(None));
}

/// sp-wire 8.6 item 78
#[test]
fn a_call_that_nobody_answers_is_given_up() {
    let mut rig = Rig::calling(1);
    rig.pass(4999);
    assert_eq!(rig.pass(1), (vec![Due::End(1, CloseReason::HandshakeTimeout)], None));
}

#[test]
fn a_call_that_is_never_to_be_repeated_is_made_once() {
    let mut rig = Rig::calling(1);
    rig.table.terms.retry = Duration::MAX;
    assert_eq!(rig.pass(0).0.len(), 1);
    assert_eq!(rig.pass(4999), (vec![], Some(Duration::from_millis(1))));
}

/// sp-wire 8.6 item 85
#[test]
fn who_is_silent_for_five_intervals_is_gone() {
    let mut rig = Rig::with_peer(1);
    assert_eq!(rig.pass(0), (vec![], Some(secs(5))));
    rig.pass(4000);
    // The smaller interval of both counts.
    assert_eq!(rig.hear(1, &call(offer(THEIRS, 9))), Heard::Answer(Some(answer(offer(OURS, 5)))));
    assert_eq!(rig.hear(1, &call(offer(THEIRS, 1))), Heard::Answer(Some(answer(offer(OURS, 1)))));
    assert_eq!(rig.pass(4000), (vec![], Some(secs(1))));
    assert_eq!(rig.hear(1, &message(b"")), Heard::Message(1, b""));
    assert_eq!(rig.pass(4999), (vec![], Some(Duration::from_millis(1))));
    let silent = CloseReason::from(DatagramFault::Silent { after: secs(5) });
    assert_eq!(rig.pass(1), (vec![Due::End(1, silent.clone())], None));
    let told = rig.table.forget(addr(1), |peer| *peer == 1, reason_of(&silent));
    assert_eq!(told, Some(goodbye(DisconnectReason::INACTIVE)));
    assert!(!rig.is_peer(1));

    let mut rig = Rig::calling(1);
    rig.hear(1, &answer(offer(THEIRS, 1)));
    assert_eq!(rig.pass(5000).0, vec![Due::End(1, silent)]);
}

/// sp-wire 8.6 items 79, 80, 82, 83 and 87: what is said by an address that is no peer's, and what comes of it.
#[test]
fn what_strangers_say_changes_nothing() {
    let stray = |what, answer: Option<DisconnectReason>| Heard::Stray(what, answer.map(goodbye));
    let refused = |why: CloseReason, reason: DisconnectReason| Heard::Refused(why, goodbye(reason));
    let wrong = CloseReason::WrongProtocol { got: ProtocolId::PUB, wanted: THEIRS };
    let rows: [(Vec<u8>, Heard<'static, u16>); 10] = [
        (vec![], stray(Lost::Short, None)),
        (vec![1; 7], stray(Lost::Short, None)),
        (vec![0; 8], stray(Lost::BadVersion, None)),
        (vec![2; 8], stray(Lost::BadVersion, None)),
        (vec![1, 4, 0, 0, 0, 0, 0, 0], stray(Lost::Unexpected, Some(DisconnectReason::OTHER))),
        (vec![1, 99, 0, 0, 0, 0, 0, 0], stray(Lost::Unexpected, Some(DisconnectReason::OTHER))),
        (message(b"hello"), stray(Lost::Stranger, None)),
        (disconnect(THEIRS, DisconnectReason::CLOSED).into(), stray(Lost::Stranger, None)),
        (call(offer(ProtocolId::PUB, 1)).into(), refused(wrong, DisconnectReason::PROTOCOL)),
        (
            call(offer(THEIRS, 0)).into(),
            refused(DatagramFault::NoRefresh.into(), DisconnectReason::NEGOTIATION),
        ),
    ];
    for (bytes, wanted) in rows {
        let mut rig = Rig::with_peer(1);
        assert_eq!(rig.hear(2, &bytes), wanted, "{bytes:02x?}");
        assert!(rig.is_peer(1) && !rig.table.knocks(addr(2)), "{bytes:02x?}");
    }
    let mut rig = Rig::with_peer(1);
    let unasked = answer(offer(THEIRS, 1));
    assert_eq!(rig.hear(1, &unasked), stray(Lost::Unexpected, None));
    let mut rig = Rig::calling(1);
    let called = call(offer(THEIRS, 1));
    assert_eq!(rig.hear(1, &called), stray(Lost::Unexpected, Some(DisconnectReason::REFUSED)));
    assert!(rig.is_peer(1));
}

/// sp-wire 8.6 items 81, 83 and 87: what a peer says that ends it, and what it is told.
#[test]
fn a_peer_that_is_wrong_is_ended_and_told_why() {
    let rows: [(Vec<u8>, CloseReason, Option<DisconnectReason>); 7] = [
        (
            message(&[0; 1001]),
            CloseReason::TooLong { announced: 1001, limit: 1000 },
            Some(DisconnectReason::TOO_LONG),
        ),
        (
            message(b"cut")[..10].to_vec(),
            DatagramFault::Cut { announced: 3, got: 2 }.into(),
            Some(DisconnectReason::TOO_LONG),
        ),
        (
            call(offer(ProtocolId::PUB, 1)).into(),
            CloseReason::WrongProtocol { got: ProtocolId::PUB, wanted: THEIRS },
            Some(DisconnectReason::PROTOCOL),
        ),
        (
            call(offer(THEIRS, 0)).into(),
            DatagramFault::NoRefresh.into(),
            Some(DisconnectReason::NEGOTIATION),
        ),
        (disconnect(THEIRS, DisconnectReason::CLOSED).into(), CloseReason::PeerClosed, None),
        (
            disconnect(THEIRS, DisconnectReason(77)).into(),
            DatagramFault::Disconnected(DisconnectReason(77)).into(),
            None,
        ),
        // Somebody else has the address now, and is let in when it calls again.
        (
            call(Offer { payload_max: 999, ..offer(THEIRS, 1) }).into(),
            CloseReason::PeerClosed,
            None,
        ),
    ];
    for (bytes, why, reason) in rows {
        let mut rig = Rig::with_peer(1);
        rig.join(2);
        assert_eq!(rig.hear(1, &bytes), Heard::Ended(1, why.clone()), "{bytes:02x?}");
        let told = rig.table.forget(addr(1), |peer| *peer == 1, reason_of(&why));
        assert_eq!(told, reason.map(goodbye), "{bytes:02x?}");
        assert!(!rig.is_peer(1) && rig.is_peer(2), "{bytes:02x?}");
        rig.join(1);
    }
}

#[test]
fn an_answer_that_is_wrong_ends_the_call() {
    for (said, why) in [
        (answer(offer(OURS, 1)), CloseReason::WrongProtocol { got: OURS, wanted: THEIRS }),
        (answer(offer(THEIRS, 0)), DatagramFault::NoRefresh.into()),
        (
            disconnect(THEIRS, DisconnectReason::RESOURCES),
            DatagramFault::Disconnected(DisconnectReason::RESOURCES).into(),
        ),
    ] {
        let mut rig = Rig::calling(1);
        assert_eq!(rig.hear(1, &said), Heard::Ended(1, why));
    }
}

/// sp-wire 8.6 item 84
#[test]
fn a_full_table_turns_strangers_away_and_keeps_its_peers() {
    let mut rig = Rig::with_peer(1);
    // Who is not let in yet has its place, too.
    assert_eq!(rig.hear(2, &call(offer(THEIRS, 1))), Heard::Knock(offer(THEIRS, 1)));
    let full = CloseReason::TooMany { limit: 2 };
    let word = goodbye(DisconnectReason::RESOURCES);
    for port in 3..1000 {
        let said = call(offer(THEIRS, 1));
        assert_eq!(rig.hear(port, &said), Heard::Refused(full.clone(), word));
    }
    assert!(rig.is_peer(1));
    assert_eq!(rig.hear(2, &call(offer(THEIRS, 1))), Heard::Answer(None), "asked once");
    rig.table.forget(addr(2), |_| false, DisconnectReason::REFUSED);
    rig.join(3);
}

#[test]
fn who_goes_before_it_is_let_in_is_not_let_in() {
    let mut rig = Rig::new(false);
    rig.hear(1, &call(offer(THEIRS, 1)));
    assert!(rig.table.knocks(addr(1)));
    rig.hear(1, &disconnect(THEIRS, DisconnectReason::CLOSED));
    assert!(!rig.table.knocks(addr(1)));
    assert_eq!(rig.table.admit(addr(1), 1), None);
}

/// Whoever ends a pipe may come by the table after the peer has gone and another one has come to its address.
#[test]
fn the_late_end_of_a_peer_is_not_that_of_the_next_at_its_address() {
    let mut rig = Rig::with_peer(1);
    rig.hear(1, &disconnect(THEIRS, DisconnectReason::CLOSED));
    rig.hear(1, &call(offer(THEIRS, 1)));
    assert!(rig.table.admit(addr(1), 2).is_some());
    assert_eq!(rig.table.forget(addr(1), |peer| *peer == 1, DisconnectReason::CLOSED), None);
    assert_eq!(rig.hear(1, &message(b"hello")), Heard::Message(2, b"hello"));
}

#[derive(Clone, Debug)]
enum Op {
    Hear(u16, Vec<u8>),
    Decide(u16, bool),
    Pass(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let word = (0..6_u8, 0x2f..0x33_u8, any::<[u8; 4]>(), prop::collection::vec(0..3_u8, 0..6))
        .prop_map(|(opcode, protocol, rest, body)| {
            [&[1, opcode, protocol, 0, rest[0] % 8, rest[1] % 2, rest[2] % 3, 0][..], &body]
                .concat()
        });
    let bytes = prop_oneof![
        6 => word,
        4 => Just(call(offer(THEIRS, 1)).to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    let op = prop_oneof![
        6 => (1..6_u16, bytes).prop_map(|(port, bytes)| Op::Hear(port, bytes)),
        3 => (1..6_u16, any::<bool>()).prop_map(|(port, yes)| Op::Decide(port, yes)),
        1 => (0..6000_u64).prop_map(Op::Pass),
    ];
    prop::collection::vec(op, 0..200)
}

proptest! {
    /// Whatever comes from wherever, there are never more peers than may be, nobody becomes one without knocking, and
    /// nothing that is said to somebody is longer than what was said by it.
    #[test]
    fn any_datagrams_keep_the_table_bounded_and_its_peers_apart(ops in ops()) {
        let mut rig = Rig::new(false);
        let mut peers: Vec<u16> = Vec::new();
        for op in ops {
            match op {
                Op::Hear(port, bytes) => match rig.hear(port, &bytes) {
                    Heard::Message(peer, payload) => {
                        prop_assert!(peer == port && peers.contains(&port));
                        prop_assert!(payload.len() + HEAD_BYTES <= bytes.len());
                    }
                    Heard::Ended(peer, why) => {
                        prop_assert!(peer == port && peers.contains(&port));
                        rig.table.forget(addr(port), |peer| *peer == port, reason_of(&why));
                        peers.retain(|peer| *peer != port);
                    }
                    Heard::Answer(Some(_)) | Heard::Stray(_, Some(_)) | Heard::Refused(..) => {
                        prop_assert!(bytes.len() >= HEAD_BYTES);
                    }
                    Heard::Opened(..) => prop_assert!(false, "a listener calls nobody"),
                    Heard::Knock(_) => prop_assert!(!peers.contains(&port)),
                    Heard::Answer(None) | Heard::Stray(_, None) => {}
                },
                Op::Decide(port, true) => if rig.table.admit(addr(port), port).is_some() {
                    peers.push(port);
                },
                Op::Decide(port, false) => if rig.table.knocks(addr(port)) {
                    rig.table.forget(addr(port), |_| false, DisconnectReason::REFUSED);
                },
                Op::Pass(millis) => for due in rig.pass(millis).0 {
                    let Due::End(peer, _) = due else {
                        return Err(TestCaseError::fail("a listener calls nobody"));
                    };
                    rig.table.forget(addr(peer), |other| *other == peer, DisconnectReason::INACTIVE);
                    peers.retain(|other| *other != peer);
                },
            }
            prop_assert!(peers.len() <= 2);
            for port in 1..6 {
                prop_assert_eq!(rig.is_peer(port), peers.contains(&port));
            }
        }
    }
}
