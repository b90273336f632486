//! The connections of this process and the sockets they belong to.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use slab::Slab;

use super::snapshot::SlotTable;
use crate::clock;
use crate::id::{ConnId, Id, PeerId, SocketId};
use crate::pipe::CloseReason;
use crate::process::PerProcess;

/// The transport connections of a process, by id and by socket.
///
/// Looking up by id takes no lock. All calls cost the same however many connections there are, but for
/// [`by_socket`](Self::by_socket) and [`close_all`](Self::close_all), which cost what they return.
#[derive(Debug)]
pub struct ConnRegistry {
    truth: RwLock<Truth>,
    view: SlotTable<ConnEntry>,
}

#[derive(Debug, Default)]
struct Truth {
    slots: Slab<Slot>,
    /// The next generation of each slot, also of empty ones.
    generations: Vec<u32>,
    /// The slots of each socket, in no order.
    by_socket: HashMap<SocketId, Vec<usize>>,
}

#[derive(Debug)]
struct Slot {
    entry: Arc<ConnEntry>,
    /// Where in its socket's list this slot stands.
    place: usize,
}

impl ConnRegistry {
    /// A registry without connections; allocates nothing.
    pub fn new() -> Self {
        Self { truth: RwLock::default(), view: SlotTable::new() }
    }

    /// Adds a connection.
    pub fn register(&self, spec: ConnSpec) -> Arc<ConnEntry> {
        let created = clock::now();
        let mut guard = self.write();
        let truth = &mut *guard;
        let key = truth.slots.vacant_key();
        if truth.generations.len() <= key {
            truth.generations.resize(key + 1, 0);
        }
        let index = u32::try_from(key).unwrap_or_else(|_| unreachable!("memory ends before slots"));
        let id = ConnId::from_parts(index, truth.generations[key]);
        let entry = Arc::new(ConnEntry::new(id, spec, created));
        let of_socket = truth.by_socket.entry(entry.socket).or_default();
        let place = of_socket.len();
        of_socket.push(key);
        truth.slots.insert(Slot { entry: Arc::clone(&entry), place });
        self.view.put(index, Some(Arc::clone(&entry)));
        entry
    }

    /// Takes a connection out and marks it closed. A stale id finds nothing.
    pub fn unregister(&self, id: ConnId) -> Option<Arc<ConnEntry>> {
        let key = id.index() as usize;
        let mut truth = self.write();
        if truth.slots.get(key)?.entry.id != id {
            return None;
        }
        let slot = truth.take(key);
        self.view.put(id.index(), None);
        drop(truth);
        slot.entry.mark_closed();
        Some(slot.entry)
    }

    /// Takes out all connections of `socket`, marks them closed and tells their transports to close them.
    ///
    /// Returns how many there were. The transports are told with no lock held. An
    /// [`unregister`](Self::unregister) that follows finds nothing, which is fine.
    pub fn close_all(&self, socket: SocketId) -> usize {
        let mut guard = self.write();
        let truth = &mut *guard;
        let keys = truth.by_socket.remove(&socket).unwrap_or_default();
        let taken: Vec<_> = keys.into_iter().map(|key| truth.vacate(key).entry).collect();
        for entry in &taken {
            self.view.put(entry.id.index(), None);
        }
        drop(guard);
        for entry in &taken {
            entry.mark_closed();
            entry.control.close(CloseReason::Closed);
        }
        taken.len()
    }

    /// The connection with this id; a stale id finds nothing. Takes no lock.
    pub fn get(&self, id: ConnId) -> Option<Arc<ConnEntry>> {
        self.view.get(id.index()).filter(|entry| entry.id == id)
    }

    /// The connections of a socket, in no particular order.
    pub fn by_socket(&self, socket: SocketId) -> Vec<Arc<ConnEntry>> {
        let truth = self.read();
        let keys = truth.by_socket.get(&socket).into_iter().flatten();
        keys.filter_map(|&key| truth.slots.get(key)).map(|slot| Arc::clone(&slot.entry)).collect()
    }

