//! Who is at the other ends of one descriptor: a state machine without clock, locks or I/O.
//!
//! A peer *is* its address: there are no ids and no cookies. A listener's table holds everybody who has called and is
//! not over, a dialer's the one it calls. Whoever reads the descriptor shows each datagram to [`Table::heard`] and does
//! what that says; whoever keeps the time calls [`Table::tick`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sp_core::clock::after;
use sp_core::datagram::{DatagramFault, DisconnectReason, Lost};
use sp_core::pipe::{CloseReason, ProtocolId};

use crate::wire::datagram::{self, Datagram, HEAD_BYTES, Offer};

/// Peers by address; `P` is what the transport keeps of each.
#[derive(Debug)]
pub(crate) struct Table<P> {
    terms: Terms,
    is_dialer: bool,
    peers: BTreeMap<SocketAddr, Peer<P>>,
}

/// What this side speaks and offers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) protocol: ProtocolId,
    /// Whom it wants at the other end.
    pub(crate) wanted: ProtocolId,
    pub(crate) payload_max: u16,
    /// Seconds.
    pub(crate) refresh: u16,
    /// How long to wait for an answer before calling again.
    pub(crate) retry: Duration,
    pub(crate) peers_max: usize,
}

#[derive(Debug)]
struct Peer<P> {
    state: State<P>,
    /// What is agreed: seconds.
    refresh: u16,
    /// The longest message it takes.
    payload_max: u16,
    heard_at: Instant,
    /// When a dialer speaks next.
    call_at: Instant,
}

#[derive(Debug)]
enum State<P> {
    /// A dialer waits for the answer, until then at the most.
    Calling {
        pipe: P,
        until: Instant,
    },
    /// A stranger has called at a listener, and whether it is let in is not decided yet.
    Knocking,
    Live(P),
}

/// A datagram of ours that is no message.
pub(crate) type Word = [u8; HEAD_BYTES];

/// What a datagram leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a, P> {
    /// A peer's message.
    Message(P, &'a [u8]),
    /// Nothing, or nothing but this answer.
    Answer(Option<Word>),
    /// Nothing but this answer, and it counts as this.
    Stray(Lost, Option<Word>),
    /// A stranger wants to be a peer: decide, then [`Table::admit`] or [`Table::forget`].
    Knock(Offer),
    /// The peer that was called has answered.
    Opened(P, Offer),
    /// A stranger was turned away, which this tells it.
    Refused(CloseReason, Word),
    /// An association is over, or will not be. Then [`Table::forget`] the peer, and tell it what that says.
    Ended(P, CloseReason),
}

/// What is to be done because time has passed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due<P> {
    /// Say this.
    Say(SocketAddr, Word),
    /// As [`Heard::Ended`].
    End(P, CloseReason),
}

impl<P: Clone> Table<P> {
    /// Without peers.
    pub(crate) const fn new(terms: Terms, is_dialer: bool) -> Self {
        Self { terms, is_dialer, peers: BTreeMap::new() }
    }

    /// A dialer calls `addr` from now on, as the next [`tick`](Self::tick) says, and until `until` at the most.
    pub(crate) fn call(&mut self, addr: SocketAddr, pipe: P, now: Instant, until: Instant) {
        let peer = Peer {
            state: State::Calling { pipe, until },
            refresh: self.terms.refresh,
            payload_max: 0,
            heard_at: now,
            call_at: now,
        };
        self.peers.insert(addr, peer);
    }

