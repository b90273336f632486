//! What can be set on dialers and listeners.

use std::fmt;
use std::time::Duration;

use sp_core::config::Config;
use sp_core::endpoint::{Address, Endpoint};

use crate::conn::SendLimits;
use crate::error::{DialError, ListenError};
#[cfg(feature = "tls")]
use crate::tls;

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
    #[cfg(feature = "tls")]
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
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Whom to trust over `tls+tcp` and what to show there. Without it such an endpoint is not dialled.
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
        #[cfg(feature = "tls")]
        let lacks = self.tls.is_none();
        #[cfg(not(feature = "tls"))]
        let lacks = true;
        if lacks && matches!(endpoint.address(), Address::Tls { .. }) {
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

    /// The largest message a peer may send, header included; `None` for no limit. A peer that announces more
    /// is disconnected. inproc does not enforce it.
    pub fn recv_max(mut self, bytes: Option<u64>) -> Self {
        self.conn.recv_max = bytes;
        self
    }

    /// The time for connecting and shaking hands, together.
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
        let Self { conn, reconnect_min, reconnect_max, background, .. } = self;
        write!(
            f,
            "{conn}, reconnect_min={reconnect_min:?}, reconnect_max={reconnect_max:?}, \
             background={background}"
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
    #[cfg(feature = "tls")]
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
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// What to show over `tls+tcp` and whom to let in. Without it such an endpoint is not listened on.
    ///
    /// The handle is kept: what it is [replaced](tls::Server::replace) with counts from the next connection on.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, server: &tls::Server) -> Self {
        self.tls = Some(server.clone());
        self
    }

    /// Whether everything is there that `endpoint` needs.
    pub(crate) fn check(&self, endpoint: &Endpoint) -> Result<(), ListenError> {
        #[cfg(feature = "tls")]
        let lacks = self.tls.is_none();
        #[cfg(not(feature = "tls"))]
        let lacks = true;
        if lacks && matches!(endpoint.address(), Address::Tls { .. }) {
            return Err(ListenError::NoTls { url: endpoint.to_string() });
        }
        Ok(())
    }

    /// The largest message a peer may send, header included; `None` for no limit. A peer that announces more
    /// is disconnected. inproc does not enforce it.
    pub fn recv_max(mut self, bytes: Option<u64>) -> Self {
        self.conn.recv_max = bytes;
        self
    }

    /// The time a peer has for its handshake.
    pub fn handshake_limit(mut self, limit: Duration) -> Self {
        self.conn.handshake_limit = limit;
        self
    }

    /// How many connections the system keeps waiting to be accepted.
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
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for ListenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { conn, backlog, half_open_max, connections_max, .. } = self;
        write!(
            f,
            "{conn}, backlog={backlog}, half_open_max={half_open_max}, \
             connections_max={connections_max:?}"
        )
    }
}

/// What every connection needs to know, whichever side made it.
#[derive(Clone, Debug)]
pub(crate) struct ConnOptions {
    pub(crate) recv_max: Option<u64>,
    pub(crate) handshake_limit: Duration,
    pub(crate) send: SendLimits,
}

impl ConnOptions {
    fn new(config: &Config) -> Self {
        Self {
            recv_max: Some(config.recv_max as u64),
            handshake_limit: config.handshake,
            send: SendLimits {
                messages: config.send_queue_messages,
                bytes: config.send_queue_bytes,
            },
        }
    }
}

impl fmt::Display for ConnOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recv_max, handshake_limit, .. } = self;
        write!(f, "recv_max={recv_max:?}, handshake_limit={handshake_limit:?}")
    }
}
