//! The event socket of a machine on threads: what its carp interfaces do, told
//! to whoever reads, who can hold up nobody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use tests::lab::{self, Lab, N1, N2, Needs, Netisrd, PATIENCE, Proc, binary, on_tap, virtual_host};

/// Changes that are more than a reader's socket and its place in netisrd hold.
const CHANGES: usize = 400;

fn stage(body: impl FnOnce(&Lab, Netisrd)) {
    lab::run(Needs::namespaces().taps(), |lab| {
        lab.bridge("br0");
        let machine = on_tap(lab, "m1", "em1@br0", N1);
        machine.sysctl("net.inet.carp.preempt=1");
        machine.carp("carp0", &virtual_host(0));
        machine.wait_master("carp0");
        body(lab, machine);
    });
}

fn path(machine: &Netisrd) -> PathBuf {
    machine.tools.sock().with_file_name(format!("{}-events.sock", machine.name))
}

/// A reader of the event socket.
struct Reader(BufReader<UnixStream>);

impl Reader {
    fn of(machine: &Netisrd) -> Reader {
        let stream = UnixStream::connect(path(machine)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Reader(BufReader::new(stream))
    }

    /// The next event; `None` at the end.
    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        let n = self.0.read_line(&mut line).expect("an event, or the end");
        (n > 0).then(|| serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}")))
    }

    /// The next event of a kind.
    fn wait(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next().unwrap_or_else(|| panic!("the end, and no {kind}"));
            if event["event"] == kind {
                return event;
            }
        }
    }

    /// The next transition: interface, vhid, old state, new one, reason,
    /// addresses.
    fn transition(&mut self) -> String {
        let t = self.wait("transition");
        let text = |key: &str| t[key].as_str().unwrap().to_owned();
        let addresses: Vec<&str> =
            t["addresses"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
        format!(
            "{} {} {} {} {} {}",
            text("interface"),
            t["vhid"],
            text("old"),
            text("new"),
            text("reason"),
            addresses.join(",")
        )
    }
}

#[test]
fn a_takeover_is_told_with_its_reason_and_the_end_of_the_machine_too() {
    stage(|lab, m1| {
        let m2 = on_tap(lab, "m2", "em2@br0", N2);
        m2.carp("carp0", &virtual_host(100));
        m2.wait_backup("carp0");
        // Its peer was heard before it can have been BACKUP for long.
        m2.wait_stats("advertisement", |s| s.ipackets > 0);
        let (mut at1, mut at2) = (Reader::of(&m1), Reader::of(&m2));
        for (reader, state, parent) in [(&mut at1, "MASTER", "em1"), (&mut at2, "BACKUP", "em2")] {
            let snapshot = reader.next().unwrap();
            assert_eq!((&snapshot["event"], &snapshot["demotion"]), (&"snapshot".into(), &0.into()));
            let all = snapshot["interfaces"].as_array().unwrap();
            assert_eq!(all.len(), 1);
            let carp0 = &all[0];
            assert_eq!(carp0["interface"], "carp0");
            assert_eq!((&carp0["vhid"], &carp0["state"]), (&1.into(), &state.into()));
            assert_eq!(
                (&carp0["parent"], &carp0["addresses"][0]),
                (&parent.into(), &"10.77.0.100/24".into())
            );
            let peers = carp0["peers"].as_array().unwrap();
            match state {
                "MASTER" => assert!(peers.is_empty(), "{peers:?}"),
                _ => assert_eq!((peers.len(), &peers[0]["address"]), (1, &N1.to_string().into())),
            }
        }

        // A planned one: the MASTER takes its leave.
        m1.signal(Signal::SIGTERM);
        assert_eq!(at1.transition(), "carp0 1 MASTER INIT halted 10.77.0.100/24");
        let gone = at1.wait("destroyed");
        assert_eq!((&gone["interface"], &gone["vhid"]), (&"carp0".into(), &1.into()));
        assert_eq!(at1.next(), None);
        assert_eq!(at2.transition(), "carp0 1 BACKUP MASTER master-left 10.77.0.100/24");

        // A better one comes, once the card is free, and dies.
        m1.wait_exit();
        let m1 = on_tap(lab, "m1b", "em1@br0", N1);
        m1.carp("carp0", &virtual_host(0));
        let demoted = |n: &str| m2.sysctl(&format!("net.inet.carp.demotion={n}"));
        demoted("200");
        assert_eq!(at2.wait("demotion")["demotion"], 200);
        m1.sysctl("net.inet.carp.preempt=1");
        assert_eq!(at2.transition(), "carp0 1 MASTER BACKUP better-master 10.77.0.100/24");
        m1.proc.kill();
        assert_eq!(at2.transition(), "carp0 1 BACKUP MASTER master-timed-out 10.77.0.100/24");
    });
}

