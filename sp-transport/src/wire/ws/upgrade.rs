//! The exchange that turns HTTP into WebSocket and settles the patterns, for both sides.

use std::fmt::Write;
use std::str;

use sp_core::pipe::{CloseReason, ProtocolId};
use sp_core::websocket::UpgradeFault;

use super::accept::{accept, base64, is_key};
use super::head::HttpHead;
use super::mask::random;
use super::subprotocol;

/// What a dialer draws for one request, so that no stored answer fits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// A fresh one.
    pub fn fresh() -> Self {
        let ((a, b), (c, d)) = (random(), random());
        Self(base64(&[a, b, c, d].concat()))
    }
}

impl From<&str> for Key {
    /// A key that was drawn elsewhere.
    fn from(key: &str) -> Self {
        Self(key.to_owned())
    }
}

/// What a dialer sends to a listener that speaks `listener`. `None` for patterns without a name.
pub fn request(host: &str, target: &str, listener: ProtocolId, key: &Key) -> Option<Vec<u8>> {
    let protocol = subprotocol::name(listener)?;
    let Key(key) = key;
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    Some(request.into_bytes())
}

/// Reads the answer to a request for `listener` with `key`, up to and including its empty line.
pub fn check_answer(head: &[u8], listener: ProtocolId, key: &Key) -> Result<(), CloseReason> {
    let head = HttpHead::parse(head)?;
    check_status_line(head.first_line)?;
    check_upgrade(head)?;
    if head.value("Sec-WebSocket-Accept") != Some(&accept(key.0.as_bytes())) {
        return Err(UpgradeFault::Accept.into());
    }
    match find_pattern(head.value("Sec-WebSocket-Protocol").into_iter(), listener) {
        Ok(_) => Ok(()),
        Err(Some((got, _))) => Err(CloseReason::WrongProtocol { got, wanted: listener }),
        Err(None) => Err(UpgradeFault::Subprotocol.into()),
    }
}

/// Reads as much of an answer as has come. nanomsg refuses without an empty line, and without hanging up.
pub fn check_status(beginning: &[u8]) -> Result<(), CloseReason> {
    let line = beginning.split(|byte| *byte == b'\r').next().unwrap_or_default();
    if line.len() == beginning.len() {
        return Ok(());
    }
    check_status_line(str::from_utf8(line).map_err(|_| UpgradeFault::Malformed)?)
}

/// A status says who is at fault: nobody listens there, or somebody does not want us.
fn check_status_line(line: &str) -> Result<(), CloseReason> {
    use std::io::ErrorKind::{ConnectionRefused, PermissionDenied};
    let (version, rest) = line.split_once(' ').ok_or(UpgradeFault::Malformed)?;
    if !version.starts_with("HTTP/") {
        return Err(UpgradeFault::Malformed.into());
    }
    if version != "HTTP/1.1" {
        return Err(UpgradeFault::HttpVersion.into());
    }
    let status = rest.split(' ').next().filter(|status| status.len() == 3);
    match status.and_then(|status| status.parse().ok()).ok_or(UpgradeFault::Malformed)? {
        101 => Ok(()),
        401 | 403 => Err(CloseReason::Io(PermissionDenied)),
        404 | 405 | 501 => Err(CloseReason::Io(ConnectionRefused)),
        other => Err(UpgradeFault::Status(other).into()),
    }
}

/// What a dialer asks for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    head: HttpHead<'a>,
    method: &'a str,
    version: &'a str,
    path: &'a str,
}

