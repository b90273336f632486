//! Against nng and nanomsg as users have them: the command line tools `nngcat` and `nanocat`, each a process of its
//! own. What needs many messages or every size in both directions is tested against nng in process, in `benches`.
//!
//! A tool that is not installed is skipped with a line that says so; with `SP_INTEROP=required` in the environment
//! the test fails instead.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{self, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use sp::raw::{self, Device, DeviceHandle, Fits};
use sp::{
    Bus, CloseReason, DialOptions, ListenOptions, OpenError, Pair, Pair1, Pair1Poly, PeerId,
    PipeEvent, ProtocolId, Pub, Pull, PullOptions, Push, Rep, Req, Respondent, Socket, Stats, Sub,
    Surveyor, SurveyorOptions, UpgradeFault,
};
use sp_core::clock;
use sp_protocols::engine::{Engine, RecvEngine, SendEngine};

use crate::support::{DEADLINE, Transport, pattern, spawn, unique};

mod support;

#[cfg(feature = "tls")]
#[path = "tls/nngcat.rs"]
mod over_tls;

macro_rules! with_each_tool {
    ($($case:ident)*) => {
        mod nngcat {
            $(#[test] fn $case() { super::NNGCAT.if_installed(super::$case); })*
        }
        mod nanocat {
            $(#[test] fn $case() { super::NANOCAT.if_installed(super::$case); })*
        }
    };
}

with_each_tool! {
    our_req_asks_their_rep
    our_rep_answers_their_req
    our_surveyor_hears_their_respondents
    our_respondent_answers_their_surveyor
    our_sub_contexts_hear_their_pub
    our_pub_reaches_their_sub
    our_sub_hears_their_pub
    our_push_feeds_their_pull
    our_pull_collects_from_their_push
    our_pair_talks_with_theirs
    our_pair1_talks_with_theirs
    our_polyamorous_pair1_talks_with_each_of_theirs
    our_bus_talks_with_theirs
    their_req_and_rep_talk_through_our_devices
    their_pub_reaches_their_sub_through_our_device
    their_push_feeds_their_pull_through_our_device
    their_surveyor_hears_their_respondent_through_our_device
    their_pairs_talk_through_our_device
    a_peer_of_the_wrong_pattern_is_refused_by_name
    a_background_dialer_finds_a_peer_that_starts_later
    their_dialer_finds_our_next_listener
    a_request_outlives_the_peer_that_is_killed_with_it
    a_peer_killed_in_mid_message_disturbs_nobody_and_is_found_again
}

/// sp-wire 8.3 item 47. nanomsg has no such names.
#[test]
fn an_abstract_name_is_the_same_to_nngcat() {
    NNGCAT.if_installed(|program| {
        let (there, here) = [(); 2].map(|()| format!("abstract://{}%00x", unique())).into();
        let tool = Tool::start(program, &["--pull", "--format", "msgpack", "--bind", &there]);
        let push = Push::new().expect("a socket");
        tool.expect(push.dial_with(&there, &eagerly()));
        tool.expect(push.send_timeout("by its name", DEADLINE));
        assert_eq!(tool.printed(), b"by its name");

        let pull = Pull::new().expect("a socket");
        tool.expect(pull.listen(&here));
        let tool = Tool::start(program, &["--push", "--data", "and back", "--connect", &here]);
        assert_eq!(tool.expect(pull.recv_timeout(DEADLINE)), "and back");
    });
}

/// sp-wire 8.3 item 46. Only root can start a process of another user's; others see that theirs is let in.
#[test]
fn a_socket_file_lets_nngcat_in_if_its_permissions_do() {
    NNGCAT.if_installed(|program| {
        let root = fs::metadata("/proc/self").expect("Linux").uid() == 0;
        for (mode, lets_in) in [(0o600, !root), (0o666, true)] {
            let at = Address::ours(Transport::Ipc);
            let pull = Pull::new().expect("a socket");
            let options = ListenOptions::new().permissions(Some(mode));
            pull.listen_with(at.url(), &options).expect("a free address");
            let mut command = Command::new(program.name);
            if root {
                command.uid(NOBODY);
            }
            let end = command
                .args(["--push", "--data", "let me in", "--connect", at.url()])
                .output()
                .expect("the tool starts");
            assert_eq!(end.status.success(), lets_in, "{mode:o}: {end:?}");
            if lets_in {
                assert_eq!(pull.recv_timeout(DEADLINE).expect("a message"), "let me in");
            }
        }
    });
}

/// sp-wire 8.17 items 175 and 178
fn our_req_asks_their_rep(program: &'static Program) {
    for (way, reply_len) in WAYS.into_iter().zip(LENGTHS_SENT) {
        let reply = body(reply_len);
        let given = Given::new(&reply);
        let req = Req::new().expect("a socket");
        let (tool, _at) = meet(
            &req,
            program,
            way,
            &["--rep", "--format", "msgpack", given.option(), given.value()],
        );
        for len in program.lengths_received(REQUEST_ID) {
            let request = body(len);
            tool.expect(req.send_timeout(request.as_slice(), DEADLINE));
            assert_same(&tool.expect(req.recv_timeout(DEADLINE)), &reply);
            assert_same(&tool.printed(), &request);
        }
    }
}

/// sp-wire 8.17 items 175 and 178
fn our_rep_answers_their_req(program: &'static Program) {
    for (way, request_len) in WAYS.into_iter().zip(LENGTHS_SENT) {
        let request = body(request_len);
        let reply = body(program.longest_received(REQUEST_ID));
        let given = Given::new(&request);
        let rep = Rep::new().expect("a socket");
        let (tool, _at) = meet(
            &rep,
            program,
            way,
            &["--req", "--format", "msgpack", given.option(), given.value()],
        );
        assert_same(&tool.expect(rep.recv_timeout(DEADLINE)), &request);
        tool.expect(rep.send_timeout(reply.as_slice(), DEADLINE));
        assert_same(&tool.printed(), &reply);
        tool.ends_well();
    }
}

/// sp-wire 8.17 item 175
fn our_surveyor_hears_their_respondents(program: &'static Program) {
    for (way, response_len) in WAYS.into_iter().zip(LENGTHS_SENT) {
        let response = body(response_len);
        let given = Given::new(&response);
        let args = ["--respondent", "--format", "msgpack", given.option(), given.value()];
        // Time for all of the longest responses, and room.
        let options = SurveyorOptions::new().survey_time(DEADLINE).queue_bytes(256 * MIB);
        let surveyor = Surveyor::with(options).expect("a socket");
        let tools = [(); 2].map(|()| meet(&surveyor, program, way, &args));
        for len in program.lengths_received(REQUEST_ID) {
            let survey = body(len);
            surveyor.send(survey.as_slice()).expect("a surveyor never waits");
            for (tool, _) in &tools {
                assert_same(&tool.expect(surveyor.recv_timeout(DEADLINE)), &response);
                assert_same(&tool.printed(), &survey);
            }
        }
    }
}

/// sp-wire 8.17 item 175
fn our_respondent_answers_their_surveyor(program: &'static Program) {
    for (way, len) in WAYS.into_iter().zip([(64 << 10) + 1, 0, 1, MIB - REQUEST_ID]) {
        let (survey, response) = (body(len), body(MIB - REQUEST_ID - len));
        let given = Given::new(&survey);
        let respondent = Respondent::new().expect("a socket");
        // Again and again, since a survey made before we are connected is lost, and so is a response that takes longer
        // than the second that surveys of theirs last.
        let repeated =
            ["--surveyor", "--interval", "2", "--format", "msgpack", given.option(), given.value()];
        let (tool, _at) = meet(&respondent, program, way, &repeated);
        let server = spawn({
            let (respondent, response) = (respondent.clone(), response.clone());
            move || {
                for asked in respondent.iter() {
                    assert_same(&asked, &survey);
                    // Fails when the socket is closed.
                    let _ = respondent.send(response.as_slice());
                }
            }
        });
        assert_same(&tool.printed(), &response);
        respondent.close();
        server.join();
    }
}

fn our_sub_contexts_hear_their_pub(program: &'static Program) {
    let news = body(5);
    let given = Given::new(&news);
    for way in WAYS {
        let sub = Sub::new().expect("a socket");
        let contexts = [(); 3].map(|()| sub.context());
        contexts[0].subscribe(TOPIC);
        contexts[1].subscribe("");
        contexts[2].subscribe("not their topic");
        let (tool, _at) =
            meet(&sub, program, way, &["--pub", "--interval", "1", given.option(), given.value()]);
        for context in &contexts[..2] {
            assert_same(&tool.expect(context.recv_timeout(DEADLINE)), &news);
        }
        assert!(contexts[2].try_recv().is_err_and(|error| error.is_empty()));
    }
}

/// sp-wire 8.17 items 175 and 178
fn our_pub_reaches_their_sub(program: &'static Program) {
    for way in WAYS {
        let publisher = Pub::new().expect("a socket");
        let (tool, _at) =
            meet(&publisher, program, way, &["--sub", "--subscribe", TOPIC, "--format", "msgpack"]);
        for len in program.lengths_received(0) {
            let wanted = body(len);
            tool.expect(publisher.send("not their topic"));
            tool.expect(publisher.send(wanted.as_slice()));
            // The empty message is sent as well, but belongs to no topic of theirs.
            if len > 0 {
                assert_same(&tool.printed(), &wanted);
            }
        }
    }
}

/// sp-wire 8.17 items 175 and 178
fn our_sub_hears_their_pub(program: &'static Program) {
    for (way, len) in WAYS.into_iter().zip(LENGTHS_SENT) {
        let news = body(len);
        let given = Given::new(&news);
        let sub = Sub::new().expect("a socket");
        sub.subscribe(&news[..len.min(TOPIC.len())]);
        // Again every second, since what it publishes before we are connected is lost.
        let (tool, _at) =
            meet(&sub, program, way, &["--pub", "--interval", "1", given.option(), given.value()]);
        for _ in 0..2 {
            assert_same(&tool.expect(sub.recv_timeout(DEADLINE)), &news);
        }
    }
}

/// sp-wire 8.17 items 175 and 178; 8.5 item 76: what we listen for over WebSocket is sent in fragments above a MiB
fn our_push_feeds_their_pull(program: &'static Program) {
    for way in WAYS {
        let push = Push::new().expect("a socket");
        let (tool, _at) = meet(&push, program, way, &["--pull", "--format", "msgpack"]);
        let lengths = program.lengths_received(0);
        for len in &lengths {
            tool.expect(push.send_timeout(body(*len), DEADLINE));
        }
        for len in &lengths {
            assert_same(&tool.printed(), &body(*len));
        }
    }
}

/// sp-wire 8.17 items 175 and 178
fn our_pull_collects_from_their_push(program: &'static Program) {
    for (way, len) in WAYS.into_iter().zip(LENGTHS_SENT) {
        let work = body(len);
        let given = Given::new(&work);
        let pull = Pull::new().expect("a socket");
        // The tools send once and leave before a long message is through; the interval makes them stay.
        let (tool, _at) = meet(
            &pull,
            program,
            way,
            &["--push", "--interval", "60", given.option(), given.value()],
        );
        assert_same(&tool.expect(pull.recv_timeout(DEADLINE)), &work);
    }
}

/// sp-wire 8.17 item 175
fn our_pair_talks_with_theirs(program: &'static Program) {
    talk_both_ways(program, program.pair0, 0, Pair::new);
}

/// sp-wire 8.17 item 175
fn our_pair1_talks_with_theirs(program: &'static Program) {
    // nanomsg has none.
    let Some(option) = program.pair1 else { return };
    talk_both_ways(program, option, HOPS, Pair1::new);
}

/// The tool says its piece and prints what it hears.
fn talk_both_ways<E: SendEngine + RecvEngine>(
    program: &'static Program,
    option: &str,
    header: usize,
    open: impl Fn() -> Result<Socket<E>, OpenError>,
) {
    for (way, len) in WAYS.into_iter().zip(LENGTHS_SENT) {
        let word = body(len);
        let given = Given::new(&word);
        let pair = open().expect("a socket");
        let args = [option, "--format", "msgpack", given.option(), given.value()];
        let (tool, _at) = meet(&pair, program, way, &args);
        assert_same(&tool.expect(pair.recv_timeout(DEADLINE)), &word);
        let lengths = program.lengths_received(header);
        for len in &lengths {
            tool.expect(pair.send_timeout(body(*len), DEADLINE));
        }
        for len in &lengths {
            assert_same(&tool.printed(), &body(*len));
        }
    }
}

fn our_polyamorous_pair1_talks_with_each_of_theirs(program: &'static Program) {
    let Some(option) = program.pair1 else { return };
    for way in WAYS {
        let poly = Pair1Poly::new().expect("a socket");
        let tools = ["one", "two"].map(|word| {
            let args = [option, "--format", "msgpack", "--data", word];
            let (tool, at) = meet(&poly, program, way, &args);
            let said = tool.expect(poly.recv_timeout(DEADLINE));
            assert_eq!(said, word);
            (tool, at, said.source().expect("it was received"))
        });
        for (n, (tool, _at, peer)) in tools.iter().enumerate() {
            tool.expect(poly.send_to(*peer, n.to_string()));
        }
        for (n, (tool, _at, _peer)) in tools.iter().enumerate() {
            assert_eq!(tool.printed(), n.to_string().as_bytes());
        }
    }
}

/// sp-wire 8.17 item 175
fn our_bus_talks_with_theirs(program: &'static Program) {
    for (way, len) in WAYS.into_iter().zip(LENGTHS_SENT) {
        let word = body(len);
        let given = Given::new(&word);
        let bus = Bus::new().expect("a socket");
        // Again every second, since what it says before we are connected is lost.
        let args = ["--bus", "--interval", "1", "--format", "msgpack"];
        let args = [&args[..], &[given.option(), given.value()]].concat();
        let (tool, _at) = meet(&bus, program, way, &args);
        for _ in 0..2 {
            assert_same(&tool.expect(bus.recv_timeout(DEADLINE)), &word);
        }
        for len in program.lengths_received(0) {
            tool.expect(bus.send(body(len)));
            assert_same(&tool.printed(), &body(len));
        }
    }
}

fn a_peer_of_the_wrong_pattern_is_refused_by_name(program: &'static Program) {
    for transport in TRANSPORTS {
        let at = Address::reserved(transport);
        let tool = Tool::start(program, &["--pull", "--bind", at.url()]);
        let req = Req::new().expect("a socket");
        let events = req.events();
        tool.expect(req.dial_with(at.url(), &eagerly()));
        let wrong = if transport == Transport::Ws {
            // All that HTTP says.
            CloseReason::BadUpgrade(UpgradeFault::Status(400))
        } else {
            CloseReason::WrongProtocol { got: ProtocolId::PULL, wanted: ProtocolId::REP }
        };
        refused(&events, &tool, &wrong);

        let push = Push::new().expect("a socket");
        tool.expect(push.dial(at.url()));
        // Their listener may rest after the peers it turned away, but answers.
        let error =
            Req::new().expect("a socket").dial(at.url()).expect_err("a PULL answers no request");
        assert!(error.to_string().contains(&wrong.to_string()), "{error}");

        let rep = Rep::new().expect("a socket");
        let events = rep.events();
        let at = Address::ours(transport);
        let ours = tool.expect(rep.listen(at.url()));
        let wrong = CloseReason::WrongProtocol { got: ProtocolId::PULL, wanted: ProtocolId::REQ };
        let stranger = Tool::start(program, &["--pull", "--connect", &ours.endpoint().to_string()]);
        refused(&events, &stranger, &wrong);
        assert!(rep.peers().is_empty());
    }
}

fn their_req_and_rep_talk_through_our_devices(program: &'static Program) {
    for way in WAYS {
        let (question, answer) = (body(70_000), body(100));
        let (asked, answered) = (Given::new(&question), Given::new(&answer));
        let (front, back) =
            (raw::Rep::new().expect("a socket"), raw::Req::new().expect("a socket"));
        let rep = ["--rep", "--format", "msgpack", answered.option(), answered.value()];
        let (rep, _at) = meet(&back, program, way, &rep);
        // The middle of three devices has one of ours on either side.
        let (entry, exit) =
            (raw::Rep::new().expect("a socket"), raw::Req::new().expect("a socket"));
        let (enters, leaves) =
            (raw::Req::new().expect("a socket"), raw::Rep::new().expect("a socket"));
        support::connect(way.transport, &entry, &enters);
        support::connect(way.transport, &leaves, &exit);
        let req = ["--req", "--format", "msgpack", asked.option(), asked.value()];
        let (req, _at) = meet(&front, program, way, &req);
        let devices = [
            Running::start(Device::new(front, enters)),
            Running::start(Device::new(entry, exit)),
            Running::start(Device::new(leaves, back)),
        ];
        assert_same(&rep.printed(), &question);
        assert_same(&req.printed(), &answer);
        req.ends_well();
        for device in devices {
            let stats = device.stop();
            assert_eq!([stats.get("there"), stats.get("back")], [Some(1), Some(1)]);
        }
    }
}

fn their_pub_reaches_their_sub_through_our_device(program: &'static Program) {
    for way in WAYS {
        let news = body(1000);
        let given = Given::new(&news);
        let (front, back) =
            (raw::Sub::new().expect("a socket"), raw::Pub::new().expect("a socket"));
        let sub = ["--sub", "--subscribe", TOPIC, "--format", "msgpack"];
        let (sub, _at) = meet(&back, program, way, &sub);
        let publisher = ["--pub", "--interval", "1", given.option(), given.value()];
        let (_publisher, _at) = meet(&front, program, way, &publisher);
        let device = Running::start(Device::new(front, back));
        assert_same(&sub.printed(), &news);
        device.stop();
    }
}

fn their_push_feeds_their_pull_through_our_device(program: &'static Program) {
    for way in WAYS {
        let work = body(MIB);
        let given = Given::new(&work);
        let (front, back) =
            (raw::Pull::new().expect("a socket"), raw::Push::new().expect("a socket"));
        let (pull, _at) = meet(&back, program, way, &["--pull", "--format", "msgpack"]);
        let push = ["--push", "--interval", "1", given.option(), given.value()];
        let (_push, _at) = meet(&front, program, way, &push);
        let device = Running::start(Device::new(front, back));
        assert_same(&pull.printed(), &work);
        device.stop();
    }
}

fn their_surveyor_hears_their_respondent_through_our_device(program: &'static Program) {
    for way in WAYS {
        let (front, back) =
            (raw::Respondent::new().expect("a socket"), raw::Surveyor::new().expect("a socket"));
        let respondent = ["--respondent", "--format", "msgpack", "--data", "here"];
        let (respondent, _at) = meet(&back, program, way, &respondent);
        // Again and again, since a survey ends after a second, in which much may happen.
        let surveyor =
            ["--surveyor", "--interval", "1", "--format", "msgpack", "--data", "anybody?"];
        let (surveyor, _at) = meet(&front, program, way, &surveyor);
        let device = Running::start(Device::new(front, back));
        assert_same(&respondent.printed(), b"anybody?");
        assert_same(&surveyor.printed(), b"here");
        device.stop();
    }
}

/// sp-wire 8.17 item 176
fn their_pairs_talk_through_our_device(program: &'static Program) {
    for way in WAYS {
        let (a, b) = (raw::Pair::new().expect("a socket"), raw::Pair::new().expect("a socket"));
        pairs_talk(program, way, program.pair0, a, b);
        // nanomsg has the one without a hop count only.
        if let Some(pair1) = program.pair1 {
            let (a, b) =
                (raw::Pair1::new().expect("a socket"), raw::Pair1::new().expect("a socket"));
            pairs_talk(program, way, pair1, a, b);
        }
    }
}

fn pairs_talk<E: Fits<E>>(
    program: &'static Program,
    way: Way,
    pattern: &str,
    a: Socket<E>,
    b: Socket<E>,
) {
    let says = |what| [pattern, "--interval", "1", "--format", "msgpack", "--data", what];
    let (one, _at) = meet(&a, program, way, &says("from one"));
    let (other, _at) = meet(&b, program, way, &says("from the other"));
    let device = Running::start(Device::new(a, b));
    assert_same(&other.printed(), b"from one");
    assert_same(&one.printed(), b"from the other");
    device.stop();
}

/// A device of ours at work on a thread.
struct Running {
    handle: DeviceHandle,
    thread: support::Task<Stats>,
}

impl Running {
    fn start(device: Device) -> Self {
        Self { handle: device.handle(), thread: spawn(move || device.run()) }
    }

    fn stop(self) -> Stats {
        self.handle.stop();
        self.thread.join()
    }
}

fn a_background_dialer_finds_a_peer_that_starts_later(program: &'static Program) {
    for transport in TRANSPORTS {
        let at = Address::reserved(transport);
        let req = Req::new().expect("a socket");
        let events = req.events();
        req.dial_with(at.url(), &eagerly()).expect("a good URL");
        let first = events.recv_timeout(DEADLINE).expect("an attempt that fails");
        let PipeEvent::Refused { why: CloseReason::Io(_), .. } = first else {
            panic!("got {first:?}")
        };

        let tool = Tool::start(program, &["--rep", "--data", "at last", "--bind", at.url()]);
        tool.expect(req.send_timeout("anybody?", DEADLINE));
        assert_eq!(tool.expect(req.recv_timeout(DEADLINE)), "at last");
    }
}

fn their_dialer_finds_our_next_listener(program: &'static Program) {
    for transport in TRANSPORTS {
        if transport == Transport::Ws && program.name == NANOCAT.name {
            // nanomsg takes an orderly close for a farewell for good, whoever says it.
            continue;
        }
        let at = Address::reserved(transport);
        let first = Push::new().expect("a socket");
        first.listen(at.url()).expect("an address that is free");
        let tool = Tool::start(program, &["--pull", "--format", "msgpack", "--connect", at.url()]);
        tool.expect(first.send_timeout("from the first", DEADLINE));
        assert_eq!(tool.printed(), b"from the first");
        first.close();

        let second = Push::new().expect("a socket");
        tool.expect(second.listen(at.url()));
        tool.expect(second.send_timeout("from the second", DEADLINE));
        assert_eq!(tool.printed(), b"from the second");
    }
}

fn a_request_outlives_the_peer_that_is_killed_with_it(program: &'static Program) {
    for transport in TRANSPORTS {
        let at = Address::reserved(transport);
        let req = Req::new().expect("a socket");
        let events = req.events();
        // Without anything to reply, the tool takes requests and keeps silent.
        let silent = Tool::start(program, &["--rep", "--format", "msgpack", "--bind", at.url()]);
        silent.expect(req.dial_with(at.url(), &eagerly()));
        let peer = connected(&events, &silent);
        silent.expect(req.send_timeout("question", DEADLINE));
        assert_eq!(silent.printed(), b"question");
        silent.kill();
        closed(&events, peer);

        let tool = Tool::start(
            program,
            &["--rep", "--data", "answer", "--format", "msgpack", "--bind", at.url()],
        );
        assert_ne!(connected(&events, &tool), peer, "a new connection is a new peer");
        assert_eq!(tool.printed(), b"question");
        assert_eq!(tool.expect(req.recv_timeout(DEADLINE)), "answer");
    }
}

/// sp-wire 8.17 item 179
fn a_peer_killed_in_mid_message_disturbs_nobody_and_is_found_again(program: &'static Program) {
    for transport in TRANSPORTS {
        let work = body(MIB);
        let given = Given::new(&work);
        let without_end = ["--push", "--interval", "0", given.option(), given.value()];
        // Room for one message: so the senders stand in the middle of the next ones when we are not receiving.
        let pull = Pull::with(PullOptions::new().queue(1)).expect("a socket");
        let events = pull.events();
        let at = Address::reserved(transport);
        let victim = Tool::start(program, &[&without_end[..], &["--bind", at.url()]].concat());
        victim.expect(pull.dial_with(at.url(), &eagerly()));
        let killed = connected(&events, &victim);
        let ours = Address::ours(transport);
        let url = victim.expect(pull.listen(ours.url())).endpoint().to_string();
        let other = Tool::start(program, &[&without_end[..], &["--connect", &url]].concat());
        let stays = connected(&events, &other);

        let next_from = |peer: PeerId, tool: &Tool| {
            let until = clock::now() + DEADLINE;
            loop {
                let message = tool.expect(pull.recv_deadline(until));
                assert_same(&message, &work);
                if message.source() == Some(peer) {
                    return;
                }
            }
        };
        next_from(killed, &victim);
        next_from(stays, &other);
        victim.kill();
        // A connection is read, and its end seen, only as far as there is room: so receive on.
        let gone = receive_until(&pull, &events, &other, &work, |event| match event {
            PipeEvent::Closed { peer, why } if peer == killed => Some(why),
            _ => None,
        });
        let expected =
            matches!(gone, CloseReason::Truncated | CloseReason::PeerClosed | CloseReason::Io(_));
        assert!(expected, "closed because: {gone}");
        for _ in 0..3 {
            next_from(stays, &other);
        }

        let again = Tool::start(program, &[&without_end[..], &["--bind", at.url()]].concat());
        let found = receive_until(&pull, &events, &again, &work, |event| match event {
            PipeEvent::Connected { peer, .. } => Some(peer),
            _ => None,
        });
        next_from(found, &again);
        assert_eq!(pull.peers().len(), 2);
    }
}

/// Receives `work` until something has happened.
fn receive_until<T>(
    pull: &Pull,
    events: &Receiver<PipeEvent>,
    tool: &Tool,
    work: &[u8],
    pick: impl Fn(PipeEvent) -> Option<T>,
) -> T {
    let until = clock::now() + DEADLINE;
    loop {
        assert_same(&tool.expect(pull.recv_deadline(until)), work);
        if let Some(picked) = events.try_iter().find_map(&pick) {
            return picked;
        }
    }
}

/// What every program does that sends one message and ends, without the luck that its end comes a little later.
#[test]
fn a_peer_that_sends_and_closes_at_once_is_delivered_and_closed() {
    // Whether all of it is there when we first look is up to the system: nearly always.
    for _ in 0..20 {
        let pull = Pull::new().expect("a socket");
        let events = pull.events();
        let listener = pull.listen("tcp://127.0.0.1:0").expect("a free port");
        let port = listener.endpoint().port().expect("a TCP endpoint");
        let mut peer = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("we listen");
        let handshake = [0, b'S', b'P', 0, 0, 0x50, 0, 0];
        let message = [0, 0, 0, 0, 0, 0, 0, 4, b'w', b'o', b'r', b'k'];
        peer.write_all(&[&handshake[..], &message].concat()).expect("room in the kernel");
        peer.shutdown(Shutdown::Write).expect("an open connection");

        let message = pull.recv_timeout(DEADLINE).expect("a message");
        assert_eq!(message, "work");
        assert_eq!(
            closed(&events, message.source().expect("it was received")),
            CloseReason::PeerClosed
        );
    }
}

/// A tool of somebody else's, which may be installed or not. Both understand the same options.
struct Program {
    name: &'static str,
    package: &'static str,
    /// Bytes of the longest message it takes, header included.
    recv_max: usize,
    /// How it is told to be a PAIR of either version.
    pair0: &'static str,
    pair1: Option<&'static str>,
}

impl Program {
    fn if_installed(&'static self, case: fn(&'static Self)) {
        match Command::new(self.name).arg("--help").output() {
            Ok(_) => case(self),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let Self { name, package, .. } = self;
                let required = std::env::var("SP_INTEROP").is_ok_and(|value| value == "required");
                assert!(
                    !required,
                    "{name} is not installed; on Debian it is in the package {package}"
                );
                eprintln!("skipped: {name} is not installed (Debian package {package})");
            }
            Err(error) => panic!("start {}: {error}", self.name),
        }
    }

    /// The longest body it takes behind a header of `header` bytes, at most 16 MiB.
    fn longest_received(&self, header: usize) -> usize {
        (self.recv_max - header).min(LENGTHS[LENGTHS.len() - 1])
    }

    /// The lengths of body to try behind a header of `header` bytes; its limit instead of what is above it.
    fn lengths_received(&self, header: usize) -> Vec<usize> {
        let mut lengths = LENGTHS.map(|len| len.min(self.longest_received(header))).to_vec();
        lengths.dedup();
        lengths
    }
}

