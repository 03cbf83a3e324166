//! What people look with, at a virtual address that the host serves: unmodified
//! programs, which know nothing of CARP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use nix::sys::signal::Signal;
use std::fs;
use tests::lab::{
    self, Events, Host, Lab, Mac, N1, N2, Needs, Neighbours, Netisrd, PATIENCE, Proc, VIP, command,
    virtual_host, virtual_mac,
};

/// Two hosts with a netisrd each, the first of them MASTER, and a client.
struct Stage<'a> {
    lab: &'a Lab,
    hosts: [Host; 2],
    machines: [Netisrd; 2],
    client: Host,
}

fn stage(programs: &[&'static str], body: impl FnOnce(&Stage<'_>)) {
    lab::run(Needs::namespaces().programs(programs), |lab| {
        lab.bridge("br0");
        let hosts = [("a", N1), ("b", N2)].map(|(ns, ip)| lab.host(ns, "br0", &format!("{ip}/24")));
        let client = lab.host("c", "br0", "10.77.0.9/24");
        let machines = [0, 1].map(|n| {
            let ns = hosts[n].ns.as_str();
            let machine = lab.netisrd(&format!("on-{ns}")).netns(ns).mirrored("v0").start();
            machine.sysctl(&format!("net.inet.carp.preempt={}", 1 - n));
            machine.carp("carp0", &virtual_host(100 * n as u8));
            machine.wait_state("carp0", ["MASTER", "BACKUP"][n], PATIENCE);
            // What is handed over stays there.
            machine.sysctl("net.inet.carp.preempt=0");
            machine
        });
        let s = Stage { lab, hosts, machines, client };
        s.wait_serves(0);
        body(&s);
    });
}

impl Stage<'_> {
    fn wait_serves(&self, n: usize) {
        let host = &self.hosts[n];
        Events::open(Some(&host.ns)).wait_until(&format!("{VIP} on {}", host.ns), || {
            host.run("ip -o addr show").ok().contains(&format!(" {VIP}/"))
        });
    }
}

#[test]
fn curl_reaches_the_server_that_is_bound_to_the_address_whoever_is_master() {
    stage(&["curl", "python3"], |s| {
        let seen = Neighbours::watch(Some(&s.client.ns));
        // Each host has the server all the time, with the address or without.
        let servers = s.hosts.each_ref().map(|host| {
            let ns = Some(host.ns.as_str());
            lab::within(ns, || fs::write("/proc/sys/net/ipv4/ip_nonlocal_bind", "1").unwrap());
            let dir = s.lab.dir().join(format!("www-{}", host.ns));
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("who"), &host.ns).unwrap();
            let server = format!("python3 -u -m http.server --bind {VIP} --directory {} 8080", dir.display());
            let proc = Proc::spawn(&format!("server-{}", host.ns), ns, command(&server));
            proc.log.wait_line(0, "Serving HTTP", PATIENCE, |l| l.contains("Serving HTTP"));
            proc
        });
        let get = || s.client.run(&format!("curl -sS --max-time 20 http://{VIP}:8080/who")).ok();
        assert_eq!(get(), "a");
        for (how, who) in [("carp0 state backup", 1), ("carp0 state backup", 0)] {
            s.machines[1 - who].ifconfig(how).ok();
            s.machines[who].wait_master("carp0");
            s.wait_serves(who);
            assert_eq!(get(), s.hosts[who].ns);
        }
        s.machines[0].signal(Signal::SIGKILL);
        s.machines[1].wait_master("carp0");
        s.wait_serves(1);
        assert_eq!(get(), "b");
        assert!(servers.iter().all(Proc::is_running));
        let macs = seen.of(VIP);
        assert!(!macs.is_empty() && macs.iter().all(|mac| *mac == virtual_mac(1)), "{macs:02x?}");
    });
}

