//! Certificates for tests, made by `tests/tls/make.sh`, and what uses them.

use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
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

/// A scripted client, who trusts the authority, shows a certificate of it and offers `alpn`.
pub(crate) fn scripted_client(
    stream: TcpStream,
    alpn: &[&str],
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(include_bytes!("../tls/ca.pem"))).expect("an authority");
    let chain = vec![certificate(include_bytes!("../tls/client.pem"))];
    let mut config =
        ClientConfig::builder_with_provider(rustls_graviola::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions that it has")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key(include_bytes!("../tls/client.key")))
            .expect("the files were made for this");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a session");
    StreamOwned::new(session, stream)
}

/// A scripted server, who asks for no certificate and chooses among `alpn`.
pub(crate) fn scripted_server(
    stream: TcpStream,
    alpn: &[&str],
) -> StreamOwned<ServerConnection, TcpStream> {
    let chain = vec![certificate(include_bytes!("../tls/server.pem"))];
    let mut config =
        ServerConfig::builder_with_provider(rustls_graviola::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions that it has")
            .with_no_client_auth()
            .with_single_cert(chain, key(include_bytes!("../tls/server.key")))
            .expect("the files were made for this");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    StreamOwned::new(ServerConnection::new(Arc::new(config)).expect("a session"), stream)
}

fn certificate(pem: &[u8]) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem).expect("the files were made for this")
}

fn key(pem: &[u8]) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(pem).expect("the files were made for this")
}
