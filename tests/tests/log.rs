//! A log that cannot be written: the disk is full, or nobody reads. The daemon does
//! all else as if nothing were.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use tests::lab::{
    self, Control, Events, Host, Lab, N2, Needs, Netisrd, PATIENCE, Proc, VIP, command, virtual_host,
};

/// More lines than wait for a log. Even.
const MANY: usize = 1500;

/// A host `a` whose netisrd is MASTER and writes its log where it cannot, and a
/// client.
struct Stage<'a> {
    lab: &'a Lab,
    host: Host,
    client: Host,
}

fn stage(body: impl FnOnce(&Stage<'_>)) {
    lab::run(Needs::namespaces().programs(&["ping"]), |lab| {
        lab.bridge("br0");
        let host = lab.host("a", "br0", "10.77.0.1/24");
        let client = lab.host("c", "br0", "10.77.0.9/24");
        body(&Stage { lab, host, client });
    });
}

impl Stage<'_> {
    /// Started by a script; ready by what a service manager hears.
    fn start(&self, script: &str) -> Netisrd {
        let manager = self.lab.dir().join("notify");
        let hears = UnixDatagram::bind(&manager).unwrap();
        hears.set_read_timeout(Some(PATIENCE)).unwrap();
        let setup = self.lab.netisrd("m1").netns("a").mirrored("v0").by(script);
        let machine = setup.env("NOTIFY_SOCKET", manager.to_str().unwrap()).spawn();
        let mut said = [0; 1024];
        let n = hears.recv(&mut said).expect("READY");
        assert!(said[..n].starts_with(b"READY=1\n"));
        machine.sysctl("net.inet.carp.log=2");
        machine.sysctl("net.inet.carp.preempt=1");
        machine.carp("carp0", &virtual_host(0));
        self.wait_serves(true);
        machine
    }

    fn wait_serves(&self, serves: bool) {
        Events::open(Some("a")).wait_until(&format!("serving {serves}"), || {
            self.host.run("ip -o addr show").ok().contains(&format!(" {VIP}/")) == serves
        });
    }

    /// Makes it say a lot: each change of the demotion is a line.
    fn say_much(machine: &Netisrd) {
        let control = Control::connect(machine.tools.sock());
        for n in 0..MANY {
            let by = if n % 2 == 0 { 1_i32 } else { -1 };
            let change = Control::request(1, 2, 0, b"net.inet.carp.demotion", &by.to_ne_bytes());
            control.send(&change).unwrap();
            assert_eq!(control.reply(), Some(0));
        }
    }
}

#[test]
fn a_full_disk_costs_lines_of_the_log_and_nothing_else() {
    stage(|s| {
        let disk = s.lab.dir().join("disk");
        fs::create_dir(&disk).unwrap();
        s.lab.mount_tmpfs(&disk, "64k");
        let (log, filler) = (disk.join("log"), disk.join("filler"));
        File::create(&log).unwrap();
        let mut full = File::create(&filler).unwrap();
        while full.write_all(&[b'x'; 1024]).is_ok() {}
        let machine = s.start(&format!("exec \"$@\" 2>>{}", log.display()));
        assert_eq!(s.client.ping(VIP, 2), 2);
        machine.ifconfig("carp0 state backup").ok();
        s.wait_serves(false);
        machine.wait_master("carp0");
        s.wait_serves(true);
        assert_eq!(fs::read(&log).unwrap(), b"");
        // There is room again, and what is missing is told.
        fs::remove_file(&filler).unwrap();
        drop(full);
        machine.signal(Signal::SIGTERM);
        assert_eq!(machine.wait_exit().code(), Some(0));
        let said = fs::read_to_string(&log).unwrap();
        let first = said.lines().next().unwrap();
        assert!(first.starts_with("netisrd: here ") && first.ends_with(" lines of this log are missing"));
        assert!(said.contains("netisrd: halting") && !said.contains("netisrd: ready"), "{said}");
    });
}

#[test]
fn who_can_say_nothing_fails_and_ends_as_anybody_else() {
    stage(|s| {
        let machine = s.start("exec \"$@\" 2>/dev/full");
        assert_eq!(s.client.ping(VIP, 1), 1);
        let second = s.lab.netisrd("m2").netns("a").mirrored("lo").by("exec \"$@\" 2>/dev/full").spawn();
        assert_eq!(second.wait_exit().code(), Some(1));
        machine.signal(Signal::SIGTERM);
        assert_eq!(machine.wait_exit().code(), Some(0));
    });
}

/// A pipe that is full, and stays so as long as the file is held.
fn full_pipe(s: &Stage<'_>) -> (PathBuf, File) {
    let path = s.lab.dir().join("log");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let mut pipe =
        File::options().read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path).unwrap();
    while pipe.write(&[b'\n'; 512]).is_ok() {}
    while pipe.write(b"\n").is_ok() {}
    (path, pipe)
}

#[test]
fn a_log_that_nobody_reads_delays_nothing_and_tells_later_what_is_missing() {
    stage(|s| {
        let (path, _pipe) = full_pipe(s);
        let wire = s.lab.wire("br0");
        let machine = s.start(&format!("exec \"$@\" 2>{}", path.display()));
        Stage::say_much(&machine);
        machine.ifconfig("carp0 state backup").ok();
        s.wait_serves(false);
        machine.wait_master("carp0");
        s.wait_serves(true);
        // Far more has been said than there is room for, and it still speaks.
        let own = |f: &lab::Frame| f.is_advert_of(lab::N1);
        wire.wait_count(wire.mark(), 2, "advertisements", own);
        assert_eq!(s.client.ping(VIP, 2), 2);
        assert!(!wire.frames().iter().any(|f| f.is_advert_of(N2)));
        // Somebody reads again.
        let reader = Proc::spawn("reader", None, command(&format!("cat {}", path.display())));
        let ready = reader.log.wait_line(0, "ready", PATIENCE, |l| l.contains("netisrd: ready"));
        machine.sysctl("net.inet.carp.demotion=1");
        let what = "lines of this log are missing";
        let at = reader.log.wait_line(ready, what, PATIENCE, |l| l.contains(what));
        reader.log.wait_line(at, "the demotion", PATIENCE, |l| l.contains("demoted by 1"));
    });
}

#[test]
fn the_end_waits_for_no_reader() {
    stage(|s| {
        let (path, _pipe) = full_pipe(s);
        let machine = s.start(&format!("exec \"$@\" 2>{}", path.display()));
        machine.signal(Signal::SIGTERM);
        assert_eq!(machine.wait_exit().code(), Some(0));
        s.wait_serves(false);
    });
}
