//! Random scenarios: LANs, machines, what they boot with, what is done to them,
//! and what goes wrong. After it all is mended, and quiet for long enough.

use super::acts;
use crate::lab::duration::Span;
use crate::lab::scenario::{ClientSpec, Deed, Kind, LanSpec, MachineSpec, Name, Scenario};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::time::Duration;
use toml::Spanned;

/// Choices by a seed.
pub(super) struct Dice(ChaCha12Rng);

impl Dice {
    /// 0 to n - 1.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n.max(1)
    }

    /// One time in n.
    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Any of these.
    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// Some place of that many.
    pub(super) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }
}

/// What machines of a LAN may have in common: one virtual host.
pub(super) struct Group {
    pub(super) lan: usize,
    /// It and the four above it are nobody else's.
    pub(super) vhid: u8,
    pub(super) advbase: u8,
    pass: u64,
    /// Which of [`Plan::vaddr`] it begins with.
    vaddrs: Vec<u64>,
}

/// A machine, as it is expected to be.
pub(super) struct Machine {
    pub(super) name: String,
    /// The LAN of `em0`, `em1`, ...
    pub(super) lans: Vec<usize>,
    /// The group of `carp0`, `carp1`, ...
    pub(super) carps: Vec<usize>,
    pub(super) power: Power,
    /// Its clock goes wrong.
    pub(super) wrong: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    On,
    Off,
    Paused,
}

/// A scenario that is being made.
pub(super) struct Plan {
    pub(super) dice: Dice,
    pub(super) scenario: Scenario,
    pub(super) groups: Vec<Group>,
    pub(super) machines: Vec<Machine>,
    /// When the next thing is done.
    pub(super) now: Duration,
    /// An advertisement's interval that is usual here.
    pub(super) tempo: u8,
    /// Things that the reference model does not know are done too.
    pub(super) exotic: bool,
}

/// A name that stands nowhere yet.
pub fn name(s: impl Into<String>) -> Name {
    Name::new(0..0, s.into())
}

/// The `i`th scenario of a search by that seed.
pub fn scenario(seed: u64, i: u64) -> Scenario {
    let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(i);
    let mut plan = Plan::new(seed);
    plan.topology();
    plan.clients();
    let acts = 4 + plan.dice.below(40);
    for _ in 0..acts {
        plan.pause();
        acts::act(&mut plan);
    }
    plan.mend();
    plan.scenario
}

impl Plan {
    fn new(seed: u64) -> Plan {
        let mut dice = Dice(ChaCha12Rng::seed_from_u64(seed));
        let scenario = Scenario {
            title: format!("fuzz {seed}"),
            about: String::new(),
            seed,
            time: Span::default(),
            not_real: None,
            lan: Default::default(),
            machine: Default::default(),
            client: Default::default(),
            at: Vec::new(),
            fault: Vec::new(),
            expect: Vec::new(),
            source: Default::default(),
        };
        let tempo = dice.of(&[1, 1, 1, 1, 1, 2, 3, 10, 60, 120]);
        let exotic = dice.one_in(6);
        let (groups, machines) = (Vec::new(), Vec::new());
        Plan { dice, scenario, groups, machines, now: Duration::ZERO, tempo, exotic }
    }

    fn topology(&mut self) {
        let lans = self.dice.of(&[1, 1, 1, 1, 2, 2, 3]);
        let inet6 = self.dice.one_in(2);
        for lan in 0..lans {
            let delay = self.dice.one_in(4).then(|| Span(Duration::from_micros(1 + self.dice.below(20_000))));
            let delay = delay.map(|d| Spanned::new(0..0, d));
            self.scenario.lan.insert(format!("net{lan}"), LanSpec { delay });
            for g in 0..self.dice.of(&[1, 1, 1, 2, 2, 3]) {
                let vaddrs: &[u64] = if inet6 { self.dice.of(&[&[0], &[0, 2], &[2]]) } else { &[0] };
                let advbase = if self.dice.one_in(4) { self.dice.of(&[1, 2, 3]) } else { self.tempo };
                let (vhid, pass) = ((lan * 60 + g * 10 + 1) as u8, self.dice.below(2));
                self.groups.push(Group { lan, vhid, advbase, pass, vaddrs: vaddrs.to_vec() });
            }
        }
        let machines = self.dice.of(&[2, 2, 2, 3, 3, 4, 5]);
        let preempt = self.dice.below(3);
        for m in 0..machines {
            self.machine(m, lans, inet6, preempt);
        }
    }

