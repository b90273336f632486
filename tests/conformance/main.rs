//! The conformance list of the wire reference (sp-wire section 8) for what this library has: tcp, ipc, socket and inproc;
//! REQ/REP, PUB/SUB and PUSH/PULL. Each test names the items it shows.
//!
//! A scripted peer plays one side over a plain socket of the standard library, the library the other. Where a peer
//! misbehaves, a well-behaved bystander on the same listener must not notice.

/// Items 8.16: URLs, dialers, listeners, and their ends.
mod endpoints;
/// Items 8.2: messages on a byte stream.
mod framing;
/// Items 8.7: connected descriptors that are handed in.
mod given;
/// Items 8.1: the first eight bytes.
mod handshake;
/// Memory that a hostile peer would like to have, and bytes at random (items 28, 32, 35, 173 and 174).
mod hostile;
/// Items 8.4: sockets of one process.
mod inproc;
/// Items 8.3: socket files and their framing.
mod ipc;
/// Items 8.11: PUSH and PULL.
mod pipeline;
/// Items 8.10: PUB and SUB.
mod pubsub;
/// Items 8.8: REQ and REP.
mod reqrep;
/// What becomes of slow subscribers, which the wire reference leaves to us.
mod slow;

mod raw;
#[path = "../support/mod.rs"]
mod shared;
mod support;
