//! STAR against a map: in a tree everybody gets what each other one sends, once, as far as the hops allow.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use sp_core::id::PeerId;
use sp_protocols::engine::testing::{Effect, Rig};
use sp_protocols::engine::{Counter, Star, StarOptions};

/// A STAR, and which node each of its peers is.
struct Node {
    rig: Rig<Star>,
    peers: BTreeMap<PeerId, usize>,
}

/// The nodes of a tree: the parent of each node but the first is one before it.
struct Tree {
    nodes: Vec<Node>,
    parents: Vec<usize>,
}

impl Tree {
    fn new(parents: Vec<usize>, options: &StarOptions) -> Self {
        let node = || Node { rig: Rig::with(options.clone()), peers: BTreeMap::new() };
        let mut tree = Self { nodes: (0..=parents.len()).map(|_| node()).collect(), parents };
        for child in 1..tree.nodes.len() {
            let parent = tree.parents[child - 1];
            for (from, to) in [(parent, child), (child, parent)] {
                let peer = tree.nodes[from].rig.peer();
                tree.nodes[from].peers.insert(peer, to);
            }
        }
        tree
    }

    /// Lets everything travel that is under way from `sender`, and answers how often hops ran out.
    fn settle(&mut self, sender: usize) -> usize {
        let mut ran_out = 0;
        let mut to_look_at = VecDeque::from([sender]);
        while let Some(from) = to_look_at.pop_front() {
            for effect in self.nodes[from].rig.world.take_effects() {
                match effect {
                    Effect::Transmit(peer, framed) => {
                        let to = self.nodes[from].peers[&peer];
                        let back = self.nodes[to].peers.iter().find(|(_, node)| **node == from);
                        let back = *back.expect("edges lead both ways").0;
                        let _ = self.nodes[to].rig.arrive(back, [framed]);
                        to_look_at.push_back(to);
                    }
                    Effect::Count(Counter::HopLimit) => ran_out += 1,
                    Effect::Count(what) => panic!("nobody is slow, but: {what:?}"),
                    _ => {}
                }
            }
        }
        ran_out
    }

    /// How many edges lie between a node and the root, its ancestors in order.
    fn path(&self, mut node: usize) -> Vec<usize> {
        let mut path = vec![node];
        while node > 0 {
            node = self.parents[node - 1];
            path.push(node);
        }
        path
    }

    fn distance(&self, a: usize, b: usize) -> usize {
        let (a, b) = (self.path(a), self.path(b));
        let shared = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
        a.len() + b.len() - 2 * shared
    }
}

/// Parents for a tree of up to nine nodes.
fn parents() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(any::<usize>(), 0..8)
        .prop_map(|picks| picks.into_iter().enumerate().map(|(n, pick)| pick % (n + 1)).collect())
}

proptest! {
    #[test]
    fn everybody_within_reach_gets_each_message_once(
        parents in parents(),
        ttl in 1_u8..9,
        senders in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let mut tree = Tree::new(parents, &StarOptions::new().ttl(ttl));
        let mut wanted = vec![Vec::new(); tree.nodes.len()];
        for (number, sender) in senders.into_iter().enumerate() {
            let sender = sender % tree.nodes.len();
            prop_assert!(tree.nodes[sender].rig.send(vec![number as u8]).is_ok());
            let mut ran_out = 0;
            for (node, wanted) in wanted.iter_mut().enumerate() {
                match tree.distance(sender, node) {
                    0 => {}
                    far if far <= usize::from(ttl) => wanted.push(vec![number as u8]),
                    far => ran_out += usize::from(far == usize::from(ttl) + 1),
                }
            }
            prop_assert_eq!(tree.settle(sender), ran_out);
        }
        for (node, wanted) in tree.nodes.iter_mut().zip(wanted) {
            prop_assert_eq!(node.rig.recv_all(usize::MAX), wanted);
        }
    }
}
