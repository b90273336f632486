use sp::raw::{self, Device, Fits, RawEngine, RawOptions};
use sp::{CloseReason, Listener, Message, ProtocolId, SendError, Socket};
use sp_protocols::engine::{self, ContextEngine, Engine, RecvEngine, SendEngine};

use crate::shared::spawn;
use crate::support::{
    DEADLINE, Host, Raw, Scene, Wire, any_closed, assert_lacks, connected, handshake, recv,
    refused, unique,
};

/// The words of headers.
fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn with(header: &[u8], body: impl Into<Message>) -> Message {
    let mut msg = body.into();
    msg.set_header(header).expect("headers hold that");
    msg
}

/// A scripted peer of a listening socket, with its handshake done.
fn peer<E: Engine>(socket: &Socket<E>, listener: &Listener) -> Raw {
    let events = socket.events();
    let mut raw = Raw::dial(listener.endpoint());
    assert_eq!(raw.shake(E::PEER), handshake(E::SELF));
    connected(&events);
    raw
}

impl Host for engine::raw::Rep {
    type Guest = engine::Req;

    fn exchange(rep: &Socket<Self>, req: &Socket<engine::Req>) {
        let question = unique();
        req.send_timeout(question.as_str(), DEADLINE).expect("the REP has room");
        let request = recv(rep);
        assert_eq!(request, question.as_str());
        rep.send(request).expect("the header is whole");
        assert_eq!(recv(req), question.as_str());
    }
}

impl Host for engine::raw::Respondent {
    type Guest = engine::raw::Surveyor;

    fn exchange(respondent: &Socket<Self>, surveyor: &raw::Surveyor) {
        let question = unique();
        surveyor.send(with(&words(&[ID]), question.as_str())).expect("the header is whole");
        let survey = recv(respondent);
        assert_eq!(survey, question.as_str());
        respondent.send(survey).expect("a respondent never waits");
        assert_eq!(recv(surveyor), question.as_str());
    }
}

const ID: u32 = 0x8000_0001;

/// sp-wire 8.1 item 2
#[test]
fn raw_sockets_say_the_number_of_their_pattern() {
    fn shakes<E: Engine>(number: u16) {
        for wire in Wire::BOTH {
            let socket = Socket::<E>::new().unwrap();
            let listener = socket.listen(wire.url()).unwrap();
            assert_eq!(
                Raw::dial(listener.endpoint()).shake(E::PEER),
                handshake(ProtocolId(number))
            );
        }
    }
    shakes::<engine::raw::Pair>(0x0010);
    shakes::<engine::raw::Pair1>(0x0011);
    shakes::<engine::raw::Pub>(0x0020);
    shakes::<engine::raw::Sub>(0x0021);
    shakes::<engine::raw::Req>(0x0030);
    shakes::<engine::raw::Rep>(0x0031);
    shakes::<engine::raw::Push>(0x0050);
    shakes::<engine::raw::Pull>(0x0051);
    shakes::<engine::raw::Surveyor>(0x0062);
    shakes::<engine::raw::Respondent>(0x0063);
    shakes::<engine::raw::Bus>(0x0070);
    shakes::<engine::raw::Star>(0x0640);
}

/// sp-wire 8.1 items 11 and 12
#[test]
fn a_pair_of_the_other_version_and_a_retired_survey_are_turned_away() {
    fn turns_away<E: Engine>(got: u16) {
        let socket = Socket::<E>::new().unwrap();
        let events = socket.events();
        let listener = socket.listen(Wire::Tcp.url()).unwrap();
        let mut stranger = Raw::dial(listener.endpoint());
        stranger.send_in_vain(&handshake(ProtocolId(got)));
        let wanted = E::PEER;
        assert_eq!(refused(&events), CloseReason::WrongProtocol { got: ProtocolId(got), wanted });
    }
    turns_away::<engine::raw::Pair>(0x0011);
    turns_away::<engine::raw::Pair1>(0x0010);
    turns_away::<engine::raw::Respondent>(0x0060);
}

