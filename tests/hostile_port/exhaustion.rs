use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use sp::{CloseReason, DialOptions, PipeEvent, Pull, Push};
use sp_core::clock;

use crate::shared::{DEADLINE, Transport, apart, connect, wait_connected, wait_event};
use crate::sys::{cpu_time, limit_descriptors};

/// Its connections go on meanwhile.
#[test]
fn a_listener_without_descriptors_pauses_and_heals_by_itself() {
    apart(|| {
        limit_descriptors(64);
        let (pull, push) = (Pull::new().unwrap(), Push::new().unwrap());
        connect(Transport::Ipc, &pull, &push);
        let events = pull.events();
        let listener = pull.listen("tcp://127.0.0.1:0").unwrap();
        let at = SocketAddr::from(([127, 0, 0, 1], listener.endpoint().port().unwrap()));

        let mut hoard: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        assert!(hoard.len() < 64, "the limit holds");
        // A place for this side of the connection, and none for the other.
        hoard.pop();
        let start = clock::now();
        let mut client = TcpStream::connect(at).unwrap();
        let refused = || {
            let event = events.recv_timeout(DEADLINE).expect("an event");
            assert!(
                matches!(event, PipeEvent::Refused { why: CloseReason::Exhausted, .. }),
                "{event:?}"
            );
        };
        refused();
        let busy = cpu_time();
        let mut pauses = Duration::ZERO;
        for pause in [10, 20, 40, 80, 160, 320, 640] {
            refused();
            pauses += Duration::from_millis(pause);
            assert!(clock::now() - start >= pauses, "asked again before {pauses:?}");
        }
        // A thread that spins uses as much as there is.
        let (busy, took) = (cpu_time() - busy, clock::now() - start);
        assert!(busy < took / 4, "{busy:?} of {took:?} busy while there was nothing to do");
        push.send("connections go on").unwrap();
        assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), "connections go on");

        drop(hoard);
        let mut greeting = [0; 8];
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        client.read_exact(&mut greeting).unwrap();
        client.write_all(b"\0SP\0\0\x50\0\0").unwrap();
        wait_connected(&events);
        client.write_all(b"\0\0\0\0\0\0\0\x06healed").unwrap();
        assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), "healed");
        drop(client);
        wait_event(&events, "its end", |event| matches!(event, PipeEvent::Closed { .. }));
    });
}

#[test]
fn a_dialer_without_descriptors_waits_longer_each_time_and_connects_once_there_are_some() {
    apart(|| {
        limit_descriptors(64);
        let (pull, push) = (Pull::new().unwrap(), Push::new().unwrap());
        let (at_pull, at_push) = (pull.events(), push.events());
        let listener = pull.listen("tcp://127.0.0.1:0").unwrap();
        let mut hoard: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        assert!(hoard.len() < 64, "the limit holds");

        let (begun, busy) = (clock::now(), cpu_time());
        let pauses = [10, 20, 40, 80, 160, 320, 320].map(Duration::from_millis);
        let patient = DialOptions::new().background(true).reconnect(pauses[0], pauses[6]);
        push.dial_with(listener.endpoint(), &patient).unwrap();
        let mut waited = Duration::ZERO;
        for pause in pauses {
            match at_push.recv_timeout(DEADLINE).expect("it is told") {
                PipeEvent::Refused { why, .. } => assert_eq!(why, CloseReason::Exhausted),
                other => panic!("{other:?}"),
            }
            assert!(clock::now() - begun >= waited, "tried again before {waited:?}");
            // Drawn from the upper half.
            waited += pause / 2;
        }
        let (busy, took) = (cpu_time() - busy, clock::now() - begun);
        assert!(busy < took / 4, "{busy:?} of {took:?} busy while there was nothing to do");

        hoard.clear();
        wait_connected(&at_pull);
        push.send_timeout("healed", DEADLINE).unwrap();
        assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), "healed");
    });
}
