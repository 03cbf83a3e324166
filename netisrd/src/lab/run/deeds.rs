//! What is done to machines and LANs while a scenario runs.

use super::Play;
use crate::lab::faults;
use crate::lab::host::{Card, typed};
use crate::lab::judge::{Rule, Violation};
use crate::lab::record::What;
use crate::lab::scenario::{Deed, FaultSpec, Name, Power};
use crate::sim::MachineId;
use compat::net::if_::{IfName, LinkState};
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::errno::Errno;
use ifconfig_carp::{CallError, Syscalls};
use libcarp::kernel::Level;

impl Play<'_> {
    /// Switches a machine on, and runs its boot lines.
    pub fn boot(&mut self, n: usize) {
        if self.hosts[n].id.is_some() {
            return;
        }
        let spec = self.hosts[n].spec.clone();
        self.journal.note(What::Boot { machine: self.hosts[n].name.clone() });
        let ncpus = spec.netisrs.unwrap_or(self.options.netisrs).max(1);
        let journal = self.journal.clone();
        let log = move |_: Level, line: std::fmt::Arguments<'_>| journal.log(n, || line.to_string());
        let id = self.world.boot_logging(ncpus, spec.hz, Box::new(log));
        self.hosts[n].id = Some(id);
        self.booted.push(n);
        self.hosts[n].listener = self.world.listen(id);
        for (i, (ifname, lan)) in spec.interfaces.iter().enumerate() {
            let Some(at) = self.segments.iter().position(|s| &s.name == lan.as_ref()) else { continue };
            let port = self.segments[at].faults.add_port(&self.hosts[n].name);
            let name = IfName::new(ifname).unwrap_or(IfName::EMPTY);
            let mut dev = self.segments[at].lan.attach(name, self.hosts[n].lladdr(i), ncpus);
            if let Some(judge) = &self.judge {
                dev = judge.card(i, dev);
            }
            match self.world.attach(id, dev) {
                Ok(if_index) => {
                    self.hosts[n].cards.push(Card { ifname: ifname.clone(), lan: at, port, if_index });
                }
                Err(e) => self.command_failed(n, &format!("attach {ifname}"), &e),
            }
        }
        if let Some(judge) = &mut self.judge {
            judge.on(self.world.now(), &self.hosts[n], id);
        }
        for fault in self.standing.values().cloned().collect::<Vec<_>>() {
            self.apply(&fault, false);
        }
        for line in &spec.boot {
            self.run_named(n, line, Some(false));
        }
        if self.judge.is_some() {
            let mut said = |line| typed(&mut Here { play: self, n, id }, line).1;
            let config = configuration(&said("ifconfig -a")) + &said(SETTINGS);
            if let Some(judge) = &mut self.judge {
                judge.booted(self.world.now(), &self.hosts[n], config);
            }
        }
    }

    /// One system call of a machine, before and after which all that is under
    /// way is done, unless it is in a rush.
    fn syscall(&mut self, n: usize, id: MachineId, request: &Request) -> Reply {
        if !self.rush {
            self.settle();
        }
        self.moment.begins();
        let Some(waiting) = self.world.submit(id, request.clone()) else { return Reply::error(Errno::ENXIO) };
        while let Some(who) = self.step() {
            let Some(reply) = waiting.poll() else {
                self.notice(who);
                continue;
            };
            if let Some(judge) = &mut self.judge {
                judge.told(&self.world, &self.hosts[n], request, &reply);
            }
            if !self.rush {
                self.settle();
            }
            return reply;
        }
        Reply::error(Errno::ENXIO)
    }

    /// A system call of a machine, by whoever is no program of its own; `None`
    /// from one that is off or paused.
    pub fn call(&mut self, n: usize, request: &Request) -> Option<Reply> {
        let id = self.hosts[n].id.filter(|id| !self.world.is_paused(*id))?;
        let reply = self.syscall(n, id, request);
        self.notice_all();
        Some(reply)
    }

    fn command_failed(&self, n: usize, line: &str, e: &Errno) {
        let (machine, line) = (self.hosts[n].name.clone(), line.to_owned());
        self.journal.note(What::Command { machine, line, status: 1, output: e.to_string() });
    }

    /// Gives a machine a command, of which is known whether it fails, or not;
    /// its status.
    pub fn run_line(&mut self, n: usize, line: &str, fails: Option<bool>) -> i32 {
        self.run_from(None, n, line, fails)
    }

    /// One of the scenario's.
    fn run_named(&mut self, n: usize, line: &Name, fails: Option<bool>) {
        self.run_from(Some(line), n, line.as_ref(), fails);
    }

    /// One that stands there in the scenario.
    fn run_from(&mut self, from: Option<&Name>, n: usize, line: &str, fails: Option<bool>) -> i32 {
        let begun = self.journal.begin();
        let (status, output) = match self.hosts[n].id {
            Some(id) if self.world.is_paused(id) => (1, "the machine is paused".into()),
            Some(id) => typed(&mut Here { play: self, n, id }, line),
            None => (1, "the machine is off".into()),
        };
        self.notice_all();
        let machine = self.hosts[n].name.clone();
        if fails.is_some_and(|fails| (status != 0) != fails) {
            let place = from.map(|name| self.scenario.source.before(name)).unwrap_or_default();
            let text = format!("{place}{machine}: {line}: status {status}: {}", output.trim());
            let (at, machine) = (self.world.now(), Some(n));
            self.violated(Violation { at, rule: Rule::Command, machine, text });
        }
        self.journal.note_begun(begun, What::Command { machine, line: line.to_owned(), status, output });
        status
    }

    pub(super) fn deed(&mut self, deed: &Deed) {
        let Some(n) = self.hosts.iter().position(|h| &h.name == deed.machine.as_ref()) else { return };
        self.rush = deed.rush;
        if let Some(judge) = self.judge.as_mut().filter(|_| deed.rush) {
            judge.rushed(&self.hosts[n]);
        }
        if let Some(line) = &deed.run {
            self.run_named(n, line, (!deed.may_fail).then_some(deed.fails));
        }
        self.rush = false;
        if let Some(power) = deed.power {
            self.power(n, power);
        }
        if let Some((clock, id)) = deed.clock.zip(self.hosts[n].id) {
            self.world.set_clock(id, clock.ppm, clock.jump.0);
            if let Some(judge) = &mut self.judge {
                judge.set_exact(self.world.now(), &self.hosts[n], clock.ppm == 1_000_000);
            }
            let machine = Some(deed.machine.as_ref().clone());
            let text =
                format!("{}: clock at {} ppm, {} forwards", deed.machine.as_ref(), clock.ppm, clock.jump);
            self.journal.note(What::Fault { text, lan: None, machine, over: clock.ppm == 1_000_000 });
        }
    }

    /// Switches a machine on or off, or stops it.
    pub fn power(&mut self, n: usize, power: Power) {
        let machine = self.hosts[n].name.clone();
        let Some(id) = self.hosts[n].id else {
            if power == Power::Boot {
                self.boot(n);
            }
            return;
        };
        match power {
            Power::Boot => return,
            Power::Pause => {
                self.world.pause(id);
                self.journal.note(What::Pause { machine });
            }
            Power::Resume => {
                self.world.resume(id);
                self.journal.note(What::Resume { machine });
            }
            Power::Crash => {
                self.journal.note(What::Crash { machine });
                self.world.crash(id);
            }
            Power::Halt => {
                self.journal.note(What::Halt { machine });
                self.world.resume(id);
                self.settle();
                if let Some(judge) = &mut self.judge {
                    judge.halts(&self.world, &self.hosts[n]);
                }
                self.world.halt(id);
            }
        }
        if let Some(judge) = &mut self.judge {
            judge.stepped(&self.world, n);
            judge.disturbed(self.world.now(), n);
        }
        if !self.world.is_alive(id) {
            let host = &mut self.hosts[n];
            (host.id, host.listener) = (None, None);
            host.look(&self.world, &self.journal);
            host.cards.clear();
            if let Some(judge) = &mut self.judge {
                judge.off(self.world.now(), host);
            }
        }
        self.notice_all();
    }

    pub(super) fn fault(&mut self, n: usize, over: bool) {
        let fault = &self.scenario.fault[n];
        self.set_fault(n, fault, over);
    }

    /// A fault begins, or ends, by its number.
    pub fn set_fault(&mut self, n: usize, fault: &FaultSpec, over: bool) {
        let name = |n: &Option<Name>| n.as_ref().map(|n| n.as_ref().clone());
        let (lan, machine) = (name(&fault.lan), name(&fault.machine));
        self.journal.note(What::Fault { text: faults::text(fault), lan: lan.clone(), machine, over });
        for of in self.lans_of(fault) {
            // What several delay comes as late as all of them together say.
            let standing = self.segments.get(of).map(|s| s.faults.longest()).unwrap_or_default();
            let late = if over { standing } else { standing + faults::longest(fault) };
            if let Some(judge) = &mut self.judge {
                judge.fault(self.world.now(), of, over, late);
            }
        }
        if let Some(segment) = self.segments.iter().find(|s| Some(&s.name) == lan.as_ref()) {
            match over {
                false => segment.faults.begin(n, fault),
                true => segment.faults.end(n),
            }
            return;
        }
        match over {
            false => self.standing.insert(n, fault.clone()),
            true => self.standing.remove(&n),
        };
        // Of those of one kind at one interface the first breaks it, and the
        // end of the last mends it.
        if !self.standing.iter().any(|(other, standing)| *other != n && is_alike(standing, fault)) {
            self.apply(fault, over);
        }
    }

    /// The LANs that a fault is of: a machine's is of all that it is on.
    fn lans_of(&self, fault: &FaultSpec) -> Vec<usize> {
        let machine = fault.machine.as_ref().and_then(|m| self.scenario.machine.get(m.as_ref()));
        let names: Vec<&Name> = machine.into_iter().flat_map(|m| m.interfaces.values()).collect();
        let is_of = |name: &String| fault.lan.iter().chain(names.iter().copied()).any(|n| n.as_ref() == name);
        let of = self.segments.iter().enumerate().filter(|(_, s)| is_of(&s.name));
        of.map(|(n, _)| n).collect()
    }

    /// A machine's card breaks, or is mended.
    fn apply(&mut self, fault: &FaultSpec, over: bool) {
        let host = self.hosts.iter().find(|h| Some(&h.name) == fault.machine.as_ref().map(|m| m.as_ref()));
        let Some((host, id)) = host.and_then(|h| Some((h, h.id?))) else { return };
        let ifname = fault.interface.as_ref().map(|i| i.as_ref().as_str());
        let Some(at) = host.cards.iter().position(|c| Some(c.ifname.as_str()) == ifname) else { return };
        let card = &host.cards[at];
        let lan = &self.segments[card.lan].lan;
        if fault.send_errors {
            lan.set_port_fault(card.port, (!over).then_some(Errno::ENOBUFS));
        }
        if fault.link_down {
            lan.set_port_link(card.port, over);
            let state = if over { LinkState::Up } else { LinkState::Down };
            self.world.link_state(id, card.if_index, state);
        }
        self.settle();
    }
}

