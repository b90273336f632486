//! What waits to be written on a connection.

use std::cell::RefCell;
use std::collections::VecDeque;

use sp_core::held::Frames;
use sp_core::pool::PooledBuf;

/// One stretch of memory to write.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Frames side by side.
    Frames(PooledBuf),
    /// The same, gathered while messages stream.
    Held(Frames),
    /// One message's payload; its framing ends the piece in front.
    Large(PooledBuf),
}

/// Pieces in order. A list with room for one is all that a conversation takes, and between messages it is with the
/// thread that wrote: there may be thousands of connections that are silent.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "a third of the room, where there are thousands")]
pub(crate) struct Pieces(Option<Box<VecDeque<Piece>>>);

impl Pieces {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|list| list.is_empty())
    }

    /// The list, to change it.
    pub(crate) fn list(&mut self) -> &mut VecDeque<Piece> {
        self.0.get_or_insert_with(|| {
            let spare = SPARES.try_with(|spares| spares.borrow_mut().pop()).ok().flatten();
            spare.unwrap_or_else(|| Box::new(VecDeque::with_capacity(1)))
        })
    }

    /// The list for what streams, which others than the thread that writes add to: it stays where it is.
    pub(crate) fn list_that_stays(&mut self) -> &mut VecDeque<Piece> {
        let list = self.list();
        if list.capacity() == 1 {
            list.reserve(STREAM_PIECES);
        }
        list
    }

    /// Leaves the memory with this thread if nothing waits in it. What was made larger stays: it will be needed again,
    /// and by another thread.
    pub(crate) fn put_away(&mut self) {
        let Some(list) = self.0.take_if(|list| list.is_empty() && list.capacity() == 1) else {
            return;
        };
        // A thread that is ending keeps nothing.
        let _ = SPARES.try_with(|spares| {
            let mut spares = spares.borrow_mut();
            if spares.len() < SPARES_MAX {
                spares.push(list);
            }
        });
    }
}

thread_local! {
    #[expect(clippy::vec_box, reason = "whoever has a list has a box, for most have none")]
    static SPARES: RefCell<Vec<Box<VecDeque<Piece>>>> = const { RefCell::new(Vec::new()) };
}

impl Piece {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Frames(buf) | Self::Large(buf) => buf,
            Self::Held(frames) => frames.as_bytes(),
        }
    }
}

/// What streams is written about as soon as it is committed.
const STREAM_PIECES: usize = 4;

/// More than one call writes to at a time.
const SPARES_MAX: usize = 16;
