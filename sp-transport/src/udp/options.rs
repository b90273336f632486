//! What can be set for UDP alone.

use std::fmt;
use std::time::Duration;

use sp_core::config::Config;

use crate::backoff::SHORTEST;

/// How an endpoint speaks over UDP. The defaults come from [`Config`].
///
/// Messages have at most 65,000 bytes, the pattern's header included, or what `recv_max` allows if that is less. Each
/// side tells the other; what is longer than the peer takes is dropped and counted (`too_long`).
///
/// Nothing is sent again and nothing is ordered: what has to arrive needs a pattern that asks again, such as REQ, or
/// another transport. Nor does anything show that a peer's address is its own: who can write any address into a
/// datagram can become a peer in another's name, and what is sent to that peer goes to the other. Listen where that
/// cannot happen, or where it does not matter.
#[derive(Clone, Debug)]
#[must_use]
pub struct UdpOptions {
    pub(crate) retry: Duration,
    pub(crate) expire: Duration,
    pub(crate) refresh: Option<Duration>,
    pub(crate) peers_max: usize,
}

impl UdpOptions {
    /// The defaults.
    pub fn new() -> Self {
        let Config { udp_retry, udp_expire, udp_peers, .. } = Config::default();
        Self { retry: udp_retry, expire: udp_expire, refresh: None, peers_max: udp_peers }
    }

    /// How long a dialer waits for an answer before it calls again; at least a millisecond.
    pub fn retry(mut self, interval: Duration) -> Self {
        self.retry = interval.max(SHORTEST);
        self
    }

    /// How long a dialer calls at one address before the attempt has failed.
    pub fn expire(mut self, limit: Duration) -> Self {
        self.expire = limit;
        self
    }

    /// How often a dialer says that it is there, and a listener that it has heard it. A peer that is silent for five
    /// times as long is gone. The smaller of both sides' intervals counts, in whole seconds and at least one. If this
    /// is not set, a dialer offers one second and a listener agrees to any up to five.
    pub fn refresh(mut self, interval: Duration) -> Self {
        self.refresh = Some(interval);
        self
    }

    /// How many peers a listener has at the most, for an address costs a stranger nothing; more are turned away.
    /// [`ListenOptions::connections_max`](crate::ListenOptions::connections_max), where that is less.
    pub fn peers_max(mut self, peers: usize) -> Self {
        self.peers_max = peers;
        self
    }

    /// In whole seconds, as the wire has it.
    pub(crate) fn refresh_seconds(&self, default: Duration) -> u16 {
        let millis = self.refresh.unwrap_or(default).as_millis();
        u16::try_from(millis.div_ceil(1000)).unwrap_or(u16::MAX).max(1)
    }
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for UdpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { retry, expire, refresh, peers_max } = self;
        write!(
            f,
            "udp_retry={retry:?}, udp_expire={expire:?}, udp_refresh={refresh:?}, udp_peers_max={peers_max}"
        )
    }
}
