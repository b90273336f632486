//! Code of the program that the library's threads run: wakers, and who is admitted. It may panic and it may close what
//! it likes; nobody else notices.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use crossbeam_channel::bounded;
use shared::{
    DEADLINE, Transport, block_on, connect, spawn, unique, wait_connected, wait_event, wait_until,
};
use sp::{
    Admission, CloseReason, DialError, DialOptions, Engine, Listener, PipeEvent, Pull, Push, Rep,
    Req, SendError, Socket,
};

#[path = "support/mod.rs"]
mod shared;

/// For a dialer that does not come again while the test looks.
fn once(transport: Transport) -> DialOptions {
    transport.dial_options().reconnect(HOUR, HOUR)
}

fn listen<E: Engine>(transport: Transport, socket: &Socket<E>) -> Listener {
    socket.listen_with(transport.url(), &transport.listen_options()).unwrap()
}

/// A waker that panics, after having noted on which thread.
struct Bomb(crossbeam_channel::Sender<String>);

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = self.0.send(name);
        panic!("the waker of a task panics");
    }
}

#[test]
fn a_waker_that_panics_ends_no_thread_and_is_counted() {
    for transport in Transport::EVERY {
        let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
        connect(transport, &pull, &push);
        let (tell, told) = bounded(1);
        let bomb = Waker::from(Arc::new(Bomb(tell)));
        let mut receiving = pin!(pull.recv_async());
        assert!(receiving.as_mut().poll(&mut Context::from_waker(&bomb)).is_pending());
        push.send("wakes").unwrap();
        let thread = told.recv_timeout(DEADLINE).unwrap();
        if transport != Transport::Inproc {
            assert_eq!(thread, "sp-io-0", "nobody else drives");
        }
        // The worker still is there to wake this one.
        assert_eq!(block_on(receiving).unwrap(), "wakes");
        wait_until("the panic is counted", || pull.stats().get("panics") == Some(1));
        push.send("again").unwrap();
        assert_eq!(block_on(pull.recv_async()).unwrap(), "again");
    }
}

#[test]
fn those_who_wait_behind_a_waker_that_panics_are_woken() {
    let lonely = Push::new().unwrap();
    let (tell, _told) = bounded(1);
    let bomb = Waker::from(Arc::new(Bomb(tell)));
    let mut first = pin!(lonely.send_async("first"));
    assert!(first.as_mut().poll(&mut Context::from_waker(&bomb)).is_pending());
    let second = {
        let lonely = lonely.clone();
        spawn(move || lonely.send("second"))
    };
    second.wait_asleep();
    lonely.clone().close();
    assert!(matches!(second.join(), Err(SendError::Closed { .. })));
    assert_eq!(lonely.stats().get("panics"), Some(1));
}

/// sp-wire 8.16 item 172: nothing passes to or from a peer that is refused, and others go on.
#[test]
fn a_peer_that_is_not_admitted_is_closed_counted_and_heard_by_nobody() {
    for transport in Transport::EVERY {
        let pull = Pull::new().unwrap();
        let events = pull.events();
        let asked = Arc::new(AtomicUsize::new(0));
        let listener = listen(transport, &pull);
        let (counter, at) = (Arc::clone(&asked), listener.endpoint().clone());
        pull.admit(move |pipe| {
            assert_eq!(*pipe.endpoint, at);
            assert!(!pipe.dialed);
            let has_addr = transport.is_over_tcp() || transport == Transport::Udp;
            assert_eq!(pipe.peer_addr.is_some(), has_addr);
            assert_eq!(pipe.credentials.is_some(), transport == Transport::Ipc);
            #[cfg(feature = "tls")]
            assert_eq!(pipe.peer_certificate.is_some(), transport.is_secure());
            // Every second one.
            match counter.fetch_add(1, Ordering::Relaxed) % 2 {
                0 => Admission::Refuse,
                _ => Admission::Accept,
            }
        });
        for round in 1..=5u8 {
            let (unwanted, wanted) = (Push::new().unwrap(), Push::new().unwrap());
            // Over a stream both sides may already take themselves for connected.
            let _ = unwanted.dial_with(listener.endpoint(), &once(transport));
            let refused = wait_event(&events, "a refusal", |event| {
                matches!(event, PipeEvent::Refused { .. })
            });
            let PipeEvent::Refused { why, .. } = refused else { unreachable!("waited for") };
            assert_eq!(why, CloseReason::NotAdmitted, "{transport:?}");
            unwanted.close();
            wanted.dial_with(listener.endpoint(), &transport.dial_options()).unwrap();
            wait_connected(&events);
            wanted.send([round]).unwrap();
            assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), [round]);
            wanted.close();
            wait_event(&events, "its end", |event| matches!(event, PipeEvent::Closed { .. }));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 10, "once each");
        assert_eq!(pull.stats().get("refused"), Some(5));
        assert_eq!(pull.stats().get("panics"), Some(0));
    }
}

