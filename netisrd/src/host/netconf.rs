//! Settings of the host's interfaces, `/proc/sys/net/*/conf`: changed, and put back.

use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where they are.
const ROOT: &str = "/proc/sys/net";

/// What was there before. It is in a file too, until it is put back: whoever comes
/// after a netisrd that was killed puts it back in its place. A line is there before
/// the setting is changed; the file stays open, since none is opened for writing
/// once the process has given up its rights.
pub struct NetConf {
    path: PathBuf,
    file: File,
    before: Vec<Setting>,
    /// What is to be put back is this process's business.
    own: bool,
}

/// Of which interface, and what it was. The kernel takes settings along when an
/// interface is renamed, and forgets them when it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    index: u32,
    /// `ipv4/conf/{}/arp_ignore`
    leaf: String,
    value: i32,
}

impl NetConf {
    /// With what a dead netisrd has left put back, `name_of` being what the interface
    /// of an index is called. `path` is replaced.
    ///
    /// # Errors
    /// It cannot be read, or says something else.
    pub fn open(path: &Path, name_of: impl Fn(u32) -> Option<String>) -> io::Result<NetConf> {
        let text = read(path).map_err(|e| named(path, &e))?;
        let mut before = Vec::new();
        // Of a line without an end nothing has come.
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            before.push(Setting::parse(line).ok_or_else(|| {
                io::Error::other(format!("{}: not a setting that netisrd has saved: {line}", path.display()))
            })?);
        }
        let before = put_back(before, name_of);
        let new = path.with_extension("new");
        // Whatever was there, and wherever it led.
        match fs::remove_file(&new) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(named(&new, &e)),
            _ => {}
        }
        let mut file = File::create_new(&new).map_err(|e| named(&new, &e))?;
        let text: String = before.iter().map(Setting::line).collect();
        file.write_all(text.as_bytes()).map_err(|e| named(&new, &e))?;
        fs::rename(&new, path).map_err(|e| named(path, &e))?;
        Ok(NetConf { path: path.to_owned(), file, before, own: true })
    }

    /// With nothing, until it [goes on](NetConf::follow) as another one's. `file` is that
    /// one's, and stays as it is.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn waiting(path: &Path) -> io::Result<NetConf> {
        let file = File::options().append(true).open(path).map_err(|e| named(path, &e))?;
        Ok(NetConf { path: path.to_owned(), file, before: Vec::new(), own: false })
    }

    /// What another process has changed is this one's to put back.
    pub fn follow(&mut self, before: Vec<Setting>) {
        self.before = before;
        self.own = true;
    }

    /// What was there before.
    pub fn before(&self) -> &[Setting] {
        &self.before
    }

    /// Sets `leaf` of the interface `name`, whose index that is, to the first of
    /// `any_of`, unless it is one of them, until [`restore`](NetConf::restore).
    ///
    /// # Errors
    /// It cannot be set, or not be saved.
    pub fn require(&mut self, index: u32, name: &str, leaf: &str, any_of: &[i32]) -> io::Result<()> {
        let setting = Setting { index, leaf: leaf.to_owned(), value: get(&at(leaf, name))? };
        if let Some(first) = any_of.first().filter(|_| !any_of.contains(&setting.value)) {
            if !self.before.iter().any(|b| b.index == index && b.leaf == leaf) {
                // In one go: half of it would be somebody else's beginning.
                self.file.write_all(setting.line().as_bytes()).map_err(|e| named(&self.path, &e))?;
                self.before.push(setting);
            }
            self.set(&at(leaf, name), *first)?;
        }
        Ok(())
    }

    /// Sets it for good: it goes with its interface.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set(&self, leaf: &str, value: i32) -> io::Result<()> {
        set(leaf, value)
    }

    /// Whether there is such a setting, or a folder of them.
    pub fn has(&self, leaf: &str) -> bool {
        Path::new(ROOT).join(leaf).exists()
    }

    /// Puts back what was there, under the name that the interface has by now. What
    /// cannot be is left to the next one.
    pub fn restore(&mut self, name_of: impl Fn(u32) -> Option<String>) {
        if !self.own {
            return;
        }
        self.before = put_back(core::mem::take(&mut self.before), name_of);
        if !self.before.is_empty() {
            return;
        }
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("{}", named(&self.path, &e));
            }
            _ => {}
        }
    }
}

