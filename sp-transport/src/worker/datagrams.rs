//! The worker's part in UDP: calling, deciding who becomes a peer, keeping the time.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use mio::unix::SourceFd;
use sp_core::clock;
use sp_core::config::Config;
use sp_core::id::PeerId;
use sp_core::pipe::{CloseReason, Pipe, PipeEvents, PipeInfo};

use super::endpoints::{Ep, Role};
use super::{Due, HANDSHAKE_POLLING, Origin, Source, Worker};
use crate::conn::ReadBuf;
use crate::listener::{Bound, Door};
use crate::options::ConnOptions;
use crate::runtime::{EndpointId, Owner};
use crate::udp::{self, Hub, News, Read, Terms, UdpPipe};
use crate::wire::datagram::Offer;

impl Worker {
    /// Starts a listener for datagrams.
    pub(super) fn listen_datagrams(&mut self, id: EndpointId, owner: Owner, bound: Bound) {
        let Bound { door: Some(Door::Socket(socket)), endpoint, options, .. } = bound else {
            unreachable!("a listener over udp was bound")
        };
        let mut terms = terms(&options.conn, &*owner.events, Config::new().udp_refresh);
        terms.peers_max = terms.peers_max.min(options.connections_max.unwrap_or(usize::MAX));
        let socket = socket.into_socket().into();
        let hub = Hub::new(socket, None, (id, &endpoint), &owner, &self.handle, terms);
        owner.driver.adopt_hub(Arc::clone(&hub));
        self.endpoints.insert(id, Ep::new(owner, endpoint, Role::Datagrams(hub)));
    }

    /// A dialer calls `addr`.
    pub(super) fn call(&mut self, id: EndpointId, addr: SocketAddr) -> io::Result<()> {
        let Some(Ep { role: Role::Dialer(dialer), owner, endpoint, .. }) =
            self.endpoints.get_mut(&id)
        else {
            return Ok(());
        };
        let conn = &dialer.options.conn;
        let terms = terms(conn, &*owner.events, DIALER_REFRESH);
        let socket = udp::connect(addr, &dialer.options)?;
        let hub = Hub::new(socket, Some(addr), (id, endpoint), owner, &self.handle, terms);
        let info = PipeInfo {
            local_addr: hub.local_addr(),
            peer_addr: Some(addr),
            ..PipeInfo::new(Arc::clone(endpoint), true, terms.wanted)
        };
        let origin = Origin { endpoint: id, serial: self.next_serial };
        self.next_serial += 1;
        let pipe = UdpPipe::new(info, &hub, addr, owner, origin);
        let limit = conn.handshake_limit.min(conn.udp.expire);
        hub.call(addr, &pipe, clock::after(clock::now(), limit));
        let key = self.sources.insert(Source::Calling(Arc::clone(&hub)));
        dialer.calling = Some(Calling { pipe: Arc::clone(&pipe), key });
        if let Err(error) = self.poll_source(hub.fd(), key) {
            self.stop_calling(&pipe);
            return Err(error);
        }
        self.expected = Some(clock::now() + HANDSHAKE_POLLING);
        self.tick(&hub);
        Ok(())
    }

    /// The driver of a descriptor for datagrams has something to decide.
    pub(super) fn datagram_news(&mut self, hub: &Arc<Hub>, news: News) {
        match news {
            News::Knock(addr, offer) => self.knocked(hub, addr, offer),
            News::Opened(pipe) => self.call_answered(hub, pipe),
            News::Failed(pipe, why) if pipe.peer().is_some() => pipe.tell_closed(why),
            News::Failed(pipe, why) => {
                self.stop_ticking(hub);
                if self.stop_calling(&pipe) {
                    self.came_to_nothing(pipe.origin().endpoint, Some(pipe.addr()), why);
                }
            }
            News::Over(origin) => {
                self.stop_ticking(hub);
                self.conn_ended(origin);
            }
        }
    }

    /// Time has passed for a descriptor for datagrams.
    pub(super) fn tick_again(&mut self, hub: &Weak<Hub>) {
        if let Some(hub) = hub.upgrade() {
            *hub.next_tick() = None;
            self.tick(&hub);
        }
    }

    /// Does what is due, and comes again in time for what will be: the newest peer may be the first to be missed.
    fn tick(&mut self, hub: &Arc<Hub>) {
        let Some(at) = hub.tick() else { return };
        let mut next_tick = hub.next_tick();
        if next_tick.is_some_and(|next| next.at() <= at) {
            return;
        }
        let timer = self.timers.add(at, Due::Datagrams(Arc::downgrade(hub)));
        if let Some(late) = next_tick.replace(timer) {
            self.timers.cancel(late);
        }
    }

    /// A dialer's descriptor, which has one pipe, is of no more use.
    fn stop_ticking(&mut self, hub: &Hub) {
        if hub.connected().is_some()
            && let Some(next_tick) = hub.next_tick().take()
        {
            self.timers.cancel(next_tick);
        }
    }

