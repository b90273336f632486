//! An event costs the same with tens of thousands of contexts as with a thousand.

use std::time::Duration;

use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;

use super::looks_of;
use crate::engine::testing::{Rig, with_words};
use crate::engine::{
    ContextEngine, Engine, RecvBlocked, Rep, Req, ReqOptions, Sub, Surveyor, SurveyorOptions,
};

const MAIN: CtxId = CtxId::MAIN;
const SECOND: Duration = Duration::from_secs(1);

/// What happens, and how many looks it takes.
type Costs = Vec<(&'static str, u64)>;

#[test]
fn an_event_costs_the_same_however_many_contexts_there_are() {
    for costs in [req, surveyor, rep, sub] {
        let (few, many) = (costs(1_200), costs(48_000));
        assert_eq!(few, many);
        let most = few.iter().max_by_key(|(_, looks)| *looks);
        assert!(most.is_some_and(|(_, looks)| (1..40).contains(looks)), "{most:?}");
    }
}

#[test]
fn a_peer_that_is_lost_costs_its_own_requests_only() {
    for count in [1_200, 48_000] {
        let mut rig = Rig::<Req>::new();
        let [a, _b] = [rig.peer(), rig.peer()];
        for ctx in opened(&mut rig, count) {
            let _ = ask(&mut rig, ctx);
        }
        let looks = looks_of(|| rig.close(a));
        let resent = rig.transmitted().len() as u64;
        assert_eq!(resent, count / 2);
        assert!(looks < 16 * resent, "{looks} looks for {resent} requests");
    }
}

/// Every context has a request under way when something happens to one of them.
fn req(count: u64) -> Costs {
    let mut rig = Rig::<Req>::new();
    let [a, b] = [rig.peer(), rig.peer()];
    let contexts = opened(&mut rig, count);
    let asked: Vec<_> = contexts.iter().map(|ctx| ask(&mut rig, *ctx)).collect();
    let at = |part: u64| usize::try_from(count / part).unwrap();
    let (peer, id) = asked[at(2)];
    let mut rig = Measured { rig, costs: Costs::new() };
    rig.cost("a reply", |rig| arrive(rig, peer, id));
    rig.cost("receive", |rig| assert!(rig.recv_in(contexts[at(2)]).is_ok()));
    rig.cost("a reply nobody waits for", |rig| arrive(rig, peer, id));
    rig.cost("send", |rig| ask(rig, contexts[at(2)]));
    rig.cost("replace a request", |rig| ask(rig, contexts[at(3)]));
    rig.cost("wait", |rig| assert!(rig.recv_waiting(contexts[at(4)]).is_err()));
    rig.cost("give up", |rig| rig.abandon_recv(contexts[at(4)]));
    rig.cost("room", |rig| rig.engine.room(a, &mut rig.world));
    let own = ReqOptions::new().resend_time(Some(SECOND));
    let hasty = rig.rig.open_ctx_with(own);
    let _ = ask(&mut rig.rig, hasty);
    rig.cost("one request sent again", |rig| rig.advance(SECOND));
    rig.cost("close a context", |rig| rig.close_ctx(contexts[at(5)]));
    rig.cost("open a context", |rig| rig.open_ctx());
    let c = rig.rig.peer();
    while ask(&mut rig.rig, MAIN).0 != c {}
    rig.cost("lose a peer with one request", |rig| rig.close(c));
    for full in [a, b] {
        rig.rig.set_room(full, 0);
    }
    rig.cost("send without room", |rig| assert!(rig.send_waiting(MAIN, "?").is_err()));
    rig.cost("room for one that waits", |rig| rig.set_room(a, 1));
    rig.costs
}

fn surveyor(count: u64) -> Costs {
    let mut rig = Rig::<Surveyor>::new();
    let [a, b] = [rig.peer(), rig.peer()];
    let contexts = opened(&mut rig, count);
    let at = |part: u64| contexts[usize::try_from(count / part).unwrap()];
    let mut ids = contexts.iter().map(|ctx| survey(&mut rig, *ctx)).collect::<Vec<_>>();
    let id = ids.swap_remove(usize::try_from(count / 2).unwrap());
    let mut rig = Measured { rig, costs: Costs::new() };
    rig.cost("a response", |rig| arrive(rig, a, id));
    rig.cost("another response", |rig| arrive(rig, b, id));
    rig.cost("receive", |rig| assert!(rig.recv_in(at(2)).is_ok()));
    rig.cost("send", |rig| survey(rig, at(3)));
    rig.cost("wait", |rig| assert!(rig.recv_waiting(at(3)).is_err()));
    rig.cost("cancel one that waits", |rig| survey(rig, at(3)));
    let own = SurveyorOptions::new().survey_time(SECOND / 2);
    let hasty = rig.rig.open_ctx_with(own);
    let _ = survey(&mut rig.rig, hasty);
    rig.cost("one survey is over", |rig| rig.advance(SECOND / 2));
    assert_eq!(rig.rig.recv_in(hasty), Err(RecvBlocked::SurveyOver));
    rig.cost("close a context", |rig| rig.close_ctx(at(5)));
    rig.cost("lose a peer", |rig| rig.close(a));
    rig.costs
}

/// Every context holds a request.
fn rep(count: u64) -> Costs {
    let mut rig = Rig::<Rep>::new();
    let a = rig.peer();
    let contexts = opened(&mut rig, count);
    let at = |part: u64| contexts[usize::try_from(count / part).unwrap()];
    for ctx in &contexts {
        arrive(&mut rig, a, 0x8000_0000);
        assert!(rig.recv_in(*ctx).is_ok());
    }
    let mut rig = Measured { rig, costs: Costs::new() };
    rig.cost("wait", |rig| assert!(rig.recv_waiting(at(2)).is_err()));
    rig.cost("a request", |rig| arrive(rig, a, 0x8000_0000));
    rig.cost("receive", |rig| assert!(rig.recv_waiting(at(2)).is_ok()));
    rig.cost("send", |rig| assert!(rig.send_in(at(3), "!").is_ok()));
    rig.cost("close a context", |rig| rig.close_ctx(at(4)));
    rig.costs
}

/// Every context has a topic of its own.
fn sub(count: u64) -> Costs {
    let mut rig = Rig::<Sub>::new();
    let a = rig.peer();
    let contexts = opened(&mut rig, count);
    for (ctx, topic) in contexts.iter().zip(0_u32..) {
        assert!(rig.engine.subscribe(*ctx, &topic.to_be_bytes()));
    }
    let message = |part: u64| Message::from(u32::try_from(count / part).unwrap().to_be_bytes());
    let at = |part: u64| contexts[usize::try_from(count / part).unwrap()];
    let mut rig = Measured { rig, costs: Costs::new() };
    rig.cost("a message for one", |rig| rig.arrive(a, [message(2)]));
    rig.cost("receive", |rig| assert!(rig.recv_in(at(2)).is_ok()));
    rig.cost("a message for nobody", |rig| rig.arrive(a, [Message::from("nobody")]));
    rig.cost("subscribe", |rig| assert!(rig.engine.subscribe(at(3), b"longer")));
    rig.cost("take it back", |rig| {
        assert!(rig.engine.unsubscribe(at(3), b"longer", &mut rig.world));
    });
    rig.cost("close a context", |rig| rig.close_ctx(at(4)));
    rig.costs
}

struct Measured<E> {
    rig: Rig<E>,
    costs: Costs,
}

impl<E: Engine> Measured<E> {
    fn cost<R>(&mut self, what: &'static str, event: impl FnOnce(&mut Rig<E>) -> R) {
        self.costs.push((what, looks_of(|| drop(event(&mut self.rig)))));
    }
}

fn opened<E: ContextEngine>(rig: &mut Rig<E>, count: u64) -> Vec<CtxId> {
    (0..count).map(|_| rig.open_ctx()).collect()
}

/// The peer that has the request, and its id.
fn ask(rig: &mut Rig<Req>, ctx: CtxId) -> (PeerId, u32) {
    rig.send_in(ctx, "?").unwrap();
    let (peer, bytes) = rig.transmitted().pop().unwrap();
    (peer, u32::from_be_bytes(*bytes.first_chunk().unwrap()))
}

fn survey(rig: &mut Rig<Surveyor>, ctx: CtxId) -> u32 {
    rig.send_in(ctx, "?").unwrap();
    let (_, bytes) = rig.transmitted().pop().unwrap();
    u32::from_be_bytes(*bytes.first_chunk().unwrap())
}

fn arrive<E: Engine>(rig: &mut Rig<E>, peer: PeerId, id: u32) {
    let _ = rig.arrive(peer, [with_words(&[id], "!")]);
}
