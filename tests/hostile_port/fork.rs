use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sp::{
    AttachError, DialError, Driven, ListenError, Message, Pull, PullOptions, Push, RecvError, Rep,
    Req, SendError, TryRecvError, TrySendError,
};

use crate::shared::{
    DEADLINE, Task, Transport, apart, block_on, connect, pattern, spawn, threads, unique,
    wait_until,
};
use crate::sys::forked;

#[test]
fn every_call_on_a_parents_socket_says_so_and_the_parent_goes_on() {
    apart(|| {
        for transport in Transport::ALL {
            let traffic = Traffic::new(transport);
            let (pull, push) = (Pull::new().unwrap(), Push::new().unwrap());
            let listener = connect(transport, &pull, &push);
            // Each fork finds the other threads, and so the locks, in another state.
            for _ in 0..FORKS {
                let before = traffic.answered();
                let child = forked(DEADLINE, || refuses_everything(transport, &pull, &push));
                child.join();
                wait_until("the parent's traffic goes on", || traffic.answered() > before);
            }
            push.send_timeout("still here", DEADLINE).unwrap();
            assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), "still here");
            // The child has not taken its address either.
            let late = Push::new().unwrap();
            late.dial_with(listener.endpoint(), &transport.dial_options()).unwrap();
            late.send_timeout("late", DEADLINE).unwrap();
            assert_eq!(pull.recv_timeout(DEADLINE).unwrap(), "late");
            traffic.end();
        }
    });
}

/// What a child hears when it uses a parent's sockets.
fn refuses_everything(transport: Transport, pull: &Pull, push: &Push) {
    assert!(matches!(push.send("work"), Err(SendError::Forked { .. })));
    assert!(matches!(push.send_timeout("work", DEADLINE), Err(SendError::Forked { .. })));
    assert!(matches!(block_on(push.send_async("work")), Err(SendError::Forked { .. })));
    assert!(matches!(push.try_send("work"), Err(TrySendError::Forked { .. })));
    let refused = push.send("comes back").unwrap_err();
    assert!(refused.to_string().contains("open another here"), "{refused}");
    assert_eq!(refused.into_message(), "comes back");
    assert!(matches!(pull.recv(), Err(RecvError::Forked { .. })));
    assert!(matches!(pull.recv_timeout(DEADLINE), Err(RecvError::Forked { .. })));
    assert!(matches!(block_on(pull.recv_async()), Err(RecvError::Forked { .. })));
    assert!(matches!(pull.try_recv(), Err(TryRecvError::Failed(RecvError::Forked { .. }))));
    assert!(pull.iter().next().is_none() && pull.try_iter().next().is_none());
    let (url, dial) = (transport.url(), transport.dial_options());
    assert!(matches!(push.dial_with(&url, &dial), Err(DialError::Forked { .. })));
    let listen = transport.listen_options();
    assert!(matches!(pull.listen_with(&url, &listen), Err(ListenError::Forked { .. })));
    assert!(pull.poll_set().is_err());
    assert!(pull.peers().is_empty() && pull.events().recv().is_err());
    assert_eq!(push.stats().get("peers"), Some(0));
    push.flush();
    push.set_polling(Duration::ZERO);
    assert_eq!(push.clone().close(), 0);
    drop(pull.clone());
    assert!(!format!("{push:?}").is_empty());
}

