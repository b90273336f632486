//! TLS for `tls+tcp` and `wss`: who we are, whom we trust, and what both sides have to agree on.
//!
//! A listener needs a [`Server`], a dialer a [`Client`]. Both are handles: what they are replaced with counts from the
//! next connection on.
//!
//! ```no_run
//! use std::fs::read;
//! use sp_transport::tls::{Authorities, Client, Identity, Server};
//! use sp_transport::{DialOptions, ListenOptions};
//!
//! let company = Authorities::from_pem(read("company-ca.pem")?)?;
//! let identity = Identity::from_pem(read("server.pem")?, read("server.key")?)?;
//! let server = Server::builder(identity).require_clients(&company).build()?;
//! let listening = ListenOptions::new().tls(&server); // for `listen_with("tls+tcp://*:4433", &listening)`
//!
//! let identity = Identity::from_pem(read("client.pem")?, read("client.key")?)?;
//! let client = Client::builder(&company).identity(identity).build()?;
//! let dialing = DialOptions::new().tls(&client); // for `dial_with("tls+tcp://server:4433", &dialing)`
//!
//! // A year later, while the listener and its connections go on:
//! let identity = Identity::from_pem(read("renewed.pem")?, read("renewed.key")?)?;
//! server.replace(&Server::builder(identity).require_clients(&company).build()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! TLS 1.2 and 1.3 are spoken, for nng may have 1.2 only. A handshake that fails ends its connection with a
//! [`TlsFault`]. The cryptography needs a processor with AES and AVX2, or an ARM with its cryptography extensions.

// One session for both directions, driven without waiting. Ciphertext is read 64 KiB at a time into a pooled buffer
// that is given back once it is empty; of plaintext rustls holds one record at most. A write is done when its
// ciphertext has left: until then it answers `WouldBlock`, and the writer offers the same bytes again. So nothing
// collects here that no limit counts, and an empty queue means that nothing is left.

mod config;
mod fault;

pub use config::{
    Authorities, Client, ClientBuilder, Error, Identity, Server, ServerBuilder, Version,
};
pub(crate) use fault::of as fault_of;

use std::io::{self, ErrorKind, IoSlice, Write};
use std::sync::Arc;

use rustls::Connection;
use sp_core::pool::{BufferPool, PooledBuf};
use sp_core::sync::{Mutex, lock};
use sp_core::tls::TlsFault;

use crate::stream::{Chunk, Plain};

/// A socket with TLS on it.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) plain: Plain,
    /// Held for one read or write, system calls that do not wait included.
    session: Mutex<Session>,
}

#[derive(Debug)]
struct Session {
    tls: Connection,
    /// Ciphertext that was read and is not decrypted, from `used` on.
    inbox: Option<PooledBuf>,
    used: usize,
    /// Bytes that were encrypted for a write whose ciphertext has not left entirely.
    owed: usize,
    /// Bytes the handshake has brought.
    shaking: usize,
}

impl Tls {
    pub(super) fn new(plain: Plain, mut tls: Connection) -> Self {
        tls.set_buffer_limit(Some(WRITE_BYTES));
        let session = Session { tls, inbox: None, used: 0, owed: 0, shaking: 0 };
        Self { plain, session: Mutex::new(session) }
    }

    /// Goes on with the handshake until it is through or would block.
    pub(crate) fn shake(&self) -> io::Result<()> {
        lock(&self.session).shake(&self.plain)
    }

    /// The peer's certificate, once the handshake is through.
    pub(crate) fn peer_certificate(&self) -> Option<Arc<[u8]>> {
        let session = lock(&self.session);
        session.tls.peer_certificates()?.first().map(|certificate| Arc::from(certificate.as_ref()))
    }

    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<Chunk> {
        lock(&self.session).read(&self.plain, into)
    }

    pub(crate) fn read_two(&self, first: &mut [u8], second: &mut [u8]) -> io::Result<Chunk> {
        let session = &mut *lock(&self.session);
        let chunk = session.read(&self.plain, first)?;
        if chunk.bytes < first.len() {
            return Ok(chunk);
        }
        match session.read(&self.plain, second) {
            Ok(more) => Ok(Chunk { bytes: chunk.bytes + more.bytes, drained: more.drained }),
            Err(error) => Ok(Chunk { drained: error.kind() == ErrorKind::WouldBlock, ..chunk }),
        }
    }

    pub(crate) fn write_pieces(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        lock(&self.session).write(&self.plain, pieces)
    }

    /// The kernel has room: lets out what the session itself has to say.
    pub(crate) fn writable(&self) {
        // What fails here fails again for whoever reads.
        let _ = lock(&self.session).let_out(&self.plain);
    }

    /// Says goodbye, if there is room for it, and ends both directions.
    pub(crate) fn shutdown(&self) {
        let session = &mut *lock(&self.session);
        // In the middle of a handshake the other side may not even speak TLS.
        if !session.tls.is_handshaking() {
            session.tls.send_close_notify();
        }
        // The peer may be gone, or slow; it is not waited for.
        let _ = session.let_out(&self.plain);
        self.plain.shutdown();
    }
}

impl Session {
    fn shake(&mut self, plain: &Plain) -> io::Result<()> {
        loop {
            if let Err(error) = self.let_out(plain) {
                return Err(self.last_words(plain, error));
            }
            if !self.tls.is_handshaking() {
                return Ok(());
            }
            if self.decrypt(plain)? {
                continue;
            }
            let first = self.shaking == 0;
            match self.fill_inbox(plain)?.bytes {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                more => self.shaking += more,
            }
            if first && self.inbox.as_ref().is_some_and(|inbox| !RECORD_TYPES.contains(&inbox[0])) {
                return Err(io::Error::new(ErrorKind::InvalidData, TlsFault::NotTls));
            }
            if self.shaking > HANDSHAKE_BYTES_MAX {
                let why = "the handshake is too long".into();
                return Err(io::Error::new(ErrorKind::InvalidData, TlsFault::Broken { why }));
            }
        }
    }

