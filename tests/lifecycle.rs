//! However sockets end, nothing is left: no buffer, no connection, no thread, no descriptor.
//!
//! The tests count what the whole process holds, so one runs at a time.

use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic::resume_unwind;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{env, fs};

use sp::pool::BufferPool;
use sp::registry::conns;
use sp::{
    CloseReason, DialError, DialOptions, PipeEvent, Pub, PubOptions, Pull, PullOptions, Push, Rep,
    Req, SendError, Socket, Sub,
};
use sp_core::clock;
use sp_protocols::engine::Engine;
use support::{
    DEADLINE, Task, Transport, bell, connect, descriptors, spawn, threads, wait_connected,
    wait_event, wait_until,
};

mod support;

#[test]
fn dropping_sockets_with_work_under_way_leaves_nothing() {
    for transport in Transport::EVERY {
        alone(|| drop(Scene::new(transport)));
    }
}

#[test]
fn dropping_one_side_after_the_other_leaves_nothing() {
    for transport in Transport::EVERY {
        alone(|| {
            let Scene { rep, req, publisher, sub, pull, push } = Scene::new(transport);
            let listening = [conns_of(&rep), conns_of(&publisher), conns_of(&pull)];
            assert_eq!(listening, [1, 1, 1], "{transport:?}");
            drop((rep, publisher, pull));
            wait_until("the dialers lose their peers", || {
                [conns_of(&req), conns_of(&sub), conns_of(&push)] == [0, 0, 0]
            });
            drop((req, sub, push));
        });
    }
}

#[test]
fn closing_sockets_with_work_under_way_leaves_nothing() {
    for transport in Transport::EVERY.into_iter().chain([Transport::Own]) {
        alone(|| {
            Scene::new(transport).close_within(DEADLINE);
            // The system may list a thread for a moment after it has been joined.
            wait_until("the thread has ended with the last socket", || threads().is_empty());
            assert_eq!(conns().count(), 0, "{transport:?}");
            assert_eq!(BufferPool::global().stats().out, 0, "{transport:?}");
        });
    }
}

#[test]
fn closing_without_linger_drops_the_backlog_and_leaves_nothing() {
    for transport in Transport::EVERY {
        alone(|| {
            let Scene { rep, req, publisher, sub, pull, push } = Scene::new(transport);
            // Senders first: their queues are full and nobody reads.
            push.close_within(Duration::ZERO);
            publisher.close_within(Duration::ZERO);
            req.close_within(Duration::ZERO);
            rep.close_within(Duration::ZERO);
            sub.close_within(Duration::ZERO);
            pull.close_within(Duration::ZERO);
        });
    }
}

#[test]
fn a_panic_of_the_program_leaves_nothing() {
    for transport in Transport::EVERY {
        alone(|| {
            let scene = Scene::new(transport);
            let program = spawn(move || {
                let _held = scene;
                // Without the hook, which would print it.
                resume_unwind(Box::new("as planned"));
            });
            assert!(program.end().is_err(), "it panicked");
        });
    }
}

#[test]
fn futures_that_are_dropped_leave_nothing() {
    for transport in Transport::EVERY {
        alone(|| {
            let scene = Scene::new(transport);
            let body = support::pattern(4096);
            let (waker, _rung) = bell();
            let mut cx = Context::from_waker(&waker);
            // Full it is, unless the system has found room meanwhile.
            let mut send = Box::pin(scene.push.send_async(&body[..]));
            let _ = send.as_mut().poll(&mut cx);
            let mut recv = Box::pin(scene.req.recv_async());
            assert!(recv.as_mut().poll(&mut cx).is_pending(), "nobody has answered");
            drop((send, recv));

            let alone = Push::new().expect("PUSH opens");
            let mut send = Box::pin(alone.send_async(&body[..]));
            assert!(send.as_mut().poll(&mut cx).is_pending(), "nobody is connected");
        });
    }
}

