//! Random files, one after the other: a reload leads to the machine that a start
//! would have made, and the trial knows beforehand whether it does.

use super::super::Conf;
use super::rig::{Rig, SEC, cards, lent};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::path::Path;

const FILES: usize = 150;

struct Writer(ChaCha12Rng);

impl Writer {
    fn below(&mut self, n: u32) -> u32 {
        self.0.next_u32() % n
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u32) as usize]
    }

    fn vhid(&mut self) -> String {
        format!("vhid {} ", 1 + self.below(4))
    }

    fn parameters(&mut self) -> String {
        let base = self.pick(&["", "", "advbase 2 ", "advbase 3 "]);
        let skew = self.pick(&["", "", "advskew 5 ", "advskew 50 "]);
        let pass = self.pick(&["", "pass secret ", "pass x "]);
        let peer = self.pick(&["", "", "", "peer 10.0.0.3 ", "mcast peer6 fe80::3 "]);
        [base, skew, pass, peer].concat()
    }

    /// One that is a card's own is no virtual host's: to be its owner changes the
    /// skew.
    fn address(&mut self, is_own: bool) -> String {
        let n = self.below(6) + if is_own { 30 } else { 10 };
        match self.below(5) {
            0 => format!("inet6 2001:db8::{n}/{} ", 64 + self.below(2)),
            1 => format!("10.0.0.{n}/24 broadcast 10.0.0.{} ", 250 + self.below(2)),
            _ => format!("10.0.0.{n}/{} ", 24 + self.below(3)),
        }
    }

    /// Of a carp interface, or of a card.
    fn line(&mut self, is_carp: bool, needs_address: bool) -> String {
        let mut line = String::new();
        let is_host = self.below(3) > 0;
        if is_host {
            line += &self.vhid();
            line += &self.parameters();
        }
        if is_carp {
            // What went down before is another demotion than what is down.
            line += self.pick(&["", "", "down "]);
            line += self.pick(&["", "", "", "carpdev em0 ", "-carpdev "]);
        }
        line += self.pick(&["", "", "", "debug ", "-arp ", "up ", "group dmz ", "-group carp "]);
        if needs_address || self.below(3) > 0 {
            line += &self.address(!is_carp && !is_host);
        }
        line
    }

    fn interface(&mut self, name: &str, is_carp: bool) -> String {
        let mut text = String::new();
        if self.below(4) > 0 {
            text += &format!("ifconfig_{name}='{}'\n", self.line(is_carp, false));
        }
        for n in 0..self.below(3) {
            text += &format!("ifconfig_{name}_alias{n}='{}'\n", self.line(is_carp, true));
        }
        text
    }

    fn file(&mut self) -> String {
        let mut text = self.interface("em0", false);
        let carps: Vec<&str> =
            ["carp0", "carp1", "carp2"].into_iter().filter(|_| self.below(2) == 0).collect();
        text += &format!("cloned_interfaces='{}'\n", carps.join(" "));
        carps.iter().for_each(|carp| text += &self.interface(carp, true));
        for (name, values) in [("demotion", 4), ("dscp", 3), ("log", 3)] {
            if self.below(3) == 0 {
                text += &format!("net.inet.carp.{name}={}\n", self.below(values));
            }
        }
        text
    }

    /// One that makes sense.
    fn good(&mut self) -> String {
        loop {
            let text = self.file();
            if Conf::parse(Path::new("f"), &text, &cards(), &lent).is_ok() {
                return text;
            }
        }
    }
}

#[test]
fn whatever_was_before_a_reload_makes_what_a_start_makes() {
    // Whose turn it is depends on what was before; and a card keeps the
    // link-local address that came with its first one of IPv6.
    let dump = |rig: &mut Rig| {
        let shown = rig.dump().replace("MASTER", "BACKUP");
        shown.lines().filter(|l| !l.contains("inet6 fe80:")).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut writer = Writer(ChaCha12Rng::seed_from_u64(1));
    let mut before = writer.good();
    let (mut rig, mut refused) = (Rig::start("random", &before), 0);
    for n in 0..FILES {
        let after = writer.good();
        let (report, changes) = rig.reload(&after);
        if !report.ok {
            // Seldom, and known beforehand.
            assert_eq!(changes, 0, "{n}: {report:#?}\n{before}---\n{after}");
            refused += 1;
            continue;
        }
        rig.world.run_for(10 * SEC);
        let mut fresh = Rig::start("random-fresh", &after);
        assert_eq!(dump(&mut rig), dump(&mut fresh), "{n}: {report:#?}\n{before}---\n{after}");
        before = after;
    }
    assert!(refused < FILES / 20, "{refused}");
}
