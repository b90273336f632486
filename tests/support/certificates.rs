//! Certificates for tests, which each process makes for itself: two authorities, and those they vouch for.
//!
//! The library's own cryptography makes public keys and signatures; the DER around them is written here. Certificates
//! follow RFC 5280: section 4.1 in version 3, and of section 4.2 the extensions that somebody looks at. Private keys
//! follow RFC 5958, section 2 in its first version, around SEC 1, section C.4 without the public key, which a loader
//! computes. As text, both follow RFC 7468.

use std::sync::{Arc, LazyLock};

use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::alg_id::{ECDSA_P256, ECDSA_SHA256};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;

/// Has signed all but the stranger and the one that signed itself.
pub(crate) static AUTHORITY: LazyLock<Holder> =
    LazyLock::new(|| Holder::signing_itself("Test authority", &of_authority(), FOREVER));

/// Has signed the stranger.
pub(crate) static OTHER_AUTHORITY: LazyLock<Holder> =
    LazyLock::new(|| Holder::signing_itself("Another authority", &of_authority(), FOREVER));

/// For this machine, by its name and addresses.
pub(crate) static SERVER: LazyLock<Holder> =
    LazyLock::new(|| AUTHORITY.signs("localhost", &of_server_here(), FOREVER));

/// For the same, to be shown later.
pub(crate) static SERVER2: LazyLock<Holder> =
    LazyLock::new(|| AUTHORITY.signs("localhost", &of_server_here(), FOREVER));

pub(crate) static CLIENT: LazyLock<Holder> =
    LazyLock::new(|| AUTHORITY.signs("A client", &of_peer(CLIENT_AUTH), FOREVER));

/// A client of the other authority.
pub(crate) static STRANGER: LazyLock<Holder> =
    LazyLock::new(|| OTHER_AUTHORITY.signs("A stranger", &of_peer(CLIENT_AUTH), FOREVER));

/// For another machine.
pub(crate) static ELSEWHERE: LazyLock<Holder> = LazyLock::new(|| {
    let name = "elsewhere.example";
    AUTHORITY.signs(name, &of_server(&[der(DNS_NAME, &[name.as_bytes()])]), FOREVER)
});

/// For this machine, until years ago.
pub(crate) static EXPIRED: LazyLock<Holder> =
    LazyLock::new(|| AUTHORITY.signs("localhost", &of_server_here(), YEAR_2021));

/// For this machine, with nobody else to vouch for it.
pub(crate) static SELF_SIGNED: LazyLock<Holder> =
    LazyLock::new(|| Holder::signing_itself("localhost", &of_server_here(), FOREVER));

/// Who has a key, and a certificate that says so.
pub(crate) struct Holder {
    pub(crate) certificate: CertificateDer<'static>,
    subject: Subject,
}

impl Holder {
    fn signing_itself(name: &'static str, extensions: &[u8], until: &[u8]) -> Self {
        let subject = Subject::new(name);
        Self { certificate: subject.certifies(&subject, extensions, until), subject }
    }

    fn signs(&self, name: &'static str, extensions: &[u8], until: &[u8]) -> Self {
        let subject = Subject::new(name);
        Self { certificate: self.subject.certifies(&subject, extensions, until), subject }
    }

    pub(crate) fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    pub(crate) fn key(&self) -> PrivatePkcs8KeyDer<'static> {
        self.subject.key.clone_key()
    }

    pub(crate) fn key_pem(&self) -> String {
        pem("PRIVATE KEY", self.key().secret_pkcs8_der())
    }
}

/// Whom a certificate is about.
struct Subject {
    name: &'static str,
    key: PrivatePkcs8KeyDer<'static>,
    loaded: Arc<dyn SigningKey>,
}

impl Subject {
    /// With a new key.
    fn new(name: &'static str) -> Self {
        let mut number = random::<32>();
        // Below the order of the group, which begins with 32 ones.
        number[0] &= 0x7f;
        let private = sequence(&[&der(INTEGER, &[&[1]]), &der(OCTET_STRING, &[&number])]);
        let key = sequence(&[
            &der(INTEGER, &[&[0]]),
            &sequence(&[&ECDSA_P256]),
            &der(OCTET_STRING, &[&private]),
        ]);
        let key = PrivatePkcs8KeyDer::from(key);
        let loaded = provider().key_provider.load_private_key(key.clone_key().into());
        Self { name, key, loaded: loaded.expect("a key in due form") }
    }

