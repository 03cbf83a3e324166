//! The file itself: whose it is, who else may write it, what is in it.

use ifconfig_carp::trusted;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// Bytes that a configuration has at most: many times what 255 virtual hosts
/// need.
const MAX: u64 = 1 << 20;
/// `S_IWGRP`, `S_IWOTH`
const OTHERS_WRITE: u32 = 0o022;
/// `S_IROTH`
const WORLD_READS: u32 = 0o004;

/// What a file has in it.
pub(super) struct Text {
    pub(super) text: Zeroizing<String>,
    /// What is secret in it is not.
    pub(super) open_to_all: bool,
}

/// Reads the file, if nobody but root and our own user may have written it.
///
/// # Errors
/// One sentence, without the path.
pub(super) fn read(path: &Path) -> Result<Text, String> {
    let trusted::Opened { file, mode } = trusted::open(path)?;
    if mode & OTHERS_WRITE != 0 {
        return Err(format!("mode {mode:04o} lets others write it: chmod go-w it first"));
    }
    // All the room at once: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX as usize + 1));
    file.take(MAX + 1).read_to_end(&mut bytes).map_err(|e| trusted::reason(&e))?;
    if bytes.len() as u64 > MAX {
        return Err(format!("expected at most {MAX} bytes"));
    }
    match str::from_utf8(&bytes) {
        Ok(text) => Ok(Text { text: Zeroizing::new(text.to_owned()), open_to_all: mode & WORLD_READS != 0 }),
        Err(e) => Err(format!("expected text in UTF-8, which ends after {} bytes", e.valid_up_to())),
    }
}
