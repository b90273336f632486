//! Against nng 2 in the same process: every pattern in both roles, with either side dialling, over tcp and ipc, with
//! bodies of every length that matters. The released tools of nng 1 and nanomsg are met in the library's own tests.
//!
//! ```text
//! cargo test -p sp-bench --features peer-nng
//! ```
#![cfg(feature = "peer-nng")]

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use sp::{
    Bus, Pair, Pair1, Pair1Poly, PipeEvent, Pub, Pull, Push, Rep, Req, Respondent, Sub, Surveyor,
    SurveyorOptions,
};

use crate::nng::{Nng, NngContext, Pattern};

#[path = "support/nng.rs"]
mod nng;

/// Connects a socket of ours with one of nng's and waits until both know it.
macro_rules! connect {
    ($ours:expr, $theirs:expr, $way:expr) => {{
        let events = $ours.events();
        if $way.we_dial {
            $ours.dial($theirs.listen(&$way.url)).expect("nng listens");
        } else {
            let listener = $ours.listen(&$way.url).expect("an address that is free");
            $theirs.dial(&listener.endpoint().to_string());
        }
        match events.recv_timeout(LIMIT).expect("a connection") {
            PipeEvent::Connected { .. } => {}
            other => panic!("{other:?} with {}", $way.url),
        }
        $theirs.wait_connected(LIMIT);
    }};
}

/// Every body goes there and back.
macro_rules! talk_both_ways {
    ($ours:expr, $theirs:expr) => {
        for body in LENGTHS.map(body) {
            $ours.send_timeout(body.as_slice(), LIMIT).expect("a peer with room");
            assert_same(&$theirs.recv(), &body);
            $theirs.send(&body);
            assert_same(&$ours.recv_timeout(LIMIT).expect("a message"), &body);
        }
    };
}

#[test]
fn our_req_gets_every_body_back_from_their_rep() {
    for way in ways() {
        let (req, rep) = (Req::new().expect("a socket"), Nng::open(Pattern::Rep, LIMIT));
        connect!(req, rep, way);
        for body in LENGTHS.map(body) {
            req.send_timeout(body.as_slice(), LIMIT).expect("a peer with room");
            assert_same(&rep.recv(), &body);
            rep.send(&body);
            assert_same(&req.recv_timeout(LIMIT).expect("a reply"), &body);
        }
    }
}

#[test]
fn their_req_gets_every_body_back_from_our_rep() {
    for way in ways() {
        let (rep, req) = (Rep::new().expect("a socket"), Nng::open(Pattern::Req, LIMIT));
        connect!(rep, req, way);
        for body in LENGTHS.map(body) {
            req.send(&body);
            let request = rep.recv_timeout(LIMIT).expect("a request");
            assert_same(&request, &body);
            rep.send_timeout(request, LIMIT).expect("a peer with room");
            assert_same(&req.recv(), &body);
        }
    }
}

#[test]
fn our_surveyor_gets_every_body_back_from_their_respondent() {
    for way in ways() {
        let (surveyor, respondent) = (patient(), Nng::open(Pattern::Respondent, LIMIT));
        connect!(surveyor, respondent, way);
        for body in LENGTHS.map(body) {
            surveyor.send(body.as_slice()).expect("SURVEYOR never waits");
            assert_same(&respondent.recv(), &body);
            respondent.send(&body);
            assert_same(&surveyor.recv_timeout(LIMIT).expect("a response"), &body);
        }
    }
}

#[test]
fn their_surveyor_gets_every_body_back_from_our_respondent() {
    for way in ways() {
        let (respondent, surveyor) =
            (Respondent::new().expect("a socket"), Nng::open(Pattern::Surveyor, LIMIT));
        connect!(respondent, surveyor, way);
        for body in LENGTHS.map(body) {
            surveyor.send(&body);
            let survey = respondent.recv_timeout(LIMIT).expect("a survey");
            assert_same(&survey, &body);
            respondent.send_timeout(survey, LIMIT).expect("a peer with room");
            assert_same(&surveyor.recv(), &body);
        }
    }
}

