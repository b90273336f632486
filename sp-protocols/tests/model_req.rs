//! REQ against a table of what each context has asked.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use sp_core::id::{CtxId, PeerId};
use sp_protocols::engine::testing::{Effect, Rig, Unsent, with_words};
use sp_protocols::engine::{Counter, Effects as _, RecvBlocked, Req, ReqOptions};

/// The resend time of a socket that has one, in seconds.
const RESEND: u64 = 10;

#[derive(Clone, Debug)]
enum Op {
    Open(usize),
    Close(usize),
    Room(usize, usize),
    /// With the socket's options, or with a resend time of its own.
    OpenCtx(Option<Option<u64>>),
    CloseCtx(usize),
    Send(usize, bool),
    Recv(usize, bool),
    Abandon(usize),
    /// From some peer: the reply to the nth id ever used.
    Reply(usize, usize),
    /// From some peer: any bytes at all.
    Garbage(usize, Vec<u8>),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let which = any::<usize>;
    prop_oneof![
        2 => (0_usize..4).prop_map(Op::Open),
        1 => which().prop_map(Op::Close),
        3 => (which(), 0_usize..4).prop_map(|(peer, room)| Op::Room(peer, room)),
        1 => prop::option::of(prop::option::of(1_u64..20)).prop_map(Op::OpenCtx),
        1 => which().prop_map(Op::CloseCtx),
        8 => (which(), any::<bool>()).prop_map(|(ctx, wait)| Op::Send(ctx, wait)),
        8 => (which(), any::<bool>()).prop_map(|(ctx, wait)| Op::Recv(ctx, wait)),
        1 => which().prop_map(Op::Abandon),
        8 => (which(), which()).prop_map(|(peer, id)| Op::Reply(peer, id)),
        1 => (which(), prop::collection::vec(any::<u8>(), 0..7)).prop_map(|(peer, b)| Op::Garbage(peer, b)),
        3 => (1_u64..8).prop_map(Op::Wait),
    ]
}

#[derive(Clone, Debug, Default, PartialEq)]
enum State {
    #[default]
    Idle,
    /// The body, the peer it was last sent to unless it is to be sent again, and when that is due.
    Asked {
        id: u32,
        body: u32,
        peer: Option<PeerId>,
        due: u64,
    },
    Replied(u32),
    Lost,
}

#[derive(Debug, Default)]
struct Talk {
    /// In seconds, if requests are sent again.
    resend_time: Option<u64>,
    state: State,
    canceled: bool,
    /// Calls that wait, unwoken ones first known to the rig.
    was_empty: bool,
}

/// The engine, and beside it what it should do.
struct Pair {
    rig: Rig<Req>,
    resend_time: Option<u64>,
    /// A send without a peer fails.
    fails: bool,
    talks: BTreeMap<CtxId, Talk>,
    peers: Vec<PeerId>,
    ids: Vec<u32>,
    now: u64,
    made: u32,
}

