//! Settings of the host's interfaces, `/proc/sys/net/*/conf`: changed, held, and put
//! back.
//!
//! What was there before is in a file that all netisrds of a network namespace share
//! whose control sockets are in one folder. It is there before the setting is changed,
//! and the file stays open, since none is opened for writing once the process has given
//! up its rights. Who uses an interface has a lock on the byte with its index, which no
//! killed one keeps: the last puts back what was there, and so does whoever comes and
//! finds nobody.

use nix::errno::Errno as Linux;
use nix::fcntl::{FcntlArg, fcntl};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where they are.
const ROOT: &str = "/proc/sys/net";
/// The byte of whoever begins or ends, which is no interface's.
const DOOR: u32 = 0;

/// What was there before, and who has to put it back.
pub struct NetConf {
    path: PathBuf,
    /// Lines, of which the last one of a setting counts.
    file: File,
    /// The interfaces that this process uses.
    used: BTreeSet<u32>,
    /// What was right once, and whether it has been said that it is no more.
    held: BTreeMap<Leaf, bool>,
    /// What is to be put back is this process's business.
    own: bool,
}

/// A setting of an interface, by its index: the kernel takes settings along when an
/// interface is renamed, and forgets them when it is gone. `ipv4/conf/{}/arp_ignore`
type Leaf = (u32, String);

/// What it was, and what it is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Saved {
    before: i32,
    ours: i32,
}

impl NetConf {
    /// Of one that uses these interfaces, with what dead netisrds have left put back,
    /// `name_of` being what the interface of an index is called.
    ///
    /// # Errors
    /// The file cannot be made or read, or says something else.
    pub fn open(folder: &Path, uses: &[u32], name_of: impl Fn(u32) -> Option<String>) -> io::Result<NetConf> {
        let mut conf = NetConf::enter(folder)?;
        conf.own = true;
        conf.cut().map_err(|e| named(&conf.path, &e))?;
        let saved = conf.saved()?;
        let indexes: BTreeSet<u32> = saved.keys().map(|(index, _)| *index).collect();
        for index in indexes {
            conf.put_back_if_last(index, &saved, &name_of)?;
        }
        if conf.is_alone()? {
            let lasting: String = conf.saved()?.iter().map(|(leaf, is)| line(leaf, Some(*is))).collect();
            conf.file.set_len(0).and_then(|()| conf.append(&lasting)).map_err(|e| named(&conf.path, &e))?;
        }
        uses.iter().try_for_each(|index| conf.uses(*index))?;
        conf.lock(libc::F_UNLCK, DOOR, 1)?;
        Ok(conf)
    }

