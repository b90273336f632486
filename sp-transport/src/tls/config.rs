//! What dialers and listeners show of themselves and ask of their peers.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};
use sp_core::endpoint::Host;
use sp_core::sync::{Mutex, lock};

use crate::layers::Inside;

/// Who this side is: a certificate, those that lead from it to an authority, and the key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From PEM text: `chain` holds our certificate first, then those of intermediate authorities; `key` holds the
    /// private key in PKCS#8, SEC1 or PKCS#1.
    ///
    /// # Errors
    ///
    /// [`Error::Pem`] if there is no certificate or no key.
    pub fn from_pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, Error> {
        let chain = certificates(chain.as_ref())?;
        let key = PrivateKeyDer::from_pem_slice(key.as_ref());
        let key = key.map_err(|why| Error::Pem { what: "a private key", why: why.to_string() })?;
        Ok(Self { chain, key })
    }

    /// From DER: our certificate first, then those of intermediate authorities, and the private key.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is of no known form.
    pub fn from_der(
        chain: impl IntoIterator<Item: Into<Vec<u8>>>,
        key: impl Into<Vec<u8>>,
    ) -> Result<Self, Error> {
        let chain = chain.into_iter().map(|der| CertificateDer::from(der.into())).collect();
        let key = PrivateKeyDer::try_from(key.into());
        let key = key.map_err(|why| Error::Key { why: why.to_owned() })?;
        Ok(Self { chain, key })
    }
}

/// Tells nothing of the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

/// Whose signatures count: the certificates of authorities.
#[derive(Clone, Debug)]
pub struct Authorities {
    roots: Arc<RootCertStore>,
}

impl Authorities {
    /// From PEM text with one certificate or more.
    ///
    /// # Errors
    ///
    /// [`Error::Pem`] if there is none, [`Error::Authority`] if one cannot be used.
    pub fn from_pem(certificates_pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::new(certificates(certificates_pem.as_ref())?)
    }

    /// From DER.
    ///
    /// # Errors
    ///
    /// [`Error::Authority`] if one cannot be used, or if there is none.
    pub fn from_der(certificates: impl IntoIterator<Item: Into<Vec<u8>>>) -> Result<Self, Error> {
        Self::new(certificates.into_iter().map(|der| CertificateDer::from(der.into())))
    }

    fn new(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            let added = roots.add(certificate);
            added.map_err(|why| Error::Authority { why: why.to_string() })?;
        }
        if roots.is_empty() {
            return Err(Error::Authority { why: "there is none".to_owned() });
        }
        Ok(Self { roots: Arc::new(roots) })
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Version {
    /// 1.2, the default minimum.
    #[default]
    Tls12,
    /// 1.3
    Tls13,
}

impl Version {
    fn and_later(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => rustls::ALL_VERSIONS,
            Self::Tls13 => ONLY_TLS13,
        }
    }
}

/// What dialers use: whom they trust and what they show.
///
/// A handle: clones are the same thing, and [`replace`](Self::replace) concerns all of them.
#[derive(Clone)]
pub struct Client {
    setup: Arc<Mutex<ClientSetup>>,
}

#[derive(Clone)]
struct ClientSetup {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl Client {
    /// Trusts servers whose certificate one of `authorities` has signed and that is for the host dialled.
    pub fn builder(authorities: &Authorities) -> ClientBuilder {
        ClientBuilder {
            authorities: authorities.clone(),
            identity: None,
            server_name: None,
            min_version: Version::default(),
            alpn: Vec::new(),
        }
    }

    /// Connections made from now on use what `with` has. Those that exist stay as they are.
    pub fn replace(&self, with: &Self) {
        let new = lock(&with.setup).clone();
        *lock(&self.setup) = new;
    }

