//! A configuration on the machine that runs: at the start, and again whenever
//! it changes.

use super::act::{self, Act};
use super::passwords::Passwords;
use super::place::Complaint;
use super::plan::{self, Applied, There};
use super::trial;
use super::turn::{Configuring, in_turn};
use super::wanted::Step;
use super::{Cards, Conf, Daemon, Errors};
use compat::net::if_::IfName;
use ifconfig_carp::{Syscalls, ifconfig};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroize;

/// The configuration of a running machine.
pub struct Service {
    path: PathBuf,
    /// Those of the command line.
    cards: Cards,
    /// The interfaces of the host that it started with, there or not.
    of_host: BTreeSet<IfName>,
    /// What it runs with, as the file said when it started.
    started: Daemon,
    applied: Arc<Applied>,
    /// Carp interfaces that wait for one of those, and have nothing of the file; and
    /// whoever did not get all of it when one came.
    waiting: BTreeSet<IfName>,
}

/// The file as it is now, and what has to be known to find out whether the machine
/// would take it. That takes its time, and asks nobody: any thread may do it.
pub struct Rehearsal {
    path: PathBuf,
    cards: Cards,
    applied: Arc<Applied>,
    /// The addresses that the cards have without the file.
    pub(super) lent: Result<OfCards, String>,
    there: Result<There, String>,
}

/// A file as it was applied.
#[derive(Serialize, Deserialize)]
pub struct Was {
    text: String,
    /// What it said of passwords in files. One who does not hand it on is an older
    /// program.
    #[serde(default)]
    passwords: Passwords,
    /// What the sysctls of the file were before.
    sysctls: BTreeMap<String, String>,
    /// Who has nothing of it.
    waiting: BTreeSet<String>,
}

impl Drop for Was {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether the machine is as the file says.
    pub ok: bool,
    /// What was done, or why it was not.
    pub lines: Vec<String>,
}

impl Report {
    /// Nothing was done.
    pub fn refused(lines: impl IntoIterator<Item = String>) -> Report {
        Report { ok: false, lines: lines.into_iter().collect() }
    }
}

impl Service {
    /// Configures a machine that has its cards and nothing else. Of those of the host some
    /// may not be there yet.
    ///
    /// # Errors
    /// Which line failed. The machine, which is half configured, is to be halted.
    pub fn start(conf: Conf, cards: Cards, calls: &mut dyn Configuring) -> Result<Service, Errors> {
        let of_host: BTreeSet<IfName> = conf.daemon.cards.interface_names().collect();
        let there =
            there(calls, &of_host, &BTreeSet::new()).map_err(|what| conf.errors(vec![(None, what)]))?;
        let missing = missing(&conf, &there);
        if !missing.is_empty() {
            return Err(conf.errors(missing));
        }
        let mut done = Done::default();
        in_turn(plan::from_nothing(&conf, &there), calls, |step, calls| {
            let at = step.at;
            one(step, calls, &mut done).map(drop).map_err(|what| conf.errors(vec![(Some(at), what)]))
        })?;
        let (path, started) = (conf.path.clone(), conf.daemon.clone());
        let waiting = there.waiting(&Applied::default(), &conf);
        let applied = Arc::new(Applied::default().then(conf, done.sysctls));
        Ok(Service { path, cards, of_host, started, applied, waiting })
    }

    /// A machine that another process has configured, by the file as it `was` then;
    /// and whether `conf`, what the file says now, is something else. There is no way
    /// back any more.
    pub fn follow(conf: Conf, cards: Cards, was: Option<Was>) -> (Service, bool) {
        let (mut applied, path, started) = (Applied::default(), conf.path.clone(), conf.daemon.clone());
        let (of_host, mut waiting) = (conf.daemon.cards.interface_names().collect(), BTreeSet::new());
        let is_as = |was: &Was| was.text == *conf.text && was.passwords == conf.passwords;
        let differs = !was.as_ref().is_some_and(is_as);
        if let Some(mut was) = was {
            let passwords = core::mem::take(&mut was.passwords);
            let conf = if differs { Conf::as_it_was(&path, &was.text, &cards, passwords) } else { conf };
            applied = applied.then(conf, core::mem::take(&mut was.sysctls));
            waiting = was.waiting.iter().filter_map(|name| IfName::new(name)).collect();
        }
        (Service { path, cards, of_host, started, applied: Arc::new(applied), waiting }, differs)
    }

    /// What another process needs for that.
    pub fn was(&self) -> Was {
        let (conf, sysctls) = (self.applied.conf(), self.applied.sysctls().clone());
        let (text, passwords) = (conf.text.to_string(), conf.passwords.clone());
        Was { text, passwords, sysctls, waiting: self.waiting.iter().map(ToString::to_string).collect() }
    }

