//! The beginning of HTTP messages: a first line, and headers.

use std::str;

use sp_core::websocket::UpgradeFault;

/// A request's or an answer's first line and headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct HttpHead<'a> {
    pub(super) first_line: &'a str,
    /// The lines below, as they are.
    headers: &'a str,
}

impl<'a> HttpHead<'a> {
    /// Reads a head up to and including its empty line.
    pub(super) fn parse(head: &'a [u8]) -> Result<Self, UpgradeFault> {
        let text = str::from_utf8(head).map_err(|_| UpgradeFault::Malformed)?;
        let text = text.strip_suffix("\r\n\r\n").ok_or(UpgradeFault::Malformed)?;
        let (first_line, headers) = text.split_once("\r\n").unwrap_or((text, ""));
        let head = Self { first_line, headers };
        // A line that is no header: among them the continuations of old, which nobody reads alike.
        let well_formed = |line: &str| {
            line.split_once(':')
                .is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(is_token))
        };
        if headers.is_empty() || headers.split("\r\n").all(well_formed) {
            Ok(head)
        } else {
            Err(UpgradeFault::Malformed)
        }
    }

    /// The values of all headers called `name`.
    pub(super) fn values(self, name: &str) -> impl Iterator<Item = &'a str> {
        let lines = self.headers.split("\r\n").filter_map(|line| line.split_once(':'));
        lines
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| trim(value))
    }

    /// The value of a header that is there once.
    pub(super) fn value(self, name: &str) -> Option<&'a str> {
        let mut values = self.values(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// The items of a header that is a list, whether in one line or several.
    pub(super) fn items(self, name: &str) -> impl Iterator<Item = &'a str> {
        self.values(name).flat_map(|list| list.split(',')).map(trim).filter(|item| !item.is_empty())
    }

    /// Whether a header that is a list has `item`, in whatever case.
    pub(super) fn has_item(self, name: &str, item: &str) -> bool {
        self.items(name).any(|found| found.eq_ignore_ascii_case(item))
    }
}

/// Where in `bytes` the head ends, if it does; the first `seen` of them were looked at before. What can be no head is
/// refused as soon as that can be seen.
pub fn head_end(bytes: &[u8], seen: usize) -> Result<Option<usize>, UpgradeFault> {
    // The end may have begun in what was seen.
    let from = seen.saturating_sub(END.len().saturating_sub(1));
    let fresh = bytes.get(from..).unwrap_or_default();
    let end = fresh.windows(END.len()).position(|found| found == END);
    let head = end.and_then(|end| fresh.get(..end)).unwrap_or(fresh);
    if !head.iter().all(|byte| matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~' | 0x80..)) {
        return Err(UpgradeFault::Malformed);
    }
    let head_bytes = from.saturating_add(head.len());
    if head_bytes > HEAD_BYTES_MAX {
        return Err(UpgradeFault::TooLarge);
    }
    Ok(end.map(|_| head_bytes.saturating_add(END.len())))
}

fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

/// What names of headers are made of (RFC 9110, 5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

const END: &[u8] = b"\r\n\r\n";

/// The longest head that is read: what browsers and proxies add to a request, cookies included, as a rule is less than
/// half of it.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
