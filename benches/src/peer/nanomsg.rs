//! nanomsg through its C interface: blocking calls, TCP_NODELAY on, received messages freed.
//!
//! All unsafe code here is calls into nanomsg, wrapped so that a socket and a message each have one owner. The
//! declarations follow its headers; `build.rs` links it.

#![expect(unsafe_code, reason = "nanomsg is a C library")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::net::TcpListener;
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use super::{End, Peer, Role};
use crate::error::{Error, Result};

/// nanomsg. It keeps all it has in the process and needs no start.
pub(crate) struct Nanomsg;

impl Peer for Nanomsg {
    fn serve(&self, role: Role, url: &str, _size: usize) -> Result<(Box<dyn End>, String)> {
        let socket = Socket::open(role)?;
        let at = with_port(url)?;
        let given =
            CString::new(at.as_str()).map_err(Error::peer("nanomsg", "take the address"))?;
        // SAFETY: the socket is open and the address ends in a zero byte.
        check("bind", unsafe { nn_bind(socket.0, given.as_ptr()) })?;
        Ok((Box::new(socket), at))
    }

    fn connect(&self, role: Role, url: &str, _size: usize) -> Result<Box<dyn End>> {
        let socket = Socket::open(role)?;
        let url = CString::new(url).map_err(Error::peer("nanomsg", "take the address"))?;
        // SAFETY: the socket is open and the address ends in a zero byte.
        check("connect", unsafe { nn_connect(socket.0, url.as_ptr()) })?;
        Ok(Box::new(socket))
    }
}

