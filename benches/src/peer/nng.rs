//! nng 2 through its C interface: blocking calls, a fresh message per send, received messages freed.
//!
//! All unsafe code here is calls into nng, wrapped so that a socket and a message each have one owner.

#![expect(unsafe_code, reason = "nng is a C library")]

use std::ffi::{CString, c_int};
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use nng_sys as c;

#[cfg(feature = "peer-nng-tls")]
use super::tls;
use super::{End, Peer, Role};
use crate::error::{Error, Result};

/// nng, initialised.
pub(crate) struct Nng(());

impl Nng {
    /// Initialises nng for this process; doing so again does no harm.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: a null pointer asks for the defaults.
        let answer = unsafe { c::nng_init(ptr::null()) };
        if answer == c::nng_err::NNG_OK {
            Ok(Self(()))
        } else {
            Err(Error::peer("nng", "initialise")(answer))
        }
    }
}

impl Peer for Nng {
    fn serve(&self, role: Role, url: &str, _size: usize) -> Result<(Box<dyn End>, String)> {
        let socket = Socket::open(role)?;
        let at = socket.listen(url)?;
        Ok((Box::new(socket), at))
    }

    fn connect(&self, role: Role, url: &str, _size: usize) -> Result<Box<dyn End>> {
        let socket = Socket::open(role)?;
        socket.dial(url)?;
        Ok(Box::new(socket))
    }
}

/// An open socket, closed on drop.
pub(super) struct Socket(pub(super) c::nng_socket);

impl Socket {
    pub(super) fn open(role: Role) -> Result<Self> {
        let mut id = c::nng_socket::NNG_SOCKET_INITIALIZER;
        let open = match role {
            Role::Req => c::nng_req0_open,
            Role::Rep => c::nng_rep0_open,
            Role::Push => c::nng_push0_open,
            Role::Pull => c::nng_pull0_open,
            Role::Pub => c::nng_pub0_open,
            Role::Sub => c::nng_sub0_open,
            Role::WaitingPub | Role::WaitingSub => {
                return Err(Error::Cannot { doing: "wait for a subscriber" });
            }
            Role::Pair | Role::PairOut | Role::PairIn => c::nng_pair0_open,
            Role::Bus => c::nng_bus0_open,
            Role::Surveyor => c::nng_surveyor0_open,
            Role::Respondent => c::nng_respondent0_open,
        };
        // SAFETY: `id` is live and is filled by the call; nng has been initialised by `Nng::new`.
        check("open a socket", unsafe { open(&raw mut id) })?;
        let socket = Self(id);
        if !matches!(role, Role::Req | Role::Rep) {
            socket.set_buffers()?;
        }
        if role == Role::Sub {
            // SAFETY: the socket is open and a SUB; no byte is read from a topic of length 0.
            check("subscribe", unsafe { c::nng_sub0_socket_subscribe(id, ptr::null(), 0) })?;
        }
        Ok(socket)
    }

    /// Buffers of 1000 messages; a pattern that has none in one direction says so, and that is no error.
    fn set_buffers(&self) -> Result<()> {
        for name in [c::NNG_OPT_SENDBUF.as_slice(), c::NNG_OPT_RECVBUF] {
            // SAFETY: the socket is open and the option's name ends in a zero byte.
            let answer =
                unsafe { c::nng_socket_set_int(self.0, name.as_ptr().cast(), BUFFER_MESSAGES) };
            if answer != code(c::nng_err::NNG_ENOTSUP) {
                check("set a buffer", answer)?;
            }
        }
        Ok(())
    }

