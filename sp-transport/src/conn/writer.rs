//! Who writes a connection's queue: a small state machine without clocks, locks or I/O.
//!
//! While traffic is sparse or conversational the thread that sends also writes. After a few direct writes in
//! a row without a pause and without anything heard from the peer the traffic counts as a stream: sends only
//! queue, the worker is told once, and whoever finds 60 KiB waiting writes them.
//!
//! Two things hold after every event (see the tests): there is never a second writer, and a queue that is not
//! empty always has somebody responsible for it.

use sp_core::pipe::Flush;

/// The state of one connection's sending side.
#[derive(Debug)]
pub(crate) struct Writer {
    state: State,
    /// Direct writes since the last pause or message heard.
    streak: u8,
    /// The system reported room while somebody was writing: a refusal that came before it is stale.
    room_seen: bool,
    /// Somebody else flushed since the worker last looked.
    flushed: bool,
    /// The worker found nothing to write when it last looked.
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is queued, or the thread that queued is about to flush.
    Idle,
    /// A thread is writing; afterwards the worker still looks after the pipe if `streaming`.
    Writing { streaming: bool },
    /// The kernel takes no more; the driver goes on when it does.
    Blocked,
    /// Messages stream: the worker looks after the queue.
    Streaming,
    /// The connection is over.
    Closed,
}

/// What the caller has to do about a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Write now; report [`Writer::drained`] or [`Writer::refused`] at the end.
    Write,
    /// Somebody else is responsible.
    Leave,
    /// Tell the worker to look after this pipe.
    Delegate,
}

/// What the worker has to do about a pipe it looks after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Write now; report the end as for [`Decision::Write`], and look again.
    Write,
    /// Look again in the next turn.
    Again,
    /// Forget the pipe.
    Done,
}

impl Writer {
    pub(crate) const fn new() -> Self {
        Self { state: State::Idle, streak: 0, room_seen: false, flushed: false, quiet: false }
    }

    /// The caller has queued; `queued` bytes wait in all.
    pub(crate) fn flush(&mut self, queued: usize, how: Flush) -> Decision {
        if queued == 0 {
            return Decision::Leave;
        }
        match (self.state, how) {
            (State::Idle, Flush::Now) if self.streak < DIRECT_WRITES_MAX => {
                self.streak += 1;
                self.start(false)
            }
            (State::Idle, Flush::Urgent) => self.start(false),
            (State::Idle, _) => {
                self.state = State::Streaming;
                self.quiet = false;
                Decision::Delegate
            }
            (State::Streaming, Flush::Urgent) => self.start(true),
            (State::Streaming, _) if queued >= STREAM_FLUSH_BYTES => {
                self.flushed = true;
                self.start(true)
            }
            _ => Decision::Leave,
        }
    }

    /// Whether the thread that has just queued must flush: otherwise somebody is responsible already.
    pub(crate) const fn wants_flush(&self, queued: usize) -> bool {
        match self.state {
            State::Idle => true,
            State::Streaming => queued >= STREAM_FLUSH_BYTES,
            State::Writing { .. } | State::Blocked | State::Closed => false,
        }
    }

    /// Whether the sender has written by itself since the worker last looked: stealing its half-filled buffer
    /// would only cost two writes.
    pub(crate) fn take_flushed(&mut self) -> bool {
        let flushed = std::mem::take(&mut self.flushed);
        self.quiet &= !flushed;
        flushed
    }

    /// The worker looks after the pipe; `queued` bytes wait.
    pub(crate) fn turn(&mut self, queued: usize) -> Turn {
        match self.state {
            State::Streaming if queued == 0 && self.quiet => {
                self.state = State::Idle;
                self.streak = 0;
                Turn::Done
            }
            State::Streaming if queued == 0 => {
                self.quiet = true;
                Turn::Again
            }
            State::Streaming => {
                self.quiet = false;
                self.start(true);
                Turn::Write
            }
            State::Writing { streaming: true } => Turn::Again,
            // Whoever writes, or the driver once the kernel has room, sees to the rest.
            State::Writing { streaming: false } | State::Blocked | State::Idle | State::Closed => {
                Turn::Done
            }
        }
    }

    /// The writer has emptied the queue.
    pub(crate) fn drained(&mut self) {
        if let State::Writing { streaming } = self.state {
            self.state = if streaming { State::Streaming } else { State::Idle };
        }
    }

    /// The writer has written its share although more is queued; the worker goes on.
    pub(crate) fn handed_over(&mut self) -> Decision {
        let State::Writing { streaming } = self.state else { return Decision::Leave };
        self.state = State::Streaming;
        self.quiet = false;
        if streaming { Decision::Leave } else { Decision::Delegate }
    }

    /// The kernel took no more from the writer. Answers whether to try once more.
    pub(crate) fn refused(&mut self) -> bool {
        if std::mem::take(&mut self.room_seen) {
            return true;
        }
        if let State::Writing { .. } = self.state {
            self.state = State::Blocked;
        }
        false
    }

    /// The kernel reports room. Answers whether the caller is to go on writing.
    pub(crate) fn writable(&mut self) -> bool {
        match self.state {
            State::Blocked => {
                self.start(false);
                true
            }
            State::Writing { .. } => {
                self.room_seen = true;
                false
            }
            _ => false,
        }
    }

    /// The conversation goes on, or paused: the next sends are written directly again.
    pub(crate) fn conversed(&mut self) {
        self.streak = 0;
    }

    /// The connection is over: nobody writes any more.
    pub(crate) fn close(&mut self) {
        self.state = State::Closed;
    }

    /// Whether nobody writes and the last write was a direct one.
    pub(crate) const fn is_direct(&self) -> bool {
        matches!(self.state, State::Idle) && self.streak > 0
    }

