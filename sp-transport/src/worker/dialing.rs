//! A dialer's attempts: from its endpoint to a descriptor that is being connected.

use std::io;
use std::net::SocketAddr;

use socket2::Socket;
use sp_core::clock;
use sp_core::endpoint::{Address, Host};
use sp_core::pipe::CloseReason;

use super::endpoints::{Ep, Role};
use super::{Command, Due, Origin, Source, Worker};
use crate::dialer::{self, NEXT_ADDRESS};
use crate::inproc;
use crate::own;
use crate::resolver::Addresses;
use crate::runtime::EndpointId;
use crate::stream::{Plain, Stream, no_connection};
use crate::transport::registered;

impl Worker {
    /// Starts a dialer's next attempt.
    pub(super) fn attempt(&mut self, id: EndpointId) {
        let Some(Ep { role: Role::Dialer(dialer), endpoint, owner, .. }) =
            self.endpoints.get_mut(&id)
        else {
            return;
        };
        match endpoint.address() {
            Address::Tcp { host: Host::Ip(ip), port, .. }
            | Address::Tls { host: Host::Ip(ip), port, .. }
            | Address::Ws { host: Host::Ip(ip), port, .. }
            | Address::Udp { host: Host::Ip(ip), port, .. } => {
                dialer.addresses = [SocketAddr::new(*ip, *port)].into();
                self.connect_next(id, CloseReason::Unresolved);
            }
            Address::Tcp { host: Host::Name(name), port, family }
            | Address::Tls { host: Host::Name(name), port, family }
            | Address::Ws { host: Host::Name(name), port, family, .. }
            | Address::Udp { host: Host::Name(name), port, family } => {
                let handle = self.handle.clone();
                self.resolver.look_up(name, *port, *family, move |addresses| {
                    handle.send(Command::Resolved { id, addresses });
                });
            }
            Address::Tcp { host: Host::Wildcard, .. }
            | Address::Tls { host: Host::Wildcard, .. }
            | Address::Ws { host: Host::Wildcard, .. }
            | Address::Udp { host: Host::Wildcard, .. } => {
                unreachable!("an endpoint without a host is refused before it is dialled")
            }
            Address::Ipc { path } => {
                let connected = dialer::connect_ipc(path);
                self.connected_here(id, connected.map(plain));
            }
            Address::Abstract { name } => {
                let connected = dialer::connect_abstract(name);
                self.connected_here(id, connected.map(plain));
            }
            Address::Own { scheme, address } => {
                let connected = registered(scheme).and_then(|own| own::dial(&*own, address));
                self.connected_here(id, connected.map(|own| Stream::Own(Box::new(own))));
            }
            Address::Socket => {
                unreachable!("an endpoint for descriptors is refused before it is dialled")
            }
            Address::Inproc { name } => {
                let origin = Origin { endpoint: id, serial: self.next_serial };
                self.next_serial += 1;
                match inproc::connect(name, endpoint, owner, &self.handle, origin) {
                    Ok(pipe) => self.made(origin, pipe),
                    Err(why) => self.attempt_failed(id, None, why),
                }
            }
        }
    }

    /// What came of connecting where there is one way to try, which has begun or failed at once.
    fn connected_here(&mut self, id: EndpointId, connected: io::Result<Stream>) {
        match connected {
            Ok(stream) => self.shake_hands(id, stream, None),
            Err(error) => self.attempt_failed(id, None, no_connection(&error)),
        }
    }

    pub(super) fn resolved(&mut self, id: EndpointId, addresses: Addresses) {
        let Some(Ep { role: Role::Dialer(dialer), .. }) = self.endpoints.get_mut(&id) else {
            return;
        };
        dialer.addresses = dialer::by_turns(addresses.unwrap_or_default());
        self.connect_next(id, CloseReason::Unresolved);
    }

    /// Tries the next address of this attempt; `why` is what became of the one before.
    pub(super) fn connect_next(&mut self, id: EndpointId, mut why: CloseReason) {
        let mut tried = None;
        loop {
            let Some(Ep { role: Role::Dialer(dialer), endpoint, .. }) = self.endpoints.get_mut(&id)
            else {
                return;
            };
            dialer.turn += 1;
            let Some(addr) = dialer.addresses.pop_front() else { break };
            if let Address::Udp { .. } = endpoint.address() {
                match self.call(id, addr) {
                    // One address after the other: who is called twice would take this socket for two.
                    Ok(()) => return,
                    Err(error) => why = CloseReason::Io(error.kind()),
                }
                tried = Some(addr);
                continue;
            }
            match dialer::connect_tcp(addr, &dialer.options) {
                Ok(socket) => {
                    if !dialer.addresses.is_empty() {
                        let due = Due::NextAddress { id, turn: dialer.turn };
                        self.timers.add(clock::after(clock::now(), NEXT_ADDRESS), due);
                    }
                    return self.shake_hands(id, plain(socket), Some(addr));
                }
                Err(error) => why = no_connection(&error),
            }
            tried = Some(addr);
        }
        self.attempt_failed(id, tried, why);
    }

    /// No address of a dialer's has answered for a while: tries the next beside them.
    pub(super) fn next_address(&mut self, id: EndpointId, turn: u64) {
        match self.endpoints.get(&id) {
            Some(Ep { role: Role::Dialer(dialer), .. }) if dialer.turn == turn => {
                self.connect_next(id, CloseReason::Unresolved);
            }
            _ => {}
        }
    }

    /// If one of several addresses of a dialer has answered, the others are let go before a word is said to them, so
    /// that no peer takes this socket for two.
    pub(super) fn leave_rivals(&mut self, key: usize) {
        let Some(Source::HalfOpen(half_open)) = self.sources.get(key) else { return };
        let Some(Ep { role: Role::Dialer(dialer), .. }) =
            self.endpoints.get_mut(&half_open.origin.endpoint)
        else {
            return;
        };
        let is_only_one = dialer.trying.len() == 1 && dialer.addresses.is_empty();
        if is_only_one || !half_open.layers.stream.is_connected() {
            return;
        }
        dialer.turn += 1;
        let rivals: Vec<usize> =
            dialer.trying.iter().copied().filter(|rival| *rival != key).collect();
        for rival in rivals {
            drop(self.take_half_open(rival));
        }
    }

    pub(super) fn attempt_failed(
        &mut self,
        id: EndpointId,
        addr: Option<SocketAddr>,
        why: CloseReason,
    ) {
        let Some(Ep { role: Role::Dialer(dialer), owner, endpoint, .. }) =
            self.endpoints.get_mut(&id)
        else {
            return;
        };
        owner.events.refused(endpoint, addr, why.clone());
        if !dialer.trying.is_empty() {
            // Another address may still answer.
            return;
        }
        if dialer.failed(why) {
            self.endpoints.remove(&id);
            return;
        }
        let wait = dialer.backoff.fail();
        self.timers.add(clock::after(clock::now(), wait), Due::Redial(id));
    }
}

const fn plain(socket: Socket) -> Stream {
    Stream::Plain(Plain::new(socket))
}
