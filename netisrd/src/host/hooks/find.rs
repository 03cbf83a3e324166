//! Which programs there are. They run as root: whoever could write one, or put
//! one there, would be root too.

use nix::unistd::geteuid;
use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Looks into a folder, and says once what is wrong in it.
pub(super) struct Finder {
    dir: PathBuf,
    /// What was wrong when it looked last.
    said: BTreeSet<String>,
}

impl Finder {
    pub(super) fn new(dir: &Path) -> Finder {
        Finder { dir: dir.to_owned(), said: BTreeSet::new() }
    }

    /// The programs as they are now, by name.
    pub(super) fn find(&mut self) -> Vec<PathBuf> {
        let (found, wrong) = look(&self.dir);
        for complaint in wrong.difference(&self.said) {
            tracing::error!("hooks: {complaint}: skipped");
        }
        self.said = wrong;
        found
    }
}

/// What may be run, and what is wrong with the rest.
fn look(dir: &Path) -> (Vec<PathBuf>, BTreeSet<String>) {
    let mut wrong = BTreeSet::new();
    let mut found = Vec::new();
    match entries(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => drop(wrong.insert(format!("{}: {e}", dir.display()))),
        Ok(names) => {
            for path in names {
                match judge(&path) {
                    Ok(()) => found.push(path),
                    Err(why) => drop(wrong.insert(format!("{}: {why}", path.display()))),
                }
            }
        }
    }
    found.sort();
    (found, wrong)
}

/// What is in the folder, if it is one that only the right people can change.
fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    if let Some(why) = changeable(&fs::metadata(dir)?) {
        return Err(io::Error::other(why));
    }
    fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
}

fn judge(path: &Path) -> Result<(), String> {
    if !is_name(path.file_name().unwrap_or_default().as_encoded_bytes()) {
        return Err("not called NN-NAME, of letters, digits, _ and -".into());
    }
    // Of what a link leads to.
    let meta = fs::metadata(path).map_err(|e| e.to_string())?;
    if !meta.is_file() {
        return Err("not a file".into());
    }
    if meta.mode() & 0o111 == 0 {
        return Err("not executable".into());
    }
    changeable(&meta).map_or(Ok(()), |why| Err(why.into()))
}

/// Two digits and a name, in the alphabet of `run-parts`: what editors and package
/// managers leave beside a file is no program.
fn is_name(name: &[u8]) -> bool {
    let letter = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    matches!(name, [a, b, b'-', rest @ ..] if a.is_ascii_digit() && b.is_ascii_digit()
        && !rest.is_empty() && rest.iter().all(letter))
}

/// Why somebody else could change it.
fn changeable(meta: &Metadata) -> Option<&'static str> {
    if meta.uid() != 0 && meta.uid() != geteuid().as_raw() {
        Some("owned by somebody else than root and netisrd's user")
    } else if meta.mode() & 0o022 != 0 {
        Some("writable by its group or by all")
    } else {
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn only_programs_that_nobody_else_can_change_are_run_in_the_order_of_their_names() {
        let dir = std::env::temp_dir().join(format!("netisrd-hooks-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let put = |name: &str, mode| {
            fs::write(dir.join(name), "").unwrap();
            fs::set_permissions(dir.join(name), Permissions::from_mode(mode)).unwrap();
        };
        put("20-b", 0o755);
        put("10-z", 0o700);
        put("30-group", 0o775);
        put("31-all", 0o757);
        put("32-text", 0o644);
        put("README", 0o755);
        put("1-x", 0o755);
        put("11-", 0o755);
        for left in ["10-z~", "10-z.dpkg-old", "10-z.bak", "#10-z#", "10-\u{e4}"] {
            put(left, 0o755);
        }
        put("60-A_b-3", 0o755);
        fs::create_dir(dir.join("40-folder")).unwrap();
        symlink("20-b", dir.join("50-link")).unwrap();
        symlink("30-group", dir.join("51-link")).unwrap();
        symlink("nothing", dir.join("52-link")).unwrap();
        let (found, wrong) = look(&dir);
        let names: Vec<_> = found.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["10-z", "20-b", "50-link", "60-A_b-3"]);
        let said: Vec<&str> = wrong.iter().map(|w| w.rsplit_once('/').unwrap().1).collect();
        let unnamed = |name: &str| format!("{name}: not called NN-NAME, of letters, digits, _ and -");
        let expected = [
            &*unnamed("#10-z#"),
            &*unnamed("1-x"),
            &*unnamed("10-z.bak"),
            &*unnamed("10-z.dpkg-old"),
            &*unnamed("10-z~"),
            &*unnamed("10-\u{e4}"),
            &*unnamed("11-"),
            "30-group: writable by its group or by all",
            "31-all: writable by its group or by all",
            "32-text: not executable",
            "40-folder: not a file",
            "51-link: writable by its group or by all",
            "52-link: No such file or directory (os error 2)",
            &*unnamed("README"),
        ];
        assert_eq!(said, expected);

        fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
        let (found, wrong) = look(&dir);
        fs::remove_dir_all(&dir).unwrap();
        assert!(found.is_empty());
        assert!(wrong.iter().all(|w| w.ends_with(": writable by its group or by all")) && wrong.len() == 1);
        assert_eq!(look(&dir), (Vec::new(), BTreeSet::new()), "no folder, no hooks");
    }
}
