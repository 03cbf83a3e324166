//! What the files of passwords say: read once with the configuration, and its own from
//! then on.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use zeroize::Zeroize;

/// Passwords by the path of their file. Wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Passwords(BTreeMap<String, Vec<u8>>);

impl Passwords {
    /// As the word behind `pass`.
    pub(super) fn word(&self, path: &str) -> Option<OsString> {
        self.0.get(path).cloned().map(OsString::from_vec)
    }

    pub(super) fn keep(&mut self, path: &str, word: &OsString) {
        self.0.insert(path.to_owned(), word.as_bytes().to_vec());
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(Path::new)
    }
}

impl Drop for Passwords {
    fn drop(&mut self) {
        self.0.values_mut().for_each(Zeroize::zeroize);
    }
}
