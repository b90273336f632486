//! nng 2 through its asynchronous interface: many operations outstanding, each started again from its own callback.
//!
//! PUSH, or a PAIR that sends, keeps 64 sends outstanding, what only receives 16 receives; more of either brought
//! nothing. REP answers in callbacks without a thread of the program. What waits for one thing at a time is better off
//! with blocking calls and has them here too: REQ with one request, and PUB and BUS, whose send never waits.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use nng_sys as c;

use self::lane::{Ended, Lane, Lanes, Shared, Work};
use super::nng::{Message, Nng, Socket};
use super::{Answerer, Asker, Crowd, End, Peer, Role};
use crate::error::{Error, Result};

mod crowd;
mod lane;
mod request;

/// nng, initialised.
pub(crate) struct NngAio(Nng);

impl NngAio {
    /// Initialises nng for this process; doing so again does no harm.
    pub(crate) fn new() -> Result<Self> {
        Nng::new().map(Self)
    }
}

impl Peer for NngAio {
    fn serve(&self, role: Role, url: &str, size: usize) -> Result<(Box<dyn End>, String)> {
        if is_one_at_a_time(role) {
            return self.0.serve(role, url, size);
        }
        let socket = Socket::open(role)?;
        let at = socket.listen(url)?;
        Ok((end(role, socket, size)?, at))
    }

    fn connect(&self, role: Role, url: &str, size: usize) -> Result<Box<dyn End>> {
        if is_one_at_a_time(role) {
            return self.0.connect(role, url, size);
        }
        let socket = Socket::open(role)?;
        socket.dial(url)?;
        end(role, socket, size)
    }

    fn outstanding(&self, url: &str, size: usize, lanes: usize) -> Result<Box<dyn Asker>> {
        let socket = Socket::open(Role::Req)?;
        socket.dial(url)?;
        Ok(Box::new(request::Ask::new(socket, size, lanes)?))
    }

    fn answer(&self, url: &str, _size: usize, lanes: usize) -> Result<(Box<dyn Answerer>, String)> {
        let socket = Socket::open(Role::Rep)?;
        let at = socket.listen(url)?;
        Ok((Box::new(request::Echo::new(socket, lanes)?), at))
    }

    fn subscribers(
        &self,
        role: Role,
        url: &str,
        size: usize,
        count: usize,
    ) -> Result<Box<dyn Crowd>> {
        let open = |_| {
            let socket = Socket::open(role)?;
            socket.dial(url)?;
            Ok(socket)
        };
        Ok(Box::new(crowd::Subscribers::new((0..count).map(open).collect::<Result<_>>()?, size)))
    }
}

/// Whether blocking calls are what it is best off with: it waits for one thing at a time, or never.
const fn is_one_at_a_time(role: Role) -> bool {
    matches!(role, Role::Req | Role::Pub | Role::Bus)
}

fn end(role: Role, socket: Socket, size: usize) -> Result<Box<dyn End>> {
    Ok(match role {
        Role::Push | Role::PairOut => Box::new(Feed::new(socket)?),
        Role::Pull | Role::PairIn | Role::Sub => Box::new(Drain::new(socket, size)?),
        _ => Box::new(request::Echo::new(socket, 1)?),
    })
}

/// PUSH: the program says how much to send, callbacks make the messages and send them.
struct Feed {
    // Before the socket: operations stop first.
    lanes: Lanes<Sending>,
    _socket: Socket,
    shared: Arc<Shared<Orders>>,
}

struct Sending {
    socket: c::nng_socket,
    index: usize,
    shared: Arc<Shared<Orders>>,
}

#[derive(Default)]
struct Orders {
    body: Arc<[u8]>,
    /// Messages still to be sent, each with that body.
    left: u64,
    /// Lanes that found nothing to send.
    idle: Vec<usize>,
    failed: Option<Error>,
}

impl Feed {
    fn new(socket: Socket) -> Result<Self> {
        let shared = Shared::new(Orders { idle: (0..SENDS).collect(), ..Orders::default() });
        let work = |index| Sending { socket: socket.0, index, shared: Arc::clone(&shared) };
        Ok(Self { lanes: Lanes::new((0..SENDS).map(work))?, _socket: socket, shared })
    }

    /// Waits until the orders are as `is_met` wants them.
    fn wait_until(&self, is_met: impl Fn(&Orders) -> bool) -> Result<MutexGuard<'_, Orders>> {
        let mut orders = self.shared.lock();
        while !is_met(&orders) && orders.failed.is_none() {
            orders = self.shared.wait(orders);
        }
        orders.failed.take().map_or(Ok(orders), Err)
    }
}

impl Work for Sending {
    fn ended(lane: &Lane<Self>, outcome: Result<Ended>) {
        if let Err(e) = outcome.and_then(|_| lane.go_on()) {
            lane.work.shared.lock().failed = Some(e);
            lane.work.shared.news.notify_all();
        }
    }
}

