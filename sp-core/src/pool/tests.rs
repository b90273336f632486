use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc;
use std::thread;

use proptest::prelude::*;

use super::*;

fn pool() -> BufferPool {
    BufferPool::new(PoolConfig::new())
}

fn filled(pool: &BufferPool, bytes: &[u8]) -> PooledBuf {
    let mut buf = pool.take(bytes.len());
    buf.extend_from_slice(bytes);
    buf
}

#[test]
fn a_pool_holds_nothing_before_its_first_use() {
    assert_eq!(pool().stats(), PoolStats::default());
}

#[test]
fn a_fresh_buffer_is_empty_roomy_and_aligned() {
    let pool = pool();
    for at_least in [0, 1, 127, 128, 129, 1000, 65_536, 65_537, 1_048_577, 3_000_000] {
        let mut buf = pool.take(at_least);
        assert!(buf.is_empty() && buf.room() >= at_least, "{at_least}: {buf:?}");
        assert_eq!(buf.headroom(), 64);
        buf.extend_from_slice(b"x");
        assert_eq!(buf.as_ptr() as usize % 64, 0, "{at_least}");
    }
    assert_eq!(pool.stats().out, 0);
    assert_eq!(pool.stats().oversized, 2);
}

#[test]
fn the_smallest_class_that_fits_is_taken() {
    let pool = pool();
    for (at_least, class) in [(1, 128), (128, 128), (129, 256), (65_536, 65_536), (40_000, 65_536)]
    {
        assert_eq!(pool.take(at_least).capacity(), class);
    }
}

#[test]
fn buffers_come_home_on_return_and_on_panic() {
    let pool = pool();
    let failed = panic::catch_unwind(AssertUnwindSafe(|| {
        let _out = (pool.take(200), pool.take(100_000));
        assert_eq!(pool.stats().out, 2);
        panic!("on purpose");
    }));
    assert!(failed.is_err());
    assert_eq!(pool.stats().out, 0);
}

#[test]
fn buffers_taken_here_and_dropped_elsewhere_come_back_in_magazines() {
    let pool = pool();
    let (send, receive) = mpsc::sync_channel::<PooledBuf>(16);
    let dropper = thread::spawn(move || receive.into_iter().for_each(drop));
    for _ in 0..20_000 {
        send.send(pool.take(1024)).expect("the other thread receives until this one stops");
    }
    drop(send);
    dropper.join().expect("dropping does not panic");
    let stats = pool.stats();
    assert_eq!((stats.gets, stats.puts, stats.out), (20_000, 20_000, 0));
    assert!(stats.hit_rate() > 0.98, "{stats:?}");
}

#[test]
fn a_thread_that_ends_leaves_its_buffers_to_the_others() {
    let pool = pool();
    let theirs = pool.clone();
    thread::spawn(move || drop(theirs.take(1000))).join().expect("taking does not panic");
    let before = pool.stats();
    assert_eq!((before.out, before.held_bytes), (0, 1024 + 64));
    drop(pool.take(1000));
    assert_eq!(pool.stats().news, before.news);
}

#[test]
fn a_steady_load_of_mixed_sizes_hits() {
    let pool = pool();
    let mut queue = std::collections::VecDeque::new();
    for i in 0..10_000_usize {
        queue.push_back(pool.take(i * 7919 % 16_384));
        if queue.len() > 5 {
            queue.pop_front();
        }
    }
    assert!(pool.stats().hit_rate() > 0.99, "{:?}", pool.stats());
}

#[test]
fn what_is_held_stays_within_the_capacity() {
    let pool = BufferPool::new(PoolConfig::for_sizes([1024]).capacity(1024, 10));
    let out: Vec<_> = (0..1000).map(|_| pool.take(1024)).collect();
    drop(out);
    // Ten in the depot, and at most two magazines of 64 in this thread.
    let held = pool.stats().held_bytes / (1024 + 64);
    assert!((10..=138).contains(&held), "{held}");
    pool.trim();
    assert_eq!(pool.stats().held_bytes, 0);
}

#[test]
fn oversized_buffers_are_not_kept() {
    let pool = pool();
    let mut buf = pool.take(2_000_000);
    buf.extend_from_slice(&vec![1; 3_000_000]);
    drop(buf);
    let stats = pool.stats();
    assert_eq!((stats.gets, stats.puts, stats.news, stats.oversized), (1, 1, 1, 1));
    assert_eq!(stats.held_bytes, 0);
    assert_eq!(stats.hit_rate(), 0.0);
}

#[test]
fn a_pool_switched_off_keeps_nothing_and_works() {
    let pool = BufferPool::new(PoolConfig::new().enabled(false));
    for _ in 0..3 {
        assert_eq!(&filled(&pool, b"works")[..], b"works");
    }
    let stats = pool.stats();
    assert_eq!((stats.news, stats.held_bytes, stats.oversized, stats.out), (3, 0, 0, 0));
}

#[test]
fn buffers_outlive_their_pool() {
    let pool = pool();
    let mut buf = filled(&pool, b"still");
    drop(pool);
    buf.extend_from_slice(&[b'.'; 1000]);
    let shared = buf.share();
    buf.extend_from_slice(b"!");
    assert_eq!((buf.len(), shared.len()), (1006, 1005));
}

