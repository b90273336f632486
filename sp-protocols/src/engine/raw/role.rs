//! What tells the raw patterns apart: their headers, and where these say a message goes.

use std::fmt;

use sp_core::message::Message;
use sp_core::pipe::ProtocolId;

use crate::engine::backtrace::{END_BIT, Header, read_header};
use crate::engine::hops::HOPS_MAX;
use crate::engine::{SendBlocked, WhenFull};

/// A pattern as [`TwoWay`](super::TwoWay) plays it in raw mode (sp-wire 3.0).
///
/// | | header as received | header to send | goes to |
/// | --- | --- | --- | --- |
/// | REQ | words of devices, then the request's id, which alone has the high bit | the same | one peer, in turn |
/// | SURVEYOR | as REQ | the same | every peer |
/// | REP, RESPONDENT | the word of the peer it came from, then as REQ | the same; the first word is taken off | the peer with that word |
/// | PAIR0 | none | none; one that is there is dropped | the peer |
/// | PAIR1 | one word, the hop count | one word below 255, which goes out one higher | the peer |
/// | BUS | the word of the peer it came from | none, or begins with such a word | every peer, but not that one |
///
/// The word of a peer is between 1 and 2³¹ - 1 and means nothing to other sockets.
pub trait Role: sealed::Sealed + fmt::Debug + Send + 'static {
    /// The pattern's own number.
    const SELF: ProtocolId;
    /// The pattern it talks to.
    type Peer: Role;
    /// How many peers it has at a time.
    #[doc(hidden)]
    const PEERS_MAX: usize = usize::MAX;
    /// What it does unless told with what there is no room for on the way in.
    #[doc(hidden)]
    const WHEN_FULL: WhenFull = WhenFull::Block;

    /// Makes the header of a message that came from the peer with the word `from`.
    #[doc(hidden)]
    fn arrives(msg: &mut Message, from: u32, ttl: u8) -> Header;

    /// Where a message goes. Takes off the header what only says that.
    #[doc(hidden)]
    fn route(msg: &mut Message) -> Result<Route, SendBlocked>;

    /// The last change to a message that goes out.
    #[doc(hidden)]
    fn leaves(_msg: &mut Message) {}
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the next peer that can take it.
    Any,
    /// To the peer with this word.
    To(Option<u32>),
    /// To every peer but the one with this word.
    AllBut(Option<u32>),
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! roles {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl sealed::Sealed for $name {}
    )*};
}

roles! {
    /// See [`super::Req`].
    Req
    /// See [`super::Rep`].
    Rep
    /// See [`super::Surveyor`].
    Surveyor
    /// See [`super::Respondent`].
    Respondent
    /// See [`super::Pair`].
    Pair
    /// See [`super::Pair1`].
    Pair1
    /// See [`super::Bus`].
    Bus
}

impl Role for Req {
    const SELF: ProtocolId = ProtocolId::REQ;
    type Peer = Rep;

    fn arrives(msg: &mut Message, _from: u32, _ttl: u8) -> Header {
        read_stack(msg)
    }

    fn route(msg: &mut Message) -> Result<Route, SendBlocked> {
        if is_stack(msg.header()) { Ok(Route::Any) } else { Err(SendBlocked::Header) }
    }
}

impl Role for Surveyor {
    const SELF: ProtocolId = ProtocolId::SURVEYOR;
    type Peer = Respondent;

    fn arrives(msg: &mut Message, _from: u32, _ttl: u8) -> Header {
        read_stack(msg)
    }

    fn route(msg: &mut Message) -> Result<Route, SendBlocked> {
        if is_stack(msg.header()) { Ok(Route::AllBut(None)) } else { Err(SendBlocked::Header) }
    }
}

impl Role for Rep {
    const SELF: ProtocolId = ProtocolId::REP;
    type Peer = Req;

    fn arrives(msg: &mut Message, from: u32, ttl: u8) -> Header {
        read_stack_from(msg, from, ttl)
    }

