//! Simulated worlds as tests: few of them, with the engines' own assertions on.

use sp_sim::faults::Faults;
use sp_sim::patterns::ALL;
use sp_sim::{Report, Settings, run};

/// Runs that a test can have in a second or two without optimisation.
const SEEDS: u64 = 40;

#[test]
fn every_promise_holds_in_every_pattern() {
    for pattern in &ALL {
        for seed in 0..SEEDS {
            let Report { failure, .. } = run(pattern, seed, Settings::default());
            assert!(failure.is_none(), "{} --seed {seed}: {failure:?}", pattern.name);
        }
    }
}

#[test]
fn the_same_seed_makes_the_same_run_and_another_seed_another() {
    for pattern in &ALL {
        let [one, again, other] = [7, 7, 8].map(|seed| run(pattern, seed, Settings::default()));
        assert_eq!((one.hash, one.events, one.time), (again.hash, again.events, again.time));
        assert_ne!(one.hash, other.hash, "{}", pattern.name);
    }
}

#[test]
fn what_may_go_wrong_can_be_chosen() {
    let hash = |faults| run(&ALL[0], 3, Settings { faults, ..Settings::default() }).hash;
    let [drawn, none, all] = ["drawn", "none", "all"].map(|text| hash(Faults::parse(text).ok()));
    assert!(drawn != none && none != all && all != drawn);
}

#[test]
fn the_last_events_are_kept_and_no_more() {
    let kept = |events| run(&ALL[0], 3, Settings { events, ..Settings::default() }).last.len();
    assert_eq!([0, 1, 50].map(kept), [0, 1, 50]);
}
