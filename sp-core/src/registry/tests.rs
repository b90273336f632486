use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock;
use crate::endpoint::Endpoint;
use crate::id::{ConnId, PeerId};
use crate::pipe::CloseReason;

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn a_stale_peer_id_finds_nothing() {
    let peers = PeerRegistry::new();
    let old = peers.add(addr(1), "old");
    assert!(peers.remove(old).is_some());
    let new = peers.add(addr(1), "new");
    assert_eq!((old.index(), old == new), (new.index(), false));
    assert!(peers.get(old).is_none());
    assert!(peers.remove(old).is_none());
    assert_eq!(peers.get(new).map(|peer| *peer.attached()), Some("new"));
    assert!(peers.get(PeerId::from_parts(u32::MAX, 0)).is_none());
}

#[test]
fn peers_with_one_address_are_found_last_first() {
    let peers = PeerRegistry::new();
    let endpoint: Arc<Endpoint> = Arc::new("inproc://a".parse().expect("it is a URL"));
    let url = PeerAddr::from(Arc::clone(&endpoint));
    let [a, b, c] = [(); 3].map(|()| peers.add(Arc::clone(&endpoint), ()));
    let found = || peers.get_by_addr(&url).map(|peer| peer.id());
    assert_eq!(found(), Some(c));
    peers.remove(b);
    peers.remove(c);
    assert_eq!(found(), Some(a));
    peers.remove(a);
    assert_eq!(found(), None);
    assert_eq!(url.to_string(), "inproc://a");
}

#[test]
fn a_range_stops_when_told() {
    let peers = PeerRegistry::new();
    for port in 0..100 {
        peers.add(addr(port), port);
    }
    let mut seen = Vec::new();
    let stopped = peers.range(|peer| {
        seen.push(*peer.attached());
        if seen.len() == 3 { ControlFlow::Break("enough") } else { ControlFlow::Continue(()) }
    });
    assert_eq!((stopped, seen), (ControlFlow::Break("enough"), vec![0, 1, 2]));
    assert_eq!((peers.all().len(), peers.count()), (100, 100));
}

#[test]
fn a_peer_only_moves_forward_through_its_states() {
    let peers = PeerRegistry::new();
    let id = peers.add(addr(1), ());
    let peer = peers.get(id).expect("it was added");
    assert_eq!(peer.state(), PeerState::Connecting);
    assert!(peer.advance(PeerState::Connected));
    assert!(!peer.advance(PeerState::Connecting));
    assert_eq!(peer.state(), PeerState::Connected);
    peers.remove(id);
    assert_eq!(peer.state(), PeerState::Disconnected);
}

#[test]
fn a_peer_counts_what_passes() {
    let peers = PeerRegistry::new();
    let id = peers.add(addr(1), ());
    let peer = peers.get(id).expect("it was added");
    assert_eq!(peer.last_seen(), peer.connected_at());
    let later = clock::now() + Duration::from_secs(5);
    peer.count_sent(2, 30);
    peer.count_received(1, 7, later);
    peer.count_received(0, 0, peer.connected_at());
    assert_eq!(peer.last_seen(), later);
    assert_eq!(
        peer.traffic(),
        Traffic { messages_sent: 2, bytes_sent: 30, messages_received: 1, bytes_received: 7 }
    );
}

#[derive(Debug, Clone)]
enum Op {
    Add(u8),
    /// Removes the n-th id ever given out, live or stale.
    Remove(usize),
}

proptest! {
    #[test]
    fn the_registry_agrees_with_a_plain_map(
        ops in prop::collection::vec(
            prop_oneof![(0..4_u8).prop_map(Op::Add), (0..60_usize).prop_map(Op::Remove)],
            0..120,
        ),
    ) {
        let peers = PeerRegistry::new();
        // Id to address and order of arrival.
        let mut model: BTreeMap<PeerId, (u8, usize)> = BTreeMap::new();
        let mut ids = Vec::new();
        for op in ops {
            match op {
                Op::Add(port) => {
                    let id = peers.add(addr(port.into()), port);
                    prop_assert_eq!(model.insert(id, (port, ids.len())), None);
                    ids.push(id);
                }
                Op::Remove(n) => {
                    let Some(&id) = ids.get(n) else { continue };
                    prop_assert_eq!(peers.remove(id).is_some(), model.remove(&id).is_some());
                }
            }
            for port in 0..4_u8 {
                let of_port = model.iter().filter(|(_, (p, _))| *p == port);
                let last = of_port.max_by_key(|(_, (_, order))| *order).map(|(id, _)| *id);
                let found = peers.get_by_addr(&addr(port.into()).into()).map(|peer| peer.id());
                prop_assert_eq!(found, last);
            }
            let all: Vec<_> = peers.all().iter().map(|peer| peer.id()).collect();
            prop_assert_eq!(&all, &model.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(peers.count(), model.len());
            for id in &ids {
                prop_assert_eq!(peers.get(*id).is_some(), model.contains_key(id));
            }
        }
    }
}

#[test]
fn readers_never_see_a_wrong_peer_while_others_come_and_go() {
    let peers = PeerRegistry::new();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = peers.range(|peer| {
                    let found = peers.get(peer.id());
                    assert!(found.is_none_or(|found| found.id() == peer.id()));
                    ControlFlow::<()>::Continue(())
                });
            }
        });
        let writers = [1, 2].map(|n| {
            let peers = &peers;
            scope.spawn(move || {
                for i in 0..3000 {
                    let id = peers.add(addr(n), i);
                    assert_eq!(peers.get(id).map(|peer| *peer.attached()), Some(i));
                    assert!(peers.remove(id).is_some());
                    assert!(peers.get(id).is_none());
                }
            })
        });
        let done = writers.map(|writer| writer.join().is_ok());
        stop.store(true, Ordering::Relaxed);
        assert_eq!(done, [true, true]);
    });
    assert_eq!((peers.count(), peers.all().len()), (0, 0));
}

