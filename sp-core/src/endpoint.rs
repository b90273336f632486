//! Endpoints: URLs parsed once into what a transport needs.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

mod parse;
mod schemes;
mod target;

pub use schemes::{SchemeError, add_scheme};

/// Where to dial or listen, parsed from a URL such as `tcp://127.0.0.1:5555`.
///
/// | URL | meaning |
/// | --- | --- |
/// | `tcp://host:port` | TCP; `tcp4` and `tcp6` force the family |
/// | `tcp://*:port`, `tcp://:port` | listen on all interfaces |
/// | `tcp://host:0`, `tcp://host` | listen on a port that the system chooses |
/// | `tls+tcp://host:port` | the same with TLS, where this is built with the feature `tls`; also `tls+tcp4`, `tls+tcp6` |
/// | `ws://host:port/path?query` | WebSocket, on port 80 if none is given; `ws4` and `ws6` force the family |
/// | `wss://host:port/path?query` | the same with TLS, on port 443 if none is given; also `wss4` and `wss6` |
/// | `udp://host:port` | datagrams: nothing is sent again, nothing is ordered; `udp4` and `udp6` force the family |
/// | `ipc://path`, `unix://path` | a local socket file; everything behind `://` is the path |
/// | `abstract://name` | a local socket without a file, on Linux; `%00` stands for a NUL byte, and so on |
/// | `socket://` | listen for connected descriptors that the program hands in |
/// | `inproc://name` | within this process; everything behind `://` is the name |
/// | `scheme://…` | what the program has [added](add_scheme); everything behind `://` is for its transport |
///
/// `*` as a host is nng 1.x, mangos and nanomsg usage; nng 2.0 refuses it and takes the empty host.
///
/// Printing gives a URL that parses to the same endpoint: `unix` appears as `ipc`, the wildcard as the empty host,
/// and port 0 behind any other host as no port.
///
/// ```
/// use sp_core::endpoint::Endpoint;
///
/// let at: Endpoint = "tcp://*:0".parse()?;
/// assert!(at.check_dialable().is_err());
/// assert_eq!(at.with_port(5555).to_string(), "tcp://:5555");
/// # Ok::<(), sp_core::endpoint::EndpointError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    address: Address,
}

/// An endpoint's address, by transport.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// TCP.
    Tcp {
        /// The IP version asked for.
        family: IpFamily,
        /// Whom to dial, or which interface to listen on.
        host: Host,
        /// The port; 0 lets the system choose one to listen on.
        port: u16,
    },
    /// TLS over TCP.
    Tls {
        /// The IP version asked for.
        family: IpFamily,
        /// Whom to dial, and for whom the certificate has to be; or which interface to listen on.
        host: Host,
        /// The port; 0 lets the system choose one to listen on.
        port: u16,
    },
    /// WebSocket over TCP, or over TLS over TCP.
    Ws {
        /// Over TLS: `wss`.
        secure: bool,
        /// The IP version asked for.
        family: IpFamily,
        /// Whom to dial, and over TLS for whom the certificate has to be; or which interface to listen on.
        host: Host,
        /// The port; 0 lets the system choose one to listen on.
        port: u16,
        /// The path in its canonical form, and the query as given. Listeners share a port by their paths; a query is
        /// sent and not compared.
        target: Box<str>,
    },
    /// UDP, as nng 2.0 speaks it.
    Udp {
        /// The IP version asked for.
        family: IpFamily,
        /// Whom to dial, or which interface to listen on.
        host: Host,
        /// The port; 0 lets the system choose one to listen on.
        port: u16,
    },
    /// A local socket file.
    Ipc {
        /// The file, as given: 1 to 107 bytes without NUL.
        path: PathBuf,
    },
    /// A local socket that has a name and no file; Linux has these. Anybody on the machine may connect, whatever the
    /// permissions of files: ask for the peer's credentials.
    Abstract {
        /// 1 to 107 bytes of any value.
        name: Box<[u8]>,
    },
    /// Connected descriptors that the program hands in; for listening only.
    Socket,
    /// This process.
    Inproc {
        /// The name, compared byte for byte; may be empty.
        name: Box<str>,
    },
    /// A transport of the program's own.
    Own {
        /// The scheme that it was [added](add_scheme) with.
        scheme: &'static str,
        /// What the transport makes of it, as it stands.
        address: Box<str>,
    },
}

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpFamily {
    /// Whichever the host has.
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// The host of an endpoint on the network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// All interfaces; for listening only.
    Wildcard,
    /// A literal address.
    Ip(IpAddr),
    /// A name to be resolved, in lower case.
    Name(Box<str>),
}

impl IpFamily {
    /// Whether the address is of this version.
    pub const fn includes(self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }
}

