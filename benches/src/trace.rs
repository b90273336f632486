//! Counts the system calls of whole processes, where the kernel lets us.
//!
//! The kernel's own counter at the entry of every system call is used. While it is open, each system call costs more,
//! so nothing is timed then: a round counts in a part of its own, after the one that is measured.

#![expect(unsafe_code, reason = "counters of the kernel have no interface in std")]

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{FromRawFd, RawFd};
use std::ptr;
use std::thread;

/// A counter on every thread of some processes, from now on.
pub(crate) struct SystemCalls(Vec<File>);

impl SystemCalls {
    /// Starts to count. `None` where the kernel does not allow it, or has no such counter.
    pub(crate) fn watch(processes: &[u32]) -> Option<Self> {
        let id = tracepoint()?;
        let mut counters = Vec::new();
        for process in processes {
            for task in fs::read_dir(format!("/proc/{process}/task")).ok()? {
                let thread = task.ok()?.file_name().to_str()?.parse().ok()?;
                match open(id, thread) {
                    Ok(counter) => counters.push(counter),
                    // A thread that has ended since makes no more calls.
                    Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
                    Err(_) => return None,
                }
            }
        }
        Some(Self(counters))
    }

    /// The calls made since.
    pub(crate) fn count(mut self) -> Option<u64> {
        let mut sum = 0;
        for counter in &mut self.0 {
            let mut value = [0; 8];
            counter.read_exact(&mut value).ok()?;
            sum += u64::from_ne_bytes(value);
        }
        // The kernel takes tens of milliseconds to let go of the last one, and over udp nobody waits for a receiver.
        thread::spawn(move || drop(self));
        Some(sum)
    }
}

/// The number of the kernel's trace point for system calls.
fn tracepoint() -> Option<u64> {
    let roots = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    let read = |root: &str| {
        let text = fs::read_to_string(format!("{root}/events/raw_syscalls/sys_enter/id")).ok()?;
        text.trim().parse().ok()
    };
    roots.into_iter().find_map(read).or_else(|| {
        // The files may be absent from the tree. A thread with a view of its own can mount them, and what it
        // mounted goes with it.
        thread::spawn(move || mount_for_this_thread(c"/sys/kernel/tracing").then(|| read(roots[0])))
            .join()
            .ok()??
    })
}

fn mount_for_this_thread(at: &std::ffi::CStr) -> bool {
    // SAFETY: separates the calling thread's view of the file system; no memory is touched.
    let apart = unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0;
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: every string ends in a zero byte and lives during the call; the others are null.
    apart
        && unsafe {
            libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), private, ptr::null()) == 0
                && libc::mount(
                    c"tracefs".as_ptr(),
                    at.as_ptr(),
                    c"tracefs".as_ptr(),
                    0,
                    ptr::null(),
                ) == 0
        }
}

/// The first published form of the kernel's `perf_event_attr`, which every later kernel takes.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    breakpoint_address: u64,
}

fn open(id: u64, thread: i32) -> io::Result<File> {
    let attributes = Attributes {
        kind: TRACEPOINT,
        size: size_of::<Attributes>() as u32,
        config: id,
        flags: INHERIT,
        ..Attributes::default()
    };
    // SAFETY: `attributes` is live, has the layout the kernel knows and tells its own size; the call opens a
    // descriptor or fails.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            thread,
            -1,
            -1,
            CLOSE_ON_EXEC,
        )
    };
    match RawFd::try_from(fd) {
        // SAFETY: the descriptor is fresh and nobody else's.
        Ok(fd) if fd >= 0 => Ok(unsafe { File::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `PERF_TYPE_TRACEPOINT`.
const TRACEPOINT: u32 = 2;

/// The bit that lets threads started later be counted as well.
const INHERIT: u64 = 1 << 1;

/// `PERF_FLAG_FD_CLOEXEC`.
const CLOSE_ON_EXEC: libc::c_ulong = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_where_the_kernel_allows_it() {
        let Some(calls) = SystemCalls::watch(&[std::process::id()]) else { return };
        for _ in 0..100 {
            assert!(fs::metadata("/").is_ok());
        }
        assert!(calls.count().is_some_and(|count| count >= 100));
    }
}
