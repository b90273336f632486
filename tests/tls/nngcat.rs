//! TLS and WebSocket over it with nng: its TLS 1.2 against ours, with certificates on one side and on both.

use sp::tls::{Server, Version};
use sp::{CloseReason, ListenOptions, PipeEvent, Push, Rep, Req, TlsFault};

use super::{
    Address, DEADLINE, NNGCAT, Program, TempFile, Tool, Transport, assert_same, body, connected,
    eagerly, refused, wait_for,
};
use crate::support::certificates::{AUTHORITY, CLIENT, Holder, SERVER};
use crate::support::tls::{client, identity, server};

#[test]
fn our_req_asks_their_rep() {
    NNGCAT.if_installed(|program| {
        for transport in [Transport::Tls, Transport::Wss] {
            let at = Address::reserved(transport);
            let tool =
                start(program, &["--rep", "--data", "answer"], "--bind", at.url(), Some(&SERVER));
            let req = Req::new().expect("a socket");
            let events = req.events();
            tool.expect(req.dial_with(at.url(), &eagerly().tls(&client())));
            let peer = connected(&events, &tool);
            assert!(req.peer(peer).is_some_and(|peer| peer.peer_certificate.is_some()));
            for len in [0, 1, 20_000, 500_000] {
                let request = body(len);
                tool.expect(req.send_timeout(request.as_slice(), DEADLINE));
                assert_same(&tool.expect(req.recv_timeout(DEADLINE)), b"answer");
                assert_same(&tool.printed(), &request);
            }
        }
    });
}

#[test]
fn our_rep_answers_their_req_which_shows_a_certificate() {
    NNGCAT.if_installed(|program| {
        for url in OURS {
            let rep = Rep::new().expect("a socket");
            let events = rep.events();
            let listener = rep.listen_with(url, &ListenOptions::new().tls(&server()));
            let url = listener.expect("a free port").endpoint().to_string();
            let tool =
                start(program, &["--req", "--data", "question"], "--connect", &url, Some(&CLIENT));
            let peer = connected(&events, &tool);
            assert!(rep.peer(peer).is_some_and(|peer| peer.peer_certificate.is_some()));
            assert_same(&tool.expect(rep.recv_timeout(DEADLINE)), b"question");
            let reply = body(500_000);
            tool.expect(rep.send_timeout(reply.as_slice(), DEADLINE));
            assert_same(&tool.printed(), &reply);
            tool.ends_well();
        }
    });
}

#[test]
fn our_push_feeds_their_pull_until_it_leaves() {
    NNGCAT.if_installed(|program| {
        for url in OURS {
            let push = Push::new().expect("a socket");
            let events = push.events();
            let listener = push.listen_with(url, &ListenOptions::new().tls(&server()));
            let url = listener.expect("a free port").endpoint().to_string();
            let tool =
                start(program, &["--pull", "--count", "200"], "--connect", &url, Some(&CLIENT));
            let gone = connected(&events, &tool);
            for len in 0..200 {
                tool.expect(push.send_timeout(body(len * 100), DEADLINE));
            }
            for len in 0..200 {
                assert_same(&tool.printed(), &body(len * 100));
            }
            tool.ends_well();
            let why = wait_for(&events, |event| match event {
                PipeEvent::Closed { peer, why } if *peer == gone => Some(why.clone()),
                _ => None,
            });
            // It may end before it has said goodbye.
            let expected = [CloseReason::PeerClosed, CloseReason::Tls(TlsFault::NoGoodbye)];
            assert!(expected.contains(&why.expect("it has left")));
        }
    });
}

#[test]
fn their_dialer_is_turned_away_without_a_certificate() {
    NNGCAT.if_installed(|program| {
        for url in OURS {
            let push = Push::new().expect("a socket");
            let events = push.events();
            let listener = push.listen_with(url, &ListenOptions::new().tls(&server()));
            let url = listener.expect("a free port").endpoint().to_string();
            let tool = start(program, &["--pull"], "--connect", &url, None);
            refused(&events, &tool, &CloseReason::Tls(TlsFault::NoCertificate));
        }
    });
}

#[test]
fn their_dialer_is_turned_away_where_tls_1_3_is_the_least() {
    NNGCAT.if_installed(|program| {
        let push = Push::new().expect("a socket");
        let events = push.events();
        let modern = Server::builder(identity(&SERVER)).min_version(Version::Tls13);
        let options = ListenOptions::new().tls(&modern.build().expect("a good certificate"));
        let listener = push.listen_with("tls+tcp://localhost:0", &options).expect("a free port");
        let url = listener.endpoint().to_string();
        let tool = start(program, &["--pull"], "--connect", &url, Some(&CLIENT));
        tool.expect(wait_for(&events, |event| match event {
            PipeEvent::Refused { why: CloseReason::Tls(TlsFault::Incompatible { .. }), .. } => {
                Some(())
            }
            _ => None,
        }));
    });
}

/// Starts the tool with the authority and, if it is to show one, a certificate.
fn start(
    program: &'static Program,
    args: &[&str],
    way: &str,
    url: &str,
    shown: Option<&Holder>,
) -> Tool {
    let mut given = vec![("--cacert", AUTHORITY.certificate_pem())];
    if let Some(shown) = shown {
        given.extend([("--cert", shown.certificate_pem()), ("--key", shown.key_pem())]);
    }
    let mut args = [args, &["--format", "msgpack", way, url]].concat();
    let files: Vec<_> = given.iter().map(|(_, pem)| TempFile::holding(pem.as_bytes())).collect();
    for ((option, _), file) in given.iter().zip(&files) {
        args.extend([option, file.path()]);
    }
    let tool = Tool::start(program, &args);
    Tool { _files: files, ..tool }
}

/// Where we listen: their TLS compares names, and knows no addresses.
const OURS: [&str; 2] = ["tls+tcp://localhost:0", "wss://localhost:0/sp"];