impl Endpoint {
    /// The URL's scheme: `tcp`, `tcp4`, `tcp6`, the same with `tls+` in front, `ws`, `ws4`, `ws6`, `wss`, `wss4`,
    /// `wss6`, `udp`, `udp4`, `udp6`, `ipc`, `abstract`, `socket`, `inproc`, or one that the program has
    /// [added](add_scheme).
    pub const fn scheme(&self) -> &'static str {
        match &self.address {
            Address::Tcp { family: IpFamily::Any, .. } => "tcp",
            Address::Tcp { family: IpFamily::V4, .. } => "tcp4",
            Address::Tcp { family: IpFamily::V6, .. } => "tcp6",
            Address::Tls { family: IpFamily::Any, .. } => "tls+tcp",
            Address::Tls { family: IpFamily::V4, .. } => "tls+tcp4",
            Address::Tls { family: IpFamily::V6, .. } => "tls+tcp6",
            Address::Ws { secure: false, family: IpFamily::Any, .. } => "ws",
            Address::Ws { secure: false, family: IpFamily::V4, .. } => "ws4",
            Address::Ws { secure: false, family: IpFamily::V6, .. } => "ws6",
            Address::Ws { secure: true, family: IpFamily::Any, .. } => "wss",
            Address::Ws { secure: true, family: IpFamily::V4, .. } => "wss4",
            Address::Ws { secure: true, family: IpFamily::V6, .. } => "wss6",
            Address::Udp { family: IpFamily::Any, .. } => "udp",
            Address::Udp { family: IpFamily::V4, .. } => "udp4",
            Address::Udp { family: IpFamily::V6, .. } => "udp6",
            Address::Ipc { .. } => "ipc",
            Address::Abstract { .. } => "abstract",
            Address::Socket => "socket",
            Address::Inproc { .. } => "inproc",
            Address::Own { scheme, .. } => scheme,
        }
    }

    /// The address, for the transport.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Whether connections are encrypted, so that both sides have something to set up.
    pub const fn has_tls(&self) -> bool {
        matches!(self.address, Address::Tls { .. } | Address::Ws { secure: true, .. })
    }

    /// The port; `None` for transports without.
    pub const fn port(&self) -> Option<u16> {
        match self.address {
            Address::Tcp { port, .. }
            | Address::Tls { port, .. }
            | Address::Ws { port, .. }
            | Address::Udp { port, .. } => Some(port),
            _ => None,
        }
    }

    /// The same endpoint with the port that was bound. Other transports have no port and stay as they are.
    pub fn with_port(&self, bound: u16) -> Self {
        let mut endpoint = self.clone();
        if let Address::Tcp { port, .. }
        | Address::Tls { port, .. }
        | Address::Ws { port, .. }
        | Address::Udp { port, .. } = &mut endpoint.address
        {
            *port = bound;
        }
        endpoint
    }

    /// The same endpoint with the address and port that were bound. Other transports stay as they are.
    pub fn with_socket_addr(&self, bound: SocketAddr) -> Self {
        let mut endpoint = self.with_port(bound.port());
        if let Address::Tcp { host, .. }
        | Address::Tls { host, .. }
        | Address::Ws { host, .. }
        | Address::Udp { host, .. } = &mut endpoint.address
        {
            *host = Host::Ip(bound.ip());
        }
        endpoint
    }

    /// The same endpoint at the address that a transport of the program's own has bound. Others stay as they are.
    pub fn with_own_address(&self, bound: &str) -> Self {
        let mut endpoint = self.clone();
        if let Address::Own { address, .. } = &mut endpoint.address {
            *address = bound.into();
        }
        endpoint
    }

    /// Whether the endpoint can be dialled as well as listened on.
    ///
    /// # Errors
    ///
    /// [`EndpointError::Address`] if the host is a wildcard, the port is 0, or the scheme is `socket`.
    pub fn check_dialable(&self) -> Result<(), EndpointError> {
        let why = match &self.address {
            Address::Tcp { host: Host::Wildcard, .. }
            | Address::Tls { host: Host::Wildcard, .. }
            | Address::Ws { host: Host::Wildcard, .. }
            | Address::Udp { host: Host::Wildcard, .. } => {
                "a dialer needs a host: write whom to connect to, for example 127.0.0.1"
            }
            Address::Tcp { port: 0, .. }
            | Address::Tls { port: 0, .. }
            | Address::Ws { port: 0, .. }
            | Address::Udp { port: 0, .. } => {
                "a dialer needs a port: write the one the listener was bound to, for example :5555"
            }
            Address::Socket => {
                "socket is for listeners: listen and hand the descriptor to the listener"
            }
            _ => return Ok(()),
        };
        Err(EndpointError::Address { url: self.to_string(), why })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme())?;
        match &self.address {
            // As it was given, most likely; behind a wildcard something has to follow.
            Address::Tcp { host, port: 0, .. }
            | Address::Tls { host, port: 0, .. }
            | Address::Udp { host, port: 0, .. }
                if *host != Host::Wildcard =>
            {
                write!(f, "{host}")
            }
            Address::Tcp { host, port, .. }
            | Address::Tls { host, port, .. }
            | Address::Udp { host, port, .. } => write!(f, "{host}:{port}"),
            Address::Ws { host, port, target, .. } => write!(f, "{host}:{port}{target}"),
            Address::Ipc { path } => write!(f, "{}", path.display()),
            Address::Abstract { name } => fmt_escaped(name, f),
            Address::Socket => Ok(()),
            Address::Inproc { name } => f.write_str(name),
            Address::Own { address, .. } => f.write_str(address),
        }
    }
}

