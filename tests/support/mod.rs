//! What the integration tests share: connected pairs on any transport, threads that end, waiting with a limit.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::future::Future;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::process::{self, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use sp::{DialOptions, ListenOptions, Listener, PipeEvent, Socket};
use sp_core::clock;
use sp_protocols::engine::Engine;

#[cfg(feature = "tls")]
pub(crate) mod certificates;
pub(crate) mod own;
#[cfg(feature = "tls")]
pub(crate) mod tls;

/// When a test gives up: far beyond what a loaded machine needs, so that only a hang gets here.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A transport that every pattern runs over; [`ALL`](Transport::ALL) are those that lose nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Ipc,
    Inproc,
    Ws,
    /// Datagrams: what is not waited for may be lost.
    Udp,
    /// What a program brought, with streams that give little at a time. Not among all: each takes three descriptors.
    Own,
    /// A local socket without a file. The name apart it is ipc, and not among all.
    Abstract,
    /// Connected descriptors, which both ends listen for. Not among all, for nobody dials.
    Given,
    /// With certificates on both sides.
    #[cfg(feature = "tls")]
    Tls,
    /// The same.
    #[cfg(feature = "tls")]
    Wss,
}

impl Transport {
    #[cfg(not(feature = "tls"))]
    pub(crate) const ALL: [Self; 4] = Self::BARE;
    #[cfg(feature = "tls")]
    pub(crate) const ALL: [Self; 6] =
        [Self::Tcp, Self::Ipc, Self::Inproc, Self::Ws, Self::Tls, Self::Wss];

    /// All of them, and the one that loses what is sent faster than it is received.
    #[cfg(not(feature = "tls"))]
    pub(crate) const EVERY: [Self; 5] = [Self::Tcp, Self::Ipc, Self::Inproc, Self::Ws, Self::Udp];
    #[cfg(feature = "tls")]
    pub(crate) const EVERY: [Self; 7] =
        [Self::Tcp, Self::Ipc, Self::Inproc, Self::Ws, Self::Udp, Self::Tls, Self::Wss];

    /// Those that need no options.
    pub(crate) const BARE: [Self; 4] = [Self::Tcp, Self::Ipc, Self::Inproc, Self::Ws];

    /// Whether what is said is encrypted.
    pub(crate) fn is_secure(self) -> bool {
        ["tls", "wss"].iter().any(|scheme| self.url().starts_with(scheme))
    }

    /// Whether HTTP comes before all else.
    pub(crate) fn is_web(self) -> bool {
        self.url().starts_with("ws")
    }

    /// An address to listen on that nobody else has.
    pub(crate) fn url(self) -> String {
        match self {
            Self::Tcp => "tcp://127.0.0.1:0".to_owned(),
            Self::Ipc => format!("ipc://{}", std::env::temp_dir().join(unique()).display()),
            Self::Inproc => format!("inproc://{}", unique()),
            Self::Udp => "udp://127.0.0.1:0".to_owned(),
            Self::Ws => format!("ws://127.0.0.1:0/{}", unique()),
            Self::Own => format!("{}://{}", own::choppy(), unique()),
            Self::Abstract => format!("abstract://{}", unique()),
            Self::Given => "socket://".to_owned(),
            #[cfg(feature = "tls")]
            Self::Tls => "tls+tcp://127.0.0.1:0".to_owned(),
            #[cfg(feature = "tls")]
            Self::Wss => format!("wss://127.0.0.1:0/{}", unique()),
        }
    }

    /// Whether its connections are those of tcp, with what is set on these.
    pub(crate) fn is_over_tcp(self) -> bool {
        matches!(self, Self::Tcp | Self::Ws) || self.is_secure()
    }

    /// Whether a message of `len` bytes can pass, with the header of any pattern.
    pub(crate) fn takes(self, len: usize) -> bool {
        self != Self::Udp || len <= 65_000 - 4
    }

    /// What a listener needs.
    pub(crate) fn listen_options(self) -> ListenOptions {
        self.listening(ListenOptions::new())
    }

    /// As [`listen_options`](Self::listen_options), beside others.
    pub(crate) fn listening(self, options: ListenOptions) -> ListenOptions {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls | Self::Wss => options.tls(&tls::server()),
            _ => options,
        }
    }

    /// What a dialer needs.
    pub(crate) fn dial_options(self) -> DialOptions {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls | Self::Wss => DialOptions::new().tls(&tls::client()),
            _ => DialOptions::new(),
        }
    }
}

/// A name that nobody else has.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("sp-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Connects two sockets and waits until both know of it.
pub(crate) fn connect<L: Engine, D: Engine>(
    transport: Transport,
    listening: &Socket<L>,
    dialing: &Socket<D>,
) -> Listener {
    let events = listening.events();
    let listener = listening.listen_with(transport.url(), &transport.listen_options());
    let listener = listener.expect("the address is free");
    if transport == Transport::Given {
        let (one, other) = UnixStream::pair().expect("two descriptors");
        listener.attach(one).expect("a connected stream");
        dialing.listen(transport.url()).expect("no address").attach(other).expect("the other end");
    } else {
        let dialed = dialing.dial_with(listener.endpoint(), &transport.dial_options());
        dialed.expect("somebody listens");
    }
    wait_connected(&events);
    listener
}

/// Waits for the next peer.
pub(crate) fn wait_connected(events: &Receiver<PipeEvent>) {
    wait_event(events, "a connection", |event| matches!(event, PipeEvent::Connected { .. }));
}

