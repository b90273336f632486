//! The far end of a measurement: a process of its own, or a thread for inproc.
//!
//! The far end is told to mark its CPU time and to stop, and answers in order. A far process takes its orders from
//! its standard input, so that it ends when the process that measures is gone, however that came about.

use std::fmt;
use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread;
use std::time::Duration;

use super::{Bench, Cell, fanout, oneway, pairs, rtt};
use crate::error::{Error, Result};
use crate::peer::{Peer, Role, Variant};
use crate::place::Side;
use crate::round;
use crate::sys::{self, SharedCounters, Usage};

/// What a far end can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Tell the CPU time used so far.
    Mark,
    /// Stop sending and tell how much was sent.
    Stop,
}

/// What the near end has ready when the far end starts.
#[derive(Default)]
pub(super) struct Start {
    /// The peer on which the near end has been opened already; made anew if absent.
    pub(super) peer: Option<Arc<dyn Peer>>,
    /// Where to connect; without it the far end listens and tells where.
    pub(super) url: Option<String>,
    /// The file with the subscribers' counters.
    pub(super) counters: Option<PathBuf>,
}

/// The near end's hold on the far end. Dropping it ends a far process.
pub(super) struct Far {
    peer: Arc<dyn Peer>,
    url: String,
    replies: Receiver<Reply>,
    /// What it had used at each mark so far.
    marks: Vec<Usage>,
    sent: Option<u64>,
    kind: Kind,
}

enum Kind {
    Process { child: Child, orders: ChildStdin },
    Thread { state: Arc<FarState>, replies: Sender<Reply> },
}

/// What a working far end looks at.
#[derive(Default)]
pub(super) struct FarState {
    /// Set once, by whoever wants it to stop sending. Relaxed: it publishes nothing else.
    pub(super) stop: AtomicBool,
}

/// What a far end says, a line each when it is a process.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reply {
    Ready(String),
    Used(Usage),
    Sent(u64),
    Failed(String),
}

impl Far {
    /// Starts the far end of a round and waits until it is ready.
    pub(super) fn start(cell: &Cell, variant: Variant, start: Start) -> Result<Self> {
        let peer = match start.peer {
            Some(ref peer) => Arc::clone(peer),
            None => variant.peer()?.into(),
        };
        let (tell, replies) = mpsc::channel();
        let kind = if cell.shares_process() {
            let state = Arc::new(FarState::default());
            let (cell, peer, at) = (*cell, Arc::clone(&peer), Arc::clone(&state));
            let say = tell.clone();
            spawn("far", move || work_and_tell(&cell, &*peer, &start, &at, say))?;
            Kind::Thread { state, replies: tell }
        } else {
            let (child, orders) = spawn_process(cell, variant, &start, tell)?;
            Kind::Process { child, orders }
        };
        let mut far =
            Self { peer, url: String::new(), replies, marks: Vec::new(), sent: None, kind };
        while far.url.is_empty() {
            far.listen(START_MAX)?;
        }
        Ok(far)
    }

