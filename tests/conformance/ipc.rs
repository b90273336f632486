use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process;

use sp::{
    CloseReason, Credentials, DialError, EndpointError, ListenError, ListenOptions, PipeEvent,
    ProtocolId, Pull, Push, Req,
};
use sp_protocols::engine;

use crate::support::{RawListener, Scene, Wire, eager, fresh_path, next_event, recv, unique};

/// sp-wire 8.3 item 38
#[test]
fn a_request_on_ipc_is_eighteen_bytes() {
    let host = RawListener::new(Wire::Ipc);
    let req = Req::new().unwrap();
    req.dial_with(host.url(), &eager()).unwrap();
    let mut rep = host.accept();
    assert_eq!(rep.shake(ProtocolId::REP), [0x00, 0x53, 0x50, 0x00, 0x00, 0x30, 0x00, 0x00]);
    req.send("hello").unwrap();
    let got = rep.read(18);
    assert_eq!(got[..9], [0x01, 0, 0, 0, 0, 0, 0, 0, 0x09]);
    assert_eq!(got[9] & 0x80, 0x80);
    assert_eq!(got[13..], *b"hello");
    req.close();
    assert!(rep.rest().is_empty());
}

/// sp-wire 8.3 items 39 and 42
#[test]
fn a_message_of_another_type_than_1_closes_the_pipe() {
    let scene = Scene::<engine::Pull>::new(Wire::Ipc);
    for got in [0x00, 0x02, 0xff] {
        let mut frame = scene.wire.frame(b"wrong type");
        frame[0] = got;
        assert_eq!(scene.closes(&frame), CloseReason::BadMessageType { got });
        assert_eq!(scene.closes(&[got]), CloseReason::BadMessageType { got }, "the octet alone");
    }
    let framed_for_tcp = Wire::Tcp.frame(b"no type");
    assert_eq!(scene.closes(&framed_for_tcp), CloseReason::BadMessageType { got: 0 });
}

/// sp-wire 8.3 items 40 and 41
#[test]
fn a_type_octet_apart_from_its_length_is_accepted() {
    let scene = Scene::<engine::Pull>::new(Wire::Ipc);
    let (mut guest, _) = scene.peer();
    for body in [&b"split"[..], b""] {
        let frame = scene.wire.frame(body);
        guest.send(&frame[..1]);
        scene.bystander_works();
        guest.send(&frame[1..]);
        assert_eq!(recv(&scene.socket), body);
    }
    scene.bystander_works();
}

/// sp-wire 8.3 item 43
#[test]
fn a_path_is_taken_as_it_stands() {
    let odd = fresh_path().with_extension("50% of a?b#c d.sock");
    for url in [format!("ipc://{}", odd.display()), format!("ipc://{}", from_here(&odd).display())]
    {
        assert!(!odd.exists());
        let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
        let listener = pull.listen(&url).unwrap();
        assert!(odd.exists(), "{url} makes that very file");
        assert_eq!(listener.endpoint().to_string(), url);
        push.dial(&url).unwrap();
        push.send("found").unwrap();
        assert_eq!(recv(&pull), "found");
        pull.close();
    }
}

/// `path` as seen from the working directory.
fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap();
    let up = here.components().skip(1).map(|_| "..");
    up.collect::<PathBuf>().join(path.strip_prefix("/").unwrap())
}

/// sp-wire 8.3 item 43
#[test]
fn a_path_may_have_107_bytes_and_is_never_cut() {
    let stem = fresh_path().display().to_string();
    let longest = format!("{stem}{}", "x".repeat(107 - stem.len()));
    let pull = Pull::new().unwrap();
    let listener = pull.listen(format!("ipc://{longest}")).unwrap();
    assert!(Path::new(&longest).exists());
    listener.close();
    let too_long = format!("ipc://{longest}x");
    assert!(matches!(
        pull.listen(&too_long),
        Err(ListenError::Endpoint(EndpointError::Address { .. }))
    ));
    assert!(matches!(
        pull.dial(&too_long),
        Err(DialError::Endpoint(EndpointError::Address { .. }))
    ));
    assert!(!Path::new(&longest).exists());
}

