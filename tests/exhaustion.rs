//! A process that has run out of descriptors: its listeners pause instead of asking again and again, its connections go
//! on, and it is back by itself.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use shared::{DEADLINE, connect, wait_connected, wait_event};
use sp::{CloseReason, PipeEvent, Pull, Push};
use sp_core::clock;

#[path = "support/mod.rs"]
mod shared;

/// Runs the test below in a process that may have 64 descriptors.
#[test]
fn a_listener_without_descriptors_pauses_and_heals_by_itself() {
    let status = Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" --exact --nocapture with_64_descriptors"])
        .arg(std::env::current_exe().unwrap())
        .env(ALONE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn with_64_descriptors() {
    if std::env::var_os(ALONE).is_none() {
        return;
    }
    let (pull, push) = (Pull::new().unwrap(), Push::new().unwrap());
    connect(shared::Transport::Ipc, &pull, &push);
    let events = pull.events();
    let listener = pull.listen("tcp://127.0.0.1:0").unwrap();
    let at = SocketAddr::from(([127, 0, 0, 1], listener.endpoint().port().unwrap()));
    let mut stat = File::open("/proc/self/stat").unwrap();

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
    let busy = ticks(&mut stat);
    let mut pauses = Duration::ZERO;
    for pause in [10, 20, 40, 80, 160, 320, 640] {
        refused();
        pauses += Duration::from_millis(pause);
        assert!(clock::now() - start >= pauses, "asked again before {pauses:?}");
    }
    // Of some 127 ticks. A thread that spins uses them all.
    let busy = ticks(&mut stat) - busy;
    assert!(busy < 40, "{busy} ticks of processor time while there was nothing to do");
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
}

/// Processor time of this process so far, in hundredths of a second.
fn ticks(stat: &mut File) -> u64 {
    let mut text = String::new();
    stat.rewind().unwrap();
    stat.read_to_string(&mut text).unwrap();
    // User and system time are columns 14 and 15; the name, which stands in brackets, is the second.
    let columns = text.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    columns.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

const ALONE: &str = "SP_TEST_FEW_DESCRIPTORS";
