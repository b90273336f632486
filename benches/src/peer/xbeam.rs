//! A channel between two threads: what a program would take instead of inproc.

use std::sync::Mutex;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::{End, Peer, Role};
use crate::error::{Error, Result};

/// crossbeam-channel. Who serves makes both ends, who connects takes the other one of that address.
#[derive(Default)]
pub(crate) struct Xbeam {
    others: Mutex<Vec<(String, XbeamEnd)>>,
}

impl Peer for Xbeam {
    fn serve(&self, role: Role, url: &str, _size: usize) -> Result<(Box<dyn End>, String)> {
        let slots = if matches!(role, Role::Push | Role::Pull | Role::PairOut | Role::PairIn) {
            1024
        } else {
            64
        };
        let (here, there) = (bounded(slots), bounded(slots));
        self.others().push((url.to_owned(), XbeamEnd { tx: here.0, rx: there.1 }));
        Ok((Box::new(XbeamEnd { tx: there.0, rx: here.1 }), url.to_owned()))
    }

    fn connect(&self, _role: Role, url: &str, _size: usize) -> Result<Box<dyn End>> {
        let mut others = self.others();
        let at = others.iter().position(|(at, _)| at == url).ok_or(Error::Gone)?;
        Ok(Box::new(others.swap_remove(at).1))
    }
}

impl Xbeam {
    fn others(&self) -> std::sync::MutexGuard<'_, Vec<(String, XbeamEnd)>> {
        self.others.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

struct XbeamEnd {
    tx: Sender<Body>,
    rx: Receiver<Body>,
}

/// Small bodies travel in the channel's slots; larger ones cost an allocation here and a free there.
enum Body {
    Inline { len: u8, bytes: [u8; INLINE_BYTES] },
    Heap(Vec<u8>),
}

impl Body {
    fn new(body: &[u8]) -> Self {
        // The copy of a length known beforehand is a few instructions.
        if let Ok(bytes) = <[u8; INLINE_BYTES]>::try_from(body) {
            return Self::Inline { len: INLINE_BYTES as u8, bytes };
        }
        match u8::try_from(body.len()) {
            Ok(len) if body.len() <= INLINE_BYTES => {
                let mut bytes = [0; INLINE_BYTES];
                bytes[..body.len()].copy_from_slice(body);
                Self::Inline { len, bytes }
            }
            _ => Self::Heap(body.to_vec()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Heap(bytes) => bytes,
        }
    }
}

impl End for XbeamEnd {
    fn send(&mut self, body: &[u8]) -> Result<()> {
        self.tx.send(Body::new(body)).map_err(|_| Error::Gone)
    }

    fn recv(&mut self) -> Result<usize> {
        let body = self.rx.recv().map_err(|_| Error::Gone)?;
        Ok(std::hint::black_box(body.bytes()).len())
    }

    fn echo(&mut self) -> Result<()> {
        let body = self.rx.recv().map_err(|_| Error::Gone)?;
        self.tx.send(body).map_err(|_| Error::Gone)
    }

    fn recv_within(&mut self, limit: Duration) -> Result<u64> {
        match self.rx.recv_timeout(limit) {
            Ok(_) => Ok(1),
            Err(RecvTimeoutError::Timeout) => Ok(0),
            Err(RecvTimeoutError::Disconnected) => Err(Error::Gone),
        }
    }
}

/// With its length a body of 64 bytes and its slot's stamp fill 80 bytes.
const INLINE_BYTES: usize = 64;
