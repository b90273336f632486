//! Permissions of a socket file, which at no time are more than asked for.
//!
//! Changing them by the path after the file is there would leave an instant with those of the umask, and would follow
//! whatever somebody has put in the file's place by then.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use socket2::Socket;

/// Before the file is made: it will have at most these permissions. Linux makes it with those of the descriptor, less
/// what the umask takes away.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn narrow(socket: &Socket, mode: u32) -> io::Result<()> {
    use std::os::fd::AsFd;

    let file = fs::File::from(socket.as_fd().try_clone_to_owned()?);
    file.set_permissions(Permissions::from_mode(mode & MODE_BITS))
}

/// After it is made and before anybody can connect: gives back what the umask took away.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn widen(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

    // A name for the file itself, whatever becomes of its path.
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
        .open(path)?;
    let found = file.metadata()?;
    if !found.file_type().is_socket() {
        return Err(io::Error::other("the socket file was replaced while it was set up"));
    }
    if found.permissions().mode() & MODE_BITS == mode & MODE_BITS {
        return Ok(());
    }
    let place = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::set_permissions(place, Permissions::from_mode(mode & MODE_BITS))
}

/// Other systems do not take the descriptor's.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn narrow(_socket: &Socket, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// Nobody can connect yet, for the socket does not listen.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn widen(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode & MODE_BITS))
}

/// For owner, group and others.
const MODE_BITS: u32 = 0o777;
