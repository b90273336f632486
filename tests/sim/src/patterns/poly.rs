//! Polyamorous PAIR1: each letter comes to the peer that was named, in order, and to no other; a send that finds no
//! room or no peer says so and keeps its letter.

use std::rc::Rc;

use sp_core::id::PeerId;
use sp_protocols::engine::{Counter, Pair1, Pair1Poly, Pair1PolyOptions, SendToBlocked};

use super::connect_some;
use super::pair::{self, Manners};
use super::single::{self, Receiver, Shared};
use crate::body::Side;
use crate::node::{Books, Spec};
use crate::oracle::Oracle;
use crate::rng::Rng;
use crate::task::{Desk, Next, Patience, Task};
use crate::world::World;

pub(super) fn build(world: &mut World) {
    let ledger = single::ledger(world);
    let polys = |world: &mut World| {
        let spec = poly(&ledger, &mut world.stage.luck);
        world.add(spec)
    };
    let hubs: Vec<usize> = (0..world.stage.luck.within(1, 2)).map(|_| polys(world)).collect();
    let leaves: Vec<usize> = (0..world.stage.luck.within(1, 4))
        .map(|_| {
            if world.stage.luck.one_in(3) {
                return polys(world);
            }
            // Where it could have two hubs it has one of them, once all is well.
            let manners = Manners {
                usual: Patience::Forever,
                ttl: 8,
                is_heard: true,
                hears: true,
                is_far: false,
            };
            let spec = pair::partner::<Pair1>(&ledger, manners, &mut world.stage.luck);
            world.add(spec)
        })
        .collect();
    for (leaf, hub) in connect_some(world, &leaves, &hubs) {
        world.connect_either_way(leaf, hub);
    }
}

fn poly(ledger: &Shared, luck: &mut Rng) -> Spec<Pair1Poly> {
    let ledger = Rc::clone(ledger);
    let queue = 1 + luck.small(32);
    Spec {
        options: Pair1PolyOptions::new().queue(queue as usize),
        tasks: Box::new(move |_, luck| {
            let speaker = |_| -> Box<dyn Task<Pair1Poly>> {
                let ledger = Rc::clone(&ledger);
                Box::new(Speaker { ledger, known: None, has_proved: false, left: Vec::new() })
            };
            let receiver = |_| -> Box<dyn Task<Pair1Poly>> {
                Box::new(Receiver { ledger: Rc::clone(&ledger), hears: true, is_far: false })
            };
            let speakers = luck.within(1, 2);
            (0..speakers).map(speaker).chain((0..luck.within(1, 2)).map(receiver)).collect()
        }),
        audit: Box::new(move |books: &Books<'_>| {
            let tally = books.tally;
            books.equal("messages sent", tally.accepted, tally.transmitted)?;
            let went = tally.received + tally.counted(Counter::HopLimit);
            books.settles("messages received", tally.arrived, went)?;
            books.awake(Side::Recv, tally.arrived - went)?;
            books.within("messages that wait", tally.arrived - went, queue)
        }),
    }
}

/// Sends letters to one peer or another.
struct Speaker {
    ledger: Shared,
    /// A peer that was there some time.
    known: Option<PeerId>,
    /// In this turn.
    has_proved: bool,
    /// Peers that are to get a letter in this proof.
    left: Vec<PeerId>,
}

impl Task<Pair1Poly> for Speaker {
    fn step(&mut self, desk: &mut Desk<'_, Pair1Poly>) -> Next {
        // One of them alone: so no pipe lacks room.
        let is_proving = desk.is_proving() && desk.task == 0;
        self.has_proved &= is_proving;
        if is_proving && !self.has_proved {
            self.has_proved = true;
            self.left = desk.body.peers.iter().map(|(peer, _)| peer).collect();
        }
        let peer = if desk.is_stormy() { self.pick(desk) } else { self.left.pop() };
        match peer {
            Some(peer) => self.send_to(peer, is_proving, desk),
            None if !desk.is_stormy() => return Next::Rest,
            None => {}
        }
        Next::Think(desk.thinking())
    }
}

impl Speaker {
    /// A peer, or one that may be gone.
    fn pick(&mut self, desk: &mut Desk<'_, Pair1Poly>) -> Option<PeerId> {
        let peers: Vec<PeerId> = desk.body.peers.iter().map(|(peer, _)| peer).collect();
        if !peers.is_empty() && !desk.whim(8) {
            self.known = Some(*desk.stage.luck.pick(&peers));
        }
        self.known
    }

    fn send_to(&self, peer: PeerId, is_sure: bool, desk: &mut Desk<'_, Pair1Poly>) {
        let (node, end) = (desk.body.place.node, desk.body.peers.get(peer).copied());
        let to = end.map(|end| desk.stage.net.end(end.other()).place);
        let has_room = end.is_some_and(|end| desk.stage.net.end(end).has_room());
        let mut letter = self.ledger.borrow_mut().write(node, to, is_sure);
        let body = letter.message.body().to_vec();
        let sent = desk.engine(|poly, fx| poly.send_to(peer, &mut letter.message, fx));
        desk.stage.note(node, "send to", [to.map_or(0, |to| to.node as u64), sent.is_ok().into()]);
        if sent.is_err() && letter.message.body() != body {
            desk.fail(Oracle::Invented, "a send that failed changed its message");
        }
        match sent {
            Ok(()) => {
                desk.body.tally.accepted += 1;
                self.ledger.borrow_mut().sent(&letter, desk.stage.now);
            }
            Err(SendToBlocked::Full) if end.is_some() && !has_room && !is_sure => {}
            Err(SendToBlocked::PeerGone) if end.is_none() => {}
            Err(why) => desk.fail(Oracle::Outcome, format!("a send to {peer}: {why:?}")),
        }
    }
}