impl Pair {
    fn new(resends: bool, fails: bool, seed: u64) -> Self {
        let resend_time = resends.then_some(RESEND);
        Self {
            rig: Rig::seeded(options(resend_time).fail_without_peer(fails), seed),
            resend_time,
            fails,
            talks: BTreeMap::from([(CtxId::MAIN, Talk { resend_time, ..Talk::default() })]),
            peers: Vec::new(),
            ids: Vec::new(),
            now: 0,
            made: 0,
        }
    }

    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        let peer = |which: usize| self.peers.get(which.checked_rem(self.peers.len())?).copied();
        let ctx = |which: usize| *self.talks.keys().nth(which % self.talks.len()).unwrap();
        match op {
            Op::Open(room) => self.peers.push(self.rig.peer_with_room(room)),
            Op::Close(which) => {
                if let Some(peer) = peer(which) {
                    self.close(peer);
                }
            }
            Op::Room(which, more) => {
                if let Some(peer) = peer(which) {
                    self.rig.set_room(peer, self.rig.world.room_of(peer) + more);
                }
            }
            Op::OpenCtx(own) if self.talks.len() < 5 => {
                let ctx = match own {
                    Some(time) => self.rig.open_ctx_with(options(time)),
                    None => self.rig.open_ctx(),
                };
                let resend_time = own.unwrap_or(self.resend_time);
                self.talks.insert(ctx, Talk { resend_time, ..Talk::default() });
            }
            Op::CloseCtx(which) => {
                let ctx = ctx(which);
                self.talks.remove(&ctx);
                if ctx == CtxId::MAIN {
                    let resend_time = self.resend_time;
                    self.talks.insert(ctx, Talk { resend_time, ..Talk::default() });
                }
                self.rig.close_ctx(ctx);
            }
            Op::Send(which, wait) => self.send(ctx(which), wait)?,
            Op::Recv(which, wait) => self.recv(ctx(which), wait)?,
            Op::Abandon(which) => self.abandon(ctx(which)),
            Op::Reply(from, which) => {
                let id = which.checked_rem(self.ids.len()).and_then(|at| self.ids.get(at));
                if let (Some(peer), Some(&id)) = (peer(from), id) {
                    self.made += 1;
                    let bytes = with_words(&[id], self.made.to_be_bytes());
                    self.arrive(peer, id, bytes, State::Replied(self.made))?;
                }
            }
            Op::Garbage(from, bytes) => {
                if let Some(peer) = peer(from) {
                    self.garbage(peer, bytes)?;
                }
            }
            Op::Wait(seconds) => {
                for _ in 0..seconds {
                    self.now += 1;
                    for talk in self.talks.values_mut() {
                        if let State::Asked { peer, due, .. } = &mut talk.state
                            && talk.resend_time.is_some()
                            && *due <= self.now
                        {
                            *peer = None;
                        }
                    }
                    self.rig.advance(Duration::from_secs(1));
                    self.check_resent()?;
                }
            }
            Op::OpenCtx(_) => {}
        }
        self.settle()
    }

    fn close(&mut self, peer: PeerId) {
        self.peers.retain(|other| *other != peer);
        for talk in self.talks.values_mut() {
            if let State::Asked { peer: to, .. } = &mut talk.state
                && *to == Some(peer)
            {
                if talk.resend_time.is_some() {
                    *to = None;
                } else {
                    talk.state = State::Lost;
                }
            }
        }
        self.rig.close(peer);
    }

    fn send(&mut self, ctx: CtxId, wait: bool) -> Result<(), TestCaseError> {
        self.check_resent()?;
        let has_room = self.has_room();
        self.made += 1;
        let body = self.made;
        if self.fails && self.peers.is_empty() {
            // Nothing else changes.
            let sent =
                if wait { self.rig.send_waiting(ctx, "") } else { self.rig.send_in(ctx, "") };
            prop_assert!(matches!(sent, Err(Unsent::NoPeer(_))));
            return Ok(());
        }
        let talk = self.talks.get_mut(&ctx).unwrap();
        talk.state = State::Idle;
        if std::mem::take(&mut talk.was_empty) && self.rig.world.recv_waits(ctx) {
            talk.canceled = true;
        }
        let bytes = body.to_be_bytes();
        let sent =
            if wait { self.rig.send_waiting(ctx, bytes) } else { self.rig.send_in(ctx, bytes) };
        prop_assert!(matches!(sent, Ok(()) | Err(Unsent::Full(_))));
        prop_assert_eq!(sent.is_ok(), has_room, "sent exactly if there was room");
        if sent.is_ok() {
            let sent = self.rig.transmitted();
            prop_assert_eq!(sent.len(), 1);
            let id = id_of(&sent[0].1);
            prop_assert!(id >= 0x8000_0000 && !self.ids.contains(&id));
            prop_assert_eq!(&sent[0].1[4..], bytes);
            self.ids.push(id);
            let talk = self.talks.get_mut(&ctx).unwrap();
            let due = self.now + talk.resend_time.unwrap_or_default();
            talk.state = State::Asked { id, body, peer: Some(sent[0].0), due };
        }
        Ok(())
    }

    fn recv(&mut self, ctx: CtxId, wait: bool) -> Result<(), TestCaseError> {
        let talk = self.talks.get_mut(&ctx).unwrap();
        let wanted = if std::mem::take(&mut talk.canceled) {
            Err(RecvBlocked::Canceled)
        } else {
            match std::mem::take(&mut talk.state) {
                State::Idle => Err(RecvBlocked::State),
                State::Lost => Err(RecvBlocked::PeerGone),
                State::Replied(body) => Ok(body.to_be_bytes().to_vec()),
                asked @ State::Asked { .. } => {
                    talk.state = asked;
                    Err(RecvBlocked::Empty)
                }
            }
        };
        talk.was_empty = wanted == Err(RecvBlocked::Empty);
        let got = if wait { self.rig.recv_waiting(ctx) } else { self.rig.recv_in(ctx) };
        prop_assert_eq!(got.map(|msg| msg.body().to_vec()), wanted);
        Ok(())
    }

    fn abandon(&mut self, ctx: CtxId) {
        if !self.rig.world.recv_waits(ctx) {
            return;
        }
        let talk = self.talks.get_mut(&ctx).unwrap();
        talk.was_empty = false;
        if !std::mem::take(&mut talk.canceled) && matches!(talk.state, State::Asked { .. }) {
            talk.state = State::Idle;
        }
        self.rig.abandon_recv(ctx);
    }

    /// A message with the header `id` arrives: it is the reply of whoever asked under that id.
    fn arrive(
        &mut self,
        peer: PeerId,
        id: u32,
        bytes: Vec<u8>,
        then: State,
    ) -> Result<(), TestCaseError> {
        self.check_resent()?;
        let asker = self
            .talks
            .values_mut()
            .find(|talk| matches!(talk.state, State::Asked { id: own, .. } if own == id));
        let is_stale = asker.is_none();
        if let Some(talk) = asker {
            talk.state = then;
        }
        let _ = self.rig.arrive(peer, [bytes]);
        let effects = self.rig.world.take_effects();
        prop_assert_eq!(effects.contains(&Effect::Count(Counter::StaleReply)), is_stale);
        Ok(())
    }

    fn garbage(&mut self, peer: PeerId, bytes: Vec<u8>) -> Result<(), TestCaseError> {
        if bytes.len() >= 4 {
            let id = id_of(&bytes);
            prop_assume!(!self.ids.contains(&id));
            return self.arrive(peer, id, bytes, State::Idle);
        }
        self.check_resent()?;
        let _ = self.rig.arrive(peer, [bytes]);
        let effects = self.rig.world.take_effects();
        prop_assert!(matches!(effects[..], [Effect::Close(closed, _)] if closed == peer));
        self.close(peer);
        Ok(())
    }

    /// Woken calls try again; then no request and no call waits for something that is there.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        self.check_resent()?;
        loop {
            if let Some(ctx) = self.rig.world.woken_recv() {
                self.recv(ctx, true)?;
            } else if let Some(ctx) = self.rig.world.woken_send() {
                self.send(ctx, true)?;
            } else {
                break;
            }
        }
        for (&ctx, talk) in &self.talks {
            if self.rig.world.recv_waits(ctx) {
                let waits = matches!(talk.state, State::Asked { .. }) && !talk.canceled;
                prop_assert!(waits, "a receive of {ctx} waits beside {talk:?}");
            }
            if self.rig.world.send_waits(ctx) {
                prop_assert!(!self.has_room(), "a send waits beside room");
                prop_assert!(!self.fails || !self.peers.is_empty(), "and although no peer is left");
            }
        }
        Ok(())
    }

    /// Each request that went out again was to do so; none is left behind while there is room.
    fn check_resent(&mut self) -> Result<(), TestCaseError> {
        for (to, bytes) in self.rig.transmitted() {
            let id = id_of(&bytes);
            let mut talks = self.talks.values_mut();
            let due_for = talks.find_map(|talk| match &mut talk.state {
                State::Asked { id: own, body, peer: peer @ None, due } if *own == id => {
                    Some((*body, peer, due, talk.resend_time.unwrap_or_default()))
                }
                _ => None,
            });
            let Some((body, peer, due, resend_time)) = due_for else {
                return Err(TestCaseError::fail(format!("{id:#x} went to {to} for no reason")));
            };
            prop_assert_eq!(&bytes[4..], body.to_be_bytes());
            *peer = Some(to);
            *due = self.now + resend_time;
        }
        let left =
            self.talks.values().any(|talk| matches!(talk.state, State::Asked { peer: None, .. }));
        prop_assert!(!left || !self.has_room(), "a request stays behind beside room");
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.peers.iter().any(|peer| self.rig.world.room_of(*peer) > 0)
    }
}

fn options(resend_time: Option<u64>) -> ReqOptions {
    ReqOptions::new().resend_time(resend_time.map(Duration::from_secs))
}

fn id_of(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(*bytes.first_chunk().unwrap())
}

proptest! {
    #[test]
    fn req_agrees_with_a_table(resends: bool, fails: bool, seed: u64, ops in prop::collection::vec(op(), 0..100)) {
        let mut pair = Pair::new(resends, fails, seed);
        for op in ops {
            pair.apply(op)?;
        }
    }
}
