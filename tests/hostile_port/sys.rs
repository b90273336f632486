//! What tests do to a process that std offers no way for.
#![expect(unsafe_code, reason = "fork, signals and limits")]

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Forks, runs `child` in the child, which then ends, and answers what that was worth: whether it came to its end
/// within `limit`, without a panic.
pub(crate) fn forked(limit: Duration, child: impl FnOnce()) -> Forked {
    // SAFETY: the child has this thread alone. It runs the test's code, which the library promises to endure; std and
    // the allocator endure it on the systems that this runs on.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", io::Error::last_os_error()),
        0 => {
            // As `timeout` does for a program: a hang is ended by a signal.
            // SAFETY: takes no pointer.
            unsafe { libc::alarm(u32::try_from(limit.as_secs()).unwrap_or(u32::MAX)) };
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: ends the process at once, without the destructors that are the parent's to run.
            unsafe { libc::_exit(if ended.is_ok() { 0 } else { 101 }) }
        }
        pid => Forked { pid },
    }
}

/// A child that runs beside its parent.
#[must_use]
pub(crate) struct Forked {
    pid: libc::pid_t,
}

impl Forked {
    /// Waits for the child, which has to come to its end by itself.
    pub(crate) fn join(self) {
        let mut status = 0;
        loop {
            // SAFETY: `status` lives until the call returns.
            let ended = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
            if ended == self.pid {
                break;
            }
            let error = io::Error::last_os_error();
            assert_eq!(error.kind(), io::ErrorKind::Interrupted, "{error}");
        }
        let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
        assert_ne!(status, libc::SIGALRM, "the child hangs");
        assert_eq!(code, Some(0), "status {status:#x}");
    }
}

/// Gives SIGPIPE back its default, to end the process, as it is in a host that is no Rust program.
pub(crate) fn default_sigpipe() {
    // SAFETY: no handler is installed, but the default.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    assert_eq!(before, libc::SIG_IGN, "as std sets it");
}

/// Interrupts whatever this process waits for every `pause`, until dropped. One at a time.
pub(crate) struct Storm;

static SIGNALS: AtomicU64 = AtomicU64::new(0);

impl Storm {
    pub(crate) fn every(pause: Duration) -> Self {
        extern "C" fn count(_signal: libc::c_int) {
            SIGNALS.fetch_add(1, Ordering::Relaxed);
        }
        let handler = count as extern "C" fn(libc::c_int);
        // SAFETY: all bytes zero are a valid action: an empty mask and, what counts here, no SA_RESTART.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as libc::sighandler_t;
        // SAFETY: `action` lives until the call returns; its handler changes an atomic and does nothing else.
        let set =
            unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) };
        assert_eq!(set, 0);
        Self::set(pause);
        Self
    }

    /// From now on the signals hit the process's other threads.
    pub(crate) fn pass_over_this_thread(&self) {
        // SAFETY: all bytes zero are a valid set, which the next call empties as documented.
        let mut alarm: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: `alarm` lives until the calls return, and a null old value is allowed.
        let failed = unsafe {
            libc::sigemptyset(&raw mut alarm);
            libc::sigaddset(&raw mut alarm, libc::SIGALRM);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const alarm, std::ptr::null_mut())
        };
        assert_eq!(failed, 0);
    }

    /// Signals so far.
    pub(crate) fn signals() -> u64 {
        SIGNALS.load(Ordering::Relaxed)
    }

    fn set(pause: Duration) {
        let time = libc::timeval { tv_sec: 0, tv_usec: pause.as_micros() as libc::suseconds_t };
        let timer = libc::itimerval { it_interval: time, it_value: time };
        // SAFETY: `timer` lives until the call returns, and a null old value is allowed.
        let set =
            unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
        assert_eq!(set, 0);
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        Self::set(Duration::ZERO);
    }
}

/// Allows this process so many descriptors.
pub(crate) fn limit_descriptors(most: u64) {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: `limit` lives until the call returns.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

/// Processor time that this process has used.
pub(crate) fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` lives until the call returns.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
