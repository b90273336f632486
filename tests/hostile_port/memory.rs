use sp::{ProtocolId, Pull, Push};

use crate::raw::{Raw, handshake, ws_head, ws_request};
use crate::shared::{DEADLINE, Transport, apart, memory, unique, wait_connected};

/// The worst that a thousand peers can do by announcing: what a process may grow by for each, and for all.
const EACH: u64 = 64 << 10;
const ALL: u64 = 16 << 20;
const LIARS: usize = 1_000;

#[test]
fn a_thousand_peers_that_announce_the_limit_over_tcp_cost_what_they_send() {
    apart(|| lies(Transport::Tcp, &[&(64u64 << 20).to_be_bytes()[..], b"!"].concat()));
}

#[test]
fn a_thousand_peers_that_announce_the_limit_over_ipc_cost_what_they_send() {
    apart(|| lies(Transport::Ipc, &[b"\x01", &(64u64 << 20).to_be_bytes()[..], b"!"].concat()));
}

#[test]
fn a_thousand_peers_that_announce_the_limit_over_ws_cost_what_they_send() {
    apart(|| lies(Transport::Ws, &[&frame(0x82, 64 << 20)[..], b"!"].concat()));
}

/// One message in many fragments, the last of which announces all that is left.
#[test]
fn a_thousand_peers_that_announce_in_fragments_cost_what_they_send() {
    let fragments = 1_000;
    let one = [&frame(0x00, 1)[..], b"!"].concat();
    let rest = frame(0x80, (64 << 20) - fragments - 1);
    let said = [&frame(0x02, 1)[..], b"!", &one.repeat(fragments as usize), &rest, b"!"].concat();
    apart(move || lies(Transport::Ws, &said));
}

/// A record of TLS announces 16 KiB and brings one byte: there is no client yet, so nobody knows its certificate.
#[cfg(feature = "tls")]
#[test]
fn a_thousand_peers_that_announce_whole_records_cost_what_they_send() {
    apart(|| lies(Transport::Tls, b"\x16\x03\x01\x40\x00\x01"));
}

#[cfg(feature = "tls")]
#[test]
fn a_thousand_peers_that_announce_the_limit_over_wss_cost_what_they_send() {
    apart(|| lies(Transport::Wss, &[&frame(0x82, 64 << 20)[..], b"!"].concat()));
}

/// `said` by each of a thousand, which then are silent and stay, must not make this process grow by more than promised.
fn lies(on: Transport, said: &[u8]) {
    let pull = Pull::new().unwrap();
    let events = pull.events();
    let options = on.listen_options().handshake_limit(6 * DEADLINE).half_open_max(2 * LIARS);
    let listener = pull.listen_with(on.url(), &options).unwrap();
    let honest = Push::new().unwrap();
    honest.dial_with(listener.endpoint(), &on.dial_options()).unwrap();
    wait_connected(&events);
    let passes = || {
        let work = unique();
        honest.send_timeout(work.as_str(), DEADLINE).unwrap();
        assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), work.as_str());
    };
    passes();
    let request = ws_request(listener.endpoint(), ProtocolId::PULL);
    // What this side of the connections takes, and room for what is read, is there before.
    let mut liars: Vec<Raw> = (0..LIARS).map(|_| Raw::dial(listener.endpoint())).collect();
    for liar in &mut liars {
        if liar.wire.is_web() {
            liar.send(request.as_bytes());
            assert!(liar.http_head().starts_with("HTTP/1.1 101 "));
        } else if !is_shaking(on) {
            assert_eq!(liar.shake(ProtocolId::PUSH), handshake(ProtocolId::PULL));
        } else {
            continue;
        }
        wait_connected(&events);
    }
    let before = memory().1;
    liars.iter_mut().for_each(|liar| liar.send(said));
    // What comes last is heard last: once a message has passed and somebody has come, all of it has been read.
    passes();
    let newcomer = Push::new().unwrap();
    newcomer.dial_with(listener.endpoint(), &on.dial_options()).unwrap();
    let grown = memory().1.saturating_sub(before);
    let most = EACH * LIARS as u64 + ALL;
    assert!(grown <= most, "{} KiB for each of them", grown / 1024 / LIARS as u64);
    let peers = if is_shaking(on) { 2 } else { 2 + LIARS as u64 };
    assert_eq!(pull.stats().get("peers"), Some(peers), "all of them are still there");
    liars.iter_mut().for_each(Raw::finish);
    liars.iter_mut().for_each(|liar| drop(liar.rest()));
    passes();
}

/// Whether strangers lie in a handshake, and not behind it.
fn is_shaking(on: Transport) -> bool {
    on.is_secure() && !on.is_web()
}

/// What stands in front of a payload of `length` bytes, with a mask that changes nothing.
fn frame(first: u8, length: u64) -> Vec<u8> {
    [&ws_head(first, 0x80, length)[..], &[0; 4]].concat()
}
