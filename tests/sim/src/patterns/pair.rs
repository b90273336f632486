//! PAIR and PAIR1, with rivals for a partner and devices on the way: one partner at a time, everything in order,
//! nothing lost but with a connection or a node, and nothing from too far.

use std::rc::Rc;

use sp_protocols::engine::raw::{self, RawOptions};
use sp_protocols::engine::{
    Counter, Engine, Pair, Pair1, Pair1Options, PairOptions, RecvEngine, SendEngine,
};

use super::device;
use super::single::{self, Receiver, Sender, Shared};
use crate::body::Side;
use crate::node::{Books, Spec};
use crate::rng::Rng;
use crate::task::{Patience, Task};
use crate::world::World;

pub(super) fn build(world: &mut World) {
    if world.stage.luck.one_in(2) { couples::<Pair>(world) } else { couples::<Pair1>(world) }
}

/// A pattern that has one peer at a time.
pub(super) trait Couples: Engine + SendEngine + RecvEngine {
    type Raw: Engine<Options = RawOptions> + SendEngine + RecvEngine;
    const COUNTS_HOPS: bool;

    fn options(recv_queue: usize, send_queue: usize, ttl: u8) -> Self::Options;
}

impl Couples for Pair {
    type Raw = raw::Pair;
    const COUNTS_HOPS: bool = false;

    fn options(recv_queue: usize, send_queue: usize, _ttl: u8) -> PairOptions {
        PairOptions::new().recv_queue(recv_queue).send_queue(send_queue)
    }
}

impl Couples for Pair1 {
    type Raw = raw::Pair1;
    const COUNTS_HOPS: bool = true;

    fn options(recv_queue: usize, send_queue: usize, ttl: u8) -> Pair1Options {
        Pair1Options::new().recv_queue(recv_queue).send_queue(send_queue).ttl(ttl)
    }
}

/// One couple or two, with devices between them, and perhaps others who want to be in the place of one.
fn couples<E: Couples>(world: &mut World) {
    let ledger = single::ledger(world);
    for _ in 0..world.stage.luck.within(1, 2) {
        let devices = if world.stage.luck.one_in(2) { world.stage.luck.within(1, 3) } else { 0 };
        let rivals = if world.stage.luck.one_in(2) { world.stage.luck.within(1, 2) } else { 0 };
        // A couple that is not disturbed is together once all is well; with rivals, one may be alone.
        let usual = if rivals == 0 { Patience::Forever } else { Patience::Idle };
        let [near, far] = [(); 2].map(|()| *world.stage.luck.pick(&[1_u8, 2, 3, 8]));
        let hops = devices + 1;
        let reaches = |ttl: u8| !E::COUNTS_HOPS || hops <= u64::from(ttl);
        let mut add = |ttl, is_heard: bool| {
            let is_far = devices > 0;
            let manners = Manners { usual, ttl, is_heard, hears: reaches(ttl), is_far };
            let spec = partner::<E>(&ledger, manners, &mut world.stage.luck);
            world.add(spec)
        };
        let mut left: Vec<usize> = (0..=rivals).map(|_| add(near, reaches(far))).collect();
        let right = add(far, reaches(near));
        for _ in 0..devices {
            let (front, back) = device::joined::<E::Raw, E::Raw>(world, 1);
            left.drain(..).for_each(|node| world.connect_either_way(node, front));
            left.push(back);
        }
        left.drain(..).for_each(|node| world.connect_either_way(node, right));
    }
}

/// How a partner behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    /// How long it waits for a partner.
    pub(super) usual: Patience,
    pub(super) ttl: u8,
    /// Whether its partner does not think that it is too far away, and the other way round.
    pub(super) is_heard: bool,
    pub(super) hears: bool,
    /// Whether there are devices between the two.
    pub(super) is_far: bool,
}

pub(super) fn partner<E: Couples>(ledger: &Shared, manners: Manners, luck: &mut Rng) -> Spec<E> {
    let ledger = Rc::clone(ledger);
    let Manners { usual, ttl, is_heard, hears, is_far } = manners;
    let recv_queue = 1 + luck.small(32);
    let send_queue = if luck.one_in(2) { luck.within(1, 8) } else { 0 };
    Spec {
        options: E::options(recv_queue as usize, send_queue as usize, ttl),
        tasks: Box::new(move |_, luck| {
            let sender =
                |_| -> Box<dyn Task<E>> { Box::new(Sender::new(&ledger, usual, is_heard)) };
            let receiver = |_| -> Box<dyn Task<E>> {
                Box::new(Receiver { ledger: Rc::clone(&ledger), hears, is_far })
            };
            let senders = luck.within(1, 2);
            (0..senders).map(sender).chain((0..luck.within(1, 2)).map(receiver)).collect()
        }),
        audit: Box::new(move |books: &Books<'_>| {
            let tally = books.tally;
            books.partners(1)?;
            let went = tally.received + tally.counted(Counter::HopLimit);
            books.settles("messages received", tally.arrived, went)?;
            let waiting = tally.arrived - went;
            books.awake(Side::Recv, waiting)?;
            books.within("messages that wait", waiting, recv_queue)?;
            let unsent = tally.accepted.saturating_sub(tally.transmitted);
            books.within("messages to be sent", unsent, send_queue)?;
            // None waits while the partner takes it.
            let lost = if books.usable == 1 { 0 } else { unsent };
            books.equal("messages sent", tally.accepted, tally.transmitted + lost)?;
            books.awake(Side::Send, u64::from(books.usable == 1 || unsent < send_queue))
        }),
    }
}
