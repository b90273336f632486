use sp::{CloseReason, ProtocolId, Pub, PubOptions, Sub, SubOptions, WhenFull};
use sp_protocols::engine::{self, RecvEngine, SendEngine};

use crate::shared::{Transport, connect, pattern};
use crate::support::{
    Raw, RawListener, Scene, Wire, alone, any_closed, assert_lacks, connected, eager, recv,
};

/// sp-wire 8.10 item 124
#[test]
fn a_sub_sends_its_handshake_and_nothing_else() {
    for wire in Wire::BOTH {
        let sub = Sub::new().unwrap();
        sub.subscribe("before");
        let host = RawListener::new(wire);
        sub.dial_with(host.url(), &eager()).unwrap();
        let mut publisher = host.accept();
        assert_eq!(publisher.shake(ProtocolId::PUB), *b"\0SP\0\0\x21\0\0");
        sub.subscribe("after");
        sub.subscribe("");
        publisher.send_message(b"news");
        assert_eq!(recv(&sub), "news");
        assert!(sub.unsubscribe("before"));
        sub.close();
        assert!(publisher.rest().is_empty());
    }
}

type List<'a> = &'a [&'a [u8]];

/// Publishes `news` to a SUB with `topics` and answers what it has received when the publisher has left.
fn received(transport: Transport, options: SubOptions, topics: List<'_>, news: List<'_>) -> Sub {
    let (publisher, sub) = (Pub::new().unwrap(), Sub::with(options).unwrap());
    let events = sub.events();
    topics.iter().for_each(|topic| sub.subscribe(topic));
    connect(transport, &publisher, &sub);
    news.iter().for_each(|news| publisher.send(*news).unwrap());
    publisher.close();
    assert_eq!(any_closed(&events), CloseReason::PeerClosed);
    sub
}

/// sp-wire 8.10 items 125, 126 and 129
#[test]
fn a_sub_receives_what_begins_with_one_of_its_topics_once() {
    const NEWS: [&[u8]; 9] = [b"", b"a", b"ab", b"abc", b"b", b"A", b"\0", b"a\0", b"a\0\xffz"];
    let cases: [(&str, List<'_>, List<'_>); 9] = [
        ("no topic", &[], &[]),
        ("the empty topic", &[b""], &NEWS),
        ("one letter", &[b"a"], &[b"a", b"ab", b"abc", b"a\0", b"a\0\xffz"]),
        ("a longer topic than most", &[b"abc"], &[b"abc"]),
        ("a longer topic than all", &[b"abcd"], &[]),
        ("another letter", &[b"b", b"c"], &[b"b"]),
        ("a zero byte", &[b"\0"], &[b"\0"]),
        ("bytes", &[b"a\0\xff"], &[b"a\0\xffz"]),
        (
            "overlapping topics",
            &[b"a", b"ab", b"abc", b"a"],
            &[b"a", b"ab", b"abc", b"a\0", b"a\0\xffz"],
        ),
    ];
    for transport in Transport::BARE {
        for (name, topics, expected) in cases {
            let sub = received(transport, SubOptions::new(), topics, &NEWS);
            let got: Vec<Vec<u8>> = sub.try_iter().map(Vec::from).collect();
            assert_eq!(got, expected, "{name} over {transport:?}");
            let unwanted = (NEWS.len() - expected.len()) as u64;
            assert_eq!(sub.stats().get("unwanted"), Some(unwanted), "{name} over {transport:?}");
        }
    }
}

/// sp-wire 8.10 item 127
#[test]
fn a_topic_counts_once_and_an_absent_one_cannot_be_taken_back() {
    for transport in Transport::BARE {
        let (publisher, sub) = (Pub::new().unwrap(), Sub::new().unwrap());
        connect(transport, &publisher, &sub);
        sub.subscribe("twice");
        sub.subscribe("twice");
        sub.subscribe("end");
        assert!(sub.unsubscribe("twice"));
        assert!(!sub.unsubscribe("twice"), "it is gone");
        assert!(!sub.unsubscribe("twic"), "a prefix of a topic is none");
        assert!(!sub.unsubscribe("never"));
        publisher.send("twice upon a time").unwrap();
        publisher.send("end").unwrap();
        assert_eq!(recv(&sub), "end");
    }
}

/// sp-wire 8.10 item 128
#[test]
fn taking_a_topic_back_takes_its_waiting_messages_along() {
    for transport in Transport::BARE {
        let news: [&[u8]; 4] = [b"a1", b"b1", b"a2", b"b2"];
        let sub = received(transport, SubOptions::new(), &[b"a", b"b"], &news);
        assert!(sub.unsubscribe("a"));
        let got: Vec<Vec<u8>> = sub.try_iter().map(Vec::from).collect();
        assert_eq!(got, [b"b1", b"b2"]);
    }
}

/// sp-wire 8.10 item 130. Ours: the depth is an option; the kernel's buffers and the pipe's queue come on top.
#[test]
fn a_stalled_subscriber_never_holds_the_publisher_and_finds_the_newest_when_it_wakes() {
    const QUEUE: u32 = 16;
    const MESSAGES: u32 = 400;
    const BODY: usize = 64 << 10;
    let _turn = alone();
    for wire in Wire::BOTH {
        let publisher = Pub::with(PubOptions::new().queue(QUEUE as usize)).unwrap();
        publisher.send("nobody listens").unwrap();
        let events = publisher.events();
        let listener = publisher.listen(wire.url()).unwrap();
        let mut stalled = Raw::dial(listener.endpoint());
        stalled.shake(ProtocolId::SUB);
        connected(&events);
        let mut body = pattern(BODY);
        for n in 0..MESSAGES {
            body[..4].copy_from_slice(&n.to_be_bytes());
            publisher.try_send(body.as_slice()).unwrap();
        }
        let mut got = Vec::new();
        while got.last() != Some(&(MESSAGES - 1)) {
            let msg = stalled.message();
            assert_eq!(msg.len(), BODY);
            assert_eq!(msg[4..], body[4..]);
            got.push(u32::from_be_bytes(*msg.first_chunk().unwrap()));
        }
        assert!(got.is_sorted_by(|a, b| a < b), "in order: {got:?}");
        let newest = &got[got.len() - QUEUE as usize..];
        assert!(newest.iter().copied().eq(MESSAGES - QUEUE..MESSAGES), "{newest:?}");
        let dropped = publisher.stats().get("dropped_on_send");
        assert_eq!(dropped, Some(u64::from(MESSAGES) - got.len() as u64), "every gap is counted");
        assert_ne!(dropped, Some(0), "the test fills every buffer");
    }
}

/// sp-wire 8.10 item 131
#[test]
fn a_full_receive_queue_drops_the_oldest_or_the_newest() {
    let news: [&[u8]; 6] = [b"1", b"2", b"3", b"4", b"5", b"6"];
    for transport in Transport::BARE {
        for (when_full, kept) in [
            (WhenFull::DropOldest, [b"3", b"4", b"5", b"6"]),
            (WhenFull::DropNewest, [b"1", b"2", b"3", b"4"]),
        ] {
            let options = SubOptions::new().queue(4).when_full(when_full);
            let sub = received(transport, options, &[b""], &news);
            let got: Vec<Vec<u8>> = sub.try_iter().map(Vec::from).collect();
            assert_eq!(got, kept, "{when_full} over {transport:?}");
            assert_eq!(sub.missed(), 2);
            assert_eq!(sub.missed(), 0, "asked and forgotten");
        }
    }
}

/// sp-wire 8.10 item 132
#[test]
fn a_subscriber_that_talks_to_a_pub_is_closed() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Pub>::new(wire);
        for body in [&b""[..], b"subscribe me", &pattern(70_000)] {
            let expected = CloseReason::Unexpected { protocol: ProtocolId::PUB };
            assert_eq!(scene.closes(&wire.frame(body)), expected, "{} bytes", body.len());
        }
    }
}

