//! Devices: whole chains of them between sockets that do not know, slow sides, peers that vanish, and ends.

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll};

use sp::raw::{self, Device, DeviceHandle, RawOptions};
use sp::{
    Bus, Listener, Message, Pair1, Pub, Pull, PullOptions, Push, RecvError, Rep, RepOptions, Req,
    ReqOptions, Socket, Star, StarOptions, Stats, Sub,
};
use sp_protocols::engine::{Engine, RecvEngine};
use support::{
    DEADLINE, Task, Transport, bell, block_on, connect, pattern, spawn, wait_connected, wait_until,
};

mod support;

/// A device at work on a thread.
struct Running {
    handle: DeviceHandle,
    thread: Task<Stats>,
}

impl Running {
    fn start(device: Device) -> Self {
        Self { handle: device.handle(), thread: spawn(move || device.run()) }
    }

    fn count(&self, name: &str) -> u64 {
        self.handle.stats().get(name).expect("devices count that")
    }

    fn stop(self) -> Stats {
        self.handle.stop();
        self.thread.join()
    }
}

/// What a socket of a device has counted.
fn counted(stats: &Stats, end: usize, name: &str) -> u64 {
    stats.children[end].get(name).expect("sockets count that")
}

fn recv<E: RecvEngine>(socket: &Socket<E>) -> Message {
    socket.recv_timeout(DEADLINE).expect("a message")
}

fn with_header(words: &[u32], body: &str) -> Message {
    let mut msg = Message::from(body);
    assert!(words.iter().rev().all(|word| msg.push_header(*word)));
    msg
}

/// As many devices in a row; the first is reached at the listener, the last has dialled `server`.
fn chain(transport: Transport, length: usize, server: &Rep) -> (Listener, Vec<Running>) {
    let mut devices = Vec::new();
    let mut next = None;
    for _ in 0..length {
        let (front, back) = (raw::Rep::new().unwrap(), raw::Req::new().unwrap());
        match &next {
            None => drop(connect(transport, server, &back)),
            Some(listener) => dial(&back, listener),
        }
        next = Some(front.listen(transport.url()).unwrap());
        devices.push(Running::start(Device::new(front, back)));
    }
    (next.expect("at least one"), devices)
}

fn dial<E: Engine>(socket: &Socket<E>, listener: &Listener) {
    socket.dial(listener.endpoint()).expect("somebody listens");
}

/// sp-wire 8.8 item 94 and 8.15 item 157
#[test]
fn requests_pass_up_to_seven_devices_and_the_eighth_is_one_too_many() {
    for transport in Transport::BARE {
        for length in [1, 2, 7, 8] {
            let (rep, req) = (Rep::new().unwrap(), Req::new().unwrap());
            let (listener, devices) = chain(transport, length, &rep);
            dial(&req, &listener);
            for _ in 0..3 {
                req.send_timeout("ping", DEADLINE).unwrap();
                if length == 8 {
                    continue;
                }
                assert_eq!(recv(&rep), "ping");
                rep.send("pong").unwrap();
                assert_eq!(recv(&req), "pong");
            }
            if length == 8 {
                wait_until("the REP has dropped them", || rep.stats().get("hop_limit") == Some(3));
                assert_eq!(rep.peers().len(), 1, "the pipe stays");
            }
            for device in devices {
                let stats = device.stop();
                let back = if length == 8 { 0 } else { 3 };
                assert_eq!([stats.get("there"), stats.get("back")], [Some(3), Some(back)]);
            }
        }
    }
}

#[test]
fn each_device_has_its_own_limit_of_hops() {
    for (ttl, passes) in [(1, false), (2, true)] {
        let rep = Rep::new().unwrap();
        let (second, listener) = {
            let back = raw::Req::new().unwrap();
            let front = raw::Rep::with(RawOptions::new().ttl(ttl)).unwrap();
            connect(Transport::Tcp, &rep, &back);
            let listener = front.listen("tcp://127.0.0.1:0").unwrap();
            (Running::start(Device::new(front, back)), listener)
        };
        let (front, back) = (raw::Rep::new().unwrap(), raw::Req::new().unwrap());
        dial(&back, &listener);
        let req = Req::new().unwrap();
        connect(Transport::Tcp, &front, &req);
        let first = Running::start(Device::new(front, back));
        req.send("ping").unwrap();
        if passes {
            assert_eq!(recv(&rep), "ping");
        } else {
            wait_until("the second drops it", || {
                counted(&second.handle.stats(), 0, "hop_limit") == 1
            });
        }
        assert_eq!(first.stop().get("there"), Some(1));
        assert_eq!(second.stop().get("there"), Some(u64::from(passes)));
    }
}

