//! A netisrd that gets too little, or too much: no memory, no descriptors, more news
//! than it can hear, more clients than it likes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;
use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use tests::lab::{
    self, Control, Events, Hang, Host, Lab, N1, N2, Needs, Netisrd, PATIENCE, Said, VIP, Wire, command,
    on_host, virtual_host, virtual_mac,
};

/// Two hosts with a netisrd each, the first of them MASTER, and a client.
struct Stage<'a> {
    lab: &'a Lab,
    wire: Wire,
    hosts: [Host; 2],
    client: Host,
}

fn stage(body: impl FnOnce(&Stage<'_>)) {
    lab::run(Needs::namespaces().programs(&["ping", "prlimit"]), |lab| {
        lab.bridge("br0");
        let wire = lab.wire("br0");
        let hosts = [("a", N1), ("b", N2)].map(|(ns, ip)| lab.host(ns, "br0", &format!("{ip}/24")));
        let client = lab.host("c", "br0", "10.77.0.9/24");
        body(&Stage { lab, wire, hosts, client });
    });
}

impl Stage<'_> {
    fn start(&self, n: usize, advskew: u8, args: &[&str]) -> Netisrd {
        let machine = on_host(self.lab, &self.hosts[n], "v0").args(args).start();
        machine.sysctl(&format!("net.inet.carp.preempt={}", u8::from(advskew == 0)));
        machine.carp("carp0", &virtual_host(advskew));
        machine
    }

    fn serves(&self, n: usize) -> bool {
        self.hosts[n].run("ip -o addr show").ok().contains(&format!(" {VIP}/"))
    }

    fn wait_serves(&self, n: usize, serves: bool) {
        let what = format!("{} serving: {serves}", self.hosts[n].ns);
        Events::open(Some(&self.hosts[n].ns)).wait_until(&what, || self.serves(n) == serves);
    }

    /// Waits for two advertisements more of one of them.
    fn wait_speaks(&self, ip: std::net::Ipv4Addr) {
        self.wire.wait_count(self.wire.mark(), 2, &format!("advertisements of {ip}"), |f| f.is_advert_of(ip));
    }
}

/// Changes a limit of a process that runs.
fn limit(machine: &Netisrd, what: &str) {
    Said::by(None, command(&format!("prlimit --pid {} {what}", machine.proc.pid()))).ok();
}

#[test]
fn with_too_little_at_the_start_it_says_so_and_leaves_nothing() {
    stage(|s| {
        let state = || {
            let links = s.hosts[0].run("ip -o link").ok().lines().count();
            (links, s.hosts[0].run("cat /proc/sys/net/ipv4/conf/v0/arp_ignore").ok())
        };
        let (before, mut ready) = (state(), 0);
        // From where the program itself can be loaded.
        let memory = (24..=152).step_by(16).map(|mb| format!("ulimit -v {}", mb * 1024));
        let files = (6..=41).step_by(5).map(|n| format!("ulimit -n {n}"));
        for few in memory.chain(files) {
            let script = format!("{few}; exec \"$@\"");
            // However many processors there are.
            let machine = s.lab.netisrd("m").netns("a").mirrored("v0").args(&["-n", "2"]).by(&script).spawn();
            let log = &machine.proc.log;
            let mut seen = 0;
            while machine.proc.is_running() && !log.lines().iter().any(|l| l.contains("netisrd: ready")) {
                log.wait_more(seen, PATIENCE);
                seen = log.len();
            }
            if machine.proc.is_running() {
                ready += 1;
                machine.signal(Signal::SIGTERM);
                assert_eq!(machine.wait_exit().code(), Some(0), "{few}");
                assert_eq!(state(), before, "{few}");
            } else {
                assert!(!machine.wait_exit().success(), "{few}");
                let said = log.lines().join("\n").to_lowercase();
                let clear = ["memory", "too many open files", "cannot allocate", "shared object", "resource"];
                assert!(clear.iter().any(|why| said.contains(why)), "{few}: {said}");
                assert!(!said.contains("panicked"), "{few}: {said}");
            }
            assert_eq!(state().0, before.0, "{few}");
        }
        assert!(ready > 0, "the last of each is enough");
    });
}

