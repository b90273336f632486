//! An open port, and a host in which much else goes on: what strangers say and do not say, memory that they would like
//! to have, and processes that fork, get signals and would die of a broken pipe.
//!
//! Nearly every test runs in a process of its own, for it looks at what a whole process holds or does to it what
//! others would not survive.

mod catalogue;
/// Processes that have run out of descriptors.
mod exhaustion;
/// Children of `fork`: what they inherit they cannot use, and harm nobody by trying.
mod fork;
/// Memory that peers would like to have.
mod memory;
mod scene;
/// Hosts with signals.
mod signals;
/// Strangers on an open port, beside honest talk: all that is in the tables, and what can be derived from good bytes.
mod strangers;
mod sys;

#[path = "../conformance/raw.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod shared;