    fn route(msg: &mut Message) -> Result<Route, SendBlocked> {
        Ok(Route::To(msg.pop_header()))
    }
}

impl Role for Respondent {
    const SELF: ProtocolId = ProtocolId::RESPONDENT;
    type Peer = Surveyor;

    fn arrives(msg: &mut Message, from: u32, ttl: u8) -> Header {
        read_stack_from(msg, from, ttl)
    }

    fn route(msg: &mut Message) -> Result<Route, SendBlocked> {
        Ok(Route::To(msg.pop_header()))
    }
}

impl Role for Pair {
    const SELF: ProtocolId = ProtocolId::PAIR0;
    type Peer = Self;
    const PEERS_MAX: usize = 1;

    fn arrives(_msg: &mut Message, _from: u32, _ttl: u8) -> Header {
        Header::Whole
    }

    fn route(_msg: &mut Message) -> Result<Route, SendBlocked> {
        Ok(Route::Any)
    }

    fn leaves(msg: &mut Message) {
        msg.clear_header();
    }
}

impl Role for Pair1 {
    const SELF: ProtocolId = ProtocolId::PAIR1;
    type Peer = Self;
    const PEERS_MAX: usize = 1;

    fn arrives(msg: &mut Message, _from: u32, ttl: u8) -> Header {
        match msg.take_header_word() {
            Some(hops) if hops <= u32::from(ttl) => Header::Whole,
            Some(0..=HOPS_MAX) => Header::TooFar,
            _ => Header::Broken,
        }
    }

    fn route(msg: &mut Message) -> Result<Route, SendBlocked> {
        match (msg.peek_header(), msg.header().len()) {
            (Some(0..HOPS_MAX), WORD) => Ok(Route::Any),
            _ => Err(SendBlocked::Header),
        }
    }

    fn leaves(msg: &mut Message) {
        if let Some(hops) = msg.pop_header() {
            let fits = msg.push_header(hops.saturating_add(1));
            debug_assert!(fits, "it was there before");
        }
    }
}

impl Role for Bus {
    const SELF: ProtocolId = ProtocolId::BUS;
    type Peer = Self;
    const WHEN_FULL: WhenFull = WhenFull::DropNewest;

    fn arrives(msg: &mut Message, from: u32, _ttl: u8) -> Header {
        let fits = msg.push_header(from);
        debug_assert!(fits, "what arrives has no header yet");
        Header::Whole
    }

    fn route(msg: &mut Message) -> Result<Route, SendBlocked> {
        let source = msg.pop_header();
        if source.is_none() && !msg.header().is_empty() {
            return Err(SendBlocked::Header);
        }
        msg.clear_header();
        Ok(Route::AllBut(source))
    }
}

/// Moves a stack of words to the header, through the one that ends it, however many there are.
fn read_stack(msg: &mut Message) -> Header {
    match read_header(msg, WORDS_MAX) {
        Header::Whole => Header::Whole,
        // There is no header that could hold it.
        Header::TooFar | Header::Broken => Header::Broken,
    }
}

/// As [`read_stack`], for at most `ttl` words, and puts the word of the peer on top.
fn read_stack_from(msg: &mut Message, from: u32, ttl: u8) -> Header {
    let header = read_header(msg, ttl);
    if header == Header::Whole {
        let fits = msg.push_header(from);
        debug_assert!(fits, "the longest backtrace leaves room for one word");
    }
    header
}

/// Whether a header is a stack of words of which the last, and no other, has the bit that ends it.
fn is_stack(header: &[u8]) -> bool {
    let (words, rest) = header.as_chunks();
    let ends = |word: &[u8; WORD]| u32::from_be_bytes(*word) & END_BIT != 0;
    words.split_last().is_some_and(|(last, above)| ends(last) && !above.iter().any(ends))
        && rest.is_empty()
}

/// Words that a header holds.
const WORDS_MAX: u8 = (Message::HEADER_MAX / WORD) as u8;
const WORD: usize = size_of::<u32>();