#[test]
fn without_memory_it_serves_or_another_one_does() {
    stage(|s| {
        let a = s.start(0, 0, &[]);
        a.wait_master("carp0");
        s.wait_serves(0, true);
        let b = s.start(1, 100, &[]);
        b.wait_backup("carp0");
        limit(&a, "--as=1");
        // Whatever is asked of it, until it ends or has refused to grow.
        let words = |n: u32| format!("carp0 10.77.{}.{}/16 alias", 1 + n / 250, 1 + n % 250);
        let asked = (0..3000).take_while(|n| a.ifconfig(&words(*n)).status.success()).count();
        println!("{asked} addresses");
        let who = if a.proc.is_running() && a.state("carp0") == "MASTER" { 0 } else { 1 };
        if who == 1 {
            b.wait_master("carp0");
        }
        s.wait_serves(who, true);
        s.wait_serves(1 - who, false);
        let mark = s.wire.mark();
        assert_eq!(s.client.ping(VIP, 3), 3);
        s.wait_speaks([N1, N2][who]);
        let other = [N2, N1][who];
        assert!(
            !s.wire.since(mark).iter().any(|f| f.is_advert_of(other)),
            "one advertises and does not serve"
        );
    });
}

#[test]
fn without_descriptors_it_serves_takes_over_and_accepts_when_there_are_some_again() {
    stage(|s| {
        let a = s.start(0, 0, &[]);
        a.wait_master("carp0");
        let b = s.start(1, 100, &["--http", "0", "--events", "/run/lab/b.events"]);
        b.wait_backup("carp0");
        let at = b.proc.log.wait_line(0, "http", PATIENCE, |l| l.contains("http: listening on"));
        let port: u16 = b.proc.log.lines()[at].rsplit(':').next().unwrap().parse().unwrap();
        let mark = b.proc.log.len();
        limit(&b, "--nofile=3:");
        // All three sockets have somebody at the door.
        let control: Vec<_> = (0..8).map(|_| Control::connect(b.tools.sock())).collect();
        let events: Vec<_> = (0..8).map(|_| UnixStream::connect("/run/lab/b.events").unwrap()).collect();
        let http: Vec<_> = lab::within(Some("b"), || {
            (0..8).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect()
        });
        for of in ["control socket: ", "event socket: ", "http: "] {
            b.proc.log.wait_line(mark, of, PATIENCE, |l| l.contains(of) && l.contains("Too many open files"));
        }
        let busy = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", b.proc.pid())).unwrap();
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
        };
        // A cable that comes and goes, an address: it must hear of both.
        s.lab.ip_in(Some("b"), "addr add 10.77.0.4/24 dev v0");
        s.lab.ip_in(Some("b"), "link set v0 down");
        s.lab.ip_in(Some("b"), "link set v0 up");
        let before = busy();
        a.signal(Signal::SIGKILL);
        s.wait_serves(1, true);
        s.wait_speaks(N2);
        // Several seconds have gone by, of which a loop would have used all.
        let ticks = busy() - before;
        println!("{ticks} ticks");
        assert!(ticks < 100, "it spins");
        assert_eq!(s.client.ping(VIP, 2), 2);
        assert_eq!(s.client.neighbour(VIP), Some(virtual_mac(1)));
        let said = b.proc.log.since(mark);
        let complaints = said.iter().filter(|l| l.contains("Too many open files")).count();
        assert_eq!(complaints, 3, "each once: {said:?}");
        // An interface that is made again while there are none is opened once there are.
        s.lab.ip_in(Some("b"), "link del v0");
        b.proc.log.wait_line(mark, "the end of v0", PATIENCE, |l| l.contains("v0: detached"));
        s.lab.ip("link add name b type veth peer name v0 netns b");
        s.lab.ip("link set dev b master br0 up");
        s.lab.ip_in(Some("b"), &format!("addr add {N2}/24 dev v0"));
        s.lab.ip_in(Some("b"), "link set v0 up");
        b.proc.log.wait_line(mark, "trouble", PATIENCE, |l| l.contains("not attached"));
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        limit(&b, &format!("--nofile={}:", hard.min(1024)));
        for c in &control {
            c.send(&Control::sysctl("net.inet.carp.preempt")).unwrap();
            assert_eq!(c.reply(), Some(0));
        }
        drop((events, http));
        b.wait_master("carp0");
        s.wait_serves(1, true);
    });
}