    pub(crate) fn session(&self, host: &Host, inside: Inside) -> Result<Connection, rustls::Error> {
        let ClientSetup { config, server_name } = lock(&self.setup).clone();
        let name = match (server_name, host) {
            (Some(name), _) => name,
            (None, Host::Ip(ip)) => ServerName::IpAddress((*ip).into()),
            (None, Host::Name(name)) => ServerName::try_from(name.to_string()).map_err(|_| {
                rustls::Error::General(format!("{name:?} can be in no certificate"))
            })?,
            (None, Host::Wildcard) => unreachable!("an endpoint without a host is not dialled"),
        };
        let alpn = inside.or_named(config.alpn_protocols.clone());
        Ok(Connection::Client(ClientConnection::new_with_alpn(config, name, alpn)?))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = lock(&self.setup).server_name.clone();
        f.debug_struct("Client").field("server_name", &name).finish_non_exhaustive()
    }
}

/// Sets a [`Client`] up.
#[derive(Debug)]
#[must_use]
pub struct ClientBuilder {
    authorities: Authorities,
    identity: Option<Identity>,
    server_name: Option<String>,
    min_version: Version,
    alpn: Vec<Vec<u8>>,
}

impl ClientBuilder {
    /// What is shown to servers that ask for a certificate.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The name, or address, that the server's certificate has to be for, instead of the host dialled.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Refuses servers that have only older versions.
    pub fn min_version(mut self, version: Version) -> Self {
        self.min_version = version;
        self
    }

