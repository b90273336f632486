//! What the system offers beyond std: the only unsafe code of this crate.
#![expect(unsafe_code, reason = "system calls and conversions that std and mio do not offer")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sp_core::pipe::Credentials;
use sp_core::process::Process;

/// Waits until `fd` is readable or `wait` has passed, to the microsecond: mio's poll counts in milliseconds.
pub(crate) fn wait_readable(fd: RawFd, wait: Duration) {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    #[cfg(target_os = "linux")]
    {
        let wait = libc::timespec {
            tv_sec: wait.as_secs() as libc::time_t,
            tv_nsec: wait.subsec_nanos() as libc::c_long,
        };
        // SAFETY: `poll` is one initialised pollfd, as the count says, and lives until the call returns, as
        // does `wait`; a null signal mask leaves the mask alone. A bad descriptor is reported, not followed.
        unsafe { libc::ppoll(&mut poll, 1, &wait, std::ptr::null()) };
    }
    #[cfg(not(target_os = "linux"))]
    {
        let wait = wait.as_millis().clamp(1, 1000) as libc::c_int;
        // SAFETY: as above.
        unsafe { libc::poll(&mut poll, 1, wait) };
    }
}

/// The descriptor of a mio poll set, which has no safe way to lend it.
pub(crate) fn borrow(poll: &mio::Poll) -> BorrowedFd<'_> {
    // SAFETY: the poll set owns the descriptor and closes it when it is dropped; the result borrows from it.
    unsafe { BorrowedFd::borrow_raw(poll.as_raw_fd()) }
}

/// One more descriptor for what `fd`, which the caller keeps open meanwhile, stands for.
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the caller keeps `fd` open during this call, and the borrow does not outlive it.
    unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()
}

/// Who is at the other end of a local socket; `None` for sockets of another kind.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn credentials(fd: BorrowedFd<'_>) -> Option<Credentials> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `peer` and `len` live until the call returns, and `len` says how much fits into `peer`, which any bytes
    // make a valid value of. The descriptor is borrowed, so it is open.
    let answer = unsafe {
        let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
        libc::getsockopt(fd.as_raw_fd(), level, option, (&raw mut peer).cast(), &raw mut len)
    };
    // Where the system knows of nobody it says that and no error.
    let is_known = answer == 0 && peer.uid != libc::uid_t::MAX;
    let pid = u32::try_from(peer.pid).ok().filter(|pid| *pid != 0);
    is_known.then_some(Credentials { uid: peer.uid, gid: peer.gid, pid })
}

/// Not asked for on this system.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn credentials(_fd: BorrowedFd<'_>) -> Option<Credentials> {
    None
}

/// How many datagrams the system has dropped at a socket for want of room; `None` where it does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn dropped(fd: BorrowedFd<'_>) -> Option<u64> {
    const DROPS: usize = libc::SK_MEMINFO_DROPS as usize;
    // What a socket holds, and last what it dropped.
    let mut counts = [0_u32; DROPS + 1];
    let mut len = size_of_val(&counts) as libc::socklen_t;
    // SAFETY: `counts` and `len` live until the call returns, and `len` says how much fits into `counts`, which any
    // bytes make a valid value of. The descriptor is borrowed, so it is open.
    let answer = unsafe {
        let (level, option) = (libc::SOL_SOCKET, SO_MEMINFO);
        libc::getsockopt(fd.as_raw_fd(), level, option, (&raw mut counts).cast(), &raw mut len)
    };
    let is_whole = answer == 0 && len as usize == size_of_val(&counts);
    is_whole.then_some(u64::from(counts[DROPS]))
}

/// Missing in libc. This on most architectures; where it is another option the answer has another length.
#[cfg(target_os = "linux")]
const SO_MEMINFO: libc::c_int = 55;

/// Not asked for on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn dropped(_fd: BorrowedFd<'_>) -> Option<u64> {
    None
}

/// Has forked children know that they are: from now on [`Process::current`] is another one in them.
///
/// Once is enough, and each time more does no harm.
pub(crate) fn hear_of_forks() -> io::Result<()> {
    static HEARS: AtomicBool = AtomicBool::new(false);
    extern "C" fn in_child() {
        Process::forked();
    }
    if !HEARS.load(Ordering::Acquire) {
        // SAFETY: the handler runs in the forked child, where it changes one atomic and cannot unwind; absent handlers
        // are allowed.
        let failed = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        if failed != 0 {
            return Err(io::Error::from_raw_os_error(failed));
        }
        HEARS.store(true, Ordering::Release);
    }
    Ok(())
}

/// A descriptor that becomes readable after a time, to the microsecond.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Debug)]
pub(crate) struct Alarm {
    fd: OwnedFd,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Alarm {
    /// `None` if the system has no descriptor left.
    pub(crate) fn new() -> Option<Self> {
        use std::os::fd::FromRawFd;

        // SAFETY: takes no pointer.
        let fd = unsafe {
            libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC)
        };
        // SAFETY: a descriptor that is not negative is new and nobody else's.
        (fd >= 0).then(|| Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Readable once `after` has passed from now; an earlier setting is void.
    pub(crate) fn set(&self, after: Duration) {
        let time = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: after.as_secs() as libc::time_t,
                tv_nsec: after.subsec_nanos() as libc::c_long,
            },
        };
        // SAFETY: `time` lives until the call returns, and a null old value is allowed. The descriptor is ours.
        unsafe { libc::timerfd_settime(self.fd.as_raw_fd(), 0, &time, std::ptr::null_mut()) };
    }
}

/// Not offered by this system.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[derive(Debug)]
pub(crate) enum Alarm {}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Alarm {
    pub(crate) const fn new() -> Option<Self> {
        None
    }

    pub(crate) fn set(&self, _after: Duration) {
        match *self {}
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return self.fd.as_raw_fd();
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        match *self {}
    }
}
