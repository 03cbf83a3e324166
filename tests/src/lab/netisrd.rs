//! `netisrd`: one emulated machine.

use super::proc::Proc;
use super::tools::{Stats, Tools};
use super::{Lab, PATIENCE, Said, binary};
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// A log line can come just before what it tells is true, so a look that came
/// too early is repeated after this even without another line.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How to start a machine.
#[derive(Debug)]
pub struct Setup<'a> {
    lab: &'a Lab,
    name: String,
    ns: Option<String>,
    sock: PathBuf,
    args: Vec<String>,
    taps: Vec<String>,
    envs: Vec<(String, String)>,
    shell: Option<String>,
    default_hooks: bool,
}

impl<'a> Setup<'a> {
    pub(super) fn new(lab: &'a Lab, name: &str) -> Setup<'a> {
        let sock = lab.dir().join(format!("{name}.sock"));
        Setup {
            lab,
            name: name.to_owned(),
            ns: None,
            sock,
            args: Vec::new(),
            taps: Vec::new(),
            envs: Vec::new(),
            shell: None,
            default_hooks: false,
        }
    }

    /// In a namespace.
    pub fn netns(mut self, ns: &str) -> Setup<'a> {
        self.ns = Some(ns.to_owned());
        self
    }

    /// With another control socket than its own.
    pub fn sock(mut self, sock: &Path) -> Setup<'a> {
        self.sock = sock.to_owned();
        self
    }

    /// One that goes on in the place of another one, which has the same interfaces.
    pub fn takeover(self, old: &Netisrd) -> Setup<'a> {
        self.sock(old.tools.sock()).args(&["--takeover"])
    }

    /// `--tap`: `em0` or `em0@br0`.
    pub fn tap(mut self, tap: &str) -> Setup<'a> {
        self.taps.push(tap.to_owned());
        self.args(&["--tap", tap])
    }

    /// `-i`, where the machine serves its virtual addresses itself.
    pub fn iface(self, name: &str) -> Setup<'a> {
        self.args(&["-i", &format!("{name}:none")])
    }

    /// `-i`, where the host serves them.
    pub fn mirrored(self, name: &str) -> Setup<'a> {
        self.args(&["-i", name])
    }

    /// More arguments.
    pub fn args(mut self, args: &[&str]) -> Setup<'a> {
        self.args.extend(args.iter().map(|a| (*a).to_owned()));
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Setup<'a> {
        self.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With the programs of the folder where they are unless told otherwise.
    pub fn default_hooks(mut self) -> Setup<'a> {
        self.default_hooks = true;
        self
    }

    /// By a script of sh, which has the command line as `"$@"`: with other limits, or
    /// another standard error.
    pub fn by(mut self, script: &str) -> Setup<'a> {
        self.shell = Some(script.to_owned());
        self
    }

    /// Only starts it.
    pub fn spawn(self) -> Netisrd {
        let mut command = match &self.shell {
            Some(script) => {
                let mut sh = Command::new("sh");
                sh.args(["-c", script, "sh"]).arg(binary("netisrd"));
                sh
            }
            None => Command::new(binary("netisrd")),
        };
        command.arg("-S").arg(&self.sock).args(&self.args);
        if !self.default_hooks && !self.args.iter().any(|a| a == "--hooks") {
            // Not what the host does on a takeover.
            command.args(["--hooks", ""]);
        }
        command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET").env("NO_COLOR", "1").envs(self.envs);
        let proc = Proc::spawn(&self.name, self.ns.as_deref(), command);
        Netisrd { name: self.name, tools: Tools::at(&self.sock), proc }
    }

    /// Starts it, waits until it is ready and its taps pass frames, and makes
    /// it log every transition.
    pub fn start(self) -> Netisrd {
        let (lab, taps, ns) = (self.lab, self.taps.clone(), self.ns.clone());
        let machine = self.spawn();
        machine.wait_ready();
        machine.sysctl("net.inet.carp.log=2");
        for tap in &taps {
            let (dev, bridge) = tap.split_once('@').map_or((tap.as_str(), None), |(d, b)| (d, Some(b)));
            lab.ip_in(ns.as_deref(), &format!("link set dev {dev} up"));
            lab.wait_carrier(ns.as_deref(), dev);
            if bridge.is_some() && ns.is_none() {
                lab.wait_forwarding(dev);
            }
        }
        machine
    }
}

/// A running machine. Dropping it kills it.
#[derive(Debug)]
pub struct Netisrd {
    /// How messages call it.
    pub name: String,
    /// The commands that drive it.
    pub tools: Tools,
    /// The process and its log.
    pub proc: Proc,
}

impl Netisrd {
    /// Waits until its control socket listens.
    pub fn wait_ready(&self) {
        self.proc.log.wait_line(0, "netisrd: ready", PATIENCE, |l| l.contains("netisrd: ready"));
    }

    /// `ifconfig-carp`.
    pub fn ifconfig(&self, words: &str) -> Said {
        self.tools.ifconfig(words)
    }

    /// `sysctl-carp`, which must succeed.
    pub fn sysctl(&self, words: &str) -> String {
        self.tools.sysctl(words).ok()
    }

    /// Creates and configures a carp interface.
    pub fn carp(&self, ifname: &str, words: &str) {
        self.tools.carp(ifname, words);
    }

    /// The state of a carp interface.
    pub fn state(&self, ifname: &str) -> String {
        self.tools.state(ifname)
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.tools.stats()
    }

    /// Waits until a carp interface is in a state: asks after each log line.
    ///
    /// # Panics
    /// After `within`, or if the machine ends.
    pub fn wait_state(&self, ifname: &str, state: &str, within: Duration) {
        let until = Instant::now() + within;
        loop {
            let mark = self.proc.log.len();
            let now = self.state(ifname);
            if now == state {
                return;
            }
            let alive = self.proc.is_running() && Instant::now() < until;
            assert!(alive, "{}: {ifname} is {now:?}, not {state}, after {within:?}", self.name);
            self.proc.log.wait_more(mark, LOOK_AGAIN);
        }
    }

    /// Waits for MASTER, with [`PATIENCE`].
    pub fn wait_master(&self, ifname: &str) {
        self.wait_state(ifname, "MASTER", PATIENCE);
    }

    /// Waits for BACKUP, with [`PATIENCE`].
    pub fn wait_backup(&self, ifname: &str) {
        self.wait_state(ifname, "BACKUP", PATIENCE);
    }

    /// Waits until the counters are as wanted, asking again and again.
    ///
    /// # Panics
    /// After [`PATIENCE`].
    pub fn wait_stats(&self, what: &str, wanted: impl Fn(&Stats) -> bool) -> Stats {
        let until = Instant::now() + PATIENCE;
        loop {
            let stats = self.stats();
            if wanted(&stats) {
                return stats;
            }
            assert!(Instant::now() < until, "{}: no {what}: {stats:?}", self.name);
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.proc.signal(signal);
    }

    /// Waits for its end.
    pub fn wait_exit(&self) -> ExitStatus {
        self.proc.wait_exit(PATIENCE)
    }
}