/// sp-wire 8.3 item 44
#[test]
fn a_socket_file_that_nobody_listens_on_is_replaced() {
    let path = fresh_path();
    drop(UnixListener::bind(&path).unwrap());
    let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
    let listener = pull.listen(format!("ipc://{}", path.display())).unwrap();
    push.dial(listener.endpoint()).unwrap();
    push.send("replaced").unwrap();
    assert_eq!(recv(&pull), "replaced");
}

/// sp-wire 8.3 items 44 and 45
#[test]
fn a_path_in_use_is_refused_and_its_file_left_alone() {
    let scene = Scene::<engine::Pull>::new(Wire::Ipc);
    let url = scene.listener.endpoint().to_string();
    let path = PathBuf::from(url.strip_prefix("ipc://").unwrap());
    let file = inode(&path);
    let second = Pull::new().unwrap();
    let error = second.listen(url.as_str()).unwrap_err();
    assert!(error.is_in_use(), "{error}");
    second.close();
    assert_eq!(inode(&path), file);
    // The probe for life looks to the listener like a client that hangs up in its handshake.
    assert!(matches!(scene.refused(), CloseReason::Truncated | CloseReason::Io(_)));
    scene.bystander_works();
    scene.newcomer_works();
}

/// sp-wire 8.3 item 44
#[test]
fn a_file_that_is_no_socket_is_never_removed() {
    let path = fresh_path();
    fs::write(&path, "somebody's data").unwrap();
    let pull = Pull::new().unwrap();
    let refused = pull.listen(format!("ipc://{}", path.display()));
    assert!(matches!(refused, Err(ListenError::NotASocket { .. })), "{refused:?}");
    pull.close();
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's data");
    fs::remove_file(&path).unwrap();
}

/// sp-wire 8.3 item 45
#[test]
fn a_listener_takes_its_file_along_unless_it_has_become_somebody_elses() {
    let path = fresh_path();
    let url = format!("ipc://{}", path.display());
    let pull = Pull::new().unwrap();
    let listener = pull.listen(&url).unwrap();
    assert!(path.exists());
    listener.close();
    assert!(!path.exists(), "removed with the listener");

    let _second = pull.listen(&url).unwrap();
    pull.close();
    assert!(!path.exists(), "removed with the socket");

    let pull = Pull::new().unwrap();
    let _third = pull.listen(&url).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "new owner").unwrap();
    pull.close();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new owner");
    fs::remove_file(&path).unwrap();
}

/// sp-wire 8.3 item 46. Setting them after the start cannot be written down: a listener is made with its options.
#[test]
fn a_socket_file_has_the_permissions_asked_for_whatever_the_umask() {
    for mode in [0o600, 0o666, 0o777, 0o620] {
        let path = fresh_path();
        let pull = Pull::new().unwrap();
        let options = ListenOptions::new().permissions(Some(mode));
        let listener = pull.listen_with(format!("ipc://{}", path.display()), &options).unwrap();
        let found = fs::symlink_metadata(&path).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, mode, "{mode:o}");
        let push = Push::new().unwrap();
        push.dial(listener.endpoint()).unwrap();
        push.send("may connect").unwrap();
        assert_eq!(recv(&pull), "may connect");
        // One that a killed listener left behind does not hand its permissions on.
        listener.close();
        drop(UnixListener::bind(&path).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let url = format!("ipc://{}", path.display());
        let _listener = pull.listen_with(url, &options).unwrap();
        let found = fs::symlink_metadata(&path).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, mode, "{mode:o}");
    }
    // Without the option the umask decides, as for any file.
    let (ours, plain) = (fresh_path(), fresh_path());
    let pull = Pull::new().unwrap();
    let _listener = pull.listen(format!("ipc://{}", ours.display())).unwrap();
    let _plain = UnixListener::bind(&plain).unwrap();
    let [ours, theirs] = [&ours, &plain].map(|path| fs::symlink_metadata(path).unwrap().mode());
    assert_eq!(ours, theirs);
    fs::remove_file(plain).unwrap();
}

