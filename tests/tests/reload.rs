//! Reloads of a machine beside the host: what it must not lose by one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::lab::{self, Control, Lab, N1, Needs, Netisrd, PATIENCE, Proc, Said, VIP, binary};

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn file(lab: &Lab, text: &str) -> PathBuf {
    let path = lab.dir().join("netisrd.conf");
    write(&path, text);
    path
}

fn reload(machine: &Netisrd) -> String {
    let mut command = Command::new(binary("netisrd"));
    command.arg("reload").arg("-S").arg(machine.tools.sock());
    Said::by(None, command).ok()
}

#[test]
fn an_address_that_the_host_and_the_file_have_goes_when_neither_has_it() {
    lab::run(Needs::namespaces(), |lab| {
        lab.bridge("br0");
        lab.host("a", "br0", &format!("{N1}/24"));
        let without = format!(
            "net.inet.carp.log=2\nnet.inet.carp.preempt=1\nnetisrd_interfaces=v0\ncloned_interfaces=carp0\n\
             ifconfig_carp0='vhid 1 pass secret {VIP}/24'\n"
        );
        let with = format!("{without}ifconfig_v0='{N1}/24'\n");
        let path = file(lab, &with);
        let args = ["-f", path.to_str().unwrap()];
        let old = lab.netisrd("old").netns("a").args(&args).start();
        old.wait_master("carp0");
        let has = |machine: &Netisrd| machine.ifconfig("v0").ok().contains(&format!("inet {N1} "));

        // Whoever has it no more, the other one has.
        let took = format!("ifconfig v0 {N1} -alias\n");
        let log = old.proc.log.len();
        write(&path, &without);
        assert_eq!(reload(&old), took);
        assert!(has(&old));
        write(&path, &with);
        assert_eq!(reload(&old), format!("ifconfig v0 {N1}/24 alias\n"));
        assert_eq!(old.state("carp0"), "MASTER");
        assert!(!old.proc.log.since(log).iter().any(|l| l.contains(" -> ")));

        // Another process knows whose it is too.
        let new = lab.netisrd("new").netns("a").sock(old.tools.sock()).args(&args);
        let new = new.args(&["--takeover"]).spawn();
        new.wait_ready();
        old.wait_exit();
        let (mark, host) = (new.proc.log.len(), format!("addr del {N1}/24 dev v0"));
        lab.ip_in(Some("a"), &host);
        new.proc.log.wait_line(mark, "the host lost it", PATIENCE, |l| l.contains("v0: the host lost"));
        assert!(has(&new) && new.state("carp0") == "MASTER");
        lab.ip_in(Some("a"), &host.replace("del", "add"));
        new.proc.log.wait_line(mark, "the host has it", PATIENCE, |l| l.contains("v0: the host has"));
        write(&path, &without);
        assert_eq!(reload(&new), took);
        assert!(has(&new) && new.state("carp0") == "MASTER");

        // What is the host's alone is not for us to take away.
        let refused = new.ifconfig(&format!("v0 {N1} -alias"));
        assert!(refused.stderr.contains("SIOCDIFADDR: Can't assign requested address"), "{refused:?}");
        lab.ip_in(Some("a"), &host);
        new.wait_state("carp0", "INIT", PATIENCE);
        assert!(!has(&new));
    });
}

/// A machine with so many virtual hosts that to try its file takes a while.
const MANY: u8 = 250;

#[test]
fn while_a_file_is_tried_the_main_thread_serves_everybody_else() {
    lab::run(Needs::namespaces().taps(), |lab| {
        let mut text = String::from("netisrd_taps=em0\nifconfig_em0='10.77.0.254/24'\n");
        for n in 0..MANY {
            text += &format!("ifconfig_em0_alias{n}='vhid {} pass secret 10.77.0.{}/32'\n", n + 1, n + 1);
        }
        let path = file(lab, &text);
        let us = lab.netisrd("us").args(&["-f", path.to_str().unwrap()]).spawn();
        us.wait_ready();
        write(&path, &text.replace("vhid 7 pass", "vhid 7 advskew 3 pass"));
        let [asks, reads] = [(); 2].map(|()| Control::connect(us.tools.sock()));
        asks.send(&Control::request(1, 4, 0, b"", b"")).unwrap();
        let mut served = 0;
        while !asks.is_readable() {
            reads.send(&Control::sysctl("net.inet.carp.preempt")).unwrap();
            assert_eq!(reads.reply(), Some(0));
            served += 1;
        }
        assert!(served > 3, "{served}");
        assert_eq!(asks.reply(), Some(0));
        assert!(us.ifconfig("em0").ok().contains("vhid 7 advbase 1 advskew 3"));
    });
}

#[test]
fn while_hundreds_come_and_go_those_that_are_there_are_served() {
    lab::run(Needs::namespaces(), |lab| {
        lab.bridge("br0");
        lab.host("a", "br0", "10.77.0.1/16");
        let text = |many: u8| {
            let mut text =
                String::from("net.inet.carp.log=2\nnet.inet.carp.preempt=1\nnetisrd_interfaces=v0\n");
            let names: Vec<_> = (1..=many).map(|n| format!("carp{n}")).collect();
            text += &format!("cloned_interfaces='{}'\n", names.join(" "));
            for n in 1..=many {
                text += &format!("ifconfig_carp{n}='vhid {n} pass secret 10.77.1.{n}/16'\n");
            }
            text
        };
        let path = file(lab, &text(MANY));
        let mut command = Command::new("ip");
        command.args(["-o", "monitor", "address"]);
        let addresses = Proc::spawn("addresses", Some("a"), command);
        let machine = lab.netisrd("on-a").netns("a").args(&["-f", path.to_str().unwrap()]).spawn();
        machine.wait_ready();
        addresses.log.wait_line(0, "the last one", PATIENCE, |l| l.contains(&format!(" 10.77.1.{MANY}/")));
        let others = |l: &String| l.contains("MASTER -> ") || l.contains("no virtual address is served");
        let log = machine.proc.log.lines();
        assert!(!log.iter().any(others), "{log:#?}");
        write(&path, &text(3));
        reload(&machine);
        assert_eq!((1..=3).map(|n| machine.state(&format!("carp{n}"))).collect::<Vec<_>>(), ["MASTER"; 3]);
        let is_one = |l: &str| (1..=3).any(|n| l.contains(&format!(" 10.77.1.{n}/")));
        let gone = |l: &String| l.starts_with("Deleted") && is_one(l);
        let log = addresses.log.lines();
        assert!(!log.iter().any(gone), "{:?}", log.iter().filter(|l| is_one(l)).collect::<Vec<_>>());
    });
}
