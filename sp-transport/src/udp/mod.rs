//! UDP as nng 2.0 maps the Scalability Protocols to it: many peers on one descriptor, each a pipe like any other.
//!
//! [`Hub`] is a descriptor: its socket's driver reads it like a connection, shows every datagram to the [`Table`] and
//! hands messages to their pipes. [`UdpPipe`] sends, on the thread that flushes. The worker decides who becomes a peer
//! and keeps the time (`worker/datagrams.rs`).

mod hub;
mod options;
mod pipe;
mod table;

pub(crate) use hub::{Hub, News, Read};
pub use options::UdpOptions;
pub(crate) use pipe::UdpPipe;
pub(crate) use table::Terms;

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};
use sp_core::endpoint::IpFamily;

use crate::options::DialOptions;
use crate::tcp::Tuning;

/// A socket that datagrams come to.
pub(crate) fn bind(addr: SocketAddr, family: IpFamily, tuning: &Tuning) -> io::Result<Socket> {
    let socket = open(addr)?;
    tuning.bind_interface(&socket)?;
    if addr.is_ipv6() {
        socket.set_only_v6(family == IpFamily::V6)?;
    }
    // No address is shared: of two sockets at one, either would get what is meant for the other.
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// A socket that hears `addr` alone, and of errors on the way there.
pub(crate) fn connect(addr: SocketAddr, options: &DialOptions) -> io::Result<UdpSocket> {
    let socket = open(addr)?;
    options.conn.tuning.bind_interface(&socket)?;
    if let Some(ip) = options.local_address {
        socket.bind(&SocketAddr::new(ip, 0).into())?;
    }
    socket.connect(&addr.into())?;
    Ok(socket.into())
}

fn open(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // What finds no room there is lost, and the system gives what it can. A smaller one works as well.
    let _ = socket.set_recv_buffer_size(RECV_BUFFER_BYTES);
    Ok(socket)
}

/// Small datagrams take up more than ten times their length there, so this is thousands of them.
const RECV_BUFFER_BYTES: usize = 4 << 20;
