//! Descriptors that somebody else has opened: a supervisor, a parent process, the program itself.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

use socket2::{Socket, Type};
use sp_core::endpoint::{Address, Endpoint, EndpointError};
use sp_core::pipe::ProtocolId;

use crate::error::{AttachError, ListenError};
use crate::listener::{Bound, Listening};
use crate::options::ListenOptions;
use crate::ports::{Common, Port, Route};
use crate::runtime::EndpointId;

/// Takes over a descriptor that is bound and listens, for what `url` says is spoken there. Its file, if it has one,
/// stays whose it is.
///
/// `id` and `protocol` are the listener's, for clients who say whom they want.
pub(crate) fn listening(
    fd: OwnedFd,
    url: &Endpoint,
    options: &ListenOptions,
    id: EndpointId,
    protocol: ProtocolId,
) -> Result<Bound, ListenError> {
    let socket = Socket::from(fd);
    let not_listening = |_| ListenError::NotListening;
    let listens = socket.is_listener().map_err(not_listening)?;
    if !listens || socket.r#type().map_err(not_listening)? != Type::STREAM {
        return Err(ListenError::NotListening);
    }
    let failed = |error| ListenError::from_io(url.to_string(), error);
    socket.set_nonblocking(true).map_err(failed)?;
    let at = socket.local_addr().map_err(not_listening)?;
    let socket = Listening::shared(socket);
    match (url.address(), at.as_socket()) {
        (Address::Tcp { family, .. } | Address::Tls { family, .. }, Some(at))
            if family.includes(at.ip()) =>
        {
            Ok(Bound::new(Some(socket), url.with_socket_addr(at), options))
        }
        (Address::Ws { family, target, .. }, Some(at)) if family.includes(at.ip()) => {
            // The backlog and interface are the supervisor's, whatever others at the port ask for.
            let route = Route::new(target, id, protocol, u32::MAX);
            let tls = options.tls_of(url);
            let common = Common { addr: at, interface: None, tls };
            let taken = Port::take(common, route, || Ok(socket));
            let (place, socket) = taken.map_err(|why| why.at(url))?;
            let mut bound = Bound::new(Some(socket), url.with_socket_addr(at), options);
            bound.place = Some(place);
            Ok(bound)
        }
        (Address::Ipc { .. } | Address::Abstract { .. }, None) => {
            let endpoint = local_endpoint(&socket)?;
            Ok(Bound::new(Some(socket), endpoint, options))
        }
        _ => {
            let why = "the descriptor is bound to an address of another kind: use its URL";
            Err(EndpointError::Address { url: url.to_string(), why }.into())
        }
    }
}

/// Where a local socket is bound. std reads abstract names as well.
fn local_endpoint(socket: &Socket) -> Result<Endpoint, ListenError> {
    let same = socket.as_fd().try_clone_to_owned().map(UnixListener::from);
    let at = same.and_then(|same| same.local_addr()).map_err(|_| ListenError::NotListening)?;
    Ok(Endpoint::try_from(&at)?)
}

/// Takes over a descriptor that is one end of a byte stream, set up as its owner likes it, and tells the other end's
/// address.
pub(crate) fn connected(fd: OwnedFd) -> Result<(Socket, Option<SocketAddr>), AttachError> {
    let socket = Socket::from(fd);
    // Only what is connected has somebody at the other end.
    let peer = socket.peer_addr().map_err(|_| AttachError::NotAStream)?;
    if !matches!(socket.r#type(), Ok(Type::STREAM)) || socket.set_nonblocking(true).is_err() {
        return Err(AttachError::NotAStream);
    }
    Ok((socket, peer.as_socket()))
}
