//! An open port, and a process in which much else goes on: what strangers say and do not say, memory and descriptors
//! that they would like to have, and hosts that fork, that have signals, that die of a broken pipe.
//!
//! Tests that look at a whole process run in one of their own.

/// Children of `fork`: what they inherit they cannot use, and harm nobody by trying.
mod fork;
/// Hosts with signals.
mod signals;
mod sys;

#[path = "../support/mod.rs"]
mod shared;