    /// A card has come, and has nothing of the file: its own lines are done, maybe once
    /// more, and carp interfaces that are to live there do. What of it failed; a reload
    /// does that again.
    pub fn arrived(&mut self, name: IfName, calls: &mut dyn Configuring) -> Vec<String> {
        let conf = self.applied.conf();
        let (mut done, mut failed) = (Done::default(), Vec::new());
        let mut lacking = BTreeSet::new();
        let Ok(()) = in_turn::<Infallible>(plan::arrival(conf, name, &self.waiting), calls, |step, calls| {
            let whose = step.act.interface();
            if let Err(what) = one(step, calls, &mut done) {
                lacking.extend(whose);
                failed.push(what);
            }
            Ok(())
        });
        let parent = |of: &IfName| conf.interface(*of)?.wanted.parent();
        self.waiting.retain(|of| *of != name && parent(of) != Some(name));
        self.waiting.append(&mut lacking);
        failed
    }

    /// What a reload begins with, on cards to which the host lends these addresses.
    pub fn rehearsal(&self, calls: &mut dyn Syscalls, host: &OfCards) -> Rehearsal {
        let (lent, there) = (self.lent(calls, host), self.there(calls));
        let (path, cards, applied) = (self.path.clone(), self.cards.clone(), self.applied.clone());
        Rehearsal { path, cards, applied, lent, there }
    }

    /// Changes what has changed in the file, after its rehearsal. On an error nothing
    /// has.
    pub fn reload(&mut self, rehearsed: Result<Conf, Errors>, calls: &mut dyn Configuring) -> Report {
        match rehearsed.and_then(|conf| self.become_as(conf, calls)) {
            Ok(lines) => Report { ok: true, lines },
            Err(errors) => Report::refused(errors.lines()),
        }
    }

    fn there(&self, calls: &mut dyn Syscalls) -> Result<There, String> {
        there(calls, &self.of_host, &self.waiting)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ticks a second, as the file says: 0 unless it does.
    pub fn hz(&self) -> u32 {
        self.applied.conf().daemon.hz.unwrap_or(0)
    }

    /// The addresses of cards that are theirs, and not from the file alone.
    fn lent(&self, calls: &mut dyn Syscalls, host: &OfCards) -> Result<OfCards, String> {
        let mut lent = host.clone();
        for has in ifconfig::addresses(calls)?.into_iter().filter(|has| has.vhid == 0) {
            let Some(name) = IfName::new(&has.ifname) else { continue };
            let of_file =
                self.applied.conf().interface(name).is_some_and(|i| i.wanted.place_of(has.addr).is_some());
            if let (false, Ok(net)) = (of_file, IpNet::new(has.addr, has.prefixlen)) {
                let nets = lent.entry(name).or_default();
                if !nets.iter().any(|has| has.addr() == net.addr()) {
                    nets.push(net);
                }
            }
        }
        Ok(lent)
    }

    fn become_as(&mut self, conf: Conf, calls: &mut dyn Configuring) -> Result<Vec<String>, Errors> {
        let refused = |complaints| Err(conf.errors(complaints));
        let there = match self.there(calls) {
            Ok(there) => there,
            Err(what) => return refused(vec![(None, what)]),
        };
        let done = match perform(plan::steps(&self.applied, &conf, &there), calls) {
            Ok(done) => done,
            Err(complaints) => return refused(complaints),
        };
        let mut lines: Vec<String> = conf.warnings().lines().collect();
        lines.extend(for_another_process(&self.started, &conf.daemon));
        let (hz, was) = (conf.daemon.hz.unwrap_or(0), self.hz());
        let told = lines.len();
        lines.extend((hz != was).then(|| format!("netisrd_hz={hz}")));
        lines.extend(done.lines);
        if lines.len() == told {
            lines.push("nothing has changed".into());
        }
        self.waiting = there.waiting(&self.applied, &conf);
        self.applied = Arc::new(self.applied.then(conf, done.sysctls));
        Ok(lines)
    }
}

impl Rehearsal {
    /// Reads the file, and tries it. If it says what it said, and there is nothing to
    /// do for it, nothing is tried.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn run(self) -> Result<Conf, Errors> {
        Conf::read_and(&self.path, &self.cards, |conf, complaints| self.judge(conf, complaints))
    }

    fn judge(&self, conf: &Conf, complaints: &mut Vec<Complaint>) -> Vec<Complaint> {
        let there = match &self.there {
            Ok(there) => there,
            Err(what) => {
                complaints.push((None, what.clone()));
                return Vec::new();
            }
        };
        complaints.extend(missing(conf, there));
        let was = self.applied.conf();
        let is_as_it_was = conf.text == was.text && was.warnings.is_empty();
        if !complaints.is_empty() || (is_as_it_was && plan::steps(&self.applied, conf, there).is_empty()) {
            return Vec::new();
        }
        let lent = |name| {
            let all = self.lent.as_ref().map_err(Clone::clone)?;
            Ok(all.get(&name).cloned().unwrap_or_default())
        };
        // The machine may be started next by the file that it is reloaded by now.
        let warnings = trial::whole(conf, &lent, complaints);
        if complaints.is_empty() {
            trial::change(&self.applied, conf, &lent, complaints);
        }
        warnings
    }
}