/// Writes what a URL may contain as it is, and other bytes as `%` and two digits.
fn fmt_escaped(name: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    name.iter().try_for_each(|&byte| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            write!(f, "{}", char::from(byte))
        }
        _ => write!(f, "%{byte:02X}"),
    })
}

impl fmt::Display for Host {
    /// As in a URL: IPv6 in brackets, the wildcard as nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wildcard => Ok(()),
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(url: &str) -> Result<Self, EndpointError> {
        parse::address(url).map(|address| Self { address })
    }
}

impl TryFrom<&str> for Endpoint {
    type Error = EndpointError;

    fn try_from(url: &str) -> Result<Self, EndpointError> {
        url.parse()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(url: String) -> Result<Self, EndpointError> {
        url.parse()
    }
}

impl TryFrom<&String> for Endpoint {
    type Error = EndpointError;

    fn try_from(url: &String) -> Result<Self, EndpointError> {
        url.parse()
    }
}

/// Never fails; lets calls that take a URL take a parsed one.
impl TryFrom<&Self> for Endpoint {
    type Error = EndpointError;

    fn try_from(endpoint: &Self) -> Result<Self, EndpointError> {
        Ok(endpoint.clone())
    }
}

/// A TCP endpoint at a literal address.
impl From<SocketAddr> for Endpoint {
    fn from(at: SocketAddr) -> Self {
        let address =
            Address::Tcp { family: IpFamily::Any, host: Host::Ip(at.ip()), port: at.port() };
        Self { address }
    }
}

/// The endpoint at a local socket's address, as the system tells it.
///
/// ```
/// use std::os::unix::net::SocketAddr;
/// use sp_core::endpoint::Endpoint;
///
/// let at = SocketAddr::from_pathname("/tmp/a.sock")?;
/// assert_eq!(Endpoint::try_from(&at)?.to_string(), "ipc:///tmp/a.sock");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(unix)]
impl TryFrom<&std::os::unix::net::SocketAddr> for Endpoint {
    type Error = EndpointError;

    fn try_from(at: &std::os::unix::net::SocketAddr) -> Result<Self, EndpointError> {
        if let Some(path) = at.as_pathname() {
            return Ok(Self { address: Address::Ipc { path: path.to_owned() } });
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(at) {
            return Ok(Self { address: Address::Abstract { name: name.into() } });
        }
        let why = "a local socket without a name has no URL: bind it first";
        Err(EndpointError::Address { url: format!("{at:?}"), why })
    }
}

/// Why a URL is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// No Scalability Protocols transport has this scheme.
    #[error(
        "{url:?}: no transport has the scheme {scheme:?}; use tcp, tcp4, tcp6, tls+tcp, ws, wss, udp, ipc, unix, abstract, socket or inproc, or register a transport of your own"
    )]
    UnknownScheme {
        /// The URL as given.
        url: String,
        /// What stood before `://`.
        scheme: String,
    },
    /// The scheme is a known one, but this build has no transport for it.
    #[error("{url:?}: {scheme} is not in this build, which has {}; use one of these", parse::BUILT)]
    NotBuilt {
        /// The URL as given.
        url: String,
        /// What stood before `://`.
        scheme: String,
    },
    /// The URL's form is wrong.
    #[error("{url:?} is not a valid URL: {why}")]
    Syntax {
        /// The URL as given.
        url: String,
        /// What is wrong and what to do.
        why: &'static str,
    },
    /// The URL's form is right, but its content cannot be used.
    #[error("{url:?} cannot be used: {why}")]
    Address {
        /// The URL as given.
        url: String,
        /// What is wrong and what to do.
        why: &'static str,
    },
}

/// For calls that take anything that turns into an endpoint, an endpoint included.
impl From<Infallible> for EndpointError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests;