#[test]
fn handles_that_outlive_the_close_hold_nothing() {
    for transport in Transport::EVERY {
        alone(|| {
            let before = descriptors();
            let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
            let (pull_events, push_events) = (pull.events(), push.events());
            let listener = connect(transport, &pull, &push);
            push.send_timeout(&support::pattern(4096)[..], DEADLINE)
                .expect("the receiver is connected");
            let handles = (pull.clone(), push.clone());
            push.close();
            pull.close();
            wait_until("connections and buffers are gone", || {
                Left::now() == Left::with(Vec::new(), descriptors())
            });
            wait_until("the descriptors are gone", || descriptors() <= before);
            let ended = pull_events.iter().count() + push_events.iter().count();
            assert!(ended > 0, "events end with the socket");
            drop((handles, listener));
        });
    }
}

#[test]
fn endpoints_that_wait_end_with_their_socket() {
    alone(|| {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let silent_url = format!("tcp://{}", silent.local_addr().expect("it is bound"));
        let push = Push::new().expect("PUSH opens");
        let background = DialOptions::new().background(true);
        // Waits for a handshake, to try again, for a name.
        push.dial_with(&silent_url, &background).expect("the URL is right");
        push.dial_with(Transport::Ipc.url(), &background).expect("the URL is right");
        push.dial_with(Transport::Inproc.url(), &background).expect("the URL is right");
        push.dial_with("tcp://localhost:1", &background).expect("the URL is right");
        let pull = Pull::new().expect("PULL opens");
        let listener = pull.listen(Transport::Tcp.url()).expect("the address is free");
        pull.listen(Transport::Ipc.url()).expect("the address is free");
        pull.listen(Transport::Inproc.url()).expect("the address is free");
        // Connected and silent.
        let port = listener.endpoint().port().expect("tcp has a port");
        let half_open = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        let mut hello = [0; 8];
        (&half_open).read_exact(&mut hello).expect("the listener speaks first");
        push.close();
        drop(pull);
        // Both servers saw the end, whichever way it came.
        let mut rest = Vec::new();
        let _ = (&half_open).read_to_end(&mut rest);
        assert_eq!(rest, []);
    });
}

#[test]
fn the_socket_file_goes_with_its_listener() {
    alone(|| {
        let url = Transport::Ipc.url();
        let path = url.trim_start_matches("ipc://").to_owned();
        let exists = || fs::exists(&path).expect("the directory is readable");
        let (pull, other) = (Pull::new().expect("PULL opens"), Pull::new().expect("PULL opens"));
        let listener = pull.listen(&url).expect("the address is free");
        assert!(exists());
        other.listen(&url).expect_err("the address is taken");
        assert!(exists(), "a listener that failed leaves the other's file");
        listener.close();
        assert!(!exists());
        pull.listen(&url).expect("the address is free");
        assert!(exists());
        pull.close();
        assert!(!exists());
    });
}

#[test]
fn closing_wakes_receivers() {
    for transport in Transport::EVERY {
        alone(|| {
            let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
            connect(transport, &pull, &push);
            let waiters: Vec<Task<bool>> = (0..6)
                .map(|n| {
                    let pull = pull.clone();
                    spawn(move || match n % 3 {
                        0 => pull.recv().is_err_and(|error| error.is_closed()),
                        1 => pull.recv_timeout(2 * DEADLINE).is_err_and(|error| error.is_closed()),
                        _ => support::block_on(pull.recv_async())
                            .is_err_and(|error| error.is_closed()),
                    })
                })
                .collect();
            let (waker, rung) = bell();
            let mut future = Box::pin(pull.recv_async());
            assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            waiters.iter().for_each(Task::wait_asleep);
            pull.clone().close();
            for waiter in waiters {
                assert!(waiter.join(), "it is told that the socket is closed, over {transport:?}");
            }
            rung.recv_timeout(DEADLINE).expect("the future is woken");
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(Err(error)) => assert!(error.is_closed()),
                other => panic!("the socket is closed: {other:?}"),
            }
        });
    }
}

#[test]
fn closing_wakes_senders_that_have_no_peer() {
    alone(|| {
        let push = Push::new().expect("PUSH opens");
        let waiters = waiting_senders(&push);
        let (waker, rung) = bell();
        let mut future = Box::pin(push.send_async("work"));
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        push.clone().close();
        for waiter in waiters {
            let error = waiter.join().expect_err("there was nobody to send to");
            assert!(error.is_closed(), "{error}");
            assert_eq!(error.into_message().len(), WORK);
        }
        rung.recv_timeout(DEADLINE).expect("the future is woken");
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(Err(error)) => assert!(error.is_closed()),
            other => panic!("the socket is closed: {other:?}"),
        }
    });
}

