//! Programs: what tasks do with their sockets, and how they wait.

use std::task::Poll;
use std::time::Duration;

use sp_core::id::{CtxId, Id as _};
use sp_core::message::Message;
use sp_protocols::engine::{
    ContextEngine, Engine, RecvBlocked, RecvEngine, SendBlocked, SendEngine,
};

use crate::body::{Body, Call, Doing, Side};
use crate::effects::Fx;
use crate::faults::Fault;
use crate::oracle::Oracle;
use crate::stage::{Event, Phase, Stage};

/// What one thread of a program does with its socket.
pub(crate) trait Task<E> {
    /// Goes on until there is nothing more to do for now. A call that was [`Poll::Pending`] is made again first.
    fn step(&mut self, desk: &mut Desk<'_, E>) -> Next;
}

/// What a task does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It waits for the call that was pending.
    Wait,
    /// It goes on after a while.
    Think(Duration),
    /// It goes on when the world's phase changes, or another node has something for it.
    Rest,
}

/// How long a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    Try,
    /// Until it is over; which it has to be, once faults have ended.
    Forever,
    /// For whatever comes, or does not.
    Idle,
    /// So long; then it tries once more and gives up.
    Timeout(Duration),
    /// So long; then its future is dropped, woken or not.
    Drop(Duration),
}

/// Why a call came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmet {
    /// It was not to wait.
    Blocked,
    TimedOut,
    Dropped,
    State,
    Header,
    NoPeer,
    Canceled,
    PeerGone,
    SurveyOver,
}

impl Unmet {
    /// Whether the caller did not want to wait any longer; otherwise the pattern had something to say.
    pub(crate) const fn is_wait_over(self) -> bool {
        matches!(self, Self::Blocked | Self::TimedOut | Self::Dropped)
    }
}

/// How the first call of a step came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Try {
    New,
    /// It has waited and was woken.
    Again(Call),
    /// Its time is over. It had been woken, or not.
    Last {
        was_woken: bool,
    },
    /// It is not made again: its future is gone.
    Dropped,
}

/// Where a task makes its calls.
pub(crate) struct Desk<'a, E> {
    pub(crate) engine: &'a mut E,
    pub(crate) body: &'a mut Body,
    pub(crate) stage: &'a mut Stage,
    pub(crate) task: usize,
    pub(crate) how: Try,
}

impl<E: Engine> Desk<'_, E> {
    /// Whether faults happen and programs do as they like.
    pub(crate) fn is_stormy(&self) -> bool {
        self.stage.phase == Phase::Storm
    }

    /// Whether this node is to prove that all is well.
    pub(crate) fn is_proving(&self) -> bool {
        self.stage.phase == Phase::Proof(self.body.place.node)
    }

    /// True once in `times`, but only while programs do as they like.
    pub(crate) fn whim(&mut self, times: u64) -> bool {
        self.is_stormy() && self.stage.luck.one_in(times)
    }

    /// How long a program takes that does something else.
    pub(crate) fn thinking(&mut self) -> Duration {
        let most = if self.is_stormy() { THINK_MAX * self.stage.tempo } else { THINK_MAX };
        let dawdles = self.stage.faults.has(Fault::Dawdle) && self.whim(4);
        self.stage.luck.upto(if dawdles { DAWDLE_MAX } else { most })
    }

    /// How long a call waits that would usually wait for `usual`.
    pub(crate) fn patience(&mut self, usual: Patience) -> Patience {
        if !self.is_stormy() || !self.stage.faults.has(Fault::GiveUp) {
            return usual;
        }
        let time = self.stage.luck.upto(PATIENCE_MAX);
        match self.stage.luck.below(6) {
            0 => Patience::Timeout(time),
            1 => Patience::Drop(time),
            2 => Patience::Try,
            _ => usual,
        }
    }

    pub(crate) fn fail(&mut self, oracle: Oracle, what: impl Into<String>) {
        self.stage.fail(oracle, what);
    }

    /// Calls the engine itself.
    pub(crate) fn engine<R>(&mut self, call: impl FnOnce(&mut E, &mut Fx<'_>) -> R) -> R {
        call(self.engine, &mut Fx { body: self.body, stage: self.stage })
    }

    fn note(&mut self, what: &'static str, ctx: CtxId, detail: u64) {
        self.stage.note(self.body.place.node, what, [u64::from(ctx.index()), detail]);
    }

    /// How the next call came to be. The calls after it are new.
    const fn take_how(&mut self) -> Try {
        std::mem::replace(&mut self.how, Try::New)
    }

    /// A call found nothing: it waits, or has given up. `abandon` tells the engine so.
    fn blocked<T>(
        &mut self,
        how: Try,
        (ctx, side, patience): (CtxId, Side, Patience),
        abandon: impl FnOnce(&mut E, &mut Fx<'_>),
    ) -> Poll<Result<T, Unmet>> {
        let call = match how {
            Try::Again(call) => call,
            Try::Last { was_woken } => {
                if was_woken {
                    self.pass_on(ctx, side);
                }
                self.engine(abandon);
                self.note("gave up", ctx, side as u64);
                return Poll::Ready(Err(Unmet::TimedOut));
            }
            _ if patience == Patience::Try => return Poll::Ready(Err(Unmet::Blocked)),
            _ => self.new_call(ctx, side, patience),
        };
        self.body.wait(self.task, call);
        Poll::Pending
    }

    fn new_call(&mut self, ctx: CtxId, side: Side, patience: Patience) -> Call {
        let (place, task) = (self.body.place, self.task);
        let slot = &mut self.body.slots[task];
        slot.ticket += 1;
        let ticket = slot.ticket;
        if let Patience::Timeout(time) | Patience::Drop(time) = patience {
            self.stage.schedule(time, Event::Deadline(place, task, ticket));
        }
        Call { ctx, side, patience, ticket }
    }

    /// A call that had been woken leaves without another try: the next in line has its turn.
    pub(crate) fn pass_on(&mut self, ctx: CtxId, side: Side) {
        if !self.body.wake(ctx, side, self.stage) {
            self.engine(|engine, fx| engine.wake_unused(ctx, fx));
        }
    }
}

impl<E: SendEngine> Desk<'_, E> {
    pub(crate) fn send(
        &mut self,
        ctx: CtxId,
        msg: &mut Message,
        patience: Patience,
    ) -> Poll<Result<(), Unmet>> {
        let how = self.take_how();
        if how == Try::Dropped {
            return Poll::Ready(Err(Unmet::Dropped));
        }
        let body = msg.body().to_vec();
        let sent = self.engine(|engine, fx| engine.try_send(ctx, msg, fx));
        self.note("send", ctx, u64::from(sent.is_ok()));
        if sent.is_err() && msg.body() != body {
            self.stage.fail(Oracle::Invented, "a send that failed changed its message");
        }
        match sent {
            Ok(()) => {
                self.body.tally.accepted += 1;
                let peers = self.body.peers.iter().map(|(_, id)| self.stage.net.end(*id));
                self.body.tally.owed += peers.filter(|end| end.is_open()).count() as u64;
                Poll::Ready(Ok(()))
            }
            Err(SendBlocked::State) => Poll::Ready(Err(Unmet::State)),
            Err(SendBlocked::Header) => Poll::Ready(Err(Unmet::Header)),
            Err(SendBlocked::NoPeer) => Poll::Ready(Err(Unmet::NoPeer)),
            Err(SendBlocked::Full) => {
                let call = (ctx, Side::Send, patience);
                self.blocked(how, call, |engine, fx| engine.send_abandoned(ctx, fx))
            }
        }
    }
}

