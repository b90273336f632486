//! libzmq through its C interface: blocking calls, default options.
//!
//! Many requests at a time go over a DEALER, and a ROUTER answers them in one thread; many subscribers are polled by
//! one thread.
//!
//! All unsafe code here is calls into libzmq, wrapped so that a socket and a message each have one owner. The
//! declarations follow its `zmq.h`; `build.rs` links it.

#![expect(unsafe_code, reason = "libzmq is a C library")]

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_short, c_void};
use std::ptr::NonNull;
use std::slice;
use std::time::Duration;

use super::{Aligned, Answerer, Asker, Crowd, End, Heard, Peer, Role};
use crate::error::{Error, Result};
use crate::sys;

/// A context of libzmq. Inproc addresses are known within one context only.
pub(crate) struct Zmq(NonNull<c_void>);

// SAFETY: libzmq promises that a context may be used from any thread without a lock.
unsafe impl Send for Zmq {}
// SAFETY: as above.
unsafe impl Sync for Zmq {}

impl Zmq {
    /// Makes a context. It is never ended: that would wait for all its sockets, and a round ends with its process.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: the call has no conditions.
        let context = NonNull::new(unsafe { zmq_ctx_new() }).ok_or_else(last_error("start"))?;
        // SAFETY: the context was just made; the option takes an integer.
        check("allow many sockets", unsafe {
            zmq_ctx_set(context.as_ptr(), ZMQ_MAX_SOCKETS, SOCKETS_MAX)
        })?;
        Ok(Self(context))
    }
}

impl Peer for Zmq {
    fn serve(&self, role: Role, url: &str, _size: usize) -> Result<(Box<dyn End>, String)> {
        let socket = Socket::open(self, kind(role))?;
        let at = socket.bind(url)?;
        Ok((Box::new(socket), at))
    }

    fn connect(&self, role: Role, url: &str, _size: usize) -> Result<Box<dyn End>> {
        let socket = Socket::open(self, kind(role))?;
        socket.connect(url)?;
        Ok(Box::new(socket))
    }

    fn outstanding(&self, url: &str, size: usize, lanes: usize) -> Result<Box<dyn Asker>> {
        let socket = Socket::open(self, ZMQ_DEALER)?;
        socket.connect(url)?;
        Ok(Box::new(Dealer { socket, body: Aligned::new(size, 7), lanes, asked: 0 }))
    }

    fn answer(
        &self,
        url: &str,
        _size: usize,
        _lanes: usize,
    ) -> Result<(Box<dyn Answerer>, String)> {
        let socket = Socket::open(self, ZMQ_ROUTER)?;
        let at = socket.bind(url)?;
        Ok((Box::new(Router(socket)), at))
    }

    fn subscribers(
        &self,
        role: Role,
        url: &str,
        size: usize,
        count: usize,
    ) -> Result<Box<dyn Crowd>> {
        let open = |_| {
            let socket = Socket::open(self, kind(role))?;
            socket.connect(url)?;
            Ok(socket)
        };
        let sockets = (0..count).map(open).collect::<Result<_>>()?;
        Ok(Box::new(Subscribers { sockets, size }))
    }
}

/// An open socket, closed on drop. Who drops it does not wait: with the default linger of libzmq what is queued is
/// still sent, for as long as the process lives.
struct Socket(NonNull<c_void>);

// SAFETY: a socket may move to another thread if a fence lies between its uses; every way to move a value between
// threads has one. It is not `Sync`.
unsafe impl Send for Socket {}

impl Socket {
    fn open(context: &Zmq, kind: c_int) -> Result<Self> {
        // SAFETY: the context is never ended.
        let socket = unsafe { zmq_socket(context.0.as_ptr(), kind) };
        let socket = Self(NonNull::new(socket).ok_or_else(last_error("open a socket"))?);
        socket.set("make its backlog longer", ZMQ_BACKLOG, &BACKLOG.to_ne_bytes())?;
        if kind == ZMQ_SUB {
            socket.set("subscribe", ZMQ_SUBSCRIBE, &[])?;
        }
        Ok(socket)
    }