#[test]
fn closing_wakes_senders_whose_peer_is_full() {
    for transport in Transport::ALL {
        alone(|| {
            let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
            connect(transport, &pull, &push);
            fill(&push);
            let waiters = waiting_senders(&push);
            push.close_within(Duration::ZERO);
            for waiter in waiters {
                // The system may have found room meanwhile.
                let Err(error) = waiter.join() else { continue };
                assert!(error.is_closed(), "{error}");
                assert_eq!(error.into_message().len(), WORK);
            }
        });
    }
}

/// Threads that wait with a send each, in all forms.
fn waiting_senders(push: &Push) -> Vec<Task<Result<(), SendError>>> {
    let body = support::pattern(WORK);
    let senders: Vec<_> = (0..6)
        .map(|n| {
            let (push, body) = (push.clone(), body.clone());
            spawn(move || match n % 3 {
                0 => push.send(&body[..]),
                1 => push.send_timeout(&body[..], 2 * DEADLINE),
                _ => support::block_on(push.send_async(&body[..])),
            })
        })
        .collect();
    senders.iter().for_each(Task::wait_asleep);
    senders
}

#[test]
fn closing_ends_a_dial_that_waits() {
    alone(|| {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("tcp://{}", silent.local_addr().expect("it is bound"));
        let push = Push::new().expect("PUSH opens");
        let dialer = spawn({
            let push = push.clone();
            let options = DialOptions::new().handshake_limit(2 * DEADLINE);
            move || push.dial_with(&url, &options).map(drop)
        });
        let (mut accepted, _) = silent.accept().expect("somebody dials");
        accepted.read_exact(&mut [0; 8]).expect("the dialer speaks first");
        dialer.wait_asleep();
        push.close();
        assert!(matches!(dialer.join(), Err(DialError::Closed { .. })));
    });
}

#[test]
fn a_publisher_with_a_million_messages_for_a_stalled_peer_closes_promptly() {
    for linger in [Duration::ZERO, Duration::from_secs(1)] {
        alone(|| {
            let publisher = Pub::with(PubOptions::new().queue(MILLION).queue_bytes(usize::MAX))
                .expect("PUB opens");
            let stalled = raw_peer(&publisher, SUB);
            (0..MILLION)
                .for_each(|n| publisher.send(n.to_be_bytes()).expect("a publisher never waits"));
            assert_eq!(publisher.stats().get("dropped_on_send"), Some(0), "all of them wait");
            let begun = clock::now();
            publisher.close_within(linger);
            let took = clock::now() - begun;
            assert!(took < linger + PROMPT, "closing took {took:?}, its linger time is {linger:?}");
            drop(stalled);
        });
    }
}

#[test]
fn a_receiver_with_a_million_messages_unread_closes_promptly() {
    alone(|| {
        let pull = Pull::with(PullOptions::new().queue(MILLION).queue_bytes(usize::MAX))
            .expect("PULL opens");
        let push = Push::new().expect("PUSH opens");
        connect(Transport::Inproc, &pull, &push);
        (0..MILLION).for_each(|n| {
            push.send_timeout(n.to_be_bytes(), DEADLINE).expect("the receiver has room")
        });
        let begun = clock::now();
        pull.close();
        let took = clock::now() - begun;
        assert!(took < PROMPT, "closing took {took:?}");
        push.close_within(Duration::ZERO);
    });
}

#[test]
fn what_was_queued_before_the_close_reaches_a_slow_receiver() {
    for transport in Transport::ALL {
        alone(|| {
            let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
            connect(transport, &pull, &push);
            let sent = fill(&push);
            let closer = spawn(move || push.close_within(DEADLINE));
            closer.wait_asleep();
            for n in 0..sent {
                let message = pull.recv_timeout(DEADLINE);
                assert!(message.is_ok(), "{n} of {sent} arrived over {transport:?}: {message:?}");
            }
            closer.join();
            wait_until("the peer is gone", || pull.peers().is_empty());
            assert!(pull.try_recv().is_err(), "nothing comes twice");
        });
    }
}

