//! rustls's errors in words of this library.

use std::io;

use rustls::{CertificateError, Error};
use sp_core::tls::{TlsAlert, TlsFault};

/// As an I/O error, for what lies above a stream knows nothing of TLS. [`of`] gets the fault out again.
pub(super) fn to_io(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, from_rustls(error))
}

/// The fault that an error of a stream stands for. Other layers and the kernel report no end that way.
pub(crate) fn of(error: &io::Error) -> Option<TlsFault> {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Some(TlsFault::NoGoodbye);
    }
    error.get_ref()?.downcast_ref().cloned()
}

fn from_rustls(error: Error) -> TlsFault {
    let why = || error.to_string().into_boxed_str();
    match &error {
        Error::InvalidMessage(_) => TlsFault::Broken { why: why() },
        Error::NoCertificatesPresented => TlsFault::NoCertificate,
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => {
            TlsFault::Incompatible { why: why() }
        }
        Error::AlertReceived(alert) => TlsFault::Refused { alert: TlsAlert(u8::from(*alert)) },
        Error::InvalidCertificate(wrong) => match wrong {
            CertificateError::UnknownIssuer => TlsFault::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFault::WrongName
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                TlsFault::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsFault::NotValidYet
            }
            _ => TlsFault::BadCertificate { why: why() },
        },
        Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::DecryptError
        | Error::PeerSentOversizedRecord => TlsFault::Broken { why: why() },
        _ => TlsFault::Failed { why: why() },
    }
}
