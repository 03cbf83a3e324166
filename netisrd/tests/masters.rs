//! One master, whatever happened before: equal machines, deaf machines, machines
//! that cannot send.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Lab, SEC, VIP, addr, name, setvh};
use compat::net::if_::{IfDrv, IfMsghdr, IfReq};
use compat::net::route::{RTM_IFINFO, RtMsghdr};
use compat::sys::ctlsock::Request;
use compat::sys::errno::Errno;
use compat::sys::sockio::*;
use libcarp::carpreq::CARPSDEVNAME;
use netisrd::dev::Transmit;
use netisrd::dev::lan::filter;
use netisrd::net::rtsock::Heard;
use netisrd::sim::MachineId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use zerocopy::{FromBytes, IntoBytes};

/// For two minutes, twice a second, the machines are in these states.
fn stay(lab: &mut Lab, ids: &[MachineId], states: &[i32], what: &str) {
    for half in 0..240 {
        assert_eq!(lab.states(ids), states, "{what}, after {half} halves of a second");
        lab.world.run_for(SEC / 2);
    }
}

fn no_echoes(lab: &mut Lab, ids: &[MachineId]) {
    assert!(ids.iter().all(|id| lab.int(*id, "net.inet.carp.ownechoes") == 0));
}

/// The advertisements on the wire: source, advbase, advskew.
fn advertisements(lab: &Lab) -> Vec<(u8, u8, u8)> {
    let wire = lab.wire.lock().unwrap();
    let ads = wire.iter().filter(|f| f[12..14] == [8, 0] && f[23] == 112);
    ads.map(|f| (f[29], f[39], f[36])).collect()
}

#[test]
fn equal_backups_that_hear_one_bow_out_leave_one_master_at_once() {
    for seed in 0..10 {
        let mut lab = Lab::new(seed);
        let ids = [lab.machine(2, 1, 0), lab.machine(3, 1, 100), lab.machine(4, 1, 100)];
        lab.world.run_for(10 * SEC);
        lab.world.halt(ids[0]);
        lab.world.run_for(SEC / 10);
        stay(&mut lab, &ids[1..], &[2, 1], &format!("seed {seed}"));
        no_echoes(&mut lab, &ids[1..]);
    }
}

#[test]
fn a_master_that_is_not_heard_yields_all_the_same() {
    let mut lab = Lab::new(1);
    let ids = [lab.machine(2, 1, 0), lab.machine(3, 1, 100)];
    lab.world.run_for(10 * SEC);
    for up in [false, true] {
        lab.set_up(ids[0], name("carp0"), up);
        lab.world.run_for(5 * SEC);
    }
    assert_eq!(lab.states(&ids), [1, 2]);
    // Nobody hears the worse one any more.
    lab.lan.set_medium(Some(filter(|_, f| !(f[12..14] == [8, 0] && f[23] == 112 && f[29] == 3))));
    lab.world.run_for(4 * SEC);
    stay(&mut lab, &ids, &[2, 1], "one way");
    no_echoes(&mut lab, &ids);
}

#[test]
fn equal_machines_with_both_families_have_one_master_whoever_is_lower_in_each() {
    for preempt in [0, 1] {
        for macs in [[9, 3], [2, 3]] {
            let mut lab = Lab::new(1);
            let mut ids = vec![];
            for (n, mac) in [2u8, 3].into_iter().zip(macs) {
                let id = lab.world.boot(1, 0);
                let em = name(&format!("em{n}"));
                // The link-local address is made of it.
                lab.world.attach(id, lab.lan.attach(em, [2, 0, 0, 0, 0, mac], 1)).unwrap();
                lab.ok(id, addr(em, [10, 0, 0, n]));
                lab.addr6(id, em, &format!("2001:db8::{n}"));
                lab.carp(id, "carp0", 1, 50, VIP);
                lab.addr6(id, name("carp0"), "2001:db8::1");
                lab.sysctl(id, "net.inet.carp.preempt", preempt);
                ids.push(id);
            }
            lab.world.run_for(4 * SEC);
            stay(&mut lab, &ids, &[2, 1], &format!("preempt {preempt}, {macs:?}"));
        }
    }
}

#[test]
fn equal_machines_without_any_address_have_one_master() {
    for (seed, preempt) in [(1, 0), (2, 1), (3, 0), (4, 1)] {
        let mut lab = Lab::new(seed);
        let (mut ids, em, carp) = (vec![], name("em0"), name("carp0"));
        for n in [2u8, 3] {
            let id = lab.world.boot(1, 0);
            lab.world.attach(id, lab.lan.attach(em, [2, 0, 0, 0, 0, n], 1)).unwrap();
            lab.ok(id, Request::ioctl(SIOCIFCREATE2, &IfReq::new(carp)));
            let ifd = IfDrv { ifd_name: carp, ifd_cmd: CARPSDEVNAME, ifd_len: 16, ifd_data: 0 };
            lab.ok(id, Request::ioctl_with(SIOCSDRVSPEC, &ifd, em.as_bytes()));
            lab.ok(id, setvh(carp, 1, 50));
            lab.ok(id, addr(carp, VIP));
            lab.sysctl(id, "net.inet.carp.preempt", preempt);
            ids.push(id);
        }
        lab.world.run_for(4 * SEC);
        let settled = lab.states(&ids);
        assert!(settled == [2, 1] || settled == [1, 2], "{settled:?}");
        stay(&mut lab, &ids, &settled, "no address");
    }
}

/// A device that loses what it is given, and says so.
struct Flaky {
    inner: Arc<dyn Transmit>,
    broken: Arc<AtomicBool>,
    only_carp: bool,
}

