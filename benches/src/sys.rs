//! What std does not offer: affinity, CPU time, a page shared by two processes, an exit without clean-up.
//!
//! With [`peer::nng`](crate::peer), which calls C, the only place of this program with unsafe code.

#![expect(unsafe_code, reason = "none of these calls has a safe interface in std")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// The benchmark's own clock: the library under test is not asked for the time.
#[expect(clippy::disallowed_methods, reason = "a measurement must not depend on what it measures")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Gives the processor away for about `time`.
///
/// For what another process does to a shared page, which nothing announces.
#[expect(clippy::disallowed_methods, reason = "a change in a shared page wakes nobody")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Ends the process at once: no destructor, no exit handler that a stuck thread could hold up.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any code, touches no memory of ours and does not return.
    unsafe { libc::_exit(code) }
}

/// CPU time, user and system, of all threads of this process so far.
pub(crate) fn cpu_time() -> Duration {
    // SAFETY: all-zero is a valid `rusage`: it holds integers alone.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: `usage` is a live `rusage` that the call may fill.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let time = |t: libc::timeval| {
        Duration::from_secs(t.tv_sec.cast_unsigned())
            + Duration::from_micros(t.tv_usec.cast_unsigned())
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// The processors this process may run on, lowest first. Empty where the system cannot tell.
#[cfg(target_os = "linux")]
pub(crate) fn allowed_cpus() -> Vec<usize> {
    // SAFETY: all-zero is the empty `cpu_set_t`.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is live and its true size is passed; 0 names the calling thread.
    let failed = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) } != 0;
    if failed {
        return Vec::new();
    }
    let cpus = 8 * size_of_val(&set);
    // SAFETY: `cpu` is below the number of bits in the set.
    (0..cpus).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// Keeps the calling thread, and every thread it starts from now on, on processor `cpu`.
#[cfg(target_os = "linux")]
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: all-zero is the empty `cpu_set_t`.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    if cpu >= 8 * size_of_val(&set) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: `cpu` was just found to be below the number of bits in the set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is live and its true size is passed; 0 names the calling thread.
    let done = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The processors this process may run on, lowest first. Empty where the system cannot tell.
#[cfg(not(target_os = "linux"))]
pub(crate) fn allowed_cpus() -> Vec<usize> {
    Vec::new()
}

/// Keeps the calling thread on processor `cpu`: not offered by this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(_cpu: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How many threads wanted to run during the last minute: above nought, somebody else disturbs the measurement.
pub(crate) fn load() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next().map(str::to_owned)
}

/// Counters that two processes see, each on a cache line of its own.
pub(crate) struct SharedCounters {
    slots: NonNull<Slot>,
    len: usize,
}

#[repr(C, align(64))]
struct Slot(AtomicU64);

// SAFETY: the slots are atomics in a mapping that lives until drop, whichever thread drops it.
unsafe impl Send for SharedCounters {}
// SAFETY: as above; through a shared reference only atomics can be reached.
unsafe impl Sync for SharedCounters {}

impl SharedCounters {
    /// Makes `len` counters at zero in a new file at `path`.
    pub(crate) fn create(path: &Path, len: usize) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.set_len((len * size_of::<Slot>()) as u64)?;
        Self::map(&file, len)
    }

    /// The `len` counters that another process made at `path`.
    pub(crate) fn open(path: &Path, len: usize) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() != (len * size_of::<Slot>()) as u64 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Self::map(&file, len)
    }

    /// One of the counters.
    pub(crate) fn counter(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.len, "counter {index} of {}", self.len);
        // SAFETY: the mapping holds `len` slots, every bit pattern is a valid atomic integer, and the mapping
        // outlives the borrow of `self`.
        unsafe { &self.slots.add(index).as_ref().0 }
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    fn map(file: &File, len: usize) -> io::Result<Self> {
        // SAFETY: a fresh shared mapping at an address of the system's choosing, over a descriptor that is open
        // during the call; it collides with no memory of ours.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len * size_of::<Slot>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let slots = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { slots, len })
    }
}

impl Drop for SharedCounters {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `map` made; no borrow of it outlives `self`.
        unsafe { libc::munmap(self.slots.as_ptr().cast(), self.len * size_of::<Slot>()) };
    }
}
