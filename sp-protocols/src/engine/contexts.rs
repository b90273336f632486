//! The conversations of one engine.

use sp_core::id::{CtxId, Id as _, IdMap};

use super::cost;

/// A table of conversations that hands out their ids. [`CtxId::MAIN`] is there from the start and stays.
///
/// Nobody can walk it: what happens to one conversation costs the same however many there are.
#[derive(Debug)]
pub(crate) struct Contexts<T> {
    table: IdMap<CtxId, T>,
    /// Ids to be given out again, their generation already advanced.
    free: Vec<CtxId>,
    /// Slots used so far; the next fresh one.
    slots: u32,
}

impl<T> Contexts<T> {
    /// The main conversation alone.
    pub(crate) fn new(main: T) -> Self {
        let mut table = IdMap::new();
        table.insert(CtxId::MAIN, main);
        Self { table, free: Vec::new(), slots: 1 }
    }

    /// Begins a conversation.
    pub(crate) fn open(&mut self, fresh: T) -> CtxId {
        cost::look();
        let ctx = self.free.pop().unwrap_or_else(|| {
            let unused = CtxId::from_parts(self.slots, 0);
            self.slots = self.slots.saturating_add(1);
            unused
        });
        self.table.insert(ctx, fresh);
        ctx
    }

    /// Ends a conversation and returns what it was about; the main one goes on as `fresh`.
    pub(crate) fn close(&mut self, ctx: CtxId, fresh: T) -> Option<T> {
        if ctx == CtxId::MAIN {
            return self.get_mut(ctx).map(|talk| std::mem::replace(talk, fresh));
        }
        cost::look();
        let ended = self.table.remove(ctx)?;
        self.free.push(CtxId::from_parts(ctx.index(), ctx.generation().wrapping_add(1)));
        Some(ended)
    }

    /// The conversation `ctx`, if it is open.
    pub(crate) fn get_mut(&mut self, ctx: CtxId) -> Option<&mut T> {
        cost::look();
        self.table.get_mut(ctx)
    }

    /// Whether `ctx` is open.
    pub(crate) fn contains(&self, ctx: CtxId) -> bool {
        cost::look();
        self.table.contains(ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_context_is_not_mistaken_for_the_former_one() {
        let mut contexts = Contexts::<u8>::new(0);
        let old = contexts.open(0);
        assert_ne!(old, CtxId::MAIN);
        assert_eq!(contexts.close(old, 0), Some(0));
        let new = contexts.open(0);
        assert_eq!(new.index(), old.index());
        assert_eq!(contexts.get_mut(old), None);
        assert_eq!(contexts.close(old, 0), None);
        assert!(contexts.contains(new));
    }

    #[test]
    fn the_main_context_outlives_its_closing() {
        let mut contexts = Contexts::<u8>::new(0);
        *contexts.get_mut(CtxId::MAIN).unwrap() = 7;
        assert_eq!(contexts.close(CtxId::MAIN, 0), Some(7));
        assert_eq!(contexts.get_mut(CtxId::MAIN), Some(&mut 0));
    }
}