#[test]
fn what_was_sent_before_the_drop_reaches_the_receiver() {
    for transport in Transport::ALL {
        alone(|| {
            let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
            connect(transport, &pull, &push);
            (0..500_u32).for_each(|n| {
                push.send_timeout(n.to_be_bytes(), DEADLINE).expect("the receiver is connected")
            });
            drop(push);
            for n in 0..500_u32 {
                let message = pull.recv_timeout(DEADLINE).expect("what was sent arrives");
                assert_eq!(message, n.to_be_bytes(), "{transport:?}");
            }
        });
    }
}

#[test]
fn a_reply_sent_before_the_end_reaches_its_client() {
    for transport in Transport::ALL {
        alone(|| {
            for close in [drop as fn(Rep), |rep| {
                rep.close();
            }] {
                let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
                connect(transport, &rep, &req);
                req.send_timeout("ping", DEADLINE).expect("the server is connected");
                rep.recv_timeout(DEADLINE).expect("the request comes");
                rep.send(&support::pattern(100_000)[..]).expect("there is a request");
                close(rep);
                assert_eq!(req.recv_timeout(DEADLINE).expect("the reply comes").len(), 100_000);
            }
        });
    }
}

/// What the publisher's engine holds back for a slow peer is queued as well.
#[test]
fn what_was_published_before_the_close_reaches_a_slow_subscriber() {
    alone(|| {
        let publisher = Pub::with(PubOptions::new().queue(PUBLISHED).queue_bytes(usize::MAX))
            .expect("PUB opens");
        let mut slow = raw_peer(&publisher, SUB);
        let body = support::pattern(WORK);
        (0..PUBLISHED).for_each(|_| publisher.send(&body[..]).expect("a publisher never waits"));
        assert_eq!(
            publisher.stats().get("dropped_on_send"),
            Some(0),
            "there is room for all of them"
        );
        let closer = spawn(move || publisher.close_within(DEADLINE));
        closer.wait_asleep();
        let mut bytes = Vec::new();
        slow.read_to_end(&mut bytes).expect("the publisher ends in an orderly way");
        assert_eq!(bytes.len(), PUBLISHED * (8 + body.len()), "all of them and nothing else");
        closer.join();
    });
}

#[test]
fn a_thousand_peers_that_come_and_go_leave_no_trace() {
    for transport in Transport::EVERY {
        alone(|| {
            let pull = Pull::new().expect("PULL opens");
            let listener = pull.listen_with(transport.url(), &transport.listen_options());
            let listener = listener.expect("the address is free");
            let options = transport.dial_options();
            let mut rounds = 0;
            stays_flat(&format!("sockets over {transport:?}"), || {
                let push = Push::new().expect("PUSH opens");
                push.dial_with(listener.endpoint(), &options).expect("somebody listens");
                push.send_timeout(&support::pattern(500)[..], DEADLINE)
                    .expect("the receiver is connected");
                pull.recv_timeout(DEADLINE).expect("the message comes");
                rounds += 1;
                if rounds % 2 == 0 {
                    push.close();
                } else {
                    drop(push);
                }
                wait_until("the peer is gone", || pull.peers().is_empty());
            });
        });
    }
}

#[test]
fn a_thousand_dialers_that_are_closed_leave_no_trace() {
    for transport in Transport::EVERY {
        alone(|| {
            let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
            let listener = pull.listen_with(transport.url(), &transport.listen_options());
            let listener = listener.expect("the address is free");
            let options = transport.dial_options();
            stays_flat(&format!("dialers over {transport:?}"), || {
                let dialer = push.dial_with(listener.endpoint(), &options);
                let dialer = dialer.expect("somebody listens");
                push.send_timeout("work", DEADLINE).expect("the receiver is connected");
                pull.recv_timeout(DEADLINE).expect("the message comes");
                dialer.close();
                wait_until("both are alone", || pull.peers().is_empty() && push.peers().is_empty());
            });
        });
    }
}

