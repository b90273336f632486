//! Many requests over one DEALER, answered by a ROUTER, and many subscribers in one thread.

use std::sync::Arc;
use std::time::Duration;

use omq_tokio::{Message, Socket, SocketType};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::{AsyncEnd, At, BATCH_MESSAGES, BlockingEnd, open, refused, runtime, tally};
use crate::error::{Error, Result};
use crate::peer::{Aligned, Answerer, Asker, Crowd, End, Heard};
use crate::sys;

/// One socket with many requests under way. A body is sent whenever one has come in.
pub(super) struct Dealer {
    end: Box<dyn Exchange>,
    body: Aligned,
    lanes: usize,
    /// How many requests are outstanding.
    asked: usize,
}

/// What a dealer needs of its end.
pub(super) trait Exchange: End {
    /// Receives what there is, at least one message, and sends as many; gives how many.
    fn exchange(&mut self, body: &[u8]) -> Result<u64>;
}

impl Dealer {
    pub(super) fn new(end: Box<dyn Exchange>, size: usize, lanes: usize) -> Self {
        Self { end, body: Aligned::new(size, 7), lanes, asked: 0 }
    }
}

impl Asker for Dealer {
    fn run_for(&mut self, time: Duration) -> Result<u64> {
        let end = sys::now() + time;
        let missing = self.lanes - self.asked;
        self.end.send_burst(&self.body, missing as u64)?;
        self.asked = self.lanes;
        let mut got = 0;
        while sys::now() < end {
            got += self.end.exchange(&self.body)?;
        }
        Ok(got)
    }
}

impl Exchange for AsyncEnd {
    fn exchange(&mut self, body: &[u8]) -> Result<u64> {
        let (runtime, socket, batch) = self.parts()?;
        runtime.block_on(async {
            let more = socket.recv_many_into(BATCH_MESSAGES, batch).await;
            more.map_err(refused("receive"))?;
            let got = tally(batch, body.len())?;
            for _ in 0..got {
                socket.send(Message::from_slice(body)).await.map_err(refused("send"))?;
            }
            Ok(got)
        })
    }
}

impl Exchange for BlockingEnd {
    fn exchange(&mut self, body: &[u8]) -> Result<u64> {
        let got = self.recv_burst(body.len(), 1)?;
        self.send_burst(body, got)?;
        Ok(got)
    }
}

/// As a ROUTER: what comes in starts with whom it is from, and goes back as it came.
impl Answerer for AsyncEnd {
    fn run(mut self: Box<Self>) -> Result<()> {
        let (runtime, socket, batch) = self.parts()?;
        runtime.block_on(async {
            loop {
                let more = socket.recv_many_into(BATCH_MESSAGES, batch).await;
                more.map_err(refused("receive"))?;
                for message in batch.drain(..) {
                    socket.send(message).await.map_err(refused("send"))?;
                }
            }
        })
    }
}

/// As above.
impl Answerer for BlockingEnd {
    fn run(mut self: Box<Self>) -> Result<()> {
        loop {
            self.echo()?;
        }
    }
}

/// Subscribers that share one thread, a task for each.
pub(super) struct Subscribers {
    runtime: Runtime,
    sockets: Vec<Socket>,
    size: usize,
}

impl Subscribers {
    pub(super) fn open(url: &str, size: usize, count: usize) -> Result<Self> {
        let runtime = runtime()?;
        let sockets = runtime.block_on(async {
            let mut sockets = Vec::new();
            for _ in 0..count {
                sockets.push(open(None, SocketType::Sub, At::Connect(url)).await?.0);
            }
            Ok::<_, Error>(sockets)
        })?;
        Ok(Self { runtime, sockets, size })
    }
}

impl Crowd for Subscribers {
    fn run(self: Box<Self>, heard: Heard) -> Result<()> {
        let Self { runtime, sockets, size } = *self;
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for (index, socket) in sockets.into_iter().enumerate() {
                let heard = Arc::clone(&heard);
                tasks.spawn(async move {
                    let mut batch = Vec::with_capacity(BATCH_MESSAGES);
                    loop {
                        let more = socket.recv_many_into(BATCH_MESSAGES, &mut batch).await;
                        more.map_err(refused("receive"))?;
                        heard(index, tally(&mut batch, size)?);
                    }
                });
            }
            match tasks.join_next().await {
                Some(Ok(failed)) => failed,
                Some(Err(_)) | None => Err(Error::Gone),
            }
        })
    }
}