#[test]
fn what_a_child_drops_is_not_closed_for_its_parent() {
    apart(|| {
        for transport in Transport::ALL {
            let (rep, req) = (Rep::new().unwrap(), Req::new().unwrap());
            let listener = rep.listen_with(transport.url(), &transport.listen_options()).unwrap();
            let url = listener.endpoint().to_string();
            let dialer = req.dial_with(&url, &transport.dial_options()).unwrap();
            let context = req.context();
            context.send_timeout("asked before", DEADLINE).unwrap();
            let pull = Pull::new().unwrap();
            let mut poll_set = pull.poll_set().unwrap();
            let work = pull.receiver(1).unwrap();
            let held: Message = pattern(50_000).into();
            // The child ends what it can get hold of; the parent has all of it still.
            let mut all = Some((rep, req, listener, dialer, context, work, held));
            let child = forked(DEADLINE, || {
                assert_eq!(poll_set.drive(), Driven::Closed);
                let all = all.take().expect("inherited");
                let (rep, req, listener, dialer, context, work, held) = all;
                assert!(work.recv().is_err(), "it has ended");
                drop(context.recv_async());
                drop((context, work, held));
                dialer.close();
                listener.close();
                drop((req, rep));
            });
            child.join();
            let (rep, req, listener, _dialer, context, work, held) = all.expect("untouched");
            assert!(held == pattern(50_000)[..]);
            assert_eq!(rep.recv_timeout(DEADLINE).unwrap(), "asked before");
            rep.send("answered after").unwrap();
            assert_eq!(context.recv_timeout(DEADLINE).unwrap(), "answered after");
            let late = Req::new().unwrap();
            late.dial_with(listener.endpoint(), &transport.dial_options()).unwrap();
            for asking in [&req, &late] {
                asking.send_timeout("?", DEADLINE).unwrap();
                assert_eq!(rep.recv_timeout(DEADLINE).unwrap(), "?");
                rep.send("!").unwrap();
                assert_eq!(asking.recv_timeout(DEADLINE).unwrap(), "!");
            }
            assert_ne!(poll_set.drive(), Driven::Closed);
            drop(poll_set);
            let push = Push::new().unwrap();
            connect(transport, &pull, &push);
            push.send("out of the channel").unwrap();
            assert_eq!(work.recv_timeout(DEADLINE).unwrap(), "out of the channel");
        }
    });
}

#[test]
fn a_child_opens_sockets_of_its_own_as_does_its_child() {
    apart(|| {
        for transport in Transport::ALL {
            let traffic = Traffic::new(transport);
            let url = transport.url();
            for _ in 0..FORKS / 4 {
                let child = forked(DEADLINE, || {
                    let pair = Pair::open(transport, &url);
                    pair.works();
                    assert_eq!(threads(), ["sp-io-0"]);
                    let grandchild = forked(DEADLINE, || {
                        assert!(matches!(pair.req.send("?"), Err(SendError::Forked { .. })));
                        assert_eq!(threads(), [""; 0]);
                        // The child has the other name.
                        Pair::open(transport, &transport.url()).works();
                    });
                    grandchild.join();
                    pair.works();
                    pair.close();
                    assert_eq!(threads(), [""; 0], "with the last socket the thread has ended");
                });
                child.join();
            }
            traffic.end();
        }
    });
}

#[test]
fn parent_and_child_talk_through_sockets_that_each_has_opened() {
    apart(|| {
        for transport in Transport::ALL.into_iter().filter(|at| *at != Transport::Inproc) {
            let rep = Rep::new().unwrap();
            let listener = rep.listen_with(transport.url(), &transport.listen_options()).unwrap();
            let url = listener.endpoint().to_string();
            let child = forked(DEADLINE, || {
                let req = Req::new().unwrap();
                req.dial_with(&url, &transport.dial_options()).unwrap();
                req.send_timeout(&pattern(70_000)[..], DEADLINE).unwrap();
                assert_eq!(req.recv_timeout(DEADLINE).unwrap(), "from the parent");
            });
            assert!(rep.recv_timeout(DEADLINE).unwrap() == pattern(70_000)[..]);
            rep.send("from the parent").unwrap();
            child.join();
        }
    });
}

#[test]
fn a_child_hands_no_descriptor_to_its_parents_listener() {
    apart(|| {
        let pull = Pull::new().unwrap();
        let listener = pull.listen("socket://").unwrap();
        let child = forked(DEADLINE, || {
            let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
            assert!(matches!(listener.attach(one), Err(AttachError::Forked)));
        });
        child.join();
    });
}