impl Lane<Sending> {
    /// Sends the next message, or becomes idle when there is none.
    fn go_on(&self) -> Result<()> {
        let mut orders = self.work.shared.lock();
        let next = (orders.left > 0).then(|| Arc::clone(&orders.body));
        if next.is_some() {
            orders.left -= 1;
        } else {
            orders.idle.push(self.work.index);
        }
        let is_news = orders.left == LEFT_LOW || orders.idle.len() == SENDS;
        drop(orders);
        if is_news {
            self.work.shared.news.notify_all();
        }
        if let Some(body) = next {
            self.send(self.work.socket, Message::new(&body)?);
        }
        Ok(())
    }
}

impl End for Feed {
    fn send(&mut self, body: &[u8]) -> Result<()> {
        self.send_burst(body, 1)
    }

    fn recv(&mut self) -> Result<usize> {
        unreachable!("no workload receives on PUSH")
    }

    fn echo(&mut self) -> Result<()> {
        unreachable!("no workload receives on PUSH")
    }

    fn recv_within(&mut self, _limit: Duration) -> Result<u64> {
        unreachable!("no workload receives on PUSH")
    }

    fn send_burst(&mut self, body: &[u8], count: u64) -> Result<()> {
        let mut orders = self.wait_until(|orders| orders.left <= LEFT_MAX)?;
        if *orders.body != *body {
            drop(orders);
            self.flush()?;
            orders = self.shared.lock();
            orders.body = body.into();
        }
        orders.left += count;
        let idle = std::mem::take(&mut orders.idle);
        drop(orders);
        idle.into_iter().try_for_each(|index| self.lanes.lane(index).go_on())
    }

    fn flush(&mut self) -> Result<()> {
        self.wait_until(|orders| orders.idle.len() == SENDS).map(drop)
    }
}

/// PULL and SUB: callbacks check and free what comes in, the program learns how much it was.
struct Drain {
    // Before the socket: operations stop first.
    _lanes: Lanes<Receiving>,
    _socket: Socket,
    shared: Arc<Shared<Tally>>,
    size: usize,
}

struct Receiving {
    socket: c::nng_socket,
    size: usize,
    shared: Arc<Shared<Tally>>,
}

#[derive(Default)]
struct Tally {
    /// Messages the program has not been told of yet.
    got: u64,
    /// How many it waits for; nought when it does not.
    wanted: u64,
    failed: Option<Error>,
}

impl Drain {
    fn new(socket: Socket, size: usize) -> Result<Self> {
        let shared = Shared::new(Tally::default());
        let work = |_| Receiving { socket: socket.0, size, shared: Arc::clone(&shared) };
        let lanes = Lanes::new((0..RECEIVES).map(work))?;
        lanes.iter().for_each(|lane| lane.recv(socket.0));
        Ok(Self { _lanes: lanes, _socket: socket, shared, size })
    }

    /// Waits until there are `wanted` messages.
    fn wait_for(&self, wanted: u64) -> Result<MutexGuard<'_, Tally>> {
        let mut tally = self.shared.lock();
        while tally.got < wanted && tally.failed.is_none() {
            tally.wanted = wanted;
            tally = self.shared.wait(tally);
        }
        tally.failed.take().map_or(Ok(tally), Err)
    }
}

impl Work for Receiving {
    fn ended(lane: &Lane<Self>, outcome: Result<Ended>) {
        let Self { socket, size, shared } = &lane.work;
        let got = outcome.map(|ended| match ended {
            Ended::Received(message) => message.body().len(),
            Ended::Sent => 0,
        });
        let mut tally = shared.lock();
        match got {
            Ok(got) if got == *size => tally.got += 1,
            Ok(got) => tally.failed = Some(Error::Length { got, wanted: *size }),
            Err(e) => tally.failed = Some(e),
        }
        let has_failed = tally.failed.is_some();
        let is_news = has_failed || tally.wanted > 0 && tally.got >= tally.wanted;
        if is_news {
            tally.wanted = 0;
        }
        drop(tally);
        if is_news {
            shared.news.notify_all();
        }
        if !has_failed {
            lane.recv(*socket);
        }
    }
}

impl End for Drain {
    fn send(&mut self, _body: &[u8]) -> Result<()> {
        unreachable!("no workload sends on PULL or SUB")
    }

    fn recv(&mut self) -> Result<usize> {
        self.wait_for(1)?.got -= 1;
        Ok(self.size)
    }

    fn echo(&mut self) -> Result<()> {
        unreachable!("no workload sends on PULL or SUB")
    }

    fn recv_within(&mut self, limit: Duration) -> Result<u64> {
        let mut tally = self.shared.lock();
        if tally.got == 0 && tally.failed.is_none() {
            tally.wanted = 1;
            tally = self.shared.wait_within(tally, limit);
        }
        match tally.failed.take() {
            Some(e) => Err(e),
            None => Ok(std::mem::take(&mut tally.got)),
        }
    }

    fn recv_burst(&mut self, _size: usize, count: u64) -> Result<u64> {
        Ok(std::mem::take(&mut self.wait_for(count)?.got))
    }
}

/// Sends outstanding on a PUSH.
const SENDS: usize = 64;

/// Receives outstanding on a PULL or SUB.
const RECEIVES: usize = 16;

/// Messages ordered ahead, beyond which the program waits.
const LEFT_MAX: u64 = 1024;

/// How few are left when it goes on.
const LEFT_LOW: u64 = 512;
