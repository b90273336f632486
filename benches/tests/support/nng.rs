//! nng 2 through its C interface, as far as the tests need it. The benchmark's wrapper serves speed and knows a
//! message's length only; this one serves checks: it gives bodies back and tells when a peer is connected.
//!
//! All unsafe code here is calls into nng and the one function it calls back.

#![expect(unsafe_code, reason = "nng is a C library")]

use std::ffi::{CStr, CString, c_int, c_uint, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::slice;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use nng_sys as c;

#[cfg(feature = "peer-nng-tls")]
use crate::certificates::{AUTHORITY, CLIENT, Holder, SERVER};

/// A pattern of nng's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Req,
    Rep,
    Surveyor,
    Respondent,
    Pub,
    Sub,
    Push,
    Pull,
    Pair,
    Pair1,
    Pair1Poly,
    Bus,
}

/// An open socket of nng's, closed on drop. Every call ends within the limit given to [`open`](Self::open); one
/// that fails panics with nng's reason.
pub(crate) struct Nng {
    id: c::nng_socket,
    connected: Receiver<()>,
    /// What the callback was given. Freed after the socket is closed and calls it no more.
    tell: *mut Sender<()>,
}

// SAFETY: the sender behind the pointer is only reached by the callback, through a shared reference, and a sender
// may be used from any thread; nng's sockets are made for several threads.
unsafe impl Send for Nng {}

impl Nng {
    /// Opens a socket. A SUB receives everything, a SURVEYOR's surveys last until the limit.
    pub(crate) fn open(pattern: Pattern, limit: Duration) -> Self {
        // SAFETY: a null pointer asks for the defaults; doing so again does no harm.
        check("initialise", code(unsafe { c::nng_init(ptr::null()) }));
        let mut id = c::nng_socket::NNG_SOCKET_INITIALIZER;
        let open = match pattern {
            Pattern::Req => c::nng_req0_open,
            Pattern::Rep => c::nng_rep0_open,
            Pattern::Surveyor => c::nng_surveyor0_open,
            Pattern::Respondent => c::nng_respondent0_open,
            Pattern::Pub => c::nng_pub0_open,
            Pattern::Sub => c::nng_sub0_open,
            Pattern::Push => c::nng_push0_open,
            Pattern::Pull => c::nng_pull0_open,
            Pattern::Pair => c::nng_pair0_open,
            Pattern::Pair1 => c::nng_pair1_open,
            Pattern::Pair1Poly => c::nng_pair1_open_poly,
            Pattern::Bus => c::nng_bus0_open,
        };
        // SAFETY: `id` is live and is filled by the call; nng has been initialised.
        check("open", unsafe { open(&raw mut id) });
        let (tell, connected) = unbounded();
        let socket = Self { id, connected, tell: Box::into_raw(Box::new(tell)) };
        // SAFETY: the socket is open; what `tell` points to lives until the socket is closed.
        check("watch", unsafe {
            let to = socket.tell.cast::<c_void>();
            code(c::nng_pipe_notify(id, c::NNG_PIPE_EV_ADD_POST, Some(on_connected), to))
        });
        let longest = c::NNG_OPT_RECVMAXSZ.as_ptr().cast();
        // SAFETY: the socket is open and the option's name ends in a zero byte; 0 is without limit.
        check("receive all", unsafe { c::nng_socket_set_size(id, longest, 0) });
        let limit = c::nng_duration::try_from(limit.as_millis()).expect("a limit below weeks");
        for option in [c::NNG_OPT_RECVTIMEO.as_slice(), c::NNG_OPT_SENDTIMEO] {
            // SAFETY: the socket is open and the option's name ends in a zero byte.
            check("limit", unsafe { c::nng_socket_set_ms(id, option.as_ptr().cast(), limit) });
        }
        if pattern == Pattern::Surveyor {
            let name = c::NNG_OPT_SURVEYOR_SURVEYTIME.as_ptr().cast();
            // SAFETY: the socket is open and a SURVEYOR, and the option's name ends in a zero byte.
            check("survey time", unsafe { c::nng_socket_set_ms(id, name, limit) });
        }
        if pattern == Pattern::Sub {
            // SAFETY: the socket is open and a SUB; no byte is read from a topic of length 0.
            check("subscribe", unsafe { c::nng_sub0_socket_subscribe(id, ptr::null(), 0) });
        }
        socket
    }

