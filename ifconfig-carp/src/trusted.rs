//! Files that say what a machine is to do, or hold its secrets: whose they are
//! matters as much as what is in them.

use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// A file that is open, and its mode: which of the bits must not be set is for
/// the caller to say.
#[derive(Debug)]
pub struct Opened {
    /// For reading.
    pub file: File,
    /// The permissions, `07777`.
    pub mode: u32,
}

/// Opens a regular file that is root's or the calling user's.
///
/// # Errors
/// One sentence, without the path.
pub fn open(path: &Path) -> Result<Opened, String> {
    // A pipe must not keep us waiting for its writer.
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|e| reason(&e))?;
    // Of the file that is open: the path may name another by now.
    let meta = file.metadata().map_err(|e| reason(&e))?;
    if !meta.is_file() {
        return Err("not a regular file".into());
    }
    let (owner, me) = (meta.uid(), geteuid().as_raw());
    if owner != 0 && owner != me {
        let who = if me == 0 { String::new() } else { format!(" or user {me}") };
        return Err(format!("is owned by user {owner}: chown it to root{who} first"));
    }
    Ok(Opened { file, mode: meta.mode() & 0o7777 })
}

/// `strerror`, without the number that Rust appends.
pub fn reason(e: &io::Error) -> String {
    match e.raw_os_error() {
        Some(n) => nix::errno::Errno::from_raw(n).desc().to_owned(),
        None => e.to_string(),
    }
}