#[test]
fn a_thousand_strangers_leave_no_trace() {
    alone(|| {
        let pull = Pull::new().expect("PULL opens");
        let events = pull.events();
        let listener = pull.listen(Transport::Tcp.url()).expect("the address is free");
        let port = listener.endpoint().port().expect("tcp has a port");
        stays_flat("strangers", || {
            let mut stranger = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
            stranger.write_all(b"\0SP").expect("the connection is open");
            drop(stranger);
            wait_event(&events, "the refusal", |event| matches!(event, PipeEvent::Refused { .. }));
        });
    });
}

#[test]
fn a_peer_that_resets_in_mid_message_leaves_nothing() {
    alone(|| {
        let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
        connect(Transport::Tcp, &pull, &push);
        let events = pull.events();
        for body in [10, 100_000] {
            let mut peer = raw_peer(&pull, PUSH);
            wait_connected(&events);
            let whole = support::pattern(body);
            peer.write_all(&frame(&whole)).expect("the receiver reads");
            assert_eq!(pull.recv_timeout(DEADLINE).expect("whole messages arrive"), whole);
            peer.write_all(&frame(&support::pattern(1 << 20))[..body]).expect("the receiver reads");
            // A reset instead of an orderly end.
            socket2::SockRef::from(&peer)
                .set_linger(Some(Duration::ZERO))
                .expect("the option exists");
            drop(peer);
            wait_event(&events, "the end", |event| matches!(event, PipeEvent::Closed { .. }));
            push.send_timeout("work", DEADLINE).expect("the other peer is connected");
            assert_eq!(pull.recv_timeout(DEADLINE).expect("the other peer goes on"), "work");
        }
    });
}

/// Its last bytes and its end are one piece of news, and there will be no other.
#[test]
fn a_peer_that_says_everything_at_once_and_leaves_is_heard_and_gone() {
    alone(|| {
        let pull = Pull::new().expect("PULL opens");
        let events = pull.events();
        let listener = pull.listen(Transport::Tcp.url()).expect("the address is free");
        let port = listener.endpoint().port().expect("tcp has a port");
        let mut peer = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        peer.write_all(&[&greeting(PUSH)[..], &frame(b"work")].concat())
            .expect("the connection is open");
        // Half closed, since what was left unread would make a reset of a whole close.
        peer.shutdown(Shutdown::Write).expect("the connection is open");
        assert_eq!(pull.recv_timeout(DEADLINE).expect("the message comes"), "work");
        let closed =
            wait_event(&events, "the end", |event| matches!(event, PipeEvent::Closed { .. }));
        assert!(
            matches!(closed, PipeEvent::Closed { why: CloseReason::PeerClosed, .. }),
            "{closed:?}"
        );
    });
}

#[test]
fn a_peer_killed_in_mid_message_leaves_nothing() {
    alone(|| {
        let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
        connect(Transport::Tcp, &pull, &push);
        let events = pull.events();
        let listener = pull.listen(Transport::Tcp.url()).expect("the address is free");
        let url = listener.endpoint().to_string();
        let (mut killed, _) = start_child(&format!("stuck {url}"));
        wait_connected(&events);
        killed.kill().expect("it is ours");
        killed.wait().expect("it is ours");
        let closed =
            wait_event(&events, "the end", |event| matches!(event, PipeEvent::Closed { .. }));
        assert!(
            matches!(closed, PipeEvent::Closed { why: CloseReason::Truncated, .. }),
            "{closed:?}"
        );
        push.send_timeout("work", DEADLINE).expect("the other peer is connected");
        assert_eq!(pull.recv_timeout(DEADLINE).expect("nothing came of half a message"), "work");
    });
}

#[test]
fn a_peer_killed_while_it_streams_leaves_nothing() {
    for transport in [Transport::Tcp, Transport::Ipc] {
        alone(|| {
            let pull = Pull::new().expect("PULL opens");
            let events = pull.events();
            let listener = pull.listen(transport.url()).expect("the address is free");
            let (mut killed, _) = start_child(&format!("streams {}", listener.endpoint()));
            wait_connected(&events);
            for _ in 0..5 {
                assert_eq!(pull.recv_timeout(DEADLINE).expect("a message comes").len(), 1 << 20);
            }
            killed.kill().expect("it is ours");
            killed.wait().expect("it is ours");
            // What has arrived whole stands in the way of the end until it is taken.
            wait_until("the peer is gone", || {
                pull.try_iter().for_each(|message| assert_eq!(message.len(), 1 << 20));
                pull.peers().is_empty()
            });
        });
    }
}