/// A tool at work, killed when dropped.
struct Tool {
    program: &'static Program,
    args: Vec<String>,
    child: Child,
    /// What it prints, message by message; ends when the tool does.
    printed: Receiver<Vec<u8>>,
    complaints: TempFile,
    /// What its arguments name, removed with it.
    _files: Vec<TempFile>,
}

impl Tool {
    fn start(program: &'static Program, args: &[&str]) -> Self {
        let complaints = TempFile::holding(b"");
        let stderr = File::options().append(true).open(&complaints.0).expect("a file just made");
        let mut child = Command::new(program.name)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", program.name));
        let stdout = child.stdout.take().expect("a pipe was asked for");
        let (send, printed) = unbounded();
        // Ends with the tool's output.
        thread::spawn(move || read_messages(stdout, &send));
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self { program, args, child: Child(child), printed, complaints, _files: Vec::new() }
    }

    /// The next message it prints.
    fn printed(&self) -> Vec<u8> {
        self.expect(self.printed.recv_timeout(DEADLINE))
    }

    /// What went well; otherwise the test fails with what the tool has to say.
    #[track_caller]
    fn expect<T>(&self, outcome: Result<T, impl Display>) -> T {
        outcome.unwrap_or_else(|error| {
            let said = fs::read(&self.complaints.0).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            panic!("{error}; {} {} says: {said:?}", self.program.name, self.args.join(" "))
        })
    }

