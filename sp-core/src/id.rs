//! Identities: an index that is reused and a generation that is not.
//!
//! A slot's number comes back as soon as its owner is gone. Every id therefore carries a generation as well,
//! so that a late event for the former owner is noticed instead of hitting the new one.

use std::fmt;

/// What every id offers: its slot and the slot's generation.
pub trait Id: Copy + Eq + fmt::Debug {
    /// Makes an id from its parts.
    fn from_parts(index: u32, generation: u32) -> Self;
    /// The slot, reused after its owner is gone.
    fn index(self) -> u32;
    /// The generation, which tells successive owners of a slot apart.
    fn generation(self) -> u32;
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $word:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            index: u32,
            generation: u32,
        }

        impl Id for $name {
            fn from_parts(index: u32, generation: u32) -> Self {
                Self { index, generation }
            }
            fn index(self) -> u32 {
                self.index
            }
            fn generation(self) -> u32 {
                self.generation
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($word, " {}.{}"), self.index, self.generation)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(
    /// A socket of this process.
    SocketId,
    "socket"
);
id!(
    /// A peer of one socket: who is at the other end of a pipe.
    PeerId,
    "peer"
);
id!(
    /// A transport connection of this process.
    ConnId,
    "connection"
);
id!(
    /// A context: one independent conversation on a socket.
    CtxId,
    "context"
);

impl CtxId {
    /// The conversation that every socket has from the start: its own `send` and `recv`.
    pub const MAIN: Self = Self { index: 0, generation: 0 };
}

/// Names one of an engine's timers; arming a key again replaces its earlier deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerKey(pub u32);

/// A table by id whose ids come from elsewhere, walked in the order of the slots.
///
/// Look-ups are an array access and a comparison. A stale id finds nothing.
#[derive(Debug)]
pub struct IdMap<K, T> {
    slots: Vec<Option<(K, T)>>,
    len: usize,
}

impl<K: Id, T> IdMap<K, T> {
    /// An empty table; allocates nothing.
    pub const fn new() -> Self {
        Self { slots: Vec::new(), len: 0 }
    }

    /// Puts `value` under `id` and returns what stood in that slot, whatever its generation.
    pub fn insert(&mut self, id: K, value: T) -> Option<(K, T)> {
        let index = id.index() as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        let before = self.slots[index].replace((id, value));
        self.len += usize::from(before.is_none());
        before
    }

    /// Takes the value of `id` out.
    pub fn remove(&mut self, id: K) -> Option<T> {
        let slot = self.slots.get_mut(id.index() as usize)?;
        if slot.as_ref()?.0 != id {
            return None;
        }
        self.len -= 1;
        slot.take().map(|(_, value)| value)
    }

    /// The value of `id`, mutably.
    pub fn get_mut(&mut self, id: K) -> Option<&mut T> {
        let (key, value) = self.slots.get_mut(id.index() as usize)?.as_mut()?;
        (*key == id).then_some(value)
    }

    /// Every entry in slot order, values mutable.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut T)> {
        self.slots.iter_mut().flatten().map(|(key, value)| (*key, value))
    }

    /// Takes every entry out, in slot order.
    pub fn drain(&mut self) -> impl Iterator<Item = (K, T)> + '_ {
        self.len = 0;
        self.slots.drain(..).flatten()
    }

    /// The value of `id`.
    pub fn get(&self, id: K) -> Option<&T> {
        let (key, value) = self.slots.get(id.index() as usize)?.as_ref()?;
        (*key == id).then_some(value)
    }

    /// Whether `id` is present.
    pub fn contains(&self, id: K) -> bool {
        self.get(id).is_some()
    }

    /// Every entry in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.slots.iter().flatten().map(|(key, value)| (*key, value))
    }

    /// How many entries there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<K: Id, T> Default for IdMap<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_finds_nothing() {
        let mut map = IdMap::new();
        let old = PeerId::from_parts(2, 1);
        let new = PeerId::from_parts(2, 2);
        map.insert(old, "old");
        assert_eq!(map.remove(old), Some("old"));
        map.insert(new, "new");
        assert_eq!(map.get(old), None);
        assert_eq!(map.get_mut(old), None);
        assert_eq!(map.remove(old), None);
        assert_eq!(map.get(new), Some(&"new"));
        assert_eq!(map.len(), 1);
    }

    #[test]
    fn entries_are_walked_in_slot_order() {
        let mut map = IdMap::new();
        for index in [3, 0, 2] {
            map.insert(PeerId::from_parts(index, 0), index);
        }
        let walked: Vec<u32> = map.iter().map(|(_, v)| *v).collect();
        assert_eq!(walked, [0, 2, 3]);
        assert_eq!(map.drain().count(), 3);
        assert!(map.is_empty());
    }

    #[test]
    fn ids_print_their_kind_and_generation() {
        assert_eq!(PeerId::from_parts(4, 7).to_string(), "peer 4.7");
        assert_eq!(CtxId::MAIN.to_string(), "context 0.0");
    }
}
