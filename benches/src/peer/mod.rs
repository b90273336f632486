//! Who is measured: the library, other libraries, and the bare kernel.
//!
//! A [`Peer`] opens ends, an [`End`] moves messages. All calls are the blocking ones that a program of that library
//! would write first; what a peer does per message beyond that is said in its file. Where a workload is about many
//! requests or many subscribers at a time, an [`Asker`], an [`Answerer`] or a [`Crowd`] does all of its side with
//! whatever the library offers for that.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};

mod buffer;
mod echo;
#[cfg(feature = "peer-nanomsg")]
mod nanomsg;
#[cfg(feature = "peer-nng")]
mod nng;
#[cfg(feature = "peer-nng")]
mod nng_aio;
#[cfg(feature = "peer-omq")]
mod omq;
mod raw;
mod sp;
#[cfg(feature = "tokio")]
mod tasks;
#[cfg(feature = "tls")]
mod tls;
mod who;
mod xbeam;
#[cfg(feature = "peer-zmq")]
mod zmq;

pub(crate) use buffer::Aligned;
pub(crate) use who::{Family, Variant, Wire};

/// What an end is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Asks and gets one answer.
    Req,
    /// Answers.
    Rep,
    /// Sends one way.
    Push,
    /// Receives one way.
    Pull,
    /// Sends to every subscriber.
    Pub,
    /// Receives everything that is published.
    Sub,
    /// Sends to every subscriber and waits for the slowest.
    WaitingPub,
    /// Receives everything that is published, and has publishers wait while it has no room.
    WaitingSub,
    /// Talks with one other.
    Pair,
    /// Sends one way to one other.
    PairOut,
    /// Receives one way from one other.
    PairIn,
    /// Sends to all neighbours, or hears what they send.
    Bus,
    /// Asks everybody.
    Surveyor,
    /// Answers who asks everybody.
    Respondent,
}

/// A library, or the lack of one.
///
/// In inproc both ends are opened on the same `Peer`.
pub(crate) trait Peer: Send + Sync {
    /// Opens an end that waits for others at `url`, and gives the address to connect to.
    fn serve(&self, role: Role, url: &str, size: usize) -> Result<(Box<dyn End>, String)>;

    /// Opens an end that connects to `url`.
    fn connect(&self, role: Role, url: &str, size: usize) -> Result<Box<dyn End>>;

    /// Opens one socket that connects to `url` and can keep `lanes` requests outstanding.
    fn outstanding(&self, url: &str, size: usize, lanes: usize) -> Result<Box<dyn Asker>> {
        let _ = (url, size, lanes);
        Err(Error::Cannot { doing: "keep many requests outstanding" })
    }

    /// Opens one socket that answers whoever asks at `url`, up to `lanes` requests at a time, and gives the address
    /// to connect to. It takes any number of connections.
    fn answer(&self, url: &str, size: usize, lanes: usize) -> Result<(Box<dyn Answerer>, String)> {
        let _ = lanes;
        let (end, at) = self.serve(Role::Rep, url, size)?;
        Ok((Box::new(Echo(end)), at))
    }

    /// Opens `count` ends that receive everything that is published at `url`, each a socket of its own.
    fn subscribers(
        &self,
        role: Role,
        url: &str,
        size: usize,
        count: usize,
    ) -> Result<Box<dyn Crowd>> {
        let ends = (0..count).map(|_| self.connect(role, url, size));
        Ok(Box::new(Threads { ends: ends.collect::<Result<_>>()?, size }))
    }
}

/// One socket with many requests under way.
pub(crate) trait Asker: Send {
    /// Asks for `time`, always with all lanes outstanding; gives how many replies came in. What is outstanding at
    /// the end may stay so until the next call.
    fn run_for(&mut self, time: Duration) -> Result<u64>;
}

/// One socket that answers with the body of the request.
pub(crate) trait Answerer: Send {
    /// Answers for ever, in this thread or others.
    fn run(self: Box<Self>) -> Result<()>;
}

/// Many subscribers in one process.
pub(crate) trait Crowd: Send {
    /// Receives for ever, in this thread or others, and tells `heard` after each receive which subscriber got how
    /// many messages.
    fn run(self: Box<Self>, heard: Heard) -> Result<()>;
}

/// Told of messages that came in: the subscriber's number and how many there were.
pub(crate) type Heard = Arc<dyn Fn(usize, u64) + Send + Sync>;