/// sp-wire 8.8 items 94, 108 and 112
#[test]
fn a_raw_rep_shows_the_way_back_and_routes_by_it() {
    for wire in Wire::BOTH {
        let rep = raw::Rep::new().unwrap();
        let listener = rep.listen(wire.url()).unwrap();
        let (mut a, mut b) = (peer(&rep, &listener), peer(&rep, &listener));
        let stack = words(&[7, 6, 5, 4, 3, 2, 1, ID]);
        a.send_message(&[&words(&[8]), &stack[..], b"too far"].concat());
        a.send_message(&[&stack[..], b"from a"].concat());
        let request = recv(&rep);
        let (own, rest) = request.header().split_first_chunk().unwrap();
        let own = u32::from_be_bytes(*own);
        assert!(own != 0 && own < 0x8000_0000);
        assert_eq!((rest, request.body()), (&stack[..], &b"from a"[..]));
        for nobody in [&[][..], &[0, 0, 1], &words(&[0, ID]), &words(&[own ^ 0x4000_0000, ID])] {
            rep.send(with(nobody, "to nobody")).expect("it is dropped");
        }
        rep.send(with(request.header(), "to a")).unwrap();
        assert_eq!(a.message(), [&stack[..], b"to a"].concat());
        b.send_message(&[&words(&[ID]), &b"from b"[..]].concat());
        let from_b = recv(&rep);
        let events = rep.events();
        drop(a);
        any_closed(&events);
        rep.send(with(request.header(), "to one that is gone")).expect("it is dropped");
        rep.send(from_b).unwrap();
        assert_eq!(b.message(), [&words(&[ID]), &b"from b"[..]].concat());
        let stats = rep.stats();
        assert_eq!([stats.get("peer_gone"), stats.get("hop_limit")], [Some(5), Some(1)]);
    }
}

/// sp-wire 8.8 item 107 and 8.9 item 122
#[test]
fn a_raw_rep_and_respondent_close_whoever_sends_a_header_without_end() {
    fn closes<H: Host>(wire: Wire) {
        let scene = Scene::<H>::new(wire);
        for header in [&[][..], &[0x80, 0, 0], &words(&[1]), &words(&[1, 2, 3])] {
            let why = CloseReason::BadHeader { protocol: H::SELF };
            assert_eq!(scene.closes(&wire.frame(header)), why, "{header:02x?}");
        }
    }
    for wire in Wire::BOTH {
        closes::<engine::raw::Rep>(wire);
        closes::<engine::raw::Respondent>(wire);
    }
}

/// sp-wire 8.8 item 113 and 8.9 item 119
#[test]
fn a_raw_req_and_surveyor_take_the_words_through_the_end_and_close_without() {
    fn takes<E: RecvEngine + SendEngine>(wire: Wire) {
        let socket = Socket::<E>::new().unwrap();
        let events = socket.events();
        let listener = socket.listen(wire.url()).unwrap();
        let mut good = peer(&socket, &listener);
        connected(&events);
        let stack = words(&[2, 1, ID]);
        good.send_message(&[&stack[..], &words(&[ID]), b"pong"].concat());
        let reply = recv(&socket);
        assert_eq!((reply.header(), &reply[4..]), (&stack[..], &b"pong"[..]));
        socket.send(with(&stack, "ping")).unwrap();
        assert_eq!(good.message(), [&stack[..], b"ping"].concat());
        for header in [&[][..], &[0x80, 0, 0], &words(&[1, 2])] {
            let mut bad = peer(&socket, &listener);
            connected(&events);
            bad.send_in_vain(&wire.frame(header));
            assert_eq!(any_closed(&events), CloseReason::BadHeader { protocol: E::SELF });
            bad.rest();
        }
        good.send_message(&[&stack[..], b"still there"].concat());
        assert_eq!(recv(&socket), "still there");
        for header in [&[][..], &words(&[1, 2]), &words(&[ID, 1])] {
            let refused = socket.send(with(header, "lost")).unwrap_err();
            assert!(matches!(&refused, SendError::BadHeader { .. }), "{refused:?}");
            assert_eq!(refused.into_message().header(), header);
        }
    }
    for wire in Wire::BOTH {
        takes::<engine::raw::Req>(wire);
        takes::<engine::raw::Surveyor>(wire);
    }
}

