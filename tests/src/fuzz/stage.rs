//! A machine of the lab with the judge beside it, for what is thrown at it.

use super::Bytes;
use compat::qsbr::Netisr0;
use netisrd::dev::Transmit;
use netisrd::lab::journal::Keep;
use netisrd::lab::record::What;
use netisrd::lab::run::{Options, Play};
use netisrd::lab::scenario::Scenario;
use netisrd::machine::Machine;
use netisrd::net::fate::Fate;
use netisrd::sim::MachineId;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A machine with two parents of which the reference model knows everything.
const PLAIN: &str = include_str!("plain.toml");
/// One with all that CARP has here.
const FULL: &str = include_str!("full.toml");

/// The station that throws.
const STATION: [u8; 6] = [2, 0x66, 0, 0, 0, 1];

/// What the first byte of an input chooses: the machine, and how many netisrs
/// it has.
pub(super) fn scenario(data: &mut Bytes<'_>) -> Scenario {
    let choice = data.byte();
    let text = if choice & 1 == 0 { PLAIN } else { FULL };
    let mut scenario = Scenario::parse(Path::new("stage.toml"), text).expect("a scenario");
    let machine = scenario.machine.values_mut().next().expect("its machine");
    machine.netisrs = Some(1 + usize::from(choice >> 1 & 1));
    if choice & 4 != 0 {
        machine.hz = 100;
    }
    scenario
}

/// It runs, and all is well so far.
pub(super) struct Stage<'s> {
    pub(super) play: Play<'s>,
    /// One card in each LAN.
    stations: Vec<Arc<dyn Transmit>>,
}

impl<'s> Stage<'s> {
    pub(super) fn new(scenario: &'s Scenario) -> Stage<'s> {
        let mut play = Play::new(scenario, Options { keep: Keep::Events, ..Options::default() });
        let stations = play.segments.iter().map(|lan| lan.station("station", STATION).tx).collect();
        let end = play.world.now() + Duration::from_secs(5);
        while play.next(end) {}
        let mut stage = Stage { play, stations };
        stage.judge();
        stage
    }

    /// What is on the wire of that LAN now.
    pub(super) fn throw(&mut self, lan: usize, frame: &[u8]) {
        // A card takes no frame that is too short or too long, as on a wire.
        if let Err(e) = self.stations[lan % self.stations.len()].transmit(0, frame) {
            assert!(frame.len() < 14 || frame.len() > 1514, "{e} for {} bytes", frame.len());
        }
    }

    /// Time passes.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.play.world.now() + time;
        while self.play.next(end) {}
        self.judge();
    }

    /// The machine, if it is on.
    pub(super) fn id(&self) -> Option<MachineId> {
        self.play.hosts[0].id
    }

    pub(super) fn machine(&self) -> Option<(&Machine, &Netisr0)> {
        self.play.world.look(self.id()?)
    }

    /// Whatever the judge has found, and whatever can be asked of the counters.
    pub(super) fn judge(&mut self) {
        if let Some(violation) = self.play.violations.first() {
            panic!("{violation}");
        }
        if let Some((m, _)) = self.machine() {
            packets_add_up(m);
        }
    }

    /// The programs that show the machine have nothing to complain about.
    pub(super) fn show(&mut self) {
        for line in ["ifconfig -a", "ifconfig -l", "netstat -s -p carp", "route show"] {
            self.play.run_line(0, line, Some(false));
        }
        self.judge();
    }

    /// The end: what they have said can be read.
    pub(super) fn finish(self) {
        let outcome = self.play.finish();
        let shown = outcome.events.iter().rev().find_map(|e| match &e.what {
            What::Command { line, output, .. } if line == "ifconfig -a" => Some(output.clone()),
            _ => None,
        });
        dump_parses(&shown.unwrap_or_default());
    }
}

/// Every packet that was delivered to IP has been counted once more.
fn packets_add_up(m: &Machine) {
    let (ip, ip6) = (&m.ipstat, &m.ip6stat);
    let ends = [&ip.badlen, &ip.badvers, &ip.badhlen, &ip.badsum, &ip.fragments, &ip.cantforward];
    let ended: u64 = ends.into_iter().chain([&ip.noproto, &ip.delivered]).map(|c| c.value()).sum();
    assert_eq!(ip.total.value(), ended, "IPv4 packets, and what became of them");
    let delivered = [Fate::Carp, Fate::Ip, Fate::Ip6, Fate::Nd6].map(|f| m.fates.value(f));
    assert_eq!(
        ip.total.value() + ip6.total.value(),
        delivered.iter().sum::<u64>(),
        "IP packets, and frames that were delivered"
    );
}

/// Whatever CARP has refused it has received. A write to the sysctl may say
/// otherwise.
pub(super) fn advertisements_add_up(m: &Machine, n0: &Netisr0) {
    let s = m.carp.own(n0).stats();
    let refused =
        s.carps_badif + s.carps_badttl + s.carps_badlen + s.carps_badsum + s.carps_badver + s.carps_badauth;
    let received = s.carps_ipackets + s.carps_ipackets6;
    assert!(refused <= received, "{refused} advertisements were refused, {received} received");
    assert!(received <= m.fates.value(Fate::Carp), "{received} were received, fewer delivered");
}

/// `ifconfig -a`: interfaces with flags, and lines that belong to them.
fn dump_parses(text: &str) {
    for line in text.lines() {
        let of_one = line.starts_with('\t');
        let begins = line.split_once(": flags=").is_some_and(|(name, _)| !name.contains(char::is_whitespace));
        assert!(of_one || begins, "ifconfig -a: {line:?}");
    }
    assert!(text.starts_with("em0: flags=") || text.is_empty(), "ifconfig -a: {text:?}");
}
