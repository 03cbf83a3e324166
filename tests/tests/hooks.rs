//! The programs that netisrd runs on transitions. What they say is in its log,
//! in order, and that is what is read here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tests::lab::{self, Lab, N1, N2, Needs, Netisrd, PATIENCE, Proc, binary, command, on_tap, virtual_host};

/// A folder for programs in the laboratory, and `name: what it says` of them.
struct Hooks(PathBuf);

impl Hooks {
    fn new(lab: &Lab) -> Hooks {
        let dir = lab.dir().join("carp.d");
        fs::create_dir(&dir).unwrap();
        Hooks(dir)
    }

    fn put(&self, name: &str, script: &str) {
        let path = self.0.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }

    /// A machine on `em1` that runs them.
    fn machine(&self, lab: &Lab, args: &[&str]) -> Netisrd {
        let dir = self.0.to_str().unwrap();
        let machine = lab.netisrd("m1").tap("em1@br0").args(&["--hooks", dir]).args(args).start();
        machine.ifconfig(&format!("em1 {N1}/24")).ok();
        machine.sysctl("net.inet.carp.log=0");
        machine
    }
}

fn stage(body: impl FnOnce(&Lab, Hooks)) {
    lab::run(Needs::namespaces().taps(), |lab| {
        lab.bridge("br0");
        body(lab, Hooks::new(lab));
    });
}

/// What the programs have said, and what has been said of them, without time
/// and level.
fn said(machine: &Netisrd) -> Vec<String> {
    let lines = machine.proc.log.lines();
    let of_hooks = lines.iter().filter_map(|l| l.find(" hook").map(|at| l[at + 1..].to_owned()));
    of_hooks.collect()
}

fn wait(machine: &Netisrd, from: usize, what: &str) -> usize {
    machine.proc.log.wait_line(from, what, PATIENCE, |l| l.contains(what))
}

#[test]
fn programs_run_in_the_order_of_their_names_and_know_what_has_happened() {
    stage(|lab, hooks| {
        hooks.put("10-words", "echo \"$@\"");
        hooks.put("20-fails", "echo it fails >&2; exit 3");
        hooks.put(
            "30-env",
            "env | grep '^CARP_[A-SU-Z]' | sort | tr '\\n' ' '; pwd; echo; echo; echo ${#CARP_TIME}",
        );
        hooks.put("40-open", "echo never");
        fs::set_permissions(hooks.0.join("40-open"), Permissions::from_mode(0o777)).unwrap();
        let m1 = hooks.machine(lab, &[]);
        let m2 = on_tap(lab, "m2", "em2@br0", N2);
        m2.carp("carp0", &virtual_host(0));
        m2.wait_master("carp0");
        m1.carp("carp0", &virtual_host(100));
        let end = wait(&m1, 0, "hook 30-env: 27");
        m2.proc.kill();
        wait(&m1, end + 1, "hook 30-env: 27");
        let env = |old: &str, new: &str, reason: &str| {
            format!(
                "hook 30-env: CARP_ADDRESSES=10.77.0.100/24 CARP_INTERFACE=carp0 CARP_MISSED=0 \
                 CARP_OLD_STATE={old} CARP_PARENT=em1 CARP_REASON={reason} CARP_STATE={new} CARP_VHID=1 /"
            )
        };
        let expected = [
            format!("hooks: {}/40-open: writable by its group or by all: skipped", hooks.0.display()),
            "hook 10-words: 1@em1 BACKUP carp0 INIT started 10.77.0.100/24".into(),
            "hook 20-fails: it fails".into(),
            "hook 20-fails, 1@em1 BACKUP: exit status: 3".into(),
            env("INIT", "BACKUP", "started"),
            "hook 30-env: 27".into(),
            "hook 10-words: 1@em1 MASTER carp0 BACKUP master-timed-out 10.77.0.100/24".into(),
            "hook 20-fails: it fails".into(),
            "hook 20-fails, 1@em1 MASTER: exit status: 3".into(),
            env("BACKUP", "MASTER", "master-timed-out"),
            "hook 30-env: 27".into(),
        ];
        assert_eq!(said(&m1), expected);

        // It says good-bye, and they hear of it before the end.
        let mark = said(&m1).len();
        m1.signal(Signal::SIGTERM);
        assert_eq!(m1.wait_exit().code(), Some(0));
        assert_eq!(said(&m1)[mark], "hook 10-words: 1@em1 INIT carp0 MASTER halted 10.77.0.100/24");
        assert_eq!(said(&m1).last().unwrap(), "hook 30-env: 27");
    });
}