    /// Reads until `into` is full, nothing is left, or the share of ciphertext is used up.
    fn read(&mut self, plain: &Plain, into: &mut [u8]) -> io::Result<Chunk> {
        let mut bytes = 0;
        let mut reads = 0;
        let mut drained = false;
        loop {
            match self.take_plaintext(&mut into[bytes..]) {
                // The end of the stream; what came before it is handed on first.
                Ok(0) => return Ok(Chunk { bytes, drained: false }),
                Ok(more) => bytes += more,
                Err(error) if error.kind() != ErrorKind::WouldBlock => {
                    return if bytes > 0 {
                        Ok(Chunk { bytes, drained: false })
                    } else {
                        Err(error)
                    };
                }
                Err(_) => {}
            }
            if bytes == into.len() {
                return Ok(Chunk { bytes, drained: false });
            }
            let failed = match self.decrypt(plain) {
                Ok(true) => continue,
                // Whoever gets bytes asks again if the stream has ended. Whoever gets none relies on an event, and
                // there is none to come if the end came along with what is no message: only the kernel can tell.
                Ok(false) if drained && bytes > 0 => Some(ErrorKind::WouldBlock.into()),
                // More than a turn's share that was no message: others have theirs first.
                Ok(false) if reads == READS_PER_TURN => Some(ErrorKind::Interrupted.into()),
                Ok(false) => {
                    reads += 1;
                    let chunk = self.fill_inbox(plain);
                    drained = chunk.as_ref().is_ok_and(|chunk| chunk.bytes > 0 && chunk.drained);
                    chunk.err()
                }
                Err(error) => Some(error),
            };
            if let Some(error) = failed {
                if bytes == 0 {
                    return Err(error);
                }
                return Ok(Chunk { bytes, drained: error.kind() == ErrorKind::WouldBlock });
            }
        }
    }

    /// All of the plaintext there is, or as much as fits.
    fn take_plaintext(&mut self, into: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.tls.reader(), into)
    }

    /// Has rustls take some of what was read. Answers whether there was any.
    fn decrypt(&mut self, plain: &Plain) -> io::Result<bool> {
        let Some(inbox) = &self.inbox else { return Ok(false) };
        let mut rest = &inbox[self.used..];
        let taken = self.tls.read_tls(&mut rest)?;
        self.used += taken;
        // Nothing is taken any more behind the peer's goodbye.
        if taken == 0 || self.used == inbox.len() {
            self.inbox = None;
            self.used = 0;
        }
        let processed = self.tls.process_new_packets();
        // An answer, or an alert that says what was wrong. What does not fit now leaves when there is room.
        let _ = self.let_out(plain);
        processed.map_err(fault::to_io)?;
        Ok(true)
    }

    fn fill_inbox(&mut self, plain: &Plain) -> io::Result<Chunk> {
        let mut inbox = BufferPool::global().take(READ_BYTES);
        let mut chunk = Chunk { bytes: 0, drained: true };
        inbox.fill_with(READ_BYTES, |space| {
            chunk = plain.read(space)?;
            Ok(chunk.bytes)
        })?;
        if chunk.bytes == 0 {
            // Tells rustls of the end, which is a fault unless the peer has said goodbye.
            self.tls.read_tls(&mut io::empty())?;
        } else {
            self.inbox = Some(inbox);
        }
        Ok(chunk)
    }

    fn write(&mut self, plain: &Plain, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.owed == 0 {
            // What the session has to say goes first, so that there is room for these.
            self.let_out(plain).map_err(|error| self.last_words(plain, error))?;
            self.owed = self.tls.writer().write_vectored(pieces)?;
        }
        self.let_out(plain).map_err(|error| self.last_words(plain, error))?;
        Ok(std::mem::take(&mut self.owed))
    }

    /// Writes the ciphertext there is.
    fn let_out(&mut self, plain: &Plain) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Out(plain)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => drop(other?),
            }
        }
        Ok(())
    }

    /// A peer that refuses us says why and hangs up, and the next write fails: what it said is worth more.
    fn last_words(&mut self, plain: &Plain, failed: io::Error) -> io::Error {
        if matches!(failed.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) {
            return failed;
        }
        for _ in 0..LAST_WORDS {
            match self.decrypt(plain) {
                Ok(true) => {}
                Ok(false) if self.fill_inbox(plain).is_ok_and(|chunk| chunk.bytes > 0) => {}
                Ok(false) => break,
                Err(said) if fault::of(&said).is_some() => return said,
                Err(_) => break,
            }
        }
        failed
    }
}

/// Where rustls writes ciphertext.
struct Out<'a>(&'a Plain);

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_pieces(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Ciphertext read at a time, as much as a plain connection reads.
const READ_BYTES: usize = 64 * 1024;

/// Plaintext encrypted for one write: a message of 64 KiB goes with its framing, or that would cost a write of its own.
const WRITE_BYTES: usize = 128 * 1024;

/// System calls in one read: a record that is cut by the first is whole after the second, and the third says that
/// nothing is left.
const READS_PER_TURN: usize = 3;

/// The first byte of every record (RFC 8446, section 5.1).
const RECORD_TYPES: std::ops::RangeInclusive<u8> = 20..=24;

/// What a handshake may bring. Chains of certificates have a few KiB; rustls refuses a message above 64 KiB.
const HANDSHAKE_BYTES_MAX: usize = 256 * 1024;

/// Steps that are made to learn why a peer hung up: a few records fit.
const LAST_WORDS: usize = 4;
