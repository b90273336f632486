//! Topics, and whether a message begins with one of them.

use std::sync::Arc;

/// A set of byte strings that answers whether one of them begins a given text.
///
/// Only the shortest topics decide: whatever begins with `ab` begins with `a`. They are kept apart, in order,
/// none the beginning of another; then the one topic that can match a text is the last one not after it, and
/// a look-up is one binary search, whatever the topics are.
#[derive(Debug, Default)]
pub(crate) struct Prefixes {
    /// Every topic, in order.
    all: Vec<Arc<[u8]>>,
    /// Those that begin with no other topic, in order.
    shortest: Vec<Arc<[u8]>>,
}

impl Prefixes {
    /// The empty set, which matches nothing; allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { all: Vec::new(), shortest: Vec::new() }
    }

    /// Adds `topic` and says whether it is new.
    pub(crate) fn insert(&mut self, topic: &[u8]) -> bool {
        let Err(at) = self.all.binary_search_by(|other| (**other).cmp(topic)) else { return false };
        let matched_before = self.matches(topic);
        let topic: Arc<[u8]> = topic.into();
        self.all.insert(at, topic.clone());
        if !matched_before {
            // Those that begin with it stand in one run behind it and no longer count.
            let from = self.shortest.partition_point(|other| *other < topic);
            let to = from.saturating_add(run(self.shortest.get(from..), &topic));
            self.shortest.splice(from..to, [topic]);
        }
        true
    }

    /// Takes `topic` out and says whether it was there.
    pub(crate) fn remove(&mut self, topic: &[u8]) -> bool {
        let Ok(at) = self.all.binary_search_by(|other| (**other).cmp(topic)) else { return false };
        let removed = self.all.remove(at);
        if let Ok(gap) = self.shortest.binary_search(&removed) {
            self.shortest.remove(gap);
            // Those that it stood for stand for themselves again, unless one of them stands for another.
            let mut freed: Vec<Arc<[u8]>> = Vec::new();
            let behind = self.all.get(at..).unwrap_or_default();
            for topic in behind.iter().take_while(|topic| topic.starts_with(&removed)) {
                if freed.last().is_none_or(|last| !topic.starts_with(last)) {
                    freed.push(topic.clone());
                }
            }
            self.shortest.splice(gap..gap, freed);
        }
        true
    }

    /// Every topic, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.all.iter().map(|topic| &**topic)
    }

    /// Whether there is no topic.
    pub(crate) const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether every text begins with a topic: the empty one is among them.
    pub(crate) fn match_all(&self) -> bool {
        // It begins all others, so that it stands alone.
        self.shortest.first().is_some_and(|topic| topic.is_empty())
    }

    /// Whether a topic begins `text`.
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let after = self.shortest.partition_point(|topic| **topic <= *text);
        let candidate = after.checked_sub(1).and_then(|at| self.shortest.get(at));
        candidate.is_some_and(|topic| text.starts_with(topic))
    }
}

/// How many of the first `topics` begin with `prefix`.
fn run(topics: Option<&[Arc<[u8]>]>, prefix: &[u8]) -> usize {
    topics.unwrap_or_default().iter().take_while(|topic| topic.starts_with(prefix)).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Few letters and short texts, so that most topics begin one another.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(vec![0_u8, 1, 0xff]), 0..5)
    }

    proptest! {
        #[test]
        fn the_set_agrees_with_trying_every_topic(
            ops in prop::collection::vec((any::<bool>(), text(), text()), 0..60)
        ) {
            let mut prefixes = Prefixes::new();
            let mut naive = BTreeSet::new();
            for (add, topic, probe) in ops {
                if add {
                    prop_assert_eq!(prefixes.insert(&topic), naive.insert(topic));
                } else {
                    prop_assert_eq!(prefixes.remove(&topic), naive.remove(&topic));
                }
                prop_assert_eq!(prefixes.matches(&probe), naive.iter().any(|t| probe.starts_with(t)));
            }
        }
    }
}
