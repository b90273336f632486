//! The peers of one socket.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use slab::Slab;

use super::snapshot::SlotTable;
use crate::clock;
use crate::endpoint::Endpoint;
use crate::id::{Id, PeerId};

/// The peers of one socket, by id and by address. `X` is what the socket attaches to each.
///
/// The list that decides stands behind a lock which is taken to add and to remove. Looking up by id and walking
/// the peers read a published copy and take no lock. All calls cost the same however many peers there are, but
/// for [`all`](Self::all) and [`range`](Self::range).
///
/// ```
/// use std::net::SocketAddr;
///
/// use sp_core::registry::PeerRegistry;
///
/// let peers = PeerRegistry::new();
/// let id = peers.add(SocketAddr::from(([192, 0, 2, 1], 5555)), "attached");
/// assert_eq!(peers.get(id).map(|peer| *peer.attached()), Some("attached"));
/// peers.remove(id);
/// assert!(peers.get(id).is_none());
/// ```
#[derive(Debug)]
pub struct PeerRegistry<X = ()> {
    truth: RwLock<Truth<X>>,
    view: SlotTable<Peer<X>>,
}

#[derive(Debug)]
struct Truth<X> {
    slots: Slab<Slot<X>>,
    /// The next generation of each slot, also of empty ones.
    generations: Vec<u32>,
    hasher: RandomState,
    /// The slot added last of those whose address has this hash; the others hang on to it. With the hash for the
    /// address an entry takes up a third.
    by_addr: BTreeMap<u64, u32>,
}

/// A peer and its neighbours among those with the same hash of their address: all peers of an inproc name share one.
#[derive(Debug)]
struct Slot<X> {
    peer: Arc<Peer<X>>,
    older: Option<u32>,
    newer: Option<u32>,
}

impl<X> PeerRegistry<X> {
    /// A registry without peers; allocates nothing.
    pub fn new() -> Self {
        let truth = Truth {
            slots: Slab::new(),
            generations: Vec::new(),
            hasher: RandomState::new(),
            by_addr: BTreeMap::new(),
        };
        Self { truth: RwLock::new(truth), view: SlotTable::new() }
    }

    /// Adds a peer, in state [`PeerState::Connecting`], and returns its id.
    pub fn add(&self, addr: impl Into<PeerAddr>, attached: X) -> PeerId {
        let addr = addr.into();
        let now = clock::now();
        let mut truth = self.write();
        let key = truth.slots.vacant_key();
        if truth.generations.len() <= key {
            truth.generations.resize(key + 1, 0);
        }
        let index = u32::try_from(key).unwrap_or_else(|_| unreachable!("memory ends before slots"));
        let id = PeerId::from_parts(index, truth.generations[key]);
        let hash = truth.hasher.hash_one(&addr);
        let peer = Arc::new(Peer::new(id, addr, attached, now));
        let older = truth.by_addr.insert(hash, index);
        if let Some(slot) = older.and_then(|older| truth.slot_mut(older)) {
            slot.newer = Some(index);
        }
        truth.slots.insert(Slot { peer: Arc::clone(&peer), older, newer: None });
        self.view.put(index, Some(peer));
        id
    }

    /// Takes a peer out, puts it in state [`PeerState::Disconnected`] and returns it. A stale id finds nothing.
    pub fn remove(&self, id: PeerId) -> Option<Arc<Peer<X>>> {
        let key = id.index() as usize;
        let mut truth = self.write();
        if truth.slots.get(key)?.peer.id != id {
            return None;
        }
        let slot = truth.take(key);
        self.view.put(id.index(), None);
        drop(truth);
        slot.peer.advance(PeerState::Disconnected);
        Some(slot.peer)
    }

    /// The peer with this id; a stale id finds nothing. Takes no lock.
    pub fn get(&self, id: PeerId) -> Option<Arc<Peer<X>>> {
        self.view.get(id.index()).filter(|peer| peer.id == id)
    }

    /// The peer with this address; of several the one added last.
    pub fn get_by_addr(&self, addr: &PeerAddr) -> Option<Arc<Peer<X>>> {
        let truth = self.read();
        let mut next = truth.by_addr.get(&truth.hasher.hash_one(addr)).copied();
        loop {
            let slot = truth.slots.get(next? as usize)?;
            if slot.peer.addr == *addr {
                return Some(Arc::clone(&slot.peer));
            }
            next = slot.older;
        }
    }

    /// Every peer that is in the registry at one moment, in slot order.
    pub fn all(&self) -> Vec<Arc<Peer<X>>> {
        self.read().slots.iter().map(|(_, slot)| Arc::clone(&slot.peer)).collect()
    }

