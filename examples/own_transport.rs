//! A transport of one's own: REQ and REP over a serial line. Run it without arguments to see two ends talk over a cable
//! between two pseudo-terminals, or on the two ends of a real line:
//!
//! ```text
//! cargo run --example own_transport
//! cargo run --example own_transport -- answer serial:///dev/ttyUSB0
//! cargo run --example own_transport -- ask serial:///dev/ttyUSB1 "how warm is it?"
//! ```
//!
//! A serial line has no end that listens: both dial, and each dials again until the other is there.
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use sp::transport::{ByteListener, ByteStream, Transport, register};
use sp::{DialOptions, Rep, Req};

/// The transport: what follows `serial://` is the path of a terminal.
struct Serial;

impl Transport for Serial {
    fn dial(&self, path: &str) -> io::Result<Box<dyn ByteStream>> {
        Ok(Box::new(Line(open_raw(path)?)))
    }

    fn listen(&self, _: &str) -> io::Result<Box<dyn ByteListener>> {
        let why = "nobody comes in at a serial line: dial at both ends";
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    }
}

/// One end of a serial line.
struct Line(File);

impl ByteStream for Line {
    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(into)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
    }

    /// A line cannot say that it ends: the other side finds out when somebody else begins to speak.
    fn shutdown(&self) {}
}

/// Whom the library's poller asks.
impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Opens a terminal that passes every byte on as it is, and never waits.
fn open_raw(path: &str) -> io::Result<File> {
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
    let terminal = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    let mut settings = tcgetattr(&terminal)?;
    settings.make_raw();
    tcsetattr(&terminal, OptionalActions::Now, &settings)?;
    Ok(terminal)
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    register("serial", Serial)?;
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => alone(),
        ["answer", url] => serve(url),
        ["ask", url, question] => ask(url, &[question]),
        _ => Err("either no arguments, or `answer <url>`, or `ask <url> <question>`".into()),
    }
}

fn alone() -> Result<(), Box<dyn Error>> {
    let (one, other) = cable()?;
    println!("a cable from {one} to {other}");
    thread::spawn(move || {
        if let Err(error) = serve(&format!("serial://{one}")) {
            eprintln!("{error}");
        }
    });
    ask(&format!("serial://{other}"), &["how warm is it?", "and outside?"])
}

/// Answers at one end, for ever.
fn serve(url: &str) -> Result<(), Box<dyn Error>> {
    let rep = Rep::new()?;
    rep.dial_with(url, &untiring())?;
    loop {
        let question = rep.recv()?;
        rep.send(format!("you asked {:?}", String::from_utf8_lossy(&question)))?;
    }
}

/// Asks at the other end.
fn ask(url: &str, questions: &[&str]) -> Result<(), Box<dyn Error>> {
    let req = Req::new()?;
    req.dial_with(url, &untiring())?;
    for question in questions {
        req.send(*question)?;
        println!("{question} -> {}", String::from_utf8_lossy(&req.recv()?));
    }
    Ok(())
}

/// Tries again soon, for nobody says when the other end has come.
fn untiring() -> DialOptions {
    DialOptions::new()
        .background(true)
        .handshake_limit(Duration::from_secs(2))
        .reconnect(Duration::from_millis(10), Duration::from_millis(500))
}

/// Two pseudo-terminals, and two threads that carry what is written to one to the other.
fn cable() -> Result<(String, String), Box<dyn Error>> {
    let (one, other) = (Plug::new()?, Plug::new()?);
    let paths = (one.path.clone(), other.path.clone());
    let (from, to) = (one.inner.try_clone()?, other.inner.try_clone()?);
    thread::spawn(move || carry(from, to));
    thread::spawn(move || {
        carry(&other.inner, &one.inner);
        // Both terminals stay open until here.
        drop((one, other));
    });
    Ok(paths)
}

/// A pseudo-terminal.
struct Plug {
    /// Where the cable is.
    inner: File,
    /// What programs open.
    path: String,
    /// Never without anybody at the outer end: the line would hang up. And raw before anything passes.
    _outer: File,
}

impl Plug {
    fn new() -> Result<Self, Box<dyn Error>> {
        let inner = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&inner)?;
        unlockpt(&inner)?;
        let path = ptsname(&inner, Vec::new())?.into_string()?;
        let outer = open_raw(&path)?;
        Ok(Self { inner: inner.into(), path, _outer: outer })
    }
}

/// One direction of a cable, until the program ends.
fn carry(mut from: impl Read, mut to: impl Write) {
    if let Err(error) = io::copy(&mut from, &mut to) {
        eprintln!("the cable broke: {error}");
    }
}