    pub(super) fn listen(&self, url: &str) -> Result<String> {
        let given = CString::new(url).map_err(Error::peer("nng", "take the address"))?;
        let mut listener = c::nng_listener::NNG_LISTENER_INITIALIZER;
        // SAFETY: the socket is open, the address ends in a zero byte, `listener` is live and is filled.
        check("make a listener", unsafe {
            c::nng_listener_create(&raw mut listener, self.0, given.as_ptr())
        })?;
        #[cfg(feature = "peer-nng-tls")]
        if tls::is_under(url) {
            let config = TlsConfig::server()?;
            // SAFETY: the listener has not started yet, and nng holds the configuration by itself.
            check("use a certificate", unsafe { c::nng_listener_set_tls(listener, config.0) })?;
        }
        // SAFETY: the listener was just made.
        check("listen", unsafe { c::nng_listener_start(listener, 0) })?;
        if !url.contains(":0") {
            return Ok(url.to_owned());
        }
        let mut port: c_int = 0;
        // SAFETY: the listener is open, the option's name ends in a zero byte, `port` is live and is filled.
        check("tell its port", unsafe {
            let name = c::NNG_OPT_BOUND_PORT.as_ptr().cast();
            c::nng_listener_get_int(listener, name, &raw mut port)
        })?;
        Ok(url.replacen(":0", &format!(":{port}"), 1))
    }

    pub(super) fn dial(&self, url: &str) -> Result<()> {
        let given = CString::new(url).map_err(Error::peer("nng", "take the address"))?;
        let mut dialer = c::nng_dialer::NNG_DIALER_INITIALIZER;
        // SAFETY: the socket is open, the address ends in a zero byte, `dialer` is live and is filled.
        check("make a dialer", unsafe {
            c::nng_dialer_create(&raw mut dialer, self.0, given.as_ptr())
        })?;
        #[cfg(feature = "peer-nng-tls")]
        if tls::is_under(url) {
            let config = TlsConfig::client()?;
            // SAFETY: the dialer has not started yet, and nng holds the configuration by itself.
            check("use an authority", unsafe { c::nng_dialer_set_tls(dialer, config.0) })?;
        }
        // SAFETY: the dialer was just made.
        check("dial", unsafe { c::nng_dialer_start(dialer, 0) })
    }

    fn send_message(&self, message: Message) -> Result<()> {
        // SAFETY: the socket is open and the message is whole and ours.
        check("send", unsafe { c::nng_sendmsg(self.0, message.0.as_ptr(), 0) })?;
        // After a send that succeeded the message is nng's.
        std::mem::forget(message);
        Ok(())
    }

    /// The next message, or `None` when a receive timeout that was set has passed.
    fn recv_message(&self) -> Result<Option<Message>> {
        let mut message = ptr::null_mut();
        // SAFETY: the socket is open, `message` is live and is filled when the call succeeds.
        let answer = unsafe { c::nng_recvmsg(self.0, &raw mut message, 0) };
        if answer == code(c::nng_err::NNG_ETIMEDOUT) {
            return Ok(None);
        }
        check("receive", answer)?;
        NonNull::new(message).map(|message| Some(Message(message))).ok_or(Error::Gone)
    }
}

impl End for Socket {
    fn send(&mut self, body: &[u8]) -> Result<()> {
        self.send_message(Message::new(body)?)
    }

    fn recv(&mut self) -> Result<usize> {
        let message = self.recv_message()?.ok_or(Error::Silent)?;
        Ok(std::hint::black_box(message.body()).len())
    }

    fn echo(&mut self) -> Result<()> {
        let message = self.recv_message()?.ok_or(Error::Silent)?;
        self.send_message(message)
    }