/// What a netisrd of root's or of our own user has left: nothing, if there is none.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    match File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
        Ok(mut file) => {
            let owner = file.metadata()?.uid();
            if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
                return Err(io::Error::other(format!("is of user {owner}")));
            }
            file.read_to_string(&mut text)?;
        }
    }
    Ok(text)
}

/// What could not be put back. What is gone with its interface needs nothing.
fn put_back(settings: Vec<Setting>, name_of: impl Fn(u32) -> Option<String>) -> Vec<Setting> {
    let fails = |setting: &Setting| {
        let Some(name) = name_of(setting.index) else { return false };
        match set(&at(&setting.leaf, &name), setting.value) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("not put back: {e}");
                true
            }
            _ => false,
        }
    };
    settings.into_iter().filter(fails).collect()
}

impl Setting {
    fn line(&self) -> String {
        format!("{} {} {}\n", self.index, self.leaf, self.value)
    }

    fn parse(line: &str) -> Option<Setting> {
        let (index, rest) = line.split_once(' ')?;
        let (leaf, value) = rest.split_once(' ')?;
        let (index, value) = (index.parse().ok()?, value.parse().ok()?);
        is_leaf(leaf).then(|| Setting { index, leaf: leaf.to_owned(), value })
    }
}

/// It stays below the folder, whoever has written the file.
fn is_leaf(leaf: &str) -> bool {
    let part = |p: &str| !p.is_empty() && p != "." && p != "..";
    leaf.split('/').count() == 4 && leaf.split('/').all(part)
}

/// A setting of that interface.
pub fn at(leaf: &str, name: &str) -> String {
    leaf.replace("{}", name)
}

fn set(leaf: &str, value: i32) -> io::Result<()> {
    let path = Path::new(ROOT).join(leaf);
    fs::write(&path, value.to_string()).map_err(|e| named(&path, &e))
}

/// What it is set to.
///
/// # Errors
/// The kernel's.
pub(super) fn get(leaf: &str) -> io::Result<i32> {
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
    fn a_file_that_says_something_else_is_refused_and_half_a_line_is_none() {
        let dir = std::env::temp_dir().join(format!("netconf-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join("saved");
        for bad in [
            "2 ipv4/conf/{}/arp_ignore\n",
            "2 ipv4/conf/{}/arp_ignore x\n",
            "x ipv4/conf/{}/arp_ignore 1\n",
            "2 ../../../etc/passwd 1\n",
            "2 a/b/../c 1\n",
        ] {
            fs::write(&file, bad).unwrap();
            assert!(NetConf::open(&file, |_| None).is_err(), "{bad}");
        }
        let asked = std::cell::RefCell::new(Vec::new());
        fs::write(&file, "2 ipv4/conf/{}/arp_ignore 0\n3 ipv4/conf/{}/arp_announce 1\n4 ipv4/co").unwrap();
        let gone = |index| {
            asked.borrow_mut().push(index);
            None
        };
        let conf = NetConf::open(&file, gone).unwrap();
        assert_eq!((asked.take(), conf.before), (vec![2, 3], vec![]));
        assert_eq!(fs::read_to_string(&file).unwrap(), "");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_is_saved_is_read_as_it_was() {
        let setting = Setting { index: 7, leaf: "ipv4/conf/{}/arp_ignore".into(), value: -1 };
        assert_eq!(Setting::parse(setting.line().trim_end()), Some(setting));
    }
}
