use proptest::prelude::*;

use super::*;

fn parse(url: &str) -> Endpoint {
    url.parse().unwrap_or_else(|error| panic!("{url} was refused: {error}"))
}

fn tcp(family: IpFamily, host: Host, port: u16) -> Address {
    Address::Tcp { family, host, port }
}

fn ws(family: IpFamily, host: Host, port: u16, target: &str) -> Address {
    Address::Ws { secure: false, family, host, port, target: target.into() }
}

fn udp(family: IpFamily, host: Host, port: u16) -> Address {
    Address::Udp { family, host, port }
}

fn ip(text: &str) -> Host {
    Host::Ip(text.parse().expect("the test has a literal address"))
}

fn name(text: &str) -> Host {
    Host::Name(text.into())
}

#[derive(Debug, PartialEq)]
enum Refusal {
    Scheme,
    NotBuilt,
    Syntax,
    Address,
}

fn refusal(error: &EndpointError) -> Refusal {
    match error {
        EndpointError::UnknownScheme { .. } => Refusal::Scheme,
        EndpointError::NotBuilt { .. } => Refusal::NotBuilt,
        EndpointError::Syntax { .. } => Refusal::Syntax,
        EndpointError::Address { .. } => Refusal::Address,
    }
}

/// sp-wire 8.16 item 162, the accepted rows: what a URL means and whether it can be dialled.
#[test]
fn item_162_urls_are_accepted_as_the_table_lists_them() {
    use IpFamily::{Any, V4, V6};
    let inproc = |name: &str| Address::Inproc { name: name.into() };
    let ipc = |path: &str| Address::Ipc { path: path.into() };
    let abstracted = |name: &[u8]| Address::Abstract { name: name.into() };
    let rows = [
        ("tcp://127.0.0.1:5555", tcp(Any, ip("127.0.0.1"), 5555), true),
        ("tcp://[::1]:5555", tcp(Any, ip("::1"), 5555), true),
        ("tcp://host:5555", tcp(Any, name("host"), 5555), true),
        ("tcp://Host.Example:5555/", tcp(Any, name("host.example"), 5555), true),
        ("TCP://host:65535", tcp(Any, name("host"), 65535), true),
        ("tcp://:5555", tcp(Any, Host::Wildcard, 5555), false),
        ("tcp://*:5555", tcp(Any, Host::Wildcard, 5555), false),
        ("tcp://0.0.0.0:5555", tcp(Any, ip("0.0.0.0"), 5555), true),
        ("tcp://[::]:5555", tcp(Any, ip("::"), 5555), true),
        ("tcp://127.0.0.1:0", tcp(Any, ip("127.0.0.1"), 0), false),
        ("tcp://127.0.0.1", tcp(Any, ip("127.0.0.1"), 0), false),
        ("tcp4://127.0.0.1:1", tcp(V4, ip("127.0.0.1"), 1), true),
        ("tcp4://*:1", tcp(V4, Host::Wildcard, 1), false),
        ("tcp6://[::1]:1", tcp(V6, ip("::1"), 1), true),
        ("tcp6://host:1", tcp(V6, name("host"), 1), true),
        ("ws://host", ws(Any, name("host"), 80, "/"), true),
        ("ws://Host/path?query", ws(Any, name("host"), 80, "/path?query"), true),
        ("ws://[::1]:8080//a/../b/", ws(Any, ip("::1"), 8080, "/b/"), true),
        ("ws://*:8080/", ws(Any, Host::Wildcard, 8080, "/"), false),
        ("ws4://127.0.0.1:0/x", ws(V4, ip("127.0.0.1"), 0, "/x"), false),
        ("ws6://host?q", ws(V6, name("host"), 80, "/?q"), true),
        ("udp://127.0.0.1:5555", udp(Any, ip("127.0.0.1"), 5555), true),
        ("udp://*:5555/", udp(Any, Host::Wildcard, 5555), false),
        ("udp4://127.0.0.1:0", udp(V4, ip("127.0.0.1"), 0), false),
        ("udp6://Host:1", udp(V6, name("host"), 1), true),
        ("ipc:///tmp/x.sock", ipc("/tmp/x.sock"), true),
        ("abstract://name%00x", abstracted(b"name\0x"), true),
        ("abstract://a%20b%ffc%25", abstracted(b"a b\xffc%"), true),
        ("socket://", Address::Socket, false),
        ("ipc://rel.sock", ipc("rel.sock"), true),
        ("ipc://a?b#c%20d", ipc("a?b#c%20d"), true),
        ("unix:///tmp/x.sock", ipc("/tmp/x.sock"), true),
        ("inproc://anything at all", inproc("anything at all"), true),
        ("inproc://", inproc(""), true),
        ("inproc://a/b?c://d", inproc("a/b?c://d"), true),
        ("inproc://A", inproc("A"), true),
    ];
    for (url, address, dialable) in rows {
        let endpoint = parse(url);
        assert_eq!(*endpoint.address(), address, "{url}");
        assert_eq!(endpoint.check_dialable().is_ok(), dialable, "{url}");
        assert_eq!(parse(&endpoint.to_string()), endpoint, "{url}");
    }
}

