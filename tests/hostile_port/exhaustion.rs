use std::fs::File;
use std::time::Duration;

use sp::{DialOptions, Fault, PipeEvent, Pull, Push};
use sp_core::clock;

use crate::shared::{DEADLINE, apart, wait_connected};
use crate::sys::{cpu_time, limit_descriptors};

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
                PipeEvent::Refused { why, .. } => assert_eq!(why.fault(), Fault::System, "{why}"),
                other => panic!("{other:?}"),
            }
            assert!(clock::now() - begun >= waited, "tried again before {waited:?}");
            // Drawn from the upper half.
            waited += pause / 2;
        }
        // A thread that spins uses as much as there is.
        let (busy, took) = (cpu_time() - busy, clock::now() - begun);
        assert!(busy < took / 4, "{busy:?} of {took:?} busy while there was nothing to do");

        hoard.clear();
        wait_connected(&at_pull);
        push.send_timeout("healed", DEADLINE).unwrap();
        assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), "healed");
    });
}
