//! Lists over one table: whoever stands anywhere in one leaves at once, however long it is.

use sp_core::id::{Id, IdMap};

use super::cost;

/// The neighbours of everybody in any number of lists; each stands in one of them at most.
///
/// A list is its [`Ends`], kept by whoever uses this.
#[derive(Debug)]
pub(crate) struct Links<K> {
    places: IdMap<K, Place<K>>,
}

/// Who stands next to one in a list.
#[derive(Debug)]
struct Place<K> {
    before: Option<K>,
    behind: Option<K>,
}

/// The two ends of a list that is not empty; the same if one stands alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends<K> {
    pub(crate) first: K,
    pub(crate) last: K,
}

impl<K: Id> Links<K> {
    /// No list; allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { places: IdMap::new() }
    }

    /// Whether `id` stands in a list.
    pub(crate) fn contains(&self, id: K) -> bool {
        self.places.contains(id)
    }

    /// Lets `id`, which stands in no list, stand at the end of one, and answers its ends.
    pub(crate) fn push(&mut self, list: Option<Ends<K>>, id: K) -> Ends<K> {
        self.insert(id, Place { before: list.map(|ends| ends.last), behind: None });
        Ends { first: list.map_or(id, |ends| ends.first), last: id }
    }

    /// Lets `id`, which stands in no list, stand in front of one, and answers its ends.
    pub(crate) fn push_front(&mut self, list: Option<Ends<K>>, id: K) -> Ends<K> {
        self.insert(id, Place { before: None, behind: list.map(|ends| ends.first) });
        Ends { first: id, last: list.map_or(id, |ends| ends.last) }
    }

    /// Takes `id` out of the list it stands in, which has the ends `list`, and answers the ends it has now. `Err` if
    /// it stood in none.
    pub(crate) fn remove(&mut self, list: Ends<K>, id: K) -> Result<Option<Ends<K>>, NotThere> {
        cost::look();
        let Place { before, behind } = self.places.remove(id).ok_or(NotThere)?;
        if let Some(place) = before.and_then(|before| self.places.get_mut(before)) {
            place.behind = behind;
        }
        if let Some(place) = behind.and_then(|behind| self.places.get_mut(behind)) {
            place.before = before;
        }
        let first = if list.first == id { behind } else { Some(list.first) };
        let last = if list.last == id { before } else { Some(list.last) };
        Ok(first.zip(last).map(|(first, last)| Ends { first, last }))
    }

    fn insert(&mut self, id: K, place: Place<K>) {
        cost::look();
        if let Some(next) = place.before.and_then(|before| self.places.get_mut(before)) {
            next.behind = Some(id);
        }
        if let Some(next) = place.behind.and_then(|behind| self.places.get_mut(behind)) {
            next.before = Some(id);
        }
        let former = self.places.insert(id, place);
        debug_assert!(former.is_none(), "who had the slot of {id:?} before has left");
    }
}

/// Whoever was to be taken out stands in no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotThere;