    fn set(&self, doing: &'static str, option: c_int, value: &[u8]) -> Result<()> {
        // SAFETY: the socket is open, and libzmq copies as many bytes of the value as it is told there are.
        check(doing, unsafe {
            zmq_setsockopt(self.0.as_ptr(), option, value.as_ptr().cast(), value.len())
        })
    }

    fn bind(&self, url: &str) -> Result<String> {
        let given = CString::new(url).map_err(Error::peer("libzmq", "take the address"))?;
        // SAFETY: the socket is open and the address ends in a zero byte.
        check("bind", unsafe { zmq_bind(self.0.as_ptr(), given.as_ptr()) })?;
        let mut at = [0_u8; ENDPOINT_BYTES];
        let mut len = at.len();
        // SAFETY: the socket is open, `at` has room for the `len` bytes announced, both are live.
        check("tell its address", unsafe {
            let into = at.as_mut_ptr().cast();
            zmq_getsockopt(self.0.as_ptr(), ZMQ_LAST_ENDPOINT, into, &raw mut len)
        })?;
        let at = CStr::from_bytes_until_nul(&at).map_err(Error::peer("libzmq", "tell where"))?;
        Ok(at.to_string_lossy().into_owned())
    }

    fn connect(&self, url: &str) -> Result<()> {
        let url = CString::new(url).map_err(Error::peer("libzmq", "take the address"))?;
        // SAFETY: the socket is open and the address ends in a zero byte.
        check("connect", unsafe { zmq_connect(self.0.as_ptr(), url.as_ptr()) })
    }

    /// Receives into `message`; `false` when there is none, and a timeout has passed or the flags say not to wait.
    fn recv_into(&self, message: &mut Message, flags: c_int) -> Result<bool> {
        // SAFETY: the socket is open, the message is initialised and may be overwritten.
        if unsafe { zmq_msg_recv(&raw mut message.0, self.0.as_ptr(), flags) } >= 0 {
            return Ok(true);
        }
        if errno() == libc::EAGAIN { Ok(false) } else { Err(last_error("receive")()) }
    }

    fn send_message(&self, mut message: Message, flags: c_int) -> Result<()> {
        // SAFETY: the socket is open and the message is initialised. A send that succeeded has made it an empty
        // message, which may be closed like any other.
        let sent = unsafe { zmq_msg_send(&raw mut message.0, self.0.as_ptr(), flags) };
        check("send", sent.min(0))
    }
}

impl End for Socket {
    fn send(&mut self, body: &[u8]) -> Result<()> {
        // SAFETY: the socket is open, and libzmq copies the bytes before it returns.
        let sent = unsafe { zmq_send(self.0.as_ptr(), body.as_ptr().cast(), body.len(), 0) };
        check("send", sent.min(0))
    }

    fn recv(&mut self) -> Result<usize> {
        let mut message = Message::new();
        if !self.recv_into(&mut message, 0)? {
            return Err(Error::Silent);
        }
        Ok(std::hint::black_box(message.body()).len())
    }

    fn echo(&mut self) -> Result<()> {
        let mut message = Message::new();
        if !self.recv_into(&mut message, 0)? {
            return Err(Error::Silent);
        }
        self.send_message(message, 0)
    }

    fn recv_within(&mut self, limit: Duration) -> Result<u64> {
        let limit = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
        self.set("set a receive timeout", ZMQ_RCVTIMEO, &limit.to_ne_bytes())?;
        Ok(u64::from(self.recv_into(&mut Message::new(), 0)?))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: the socket is ours and is closed once.
        unsafe { zmq_close(self.0.as_ptr()) };
    }
}

/// A DEALER: asks without waiting for answers.
struct Dealer {
    socket: Socket,
    body: Aligned,
    lanes: usize,
    /// How many requests are outstanding.
    asked: usize,
}

