//! A bare client with any number of connections in one thread.
//!
//! It asks servers of every library the same way, so that only the server makes the difference.

use std::io::{self, Read, Write};
use std::net::TcpStream as StdTcp;
use std::os::unix::net::UnixStream as StdUnix;
use std::time::{Duration, Instant};

use mio::net::{TcpStream, UnixStream};
use mio::{Events, Interest, Poll, Token};

use super::Cell;
use super::latency::Latencies;
use super::wire::Script;
use crate::error::{Error, Result};
use crate::peer::Variant;
use crate::sys;

/// Connections to one server, each with at most one request under way.
pub(super) struct Clients {
    poll: Poll,
    events: Events,
    script: Script,
    url: String,
    links: Vec<Link>,
    /// Who has something to read; kept, so that no round allocates.
    ready: Vec<usize>,
    buffer: Vec<u8>,
}

struct Link {
    stream: Stream,
    state: State,
    asked: Instant,
}

enum State {
    /// The server's hello so far.
    Greeting(Vec<u8>),
    /// Nothing is under way.
    Silent,
    /// So many bytes of a reply are still to come.
    Asking(usize),
}

/// What a link came to when it was read.
#[derive(PartialEq)]
enum Step {
    Waits,
    Greeted,
    Answered,
}

impl Clients {
    /// A client of the server of `variant` at `url`.
    pub(super) fn new(cell: &Cell, variant: Variant, url: &str) -> Result<Self> {
        if cell.size > REQUEST_BYTES_MAX {
            return Err(Error::Cannot { doing: "ask this client's requests of more than 16 KiB" });
        }
        let script = Script::new(variant.wire(), cell.transport, cell.size);
        Ok(Self {
            poll: Poll::new().map_err(Error::io("make a poll set"))?,
            events: Events::with_capacity(EVENTS),
            buffer: vec![0; script.request.len().max(4096)],
            script,
            url: url.to_owned(),
            links: Vec::new(),
            ready: Vec::with_capacity(EVENTS),
        })
    }

    /// Connects `count` more clients and lets each ask once; gives how long that took. At most [`CONNECTING_MAX`]
    /// are on their way at a time, so that no listener's backlog overflows, which would measure the system's pause
    /// before it tries again.
    pub(super) fn connect(&mut self, count: usize) -> Result<Duration> {
        let start = sys::now();
        let end = self.links.len() + count;
        let mut under_way = 0;
        while self.links.len() < end || under_way > 0 {
            while self.links.len() < end && under_way < CONNECTING_MAX {
                self.connect_one()?;
                under_way += 1;
            }
            self.wait(start + CONNECT_MAX)?;
            while let Some(index) = self.ready.pop() {
                match self.read(index)? {
                    Step::Waits => {}
                    Step::Greeted => self.ask(index)?,
                    Step::Answered => under_way -= 1,
                }
            }
        }
        Ok(sys::now() - start)
    }

    /// Lets every client ask again as soon as it has its reply, until `until`; gives how many replies came
    /// and when it was. Then waits for what is under way, and gives how many that were.
    pub(super) fn ask_until(
        &mut self,
        until: Instant,
        mut trips: Option<&mut Latencies>,
    ) -> Result<(u64, Instant, u64)> {
        for index in 0..self.links.len() {
            self.ask(index)?;
        }
        let (mut count, mut end, mut under_way) = (0, None, self.links.len());
        while under_way > 0 {
            self.wait(until + DRAIN_MAX)?;
            let now = sys::now();
            while let Some(index) = self.ready.pop() {
                if self.read(index)? != Step::Answered {
                    continue;
                }
                if end.is_some() {
                    under_way -= 1;
                    continue;
                }
                count += 1;
                if let Some(trips) = &mut trips {
                    trips.add(sys::now() - self.links[index].asked);
                }
                self.ask(index)?;
            }
            if end.is_none() && now >= until {
                end = Some(now);
            }
        }
        Ok((count, end.unwrap_or(until), self.links.len() as u64))
    }

    fn connect_one(&mut self) -> Result<()> {
        let refused = Error::io("connect a client");
        let mut stream = Stream::connect(&self.url).map_err(refused)?;
        let token = Token(self.links.len());
        stream.register(&self.poll, token).map_err(Error::io("watch a client"))?;
        stream.write(&self.script.hello).map_err(Error::io("greet the server"))?;
        let state = State::Greeting(Vec::new());
        self.links.push(Link { stream, state, asked: sys::now() });
        if self.script.hello.is_empty() {
            self.ask(token.0)?;
        }
        Ok(())
    }

    fn ask(&mut self, index: usize) -> Result<()> {
        let link = &mut self.links[index];
        link.asked = sys::now();
        link.state = State::Asking(self.script.request.len());
        link.stream.write(&self.script.request).map_err(Error::io("write a request"))
    }

    fn wait(&mut self, limit: Instant) -> Result<()> {
        let left = limit.saturating_duration_since(sys::now());
        if left.is_zero() {
            return Err(Error::Silent);
        }
        match self.poll.poll(&mut self.events, Some(left)) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(Error::io("poll")(e)),
            _ => {}
        }
        self.ready.clear();
        self.ready.extend(self.events.iter().map(|event| event.token().0));
        // Taken from the end: whoever was announced first is served first.
        self.ready.reverse();
        Ok(())
    }

    /// Reads what link `index` has for us. An edge of the poll set is used up only when all is read or nothing more
    /// can come before the next request.
    fn read(&mut self, index: usize) -> Result<Step> {
        let link = &mut self.links[index];
        loop {
            let got = match &mut link.state {
                State::Silent => return Ok(Step::Waits),
                State::Greeting(seen) => {
                    let left = self.script.hello_len(seen) - seen.len();
                    link.stream.read(&mut self.buffer[..left])
                }
                State::Asking(left) => link.stream.read(&mut self.buffer[..*left]),
            };
            let got = match got {
                Ok(0) => return Err(Error::Gone),
                Ok(got) => got,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Step::Waits),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Error::io("read a reply")(e)),
            };
            match &mut link.state {
                State::Silent => {}
                State::Greeting(seen) => {
                    seen.extend(&self.buffer[..got]);
                    if seen.len() == self.script.hello_len(seen) {
                        link.state = State::Silent;
                        return Ok(Step::Greeted);
                    }
                }
                State::Asking(left) if *left == got => {
                    link.state = State::Silent;
                    return Ok(Step::Answered);
                }
                State::Asking(left) => *left -= got,
            }
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(url: &str) -> io::Result<Self> {
        if let Some(address) = url.strip_prefix("tcp://") {
            let stream = StdTcp::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            return Ok(Self::Tcp(TcpStream::from_std(stream)));
        }
        let path = url.strip_prefix("ipc://").ok_or(io::ErrorKind::InvalidInput)?;
        let stream = StdUnix::connect(path)?;
        stream.set_nonblocking(true)?;
        Ok(Self::Unix(UnixStream::from_std(stream)))
    }

    fn register(&mut self, poll: &Poll, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => poll.registry().register(stream, token, Interest::READABLE),
            Self::Unix(stream) => poll.registry().register(stream, token, Interest::READABLE),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }

    /// Writes all of `bytes`: one request always fits an empty socket buffer.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }
}

/// Connections on their way at a time: half of the smallest backlog among the peers.
const CONNECTING_MAX: usize = 64;

/// How long all connections may take.
const CONNECT_MAX: Duration = Duration::from_secs(12);

/// How long the last replies may take.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Events taken at a time.
const EVENTS: usize = 256;

/// What fits the smallest socket buffer by far.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
