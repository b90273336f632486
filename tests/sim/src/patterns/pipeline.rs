//! PUSH and PULL: nothing twice, nothing out of order, nothing lost but with a connection or a node.

use std::rc::Rc;

use sp_protocols::engine::{Pull, PullOptions, Push, PushOptions};

use super::connect_some;
use super::single::{self, Receiver, Sender, Shared};
use crate::body::Side;
use crate::node::{Books, Spec};
use crate::task::{Patience, Task};
use crate::world::World;

pub(super) fn build(world: &mut World) {
    let ledger = single::ledger(world);
    let pushers: Vec<usize> = (0..world.stage.luck.within(1, 4))
        .map(|_| {
            let needs_peer = world.stage.luck.one_in(4);
            world.add(pusher(&ledger, needs_peer))
        })
        .collect();
    let pullers: Vec<usize> = (0..world.stage.luck.within(1, 4))
        .map(|_| {
            let queue = 1 + world.stage.luck.small(64);
            world.add(puller(&ledger, queue))
        })
        .collect();
    for (pusher, puller) in connect_some(world, &pushers, &pullers) {
        world.connect_either_way(pusher, puller);
    }
}

fn pusher(ledger: &Shared, needs_peer: bool) -> Spec<Push> {
    let ledger = Rc::clone(ledger);
    Spec {
        options: PushOptions::new().fail_without_peer(needs_peer),
        tasks: Box::new(move |_, luck| {
            let sender = |_| -> Box<dyn Task<Push>> {
                let sender = Sender::new(&ledger, Patience::Forever, true);
                Box::new(sender.needing_peer(needs_peer))
            };
            (0..luck.within(1, 3)).map(sender).collect()
        }),
        audit: Box::new(move |books: &Books<'_>| {
            books.equal("messages sent", books.tally.accepted, books.tally.transmitted)?;
            let all_fail = needs_peer && books.peers == 0;
            books.awake(Side::Send, if all_fail { u64::MAX } else { books.usable.min(1) })
        }),
    }
}

fn puller(ledger: &Shared, queue: u64) -> Spec<Pull> {
    let ledger = Rc::clone(ledger);
    Spec {
        options: PullOptions::new().queue(queue as usize),
        tasks: Box::new(move |_, luck| {
            let receiver = |_| -> Box<dyn Task<Pull>> {
                Box::new(Receiver { ledger: Rc::clone(&ledger), hears: true, is_far: false })
            };
            (0..luck.within(1, 3)).map(receiver).collect()
        }),
        audit: Box::new(move |books: &Books<'_>| {
            let tally = books.tally;
            books.settles("messages received", tally.arrived, tally.received)?;
            let waiting = tally.arrived - tally.received;
            books.awake(Side::Recv, waiting)?;
            books.within("messages that wait", waiting, queue)
        }),
    }
}
