//! The defaults of the whole library in one place.

use std::fmt;
use std::time::Duration;

use crate::stats::Stats;

/// What the parts of the library start from. Options of sockets and endpoints override single values.
///
/// ```
/// use sp_core::config::Config;
///
/// assert_eq!(Config::new().pooled_max, 1_048_576);
/// println!("{}", Config::new());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Bytes of a read buffer. 64 KiB: beyond this larger reads no longer raised the measured rate by much.
    pub buffer_bytes: usize,
    /// Bytes of the largest buffer a pool keeps. Beyond, copying costs more than allocating.
    pub pooled_max: usize,
    /// Entries that tables start with. 16: most sockets have fewer peers.
    pub registry_capacity: usize,
    /// Bytes of the longest message a peer may send. 64 MiB: room for anything usual, while a hostile peer
    /// cannot fill the machine's memory with one message. nng 2.0 allows 1 GiB, mangos and nanomsg 1 MiB.
    pub recv_max: usize,
    /// How long a peer may take for its handshake. 10 s as in nng.
    pub handshake: Duration,
    /// Connections of one listener that may be in their handshake at a time; the bound on silent clients.
    pub half_open_max: usize,
    /// How long a TCP connection may be silent before the system asks whether the peer still is there. 30 s: a peer
    /// that vanished is noticed within a minute, for one small packet in each silent half minute.
    pub keepalive: Duration,
    /// Connections the system may hold for a listener. 4,096: with 128 a rush of clients waits for seconds.
    pub backlog: u32,
    /// The first wait before dialling again.
    pub reconnect_min: Duration,
    /// The longest wait before dialling again; the wait doubles up to here.
    pub reconnect_max: Duration,
    /// How long closing a socket waits for queued messages to leave.
    pub linger: Duration,
    /// Messages that may be queued for one pipe. 4,096: small ones, so that a stream fills whole writes.
    pub send_queue_messages: usize,
    /// Bytes that may be queued for one pipe; one message always may. 256 KiB fill a socket's kernel buffer.
    pub send_queue_bytes: usize,
    /// Messages that may wait to be received on one socket, or for one subscriber that is slow. 1,024: several
    /// reads' worth of small ones, so that half of it keeps a receiver busy while reading resumes.
    pub recv_queue_messages: usize,
    /// Requests of each peer that may wait on a REP. 128: about what one read brings of small ones; a client
    /// with one context never has more than one.
    pub request_queue_messages: usize,
    /// Bytes that may wait wherever `recv_queue_messages` may, and on a REP from all peers together. A message
    /// counts as its payload and 128 bytes. 16 MiB: the count decides up to 16 KiB a message, and hundreds of
    /// full queues still fit into memory.
    pub queue_bytes: usize,
    /// How long a dialer over UDP waits for an answer before it calls again. 200 ms as in nng.
    pub udp_retry: Duration,
    /// How long it calls at one address. 5 s as in nng.
    pub udp_expire: Duration,
    /// The longest interval in which a listener over UDP lets its peers say that they are there. 5 s as in nng.
    pub udp_refresh: Duration,
    /// Peers of one listener over UDP. 1,024 as in nng: who can make up addresses fills no more memory than that.
    pub udp_peers: usize,
    /// How long a waiting call polls before it sleeps. 100 us: longer than one wake of a sleeping core, since a
    /// shorter budget is used up by that wake and never hits.
    pub spin: Duration,
}

impl Config {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            buffer_bytes: 65_536,
            pooled_max: POOLED_MAX,
            registry_capacity: REGISTRY_CAPACITY,
            recv_max: 64 << 20,
            handshake: Duration::from_secs(10),
            half_open_max: 1024,
            keepalive: Duration::from_secs(30),
            backlog: 4096,
            reconnect_min: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(10),
            linger: Duration::from_secs(1),
            send_queue_messages: 4096,
            send_queue_bytes: 256 << 10,
            recv_queue_messages: 1024,
            request_queue_messages: 128,
            queue_bytes: 16 << 20,
            udp_retry: Duration::from_millis(200),
            udp_expire: Duration::from_secs(5),
            udp_refresh: Duration::from_secs(5),
            udp_peers: 1024,
            spin: Duration::from_micros(100),
        }
    }

    /// The values as a branch of the statistics tree; durations in microseconds.
    pub fn tree(&self) -> Stats {
        let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        Stats::new("config")
            .value("buffer_bytes", self.buffer_bytes as u64)
            .value("pooled_max", self.pooled_max as u64)
            .value("registry_capacity", self.registry_capacity as u64)
            .value("recv_max", self.recv_max as u64)
            .value("handshake_us", micros(self.handshake))
            .value("half_open_max", self.half_open_max as u64)
            .value("keepalive_us", micros(self.keepalive))
            .value("backlog", u64::from(self.backlog))
            .value("reconnect_min_us", micros(self.reconnect_min))
            .value("reconnect_max_us", micros(self.reconnect_max))
            .value("linger_us", micros(self.linger))
            .value("send_queue_messages", self.send_queue_messages as u64)
            .value("send_queue_bytes", self.send_queue_bytes as u64)
            .value("recv_queue_messages", self.recv_queue_messages as u64)
            .value("request_queue_messages", self.request_queue_messages as u64)
            .value("queue_bytes", self.queue_bytes as u64)
            .value("udp_retry_us", micros(self.udp_retry))
            .value("udp_expire_us", micros(self.udp_expire))
            .value("udp_refresh_us", micros(self.udp_refresh))
            .value("udp_peers", self.udp_peers as u64)
            .value("spin_us", micros(self.spin))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tree().fmt(f)
    }
}

pub(crate) const POOLED_MAX: usize = 1 << 20;
pub(crate) const REGISTRY_CAPACITY: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_printed_with_its_name() {
        let printed = Config::default().to_string();
        for line in ["buffer_bytes: 65536", "recv_max: 67108864", "queue_bytes: 16777216"] {
            assert!(printed.contains(line), "{line} is missing in:\n{printed}");
        }
        // Name, then one line for each field.
        assert_eq!(printed.lines().count(), 22);
    }
}
