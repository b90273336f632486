//! Code of the program that the library's threads run.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the program's code, whose panic is not to end the thread: that may be the one that serves every socket. The
/// panic hook has reported it; the error says only that there was one.
pub fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    // What the call may have left in disorder is the program's own: it touches nothing of the library's that a lock
    // guards, for none is held.
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        // The payload is the program's as well, and dropping it runs the program's code.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(payload))).map_err(std::mem::forget);
        Panicked
    })
}

/// The program's code has panicked.
#[derive(Debug)]
pub struct Panicked;