    fn machine(&mut self, m: usize, lans: usize, inet6: bool, preempt: u64) {
        let mut on: Vec<usize> = (0..lans).filter(|_| self.dice.below(4) != 0).collect();
        if on.is_empty() {
            on.push(self.dice.index(lans));
        }
        let mut boot = Vec::new();
        if preempt == 1 || (preempt == 2 && self.dice.one_in(2)) {
            boot.push("sysctl net.inet.carp.preempt=1".to_owned());
        }
        for (em, lan) in on.iter().enumerate() {
            boot.push(format!("ifconfig em{em} {}", parent_addr(*lan, m, false)));
            if inet6 && self.dice.below(4) != 0 {
                boot.push(format!("ifconfig em{em} inet6 {}", parent_addr(*lan, m, true)));
            }
        }
        let here = |g: &usize| on.contains(&self.groups[*g].lan);
        let mut carps: Vec<usize> = (0..self.groups.len()).filter(here).collect();
        carps.retain(|_| self.dice.below(6) != 0);
        self.machines.push(Machine {
            name: format!("m{m}"),
            lans: on.clone(),
            carps: carps.clone(),
            power: Power::On,
            wrong: false,
        });
        for n in 0..carps.len() {
            boot.extend(self.carp_lines(m, n));
        }
        let interfaces =
            on.iter().enumerate().map(|(em, lan)| (format!("em{em}"), name(format!("net{lan}"))));
        let spec = MachineSpec {
            kind: Kind::Netisrd,
            interfaces: interfaces.collect(),
            netisrs: Some(self.dice.of(&[1, 1, 2, 3])),
            hz: if self.exotic { self.dice.of(&[0, 0, 100, 1000]) } else { 0 },
            on: self.dice.one_in(4).then(|| Span(Duration::from_millis(self.dice.below(5000)))),
            boot: boot.into_iter().map(name).collect(),
            ucarp: None,
        };
        self.scenario.machine.insert(format!("m{m}"), spec);
    }

    /// The lines that make a machine's `n`th carp interface.
    pub(super) fn carp_lines(&mut self, m: usize, n: usize) -> Vec<String> {
        let group = &self.groups[self.machines[m].carps[n]];
        let advskew = self.dice.of(&[0, 0, 50, 100, 100, 200, 240, 254]);
        let (vhid, advbase, pass) = (group.vhid, group.advbase, password(group.pass));
        let mut lines = vec![format!("ifconfig carp{n} create")];
        lines.push(format!("ifconfig carp{n} vhid {vhid} advbase {advbase} advskew {advskew} pass {pass}"));
        let mut vaddrs = group.vaddrs.clone();
        if self.dice.one_in(6) {
            vaddrs.push(7);
        }
        for which in vaddrs {
            lines.push(format!("ifconfig carp{n} {}", self.vaddr(m, n, which)));
        }
        lines
    }