/// Waits for an event, passing over others.
pub(crate) fn wait_event(
    events: &Receiver<PipeEvent>,
    what: &str,
    wanted: impl Fn(&PipeEvent) -> bool,
) -> PipeEvent {
    let deadline = clock::now() + DEADLINE;
    loop {
        match events.recv_deadline(deadline) {
            Ok(event) if wanted(&event) => return event,
            Ok(_) => {}
            Err(error) => panic!("no event for {what}: {error}"),
        }
    }
}

/// Looks again and again until `done`; for conditions that nobody announces.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = clock::now() + DEADLINE;
    while !done() {
        assert!(clock::now() < deadline, "not within {DEADLINE:?}: {what}");
        thread::yield_now();
    }
}

/// A thread of a test, waited for with a limit, so that one that hangs fails the test.
#[derive(Debug)]
pub(crate) struct Task<T> {
    outcome: Receiver<thread::Result<T>>,
    /// The thread's directory below `/proc`.
    place: String,
    thread: JoinHandle<()>,
}

/// Starts a thread.
pub(crate) fn spawn<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    let (tell_place, place) = bounded(1);
    let (tell, outcome) = bounded(1);
    let thread = thread::spawn(move || {
        let place = fs::read_link("/proc/thread-self").unwrap_or_default();
        let _ = tell_place.send(place.display().to_string());
        let _ = tell.send(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)));
    });
    let place = place.recv_timeout(DEADLINE).expect("the thread starts");
    Task { outcome, place, thread }
}

impl<T> Task<T> {
    /// What the thread returned; panics as the thread did.
    pub(crate) fn join(self) -> T {
        self.join_within(DEADLINE)
    }

    /// As [`join`](Self::join), for a thread that has more to do than a deadline allows.
    pub(crate) fn join_within(self, limit: Duration) -> T {
        match self.end_within(limit) {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// How the thread ended.
    pub(crate) fn end(self) -> thread::Result<T> {
        self.end_within(DEADLINE)
    }

    fn end_within(self, limit: Duration) -> thread::Result<T> {
        let outcome = self.outcome.recv_timeout(limit).expect("the thread hangs");
        // What it keeps for itself goes when it ends for good.
        self.thread.join().expect("panics were caught inside");
        outcome
    }

    /// Whether the thread has returned or panicked.
    pub(crate) fn is_over(&self) -> bool {
        !self.outcome.is_empty()
    }

    /// Waits until the thread sleeps in the kernel, since it waits for something, or has ended.
    pub(crate) fn wait_asleep(&self) {
        wait_until("the thread falls asleep", || {
            if !self.outcome.is_empty() {
                return true;
            }
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.place)).unwrap_or_default();
            // The state follows the name, which stands in brackets.
            stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
        });
    }
}

/// The names of the library's threads that run.
pub(crate) fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux has it").flatten();
    // A thread that ends while one looks has no name.
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    let mut names: Vec<_> =
        names.map(|name| name.trim().to_owned()).filter(|name| name.starts_with("sp-")).collect();
    names.sort_unstable();
    names
}

/// Descriptors of this process.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("Linux has it").count()
}

/// Bytes of this process: reserved, and in use.
pub(crate) fn memory() -> (u64, u64) {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let mut pages = statm.split(' ').map(|pages| pages.parse::<u64>().expect("a number"));
    let mut bytes = || pages.next().expect("a column") * 4096;
    (bytes(), bytes())
}

/// Runs the test that calls it, whose body is `test`, in a process of its own: for tests that look at what a whole
/// process holds, or do to it what others would not survive.
pub(crate) fn apart<F: FnOnce()>(test: F) {
    // Of the crate, the modules and the test, which the harness calls without the crate.
    let place = std::any::type_name::<F>();
    let name = place.split_once("::").and_then(|(_, name)| name.strip_suffix("::{{closure}}"));
    let name = name.expect("called by a test, with a closure");
    if std::env::var_os(APART).is_some_and(|apart| *apart == *name) {
        give_up_in_time();
        return test();
    }
    let run = Command::new(std::env::current_exe().expect("this binary has a path"))
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(APART, name)
        .output()
        .expect("this binary runs");
    let said = String::from_utf8_lossy(&run.stdout);
    let heard = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("1 passed"), "{}\n{said}\n{heard}", run.status);
}

/// Ends this process if it is still there after a long time, so that no hang outlasts it. Time in which nothing at all
/// runs here does not count.
fn give_up_in_time() {
    thread::spawn(|| {
        let never = crossbeam_channel::never::<()>();
        for _ in 0..6 * DEADLINE.as_secs() {
            let _ = never.recv_timeout(Duration::from_secs(1));
        }
        eprintln!("it hangs");
        process::exit(1);
    });
}

const APART: &str = "SP_TEST_APART";

/// A waker, and what hears it. Wakes merge.
pub(crate) fn bell() -> (Waker, Receiver<()>) {
    struct Bell(Sender<()>);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            // Full: it has been rung already.
            let _ = self.0.try_send(());
        }
    }

    let (ring, rung) = bounded(1);
    (Waker::from(Arc::new(Bell(ring))), rung)
}

/// Runs a future on this thread. It is polled again only when woken.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let (waker, rung) = bell();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        rung.recv_timeout(DEADLINE).expect("the future is never woken");
    }
}

/// `len` bytes that tell their place, so that a shifted or cut body is noticed.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    // A prime length, so that no buffer size is a multiple of it.
    let run: Vec<u8> = (0..251).collect();
    let mut bytes = run.repeat(len / run.len() + 1);
    bytes.truncate(len);
    bytes
}
