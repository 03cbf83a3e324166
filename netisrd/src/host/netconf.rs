//! Settings of the host's stack, `/proc/sys/net`: changed, and put back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Where they are.
const ROOT: &str = "/proc/sys/net";

/// What was there before. It is in a file too, until it is put back: whoever comes
/// after a netisrd that was killed puts it back in its place.
pub struct NetConf {
    file: PathBuf,
    before: BTreeMap<String, i32>,
}

impl NetConf {
    /// With what a dead netisrd has left to be put back. `file` is replaced.
    ///
    /// # Errors
    /// It cannot be read, or says something else.
    pub fn open(file: &Path) -> io::Result<NetConf> {
        let text = match fs::read_to_string(file) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            other => other.map_err(|e| named(file, &e))?,
        };
        let mut conf = NetConf { file: file.to_owned(), before: BTreeMap::new() };
        for line in text.lines() {
            let setting = line.split_once(' ').and_then(|(leaf, value)| Some((leaf, value.parse().ok()?)));
            let (leaf, value) = setting.filter(|(leaf, _)| is_leaf(leaf)).ok_or_else(|| {
                io::Error::other(format!("{}: not a setting that netisrd has saved: {line}", file.display()))
            })?;
            conf.before.insert(leaf.to_owned(), value);
        }
        conf.restore();
        Ok(conf)
    }

    /// With nothing, until it [goes on](NetConf::follow) as another one's.
    pub fn waiting(file: &Path) -> NetConf {
        NetConf { file: file.to_owned(), before: BTreeMap::new() }
    }

    /// What another process has changed is this one's to put back.
    pub fn follow(&mut self, before: BTreeMap<String, i32>) {
        self.before = before;
    }

    /// What was there before.
    pub fn before(&self) -> &BTreeMap<String, i32> {
        &self.before
    }

    /// Sets it to `least`, if it is less, until [`restore`](NetConf::restore).
    ///
    /// # Errors
    /// It cannot be set, or not be saved.
    pub fn raise(&mut self, leaf: &str, least: i32) -> io::Result<()> {
        let now = get(leaf)?;
        if now < least {
            self.before.entry(leaf.to_owned()).or_insert(now);
            self.save()?;
            self.set(leaf, least)?;
        }
        Ok(())
    }

    /// Sets it for good: it goes with its interface.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set(&self, leaf: &str, value: i32) -> io::Result<()> {
        let path = Path::new(ROOT).join(leaf);
        fs::write(&path, value.to_string()).map_err(|e| named(&path, &e))
    }

    /// Puts back what was there. What is gone with its interface needs nothing.
    pub fn restore(&mut self) {
        if self.before.is_empty() {
            // The file, if there is one, is another process's.
            return;
        }
        for (leaf, value) in core::mem::take(&mut self.before) {
            match self.set(&leaf, value) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => tracing::warn!("not put back: {e}"),
                _ => {}
            }
        }
        match fs::remove_file(&self.file) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("{}", named(&self.file, &e));
            }
            _ => {}
        }
    }

    fn save(&self) -> io::Result<()> {
        let text: String = self.before.iter().map(|(leaf, value)| format!("{leaf} {value}\n")).collect();
        let new = self.file.with_extension("new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, &self.file)).map_err(|e| named(&new, &e))
    }
}

/// It stays below the folder, whoever has written the file.
fn is_leaf(leaf: &str) -> bool {
    let part = |p: &str| !p.is_empty() && p != "." && p != "..";
    leaf.split('/').count() == 4 && leaf.split('/').all(part)
}

fn get(leaf: &str) -> io::Result<i32> {
    let path = Path::new(ROOT).join(leaf);
    let text = fs::read_to_string(&path).map_err(|e| named(&path, &e))?;
    text.trim().parse().map_err(|_| io::Error::other(format!("{}: not a number", path.display())))
}

/// The error, of the same kind, with the file's name.
fn named(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_says_something_else_is_refused() {
        let dir = std::env::temp_dir().join(format!("netconf-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join("saved");
        for bad in [
            "ipv4/conf/eth0/arp_ignore",
            "ipv4/conf/eth0/arp_ignore x",
            "../../../etc/passwd 1",
            "a/b/../c 1",
        ] {
            fs::write(&file, bad).unwrap();
            assert!(NetConf::open(&file).is_err(), "{bad}");
        }
        fs::remove_file(&file).unwrap();
        assert!(NetConf::open(&file).unwrap().before.is_empty());
        fs::remove_dir_all(&dir).unwrap();
    }
}
