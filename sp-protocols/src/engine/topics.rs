//! Which contexts want a message, found without asking each.

use std::collections::{BTreeMap, BTreeSet};

use sp_core::id::CtxId;

use super::cost;

/// Contexts by their topics.
///
/// A message is looked up once for each length that a topic has, however many topics and contexts there are.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    /// None of the sets is empty.
    contexts: BTreeMap<Box<[u8]>, BTreeSet<CtxId>>,
    /// How many topics are so long; none is 0.
    lengths: BTreeMap<usize, usize>,
}

impl Topics {
    /// No topic; allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { contexts: BTreeMap::new(), lengths: BTreeMap::new() }
    }

    /// `ctx` subscribes to `topic`.
    pub(crate) fn insert(&mut self, topic: &[u8], ctx: CtxId) {
        cost::look();
        if let Some(contexts) = self.contexts.get_mut(topic) {
            contexts.insert(ctx);
            return;
        }
        self.contexts.insert(topic.into(), BTreeSet::from([ctx]));
        let count = self.lengths.entry(topic.len()).or_default();
        *count = count.saturating_add(1);
    }

    /// `ctx` takes `topic` back.
    pub(crate) fn remove(&mut self, topic: &[u8], ctx: CtxId) {
        cost::look();
        let Some(contexts) = self.contexts.get_mut(topic) else { return };
        contexts.remove(&ctx);
        if !contexts.is_empty() {
            return;
        }
        self.contexts.remove(topic);
        if let Some(count) = self.lengths.get_mut(&topic.len()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.lengths.remove(&topic.len());
            }
        }
    }

    /// The contexts that have a topic that begins `text`; one that has several comes as often.
    pub(crate) fn matching(&self, text: &[u8]) -> impl Iterator<Item = CtxId> {
        let beginnings = self.lengths.range(..=text.len()).filter_map(|(&len, _)| text.get(..len));
        beginnings.flat_map(|beginning| {
            cost::look();
            self.contexts.get(beginning).into_iter().flatten().copied()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sp_core::id::Id as _;

    use super::*;

    /// Few letters and short texts, so that topics match and begin one another.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(vec![0_u8, 0xff]), 0..4)
    }

    proptest! {
        #[test]
        fn topics_agree_with_asking_every_context(
            ops in prop::collection::vec((any::<bool>(), text(), 0_u32..3, text()), 0..60)
        ) {
            let mut topics = Topics::new();
            let mut naive = BTreeSet::new();
            for (add, topic, ctx, probe) in ops {
                let ctx = CtxId::from_parts(ctx, 0);
                if add {
                    topics.insert(&topic, ctx);
                    naive.insert((topic, ctx));
                } else {
                    topics.remove(&topic, ctx);
                    naive.remove(&(topic, ctx));
                }
                let mut wanted: Vec<_> =
                    naive.iter().filter(|(topic, _)| probe.starts_with(topic)).map(|(_, ctx)| *ctx).collect();
                let mut found: Vec<_> = topics.matching(&probe).collect();
                wanted.sort_unstable();
                found.sort_unstable();
                prop_assert_eq!(found, wanted);
                prop_assert_eq!(topics.lengths.values().sum::<usize>(), topics.contexts.len());
            }
        }
    }
}
