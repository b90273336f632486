//! What can be set on dialers and listeners.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use sp_core::config::Config;
use sp_core::endpoint::Endpoint;

use crate::error::{DialError, ListenError};
use crate::tcp::Tuning;
use crate::tls;
use crate::udp::UdpOptions;

/// What dialers and listeners set alike.
macro_rules! conn_options {
    ($options:ty) => {
        impl $options {
            /// The largest message a peer may send, header included; `None` for no limit. A peer that announces more
            /// is disconnected. inproc does not enforce it.
            pub fn recv_max(mut self, bytes: Option<u64>) -> Self {
                self.conn.recv_max = bytes;
                self
            }

            /// Whether TCP sends a message at once rather than wait for more to send along with it. On by default:
            /// what can go together is gathered before the system sees it.
            pub fn nodelay(mut self, yes: bool) -> Self {
                self.conn.tuning.nodelay = yes;
                self
            }

            /// How long a TCP connection may be silent before the system asks whether the peer still is there: three
            /// times, a third of this apart, and then the connection ends. 30 s by default; `None` never asks, and
            /// a peer whose machine vanished is then missed only when something is sent to it.
            pub fn keepalive(mut self, idle: Option<Duration>) -> Self {
                self.conn.tuning.keepalive = idle;
                self
            }

            /// How long TCP tries to get rid of what was sent before the connection ends; Linux and Android only.
            ///
            /// `None`, the default, leaves it to the system, which tries for about a quarter of an hour. Linux counts
            /// the time in which a peer takes nothing because its program has paused, so that a limit ends
            /// connections to peers that are merely slow.
            pub fn user_timeout(mut self, limit: Option<Duration>) -> Self {
                self.conn.tuning.user_timeout = limit;
                self
            }

            /// How to speak over `udp`.
            pub fn udp(mut self, options: UdpOptions) -> Self {
                self.conn.udp = options;
                self
            }

            /// The network interface that TCP and UDP use, such as `eth0`, whatever the routes say; Linux and Android
            /// only, elsewhere nothing can be dialled or listened on with it.
            pub fn interface(mut self, name: Option<&str>) -> Self {
                self.conn.tuning.interface = name.map(str::to_owned);
                self
            }
        }
    };
}

conn_options!(DialOptions);
conn_options!(ListenOptions);

/// How a dialer connects. The defaults come from [`Config`].
///
/// ```
/// use std::time::Duration;
/// use sp_transport::DialOptions;
///
/// let patient = DialOptions::new().reconnect(Duration::from_millis(50), Duration::from_secs(5));
/// println!("{patient}");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct DialOptions {
    pub(crate) conn: ConnOptions,
    pub(crate) reconnect_min: Duration,
    pub(crate) reconnect_max: Duration,
    pub(crate) background: bool,
    pub(crate) local_address: Option<IpAddr>,
    pub(crate) tls: Option<tls::Client>,
}

impl DialOptions {
    /// The defaults.
    pub fn new() -> Self {
        let config = Config::default();
        Self {
            conn: ConnOptions::new(&config),
            reconnect_min: config.reconnect_min,
            reconnect_max: config.reconnect_max,
            background: false,
            local_address: None,
            tls: None,
        }
    }

    /// Whom to trust over `tls+tcp` and `wss` and what to show there. Without it such an endpoint is not dialled.
    ///
    /// The handle is kept: what it is [replaced](tls::Client::replace) with counts from the next connection on.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, client: &tls::Client) -> Self {
        self.tls = Some(client.clone());
        self
    }

    /// Whether everything is there that `endpoint` needs.
    pub(crate) fn check(&self, endpoint: &Endpoint) -> Result<(), DialError> {
        endpoint.check_dialable()?;
        if endpoint.has_tls() && self.tls.is_none() {
            return Err(DialError::NoTls { url: endpoint.to_string() });
        }
        Ok(())
    }

    /// The wait before another attempt: `min` after the first failure, doubled with each further one up to
    /// `max`. The actual wait is drawn from the upper half, so that clients do not return in step.
    pub fn reconnect(mut self, min: Duration, max: Duration) -> Self {
        self.reconnect_min = min;
        self.reconnect_max = max;
        self
    }

    /// Whether `dial` returns at once and keeps trying for ever, instead of reporting how the first attempt
    /// went. Either way a connection that was made and lost is made again.
    pub fn background(mut self, yes: bool) -> Self {
        self.background = yes;
        self
    }

    /// The address of this machine that TCP connections and datagrams come from; `None` leaves it to the system. The
    /// system chooses the port.
    pub fn local_address(mut self, ip: Option<IpAddr>) -> Self {
        self.local_address = ip;
        self
    }

    /// The time for connecting to an address and shaking hands, together.
    ///
    /// A name may stand for several addresses. They are tried one after the other, the next as soon as one has failed
    /// or has not answered for a quarter of a second; the first that answers is taken.
    pub fn handshake_limit(mut self, limit: Duration) -> Self {
        self.conn.handshake_limit = limit;
        self
    }
}