impl<E: RecvEngine> Desk<'_, E> {
    pub(crate) fn recv(&mut self, ctx: CtxId, patience: Patience) -> Poll<Result<Message, Unmet>> {
        let how = self.take_how();
        if how == Try::Dropped {
            return Poll::Ready(Err(Unmet::Dropped));
        }
        let mut msg = Message::new();
        let received = self.engine(|engine, fx| engine.try_recv(ctx, &mut msg, fx));
        self.note("recv", ctx, u64::from(received.is_ok()));
        match received {
            Ok(()) => {
                self.body.tally.received += 1;
                Poll::Ready(Ok(msg))
            }
            Err(RecvBlocked::State) => Poll::Ready(Err(Unmet::State)),
            Err(RecvBlocked::Canceled) => Poll::Ready(Err(Unmet::Canceled)),
            Err(RecvBlocked::PeerGone) => Poll::Ready(Err(Unmet::PeerGone)),
            Err(RecvBlocked::SurveyOver) => Poll::Ready(Err(Unmet::SurveyOver)),
            Err(RecvBlocked::Empty) => {
                let call = (ctx, Side::Recv, patience);
                self.blocked(how, call, |engine, fx| engine.recv_abandoned(ctx, fx))
            }
        }
    }
}

impl<E: ContextEngine> Desk<'_, E> {
    pub(crate) fn open_ctx(&mut self) -> CtxId {
        self.engine(|engine, _| engine.open_ctx())
    }

    /// Ends a conversation in which no call waits.
    pub(crate) fn close_ctx(&mut self, ctx: CtxId) {
        self.note("close context", ctx, 0);
        self.engine(|engine, fx| engine.close_ctx(ctx, fx));
    }
}

impl Try {
    /// Whether the task has ended what it did before.
    pub(crate) const fn is_new(self) -> bool {
        matches!(self, Self::New)
    }
}

impl Doing {
    /// The call that has not ended.
    pub(crate) const fn call(self) -> Option<Call> {
        match self {
            Self::Waits(call) | Self::IsWoken(call) => Some(call),
            Self::Rests | Self::Thinks => None,
        }
    }
}

/// A program that keeps up.
const THINK_MAX: Duration = Duration::from_millis(300);

/// A program that does not.
const DAWDLE_MAX: Duration = Duration::from_secs(20);

/// The longest deadline of a call.
const PATIENCE_MAX: Duration = Duration::from_secs(10);
