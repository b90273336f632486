//! Listeners that share a port: WebSocket clients say by a path whom they want.
//!
//! Each listener has a descriptor of its own of the one listening socket. Whichever accepts a client reads the
//! request; the path then says whose the connection is.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};

use sp_core::pipe::ProtocolId;
use sp_core::process::PerProcess;
use sp_core::sync::lock;

use crate::listener::{self, Listening};
use crate::runtime::EndpointId;

/// One address and who listens there.
#[derive(Debug)]
pub(crate) struct Port {
    addr: SocketAddr,
    /// The one it is kept to, if any.
    interface: Option<String>,
    socket: Listening,
    routes: Mutex<Vec<Route>>,
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
    /// Takes a path of the port at `addr`, which `bind` opens if nobody of this process listens there so, and on the
    /// same interface.
    ///
    /// Answers the place and a descriptor to accept from. A path is taken once. The system keeps as many connections
    /// waiting as the one who wants most has asked for.
    pub(crate) fn take(
        addr: SocketAddr,
        interface: Option<&str>,
        route: Route,
        bind: impl FnOnce() -> io::Result<Listening>,
    ) -> io::Result<(Place, Listening)> {
        let mut ports = lock(PORTS.or_default());
        ports.retain(|port| port.strong_count() > 0);
        let shared = ports
            .iter()
            .filter_map(Weak::upgrade)
            .find(|port| port.addr == addr && port.interface.as_deref() == interface);
        let port = match shared {
            Some(port) => port,
            None => {
                let socket = bind()?;
                // The port that the system chose, where it was left to it.
                let addr = socket.local_addr()?.as_socket().unwrap_or(addr);
                let (interface, routes) = (interface.map(str::to_owned), Mutex::default());
                let port = Arc::new(Self { addr, interface, socket, routes });
                ports.push(Arc::downgrade(&port));
                port
            }
        };
        let socket = Listening::shared(port.socket.try_clone()?);
        let endpoint = route.endpoint;
        let mut routes = lock(&port.routes);
        if routes.iter().any(|other| is_same(&other.path, &route.path)) {
            return Err(io::ErrorKind::AddrInUse.into());
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
        let (first, _socket) = Port::take(addr, None, route("/", 0), bind).expect("a free port");
        let addr = first.port.addr;
        let taken = || unreachable!("the port is open");
        let join = |target, backlog| Port::take(addr, None, route(target, backlog), taken);
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