    /// Whether nobody writes and the last direct write was not the first.
    pub(crate) const fn is_in_a_row(&self) -> bool {
        matches!(self.state, State::Idle) && self.streak > 1
    }

    fn start(&mut self, streaming: bool) -> Decision {
        debug_assert!(!matches!(self.state, State::Writing { .. }), "never two writers");
        self.state = State::Writing { streaming };
        self.room_seen = false;
        Decision::Write
    }
}

/// Direct writes in a row before sends count as a stream. Small, so that a burst soon shares its system
/// calls; above 1, so that a request sent as two messages still leaves at once.
const DIRECT_WRITES_MAX: u8 = 3;

/// A streaming sender writes by itself once this much waits: beyond, a larger write costs no less a byte. A
/// little below the 64 KiB of a buffer of frames, so that one write is one buffer as a rule.
pub(crate) const STREAM_FLUSH_BYTES: usize = 60 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Queue(usize),
        /// Only while the worker looks after the pipe.
        Hold(usize),
        Commit,
        Flush(Flush),
        WorkerLooks,
        WriterDrains,
        WriterHandsOver,
        KernelRefuses,
        KernelHasRoom,
        Conversed,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (1usize..70_000).prop_map(Op::Queue),
            (1usize..70_000).prop_map(Op::Hold),
            Just(Op::Commit),
            prop_oneof![Just(Flush::Now), Just(Flush::Soon), Just(Flush::Urgent)]
                .prop_map(Op::Flush),
            Just(Op::WorkerLooks),
            Just(Op::WriterDrains),
            Just(Op::WriterHandsOver),
            Just(Op::KernelRefuses),
            Just(Op::KernelHasRoom),
            Just(Op::Conversed),
        ]
    }

    /// The world around the machine: what is queued, who writes, who has been told.
    #[derive(Default)]
    struct World {
        queued: usize,
        held: usize,
        writing: bool,
        refused: bool,
        worker_told: bool,
        /// Queued, and the thread that did so has not flushed yet.
        flush_due: bool,
    }

    impl World {
        fn commit(&mut self, writer: &Writer) {
            self.queued += std::mem::take(&mut self.held);
            self.flush_due |= self.queued > 0 && writer.wants_flush(self.queued);
        }
    }

    proptest! {
        #[test]
        fn never_two_writers_and_never_an_orphaned_queue(ops in prop::collection::vec(op(), 1..200)) {
            let mut writer = Writer::new();
            let mut world = World::default();
            for op in ops {
                match op {
                    Op::Queue(n) => {
                        world.queued += n;
                        world.flush_due |= writer.wants_flush(world.queued);
                    }
                    Op::Hold(n) if world.worker_told => world.held += n,
                    Op::Commit => world.commit(&writer),
                    Op::Flush(how) => {
                        world.flush_due = false;
                        match writer.flush(world.queued, how) {
                            Decision::Write => { prop_assert!(!world.writing); world.writing = true; }
                            Decision::Delegate => world.worker_told = true,
                            Decision::Leave => {}
                        }
                    }
                    Op::WorkerLooks if world.worker_told && !writer.take_flushed() => {
                        world.commit(&writer);
                        match writer.turn(world.queued) {
                            Turn::Write => { prop_assert!(!world.writing); world.writing = true; }
                            Turn::Again => {}
                            Turn::Done => {
                                world.worker_told = false;
                                world.commit(&writer);
                            }
                        }
                    }
                    Op::WriterDrains if world.writing => {
                        world.queued = 0;
                        world.flush_due = false;
                        world.writing = false;
                        writer.drained();
                    }
                    Op::WriterHandsOver if world.writing => {
                        world.writing = false;
                        if writer.handed_over() == Decision::Delegate { world.worker_told = true; }
                    }
                    Op::KernelRefuses if world.writing && !writer.refused() => {
                        world.writing = false;
                        world.refused = true;
                    }
                    Op::KernelHasRoom if writer.writable() => {
                        prop_assert!(!world.writing);
                        world.writing = true;
                        world.refused = false;
                    }
                    Op::Conversed => writer.conversed(),
                    _ => {}
                }
                let responsible = world.writing || world.refused || world.worker_told || world.flush_due;
                prop_assert!(world.queued == 0 || responsible, "{writer:?}");
                prop_assert!(world.held == 0 || world.worker_told, "{writer:?}");
            }
        }
    }

    #[test]
    fn a_stream_is_delegated_after_a_few_direct_writes() {
        let mut writer = Writer::new();
        for _ in 0..DIRECT_WRITES_MAX {
            assert_eq!(writer.flush(72, Flush::Now), Decision::Write);
            writer.drained();
        }
        assert_eq!(writer.flush(72, Flush::Now), Decision::Delegate);
        assert_eq!(writer.flush(144, Flush::Now), Decision::Leave);
        assert_eq!(writer.flush(STREAM_FLUSH_BYTES, Flush::Now), Decision::Write);
    }

    #[test]
    fn a_conversation_is_always_written_directly() {
        let mut writer = Writer::new();
        for _ in 0..10 {
            assert_eq!(writer.flush(72, Flush::Now), Decision::Write);
            writer.drained();
            writer.conversed();
        }
    }

    #[test]
    fn room_reported_while_a_refusal_is_on_its_way_is_not_lost() {
        let mut writer = Writer::new();
        assert_eq!(writer.flush(72, Flush::Now), Decision::Write);
        assert!(!writer.writable());
        assert!(writer.refused(), "try again: the room came after the refusal");
        assert!(!writer.refused());
        assert!(writer.writable());
    }
}