#[test]
fn a_backup_that_has_not_run_for_long_hears_first_that_its_master_was_there() {
    stage(|s| {
        let a = s.start(0, 0, &[]);
        a.wait_master("carp0");
        for netisrs in ["1", "2"] {
            let b = s.start(1, 100, &["-n", netisrs]);
            b.wait_backup("carp0");
            let advertises = |f: &lab::Frame| f.is_advert_of(N1);
            b.signal(Signal::SIGSTOP);
            // Longer than a BACKUP waits for one.
            s.wire.wait_count(s.wire.mark(), 6, "advertisements", advertises);
            b.signal(Signal::SIGCONT);
            s.wait_speaks(N1);
            assert_eq!((a.state("carp0"), b.state("carp0")), ("MASTER".into(), "BACKUP".into()));
            assert!(!s.wire.frames().iter().any(|f| f.is_advert_of(N2)), "{netisrs} netisrs");
            b.signal(Signal::SIGTERM);
            assert!(b.wait_exit().success());
        }
    });
}

/// How many messages the sockets of a namespace have lost.
fn lost(host: &Host) -> u64 {
    let table = host.run("cat /proc/net/netlink").ok();
    table.lines().skip(1).map(|l| l.split_whitespace().nth(8).unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn what_has_changed_while_it_heard_nothing_is_right_afterwards() {
    stage(|s| {
        let a = s.start(0, 0, &[]);
        a.wait_master("carp0");
        s.wait_serves(0, true);
        let ns = Some(s.hosts[0].ns.as_str());
        let before = lost(&s.hosts[0]);
        a.signal(Signal::SIGSTOP);
        // Thousands of changes, and between them those that matter.
        let mut batch: String = (0..2000)
            .flat_map(|n| {
                ["add", "del"].map(|act| format!("addr {act} 10.9.{}.{}/32 dev v0\n", n / 250, n % 250))
            })
            .collect();
        batch.push_str(&format!("addr del {N1}/24 dev v0\naddr add 10.77.0.3/24 dev v0\nlink del carp0\n"));
        batch.push_str("link set v0 down\nlink set v0 name lan0\nlink set lan0 up\n");
        batch.extend((0..500).map(|n| format!("link set lan0 alias x{n}\n")));
        let path = s.lab.dir().join("batch");
        fs::write(&path, batch).unwrap();
        s.lab.ip_in(ns, &format!("-batch {}", path.display()));
        assert!(lost(&s.hosts[0]) > before, "nothing was lost");
        a.signal(Signal::SIGCONT);
        s.wait_serves(0, true);
        a.wait_master("carp0");
        s.lab.wait_carrier(ns, "carp0");
        let shown = a.ifconfig("v0").ok();
        assert!(shown.contains("10.77.0.3 ") && !shown.contains(&format!("{N1} ")), "{shown}");
        assert_eq!(shown.matches("inet ").count(), 1, "{shown}");
        s.wait_speaks("10.77.0.3".parse().unwrap());
        assert_eq!(s.client.ping(VIP, 2), 2);
        assert_eq!(s.client.neighbour(VIP), Some(virtual_mac(1)));
        // It hears as before.
        s.lab.ip_in(ns, "link set lan0 down");
        a.wait_state("carp0", "INIT", PATIENCE);
        s.lab.ip_in(ns, "link set lan0 up");
        a.wait_master("carp0");
        s.wait_serves(0, true);
    });
}

/// None of those who have anything to say here, and some after it.
const FIRST_USER: u32 = 1001;

#[test]
fn two_hundred_clients_change_nothing_of_an_election() {
    stage(|s| {
        let a = s.start(0, 0, &[]);
        a.wait_master("carp0");
        s.wait_serves(0, true);
        let b = s.start(1, 100, &[]);
        b.wait_backup("carp0");
        // Those who ask, and do not read what they are told, and those who only sit
        // there; of both kinds some listen.
        let names = Control::sysctl("sysctl.names");
        let others = lab::as_user(FIRST_USER, || ()).is_some();
        let connect = || Control::connect(b.tools.sock());
        // Of users who may have 32 each; of root, where there is nobody else.
        let of_users = |first: u32, n: u32| {
            (0..n).map(move |n| FIRST_USER + first + n / 32).map(|uid| match others {
                true => lab::as_user(uid, connect).unwrap(),
                false => connect(),
            })
        };
        let deaf: Vec<_> = of_users(0, 80).collect();
        for (n, client) in deaf.iter().enumerate() {
            if n % 8 == 0 {
                client.send(&Control::route()).unwrap();
            } else {
                while client.try_send(&names).is_ok() {}
            }
        }
        let silent: Vec<_> = (0..40).map(|_| Control::connect(b.tools.sock())).collect();
        // And those who want all at once.
        let asking: Vec<_> = of_users(10, 60).chain((0..20).map(|_| connect())).collect();
        let request = Control::sysctl("net.inet.carp.stats");
        let ask = |times: usize| {
            for _ in 0..times {
                asking.iter().for_each(|c| c.send(&request).unwrap());
                asking.iter().for_each(|c| assert!(c.reply().is_some()));
            }
        };
        ask(2);
        let mark = s.wire.mark();
        a.signal(Signal::SIGKILL);
        while !s.wire.since(mark).iter().any(|f| f.is_advert_of(N2)) {
            ask(1);
        }
        ask(2);
        b.wait_master("carp0");
        s.wait_serves(1, true);
        s.wait_speaks(N2);
        assert_eq!(s.client.ping(VIP, 2), 2);
        assert_eq!(s.client.neighbour(VIP), Some(virtual_mac(1)));
        // It has never lost what it serves meanwhile.
        ask(20);
        assert!(s.serves(1));
        drop((deaf, silent));
        ask(1);
    });
}

/// A thread of the MASTER's hangs, and runs again.
fn hangs(thread: &str, says: [&str; 2]) {
    stage(|s| {
        let a = s.start(0, 0, &[]);
        a.wait_master("carp0");
        s.wait_serves(0, true);
        let b = s.start(1, 100, &[]);
        b.wait_backup("carp0");
        let log = a.proc.log.len();
        let hang = Hang::of(&a, thread);
        b.wait_master("carp0");
        assert!(!s.serves(0), "two have the address");
        s.wait_serves(1, true);
        s.wait_speaks(N2);
        assert_eq!(s.client.ping(VIP, 2), 2);
        assert_eq!(s.client.neighbour(VIP), Some(virtual_mac(1)));
        drop(hang);
        // It preempts.
        a.wait_master("carp0");
        s.wait_serves(0, true);
        s.wait_serves(1, false);
        s.wait_speaks(N1);
        assert_eq!(s.client.ping(VIP, 2), 2);
        for what in says {
            a.proc.log.wait_line(log, what, PATIENCE, |l| l.contains(what));
        }
    });
}

#[test]
fn who_serves_nobody_any_more_because_its_main_thread_hangs_gives_up() {
    hangs("netisrd", ["the main thread does not answer", "virtual addresses are served again"]);
}

#[test]
fn a_netisr0_that_hangs_loses_its_addresses_and_has_them_back_when_it_runs() {
    hangs("netisr 0", ["netisr0 does not answer", "netisr0 answers again"]);
}
