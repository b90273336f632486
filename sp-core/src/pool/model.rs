//! Magazines and depot in all orders of threads that take, share, drop and end.

use std::collections::BTreeMap;
use std::sync::Arc;

use shuttle::thread;

use super::block::Block;
use super::*;

/// Who has which memory, by its address. A plain lock: no order of the threads is to be ruled out by it.
#[derive(Default)]
struct Owners(std::sync::Mutex<BTreeMap<usize, usize>>);

impl Owners {
    fn take(&self, pool: &BufferPool) -> PooledBuf {
        let mut buf = pool.take(SIZE);
        buf.extend_from_slice(b"x");
        let before = lock(&self.0).insert(address(&buf), 1);
        assert_eq!(before, None, "memory in use was handed out");
        buf
    }

    fn share(&self, buf: &PooledBuf) -> PooledBuf {
        lock(&self.0).entry(address(buf)).and_modify(|handles| *handles += 1);
        buf.share()
    }

    fn give_up(&self, buf: PooledBuf) {
        let mut owners = lock(&self.0);
        let handles = owners.get_mut(&address(&buf)).expect("it was taken");
        *handles -= 1;
        if *handles == 0 {
            owners.remove(&address(&buf));
        }
        drop(owners);
        drop(buf);
    }
}

#[test]
fn no_buffer_is_handed_out_twice_and_none_is_lost() {
    let scene = || {
        let pool = BufferPool::new(PoolConfig::for_sizes([SIZE]));
        let owners = Arc::new(Owners::default());
        // Where one thread leaves what another drops.
        let table = Arc::new(Mutex::new(Vec::new()));
        let threads = [0, 1, 2].map(|_| {
            let (pool, owners, table) = (pool.clone(), Arc::clone(&owners), Arc::clone(&table));
            thread::spawn(move || {
                let own: Vec<_> = (0..BURST).map(|_| owners.take(&pool)).collect();
                let shares: Vec<_> = own.iter().map(|buf| owners.share(buf)).collect();
                let others = std::mem::replace(&mut *lock(&table), shares);
                for (nth, buf) in own.into_iter().chain(others).enumerate() {
                    owners.give_up(buf);
                    if nth % 4 == 0 {
                        owners.give_up(owners.take(&pool));
                    }
                }
            })
        });
        for thread in threads {
            thread.join().expect("a panic was reported");
        }
        let left = std::mem::take(&mut *lock(&table));
        left.into_iter().for_each(|buf| owners.give_up(buf));
        let stats = pool.stats();
        assert_eq!((stats.gets, stats.out), (stats.puts, 0), "{stats:?}");
        let bytes = Block::bytes_for(SIZE) as u64;
        assert_eq!(
            stats.held_bytes,
            stats.news * bytes,
            "all that was allocated is kept: {stats:?}"
        );
    };
    shuttle::check_random(scene, RUNS);
    shuttle::check_pct(scene, RUNS, SWITCHES);
}

fn address(buf: &PooledBuf) -> usize {
    buf.as_ptr() as usize
}

/// A class whose magazines are short.
const SIZE: usize = 16 << 10;

/// More than a thread keeps for itself, two magazines.
const BURST: usize = 10;

/// Orders tried by each scheduler.
const RUNS: usize = 500;

/// Moments at which the scheduler that looks for rare orders turns them around.
const SWITCHES: usize = 3;