impl Asker for Dealer {
    fn run_for(&mut self, time: Duration) -> Result<u64> {
        let end = sys::now() + time;
        while self.asked < self.lanes {
            self.socket.send(&self.body)?;
            self.asked += 1;
        }
        let mut got = 0;
        while got % LOOK_EVERY != 0 || sys::now() < end {
            let len = self.socket.recv()?;
            if len != self.body.len() {
                return Err(Error::Length { got: len, wanted: self.body.len() });
            }
            self.socket.send(&self.body)?;
            got += 1;
        }
        Ok(got)
    }
}

/// A ROUTER: what comes in starts with whom it is from, and goes back as it came.
struct Router(Socket);

impl Answerer for Router {
    fn run(self: Box<Self>) -> Result<()> {
        loop {
            let mut frame = Message::new();
            if !self.0.recv_into(&mut frame, 0)? {
                return Err(Error::Silent);
            }
            let flags = if frame.has_more() { ZMQ_SNDMORE } else { 0 };
            self.0.send_message(frame, flags)?;
        }
    }
}

/// Subscribers that one thread polls.
struct Subscribers {
    sockets: Vec<Socket>,
    size: usize,
}

impl Subscribers {
    /// Takes what there is, up to [`SUBSCRIBER_TURN`] messages; gives how many.
    fn drain(&self, socket: &Socket) -> Result<u64> {
        for got in 0..SUBSCRIBER_TURN {
            let mut message = Message::new();
            if !socket.recv_into(&mut message, ZMQ_DONTWAIT)? {
                return Ok(got);
            }
            let got = std::hint::black_box(message.body()).len();
            if got != self.size {
                return Err(Error::Length { got, wanted: self.size });
            }
        }
        Ok(SUBSCRIBER_TURN)
    }
}

impl Crowd for Subscribers {
    fn run(self: Box<Self>, heard: Heard) -> Result<()> {
        let item = |socket: &Socket| zmq_pollitem_t {
            socket: socket.0.as_ptr(),
            fd: 0,
            events: ZMQ_POLLIN,
            revents: 0,
        };
        let mut items: Vec<_> = self.sockets.iter().map(item).collect();
        let count = c_int::try_from(items.len()).unwrap_or(c_int::MAX);
        loop {
            let mut sum = 0;
            for (index, socket) in self.sockets.iter().enumerate() {
                let got = self.drain(socket)?;
                if got > 0 {
                    heard(index, got);
                }
                sum += got;
            }
            if sum == 0 {
                // SAFETY: there are `count` items, each with a socket that is open and belongs to this thread.
                let ready = unsafe { zmq_poll(items.as_mut_ptr(), count, -1) };
                check("poll", ready.min(0))?;
            }
        }
    }
}

/// A message that is ours, closed on drop. libzmq never keeps a pointer to it, only to what it owns, so it may move.
struct Message(zmq_msg_t);

impl Message {
    fn new() -> Self {
        let mut message = zmq_msg_t { bytes: [0; 64] };
        // SAFETY: the message is live; initialising an empty one cannot fail.
        unsafe { zmq_msg_init(&raw mut message) };
        Self(message)
    }

    /// Whether another frame of the same message follows.
    fn has_more(&self) -> bool {
        // SAFETY: the message is initialised and ours.
        unsafe { zmq_msg_more(&raw const self.0) != 0 }
    }

