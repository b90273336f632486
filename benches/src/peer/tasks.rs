//! REQ/REP by tasks on tokio: this library's sockets, and the floor, tokio's own sockets.
//!
//! Each end has a runtime of one thread, entered for each call: what that costs is the same for both.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use sp::tokio::{Rep, Req};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use super::{Aligned, End, Peer, Role};
use crate::error::{Error, Result};

/// This library.
pub(crate) struct SpTasks;

/// What a task needs no library for.
pub(crate) struct RawTasks;

impl Peer for SpTasks {
    fn serve(&self, _role: Role, url: &str, _size: usize) -> Result<(Box<dyn End>, String)> {
        let runtime = runtime()?;
        let (socket, at) = runtime.block_on(async {
            let socket = Rep::new().map_err(Error::peer("sp", "open a socket"))?;
            let listener = socket.listen(url).map_err(Error::peer("sp", "listen"))?;
            Ok::<_, Error>((socket, listener.endpoint().to_string()))
        })?;
        Ok((Box::new(SpRep { socket, runtime }), at))
    }

    fn connect(&self, _role: Role, url: &str, _size: usize) -> Result<Box<dyn End>> {
        let runtime = runtime()?;
        let socket = runtime.block_on(async {
            let socket = Req::new().map_err(Error::peer("sp", "open a socket"))?;
            socket.dial(url).await.map_err(Error::peer("sp", "dial"))?;
            Ok::<_, Error>(socket)
        })?;
        Ok(Box::new(SpReq { socket, runtime }))
    }
}

// The sockets go before the runtimes that wait for their descriptors.
struct SpReq {
    socket: Req,
    runtime: Runtime,
}

struct SpRep {
    socket: Rep,
    runtime: Runtime,
}

impl End for SpReq {
    fn send(&mut self, body: &[u8]) -> Result<()> {
        self.runtime.block_on(self.socket.send(body)).map_err(Error::peer("sp", "send"))
    }

    fn recv(&mut self) -> Result<usize> {
        let message = self.runtime.block_on(self.socket.recv());
        Ok(black_box(message.map_err(Error::peer("sp", "receive"))?.body()).len())
    }

    fn echo(&mut self) -> Result<()> {
        unreachable!("no workload answers on REQ")
    }

    fn recv_within(&mut self, _limit: Duration) -> Result<u64> {
        unreachable!("no workload of tasks gives up")
    }
}

impl End for SpRep {
    fn send(&mut self, _body: &[u8]) -> Result<()> {
        unreachable!("no workload sends on REP by itself")
    }

    fn recv(&mut self) -> Result<usize> {
        unreachable!("no workload receives on REP by itself")
    }

    fn echo(&mut self) -> Result<()> {
        self.runtime.block_on(async {
            let request = self.socket.recv().await.map_err(Error::peer("sp", "receive"))?;
            self.socket.send(request).await.map_err(Error::peer("sp", "send"))
        })
    }

    fn recv_within(&mut self, _limit: Duration) -> Result<u64> {
        unreachable!("no workload of tasks gives up")
    }
}

impl Peer for RawTasks {
    fn serve(&self, _role: Role, url: &str, size: usize) -> Result<(Box<dyn End>, String)> {
        let runtime = runtime()?;
        let listener = runtime.block_on(TcpListener::bind(address(url)?));
        let listener = listener.map_err(Error::io("listen"))?;
        let at = listener.local_addr().map_err(Error::io("tell the address"))?;
        let end = RawTask { link: Link::Waiting(listener), body: Aligned::new(size, 0), runtime };
        Ok((Box::new(end), format!("tcp://{at}")))
    }

    fn connect(&self, _role: Role, url: &str, size: usize) -> Result<Box<dyn End>> {
        let runtime = runtime()?;
        let stream = runtime.block_on(TcpStream::connect(address(url)?));
        let stream = stream.and_then(prepare).map_err(Error::io("connect"))?;
        Ok(Box::new(RawTask { link: Link::Open(stream), body: Aligned::new(size, 0), runtime }))
    }
}

// The link goes before the runtime that waits for its descriptor.
struct RawTask {
    link: Link,
    /// Where a message lands.
    body: Aligned,
    runtime: Runtime,
}

/// An end that waits for its connection until it is first used, so that its address can be told before.
enum Link {
    Waiting(TcpListener),
    Open(TcpStream),
}

impl Link {
    async fn open(&mut self) -> Result<&mut TcpStream> {
        if let Self::Waiting(listener) = self {
            let (stream, _) = listener.accept().await.map_err(Error::io("accept"))?;
            *self = Self::Open(prepare(stream).map_err(Error::io("accept"))?);
        }
        let Self::Open(stream) = self else { unreachable!("just opened") };
        Ok(stream)
    }
}

impl End for RawTask {
    fn send(&mut self, body: &[u8]) -> Result<()> {
        self.runtime.block_on(async {
            self.link.open().await?.write_all(body).await.map_err(Error::io("write"))
        })
    }

    fn recv(&mut self) -> Result<usize> {
        self.runtime.block_on(async {
            let stream = self.link.open().await?;
            stream.read_exact(&mut self.body).await.map_err(Error::io("read"))
        })
    }

    fn echo(&mut self) -> Result<()> {
        self.runtime.block_on(async {
            let stream = self.link.open().await?;
            stream.read_exact(&mut self.body).await.map_err(Error::io("read"))?;
            stream.write_all(&self.body).await.map_err(Error::io("write"))
        })
    }

    fn recv_within(&mut self, _limit: Duration) -> Result<u64> {
        unreachable!("no workload of tasks gives up")
    }
}

fn prepare(stream: TcpStream) -> std::io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn address(url: &str) -> Result<SocketAddr> {
    url.trim_start_matches("tcp://").parse().map_err(Error::peer("tokio", "take the address"))
}

fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_io().build().map_err(Error::io("start a runtime"))
}
