//! What the system offers beyond std: the only unsafe code of this crate.
#![expect(unsafe_code, reason = "one system call that std and mio do not offer")]

use std::os::fd::RawFd;
use std::time::Duration;

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
