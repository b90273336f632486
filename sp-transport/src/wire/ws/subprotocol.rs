//! The names that patterns have in HTTP: the listening side's, and a fixed ending.

use sp_core::pipe::ProtocolId;

/// `rep.sp.nanomsg.org` for REP. A pattern that sp-wire 1 does not list has none.
pub(super) fn name(listener: ProtocolId) -> Option<String> {
    let (_, name, _) = TABLE.iter().find(|(number, ..)| *number == listener.0)?;
    Some(format!("{name}{ENDING}"))
}

/// The pattern of those who dial `listener`.
pub fn dialer_of(listener: ProtocolId) -> Option<ProtocolId> {
    let (.., dialer) = TABLE.iter().find(|(number, ..)| *number == listener.0)?;
    Some(ProtocolId(*dialer))
}

/// The pattern of a listener that goes by `name`, and of those who dial it.
pub(super) fn pattern(name: &str) -> Option<(ProtocolId, ProtocolId)> {
    let (number, _, dialer) = TABLE.iter().find(|(_, stem, _)| {
        let named = name.split_at_checked(stem.len());
        named.is_some_and(|(start, end)| {
            start.eq_ignore_ascii_case(stem) && end.eq_ignore_ascii_case(ENDING)
        })
    })?;
    Some((ProtocolId(*number), ProtocolId(*dialer)))
}

const ENDING: &str = ".sp.nanomsg.org";

/// Numbers and names of sp-wire 1, and the numbers of those they talk to.
const TABLE: [(u16, &str, u16); 12] = [
    (0x0010, "pair", 0x0010),
    (0x0011, "pair1", 0x0011),
    (0x0020, "pub", 0x0021),
    (0x0021, "sub", 0x0020),
    (0x0030, "req", 0x0031),
    (0x0031, "rep", 0x0030),
    (0x0050, "push", 0x0051),
    (0x0051, "pull", 0x0050),
    (0x0062, "surveyor", 0x0063),
    (0x0063, "respondent", 0x0062),
    (0x0070, "bus", 0x0070),
    (0x0640, "star", 0x0640),
];