/// sp-wire 8.10 item 133
#[test]
fn a_sub_cannot_send_and_a_pub_cannot_receive() {
    assert_lacks!(engine::Sub: SendEngine);
    assert_lacks!(engine::Pub: RecvEngine);
}

/// sp-wire 8.10 item 134
#[test]
fn contexts_with_different_topics_each_get_their_own() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Sub>::new(wire);
        let (mut publisher, _) = scene.peer();
        let [both, weather, nothing] = [(); 3].map(|()| scene.socket.context());
        let latest = scene.socket.context_with(SubOptions::new().queue(1)).unwrap();
        for topic in ["weather", "sport", "sport: 2"] {
            both.subscribe(topic);
        }
        weather.subscribe("weather");
        latest.subscribe("");
        let news = ["weather: fine", "sport: 2-1", "other news", "weather: rain"];
        news.iter().for_each(|news| publisher.send_message(news.as_bytes()));
        let received = [(); 3].map(|()| recv(&both));
        assert_eq!(received, ["weather: fine", "sport: 2-1", "weather: rain"]);
        assert_eq!([(); 2].map(|()| recv(&weather)), ["weather: fine", "weather: rain"]);
        assert_eq!(recv(&latest), "weather: rain");
        assert_eq!((latest.missed(), both.missed(), scene.socket.missed()), (3, 0, 0));
        assert!([&both, &weather, &nothing, &latest].iter().all(|ctx| ctx.try_recv().is_err()));
        assert_eq!([(); 4].map(|()| recv(&scene.socket)), news, "the socket's own wants all");
        scene.bystander_works();
    }
}
