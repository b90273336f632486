//! Certificates of the library's own tests, and what its sockets need of them.

use sp::tls::{Authorities, Client, Identity, Server};

/// A certificate and its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pem {
    pub(crate) certificate: &'static str,
    pub(crate) key: &'static str,
}

pub(crate) const AUTHORITY: &str = include_str!("../../../tests/tls/ca.pem");

/// For localhost.
pub(crate) const SERVER: Pem = Pem {
    certificate: include_str!("../../../tests/tls/server.pem"),
    key: include_str!("../../../tests/tls/server.key"),
};

pub(crate) const CLIENT: Pem = Pem {
    certificate: include_str!("../../../tests/tls/client.pem"),
    key: include_str!("../../../tests/tls/client.key"),
};

/// Trusts the authority and shows a certificate.
pub(crate) fn client() -> Client {
    let client = Client::builder(&authority()).identity(identity(CLIENT)).build();
    client.expect("a good certificate")
}

/// Trusts the authority and shows none.
pub(crate) fn client_without_certificate() -> Client {
    Client::builder(&authority()).build().expect("a good authority")
}

/// Shows a certificate and requires one.
pub(crate) fn server() -> Server {
    let server = Server::builder(identity(SERVER)).require_clients(&authority()).build();
    server.expect("a good certificate")
}

fn authority() -> Authorities {
    Authorities::from_pem(AUTHORITY).expect("a good authority")
}

fn identity(pem: Pem) -> Identity {
    Identity::from_pem(pem.certificate, pem.key).expect("good PEM")
}
