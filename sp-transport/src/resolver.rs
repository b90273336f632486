//! Names to addresses, on threads of their own: a look-up may block for seconds and cannot be aborted.

use std::collections::VecDeque;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::{io, thread};

use sp_core::endpoint::IpFamily;
use sp_core::sync::lock;

/// What came of a look-up; empty when the name has no address of the wanted family.
pub(crate) type Addresses = io::Result<Vec<SocketAddr>>;

/// Runs look-ups on a few threads that exist only while there are any.
#[derive(Clone, Default)]
pub(crate) struct Resolver {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    waiting: VecDeque<Job>,
    threads: usize,
}

struct Job {
    host: String,
    port: u16,
    family: IpFamily,
    done: Box<dyn FnOnce(Addresses) + Send>,
}

impl Resolver {
    /// Looks `host` up and calls `done` with the answer, on a thread of the resolver.
    pub(crate) fn look_up(
        &self,
        host: &str,
        port: u16,
        family: IpFamily,
        done: impl FnOnce(Addresses) + Send + 'static,
    ) {
        let job = Job { host: host.to_owned(), port, family, done: Box::new(done) };
        {
            let mut shared = lock(&self.shared);
            shared.waiting.push_back(job);
            if shared.threads == THREADS_MAX {
                return;
            }
            shared.threads += 1;
        }
        let resolver = self.clone();
        let spawned =
            thread::Builder::new().name("sp-resolve".into()).spawn(move || resolver.work());
        if let Err(error) = spawned {
            self.refuse_one(&error);
        }
    }

    fn work(&self) {
        while let Some(job) = self.next_or_leave() {
            let answer = look_up_now(&job.host, job.port, job.family);
            (job.done)(answer);
        }
    }

    fn next_or_leave(&self) -> Option<Job> {
        let mut shared = lock(&self.shared);
        let job = shared.waiting.pop_front();
        if job.is_none() {
            shared.threads -= 1;
        }
        job
    }

    /// No thread could be started: the newest job fails, unless another thread already took it.
    fn refuse_one(&self, error: &io::Error) {
        let job = {
            let mut shared = lock(&self.shared);
            shared.threads -= 1;
            if shared.threads > 0 { None } else { shared.waiting.pop_back() }
        };
        if let Some(job) = job {
            (job.done)(Err(io::Error::new(error.kind(), "cannot start a resolver thread")));
        }
    }
}

/// Looks a name up on the calling thread.
pub(crate) fn look_up_now(host: &str, port: u16, family: IpFamily) -> Addresses {
    let wanted = |addr: &SocketAddr| match family {
        IpFamily::Any => true,
        IpFamily::V4 => addr.is_ipv4(),
        IpFamily::V6 => addr.is_ipv6(),
    };
    Ok((host, port).to_socket_addrs()?.filter(wanted).collect())
}

/// Look-ups at a time; more wait their turn.
const THREADS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn many_look_ups_are_all_answered_and_no_thread_stays() {
        let resolver = Resolver::default();
        let (send, recv) = bounded(32);
        for port in 0..32 {
            let send = send.clone();
            resolver.look_up("127.0.0.1", port, IpFamily::Any, move |got| {
                send.send(got.map(|addrs| addrs[0].port())).expect("the test waits for it");
            });
        }
        let mut ports: Vec<u16> =
            recv.iter().take(32).map(|got| got.expect("an address literal resolves")).collect();
        ports.sort_unstable();
        assert_eq!(ports, (0..32).collect::<Vec<_>>());
        while lock(&resolver.shared).threads > 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn addresses_of_the_other_family_are_left_out() {
        let got = look_up_now("127.0.0.1", 1, IpFamily::V6).expect("an address literal resolves");
        assert!(got.is_empty());
    }
}
