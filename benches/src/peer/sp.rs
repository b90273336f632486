//! This library as a program uses it first: default options, blocking calls, a message from a slice.

use std::fmt::Display;
use std::hint::black_box;
use std::time::Duration;

use sp::{Message, Pub, Pull, Push, Rep, Req, ReqContext, SendError, Sub};

use super::{Aligned, Asker, End, Peer, Role};
use crate::error::{Error, Result};
use crate::sys;

/// This library.
pub(crate) struct Sp;

impl Peer for Sp {
    fn serve(&self, role: Role, url: &str, _size: usize) -> Result<(Box<dyn End>, String)> {
        let end = SpEnd::open(role)?;
        let listener = match &end {
            SpEnd::Req(socket) => socket.listen(url),
            SpEnd::Rep(socket) => socket.listen(url),
            SpEnd::Push(socket) => socket.listen(url),
            SpEnd::Pull(socket) => socket.listen(url),
            SpEnd::Pub(socket) => socket.listen(url),
            SpEnd::Sub(socket) => socket.listen(url),
        };
        let at = listener.map_err(refused("listen"))?.endpoint().to_string();
        Ok((Box::new(end), at))
    }

    fn connect(&self, role: Role, url: &str, _size: usize) -> Result<Box<dyn End>> {
        let end = SpEnd::open(role)?;
        let dialer = match &end {
            SpEnd::Req(socket) => socket.dial(url),
            SpEnd::Rep(socket) => socket.dial(url),
            SpEnd::Push(socket) => socket.dial(url),
            SpEnd::Pull(socket) => socket.dial(url),
            SpEnd::Pub(socket) => socket.dial(url),
            SpEnd::Sub(socket) => socket.dial(url),
        };
        dialer.map_err(refused("dial"))?;
        Ok(Box::new(end))
    }

    fn outstanding(&self, url: &str, size: usize, lanes: usize) -> Result<Box<dyn Asker>> {
        let socket = Req::new().map_err(refused("open a socket"))?;
        socket.dial(url).map_err(refused("dial"))?;
        let contexts = (0..lanes).map(|_| socket.context()).collect();
        Ok(Box::new(SpAsker { contexts, body: Aligned::new(size, 7), has_begun: false }))
    }
}

/// As many contexts of one REQ as requests are to be outstanding, asked in turn.
struct SpAsker {
    contexts: Vec<ReqContext>,
    body: Aligned,
    has_begun: bool,
}

impl Asker for SpAsker {
    fn run_for(&mut self, time: Duration) -> Result<u64> {
        let until = sys::now() + time;
        if !self.has_begun {
            for context in &self.contexts {
                context.send(&self.body[..]).map_err(refused("send"))?;
            }
            self.has_begun = true;
        }
        let mut count = 0;
        while sys::now() < until {
            for context in &self.contexts {
                let got = context.recv().map_err(refused("receive"))?.body().len();
                if got != self.body.len() {
                    return Err(Error::Length { got, wanted: self.body.len() });
                }
                count += 1;
                context.send(&self.body[..]).map_err(refused("send"))?;
            }
        }
        Ok(count)
    }
}

/// A socket of any pattern. Which calls a pattern has is known when a program is compiled; here the workloads see
/// to it that only those are made.
enum SpEnd {
    Req(Req),
    Rep(Rep),
    Push(Push),
    Pull(Pull),
    Pub(Pub),
    Sub(Sub),
}

impl SpEnd {
    fn open(role: Role) -> Result<Self> {
        Ok(match role {
            Role::Req => Self::Req(Req::new().map_err(refused("open a socket"))?),
            Role::Rep => Self::Rep(Rep::new().map_err(refused("open a socket"))?),
            Role::Push => Self::Push(Push::new().map_err(refused("open a socket"))?),
            Role::Pull => Self::Pull(Pull::new().map_err(refused("open a socket"))?),
            Role::Pub => Self::Pub(Pub::new().map_err(refused("open a socket"))?),
            Role::Sub => {
                let socket = Sub::new().map_err(refused("open a socket"))?;
                socket.subscribe("");
                Self::Sub(socket)
            }
        })
    }

    fn send_message(&self, message: Message) -> Result<()> {
        let sent: std::result::Result<(), SendError> = match self {
            Self::Req(socket) => socket.send(message),
            Self::Rep(socket) => socket.send(message),
            Self::Push(socket) => socket.send(message),
            Self::Pub(socket) => socket.send(message),
            Self::Pull(_) | Self::Sub(_) => unreachable!("no workload sends on PULL or SUB"),
        };
        sent.map_err(refused("send"))
    }

    fn recv_message(&self) -> Result<Message> {
        let message = match self {
            Self::Req(socket) => socket.recv(),
            Self::Rep(socket) => socket.recv(),
            Self::Pull(socket) => socket.recv(),
            Self::Sub(socket) => socket.recv(),
            Self::Push(_) | Self::Pub(_) => unreachable!("no workload receives on PUSH or PUB"),
        };
        message.map_err(refused("receive"))
    }
}

impl End for SpEnd {
    fn send(&mut self, body: &[u8]) -> Result<()> {
        self.send_message(Message::from(body))
    }

    fn recv(&mut self) -> Result<usize> {
        let message = self.recv_message()?;
        Ok(black_box(message.body()).len())
    }

    fn echo(&mut self) -> Result<()> {
        let message = self.recv_message()?;
        self.send_message(message)
    }

    fn recv_within(&mut self, limit: Duration) -> Result<u64> {
        let message = match self {
            Self::Req(socket) => socket.recv_timeout(limit),
            Self::Rep(socket) => socket.recv_timeout(limit),
            Self::Pull(socket) => socket.recv_timeout(limit),
            Self::Sub(socket) => socket.recv_timeout(limit),
            Self::Push(_) | Self::Pub(_) => unreachable!("no workload receives on PUSH or PUB"),
        };
        match message {
            Ok(_) => Ok(1),
            Err(e) if e.is_timeout() => Ok(0),
            Err(e) => Err(refused("receive")(e)),
        }
    }
}

fn refused<E: Display>(doing: &'static str) -> impl FnOnce(E) -> Error {
    Error::peer("sp", doing)
}