/// The address with a port of its own. nanomsg cannot tell which port it was given, so one that was free a moment
/// ago is chosen here; should somebody take it in between, the round fails and says so.
fn with_port(url: &str) -> Result<String> {
    let Some(host) = url.strip_prefix("tcp://").and_then(|rest| rest.strip_suffix(":0")) else {
        return Ok(url.to_owned());
    };
    let port = TcpListener::bind((host, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(Error::io("find a free port"))?
        .port();
    Ok(format!("tcp://{host}:{port}"))
}

/// An open socket, closed on drop.
struct Socket(c_int);

impl Socket {
    fn open(role: Role) -> Result<Self> {
        // SAFETY: the call has no conditions.
        let socket = unsafe { nn_socket(AF_SP, protocol(role)) };
        check("open a socket", socket.min(0))?;
        let socket = Self(socket);
        socket.set("turn Nagle's algorithm off", NN_TCP, NN_TCP_NODELAY, &1_i32.to_ne_bytes())?;
        // Bodies of 1 MiB and more are measured too.
        let any = (-1_i32).to_ne_bytes();
        socket.set("receive any length", NN_SOL_SOCKET, NN_RCVMAXSIZE, &any)?;
        if role == Role::Sub {
            socket.set("subscribe", NN_SUB, NN_SUB_SUBSCRIBE, &[])?;
        }
        Ok(socket)
    }

    fn set(&self, doing: &'static str, level: c_int, option: c_int, value: &[u8]) -> Result<()> {
        // SAFETY: the socket is open, and nanomsg copies as many bytes of the value as it is told there are.
        check(doing, unsafe {
            nn_setsockopt(self.0, level, option, value.as_ptr().cast(), value.len())
        })
    }

    /// The next message, or `None` when a receive timeout that was set has passed.
    fn recv_message(&self) -> Result<Option<Message>> {
        let mut body = ptr::null_mut::<c_void>();
        // SAFETY: the socket is open; with `NN_MSG` for a length the call puts a pointer into `body`, which is live.
        let len = unsafe { nn_recv(self.0, (&raw mut body).cast(), NN_MSG, 0) };
        let Ok(len) = usize::try_from(len) else {
            // SAFETY: the call has no conditions.
            let expected = unsafe { nn_errno() } == libc::ETIMEDOUT;
            return if expected { Ok(None) } else { Err(last_error("receive")) };
        };
        NonNull::new(body).map(|body| Some(Message { body, len })).ok_or(Error::Gone)
    }
}

impl End for Socket {
    fn send(&mut self, body: &[u8]) -> Result<()> {
        // SAFETY: the socket is open, and nanomsg copies the bytes into a message of its own.
        let sent = unsafe { nn_send(self.0, body.as_ptr().cast(), body.len(), 0) };
        check("send", sent.min(0))
    }

    fn recv(&mut self) -> Result<usize> {
        let message = self.recv_message()?.ok_or(Error::Silent)?;
        Ok(std::hint::black_box(message.body()).len())
    }

    fn echo(&mut self) -> Result<()> {
        let message = self.recv_message()?.ok_or(Error::Silent)?;
        let body = message.body.as_ptr();
        // SAFETY: the socket is open; with `NN_MSG` for a length the call reads a pointer to a whole message.
        let sent = unsafe { nn_send(self.0, (&raw const body).cast(), NN_MSG, 0) };
        check("send", sent.min(0))?;
        // After a send that succeeded the message is nanomsg's.
        std::mem::forget(message);
        Ok(())
    }

    fn recv_within(&mut self, limit: Duration) -> Result<u64> {
        let limit = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
        let doing = "set a receive timeout";
        self.set(doing, NN_SOL_SOCKET, NN_RCVTIMEO, &limit.to_ne_bytes())?;
        Ok(u64::from(self.recv_message()?.is_some()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: the socket is ours and is closed once; nanomsg numbers sockets, so no pointer dangles.
        unsafe { nn_close(self.0) };
    }
}

/// A message that is ours, freed on drop.
struct Message {
    body: NonNull<c_void>,
    len: usize,
}

impl Message {
    fn body(&self) -> &[u8] {
        // SAFETY: the message is ours and has `len` initialised bytes until it is freed.
        unsafe { slice::from_raw_parts(self.body.as_ptr().cast_const().cast(), self.len) }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the message is ours and is freed once.
        unsafe { nn_freemsg(self.body.as_ptr()) };
    }
}

fn protocol(role: Role) -> c_int {
    match role {
        Role::Req => NN_REQ,
        Role::Rep => NN_REP,
        Role::Push => NN_PUSH,
        Role::Pull => NN_PULL,
        Role::Pub => NN_PUB,
        Role::Sub => NN_SUB,
        Role::WaitingPub | Role::WaitingSub => unreachable!("nanomsg waits for no subscriber"),
        Role::Pair | Role::PairOut | Role::PairIn => NN_PAIR,
        Role::Bus => NN_BUS,
        Role::Surveyor => NN_SURVEYOR,
        Role::Respondent => NN_RESPONDENT,
    }
}

/// Most of nanomsg's functions give a number of at least nought, or a negative one.
fn check(doing: &'static str, answer: c_int) -> Result<()> {
    if answer >= 0 { Ok(()) } else { Err(last_error(doing)) }
}

/// What nanomsg said about the call of this thread that failed last.
fn last_error(doing: &'static str) -> Error {
    // SAFETY: nanomsg has a text that ends in a zero byte and is never freed for every number.
    let why = unsafe { CStr::from_ptr(nn_strerror(nn_errno())) };
    Error::peer("nanomsg", doing)(why.to_string_lossy())
}

unsafe extern "C" {
    fn nn_socket(domain: c_int, protocol: c_int) -> c_int;
    fn nn_close(socket: c_int) -> c_int;
    fn nn_setsockopt(
        socket: c_int,
        level: c_int,
        option: c_int,
        value: *const c_void,
        len: usize,
    ) -> c_int;
    fn nn_bind(socket: c_int, at: *const c_char) -> c_int;
    fn nn_connect(socket: c_int, to: *const c_char) -> c_int;
    fn nn_send(socket: c_int, body: *const c_void, len: usize, flags: c_int) -> c_int;
    fn nn_recv(socket: c_int, body: *mut c_void, len: usize, flags: c_int) -> c_int;
    fn nn_freemsg(message: *mut c_void) -> c_int;
    fn nn_errno() -> c_int;
    fn nn_strerror(number: c_int) -> *const c_char;
}

const AF_SP: c_int = 1;
const NN_PAIR: c_int = 16;
const NN_PUB: c_int = 2 * 16;
const NN_SUB: c_int = 2 * 16 + 1;
const NN_REQ: c_int = 3 * 16;
const NN_REP: c_int = 3 * 16 + 1;
const NN_PUSH: c_int = 5 * 16;
const NN_PULL: c_int = 5 * 16 + 1;
const NN_SURVEYOR: c_int = 6 * 16 + 2;
const NN_RESPONDENT: c_int = 6 * 16 + 3;
const NN_BUS: c_int = 7 * 16;
const NN_SOL_SOCKET: c_int = 0;
const NN_RCVTIMEO: c_int = 5;
const NN_RCVMAXSIZE: c_int = 16;
const NN_SUB_SUBSCRIBE: c_int = 1;
const NN_TCP: c_int = -3;
const NN_TCP_NODELAY: c_int = 1;

/// A length that means: a message that nanomsg has allocated.
const NN_MSG: usize = usize::MAX;
