//! Binding and accepting.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::ops::Deref;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use sp_core::endpoint::{Address, Endpoint, Host, IpFamily};
use sp_core::pipe::{CloseReason, ProtocolId};

use crate::error::ListenError;
use crate::options::ListenOptions;
use crate::own::OwnListener;
use crate::ports::{Common, Place, Port, Route};
use crate::resolver::look_up_now;
use crate::runtime::EndpointId;
use crate::stream::{Plain, Stream, no_connection};
use crate::transport::registered;
use crate::udp;

mod permissions;

/// A bound and listening descriptor.
pub(crate) struct Bound {
    /// `None` where connections are handed in.
    pub(crate) door: Option<Door>,
    /// The real address.
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) options: ListenOptions,
    /// The port of a listener that may share it.
    pub(crate) place: Option<Place>,
    /// Removes the file of an ipc listener when it is dropped.
    _file: Option<SocketFile>,
}

/// Where connections come in.
pub(crate) enum Door {
    Socket(Listening),
    Own(OwnListener),
}

impl AsRawFd for Door {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Socket(socket) => socket.as_raw_fd(),
            Self::Own(own) => own.as_raw_fd(),
        }
    }
}

impl Bound {
    /// What has no port to share and no file to remove.
    pub(crate) fn new(
        socket: Option<Listening>,
        endpoint: Endpoint,
        options: &ListenOptions,
    ) -> Self {
        Self::behind(socket.map(Door::Socket), endpoint, options)
    }

    fn behind(door: Option<Door>, endpoint: Endpoint, options: &ListenOptions) -> Self {
        let (endpoint, options) = (Arc::new(endpoint), options.clone());
        Self { door, endpoint, options, place: None, _file: None }
    }

    /// The port, if listeners may share it.
    pub(crate) fn port(&self) -> Option<&Arc<Port>> {
        self.place.as_ref().map(Place::port)
    }
}

/// A socket that listens, or hears datagrams.
#[derive(Debug)]
pub(crate) struct Listening {
    /// There until it is taken out for good.
    socket: Option<Socket>,
    /// Opened here, and listened on by nobody once this is gone: not even by a forked child that has it still.
    is_ours: bool,
}

impl Listening {
    /// One that others may go on listening on.
    pub(crate) const fn shared(socket: Socket) -> Self {
        Self { socket: Some(socket), is_ours: false }
    }

    /// The socket itself, which whoever has it may go on using.
    pub(crate) fn into_socket(mut self) -> Socket {
        self.socket.take().unwrap_or_else(|| unreachable!("it is taken out once"))
    }
}

impl Deref for Listening {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        self.socket
            .as_ref()
            .unwrap_or_else(|| unreachable!("nobody has it once the socket is taken out"))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take().filter(|_| self.is_ours) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// A listener in the worker's care.
pub(crate) struct Listener {
    pub(crate) bound: Bound,
    /// Where the worker polls it, if it does.
    pub(crate) key: Option<usize>,
    /// Accepted peers without a finished handshake.
    pub(crate) half_open: usize,
    /// The pause after the next failure for want of descriptors or memory.
    pub(crate) pause: Duration,
    /// A timer will accept; events before it are left to it.
    pub(crate) waits_for_timer: bool,
}

/// What one attempt to accept came to.
pub(crate) enum Accepted {
    Peer(Stream, Option<SocketAddr>),
    /// Nobody is waiting.
    Nobody,
    /// A peer gave up before it was accepted; look again.
    Gone,
    /// The process or system is out of descriptors or memory, or something else that will last.
    Exhausted(CloseReason),
}

impl Listener {
    /// The limit that one more connection would break, if the listener has `pipes` already.
    pub(crate) fn limit(&self, pipes: usize) -> Option<usize> {
        let options = &self.bound.options;
        // Where listeners share a port it shows only later whose the connection will be.
        let connections_max = options.connections_max.filter(|_| self.bound.port().is_none());
        match connections_max {
            Some(limit) if pipes + self.half_open >= limit => Some(limit),
            _ if self.half_open >= options.half_open_max => Some(options.half_open_max),
            _ => None,
        }
    }

