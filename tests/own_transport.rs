//! Transports that the program brings: what they may do wrong stays theirs. The patterns over one are in `matrix.rs`.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sp::transport::{ByteListener, ByteStream, SchemeError, Transport, register};
use sp::{
    Bus, CloseReason, DialError, DialOptions, EndpointError, Events, Fault, ListenError, PipeEvent,
    Pull, Push, Rep, Req,
};
use support::{DEADLINE, own, unique, wait_connected, wait_event, wait_until};

mod support;

/// What a stream or its transport does, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mischief {
    Nothing,
    ReadFails,
    ReadPanics,
    ReadOverruns,
    WriteFails,
    WritePanics,
    WriteOverruns,
    WritesNothing,
    ReadsAreInterrupted,
    WritesAreInterrupted,
    ShutdownPanics,
    DropPanics,
    DialPanics,
    AcceptPanics,
    AsFdPanics,
    NeverReady,
}

/// Local sockets, with a mischief in the first stream that is dialled or accepted.
#[derive(Clone)]
struct Rigged {
    mischief: Mischief,
    done: Arc<AtomicBool>,
    streams: Arc<AtomicUsize>,
}

impl Rigged {
    fn new(mischief: Mischief) -> Self {
        Self { mischief, done: Arc::default(), streams: Arc::default() }
    }

    /// The mischief, if it is for this and has not been done.
    fn does(&self, what: Mischief) -> bool {
        self.mischief == what && !self.done.swap(true, Ordering::Relaxed)
    }

    fn stream(&self, line: UnixStream, is_dialled: bool) -> io::Result<Box<dyn ByteStream>> {
        line.set_nonblocking(true)?;
        self.streams.fetch_add(1, Ordering::Relaxed);
        let (rig, moved) = (self.clone(), [0, 0].map(AtomicUsize::new));
        let interrupted = AtomicBool::new(false);
        Ok(Box::new(RiggedStream { line, rig, is_dialled, moved, interrupted }))
    }
}

impl Transport for Rigged {
    fn dial(&self, address: &str) -> io::Result<Box<dyn ByteStream>> {
        assert!(!self.does(Mischief::DialPanics), "dialling panics");
        self.stream(own::connect(address)?, true)
    }

    fn listen(&self, address: &str) -> io::Result<Box<dyn ByteListener>> {
        let name = if address.is_empty() { unique() } else { address.to_owned() };
        Ok(Box::new(RiggedListener { listener: own::listen(&name)?, rig: self.clone(), name }))
    }
}

struct RiggedListener {
    listener: UnixListener,
    rig: Rigged,
    name: String,
}

impl ByteListener for RiggedListener {
    fn accept(&self) -> io::Result<Box<dyn ByteStream>> {
        let line = self.listener.accept()?.0;
        assert!(!self.rig.does(Mischief::AcceptPanics), "accepting panics");
        self.rig.stream(line, false)
    }

    fn address(&self) -> Option<String> {
        Some(self.name.clone())
    }
}

impl AsFd for RiggedListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

struct RiggedStream {
    line: UnixStream,
    rig: Rigged,
    is_dialled: bool,
    /// Bytes read and written.
    moved: [AtomicUsize; 2],
    /// Every call is interrupted from now on.
    interrupted: AtomicBool,
}

impl RiggedStream {
    /// Whether to do it now: on the side that dials, and when the handshake is through that way.
    fn does(&self, what: Mischief, way: usize) -> bool {
        let is_shaken = self.moved[way].load(Ordering::Relaxed) >= HANDSHAKE_BYTES;
        self.is_dialled && is_shaken && self.rig.does(what)
    }

    /// Fails from the moment on at which it is to do `what`.
    fn interrupt(&self, what: Mischief, way: usize) -> io::Result<()> {
        self.interrupted.fetch_or(self.does(what, way), Ordering::Relaxed);
        self.go_on()
    }

    fn go_on(&self) -> io::Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }
}

