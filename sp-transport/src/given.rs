//! Descriptors that somebody else has opened: a supervisor, a parent process, the program itself.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use socket2::{Socket, Type};
use sp_core::endpoint::Endpoint;

use crate::error::{AttachError, ListenError};
use crate::listener::Bound;
use crate::options::ListenOptions;
use crate::stream::Stream;
use crate::wire::Framing;

/// Takes over a descriptor that is bound and listens. Its file, if it has one, stays whose it is.
pub(crate) fn listening(fd: OwnedFd, options: &ListenOptions) -> Result<Bound, ListenError> {
    let socket = Socket::from(fd);
    let not_listening = |_| ListenError::NotListening;
    let listens = socket.is_listener().map_err(not_listening)?;
    if !listens || socket.r#type().map_err(not_listening)? != Type::STREAM {
        return Err(ListenError::NotListening);
    }
    let at = socket.local_addr().map_err(not_listening)?;
    let (endpoint, framing) = match at.as_socket() {
        Some(at) => (Endpoint::from(at), Framing::Length),
        None => (local_endpoint(&socket)?, Framing::TypeAndLength),
    };
    socket
        .set_nonblocking(true)
        .map_err(|error| ListenError::from_io(endpoint.to_string(), error))?;
    let (socket, options) = (Some(socket), options.clone());
    Ok(Bound { socket, framing, endpoint: Arc::new(endpoint), options, _file: None })
}

/// Where a local socket is bound. std reads abstract names as well.
fn local_endpoint(socket: &Socket) -> Result<Endpoint, ListenError> {
    let same = socket.as_fd().try_clone_to_owned().map(UnixListener::from);
    let at = same.and_then(|same| same.local_addr()).map_err(|_| ListenError::NotListening)?;
    Ok(Endpoint::try_from(&at)?)
}

/// Takes over a descriptor that is one end of a byte stream, set up as its owner likes it, and tells the other end's
/// address.
pub(crate) fn connected(fd: OwnedFd) -> Result<(Stream, Option<SocketAddr>), AttachError> {
    let socket = Socket::from(fd);
    // Only what is connected has somebody at the other end.
    let peer = socket.peer_addr().map_err(|_| AttachError::NotAStream)?;
    if !matches!(socket.r#type(), Ok(Type::STREAM)) || socket.set_nonblocking(true).is_err() {
        return Err(AttachError::NotAStream);
    }
    Ok((Stream::new(socket), peer.as_socket()))
}
