//! The URL grammar: `scheme://host[:port]` for tcp and udp, with a path and query behind it for ws; everything behind
//! `://` as it stands for ipc, inproc and the program's own transports, and with `%` and two digits for a byte for
//! abstract names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use super::target::canonical;
use super::{Address, EndpointError, Host, IpFamily, schemes};

/// Reads a URL.
pub(super) fn address(url: &str) -> Result<Address, EndpointError> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(
            Fault::Syntax("write scheme://address, for example tcp://127.0.0.1:5555").at(url)
        );
    };
    let address = match scheme.to_ascii_lowercase().as_str() {
        "tcp" => tcp(IpFamily::Any, rest),
        "tcp4" => tcp(IpFamily::V4, rest),
        "tcp6" => tcp(IpFamily::V6, rest),
        "tls+tcp" if HAS_TLS => tls(IpFamily::Any, rest),
        "tls+tcp4" if HAS_TLS => tls(IpFamily::V4, rest),
        "tls+tcp6" if HAS_TLS => tls(IpFamily::V6, rest),
        "ws" => ws(false, IpFamily::Any, rest),
        "ws4" => ws(false, IpFamily::V4, rest),
        "ws6" => ws(false, IpFamily::V6, rest),
        "wss" if HAS_TLS => ws(true, IpFamily::Any, rest),
        "wss4" if HAS_TLS => ws(true, IpFamily::V4, rest),
        "wss6" if HAS_TLS => ws(true, IpFamily::V6, rest),
        "udp" => udp(IpFamily::Any, rest),
        "udp4" => udp(IpFamily::V4, rest),
        "udp6" => udp(IpFamily::V6, rest),
        "ipc" | "unix" => ipc(rest),
        "abstract" => abstract_name(rest),
        "socket" if rest.is_empty() => Ok(Address::Socket),
        "socket" => {
            Err(Fault::Address("nothing may follow socket://: descriptors are handed in by a call"))
        }
        "inproc" => Ok(Address::Inproc { name: rest.into() }),
        known if NOT_BUILT.contains(&known) => {
            return Err(EndpointError::NotBuilt { url: url.to_owned(), scheme: known.to_owned() });
        }
        own => match schemes::added(own) {
            Some(scheme) => Ok(Address::Own { scheme, address: rest.into() }),
            None => {
                return Err(EndpointError::UnknownScheme {
                    url: url.to_owned(),
                    scheme: scheme.to_owned(),
                });
            }
        },
    };
    address.map_err(|fault| fault.at(url))
}

fn tcp(family: IpFamily, rest: &str) -> Result<Address, Fault> {
    let (host, port) = authority(family, rest)?;
    Ok(Address::Tcp { family, host, port })
}

fn tls(family: IpFamily, rest: &str) -> Result<Address, Fault> {
    let (host, port) = authority(family, rest)?;
    Ok(Address::Tls { family, host, port })
}

fn udp(family: IpFamily, rest: &str) -> Result<Address, Fault> {
    let (host, port) = authority(family, rest)?;
    Ok(Address::Udp { family, host, port })
}

/// A host and port with nothing around them.
fn authority(family: IpFamily, rest: &str) -> Result<(Host, u16), Fault> {
    let (authority, path) = match rest.find(['/', '?', '#']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err(Fault::Address(
            "tcp and udp have no user information: leave out what stands before the @",
        ));
    }
    if !matches!(path, "" | "/") {
        return Err(Fault::Address(
            "tcp and udp have no path, query or fragment: end after the port",
        ));
    }
    // No port is 0, as in nng.
    host_and_port(family, authority, 0)
}

fn ws(secure: bool, family: IpFamily, rest: &str) -> Result<Address, Fault> {
    let (authority, target) = match rest.find(['/', '?', '#']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err(Fault::Address(
            "ws has no user information: leave out what stands before the @",
        ));
    }
    let (host, port) = host_and_port(family, authority, if secure { 443 } else { 80 })?;
    let target = canonical(target).map_err(Fault::Address)?;
    Ok(Address::Ws { secure, family, host, port, target })
}

fn host_and_port(family: IpFamily, authority: &str, usual: u16) -> Result<(Host, u16), Fault> {
    let (host, port) = split_port(authority)?;
    let host = host_of(host)?;
    if matches!(host, Host::Ip(ip) if !family.includes(ip)) {
        return Err(Fault::Address(
            "the address is of the other IP version than the scheme: leave the 4 or 6 out",
        ));
    }
    Ok((host, port.map_or(Ok(usual), port_of)?))
}

