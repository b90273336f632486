//! What is said to an open port: tables that a person can read, in `catalogue/`.

use std::iter::repeat_n;

use sp::CloseReason;

use crate::scene::{Door, Hears};
use crate::shared::Transport;

/// One thing that strangers say where a handshake should be.
pub(crate) struct Stranger {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// Why it is turned away, by what is expected: SP, HTTP, TLS.
    whys: [&'static str; 3],
}

/// One thing that peers say behind a good handshake.
pub(crate) struct Frames {
    pub(crate) name: &'static str,
    pub(crate) on: Transport,
    pub(crate) why: &'static str,
    /// The status of our close frame, where the table says it.
    pub(crate) code: Option<u16>,
    pub(crate) bytes: Vec<u8>,
}

/// One thing that is wrong with a request for a WebSocket.
pub(crate) struct Request {
    pub(crate) name: &'static str,
    pub(crate) status: &'static str,
    pub(crate) why: &'static str,
    /// What is replaced by what.
    pub(crate) change: [String; 2],
}

impl Stranger {
    pub(crate) fn all() -> Vec<Self> {
        let row = |[name, stream, ws, tls, said]: [&'static str; 5]| Self {
            name,
            bytes: bytes(said),
            whys: [stream, ws, tls],
        };
        rows(include_str!("catalogue/strangers.txt")).map(row).collect()
    }

    pub(crate) fn why(&self, door: Door) -> &'static str {
        match door.hears() {
            Hears::Sp => self.whys[0],
            Hears::Http => self.whys[1],
            Hears::Tls => self.whys[2],
        }
    }
}

impl Frames {
    pub(crate) fn all() -> Vec<Self> {
        let row = |[name, on, why, said]: [&'static str; 4]| {
            let on = match on {
                "tcp" => Transport::Tcp,
                "ipc" => Transport::Ipc,
                "ws" => Transport::Ws,
                other => panic!("{name}: on {other}?"),
            };
            let (why, code) = why.split_once(' ').unwrap_or((why, ""));
            let code = (!code.is_empty()).then(|| code.parse().expect("a number"));
            Self { name, on, why, code, bytes: bytes(said) }
        };
        rows(include_str!("catalogue/frames.txt")).map(row).collect()
    }
}

impl Request {
    pub(crate) fn all() -> Vec<Self> {
        let row = |[name, status, why, good, bad]: [&'static str; 5]| {
            let text = |said| String::from_utf8(bytes(said)).expect("text");
            Self { name, status, why, change: [text(good), text(bad)] }
        };
        rows(include_str!("catalogue/requests.txt")).map(row).collect()
    }
}

/// A reason as the tables have it.
pub(crate) fn kind(why: &CloseReason) -> String {
    let said = format!("{why:?}");
    let variant = said.split(" {").next().unwrap_or_default().trim_end_matches(')');
    variant.rsplit('(').next().unwrap_or_default().to_owned()
}

/// The lines of a table that are no comment, in columns; the last one may have bars.
fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let columns: Vec<&str> = line.splitn(N, " | ").map(str::trim).collect();
        columns.try_into().unwrap_or_else(|_| panic!("{N} columns: {line}"))
    })
}

/// The bytes that `said` stands for: text in quotes and pairs of hex digits, each of them so many times.
fn bytes(said: &str) -> Vec<u8> {
    let (mut all, mut rest) = (Vec::new(), said);
    while let Some(next) = rest.chars().next() {
        let piece = if next == '"' {
            let (text, behind) = text(&rest[1..]);
            rest = behind;
            text
        } else if next.is_ascii_hexdigit() {
            let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
            let (digits, behind) = rest.split_at(end);
            rest = behind;
            hex(digits)
        } else {
            assert_eq!(next, ' ', "{said}");
            rest = &rest[1..];
            continue;
        };
        let mut times = 1;
        if let Some(behind) = rest.strip_prefix('*') {
            let end = behind.find(' ').unwrap_or(behind.len());
            times = behind[..end].parse().expect("a number of times");
            rest = &behind[end..];
        }
        repeat_n(&piece, times).for_each(|piece| all.extend(piece));
    }
    all
}

/// Text up to its quote, and what is behind that.
fn text(quoted: &str) -> (Vec<u8>, &str) {
    let mut bytes = Vec::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (bytes, &quoted[at + 1..]),
            '\\' => match chars.next() {
                Some((_, 'r')) => bytes.push(b'\r'),
                Some((_, 'n')) => bytes.push(b'\n'),
                Some((at, 'x')) => {
                    bytes.extend(hex(&quoted[at + 1..at + 3]));
                    chars.by_ref().take(2).for_each(drop);
                }
                Some((_, itself @ ('\\' | '"'))) => bytes.push(itself as u8),
                other => panic!("what is \\{other:?}?"),
            },
            _ => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    panic!("where does this end: {quoted}");
}

fn hex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "half a byte: {digits}");
    let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits");
    (0..digits.len()).step_by(2).map(pair).collect()
}

#[test]
fn the_tables_are_read_as_they_are_meant() {
    assert_eq!(bytes(r#"00ff*2 "a\r\n\"\\\x07" 41*3"#), b"\0\xff\0\xffa\r\n\"\\\x07AAA");
    assert_eq!(kind(&CloseReason::BadHandshake { got: [0; 8] }), "BadHandshake");
    assert_eq!(kind(&CloseReason::BadFrame(sp::FrameFault::Opcode { got: 3 })), "Opcode");
    assert_eq!(kind(&CloseReason::BadUpgrade(sp::UpgradeFault::Path)), "Path");
    let listed = Stranger::all().len() + Frames::all().len() + Request::all().len();
    assert!(listed >= 700, "{listed} are listed");
}