/// sp-wire 8.16 item 162, the refused rows: unknown, not built, wrong in form, wrong in content.
#[test]
fn item_162_urls_are_refused_as_the_table_lists_them() {
    use Refusal::{Address, NotBuilt, Scheme, Syntax};
    let long_host = format!("tcp://{}:1", "h".repeat(256));
    let long_path = format!("ipc://{}", "p".repeat(108));
    let rows = [
        ("", Syntax),
        ("tcp", Syntax),
        ("tcp:/host:1", Syntax),
        ("tcp://host:", Syntax),
        ("tcp://[::1:5555", Syntax),
        ("tcp://[::1]5555", Syntax),
        ("tcp://::1:5555", Syntax),
        ("://host:1", Scheme),
        ("http://host:1", Scheme),
        (" tcp://host:1", Scheme),
        ("udp4://[::1]:1", Address),
        ("udp://host:1/path", Address),
        ("dtls://host:1", NotBuilt),
        ("abstract://", Address),
        ("abstract://name%", Syntax),
        ("abstract://name%0", Syntax),
        ("abstract://name%+1", Syntax),
        ("abstract://name%\u{20ac}", Syntax),
        ("socket://x", Address),
        ("socket:///", Address),
        ("tcp://host:65536", Address),
        ("tcp://host:+80", Address),
        ("tcp://host:-1", Address),
        ("tcp://host:http", Address),
        ("tcp://host:99999999999999999999", Address),
        ("tcp://eth0;host:5555", Address),
        ("tcp://user@host:1", Address),
        ("tcp://host:1/path", Address),
        ("tcp://host:1?query", Address),
        ("tcp://host:1#fragment", Address),
        ("tcp://ho st:1", Address),
        ("tcp://höst:1", Address),
        ("tcp://[host]:1", Address),
        ("tcp://[127.0.0.1]:1", Address),
        ("tcp://[fe80::1%eth0]:1", Address),
        ("tcp://[]:1", Address),
        ("tcp4://[::1]:1", Address),
        ("tcp6://127.0.0.1:1", Address),
        ("ws://user@host/", Address),
        ("ws://host:1/a b", Address),
        ("ws://host:1/%", Address),
        ("ws://host:1/#fragment", Address),
        ("ws4://[::1]:1/", Address),
        ("ws://host:/", Syntax),
        (&long_host, Address),
        ("ipc://", Address),
        ("unix://", Address),
        ("ipc://a\0b", Address),
        (&long_path, Address),
    ];
    for (url, expected) in rows {
        match url.parse::<Endpoint>() {
            Ok(endpoint) => panic!("{url:?} was taken as {endpoint:?}"),
            Err(error) => {
                assert_eq!(refusal(&error), expected, "{url:?}");
                assert!(error.to_string().contains(&format!("{url:?}")), "{error}");
            }
        }
    }
}

/// Conformance item 162, the rows of TLS, which a feature brings.
#[test]
fn item_162_tls_is_another_scheme_where_it_is_built() {
    use IpFamily::{Any, V4, V6};
    let tls = |family, host, port| Address::Tls { family, host, port };
    let wss = |family, host, port, target: &str| Address::Ws {
        secure: true,
        family,
        host,
        port,
        target: target.into(),
    };
    let rows = [
        ("tls+tcp://Host:4433", tls(Any, name("host"), 4433), true),
        ("tls+tcp://*:0", tls(Any, Host::Wildcard, 0), false),
        ("tls+tcp4://127.0.0.1:1", tls(V4, ip("127.0.0.1"), 1), true),
        ("tls+tcp6://[::1]:1/", tls(V6, ip("::1"), 1), true),
        ("wss://Host", wss(Any, name("host"), 443, "/"), true),
        ("wss://host:80/a/../b?query", wss(Any, name("host"), 80, "/b?query"), true),
        ("wss://*:0/", wss(Any, Host::Wildcard, 0, "/"), false),
        ("wss4://127.0.0.1/x", wss(V4, ip("127.0.0.1"), 443, "/x"), true),
        ("wss6://[::1]:1", wss(V6, ip("::1"), 1, "/"), true),
    ];
    for (url, address, dialable) in rows {
        if !cfg!(feature = "tls") {
            let error = url.parse::<Endpoint>().expect_err("it is not built");
            assert_eq!(refusal(&error), Refusal::NotBuilt, "{url}");
            assert!(error.to_string().contains("the feature tls"), "{error}");
            continue;
        }
        let endpoint = parse(url);
        assert_eq!(*endpoint.address(), address, "{url}");
        assert!(endpoint.has_tls(), "{url}");
        assert_eq!(endpoint.check_dialable().is_ok(), dialable, "{url}");
        assert_eq!(parse(&endpoint.to_string()), endpoint, "{url}");
        assert_eq!(endpoint.with_port(7).port(), Some(7));
    }
}