    /// Says of another, or of itself, that the key is theirs.
    fn certifies(&self, other: &Self, extensions: &[u8], until: &[u8]) -> CertificateDer<'static> {
        // Like no other, and neither negative nor with zeros in front.
        let serial = [&[1][..], &random::<15>()].concat();
        let algorithm = sequence(&[&ECDSA_SHA256]);
        let claim = sequence(&[
            &der(EXPLICIT_0, &[&der(INTEGER, &[&[2]])]),
            &der(INTEGER, &[&serial]),
            &algorithm,
            &common_name(self.name),
            &sequence(&[YEAR_2020, until]),
            &common_name(other.name),
            &other.loaded.public_key().expect("it was computed from the private one"),
            &der(EXPLICIT_3, &[&sequence(&[extensions])]),
        ]);
        let signer = self.loaded.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
        let signature = signer.expect("the scheme for the curve").sign(&claim);
        // In whole bytes: no bits of the last one are unused.
        let signature = der(BIT_STRING, &[&[0], &signature.expect("a signature")]);
        sequence(&[&claim, &algorithm, &signature]).into()
    }
}

/// The extensions of who signs others.
fn of_authority() -> Vec<u8> {
    let is_authority = sequence(&[TRUE]);
    [critical(BASIC_CONSTRAINTS, &is_authority), critical(KEY_USAGE, KEY_CERT_SIGN)].concat()
}

fn of_server_here() -> Vec<u8> {
    let v6 = 1_u128.to_be_bytes();
    of_server(&[
        der(DNS_NAME, &[b"localhost"]),
        der(IP_ADDRESS, &[&[127, 0, 0, 1]]),
        der(IP_ADDRESS, &[&v6]),
    ])
}

fn of_server(names: &[Vec<u8>]) -> Vec<u8> {
    let names = sequence(&[&names.concat()]);
    [of_peer(SERVER_AUTH), extension(SUBJECT_ALT_NAME, &names)].concat()
}

/// The extensions of who signs handshakes in this role.
fn of_peer(role: &[u8]) -> Vec<u8> {
    let roles = sequence(&[&der(OBJECT, &[role])]);
    [
        extension(BASIC_CONSTRAINTS, &sequence(&[])),
        extension(KEY_USAGE, DIGITAL_SIGNATURE),
        extension(EXTENDED_KEY_USAGE, &roles),
    ]
    .concat()
}

fn extension(id: &[u8], value: &[u8]) -> Vec<u8> {
    sequence(&[&der(OBJECT, &[id]), &der(OCTET_STRING, &[value])])
}

/// An extension that whoever does not know it must not pass over.
fn critical(id: &[u8], value: &[u8]) -> Vec<u8> {
    sequence(&[&der(OBJECT, &[id]), TRUE, &der(OCTET_STRING, &[value])])
}

fn common_name(name: &str) -> Vec<u8> {
    let attribute =
        sequence(&[&der(OBJECT, &[COMMON_NAME]), &der(UTF8_STRING, &[name.as_bytes()])]);
    sequence(&[&der(SET, &[&attribute])])
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    der(SEQUENCE, parts)
}

/// Tag, length, content.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = u16::try_from(content.len()).expect("nothing here is that long");
    let head = match len.to_be_bytes() {
        [0, len @ ..0x80] => vec![tag, len],
        [0, len] => vec![tag, 0x81, len],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, content].concat()
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let mut bits = [0; 4];
            bits[1..=three.len()].copy_from_slice(three);
            let bits = u32::from_be_bytes(bits);
            let digits = [18, 12, 6, 0].map(|at| BASE64[(bits >> at) as usize & 63]);
            text.extend(digits[..=three.len()].iter().copied().map(char::from));
            text.extend(&['=', '='][three.len() - 1..]);
        }
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    provider().secure_random.fill(&mut bytes).expect("the system has randomness");
    bytes
}

fn provider() -> CryptoProvider {
    rustls_graviola::default_provider()
}

// Tags: types that are universal, what `Certificate` numbers, what `GeneralName` does.
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const EXPLICIT_0: u8 = 0xa0;
const EXPLICIT_3: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

// Objects by their numbers, which begin with 2.5.4, 2.5.29 and 1.3.6.1.5.5.7.3.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const KEY_USAGE: &[u8] = &[0x55, 29, 15];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 29, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 29, 19];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 29, 37];
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

// Whole values. Uses of a key are bits, of which the last are left out.
const TRUE: &[u8] = &[0x01, 1, 0xff];
const DIGITAL_SIGNATURE: &[u8] = &[BIT_STRING, 2, 7, 1 << 7];
const KEY_CERT_SIGN: &[u8] = &[BIT_STRING, 2, 2, 1 << 2];
const YEAR_2020: &[u8] = b"\x17\x0d200101000000Z";
const YEAR_2021: &[u8] = b"\x17\x0d210101000000Z";
/// As RFC 5280 writes that there is no end; from 2050 on, years have four digits.
const FOREVER: &[u8] = b"\x18\x0f99991231235959Z";

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
