//! What std does not offer: affinity, CPU time, a page shared by two processes, an exit without clean-up.
//!
//! With `trace.rs`, `alloc.rs`, the epoll loop and the peers written in C, the only place of this program with
//! unsafe code.

#![expect(unsafe_code, reason = "none of these calls has a safe interface in std")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::alloc;

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

/// What a process has used so far, or between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// CPU time, user and system, of all threads.
    pub(crate) cpu: Duration,
    /// How often one of its threads gave the processor away or had it taken.
    pub(crate) switches: u64,
    /// Allocations of Rust code.
    pub(crate) allocations: u64,
}

impl Usage {
    /// Of this process so far.
    pub(crate) fn now() -> Self {
        // SAFETY: all-zero is a valid `rusage`: it holds integers alone.
        let mut usage: libc::rusage = unsafe { mem::zeroed() };
        // SAFETY: `usage` is a live `rusage` that the call may fill.
        unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
        let time = |t: libc::timeval| {
            Duration::from_secs(t.tv_sec.cast_unsigned())
                + Duration::from_micros(t.tv_usec.cast_unsigned())
        };
        Self {
            cpu: time(usage.ru_utime) + time(usage.ru_stime),
            switches: (usage.ru_nvcsw + usage.ru_nivcsw).cast_unsigned(),
            allocations: alloc::allocations(),
        }
    }

    /// What came on top of `before`.
    #[must_use]
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            switches: self.switches.saturating_sub(before.switches),
            allocations: self.allocations.saturating_sub(before.allocations),
        }
    }

    /// Both together.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            switches: self.switches + other.switches,
            allocations: self.allocations + other.allocations,
        }
    }
}

/// CPU time of all threads of process `id`, told by the system without its doing. `None` where it cannot.
pub(crate) fn cpu_time_of(id: u32) -> Option<Duration> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{id}/task")).ok()? {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        sum += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(sum))
}

/// Bytes of memory that are present for process `id`. `None` where the system cannot tell.
pub(crate) fn resident_memory(id: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/statm")).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: reads a constant of the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * page.cast_unsigned())
}

/// Sleeps until `at`, to within a few microseconds of what the system can do.
///
/// Sleeping is what a client with a clock of its own does; the slack a process has by default would blur it.
#[expect(clippy::disallowed_methods, reason = "a paced client waits for the time and nothing else")]
pub(crate) fn sleep_until(at: Instant) {
    let left = at.saturating_duration_since(now());
    if !left.is_zero() {
        std::thread::sleep(left);
    }
}

/// Lets sleeps of the calling thread end on time; the default allows 50 microseconds more.
pub(crate) fn sleep_sharply() {
    #[cfg(target_os = "linux")]
    // SAFETY: sets a number of the calling thread; no memory is touched.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1)
    };
}

/// Lets this process, and those it starts, open as many descriptors as it is allowed to; gives how many.
pub(crate) fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is live and may be filled, then read.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
    limit.rlim_cur
}

/// The processor, the kernel and the memory of this machine, for people.
pub(crate) fn machine() -> Vec<(&'static str, String)> {
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let unknown = || "unknown".to_owned();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_else(|_| unknown());
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_else(unknown);
    let guest =
        field("/proc/cpuinfo", "flags").is_some_and(|f| f.split(' ').any(|f| f == "hypervisor"));
    vec![
        ("processor", field("/proc/cpuinfo", "model name").unwrap_or_else(unknown)),
        ("processors allowed", allowed_cpus().len().to_string()),
        ("virtual machine", if guest { "yes" } else { "no" }.to_owned()),
        ("memory", memory),
        ("kernel", format!("{} {}", std::env::consts::OS, kernel.trim())),
        ("load before", load().unwrap_or_else(unknown)),
    ]
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