    /// One that touches nothing before it goes [on](NetConf::follow) in another one's
    /// place.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn waiting(folder: &Path, uses: &[u32]) -> io::Result<NetConf> {
        let mut conf = NetConf::enter(folder)?;
        uses.iter().try_for_each(|index| conf.uses(*index))?;
        conf.lock(libc::F_UNLCK, DOOR, 1)?;
        Ok(conf)
    }

    /// What another process has changed is this one's to put back.
    pub fn follow(&mut self) {
        self.own = true;
    }

    /// Another process has gone on in this one's place, which uses nothing any more.
    ///
    /// # Errors
    /// The kernel's.
    pub fn leave(&mut self) -> io::Result<()> {
        self.own = false;
        core::mem::take(&mut self.used).into_iter().try_for_each(|index| self.lock(libc::F_UNLCK, index, 1))
    }

    /// The file, with nobody else at its door.
    fn enter(folder: &Path) -> io::Result<NetConf> {
        let path = folder.join(format!("netisrd-{}.saved", fs::metadata("/proc/self/ns/net")?.ino()));
        loop {
            let mut how = File::options();
            how.read(true).append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
            let file = how.open(&path).map_err(|e| named(&path, &e))?;
            let is = file.metadata()?;
            if is.uid() != 0 && is.uid() != nix::unistd::geteuid().as_raw() {
                return Err(io::Error::other(format!("{}: is of user {}", path.display(), is.uid())));
            }
            let (used, held) = (BTreeSet::new(), BTreeMap::new());
            let conf = NetConf { path: path.clone(), file, used, held, own: false };
            conf.lock(libc::F_WRLCK, DOOR, 1)?;
            // Whoever was the last may have removed it meanwhile.
            if fs::metadata(&path).is_ok_and(|now| now.ino() == is.ino()) {
                return Ok(conf);
            }
        }
    }

    /// This process uses an interface from now on.
    ///
    /// # Errors
    /// Somebody else's, who begins or ends with it at this moment.
    pub fn uses(&mut self, index: u32) -> io::Result<()> {
        if self.used.contains(&index) {
            return Ok(());
        }
        match self.try_lock(libc::F_RDLCK, index, 1)? {
            true => drop(self.used.insert(index)),
            false => return Err(io::Error::other(format!("{}: busy", self.path.display()))),
        }
        Ok(())
    }

    /// Sets `leaf` of the interface `name`, whose index that is, to the first of
    /// `any_of`, unless it is one of them, until [`restore`](NetConf::restore). What
    /// somebody has set meanwhile is what is put back then. That is said once.
    ///
    /// # Errors
    /// It cannot be set, or not be saved.
    pub fn hold(&mut self, index: u32, name: &str, leaf: &str, any_of: &[i32]) -> io::Result<()> {
        let path = at(leaf, name);
        let leaf = (index, leaf.to_owned());
        let before = match read(&path) {
            // Without descriptors nobody can look: what was held counts as held.
            Err(e) if is_short(&e) && self.held.contains_key(&leaf) => return Ok(()),
            read => read.map_err(|e| named(&Path::new(ROOT).join(&path), &e))?,
        };
        if let Some(ours) = any_of.first().filter(|_| !any_of.contains(&before)) {
            let is = Saved { before, ours: *ours };
            if self.saved()?.get(&leaf) != Some(&is) {
                self.append(&line(&leaf, Some(is))).map_err(|e| named(&self.path, &e))?;
            }
            set(&path, *ours)?;
            if let Some(said) = self.held.get_mut(&leaf)
                && !core::mem::replace(said, true)
            {
                tracing::warn!("{path}: set to {before}: {ours} again, and {before} at the end");
            }
        }
        self.held.entry(leaf).or_insert(false);
        Ok(())
    }

    /// Sets it for good: it goes with its interface.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set(&self, leaf: &str, value: i32) -> io::Result<()> {
        set(leaf, value)
    }

    /// What it is set to; none where there is no such setting. Without descriptors
    /// nobody can look, and what is known stays.
    ///
    /// # Errors
    /// The kernel's.
    pub fn look(&self, leaf: &str, known: Option<i32>) -> io::Result<Option<i32>> {
        match read(leaf) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if is_short(&e) && known.is_some() => Ok(known),
            read => read.map(Some).map_err(|e| named(&Path::new(ROOT).join(leaf), &e)),
        }
    }

    /// Whether there is such a setting, or a folder of them.
    pub fn has(&self, leaf: &str) -> bool {
        Path::new(ROOT).join(leaf).exists()
    }

    /// Puts back what was there where nobody else needs it, under the name that the
    /// interface has by now. What cannot be is left to the next one.
    pub fn restore(&mut self, name_of: impl Fn(u32) -> Option<String>) {
        if core::mem::take(&mut self.own)
            && let Err(e) = self.put_back_all(name_of)
        {
            tracing::warn!("settings of interfaces are not put back: {e}");
        }
    }

    fn put_back_all(&mut self, name_of: impl Fn(u32) -> Option<String>) -> io::Result<()> {
        self.lock(libc::F_WRLCK, DOOR, 1)?;
        let saved = self.saved()?;
        for index in core::mem::take(&mut self.used) {
            self.put_back_if_last(index, &saved, &name_of)?;
        }
        if self.is_alone()? && self.saved()?.is_empty() {
            match fs::remove_file(&self.path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(named(&self.path, &e)),
                _ => {}
            }
        }
        self.lock(libc::F_UNLCK, DOOR, 1)
    }

    /// What cannot be put back stays in the file. What is gone with its interface needs
    /// nothing, and what somebody has set otherwise is his.
    fn put_back_if_last(
        &self,
        index: u32,
        saved: &BTreeMap<Leaf, Saved>,
        name_of: &impl Fn(u32) -> Option<String>,
    ) -> io::Result<()> {
        if self.try_lock(libc::F_WRLCK, index, 1)? {
            for (leaf, is) in saved.iter().filter(|((of, _), _)| *of == index) {
                let path = name_of(index).map(|name| at(&leaf.1, &name));
                match path.map_or(Ok(()), |path| put_back(&path, *is)) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => tracing::warn!("not put back: {e}"),
                    _ => self.append(&line(leaf, None)).map_err(|e| named(&self.path, &e))?,
                }
            }
        }
        self.lock(libc::F_UNLCK, index, 1)
    }

    /// Whether no other process uses any interface.
    fn is_alone(&self) -> io::Result<bool> {
        let alone = self.try_lock(libc::F_WRLCK, DOOR + 1, 0)?;
        self.lock(libc::F_UNLCK, DOOR + 1, 0)?;
        Ok(alone)
    }

    /// Waits for it. `n` bytes from that of an index on, 0 for all.
    fn lock(&self, how: libc::c_int, from: u32, n: u32) -> io::Result<()> {
        loop {
            match fcntl(&self.file, FcntlArg::F_OFD_SETLKW(&range(how, from, n))) {
                Err(Linux::EINTR) => {}
                other => return other.map(drop).map_err(|e| named(&self.path, &e.into())),
            }
        }
    }

    /// False when somebody else has it.
    fn try_lock(&self, how: libc::c_int, from: u32, n: u32) -> io::Result<bool> {
        match fcntl(&self.file, FcntlArg::F_OFD_SETLK(&range(how, from, n))) {
            Err(Linux::EAGAIN | Linux::EACCES) => Ok(false),
            other => other.map(|_| true).map_err(|e| named(&self.path, &e.into())),
        }
    }

    fn text(&self) -> io::Result<String> {
        let (mut file, mut text) = (&self.file, String::new());
        file.rewind()?;
        file.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Of a line without an end, for which there was no room, nothing has come.
    fn cut(&self) -> io::Result<()> {
        let text = self.text()?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() { self.file.set_len(whole as u64) } else { Ok(()) }
    }

    fn saved(&self) -> io::Result<BTreeMap<Leaf, Saved>> {
        let mut saved = BTreeMap::new();
        for line in self.text().map_err(|e| named(&self.path, &e))?.lines() {
            let (leaf, is) = parse(line).ok_or_else(|| {
                let path = self.path.display();
                io::Error::other(format!("{path}: not a setting that netisrd has saved: {line}"))
            })?;
            match is {
                Some(is) => drop(saved.insert(leaf, is)),
                None => drop(saved.remove(&leaf)),
            }
        }
        Ok(saved)
    }

    /// In one go: half of it would be somebody else's beginning.
    fn append(&self, lines: &str) -> io::Result<()> {
        (&self.file).write_all(lines.as_bytes())
    }
}