#[test]
fn a_buffer_never_shows_what_was_written_for_another() {
    for scrub in [false, true] {
        let pool = BufferPool::new(PoolConfig::new().scrub(scrub));
        drop(filled(&pool, &[0xAA; 1000]));
        let mut buf = pool.take(1000);
        assert_eq!(pool.stats().news, 1, "the same memory again");
        assert!(buf.is_empty());
        buf.extend_from_slice(b"new");
        buf.reserve(500);
        assert_eq!(&buf[..], b"new");
        // Only a filler looks behind what is written; scrubbed, there is nothing to see.
        let seen = buf.fill_with(10, |spare| {
            assert_eq!(spare.contains(&0xAA), !scrub);
            Ok(0)
        });
        assert_eq!(seen.ok(), Some(0));
    }
}

#[test]
fn a_filler_is_held_to_the_room_it_was_given() {
    let pool = pool();
    let mut buf = pool.take(128);
    let filled = buf.fill_with(4, |spare| {
        spare.copy_from_slice(b"abcd");
        Ok(usize::MAX)
    });
    assert_eq!(filled.ok(), Some(4));
    assert_eq!(buf.fill_from(&mut &b"efghij"[..], 3).ok(), Some(3));
    let failed = buf.fill_with(4, |spare| {
        spare.fill(b'!');
        Err(io::ErrorKind::WouldBlock.into())
    });
    assert!(failed.is_err());
    assert_eq!(&buf[..], b"abcdefg");
    assert_eq!(buf.fill_from(&mut io::repeat(1), usize::MAX).ok(), Some(121));
    assert_eq!(buf.room(), 0);
}

#[test]
fn sharing_copies_only_when_somebody_writes() {
    let pool = pool();
    let mut a = filled(&pool, b"one body");
    let b = a.share();
    assert_eq!((a.as_ptr(), pool.stats().out), (b.as_ptr(), 1));
    assert!(a.is_shared() && b.is_shared());
    a[0] = b'O';
    assert_eq!((&a[..], &b[..]), (&b"One body"[..], &b"one body"[..]));
    assert!(!a.is_shared() && !b.is_shared());
    assert_eq!(pool.stats().out, 2);
    drop((a, b));
    assert_eq!(pool.stats().out, 0);
}

#[test]
fn shared_memory_comes_home_once_whichever_thread_is_last() {
    let pool = pool();
    for _ in 0..500 {
        let buf = filled(&pool, &[7; 300]);
        thread::scope(|scope| {
            for handle in [buf.share(), buf.share()] {
                scope.spawn(move || assert!(handle.iter().all(|&b| b == 7)));
            }
            drop(buf);
        });
        // Written at once after coming home, perhaps under a straggler.
        drop(filled(&pool, &[8; 300]));
    }
    let stats = pool.stats();
    assert_eq!((stats.gets, stats.puts, stats.out), (1000, 1000, 0));
}

#[derive(Clone, Debug)]
enum Op {
    Extend(Vec<u8>),
    Prepend(Vec<u8>),
    TrimFront(usize),
    Truncate(usize),
    Clear,
    Reserve(usize),
    Share,
    Unshare,
}

fn op() -> impl Strategy<Value = Op> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        bytes().prop_map(Op::Extend),
        bytes().prop_map(Op::Prepend),
        (0..200_usize).prop_map(Op::TrimFront),
        (0..600_usize).prop_map(Op::Truncate),
        Just(Op::Clear),
        (0..2000_usize).prop_map(Op::Reserve),
        Just(Op::Share),
        Just(Op::Unshare),
    ]
}

proptest! {
    #[test]
    fn a_buffer_behaves_like_a_vector(
        largest in prop::sample::select(vec![128_usize, 512, 65_536]),
        at_least in 0..2000_usize,
        ops in prop::collection::vec(op(), 0..30),
    ) {
        let pool = BufferPool::new(PoolConfig::up_to(largest));
        let mut buf = pool.take(at_least);
        let mut model = Vec::new();
        let mut shares = Vec::new();
        for op in ops {
            match op {
                Op::Extend(bytes) => {
                    buf.extend_from_slice(&bytes);
                    model.extend(bytes);
                }
                Op::Prepend(bytes) => {
                    buf.prepend(&bytes);
                    model.splice(0..0, bytes);
                }
                Op::TrimFront(n) => {
                    buf.trim_front(n);
                    model.drain(..n.min(model.len()));
                }
                Op::Truncate(n) => {
                    buf.truncate(n);
                    model.truncate(n);
                }
                Op::Clear => {
                    buf.clear();
                    model.clear();
                }
                Op::Reserve(n) => {
                    buf.reserve(n);
                    prop_assert!(buf.room() >= n);
                }
                Op::Share => shares.push((buf.share(), model.clone())),
                Op::Unshare => drop(shares.pop()),
            }
            prop_assert_eq!(&buf[..], &model[..]);
            prop_assert_eq!(buf.capacity(), buf.len() + buf.room());
            for (share, then) in &shares {
                prop_assert_eq!(&share[..], &then[..]);
            }
        }
        drop((buf, shares));
        prop_assert_eq!(pool.stats().out, 0);
    }

    #[test]
    fn every_size_finds_the_smallest_class_of_any_set(
        sizes in prop::collection::vec(0..70_000_usize, 0..6),
        at_least in 0..140_000_usize,
    ) {
        let pool = BufferPool::new(PoolConfig::for_sizes(sizes));
        let class = pool.class_sizes().find(|&size| size >= at_least);
        let buf = pool.take(at_least);
        prop_assert_eq!(pool.stats().oversized, u64::from(class.is_none()));
        match class {
            Some(size) => prop_assert_eq!(buf.capacity(), size),
            None => prop_assert!(buf.capacity() >= at_least),
        }
    }
}
