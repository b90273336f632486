//! The conversations of one engine.

use sp_core::id::{CtxId, Id as _, IdMap};

/// A table of conversations that hands out their ids. [`CtxId::MAIN`] is there from the start and stays.
#[derive(Debug)]
pub(crate) struct Contexts<T> {
    table: IdMap<CtxId, T>,
    /// Ids to be given out again, their generation already advanced.
    free: Vec<CtxId>,
    /// Slots used so far; the next fresh one.
    slots: u32,
}

impl<T: Default> Contexts<T> {
    /// The main conversation alone.
    pub(crate) fn new() -> Self {
        let mut table = IdMap::new();
        table.insert(CtxId::MAIN, T::default());
        Self { table, free: Vec::new(), slots: 1 }
    }

    /// Begins a conversation.
    pub(crate) fn open(&mut self) -> CtxId {
        let ctx = self.free.pop().unwrap_or_else(|| {
            let fresh = CtxId::from_parts(self.slots, 0);
            self.slots = self.slots.saturating_add(1);
            fresh
        });
        self.table.insert(ctx, T::default());
        ctx
    }

    /// Ends a conversation and returns what it was about; the main one starts afresh.
    pub(crate) fn close(&mut self, ctx: CtxId) -> Option<T> {
        if ctx == CtxId::MAIN {
            return self.table.get_mut(ctx).map(std::mem::take);
        }
        let ended = self.table.remove(ctx)?;
        self.free.push(CtxId::from_parts(ctx.index(), ctx.generation().wrapping_add(1)));
        Some(ended)
    }

    /// The conversation `ctx`, if it is open.
    pub(crate) fn get_mut(&mut self, ctx: CtxId) -> Option<&mut T> {
        self.table.get_mut(ctx)
    }

    /// Every conversation.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (CtxId, &mut T)> {
        self.table.iter_mut()
    }

    /// Whether `ctx` is open.
    pub(crate) fn contains(&self, ctx: CtxId) -> bool {
        self.table.contains(ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_context_is_not_mistaken_for_the_former_one() {
        let mut contexts = Contexts::<u8>::new();
        let old = contexts.open();
        assert_ne!(old, CtxId::MAIN);
        assert_eq!(contexts.close(old), Some(0));
        let new = contexts.open();
        assert_eq!(new.index(), old.index());
        assert_eq!(contexts.get_mut(old), None);
        assert_eq!(contexts.close(old), None);
        assert!(contexts.contains(new));
    }

    #[test]
    fn the_main_context_outlives_its_closing() {
        let mut contexts = Contexts::<u8>::new();
        *contexts.get_mut(CtxId::MAIN).unwrap() = 7;
        assert_eq!(contexts.close(CtxId::MAIN), Some(7));
        assert_eq!(contexts.get_mut(CtxId::MAIN), Some(&mut 0));
    }
}
