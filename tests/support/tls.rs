//! What is built on the certificates: what sockets need for TLS, and scripted peers.

use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use sp::tls::{Authorities, Client, Identity, Server};

use super::certificates::{AUTHORITY, CLIENT, Holder, SERVER};

/// Where its signature is trusted.
pub(crate) fn authorities(holder: &Holder) -> Authorities {
    Authorities::from_pem(holder.certificate_pem()).expect("good PEM")
}

/// Shows its certificate.
pub(crate) fn identity(holder: &Holder) -> Identity {
    Identity::from_pem(holder.certificate_pem(), holder.key_pem()).expect("good PEM")
}

/// Who has signed all but strangers.
pub(crate) fn authority() -> Authorities {
    authorities(&AUTHORITY)
}

/// Lets in clients of the authority alone.
pub(crate) fn server() -> Server {
    let server = Server::builder(identity(&SERVER)).require_clients(&authority());
    server.build().expect("the certificate is good")
}

/// Trusts the authority and shows a certificate of it.
pub(crate) fn client() -> Client {
    let client = Client::builder(&authority()).identity(identity(&CLIENT));
    client.build().expect("the certificate is good")
}

/// A scripted client, who trusts the authority, shows a certificate of it and offers `alpn`.
pub(crate) fn scripted_client(
    stream: TcpStream,
    alpn: &[&str],
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(AUTHORITY.certificate.clone()).expect("an authority");
    let chain = vec![CLIENT.certificate.clone()];
    let mut config =
        ClientConfig::builder_with_provider(rustls_graviola::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions that it has")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, CLIENT.key().into())
            .expect("the key of the certificate");
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
    let chain = vec![SERVER.certificate.clone()];
    let mut config =
        ServerConfig::builder_with_provider(rustls_graviola::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions that it has")
            .with_no_client_auth()
            .with_single_cert(chain, SERVER.key().into())
            .expect("the key of the certificate");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    StreamOwned::new(ServerConnection::new(Arc::new(config)).expect("a session"), stream)
}
