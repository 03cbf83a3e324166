//! Passwords: from the command line, or from a file so that `ps` never shows
//! them.

use crate::failure::Failure;
use crate::trusted;
use libcarp::carpreq::CARP_KEY_LEN;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a password file that are read: the first line is all that counts.
const FILE_MAX: u64 = 64 * 1024;

/// A key as SIOCSVH takes it: the password's bytes, then NULs, at least one.
/// Wiped when dropped, never printed.
#[derive(PartialEq, Eq)]
pub struct Password([u8; CARP_KEY_LEN]);

impl Password {
    /// `pass`: `ifcarp.c: setcarp_passwd`, which cuts off what is too long.
    pub(crate) fn from_word(word: &OsStr) -> Result<Password, Failure> {
        Password::new("pass", word.as_bytes())
    }

    /// `passfile`: the first line of a file that is its owner's alone, and the
    /// owner root or the user who reads it.
    pub(crate) fn from_file(path: &Path) -> Result<Password, Failure> {
        let failed = |e: &str| Failure::Message(format!("passfile: {}: {e}", path.display()));
        let trusted::Opened { file, mode } = trusted::open(path).map_err(|e| failed(&e))?;
        if mode & 0o077 != 0 {
            return Err(failed(&format!("mode {mode:04o} is open to others: chmod 600 it first")));
        }
        // All the room at once: a vector that grows leaves copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(FILE_MAX as usize));
        file.take(FILE_MAX).read_to_end(&mut text).map_err(|e| failed(&trusted::reason(&e)))?;
        let line = text.split(|b| *b == b'\n').next().unwrap_or_default();
        match line.last() {
            None if text.is_empty() => Err(failed("the file is empty")),
            None => Err(failed("its first line is empty")),
            Some(b'\r') => Err(failed("its first line ends with a carriage return: end lines as Unix does")),
            Some(_) => Password::new("passfile", line),
        }
    }

    fn new(keyword: &str, text: &[u8]) -> Result<Password, Failure> {
        let max = CARP_KEY_LEN - 1;
        if text.len() > max {
            let len = text.len();
            return Err(Failure::Message(format!(
                "{keyword}: {len} bytes are too long: a password has at most {max} bytes"
            )));
        }
        if text.contains(&0) {
            return Err(Failure::Message(format!("{keyword}: a password cannot have a NUL byte in it")));
        }
        let mut key = [0; CARP_KEY_LEN];
        for (to, from) in key.iter_mut().zip(text) {
            *to = *from;
        }
        Ok(Password(key))
    }

    pub(crate) fn key(&self) -> &[u8; CARP_KEY_LEN] {
        &self.0
    }

    /// As the word behind `pass`. Whoever has it wipes it.
    pub fn word(&self) -> OsString {
        OsString::from_vec(self.0.iter().copied().take_while(|b| *b != 0).collect())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("*")
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
