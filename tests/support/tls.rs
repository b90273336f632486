//! Certificates for tests, made by `tests/tls/make.sh`, and what uses them.

use sp::tls::{Authorities, Client, Identity, Server};

/// An identity from `tests/tls`, by name.
macro_rules! identity {
    ($name:literal) => {
        sp::tls::Identity::from_pem(
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/", $name, ".pem")),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/", $name, ".key")),
        )
        .expect("the files were made for this")
    };
}
#[allow(unused_imports, reason = "each test binary uses its part")]
pub(crate) use identity;

/// Who has signed everybody but strangers.
pub(crate) fn authority() -> Authorities {
    Authorities::from_pem(include_str!("../tls/ca.pem")).expect("the file was made for this")
}

/// Who has signed strangers.
pub(crate) fn other_authority() -> Authorities {
    Authorities::from_pem(include_str!("../tls/other-ca.pem")).expect("the file was made for this")
}

pub(crate) fn server_identity() -> Identity {
    identity!("server")
}

pub(crate) fn client_identity() -> Identity {
    identity!("client")
}

/// Lets in clients of the authority alone.
pub(crate) fn server() -> Server {
    let server = Server::builder(server_identity()).require_clients(&authority());
    server.build().expect("the certificate is good")
}

/// Trusts the authority and shows a certificate of it.
pub(crate) fn client() -> Client {
    let client = Client::builder(&authority()).identity(client_identity());
    client.build().expect("the certificate is good")
}
