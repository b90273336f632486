//! Against nng 2 in the same process: every pattern in both roles, with either side dialling, over tcp, ipc and
//! udp and WebSocket, and with TLS on both sides over tcp and WebSocket, with bodies of every length that matters. The
//! released tools of nng 1 and nanomsg are met in the library's own tests.
//!
//! ```text
//! cargo test -p sp-bench --features peer-nng
//! cargo test -p sp-bench --features peer-nng-tls
//! ```
#![cfg(feature = "peer-nng")]

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sp::{
    Bus, DialOptions, ListenOptions, Pair, Pair1, Pair1Poly, PipeEvent, Pub, Pull, Push, Rep, Req,
    ReqOptions, Respondent, Sub, Surveyor, SurveyorOptions,
};
#[cfg(feature = "peer-nng-tls")]
use sp::{CloseReason, DialError, TlsFault, tls::Client};

#[cfg(feature = "peer-nng-tls")]
use crate::certificates::{CLIENT, SERVER};
use crate::nng::{Nng, NngContext, Pattern};

#[cfg(feature = "peer-nng-tls")]
#[allow(dead_code, reason = "the library's own tests use all of it")]
#[path = "../../tests/support/certificates.rs"]
mod certificates;
#[path = "support/nng.rs"]
mod nng;
#[cfg(feature = "peer-nng-tls")]
#[allow(dead_code, reason = "the library's own tests use all of it")]
#[path = "../../tests/support/tls.rs"]
mod tls;