fn range(how: libc::c_int, from: u32, n: u32) -> libc::flock {
    libc::flock {
        l_type: how as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: from as libc::off_t,
        l_len: n as libc::off_t,
        l_pid: 0,
    }
}

fn put_back(path: &str, is: Saved) -> io::Result<()> {
    match get(path)? == is.ours {
        true => set(path, is.before),
        false => Ok(()),
    }
}

/// `2 ipv4/conf/{}/arp_ignore 0 1`, and `2 ipv4/conf/{}/arp_ignore -` of one that is put
/// back.
fn line((index, leaf): &Leaf, is: Option<Saved>) -> String {
    match is {
        Some(Saved { before, ours }) => format!("{index} {leaf} {before} {ours}\n"),
        None => format!("{index} {leaf} -\n"),
    }
}

fn parse(line: &str) -> Option<(Leaf, Option<Saved>)> {
    let words: Vec<&str> = line.split(' ').collect();
    let (index, leaf, is) = match words[..] {
        [index, leaf, "-"] => (index, leaf, None),
        [index, leaf, before, ours] => {
            (index, leaf, Some(Saved { before: before.parse().ok()?, ours: ours.parse().ok()? }))
        }
        _ => return None,
    };
    let index = index.parse().ok().filter(|index| *index != DOOR)?;
    is_leaf(leaf).then(|| ((index, leaf.to_owned()), is))
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

fn get(leaf: &str) -> io::Result<i32> {
    read(leaf).map_err(|e| named(&Path::new(ROOT).join(leaf), &e))
}

fn read(leaf: &str) -> io::Result<i32> {
    let text = fs::read_to_string(Path::new(ROOT).join(leaf))?;
    text.trim().parse().map_err(|_| io::Error::other("not a number"))
}

/// Of descriptors, here or everywhere.
fn is_short(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
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
        let file = NetConf::waiting(&dir, &[]).unwrap().path;
        for bad in [
            "2 ipv4/conf/{}/arp_ignore 0\n",
            "2 ipv4/conf/{}/arp_ignore x 1\n",
            "x ipv4/conf/{}/arp_ignore 0 1\n",
            "0 ipv4/conf/{}/arp_ignore 0 1\n",
            "2 ../../../etc/passwd 0 1\n",
            "2 a/b/../c 0 1\n",
        ] {
            fs::write(&file, bad).unwrap();
            assert!(NetConf::open(&dir, &[], |_| None).is_err(), "{bad}");
        }
        let asked = std::cell::RefCell::new(Vec::new());
        let text = "2 ipv4/conf/{}/arp_ignore 0 1\n3 ipv4/conf/{}/arp_announce 1 2\n4 ipv4/co";
        fs::write(&file, text).unwrap();
        // Somebody has the first.
        let mut other = NetConf::waiting(&dir, &[2]).unwrap();
        let gone = |index| {
            asked.borrow_mut().push(index);
            None
        };
        let mut conf = NetConf::open(&dir, &[], gone).unwrap();
        let first = ((2, "ipv4/conf/{}/arp_ignore".to_owned()), Saved { before: 0, ours: 1 });
        assert_eq!((asked.take(), conf.saved().unwrap()), (vec![3], BTreeMap::from([first])));
        // It ends, and nobody takes note. With a word: what another test starts has its
        // descriptor, and so its lock, until it is a program.
        other.leave().unwrap();
        drop(other);
        conf.restore(gone);
        assert!(file.exists());
        let mut conf = NetConf::open(&dir, &[], gone).unwrap();
        assert_eq!(asked.take(), [2]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "");
        conf.restore(gone);
        assert!(!file.exists());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn who_goes_on_is_the_last_though_the_one_before_still_runs() {
        let dir = std::env::temp_dir().join(format!("netconf-left-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut old = NetConf::open(&dir, &[2], |_| None).unwrap();
        let mut new = NetConf::waiting(&dir, &[2]).unwrap();
        new.follow();
        assert!(!new.try_lock(libc::F_WRLCK, 2, 1).unwrap());
        old.leave().unwrap();
        new.restore(|_| None);
        assert!(!new.path.exists());
        old.restore(|_| None);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_is_saved_is_read_as_it_was() {
        let leaf = (7, "ipv4/conf/{}/arp_ignore".to_owned());
        for is in [Some(Saved { before: -1, ours: 1 }), None] {
            assert_eq!(parse(line(&leaf, is).trim_end()), Some((leaf.clone(), is)));
        }
    }
}