    /// It prints nothing more and reports success.
    fn ends_well(mut self) {
        let end = self.printed.recv_timeout(DEADLINE);
        assert_eq!(end, Err(RecvTimeoutError::Disconnected), "{} goes on", self.program.name);
        let status = self.child.0.wait();
        assert!(self.expect(status).success());
    }

    /// SIGKILL: it can say no goodbye.
    fn kill(self) {}
}

/// A process of ours to end.
struct Child(process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes MessagePack's byte strings apart, which both tools can print: a tag, a length, the bytes.
fn read_messages(mut from: ChildStdout, to: &Sender<Vec<u8>>) -> Option<()> {
    loop {
        let [tag] = read_bytes(&mut from)?;
        let len = match tag {
            0xc4 => u32::from(u8::from_be_bytes(read_bytes(&mut from)?)),
            0xc5 => u32::from(u16::from_be_bytes(read_bytes(&mut from)?)),
            0xc6 => u32::from_be_bytes(read_bytes(&mut from)?),
            _ => return None,
        };
        let mut message = vec![0; len as usize];
        from.read_exact(&mut message).ok()?;
        to.send(message).ok()?;
    }
}

fn read_bytes<const N: usize>(from: &mut ChildStdout) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// Starts a tool and connects it with `ours`. The address is to be kept as long as the two.
fn meet<E: Engine>(
    ours: &Socket<E>,
    program: &'static Program,
    way: Way,
    args: &[&str],
) -> (Tool, Address) {
    let events = ours.events();
    let (tool, at) = if way.we_dial {
        let at = Address::reserved(way.transport);
        let tool = Tool::start(program, &[args, &["--bind", at.url()]].concat());
        tool.expect(ours.dial_with(at.url(), &eagerly()));
        (tool, at)
    } else {
        let at = Address::ours(way.transport);
        let url = ours.listen(at.url()).expect("a free address").endpoint().to_string();
        (Tool::start(program, &[args, &["--connect", &url]].concat()), at)
    };
    connected(&events, &tool);
    (tool, at)
}

/// Tries on until the tool listens.
fn eagerly() -> DialOptions {
    DialOptions::new()
        .background(true)
        .reconnect(Duration::from_millis(5), Duration::from_millis(50))
}

/// Waits until a peer is connected, whatever went wrong before.
#[track_caller]
fn connected(events: &Receiver<PipeEvent>, tool: &Tool) -> PeerId {
    tool.expect(wait_for(events, |event| match event {
        PipeEvent::Connected { peer, .. } => Some(*peer),
        _ => None,
    }))
}

/// Waits until a peer is turned away because of `wanted`, whatever went wrong before.
#[track_caller]
fn refused(events: &Receiver<PipeEvent>, tool: &Tool, wanted: &CloseReason) {
    tool.expect(wait_for(events, |event| match event {
        PipeEvent::Refused { why, .. } if why == wanted => Some(()),
        _ => None,
    }));
}

/// Waits until `gone` is closed, and answers why.
#[track_caller]
fn closed(events: &Receiver<PipeEvent>, gone: PeerId) -> CloseReason {
    let seen = wait_for(events, |event| match event {
        PipeEvent::Closed { peer, why } if *peer == gone => Some(why.clone()),
        _ => None,
    });
    seen.unwrap_or_else(|error| panic!("{error}"))
}

fn wait_for<T>(
    events: &Receiver<PipeEvent>,
    pick: impl Fn(&PipeEvent) -> Option<T>,
) -> Result<T, String> {
    let until = clock::now() + DEADLINE;
    let mut seen = Vec::new();
    loop {
        let event = events.recv_deadline(until).map_err(|_| {
            format!("the event awaited did not come; {} others did: {:?}", seen.len(), seen.last())
        })?;
        if let Some(picked) = pick(&event) {
            return Ok(picked);
        }
        seen.push(event);
    }
}

/// A URL for this test alone. A socket file is removed with it: a tool that is killed leaves it behind.
struct Address {
    url: String,
    /// Bound but not listening: nobody else is given the port, and whoever says that addresses may be reused can
    /// listen there.
    _port: Option<socket2::Socket>,
}

impl Address {
    /// For our side to listen on; a port is known only afterwards.
    fn ours(transport: Transport) -> Self {
        Self { url: transport.url(), _port: None }
    }

    /// Known beforehand, for the other side to listen on.
    fn reserved(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::port("tcp").expect("a free port"),
            #[cfg(feature = "tls")]
            Transport::Tls => Self::port("tls+tcp").expect("a free port"),
            #[cfg(feature = "tls")]
            Transport::Wss => Self::port("wss").expect("a free port"),
            // Without a path, which nanocat takes to dial but not to listen.
            Transport::Ws => Self::port("ws").expect("a free port"),
            _ => Self::ours(transport),
        }
    }

    fn port(scheme: &str) -> io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let at = socket.local_addr()?.as_socket().expect("an IP address");
        Ok(Self { url: format!("{scheme}://{at}"), _port: Some(socket) })
    }

    fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        if let Some(path) = self.url.strip_prefix("ipc://") {
            // Gone already where the listener closed.
            let _ = fs::remove_file(path);
        }
    }
}