    /// A stranger wants to be a peer of a listener.
    fn knocked(&mut self, hub: &Arc<Hub>, addr: SocketAddr, offer: Offer) {
        let id = hub.endpoint_id();
        let Some(Ep { owner, endpoint, .. }) = self.endpoints.get(&id) else {
            return hub.turn_away(addr, &CloseReason::Closed);
        };
        if !hub.knocks(addr) {
            return;
        }
        let origin = Origin { endpoint: id, serial: self.next_serial };
        self.next_serial += 1;
        let owner = owner.clone();
        let info = PipeInfo {
            local_addr: hub.local_addr(),
            peer_addr: Some(addr),
            ..PipeInfo::new(Arc::clone(endpoint), false, offer.protocol)
        };
        let pipe = UdpPipe::new(info, hub, addr, &owner, origin);
        pipe.set_payload_max(offer.payload_max);
        match admit(&owner, &pipe) {
            Ok(peer) => {
                pipe.accepted(&owner, peer);
                self.made(origin, Arc::clone(&pipe) as Arc<dyn Pipe>);
                if hub.admit(addr, &pipe) {
                    pipe.begin();
                } else {
                    pipe.end(CloseReason::PeerClosed);
                }
                self.tick(hub);
            }
            Err(why) => {
                hub.turn_away(addr, &why);
                self.came_to_nothing(id, Some(addr), why);
            }
        }
    }

    /// A listener has answered a dialer.
    fn call_answered(&mut self, hub: &Arc<Hub>, pipe: Arc<UdpPipe>) {
        let origin = pipe.origin();
        let Some(Ep { role: Role::Dialer(dialer), owner, .. }) =
            self.endpoints.get(&origin.endpoint)
        else {
            return;
        };
        if dialer.calling.as_ref().is_none_or(|calling| !Arc::ptr_eq(&calling.pipe, &pipe)) {
            // The call has ended since, and that was heard first.
            return;
        }
        let owner = owner.clone();
        match admit(&owner, &pipe) {
            Ok(peer) => {
                self.stop_calling(&pipe);
                pipe.accepted(&owner, peer);
                self.made(origin, Arc::clone(&pipe) as Arc<dyn Pipe>);
                // From now on its messages come to whoever drives the socket.
                owner.driver.adopt_hub(Arc::clone(hub));
                pipe.begin();
                self.tick(hub);
            }
            // Which makes this the news that the call came to nothing.
            Err(why) => pipe.end(why),
        }
    }

    /// A call is over. Answers whether its dialer still made it.
    fn stop_calling(&mut self, pipe: &Arc<UdpPipe>) -> bool {
        let Some(Ep { role: Role::Dialer(dialer), .. }) =
            self.endpoints.get_mut(&pipe.origin().endpoint)
        else {
            return false;
        };
        let calling = dialer.calling.take_if(|calling| Arc::ptr_eq(&calling.pipe, pipe));
        calling.map(|calling| self.let_go(calling.key)).is_some()
    }

    /// A dialer is closed while it calls.
    pub(super) fn hang_up(&mut self, calling: Calling) {
        calling.pipe.end(CloseReason::Closed);
        self.let_go(calling.key);
    }

    fn let_go(&mut self, key: usize) {
        if let Some(Source::Calling(hub)) = self.sources.try_remove(key) {
            // Fails only if it never was registered.
            let _ = self.poll.registry().deregister(&mut SourceFd(&hub.fd()));
        }
    }
}

/// Asks the program, and then the socket, whether the peer is wanted.
fn admit(owner: &Owner, pipe: &Arc<UdpPipe>) -> Result<PeerId, CloseReason> {
    owner.events.admit(&pipe.info())?;
    owner.events.opened(Arc::clone(pipe) as Arc<dyn Pipe>)
}

/// A dialer's call that has not been answered.
pub(crate) struct Calling {
    pipe: Arc<UdpPipe>,
    /// Where the worker polls for the answer.
    key: usize,
}

/// Reads what has come to a descriptor that no driver has yet.
pub(super) fn listen_for_answer(hub: &Arc<Hub>) {
    let mut read_buf = ReadBuf::take();
    for _ in 0..READS_PER_TURN {
        if hub.receive(&mut read_buf) == Read::Drained {
            break;
        }
    }
    read_buf.put_back();
}

/// What this side speaks and offers.
fn terms(conn: &ConnOptions, events: &dyn PipeEvents, refresh: Duration) -> Terms {
    let recv_max = conn.recv_max.and_then(|max| u16::try_from(max).ok()).unwrap_or(u16::MAX);
    Terms {
        protocol: events.protocol(),
        wanted: events.peer_protocol(),
        payload_max: recv_max.min(PAYLOAD_MAX),
        refresh: conn.udp.refresh_seconds(refresh),
        retry: conn.udp.retry,
        peers_max: conn.udp.peers_max,
    }
}

/// The longest message that is received, as in nng: what an IPv4 datagram carries and some to spare.
const PAYLOAD_MAX: u16 = 65_000;

/// What a dialer offers: as nng does by default.
const DIALER_REFRESH: Duration = Duration::from_secs(1);

/// Beyond that whoever answers sends more than anybody reads; what is left is read when more comes, or the call ends.
const READS_PER_TURN: usize = 8;