    /// Tells the far end something. The answer is not waited for.
    pub(super) fn send(&mut self, command: Command) -> Result<()> {
        match (&mut self.kind, command) {
            (Kind::Process { orders, .. }, _) => {
                writeln!(orders, "{command}").map_err(Error::io("write to the far end"))
            }
            // One process, one usage: the near end's figure already holds the far end's share.
            (Kind::Thread { replies, .. }, Command::Mark) => {
                replies.send(Reply::Used(Usage::default())).map_err(|_| Error::Gone)
            }
            (Kind::Thread { state, .. }, Command::Stop) => {
                state.stop.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// What the far process used between the last two times of [`Command::Mark`]; nought for a thread.
    pub(super) fn used_between_marks(&mut self) -> Result<Usage> {
        while self.marks.len() < 2 {
            self.listen(REPLY_MAX)?;
        }
        let [first, last] = [self.marks.remove(0), self.marks.remove(0)];
        Ok(last.since(first))
    }

    /// The id of the far process, if it is one.
    pub(super) fn process(&self) -> Option<u32> {
        match &self.kind {
            Kind::Process { child, .. } => Some(child.id()),
            Kind::Thread { .. } => None,
        }
    }

    /// How many messages were sent, once the far end has stopped.
    pub(super) fn sent(&mut self) -> Result<Option<u64>> {
        loop {
            match self.replies.try_recv() {
                Ok(reply) => self.take(reply)?,
                Err(TryRecvError::Empty) => return Ok(self.sent),
                Err(TryRecvError::Disconnected) => return self.sent.map(Some).ok_or(Error::Gone),
            }
        }
    }

    /// The peer both ends are opened on when they share a process.
    pub(super) fn peer(&self) -> Arc<dyn Peer> {
        Arc::clone(&self.peer)
    }

    /// Where the far end listens, or the address it was given.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    fn listen(&mut self, limit: Duration) -> Result<()> {
        match self.replies.recv_timeout(limit) {
            Ok(reply) => self.take(reply),
            Err(RecvTimeoutError::Timeout) => Err(Error::Silent),
            Err(RecvTimeoutError::Disconnected) => Err(Error::Gone),
        }
    }

    fn take(&mut self, reply: Reply) -> Result<()> {
        match reply {
            Reply::Ready(url) => self.url = url,
            Reply::Used(usage) => self.marks.push(usage),
            Reply::Sent(count) => self.sent = Some(count),
            Reply::Failed(why) => return Err(Error::Far { why }),
        }
        Ok(())
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        if let Kind::Process { child, .. } = &mut self.kind {
            // It may have ended by itself; either way nothing of it is left after the wait.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The body of a far process: works until its orders end, and then with it.
pub(crate) fn serve(
    cell: Cell,
    variant: Variant,
    url: Option<String>,
    counters: Option<PathBuf>,
) -> ! {
    let state = Arc::new(FarState::default());
    let (tell, replies) = mpsc::channel();
    let at = Arc::clone(&state);
    let marks = tell.clone();
    let worker = spawn("work", move || {
        let start = Start { peer: None, url, counters };
        match cell.seats.enter(Side::Far).and_then(|()| variant.peer()) {
            Ok(peer) => work_and_tell(&cell, &*peer, &start, &at, tell),
            Err(e) => drop(tell.send(Reply::Failed(e.to_string()))),
        }
    });
    let printer = spawn("replies", move || {
        for reply in replies {
            // Nobody listens any more: the end of the orders is about to be read.
            let _ = writeln!(stdout(), "{reply}");
        }
    });
    if worker.and(printer).is_err() {
        sys::exit_now(1);
    }
    for line in stdin().lock().lines().map_while(std::result::Result::ok) {
        match line.parse() {
            Ok(Command::Mark) => {
                let _ = marks.send(Reply::Used(Usage::now()));
            }
            Ok(Command::Stop) => state.stop.store(true, Ordering::Relaxed),
            Err(()) => break,
        }
    }
    sys::exit_now(0)
}

fn work_and_tell(
    cell: &Cell,
    peer: &dyn Peer,
    start: &Start,
    state: &FarState,
    tell: Sender<Reply>,
) {
    if let Err(e) = work(cell, peer, start, state, &tell) {
        // Without a listener the round is over anyway.
        let _ = tell.send(Reply::Failed(e.to_string()));
    }
}

/// Opens the far end, says so, and does its part of the workload.
fn work(
    cell: &Cell,
    peer: &dyn Peer,
    start: &Start,
    state: &FarState,
    tell: &Sender<Reply>,
) -> Result<()> {
    let say = |reply| tell.send(reply).map_err(|_| Error::Gone);
    let ready = |at: String| {
        if cell.shares_process() {
            cell.seats.enter(Side::Far)?;
        }
        say(Reply::Ready(at))
    };
    let (_, role) = cell.bench.roles();
    let serve = |role, index| peer.serve(role, &cell.url(index), cell.size);
    match cell.bench {
        Bench::Rtt | Bench::RttPair | Bench::Paced | Bench::Siege => {
            let (end, at) = serve(role, 0)?;
            ready(at)?;
            rtt::echo(end)
        }
        Bench::Load => {
            let ((rep, at), (push, stream_at)) = (serve(Role::Rep, 0)?, serve(Role::Push, 1)?);
            ready(format!("{at} {stream_at}"))?;
            thread::scope(|scope| {
                scope.spawn(|| rtt::stream(push, cell, state));
                rtt::echo(rep)
            })
        }
        Bench::Pairs => {
            let pairs = (0..cell.many).map(|index| serve(Role::Rep, index));
            let (ends, at): (Vec<_>, Vec<_>) =
                pairs.collect::<Result<Vec<_>>>()?.into_iter().unzip();
            ready(at.join(" "))?;
            pairs::echo(ends)
        }
        Bench::Oneway | Bench::OnewayPair => {
            let (end, at) = serve(role, 0)?;
            ready(at)?;
            say(Reply::Sent(oneway::push(end, cell.size, state)?))
        }
        Bench::Outstanding | Bench::Clients | Bench::BareClients | Bench::Idle => {
            let lanes = if cell.bench == Bench::Outstanding { cell.many } else { SERVER_LANES };
            let (answerer, at) = peer.answer(&cell.url(0), cell.size, lanes)?;
            ready(at)?;
            answerer.run()
        }
        Bench::Fanout | Bench::FanoutBus | Bench::Flood | Bench::FloodBus | Bench::Lossless => {
            let url = start.url.clone().ok_or(Error::Gone)?;
            let path = start.counters.as_deref().ok_or(Error::Gone)?;
            let counters = SharedCounters::open(path, cell.many);
            let counters = counters.map_err(Error::io("open the counters"))?;
            let crowd = peer.subscribers(role, &url, cell.size, cell.many)?;
            ready(url)?;
            crowd.run(fanout::counting(counters))
        }
        Bench::Survey => {
            let url = start.url.clone().ok_or(Error::Gone)?;
            let ends = (0..cell.many).map(|_| peer.connect(role, &url, cell.size));
            let ends = ends.collect::<Result<_>>()?;
            ready(url)?;
            pairs::echo(ends)
        }
        Bench::Pool | Bench::Engine => Err(Error::NoPeers),
    }
}

/// Starts this program again as the far end; what it says goes to `tell`.
fn spawn_process(
    cell: &Cell,
    variant: Variant,
    start: &Start,
    tell: Sender<Reply>,
) -> Result<(Child, ChildStdin)> {
    let mut command = round::again("serve", cell, variant)?;
    if let Some(url) = &start.url {
        command.arg("--url").arg(url);
    }
    if let Some(path) = &start.counters {
        command.arg("--counters").arg(path);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Error::io("start the far end"))?;
    let orders = child.stdin.take().ok_or(Error::Gone)?;
    let lines = BufReader::new(child.stdout.take().ok_or(Error::Gone)?).lines();
    spawn("far replies", move || {
        for line in lines.map_while(std::result::Result::ok) {
            let reply = line.parse().unwrap_or(Reply::Failed(line));
            if tell.send(reply).is_err() {
                return;
            }
        }
    })?;
    Ok((child, orders))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(Error::io("start a thread"))
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mark => "mark",
            Self::Stop => "stop",
        })
    }
}

impl FromStr for Command {
    type Err = ();

    fn from_str(line: &str) -> std::result::Result<Self, ()> {
        match line {
            "mark" => Ok(Self::Mark),
            "stop" => Ok(Self::Stop),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(url) => write!(f, "ready {url}"),
            Self::Used(Usage { cpu, switches, allocations }) => {
                write!(f, "used {} {switches} {allocations}", cpu.as_nanos())
            }
            Self::Sent(count) => write!(f, "sent {count}"),
            Self::Failed(why) => write!(f, "failed {why}"),
        }
    }
}

impl FromStr for Reply {
    type Err = ();

    fn from_str(line: &str) -> std::result::Result<Self, ()> {
        let (word, rest) = line.split_once(' ').ok_or(())?;
        match word {
            "ready" => Ok(Self::Ready(rest.to_owned())),
            "used" => {
                let mut numbers = rest.split(' ').map(|number| number.parse().map_err(drop));
                let mut number = || numbers.next().unwrap_or(Err(()));
                let (cpu, switches, allocations) = (number()?, number()?, number()?);
                Ok(Self::Used(Usage { cpu: Duration::from_nanos(cpu), switches, allocations }))
            }
            "sent" => rest.parse().map(Self::Sent).map_err(drop),
            "failed" => Ok(Self::Failed(rest.to_owned())),
            _ => Err(()),
        }
    }
}

/// Requests a server of many clients works on at a time, where it can.
const SERVER_LANES: usize = 64;

/// How long the far end may take to start, with all its connections.
const START_MAX: Duration = Duration::from_secs(10);

/// How long the far end may take to answer.
const REPLY_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_across_the_pipe_comes_back_unchanged() {
        for reply in [
            Reply::Ready("tcp://127.0.0.1:4711".to_owned()),
            Reply::Used(Usage { cpu: Duration::from_nanos(u64::MAX), switches: 7, allocations: 0 }),
            Reply::Sent(0),
            Reply::Failed("cannot listen: no".to_owned()),
        ] {
            assert_eq!(reply.to_string().parse(), Ok(reply));
        }
        for command in [Command::Mark, Command::Stop] {
            assert_eq!(command.to_string().parse(), Ok(command));
        }
        assert_eq!("used 1 2".parse::<Reply>(), Err(()));
        assert_eq!("sent many".parse::<Reply>(), Err(()));
        assert_eq!("sleep".parse::<Command>(), Err(()));
    }
}