#[test]
fn contexts_of_our_surveyor_and_of_their_respondent_hear_each_other() {
    for way in ways() {
        let (surveyor, respondent) = (patient(), Nng::open(Pattern::Respondent, LIMIT));
        connect!(surveyor, respondent, way);
        let ours: Vec<_> = (0..CONVERSATIONS).map(|_| surveyor.context()).collect();
        for (number, context) in ours.iter().enumerate() {
            context.send(number.to_string()).expect("SURVEYOR never waits");
        }
        let theirs: Vec<_> = (0..CONVERSATIONS).map(|_| respondent.context()).collect();
        let held: Vec<_> = theirs.iter().map(NngContext::recv).collect();
        for (context, survey) in theirs.iter().zip(&held).rev() {
            context.send(survey);
        }
        for (number, context) in ours.iter().enumerate() {
            assert_eq!(context.recv_timeout(LIMIT).expect("a response"), number.to_string());
        }
    }
}

#[test]
fn contexts_of_their_surveyor_are_answered_by_ours() {
    for way in ways() {
        let (respondent, surveyor) =
            (Respondent::new().expect("a socket"), Nng::open(Pattern::Surveyor, LIMIT));
        connect!(respondent, surveyor, way);
        let ours: Vec<_> = (0..FEW).map(|_| respondent.context()).collect();
        let theirs: Vec<_> = (0..FEW).map(|_| surveyor.context()).collect();
        for (number, context) in theirs.iter().enumerate() {
            context.send(number.to_string().as_bytes());
        }
        let held: Vec<_> =
            ours.iter().map(|context| context.recv_timeout(LIMIT).expect("a survey")).collect();
        for (context, survey) in ours.iter().zip(held).rev() {
            context.send_timeout(survey, LIMIT).expect("a peer with room");
        }
        for (number, context) in theirs.iter().enumerate() {
            assert_same(&context.recv(), number.to_string().as_bytes());
        }
    }
}

#[test]
fn contexts_of_our_sub_each_hear_what_they_want_of_their_pub() {
    for way in ways() {
        let (sub, publisher) = (Sub::new().expect("a socket"), Nng::open(Pattern::Pub, LIMIT));
        let contexts: Vec<_> = (0..FEW).map(|_| sub.context()).collect();
        for (number, context) in contexts.iter().enumerate() {
            context.subscribe(number.to_string());
        }
        contexts[0].subscribe("");
        connect!(sub, publisher, way);
        for number in 0..FEW {
            publisher.send(number.to_string().as_bytes());
            for context in [&contexts[0], &contexts[number]].into_iter().take(1 + number.min(1)) {
                let news = context.recv_timeout(LIMIT).expect("a message");
                assert_eq!(news, number.to_string());
            }
        }
        assert!(contexts.iter().all(|context| context.try_recv().is_err()));
    }
}

#[test]
fn their_sub_hears_every_body_of_our_pub() {
    for way in ways() {
        let (publisher, sub) = (Pub::new().expect("a socket"), Nng::open(Pattern::Sub, LIMIT));
        connect!(publisher, sub, way);
        for body in LENGTHS.map(body) {
            publisher.send(body.as_slice()).expect("PUB never waits");
            assert_same(&sub.recv(), &body);
        }
    }
}

#[test]
fn our_sub_hears_every_body_of_their_pub() {
    for way in ways() {
        let (sub, publisher) = (Sub::new().expect("a socket"), Nng::open(Pattern::Pub, LIMIT));
        sub.subscribe("");
        connect!(sub, publisher, way);
        for body in LENGTHS.map(body) {
            publisher.send(&body);
            assert_same(&sub.recv_timeout(LIMIT).expect("a message"), &body);
        }
    }
}

