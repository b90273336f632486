//! What the kernel allows a server of many connections: one thread that waits for all of them and sends back what it
//! reads.

use std::io::{self, Read, Write};
use std::net::TcpListener as StdTcp;
use std::os::unix::net::UnixListener as StdUnix;

use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token};

use super::{Answerer, End, Peer, Role};
use crate::error::{Error, Result};

/// The bare server.
pub(crate) struct EpollEcho;

impl Peer for EpollEcho {
    fn serve(&self, _role: Role, _url: &str, _size: usize) -> Result<(Box<dyn End>, String)> {
        Err(Error::Cannot { doing: "do more than answer many" })
    }

    fn connect(&self, _role: Role, _url: &str, _size: usize) -> Result<Box<dyn End>> {
        Err(Error::Cannot { doing: "do more than answer many" })
    }

    fn answer(
        &self,
        url: &str,
        _size: usize,
        _lanes: usize,
    ) -> Result<(Box<dyn Answerer>, String)> {
        let (server, at) = Server::listen(url).map_err(Error::io("listen"))?;
        Ok((Box::new(server), at))
    }
}

struct Server {
    poll: Poll,
    listener: Listener,
    streams: Vec<Stream>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Server {
    fn listen(url: &str) -> io::Result<(Self, String)> {
        let poll = Poll::new()?;
        let (listener, at) = if let Some(address) = url.strip_prefix("tcp://") {
            let listener = StdTcp::bind(address)?;
            listener.set_nonblocking(true)?;
            let at = format!("tcp://{}", listener.local_addr()?);
            let mut listener = TcpListener::from_std(listener);
            poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
            (Listener::Tcp(listener), at)
        } else {
            let path = url.strip_prefix("ipc://").ok_or(io::ErrorKind::InvalidInput)?;
            let listener = StdUnix::bind(path)?;
            listener.set_nonblocking(true)?;
            let mut listener = UnixListener::from_std(listener);
            poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
            (Listener::Unix(listener), url.to_owned())
        };
        Ok((Self { poll, listener, streams: Vec::new() }, at))
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept()?;
                } else {
                    self.streams[event.token().0].echo(&mut buffer)?;
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match &self.listener {
                Listener::Tcp(listener) => listener.accept().map(|(stream, _)| Stream::Tcp(stream)),
                Listener::Unix(listener) => {
                    listener.accept().map(|(stream, _)| Stream::Unix(stream))
                }
            };
            match stream {
                Ok(mut stream) => {
                    let token = Token(self.streams.len());
                    match &mut stream {
                        Stream::Tcp(stream) => {
                            stream.set_nodelay(true)?;
                            self.poll.registry().register(stream, token, Interest::READABLE)?;
                        }
                        Stream::Unix(stream) => {
                            self.poll.registry().register(stream, token, Interest::READABLE)?;
                        }
                    }
                    self.streams.push(stream);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }
}

impl Answerer for Server {
    fn run(mut self: Box<Self>) -> Result<()> {
        self.serve().map_err(Error::io("serve"))
    }
}

impl Stream {
    /// Sends back what is there. A client that is gone is left alone.
    fn echo(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let got = match self {
                Self::Tcp(stream) => stream.read(buffer),
                Self::Unix(stream) => stream.read(buffer),
            };
            let got = match got {
                Ok(0) => return Ok(()),
                Ok(got) => got,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            match self {
                Self::Tcp(stream) => stream.write_all(&buffer[..got])?,
                Self::Unix(stream) => stream.write_all(&buffer[..got])?,
            }
            // A read that did not fill the buffer took everything: what comes later is announced anew.
            if got < buffer.len() {
                return Ok(());
            }
        }
    }
}

const LISTENER: Token = Token(usize::MAX - 1);

/// Events taken at a time.
const EVENTS: usize = 256;

/// Larger than any request of this program.
const READ_BYTES: usize = 64 * 1024;