    /// An address of a machine's `n`th carp interface as `ifconfig` takes it: 0
    /// and 1 are IPv4, 2 and 3 IPv6, 4 is IPv6's link-local, 5 is the parent's own,
    /// 6 is backed by nothing, 7 by the next parent, if there is another.
    pub(super) fn vaddr(&self, m: usize, n: usize, which: u64) -> String {
        let g = self.machines[m].carps[n];
        let lan = self.groups[g].lan;
        let lans = &self.machines[m].lans;
        let next = lans.iter().position(|l| *l == lan).map_or(0, |at| (at + 1) % lans.len());
        match which {
            0 | 1 => format!("10.0.{lan}.{}/24", 100 + g as u64 * 2 + which),
            2 | 3 => format!("inet6 2001:db8:{lan}::{:x}/64", 0x100 + g as u64 * 2 + which),
            4 => format!("inet6 fe80::{:x}/64", 0x100 + g),
            // In no parent's prefix.
            6 => format!("10.0.{lan}.{}/32", 80 + g),
            7 => format!("10.0.{}.{}/24", lans[next], 60 + g),
            _ => parent_addr(lan, m, false),
        }
    }

    fn clients(&mut self) {
        if !self.dice.one_in(4) {
            return;
        }
        let Some(group) = self.groups.first() else { return };
        let (lan, inet6) = (group.lan, group.vaddrs.contains(&2) && self.dice.one_in(2));
        let (address, ping) = match inet6 {
            false => (format!("10.0.{lan}.9/24"), format!("10.0.{lan}.100")),
            true => (format!("2001:db8:{lan}::9/64"), format!("2001:db8:{lan}::102")),
        };
        let (Ok(address), Ok(ping)) = (address.parse(), ping.parse()) else { return };
        let spec = ClientSpec {
            lan: name(format!("net{lan}")),
            address,
            ping,
            interval: Span(Duration::from_millis(self.dice.of(&[500, 1000, 3000]) * u64::from(self.tempo))),
            from: Span::default(),
            until: None,
        };
        self.scenario.client.insert("c".into(), spec);
    }

    /// Until the next thing: often at the instants at which timers are due as
    /// well.
    fn pause(&mut self) {
        let tempo = u64::from(self.tempo);
        let micros = match self.dice.below(8) {
            0 | 1 => self.dice.below(8) * 1_000_000 * tempo,
            2 | 3 => self.dice.below(500_000),
            4 => self.dice.below(30_000_000) * tempo,
            _ => self.dice.below(6_000_000) * tempo,
        };
        self.now += Duration::from_micros(micros);
    }

    /// A deed to a machine, now.
    pub(super) fn deed(&mut self, m: usize) -> &mut Deed {
        let deed = Deed {
            time: Span(self.now),
            machine: name(&*self.machines[m].name),
            run: None,
            power: None,
            clock: None,
            fails: false,
            may_fail: false,
            rush: self.exotic && self.dice.one_in(3),
        };
        let at = self.scenario.at.len();
        self.scenario.at.push(deed);
        &mut self.scenario.at[at]
    }

    /// A command line for a machine, now.
    pub(super) fn run(&mut self, m: usize, line: impl Into<String>) {
        let deed = self.deed(m);
        deed.run = Some(name(line));
        deed.may_fail = true;
    }

    /// All that is wrong ends, and all has time to settle.
    fn mend(&mut self) {
        self.now += Duration::from_millis(1 + self.dice.below(3000));
        for m in 0..self.machines.len() {
            acts::mend(self, m);
        }
        for fault in &mut self.scenario.fault {
            let until = fault.until.get_or_insert(Span(self.now));
            until.0 = until.0.min(self.now);
        }
        // The longest that anybody waits, and four advertisements more.
        let slowest = Duration::from_secs(u64::from(self.tempo.max(3)) * 2 + 2);
        self.scenario.time = Span(self.now + slowest * 8);
    }
}

/// The address of a machine's own on a LAN.
pub(super) fn parent_addr(lan: usize, m: usize, inet6: bool) -> String {
    match inet6 {
        false => format!("10.0.{lan}.{}/24", m + 2),
        true => format!("2001:db8:{lan}::{:x}/64", m + 2),
    }
}

/// One of few.
pub(super) fn password(n: u64) -> &'static str {
    if n == 0 { "secret" } else { "another" }
}