#[test]
fn the_longest_host_and_path_are_accepted() {
    parse(&format!("tcp://{}:1", "h".repeat(255)));
    parse(&format!("ipc://{}", "p".repeat(107)));
}

#[test]
fn errors_say_what_to_do() {
    let error = |url: &str| url.parse::<Endpoint>().expect_err("the URL is wrong").to_string();
    assert_eq!(
        error("dtls://host"),
        r#""dtls://host": dtls is not in this build, which has "#.to_owned()
            + parse::BUILT
            + "; use one of these"
    );
    assert_eq!(
        error("tcp://host:http"),
        r#""tcp://host:http" cannot be used: the port must be a number: service names are not looked up"#
    );
    assert_eq!(
        error("zmq://host"),
        r#""zmq://host": no transport has the scheme "zmq"; use tcp, tcp4, tcp6, tls+tcp, ws, wss, udp, ipc, unix, abstract, socket or inproc, or register a transport of your own"#
    );
}

#[test]
fn a_scheme_that_was_added_takes_whatever_follows() {
    assert!(matches!("mine+x://a".parse::<Endpoint>(), Err(EndpointError::UnknownScheme { .. })));
    assert_eq!(add_scheme("mine+x"), Ok(()));
    let at = parse("Mine+X:///dev/ttyS0?9600#%zz");
    assert_eq!(at.to_string(), "mine+x:///dev/ttyS0?9600#%zz");
    assert_eq!((at.scheme(), at.port()), ("mine+x", None));
    assert_eq!(at.check_dialable(), Ok(()));
    assert_eq!(at.with_own_address("b"), parse("mine+x://b"));
}

#[test]
fn a_scheme_is_added_once_and_takes_nobodys_place() {
    assert_eq!(add_scheme("once"), Ok(()));
    assert_eq!(add_scheme("once"), Err(SchemeError::Taken { scheme: "once" }));
    for scheme in ["", "Upper", "1st", "a b", "a/b", "a:b", "ä", "+a"] {
        assert_eq!(add_scheme(scheme), Err(SchemeError::Malformed { scheme }));
    }
    // Also those that other builds and other libraries have.
    for scheme in ["tcp", "ws", "unix", "abstract", "inproc", "socket", "tls+tcp", "udp", "dtls"] {
        assert_eq!(add_scheme(scheme), Err(SchemeError::BuiltIn { scheme }));
    }
}

/// sp-wire 8.16 item 163, the reporting of the bound port.
#[test]
fn item_163_a_bound_port_appears_in_the_url() {
    let at = parse("tcp6://[::1]:0");
    assert_eq!(at.with_port(4000).to_string(), "tcp6://[::1]:4000");
    let bound = SocketAddr::from(([127, 0, 0, 1], 4000));
    let any = parse("tcp://localhost:0");
    assert_eq!(any.with_socket_addr(bound).to_string(), "tcp://127.0.0.1:4000");
    assert_eq!(any.with_socket_addr(bound), Endpoint::from(bound));
    assert_eq!((at.port(), parse("inproc://a").port()), (Some(0), None));
    let inproc = parse("inproc://a");
    assert_eq!(inproc.with_socket_addr(bound), inproc);
}

#[test]
fn calls_can_take_urls_in_any_form() {
    fn open<E: Into<EndpointError>>(at: impl TryInto<Endpoint, Error = E>) -> String {
        match at.try_into() {
            Ok(endpoint) => endpoint.to_string(),
            Err(error) => error.into().to_string(),
        }
    }
    let url = String::from("inproc://a");
    let endpoint = parse(&url);
    assert_eq!(open("inproc://a"), url);
    assert_eq!(open(&url), url);
    assert_eq!(open(&endpoint), url);
    assert_eq!(open(endpoint), url);
    assert_eq!(open(url.clone()), url);
}

proptest! {
    #[test]
    fn any_text_is_refused_or_printed_so_that_it_parses_again(
        scheme in prop::sample::select(vec!["", "tcp://", "tcp4://", "tcp6://", "ipc://", "inproc://", "ws://", "wss://", "udp://"]),
        rest in "\\PC{0,40}|[\\[\\]:*@/?#.%a0-9f-]{0,20}|[a-z0-9.]{1,8}:[0-9]{1,5}",
    ) {
        let url = format!("{scheme}{rest}");
        if let Ok(endpoint) = url.parse::<Endpoint>() {
            let printed = endpoint.to_string();
            prop_assert_eq!(printed.parse::<Endpoint>(), Ok(endpoint), "{}", printed);
        }
    }

    #[test]
    fn every_socket_address_makes_an_endpoint_that_parses_again(bits in any::<u128>(), v4 in any::<bool>(), port: u16) {
        let ip = if v4 { IpAddr::from((bits as u32).to_be_bytes()) } else { IpAddr::from(bits.to_be_bytes()) };
        let endpoint = Endpoint::from(SocketAddr::new(ip, port));
        prop_assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint));
    }
}
