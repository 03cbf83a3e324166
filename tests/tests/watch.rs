//! `netisrd lab run --watch` in a terminal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use netisrd::lab::run::Options;
use netisrd::lab::scenario::Scenario;
use netisrd::lab::watch::Watcher;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use nix::unistd::Pid;
use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Instant;
use tests::lab::{PATIENCE, binary};

/// A terminal, and a program in it that ends with its test.
struct Terminal {
    pty: Pty,
    child: Child,
    screen: vt100::Parser,
    before: Termios,
    /// All that was written.
    bytes: Vec<u8>,
}

/// Set for the program that is to panic.
const PANICS: &str = "NETISRD_TEST_WATCH_PANICS";

fn size(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

fn pair() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("labs/pair.toml")
}

impl Terminal {
    /// Somebody watches `labs/pair.toml` in 24 lines of 100 letters.
    fn watching(speed: &str) -> Terminal {
        Terminal::watching_file(speed, &pair())
    }

    fn watching_file(speed: &str, file: &Path) -> Terminal {
        let command = Command::new(binary("netisrd")).args(["lab", "run", "--watch", "--speed", speed]);
        Terminal::running(command.arg(file))
    }

    fn running(command: Command) -> Terminal {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(24, 100)).unwrap();
        let before = tcgetattr(&pts).unwrap();
        let child = command.env("TERM", "xterm-256color").env_remove("NO_COLOR").spawn(pts).unwrap();
        let screen = vt100::Parser::new(size(24), size(100), 0);
        Terminal { pty, child, screen, before, bytes: Vec::new() }
    }

    fn type_in(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).unwrap();
    }

    fn resize(&mut self, rows: u16, columns: u16) {
        self.screen.screen_mut().set_size(size(rows), size(columns));
        self.pty.resize(Size::new(rows, columns)).unwrap();
    }

    /// Reads what the program writes next; whether it has not ended.
    fn read(&mut self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap();
        let mut fds = [PollFd::new(self.pty.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut fds, left).unwrap();
        assert!(ready > 0, "nothing comes any more after {}", self.text());
        let mut bytes = [0; 4096];
        // A terminal that nobody has open any more says EIO.
        match self.pty.read(&mut bytes) {
            Ok(n) if n > 0 => {
                self.screen.process(&bytes[..n]);
                self.bytes.extend_from_slice(&bytes[..n]);
                true
            }
            _ => false,
        }
    }

    /// Waits until the terminal shows it.
    fn wait_for(&mut self, what: &str, is: impl Fn(&str) -> bool) {
        self.wait_until(what, |screen| is(&screen.contents()));
    }

    fn wait_until(&mut self, what: &str, is: impl Fn(&vt100::Screen) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is(self.screen.screen()) {
            assert!(self.read(until), "ended without {what}: {}", self.text());
            assert!(Instant::now() < until, "no {what}: {}", self.text());
        }
    }

    fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Waits until the program has ended, and sees that the terminal is as it
    /// was.
    fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        while self.read(until) {}
        let status = self.child.wait().unwrap();
        let screen = self.screen.screen();
        assert!(!screen.alternate_screen() && !screen.hide_cursor(), "{}", self.text());
        let after = tcgetattr(&self.pty).unwrap();
        assert_eq!(after, self.before);
        status
    }

    /// The colours behind the letters of the line that begins so.
    fn colours(&self, begins: &str, letter: &str) -> Vec<vt100::Color> {
        let screen = self.screen.screen();
        let row = (0..24).find(|y| {
            let line: String =
                (0..begins.len() as u16).map(|x| screen.cell(*y, x).unwrap().contents()).collect();
            line == begins
        });
        let cells = (16..100).filter_map(|x| screen.cell(row.unwrap(), x));
        cells.filter(|c| c.contents() == letter).map(vt100::Cell::bgcolor).collect()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lane<'a>(text: &'a str, begins: &str) -> &'a str {
    text.lines().find(|l| l.starts_with(begins)).unwrap_or_default()
}

