//! Who is connected: waiting for peers or not, knowing whom a message came from, and what was lost with whom.

use std::future::Future as _;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sp::{
    Message, PeerId, PipeInfo, Pub, Pull, Push, PushOptions, Rep, Req, ReqOptions, SendError,
    Socket, Sub, SubOptions, TrySendError,
};
use sp_protocols::engine::{self, Engine, RecvEngine, SendEngine};
use support::{DEADLINE, Transport, block_on, connect, spawn, wait_until};

mod support;

#[test]
fn a_send_without_a_peer_fails_at_once_if_told_to() {
    fails_at_once(&impatient_push());
    fails_at_once(&impatient_req());
}

fn fails_at_once<E: SendEngine>(socket: &Socket<E>) {
    let no_peer = |error: SendError| {
        assert!(error.is_no_peer() && !error.is_timeout() && !error.is_closed(), "{error}");
        assert!(error.to_string().contains("no peer"), "{error}");
        assert_eq!(error.into_message(), "work", "the message comes back");
    };
    // None of them waits, or the test would not end.
    no_peer(socket.send("work").expect_err("nobody is connected"));
    no_peer(socket.send_timeout("work", Duration::MAX).expect_err("nobody is connected"));
    no_peer(block_on(socket.send_async("work")).expect_err("nobody is connected"));
    let error = socket.try_send("work").expect_err("nobody is connected");
    assert!(matches!(&error, TrySendError::NoPeer { .. }) && error.is_no_peer(), "{error}");
    assert_eq!(error.into_message(), "work");
}

#[test]
fn a_socket_that_fails_without_a_peer_works_with_one() {
    for transport in Transport::EVERY {
        let (push, pull) = (impatient_push(), Pull::new().expect("PULL opens"));
        let listener = connect(transport, &pull, &push);
        push.send("work").expect("a peer is connected");
        assert_eq!(recv(&pull), "work");
        listener.close();
        wait_until("the peer is gone", || push.peers().is_empty());
        assert!(push.send("more").is_err_and(|error| error.is_no_peer()), "over {transport:?}");
        connect(transport, &pull, &push);
        push.send("more").expect("another is connected");
        assert_eq!(recv(&pull), "more");
    }
}

#[test]
fn a_request_that_finds_no_peer_leaves_the_one_before_alone() {
    let (req, rep) = (impatient_req(), Rep::new().expect("REP opens"));
    let listener = connect(Transport::Tcp, &rep, &req);
    req.send("first").expect("a peer is connected");
    assert_eq!(recv(&rep), "first");
    rep.send("answer").expect("there is a request");
    let other = req.context();
    wait_until("the answer is there", || req.stats().get("messages_received") == Some(1));
    listener.close();
    wait_until("the peer is gone", || req.peers().is_empty());
    assert!(req.send("second").is_err_and(|error| error.is_no_peer()));
    assert!(other.send("second").is_err_and(|error| error.is_no_peer()), "in any context");
    assert_eq!(recv(&req), "answer");
}

#[test]
fn sends_that_wait_for_room_fail_when_the_last_peer_goes() {
    for transport in Transport::ALL {
        let (push, pull) = (impatient_push(), Pull::new().expect("PULL opens"));
        let _listener = connect(transport, &pull, &push);
        let body = support::pattern(64 << 10);
        // Not only full for a moment because the writer is at work.
        while push.send_timeout(&body[..], Duration::from_millis(200)).is_ok() {}
        let mut futures = [(); 2].map(|()| Box::pin(push.send_async(&body[..])));
        for sending in &mut futures {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(matches!(sending.as_mut().poll(&mut cx), Poll::Pending));
        }
        let threads = [(); 3].map(|()| {
            let (push, body) = (push.clone(), body.clone());
            spawn(move || push.send(&body[..]))
        });
        threads.iter().for_each(|thread| thread.wait_asleep());
        pull.close_within(Duration::ZERO);
        // One may have found room at the last moment; none may wait on.
        let has_ended = |sent: Result<(), SendError>| {
            sent.is_ok() || sent.is_err_and(|error| error.is_no_peer())
        };
        for sending in futures {
            assert!(has_ended(block_on(sending)), "over {transport:?}");
        }
        for thread in threads {
            assert!(has_ended(thread.join()), "over {transport:?}");
        }
    }
}

#[test]
fn peers_that_are_expected_can_be_waited_for() {
    for transport in Transport::EVERY {
        let push = Push::new().expect("PUSH opens");
        push.wait_for_peers(0, Duration::ZERO).expect("nobody is wanted");
        let few = push.wait_for_peers(1, Duration::ZERO).expect_err("nobody is connected");
        assert_eq!((few.wanted, few.connected), (1, 0));
        let listener = push.listen(transport.url()).expect("the address is free");
        let waiting = spawn({
            let push = push.clone();
            move || push.wait_for_peers(3, DEADLINE)
        });
        waiting.wait_asleep();
        let pulls = [(); 3].map(|()| {
            assert!(!waiting.is_over(), "not before all are there");
            let pull = Pull::new().expect("PULL opens");
            pull.dial(listener.endpoint()).expect("somebody listens");
            pull
        });
        waiting.join().expect("all three are connected");
        push.wait_for_peers(2, Duration::ZERO).expect("more than enough");
        for n in 0..3 {
            push.try_send([n]).expect("they can be used at once");
        }
        drop(pulls);
    }
}

