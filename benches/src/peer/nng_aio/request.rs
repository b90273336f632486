//! REQ with many requests outstanding, and REP that answers in callbacks: a context for each.

use std::sync::Arc;
use std::time::Duration;

use nng_sys as c;

use super::lane::{Ended, Lane, Lanes, Shared, Work, context};
use crate::error::{Error, Result};
use crate::peer::nng::{Message, Socket};
use crate::peer::{Aligned, Answerer, Asker, End};
use crate::sys;

/// REP: callbacks send back what comes in.
pub(super) struct Echo {
    // Before the socket: operations stop first. Contexts are closed with their socket.
    _lanes: Lanes<Answering>,
    _socket: Socket,
    shared: Arc<Shared<Option<Error>>>,
}

struct Answering {
    context: c::nng_ctx,
    shared: Arc<Shared<Option<Error>>>,
}

impl Echo {
    /// Answers up to `lanes` requests at a time, from now on.
    pub(super) fn new(socket: Socket, lanes: usize) -> Result<Self> {
        let shared = Shared::new(None);
        let work = |_| Ok(Answering { context: context(&socket)?, shared: Arc::clone(&shared) });
        let lanes = Lanes::new((0..lanes).map(work).collect::<Result<Vec<_>>>()?)?;
        lanes.iter().for_each(|lane| lane.recv_in(lane.work.context));
        Ok(Self { _lanes: lanes, _socket: socket, shared })
    }

    /// The callbacks answer from the start: this waits until one of them fails.
    fn wait(&self) -> Error {
        let mut failed = self.shared.lock();
        loop {
            if let Some(e) = failed.take() {
                return e;
            }
            failed = self.shared.wait(failed);
        }
    }
}

impl Answerer for Echo {
    fn run(self: Box<Self>) -> Result<()> {
        Err(self.wait())
    }
}

impl Work for Answering {
    fn ended(lane: &Lane<Self>, outcome: Result<Ended>) {
        let Self { context, shared } = &lane.work;
        match outcome {
            Ok(Ended::Received(message)) => lane.send_in(*context, message),
            Ok(Ended::Sent) => lane.recv_in(*context),
            Err(e) => {
                *shared.lock() = Some(e);
                shared.news.notify_all();
            }
        }
    }
}

impl End for Echo {
    fn send(&mut self, _body: &[u8]) -> Result<()> {
        unreachable!("no workload sends on REP by itself")
    }

    fn recv(&mut self) -> Result<usize> {
        unreachable!("no workload receives on REP by itself")
    }

    fn echo(&mut self) -> Result<()> {
        Err(self.wait())
    }

    fn recv_within(&mut self, _limit: Duration) -> Result<u64> {
        unreachable!("no workload receives on REP by itself")
    }
}

/// REQ: each lane asks again from the callback of its reply.
pub(super) struct Ask {
    // Before the socket: operations stop first. Contexts are closed with their socket.
    lanes: Lanes<Asking>,
    _socket: Socket,
    shared: Arc<Shared<Replies>>,
}

struct Asking {
    context: c::nng_ctx,
    index: usize,
    body: Arc<Aligned>,
    shared: Arc<Shared<Replies>>,
}

#[derive(Default)]
struct Replies {
    got: u64,
    /// Whether lanes ask again.
    is_open: bool,
    /// Lanes that found they need not.
    idle: Vec<usize>,
    failed: Option<Error>,
}

impl Ask {
    pub(super) fn new(socket: Socket, size: usize, lanes: usize) -> Result<Self> {
        let shared = Shared::new(Replies { idle: (0..lanes).collect(), ..Replies::default() });
        let body = Arc::new(Aligned::new(size, 7));
        let work = |index| {
            let (body, shared) = (Arc::clone(&body), Arc::clone(&shared));
            Ok(Asking { context: context(&socket)?, index, body, shared })
        };
        let lanes = Lanes::new((0..lanes).map(work).collect::<Result<Vec<_>>>()?)?;
        Ok(Self { lanes, _socket: socket, shared })
    }
}

impl Asker for Ask {
    fn run_for(&mut self, time: Duration) -> Result<u64> {
        let end = sys::now() + time;
        let mut replies = self.shared.lock();
        (replies.got, replies.is_open) = (0, true);
        let idle = std::mem::take(&mut replies.idle);
        drop(replies);
        for index in idle {
            self.lanes.lane(index).ask()?;
        }
        let mut replies = self.shared.lock();
        loop {
            let left = end.saturating_duration_since(sys::now());
            if left.is_zero() || replies.failed.is_some() {
                break;
            }
            replies = self.shared.wait_within(replies, left);
        }
        replies.is_open = false;
        replies.failed.take().map_or(Ok(replies.got), Err)
    }
}

impl Lane<Asking> {
    fn ask(&self) -> Result<()> {
        self.send_in(self.work.context, Message::new(&self.work.body)?);
        Ok(())
    }
}

impl Work for Asking {
    fn ended(lane: &Lane<Self>, outcome: Result<Ended>) {
        let wanted = lane.work.body.len();
        let asked = match outcome {
            Ok(Ended::Sent) => {
                lane.recv_in(lane.work.context);
                Ok(())
            }
            Ok(Ended::Received(message)) if message.body().len() == wanted => {
                let mut replies = lane.work.shared.lock();
                replies.got += 1;
                let is_open = replies.is_open;
                if !is_open {
                    replies.idle.push(lane.work.index);
                }
                drop(replies);
                if is_open { lane.ask() } else { Ok(()) }
            }
            Ok(Ended::Received(message)) => {
                Err(Error::Length { got: message.body().len(), wanted })
            }
            Err(e) => Err(e),
        };
        if let Err(e) = asked {
            lane.work.shared.lock().failed = Some(e);
            lane.work.shared.news.notify_all();
        }
    }
}