/// sp-wire 8.10 items 125 and 132
#[test]
fn a_raw_sub_takes_everything_and_a_raw_pub_nothing() {
    for wire in Wire::BOTH {
        let sub = raw::Sub::new().unwrap();
        let listener = sub.listen(wire.url()).unwrap();
        let mut publisher = peer(&sub, &listener);
        publisher.send_message(b"");
        publisher.send_message(b"news");
        assert_eq!([recv(&sub), recv(&sub)], ["", "news"]);
        let publisher = raw::Pub::new().unwrap();
        let events = publisher.events();
        let listener = publisher.listen(wire.url()).unwrap();
        let mut rogue = peer(&publisher, &listener);
        rogue.send_in_vain(&wire.frame(b"data"));
        let why = CloseReason::Unexpected { protocol: ProtocolId::PUB };
        assert_eq!(any_closed(&events), why);
    }
}

/// sp-wire 8.12 item 141
#[test]
fn a_raw_pair_refuses_a_second_peer_until_the_first_has_left() {
    for wire in Wire::BOTH {
        let pair = raw::Pair::new().unwrap();
        let events = pair.events();
        let listener = pair.listen(wire.url()).unwrap();
        let mut first = peer(&pair, &listener);
        connected(&events);
        let mut second = Raw::dial(listener.endpoint());
        second.shake(ProtocolId::PAIR0);
        assert_eq!(refused(&events), CloseReason::TooMany { limit: 1 });
        second.rest();
        first.send_message(b"undisturbed");
        assert_eq!(recv(&pair), "undisturbed");
        drop(first);
        any_closed(&events);
        let mut third = peer(&pair, &listener);
        pair.send("welcome").unwrap();
        assert_eq!(third.message(), b"welcome");
    }
}

/// sp-wire 8.13 items 144 to 147
#[test]
fn a_raw_pair1_shows_the_hop_count_and_drops_what_comes_from_too_far() {
    for wire in Wire::BOTH {
        let pair = raw::Pair1::with(RawOptions::new().ttl(8)).unwrap();
        let events = pair.events();
        let listener = pair.listen(wire.url()).unwrap();
        let mut other = peer(&pair, &listener);
        connected(&events);
        for hops in [0_u32, 1, 8, 9, 255, 2] {
            other.send_message(&words(&[hops]));
        }
        for hops in [0, 1, 8, 2] {
            let msg = recv(&pair);
            assert_eq!((msg.header(), msg.body()), (&words(&[hops])[..], &b""[..]));
        }
        assert_eq!(pair.stats().get("hop_limit"), Some(2));
        pair.send(with(&words(&[0]), "hi")).unwrap();
        assert_eq!(other.message(), b"\0\0\0\x01hi");
        for broken in [&[][..], &[0], &[0, 0, 1], &words(&[256]), &words(&[0x0100_0000])] {
            other.send_in_vain(&wire.frame(broken));
            let why = CloseReason::BadHeader { protocol: ProtocolId::PAIR1 };
            assert_eq!(any_closed(&events), why, "{broken:02x?}");
            other.rest();
            other = peer(&pair, &listener);
        }
    }
}

/// sp-wire 8.13 item 149
#[test]
fn a_raw_pair1_sends_no_header_that_is_no_hop_count() {
    let pair = raw::Pair1::new().unwrap();
    let listener = pair.listen(Wire::Tcp.url()).unwrap();
    let mut other = peer(&pair, &listener);
    for header in [&[][..], &[0, 0, 1], &[0, 0, 0, 1, 0], &[0; 8], &words(&[255]), &words(&[256])] {
        let refused = pair.send(with(header, "lost")).unwrap_err();
        assert!(matches!(&refused, SendError::BadHeader { .. }), "{refused:?}");
        let refused = pair.try_send(with(header, "lost")).unwrap_err();
        assert_eq!(refused.into_message().header(), header);
    }
    pair.send(with(&words(&[254]), "as far as can be")).unwrap();
    assert_eq!(other.message(), [&words(&[255]), &b"as far as can be"[..]].concat());
}

/// sp-wire 8.14 items 151 and 153
#[test]
fn a_raw_bus_names_the_source_and_leaves_it_out() {
    for wire in Wire::BOTH {
        let bus = raw::Bus::new().unwrap();
        let listener = bus.listen(wire.url()).unwrap();
        let mut others = [(); 3].map(|()| peer(&bus, &listener));
        others[1].send_message(b"from the second");
        let msg = recv(&bus);
        assert_eq!((msg.header().len(), msg.body()), (4, &b"from the second"[..]));
        bus.send(msg).unwrap();
        bus.send("from the bus").unwrap();
        assert_eq!(others[1].message(), b"from the bus");
        for n in [0, 2] {
            assert_eq!(others[n].message(), b"from the second");
            assert_eq!(others[n].message(), b"from the bus");
        }
    }
}

