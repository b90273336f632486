//! STAR: everybody who is near enough hears everything once and in order, or its absence is counted. Where the network
//! has a loop, what is sent goes round until its hops are used up, and then there is rest. Two raw ones with a device
//! between them are to all others as one.

use std::rc::Rc;

use sp_protocols::engine::{Counter, Star, StarOptions, WhenFull, raw};

use super::bus::heard;
use super::crowd::{self, Shared, Ways};
use super::device::{self, Lane};
use crate::node::{Books, Spec};
use crate::oracle::Failure;
use crate::rng::Rng;
use crate::world::World;

pub(super) fn build(world: &mut World) {
    let ttl = *world.stage.luck.pick(&[1, 2, 3, 8]);
    let count = world.stage.luck.within(2, 6) as usize;
    let mut edges: Vec<(usize, usize)> =
        (1..count).map(|node| (node, world.stage.luck.index(node))).collect();
    let mut ways = Ways::PassedOn;
    if count > 2 && world.stage.luck.one_in(4) {
        // One loop and not several, in which messages would become more with every hop.
        let more = (count - 1, world.stage.luck.index(count - 1));
        if !edges.contains(&more) {
            edges.push(more);
            ways = Ways::Loop;
        }
    }
    let ledger = crowd::ledger(world, ways);
    for _ in 0..count {
        let spec = member(&ledger, ttl, &mut world.stage.luck);
        world.add(spec);
    }
    let split = if world.stage.luck.one_in(3) { edges.pop() } else { None };
    edges.iter().for_each(|&(one, other)| world.connect_either_way(one, other));
    let Some((one, other)) = split else {
        return ledger.borrow_mut().connect(&edges, usize::from(ttl));
    };
    let (front, back) = joined(world, ttl);
    world.connect_either_way(one, front);
    world.connect_either_way(back, other);
    // The two ends stand here for one.
    edges.extend([(one, front), (front, other)]);
    ledger.borrow_mut().connect(&edges, usize::from(ttl));
    ledger.borrow_mut().hide(front);
}

/// A device of two nodes.
fn joined(world: &mut World, ttl: u8) -> (usize, usize) {
    let front = world.nodes();
    let back = front + 1;
    let [there, answers] = [(); 2].map(|()| Lane::default());
    for (other, out, back) in [(back, &there, &answers), (front, &answers, &there)] {
        let (out, back, queue) = (Rc::clone(out), Rc::clone(back), 1 + world.stage.luck.small(32));
        world.add(Spec::<raw::Star> {
            options: StarOptions::new().ttl(ttl).queue(queue as usize),
            tasks: Box::new(move |_, _| device::tasks(other, &out, &back)),
            audit: Box::new(move |books: &Books<'_>| balances(books, queue)),
        });
    }
    (front, back)
}

fn member(ledger: &Shared, ttl: u8, luck: &mut Rng) -> Spec<Star> {
    let ledger = Rc::clone(ledger);
    let queue = 1 + luck.small(32);
    let policies = [WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block];
    let when_full = *luck.pick(&policies);
    Spec {
        options: StarOptions::new().ttl(ttl).queue(queue as usize).when_full(when_full),
        tasks: Box::new(move |_, luck| {
            crowd::tasks(&ledger, luck.within(1, 2), luck.within(1, 2), false)
        }),
        audit: Box::new(move |books: &Books<'_>| {
            if when_full == WhenFull::Block {
                books.none_missing(books.tally.counted(Counter::DroppedOnReceive))?;
            }
            balances(books, queue)
        }),
    }
}

/// What came and what was sent went to all whom it was for, and was received.
fn balances(books: &Books<'_>, queue: u64) -> Result<(), Failure> {
    let tally = books.tally;
    let went = tally.transmitted + tally.counted(Counter::DroppedOnSend);
    books.equal("copies for neighbours", tally.owed + tally.owed_onward, went)?;
    heard(books, queue)
}