/// What each card has.
pub type OfCards = BTreeMap<IfName, Vec<IpNet>>;

/// The interfaces that the machine has.
pub(super) fn names(calls: &mut dyn Syscalls) -> Result<BTreeSet<String>, String> {
    Ok(act::interfaces(calls)?.into_iter().collect())
}

/// How it is with its interfaces, if these are the host's.
fn there(
    calls: &mut dyn Syscalls,
    of_host: &BTreeSet<IfName>,
    waiting: &BTreeSet<IfName>,
) -> Result<There, String> {
    let names = names(calls)?;
    let absent = of_host.iter().filter(|name| !names.contains(name.as_str())).copied().collect();
    Ok(There { names, absent, waiting: waiting.clone() })
}

/// Cards that the file configures and the machine neither has nor waits for.
fn missing(conf: &Conf, there: &There) -> Vec<Complaint> {
    let is_card = |name: &IfName| there.names.contains(name.as_str()) || there.absent.contains(name);
    let cards = conf.interfaces.iter().filter(|i| !i.is_clone && !is_card(&i.name));
    let complaint = |name| {
        format!("expected an interface of this machine: {name} is none; what it starts with makes its cards")
    };
    cards.map(|i| (Some(i.at), complaint(i.name))).collect()
}

/// What is not as it started and no process that runs can change.
fn for_another_process(b: &Daemon, n: &Daemon) -> Vec<String> {
    // What a successor must have as it is.
    let restart = [
        ("netisrd_interfaces", b.cards.interfaces != n.cards.interfaces),
        ("netisrd_taps", b.cards.taps != n.cards.taps),
        ("netisrd_socket", b.socket != n.socket),
    ];
    let restart = restart.iter().filter(|(_, changed)| *changed);
    let mut told: Vec<String> =
        restart.map(|(key, _)| format!("warning: {key} has changed: that needs a restart")).collect();
    if b.netisrs != n.netisrs {
        let what = "that needs a restart, or without a transition netisrd --takeover";
        told.push(format!("warning: netisrd_netisrs has changed: {what}"));
    }
    told
}

/// Steps that were done.
#[derive(Default)]
struct Done {
    lines: Vec<String>,
    /// What the sysctls were.
    sysctls: BTreeMap<String, String>,
}

/// How a step is taken back.
enum Back {
    By(Vec<Act>),
    /// Not at all.
    Stays(String),
}

/// All steps or none. What cannot be taken back is told.
fn perform(steps: Vec<Step>, calls: &mut dyn Configuring) -> Result<Done, Vec<Complaint>> {
    let mut done = Done::default();
    let mut undo: Vec<Back> = Vec::new();
    in_turn(steps, calls, |step, calls| {
        let (shown, at, lasting) = (step.act.to_string(), step.at, step.lasting);
        match one(step, calls, &mut done) {
            Ok(_) if lasting => undo.push(Back::Stays(shown.clone())),
            Ok(acts) => undo.push(Back::By(acts)),
            Err(what) => {
                let mut complaints = vec![(Some(at), what)];
                take_back(core::mem::take(&mut undo), calls, &mut complaints);
                return Err(complaints);
            }
        }
        done.lines.push(shown);
        Ok(())
    })?;
    Ok(done)
}

/// What takes it back comes back.
fn one(step: Step, calls: &mut dyn Syscalls, done: &mut Done) -> Result<Vec<Act>, String> {
    let mut undo = step.undo;
    if let Act::Sysctl(name, value) = &step.act {
        let before = act::read_sysctl(calls, name)?;
        undo = vec![match name.as_str() {
            super::keys::DEMOTION => {
                let less = value.parse::<i32>().unwrap_or(0).saturating_neg();
                Act::Sysctl(name.clone(), less.to_string())
            }
            _ => Act::Sysctl(name.clone(), before.clone()),
        }];
        done.sysctls.insert(name.clone(), before);
    }
    step.act.run(calls).map_err(|what| trial::told(&step.act, &what))?;
    Ok(undo)
}

fn take_back(done: Vec<Back>, calls: &mut dyn Syscalls, complaints: &mut Vec<Complaint>) {
    let (before, any) = (complaints.len(), !done.is_empty());
    for back in done.into_iter().rev() {
        match back {
            Back::Stays(what) => complaints.push((None, format!("not taken back: {what}"))),
            Back::By(acts) => {
                for act in acts {
                    if let Err(what) = act.run(calls) {
                        complaints.push((None, format!("not taken back: {act}: {what}")));
                    }
                }
            }
        }
    }
    if any && complaints.len() == before {
        complaints.push((None, "what came before that line is taken back".into()));
    }
}
