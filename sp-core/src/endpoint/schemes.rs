//! Schemes that the program brings, beside those that are built in.

use std::sync::Mutex;

use super::{Address, EndpointError, parse};
use crate::process::PerProcess;
use crate::sync::lock;

/// Why a scheme cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemeError {
    /// It is no scheme.
    #[error(
        "{scheme:?} is no scheme: write a small letter and behind it small letters, digits, `+`, `-` and `.`"
    )]
    Malformed {
        /// The scheme as given.
        scheme: &'static str,
    },
    /// It is one of the Scalability Protocols' own, whether this build has it or not.
    #[error("the scheme {scheme:?} has a meaning in the Scalability Protocols; choose another")]
    BuiltIn {
        /// The scheme as given.
        scheme: &'static str,
    },
    /// The program has registered it already.
    #[error("the scheme {scheme:?} is registered already; choose another, or register it once")]
    Taken {
        /// The scheme as given.
        scheme: &'static str,
    },
}

/// From now on, and as long as the process lives, URLs with this scheme are endpoints: everything behind `://` is the
/// address as it stands.
///
/// # Errors
///
/// [`SchemeError`] if it is malformed, built in or taken.
pub fn add_scheme(scheme: &'static str) -> Result<(), SchemeError> {
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.');
    if !scheme.starts_with(|first: char| first.is_ascii_lowercase())
        || !scheme.bytes().all(is_plain)
    {
        return Err(SchemeError::Malformed { scheme });
    }
    match parse::address(&format!("{scheme}://")) {
        Err(EndpointError::UnknownScheme { .. }) => {}
        Ok(Address::Own { .. }) => return Err(SchemeError::Taken { scheme }),
        _ => return Err(SchemeError::BuiltIn { scheme }),
    }
    let mut added = lock(here());
    // Somebody may have been faster since the look above.
    if added.contains(&scheme) {
        return Err(SchemeError::Taken { scheme });
    }
    added.push(scheme);
    Ok(())
}

/// The scheme as it was added, if it was.
pub(super) fn added(scheme: &str) -> Option<&'static str> {
    lock(here()).iter().copied().find(|added| *added == scheme)
}

/// What this process has. A forked child begins with what its parent had, unless a scheme was being added just then.
fn here() -> &'static Mutex<Vec<&'static str>> {
    ADDED.get(|parents| {
        Mutex::new(parents.try_lock().map_or_else(|_| Vec::new(), |had| had.clone()))
    })
}

/// A handful, so that looking at each is as quick as anything.
static ADDED: PerProcess<Mutex<Vec<&'static str>>> = PerProcess::first(Mutex::new(Vec::new()));