impl ByteStream for RiggedStream {
    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        if self.rig.mischief == Mischief::NeverReady {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.go_on()?;
        let got = (&self.line).read(into)?;
        let room = into.len();
        // Only when a message comes.
        if self.does(Mischief::ReadFails, 0) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.interrupt(Mischief::ReadsAreInterrupted, 0)?;
        assert!(!self.does(Mischief::ReadPanics, 0), "reading panics");
        if self.does(Mischief::ReadOverruns, 0) {
            return Ok(room + 1);
        }
        self.moved[0].fetch_add(got, Ordering::Relaxed);
        Ok(got)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.does(Mischief::WriteFails, 1) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.interrupt(Mischief::WritesAreInterrupted, 1)?;
        assert!(!self.does(Mischief::WritePanics, 1), "writing panics");
        if self.does(Mischief::WriteOverruns, 1) {
            return Ok(bytes.len() + 1);
        }
        if self.does(Mischief::WritesNothing, 1) {
            return Ok(0);
        }
        let written = (&self.line).write(bytes)?;
        self.moved[1].fetch_add(written, Ordering::Relaxed);
        Ok(written)
    }

    fn shutdown(&self) {
        let _ = self.line.shutdown(Shutdown::Both);
        assert!(!self.does(Mischief::ShutdownPanics, 0), "shutting down panics");
    }
}

impl AsFd for RiggedStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        assert!(!(self.is_dialled && self.rig.does(Mischief::AsFdPanics)), "lending panics");
        self.line.as_fd()
    }
}

impl Drop for RiggedStream {
    fn drop(&mut self) {
        self.rig.streams.fetch_sub(1, Ordering::Relaxed);
        assert!(!self.does(Mischief::DropPanics, 0), "dropping panics");
    }
}

fn soon() -> DialOptions {
    DialOptions::new().reconnect(Duration::from_millis(1), Duration::from_millis(10))
}

fn closed(events: &Events) -> CloseReason {
    match wait_event(events, "an end", |event| matches!(event, PipeEvent::Closed { .. })) {
        PipeEvent::Closed { why, .. } => why,
        _ => unreachable!("waited for"),
    }
}

fn refused(events: &Events) -> CloseReason {
    match wait_event(events, "a refusal", |event| matches!(event, PipeEvent::Refused { .. })) {
        PipeEvent::Refused { why, .. } => why,
        _ => unreachable!("waited for"),
    }
}

/// A BUS has a neighbour over the rigged transport and one over tcp. The first connection breaks and comes again; the
/// neighbour over tcp notices nothing.
fn breaks(scheme: &'static str, mischief: Mischief, wanted: CloseReason) {
    let rig = Rigged::new(mischief);
    register(scheme, rig.clone()).unwrap();
    let [bus, far, bystander] = [(); 3].map(|()| Bus::new().unwrap());
    let [events, far_events, bystander_events] = [&bus, &far, &bystander].map(|bus| bus.events());
    let tcp = bus.listen("tcp://127.0.0.1:0").unwrap();
    bystander.dial(tcp.endpoint()).unwrap();
    wait_connected(&events);
    wait_connected(&bystander_events);
    let at = far.listen(format!("{scheme}://")).unwrap();
    bus.dial_with(at.endpoint(), &soon()).unwrap();
    wait_connected(&events);
    wait_connected(&far_events);

    far.send("may be lost").unwrap();
    bus.send("before").unwrap();
    if matches!(mischief, Mischief::ShutdownPanics | Mischief::DropPanics) {
        // What is unread when an end closes makes a reset of the hang-up.
        assert_eq!(bus.recv_timeout(DEADLINE).unwrap(), "may be lost");
        assert_eq!(far.recv_timeout(DEADLINE).unwrap(), "before");
        let url = at.endpoint().to_string();
        at.close();
        far.listen(url).unwrap();
    }
    assert_eq!(closed(&events), wanted, "{mischief:?}");
    wait_connected(&events);
    wait_connected(&far_events);

    bus.send("after").unwrap();
    for wanted in ["before", "after"] {
        assert_eq!(bystander.recv_timeout(DEADLINE).unwrap(), wanted, "{mischief:?}");
    }
    wait_until("the line works", || {
        far.recv_timeout(DEADLINE).is_ok_and(|message| message == "after")
    });
    bystander.send("all is well").unwrap();
    wait_until("the bystander is heard", || {
        bus.recv_timeout(DEADLINE).is_ok_and(|message| message == "all is well")
    });
    assert!(bystander_events.is_empty(), "{mischief:?}");
    drop((bus, far, bystander));
    wait_until("no stream is left", || rig.streams.load(Ordering::Relaxed) == 0);
}

