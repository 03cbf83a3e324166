//! The folder that takes what was found.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder in which files can be made.
pub(super) struct Folder {
    dir: PathBuf,
    /// What is not whole yet.
    part: PathBuf,
}

impl Folder {
    /// Makes it if there is none, and tries it: a search may take hours.
    ///
    /// # Errors
    /// In a line, with its path.
    pub(super) fn new(dir: &Path) -> Result<Folder, String> {
        let part = dir.join(format!(".fuzz-{}.part", std::process::id()));
        let tried =
            fs::create_dir_all(dir).and_then(|()| fs::write(&part, "")).and_then(|()| fs::remove_file(&part));
        match tried {
            Ok(()) => Ok(Folder { dir: dir.to_path_buf(), part }),
            Err(e) => Err(format!("{}: {e}", dir.display())),
        }
    }

    /// Writes a file, whole or not at all, and says where it is.
    ///
    /// # Errors
    /// In a line, with its path.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let file = self.dir.join(name);
        let written = fs::write(&self.part, text).and_then(|()| fs::rename(&self.part, &file));
        match written {
            Ok(()) => Ok(file),
            Err(e) => Err(self.failed(&file, &e)),
        }
    }

    fn failed(&self, file: &Path, e: &io::Error) -> String {
        match fs::remove_file(&self.part) {
            Err(left) if left.kind() != io::ErrorKind::NotFound => {
                format!("{}: {e}; {}: {left}", file.display(), self.part.display())
            }
            _ => format!("{}: {e}", file.display()),
        }
    }
}
