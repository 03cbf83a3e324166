//! The place of a listening socket: a lock beside it, and what a dead netisrd has left
//! there.

use nix::errno::Errno as LinuxErrno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Nobody else's.
const MODE: u32 = 0o600;

/// An exclusive lock beside the socket, so that two that start together cannot
/// both take the socket for a dead one's.
pub(super) struct Lock {
    path: PathBuf,
    held: Held,
    /// It goes with this value. Another process may have it still.
    own: bool,
}

enum Held {
    Taken(Flock<File>),
    /// By the same open file as another process's: it is let go when both are closed.
    Followed(OwnedFd),
}

impl Lock {
    pub(super) fn take(socket: &Path) -> io::Result<Lock> {
        let path = lock_path(socket);
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let mut how = File::options();
        // Whoever can open it can hold it.
        how.create(true).write(true).truncate(false).mode(MODE).custom_flags(libc::O_NOFOLLOW);
        let file = how.open(&path).map_err(named)?;
        if file.metadata().map_err(named)?.mode() & 0o777 != MODE {
            file.set_permissions(Permissions::from_mode(MODE)).map_err(named)?;
        }
        let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| match e {
            LinuxErrno::EAGAIN => in_use(socket),
            e => e.into(),
        })?;
        Ok(Lock { path, held: Held::Taken(held), own: true })
    }

    /// The lock of another process, by the same open file. It stays when this value
    /// goes, until it is [taken over](Lock::own).
    pub(super) fn inherit(socket: &Path, file: OwnedFd) -> Lock {
        Lock { path: lock_path(socket), held: Held::Followed(file), own: false }
    }

    /// From now on it is this process's.
    pub(super) fn own(&mut self) {
        self.own = true;
    }

    /// Whether it is.
    pub(super) fn is_own(&self) -> bool {
        self.own
    }
}

fn lock_path(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    PathBuf::from(path)
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.held {
            Held::Taken(file) => file.as_fd(),
            Held::Followed(fd) => fd.as_fd(),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.own {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the socket that a dead netisrd left; anything else is not ours.
pub(super) fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(m) if m.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => {
            let what = format!("{}: exists and is not a socket", path.display());
            Err(io::Error::new(io::ErrorKind::AlreadyExists, what))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

pub(super) fn in_use(path: &Path) -> io::Error {
    let what = format!("{}: another netisrd is listening", path.display());
    io::Error::new(io::ErrorKind::AddrInUse, what)
}

/// The folder of a file that has one, if only the present one.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}
