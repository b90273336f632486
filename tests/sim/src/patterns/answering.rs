//! Who answers: what a REP does in this world, and whoever else answers what it is asked.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;

use sp_core::id::CtxId;
use sp_core::pipe::Backlog;
use sp_protocols::engine::{
    ContextEngine, Counter, Engine, RecvEngine, RepOptions, SendEngine, WhenFull,
};

use super::connect_some;
use crate::node::{Books, Spec};
use crate::oracle::Oracle;
use crate::post::Post;
use crate::rng::Rng;
use crate::route::Asking;
use crate::task::{Desk, Next, Patience, Task, Unmet};
use crate::world::World;

/// One message.
#[derive(Debug)]
pub(super) enum Known {
    Request,
    /// The reply to the letter of that number.
    ReplyTo(usize),
}

/// All letters of a world.
pub(super) type Shared = Rc<RefCell<Post<Known>>>;

/// How a world answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    /// What is asked may get lost at an answerer: it leaves some unanswered, and has room for few.
    pub(super) swallows: bool,
    /// Words of backtrace that answerers accept.
    ttl: u8,
}

impl Manners {
    /// Of a world whose devices are nodes as well: what is asked may get lost there, too.
    pub(super) const BEHIND_DEVICES: Self = Self { swallows: true, ttl: 15 };

    pub(super) fn draw(luck: &mut Rng) -> Self {
        Self { swallows: luck.one_in(2), ttl: *luck.pick(&[1, 2, 8, 15]) }
    }
}

/// What answers in the manner of a REP.
pub(super) trait Answers:
    Engine<Options = RepOptions> + SendEngine + RecvEngine + ContextEngine
{
}

impl<E> Answers for E where E: Engine<Options = RepOptions> + SendEngine + RecvEngine + ContextEngine
{}

/// Adds a few askers and a few answerers, and connects them.
pub(super) fn build<A: Engine, B: Answers>(
    world: &mut World,
    manners: Manners,
    asker: impl Fn(&Shared) -> Spec<A>,
) {
    let post = Rc::new(RefCell::new(Post::new()));
    let askers: Vec<usize> =
        (0..world.stage.luck.within(1, 3)).map(|_| world.add(asker(&post))).collect();
    let answerers: Vec<usize> = (0..world.stage.luck.within(1, 3))
        .map(|_| {
            let spec = answerer::<B>(&post, manners, &mut world.stage.luck);
            world.add(spec)
        })
        .collect();
    for (asker, answerer) in connect_some(world, &askers, &answerers) {
        let by_dialer = world.stage.luck.one_in(2);
        let Manners { ttl, swallows: may_go_astray } = manners;
        let ends = if by_dialer { (asker, answerer) } else { (answerer, asker) };
        world.connect(ends.0, ends.1, Some(Asking { by_dialer, ttl, may_go_astray }));
    }
}

pub(super) fn answerer<E: Answers>(post: &Shared, manners: Manners, luck: &mut Rng) -> Spec<E> {
    let post = Rc::clone(post);
    let servers = luck.within(1, 3);
    let mut options = RepOptions::new().ttl(manners.ttl);
    let (mut queue, mut bytes) = (u64::MAX, u64::MAX);
    if manners.swallows {
        (queue, bytes) = (1 + luck.small(16), 1 + luck.small(10_000));
        let policies = [WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block];
        let when_full = *luck.pick(&policies);
        options = options.queue(queue as usize).queue_bytes(bytes as usize).when_full(when_full);
    }
    Spec {
        options,
        tasks: Box::new(move |_, _| {
            let server = |nth| -> Box<dyn Task<E>> {
                let ctx = (nth == 0).then_some(CtxId::MAIN);
                Box::new(Server { post: Rc::clone(&post), manners, ctx, holds: None })
            };
            (0..servers).map(server).collect()
        }),
        audit: Box::new(move |books: &Books<'_>| {
            let tally = books.tally;
            let dropped = [Counter::HopLimit, Counter::DroppedOnReceive, Counter::LostWithPeer];
            let went = tally.received + tally.sum(dropped);
            books.settles("requests received", tally.arrived, went)?;
            let ended = tally.accepted + tally.counted(Counter::Unanswered);
            // A context that waits to receive still holds what it has not answered.
            books.settles_but(servers, "requests answered", tally.received, ended)?;
            let left = tally.transmitted + tally.counted(Counter::PeerGone);
            books.settles("replies sent", tally.accepted, left)?;
            // Each counts for more than its overhead, and one may go beyond the limit.
            let fit = bytes / Backlog::OVERHEAD as u64 + 1;
            let waiting = tally.arrived - went;
            let most = fit.min(books.peers.saturating_mul(queue));
            books.within("requests that wait", waiting, most)?;
            books.within("replies that wait", tally.accepted - left, fit + servers)
        }),
    }
}

/// Answers one request after the other in a context of its own.
struct Server {
    post: Shared,
    manners: Manners,
    /// Opened with the first step.
    ctx: Option<CtxId>,
    holds: Option<usize>,
}

impl<E: Answers> Task<E> for Server {
    fn step(&mut self, desk: &mut Desk<'_, E>) -> Next {
        let ctx = *self.ctx.get_or_insert_with(|| desk.open_ctx());
        let may_swallow = self.manners.swallows && desk.how.is_new();
        if may_swallow && ctx != CtxId::MAIN && desk.whim(16) {
            desk.close_ctx(ctx);
            (self.ctx, self.holds) = (None, None);
            return Next::Think(desk.thinking());
        }
        if let Some(request) = self.holds.take().filter(|_| !may_swallow || !desk.whim(4)) {
            self.answer(ctx, request, desk);
            return Next::Think(desk.thinking());
        }
        let patience = desk.patience(Patience::Idle);
        match desk.recv(ctx, patience) {
            Poll::Pending => return Next::Wait,
            Poll::Ready(Ok(msg)) => {
                let post = &mut *self.post.borrow_mut();
                let read = post.read(msg.body());
                match read.map(|number| (number, post.of(number))) {
                    Some((number, Known::Request)) => self.holds = Some(number),
                    _ => desk.fail(Oracle::Invented, format!("{:?} is no request", msg.body())),
                }
            }
            Poll::Ready(Err(unmet)) if !unmet.is_wait_over() => {
                desk.fail(Oracle::Outcome, "an answerer is always in a state to receive");
            }
            Poll::Ready(Err(_)) => {}
        }
        Next::Think(desk.thinking())
    }
}

impl Server {
    fn answer<E: Answers>(&self, ctx: CtxId, request: usize, desk: &mut Desk<'_, E>) {
        let mut reply = self.post.borrow_mut().write(b"", Known::ReplyTo(request));
        match desk.send(ctx, &mut reply.message, Patience::Try) {
            Poll::Ready(Ok(())) => {}
            other => desk.fail(Oracle::Outcome, format!("a reply was not taken: {other:?}")),
        }
        if desk.whim(8) {
            match desk.send(ctx, &mut reply.message, Patience::Try) {
                Poll::Ready(Err(Unmet::State)) => {}
                other => desk.fail(Oracle::Outcome, format!("a second reply was: {other:?}")),
            }
        }
    }
}