#[test]
fn our_sub_keeps_its_topic_of_what_their_pub_sends() {
    for way in ways() {
        let (sub, publisher) = (Sub::new().expect("a socket"), Nng::open(Pattern::Pub, LIMIT));
        sub.subscribe("weather");
        connect!(sub, publisher, way);
        for news in ["sport: 2-1", "", "weathe", "weather: sunny"] {
            publisher.send(news.as_bytes());
        }
        assert_eq!(sub.recv_timeout(LIMIT).expect("a message"), "weather: sunny");
    }
}

#[test]
fn their_pull_gets_every_body_of_our_push() {
    for way in ways() {
        let (push, pull) = (Push::new().expect("a socket"), Nng::open(Pattern::Pull, LIMIT));
        connect!(push, pull, way);
        for body in LENGTHS.map(body) {
            push.send_timeout(body.as_slice(), LIMIT).expect("a peer with room");
            assert_same(&pull.recv(), &body);
        }
    }
}

#[test]
fn our_pull_gets_every_body_of_their_push() {
    for way in ways() {
        let (pull, push) = (Pull::new().expect("a socket"), Nng::open(Pattern::Push, LIMIT));
        connect!(pull, push, way);
        for body in LENGTHS.map(body) {
            push.send(&body);
            assert_same(&pull.recv_timeout(LIMIT).expect("a message"), &body);
        }
    }
}

#[test]
fn our_pair_and_theirs_hear_every_body_of_each_other() {
    for way in ways() {
        let (ours, theirs) = (Pair::new().expect("a socket"), Nng::open(Pattern::Pair, LIMIT));
        connect!(ours, theirs, way);
        talk_both_ways!(ours, theirs);
    }
}

#[test]
fn our_pair1_and_theirs_hear_every_body_of_each_other() {
    for way in ways() {
        let (ours, theirs) = (Pair1::new().expect("a socket"), Nng::open(Pattern::Pair1, LIMIT));
        connect!(ours, theirs, way);
        talk_both_ways!(ours, theirs);
    }
}

#[test]
fn our_bus_and_theirs_hear_every_body_of_each_other() {
    for way in ways() {
        let (ours, theirs) = (Bus::new().expect("a socket"), Nng::open(Pattern::Bus, LIMIT));
        connect!(ours, theirs, way);
        talk_both_ways!(ours, theirs);
    }
}

#[test]
fn our_polyamorous_pair1_talks_with_each_of_theirs() {
    for way in ways() {
        let ours = Pair1Poly::new().expect("a socket");
        let theirs = [(); 3].map(|()| Nng::open(Pattern::Pair1, LIMIT));
        for (number, their) in theirs.iter().enumerate() {
            let way = Way { url: way.nth_url(number), we_dial: way.we_dial };
            connect!(ours, their, way);
            their.send(number.to_string().as_bytes());
        }
        for _ in &theirs {
            let message = ours.recv_timeout(LIMIT).expect("a message");
            let peer = message.source().expect("it was received");
            ours.send_to(peer, message).expect("a peer with room");
        }
        for (number, their) in theirs.iter().enumerate() {
            assert_same(&their.recv(), number.to_string().as_bytes());
        }
    }
}

#[test]
fn their_polyamorous_pair1_talks_with_each_of_ours() {
    for way in ways() {
        let theirs = Nng::open(Pattern::Pair1Poly, LIMIT);
        let ours = [(); 3].map(|()| Pair1::new().expect("a socket"));
        for (number, our) in ours.iter().enumerate() {
            let way = Way { url: way.nth_url(number), we_dial: way.we_dial };
            connect!(our, theirs, way);
            our.send_timeout(number.to_string(), LIMIT).expect("a peer with room");
        }
        for _ in &ours {
            let (pipe, body) = theirs.recv_from();
            theirs.send_to(pipe, &body);
        }
        for (number, our) in ours.iter().enumerate() {
            assert_eq!(our.recv_timeout(LIMIT).expect("a message"), number.to_string());
        }
    }
}