#[derive(Default)]
struct Control {
    closed: AtomicUsize,
    peer: OnceLock<PeerId>,
}

impl ConnControl for Control {
    fn close(&self, why: CloseReason) {
        assert_eq!(why, CloseReason::Closed);
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    fn transport(&self) -> &'static str {
        "tcp"
    }

    fn peer(&self) -> Option<PeerId> {
        self.peer.get().copied()
    }
}

fn spec(socket: SocketId, control: &Arc<Control>) -> ConnSpec {
    let control = Arc::clone(control) as Arc<dyn ConnControl>;
    ConnSpec { socket, control }
}

#[test]
fn connections_are_found_by_id_and_by_socket() {
    let conns = ConnRegistry::new();
    let control = Arc::new(Control::default());
    let (ours, other) = (next_socket_id(), next_socket_id());
    assert_ne!(ours, other);
    let entries: Vec<_> = (0..5).map(|_| conns.register(spec(ours, &control))).collect();
    conns.register(spec(other, &control));
    let mut left: Vec<ConnId> = entries.iter().map(|entry| entry.id()).collect();
    // From the middle, the front and the end of the socket's list.
    for at in [2, 0, 2] {
        let id = left.remove(at);
        let taken = conns.unregister(id).expect("it was registered");
        assert!(taken.is_closed() && conns.get(id).is_none() && conns.unregister(id).is_none());
        let mut found: Vec<_> = conns.by_socket(ours).iter().map(|entry| entry.id()).collect();
        found.sort_unstable();
        assert_eq!(found, left);
    }
    assert_eq!((conns.count(), conns.by_socket(other).len()), (3, 1));
    assert_eq!(control.closed.load(Ordering::Relaxed), 0);
}

#[test]
fn closing_all_of_a_socket_closes_no_other_and_lets_go_of_everything() {
    let conns = ConnRegistry::new();
    let (control, others) = (Arc::new(Control::default()), Arc::new(Control::default()));
    let (ours, other) = (next_socket_id(), next_socket_id());
    let first = conns.register(spec(ours, &control));
    conns.register(spec(other, &others));
    conns.register(spec(ours, &control));
    assert_eq!(conns.close_all(ours), 2);
    assert_eq!(conns.close_all(ours), 0);
    assert!(first.is_closed() && conns.get(first.id()).is_none());
    assert!(conns.unregister(first.id()).is_none());
    assert_eq!(control.closed.load(Ordering::Relaxed), 2);
    assert_eq!(others.closed.load(Ordering::Relaxed), 0);
    assert_eq!(conns.count(), 1);
    drop(first);
    let gone: Weak<Control> = Arc::downgrade(&control);
    drop(control);
    assert!(gone.upgrade().is_none(), "the registry keeps nothing of a closed socket");
}

#[test]
fn a_connection_is_asked_for_what_it_knows_itself() {
    let conns = ConnRegistry::new();
    let control = Arc::new(Control::default());
    let entry = conns.register(spec(next_socket_id(), &control));
    assert_eq!(entry.peer(), None);
    let peer = *control.peer.get_or_init(|| PeerId::from_parts(1, 0));
    assert_eq!((entry.peer(), entry.transport()), (Some(peer), "tcp"));
    assert!(entry.mark_closed());
    assert!(!entry.mark_closed());
    entry.close(CloseReason::Closed);
    assert_eq!(control.closed.load(Ordering::Relaxed), 1);
}

#[test]
fn connections_come_and_go_from_several_threads() {
    let conns = ConnRegistry::new();
    let control = Arc::new(Control::default());
    let shared = next_socket_id();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let own = next_socket_id();
                for _ in 0..500 {
                    let entry = conns.register(spec(shared, &control));
                    let extra = conns.register(spec(own, &control));
                    assert_eq!(conns.close_all(own), 1);
                    assert!(extra.is_closed());
                    assert!(conns.unregister(entry.id()).is_some());
                }
            });
        }
    });
    assert_eq!((conns.count(), conns.by_socket(shared).len()), (0, 0));
    assert_eq!(control.closed.load(Ordering::Relaxed), 1500);
}

#[test]
fn the_process_has_one_registry_of_connections() {
    let control = Arc::new(Control::default());
    let entry = conns().register(spec(next_socket_id(), &control));
    assert_eq!(conns().get(entry.id()).map(|found| found.socket()), Some(entry.socket()));
    assert!(conns().unregister(entry.id()).is_some());
}