    /// How many connections there are.
    pub fn count(&self) -> usize {
        self.read().slots.len()
    }

    /// Poison is ignored: no foreign code runs under the lock, so what it guards is whole.
    fn read(&self) -> RwLockReadGuard<'_, Truth> {
        self.truth.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Truth> {
        self.truth.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Truth {
    /// Takes out the slot, which must be occupied, and closes the gap in its socket's list.
    fn take(&mut self, key: usize) -> Slot {
        let slot = self.vacate(key);
        let Some(of_socket) = self.by_socket.get_mut(&slot.entry.socket) else {
            return slot;
        };
        of_socket.swap_remove(slot.place);
        if let Some(moved) = of_socket.get(slot.place).and_then(|&key| self.slots.get_mut(key)) {
            moved.place = slot.place;
        }
        if of_socket.is_empty() {
            self.by_socket.remove(&slot.entry.socket);
        }
        slot
    }

    fn vacate(&mut self, key: usize) -> Slot {
        self.generations[key] = self.generations[key].wrapping_add(1);
        self.slots.remove(key)
    }
}

impl Default for ConnRegistry {
    fn default() -> Self {
        Self::new()
    }
}

/// The connections of this process.
pub fn conns() -> &'static ConnRegistry {
    static CONNS: PerProcess<OnceLock<ConnRegistry>> = PerProcess::first(OnceLock::new());
    CONNS.or_default().get_or_init(ConnRegistry::new)
}

/// What is known of a connection when it is registered.
pub struct ConnSpec {
    /// The socket that owns the connection.
    pub socket: SocketId,
    /// The way to whoever runs the connection.
    pub control: Arc<dyn ConnControl>,
}

/// The way from the registry to whoever runs a connection. Given by a transport.
pub trait ConnControl: Send + Sync {
    /// Asks that the connection be closed. Called under no lock, possibly more than once, and also when the entry
    /// is already marked closed; returns at once.
    fn close(&self, why: CloseReason);

    /// The transport's name, such as `tcp`.
    fn transport(&self) -> &'static str;

    /// Who is at the other end, once that is known.
    fn peer(&self) -> Option<PeerId>;
}

/// One connection as others see it.
pub struct ConnEntry {
    id: ConnId,
    socket: SocketId,
    created: Instant,
    /// Set with release and read with acquire: who sees it sees what was done to the connection before.
    closed: AtomicBool,
    control: Arc<dyn ConnControl>,
}

impl ConnEntry {
    fn new(id: ConnId, spec: ConnSpec, created: Instant) -> Self {
        Self {
            id,
            socket: spec.socket,
            created,
            closed: AtomicBool::new(false),
            control: spec.control,
        }
    }

    /// Marks the connection closed and returns whether it was not yet. Closes nothing by itself.
    pub fn mark_closed(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    /// Whether the connection is closed or about to be: nothing more should be queued on it.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Asks the transport to close the connection.
    pub fn close(&self, why: CloseReason) {
        self.control.close(why);
    }

    /// The connection's id, unique in its registry.
    pub const fn id(&self) -> ConnId {
        self.id
    }

    /// The transport's name.
    pub fn transport(&self) -> &'static str {
        self.control.transport()
    }

    /// The socket that owns the connection.
    pub const fn socket(&self) -> SocketId {
        self.socket
    }

    /// Who is at the other end, once that is known.
    pub fn peer(&self) -> Option<PeerId> {
        self.control.peer()
    }

    /// When the connection was registered.
    pub const fn created(&self) -> Instant {
        self.created
    }
}

impl fmt::Debug for ConnSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnSpec").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl fmt::Debug for ConnEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnEntry")
            .field("id", &self.id)
            .field("transport", &self.transport())
            .field("socket", &self.socket)
            .field("peer", &self.peer())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
