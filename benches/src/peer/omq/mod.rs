//! omq-tokio, a ZeroMQ in Rust, in the setting of its documentation that was the fastest for the workload.
//!
//! Not taken: its shared memory, which is a transport of its own, and a runtime that is kept from ever sleeping, which
//! it does not document.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Duration;

use omq_tokio::{Context, Endpoint, Message, Options, Socket, SocketType, blocking, exclusive};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use self::many::{Dealer, Exchange, Subscribers};
use super::{Answerer, Asker, Crowd, End, Peer, Role, Threads};
use crate::error::{Error, Result};

mod many;

/// How omq is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    /// Sockets that their caller owns and drives alone: one peer, tcp only.
    Exclusive,
    /// Asynchronous calls; the runtime of the calling thread drives the sockets too.
    Current,
    /// Asynchronous calls; an I/O thread of omq drives the sockets.
    Io,
    /// Blocking calls; an I/O thread of omq drives the sockets.
    Blocking,
    /// As `Blocking`, and a receive polls for 50 us before it sleeps.
    Spin,
}

/// omq, which picks its setting for each end.
#[derive(Default)]
pub(crate) struct Omq {
    /// Whether it shall do without threads of its own where it can, and never spin.
    is_alone: bool,
    /// With its I/O thread, which starts when it is first needed. Both ends of inproc are opened on it.
    context: OnceLock<Context>,
}

impl Omq {
    /// omq on the calling thread alone where it can, for a processor that has to do everything.
    pub(crate) fn alone() -> Self {
        Self { is_alone: true, ..Self::default() }
    }

    /// The fastest setting for an end of this kind.
    fn setting(&self, role: Role, url: &str, size: usize) -> Setting {
        let (is_inproc, is_tcp) = (url.starts_with("inproc:"), url.starts_with("tcp:"));
        match role {
            Role::Req | Role::Rep if is_inproc && !self.is_alone => Setting::Spin,
            _ if is_inproc => Setting::Blocking,
            // A publisher does not call omq while it waits for its subscribers, so an I/O thread has to.
            Role::Pub => Setting::Blocking,
            _ if self.is_alone => Setting::Current,
            Role::Req | Role::Rep if is_tcp => Setting::Exclusive,
            Role::Req | Role::Rep => Setting::Io,
            Role::Push | Role::Pull if size >= LARGE_BYTES && is_tcp => Setting::Blocking,
            Role::Push | Role::Pull if size >= LARGE_BYTES => Setting::Io,
            _ => Setting::Current,
        }
    }

    fn open(&self, role: Role, at: At<'_>, size: usize) -> Result<(Box<dyn End>, String)> {
        let kind = kind(role);
        Ok(match self.setting(role, at.url(), size) {
            Setting::Exclusive => {
                let (end, at) = ExclusiveEnd::open(kind, at)?;
                (Box::new(end), at)
            }
            Setting::Current => {
                let (end, at) = AsyncEnd::open(None, kind, at)?;
                (Box::new(end), at)
            }
            Setting::Io => {
                let (end, at) = AsyncEnd::open(Some(self.context()), kind, at)?;
                (Box::new(end), at)
            }
            Setting::Blocking => {
                let (end, at) = BlockingEnd::open(self.context(), Duration::ZERO, kind, at)?;
                (Box::new(end), at)
            }
            Setting::Spin => {
                let (end, at) = BlockingEnd::open(self.context(), SPIN, kind, at)?;
                (Box::new(end), at)
            }
        })
    }

    fn context(&self) -> &Context {
        self.context.get_or_init(Context::new)
    }
}

impl Peer for Omq {
    fn serve(&self, role: Role, url: &str, size: usize) -> Result<(Box<dyn End>, String)> {
        self.open(role, At::Bind(url), size)
    }

    fn connect(&self, role: Role, url: &str, size: usize) -> Result<Box<dyn End>> {
        self.open(role, At::Connect(url), size).map(|(end, _)| end)
    }

