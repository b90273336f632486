//! The names of the process: who listens where.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sp_core::endpoint::Endpoint;
use sp_core::id::SocketId;
use sp_core::process::PerProcess;
use sp_core::sync::lock;

use crate::error::ListenError;
use crate::runtime::{EndpointId, Owner};
use crate::worker::WorkerHandle;

/// Who listens on which name.
static LISTENERS: PerProcess<Mutex<Option<Names>>> = PerProcess::first(Mutex::new(None));

type Names = HashMap<Box<str>, Listener>;

#[derive(Clone)]
pub(super) struct Listener {
    pub(super) id: EndpointId,
    pub(super) owner: Owner,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) worker: WorkerHandle,
}

/// Takes a name.
pub(crate) fn listen(
    id: EndpointId,
    name: &str,
    endpoint: &Arc<Endpoint>,
    owner: &Owner,
    worker: &WorkerHandle,
) -> Result<(), ListenError> {
    let mut listeners = lock(LISTENERS.or_default());
    let listeners = listeners.get_or_insert_default();
    if listeners.contains_key(name) {
        return Err(ListenError::InUse { url: endpoint.to_string() });
    }
    let listener = Listener {
        id,
        owner: owner.clone(),
        endpoint: Arc::clone(endpoint),
        worker: worker.clone(),
    };
    listeners.insert(name.into(), listener);
    Ok(())
}

/// Gives back the names of an endpoint.
pub(crate) fn unlisten(id: EndpointId) {
    forget(|listener| listener.id == id);
}

/// Gives back the names of a socket.
pub(crate) fn unlisten_socket(socket: SocketId) {
    forget(|listener| listener.owner.socket == socket);
}

/// Who listens on `name`.
pub(super) fn find(name: &str) -> Option<Listener> {
    lock(LISTENERS.or_default()).as_ref()?.get(name).cloned()
}

fn forget(gone: impl Fn(&Listener) -> bool) {
    // Dropped after the lock is released: an owner's last reference may be among them.
    let mut dropped = Vec::new();
    if let Some(listeners) = lock(LISTENERS.or_default()).as_mut() {
        dropped.extend(listeners.extract_if(|_, listener| gone(listener)));
    }
}