#[test]
fn programs_hear_of_the_transitions_that_a_configuration_makes_at_the_start() {
    stage(|lab, hooks| {
        hooks.put("10-words", "echo \"$@\"");
        let conf = lab.dir().join("netisrd.conf");
        let lines = "net.inet.carp.preempt=1\ncloned_interfaces=\"carp0\"\n\
                     ifconfig_em1=\"10.77.0.1/24\"\nifconfig_carp0=\"vhid 1 10.77.0.100/24\"\n";
        fs::write(&conf, lines).unwrap();
        fs::set_permissions(&conf, Permissions::from_mode(0o600)).unwrap();
        let args = ["--hooks", hooks.0.to_str().unwrap(), "-f", conf.to_str().unwrap()];
        let m1 = lab.netisrd("m1").tap("em1@br0").args(&args).start();
        wait(&m1, 0, "hook 10-words: 1@em1 MASTER carp0 ");
        assert_eq!(said(&m1), ["hook 10-words: 1@em1 MASTER carp0 INIT preempting 10.77.0.100/24"]);
    });
}

#[test]
fn what_is_no_program_is_told_before_the_first_transition() {
    stage(|lab, hooks| {
        hooks.put("10-notify.sh", "echo never");
        let m1 = hooks.machine(lab, &[]);
        wait(&m1, 0, "10-notify.sh: not called NN-NAME, of letters, digits, _ and -: skipped");
    });
}

#[test]
fn a_folder_that_was_asked_for_must_be_there() {
    stage(|lab, hooks| {
        let missing = hooks.0.join("missing");
        let m1 = lab.netisrd("m1").args(&["--hooks", missing.to_str().unwrap()]).spawn();
        assert_eq!(m1.wait_exit().code(), Some(1));
        let error = format!("netisrd: hooks {}: No such file or directory (os error 2)", missing.display());
        assert_eq!(m1.proc.log.lines(), [error]);
    });
}

#[test]
fn a_program_has_no_descriptor_of_netisrds_and_neither_has_what_runs_it() {
    stage(|lab, hooks| {
        let host = lab.host("n1", "br0", "10.77.0.1/24");
        hooks.put("10-its", "ls -l /proc/$$/fd");
        hooks.put("20-runners", "ls -l /proc/$PPID/fd; echo end");
        let dir = hooks.0.to_str().unwrap();
        let args = ["--hooks", dir, "--http", "0", "--tap", "em1"];
        let m1 = lab.netisrd("m1").netns(&host.ns).iface("v0").args(&args).start();
        m1.carp("carp0", &virtual_host(0));
        wait(&m1, 0, "hook 20-runners: end");
        let fds = fs::read_dir(format!("/proc/{}/fd", m1.proc.pid())).unwrap();
        let netisrds: Vec<String> =
            fds.map(|fd| fs::read_link(fd.unwrap().path()).unwrap().to_str().unwrap().to_owned()).collect();
        // Whoever started the tests may have left it some.
        let count =
            |of: &str, what: &str| said(&m1).iter().filter(|l| l.starts_with(of) && l.contains(what)).count();
        assert!(count("hook 10-its: ", " -> ") >= 3);
        for what in ["socket:", "anon_inode:", "/dev/net/tun", ".lock"] {
            assert!(netisrds.iter().any(|fd| fd.contains(what)), "{what}: {netisrds:?}");
            assert_eq!(count("hook 10-its: ", what), 0, "{what}");
        }
        for what in ["anon_inode:", "/dev/net/tun", ".lock"] {
            assert_eq!(count("hook 20-runners: ", what), 0, "{what}");
        }
        // Their end of the one that they talk by, twice, and its duplicate for the thread.
        assert!((1..=3).contains(&count("hook 20-runners: ", "socket:")), "{:#?}", said(&m1));
    });
}