    fn outstanding(&self, url: &str, size: usize, lanes: usize) -> Result<Box<dyn Asker>> {
        let at = At::Connect(url);
        let end: Box<dyn Exchange> = if at.is_inproc() {
            Box::new(BlockingEnd::open(self.context(), Duration::ZERO, SocketType::Dealer, at)?.0)
        } else {
            Box::new(AsyncEnd::open(None, SocketType::Dealer, at)?.0)
        };
        Ok(Box::new(Dealer::new(end, size, lanes)))
    }

    fn answer(
        &self,
        url: &str,
        _size: usize,
        _lanes: usize,
    ) -> Result<(Box<dyn Answerer>, String)> {
        let at = At::Bind(url);
        if at.is_inproc() {
            let context = self.context();
            let (end, at) = BlockingEnd::open(context, Duration::ZERO, SocketType::Router, at)?;
            return Ok((Box::new(end), at));
        }
        let (end, at) = AsyncEnd::open(None, SocketType::Router, at)?;
        Ok((Box::new(end), at))
    }

    fn subscribers(
        &self,
        role: Role,
        url: &str,
        size: usize,
        count: usize,
    ) -> Result<Box<dyn Crowd>> {
        if At::Connect(url).is_inproc() {
            let ends = (0..count).map(|_| self.connect(role, url, size));
            return Ok(Box::new(Threads { ends: ends.collect::<Result<_>>()?, size }));
        }
        Ok(Box::new(Subscribers::open(url, size, count)?))
    }
}

/// What a socket does when it is opened, and where.
#[derive(Clone, Copy)]
enum At<'a> {
    Bind(&'a str),
    Connect(&'a str),
}

impl At<'_> {
    const fn url(&self) -> &str {
        let (Self::Bind(url) | Self::Connect(url)) = self;
        url
    }

    fn is_inproc(&self) -> bool {
        self.url().starts_with("inproc:")
    }

    fn endpoint(&self) -> Result<Endpoint> {
        self.url().parse().map_err(refused("take the address"))
    }
}

struct ExclusiveEnd {
    runtime: Runtime,
    socket: exclusive::Socket,
}

impl ExclusiveEnd {
    fn open(kind: SocketType, at: At<'_>) -> Result<(Self, String)> {
        let runtime = runtime()?;
        let options = exclusive::Options::default();
        let endpoint = at.endpoint()?;
        let (socket, at) = runtime
            .block_on(async {
                match at {
                    At::Bind(_) => exclusive::Socket::bind(kind, endpoint, options).await,
                    At::Connect(_) => exclusive::Socket::connect(kind, endpoint.clone(), options)
                        .await
                        .map(|socket| (socket, endpoint)),
                }
            })
            .map_err(refused("open an exclusive socket"))?;
        Ok((Self { runtime, socket }, at.to_string()))
    }
}

impl End for ExclusiveEnd {
    fn send(&mut self, body: &[u8]) -> Result<()> {
        let message = Message::from_slice(body);
        self.runtime.block_on(self.socket.send(&message)).map_err(refused("send"))
    }

    fn recv(&mut self) -> Result<usize> {
        let message = self.runtime.block_on(self.socket.recv()).map_err(refused("receive"))?;
        Ok(len(&message))
    }

    fn echo(&mut self) -> Result<()> {
        let Self { runtime, socket } = self;
        runtime
            .block_on(async {
                let message = socket.recv().await?;
                socket.send(&message).await
            })
            .map_err(refused("echo"))
    }

    fn recv_within(&mut self, limit: Duration) -> Result<u64> {
        let Self { runtime, socket } = self;
        received(runtime.block_on(async { timeout(limit, socket.recv()).await }))
    }
}

