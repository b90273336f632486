//! Listeners that share a port: WebSocket clients say by a path whom they want.
//!
//! Each listener has a descriptor of its own of the one listening socket. Whichever accepts a client reads the
//! request; the path then says whose the connection is. TLS comes before the path, so all of a port have one set-up of
//! it: otherwise a client could choose by luck who asks for its certificate.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};

use sp_core::endpoint::Endpoint;
use sp_core::pipe::ProtocolId;
use sp_core::process::PerProcess;
use sp_core::sync::lock;

use crate::error::ListenError;
use crate::listener::{self, Listening};
use crate::runtime::EndpointId;
use crate::tls::Server;

/// One address and who listens there.
#[derive(Debug)]
pub(crate) struct Port {
    common: Common,
    socket: Listening,
    routes: Mutex<Vec<Route>>,
}

/// What all who share a port have in common.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) addr: SocketAddr,
    /// The one it is kept to, if any.
    pub(crate) interface: Option<String>,
    /// What every client is shown, if there is TLS.
    pub(crate) tls: Option<Server>,
}

/// Why there is no place at a port.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is taken, or the system does not give it.
    System(io::Error),
    /// Those who are there show another certificate.
    OtherTls,
}

/// Whose connections the clients of one path are.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Canonical, without a query.
    pub(crate) path: Box<str>,
    pub(crate) endpoint: EndpointId,
    pub(crate) protocol: ProtocolId,
    backlog: u32,
}

/// A listener's place at its port, given up when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    port: Arc<Port>,
    endpoint: EndpointId,
}

impl Port {
    /// Takes a path of a port, which `bind` opens if nobody of this process listens at the address, and on the same
    /// interface.
    ///
    /// Answers the place and a descriptor to accept from. A path is taken once. The system keeps as many connections
    /// waiting as the one who wants most has asked for.
    pub(crate) fn take(
        mut common: Common,
        route: Route,
        bind: impl FnOnce() -> io::Result<Listening>,
    ) -> Result<(Place, Listening), Refused> {
        let mut ports = lock(PORTS.or_default());
        ports.retain(|port| port.strong_count() > 0);
        let shared = ports.iter().filter_map(Weak::upgrade).find(|port| {
            port.common.addr == common.addr && port.common.interface == common.interface
        });
        let port = match shared {
            Some(port) => {
                port.common.agrees_with(&common)?;
                port
            }
            None => {
                let socket = bind()?;
                // The port that the system chose, where it was left to it.
                common.addr = socket.local_addr()?.as_socket().unwrap_or(common.addr);
                let port = Arc::new(Self { common, socket, routes: Mutex::default() });
                ports.push(Arc::downgrade(&port));
                port
            }
        };
        let socket = Listening::shared(port.socket.try_clone()?);
        let endpoint = route.endpoint;
        let mut routes = lock(&port.routes);
        if routes.iter().any(|other| is_same(&other.path, &route.path)) {
            return Err(io::Error::from(io::ErrorKind::AddrInUse).into());
        }
        if !routes.is_empty() && routes.iter().all(|other| other.backlog < route.backlog) {
            listener::listen(&port.socket, route.backlog)?;
        }
        routes.push(route);
        drop(routes);
        Ok((Place { port, endpoint }, socket))
    }

    /// Who listens at `path`.
    pub(crate) fn find(&self, path: &str) -> Option<Route> {
        lock(&self.routes).iter().find(|route| is_same(&route.path, path)).cloned()
    }
}

impl Common {
    /// Whether clients find the same, whoever accepts them.
    fn agrees_with(&self, other: &Self) -> Result<(), Refused> {
        match (&self.tls, &other.tls) {
            (None, None) => Ok(()),
            (Some(one), Some(other)) if one.is_same(other) => Ok(()),
            (Some(_), Some(_)) => Err(Refused::OtherTls),
            // Another transport.
            _ => Err(io::Error::from(io::ErrorKind::AddrInUse).into()),
        }
    }
}

impl Refused {
    pub(crate) fn at(self, url: &Endpoint) -> ListenError {
        let url = url.to_string();
        match self {
            Self::System(error) => ListenError::from_io(url, error),
            Self::OtherTls => ListenError::OtherTls { url },
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl Route {
    /// For clients of a listener whose URL has this path and query.
    pub(crate) fn new(
        target: &str,
        endpoint: EndpointId,
        protocol: ProtocolId,
        backlog: u32,
    ) -> Self {
        let path = target.split('?').next().unwrap_or(target).into();
        Self { path, endpoint, protocol, backlog }
    }
}

impl Place {
    pub(crate) fn port(&self) -> &Arc<Port> {
        &self.port
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.port.routes).retain(|route| route.endpoint != self.endpoint);
    }
}

/// One slash at the end makes no difference.
fn is_same(one: &str, other: &str) -> bool {
    let bare = |path: &str| path.strip_suffix('/').unwrap_or(path).len();
    one[..bare(one)] == other[..bare(other)]
}

/// All that are open.
static PORTS: PerProcess<Mutex<Vec<Weak<Port>>>> = PerProcess::first(Mutex::new(Vec::new()));

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use socket2::{Domain, Socket, Type};

    use super::*;

    /// With a backlog of 0 the system takes one connection, and leaves others without an answer.
    #[test]
    fn a_shared_port_keeps_as_many_waiting_as_the_one_who_wants_most() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let route =
            |target, backlog| Route::new(target, EndpointId::next(), ProtocolId::PULL, backlog);
        let bind = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&addr.into())?;
            socket.listen(0)?;
            Ok(Listening::shared(socket))
        };
        let at = |addr| Common { addr, interface: None, tls: None };
        let (first, _socket) = Port::take(at(addr), route("/", 0), bind).expect("a free port");
        let addr = first.port.common.addr;
        let taken = || unreachable!("the port is open");
        let join = |target, backlog| Port::take(at(addr), route(target, backlog), taken);
        let _deep = join("/deep", 8).expect("a free path");
        let _shallow = join("/shallow", 2).expect("a free path");
        let connected =
            [(); 9].map(|()| TcpStream::connect_timeout(&addr, Duration::from_secs(20)));
        assert!(connected.iter().all(Result::is_ok), "{connected:?}");
    }

    #[test]
    fn one_slash_at_the_end_makes_no_difference() {
        assert!(is_same("/", "/") && is_same("/a", "/a/") && is_same("/a/", "/a"));
        assert!(
            !is_same("/a", "/a//")
                && !is_same("/a", "/b")
                && !is_same("/", "/a")
                && !is_same("/A", "/a")
        );
    }
}
