//! The conformance list of the wire reference (sp-wire section 8) for what this library has: tcp, ipc, socket, inproc,
//! ws and udp; REQ/REP, SURVEYOR/RESPONDENT, PUB/SUB, PUSH/PULL, PAIR, BUS and STAR, and the patterns in raw mode. Each
//! test names the items it shows.
//!
//! A scripted peer plays one side over a plain socket of the standard library, the library the other. Where a peer
//! misbehaves, a well-behaved bystander on the same listener must not notice.

/// Items 8.14: BUS and STAR.
mod bus;
/// Items 8.15, as far as they are about contexts.
mod contexts;
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
/// Items 8.12: PAIR.
mod pair;
/// Items 8.13: PAIR1, with one peer and with many.
mod pair1;
/// Items 8.1 to 8.4 once more, for each pattern that came later.
mod patterns;
/// Items 8.11: PUSH and PULL.
mod pipeline;
/// Items 8.10: PUB and SUB.
mod pubsub;
/// Items 8.15, and those of 8.8 to 8.14 about raw mode: raw sockets, and devices between them.
mod raw_mode;
/// Items 8.8: REQ and REP.
mod reqrep;
/// What becomes of slow subscribers, which the wire reference leaves to us.
mod slow;
/// Items 8.9: SURVEYOR and RESPONDENT.
mod survey;
/// Items 8.6: UDP.
mod udp;
/// Items 8.5: WebSocket, from the HTTP request to the close frame.
mod ws;

mod raw;
#[path = "../support/mod.rs"]
mod shared;
mod support;