#[test]
fn a_stream_to_their_pair1_and_back_arrives_in_order_and_whole() {
    for way in ways() {
        let (ours, theirs) = (Pair1::new().expect("a socket"), Nng::open(Pattern::Pair1, LIMIT));
        connect!(ours, theirs, way);
        let echo = thread::spawn(move || {
            stream().for_each(|_| theirs.send(&theirs.recv()));
            theirs
        });
        let sender = {
            let ours = ours.clone();
            thread::spawn(move || {
                for message in stream() {
                    ours.send_timeout(message, LIMIT).expect("a peer with room");
                }
            })
        };
        for message in stream() {
            assert_same(&ours.recv_timeout(LIMIT).expect("a message"), &message);
        }
        sender.join().expect("the sender is through");
        echo.join().expect("the echo is through");
    }
}

#[test]
fn a_stream_to_their_pull_arrives_in_order_and_whole() {
    for way in ways() {
        let (push, pull) = (Push::new().expect("a socket"), Nng::open(Pattern::Pull, LIMIT));
        connect!(push, pull, way);
        let sender = thread::spawn(move || {
            for message in stream() {
                push.send_timeout(message, LIMIT).expect("a peer with room");
            }
            push
        });
        stream().for_each(|message| assert_same(&pull.recv(), &message));
        sender.join().expect("the sender is through");
    }
}

#[test]
fn a_stream_from_their_push_arrives_in_order_and_whole() {
    for way in ways() {
        let (pull, push) = (Pull::new().expect("a socket"), Nng::open(Pattern::Push, LIMIT));
        connect!(pull, push, way);
        let sender = thread::spawn(move || {
            stream().for_each(|message| push.send(&message));
            push
        });
        for message in stream() {
            assert_same(&pull.recv_timeout(LIMIT).expect("a message"), &message);
        }
        sender.join().expect("the sender is through");
    }
}

#[test]
fn our_req_contexts_get_their_replies_from_their_rep() {
    for way in ways() {
        let (req, rep) = (Req::new().expect("a socket"), Nng::open(Pattern::Rep, LIMIT));
        connect!(req, rep, way);
        let contexts: Vec<_> = (0..CONVERSATIONS).map(|_| req.context()).collect();
        for (number, context) in contexts.iter().enumerate() {
            context.send_timeout(number.to_string(), LIMIT).expect("a peer with room");
        }
        // One that is gone must not keep its reply from being passed over, nor the rest from coming.
        let mut contexts: Vec<_> = contexts.into_iter().enumerate().collect();
        contexts.remove(CONVERSATIONS / 2);
        let server = thread::spawn(move || {
            for _ in 0..CONVERSATIONS {
                let request = rep.recv();
                rep.send(&request);
            }
            rep
        });
        for (number, context) in contexts.iter().rev() {
            let reply = context.recv_timeout(LIMIT).expect("a reply");
            assert_eq!(reply, number.to_string());
        }
        server.join().expect("the server is through");
    }
}

#[test]
fn their_rep_contexts_answer_ours_in_any_order() {
    for way in ways() {
        let (req, rep) = (Req::new().expect("a socket"), Nng::open(Pattern::Rep, LIMIT));
        connect!(req, rep, way);
        let contexts: Vec<_> = (0..CONVERSATIONS).map(|_| req.context()).collect();
        for (number, context) in contexts.iter().enumerate() {
            context.send_timeout(number.to_string(), LIMIT).expect("a peer with room");
        }
        let theirs: Vec<_> = (0..CONVERSATIONS).map(|_| rep.context()).collect();
        let held: Vec<_> = theirs.iter().map(NngContext::recv).collect();
        for (context, request) in theirs.iter().zip(&held).rev() {
            context.send(request);
        }
        for (number, context) in contexts.iter().enumerate() {
            assert_eq!(context.recv_timeout(LIMIT).expect("a reply"), number.to_string());
        }
    }
}