/// A name within the process is the parent's; who dials it in the child finds nobody.
#[test]
fn a_child_finds_no_name_of_its_parent() {
    apart(|| {
        let url = format!("inproc://{}", unique());
        let rep = Rep::new().unwrap();
        rep.listen(&url).unwrap();
        let child = forked(DEADLINE, || {
            let refused = Req::new().unwrap().dial(&url).unwrap_err();
            assert!(refused.is_refused(), "{refused}");
        });
        child.join();
    });
}

#[test]
fn an_address_is_free_once_its_listener_is_closed_though_a_child_lives() {
    apart(|| {
        for transport in Transport::ALL {
            let rep = Rep::new().unwrap();
            let options = transport.listen_options();
            let listener = rep.listen_with(transport.url(), &options).unwrap();
            let url = listener.endpoint().to_string();
            let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
            let child = forked(DEADLINE, || {
                // Lives until its parent has looked.
                drop(here.try_clone());
                let _ = std::io::Read::read(&mut &there, &mut [0]);
            });
            listener.close();
            let dialled = Req::new().unwrap().dial_with(&url, &transport.dial_options());
            assert!(dialled.is_err(), "nobody listens over {transport:?}");
            rep.listen_with(&url, &options).expect("the address is free");
            std::io::Write::write_all(&mut here, b"!").unwrap();
            child.join();
        }
    });
}

/// A pair of sockets of this process.
struct Pair {
    rep: Rep,
    req: Req,
}

impl Pair {
    fn open(transport: Transport, url: &str) -> Self {
        let (rep, req) = (Rep::new().unwrap(), Req::new().unwrap());
        let listener = rep.listen_with(url, &transport.listen_options()).unwrap();
        req.dial_with(listener.endpoint(), &transport.dial_options()).unwrap();
        Self { rep, req }
    }

    fn works(&self) {
        for len in [0, 10, 500, 5_000, 200_000] {
            self.req.send_timeout(&pattern(len)[..], DEADLINE).unwrap();
            let question = self.rep.recv_timeout(DEADLINE).unwrap();
            assert!(question == pattern(len)[..]);
            self.rep.send(question).unwrap();
            assert!(self.req.recv_timeout(DEADLINE).unwrap() == pattern(len)[..]);
        }
    }

    fn close(self) {
        self.req.close();
        self.rep.close();
    }
}

/// Threads of the parent that are in the middle of all sorts of things whenever it forks.
struct Traffic {
    is_over: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    rep: Rep,
    /// They end when it is over, this one when its socket does.
    tasks: Vec<Task<()>>,
    answering: Task<()>,
}

impl Traffic {
    fn new(transport: Transport) -> Self {
        let (is_over, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (rep, req) = (Rep::new().unwrap(), Req::new().unwrap());
        connect(transport, &rep, &req);
        let answering = spawn({
            let rep = rep.clone();
            move || {
                while let Ok(question) = rep.recv() {
                    rep.send(question).unwrap();
                }
            }
        });
        let asking = spawn({
            let (is_over, answers) = (Arc::clone(&is_over), Arc::clone(&answers));
            move || {
                // On both sides of what is pooled, held and copied.
                for len in [10, 500, 5_000, 100_000].into_iter().cycle() {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    req.send_timeout(&pattern(len)[..], DEADLINE).unwrap();
                    assert!(req.recv_timeout(DEADLINE).unwrap() == pattern(len)[..]);
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let opening = spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    let pull = Pull::with(PullOptions::new().queue(4)).unwrap();
                    let listener = pull.listen_with(transport.url(), &transport.listen_options());
                    drop((listener.unwrap(), pull));
                }
            }
        });
        Self { is_over, answers, rep, tasks: vec![asking, opening], answering }
    }

    fn answered(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.tasks.into_iter().for_each(Task::join);
        self.rep.close();
        self.answering.join();
    }
}

/// Forks for each transport.
const FORKS: usize = 40;
