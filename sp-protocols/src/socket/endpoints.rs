//! Dialers and listeners of a socket.

use std::sync::{Arc, Weak};

use sp_core::endpoint::{Endpoint, EndpointError};
use sp_transport::{DialError, DialOptions, EndpointId, ListenError, ListenOptions, Runtime};

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
            return Err(DialError::Closed { url: endpoint.to_string() });
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
        let shared = self.shared();
        let Some(runtime) = shared.runtime().filter(|_| !shared.is_closed()) else {
            return Err(ListenError::Closed { url: endpoint.to_string() });
        };
        let (id, endpoint) = runtime.listen(&shared.owner(), &endpoint, options)?;
        if shared.is_closed() {
            // Closed meanwhile, perhaps before the worker knew of the listener.
            runtime.close_endpoint(id);
            return Err(ListenError::Closed { url: endpoint.to_string() });
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
