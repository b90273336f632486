//! All orders, and all that weakly ordered memory may show.

use std::sync::Arc;

use loom::thread;

use super::*;

#[test]
fn whoever_finds_the_gate_taken_is_asked_to_come_again() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(()));
        let caller = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                gate.try_enter().is_some_and(|seat| {
                    drop(seat);
                    gate.was_missed()
                })
            })
        };
        let entered = gate.try_enter_or_tell().is_some();
        let asked = caller.join().expect("no panic");
        assert!(entered || asked, "the worker went away and nobody will ask for it");
    });
}

#[test]
fn a_lease_ends_with_the_worker_at_the_wheel_or_leased_anew() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(()));
        assert!(gate.lease());
        let caller = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                gate.try_enter().is_some_and(|seat| {
                    drop(seat);
                    gate.was_missed() || gate.lease()
                })
            })
        };
        let entered = gate.end_lease().is_some();
        let leased_anew = caller.join().expect("no panic");
        assert!(entered || leased_anew, "the worker looks no more and nobody will ask for it");
    });
}

#[test]
fn of_two_callers_one_leases() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(()));
        let other = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                let entered = gate.try_enter().is_some();
                (entered, entered && !gate.was_missed() && gate.lease())
            })
        };
        let entered = gate.try_enter().is_some();
        let leased = entered && !gate.was_missed() && gate.lease();
        let (other_entered, other_leased) = other.join().expect("no panic");
        assert!(entered || other_entered);
        assert_eq!(usize::from(leased) + usize::from(other_leased), 1);
    });
}