/// One end of a conversation in which every message has the same size.
pub(crate) trait End: Send {
    /// Sends one message, waiting for room.
    fn send(&mut self, body: &[u8]) -> Result<()>;

    /// Waits for a message and gives its length.
    fn recv(&mut self) -> Result<usize>;

    /// Waits for a message and sends the same body back.
    fn echo(&mut self) -> Result<()>;

    /// Waits at most `limit`; gives how many whole messages came in, 0 if none.
    fn recv_within(&mut self, limit: Duration) -> Result<u64>;

    /// Sends `count` messages, one call for each unless the peer is about batches.
    fn send_burst(&mut self, body: &[u8], count: u64) -> Result<()> {
        for _ in 0..count {
            self.send(body)?;
        }
        Ok(())
    }

    /// Waits for about `count` messages of `size` bytes, one call for each unless the peer reads in bulk; gives
    /// how many came in, at least one.
    fn recv_burst(&mut self, size: usize, count: u64) -> Result<u64> {
        for _ in 0..count {
            let got = self.recv()?;
            if got != size {
                return Err(Error::Length { got, wanted: size });
            }
        }
        Ok(count)
    }

    /// Sends what was held back.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// An answerer that has one request at a time.
struct Echo(Box<dyn End>);

impl Answerer for Echo {
    fn run(mut self: Box<Self>) -> Result<()> {
        loop {
            self.0.echo()?;
        }
    }
}

/// A crowd with a thread for each subscriber.
struct Threads {
    ends: Vec<Box<dyn End>>,
    size: usize,
}

impl Crowd for Threads {
    fn run(self: Box<Self>, heard: Heard) -> Result<()> {
        let (fail, failed) = mpsc::channel();
        for (index, mut end) in self.ends.into_iter().enumerate() {
            let (heard, fail, size) = (Arc::clone(&heard), fail.clone(), self.size);
            let mut count = move || -> Result<()> {
                loop {
                    let got = end.recv()?;
                    if got != size {
                        return Err(Error::Length { got, wanted: size });
                    }
                    heard(index, 1);
                }
            };
            thread::Builder::new()
                .stack_size(SUBSCRIBER_STACK_BYTES)
                .spawn(move || fail.send(count()))
                .map_err(Error::io("start a subscriber"))?;
        }
        drop(fail);
        failed.recv().unwrap_or(Err(Error::Gone))
    }
}

impl Variant {
    /// The peer, ready to open ends.
    pub(crate) fn peer(self) -> Result<Box<dyn Peer>> {
        match self {
            Self::Sp => Ok(Box::new(sp::Sp)),
            #[cfg(feature = "peer-nng")]
            Self::Nng => Ok(Box::new(nng::Nng::new()?)),
            #[cfg(feature = "peer-nng")]
            Self::NngAio => Ok(Box::new(nng_aio::NngAio::new()?)),
            #[cfg(feature = "peer-zmq")]
            Self::Zmq => Ok(Box::new(zmq::Zmq::new()?)),
            #[cfg(feature = "peer-nanomsg")]
            Self::Nanomsg => Ok(Box::new(nanomsg::Nanomsg)),
            #[cfg(feature = "peer-omq")]
            Self::Omq => Ok(Box::new(omq::Omq::default())),
            #[cfg(feature = "peer-omq")]
            Self::OmqAlone => Ok(Box::new(omq::Omq::alone())),
            Self::RawBlock => Ok(Box::new(raw::Raw::Block)),
            Self::RawSpin => Ok(Box::new(raw::Raw::Spin)),
            Self::RawEach => Ok(Box::new(raw::Raw::Each)),
            Self::RawBatch => Ok(Box::new(raw::Raw::Batch)),
            #[cfg(feature = "tokio")]
            Self::SpTokio => Ok(Box::new(tasks::SpTasks)),
            #[cfg(feature = "tokio")]
            Self::RawTokio => Ok(Box::new(tasks::RawTasks)),
            Self::RawXbeam => Ok(Box::new(xbeam::Xbeam::default())),
            Self::RawEpoll => Ok(Box::new(echo::EpollEcho)),
            Self::Malloc => Err(Error::NoPeers),
            #[allow(
                unreachable_patterns,
                reason = "with all features every peer has its arm above"
            )]
            _ => Err(Error::NotBuiltIn { peer: self.name() }),
        }
    }
}

/// A subscriber only receives and counts.
const SUBSCRIBER_STACK_BYTES: usize = 256 * 1024;