#[test]
fn what_an_administrator_does_is_told_with_that_reason() {
    stage(|_, machine| {
        let mut reader = Reader::of(&machine);
        reader.wait("snapshot");
        machine.ifconfig("carp0 vhid 1 pass secret state backup").ok();
        assert_eq!(reader.transition(), "carp0 1 MASTER BACKUP administrator 10.77.0.100/24");
        // It was told to, and not to stay so.
        assert_eq!(reader.transition(), "carp0 1 BACKUP MASTER master-timed-out 10.77.0.100/24");
        machine.ifconfig("carp0 down").ok();
        assert_eq!(reader.transition(), "carp0 1 MASTER INIT down 10.77.0.100/24");
        machine.ifconfig("carp0 up").ok();
        assert_eq!(reader.transition(), "carp0 1 INIT MASTER preempting 10.77.0.100/24");
        machine.ifconfig("carp0 10.77.0.100 -alias").ok();
        assert_eq!(reader.transition(), "carp0 1 MASTER INIT no-address 10.77.0.100/24");
        assert_eq!(reader.wait("configured")["addresses"], Value::Array(Vec::new()));
        machine.ifconfig("carp0 vhid 7 pass other 10.77.0.101/24").ok();
        assert_eq!(reader.transition(), "carp0 7 INIT MASTER preempting 10.77.0.101/24");
        machine.ifconfig("carp9 create").ok();
        assert_eq!(reader.wait("created")["interface"], "carp9");
        machine.ifconfig("carp0 destroy").ok();
        assert_eq!(reader.transition(), "carp0 7 MASTER INIT destroyed 10.77.0.101/24");
        assert_eq!(reader.wait("destroyed")["interface"], "carp0");
        // In FreeBSD's model the interface is the one that carries the vhid.
        machine.ifconfig("em1 vhid 3 pass secret 10.77.0.103/32").ok();
        assert_eq!(reader.transition(), "em1 3 INIT MASTER preempting 10.77.0.103/32");
    });
}

#[test]
fn a_reader_that_sleeps_holds_up_nobody_and_learns_what_it_has_missed() {
    stage(|_, machine| {
        // So that a change is long.
        for n in 0..60 {
            machine.ifconfig(&format!("carp0 10.77.1.{n}/24 alias")).ok();
        }
        let (mut asleep, mut awake) = (Reader::of(&machine), Reader::of(&machine));
        let first = awake.next();
        for n in 0..CHANGES {
            machine.ifconfig(&format!("carp0 vhid 1 pass secret advskew {}", 1 + n % 2)).ok();
            assert_eq!(awake.wait("configured")["advskew"], 1 + n % 2);
        }
        machine.ifconfig("carp9 create").ok();
        awake.wait("created");
        assert_eq!(machine.state("carp0"), "MASTER");

        assert_eq!(asleep.next().unwrap()["demotion"], first.unwrap()["demotion"]);
        let mut heard = 0;
        let missed = loop {
            let event = asleep.next().unwrap();
            if event["event"] == "missed" {
                break event["missed"].as_u64().unwrap();
            }
            heard += 1;
        };
        assert!(heard > 0 && missed > 0);
        assert_eq!(heard + missed, CHANGES as u64 + 1);
        // And how things are now.
        let now = asleep.next().unwrap();
        assert_eq!((&now["event"], now["interfaces"].as_array().unwrap().len()), (&"snapshot".into(), 2));
        machine.ifconfig("carp9 destroy").ok();
        assert_eq!(asleep.wait("destroyed")["interface"], "carp9");
    });
}

#[test]
fn the_socket_is_for_all_to_read_and_for_nobody_to_speak() {
    stage(|lab, machine| {
        assert_eq!(fs::metadata(path(&machine)).unwrap().permissions().mode() & 0o777, 0o666);
        let mut speaks = Reader::of(&machine);
        speaks.wait("snapshot");
        speaks.0.get_mut().write_all(b"x").unwrap();
        assert_eq!(speaks.next(), None);

        let mut command = Command::new(binary("route-carp"));
        command.args(["monitor", "--json"]).env("NETISRD_SOCK", machine.tools.sock());
        let monitor = Proc::spawn("monitor", None, command);
        let line = |what: &str| monitor.log.wait_line(0, what, PATIENCE, |l| l.contains(what));
        line("{\"event\":\"snapshot\"");
        machine.ifconfig("carp0 down").ok();
        line("\"old\":\"MASTER\",\"new\":\"INIT\",\"reason\":\"down\"");

        // A second machine does not take the socket of a living one.
        let second = lab.netisrd("second").args(&["--events", path(&machine).to_str().unwrap()]).spawn();
        assert_eq!(second.wait_exit().code(), Some(1));
        let said = second.proc.log.lines();
        assert!(said.len() == 1 && said[0].ends_with("m1-events.sock: another netisrd is listening"));

        machine.signal(Signal::SIGTERM);
        assert_eq!(monitor.wait_exit(PATIENCE).code(), Some(1));
        assert!(monitor.log.lines().iter().any(|l| l == "route-carp: event socket: netisrd hung up"));
        machine.wait_exit();
        assert!(!path(&machine).exists());
    });
}