/// Whether both do the same to the same interface.
fn is_alike(a: &FaultSpec, b: &FaultSpec) -> bool {
    let name = |n: &Option<Name>| n.as_ref().map(|n| n.as_ref().clone());
    let place = |f: &FaultSpec| (name(&f.machine), name(&f.interface), f.link_down, f.send_errors);
    place(a) == place(b)
}

/// The system calls of one of its machines.
struct Here<'p, 's> {
    play: &'p mut Play<'s>,
    n: usize,
    id: MachineId,
}

impl Syscalls for Here<'_, '_> {
    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        Ok(self.play.syscall(self.n, self.id, request))
    }
}

/// What else is configured.
pub(in crate::lab) const SETTINGS: &str = "sysctl net.inet.carp.preempt net.inet.carp.allow net.inet.carp.arpbalance \
                        net.inet.carp.setroute net.inet.carp.ifdown_demotion_factor \
                        net.inet.carp.senderr_demotion_factor net.inet.carp.unbacked_demotion_factor";

/// What of `ifconfig -a` was configured: not what has become of it.
fn configuration(ifconfig: &str) -> String {
    let kept =
        ifconfig.lines().filter(|l| l.contains("inet") || l.contains("carp:") || !l.starts_with(['\t', ' ']));
    let word = |l: &str| {
        let words = l
            .split_whitespace()
            .filter(|w| !w.starts_with("flags=") && !["INIT", "BACKUP", "MASTER"].contains(w));
        words.collect::<Vec<_>>().join(" ") + "\n"
    };
    kept.map(word).collect()
}
