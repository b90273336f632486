use sp::{Bus, BusOptions, Listener, ProtocolId, Star, StarOptions};
use sp_protocols::engine;

use crate::shared::{Transport, connect, pattern, wait_until};
use crate::support::{Scene, Wire, alone, recv};

/// sp-wire 8.14 item 151
#[test]
fn a_message_reaches_every_neighbour_once_and_never_its_sender() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Bus>::new(wire);
        let mut raws = [(); 3].map(|()| scene.peer().0);
        scene.socket.send("news").unwrap();
        scene.socket.send("").unwrap();
        for raw in &mut raws {
            assert_eq!(raw.message(), b"news");
            assert_eq!(raw.message(), b"");
        }
        scene.socket.send("the end").unwrap();
        for raw in &mut raws {
            assert_eq!(raw.message(), b"the end", "nothing came twice");
        }
        assert_eq!(recv(&scene.bystander), "news");
        assert!(scene.socket.try_recv().is_err(), "the sender hears nothing of it");
    }
}

/// sp-wire 8.14 item 151
#[test]
fn what_comes_from_one_is_not_passed_on() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Bus>::new(wire);
        let (mut a, of_a) = scene.peer();
        let (mut b, of_b) = scene.peer();
        for (raw, peer) in [(&mut a, of_a), (&mut b, of_b)] {
            raw.send_message(b"between us");
            let msg = recv(&scene.socket);
            assert_eq!((msg.as_str(), msg.source()), (Ok("between us"), Some(peer)));
        }
        // Neither back to where it came from, nor on to others.
        scene.socket.send("for all").unwrap();
        for raw in [&mut a, &mut b] {
            assert_eq!(raw.message(), b"for all");
        }
        assert_eq!(recv(&scene.bystander), "for all");
        scene.bystander_works();
    }
}

/// sp-wire 8.14 item 151: what was received can be sent on, and then goes to all
#[test]
fn an_answer_reaches_whoever_asked() {
    for transport in Transport::ALL {
        let [a, b, c] = mesh(transport, &BusOptions::new());
        a.send("question").unwrap();
        let question = recv(&b);
        b.send(question).unwrap();
        assert_eq!(recv(&a), "question");
        assert_eq!([recv(&c), recv(&c)].map(|msg| msg.to_string()), ["question", "question"]);
    }
}

/// sp-wire 8.14 item 152
#[test]
fn a_slow_neighbour_misses_the_newest_and_a_send_never_waits() {
    let _turn = alone();
    for wire in Wire::BOTH {
        let options = BusOptions::new().send_queue(16);
        let scene = Scene::<engine::Bus>::with(wire, options, &sp::ListenOptions::new());
        let (mut slow, _) = scene.peer();
        let mut sent = 0_u32;
        let dropped = || scene.socket.stats().get("dropped_on_send").unwrap();
        while dropped() == 0 {
            scene.socket.try_send(&large(sent)[..]).unwrap();
            assert!(recv(&scene.bystander) == large(sent), "a good neighbour gets message {sent}");
            sent += 1;
        }
        for n in 0..sent - 1 {
            assert!(slow.message() == large(n), "the oldest stay, {n} of {sent}");
        }
        scene.socket.send("there is room again").unwrap();
        assert_eq!(slow.message(), b"there is room again");
        assert_eq!(dropped(), 1);
    }
}

/// sp-wire 8.14 item 152
#[test]
fn a_slow_program_misses_the_newest_and_holds_up_nobody() {
    for transport in Transport::ALL {
        let slow = Bus::with(BusOptions::new().recv_queue(4)).unwrap();
        let fast = Bus::new().unwrap();
        connect(transport, &slow, &fast);
        for n in 0..10_u32 {
            fast.send(n.to_be_bytes()).unwrap();
        }
        wait_until("all has come", || slow.stats().get("dropped_on_receive") == Some(6));
        for n in 0..4_u32 {
            assert_eq!(recv(&slow), n.to_be_bytes(), "{transport:?}");
        }
        assert!(slow.try_recv().is_err());
        fast.send("and on").unwrap();
        assert_eq!(recv(&slow), "and on");
    }
}