/// A body as the tools want to be given it. nanocat takes no empty file.
enum Given {
    Empty,
    File(TempFile),
}

impl Given {
    fn new(body: &[u8]) -> Self {
        if body.is_empty() { Self::Empty } else { Self::File(TempFile::holding(body)) }
    }

    const fn option(&self) -> &str {
        match self {
            Self::Empty => "--data",
            Self::File(_) => "--file",
        }
    }

    fn value(&self) -> &str {
        match self {
            Self::Empty => "",
            Self::File(file) => file.path(),
        }
    }
}

/// A path of our own, removed when dropped.
struct TempFile(PathBuf);

impl TempFile {
    fn holding(bytes: &[u8]) -> Self {
        let file = Self(std::env::temp_dir().join(unique()));
        fs::write(&file.0, bytes).expect("room for a temporary file");
        file
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // What is left behind is small and in the place for it.
        let _ = fs::remove_file(&self.0);
    }
}

/// How we and a tool come together.
#[derive(Clone, Copy)]
struct Way {
    transport: Transport,
    we_dial: bool,
}

/// `len` bytes of all values that begin with [`TOPIC`].
fn body(len: usize) -> Vec<u8> {
    let mut body = pattern(len);
    for (byte, topic) in body.iter_mut().zip(TOPIC.bytes()) {
        *byte = topic;
    }
    body
}