    /// A REQ asks again after `time`.
    pub(crate) fn resend_after(&self, time: Duration) {
        let time = c::nng_duration::try_from(time.as_millis()).expect("a time below weeks");
        for option in [c::NNG_OPT_REQ_RESENDTIME.as_slice(), c::NNG_OPT_REQ_RESENDTICK] {
            // SAFETY: the socket is open and a REQ, and the option's name ends in a zero byte.
            check("resend", unsafe { c::nng_socket_set_ms(self.id, option.as_ptr().cast(), time) });
        }
    }

    /// Listens, and answers where: at the port chosen, if the one in `url` is 0.
    pub(crate) fn listen(&self, url: &str) -> String {
        let given = CString::new(url).expect("a URL without zero bytes");
        let mut listener = c::nng_listener::NNG_LISTENER_INITIALIZER;
        // SAFETY: the socket is open, the URL ends in a zero byte, `listener` is live and is filled.
        check("make a listener", unsafe {
            c::nng_listener_create(&raw mut listener, self.id, given.as_ptr())
        });
        #[cfg(feature = "peer-nng-tls")]
        if has_tls(url) {
            let config = TlsConfig::new(c::nng_tls_mode::NNG_TLS_MODE_SERVER, Some(&SERVER));
            // SAFETY: the listener is open and the configuration is live; nng holds it on its own.
            check("set TLS", unsafe { c::nng_listener_set_tls(listener, config.0) });
        }
        // SAFETY: the listener is open and was not started yet.
        check("listen", unsafe { c::nng_listener_start(listener, 0) });
        if !url.contains(":0") {
            return url.to_owned();
        }
        let mut port: c_int = 0;
        // SAFETY: the listener is open, the option's name ends in a zero byte, `port` is live and is filled.
        check("tell the port", unsafe {
            let name = c::NNG_OPT_BOUND_PORT.as_ptr().cast();
            c::nng_listener_get_int(listener, name, &raw mut port)
        });
        url.replacen(":0", &format!(":{port}"), 1)
    }

    /// Connects; waits for the first connection.
    pub(crate) fn dial(&self, url: &str) {
        check("dial", self.try_dial(url, true));
    }

    /// Tries to connect without a certificate, where one is required.
    #[cfg(feature = "peer-nng-tls")]
    pub(crate) fn dial_in_vain(&self, url: &str) {
        // It may learn of its refusal at once or later.
        self.try_dial(url, false);
    }

    fn try_dial(&self, url: &str, shows_certificate: bool) -> c_int {
        let given = CString::new(url).expect("a URL without zero bytes");
        let mut dialer = c::nng_dialer::NNG_DIALER_INITIALIZER;
        // SAFETY: the socket is open, the URL ends in a zero byte, `dialer` is live and is filled.
        check("make a dialer", unsafe {
            c::nng_dialer_create(&raw mut dialer, self.id, given.as_ptr())
        });
        #[cfg(feature = "peer-nng-tls")]
        if has_tls(url) {
            let shown = shows_certificate.then_some(&*CLIENT);
            let config = TlsConfig::new(c::nng_tls_mode::NNG_TLS_MODE_CLIENT, shown);
            // SAFETY: the dialer is open and the configuration is live; nng holds it on its own.
            check("set TLS", unsafe { c::nng_dialer_set_tls(dialer, config.0) });
        }
        #[cfg(not(feature = "peer-nng-tls"))]
        let _ = shows_certificate;
        // SAFETY: the dialer is open and was not started yet.
        unsafe { c::nng_dialer_start(dialer, 0) }
    }

    /// What the peer of a pipe has shown, in DER.
    #[cfg(feature = "peer-nng-tls")]
    pub(crate) fn certificate(&self, pipe: c::nng_pipe) -> Vec<u8> {
        let mut certificate = ptr::null_mut();
        let mut len = 0;
        // SAFETY: `certificate` is live and is filled with one that is ours to free. Asked without room its length is
        // answered, and then the room is that long.
        unsafe {
            check("tell who it is", code(c::nng_pipe_peer_cert(pipe, &raw mut certificate)));
            c::nng_tls_cert_der(certificate, ptr::null_mut(), &raw mut len);
            let mut der = vec![0; len];
            c::nng_tls_cert_der(certificate, der.as_mut_ptr(), &raw mut len);
            c::nng_tls_cert_free(certificate);
            der
        }
    }