/// sp-wire 8.14 item 154
#[test]
fn in_a_full_mesh_each_gets_each_message_once() {
    for transport in Transport::ALL {
        let buses = mesh(transport, &BusOptions::new());
        for (n, bus) in buses.iter().enumerate() {
            bus.send(n.to_string()).unwrap();
        }
        for (n, bus) in buses.iter().enumerate() {
            let mut got = [recv(bus), recv(bus)].map(|msg| msg.to_string());
            got.sort();
            let others: Vec<_> =
                (0..3).filter(|other| *other != n).map(|n| n.to_string()).collect();
            assert_eq!(got[..], others, "{transport:?}");
        }
        for bus in &buses {
            bus.send("the end").unwrap();
        }
        for bus in &buses {
            assert_eq!([recv(bus), recv(bus)].map(|msg| msg.to_string()), ["the end", "the end"]);
            assert!(bus.try_recv().is_err());
        }
    }
}

/// sp-wire 8.14 item 155
#[test]
fn a_star_sends_with_no_hop_and_passes_on_to_all_but_the_source_with_one_more() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Star>::new(wire);
        let mut first = scene.stranger();
        assert_eq!(first.shake(ProtocolId::STAR), *b"\0SP\0\x06\x40\0\0");
        let of_first = scene.connected();
        let (mut second, _) = scene.peer();
        scene.socket.send("hi").unwrap();
        for raw in [&mut first, &mut second] {
            assert_eq!(raw.message(), [0, 0, 0, 0, b'h', b'i']);
        }
        assert_eq!(recv(&scene.bystander), "hi");
        first.send_message(&[0, 0, 0, 2, b'?']);
        assert_eq!(second.message(), [0, 0, 0, 3, b'?']);
        assert_eq!(recv(&scene.bystander), "?");
        let msg = recv(&scene.socket);
        assert_eq!((msg.as_str(), msg.source()), (Ok("?"), Some(of_first)));
        // It did not come back.
        scene.socket.send("!").unwrap();
        assert_eq!(first.message(), [0, 0, 0, 0, b'!']);
    }
}

/// sp-wire 8.14 item 155
#[test]
fn a_star_drops_what_came_too_far_or_is_malformed_and_its_sender_stays() {
    for wire in Wire::BOTH {
        let scene = Scene::<engine::Star>::new(wire);
        let (mut raw, _) = scene.peer();
        let bad: [&[u8]; 8] = [
            b"\0\0\0\x08far",
            b"\0\0\0\xffvery far",
            b"\0\0\x01\0odd",
            b"\0\x01\0\0odd",
            b"\x01\0\0\0odd",
            b"",
            b"\0",
            b"\0\0\0",
        ];
        bad.iter().for_each(|bad| raw.send_message(bad));
        raw.send_message(b"\0\0\0\x07just in reach");
        assert_eq!(recv(&scene.socket), "just in reach");
        wait_until("its hops ran out", || scene.bystander.stats().get("hop_limit") == Some(1));
        let stats = scene.socket.stats();
        assert_eq!((stats.get("hop_limit"), stats.get("malformed")), (Some(5), Some(3)));
        scene.bystander_works();
    }
}

/// sp-wire 8.14 item 155
#[test]
fn a_message_travels_a_chain_of_stars_as_far_as_its_hops_allow() {
    for transport in Transport::ALL {
        let options = StarOptions::new().ttl(3);
        let stars: Vec<_> = (0..6).map(|_| Star::with(options.clone()).unwrap()).collect();
        let _listeners: Vec<Listener> =
            stars.windows(2).map(|pair| connect(transport, &pair[0], &pair[1])).collect();
        let next_knows =
            |star: &Star, peers| wait_until("both ends know", || star.peers().len() == peers);
        stars
            .iter()
            .enumerate()
            .for_each(|(n, star)| next_knows(star, if n % 5 == 0 { 1 } else { 2 }));
        stars[0].send("from one end").unwrap();
        for star in &stars[1..=3] {
            assert_eq!(recv(star), "from one end");
        }
        wait_until("its hops ran out", || stars[4].stats().get("hop_limit") == Some(1));
        stars[3].send("from the middle").unwrap();
        for star in stars.iter().filter(|star| star.id() != stars[3].id()) {
            assert_eq!(recv(star), "from the middle");
        }
        assert!(stars.iter().all(|star| star.try_recv().is_err()));
    }
}

/// Three that are connected with each other.
fn mesh(transport: Transport, options: &BusOptions) -> [Bus; 3] {
    let buses = [(); 3].map(|()| Bus::with(options.clone()).unwrap());
    let [a, b, c] = &buses;
    connect(transport, a, b);
    connect(transport, b, c);
    connect(transport, c, a);
    for bus in &buses {
        wait_until("both ends know", || bus.peers().len() == 2);
    }
    buses
}

/// A few dozen are more than any buffer of the kernel's.
fn large(n: u32) -> Vec<u8> {
    let mut body = pattern(64 << 10);
    body[..4].copy_from_slice(&n.to_be_bytes());
    body
}