    /// A datagram came from `from`.
    pub(crate) fn heard<'a>(
        &mut self,
        from: SocketAddr,
        bytes: &'a [u8],
        now: Instant,
    ) -> Heard<'a, P> {
        match datagram::parse(bytes) {
            Err(lost) => Heard::Stray(lost, None),
            Ok(Datagram::Unknown) => {
                let answer = self.disconnect(DisconnectReason::OTHER);
                Heard::Stray(Lost::Unexpected, Some(answer))
            }
            Ok(Datagram::Call(_)) if self.is_dialer => {
                let answer = self.disconnect(DisconnectReason::REFUSED);
                Heard::Stray(Lost::Unexpected, Some(answer))
            }
            Ok(Datagram::Answer(_)) if !self.is_dialer => Heard::Stray(Lost::Unexpected, None),
            Ok(Datagram::Call(offer)) => self.called(from, offer, now),
            Ok(Datagram::Answer(offer)) => self.answered(from, offer, now),
            Ok(Datagram::Disconnect(reason)) => self.disconnected(from, reason),
            Ok(Datagram::Message(payload)) => {
                let limit = self.terms.payload_max;
                let Some(Peer { state: State::Live(pipe), heard_at, .. }) =
                    self.peers.get_mut(&from)
                else {
                    return Heard::Stray(Lost::Stranger, None);
                };
                if payload.len() > usize::from(limit) {
                    let announced = payload.len() as u64;
                    return self.end(from, CloseReason::TooLong { announced, limit: limit.into() });
                }
                *heard_at = now;
                Heard::Message(pipe.clone(), payload)
            }
            Ok(Datagram::Cut { announced, got }) => {
                self.end(from, DatagramFault::Cut { announced, got }.into())
            }
        }
    }

    /// The stranger that knocked is let in. Answers what to tell it, unless it is gone.
    pub(crate) fn admit(&mut self, addr: SocketAddr, pipe: P) -> Option<Word> {
        let peer = self.peers.get_mut(&addr)?;
        if !matches!(peer.state, State::Knocking) {
            return None;
        }
        peer.state = State::Live(pipe);
        let refresh = peer.refresh;
        Some(self.answer(refresh))
    }

    /// Whom `is_it` knows is a peer no more, or who knocks at `addr` becomes none. Answers what tells it, unless it
    /// knows; by now somebody else may be the peer there.
    pub(crate) fn forget(
        &mut self,
        addr: SocketAddr,
        is_it: impl Fn(&P) -> bool,
        reason: DisconnectReason,
    ) -> Option<Word> {
        let is_another = self.at(addr).is_some_and(|pipe| !is_it(&pipe));
        let gone = if is_another { None } else { self.peers.remove(&addr) };
        gone.map(|_| self.disconnect(reason))
    }

    /// Lists in `due` what is to be done at `now`. Answers when to come again.
    pub(crate) fn tick(&mut self, now: Instant, due: &mut Vec<Due<P>>) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let call = datagram::call(self.offer(self.terms.refresh));
        for (addr, peer) in &mut self.peers {
            let silence = DEAD_AFTER * seconds(peer.refresh);
            let (pipe, mut at, why, interval) = match &peer.state {
                State::Calling { pipe, until } => {
                    (pipe, *until, CloseReason::HandshakeTimeout, self.terms.retry)
                }
                State::Live(pipe) => {
                    let why = DatagramFault::Silent { after: silence }.into();
                    (pipe, peer.heard_at + silence, why, seconds(peer.refresh))
                }
                // Decided as soon as the worker comes to it.
                State::Knocking => continue,
            };
            if at <= now {
                due.push(Due::End(pipe.clone(), why));
                continue;
            }
            if self.is_dialer {
                if peer.call_at <= now {
                    due.push(Due::Say(*addr, call));
                    peer.call_at = after(now, interval);
                }
                at = at.min(peer.call_at);
            }
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        next
    }

    /// Whether `addr` has knocked and nobody has decided yet.
    pub(crate) fn knocks(&self, addr: SocketAddr) -> bool {
        matches!(self.peers.get(&addr), Some(Peer { state: State::Knocking, .. }))
    }

    /// The pipe of the peer at `addr`, as far as there is one.
    pub(crate) fn at(&self, addr: SocketAddr) -> Option<P> {
        match &self.peers.get(&addr)?.state {
            State::Live(pipe) | State::Calling { pipe, .. } => Some(pipe.clone()),
            State::Knocking => None,
        }
    }

    fn called(&mut self, from: SocketAddr, offer: Offer, now: Instant) -> Heard<'static, P> {
        let refresh = offer.refresh.min(self.terms.refresh);
        if let Err(why) = self.check(offer) {
            return match self.peers.contains_key(&from) {
                true => self.end(from, why),
                false => self.refuse(why),
            };
        }
        let Some(peer) = self.peers.get_mut(&from) else {
            if self.peers.len() >= self.terms.peers_max {
                return self.refuse(CloseReason::TooMany { limit: self.terms.peers_max });
            }
            let payload_max = offer.payload_max;
            let state = State::Knocking;
            self.peers
                .insert(from, Peer { state, refresh, payload_max, heard_at: now, call_at: now });
            return Heard::Knock(offer);
        };
        if peer.payload_max != offer.payload_max {
            // Somebody new at the same address: what was agreed with the one before does not hold. Its next call finds
            // nobody here.
            return self.over(from, CloseReason::PeerClosed);
        }
        peer.heard_at = now;
        peer.refresh = refresh;
        match peer.state {
            State::Live(_) => Heard::Answer(Some(self.answer(refresh))),
            _ => Heard::Answer(None),
        }
    }

    fn answered(&mut self, from: SocketAddr, offer: Offer, now: Instant) -> Heard<'static, P> {
        if let Err(why) = self.check(offer) {
            return self.end(from, why);
        }
        let Some(peer) = self.peers.get_mut(&from) else {
            return Heard::Stray(Lost::Stranger, None);
        };
        peer.heard_at = now;
        peer.refresh = offer.refresh.min(self.terms.refresh);
        let State::Calling { pipe, .. } = &peer.state else { return Heard::Answer(None) };
        let pipe = pipe.clone();
        peer.call_at = now + seconds(peer.refresh);
        peer.state = State::Live(pipe.clone());
        Heard::Opened(pipe, offer)
    }

    fn disconnected(&mut self, from: SocketAddr, reason: DisconnectReason) -> Heard<'static, P> {
        self.over(
            from,
            match reason {
                DisconnectReason::CLOSED => CloseReason::PeerClosed,
                _ => DatagramFault::Disconnected(reason).into(),
            },
        )
    }

    /// The end of a peer that knows of it.
    fn over(&mut self, from: SocketAddr, why: CloseReason) -> Heard<'static, P> {
        match self.peers.remove(&from).map(|peer| peer.state) {
            Some(State::Live(pipe) | State::Calling { pipe, .. }) => Heard::Ended(pipe, why),
            // Whoever decides finds that it has gone.
            Some(State::Knocking) => Heard::Answer(None),
            None => Heard::Stray(Lost::Stranger, None),
        }
    }

    /// What is wrong with an offer.
    fn check(&self, offer: Offer) -> Result<(), CloseReason> {
        let Terms { wanted, .. } = self.terms;
        if offer.protocol != wanted {
            return Err(CloseReason::WrongProtocol { got: offer.protocol, wanted });
        }
        if offer.refresh == 0 {
            return Err(DatagramFault::NoRefresh.into());
        }
        Ok(())
    }

    fn refuse(&self, why: CloseReason) -> Heard<'static, P> {
        let word = self.disconnect(reason_of(&why));
        Heard::Refused(why, word)
    }

    /// What comes of something that is wrong: the end of whoever said it, if that is a peer. It is still to be told.
    fn end(&self, from: SocketAddr, why: CloseReason) -> Heard<'static, P> {
        match self.at(from) {
            Some(pipe) => Heard::Ended(pipe, why),
            // Or it is not decided yet whether it is a peer, and it will say so again.
            None => Heard::Stray(Lost::Stranger, None),
        }
    }

    const fn offer(&self, refresh: u16) -> Offer {
        let Terms { protocol, payload_max, .. } = self.terms;
        Offer { protocol, payload_max, refresh }
    }

    const fn answer(&self, refresh: u16) -> Word {
        datagram::answer(self.offer(refresh))
    }

    const fn disconnect(&self, reason: DisconnectReason) -> Word {
        datagram::disconnect(self.terms.protocol, reason)
    }
}

/// What the peer is told of an end.
pub(crate) const fn reason_of(why: &CloseReason) -> DisconnectReason {
    match why {
        CloseReason::WrongProtocol { .. } => DisconnectReason::PROTOCOL,
        CloseReason::TooLong { .. } | CloseReason::Datagram(DatagramFault::Cut { .. }) => {
            DisconnectReason::TOO_LONG
        }
        CloseReason::Datagram(DatagramFault::NoRefresh) => DisconnectReason::NEGOTIATION,
        CloseReason::Datagram(DatagramFault::Silent { .. }) => DisconnectReason::INACTIVE,
        CloseReason::NotAdmitted => DisconnectReason::REFUSED,
        CloseReason::TooMany { .. } => DisconnectReason::RESOURCES,
        CloseReason::Closed | CloseReason::PeerClosed => DisconnectReason::CLOSED,
        _ => DisconnectReason::OTHER,
    }
}

const fn seconds(n: u16) -> Duration {
    Duration::from_secs(n as u64)
}

/// A peer is gone that was silent for as many of its intervals. As nng has it.
const DEAD_AFTER: u32 = 5;

#[cfg(test)]
mod tests;
