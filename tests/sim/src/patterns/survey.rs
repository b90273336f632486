//! SURVEYOR and RESPONDENT, with contexts: answers to the present survey alone, in time, one from each peer.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use sp_core::id::{CtxId, PeerId};
use sp_core::message::Message;
use sp_protocols::engine::{Counter, Respondent, Surveyor, SurveyorOptions, WhenFull};

use super::answering::{self, Known, Manners, Shared};
use crate::node::{Books, Spec};
use crate::oracle::Oracle;
use crate::task::{Desk, Next, Patience, Task, Unmet};
use crate::world::World;

pub(super) fn build(world: &mut World) {
    let policies = [WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block];
    let when_full = *world.stage.luck.pick(&policies);
    let manners = Manners::draw(&mut world.stage.luck);
    let time = *world.stage.luck.pick(&[AMPLE / 10, AMPLE / 100, AMPLE]);
    let surveyor = |post: &Shared| surveyor(post, manners, time, when_full);
    answering::build::<Surveyor, Respondent>(world, manners, surveyor);
}

/// A node whose surveys take `time`.
fn surveyor(
    post: &Shared,
    manners: Manners,
    time: Duration,
    when_full: WhenFull,
) -> Spec<Surveyor> {
    let post = Rc::clone(post);
    // What blocks loses nothing, however little room there is.
    let queue = if when_full == WhenFull::Block { 1 } else { QUEUE };
    let all_answer = time >= AMPLE && !manners.swallows;
    Spec {
        options: SurveyorOptions::new().survey_time(time).queue(queue).when_full(when_full),
        tasks: Box::new(move |_, luck| {
            let asker = |nth| -> Box<dyn Task<Surveyor>> {
                let ctx = (nth == 0).then_some(CtxId::MAIN);
                let (post, state) = (Rc::clone(&post), State::Idle);
                Box::new(Asker { post, all_answer, ctx, state, has_proved: false })
            };
            (0..luck.within(1, 3)).map(asker).collect()
        }),
        audit: Box::new(move |books: &Books<'_>| {
            let tally = books.tally;
            let sent = tally.transmitted + tally.counted(Counter::DroppedOnSend);
            books.equal("surveys sent", tally.owed, sent)?;
            if when_full == WhenFull::Block {
                books.none_missing(tally.counted(Counter::DroppedOnReceive))?;
            }
            let dropped = [Counter::StaleReply, Counter::DroppedOnReceive];
            let went = tally.received + tally.sum(dropped);
            books.settles_but(tally.forsaken, "responses received", tally.arrived, went)
        }),
    }
}

/// Makes one survey after the other in a context of its own.
struct Asker {
    post: Shared,
    /// Whether everybody answers in time, in peace.
    all_answer: bool,
    /// Opened with the first step.
    ctx: Option<CtxId>,
    state: State,
    /// In this turn.
    has_proved: bool,
}

#[derive(Debug)]
enum State {
    Idle,
    /// It gathers responses to the letter of that number.
    Asked(Survey),
}

/// What is known of the present survey.
#[derive(Debug)]
struct Survey {
    /// Its letter.
    number: usize,
    /// How many have been asked, and who has answered.
    peers: usize,
    from: BTreeSet<PeerId>,
    /// Everybody answers.
    is_sure: bool,
    /// Its end has been told.
    is_over: bool,
}

impl Task<Surveyor> for Asker {
    fn step(&mut self, desk: &mut Desk<'_, Surveyor>) -> Next {
        // One context alone: so no pipe lacks room.
        let is_proving = desk.is_proving() && desk.task == 0;
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
                self.send(ctx, desk)
            }
            State::Idle => Next::Rest,
            State::Asked(survey) => self.recv(ctx, survey, desk),
        }
    }
}

impl Asker {
    fn send(&mut self, ctx: CtxId, desk: &mut Desk<'_, Surveyor>) -> Next {
        let mut letter = self.post.borrow_mut().write(b"", Known::Request);
        match desk.send(ctx, &mut letter.message, Patience::Try) {
            Poll::Ready(Ok(())) => {
                self.state = State::Asked(Survey {
                    number: letter.number,
                    peers: desk.body.peers.len(),
                    from: BTreeSet::new(),
                    is_sure: desk.is_proving() && self.all_answer,
                    is_over: false,
                });
            }
            other => desk.fail(Oracle::Outcome, format!("a survey was not taken: {other:?}")),
        }
        Next::Think(desk.thinking())
    }

    fn recv(&mut self, ctx: CtxId, mut survey: Survey, desk: &mut Desk<'_, Surveyor>) -> Next {
        let patience = desk.patience(Patience::Forever);
        let received = match desk.recv(ctx, patience) {
            Poll::Pending => {
                self.state = State::Asked(survey);
                return Next::Wait;
            }
            Poll::Ready(received) => received,
        };
        match received {
            Ok(msg) => {
                self.note(&mut survey, &msg, desk);
                self.state = State::Asked(survey);
            }
            Err(Unmet::SurveyOver) => {
                let Survey { number, peers, from, is_sure, .. } = &survey;
                if *is_sure && from.len() < *peers {
                    let what = format!("{} of {peers} answered survey {number}", from.len());
                    desk.fail(Oracle::Stuck, what);
                }
                if desk.whim(2) {
                    // It asks once more, after others may have come.
                    self.state = State::Asked(Survey { is_over: true, ..survey });
                }
            }
            // The survey is left alone, and with it what comes for it.
            Err(unmet) if unmet.is_wait_over() && desk.whim(4) => {
                desk.body.tally.forsaken += survey.peers as u64;
            }
            Err(unmet) if unmet.is_wait_over() => {
                self.state = State::Asked(survey);
            }
            Err(unmet) => desk.fail(Oracle::Outcome, format!("a response: {unmet:?}")),
        }
        Next::Think(desk.thinking())
    }

    fn note(&self, survey: &mut Survey, msg: &Message, desk: &mut Desk<'_, Surveyor>) {
        let post = &mut *self.post.borrow_mut();
        let number = survey.number;
        match post.read(msg.body()).map(|response| post.of(response)) {
            Some(Known::ReplyTo(asked)) if *asked == number => {}
            Some(known) => {
                desk.fail(Oracle::Reply, format!("a response to survey {number} is {known:?}"));
            }
            None => desk.fail(Oracle::Invented, format!("{:?} is no response", msg.body())),
        }
        if !msg.source().is_some_and(|peer| survey.from.insert(peer)) {
            desk.fail(Oracle::Twice, format!("{:?} answered twice", msg.source()));
        }
        if survey.is_over {
            desk.fail(Oracle::Late, format!("a response to survey {number}, which was over"));
        }
    }
}

/// Enough for all who can answer at a time.
const QUEUE: usize = 8;

/// A survey time within which everybody answers who is asked in peace.
const AMPLE: Duration = Duration::from_secs(20);
