//! What can be wrong with a TLS connection, in words of this library.

use std::fmt;

/// Why TLS ended a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFault {
    /// What came is no TLS.
    #[error("the peer does not speak TLS; it may be plain tcp")]
    NotTls,
    /// No authority that this side trusts has signed the peer's certificate.
    #[error("the peer's certificate is signed by no authority trusted here; add its CA")]
    UnknownIssuer,
    /// The certificate is for other names than the one asked for.
    #[error(
        "the peer's certificate is not for the name asked for; dial its name or set the server name"
    )]
    WrongName,
    /// The certificate was valid until a time that has passed.
    #[error("the peer's certificate has expired, or the clock here is wrong")]
    Expired,
    /// The certificate will be valid.
    #[error("the peer's certificate is not valid yet, or the clock here is wrong")]
    NotValidYet,
    /// The certificate is wrong in another way.
    #[error("the peer's certificate cannot be used: {why}")]
    BadCertificate {
        /// What is wrong with it.
        why: Box<str>,
    },
    /// A certificate is required and the peer has none.
    #[error("the peer showed no certificate, and one is required here")]
    NoCertificate,
    /// The two sides have no version, cipher or application protocol in common.
    #[error("the peer's TLS has nothing in common with ours: {why}")]
    Incompatible {
        /// What is missing.
        why: Box<str>,
    },
    /// The peer ended TLS and said why.
    #[error("the peer refused: {alert}")]
    Refused {
        /// The alert it sent.
        alert: TlsAlert,
    },
    /// What came was no valid TLS any more, or has been tampered with.
    #[error("the peer broke the TLS protocol: {why}")]
    Broken {
        /// What was wrong.
        why: Box<str>,
    },
    /// The peer hung up between messages without the goodbye of TLS, as nng may. What it sent last may be missing.
    #[error("the peer hung up without ending TLS; what it sent last may be missing")]
    NoGoodbye,
    /// This side could not go on.
    #[error("TLS failed here: {why}")]
    Failed {
        /// What went wrong.
        why: Box<str>,
    },
}

/// An alert as RFC 8446 section 6 numbers them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TlsAlert(pub u8);

impl TlsAlert {
    /// Its name in the standard, and what it means here for the most frequent ones.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            40 => "handshake_failure: nothing in common, or a certificate is missing",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired: our certificate has expired",
            46 => "certificate_unknown",
            48 => "unknown_ca: it does not trust who signed our certificate",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version: it wants another version of TLS",
            71 => "insufficient_security",
            80 => "internal_error",
            90 => "user_canceled",
            112 => "unrecognized_name: it has no certificate for the name asked for",
            116 => "certificate_required: it wants a certificate of ours",
            120 => "no_application_protocol",
            _ => return None,
        })
    }
}

impl fmt::Display for TlsAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "alert {}", self.0),
        }
    }
}

impl fmt::Debug for TlsAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