/// Parts the host, brackets included, from the port, if there is one.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), Fault> {
    let host_end = match authority.strip_prefix('[') {
        Some(inner) => match inner.find(']') {
            // One bracket before the inner text and one behind it.
            Some(at) => at + 2,
            None => return Err(Fault::Syntax("close the bracket behind the IPv6 address")),
        },
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(host_end);
    if rest.is_empty() {
        return Ok((host, None));
    }
    match rest.strip_prefix(':') {
        Some("") => Err(Fault::Syntax("write a port behind the colon, or leave the colon out")),
        Some(port) if !host.starts_with('[') && port.contains(':') => {
            Err(Fault::Syntax("put an IPv6 address in brackets, for example tcp://[::1]:5555"))
        }
        Some(port) => Ok((host, Some(port))),
        None => Err(Fault::Syntax("only :port may follow the bracket")),
    }
}

fn host_of(host: &str) -> Result<Host, Fault> {
    if matches!(host, "" | "*") {
        return Ok(Host::Wildcard);
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        // The standard library reads no zone ids here, so they are refused with the rest.
        return match inner.parse::<Ipv6Addr>() {
            Ok(ip) => Ok(Host::Ip(IpAddr::V6(ip))),
            Err(_) => Err(Fault::Address(
                "what stands in brackets must be an IPv6 address without a zone id",
            )),
        };
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(IpAddr::V4(ip)));
    }
    if host.len() > HOST_MAX {
        return Err(Fault::Address("a host name has at most 255 bytes"));
    }
    if !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
        return Err(Fault::Address(
            "a host name has letters, digits, hyphens, dots and underscores; encode others as punycode",
        ));
    }
    Ok(Host::Name(host.to_ascii_lowercase().into()))
}

fn port_of(port: &str) -> Result<u16, Fault> {
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::Address("the port must be a number: service names are not looked up"));
    }
    port.parse().map_err(|_| Fault::Address("the port must be at most 65535"))
}

fn ipc(path: &str) -> Result<Address, Fault> {
    if path.is_empty() {
        return Err(Fault::Address(
            "ipc needs the path of a socket file, for example ipc:///tmp/a.sock",
        ));
    }
    if path.len() > PATH_MAX {
        return Err(Fault::Address(
            "the path of a socket file has at most 107 bytes: use a shorter one",
        ));
    }
    if path.contains('\0') {
        return Err(Fault::Address("the path of a socket file has no NUL byte"));
    }
    Ok(Address::Ipc { path: PathBuf::from(path) })
}

fn abstract_name(escaped: &str) -> Result<Address, Fault> {
    if cfg!(not(any(target_os = "linux", target_os = "android"))) {
        return Err(Fault::Address("only Linux has abstract sockets: use ipc"));
    }
    let mut name = Vec::with_capacity(escaped.len());
    let mut parts = escaped.split('%');
    // What stands before the first percent sign.
    name.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        let byte = part
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or(Fault::Syntax("write two hexadecimal digits behind %, or %25 for % itself"))?;
        name.push(byte);
        name.extend(part.bytes().skip(2));
    }
    if name.is_empty() {
        return Err(Fault::Address(
            "an abstract socket needs a name, for example abstract://server",
        ));
    }
    if name.len() > PATH_MAX {
        return Err(Fault::Address("an abstract name has at most 107 bytes: use a shorter one"));
    }
    Ok(Address::Abstract { name: name.into() })
}

/// An error that does not know its URL yet.
enum Fault {
    Syntax(&'static str),
    Address(&'static str),
}

impl Fault {
    fn at(self, url: &str) -> EndpointError {
        let url = url.to_owned();
        match self {
            Self::Syntax(why) => EndpointError::Syntax { url, why },
            Self::Address(why) => EndpointError::Address { url, why },
        }
    }
}

const HAS_TLS: bool = cfg!(feature = "tls");

/// What to use instead of a scheme that is not built in.
pub(super) const BUILT: &str = if HAS_TLS {
    "tcp, tls+tcp, ws, wss, udp, ipc, abstract, socket and inproc"
} else {
    "tcp, ws, udp, ipc, abstract, socket and inproc, and tls+tcp and wss with the feature tls"
};

/// Schemes of other Scalability Protocols libraries, and those of this one that a feature brings.
const NOT_BUILT: [&str; 10] =
    ["tls+tcp", "tls+tcp4", "tls+tcp6", "wss", "wss4", "wss6", "dtls", "dtls4", "dtls6", "fd"];

/// nng's limit, and the longest name the domain name system has.
const HOST_MAX: usize = 255;
/// What fits the kernel's address structure beside its terminator.
const PATH_MAX: usize = 107;