/// sp-wire 8.3 item 47
#[test]
fn abstract_names_are_bytes_without_a_file() {
    let name = unique();
    let longest = format!("{name:x<107}");
    assert_eq!(longest.len(), 107);
    for (url, bytes) in [
        (format!("abstract://{name}%00x"), format!("{name}\0x")),
        (format!("abstract://{name}%20%2f%25"), format!("{name} /%")),
        (format!("abstract://{longest}"), longest.clone()),
    ] {
        let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
        let listener = pull.listen(&url).unwrap();
        assert_eq!(listener.endpoint().to_string().parse(), Ok(listener.endpoint().clone()));
        push.dial(&url).unwrap();
        push.send("no file").unwrap();
        let got = recv(&pull);
        assert_eq!(got, "no file");
        let sender = pull.peer(got.source().unwrap()).unwrap();
        assert_eq!(sender.credentials.unwrap().pid, Some(process::id()));
        assert!(!Path::new(&bytes.replace('\0', "%00")).exists());
        // The kernel has exactly this name, without padding or terminator.
        let named = SocketAddr::from_abstract_name(&bytes).unwrap();
        drop(UnixStream::connect_addr(&named).unwrap());

        let error = Pull::new().unwrap().listen(&url).unwrap_err();
        assert!(error.is_in_use(), "{error}");
        listener.close();
        let error = Push::new().unwrap().dial(&url).unwrap_err();
        assert!(error.is_refused(), "{error}");
        pull.listen(&url).unwrap();
    }
    let refused = Pull::new().unwrap().listen(format!("abstract://{longest}x"));
    let is_address = |error: &EndpointError| matches!(error, EndpointError::Address { .. });
    assert!(
        matches!(&refused, Err(ListenError::Endpoint(error)) if is_address(error)),
        "{refused:?}"
    );
}

/// sp-wire 8.3 item 48
#[test]
fn unix_and_ipc_are_one_scheme() {
    let path = fresh_path();
    for (listen, dial) in [("ipc", "unix"), ("unix", "ipc")] {
        let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
        let _listener = pull.listen(format!("{listen}://{}", path.display())).unwrap();
        push.dial(format!("{dial}://{}", path.display())).unwrap();
        push.send("the same file").unwrap();
        assert_eq!(recv(&pull), "the same file");
        pull.close();
    }
}

/// sp-wire 8.3 item 49
#[test]
fn both_sides_know_whose_process_is_at_the_other_end() {
    let (push, pull) = (Push::new().unwrap(), Pull::new().unwrap());
    let listener = pull.listen(Wire::Ipc.url()).unwrap();
    push.dial(listener.endpoint()).unwrap();
    push.send("who is there").unwrap();
    let sender = recv(&pull).source().unwrap();
    let own = fs::metadata("/proc/self").unwrap();
    let wanted = Credentials { uid: own.uid(), gid: own.gid(), pid: Some(process::id()) };
    assert_eq!(pull.peer(sender).unwrap().credentials, Some(wanted));
    assert_eq!(push.peer(push.peers()[0]).unwrap().credentials, Some(wanted));
}

/// sp-wire 8.3 item 50
#[test]
fn a_dial_to_a_missing_file_is_refused_or_tried_again() {
    let url = format!("ipc://{}", fresh_path().display());
    let push = Push::new().unwrap();
    let error = push.dial(&url).unwrap_err();
    assert!(error.is_refused(), "{error}");
    assert!(error.to_string().contains("no such socket file"), "{error}");

    let events = push.events();
    push.dial_with(&url, &eager()).unwrap();
    for _ in 0..3 {
        let refused = CloseReason::Io(std::io::ErrorKind::NotFound);
        assert!(matches!(next_event(&events), PipeEvent::Refused { why, .. } if why == refused));
    }
    let pull = Pull::new().unwrap();
    let _listener = pull.listen(&url).unwrap();
    push.send("there now").unwrap();
    assert_eq!(recv(&pull), "there now");
    while !matches!(next_event(&events), PipeEvent::Connected { .. }) {}
}

fn inode(path: &Path) -> (u64, u64) {
    let file = fs::symlink_metadata(path).unwrap();
    (file.dev(), file.ino())
}