impl Default for DialOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for DialOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { conn, reconnect_min, reconnect_max, background, local_address, .. } = self;
        write!(
            f,
            "{conn}, reconnect_min={reconnect_min:?}, reconnect_max={reconnect_max:?}, \
             background={background}, local_address={local_address:?}"
        )
    }
}

/// How a listener accepts. The defaults come from [`Config`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ListenOptions {
    pub(crate) conn: ConnOptions,
    pub(crate) backlog: u32,
    pub(crate) half_open_max: usize,
    pub(crate) connections_max: Option<usize>,
    pub(crate) permissions: Option<u32>,
    pub(crate) tls: Option<tls::Server>,
}

impl ListenOptions {
    /// The defaults.
    pub fn new() -> Self {
        let config = Config::default();
        Self {
            conn: ConnOptions::new(&config),
            backlog: config.backlog,
            half_open_max: config.half_open_max,
            connections_max: None,
            permissions: None,
            tls: None,
        }
    }

    /// What to show over `tls+tcp` and `wss` and whom to let in. Without it such an endpoint is not listened on.
    ///
    /// Sockets that share a port of `wss` have to use one and the same, for it is needed before a client says
    /// which of them it wants.
    ///
    /// The handle is kept: what it is [replaced](tls::Server::replace) with counts from the next connection on.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, server: &tls::Server) -> Self {
        self.tls = Some(server.clone());
        self
    }

    /// What is shown at `endpoint`.
    pub(crate) fn tls_of(&self, endpoint: &Endpoint) -> Option<tls::Server> {
        self.tls.clone().filter(|_| endpoint.has_tls())
    }

    /// Whether everything is there that `endpoint` needs.
    pub(crate) fn check(&self, endpoint: &Endpoint) -> Result<(), ListenError> {
        if endpoint.has_tls() && self.tls.is_none() {
            return Err(ListenError::NoTls { url: endpoint.to_string() });
        }
        Ok(())
    }

    /// The time a peer has for its handshake.
    pub fn handshake_limit(mut self, limit: Duration) -> Self {
        self.conn.handshake_limit = limit;
        self
    }

    /// How many connections the system keeps waiting to be accepted. Listeners that share a port get as many as the one
    /// that wants most.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// How many accepted peers may be without a finished handshake; more are turned away.
    pub fn half_open_max(mut self, peers: usize) -> Self {
        self.half_open_max = peers;
        self
    }

    /// How many peers may be connected through this listener; more are turned away. `None` for no limit.
    pub fn connections_max(mut self, peers: Option<usize>) -> Self {
        self.connections_max = peers;
        self
    }

    /// Who may connect to an ipc listener: the permissions of its socket file, such as `0o600`; connecting takes
    /// permission to write. `None` leaves them to the process's umask. The file has them before anybody can connect,
    /// and at no time more than them. Other listeners have no file and pay no heed to this.
    pub fn permissions(mut self, mode: Option<u32>) -> Self {
        self.permissions = mode;
        self
    }
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for ListenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { conn, backlog, half_open_max, connections_max, permissions, .. } = self;
        write!(
            f,
            "{conn}, backlog={backlog}, half_open_max={half_open_max}, \
             connections_max={connections_max:?}, permissions="
        )?;
        match permissions {
            Some(mode) => write!(f, "{mode:#o}"),
            None => f.write_str("None"),
        }
    }
}

/// What every connection needs to know, whichever side made it.
#[derive(Clone, Debug)]
pub(crate) struct ConnOptions {
    pub(crate) recv_max: Option<u64>,
    pub(crate) handshake_limit: Duration,
    pub(crate) tuning: Tuning,
    pub(crate) udp: UdpOptions,
}

impl ConnOptions {
    fn new(config: &Config) -> Self {
        Self {
            recv_max: Some(config.recv_max as u64),
            handshake_limit: config.handshake,
            tuning: Tuning {
                nodelay: true,
                keepalive: Some(config.keepalive),
                ..Tuning::default()
            },
            udp: UdpOptions::new(),
        }
    }
}

impl fmt::Display for ConnOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recv_max, handshake_limit, tuning, udp, .. } = self;
        write!(f, "recv_max={recv_max:?}, handshake_limit={handshake_limit:?}, {tuning}, {udp}")
    }
}