#[test]
fn waiting_for_peers_ends_with_the_socket() {
    let sub = Sub::new().expect("SUB opens");
    let waiting = spawn({
        let sub = sub.clone();
        move || sub.wait_for_peers(1, Duration::MAX)
    });
    waiting.wait_asleep();
    sub.clone().close();
    let few = waiting.join().expect_err("nobody came");
    assert_eq!(few.to_string(), "wait for peers on SUB: 0 of 1 were connected in time");
    assert_eq!(sub.wait_for_peers(1, DEADLINE), Err(few), "and from now on");
}

#[test]
fn a_message_leads_to_its_peer() {
    for transport in Transport::EVERY {
        let (rep, one, two) = (open::<engine::Rep>(), open(), open());
        let listener = connect(transport, &rep, &one);
        two.dial(listener.endpoint()).expect("somebody listens");
        for req in [&one, &two, &one] {
            let req: &Req = req;
            req.send("who am I?").expect("the server is there");
            let request = recv(&rep);
            let asker = peer_of(&rep, &request);
            assert_eq!((asker.dialed, &*asker.endpoint), (false, listener.endpoint()));
            rep.send("you know").expect("there is a request");
            let server = peer_of(req, &recv(req));
            assert_eq!((server.dialed, &*server.endpoint), (true, listener.endpoint()));
            assert_eq!(asker.peer_addr, server.local_addr, "the two see one connection");
            assert_eq!(asker.local_addr, server.peer_addr);
            assert_eq!(
                asker.peer_addr.is_some(),
                matches!(transport, Transport::Tcp | Transport::Ws | Transport::Udp)
            );
            assert_eq!(asker.credentials.is_some(), transport == Transport::Ipc);
        }
        one.send("I leave").expect("the server is there");
        let request = recv(&rep);
        one.close();
        wait_until("the peer is gone", || rep.peers().len() == 1);
        let gone = request.source().expect("a message received has a source");
        assert!(rep.peer(gone).is_none(), "it still names whom it came from, who is gone");
    }
}

#[test]
fn every_drop_is_counted_for_its_peer_and_reason() {
    for transport in Transport::EVERY {
        // A SUB that is slow, and two publishers of which one is to blame.
        let sub = Sub::with(SubOptions::new().queue(2)).expect("SUB opens");
        sub.subscribe("a");
        let [loud, quiet] = [(); 2].map(|()| open::<engine::Pub>());
        let [loud_id, quiet_id] = [&loud, &quiet].map(|publisher| {
            let before = sub.peers();
            connect(transport, &sub, publisher);
            let new = sub.peers().into_iter().find(|peer| !before.contains(peer));
            new.expect("another peer is connected")
        });
        publish(&loud, &["a1", "b1", "a2", "b2", "a3", "b3", "a4"], &sub);
        publish(&quiet, &["a5", "b4"], &sub);
        assert_eq!(counted(&sub, loud_id, "unwanted"), 3, "over {transport:?}");
        assert_eq!(counted(&sub, quiet_id, "unwanted"), 1);
        assert_eq!(counted(&sub, loud_id, "dropped_on_receive"), 3, "the oldest were its own");
        assert_eq!(counted(&sub, quiet_id, "dropped_on_receive"), 0);
        assert_eq!(sub.stats().get("unwanted"), Some(4));
        assert_eq!(sub.stats().get("dropped_on_receive"), Some(3));
        assert_eq!(sub.missed(), 3);
        assert_eq!([recv(&sub), recv(&sub)], ["a4", "a5"]);
    }
}

/// Publishes, and waits until `sub` has heard everything.
fn publish(publisher: &Pub, news: &[&str], sub: &Sub) {
    let heard = || sub.stats().get("messages_received").expect("it is counted");
    let all = heard() + news.len() as u64;
    news.iter().for_each(|news| publisher.send(*news).expect("a publisher never waits"));
    wait_until("the SUB has heard everything", || heard() == all);
}

/// What `socket` has counted for `peer`; nothing is counted as nothing.
fn counted<E: Engine>(socket: &Socket<E>, peer: PeerId, what: &str) -> u64 {
    socket.stats().get(&format!("{peer}/{what}")).unwrap_or(0)
}

fn peer_of<E: Engine>(socket: &Socket<E>, message: &Message) -> PipeInfo {
    let peer = message.source().expect("a message received has a source");
    socket.peer(peer).expect("the peer is connected")
}

fn open<E: Engine>() -> Socket<E> {
    Socket::new().expect("a socket opens")
}

fn impatient_push() -> Push {
    Push::with(PushOptions::new().fail_without_peer(true)).expect("PUSH opens")
}

fn impatient_req() -> Req {
    Req::with(ReqOptions::new().fail_without_peer(true)).expect("REQ opens")
}

fn recv<E: RecvEngine>(socket: &Socket<E>) -> Message {
    socket.recv_timeout(DEADLINE).expect("a message comes")
}