#[test]
fn a_dialer_comes_back_after_its_peer_was_killed() {
    for transport in [Transport::Tcp, Transport::Ipc] {
        alone(|| {
            let (mut killed, url) = start_child(&format!("listens {}", transport.url()));
            let push = Push::new().expect("PUSH opens");
            let events = push.events();
            let options =
                DialOptions::new().reconnect(Duration::from_millis(1), Duration::from_millis(20));
            push.dial_with(&url, &options).expect("somebody listens");
            fill(&push);
            killed.kill().expect("it is ours");
            killed.wait().expect("it is ours");
            wait_event(&events, "the end", |event| matches!(event, PipeEvent::Closed { .. }));
            let pull = Pull::new().expect("PULL opens");
            pull.listen(&url).expect("the address of the dead can be taken over");
            wait_connected(&events);
            push.send_timeout("again", DEADLINE).expect("connected again");
            let arrived = |message: sp::Message| message == "again";
            assert!(
                pull.recv_timeout(DEADLINE).is_ok_and(arrived),
                "what the dead had is lost with it"
            );
        });
    }
}

/// The other process of the tests above: this binary again, told what to do by the environment.
#[test]
fn other_process() {
    let Ok(told) = env::var(CHILD) else { return };
    let (what, url) = told.split_once(' ').expect("what to do and where");
    match what {
        "stuck" => {
            let addr = url.trim_start_matches("tcp://");
            let mut peer = TcpStream::connect(addr).expect("somebody listens");
            greet(&mut peer, PUSH);
            peer.write_all(&frame(&support::pattern(1 << 20))[..200_000])
                .expect("the receiver reads");
            say_ready("in mid-message");
            // Until it is killed.
            let _ = peer.read(&mut [0]);
        }
        "streams" => {
            let push = Push::new().expect("PUSH opens");
            push.dial(url).expect("somebody listens");
            say_ready("streaming");
            let body = support::pattern(1 << 20);
            while push.send_timeout(&body[..], DEADLINE).is_ok() {}
        }
        "listens" => {
            let pull = Pull::new().expect("PULL opens");
            let events = pull.events();
            let listener = pull.listen(url).expect("the address is free");
            say_ready(&listener.endpoint().to_string());
            // Receives nothing; ends when its peer is gone.
            wait_event(&events, "the end", |event| matches!(event, PipeEvent::Closed { .. }));
        }
        _ => panic!("nobody knows how to do {what}"),
    }
}

fn start_child(told: &str) -> (Child, String) {
    let mut child = Command::new(env::current_exe().expect("this binary has a path"))
        .args(["other_process", "--exact", "--nocapture"])
        .env(CHILD, told)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary runs");
    let lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
    let said =
        lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix(READY)?.to_owned()));
    (child, said.expect("the other process gets ready"))
}

fn say_ready(what: &str) {
    let mut out = std::io::stdout().lock();
    // On a line of its own: the test's name stands there without an end.
    writeln!(out, "\n{READY}{what}").and_then(|()| out.flush()).expect("somebody listens");
}

/// Sockets of all patterns, each with something under way.
struct Scene {
    rep: Rep,
    req: Req,
    publisher: Pub,
    sub: Sub,
    pull: Pull,
    push: Push,
}

impl Scene {
    fn new(transport: Transport) -> Self {
        let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
        connect(transport, &rep, &req);
        let (publisher, sub) = (Pub::new().expect("PUB opens"), Sub::new().expect("SUB opens"));
        connect(transport, &publisher, &sub);
        let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
        connect(transport, &pull, &push);
        let body = support::pattern(WORK);
        // A request that is being answered, publications that nobody reads, queues that are full.
        req.send_timeout(&body[..], DEADLINE).expect("the server is connected");
        rep.recv_timeout(DEADLINE).expect("the request comes");
        sub.subscribe("");
        (0..2000).for_each(|_| publisher.send(&body[..]).expect("a publisher never waits"));
        fill(&push);
        Self { rep, req, publisher, sub, pull, push }
    }

