//! Changes, by the command lines that people type.

use super::wire::{Cable, Pace};
use compat::net::if_::IfName;
use compat::sys::ctlsock::{Reply, Request};
use ifconfig_carp::{CallError, Syscalls};
use netisrd::host::runtime::Runtime;
use netisrd::lab::host::program;
use netisrd::net::netisr::Cred;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::ffi::OsString;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a life begins with.
const BIRTH: [&str; 4] = [
    "ifconfig carp0 create",
    "ifconfig carp1 create",
    "ifconfig carp0 vhid 1 pass secret 10.0.0.1/24",
    "ifconfig carp1 vhid 2 pass secret 10.1.0.2/24",
];

/// What may happen in it, in any order. Some lines are refused, depending on
/// what was before.
const DEEDS: [&str; 36] = [
    "ifconfig carp0 vhid 1",
    "ifconfig carp0 vhid 7",
    "ifconfig carp1 vhid 7",
    "ifconfig carp1 vhid 2",
    "ifconfig carp0 10.1.0.1/24",
    "ifconfig carp0 10.0.0.1/24",
    "ifconfig carp0 10.0.0.5/24 alias",
    "ifconfig carp0 10.0.0.5 -alias",
    "ifconfig carp1 10.0.0.2/24",
    "ifconfig carp1 10.1.0.2/24",
    "ifconfig carp0 advskew 100",
    "ifconfig carp0 advskew 0",
    "ifconfig carp1 pass another",
    "ifconfig carp1 pass secret",
    "ifconfig carp0 down",
    "ifconfig carp0 up",
    "ifconfig em0 down",
    "ifconfig em0 up",
    "ifconfig em1 down",
    "ifconfig em1 up",
    "ifconfig carp0 carpdev em1",
    "ifconfig carp0 carpdev em0",
    "ifconfig carp0 -carpdev",
    "ifconfig em0 vhid 9 pass secret 10.0.0.9/32",
    "ifconfig em0 10.0.0.9 -alias",
    "ifconfig carp0 state master",
    "ifconfig carp0 state backup",
    "ifconfig em0 inet6 2001:db8::2/64",
    "ifconfig carp0 inet6 2001:db8::1/64",
    "ifconfig carp0 inet6 2001:db8::1 -alias",
    "ifconfig em1 10.1.0.254/24 alias",
    "ifconfig em1 10.1.0.254 -alias",
    "ifconfig -g carp carpdemote 1",
    "ifconfig -g carp -carpdemote 1",
    "sysctl net.inet.carp.preempt=1",
    "sysctl net.inet.carp.arpbalance=1",
];

/// What a life ends with, whatever it was: nothing is left of it.
const DEATH: [&str; 12] = [
    "ifconfig carp0 destroy",
    "ifconfig carp1 destroy",
    "ifconfig em0 10.0.0.9 -alias",
    "ifconfig em1 10.1.0.254 -alias",
    "ifconfig em0 inet6 2001:db8::2 -alias",
    "ifconfig em0 inet6 fe80::ff:fe00:0 -alias",
    "ifconfig em0 up",
    "ifconfig em1 up",
    "ifconfig -g carp -carpdemote 1",
    "sysctl net.inet.carp.preempt=0",
    "sysctl net.inet.carp.arpbalance=0",
    "sysctl net.inet.carp.log=0",
];

/// How much happens in one life: few enough that under a flood there are many
/// lives too, after which memory can be compared.
const DEEDS_IN_A_LIFE: usize = 10;

/// One of so many lives loses a card.
const CARD_DIES: u64 = 16;

pub(super) struct Config {
    rng: ChaCha8Rng,
    lives: u64,
    done: u64,
    refused: u64,
}

impl Config {
    pub(super) fn new(seed: u64) -> Config {
        Config { rng: ChaCha8Rng::seed_from_u64(seed), lives: 0, done: 0, refused: 0 }
    }

    /// Two cards with an address each.
    pub(super) fn begin(&mut self, runtime: &Runtime, cable: &mut Cable) {
        self.line(runtime, "sysctl net.inet.carp.log=0");
        self.plug(runtime, cable, 0);
        self.plug(runtime, cable, 1);
    }

    fn plug(&mut self, runtime: &Runtime, cable: &mut Cable, n: u8) {
        let name = IfName::new(&format!("em{n}")).expect("a name");
        runtime.attach(cable.card(name, n, runtime.ncpus())).expect("a card's place");
        assert!(self.line(runtime, &format!("ifconfig em{n} 10.{n}.0.254/24")), "em{n} has no address");
        assert!(
            self.line(runtime, &format!("ifconfig em{n} 10.{n}.0.253/24 alias")),
            "em{n} has no second one"
        );
    }

    /// Carp interfaces come, change some times, and go.
    pub(super) fn one_life(&mut self, runtime: &Runtime, cable: &mut Cable, beat: &AtomicU64) {
        cable.pace(Pace::ALL[self.lives as usize % Pace::ALL.len()]);
        self.lives += 1;
        for line in BIRTH {
            self.line(runtime, line);
        }
        for _ in 0..DEEDS_IN_A_LIFE {
            let line = DEEDS[self.rng.next_u32() as usize % DEEDS.len()];
            self.line(runtime, line);
            beat.fetch_add(1, Ordering::Relaxed);
        }
        if self.lives.is_multiple_of(CARD_DIES) {
            cable.kill(IfName::new("em1").expect("a name"));
            // It is gone once it is not found any more.
            while self.line(runtime, "ifconfig em1") {
                std::thread::yield_now();
            }
            self.plug(runtime, cable, 1);
        }
        for line in DEATH {
            self.line(runtime, line);
        }
        for (n, host) in [(0, 254), (0, 253), (1, 254), (1, 253)] {
            self.line(runtime, &format!("ifconfig em{n} 10.{n}.0.{host}/24 alias"));
        }
    }

    /// Whether the command succeeded.
    fn line(&mut self, runtime: &Runtime, line: &str) -> bool {
        let argv: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let (name, _) = line.split_once(' ').expect("a program and its words");
        let run = program(name).expect("a program that there is");
        let ok = run(&argv, &mut Here(runtime), &mut std::io::sink(), &mut std::io::sink()) == 0;
        *if ok { &mut self.done } else { &mut self.refused } += 1;
        ok
    }

    pub(super) fn changes(&self) -> u64 {
        self.done + self.refused
    }

    pub(super) fn summary(&self) -> String {
        format!("{} lives, {} command lines done, {} refused", self.lives, self.done, self.refused)
    }
}

/// The machine in this process.
struct Here<'a>(&'a Runtime);

impl Syscalls for Here<'_> {
    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        Ok(self.0.syscall(Cred { privileged: true }, request.clone()))
    }
}
