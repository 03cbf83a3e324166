//! Routing sockets of a machine on threads: many listeners, none of whom can
//! hold it up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use nix::sys::signal::Signal;
use std::process::Command;
use tests::lab::{self, Control, N1, Needs, Netisrd, PATIENCE, Proc, binary, on_tap, virtual_host};

const LISTENERS: usize = 100;
/// More than a socket and a listener's queue hold: four messages each.
const CHANGES: usize = 400;

fn stage(body: impl FnOnce(&lab::Lab, Netisrd)) {
    lab::run(Needs::namespaces().taps(), |lab| {
        let machine = on_tap(lab, "m1", "em0", N1);
        machine.sysctl("net.inet.carp.preempt=1");
        machine.carp("carp0", &virtual_host(0));
        machine.wait_master("carp0");
        body(lab, machine);
    });
}

fn listen(machine: &Netisrd) -> Control {
    let control = Control::connect(machine.tools.sock());
    control.send(&Control::route()).unwrap();
    assert_eq!(control.reply(), Some(0));
    control
}

/// Everything up to the departure of carp9, which the caller has caused.
fn until_the_end(l: &Control, heard: &mut Vec<Vec<u8>>) {
    const DEPARTED: &[u8] = b"carp9";
    loop {
        let m = l.wait_told().expect("a listener that reads loses nothing");
        let is_end = m[3] == 0x11 && m[6..].starts_with(DEPARTED) && m[22] == 1;
        heard.push(m);
        if is_end {
            return;
        }
    }
}

#[test]
fn a_hundred_listeners_hear_everything_and_one_that_sleeps_holds_up_nobody() {
    stage(|_, machine| {
        let asleep = listen(&machine);
        let awake: Vec<Control> = (1..LISTENERS).map(|_| listen(&machine)).collect();
        let mut heard: Vec<Vec<Vec<u8>>> = vec![Vec::new(); awake.len()];
        let sent = machine.stats().opackets;
        for n in 0..CHANGES {
            machine.ifconfig("em0 10.9.9.9/24 alias").ok();
            machine.ifconfig("em0 10.9.9.9 -alias").ok();
            if n % 10 == 0 {
                for (l, heard) in awake.iter().zip(&mut heard) {
                    while let Some(told) = l.told() {
                        heard.push(told.expect("a listener that reads loses nothing"));
                    }
                }
            }
        }
        machine.ifconfig("carp9 create").ok();
        machine.ifconfig("carp9 destroy").ok();
        for (l, heard) in awake.iter().zip(&mut heard) {
            until_the_end(l, heard);
        }
        let all = heard.pop().unwrap();
        assert!(all.len() >= 4 * CHANGES + 2, "{}", all.len());
        assert!(heard.iter().all(|h| *h == all), "everybody hears the same in the same order");

        // The machine has done its work all the while.
        assert_eq!(machine.state("carp0"), "MASTER");
        machine.wait_stats("advertisement", |s| s.opackets > sent);

        // The one that slept hears what there was room for, then of its loss.
        let mut before = 0;
        let lost = loop {
            match asleep.wait_told() {
                Ok(m) => assert_eq!(m, all[before]),
                Err(lost) => break lost as usize,
            }
            before += 1;
        };
        assert_eq!(before + lost, all.len());
        machine.ifconfig("carp9 create").ok();
        assert_eq!(asleep.wait_told().unwrap()[6..11], *b"carp9");
    });
}

#[test]
fn a_routing_socket_that_speaks_is_hung_up_on_and_one_that_leaves_is_forgotten() {
    stage(|_, machine| {
        let speaks = listen(&machine);
        speaks.send(&Control::sysctl("net.inet.carp.preempt")).unwrap();
        assert_eq!(speaks.reply(), None);
        for _ in 0..300 {
            drop(listen(&machine));
        }
        machine.ifconfig("carp9 create").ok();
        assert_eq!(machine.state("carp0"), "MASTER");
    });
}

#[test]
fn monitor_prints_a_transition_as_it_happens_and_show_the_route_where_it_is() {
    stage(|_, machine| {
        let mut command = Command::new(binary("route-carp"));
        command.args(["-n", "monitor"]).env("NETISRD_SOCK", machine.tools.sock());
        let monitor = Proc::spawn("monitor", None, command);
        // It listens as soon as it is told of anything.
        let mut unit = 100;
        while monitor.log.is_empty() {
            machine.ifconfig(&format!("carp{unit} create")).ok();
            unit += 1;
        }
        let shown = |word: &str| machine.tools.tool("route-carp", &["show"]).stdout.contains(word);
        assert!(shown(" carp0\n") && !shown(" em0\n"));
        let mark = monitor.log.len();
        machine.ifconfig("carp0 down").ok();
        assert!(shown(" em0\n") && !shown(" carp0\n"));
        machine.ifconfig("carp0 up").ok();
        machine.wait_master("carp0");
        let line =
            |mark: usize, what: &str| monitor.log.wait_line(mark, what, PATIENCE, |l| l.contains(what));
        let unknown = line(mark, "link: unknown");
        let back = line(unknown, "em0:");
        let up = line(back, "link: up");
        line(up, "carp0:0.0.5e.0.1.1");
        // The machine's end ends it, with a word.
        machine.signal(Signal::SIGTERM);
        assert_eq!(monitor.wait_exit(PATIENCE).code(), Some(1));
        assert!(monitor.log.lines().last().is_some_and(|l| l.starts_with("route-carp: netisrd on ")));
    });
}