    fn recv_within(&mut self, limit: Duration) -> Result<u64> {
        let limit = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the socket is open and the option's name ends in a zero byte.
        check("set a receive timeout", unsafe {
            c::nng_socket_set_ms(self.0, c::NNG_OPT_RECVTIMEO.as_ptr().cast(), limit)
        })?;
        Ok(u64::from(self.recv_message()?.is_some()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: the socket is ours and is closed once; nng numbers sockets, so no pointer dangles.
        unsafe { c::nng_socket_close(self.0) };
    }
}

/// A configuration of TLS; our hold on it ends on drop.
#[cfg(feature = "peer-nng-tls")]
struct TlsConfig(*mut c::nng_tls_config);

#[cfg(feature = "peer-nng-tls")]
impl TlsConfig {
    fn server() -> Result<Self> {
        let config = Self::new(c::nng_tls_mode::NNG_TLS_MODE_SERVER)?;
        let (certificate, key) = (text(tls::CERTIFICATE)?, text(tls::KEY)?);
        // SAFETY: the configuration is ours, both texts end in a zero byte, and the key has no password.
        check("read the certificate", unsafe {
            c::nng_tls_config_own_cert(config.0, certificate.as_ptr(), key.as_ptr(), ptr::null())
        })?;
        Ok(config)
    }

    fn client() -> Result<Self> {
        let config = Self::new(c::nng_tls_mode::NNG_TLS_MODE_CLIENT)?;
        let (authority, name) = (text(tls::AUTHORITY)?, text("localhost")?);
        // SAFETY: the configuration is ours, the texts end in a zero byte, and there is no revocation list.
        unsafe {
            check(
                "read the authority",
                c::nng_tls_config_ca_chain(config.0, authority.as_ptr(), ptr::null()),
            )?;
            check("expect a name", c::nng_tls_config_server_name(config.0, name.as_ptr()))?;
        }
        Ok(config)
    }

    fn new(mode: c::nng_tls_mode) -> Result<Self> {
        let mut config = ptr::null_mut();
        // SAFETY: `config` is live and is filled when the call succeeds.
        check("configure TLS", unsafe { c::nng_tls_config_alloc(&raw mut config, mode) })?;
        Ok(Self(config))
    }
}

#[cfg(feature = "peer-nng-tls")]
impl Drop for TlsConfig {
    fn drop(&mut self) {
        // SAFETY: the hold is ours and is given up once.
        unsafe { c::nng_tls_config_free(self.0) };
    }
}

#[cfg(feature = "peer-nng-tls")]
fn text(pem: &str) -> Result<CString> {
    CString::new(pem).map_err(Error::peer("nng", "take a text"))
}

/// A message that is ours, freed on drop.
pub(super) struct Message(NonNull<c::nng_msg>);

impl Message {
    pub(super) fn new(body: &[u8]) -> Result<Self> {
        let mut message = ptr::null_mut();
        // SAFETY: `message` is live and is filled when the call succeeds.
        check("allocate a message", unsafe { c::nng_msg_alloc(&raw mut message, body.len()) })?;
        let message = Self(NonNull::new(message).ok_or(Error::Gone)?);
        // SAFETY: the message is whole and ours; its body has the length it was allocated with, and memory that
        // was just allocated does not overlap `body`.
        unsafe {
            let into = c::nng_msg_body(message.0.as_ptr()).cast::<u8>();
            ptr::copy_nonoverlapping(body.as_ptr(), into, body.len());
        }
        Ok(message)
    }

    /// Takes over a message that nng gave away.
    ///
    /// # Safety
    ///
    /// `message` is null or a whole message that nobody else owns.
    pub(super) unsafe fn from_raw(message: *mut c::nng_msg) -> Option<Self> {
        NonNull::new(message).map(Self)
    }

    /// Gives the message away, to be freed by nng.
    pub(super) fn into_raw(self) -> *mut c::nng_msg {
        let message = self.0.as_ptr();
        std::mem::forget(self);
        message
    }

    pub(super) fn body(&self) -> &[u8] {
        // SAFETY: the message is whole and ours; it owns `len` initialised bytes at its body until it is freed,
        // which needs it by value.
        unsafe {
            let len = c::nng_msg_len(self.0.as_ptr());
            let body = c::nng_msg_body(self.0.as_ptr()).cast::<u8>();
            if body.is_null() { &[] } else { slice::from_raw_parts(body, len) }
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the message is ours and is freed once.
        unsafe { c::nng_msg_free(self.0.as_ptr()) };
    }
}

pub(super) fn check(doing: &'static str, answer: c_int) -> Result<()> {
    if answer == 0 {
        return Ok(());
    }
    Err(Error::peer("nng", doing)(c::nng_err(answer.cast_unsigned())))
}

/// Most of nng's functions give its error numbers as plain integers.
const fn code(error: c::nng_err) -> c_int {
    error.0.cast_signed()
}

/// What libraries of this kind buffer by default; nng's own default is none.
const BUFFER_MESSAGES: c_int = 1000;