#[test]
fn the_default_folder_may_come_after_the_start() {
    stage(|lab, _| {
        lab.mount_tmpfs(Path::new("/etc"), "1m");
        let m1 = lab.netisrd("m1").default_hooks().tap("em1@br0").start();
        m1.ifconfig(&format!("em1 {N1}/24")).ok();
        m1.sysctl("net.inet.carp.preempt=1");
        m1.carp("carp0", &virtual_host(0));
        m1.wait_master("carp0");
        let hooks = Hooks(PathBuf::from("/etc/netisrd/carp.d"));
        fs::create_dir_all(&hooks.0).unwrap();
        hooks.put("10-words", "echo \"$@\"");
        m1.ifconfig("carp0 down").ok();
        wait(&m1, 0, "hook 10-words: 1@em1 INIT carp0 MASTER down");
        assert!(!m1.proc.log.lines().iter().any(|l| l.contains("ERROR")), "{:?}", m1.proc.log.lines());
    });
}

/// The process that runs the programs of a machine.
fn runner(machine: &Netisrd) -> Pid {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", machine.proc.pid())).unwrap();
    let mut all = children.split_whitespace();
    let one = Pid::from_raw(all.next().expect("a child").parse().unwrap());
    assert_eq!(all.next(), None, "{children}");
    one
}

/// Transitions on which nothing was run.
fn missed(machine: &Netisrd) -> u32 {
    let listens = wait(machine, 0, "http: listening on ");
    let line = machine.proc.log.lines().swap_remove(listens);
    let mut page = TcpStream::connect(line.split_whitespace().last().unwrap()).unwrap();
    page.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut metrics = String::new();
    page.read_to_string(&mut metrics).unwrap();
    let n = metrics.lines().find_map(|l| l.strip_prefix("netisrd_hooks_missed_transitions_total "));
    n.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{metrics}"))
}

#[test]
fn without_their_runner_the_machine_goes_on_says_so_and_counts_what_is_missed() {
    stage(|lab, hooks| {
        hooks.put("10-words", "echo \"$@\"");
        let m1 = hooks.machine(lab, &["--http", "0"]);
        m1.sysctl("net.inet.carp.preempt=1");
        m1.carp("carp0", &virtual_host(0));
        let ran = wait(&m1, 0, "hook 10-words: 1@em1 MASTER carp0 INIT preempting 10.77.0.100/24");
        kill(runner(&m1), Signal::SIGKILL).unwrap();
        wait(
            &m1,
            ran,
            "hooks: their runner is gone (signal: 9 (SIGKILL)): from now on transitions are missed",
        );
        let before = missed(&m1);
        m1.ifconfig("carp0 down").ok();
        m1.ifconfig("carp0 up").ok();
        assert_eq!(m1.state("carp0"), "MASTER");
        assert_eq!(missed(&m1), before + 2);
        m1.signal(Signal::SIGTERM);
        assert_eq!(m1.wait_exit().code(), Some(0));
        let gone = "hooks: their runner is gone (signal: 9 (SIGKILL)): from now on transitions are missed";
        assert_eq!(said(&m1).last().unwrap(), gone);
    });
}

#[test]
fn the_runner_ends_with_netisrd_and_ends_a_program_whose_time_is_over() {
    stage(|lab, hooks| {
        let fifo = lab.dir().join("held");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        // It ends once nobody has it open for writing any more.
        let holders = Proc::spawn("holders", None, command(&format!("cat {}", fifo.display())));
        hooks.put(
            "10-hangs",
            &format!("exec 9<>{}; trap '' TERM; echo hangs; sleep 1000 & wait", fifo.display()),
        );
        let m1 = hooks.machine(lab, &["--hook-time", "1"]);
        m1.carp("carp0", &virtual_host(0));
        wait(&m1, 0, "hook 10-hangs: hangs");
        let runner = runner(&m1);
        // A signal that is meant for all does not stop it.
        kill(runner, Signal::SIGTERM).unwrap();
        m1.signal(Signal::SIGKILL);
        // And the end of its output, which the runner has too.
        m1.wait_exit();
        holders.wait_exit(PATIENCE);
        assert_eq!(
            said(&m1).last().unwrap(),
            "hook 10-hangs, 1@em1 BACKUP: its time was over, and it was ended: signal: 9 (SIGKILL)"
        );
    });
}

