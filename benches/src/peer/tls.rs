//! TLS: the certificates that every peer uses, and bare rustls over a blocking socket.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
};

use super::Aligned;

/// Who has signed the server's certificate. These are the certificates of the example `tls`.
pub(super) const AUTHORITY: &str = include_str!("../../../examples/certificates/ca.pem");

/// Of `localhost` and 127.0.0.1.
pub(super) const CERTIFICATE: &str = include_str!("../../../examples/certificates/server.pem");

/// Its key.
pub(super) const KEY: &str = include_str!("../../../examples/certificates/server.key");

/// Whether connections to `url` are under TLS.
pub(super) fn is_under(url: &str) -> bool {
    url.starts_with("tls+tcp:") || url.starts_with("wss:")
}

/// A socket with rustls on it, with the cryptography that this library uses.
pub(super) struct Stream {
    pub(super) socket: TcpStream,
    tls: Connection,
    /// Ciphertext of one large read, decrypted up to `used`, as far as `got`.
    inbox: Aligned,
    used: usize,
    got: usize,
}

impl Stream {
    /// Shakes hands as who has connected.
    pub(super) fn client(socket: TcpStream) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(AUTHORITY.as_bytes());
        roots.add(authority.map_err(io::Error::other)?).map_err(io::Error::other)?;
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls_graviola::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(io::Error::other)?
                .with_root_certificates(roots)
                .with_no_client_auth();
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        Self::shake(socket, tls.into())
    }

    /// Shakes hands as who was connected to.
    pub(super) fn server(socket: TcpStream) -> io::Result<Self> {
        let chain = CertificateDer::pem_slice_iter(CERTIFICATE.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).map_err(io::Error::other)?;
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls_graviola::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(io::Error::other)?
                .with_no_client_auth()
                .with_single_cert(chain, key)
                .map_err(io::Error::other)?;
        let tls = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
        Self::shake(socket, tls.into())
    }

    fn shake(socket: TcpStream, tls: Connection) -> io::Result<Self> {
        let mut stream = Self { socket, tls, inbox: Aligned::new(READ_BYTES, 0), used: 0, got: 0 };
        while stream.tls.is_handshaking() || stream.tls.wants_write() {
            stream.tls.complete_io(&mut stream.socket)?;
        }
        Ok(stream)
    }
}

impl Read for Stream {
    /// At most a record at a time; rustls holds no more.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(into) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            if self.used == self.got {
                self.used = 0;
                self.got = self.socket.read(&mut self.inbox)?;
            }
            self.used += self.tls.read_tls(&mut &self.inbox[self.used..self.got])?;
            self.tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

impl Write for Stream {
    /// Gone when it returns, so that nothing is left to flush.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.tls.writer().write(bytes)?;
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As much ciphertext as the library reads at a time.
const READ_BYTES: usize = 64 * 1024;