    fn body(&mut self) -> &[u8] {
        // SAFETY: the message is initialised and ours; it owns `len` initialised bytes at its data until it is
        // closed, sent or received into, all of which need it to be borrowed no longer.
        unsafe {
            let len = zmq_msg_size(&raw const self.0);
            slice::from_raw_parts(zmq_msg_data(&raw mut self.0).cast_const().cast(), len)
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the message is initialised and ours, and is closed once.
        unsafe { zmq_msg_close(&raw mut self.0) };
    }
}

fn kind(role: Role) -> c_int {
    match role {
        Role::Req => ZMQ_REQ,
        Role::Rep => ZMQ_REP,
        Role::Push => ZMQ_PUSH,
        Role::Pull => ZMQ_PULL,
        Role::Pub => ZMQ_PUB,
        Role::Sub => ZMQ_SUB,
        _ => unreachable!("no workload of ZeroMQ's asks for it"),
    }
}

fn check(doing: &'static str, answer: c_int) -> Result<()> {
    if answer == 0 { Ok(()) } else { Err(last_error(doing)()) }
}

fn errno() -> c_int {
    // SAFETY: the call has no conditions.
    unsafe { zmq_errno() }
}

/// What libzmq said about the call of this thread that failed last.
fn last_error(doing: &'static str) -> impl FnOnce() -> Error {
    move || {
        // SAFETY: libzmq has a text that ends in a zero byte and is never freed for every number.
        let why = unsafe { CStr::from_ptr(zmq_strerror(errno())) };
        Error::peer("libzmq", doing)(why.to_string_lossy())
    }
}

/// A message is 64 bytes that libzmq interprets.
#[repr(C, align(8))]
struct zmq_msg_t {
    bytes: [u8; 64],
}

#[repr(C)]
struct zmq_pollitem_t {
    socket: *mut c_void,
    fd: c_int,
    events: c_short,
    revents: c_short,
}

unsafe extern "C" {
    fn zmq_ctx_new() -> *mut c_void;
    fn zmq_ctx_set(context: *mut c_void, option: c_int, value: c_int) -> c_int;
    fn zmq_socket(context: *mut c_void, kind: c_int) -> *mut c_void;
    fn zmq_close(socket: *mut c_void) -> c_int;
    fn zmq_bind(socket: *mut c_void, at: *const c_char) -> c_int;
    fn zmq_connect(socket: *mut c_void, to: *const c_char) -> c_int;
    fn zmq_setsockopt(s: *mut c_void, option: c_int, value: *const c_void, len: usize) -> c_int;
    fn zmq_getsockopt(s: *mut c_void, option: c_int, value: *mut c_void, len: *mut usize) -> c_int;
    fn zmq_send(socket: *mut c_void, body: *const c_void, len: usize, flags: c_int) -> c_int;
    fn zmq_msg_init(message: *mut zmq_msg_t) -> c_int;
    fn zmq_msg_recv(message: *mut zmq_msg_t, socket: *mut c_void, flags: c_int) -> c_int;
    fn zmq_msg_send(message: *mut zmq_msg_t, socket: *mut c_void, flags: c_int) -> c_int;
    fn zmq_msg_size(message: *const zmq_msg_t) -> usize;
    fn zmq_msg_data(message: *mut zmq_msg_t) -> *mut c_void;
    fn zmq_msg_more(message: *const zmq_msg_t) -> c_int;
    fn zmq_msg_close(message: *mut zmq_msg_t) -> c_int;
    fn zmq_poll(items: *mut zmq_pollitem_t, count: c_int, timeout: c_long) -> c_int;
    fn zmq_errno() -> c_int;
    fn zmq_strerror(number: c_int) -> *const c_char;
}

const ZMQ_MAX_SOCKETS: c_int = 2;
const ZMQ_PUB: c_int = 1;
const ZMQ_SUB: c_int = 2;
const ZMQ_REQ: c_int = 3;
const ZMQ_REP: c_int = 4;
const ZMQ_DEALER: c_int = 5;
const ZMQ_ROUTER: c_int = 6;
const ZMQ_PULL: c_int = 7;
const ZMQ_PUSH: c_int = 8;
const ZMQ_SUBSCRIBE: c_int = 6;
const ZMQ_BACKLOG: c_int = 19;
const ZMQ_RCVTIMEO: c_int = 27;
const ZMQ_LAST_ENDPOINT: c_int = 32;
const ZMQ_DONTWAIT: c_int = 1;
const ZMQ_SNDMORE: c_int = 2;
const ZMQ_POLLIN: c_short = 1;

/// Beyond what any cell opens; libzmq's own limit is 1023.
const SOCKETS_MAX: c_int = 16 * 1024;

/// Room for all clients that connect at once; libzmq's own backlog is 100.
const BACKLOG: c_int = 4096;

/// The longest address that is told.
const ENDPOINT_BYTES: usize = 256;

/// Replies between two looks at the clock.
const LOOK_EVERY: u64 = 16;

/// How many messages one subscriber may take before the next has its turn.
const SUBSCRIBER_TURN: u64 = 64;
