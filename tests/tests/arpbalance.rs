//! `net.inet.carp.arpbalance`: two vhids have one address, each machine is
//! master of one of them, and the clients are shared between the two.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of the real world")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tests::lab::{
    self, Frame, Lab, Mac, N1, N2, Needs, Netisrd, VIP, Wire, arp_request, on_tap, settle, virtual_mac,
};

const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100);
const CLIENTS: u8 = 64;
const TAPS: [&str; 2] = ["em0", "em1"];

/// A client: nothing but addresses in forged frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Client {
    mac: Mac,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
}

fn clients() -> impl Iterator<Item = Client> {
    (0..CLIENTS).map(|n| Client {
        mac: [2, 0, 0, 0, 1, n],
        v4: Ipv4Addr::new(10, 77, 1, n),
        v6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 1, n.into()),
    })
}

/// One of the two questions for the virtual address, and its answers.
struct Question {
    ask: fn(&Client) -> Vec<u8>,
    /// To whom a frame tells which Ethernet address for the virtual address.
    told: fn(&Frame) -> Option<(IpAddr, Mac)>,
    own: fn(&Client) -> IpAddr,
    /// An echo request to an Ethernet address.
    ping: fn(&Client, Mac) -> Vec<u8>,
    virtual_address: IpAddr,
}

const ARP: Question = Question {
    ask: |c| arp_request(c.mac, c.v4, VIP),
    told: |f| f.arp().filter(|a| a.op == 2 && a.spa == VIP).map(|a| (a.tpa.into(), a.sha)),
    own: |c| c.v4.into(),
    ping: |c, to| lab::echo_request(to, c.mac, c.v4, VIP),
    virtual_address: IpAddr::V4(VIP),
};

const ND: Question = Question {
    ask: |c| lab::solicitation(c.mac, c.v6, VIP6),
    told: |f| {
        let nd = f.nd().filter(|n| n.kind == 136 && n.target == VIP6)?;
        Some((nd.dst.into(), nd.lladdr?))
    },
    own: |c| c.v6.into(),
    ping: |c, to| lab::echo_request6(to, c.mac, c.v6, VIP6),
    virtual_address: IpAddr::V6(VIP6),
};

struct Stage<'a> {
    lab: &'a Lab,
    wire: Wire,
    machines: [Netisrd; 2],
    /// What each machine says.
    said: [Wire; 2],
}

/// A machine that is better for one of the vhids. It has the clients' net too.
fn machine(lab: &Lab, n: usize, address: &str) -> Netisrd {
    let (tap, own) = (TAPS[n], [N1, N2][n]);
    let machine = on_tap(lab, &format!("m{n}"), &format!("{tap}@br0"), own);
    machine.ifconfig(&format!("{tap} {own}/16")).ok();
    machine.ifconfig(&format!("{tap} inet6 fd77::{}/64", n + 1)).ok();
    machine.sysctl("net.inet.carp.arpbalance=1");
    machine.sysctl("net.inet.carp.preempt=1");
    for vhid in 1..=2 {
        let skew = if vhid == n + 1 { 0 } else { 100 };
        machine.carp(&format!("carp{vhid}"), &format!("vhid {vhid} advskew {skew} pass secret {address}"));
    }
    machine
}

