//! Dialers and listeners of a socket.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use sp_core::endpoint::{Address, Endpoint, EndpointError};
use sp_transport::{
    AttachError, DialError, DialOptions, EndpointId, ListenError, ListenOptions, Owner, Runtime,
};

use super::Socket;
use crate::engine::Engine;

impl<E: Engine> Socket<E> {
    /// Connects to `url` and keeps the connection up: when it is lost it is made again, with growing pauses.
    ///
    /// Waits for the first connection. The socket can have any number of dialers and listeners.
    ///
    /// # Errors
    ///
    /// [`DialError`] if the URL makes no sense or the first attempt fails; then nothing is left behind. See
    /// [`DialOptions::background`] for trying on instead.
    pub fn dial<U>(&self, url: U) -> Result<Dialer, DialError>
    where
        U: TryInto<Endpoint>,
        U::Error: Into<EndpointError>,
    {
        self.dial_with(url, &DialOptions::new())
    }

    /// As [`dial`](Self::dial), with options.
    ///
    /// # Errors
    ///
    /// As [`dial`](Self::dial); in the background only for a URL that makes no sense.
    pub fn dial_with<U>(&self, url: U, options: &DialOptions) -> Result<Dialer, DialError>
    where
        U: TryInto<Endpoint>,
        U::Error: Into<EndpointError>,
    {
        let endpoint = url.try_into().map_err(Into::into)?;
        let shared = self.shared();
        let Some(runtime) = shared.runtime().filter(|_| !shared.is_closed()) else {
            let url = endpoint.to_string();
            let is_forked = shared.is_forked;
            return Err(if is_forked {
                DialError::Forked { url }
            } else {
                DialError::Closed { url }
            });
        };
        let id = runtime.dial(&shared.owner(), &endpoint, options)?;
        if shared.is_closed() {
            // Closed meanwhile, perhaps before the worker knew of the dialer.
            runtime.close_endpoint(id);
            return Err(DialError::Closed { url: endpoint.to_string() });
        }
        Ok(Dialer { id, endpoint, runtime: Arc::downgrade(&runtime) })
    }

    /// Accepts connections at `url`.
    ///
    /// # Errors
    ///
    /// [`ListenError`] if the URL makes no sense or the address is not to be had.
    pub fn listen<U>(&self, url: U) -> Result<Listener, ListenError>
    where
        U: TryInto<Endpoint>,
        U::Error: Into<EndpointError>,
    {
        self.listen_with(url, &ListenOptions::new())
    }

    /// As [`listen`](Self::listen), with options.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    pub fn listen_with<U>(&self, url: U, options: &ListenOptions) -> Result<Listener, ListenError>
    where
        U: TryInto<Endpoint>,
        U::Error: Into<EndpointError>,
    {
        let endpoint = url.try_into().map_err(Into::into)?;
        self.start(&endpoint, |runtime, owner| runtime.listen(owner, &endpoint, options))
    }

    /// Accepts connections on a descriptor that is bound and listens already, such as one that a supervisor opened
    /// and handed down: on systemd's socket activation, the descriptors from 3 on.
    ///
    /// `url` says what is spoken there: `tcp://*`, `tls+tcp://*`, `ws://*/path`, `ipc://path` or `abstract://name`; its
    /// host, port, path of a file or name count for nothing, for the descriptor has its own. Several paths of WebSocket
    /// may listen on copies of one descriptor. What concerns binding, which is the options' `backlog`, `interface` and
    /// `permissions`, is as whoever opened the descriptor had it.
    ///
    /// The descriptor becomes non-blocking, for whoever shares it as well, and belongs to the listener from now on; a
    /// socket file stays when the listener ends.
    ///
    /// ```
    /// # use sp_protocols::sockets as sp;
    /// use std::net::TcpListener;
    /// use sp::{Pull, Push};
    /// use sp_transport::ListenOptions;
    ///
    /// let inherited = TcpListener::bind("127.0.0.1:0")?;
    /// let pull = Pull::new()?;
    /// let listener = pull.listen_on(inherited, "ws://*/jobs", &ListenOptions::new())?;
    /// let push = Push::new()?;
    /// push.dial(listener.endpoint())?;
    /// push.send("by WebSocket")?;
    /// assert_eq!(pull.recv()?, "by WebSocket");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ListenError::NotListening`] if the descriptor is no listening stream socket, otherwise [`ListenError`] as for
    /// [`listen`](Self::listen), also if the URL is for addresses of another kind than the descriptor's.
    pub fn listen_on<U>(
        &self,
        fd: impl Into<OwnedFd>,
        url: U,
        options: &ListenOptions,
    ) -> Result<Listener, ListenError>
    where
        U: TryInto<Endpoint>,
        U::Error: Into<EndpointError>,
    {
        let endpoint = url.try_into().map_err(Into::into)?;
        self.start(&endpoint, |runtime, owner| {
            runtime.listen_on(owner, fd.into(), &endpoint, options)
        })
    }