/// Opens a socket in the runtime that this runs in, or on the I/O thread of a context.
async fn open(context: Option<&Context>, kind: SocketType, at: At<'_>) -> Result<(Socket, String)> {
    let endpoint = at.endpoint()?;
    let socket = match context {
        Some(context) => context.socket(kind, Options::default()),
        None => Socket::new(kind, Options::default()),
    };
    if kind == SocketType::Sub {
        socket.subscribe("").await.map_err(refused("subscribe"))?;
    }
    let at = match at {
        At::Bind(_) => socket.bind(endpoint).await.map_err(refused("bind"))?,
        At::Connect(_) => {
            socket.connect(endpoint.clone()).await.map_err(refused("connect"))?;
            socket.wait_connected(1, CONNECT_MAX).await.map_err(refused("connect"))?;
            endpoint
        }
    };
    Ok((socket, at.to_string()))
}

struct AsyncEnd {
    runtime: Runtime,
    /// Gone once it has been flushed.
    socket: Option<Socket>,
    /// Keeps the I/O thread alive that drives the socket; without one `runtime` does, and so only during calls.
    context: Option<Context>,
    batch: Vec<Message>,
}

impl AsyncEnd {
    fn open(context: Option<&Context>, kind: SocketType, at: At<'_>) -> Result<(Self, String)> {
        let runtime = runtime()?;
        let (socket, at) = runtime.block_on(open(context, kind, at))?;
        let context = context.cloned();
        let batch = Vec::with_capacity(BATCH_MESSAGES);
        Ok((Self { runtime, socket: Some(socket), context, batch }, at))
    }

    fn parts(&mut self) -> Result<(&Runtime, &Socket, &mut Vec<Message>)> {
        let socket = self.socket.as_ref().ok_or(Error::Gone)?;
        Ok((&self.runtime, socket, &mut self.batch))
    }
}

impl End for AsyncEnd {
    fn send(&mut self, body: &[u8]) -> Result<()> {
        self.send_burst(body, 1)
    }

    fn recv(&mut self) -> Result<usize> {
        let (runtime, socket, _) = self.parts()?;
        let message = runtime.block_on(socket.recv()).map_err(refused("receive"))?;
        Ok(len(&message))
    }

    fn echo(&mut self) -> Result<()> {
        let (runtime, socket, _) = self.parts()?;
        runtime.block_on(async { socket.send(socket.recv().await?).await }).map_err(refused("echo"))
    }

    fn recv_within(&mut self, limit: Duration) -> Result<u64> {
        let (runtime, socket, _) = self.parts()?;
        received(runtime.block_on(async { timeout(limit, socket.recv()).await }))
    }

    fn send_burst(&mut self, body: &[u8], count: u64) -> Result<()> {
        let (runtime, socket, _) = self.parts()?;
        runtime
            .block_on(async {
                for _ in 0..count {
                    socket.send(Message::from_slice(body)).await?;
                }
                Ok::<_, omq_tokio::Error>(())
            })
            .map_err(refused("send"))
    }

    fn recv_burst(&mut self, size: usize, count: u64) -> Result<u64> {
        let (runtime, socket, batch) = self.parts()?;
        runtime.block_on(async {
            let mut got = 0;
            while got < count {
                let more = socket.recv_many_into(BATCH_MESSAGES, batch).await;
                more.map_err(refused("receive"))?;
                got += tally(batch, size)?;
            }
            Ok(got)
        })
    }

    /// Afterwards nobody drives a socket that was driven by its caller: it is closed, which sends what is queued.
    fn flush(&mut self) -> Result<()> {
        if self.context.is_none()
            && let Some(socket) = self.socket.take()
        {
            self.runtime
                .block_on(socket.close_with_linger(Some(FLUSH_MAX)))
                .map_err(refused("flush"))?;
        }
        Ok(())
    }
}

struct BlockingEnd {
    socket: blocking::Socket,
    batch: Vec<Message>,
}