#[test]
fn our_rep_contexts_answer_many_of_their_reqs() {
    for way in ways() {
        let rep = Rep::new().expect("a socket");
        let contexts: Vec<_> = (0..CONVERSATIONS).map(|_| rep.context()).collect();
        let clients: Vec<_> = (0..CONVERSATIONS).map(|_| Nng::open(Pattern::Req, LIMIT)).collect();
        if way.we_dial {
            let (first, others) = clients.split_first().expect("there are some");
            connect!(rep, first, way);
            for (number, client) in others.iter().enumerate() {
                let way = Way { url: way.nth_url(number), we_dial: true };
                connect!(rep, client, way);
            }
        } else {
            let listener = rep.listen(&way.url).expect("an address that is free");
            clients.iter().for_each(|client| client.dial(&listener.endpoint().to_string()));
        }
        for (number, client) in clients.iter().enumerate() {
            client.send(number.to_string().as_bytes());
        }
        // All are held at a time, and the last is answered first.
        let held: Vec<_> = contexts
            .iter()
            .map(|context| context.recv_timeout(LIMIT).expect("a request"))
            .collect();
        for (context, request) in contexts.iter().zip(held).rev() {
            context.send_timeout(request, LIMIT).expect("a peer with room");
        }
        for (number, client) in clients.iter().enumerate() {
            assert_same(&client.recv(), number.to_string().as_bytes());
        }
    }
}

/// A SURVEYOR whose surveys outlast every step.
fn patient() -> Surveyor {
    Surveyor::with(SurveyorOptions::new().survey_time(LIMIT)).expect("a socket")
}

/// How a socket of ours and one of nng's come together.
struct Way {
    url: String,
    we_dial: bool,
}

impl Way {
    /// Another address of the same kind.
    fn nth_url(&self, number: usize) -> String {
        if self.url.starts_with("ipc") {
            format!("{}-{number}", self.url)
        } else {
            self.url.clone()
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Some(path) = self.url.strip_prefix("ipc://") {
            // Gone already where the listener closed.
            let _ = fs::remove_file(path);
        }
    }
}

/// Either side dialling, over each transport, at addresses that nobody else has.
fn ways() -> impl Iterator<Item = Way> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    [true, false].into_iter().flat_map(|we_dial| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let file = std::env::temp_dir().join(format!("sp-nng-{}-{number}", std::process::id()));
        let urls = ["tcp://127.0.0.1:0".to_owned(), format!("ipc://{}", file.display())];
        urls.map(|url| Way { url, we_dial })
    })
}

/// `len` bytes that tell their place, so that a shifted or cut body is noticed.
fn body(len: usize) -> Vec<u8> {
    // A prime length, so that no buffer size is a multiple of it.
    let run: Vec<u8> = (0..251).collect();
    let mut body = run.repeat(len / run.len() + 1);
    body.truncate(len);
    body
}

/// Messages of mixed lengths, each with its number in front.
fn stream() -> impl Iterator<Item = Vec<u8>> {
    (0..STREAM_MESSAGES).map(|number| {
        let mut message = number.to_be_bytes().to_vec();
        // 1,000 is prime to 97: all lengths below it come up, short and long in turn.
        message.resize(message.len() + number as usize * 97 % 1000, number.to_be_bytes()[3]);
        message
    })
}

/// As `assert_eq`, without printing megabytes.
#[track_caller]
fn assert_same(got: &[u8], wanted: &[u8]) {
    assert_eq!(got.len(), wanted.len(), "bytes received");
    let different = || got.iter().zip(wanted).position(|(got, wanted)| got != wanted);
    assert!(got == wanted, "the bodies differ from byte {:?} on", different());
}

/// Around the lengths at which buffers, reads and announced lengths change.
const LENGTHS: [usize; 7] = [0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 1 << 20, 16 << 20];

/// More than the queues and kernel buffers on the way hold together.
const STREAM_MESSAGES: u32 = 20_000;

/// Under way at a time, each in a context of its own.
const CONVERSATIONS: usize = 50;

/// No more than nng keeps for a slow peer, and one digit.
const FEW: usize = 8;

/// No step takes nearly as long; it ends a test that would otherwise hang.
const LIMIT: Duration = Duration::from_secs(20);
