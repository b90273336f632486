//! All orders, and all that weakly ordered memory may show.

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

use super::*;

/// Counts how often it is rung.
struct Bell(Arc<AtomicUsize>);

impl Wake for Bell {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct World {
    sleep: Sleep<Bell>,
    rung: Arc<AtomicUsize>,
    /// What each of two threads has to say.
    news: [AtomicBool; 2],
}

impl World {
    fn new() -> Arc<Self> {
        let rung = Arc::new(AtomicUsize::new(0));
        let sleep = Sleep::with(Bell(Arc::clone(&rung)));
        Arc::new(Self { sleep, rung, news: [AtomicBool::new(false), AtomicBool::new(false)] })
    }

    /// Publishes and notifies, as everybody with news does. Answers what `notify` does.
    fn tell(self: &Arc<Self>, nth: usize) -> thread::JoinHandle<bool> {
        let me = Arc::clone(self);
        thread::spawn(move || {
            me.news[nth].store(true, Ordering::Relaxed);
            me.sleep.notify()
        })
    }

    fn look(&self) -> [bool; 2] {
        [0, 1].map(|nth| self.news[nth].load(Ordering::Relaxed))
    }

    /// Works until there is no news left before a rest. Answers what it has seen.
    fn work(&self, rest: impl Fn(&Sleep<Bell>) -> bool) -> [bool; 2] {
        loop {
            self.sleep.wake_up();
            let seen = self.look();
            if rest(&self.sleep) {
                return seen;
            }
        }
    }
}

#[test]
fn news_that_a_sleeper_has_not_seen_wakes_it_and_once() {
    loom::model(|| {
        let world = World::new();
        let tellers = [0, 1].map(|nth| world.tell(nth));
        let seen = world.work(Sleep::fall_asleep);
        let heard = tellers.map(|teller| teller.join().expect("no panic"));
        assert_eq!(heard, [true; 2], "somebody polls all the time");
        let rung = world.rung.load(Ordering::Relaxed);
        // One from before it began to work, when it counts as asleep, and one for this sleep.
        assert!(rung <= 2, "rung {rung} times");
        let asleep = world.sleep.state.load(Ordering::Relaxed) == ASLEEP;
        assert!(seen == [true; 2] || !asleep && rung >= 1, "asleep with {seen:?}");
    });
}

#[test]
fn of_several_with_news_one_wakes_the_sleeper() {
    loom::model(|| {
        let world = World::new();
        world.sleep.wake_up();
        let teller = world.tell(0);
        let seen = world.work(Sleep::fall_asleep);
        let other = world.tell(1);
        assert!(teller.join().expect("no panic") && other.join().expect("no panic"));
        assert_eq!(world.rung.load(Ordering::Relaxed), 1, "{seen:?}");
    });
}

#[test]
fn news_that_finds_nobody_sends_somebody_and_once() {
    loom::model(|| {
        let world = World::new();
        world.sleep.wake_up();
        let tellers = [0, 1].map(|nth| world.tell(nth));
        let seen = world.work(Sleep::go_away);
        let heard = tellers.map(|teller| teller.join().expect("no panic"));
        let sent = heard.iter().filter(|heard| !**heard).count();
        assert_eq!(world.rung.load(Ordering::Relaxed), 0, "nobody would hear it");
        // Once is enough, and too often only where it was seen before it was told.
        assert!(sent == 1 || sent == 0 && seen == [true; 2], "{seen:?} {heard:?}");
    });
}

#[test]
fn news_that_can_wait_is_seen_by_whoever_comes_next() {
    loom::model(|| {
        let world = World::new();
        world.sleep.wake_up();
        let me = Arc::clone(&world);
        let teller = thread::spawn(move || {
            me.news[0].store(true, Ordering::Relaxed);
            if !me.sleep.is_away() {
                assert!(me.sleep.notify() || me.look()[0]);
                return false;
            }
            true
        });
        world.work(Sleep::go_away);
        let next = world.work(Sleep::fall_asleep);
        let asleep = world.sleep.state.load(Ordering::Relaxed) == ASLEEP;
        let left_it = teller.join().expect("no panic");
        let rung = world.rung.load(Ordering::Relaxed);
        assert!(next[0] || !left_it || !asleep || rung >= 1, "left, and nobody has seen it");
    });
}