#[test]
fn a_program_that_hangs_is_ended_with_all_its_children_and_holds_up_no_master() {
    stage(|lab, hooks| {
        let (fifo, once) = (lab.dir().join("held"), lab.dir().join("once"));
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        // It ends once nobody has it open for writing any more.
        let holders = Proc::spawn("holders", None, command(&format!("cat {}", fifo.display())));
        let first = format!("mkdir {}", once.display());
        // Neither of the two hears TERM, and both hold the fifo.
        let hang = "trap '' TERM; echo hangs; sleep 1000 & wait; wait";
        hooks.put(
            "10-hangs",
            &format!("{first}-10 2>/dev/null || exit 0; exec 9<>{}; {hang}", fifo.display()),
        );
        let slow = "trap 'echo told to end; exit 1' TERM; sleep 1000 & wait";
        hooks.put("20-slow", &format!("{first}-20 2>/dev/null || exit 0; {slow}"));
        hooks.put("30-words", "echo \"$@\"");
        let m1 = hooks.machine(lab, &["--hook-time", "1"]);
        m1.sysctl("net.inet.carp.preempt=1");
        m1.carp("carp0", &virtual_host(0));
        let from = wait(&m1, 0, "hook 10-hangs: hangs");
        // Meanwhile it is MASTER, and can be reconfigured.
        assert_eq!(m1.state("carp0"), "MASTER");
        let sent = m1.stats().opackets;
        m1.wait_stats("advertisement", |s| s.opackets > sent);
        m1.ifconfig("carp0 down").ok();
        m1.ifconfig("carp0 up").ok();
        assert_eq!(m1.state("carp0"), "MASTER");
        let ended =
            wait(&m1, from, "hook 10-hangs, 1@em1 MASTER: its time was over, and it was ended: signal: 9");
        let told = wait(&m1, ended, "hook 20-slow: told to end");
        let slow = wait(
            &m1,
            told,
            "hook 20-slow, 1@em1 MASTER: its time was over, and it was ended: exit status: 1",
        );
        let up = wait(&m1, slow, "hook 30-words: 1@em1 MASTER carp0 INIT preempting 10.77.0.100/24");
        // The others are not forgotten.
        let down = wait(&m1, up, "hook 30-words: 1@em1 INIT carp0 MASTER down 10.77.0.100/24");
        wait(&m1, down, "hook 30-words: 1@em1 MASTER carp0 INIT preempting 10.77.0.100/24");
        holders.wait_exit(PATIENCE);
    });
}

#[test]
fn transitions_that_are_too_many_are_missed_and_the_next_program_knows_how_many() {
    const DOWN_AND_UP: usize = 200;
    stage(|lab, hooks| {
        let gate = lab.dir().join("gate");
        mkfifo(&gate, Mode::S_IRWXU).unwrap();
        let held = format!(
            "[ -p {0} ] && {{ echo waits; cat {0}; rm {0}; }}; echo missed $CARP_MISSED",
            gate.display()
        );
        hooks.put("10-waits", &held);
        let m1 = hooks.machine(lab, &["--hook-time", "3600"]);
        m1.sysctl("net.inet.carp.preempt=1");
        m1.carp("carp0", &virtual_host(0));
        let from = wait(&m1, 0, "hook 10-waits: waits");
        for _ in 0..DOWN_AND_UP {
            m1.ifconfig("carp0 down").ok();
            m1.ifconfig("carp0 up").ok();
        }
        wait(&m1, from, "hooks: behind by 256 transitions; some are missed");
        fs::write(&gate, "").unwrap();
        // The first, and those that had a place.
        let ran = |m: &Netisrd| said(m).iter().filter(|l| *l == "hook 10-waits: missed 0").count();
        let mut mark = from;
        while ran(&m1) < 257 {
            mark = wait(&m1, mark, "hook 10-waits: missed 0") + 1;
        }
        m1.ifconfig("carp0 down").ok();
        wait(&m1, mark, &format!("hook 10-waits: missed {}", 2 * DOWN_AND_UP - 256));
        assert_eq!(ran(&m1), 257);
    });
}