/// The Ethernet addresses in what a program says.
fn macs_in(text: &str) -> Vec<Mac> {
    let words = text.split(|c: char| !c.is_ascii_hexdigit() && c != ':');
    let mac = |word: &str| {
        let bytes: Vec<u8> = word.split(':').map_while(|b| u8::from_str_radix(b, 16).ok()).collect();
        bytes.try_into().ok()
    };
    words.filter_map(mac).collect()
}

#[test]
fn arping_hears_one_answer_with_the_virtual_mac_whoever_is_master() {
    stage(&["arping"], |s| {
        let ask = |n: usize| {
            let wire = s.lab.wire("br0");
            let said = s.client.run(&format!("arping -d -c {n} -i v0 {VIP}")).ok();
            // All that have answered, also those whom it has not counted.
            let answers = wire.frames().iter().filter_map(|f| f.arp().filter(|a| a.op == 2)).count();
            (macs_in(&said), answers)
        };
        assert_eq!(ask(2), (vec![virtual_mac(1); 2], 2));
        s.machines[0].ifconfig("carp0 state backup").ok();
        s.machines[1].wait_master("carp0");
        s.wait_serves(1);
        assert_eq!(ask(1), (vec![virtual_mac(1)], 1));
        // Of a host's own address its own answers.
        let said = s.client.run(&format!("arping -c 1 -i v0 {N1}")).ok();
        assert_eq!(macs_in(&said), [s.hosts[0].mac]);
    });
}

/// Bytes and packets, received and sent, that `ip -s link` shows.
fn counters(host: &Host) -> [u64; 4] {
    let shown = host.run("ip -s link show dev carp0").ok();
    let numbers = |of: &str| {
        let at = shown.lines().position(|l| l.trim_start().starts_with(of)).unwrap();
        let line = shown.lines().nth(at + 1).unwrap();
        let mut words = line.split_whitespace().map(|w| w.parse().unwrap());
        [words.next().unwrap(), words.next().unwrap()]
    };
    let [[rx_bytes, rx], [tx_bytes, tx]] = [numbers("RX:"), numbers("TX:")];
    [rx_bytes, rx, tx_bytes, tx]
}

#[test]
fn ip_shows_what_goes_through_a_carp_interface_and_nothing_of_a_backups() {
    stage(&["ping"], |s| {
        let before = [0, 1].map(|n| counters(&s.hosts[n]));
        assert_eq!(s.client.ping(VIP, 5), 5);
        let after = [0, 1].map(|n| counters(&s.hosts[n]));
        let more = |n: usize| [0, 1, 2, 3].map(|i| after[n][i] - before[n][i]);
        // Echoes of 84 bytes and their answers, and whatever ARP has to say.
        let [rx_bytes, rx, tx_bytes, tx] = more(0);
        assert!(rx >= 5 && tx >= 5 && rx_bytes >= 5 * 84 && tx_bytes >= 5 * 84, "{:?}", more(0));
        assert_eq!(more(1)[2..], [0, 0], "{:?}", more(1));
    });
}

#[test]
fn a_client_that_asks_all_the_time_never_believes_in_a_real_mac() {
    stage(&["ping"], |s| {
        let seen = Neighbours::watch(Some(&s.client.ns));
        let shown = || s.client.run(&format!("ip neigh show to {VIP} dev v0")).ok();
        let mut all = Vec::new();
        let mut ask = || {
            s.client.run(&format!("ip neigh flush to {VIP} dev v0")).ok();
            assert_eq!(s.client.ping(VIP, 1), 1);
            all.extend(macs_in(&shown()));
        };
        ask();
        s.machines[0].ifconfig("carp0 state backup").ok();
        s.machines[1].wait_master("carp0");
        s.wait_serves(1);
        ask();
        s.machines[1].signal(Signal::SIGTERM);
        assert!(s.machines[1].wait_exit().success());
        s.machines[0].wait_master("carp0");
        s.wait_serves(0);
        ask();
        all.extend(seen.of(VIP));
        assert!(all.len() >= 6 && all.iter().all(|mac| *mac == virtual_mac(1)), "{all:02x?}");
    });
}
