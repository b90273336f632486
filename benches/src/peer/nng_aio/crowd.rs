//! Subscribers without a thread: each message is counted in the callback of its receive.

use std::sync::Arc;

use nng_sys as c;

use super::RECEIVES;
use super::lane::{Ended, Lane, Lanes, Shared, Work};
use crate::error::{Error, Result};
use crate::peer::nng::Socket;
use crate::peer::{Crowd, Heard};

/// Subscribers that are connected and wait to be run.
pub(super) struct Subscribers {
    sockets: Vec<Socket>,
    size: usize,
}

impl Subscribers {
    pub(super) const fn new(sockets: Vec<Socket>, size: usize) -> Self {
        Self { sockets, size }
    }
}

impl Crowd for Subscribers {
    fn run(self: Box<Self>, heard: Heard) -> Result<()> {
        let shared = Shared::new(None);
        let mut works = Vec::new();
        for (index, socket) in self.sockets.iter().enumerate() {
            works.extend((0..RECEIVES).map(|_| Hearing {
                socket: socket.0,
                index,
                size: self.size,
                heard: Arc::clone(&heard),
                failed: Arc::clone(&shared),
            }));
        }
        let lanes = Lanes::new(works)?;
        lanes.iter().for_each(|lane| lane.recv(lane.work.socket));
        let mut failed = shared.lock();
        loop {
            if let Some(e) = failed.take() {
                // Lanes stop without the lock, which their callbacks may want.
                drop(failed);
                return Err(e);
            }
            failed = shared.wait(failed);
        }
    }
}

struct Hearing {
    socket: c::nng_socket,
    index: usize,
    size: usize,
    heard: Heard,
    failed: Arc<Shared<Option<Error>>>,
}

impl Work for Hearing {
    fn ended(lane: &Lane<Self>, outcome: Result<Ended>) {
        let Self { socket, index, size, heard, failed } = &lane.work;
        let failure = match outcome {
            Ok(Ended::Received(message)) if message.body().len() == *size => {
                drop(message);
                heard(*index, 1);
                lane.recv(*socket);
                return;
            }
            Ok(Ended::Received(message)) => {
                Error::Length { got: message.body().len(), wanted: *size }
            }
            Ok(Ended::Sent) => Error::Gone,
            Err(e) => e,
        };
        *failed.lock() = Some(failure);
        failed.news.notify_all();
    }
}