#[test]
fn a_read_that_fails_ends_the_one_connection_and_it_comes_again() {
    breaks("read-fails", Mischief::ReadFails, CloseReason::Io(io::ErrorKind::ConnectionReset));
}

#[test]
fn a_read_that_panics_ends_the_one_connection_and_it_comes_again() {
    breaks("read-panics", Mischief::ReadPanics, CloseReason::TransportPanicked);
}

#[test]
fn a_read_of_more_than_there_was_room_for_ends_the_one_connection() {
    breaks("read-overruns", Mischief::ReadOverruns, CloseReason::TransportOverran);
}

#[test]
fn a_write_that_fails_ends_the_one_connection_and_it_comes_again() {
    breaks("write-fails", Mischief::WriteFails, CloseReason::Io(io::ErrorKind::BrokenPipe));
}

#[test]
fn a_write_that_panics_ends_the_one_connection_and_it_comes_again() {
    breaks("write-panics", Mischief::WritePanics, CloseReason::TransportPanicked);
}

#[test]
fn a_write_of_more_than_there_was_ends_the_one_connection() {
    breaks("write-overruns", Mischief::WriteOverruns, CloseReason::TransportOverran);
}

#[test]
fn a_write_of_nothing_ends_the_one_connection_and_is_not_tried_for_ever() {
    breaks("writes-nothing", Mischief::WritesNothing, CloseReason::Io(io::ErrorKind::WriteZero));
}

#[test]
fn what_is_interrupted_without_end_ends_the_one_connection_and_is_not_tried_for_ever() {
    let wanted = CloseReason::Io(io::ErrorKind::Other);
    breaks("reads-interrupted", Mischief::ReadsAreInterrupted, wanted.clone());
    breaks("writes-interrupted", Mischief::WritesAreInterrupted, wanted);
}

#[test]
fn ending_a_stream_may_panic() {
    breaks("shutdown-panics", Mischief::ShutdownPanics, CloseReason::PeerClosed);
}

#[test]
fn dropping_a_stream_may_panic() {
    breaks("drop-panics", Mischief::DropPanics, CloseReason::PeerClosed);
}

/// The first attempt fails because of `mischief`, and says so; the second works.
fn fails_to_dial(scheme: &'static str, mischief: Mischief, wanted: CloseReason) {
    let rig = Rigged::new(mischief);
    register(scheme, rig.clone()).unwrap();
    let (rep, req) = (Rep::new().unwrap(), Req::new().unwrap());
    let at = rep.listen(format!("{scheme}://")).unwrap();
    match req.dial(at.endpoint()) {
        Err(DialError::Failed { why, .. }) => assert_eq!(why, wanted, "{mischief:?}"),
        other => panic!("{mischief:?}: {other:?}"),
    }
    req.dial(at.endpoint()).unwrap();
    req.send("ping").unwrap();
    assert_eq!(rep.recv_timeout(DEADLINE).unwrap(), "ping");
    rep.send("pong").unwrap();
    assert_eq!(req.recv_timeout(DEADLINE).unwrap(), "pong");
    drop((rep, req));
    wait_until("no stream is left", || rig.streams.load(Ordering::Relaxed) == 0);
}

