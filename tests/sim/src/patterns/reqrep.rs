//! REQ and REP, with contexts: each request ends once, with its own reply or in a way that the client was told.

use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use sp_core::id::CtxId;
use sp_protocols::engine::{Counter, Rep, Req, ReqOptions};

use super::NEVER;
use super::answering::{self, Known, Manners, Shared};
use crate::body::Side;
use crate::node::{Books, Spec};
use crate::oracle::Oracle;
use crate::post::Letter;
use crate::task::{Desk, Next, Patience, Task, Unmet};
use crate::world::World;

pub(super) fn build(world: &mut World) {
    let manners = Manners::draw(&mut world.stage.luck);
    let times = [None, Some(NEVER), Some(60 * SECOND), Some(SECOND), Some(SECOND / 10)];
    let resend = *world.stage.luck.pick(&times);
    answering::build::<Req, Rep>(world, manners, |post| client(post, manners, resend));
}

/// A node whose unanswered requests are sent again after `resend`, if ever.
pub(super) fn client(post: &Shared, manners: Manners, resend: Option<Duration>) -> Spec<Req> {
    let post = Rc::clone(post);
    // A request made in peace is answered, unless it may get lost and is never sent again. One made in a storm may
    // also get lost with its connection.
    let is_kept = !manners.swallows || resend.is_some_and(|after| after < NEVER);
    Spec {
        options: ReqOptions::new().resend_time(resend),
        tasks: Box::new(move |_, luck| {
            let asker = |nth| -> Box<dyn Task<Req>> {
                let ctx = (nth == 0).then_some(CtxId::MAIN);
                let (post, resends, state) = (Rc::clone(&post), resend.is_some(), State::Idle);
                Box::new(Client { post, resends, is_kept, ctx, state, has_proved: false })
            };
            (0..luck.within(1, 4)).map(asker).collect()
        }),
        audit: Box::new(|books: &Books<'_>| {
            let tally = books.tally;
            let sent = tally.accepted + tally.counted(Counter::Resent);
            books.equal("requests sent", sent, tally.transmitted)?;
            books.awake(Side::Send, books.usable.min(1))?;
            // A reply that came before its program gave it up is forgotten with the next request.
            let went = tally.received + tally.counted(Counter::StaleReply);
            books.settles_but(tally.forsaken, "replies received", tally.arrived, went)
        }),
    }
}

/// Makes one request after the other in a context of its own.
struct Client {
    post: Shared,
    resends: bool,
    /// Whether every request made in peace is answered some time; where it is sent again, every one.
    is_kept: bool,
    /// Opened with the first step.
    ctx: Option<CtxId>,
    state: State,
    /// In this turn.
    has_proved: bool,
}

#[derive(Debug)]
enum State {
    Idle,
    Sending(Letter),
    /// It waits for the reply to the letter of that number.
    Asked {
        number: usize,
        in_peace: bool,
    },
}

impl Task<Req> for Client {
    fn step(&mut self, desk: &mut Desk<'_, Req>) -> Next {
        let is_proving = desk.is_proving();
        self.has_proved &= is_proving;
        let ctx = *self.ctx.get_or_insert_with(|| desk.open_ctx());
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle if desk.is_stormy() || (is_proving && !self.has_proved) => {
                self.has_proved = is_proving;
                if ctx != CtxId::MAIN && desk.whim(8) {
                    desk.close_ctx(ctx);
                    self.ctx = None;
                    return Next::Think(desk.thinking());
                }
                let letter = self.post.borrow_mut().write(b"", Known::Request);
                self.send(ctx, letter, desk)
            }
            State::Idle => Next::Rest,
            State::Sending(letter) => self.send(ctx, letter, desk),
            State::Asked { number, in_peace } => self.recv(ctx, number, in_peace, desk),
        }
    }
}

impl Client {
    fn send(&mut self, ctx: CtxId, mut letter: Letter, desk: &mut Desk<'_, Req>) -> Next {
        let patience = desk.patience(Patience::Forever);
        match desk.send(ctx, &mut letter.message, patience) {
            Poll::Pending => {
                self.state = State::Sending(letter);
                return Next::Wait;
            }
            Poll::Ready(Ok(())) => {
                self.state = State::Asked { number: letter.number, in_peace: desk.is_proving() };
            }
            Poll::Ready(Err(unmet)) if !unmet.is_wait_over() => {
                desk.fail(Oracle::Outcome, "a REQ is always in a state to send");
            }
            Poll::Ready(Err(_)) => {}
        }
        Next::Think(desk.thinking())
    }

    fn recv(
        &mut self,
        ctx: CtxId,
        number: usize,
        in_peace: bool,
        desk: &mut Desk<'_, Req>,
    ) -> Next {
        let is_answered = self.is_kept && (self.resends || in_peace);
        let usual = if is_answered { Patience::Forever } else { Patience::Timeout(10 * SECOND) };
        let patience = desk.patience(usual);
        let received = match desk.recv(ctx, patience) {
            Poll::Pending => {
                self.state = State::Asked { number, in_peace };
                return Next::Wait;
            }
            Poll::Ready(received) => received,
        };
        match received {
            Ok(msg) => {
                let post = &mut *self.post.borrow_mut();
                match post.read(msg.body()).map(|reply| post.of(reply)) {
                    Some(Known::ReplyTo(request)) if *request == number => {}
                    Some(known) => {
                        let what =
                            format!("instead of the reply to letter {number} came {known:?}");
                        desk.fail(Oracle::Reply, what);
                    }
                    None => desk.fail(Oracle::Invented, format!("{:?} is no reply", msg.body())),
                }
                if desk.whim(8) {
                    self.expect_nothing(ctx, desk);
                }
            }
            // The request goes on, or is given up.
            Err(Unmet::Blocked | Unmet::Dropped) if !desk.whim(4) => {
                self.state = State::Asked { number, in_peace };
            }
            Err(unmet) if unmet.is_wait_over() => desk.body.tally.forsaken += 1,
            Err(Unmet::PeerGone) if !self.resends && !in_peace => {}
            Err(unmet) => {
                desk.fail(Oracle::Outcome, format!("the reply to letter {number}: {unmet:?}"));
            }
        }
        Next::Think(desk.thinking())
    }

    /// The reply has been received: there is no other.
    fn expect_nothing(&self, ctx: CtxId, desk: &mut Desk<'_, Req>) {
        match desk.recv(ctx, Patience::Try) {
            Poll::Ready(Err(Unmet::State)) => {}
            Poll::Ready(Ok(_)) => desk.fail(Oracle::Twice, "a request was answered twice"),
            other => desk.fail(Oracle::Outcome, format!("after a reply: {other:?}")),
        }
    }
}

pub(super) const SECOND: Duration = Duration::from_secs(1);