#[test]
fn lanes_are_seen_and_q_gives_the_terminal_back() {
    let mut terminal = Terminal::watching("50");
    terminal.wait_for("b MASTER", |text| lane(text, "b carp0 vhid 1").contains("BM"));
    assert!(terminal.screen.screen().alternate_screen());
    assert!(!tcgetattr(&terminal.pty).unwrap().local_flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO));
    let [backup, master] = ["B", "M"].map(|letter| terminal.colours("b carp0 vhid 1", letter));
    assert_ne!(backup[0], master[0]);
    terminal.wait_for("the end", |text| text.contains("PASSED"));
    terminal.resize(20, 70);
    terminal
        .wait_for("a line further up", |text| text.lines().nth(19).is_some_and(|l| l.starts_with("q quit")));
    terminal.resize(10, 30);
    terminal.wait_for("that there is no room", |text| text.contains("too small: 30 x 10"));
    terminal.resize(24, 100);
    terminal.wait_for("lanes", |text| lane(text, "a carp0 vhid 1").contains("BM"));
    terminal.type_in("q");
    assert_eq!(terminal.ended().code(), Some(0), "{}", terminal.text());
    assert!(terminal.text().contains("labs/pair.toml: passed (seed 1)"), "{}", terminal.text());
}

#[test]
fn who_leaves_early_gets_the_verdict_all_the_same() {
    let mut terminal = Terminal::watching("0.001");
    terminal.wait_for("the machines", |text| text.contains("a carp0 vhid 1"));
    terminal.type_in(" ");
    terminal.wait_for("a pause", |text| text.contains("PAUSED"));
    terminal.type_in("q");
    assert_eq!(terminal.ended().code(), Some(0), "{}", terminal.text());
    assert!(terminal.text().contains("labs/pair.toml: passed (seed 1)"), "{}", terminal.text());
}

/// A file that goes with its test.
struct Scrap(PathBuf);

impl Drop for Scrap {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn what_is_not_seen_of_a_long_run_can_be_interrupted() {
    let file = Scrap(std::env::temp_dir().join(format!("watch-{}.toml", std::process::id())));
    let long = std::fs::read_to_string(pair()).unwrap().replacen("\"20s\"", "\"1000d\"", 1);
    std::fs::write(&file.0, long).unwrap();
    let mut terminal = Terminal::watching_file("1", &file.0);
    terminal.wait_for("the machines", |text| text.contains("a carp0 vhid 1"));
    terminal.type_in("q");
    terminal.wait_until("the end of it", |screen| !screen.alternate_screen());
    terminal.type_in("\x03");
    assert_eq!(terminal.ended().signal(), Some(Signal::SIGINT as i32), "{}", terminal.text());
}

#[test]
fn signals_and_control_c_end_it_and_give_the_terminal_back() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let mut terminal = Terminal::watching("1");
        terminal.wait_for("the machines", |text| text.contains("a carp0 vhid 1"));
        match signal {
            Signal::SIGINT => terminal.type_in("\x03"),
            _ => kill(Pid::from_raw(terminal.child.id().try_into().unwrap()), signal).unwrap(),
        }
        assert_eq!(terminal.ended().signal(), Some(signal as i32), "{}", terminal.text());
        assert!(!terminal.text().contains("pair.toml"), "{}", terminal.text());
    }
}

/// This test's own program is watched while it panics.
#[test]
fn a_panic_is_seen_in_a_terminal_that_was_given_back() {
    if std::env::var_os(PANICS).is_some() {
        let scenario = Scenario::read(&pair()).unwrap();
        // There is no room for so many.
        let options = Options { netisrs: usize::MAX, ..Options::default() };
        let outcome = Watcher::new(1.0).unwrap().run(&scenario, options).unwrap();
        panic!("so many netisrs were booted, and passed: {}", outcome.passed);
    }
    let name = "a_panic_is_seen_in_a_terminal_that_was_given_back";
    let command = Command::new(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
    let mut terminal = Terminal::running(command.env(PANICS, "yes").env("RUST_BACKTRACE", "0"));
    assert_eq!(terminal.ended().code(), Some(101), "{}", terminal.text());
    assert!(terminal.text().contains("capacity overflow"), "{}", terminal.text());
    let written = String::from_utf8_lossy(&terminal.bytes);
    assert!(written.contains("A pair") && !terminal.text().contains("A pair"), "{written}");
}

#[test]
fn without_a_terminal_it_says_so_in_one_line() {
    let mut command = std::process::Command::new(binary("netisrd"));
    let said = command.args(["lab", "run", "--watch"]).arg(pair()).stdin(Stdio::null()).output().unwrap();
    assert_eq!(said.status.code(), Some(2));
    assert_eq!(String::from_utf8(said.stderr).unwrap(), "netisrd: --watch needs a terminal\n");
    assert_eq!(said.stdout, b"");
}
