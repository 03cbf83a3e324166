//! The world of namespaces: a Linux bridge, `netisrd` on taps, a client in a
//! network namespace.

use super::journal::{Journal, without_stamp};
use super::story::{State, Who};
use super::{CLIENT, PING_INTERVAL, Record, VIP, World};
use crate::lab::{Host, Lab, Pinger, Tools, Wire, binary};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

/// A bound of the wait for a program that starts.
const START: Duration = Duration::from_secs(15);

/// A laboratory with a bridge.
pub struct Real<'a> {
    lab: &'a Lab,
    journal: Arc<Journal>,
    /// All that the bridge forwards.
    bridge: Wire,
    /// What came out of each tap, one for each time it was made.
    taps: Vec<(Who, Wire)>,
    machines: [Option<Machine>; 2],
    client: Host,
    pinger: Option<Pinger>,
}

/// A running `netisrd`.
struct Machine {
    child: Child,
    tools: Tools,
    log: JoinHandle<()>,
    killed: Arc<AtomicBool>,
}

impl<'a> Real<'a> {
    /// Builds the bridge and the client.
    ///
    /// # Errors
    /// None yet; a laboratory panics.
    pub fn new(lab: &'a Lab) -> Result<Real<'a>, String> {
        for program in ["netisrd", "ifconfig-carp", "sysctl-carp"] {
            binary(program);
        }
        super::script::heading("A bridge in namespaces of its own, a client on it");
        for words in ["link add name br0 type bridge stp_state 0 mcast_snooping 0", "link set dev br0 up"] {
            println!("lan# ip {words}");
            lab.ip(words);
        }
        println!("-- client: a network namespace with {CLIENT}/24, by a veth on br0");
        let client = lab.host("client", "br0", &format!("{CLIENT}/24"));
        let (bridge, journal) = (lab.wire("br0"), Arc::new(Journal::default()));
        let (taps, machines) = (Vec::new(), [None, None]);
        Ok(Real { lab, journal, bridge, taps, machines, client, pinger: None })
    }

    fn sock(&self, who: Who) -> PathBuf {
        self.lab.dir().join(format!("{}.sock", who.name()))
    }
}

impl World for Real<'_> {
    fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    fn boot(&mut self, who: Who) -> Result<(), String> {
        let (name, card, sock) = (who.name(), who.card(), self.sock(who));
        println!("{name}# export NETISRD_SOCK={}", sock.display());
        println!("{name}# netisrd --tap {card}@br0 &");
        let mut netisrd = Command::new(binary("netisrd"));
        netisrd.args(["--tap", &format!("{card}@br0"), "--hooks", ""]);
        netisrd.env("NETISRD_SOCK", &sock).env("NO_COLOR", "1").env_remove("RUST_LOG");
        netisrd.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = netisrd.spawn().map_err(|e| format!("netisrd: {e}"))?;
        let stderr = child.stderr.take().ok_or("netisrd: no stderr")?;
        let killed = Arc::new(AtomicBool::new(false));
        let (journal, expected) = (Arc::clone(&self.journal), Arc::clone(&killed));
        let log = thread::Builder::new().name(format!("log {name}"));
        let log = log.spawn(move || follow(who, stderr, &journal, &expected)).map_err(|e| e.to_string())?;
        self.machines[who.index()] = Some(Machine { child, tools: Tools::at(&sock), log, killed });
        self.journal.wait_state(who, State::Init, START)?;
        self.lab.wait_carrier(None, card);
        self.lab.wait_forwarding(card);
        self.taps.push((who, self.lab.wire_in(card)));
        Ok(())
    }

    fn tool(&mut self, who: Who, program: &str, args: &[&str]) -> Result<String, String> {
        let machine = self.machines[who.index()].as_ref();
        let machine = machine.ok_or_else(|| format!("{} is not running", who.name()))?;
        let said = machine.tools.tool(program, args);
        if said.status.success() { Ok(said.stdout) } else { Err(said.stderr.trim().to_owned()) }
    }

    fn kill(&mut self, who: Who) -> Result<(), String> {
        let machine = self.machines[who.index()].take();
        let mut machine = machine.ok_or_else(|| format!("{} is not running", who.name()))?;
        println!("{}# kill -KILL {}", who.name(), machine.child.id());
        machine.killed.store(true, Ordering::SeqCst);
        self.journal.killed(who, Instant::now());
        machine.child.kill().map_err(|e| format!("kill: {e}"))?;
        let status = machine.child.wait().map_err(|e| format!("wait: {e}"))?;
        println!("-- netisrd of {}: {status}", who.name());
        machine.log.join().map_err(|_| "the log's reader failed".to_owned())
    }

    fn start_client(&mut self) -> Result<(), String> {
        self.pinger = Some(Pinger::start(&self.client, VIP, PING_INTERVAL));
        Ok(())
    }

    fn wait_answers(&mut self, n: usize) -> Result<(), String> {
        let pinger = self.pinger.as_ref().ok_or("the client does not ping")?;
        for _ in 0..n {
            pinger.wait_answer();
        }
        Ok(())
    }

    fn show_neighbour(&mut self) {
        let words = format!("ip neigh show to {VIP}");
        println!("client# {words}");
        print!("{}", self.client.run(&words).ok());
    }

    fn record(&self) -> Record {
        let probes = self.pinger.as_ref().map(Pinger::probes).unwrap_or_default();
        let answers = self.taps.iter().flat_map(|(who, wire)| {
            let replies = wire.frames().into_iter().filter(|f| f.is_echo_reply_of(VIP));
            replies.map(|f| (f.at, *who, f.src()))
        });
        Record { frames: self.bridge.frames(), probes, answers: answers.collect() }
    }
}

/// Reads a machine's log to its end, which is to come when it was killed only.
fn follow(who: Who, stderr: ChildStderr, journal: &Journal, killed: &AtomicBool) {
    let mut last = String::from("it said nothing");
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let (text, age) = without_stamp(&line, SystemTime::now());
        let now = Instant::now();
        journal.line(who, now.checked_sub(age).unwrap_or(now), text);
        if text.starts_with("netisrd: ready") {
            journal.booted(who);
        }
        last = text.to_owned();
    }
    if !killed.load(Ordering::SeqCst) {
        journal.ended(who, &last);
    }
}
