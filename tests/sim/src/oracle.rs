//! What must always hold, by name.

use std::fmt;

/// A promise that a run watches over. The comment on each is the promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    /// What is received was sent, byte for byte.
    Invented,
    /// Nothing is received twice where once is promised.
    Twice,
    /// What comes through one connection comes in the order in which it was sent.
    Order,
    /// Where both sides wait rather than drop, nothing is missing between what comes through one connection.
    Gap,
    /// A reply belongs to the request that its context has made last.
    Reply,
    /// What comes after its time is over is not received.
    Late,
    /// A reply leaves by the connection by which its request came, with the words that devices have put on it. What is
    /// sent to one peer comes to that one.
    Route,
    /// What passed more devices or nodes than allowed is not received, and not answered.
    HopLimit,
    /// Only what a topic begins is received.
    Topic,
    /// A call ends in one of the ways that the pattern's state allows.
    Outcome,
    /// A message goes only to a peer that is there and has room.
    Room,
    /// A batch is left over if, and only if, its peer is to be paused; only who is paused is resumed.
    Flow,
    /// Peers that keep to the protocol are neither refused nor closed, but where there are as many as may be.
    Peace,
    /// Who talks with one peer has no second one.
    Partner,
    /// Nobody hears itself, unless its network has a loop.
    Echo,
    /// What waits inside an engine stays within its limits.
    Bound,
    /// Whatever came in or was accepted went on, waits, or was counted when it was dropped.
    Balance,
    /// After faults have ended every connection is made again.
    Connected,
    /// After faults have ended no peer stays paused.
    Resume,
    /// A call that could end has been woken.
    Wake,
    /// After faults have ended every call ends and everything arrives.
    Stuck,
    /// A world that nobody disturbs comes to rest.
    Endless,
    /// No engine panics.
    Panic,
    /// The same seed makes the same run.
    Replay,
}

impl Oracle {
    /// Every oracle.
    pub const ALL: [Self; 24] = [
        Self::Invented,
        Self::Twice,
        Self::Order,
        Self::Gap,
        Self::Reply,
        Self::Late,
        Self::Route,
        Self::HopLimit,
        Self::Topic,
        Self::Outcome,
        Self::Room,
        Self::Flow,
        Self::Peace,
        Self::Partner,
        Self::Echo,
        Self::Bound,
        Self::Balance,
        Self::Connected,
        Self::Resume,
        Self::Wake,
        Self::Stuck,
        Self::Endless,
        Self::Panic,
        Self::Replay,
    ];

    /// The oracle of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|oracle| oracle.to_string() == name)
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name of the variant is the name of the oracle.
        fmt::Debug::fmt(self, f)
    }
}

/// A promise that was broken, and how.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The promise.
    pub oracle: Oracle,
    /// What was seen instead.
    pub what: String,
}

impl Failure {
    /// `oracle` was broken by `what`.
    pub fn new(oracle: Oracle, what: impl Into<String>) -> Self {
        Self { oracle, what: what.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle, self.what)
    }
}