    /// Waits until its protocol knows of the next peer.
    pub(crate) fn wait_connected(&self, limit: Duration) {
        self.connected.recv_timeout(limit).expect("nng sees a peer");
    }

    pub(crate) fn send(&self, body: &[u8]) {
        // SAFETY: the socket is open; the body is live during the call, which copies it.
        check("send", unsafe { c::nng_send(self.id, body.as_ptr().cast(), body.len(), 0) });
    }

    pub(crate) fn recv(&self) -> Vec<u8> {
        let mut message = ptr::null_mut();
        // SAFETY: the socket is open, `message` is live and is filled when the call succeeds.
        check("receive", unsafe { c::nng_recvmsg(self.id, &raw mut message, 0) });
        // SAFETY: nng has just handed the message over.
        unsafe { take_body(message) }
    }

    /// What has come, if anything has.
    pub(crate) fn try_recv(&self) -> Option<Vec<u8>> {
        let mut message = ptr::null_mut();
        let now = c::NNG_FLAG_NONBLOCK.cast_signed();
        // SAFETY: the socket is open, `message` is live and is filled when the call succeeds.
        let answer = unsafe { c::nng_recvmsg(self.id, &raw mut message, now) };
        // SAFETY: nng has just handed the message over.
        (answer == 0).then(|| unsafe { take_body(message) })
    }

    /// As [`recv`](Self::recv), and says whom the message came from.
    pub(crate) fn recv_from(&self) -> (c::nng_pipe, Vec<u8>) {
        let mut message = ptr::null_mut();
        // SAFETY: the socket is open, `message` is live and is filled when the call succeeds.
        check("receive", unsafe { c::nng_recvmsg(self.id, &raw mut message, 0) });
        // SAFETY: nng has just handed the message over.
        unsafe { (c::nng_msg_get_pipe(message), take_body(message)) }
    }

    /// Sends to one peer of a polyamorous PAIR1.
    pub(crate) fn send_to(&self, pipe: c::nng_pipe, body: &[u8]) {
        let message = new_message(body);
        // SAFETY: the message is ours until it is sent, and nng's afterwards; one that was not sent ends the test.
        check("send", unsafe {
            c::nng_msg_set_pipe(message, pipe);
            c::nng_sendmsg(self.id, message, 0)
        });
    }

    /// One more conversation of a REP, SURVEYOR or RESPONDENT.
    pub(crate) fn context(&self) -> NngContext<'_> {
        let mut id = c::nng_ctx::NNG_CTX_INITIALIZER;
        // SAFETY: the socket is open; `id` is live and is filled by the call.
        check("open a context", unsafe { c::nng_ctx_open(&raw mut id, self.id) });
        NngContext { id, _socket: PhantomData }
    }
}

/// A context of nng's, which ends with its socket at the latest. Closed on drop.
pub(crate) struct NngContext<'a> {
    id: c::nng_ctx,
    _socket: PhantomData<&'a Nng>,
}

impl NngContext<'_> {
    pub(crate) fn send(&self, body: &[u8]) {
        let message = new_message(body);
        // SAFETY: a message that was sent is nng's, and one that was not ends the test.
        check("send", unsafe { c::nng_ctx_sendmsg(self.id, message, 0) });
    }

    pub(crate) fn recv(&self) -> Vec<u8> {
        let mut message = ptr::null_mut();
        // SAFETY: the context is open, `message` is live and is filled when the call succeeds.
        check("receive", unsafe { c::nng_ctx_recvmsg(self.id, &raw mut message, 0) });
        // SAFETY: nng has just handed the message over.
        unsafe { take_body(message) }
    }
}

impl Drop for NngContext<'_> {
    fn drop(&mut self) {
        // SAFETY: the context is ours and is closed once.
        unsafe { c::nng_ctx_close(self.id) };
    }
}

/// Whether connections to a URL are encrypted.
#[cfg(feature = "peer-nng-tls")]
pub(crate) fn has_tls(url: &str) -> bool {
    url.starts_with("tls") || url.starts_with("wss")
}