/// sp-wire 8.14 item 155
#[test]
fn a_raw_star_shows_the_hops_passes_on_and_sends_the_hops_it_is_told() {
    for wire in Wire::BOTH {
        let star = raw::Star::new().unwrap();
        let listener = star.listen(wire.url()).unwrap();
        let mut others = [(); 2].map(|()| peer(&star, &listener));
        for bad in [&b"\0\0\0\x08too far"[..], b"\0\0\x01\0odd", b"\x01\0\0\0odd", b"\0\0\0"] {
            others[0].send_message(bad);
        }
        others[0].send_message(b"\0\0\0\x07just in reach");
        let msg = recv(&star);
        assert_eq!((msg.header(), msg.body()), (&words(&[8])[..], &b"just in reach"[..]));
        assert_eq!(others[1].message(), b"\0\0\0\x08just in reach");
        let stats = star.stats();
        assert_eq!([stats.get("hop_limit"), stats.get("malformed")], [Some(3), Some(1)]);
        star.send(with(&words(&[5]), "to all")).unwrap();
        for raw in &mut others {
            assert_eq!(raw.message(), b"\0\0\0\x05to all", "nothing came back before it");
        }
        for header in [&[][..], &[0, 0, 1], &[0, 0, 0, 1, 0], &[0; 8], &words(&[256])] {
            let refused = star.send(with(header, "lost")).unwrap_err();
            assert!(matches!(&refused, SendError::BadHeader { .. }), "{refused:?}");
            assert_eq!(refused.into_message().header(), header);
        }
    }
}

/// sp-wire 8.15 item 157, and the second example of 2.1
#[test]
fn a_request_behind_a_device_has_one_word_more() {
    for wire in Wire::BOTH {
        let (front, back) = (raw::Rep::new().unwrap(), raw::Req::new().unwrap());
        let at_front = front.listen(wire.url()).unwrap();
        let at_back = back.listen(wire.url()).unwrap();
        let (mut client, mut server) = (peer(&front, &at_front), peer(&back, &at_back));
        let device = Device::new(front, back);
        let handle = device.handle();
        let running = spawn(move || device.run());
        client.send_message(&[&words(&[ID]), &b"hello"[..]].concat());
        let request = server.message();
        assert_eq!(request.len(), 13);
        assert!(request[0] < 0x80 && request[..4] != [0; 4]);
        assert_eq!(&request[4..], [&words(&[ID]), &b"hello"[..]].concat());
        server.send_message(&[&request[..8], b"world"].concat());
        assert_eq!(client.message(), [&words(&[ID]), &b"world"[..]].concat());
        handle.stop();
        running.join();
        assert!(client.rest().is_empty() && server.rest().is_empty());
    }
}

/// sp-wire 8.15 item 156
#[test]
fn devices_take_raw_sockets_that_talk_to_each_other_only() {
    assert_lacks!(engine::Rep: RawEngine);
    assert_lacks!(engine::Req: RawEngine);
    assert_lacks!(engine::Sub: RawEngine);
    assert_lacks!(engine::raw::Req: Fits<engine::raw::Req>);
    assert_lacks!(engine::raw::Req: Fits<engine::raw::Respondent>);
    assert_lacks!(engine::raw::Pub: Fits<engine::raw::Pull>);
    assert_lacks!(engine::raw::Pair: Fits<engine::raw::Pair1>);
    assert_lacks!(engine::Star: RawEngine);
    assert_lacks!(engine::raw::Star: Fits<engine::raw::Bus>);
}

/// sp-wire 8.15 item 161
#[test]
fn raw_sockets_have_no_contexts() {
    assert_lacks!(engine::raw::Req: ContextEngine);
    assert_lacks!(engine::raw::Rep: ContextEngine);
    assert_lacks!(engine::raw::Sub: ContextEngine);
    assert_lacks!(engine::raw::Surveyor: ContextEngine);
    assert_lacks!(engine::raw::Respondent: ContextEngine);
    assert_lacks!(engine::raw::Star: ContextEngine);
}