#[test]
fn a_dialer_may_refuse_whom_it_has_reached_and_tries_again() {
    for transport in Transport::EVERY {
        let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
        let listener = listen(transport, &pull);
        let options = transport.dial_options();
        push.admit(move |pipe| {
            assert!(pipe.dialed);
            #[cfg(feature = "tls")]
            assert_eq!(pipe.peer_certificate.is_some(), transport.is_secure());
            Admission::Refuse
        });
        let error = push.dial_with(listener.endpoint(), &options).unwrap_err();
        assert!(
            matches!(error, DialError::Failed { why: CloseReason::NotAdmitted, .. }),
            "{error}"
        );
        let asked = AtomicUsize::new(0);
        push.admit(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
            0..3 => Admission::Refuse,
            _ => Admission::Accept,
        });
        let pause = Duration::from_millis(2);
        let options = options.background(true).reconnect(pause, pause);
        push.dial_with(listener.endpoint(), &options).unwrap();
        push.send("in the end").unwrap();
        assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), "in the end");
        assert_eq!(push.stats().get("refused"), Some(4), "{transport:?}");
    }
}

#[test]
fn an_admission_that_panics_admits_nobody_and_ends_no_thread() {
    for transport in Transport::EVERY {
        let (rep, req) = (Rep::new().unwrap(), Req::new().unwrap());
        let events = rep.events();
        let listener = listen(transport, &rep);
        rep.admit(|_| panic!("the admission panics"));
        let _ = req.dial_with(listener.endpoint(), &once(transport));
        wait_event(&events, "a refusal", |event| {
            matches!(event, PipeEvent::Refused { why: CloseReason::NotAdmitted, .. })
        });
        assert_eq!(rep.stats().get("panics"), Some(1));
        req.close();
        rep.admit(|_| Admission::Accept);
        let req = Req::new().unwrap();
        req.dial_with(listener.endpoint(), &transport.dial_options()).unwrap();
        req.send("anybody there").unwrap();
        assert_eq!(rep.recv_timeout(DEADLINE).unwrap(), "anybody there");
    }
}

#[test]
fn an_admission_may_close_its_listener_its_socket_and_others() {
    for transport in Transport::EVERY {
        for close_the_socket in [false, true] {
            let (pull, other) = (Pull::new().unwrap(), Pull::new().unwrap());
            let ended = [pull.events(), other.events()];
            let listener = listen(transport, &pull);
            let at = listener.endpoint().clone();
            let elsewhere = listen(transport, &other);
            let (tell, told) = bounded(1);
            let held = std::sync::Mutex::new(Some((listener, elsewhere, other, pull.clone())));
            pull.admit(move |_| {
                let Some((listener, elsewhere, other, pull)) = held.lock().unwrap().take() else {
                    return Admission::Refuse;
                };
                listener.close();
                elsewhere.close();
                other.close();
                if close_the_socket {
                    pull.close();
                }
                let _ = tell.send(());
                Admission::Accept
            });
            let push = Push::new().unwrap();
            let _ = push.dial_with(&at, &transport.dial_options());
            told.recv_timeout(DEADLINE).expect("the admission comes to its end");
            let [events, others] = ended;
            while others.recv_timeout(DEADLINE).is_ok() {}
            if close_the_socket {
                while events.recv_timeout(DEADLINE).is_ok() {}
                assert!(pull.recv().is_err());
            } else {
                // Admitted, and ended with its listener.
                wait_event(&events, "its end", |event| {
                    matches!(event, PipeEvent::Closed { why: CloseReason::Closed, .. })
                });
            }
            // The worker is there for others.
            let (near, far) = (Push::new().unwrap(), Pull::new().unwrap());
            connect(transport, &far, &near);
            near.send("goes on").unwrap();
            assert_eq!(far.recv_timeout(DEADLINE).unwrap(), "goes on");
        }
    }
}

#[test]
fn an_admission_that_dials_and_waits_is_told_that_this_cannot_be() {
    let (pull, push) = (Pull::new().unwrap(), Push::new().unwrap());
    let listener = pull.listen(Transport::Tcp.url()).unwrap();
    let (tell, told) = bounded(1);
    let at = listener.endpoint().clone();
    pull.admit(move |_| {
        let _ = tell.send(Push::new().unwrap().dial(&at).map(drop));
        Admission::Accept
    });
    push.dial(listener.endpoint()).unwrap();
    let dialled = told.recv_timeout(DEADLINE).unwrap();
    assert!(matches!(dialled, Err(DialError::WouldDeadlock { .. })), "{dialled:?}");
}

#[test]
fn an_admission_that_holds_its_socket_lets_go_of_it_when_that_closes() {
    let pull = Pull::new().unwrap();
    let held = Arc::new(unique());
    let (handle, kept) = (pull.clone(), Arc::clone(&held));
    pull.admit(move |_| {
        let _ = (&handle, &kept);
        Admission::Accept
    });
    assert_eq!(Arc::strong_count(&held), 2);
    pull.close();
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn an_admission_whose_destructor_panics_ends_no_thread() {
    struct Spiteful;

    impl Drop for Spiteful {
        fn drop(&mut self) {
            panic!("the destructor panics");
        }
    }

    let pull = Pull::new().unwrap();
    let events = pull.events();
    let spiteful = Spiteful;
    pull.admit(move |_| {
        let _ = &spiteful;
        Admission::Accept
    });
    let (near, far) = (Push::new().unwrap(), Pull::new().unwrap());
    // The worker ends a socket that is dropped.
    drop(pull);
    assert!(events.recv_timeout(DEADLINE).is_err_and(|error| error.is_disconnected()));
    connect(Transport::Tcp, &far, &near);
    near.send("goes on").unwrap();
    assert_eq!(block_on(far.recv_async()).unwrap(), "goes on");
}

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3600);