/// Connects a socket of ours with one of nng's and waits until both know it.
macro_rules! connect {
    ($ours:expr, $theirs:expr, $way:expr) => {{
        let events = $ours.events();
        if $way.we_dial {
            let url = $theirs.listen(&$way.url);
            $ours.dial_with(url, &$way.dial_options()).expect("nng listens");
        } else {
            let listener = $ours.listen_with(&$way.url, &$way.listen_options());
            let listener = listener.expect("an address that is free");
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
    ($ours:expr, $theirs:expr, $way:expr) => {
        for body in $way.bodies() {
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
        for body in way.bodies() {
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
        for body in way.bodies() {
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
        for body in way.bodies() {
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
        for body in way.bodies() {
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
    for way in ways().filter(|way| way.keeps_all()) {
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
        for body in way.bodies() {
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
        for body in way.bodies() {
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
        for body in way.bodies() {
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
        for body in way.bodies() {
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
        talk_both_ways!(ours, theirs, way);
    }
}

#[test]
fn our_pair1_and_theirs_hear_every_body_of_each_other() {
    for way in ways() {
        let (ours, theirs) = (Pair1::new().expect("a socket"), Nng::open(Pattern::Pair1, LIMIT));
        connect!(ours, theirs, way);
        talk_both_ways!(ours, theirs, way);
    }
}

#[test]
fn our_bus_and_theirs_hear_every_body_of_each_other() {
    for way in ways() {
        let (ours, theirs) = (Bus::new().expect("a socket"), Nng::open(Pattern::Bus, LIMIT));
        connect!(ours, theirs, way);
        talk_both_ways!(ours, theirs, way);
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
    for way in ways().filter(|way| way.keeps_all()) {
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
    for way in ways().filter(|way| way.keeps_all()) {
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
    for way in ways().filter(|way| way.keeps_all()) {
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
    for way in ways().filter(|way| way.keeps_all()) {
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
    for way in ways().filter(|way| way.keeps_all()) {
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
            let listener = rep.listen_with(&way.url, &way.listen_options());
            let listener = listener.expect("an address that is free");
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

#[cfg(feature = "peer-nng-tls")]
#[test]
fn each_side_knows_the_others_certificate() {
    for way in ways().filter(Way::has_tls) {
        let (req, rep) = (Req::new().expect("a socket"), Nng::open(Pattern::Rep, LIMIT));
        connect!(req, rep, way);
        let peer = req.peer(req.peers()[0]).expect("it is connected");
        let shown_here = peer.peer_certificate.expect("nng shows its certificate");
        req.send_timeout("who are you?", LIMIT).expect("a peer with room");
        let shown_there = rep.certificate(rep.recv_from().0);
        let both = [&*shown_here, &*shown_there];
        let [of_server, of_client] = if way.we_dial { both } else { [both[1], both[0]] };
        assert_eq!(of_server, &*SERVER.certificate, "{}", way.url);
        assert_eq!(of_client, &*CLIENT.certificate, "{}", way.url);
    }
}

#[cfg(feature = "peer-nng-tls")]
#[test]
fn whoever_has_no_good_certificate_is_turned_away() {
    for way in ways().filter(Way::has_tls) {
        let (req, rep) = (Req::new().expect("a socket"), Nng::open(Pattern::Rep, LIMIT));
        if way.we_dial {
            let trusting = Client::builder(&tls::authority()).build().expect("no certificate");
            let trusting = DialOptions::new().tls(&trusting);
            let url = rep.listen(&way.url);
            let error = req.dial_with(&url, &trusting).expect_err("nng requires one");
            assert!(matches!(error, DialError::Failed { .. }), "{error}");
            req.dial_with(url, &way.dial_options()).expect("the listener goes on");
        } else {
            let events = req.events();
            let listener = req.listen_with(&way.url, &way.listen_options());
            let listener = listener.expect("an address that is free");
            rep.dial_in_vain(&listener.endpoint().to_string());
            let refused = events.recv_timeout(LIMIT).expect("a refusal");
            let none = CloseReason::Tls(TlsFault::NoCertificate);
            assert!(
                matches!(&refused, PipeEvent::Refused { why, .. } if *why == none),
                "{refused:?}"
            );
        }
    }
}

/// sp-wire 8.17 item 177
#[test]
fn requests_get_through_a_network_that_loses_datagrams() {
    let resend = Duration::from_millis(20);
    let (rep, req) =
        (Nng::open(Pattern::Rep, LIMIT), Req::with(ReqOptions::new().resend_time(Some(resend))));
    let (req, loss) = (req.expect("a socket"), Loss::before(&rep.listen(UDP)));
    req.dial(loss.url.as_str()).expect("some calls get through");
    for number in 0..LOSSY_REQUESTS {
        let asked = number.to_string();
        req.send_timeout(asked.as_str(), LIMIT).expect("a peer with room");
        // What got through twice is asked twice, and what was not answered is replaced by what is asked next.
        let answer = thread::scope(|scope| {
            let answered = scope.spawn(|| req.recv_timeout(LIMIT).expect("a reply"));
            while !answered.is_finished() {
                if let Some(request) = rep.try_recv() {
                    rep.send(&request);
                }
            }
            answered.join().expect("no panic")
        });
        assert_eq!(answer, asked);
    }
    drop((req, loss));

    let (rep, req) = (Rep::new().expect("a socket"), Nng::open(Pattern::Req, LIMIT));
    req.resend_after(resend);
    let loss = Loss::before(&rep.listen(UDP).expect("a free port").endpoint().to_string());
    req.dial(&loss.url);
    let server = rep.clone();
    let serving = thread::spawn(move || {
        while let Ok(request) = server.recv() {
            server.send_timeout(request, LIMIT).expect("a peer with room");
        }
    });
    for number in 0..LOSSY_REQUESTS {
        req.send(number.to_string().as_bytes());
        assert_same(&req.recv(), number.to_string().as_bytes());
    }
    rep.close();
    serving.join().expect("no panic");
}

/// A relay for one client that loses every fifth datagram, either way.
struct Loss {
    url: String,
    over: Arc<AtomicBool>,
    relays: Vec<JoinHandle<()>>,
}

impl Loss {
    fn before(url: &str) -> Self {
        let server: SocketAddr = url["udp://".len()..].parse().expect("a literal address");
        let bind = || Arc::new(UdpSocket::bind("127.0.0.1:0").expect("a free port"));
        let (front, back) = (bind(), bind());
        back.connect(server).expect("a local address");
        let client = Arc::new(Mutex::new(None));
        let over = Arc::new(AtomicBool::new(false));
        let url = format!("udp://{}", front.local_addr().expect("it is bound"));
        let ways = [(&front, &back, true), (&back, &front, false)];
        let relays = ways.map(|(from, to, is_there)| {
            let (from, to) = (Arc::clone(from), Arc::clone(to));
            let (client, over) = (Arc::clone(&client), Arc::clone(&over));
            from.set_read_timeout(Some(Duration::from_millis(10))).expect("not zero");
            thread::spawn(move || {
                let mut datagram = vec![0; 65_536];
                let mut passed = 0_u32;
                while !over.load(Ordering::Relaxed) {
                    let Ok((len, source)) = from.recv_from(&mut datagram) else { continue };
                    passed += 1;
                    let mut client = client.lock().expect("no panic");
                    if is_there {
                        *client = Some(source);
                    }
                    // The other side may be gone, which its peer learns in the end.
                    let _ = match *client {
                        _ if passed.is_multiple_of(5) => continue,
                        Some(client) if !is_there => to.send_to(&datagram[..len], client),
                        _ => to.send(&datagram[..len]),
                    };
                }
            })
        });
        Self { url, over, relays: relays.into() }
    }
}

impl Drop for Loss {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for relay in self.relays.drain(..) {
            // One that panicked has said so.
            let _ = relay.join();
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
    /// A body of each length that passes, whatever header stands in front of it.
    fn bodies(&self) -> impl Iterator<Item = Vec<u8>> {
        let most = if self.keeps_all() { usize::MAX } else { 65_000 - 4 };
        LENGTHS.into_iter().filter(move |len| *len <= most).map(body)
    }

    /// Whether nothing is lost although nobody waits for it: over udp nng keeps 16 messages of a peer.
    fn keeps_all(&self) -> bool {
        !self.url.starts_with("udp")
    }

    /// What our dialer needs.
    fn dial_options(&self) -> DialOptions {
        #[cfg(feature = "peer-nng-tls")]
        if self.has_tls() {
            return DialOptions::new().tls(&tls::client());
        }
        DialOptions::new()
    }

    /// What our listener needs.
    fn listen_options(&self) -> ListenOptions {
        #[cfg(feature = "peer-nng-tls")]
        if self.has_tls() {
            return ListenOptions::new().tls(&tls::server());
        }
        ListenOptions::new()
    }

    #[cfg(feature = "peer-nng-tls")]
    fn has_tls(&self) -> bool {
        nng::has_tls(&self.url)
    }

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
        let ipc = format!("ipc://{}", file.display());
        let mut urls = vec!["tcp://127.0.0.1:0".to_owned(), ipc, UDP.to_owned()];
        urls.push(format!("ws://127.0.0.1:0/way/{number}"));
        if cfg!(feature = "peer-nng-tls") {
            urls.push("tls+tcp://127.0.0.1:0".to_owned());
            urls.push(format!("wss://127.0.0.1:0/way/{number}"));
        }
        urls.into_iter().map(move |url| Way { url, we_dial })
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
const LENGTHS: [usize; 9] =
    [0, 1, 1024, 65_000 - 4, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 1 << 20, 16 << 20];

/// More than the queues and kernel buffers on the way hold together.
const STREAM_MESSAGES: u32 = 20_000;

const UDP: &str = "udp://127.0.0.1:0";

const LOSSY_REQUESTS: u32 = 50;

/// Under way at a time, each in a context of its own.
const CONVERSATIONS: usize = 50;

/// No more than nng keeps for a slow peer, and one digit.
const FEW: usize = 8;

/// No step takes nearly as long; it ends a test that would otherwise hang.
const LIMIT: Duration = Duration::from_secs(20);
