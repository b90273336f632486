use std::time::Duration;

use sp::{DialOptions, Pub, PubOptions, Pull, Push, Rep, Req, Sub};
use sp_core::clock;

use crate::shared::{
    DEADLINE, Transport, apart, block_on, connect, pattern, spawn, wait_connected, wait_until,
};
use crate::sys::{Storm, default_sigpipe};

/// What is copied side by side, and what leaves from its own memory.
const SIZES: [usize; 3] = [10, 2_000, 100_000];

#[test]
fn a_host_that_sigpipe_would_end_survives_peers_that_vanish() {
    apart(|| {
        default_sigpipe();
        for transport in Transport::ALL {
            for size in SIZES {
                pushes_into_the_void(transport, size);
                publishes_into_the_void(transport, size);
            }
        }
    });
}

/// Sends as fast as it goes while one receiver after the other goes away in the middle.
fn pushes_into_the_void(transport: Transport, size: usize) {
    let push = Push::new().unwrap();
    let listener = push.listen_with(transport.url(), &transport.listen_options()).unwrap();
    let sending = spawn({
        let (push, body) = (push.clone(), pattern(size));
        move || while push.send(&body[..]).is_ok() {}
    });
    for _ in 0..VANISHED {
        let pull = Pull::new().unwrap();
        pull.dial_with(listener.endpoint(), &transport.dial_options()).unwrap();
        assert_eq!(pull.recv_timeout(DEADLINE).unwrap().len(), size);
        pull.close_within(Duration::ZERO);
    }
    push.close_within(Duration::ZERO);
    sending.join();
}

fn publishes_into_the_void(transport: Transport, size: usize) {
    let publisher = Pub::with(PubOptions::new().queue(10)).unwrap();
    let (body, events) = (pattern(size), publisher.events());
    let listener = publisher.listen_with(transport.url(), &transport.listen_options()).unwrap();
    for _ in 0..VANISHED {
        let subs = [(); 3].map(|()| Sub::new().unwrap());
        for sub in &subs {
            sub.subscribe("");
            sub.dial_with(listener.endpoint(), &transport.dial_options()).unwrap();
            wait_connected(&events);
        }
        let vanishing = subs.map(|sub| spawn(move || sub.close_within(Duration::ZERO)));
        wait_until("they are gone", || {
            publisher.send(&body[..]).unwrap();
            publisher.peers().is_empty()
        });
        vanishing.into_iter().for_each(|vanishing| assert_eq!(vanishing.join(), 0));
    }
}

#[test]
fn signals_lose_nothing_and_break_no_wait() {
    apart(|| {
        let storm = Storm::every(Duration::from_micros(100));
        for round in 0..2 {
            for transport in Transport::ALL {
                waits_are_kept(transport);
                connects(transport);
                converses(transport);
                streams(transport);
            }
            dials_by_name();
            if round == 0 {
                // This thread has been hit so far. Now the worker is, and whoever else there is.
                storm.pass_over_this_thread();
            }
        }
        drop(storm);
        assert!(Storm::signals() > 500, "{} signals", Storm::signals());
    });
}

/// A wait lasts as long as it was told.
fn waits_are_kept(transport: Transport) {
    let wait = Duration::from_millis(20);
    let (pull, push) = (Pull::new().unwrap(), Push::new().unwrap());
    let lonely = clock::now();
    assert!(push.send_timeout("nobody", wait).unwrap_err().is_timeout());
    assert!(clock::now() - lonely >= wait);
    connect(transport, &pull, &push);
    let empty = clock::now();
    assert!(pull.recv_timeout(wait).unwrap_err().is_timeout());
    assert!(clock::now() - empty >= wait);
    let waiting = spawn(move || pull.recv());
    waiting.wait_asleep();
    push.send("comes").unwrap();
    assert_eq!(waiting.join().unwrap(), "comes");
}

fn connects(transport: Transport) {
    let pull = Pull::new().unwrap();
    let listener = pull.listen_with(transport.url(), &transport.listen_options()).unwrap();
    for n in 0..20u8 {
        let push = Push::new().unwrap();
        push.dial_with(listener.endpoint(), &transport.dial_options()).expect("connected");
        push.send_timeout([n], DEADLINE).unwrap();
        assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), [n]);
        push.close();
    }
    listener.close();
    let options = transport.dial_options();
    let gone = Push::new().unwrap().dial_with(transport.url(), &options);
    assert!(gone.is_err(), "nobody is there");
}

/// By blocking calls on one side, futures on the other.
fn converses(transport: Transport) {
    let (rep, req) = (Rep::new().unwrap(), Req::new().unwrap());
    connect(transport, &rep, &req);
    let answering = spawn({
        let rep = rep.clone();
        move || {
            while let Ok(question) = block_on(rep.recv_async()) {
                block_on(rep.send_async(question)).unwrap();
            }
        }
    });
    for n in 0..300u32 {
        let question = [&n.to_be_bytes()[..], &pattern(SIZES[n as usize % 3])].concat();
        req.send(&question[..]).unwrap();
        assert!(req.recv().unwrap() == question[..], "{n} over {transport:?}");
    }
    rep.close();
    answering.join();
}

/// Everything comes, once and in order, what lingers included.
fn streams(transport: Transport) {
    const MESSAGES: u32 = 5_000;
    let (pull, push) = (Pull::new().unwrap(), Push::new().unwrap());
    connect(transport, &pull, &push);
    let sending = spawn(move || {
        for n in 0..MESSAGES {
            push.send(n.to_be_bytes()).unwrap();
        }
        push.close_within(DEADLINE)
    });
    for n in 0..MESSAGES {
        assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), n.to_be_bytes(), "over {transport:?}");
    }
    assert_eq!(sending.join(), 0, "nothing was left behind");
    assert!(pull.try_recv().is_err(), "nothing comes twice");
}

/// The resolver's thread is interrupted as well.
fn dials_by_name() {
    let pull = Pull::new().unwrap();
    let listener = pull.listen("tcp://localhost:0").unwrap();
    let port = listener.endpoint().port().unwrap();
    let url = format!("tcp://localhost:{port}");
    let pushes = [DialOptions::new(), DialOptions::new().background(true)].map(|options| {
        let push = Push::new().unwrap();
        push.dial_with(&url, &options).unwrap();
        push.send_timeout("by name", DEADLINE).unwrap();
        push
    });
    for _ in &pushes {
        assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), "by name");
    }
}

/// Receivers that go away, for each transport, size and pattern.
const VANISHED: usize = 15;
