//! PULL against a list of what has been taken from whom.

use std::collections::VecDeque;

use proptest::prelude::*;
use sp_core::id::{CtxId, PeerId};
use sp_core::pipe::Flow;
use sp_protocols::engine::testing::Rig;
use sp_protocols::engine::{Effects as _, Pull, PullOptions, RecvBlocked, WhenFull};

#[derive(Clone, Debug)]
enum Op {
    Open,
    Close(usize),
    Arrive(usize, usize),
    Read(usize),
    Recv,
    RecvWaiting,
    Abandon,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => Just(Op::Open),
        1 => any::<usize>().prop_map(Op::Close),
        4 => (any::<usize>(), 0_usize..9).prop_map(|(peer, n)| Op::Arrive(peer, n)),
        4 => any::<usize>().prop_map(Op::Read),
        4 => Just(Op::Recv),
        4 => Just(Op::RecvWaiting),
        1 => Just(Op::Abandon),
    ]
}

/// The engine, and beside it what it should do.
struct Pair {
    rig: Rig<Pull>,
    when_full: WhenFull,
    limit: usize,
    limit_bytes: usize,
    inbox: VecDeque<(PeerId, u32)>,
    peers: Vec<(PeerId, VecDeque<u32>)>,
    made: u32,
}

impl Pair {
    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Open => self.peers.push((self.rig.peer(), VecDeque::new())),
            Op::Close(which) if !self.peers.is_empty() => {
                let (peer, _) = self.peers.remove(which % self.peers.len());
                self.rig.close(peer);
            }
            Op::Arrive(which, n) if !self.peers.is_empty() => {
                let at = which % self.peers.len();
                let numbers = self.made..self.made + n as u32;
                self.made = numbers.end;
                let (peer, backlog) = &mut self.peers[at];
                backlog.extend(numbers.clone());
                let is_read = self.rig.world.is_read(*peer);
                let flow = self.rig.arrive(*peer, numbers.map(body));
                self.take(at, is_read, flow)?;
            }
            Op::Read(which) if !self.peers.is_empty() => self.read(which % self.peers.len())?,
            Op::Recv => {
                let got = self.rig.recv();
                self.check_received(got)?;
            }
            Op::RecvWaiting => self.recv_waiting()?,
            Op::Abandon => self.rig.abandon_recv(CtxId::MAIN),
            _ => {}
        }
        self.settle()
    }

    fn read(&mut self, at: usize) -> Result<(), TestCaseError> {
        let peer = self.peers[at].0;
        if self.rig.world.is_read(peer) {
            let flow = self.rig.read(peer);
            self.take(at, true, flow)?;
        }
        Ok(())
    }

    /// The peer was read if `is_read`: what fits has been taken.
    fn take(&mut self, at: usize, is_read: bool, flow: Flow) -> Result<(), TestCaseError> {
        let (peer, backlog) = &mut self.peers[at];
        let is_full =
            |inbox: &VecDeque<_>| inbox.len() >= self.limit || cost(inbox) >= self.limit_bytes;
        while is_read && let Some(&number) = backlog.front() {
            match self.when_full {
                WhenFull::Block if is_full(&self.inbox) => break,
                WhenFull::DropOldest => {
                    while is_full(&self.inbox) {
                        self.inbox.pop_front();
                    }
                }
                _ => {}
            }
            backlog.pop_front();
            if !is_full(&self.inbox) {
                self.inbox.push_back((*peer, number));
            }
        }
        prop_assert_eq!(self.rig.world.backlog_of(*peer), backlog.len());
        prop_assert_eq!(flow == Flow::Pause, !backlog.is_empty());
        Ok(())
    }

    fn recv_waiting(&mut self) -> Result<(), TestCaseError> {
        let got = self.rig.recv_waiting(CtxId::MAIN);
        self.check_received(got)
    }

    fn check_received(
        &mut self,
        got: Result<sp_core::message::Message, RecvBlocked>,
    ) -> Result<(), TestCaseError> {
        match self.inbox.pop_front() {
            None => prop_assert_eq!(got, Err(RecvBlocked::Empty)),
            Some((peer, number)) => {
                let msg = got.unwrap();
                prop_assert_eq!(msg.body(), body(number));
                prop_assert_eq!(msg.source(), Some(peer));
            }
        }
        Ok(())
    }

    /// Woken calls try again; then nobody is left waiting for what is there.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        while self.rig.world.woken_recv().is_some() {
            self.recv_waiting()?;
        }
        if self.rig.world.recv_waits(CtxId::MAIN) {
            prop_assert!(self.inbox.is_empty(), "a receive waits beside a message");
        }
        let paused = self.peers.iter().any(|(peer, _)| !self.rig.world.is_read(*peer));
        let few = self.inbox.len() <= self.limit / 2;
        if paused && few && cost(&self.inbox) <= self.limit_bytes / 2 {
            let can_bring = |(peer, backlog): &(PeerId, VecDeque<u32>)| {
                self.rig.world.is_read(*peer) && !backlog.is_empty()
            };
            prop_assert!(
                self.peers.iter().any(can_bring),
                "all are paused beside a half free inbox"
            );
        }
        Ok(())
    }
}

/// Bodies of different lengths, none the same.
fn body(number: u32) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(4 + number as usize % 7 * 60, 0);
    body
}

/// The bytes that these messages count.
fn cost(inbox: &VecDeque<(PeerId, u32)>) -> usize {
    inbox.iter().map(|(_, number)| body(*number).len() + 128).sum()
}

proptest! {
    #[test]
    fn pull_agrees_with_a_list(
        limit in 1_usize..7,
        limit_bytes in 1_usize..2000,
        when_full in prop::sample::select(vec![
            WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block,
        ]),
        ops in prop::collection::vec(op(), 0..80),
    ) {
        let options = PullOptions::new().queue(limit).queue_bytes(limit_bytes);
        let rig = Rig::with(options.when_full(when_full));
        let (inbox, peers) = (VecDeque::new(), Vec::new());
        let mut pair = Pair { rig, when_full, limit, limit_bytes, inbox, peers, made: 0 };
        for op in ops {
            pair.apply(op)?;
        }
        // Nothing of a live peer stays behind.
        while !pair.inbox.is_empty() || pair.peers.iter().any(|(_, backlog)| !backlog.is_empty()) {
            for at in 0..pair.peers.len() {
                pair.read(at)?;
            }
            pair.apply(Op::Recv)?;
        }
    }
}