#[test]
fn a_program_that_asks_netisrd_while_it_halts_is_told_at_once_that_nobody_listens() {
    stage(|lab, hooks| {
        let (http, curl) = ("127.0.0.1:9112", "exec 3<>/dev/tcp/127.0.0.1/9112 && cat <&3");
        let ask =
            |how: &str| format!("[ \"$CARP_REASON\" = halted ] || exit 0; {how} 2>&1; echo answered $?");
        let (of, sock) = (|program| binary(program).display().to_string(), lab.dir().join("m1"));
        let sock = sock.display();
        hooks.put("10-control", &ask(&format!("{} -S {sock}.sock carp0", of("ifconfig-carp"))));
        let monitor = format!("{} monitor --json {sock}-events.sock", of("route-carp"));
        hooks.put("20-events", &ask(&monitor));
        hooks.put("30-http", &ask(&format!("bash -c '{curl}'")));
        let m1 = hooks.machine(lab, &["--hook-time", "3600", "--http", http]);
        m1.sysctl("net.inet.carp.preempt=1");
        m1.carp("carp0", &virtual_host(0));
        m1.wait_master("carp0");
        m1.signal(Signal::SIGTERM);
        assert_eq!(m1.wait_exit().code(), Some(0));
        let answered = said(&m1).iter().filter(|l| l.ends_with(": answered 1")).count();
        assert_eq!(answered, 3, "{:#?}", said(&m1));
    });
}

#[test]
fn programs_of_a_new_netisrd_begin_when_those_of_the_old_one_have_ended() {
    stage(|lab, hooks| {
        let (order, gate) = (lab.dir().join("order"), lab.dir().join("gate"));
        mkfifo(&gate, Mode::S_IRWXU).unwrap();
        let script = format!(
            "for is in begins ends; do\n echo $2 $is >>{}\n echo $2 $is\n test $2$is = MASTERbegins && read x <{}\ndone; true",
            order.display(),
            gate.display()
        );
        hooks.put("10-order", &script);
        let time = ["--hook-time", "60"];
        let old = hooks.machine(lab, &time);
        old.carp("carp0", &virtual_host(0));
        wait(&old, 0, "MASTER begins");
        let takes_over = |name: &str, old: &Netisrd| {
            let new = lab.netisrd(name).tap("em1@br0").args(&["--hooks", hooks.0.to_str().unwrap()]);
            let new = new.args(&time).takeover(old).spawn();
            new.wait_ready();
            new
        };
        // Two after each other, and both with something to tell.
        let second = takes_over("m2", &old);
        second.ifconfig("carp0 down").ok();
        let third = takes_over("m3", &second);
        third.ifconfig("carp0 up").ok();
        third.wait_backup("carp0");
        // Whoever would begin at once has.
        (0..20).for_each(|_| drop(third.ifconfig("carp0").ok()));
        fs::write(&gate, "\n").unwrap();
        wait(&third, 0, "BACKUP ends");
        for machine in [&old, &second] {
            assert_eq!(machine.wait_exit().code(), Some(0));
        }
        let order = fs::read_to_string(&order).unwrap();
        let expected: Vec<String> = ["BACKUP", "MASTER", "INIT", "BACKUP"]
            .iter()
            .flat_map(|state| [format!("{state} begins"), format!("{state} ends")])
            .collect();
        assert_eq!(order.lines().take(8).collect::<Vec<_>>(), expected);
    });
}
