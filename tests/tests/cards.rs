//! Cards of the host that are missing or down when netisrd starts or goes on in another
//! one's place, and those that are called otherwise by then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use nix::sys::signal::Signal;
use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use tests::lab::{
    self, Events, Host, Lab, N1, N2, Needs, Netisrd, PATIENCE, Said, VIP, binary, host_and_client, on_host,
    one_voice, virtual_host,
};

const IN_A: Option<&str> = Some("a");

/// A host `a` whose `v0` is up, and whose `w0` has an address and is down; it has no
/// `v9`. A client is on the networks of all of them.
struct Stage<'a> {
    lab: &'a Lab,
    a: Host,
    client: Host,
}

fn stage(body: impl FnOnce(&Stage<'_>)) {
    lab::run(Needs::namespaces().taps().programs(&["ping"]), |lab| {
        let (a, client) = host_and_client(lab);
        for net in [78, 79] {
            lab.ip_in(Some("c"), &format!("addr add 10.{net}.0.9/24 dev v0"));
        }
        let s = Stage { lab, a, client };
        s.plug("w0", 79);
        body(&s);
    });
}

impl Stage<'_> {
    /// A card of `a` that is down.
    fn plug(&self, name: &str, net: u8) {
        self.lab.ip(&format!("link add name p{name} type veth peer name {name} netns a"));
        self.lab.ip(&format!("link set dev p{name} master br0 up"));
        self.lab.ip_in(IN_A, &format!("addr add 10.{net}.0.1/24 dev {name}"));
    }

    fn up(&self, name: &str) {
        self.lab.ip_in(IN_A, &format!("link set {name} up"));
        self.lab.wait_carrier(IN_A, name);
        self.lab.wait_forwarding(&format!("p{name}"));
    }

    fn wait_serves(&self, addr: Ipv4Addr) {
        Events::open(IN_A).wait_until(&format!("serving {addr}"), || self.serves(addr));
    }

    fn serves(&self, addr: Ipv4Addr) -> bool {
        self.a.run("ip -o addr show").ok().contains(&format!(" {addr}/"))
    }

    fn file(&self, text: &str) -> String {
        let path = self.lab.dir().join("netisrd.conf");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn vip(net: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, net, 0, 100)
}

fn says(machine: &Netisrd, what: &str) -> bool {
    machine.proc.log.lines().iter().any(|l| l.contains(what))
}

fn reload(machine: &Netisrd) -> String {
    let mut reload = Command::new(binary("netisrd"));
    reload.arg("reload").arg("-S").arg(machine.tools.sock());
    Said::by(None, reload).ok()
}

/// All that a file can say of a card: its own lines, a parent by name, one by address.
fn text(skew: u8) -> String {
    format!(
        "netisrd_interfaces=\"v9 w0 v0\"\ncloned_interfaces=\"carp0 carp1 carp2\"\n\
         ifconfig_v9_alias0=\"vhid 4 advskew {skew} pass secret 10.78.0.101/32\"\n\
         ifconfig_carp0=\"vhid 1 pass secret {VIP}/24\"\n\
         ifconfig_carp1=\"vhid 2 advskew {skew} carpdev v9 pass secret {}/24\"\n\
         ifconfig_carp2=\"vhid 3 advskew {skew} pass secret {}/24\"\n",
        vip(78),
        vip(79)
    )
}

#[test]
fn a_card_that_is_missing_or_down_at_the_start_keeps_nobody_waiting_and_is_used_when_it_comes() {
    stage(|s| {
        let conf = s.file(&text(0));
        let a = s.lab.netisrd("on-a").netns("a").args(&["-f", &conf]).start();
        for why in ["v9: No such device", "w0: Network is down"] {
            assert!(says(&a, &format!("{why}: it is used once it is there and up")), "{why}");
        }
        a.wait_master("carp0");
        s.wait_serves(VIP);
        assert_eq!(s.client.ping(VIP, 1), 1);
        // Without its parent it has nothing: it would find another one.
        s.lab.ip_in(IN_A, "addr add 10.78.0.2/24 dev v0");
        a.tools.sysctl("net.inet.carp.preempt=1").ok();
        assert_eq!(["carp1", "carp2"].map(|of| a.state(of)), ["", "INIT"]);

        assert_eq!(reload(&a), "nothing has changed\n");
        s.file(&text(7));
        assert!(reload(&a).ends_with("\nifconfig carp2 advskew 7\n"), "and a warning that nothing backs it");
        s.plug("v9", 78);
        s.up("v9");
        for of in ["carp1", "v9"] {
            a.wait_master(of);
            assert!(a.ifconfig(of).ok().contains("advskew 7"), "{of}");
        }
        assert!(a.ifconfig("carp1").ok().contains("carpdev: v9"));
        s.up("w0");
        a.wait_master("carp2");
        for addr in [VIP, vip(78), vip(79), Ipv4Addr::new(10, 78, 0, 101)] {
            s.wait_serves(addr);
            assert_eq!(s.client.ping(addr, 1), 1, "{addr}");
        }
        assert_eq!(reload(&a), "nothing has changed\n");
        assert!(!says(&a, "ERROR"), "{:?}", a.proc.log.lines());
        a.signal(Signal::SIGTERM);
        assert!(a.wait_exit().success());
        assert_eq!(s.a.run("cat /proc/sys/net/ipv4/conf/v9/arp_ignore").ok().trim(), "0");
    });
}

#[test]
fn a_successor_waits_for_the_same_cards() {
    stage(|s| {
        let conf = s.file(&text(0));
        let file = ["-f", conf.as_str()];
        let old = s.lab.netisrd("old").netns("a").args(&file).start();
        old.wait_master("carp0");
        // It comes, goes, and is not there once more.
        s.up("w0");
        old.wait_master("carp2");
        s.lab.ip_in(IN_A, "link del w0");
        old.wait_state("carp2", "INIT", PATIENCE);
        let new = s.lab.netisrd("new").netns("a").args(&file).takeover(&old).spawn();
        new.wait_ready();
        assert_eq!(old.wait_exit().code(), Some(0));
        assert_eq!(["carp0", "carp1", "carp2"].map(|of| new.state(of)), ["MASTER", "", "INIT"]);
        assert!(!says(&new, " -> "), "{:?}", new.proc.log.lines());
        for gone in ["v9", "w0"] {
            assert!(says(&new, &format!("{gone}: not there: it is used once it is there and up")));
        }
        for (card, net, ofs) in [("w0", 79, &["carp2"][..]), ("v9", 78, &["carp1", "v9"])] {
            s.plug(card, net);
            s.up(card);
            ofs.iter().for_each(|of| new.wait_master(of));
            s.wait_serves(vip(net));
            assert_eq!(s.client.ping(vip(net), 1), 1, "{card}");
        }
        assert!(!says(&new, "ERROR"), "{:?}", new.proc.log.lines());
        // And with all of them.
        let third = s.lab.netisrd("third").netns("a").args(&file).takeover(&new).spawn();
        third.wait_ready();
        assert_eq!(["carp0", "carp1", "carp2"].map(|of| third.state(of)), ["MASTER"; 3]);
    });
}

#[test]
fn a_machine_without_any_card_waits_for_one_on_each_path() {
    stage(|s| {
        for path in ["macvlan", "tap", "none"] {
            let a = s.lab.netisrd(path).netns("a").args(&["-i", &format!("v9:{path}")]).start();
            a.carp("carp0", &format!("vhid 2 pass secret {}/24", vip(78)));
            assert_eq!(a.state("carp0"), "INIT", "{path}");
            s.plug("v9", 78);
            s.up("v9");
            a.wait_master("carp0");
            assert_eq!(s.client.ping(vip(78), 1), 1, "{path}");
            assert_eq!(s.serves(vip(78)), path != "none");
            a.signal(Signal::SIGTERM);
            assert!(a.wait_exit().success(), "{path}");
            s.lab.ip_in(IN_A, "link del v9");
        }
        // What will never do is an error as ever.
        s.lab.ip_in(IN_A, "link set lo up");
        for (args, why) in [
            (["-i", "lo", "-i", "v9"], "lo: not an Ethernet link (ARPHRD 772)"),
            (["-i", "v9", "-i", "v9"], "v9: named twice"),
        ] {
            let a = s.lab.netisrd("wrong").netns("a").args(&args).spawn();
            assert_eq!(a.wait_exit().code(), Some(1));
            assert!(a.proc.log.lines().last().unwrap().ends_with(why), "{:?}", a.proc.log.lines());
        }
    });
}

#[test]
fn a_card_that_was_renamed_goes_on_under_another_netisrd() {
    stage(|s| {
        let b = s.lab.host("b", "br0", &format!("{N2}/24"));
        let backup = on_host(s.lab, &b, "v0").start();
        backup.carp("carp0", &virtual_host(100));
        for path in ["macvlan", "tap", "none"] {
            let card = format!("v0:{path}");
            let old = on_host(s.lab, &s.a, &card).start();
            old.sysctl("net.inet.carp.preempt=1");
            old.carp("carp0", &virtual_host(0));
            old.wait_master("carp0");
            backup.wait_backup("carp0");
            for words in ["link set v0 down", "link set v0 name lan0", "link set lan0 up"] {
                s.lab.ip_in(IN_A, words);
            }
            old.wait_master("carp0");
            backup.wait_backup("carp0");
            let other = s.lab.netisrd("other").netns("a").args(&["-i", "lan0"]).takeover(&old).spawn();
            assert_eq!(other.wait_exit().code(), Some(1), "its name in the machine is another one");
            let (wire, mark) = (s.lab.wire("br0"), backup.proc.log.len());
            let new = s.lab.netisrd("new").netns("a").args(&["-i", &card]).takeover(&old).spawn();
            new.wait_ready();
            assert_eq!(old.wait_exit().code(), Some(0));
            wire.wait_count(wire.mark(), 2, "advertisements", |f| f.advert().is_some());
            one_voice(&wire, 0);
            assert_eq!(s.client.ping(VIP, 2), 2, "{path}");
            assert_eq!(new.state("carp0"), "MASTER", "{path}");
            assert!(new.ifconfig("v0").ok().contains(&N1.to_string()), "{path}");
            assert!(!says(&new, " -> ") && backup.proc.log.since(mark).iter().all(|l| !l.contains(" -> ")));
            // Its addresses are followed as ever, and its settings put back.
            s.lab.ip_in(IN_A, &format!("addr del {N1}/24 dev lan0"));
            new.wait_state("carp0", "INIT", PATIENCE);
            s.lab.ip_in(IN_A, &format!("addr add {N1}/24 dev lan0"));
            new.wait_master("carp0");
            backup.wait_backup("carp0");
            let arp_ignore = || s.a.run("cat /proc/sys/net/ipv4/conf/lan0/arp_ignore").ok();
            assert_eq!(arp_ignore().trim() == "0", path == "none");
            new.signal(Signal::SIGTERM);
            assert!(new.wait_exit().success(), "{path}");
            assert_eq!(arp_ignore().trim(), "0");
            for words in ["link set lan0 down", "link set lan0 name v0", "link set v0 up"] {
                s.lab.ip_in(IN_A, words);
            }
            s.lab.wait_carrier(IN_A, "v0");
        }
    });
}