    /// Application protocols to offer, over any transport. By default none is offered, as nng and mangos do it, and
    /// over `wss` http/1.1.
    pub fn alpn(mut self, protocols: impl IntoIterator<Item: Into<Vec<u8>>>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    ///
    /// [`Error`] says what is wrong with the key, the certificates or the name.
    pub fn build(self) -> Result<Client, Error> {
        let server_name = match self.server_name {
            Some(name) => match ServerName::try_from(name.clone()) {
                Ok(valid) => Some(valid),
                Err(_) => return Err(Error::ServerName { name }),
            },
            None => None,
        };
        let config = ClientConfig::builder_with_provider(provider()?)
            .with_protocol_versions(self.min_version.and_later())
            .map_err(Error::setup)?
            .with_root_certificates(self.authorities.roots);
        let mut config = match self.identity {
            Some(Identity { chain, key }) => {
                config.with_client_auth_cert(chain, key).map_err(Error::setup)?
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn;
        let setup = ClientSetup { config: Arc::new(config), server_name };
        Ok(Client { setup: Arc::new(Mutex::new(setup)) })
    }
}

/// What listeners use: what they show and which clients they let in.
///
/// A handle: clones are the same thing, and [`replace`](Self::replace) concerns all of them.
#[derive(Clone)]
pub struct Server {
    setup: Arc<Mutex<ServerSetup>>,
}

#[derive(Clone)]
struct ServerSetup {
    sp: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
}

impl Server {
    /// Shows `identity` and lets every client in, without asking for a certificate.
    pub fn builder(identity: Identity) -> ServerBuilder {
        ServerBuilder {
            identity,
            clients: Clients::Any,
            min_version: Version::default(),
            alpn: Vec::new(),
        }
    }

    /// Connections accepted from now on use what `with` has. Those that exist stay as they are, and the listener
    /// goes on.
    pub fn replace(&self, with: &Self) {
        let new = lock(&with.setup).clone();
        *lock(&self.setup) = new;
    }

    pub(crate) fn session(&self, inside: Inside) -> Result<Connection, rustls::Error> {
        let ServerSetup { sp, http } = lock(&self.setup).clone();
        let config = match inside {
            Inside::Sp => sp,
            Inside::Http => http,
        };
        Ok(Connection::Server(ServerConnection::new(config)?))
    }

    /// Whether both are handles of one thing.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.setup, &other.setup)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// Sets a [`Server`] up.
#[derive(Debug)]
#[must_use]
pub struct ServerBuilder {
    identity: Identity,
    clients: Clients,
    min_version: Version,
    alpn: Vec<Vec<u8>>,
}

/// Who is let in.
#[derive(Debug)]
enum Clients {
    Any,
    /// A certificate is asked for; one that is shown has to be good.
    Asked(Authorities),
    Required(Authorities),
}

impl ServerBuilder {
    /// Asks clients for a certificate. One that shows a certificate of nobody in `authorities` is turned away, one that
    /// shows none is let in.
    pub fn ask_clients(mut self, authorities: &Authorities) -> Self {
        self.clients = Clients::Asked(authorities.clone());
        self
    }

    /// Lets in only clients with a certificate that one of `authorities` has signed: mutual authentication.
    pub fn require_clients(mut self, authorities: &Authorities) -> Self {
        self.clients = Clients::Required(authorities.clone());
        self
    }

    /// Refuses clients that have only older versions.
    pub fn min_version(mut self, version: Version) -> Self {
        self.min_version = version;
        self
    }

    /// Application protocols to choose from, over any transport. A client that offers others alone is turned away, one
    /// that offers none is let in: nng and mangos use none. By default none is chosen, and over `wss` http/1.1.
    pub fn alpn(mut self, protocols: impl IntoIterator<Item: Into<Vec<u8>>>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    ///
    /// [`Error`] says what is wrong with the key or the certificates.
    pub fn build(self) -> Result<Server, Error> {
        let provider = provider()?;
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.min_version.and_later())
            .map_err(Error::setup)?;
        let config = match self.clients {
            Clients::Any => config.with_no_client_auth(),
            Clients::Asked(by) => config.with_client_cert_verifier(verifier(&by, provider, true)?),
            Clients::Required(by) => {
                config.with_client_cert_verifier(verifier(&by, provider, false)?)
            }
        };
        let Identity { chain, key } = self.identity;
        let config = config.with_single_cert(chain, key).map_err(Error::setup)?;
        let naming = |inside: Inside| {
            let mut config = config.clone();
            config.alpn_protocols = inside.or_named(self.alpn.clone());
            Arc::new(config)
        };
        let setup = ServerSetup { sp: naming(Inside::Sp), http: naming(Inside::Http) };
        Ok(Server { setup: Arc::new(Mutex::new(setup)) })
    }
}

impl Inside {
    /// The application protocols that a program has named, or those of what is inside if it has named none.
    fn or_named(self, named: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        match self {
            Self::Http if named.is_empty() => vec![b"http/1.1".to_vec()],
            Self::Sp | Self::Http => named,
        }
    }
}

/// Why a certificate, key or name cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Text that is no PEM, or has not what is needed.
    #[error("{what} is needed in PEM: {why}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The private key is of no known form.
    #[error("the private key cannot be used: {why}; give it in PKCS#8, SEC1 or PKCS#1")]
    Key {
        /// What is wrong.
        why: String,
    },
    /// An authority's certificate cannot be used.
    #[error("the authority's certificate cannot be used: {why}")]
    Authority {
        /// What is wrong.
        why: String,
    },
    /// No certificate can be for this name.
    #[error("{name:?} is no host name or address, so no certificate can be for it")]
    ServerName {
        /// The name given.
        name: String,
    },
    /// The certificate and the key do not belong together, or cannot be used for TLS.
    #[error("the certificate cannot be used with this key: {why}")]
    Identity {
        /// What is wrong.
        why: String,
    },
    /// This processor lacks what the cryptography needs.
    #[error(
        "TLS needs a processor with AES, AVX2, ADX and BMI1, or an ARM with AES, PMULL and SHA2"
    )]
    Processor,
}

impl Error {
    fn setup(error: rustls::Error) -> Self {
        Self::Identity { why: error.to_string() }
    }
}

const ONLY_TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let what = "a certificate";
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|why| Error::Pem { what, why: why.to_string() })?;
    if found.is_empty() {
        return Err(Error::Pem { what, why: "there is none".to_owned() });
    }
    Ok(found)
}

fn verifier(
    authorities: &Authorities,
    provider: Arc<CryptoProvider>,
    may_have_none: bool,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let roots = Arc::clone(&authorities.roots);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
    let builder = if may_have_none { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|why| Error::Authority { why: why.to_string() })
}

/// The cryptography, always named: which one the process prefers elsewhere does not matter here.
fn provider() -> Result<Arc<CryptoProvider>, Error> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    if !processor_suffices() {
        return Err(Error::Processor);
    }
    Ok(Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls_graviola::default_provider()))))
}

/// What graviola asks for; it panics where that is missing.
fn processor_suffices() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("adx")
        && is_x86_feature_detected!("avx")
        && is_x86_feature_detected!("avx2");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull")
        && std::arch::is_aarch64_feature_detected!("sha2");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
}