impl<'a> Request<'a> {
    /// Reads a request up to and including its empty line.
    ///
    /// Judges what can be judged before it is known who listens.
    pub fn parse(head: &'a [u8]) -> Result<Self, UpgradeFault> {
        let head = HttpHead::parse(head)?;
        let mut words = head.first_line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(UpgradeFault::Malformed);
        };
        if !version.starts_with("HTTP/") {
            return Err(UpgradeFault::Malformed);
        }
        if !version.starts_with("HTTP/1.") {
            return Err(UpgradeFault::HttpVersion);
        }
        if head.values("Transfer-Encoding").next().is_some() {
            return Err(UpgradeFault::TransferEncoding);
        }
        if version == "HTTP/1.1" && head.value("Host").is_none() {
            return Err(UpgradeFault::Host);
        }
        let path = match target.split(['?', '#']).next() {
            // nng 1 asks for nothing where its URL has no path.
            None | Some("") => "/",
            Some(path) if path.starts_with('/') => path,
            Some(_) => return Err(UpgradeFault::Path),
        };
        Ok(Self { head, method, version, path })
    }

    /// The path that is asked for, without a query.
    pub const fn path(&self) -> &'a str {
        self.path
    }

    /// The answer of a listener that speaks `listener`; `None` if nobody listens at the path.
    pub fn answer(&self, listener: Option<ProtocolId>) -> Result<Vec<u8>, CloseReason> {
        let listener = listener.ok_or(UpgradeFault::Path)?;
        if !matches!(self.method, "GET" | "HEAD") {
            return Err(UpgradeFault::Method.into());
        }
        if self.version != "HTTP/1.1" {
            return Err(UpgradeFault::HttpVersion.into());
        }
        if self.method != "GET" {
            return Err(UpgradeFault::Head.into());
        }
        if self.head.values("Content-Length").any(|length| length != "0") {
            return Err(UpgradeFault::Body.into());
        }
        check_upgrade(self.head)?;
        if self.head.value("Sec-WebSocket-Version") != Some("13") {
            return Err(UpgradeFault::Version.into());
        }
        let key = self.head.value("Sec-WebSocket-Key").filter(|key| is_key(key.as_bytes()));
        let key = key.ok_or(UpgradeFault::Key)?;
        let protocol = match find_pattern(self.head.items("Sec-WebSocket-Protocol"), listener) {
            Ok(protocol) => protocol,
            // It asks for another listener, so it is what would dial that one.
            Err(Some((_, got))) => {
                let wanted = subprotocol::dialer_of(listener).unwrap_or(listener);
                return Err(CloseReason::WrongProtocol { got, wanted });
            }
            Err(None) => return Err(UpgradeFault::Subprotocol.into()),
        };
        let accept = accept(key.as_bytes());
        Ok(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
        )
        .into_bytes())
    }
}

/// The answer to a request that comes to nothing, after which the connection is closed.
pub fn refusal(why: &CloseReason) -> Vec<u8> {
    let (status, name) = match why {
        CloseReason::BadUpgrade(fault) => match fault {
            UpgradeFault::HttpVersion => (505, "HTTP Version Not Supported"),
            UpgradeFault::TransferEncoding => (501, "Not Implemented"),
            UpgradeFault::Path => (404, "Not Found"),
            UpgradeFault::Method => (405, "Method Not Allowed"),
            UpgradeFault::Body => (413, "Content Too Large"),
            UpgradeFault::TooLarge => (431, "Request Header Fields Too Large"),
            _ => (400, "Bad Request"),
        },
        CloseReason::HandshakeTimeout => (408, "Request Timeout"),
        CloseReason::TooMany { .. } => (503, "Service Unavailable"),
        _ => (400, "Bad Request"),
    };
    // A HEAD is answered without a body.
    let body = if *why == CloseReason::BadUpgrade(UpgradeFault::Head) {
        String::new()
    } else {
        format!("{why}\n")
    };
    let mut answer = format!(
        "HTTP/1.1 {status} {name}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    let more = match status {
        405 => "Allow: GET\r\n",
        400 => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        _ => "",
    };
    // Writing to a string does not fail.
    let _ = write!(answer, "{more}\r\n{body}");
    answer.into_bytes()
}

/// What the requests and answers of an upgrade have in common.
fn check_upgrade(head: HttpHead<'_>) -> Result<(), UpgradeFault> {
    if !head.has_item("Upgrade", "websocket") {
        return Err(UpgradeFault::Upgrade);
    }
    if !head.has_item("Connection", "upgrade") {
        return Err(UpgradeFault::Connection);
    }
    Ok(())
}

/// The one of `names` that stands for `listener`, as it is spelt there, or another pattern that they name and that of
/// its dialers.
fn find_pattern<'a>(
    names: impl Iterator<Item = &'a str>,
    listener: ProtocolId,
) -> Result<&'a str, Option<(ProtocolId, ProtocolId)>> {
    let mut other = None;
    for name in names {
        match subprotocol::pattern(name) {
            Some((named, _)) if named == listener => return Ok(name),
            Some(pattern) => other = Some(pattern),
            None => {}
        }
    }
    Err(other)
}