    fn start(
        &self,
        endpoint: &Endpoint,
        start: impl FnOnce(&Runtime, &Owner) -> Result<(EndpointId, Arc<Endpoint>), ListenError>,
    ) -> Result<Listener, ListenError> {
        let shared = self.shared();
        let closed = || {
            let url = endpoint.to_string();
            if shared.is_forked { ListenError::Forked { url } } else { ListenError::Closed { url } }
        };
        let runtime = shared.runtime().filter(|_| !shared.is_closed()).ok_or_else(closed)?;
        let (id, endpoint) = start(&runtime, &shared.owner())?;
        if shared.is_closed() {
            // Closed meanwhile, perhaps before the worker knew of the listener.
            runtime.close_endpoint(id);
            return Err(closed());
        }
        Ok(Listener { id, endpoint, runtime: Arc::downgrade(&runtime) })
    }
}

/// A dialer of a socket. Dropping it changes nothing; the dialer ends with its socket or by
/// [`close`](Self::close).
#[derive(Debug)]
pub struct Dialer {
    id: EndpointId,
    endpoint: Endpoint,
    runtime: Weak<Runtime>,
}

impl Dialer {
    /// What is dialled.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Ends the dialer and its connection. The socket stays.
    pub fn close(self) {
        close(self.id, &self.runtime);
    }
}

/// A listener of a socket. Dropping it changes nothing; the listener ends with its socket or by
/// [`close`](Self::close).
#[derive(Debug)]
pub struct Listener {
    id: EndpointId,
    endpoint: Arc<Endpoint>,
    runtime: Weak<Runtime>,
}

impl Listener {
    /// The real address: with the port the system chose, if it was to choose one.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Takes over one end of a byte stream, such as a socket pair or a descriptor from a parent process. Needs a
    /// listener for `socket://`; whoever holds the other end does the same. The listener's limits hold here as well.
    ///
    /// ```
    /// # use sp_protocols::sockets as sp;
    /// use std::os::unix::net::UnixStream;
    /// use sp::{Pull, Push};
    ///
    /// let (one, other) = UnixStream::pair()?;
    /// let (push, pull) = (Push::new()?, Pull::new()?);
    /// push.listen("socket://")?.attach(one)?;
    /// pull.listen("socket://")?.attach(other)?;
    /// push.send("over a pair")?;
    /// assert_eq!(pull.recv()?, "over a pair");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The descriptor becomes non-blocking, for whoever shares it as well. Whether the handshake succeeds is told as an
    /// event.
    ///
    /// # Errors
    ///
    /// [`AttachError`] if the descriptor is something else, or the listener has no room for it or takes none; the
    /// descriptor is closed then.
    pub fn attach(&self, fd: impl Into<OwnedFd>) -> Result<(), AttachError> {
        if !matches!(self.endpoint.address(), Address::Socket) {
            return Err(AttachError::NotForDescriptors { url: self.endpoint.to_string() });
        }
        let runtime = self.runtime.upgrade().ok_or(AttachError::Closed)?;
        runtime.attach(self.id, fd.into())
    }

    /// Ends the listener and the connections it made; afterwards the address is free. The socket stays.
    pub fn close(self) {
        close(self.id, &self.runtime);
    }
}

fn close(id: EndpointId, runtime: &Weak<Runtime>) {
    if let Some(runtime) = runtime.upgrade() {
        runtime.close_endpoint(id);
    }
}
