//! This library as a program uses it first: default options, blocking calls, a message from a slice.

use std::fmt::Display;
use std::hint::black_box;
use std::time::Duration;

use sp::{
    Bus, DialOptions, ListenOptions, Message, Pair, Pub, PubOptions, Pull, Push, Rep, Req,
    ReqContext, Respondent, SendError, Sub, SubOptions, Surveyor, WhenFull, WhenSlow,
};

#[cfg(feature = "tls")]
use super::tls;
use super::{Aligned, Asker, End, Peer, Role};
use crate::error::{Error, Result};
use crate::sys;

/// The same call on a socket of whatever pattern.
macro_rules! any {
    ($end:expr, $socket:ident => $call:expr) => {
        match $end {
            SpEnd::Req($socket) => $call,
            SpEnd::Rep($socket) => $call,
            SpEnd::Push($socket) => $call,
            SpEnd::Pull($socket) => $call,
            SpEnd::Pub($socket) => $call,
            SpEnd::Sub($socket) => $call,
            SpEnd::Pair($socket) => $call,
            SpEnd::Bus($socket) => $call,
            SpEnd::Surveyor($socket) => $call,
            SpEnd::Respondent($socket) => $call,
        }
    };
}

/// The same call on a socket of a pattern that receives.
macro_rules! receiving {
    ($end:expr, $socket:ident => $call:expr) => {
        match $end {
            SpEnd::Req($socket) => $call,
            SpEnd::Rep($socket) => $call,
            SpEnd::Pull($socket) => $call,
            SpEnd::Sub($socket) => $call,
            SpEnd::Pair($socket) => $call,
            SpEnd::Bus($socket) => $call,
            SpEnd::Surveyor($socket) => $call,
            SpEnd::Respondent($socket) => $call,
            SpEnd::Push(_) | SpEnd::Pub(_) => {
                unreachable!("no workload receives on PUSH or PUB")
            }
        }
    };
}

/// This library.
pub(crate) struct Sp;

impl Peer for Sp {
    fn serve(&self, role: Role, url: &str, _size: usize) -> Result<(Box<dyn End>, String)> {
        let end = SpEnd::open(role)?;
        let listener = any!(&end, socket => socket.listen_with(url, &listening(url)?))
            .map_err(refused("listen"))?;
        Ok((Box::new(end), listener.endpoint().to_string()))
    }

    fn connect(&self, role: Role, url: &str, _size: usize) -> Result<Box<dyn End>> {
        let end = SpEnd::open(role)?;
        any!(&end, socket => socket.dial_with(url, &dialing(url)?)).map_err(refused("dial"))?;
        Ok(Box::new(end))
    }

    fn outstanding(&self, url: &str, size: usize, lanes: usize) -> Result<Box<dyn Asker>> {
        let socket = Req::new().map_err(refused("open a socket"))?;
        socket.dial_with(url, &dialing(url)?).map_err(refused("dial"))?;
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
    Pair(Pair),
    Bus(Bus),
    Surveyor(Surveyor),
    Respondent(Respondent),
}

impl SpEnd {
    fn open(role: Role) -> Result<Self> {
        let end = match role {
            Role::Req => Req::new().map(Self::Req),
            Role::Rep => Rep::new().map(Self::Rep),
            Role::Push => Push::new().map(Self::Push),
            Role::Pull => Pull::new().map(Self::Pull),
            Role::Pub => Pub::new().map(Self::Pub),
            Role::Sub => Sub::new().map(Self::Sub),
            Role::WaitingPub => {
                let options = PubOptions::new().when_slow(WhenSlow::Block);
                Pub::with(options).map(Self::Pub)
            }
            Role::WaitingSub => {
                Sub::with(SubOptions::new().when_full(WhenFull::Block)).map(Self::Sub)
            }
            Role::Pair | Role::PairOut | Role::PairIn => Pair::new().map(Self::Pair),
            Role::Bus => Bus::new().map(Self::Bus),
            Role::Surveyor => Surveyor::new().map(Self::Surveyor),
            Role::Respondent => Respondent::new().map(Self::Respondent),
        };
        let end = end.map_err(refused("open a socket"))?;
        if let Self::Sub(socket) = &end {
            socket.subscribe("");
        }
        Ok(end)
    }

    fn send_message(&self, message: Message) -> Result<()> {
        let sent: std::result::Result<(), SendError> = match self {
            Self::Req(socket) => socket.send(message),
            Self::Rep(socket) => socket.send(message),
            Self::Push(socket) => socket.send(message),
            Self::Pub(socket) => socket.send(message),
            Self::Pair(socket) => socket.send(message),
            Self::Bus(socket) => socket.send(message),
            Self::Surveyor(socket) => socket.send(message),
            Self::Respondent(socket) => socket.send(message),
            Self::Pull(_) | Self::Sub(_) => unreachable!("no workload sends on PULL or SUB"),
        };
        sent.map_err(refused("send"))
    }

    fn recv_message(&self) -> Result<Message> {
        receiving!(self, socket => socket.recv()).map_err(refused("receive"))
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
        let message = receiving!(self, socket => socket.recv_timeout(limit));
        match message {
            Ok(_) => Ok(1),
            Err(e) if e.is_timeout() => Ok(0),
            Err(e) => Err(refused("receive")(e)),
        }
    }
}

/// The defaults; TLS needs a certificate.
fn listening(url: &str) -> Result<ListenOptions> {
    let options = ListenOptions::new();
    #[cfg(feature = "tls")]
    if tls::is_under(url) {
        let identity = sp::tls::Identity::from_pem(tls::CERTIFICATE, tls::KEY);
        let server = identity.and_then(|identity| sp::tls::Server::builder(identity).build());
        return Ok(options.tls(&server.map_err(refused("take the certificate"))?));
    }
    let _ = url;
    Ok(options)
}

/// The defaults; TLS needs somebody to trust.
fn dialing(url: &str) -> Result<DialOptions> {
    let options = DialOptions::new();
    #[cfg(feature = "tls")]
    if tls::is_under(url) {
        let authority = sp::tls::Authorities::from_pem(tls::AUTHORITY);
        let client = authority.and_then(|authority| sp::tls::Client::builder(&authority).build());
        return Ok(options.tls(&client.map_err(refused("take the authority"))?));
    }
    let _ = url;
    Ok(options)
}

fn refused<E: Display>(doing: &'static str) -> impl FnOnce(E) -> Error {
    Error::peer("sp", doing)
}
