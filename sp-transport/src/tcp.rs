//! What is set on the descriptors of TCP connections.

use std::fmt;
use std::io;
use std::time::Duration;

use socket2::{Socket, TcpKeepalive};

/// How a TCP connection behaves; listeners hand it on to those they accept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tuning {
    pub(crate) nodelay: bool,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) user_timeout: Option<Duration>,
    pub(crate) interface: Option<String>,
}

impl Tuning {
    /// Sets what a connection may go without: none of it is worth a connection that the system refuses it for. What
    /// was set before does not shine through, whether by whoever opened the listening descriptor or by another listener
    /// of a shared port.
    pub(crate) fn apply(&self, socket: &Socket) {
        let _ = socket.set_tcp_nodelay(self.nodelay);
        let _ = match self.keepalive.map(|idle| idle.max(SECOND)) {
            Some(idle) => {
                let asks = TcpKeepalive::new().with_time(idle).with_retries(ASKS);
                socket.set_tcp_keepalive(&asks.with_interval((idle / ASKS).max(SECOND)))
            }
            None => socket.set_keepalive(false),
        };
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = socket.set_tcp_user_timeout(self.user_timeout);
    }

    /// Keeps a socket to the interface asked for. Not to be gone without: somebody counts on it.
    pub(crate) fn bind_interface(&self, socket: &Socket) -> io::Result<()> {
        let Some(name) = &self.interface else { return Ok(()) };
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return socket.bind_device(Some(name.as_bytes()));
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("no socket can be kept to {name}"),
        ));
    }
}

impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodelay, keepalive, user_timeout, interface } = self;
        write!(
            f,
            "nodelay={nodelay}, keepalive={keepalive:?}, user_timeout={user_timeout:?}, interface={interface:?}"
        )
    }
}

/// How often a silent peer is asked.
const ASKS: u32 = 3;

/// What the system counts keep-alives in.
const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use socket2::{Domain, Type};

    use super::*;

    #[test]
    fn what_is_set_is_what_the_system_goes_by_whatever_was_set_before() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let minute = Duration::from_secs(60);
        for (nodelay, keepalive, user_timeout) in [
            (true, Some(minute), Some(2 * minute)),
            (false, None, None),
            (true, Some(Duration::from_millis(1)), None),
        ] {
            Tuning { nodelay, keepalive, user_timeout, interface: None }.apply(&socket);
            assert_eq!(socket.tcp_nodelay().expect("tcp"), nodelay);
            assert_eq!(socket.keepalive().expect("a socket"), keepalive.is_some());
            if let Some(idle) = keepalive {
                let idle = idle.max(SECOND);
                assert_eq!(socket.tcp_keepalive_time().expect("tcp"), idle);
                assert_eq!(socket.tcp_keepalive_interval().expect("tcp"), (idle / 3).max(SECOND));
                assert_eq!(socket.tcp_keepalive_retries().expect("tcp"), 3);
            }
            #[cfg(target_os = "linux")]
            assert_eq!(socket.tcp_user_timeout().expect("tcp"), user_timeout);
        }
    }
}