impl Transmit for Flaky {
    fn transmit(&self, queue: usize, frame: &[u8]) -> Result<(), Errno> {
        let is_carp = frame[12..14] == [8, 0] && frame[23] == 112;
        if self.broken.load(Ordering::SeqCst) && (is_carp || !self.only_carp) {
            return Err(Errno::ENOBUFS);
        }
        self.inner.transmit(queue, frame)
    }

    fn set_promisc(&self, on: bool) -> Result<(), Errno> {
        self.inner.set_promisc(on)
    }
}

#[test]
fn a_machine_that_cannot_send_gives_up_once_and_does_not_come_back_before_its_peer_goes() {
    for only_carp in [false, true] {
        let mut lab = Lab::new(1);
        let mut ids = vec![];
        let broken = Arc::new(AtomicBool::new(false));
        for (n, skew) in [(2u8, 0), (3, 100)] {
            let id = lab.world.boot(1, 0);
            let em = name(&format!("em{n}"));
            let mut dev = lab.lan.attach(em, [2, 0, 0, 0, 0, n], 1);
            if n == 2 {
                dev.tx = Arc::new(Flaky { inner: dev.tx.clone(), broken: broken.clone(), only_carp });
            }
            lab.world.attach(id, dev).unwrap();
            lab.ok(id, addr(em, [10, 0, 0, n]));
            lab.carp(id, "carp0", 1, skew, VIP);
            lab.sysctl(id, "net.inet.carp.preempt", 1);
            ids.push(id);
        }
        lab.world.run_for(10 * SEC);
        assert_eq!(lab.states(&ids), [2, 1]);
        broken.store(true, Ordering::SeqCst);
        lab.world.run_for(8 * SEC);
        stay(&mut lab, &ids, &[1, 2], "broken");
        // Mended, it would not know: the reason is still there.
        broken.store(false, Ordering::SeqCst);
        stay(&mut lab, &ids, &[1, 2], "mended");
        assert_eq!(lab.int(ids[0], "net.inet.carp.suppress_preempt"), 1);
        lab.set_up(ids[1], name("carp0"), false);
        lab.world.run_for(10 * SEC);
        assert_eq!((lab.state(ids[0]), lab.int(ids[0], "net.inet.carp.suppress_preempt")), (2, 0));
        lab.set_up(ids[1], name("carp0"), true);
        lab.world.run_for(10 * SEC);
        stay(&mut lab, &ids, &[2, 1], "as it was");
    }
}

#[test]
fn a_parent_that_comes_up_with_many_addresses_starts_one_election() {
    let mut lab = Lab::new(1);
    let ids = [(2u8, 0), (3, 100), (4, 150)].map(|(n, skew)| {
        let id = lab.machine(n, 1, skew);
        for k in 0..5u8 {
            lab.ok(id, addr(name("carp0"), [10, 0, 0, 100 + k]));
        }
        lab.addr6(id, name(&format!("em{n}")), &format!("2001:db8::{n}"));
        lab.addr6(id, name("carp0"), "2001:db8::1");
        lab.sysctl(id, "net.inet.carp.preempt", 1);
        id
    });
    lab.world.run_for(10 * SEC);
    lab.set_up(ids[0], name("em2"), false);
    lab.world.run_for(10 * SEC);
    assert_eq!(lab.states(&ids), [0, 2, 1]);
    let listeners = ids.map(|id| lab.world.listen(id).unwrap());
    lab.wire.lock().unwrap().clear();
    lab.set_up(ids[0], name("em2"), true);
    lab.world.run_for(SEC / 10);
    assert_eq!(lab.states(&ids), [2, 1, 1]);
    assert_eq!(advertisements(&lab), [(2, 1, 0)], "it says once that it is there, and nobody says good-bye");
    let states = listeners.each_ref().map(|l| {
        let all = std::iter::from_fn(|| l.next());
        let is_carp0 = |h: &Heard| {
            let Heard::Message(m) = h else { panic!("messages were lost") };
            m[3] == RTM_IFINFO && IfMsghdr::read_from_prefix(m).unwrap().0.ifm_index == 2
        };
        all.filter(is_carp0).count()
    });
    assert_eq!(states, [1, 1, 0], "one transition each, of the two that have one");
}

#[test]
fn a_master_keeps_the_route_whichever_of_its_addresses_goes_and_setroute_acts_at_once() {
    let mut lab = Lab::new(1);
    let a = lab.machine(2, 1, 0);
    lab.ok(a, addr(name("carp0"), [10, 0, 0, 9]));
    lab.carp(a, "carp1", 2, 0, [10, 0, 0, 22]);
    lab.world.run_for(10 * SEC);
    let table = |lab: &mut Lab| {
        let r = lab.ok(a, Request::sysctl("net.route.table.0", &[])).data;
        let h = RtMsghdr::read_from_prefix(&r).unwrap().0;
        assert_eq!(usize::from(h.rtm_msglen), r.len(), "one prefix");
        h.rtm_index
    };
    let (em2, carp0, carp1) = (1, 2, 3);
    assert_eq!(table(&mut lab), carp0);
    lab.set_up(a, name("carp1"), false);
    lab.ok(a, common::del(name("carp0"), VIP));
    assert_eq!((lab.state(a), table(&mut lab)), (2, carp0), "by its other address");
    lab.set_up(a, name("carp1"), true);
    lab.world.run_for(5 * SEC);
    lab.sysctl(a, "net.inet.carp.setroute", 0);
    assert_eq!(table(&mut lab), em2);
    lab.sysctl(a, "net.inet.carp.setroute", 1);
    assert_ne!(table(&mut lab), em2);
    lab.set_up(a, name("carp0"), false);
    assert_eq!(table(&mut lab), carp1);
    lab.set_up(a, name("carp1"), false);
    assert_eq!(table(&mut lab), em2);
}
