//! All orders, and all that weakly ordered memory may show.

use std::sync::Arc;

use loom::sync::atomic::AtomicUsize;
use loom::thread;

use super::*;

/// A gate, and something to do at the wheel: only what two threads touch makes the model try both orders.
struct World {
    gate: Gate<()>,
    steps: AtomicUsize,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self { gate: Gate::new(()), steps: AtomicUsize::new(0) })
    }

    fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// A caller comes, drives if it can and leaves. Answers whether the worker is to come again, and whether it is to
    /// look from time to time; nothing if somebody else drove.
    fn drive(&self) -> Option<(bool, bool)> {
        let seat = self.gate.try_enter()?;
        self.step();
        self.step();
        drop(seat);
        let missed = self.gate.was_missed();
        Some((missed, !missed && self.gate.lease()))
    }
}

/// A caller in a thread of its own.
fn caller(world: &Arc<World>) -> thread::JoinHandle<Option<(bool, bool)>> {
    let world = Arc::clone(world);
    thread::spawn(move || world.drive())
}

#[test]
fn whoever_finds_the_gate_taken_is_asked_to_come_again() {
    loom::model(|| {
        let world = World::new();
        let caller = caller(&world);
        world.step();
        let entered = world.gate.try_enter_or_tell().is_some();
        let asked = caller.join().expect("no panic").is_some_and(|(missed, _)| missed);
        assert!(entered || asked, "the worker went away and nobody will ask for it");
    });
}

#[test]
fn a_lease_ends_with_the_worker_at_the_wheel_or_leased_anew() {
    loom::model(|| {
        let world = World::new();
        assert!(world.gate.lease());
        let caller = caller(&world);
        world.step();
        let entered = world.gate.end_lease().is_some();
        let asked =
            caller.join().expect("no panic").is_some_and(|(missed, leased)| missed || leased);
        assert!(entered || asked, "the worker looks no more and nobody will ask for it");
    });
}

#[test]
fn of_two_callers_one_leases() {
    loom::model(|| {
        let world = World::new();
        let caller = caller(&world);
        world.step();
        let drove = [world.drive(), caller.join().expect("no panic")];
        assert!(drove.iter().any(Option::is_some));
        assert_eq!(drove.iter().flatten().filter(|(_, leased)| *leased).count(), 1);
    });
}

/// The wheel says whether it was left for a host that hears of events.
#[test]
fn a_host_that_begins_or_ends_finds_the_wheel_left_accordingly() {
    for before in [false, true] {
        loom::model(move || {
            let gate = Arc::new(Gate::new(before));
            let hosted = Arc::new(AtomicBool::new(before));
            let caller = {
                let (gate, hosted) = (Arc::clone(&gate), Arc::clone(&hosted));
                thread::spawn(move || {
                    if let Some(seat) = gate.try_enter() {
                        gate.leave(
                            seat,
                            || hosted.load(Ordering::SeqCst),
                            |heard, hosted| *heard = hosted,
                        );
                    }
                })
            };
            hosted.store(!before, Ordering::SeqCst);
            if let Some(seat) = gate.try_enter_or_tell() {
                gate.leave(seat, || hosted.load(Ordering::SeqCst), |heard, hosted| *heard = hosted);
            }
            caller.join().expect("no panic");
            assert_eq!(*gate.enter(), Some(!before), "left as before, for good");
        });
    }
}

#[test]
fn a_loop_that_finds_the_gate_taken_is_told_again() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(()));
        let caller = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                gate.try_enter()
                    .is_some_and(|seat| gate.leave(seat, || (), |(), ()| {}) != Left::Unseen)
            })
        };
        let entered = gate.try_enter_or_tell().is_some();
        let told = caller.join().expect("no panic");
        assert!(entered || told, "the events it heard of are nobody's");
    });
}