#[test]
fn dialling_may_panic_and_is_told_as_a_typed_error() {
    fails_to_dial("dial-panics", Mischief::DialPanics, CloseReason::TransportPanicked);
    assert_eq!(CloseReason::TransportPanicked.fault(), Fault::Caller);
}

#[test]
fn a_stream_whose_descriptor_is_not_to_be_had_is_no_connection() {
    fails_to_dial("as-fd-panics", Mischief::AsFdPanics, CloseReason::TransportPanicked);
}

#[test]
fn a_listener_whose_accept_panics_is_asked_again() {
    let rig = Rigged::new(Mischief::AcceptPanics);
    register("accept-panics", rig).unwrap();
    let (pull, push) = (Pull::new().unwrap(), Push::new().unwrap());
    let events = pull.events();
    let at = pull.listen("accept-panics://").unwrap();
    push.dial_with(at.endpoint(), &soon().background(true)).unwrap();
    assert_eq!(refused(&events), CloseReason::TransportPanicked);
    push.send("came again").unwrap();
    assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), "came again");
}

#[test]
fn a_stream_that_never_says_a_word_has_no_longer_than_any_other() {
    register("never-ready", Rigged::new(Mischief::NeverReady)).unwrap();
    let (rep, req) = (Rep::new().unwrap(), Req::new().unwrap());
    let at = rep.listen("never-ready://").unwrap();
    let options = DialOptions::new().handshake_limit(Duration::from_millis(20));
    match req.dial_with(at.endpoint(), &options) {
        Err(DialError::Failed { why, .. }) => assert_eq!(why, CloseReason::HandshakeTimeout),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_transport_answers_comes_out_as_the_error_it_is() {
    struct Unwilling;

    impl Transport for Unwilling {
        fn dial(&self, _: &str) -> io::Result<Box<dyn ByteStream>> {
            Err(io::ErrorKind::PermissionDenied.into())
        }

        fn listen(&self, _: &str) -> io::Result<Box<dyn ByteListener>> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    register("unwilling", Unwilling).unwrap();
    register("willing", Rigged::new(Mischief::Nothing)).unwrap();
    let (rep, req) = (Rep::new().unwrap(), Req::new().unwrap());
    match req.dial("unwilling://a") {
        Err(DialError::Failed { why, .. }) => {
            assert_eq!(why, CloseReason::Io(io::ErrorKind::PermissionDenied));
        }
        other => panic!("{other:?}"),
    }
    match rep.listen("unwilling://a") {
        Err(ListenError::System { source, .. }) => {
            assert_eq!(source.kind(), io::ErrorKind::Unsupported);
        }
        other => panic!("{other:?}"),
    }
    assert!(req.dial(format!("willing://{}", unique())).unwrap_err().is_refused());
    let at = rep.listen("willing://").unwrap();
    assert_ne!(at.endpoint().to_string(), "willing://", "it says where it listens");
    assert!(rep.listen(at.endpoint()).unwrap_err().is_in_use());
}

#[test]
fn a_scheme_is_known_once_it_is_registered_and_belongs_to_one() {
    let req = Req::new().unwrap();
    match req.dial("newcomer://a") {
        Err(DialError::Endpoint(EndpointError::UnknownScheme { scheme, .. })) => {
            assert_eq!(scheme, "newcomer");
        }
        other => panic!("{other:?}"),
    }
    let register = |scheme| register(scheme, Rigged::new(Mischief::Nothing));
    assert_eq!(register("newcomer"), Ok(()));
    assert!(req.dial("Newcomer://nobody").unwrap_err().is_refused());
    assert_eq!(register("newcomer"), Err(SchemeError::Taken { scheme: "newcomer" }));
    assert_eq!(register("tcp"), Err(SchemeError::BuiltIn { scheme: "tcp" }));
    assert_eq!(register("Newer"), Err(SchemeError::Malformed { scheme: "Newer" }));
}

const HANDSHAKE_BYTES: usize = 8;