impl BlockingEnd {
    fn open(
        context: &Context,
        spin: Duration,
        kind: SocketType,
        at: At<'_>,
    ) -> Result<(Self, String)> {
        let socket = context.blocking_socket(kind, Options::default().recv_spin(spin));
        if kind == SocketType::Sub {
            socket.subscribe("").map_err(refused("subscribe"))?;
        }
        let endpoint = at.endpoint()?;
        let at = match at {
            At::Bind(_) => socket.bind(endpoint).map_err(refused("bind"))?,
            At::Connect(_) => {
                socket.connect(endpoint.clone()).map_err(refused("connect"))?;
                socket.wait_connected(1, CONNECT_MAX).map_err(refused("connect"))?;
                endpoint
            }
        };
        Ok((Self { socket, batch: Vec::with_capacity(BATCH_MESSAGES) }, at.to_string()))
    }
}

impl End for BlockingEnd {
    fn send(&mut self, body: &[u8]) -> Result<()> {
        self.socket.send(Message::from_slice(body)).map_err(refused("send"))
    }

    fn recv(&mut self) -> Result<usize> {
        let message = self.socket.recv().map_err(refused("receive"))?;
        Ok(len(&message))
    }

    fn echo(&mut self) -> Result<()> {
        let message = self.socket.recv().map_err(refused("receive"))?;
        self.socket.send(message).map_err(refused("send"))
    }

    fn recv_within(&mut self, limit: Duration) -> Result<u64> {
        match self.socket.recv_timeout(limit) {
            Ok(_) => Ok(1),
            Err(omq_tokio::Error::WouldBlock | omq_tokio::Error::Timeout) => Ok(0),
            Err(e) => Err(refused("receive")(e)),
        }
    }

    fn recv_burst(&mut self, size: usize, count: u64) -> Result<u64> {
        let mut got = 0;
        while got < count {
            let more = self.socket.recv_many_into(BATCH_MESSAGES, &mut self.batch);
            more.map_err(refused("receive"))?;
            got += tally(&mut self.batch, size)?;
        }
        Ok(got)
    }
}

/// Takes all messages out of the batch; gives how many they were.
fn tally(batch: &mut Vec<Message>, size: usize) -> Result<u64> {
    let got = batch.len() as u64;
    match batch.drain(..).map(|message| len(&message)).find(|&len| len != size) {
        Some(got) => Err(Error::Length { got, wanted: size }),
        None => Ok(got),
    }
}

fn received<E>(answer: std::result::Result<omq_tokio::Result<Message>, E>) -> Result<u64> {
    match answer {
        Ok(Ok(_)) => Ok(1),
        Ok(Err(e)) => Err(refused("receive")(e)),
        Err(_) => Ok(0),
    }
}

fn len(message: &Message) -> usize {
    black_box(message.part_slice(0)).map_or(0, <[u8]>::len)
}

fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().map_err(Error::io("start a runtime"))
}

fn kind(role: Role) -> SocketType {
    match role {
        Role::Req => SocketType::Req,
        Role::Rep => SocketType::Rep,
        Role::Push => SocketType::Push,
        Role::Pull => SocketType::Pull,
        Role::Pub => SocketType::Pub,
        Role::Sub => SocketType::Sub,
        _ => unreachable!("no workload of ZeroMQ's asks for it"),
    }
}

fn refused(doing: &'static str) -> impl FnOnce(omq_tokio::Error) -> Error {
    Error::peer("omq", doing)
}

/// From here on one-way bodies are better off with an I/O thread: over ipc by half, over tcp by less.
const LARGE_BYTES: usize = 4 * 1024;

/// The spin its documentation gives as the example.
const SPIN: Duration = Duration::from_micros(50);

/// Messages taken at a time; larger batches brought nothing.
const BATCH_MESSAGES: usize = 64;

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(4);

/// How long what is queued may take to be sent.
const FLUSH_MAX: Duration = Duration::from_secs(10);