    /// Receivers first, so that senders have nobody to wait for.
    fn close_within(self, linger: Duration) {
        let Self { rep, req, publisher, sub, pull, push } = self;
        pull.close_within(linger);
        sub.close_within(linger);
        rep.close_within(linger);
        push.close_within(linger);
        publisher.close_within(linger);
        req.close_within(linger);
    }
}

/// Sends until nothing goes any more and says how many messages that took.
fn fill(push: &Push) -> usize {
    let body = support::pattern(WORK);
    let sends = std::iter::repeat_with(|| push.send_timeout(&body[..], BLINK));
    // Over udp the network is never full.
    sends.take(FULL).take_while(Result::is_ok).count()
}

/// A connected peer made of a bare stream.
fn raw_peer<E: Engine>(socket: &Socket<E>, protocol: u8) -> TcpStream {
    let events = socket.events();
    let listener = socket.listen(Transport::Tcp.url()).expect("the address is free");
    let port = listener.endpoint().port().expect("tcp has a port");
    let mut peer = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    greet(&mut peer, protocol);
    wait_connected(&events);
    peer
}

/// Both sides say who they are.
fn greet(peer: &mut TcpStream, protocol: u8) {
    peer.set_read_timeout(Some(DEADLINE)).expect("the time is not zero");
    peer.write_all(&greeting(protocol)).expect("the connection is open");
    peer.read_exact(&mut [0; 8]).expect("the other side says who it is");
}

const fn greeting(protocol: u8) -> [u8; 8] {
    [0, b'S', b'P', 0, 0, protocol, 0, 0]
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u64).to_be_bytes(), body].concat()
}

fn conns_of<E: Engine>(socket: &Socket<E>) -> usize {
    conns().by_socket(socket.id()).len()
}

/// Runs a test while no other does, and looks at what is left after it.
fn alone(test: impl FnOnce()) {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed has left nothing that matters to the next.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    wait_until("the test before is over", || Left::now() == Left::with(Vec::new(), descriptors()));
    let nothing = Left::with(Vec::new(), descriptors());
    test();
    settles_to(&nothing, "after the end");
}

/// Goes through a thousand cycles after which all is as it was before.
fn stays_flat(what: &str, mut cycle: impl FnMut()) {
    wait_until("the worker runs", || threads() == [WORKER]);
    let before =
        Left { connections: conns().count(), ..Left::with(vec![WORKER.to_owned()], descriptors()) };
    (0..CYCLES).for_each(|_| cycle());
    settles_to(&before, what);
}

/// Waits until the process holds what it should; what a socket holds may go in the background.
fn settles_to(wanted: &Left, what: &str) {
    let deadline = clock::now() + DEADLINE;
    while Left::now() != *wanted {
        assert!(clock::now() < deadline, "{what}: {:?} is left, not {wanted:?}", Left::now());
        std::thread::yield_now();
    }
}

/// What the process holds.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    buffers: u64,
    connections: usize,
    threads: Vec<String>,
    descriptors: usize,
}

impl Left {
    fn now() -> Self {
        Self {
            buffers: BufferPool::global().stats().out,
            connections: conns().count(),
            ..Self::with(threads(), descriptors())
        }
    }

    /// Neither buffers nor connections.
    fn with(threads: Vec<String>, descriptors: usize) -> Self {
        Self { buffers: 0, connections: 0, threads, descriptors }
    }
}

const WORKER: &str = "sp-io-0";
/// SP protocol numbers, low byte.
const SUB: u8 = 0x21;
const PUSH: u8 = 0x50;
/// Names the environment variable that tells the other process what to do.
const CHILD: &str = "SP_LIFECYCLE_CHILD";
const READY: &str = "ready: ";
/// Bytes of a message where any will do.
const WORK: usize = 2048;
const MILLION: usize = 1_000_000;
const CYCLES: usize = 1_000;
/// More than the kernel keeps for a connection.
const PUBLISHED: usize = 10_000;
/// Messages of [`WORK`] bytes that fill everything that can be filled.
const FULL: usize = 20_000;
/// Full for so long is full.
const BLINK: Duration = Duration::from_millis(20);
/// What a loaded machine may need to free a million messages.
const PROMPT: Duration = Duration::from_secs(5);