fn stage(address: &str, body: impl FnOnce(&Stage<'_>)) {
    lab::run(Needs::namespaces().taps(), |lab| {
        lab.bridge("br0");
        let wire = lab.wire("br0");
        let machines = [0, 1].map(|n| machine(lab, n, address));
        let said = TAPS.map(|tap| lab.wire_in(tap));
        for (n, machine) in machines.iter().enumerate() {
            machine.wait_master(&format!("carp{}", n + 1));
            machine.wait_backup(&format!("carp{}", 2 - n));
        }
        body(&Stage { lab, wire, machines, said });
    });
}

impl Stage<'_> {
    /// Asks for all clients; which Ethernet address each was told, and by
    /// whom. Each must get exactly one answer, from that address.
    fn ask(&self, q: &Question) -> BTreeMap<Client, (Mac, usize)> {
        let marks = [self.said[0].mark(), self.said[1].mark()];
        let mark = self.wire.mark();
        for c in clients() {
            self.wire.inject(&(q.ask)(&c));
        }
        let is_answer = |f: &Frame| (q.told)(f).is_some_and(|(to, _)| clients().any(|c| (q.own)(&c) == to));
        self.wire.wait_count(mark, CLIENTS.into(), "answers", is_answer);
        self.fence();
        let answers: Vec<_> = (0..2)
            .flat_map(|n| self.said[n].since(marks[n]).into_iter().map(move |f| (n, f)))
            .filter(|(_, f)| is_answer(f))
            .collect();
        assert_eq!(answers.len(), usize::from(CLIENTS), "one answer to each client");
        let mut told = BTreeMap::new();
        for (who, f) in &answers {
            let (to, mac) = (q.told)(f).unwrap();
            let client = clients().find(|c| (q.own)(c) == to).unwrap();
            assert_eq!((f.dst(), f.src()), (client.mac, mac), "{f:?}");
            assert!(told.insert(client, (mac, *who)).is_none(), "two answers to {client:?}");
        }
        told
    }

    /// Whoever is alive has said what it wanted to say.
    fn fence(&self) {
        for (n, own) in [N1, N2].into_iter().enumerate().filter(|(n, _)| self.machines[*n].proc.is_running())
        {
            let mark = self.said[n].mark();
            self.wire.inject(&arp_request([2, 0, 0, 0, 2, 0], Ipv4Addr::new(10, 77, 2, 0), own));
            self.said[n]
                .next(mark, "its own address", |f| f.arp().is_some_and(|a| a.op == 2 && a.spa == own));
        }
    }

    /// Everybody pings the Ethernet address it was told: exactly one reply
    /// each, from that address, by that machine.
    fn ping(&self, q: &Question, told: &BTreeMap<Client, (Mac, usize)>) {
        let marks = [self.said[0].mark(), self.said[1].mark()];
        let mark = self.wire.mark();
        for (c, (mac, _)) in told {
            self.wire.inject(&(q.ping)(c, *mac));
        }
        let is_reply = |f: &Frame| f.is_echo_reply_of(q.virtual_address);
        self.wire.wait_count(mark, told.len(), "replies", is_reply);
        self.fence();
        for (n, mark) in marks.into_iter().enumerate() {
            let frames = self.said[n].since(mark);
            let mut replies: Vec<_> =
                frames.iter().filter(|f| is_reply(f)).map(|f| (f.dst(), f.src())).collect();
            replies.sort_unstable();
            let wanted: Vec<_> =
                told.iter().filter(|(_, (_, who))| *who == n).map(|(c, (mac, _))| (c.mac, *mac)).collect();
            assert_eq!(replies, wanted, "replies of the machine {n}");
        }
    }
}

fn balance(q: &Question, address: &str) {
    stage(address, |s| {
        let shared = s.wire.mark();
        let told = s.ask(q);
        for (n, tap) in TAPS.into_iter().enumerate() {
            let mine: Vec<_> = told.iter().filter(|(_, (_, who))| *who == n).collect();
            let share = mine.len() * 100 / usize::from(CLIENTS);
            println!("{tap} serves {} of {CLIENTS}", mine.len());
            assert!((35..=65).contains(&share), "{tap} serves {share} per cent");
            let mac = virtual_mac(n as u8 + 1);
            assert!(mine.iter().all(|(_, (told, _))| *told == mac), "each by the vhid that it is master of");
        }
        s.ping(q, &told);
        assert_eq!(s.ask(q), told, "whoever asks again is told the same");
        s.machines[0].proc.kill();
        s.machines[1].wait_master("carp1");
        settle(&s.wire, 1);
        s.lab.wait_gone("em0");
        let after = s.ask(q);
        for (c, (mac, _)) in &told {
            assert_eq!(after[c], (*mac, 1), "the same address, by the survivor: {c:?}");
        }
        s.ping(q, &after);
        assert_eq!(s.machines[1].state("carp2"), "MASTER");
        let since = s.wire.since(shared);
        let announced: Vec<_> = since.iter().filter(|f| is_announcement(f)).collect();
        assert!(announced.is_empty(), "that would send all clients to one: {announced:#?}");
    });
}

/// Of the virtual address, to everybody.
fn is_announcement(f: &Frame) -> bool {
    let arp = f.arp().is_some_and(|a| (a.spa, a.tpa) == (VIP, VIP));
    arp || f.nd().is_some_and(|n| n.kind == 136 && n.target == VIP6 && n.dst.is_multicast())
}

#[test]
fn two_machines_share_the_clients_that_ask_by_arp_and_the_survivor_serves_all() {
    balance(&ARP, &format!("{VIP}/16"));
}

#[test]
fn two_machines_share_the_clients_that_solicit_and_the_survivor_serves_all() {
    balance(&ND, &format!("inet6 {VIP6}/64"));
}

/// Without it whoever is first among the masters answers all.
#[test]
fn without_balancing_one_vhid_answers_all() {
    stage(&format!("{VIP}/16"), |s| {
        for m in &s.machines {
            m.sysctl("net.inet.carp.arpbalance=0");
        }
        s.machines[1].ifconfig("carp2 down").ok();
        s.machines[0].wait_master("carp2");
        settle(&s.wire, 2);
        let told = s.ask(&ARP);
        assert!(told.values().all(|t| *t == (virtual_mac(1), 0)), "{told:?}");
        s.ping(&ARP, &told);
    });
}
