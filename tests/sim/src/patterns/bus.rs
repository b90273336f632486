//! BUS, and a reflector of raw BUS: each neighbour hears everything once, in order, or its absence is counted; nobody
//! hears itself, and nothing is passed on.

use std::rc::Rc;

use sp_protocols::engine::raw::{self, RawOptions};
use sp_protocols::engine::{Bus, BusOptions, Counter, WhenFull, WhenSlow};

use super::crowd::{self, Shared, Ways};
use super::device::{self, Lane};
use crate::body::Side;
use crate::node::{Books, Spec};
use crate::oracle::Failure;
use crate::rng::Rng;
use crate::world::World;

pub(super) fn build(world: &mut World) {
    let has_hub = world.stage.luck.one_in(3);
    let ledger = crowd::ledger(world, if has_hub { Ways::PassedOn } else { Ways::Direct });
    let nodes: Vec<usize> = (0..world.stage.luck.within(2, 5))
        .map(|_| {
            let spec = member(&ledger, &mut world.stage.luck);
            world.add(spec)
        })
        .collect();
    let mut edges = Vec::new();
    if has_hub {
        // All hear one another by way of the reflector, and by no other way.
        let queue = 1 + world.stage.luck.small(32);
        let hub = world.nodes();
        world.add(reflector(hub, queue));
        edges.extend(nodes.iter().map(|&node| (node, hub)));
        ledger.borrow_mut().connect(&edges, 2);
        ledger.borrow_mut().hide(hub);
    } else {
        for &node in &nodes[1..] {
            let sure = world.stage.luck.index(node);
            let others = (0..node).filter(|other| *other == sure || world.stage.luck.one_in(2));
            edges.extend(others.map(|other| (node, other)));
        }
        ledger.borrow_mut().connect(&edges, 1);
    }
    edges.iter().for_each(|&(one, other)| world.connect_either_way(one, other));
}

fn member(ledger: &Shared, luck: &mut Rng) -> Spec<Bus> {
    let ledger = Rc::clone(ledger);
    let [recv_queue, send_queue] = [(); 2].map(|()| 1 + luck.small(32));
    let policies = [WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block];
    let when_full = *luck.pick(&policies);
    let policies = [WhenSlow::DropOldest, WhenSlow::DropNewest, WhenSlow::Block];
    let when_slow = *luck.pick(&policies);
    let options = BusOptions::new().recv_queue(recv_queue as usize).when_full(when_full);
    Spec {
        options: options.send_queue(send_queue as usize).when_slow(when_slow),
        tasks: Box::new(move |_, luck| {
            let may_wait = when_slow == WhenSlow::Block;
            crowd::tasks(&ledger, luck.within(1, 2), luck.within(1, 2), may_wait)
        }),
        audit: Box::new(move |books: &Books<'_>| {
            let tally = books.tally;
            let dropped = tally.sum([Counter::DroppedOnSend, Counter::LostWithPeer]);
            let went = books.carried + books.waiting + dropped;
            books.equal("copies for neighbours", tally.owed, went)?;
            books.within("copies that wait", books.waiting, books.peers * send_queue)?;
            books.awake(Side::Send, u64::from(books.usable == books.peers))?;
            if when_full == WhenFull::Block {
                books.none_missing(tally.counted(Counter::DroppedOnReceive))?;
            }
            if when_slow == WhenSlow::Block {
                books.none_missing(tally.counted(Counter::DroppedOnSend))?;
            }
            heard(books, recv_queue)
        }),
    }
}

/// What has come waits, was received, or was dropped for want of room.
pub(super) fn heard(books: &Books<'_>, queue: u64) -> Result<(), Failure> {
    let tally = books.tally;
    let dropped = tally.sum([Counter::DroppedOnReceive, Counter::HopLimit]);
    books.settles("messages received", tally.arrived, tally.received + dropped)?;
    let waiting = tally.arrived - tally.received - dropped;
    books.within("messages that wait", waiting, queue)?;
    books.awake(Side::Recv, waiting)
}

/// A node that sends what comes back to all but whom it came from.
fn reflector(hub: usize, queue: u64) -> Spec<raw::Bus> {
    Spec {
        options: RawOptions::new().queue(queue as usize),
        tasks: Box::new(move |_, _| {
            let lane = Lane::default();
            device::tasks(hub, &lane, &lane)
        }),
        audit: Box::new(move |books: &Books<'_>| {
            let tally = books.tally;
            let went = tally.transmitted + tally.counted(Counter::DroppedOnSend);
            books.within("copies for all", went, tally.owed)?;
            books.within("copies for their senders", tally.owed - went, tally.accepted)?;
            heard(books, queue)
        }),
    }
}