/// What one side of nng's shows and asks for: a certificate of the tests' authority.
#[cfg(feature = "peer-nng-tls")]
struct TlsConfig(*mut c::nng_tls_config);

#[cfg(feature = "peer-nng-tls")]
impl TlsConfig {
    fn new(mode: c::nng_tls_mode, shown: Option<&Holder>) -> Self {
        let text = |pem: String| CString::new(pem).expect("PEM without zero bytes");
        let authority = text(AUTHORITY.certificate_pem());
        let mut config = ptr::null_mut();
        // SAFETY: `config` is live and is filled; nng has been initialised. All texts end in a zero byte and are live
        // while nng copies them; a null pointer stands for no list of revoked ones, and for no password.
        unsafe {
            check("make a configuration", c::nng_tls_config_alloc(&raw mut config, mode));
            check("trust", c::nng_tls_config_ca_chain(config, authority.as_ptr(), ptr::null()));
            let required = c::nng_tls_auth_mode::NNG_TLS_AUTH_MODE_REQUIRED;
            check("require", c::nng_tls_config_auth_mode(config, required));
            if mode == c::nng_tls_mode::NNG_TLS_MODE_CLIENT {
                // Its engine compares no addresses.
                check("name", c::nng_tls_config_server_name(config, c"localhost".as_ptr()));
            }
            if let Some(shown) = shown {
                let (certificate, key) = (text(shown.certificate_pem()), text(shown.key_pem()));
                let (certificate, key) = (certificate.as_ptr(), key.as_ptr());
                check("show", c::nng_tls_config_own_cert(config, certificate, key, ptr::null()));
            }
        }
        Self(config)
    }
}

#[cfg(feature = "peer-nng-tls")]
impl Drop for TlsConfig {
    fn drop(&mut self) {
        // SAFETY: it is ours and is freed once; what nng holds it holds on its own.
        unsafe { c::nng_tls_config_free(self.0) };
    }
}

/// A message of nng's with a copy of `body`, to be sent.
fn new_message(body: &[u8]) -> *mut c::nng_msg {
    let mut message = ptr::null_mut();
    // SAFETY: `message` is live and is filled; the body is live while it is copied.
    unsafe {
        check("allocate", c::nng_msg_alloc(&raw mut message, 0));
        check("fill", c::nng_msg_append(message, body.as_ptr().cast(), body.len()));
    }
    message
}

/// Copies what a message says and frees it.
///
/// # Safety
///
/// The message is whole and the caller's, who does not touch it again.
unsafe fn take_body(message: *mut c::nng_msg) -> Vec<u8> {
    // SAFETY: the message owns `len` initialised bytes at its body until it is freed here, once, after they have
    // been copied.
    unsafe {
        let len = c::nng_msg_len(message);
        let body = c::nng_msg_body(message).cast::<u8>();
        let copy = if len == 0 { Vec::new() } else { slice::from_raw_parts(body, len).to_vec() };
        c::nng_msg_free(message);
        copy
    }
}

impl Drop for Nng {
    fn drop(&mut self) {
        // SAFETY: the socket is ours and is closed once. Closing waits for callbacks, so that afterwards nobody has
        // the sender, which came from a box.
        unsafe {
            c::nng_socket_close(self.id);
            drop(Box::from_raw(self.tell));
        }
    }
}

/// Called by nng once a pipe is part of its socket.
unsafe extern "C" fn on_connected(_: c::nng_pipe, _: c_uint, tell: *mut c_void) {
    // SAFETY: `tell` is the sender given to `nng_pipe_notify`, alive until its socket is closed.
    let tell = unsafe { &*tell.cast::<Sender<()>>() };
    // Nobody needs to listen.
    let _ = tell.send(());
}

#[track_caller]
fn check(doing: &str, answer: c_int) {
    if answer != 0 {
        // SAFETY: nng answers every number with a text that ends in a zero byte and is never freed.
        let why = unsafe { CStr::from_ptr(c::nng_strerror(c::nng_err(answer.cast_unsigned()))) };
        panic!("nng: {doing}: {}", why.to_string_lossy());
    }
}

/// Some of nng's functions answer with its error type, most with a plain integer.
const fn code(error: c::nng_err) -> c_int {
    error.0.cast_signed()
}