/// As `assert_eq`, without printing megabytes.
#[track_caller]
fn assert_same(got: &[u8], wanted: &[u8]) {
    assert_eq!(got.len(), wanted.len(), "bytes received");
    let different = || got.iter().zip(wanted).position(|(got, wanted)| got != wanted);
    assert!(got == wanted, "the bodies differ from byte {:?} on", different());
}

const NNGCAT: Program = Program {
    name: "nngcat",
    package: "nng-utils",
    recv_max: usize::MAX,
    pair0: "--pair0",
    pair1: Some("--pair1"),
};

/// It cannot be told to take more than nanomsg's default.
const NANOCAT: Program = Program {
    name: "nanocat",
    package: "nanomsg-utils",
    recv_max: MIB,
    pair0: "--pair",
    pair1: None,
};

const TRANSPORTS: [Transport; 3] = [Transport::Tcp, Transport::Ipc, Transport::Ws];

const WAYS: [Way; 6] = [
    Way { transport: Transport::Tcp, we_dial: true },
    Way { transport: Transport::Ipc, we_dial: true },
    Way { transport: Transport::Tcp, we_dial: false },
    Way { transport: Transport::Ipc, we_dial: false },
    Way { transport: Transport::Ws, we_dial: true },
    Way { transport: Transport::Ws, we_dial: false },
];

const MIB: usize = 1 << 20;

/// Around the lengths at which buffers, reads and announced lengths change.
const LENGTHS: [usize; 7] = [0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, MIB, 16 * MIB];

/// What the tools send, which know one message only: one for each of [`WAYS`].
const LENGTHS_SENT: [usize; 6] = [16 * MIB, 0, (64 << 10) + 1, 16 * MIB, 16 * MIB, MIB + 1];

/// Bytes that REQ and REP put in front of a body.
const REQUEST_ID: usize = 4;

/// Bytes that PAIR1 puts in front of a body.
const HOPS: usize = 4;

/// How each [`body`] begins, apart from the empty one.
const TOPIC: &str = "a";

/// A user without rights, on every system.
const NOBODY: u32 = 65534;