/// sp-wire 8.4 item 55
#[test]
fn replies_find_their_way_back_to_each_of_many_clients() {
    const CLIENTS: usize = 8;
    for transport in Transport::BARE {
        let rep = Rep::new().unwrap();
        let (listener, devices) = chain(transport, 2, &rep);
        let server = {
            let rep = rep.clone();
            spawn(move || rep.iter().try_for_each(|request| rep.send(request)))
        };
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let req = Req::new().unwrap();
                dial(&req, &listener);
                spawn(move || {
                    for n in 0..50 {
                        let question = format!("{client}: {n}");
                        req.send_timeout(question.as_str(), DEADLINE).unwrap();
                        assert_eq!(recv(&req), question.as_str());
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(Task::join);
        rep.close();
        // The server's last reply fails, or its receive does.
        let _ = server.join();
        devices.into_iter().for_each(|device| drop(device.stop()));
    }
}

/// sp-wire 8.15 item 158
#[test]
fn publications_pass_and_the_last_subscriber_chooses() {
    for transport in Transport::BARE {
        let (publisher, sub) = (Pub::new().unwrap(), Sub::new().unwrap());
        let (front, back) = (raw::Sub::new().unwrap(), raw::Pub::new().unwrap());
        connect(transport, &publisher, &front);
        connect(transport, &back, &sub);
        sub.subscribe("wanted");
        // Either order will do.
        let device = Running::start(Device::new(back, front));
        for news in ["unwanted", "wanted 1", "", "wanted 2"] {
            publisher.send(news).unwrap();
        }
        assert_eq!(recv(&sub), "wanted 1");
        assert_eq!(recv(&sub), "wanted 2");
        let stats = device.stop();
        assert_eq!([stats.get("there"), stats.get("back")], [Some(0), Some(4)]);
    }
}

#[test]
fn a_stream_of_work_passes_whole_and_in_order() {
    const MESSAGES: u32 = 20_000;
    for transport in Transport::BARE {
        let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
        let (front, back) = (raw::Pull::new().unwrap(), raw::Push::new().unwrap());
        connect(transport, &front, &push);
        connect(transport, &back, &pull);
        let device = Running::start(Device::new(front, back));
        let sending = spawn(move || {
            for n in 0..MESSAGES {
                push.send_timeout(n.to_be_bytes(), DEADLINE).unwrap();
            }
            push
        });
        for n in 0..MESSAGES {
            assert_eq!(recv(&pull), n.to_be_bytes());
        }
        sending.join();
        assert_eq!(device.stop().get("there"), Some(u64::from(MESSAGES)));
    }
}

#[test]
fn bodies_of_every_size_pass_unchanged() {
    for transport in Transport::BARE {
        let rep = Rep::new().unwrap();
        let (listener, devices) = chain(transport, 1, &rep);
        let req = Req::new().unwrap();
        dial(&req, &listener);
        for len in [0, 1, 100, 104, 108, 112, 113, 16_384, 32_768, 65_536, 1 << 20, 16 << 20] {
            let body = pattern(len);
            req.send_timeout(&body[..], DEADLINE).unwrap();
            let request = recv(&rep);
            assert!(request.body() == body, "{len} bytes there");
            rep.send(request).unwrap();
            assert!(recv(&req).body() == body, "{len} bytes back");
        }
        devices.into_iter().for_each(|device| drop(device.stop()));
    }
}

#[test]
fn a_body_in_a_buffer_is_moved_and_not_copied() {
    let req = Req::with(ReqOptions::new().resend_time(None)).unwrap();
    let rep = Rep::new().unwrap();
    let (listener, devices) = chain(Transport::Inproc, 3, &rep);
    dial(&req, &listener);
    let request = Message::from(pattern(100_000));
    let at = request.as_ptr();
    req.send_timeout(request, DEADLINE).unwrap();
    let request = recv(&rep);
    assert_eq!(request.as_ptr(), at);
    rep.send(request).unwrap();
    assert_eq!(recv(&req).as_ptr(), at);
    devices.into_iter().for_each(|device| drop(device.stop()));
}

/// sp-wire 8.13 item 148
#[test]
fn pairs_count_the_devices_between_them() {
    for transport in Transport::BARE {
        for devices in 1..=8 {
            let first = raw::Pair1::new().unwrap();
            let last = raw::Pair1::new().unwrap();
            let running = between(transport, devices, &first, &last);
            first.send_timeout(with_header(&[0], "there"), DEADLINE).unwrap();
            if devices <= 7 {
                let msg = recv(&last);
                assert_eq!(msg.header_words().collect::<Vec<_>>(), [devices + 1]);
                last.send(with_header(&[0], "back")).unwrap();
                let msg = recv(&first);
                assert_eq!((msg.peek_header(), msg.body()), (Some(devices + 1), &b"back"[..]));
            } else {
                wait_until("it is dropped", || last.stats().get("hop_limit") == Some(1));
                assert_eq!(last.peers().len(), 1);
            }
            running.into_iter().for_each(|device| drop(device.stop()));
        }
    }
}

/// sp-wire 8.13 item 148
#[test]
fn pairs_talk_through_seven_devices_and_not_through_eight() {
    for transport in Transport::ALL {
        for devices in [7, 8] {
            let (first, last) = (Pair1::new().unwrap(), Pair1::new().unwrap());
            let running = between(transport, devices, &first, &last);
            first.send_timeout("there", DEADLINE).unwrap();
            if devices <= 7 {
                assert_eq!(recv(&last), "there");
                last.send_timeout("back", DEADLINE).unwrap();
                assert_eq!(recv(&first), "back");
            } else {
                wait_until("it is dropped", || last.stats().get("hop_limit") == Some(1));
                assert_eq!(last.peers().len(), 1);
            }
            running.into_iter().for_each(|device| drop(device.stop()));
        }
    }
}

/// Connects two pairs by way of so many devices, at least one.
fn between<E: Engine>(
    transport: Transport,
    devices: u32,
    first: &Socket<E>,
    last: &Socket<E>,
) -> Vec<Running> {
    let links: Vec<_> =
        (0..devices).map(|_| (raw::Pair1::new().unwrap(), raw::Pair1::new().unwrap())).collect();
    connect(transport, first, &links[0].0);
    for next in links.windows(2) {
        connect(transport, &next[0].1, &next[1].0);
    }
    connect(transport, &links[links.len() - 1].1, last);
    links.into_iter().map(|(a, b)| Running::start(Device::new(a, b))).collect()
}

/// sp-wire 8.14 items 151 and 153
#[test]
fn buses_talk_through_a_device_that_does_not_echo() {
    for transport in Transport::ALL {
        let (a, b) = (raw::Bus::new().unwrap(), raw::Bus::new().unwrap());
        let buses = [(); 3].map(|()| Bus::new().unwrap());
        for (n, bus) in buses.iter().enumerate() {
            connect(transport, if n < 2 { &a } else { &b }, bus);
        }
        let device = Running::start(Device::new(a, b));
        buses[0].send("from the first").unwrap();
        assert_eq!(recv(&buses[2]), "from the first");
        buses[2].send("from the third").unwrap();
        for bus in &buses[..2] {
            assert_eq!(recv(bus), "from the third", "nothing came back, nor to those beside");
        }
        drop(device.stop());
    }
}

/// sp-wire 8.14 item 153
#[test]
fn a_bus_device_does_not_echo() {
    for transport in Transport::BARE {
        let (a, b) = (raw::Bus::new().unwrap(), raw::Bus::new().unwrap());
        let neighbours = [(); 4].map(|()| raw::Bus::new().unwrap());
        for (n, neighbour) in neighbours.iter().enumerate() {
            connect(transport, if n < 2 { &a } else { &b }, neighbour);
        }
        let device = Running::start(Device::new(a, b));
        neighbours[0].send("from the first").unwrap();
        // The device passes on to the other side only; on its own side nobody else hears it.
        for neighbour in &neighbours[2..] {
            assert_eq!(recv(neighbour), "from the first");
        }
        neighbours[2].send("from the third").unwrap();
        for neighbour in &neighbours[..2] {
            assert_eq!(recv(neighbour), "from the third");
        }
        assert!(neighbours.iter().all(|neighbour| neighbour.try_recv().is_err()));
        let stats = device.stop();
        assert_eq!([stats.get("there"), stats.get("back")], [Some(1), Some(1)]);
    }
}

/// sp-wire 8.15 item 159
#[test]
fn a_bus_reflector_does_not_echo() {
    for transport in Transport::BARE {
        let hub = raw::Bus::new().unwrap();
        let neighbours = [(); 3].map(|()| raw::Bus::new().unwrap());
        neighbours.iter().for_each(|neighbour| drop(connect(transport, &hub, neighbour)));
        let device = Running::start(Device::reflector(hub));
        neighbours[1].send("news").unwrap();
        assert_eq!(recv(&neighbours[0]), "news");
        assert_eq!(recv(&neighbours[2]), "news");
        // Behind what would be an echo of the first.
        neighbours[0].send("more").unwrap();
        assert_eq!(recv(&neighbours[1]), "more");
        assert_eq!(device.stop().children.len(), 1);
    }
}

/// sp-wire 8.14 item 155
#[test]
fn stars_talk_through_a_device_as_if_it_were_one_of_them() {
    for transport in Transport::ALL {
        let (a, b) = (raw::Star::new().unwrap(), raw::Star::new().unwrap());
        let stars = [(); 3].map(|()| Star::with(StarOptions::new().ttl(2)).unwrap());
        let far = Star::with(StarOptions::new().ttl(2)).unwrap();
        for (n, star) in stars.iter().enumerate() {
            connect(transport, if n < 2 { &a } else { &b }, star);
        }
        connect(transport, &stars[2], &far);
        let device = Running::start(Device::new(a, b));
        stars[0].send("from the first").unwrap();
        assert_eq!(recv(&stars[1]), "from the first");
        assert_eq!(recv(&stars[2]), "from the first");
        wait_until("its hops run out", || far.stats().get("hop_limit") == Some(1));
        stars[2].send("from the third").unwrap();
        for star in [&stars[0], &stars[1], &far] {
            assert_eq!(recv(star), "from the third", "nothing came back before it, or twice");
        }
        let stats = device.stop();
        assert_eq!([stats.get("there"), stats.get("back")], [Some(1), Some(1)]);
        assert!(stars.iter().chain([&far]).all(|star| star.try_recv().is_err()));
    }
}

/// sp-wire 8.14 item 155
#[test]
fn a_star_given_twice_to_a_device_passes_on_by_itself_and_nothing_twice() {
    for transport in Transport::BARE {
        let hub = raw::Star::new().unwrap();
        let neighbours = [(); 2].map(|()| Star::new().unwrap());
        neighbours.iter().for_each(|neighbour| drop(connect(transport, &hub, neighbour)));
        let device = Running::start(Device::new(hub.clone(), hub.clone()));
        for (from, to) in [(0, 1), (1, 0), (0, 1)] {
            neighbours[from].send("news").unwrap();
            assert_eq!(recv(&neighbours[to]), "news");
            assert_eq!(recv(&hub).header_words().collect::<Vec<_>>(), [1]);
        }
        let stats = device.stop();
        assert_eq!((stats.get("there"), stats.children.len()), (Some(0), 1));
        assert!(neighbours.iter().all(|neighbour| neighbour.try_recv().is_err()));
        assert!(matches!(hub.recv(), Err(RecvError::Closed { .. })), "the device has closed it");
    }
}

#[test]
fn a_pair_reflector_sends_back() {
    for transport in Transport::BARE {
        let (echo, pair) = (raw::Pair1::new().unwrap(), raw::Pair1::new().unwrap());
        connect(transport, &echo, &pair);
        let device = Running::start(Device::reflector(echo));
        pair.send(with_header(&[0], "hello")).unwrap();
        assert_eq!(recv(&pair).peek_header(), Some(2));
        drop(device.stop());
    }
}

#[test]
fn surveys_reach_everybody_behind_a_device_and_responses_come_back() {
    const ID: u32 = 0x8000_0009;
    for transport in Transport::BARE {
        let (front, back) = (raw::Respondent::new().unwrap(), raw::Surveyor::new().unwrap());
        let surveyor = raw::Surveyor::new().unwrap();
        connect(transport, &front, &surveyor);
        let respondents = [(); 3].map(|()| raw::Respondent::new().unwrap());
        respondents.iter().for_each(|respondent| drop(connect(transport, &back, respondent)));
        let device = Running::start(Device::new(front, back));
        surveyor.send(with_header(&[ID], "who?")).unwrap();
        for (n, respondent) in respondents.iter().enumerate() {
            let survey = recv(respondent);
            assert_eq!((survey.header_words().len(), survey.body()), (3, &b"who?"[..]));
            let mut response = Message::from(n.to_string());
            response.set_header(survey.header()).unwrap();
            respondent.send(response).unwrap();
        }
        let mut responses: Vec<_> = (0..3)
            .map(|_| {
                let msg = recv(&surveyor);
                assert_eq!(msg.header_words().collect::<Vec<_>>(), [ID]);
                msg.to_string()
            })
            .collect();
        responses.sort_unstable();
        assert_eq!(responses, ["0", "1", "2"]);
        let stats = device.stop();
        assert_eq!([stats.get("there"), stats.get("back")], [Some(1), Some(3)]);
    }
}

#[test]
fn a_client_that_vanishes_loses_its_reply_and_nobody_else_does() {
    for transport in Transport::BARE {
        let rep = Rep::new().unwrap();
        let (listener, mut devices) = chain(transport, 1, &rep);
        let (gone, stays) = (Req::new().unwrap(), Req::new().unwrap());
        dial(&gone, &listener);
        dial(&stays, &listener);
        let device = devices.pop().expect("one");
        gone.send("never mind").unwrap();
        assert_eq!(recv(&rep), "never mind");
        gone.close();
        let peers = || counted(&device.handle.stats(), 0, "peers");
        wait_until("the device knows", || peers() == 1);
        rep.send("too late").unwrap();
        stays.send("still there?").unwrap();
        assert_eq!(recv(&rep), "still there?");
        rep.send("yes").unwrap();
        assert_eq!(recv(&stays), "yes");
        let stats = device.stop();
        assert_eq!(counted(&stats, 0, "peer_gone"), 1);
        assert_eq!([stats.get("there"), stats.get("back")], [Some(2), Some(2)]);
    }
}

#[test]
fn a_server_that_is_replaced_is_found_and_the_device_goes_on() {
    let rep = Rep::new().unwrap();
    let (listener, devices) = chain(Transport::Tcp, 1, &rep);
    let req = Req::new().unwrap();
    dial(&req, &listener);
    req.send("first").unwrap();
    assert_eq!(recv(&rep), "first");
    rep.send("1").unwrap();
    assert_eq!(recv(&req), "1");
    let at = rep.peers();
    let url = rep.peer(at[0]).expect("the device").endpoint.to_string();
    rep.close();
    // Else the next request could go to the one that has left.
    let seen = || counted(&devices[0].handle.stats(), 1, "peers");
    wait_until("the device has seen it go", || seen() == 0);
    let rep = Rep::new().unwrap();
    rep.listen(url.as_str()).expect("the address is free again");
    // Waits in the device until that has found the next server.
    req.send("second").unwrap();
    assert_eq!(recv(&rep), "second");
    rep.send("2").unwrap();
    assert_eq!(recv(&req), "2");
    devices.into_iter().for_each(|device| drop(device.stop()));
}

/// What stands still behind a device: its lane there is full, the other is not.
fn one_way_jam(transport: Transport) -> (Running, raw::Pair1, raw::Pair1, Task<raw::Pair1>) {
    // Few, so that what waits is soon too much.
    let small = || raw::Pair1::with(RawOptions::new().queue(8)).unwrap();
    let (a, b, left, right) = (small(), small(), small(), small());
    connect(transport, &a, &left);
    connect(transport, &b, &right);
    let device = Running::start(Device::new(a, b));
    let sending = {
        let left = left.clone();
        spawn(move || {
            let body = pattern(50_000);
            // Until somebody closes.
            while left.send(with_body(&body)).is_ok() {}
            left
        })
    };
    sending.wait_asleep();
    (device, left, right, sending)
}

fn with_body(body: &[u8]) -> Message {
    let mut msg = Message::from(body);
    assert!(msg.push_header(0));
    msg
}

#[test]
fn a_slow_side_holds_up_what_is_on_its_way_to_it_and_nothing_else() {
    for transport in Transport::BARE {
        let (device, left, right, sending) = one_way_jam(transport);
        let mut stuck = device.count("there");
        wait_until("nothing moves", || {
            let before = std::mem::replace(&mut stuck, device.count("there"));
            before == stuck && sending_sleeps(&sending)
        });
        for n in 0..1000_u32 {
            let mut msg = Message::from(n.to_be_bytes());
            assert!(msg.push_header(0));
            right.send_timeout(msg, DEADLINE).unwrap();
            assert_eq!(recv(&left), n.to_be_bytes());
        }
        // And on it goes, nothing lost, once the slow side takes something.
        for _ in 0..stuck + 20 {
            assert_eq!(recv(&right).len(), 50_000);
        }
        let stats = device.stop();
        assert_eq!(stats.get("back"), Some(1000));
        left.close();
        sending.join();
    }
}

fn sending_sleeps<T>(sending: &Task<T>) -> bool {
    sending.wait_asleep();
    !sending.is_over()
}

/// sp-wire 8.15 item 160
#[test]
fn a_device_that_is_stopped_closes_both_sockets() {
    for transport in Transport::BARE {
        let (front, back) = (raw::Rep::new().unwrap(), raw::Req::new().unwrap());
        let (req, rep) = (Req::new().unwrap(), Rep::new().unwrap());
        connect(transport, &front, &req);
        connect(transport, &rep, &back);
        let device = Running::start(Device::new(front.clone(), back.clone()));
        req.send("ping").unwrap();
        assert_eq!(recv(&rep), "ping");
        let pending = spawn({
            let back = back.clone();
            move || back.recv()
        });
        pending.wait_asleep();
        device.stop();
        assert!(matches!(pending.join(), Err(RecvError::Closed { .. })));
        assert!(front.recv().unwrap_err().is_closed() && back.recv().unwrap_err().is_closed());
        wait_until("the peers know", || req.peers().is_empty() && rep.peers().is_empty());
    }
}

#[test]
fn the_end_of_either_socket_ends_the_device() {
    for transport in Transport::BARE {
        for close_front in [true, false] {
            let (front, back) = (raw::Pull::new().unwrap(), raw::Push::new().unwrap());
            let push = Push::new().unwrap();
            connect(transport, &front, &push);
            let device = Running::start(Device::new(front.clone(), back.clone()));
            // Nobody takes it, so the device waits for room, not for messages.
            push.send("work").unwrap();
            wait_until("it is taken", || device.handle.stats().get("held") == Some(1));
            device.thread.wait_asleep();
            if close_front {
                front.close()
            } else {
                back.close()
            };
            let stats = device.thread.join();
            let [there, held, lost] = ["there", "held", "lost"].map(|name| stats.get(name));
            assert_eq!([there, held, lost], [Some(0), Some(0), Some(1)]);
        }
    }
}

#[test]
fn a_jammed_device_ends_when_it_is_stopped() {
    for transport in Transport::BARE {
        let (device, left, _right, sending) = one_way_jam(transport);
        device.stop();
        left.close();
        sending.join();
    }
}

#[test]
fn a_device_can_be_stopped_before_it_runs_and_twice() {
    let device = Device::new(raw::Sub::new().unwrap(), raw::Pub::new().unwrap());
    let handle = device.handle();
    handle.stop();
    handle.stop();
    device.run();
    handle.stop();
}

#[test]
fn a_device_is_a_future_for_any_runtime() {
    for transport in Transport::BARE {
        let rep = Rep::with(RepOptions::new()).unwrap();
        let (front, back) = (raw::Rep::new().unwrap(), raw::Req::new().unwrap());
        let req = Req::new().unwrap();
        connect(transport, &front, &req);
        connect(transport, &rep, &back);
        let device = Device::new(front, back);
        let handle = device.handle();
        let running = spawn(move || block_on(device));
        for n in 0..200_u32 {
            req.send(n.to_be_bytes()).unwrap();
            assert_eq!(recv(&rep), n.to_be_bytes());
            rep.send("pong").unwrap();
            assert_eq!(recv(&req), "pong");
        }
        handle.stop();
        let stats = running.join();
        assert_eq!([stats.get("there"), stats.get("back")], [Some(200), Some(200)]);
    }
}

#[test]
fn a_future_that_is_dropped_ends_the_device_and_keeps_nothing() {
    let (front, back) = (raw::Pull::new().unwrap(), raw::Push::new().unwrap());
    let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
    connect(Transport::Tcp, &front, &push);
    connect(Transport::Tcp, &back, &pull);
    let handle = {
        let (waker, rung) = bell();
        let mut device = pin!(Device::new(front.clone(), back));
        let handle = device.handle();
        assert!(device.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        push.send("work").unwrap();
        rung.recv_timeout(DEADLINE).expect("the task is woken");
        assert!(device.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(recv(&pull), "work");
        handle
    };
    assert!(front.recv().unwrap_err().is_closed());
    assert_eq!(handle.stats().get("there"), Some(1));
}

#[test]
fn a_future_polled_by_another_task_wakes_that_one() {
    let (front, back) = (raw::Pull::new().unwrap(), raw::Push::new().unwrap());
    let push = Push::new().unwrap();
    connect(Transport::Tcp, &front, &push);
    let mut device = pin!(Device::new(front, back.clone()));
    let (first, rung_first) = bell();
    let (second, rung) = bell();
    assert!(device.as_mut().poll(&mut Context::from_waker(&first)).is_pending());
    assert!(device.as_mut().poll(&mut Context::from_waker(&second)).is_pending());
    back.close();
    rung.recv_timeout(DEADLINE).expect("the task that polled last is woken");
    assert!(rung_first.is_empty());
    let Poll::Ready(stats) = device.as_mut().poll(&mut Context::from_waker(&second)) else {
        panic!("a socket is closed")
    };
    assert_eq!(stats.get("there"), Some(0));
}

#[test]
fn messages_both_ways_at_once_all_arrive() {
    const MESSAGES: u32 = 5_000;
    for transport in Transport::BARE {
        let (a, b) = (raw::Pair1::new().unwrap(), raw::Pair1::new().unwrap());
        let ends = [(); 2].map(|()| raw::Pair1::new().unwrap());
        connect(transport, &a, &ends[0]);
        connect(transport, &b, &ends[1]);
        let device = Running::start(Device::new(a, b));
        let threads = ends.each_ref().map(|end| {
            let (sends, receives) = (end.clone(), end.clone());
            let sending = spawn(move || {
                for n in 0..MESSAGES {
                    let mut msg = Message::from(n.to_be_bytes());
                    assert!(msg.push_header(0));
                    sends.send_timeout(msg, DEADLINE).unwrap();
                }
            });
            let receiving = spawn(move || {
                for n in 0..MESSAGES {
                    assert_eq!(recv(&receives), n.to_be_bytes());
                }
            });
            [sending, receiving]
        });
        threads.into_iter().flatten().for_each(Task::join);
        let stats = device.stop();
        let all = Some(u64::from(MESSAGES));
        assert_eq!([stats.get("there"), stats.get("back"), stats.get("lost")], [all, all, Some(0)]);
    }
}

/// What has been accepted leaves at the end.
#[test]
fn a_device_that_ends_sends_what_it_has_accepted() {
    let (front, back) = (raw::Pull::new().unwrap(), raw::Push::new().unwrap());
    let (push, pull) = (Push::new().unwrap(), Pull::with(PullOptions::new().queue(1)).unwrap());
    connect(Transport::Tcp, &front, &push);
    let events = back.events();
    let listener = back.listen("tcp://127.0.0.1:0").unwrap();
    dial(&pull, &listener);
    wait_connected(&events);
    let device = Running::start(Device::new(front, back));
    for n in 0..100_u32 {
        push.send(n.to_be_bytes()).unwrap();
    }
    wait_until("all are passed on", || device.count("there") == 100);
    let stopped = spawn(move || device.stop());
    for n in 0..100_u32 {
        assert_eq!(recv(&pull), n.to_be_bytes());
    }
    assert_eq!(stopped.join().get("lost"), Some(0));
}