    pub(crate) fn accept(&self) -> Accepted {
        let accepted = match &self.bound.door {
            None => return Accepted::Nobody,
            Some(Door::Socket(socket)) => socket.accept().and_then(|(socket, addr)| {
                socket.set_nonblocking(true)?;
                let addr = addr.as_socket();
                if addr.is_some() {
                    self.bound.options.conn.tuning.apply(&socket);
                }
                Ok((Stream::Plain(Plain::new(socket)), addr))
            }),
            Some(Door::Own(own)) => own.accept().map(|own| (Stream::Own(Box::new(own)), None)),
        };
        match accepted {
            Ok((stream, addr)) => Accepted::Peer(stream, addr),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Accepted::Nobody,
            Err(error) => match error.raw_os_error() {
                // The peer's or the network's doing, and over with the attempt (accept(2) lists them).
                Some(
                    libc::ECONNABORTED
                    | libc::EINTR
                    | libc::EPROTO
                    | libc::EPERM
                    | libc::ENETDOWN
                    | libc::ENETUNREACH
                    | libc::EHOSTUNREACH
                    | libc::ETIMEDOUT,
                ) => Accepted::Gone,
                _ => Accepted::Exhausted(no_connection(&error)),
            },
        }
    }
}

/// Binds and listens, on the calling thread: names may be looked up, errors are immediate.
///
/// `id` and `protocol` are the listener's, for clients who say whom they want.
pub(crate) fn bind(
    endpoint: &Endpoint,
    options: &ListenOptions,
    id: EndpointId,
    protocol: ProtocolId,
) -> Result<Bound, ListenError> {
    let failed = |error| ListenError::from_io(endpoint.to_string(), error);
    match endpoint.address() {
        Address::Tcp { family, host, port } | Address::Tls { family, host, port } => {
            let listen = |addr| Ok((listen_tcp(addr, *family, options).map_err(failed)?, None));
            bind_ip(endpoint, *family, host, *port, options, listen)
        }
        Address::Udp { family, host, port } => {
            let bind = |addr| udp::bind(addr, *family, &options.conn.tuning).map_err(failed);
            let listen = |addr| Ok((Listening::shared(bind(addr)?), None));
            bind_ip(endpoint, *family, host, *port, options, listen)
        }
        Address::Ws { family, host, port, target, .. } => {
            let listen = |addr| {
                let route = Route::new(target, id, protocol, options.backlog);
                let bind = || listen_tcp(addr, *family, options);
                let interface = options.conn.tuning.interface.clone();
                let common = Common { addr, interface, tls: options.tls_of(endpoint) };
                let taken = Port::take(common, route, bind);
                let (place, socket) = taken.map_err(|why| why.at(endpoint))?;
                Ok((socket, Some(place)))
            };
            bind_ip(endpoint, *family, host, *port, options, listen)
        }
        Address::Ipc { path } => bind_ipc(endpoint, path, options),
        Address::Abstract { name } => bind_abstract(endpoint, name, options),
        Address::Socket => Ok(Bound::new(None, endpoint.clone(), options)),
        Address::Own { scheme, address } => bind_own(endpoint, scheme, address, options),
        Address::Inproc { .. } => unreachable!("inproc has no descriptor to bind"),
    }
}

fn bind_ip(
    endpoint: &Endpoint,
    family: IpFamily,
    host: &Host,
    port: u16,
    options: &ListenOptions,
    listen: impl Fn(SocketAddr) -> Result<(Listening, Option<Place>), ListenError>,
) -> Result<Bound, ListenError> {
    let addrs = match host {
        Host::Ip(ip) => vec![SocketAddr::new(*ip, port)],
        Host::Name(name) => look_up_now(name, port, family).unwrap_or_default(),
        Host::Wildcard => wildcards(family, port),
    };
    let mut failure = None;
    for addr in addrs {
        match listen(addr) {
            Ok((socket, place)) => {
                let real = socket.local_addr().ok().and_then(|addr| addr.as_socket());
                let endpoint = endpoint.with_port(real.map_or(port, |real| real.port()));
                return Ok(Bound { place, ..Bound::new(Some(socket), endpoint, options) });
            }
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| ListenError::Unresolved { url: endpoint.to_string() }))
}

fn listen_tcp(
    addr: SocketAddr,
    family: IpFamily,
    options: &ListenOptions,
) -> io::Result<Listening> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(family == IpFamily::V6)?;
    }
    // A server that restarts does not wait for the old connections' last packets.
    socket.set_reuse_address(true)?;
    options.conn.tuning.bind_interface(&socket)?;
    socket.bind(&addr.into())?;
    start(socket, options.backlog)
}