    /// Shows peers to `visit` in slot order until it answers [`ControlFlow::Break`]. Takes no lock.
    ///
    /// Peers added or removed meanwhile may or may not be shown; all others are shown exactly once.
    pub fn range<B>(
        &self,
        mut visit: impl FnMut(&Arc<Peer<X>>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.view.iter().try_for_each(|peer| visit(&peer))
    }

    /// How many peers there are.
    pub fn count(&self) -> usize {
        self.read().slots.len()
    }

    /// Poison is ignored: no foreign code runs under the lock, so what it guards is whole.
    fn read(&self) -> RwLockReadGuard<'_, Truth<X>> {
        self.truth.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Truth<X>> {
        self.truth.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<X> Truth<X> {
    /// Takes out the slot, which must be occupied, and closes the chain of its address.
    fn take(&mut self, key: usize) -> Slot<X> {
        let slot = self.slots.remove(key);
        self.generations[key] = self.generations[key].wrapping_add(1);
        if let Some(older) = slot.older.and_then(|older| self.slot_mut(older)) {
            older.newer = slot.newer;
        }
        let hash = self.hasher.hash_one(&slot.peer.addr);
        match (slot.newer.and_then(|newer| self.slot_mut(newer)), slot.older) {
            (Some(newer), older) => newer.older = older,
            (None, Some(older)) => {
                self.by_addr.insert(hash, older);
            }
            (None, None) => {
                self.by_addr.remove(&hash);
            }
        }
        slot
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<X>> {
        self.slots.get_mut(index as usize)
    }
}

impl<X> Default for PeerRegistry<X> {
    fn default() -> Self {
        Self::new()
    }
}

/// One peer as others see it. The engine keeps its own state by the same id.
#[derive(Debug)]
pub struct Peer<X = ()> {
    id: PeerId,
    addr: PeerAddr,
    attached: X,
    added: Instant,
    /// Publishes nothing but itself, like the counters below.
    state: AtomicU8,
    /// Nanoseconds from `added` to when the peer was last heard of.
    last_seen: AtomicU64,
    messages_sent: AtomicU64,
    bytes_sent: AtomicU64,
    messages_received: AtomicU64,
    bytes_received: AtomicU64,
}

impl<X> Peer<X> {
    fn new(id: PeerId, addr: PeerAddr, attached: X, added: Instant) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            id,
            addr,
            attached,
            added,
            state: AtomicU8::new(PeerState::Connecting as u8),
            last_seen: zero(),
            messages_sent: zero(),
            bytes_sent: zero(),
            messages_received: zero(),
            bytes_received: zero(),
        }
    }

    /// Moves to a later state and returns whether that was a change; there is no way back.
    pub fn advance(&self, to: PeerState) -> bool {
        self.state.fetch_max(to as u8, Relaxed) < to as u8
    }

    /// Counts `messages` of together `bytes` payload bytes that were sent to the peer.
    ///
    /// One thread at a time may count, as whoever holds the socket's lock does; anybody may read meanwhile.
    pub fn count_sent(&self, messages: u64, bytes: u64) {
        add(&self.messages_sent, messages);
        add(&self.bytes_sent, bytes);
    }

    /// Counts `messages` of together `bytes` payload bytes that came from the peer at `now`.
    ///
    /// One thread at a time, as in [`count_sent`](Self::count_sent).
    pub fn count_received(&self, messages: u64, bytes: u64, now: Instant) {
        add(&self.messages_received, messages);
        add(&self.bytes_received, bytes);
        self.saw(now);
    }

    /// Notes that the peer was heard of at `now`. One thread at a time.
    fn saw(&self, now: Instant) {
        let since = now.saturating_duration_since(self.added).as_nanos();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.last_seen.store(self.last_seen.load(Relaxed).max(since), Relaxed);
    }

    /// The peer's id, unique in its registry.
    pub const fn id(&self) -> PeerId {
        self.id
    }

    /// The peer's address.
    pub const fn addr(&self) -> &PeerAddr {
        &self.addr
    }

    /// What the socket attached.
    pub const fn attached(&self) -> &X {
        &self.attached
    }

    /// How far the connection has come.
    pub fn state(&self) -> PeerState {
        PeerState::ALL[usize::from(self.state.load(Relaxed)).min(PeerState::ALL.len() - 1)]
    }

    /// When the peer was added.
    pub const fn connected_at(&self) -> Instant {
        self.added
    }

    /// When the peer was last heard of; at first, when it was added.
    pub fn last_seen(&self) -> Instant {
        self.added + Duration::from_nanos(self.last_seen.load(Relaxed))
    }

    /// What has passed so far. The numbers are read one after the other, not at one moment.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            messages_sent: self.messages_sent.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
            messages_received: self.messages_received.load(Relaxed),
            bytes_received: self.bytes_received.load(Relaxed),
        }
    }
}

/// A plain load and store: a read-modify-write would cost every message three nanoseconds.
fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Relaxed) + more, Relaxed);
}

/// Messages and payload bytes that passed between us and a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages sent to the peer.
    pub messages_sent: u64,
    /// Their bytes, headers included, framing not.
    pub bytes_sent: u64,
    /// Messages that came from the peer.
    pub messages_received: u64,
    /// Their bytes, headers included, framing not.
    pub bytes_received: u64,
}

/// How far a connection to a peer has come. States follow in this order; some may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum PeerState {
    /// The connection is being made.
    Connecting,
    /// Messages can pass.
    Connected,
    /// The connection is being closed.
    Disconnecting,
    /// The connection is gone.
    Disconnected,
}

impl PeerState {
    /// Every state, at the place of its number.
    const ALL: [Self; 4] =
        [Self::Connecting, Self::Connected, Self::Disconnecting, Self::Disconnected];
}

/// Where a peer is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerAddr {
    /// An IP address and port: unique among the peers of a socket, as a rule.
    V4(SocketAddrV4),
    /// The same. By itself, for the others take up half the room without it, and there may be thousands.
    V6(Box<SocketAddrV6>),
    /// The endpoint it came through, where peers have no address of their own.
    Endpoint(Arc<Endpoint>),
}

impl From<SocketAddr> for PeerAddr {
    fn from(addr: SocketAddr) -> Self {
        match addr {
            SocketAddr::V4(addr) => Self::V4(addr),
            SocketAddr::V6(addr) => Self::V6(Box::new(addr)),
        }
    }
}

impl From<Arc<Endpoint>> for PeerAddr {
    fn from(endpoint: Arc<Endpoint>) -> Self {
        Self::Endpoint(endpoint)
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(addr) => addr.fmt(f),
            Self::V6(addr) => addr.fmt(f),
            Self::Endpoint(endpoint) => endpoint.fmt(f),
        }
    }
}