/// All interfaces: both families at once where the system can, else IPv4.
fn wildcards(family: IpFamily, port: u16) -> Vec<SocketAddr> {
    let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    match family {
        IpFamily::Any => vec![v6, v4],
        IpFamily::V4 => vec![v4],
        IpFamily::V6 => vec![v6],
    }
}

fn bind_ipc(
    endpoint: &Endpoint,
    path: &Path,
    options: &ListenOptions,
) -> Result<Bound, ListenError> {
    let url = || endpoint.to_string();
    let failed = |error| ListenError::from_io(url(), error);
    let addr = SockAddr::unix(path).map_err(failed)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    if let Some(mode) = options.permissions {
        permissions::narrow(&socket, mode).map_err(failed)?;
    }
    if let Err(error) = socket.bind(&addr) {
        if error.kind() != ErrorKind::AddrInUse {
            return Err(failed(error));
        }
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(ListenError::NotASocket { url: url() });
            }
            _ => {}
        }
        if is_alive(&addr) {
            return Err(ListenError::InUse { url: url() });
        }
        // Left behind by a listener that was killed. Somebody else may remove it at the same time.
        let _ = fs::remove_file(path);
        socket.bind(&addr).map_err(failed)?;
    }
    let file = SocketFile::of(path).map_err(failed)?;
    if let Some(mode) = options.permissions {
        permissions::widen(path, mode).map_err(failed)?;
    }
    let socket = start(socket, options.backlog).map_err(failed)?;
    Ok(Bound { _file: Some(file), ..Bound::new(Some(socket), endpoint.clone(), options) })
}

fn bind_abstract(
    endpoint: &Endpoint,
    name: &[u8],
    options: &ListenOptions,
) -> Result<Bound, ListenError> {
    let listen = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&abstract_addr(name)?)?;
        start(socket, options.backlog)
    };
    let socket = listen().map_err(|error| ListenError::from_io(endpoint.to_string(), error))?;
    Ok(Bound::new(Some(socket), endpoint.clone(), options))
}

/// Has the program's own transport listen, which is on the thread of whoever asked for it: a panic is theirs.
fn bind_own(
    endpoint: &Endpoint,
    scheme: &str,
    address: &str,
    options: &ListenOptions,
) -> Result<Bound, ListenError> {
    let failed = |error| ListenError::from_io(endpoint.to_string(), error);
    let listener =
        registered(scheme).and_then(|transport| transport.listen(address)).map_err(failed)?;
    let real = listener.address();
    let endpoint = real.map_or_else(|| endpoint.clone(), |real| endpoint.with_own_address(&real));
    let door = Door::Own(OwnListener::new(listener).map_err(failed)?);
    Ok(Bound::behind(Some(door), endpoint, options))
}

/// The address of an abstract socket: a NUL byte and the name, without padding or terminator.
pub(crate) fn abstract_addr(name: &[u8]) -> io::Result<SockAddr> {
    let bytes = [b"\0", name].concat();
    SockAddr::unix(OsStr::from_bytes(&bytes))
}

/// Whether somebody listens on a socket file. A full backlog is a sign of life.
fn is_alive(addr: &SockAddr) -> bool {
    let Ok(probe) = Socket::new(Domain::UNIX, Type::STREAM, None) else { return true };
    if probe.set_nonblocking(true).is_err() {
        return true;
    }
    !matches!(probe.connect(addr), Err(error) if error.kind() == ErrorKind::ConnectionRefused)
}

fn start(socket: Socket, backlog: u32) -> io::Result<Listening> {
    socket.set_nonblocking(true)?;
    listen(&socket, backlog)?;
    Ok(Listening { socket: Some(socket), is_ours: true })
}

/// For a socket that listens already: from now on with this backlog.
pub(crate) fn listen(socket: &Socket, backlog: u32) -> io::Result<()> {
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
}

/// The file of a listening socket, removed with its listener unless it has become somebody else's.
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        // An absolute path, so that the file is found again should the working directory change.
        let path = std::path::absolute(path)?;
        Ok(Self { path, device: found.dev(), inode: found.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Ok(found) = fs::symlink_metadata(&self.path)
            && (found.dev(), found.ino()) == (self.device, self.inode)
        {
            // Removed by somebody else in this instant: just as well.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The first pause after running out of descriptors; doubled with each further failure up to the last.
pub(crate) const PAUSE_FIRST: Duration = Duration::from_millis(10);
pub(crate) const PAUSE_LAST: Duration = Duration::from_secs(1);
