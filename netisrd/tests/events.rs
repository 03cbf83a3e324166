//! What address, interface and configuration events leave behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Lab, SEC, VIP, VMAC, addr, del, name};
use compat::net::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IP};
use compat::net::if_::{IfMsghdr, IfReq};
use compat::netinet::ip::Ip;
use compat::sys::ctlsock::{MAX_PACKET, Reply, Request};
use compat::sys::errno::Errno;
use compat::sys::sockio::SIOCIFCREATE2;
use zerocopy::FromBytes;

const MAC2: [u8; 6] = [2, 0, 0, 0, 0, 2];

#[test]
fn a_parent_that_was_down_serves_both_addresses_again() {
    let mut lab = Lab::new(1);
    let a = lab.machine(2, 2, 0);
    let mut c = lab.client();
    lab.world.run_for(5 * SEC);
    assert!(lab.answers(&mut c, VMAC, VIP) && lab.answers(&mut c, MAC2, [10, 0, 0, 2]));
    lab.set_up(a, name("em2"), false);
    lab.world.run_for(SEC);
    assert!(!lab.answers(&mut c, VMAC, VIP) && !lab.answers(&mut c, MAC2, [10, 0, 0, 2]));
    lab.set_up(a, name("em2"), true);
    lab.world.run_for(5 * SEC);
    assert_eq!(lab.state(a), 2);
    assert!(lab.answers(&mut c, VMAC, VIP) && lab.answers(&mut c, MAC2, [10, 0, 0, 2]));
}

#[test]
fn another_backing_address_inherits_the_route() {
    let mut lab = Lab::new(1);
    let a = lab.machine(2, 2, 0);
    lab.ok(a, addr(name("em2"), [10, 0, 0, 22]));
    let mut c = lab.client();
    lab.world.run_for(5 * SEC);
    assert!(lab.answers(&mut c, VMAC, VIP));
    lab.ok(a, del(name("em2"), [10, 0, 0, 2]));
    lab.world.run_for(5 * SEC);
    assert_eq!(lab.state(a), 2);
    assert!(lab.answers(&mut c, VMAC, VIP) && lab.answers(&mut c, MAC2, [10, 0, 0, 22]));
    lab.ok(a, del(name("carp0"), VIP));
    assert!(lab.answers(&mut c, MAC2, [10, 0, 0, 22]));
}

#[test]
fn a_backing_address_that_is_deleted_hands_over_at_once() {
    let mut lab = Lab::new(1);
    let (a, b) = (lab.machine(2, 2, 0), lab.machine(3, 2, 100));
    lab.world.run_for(5 * SEC);
    let before = lab.world.now();
    lab.ok(a, del(name("em2"), [10, 0, 0, 2]));
    lab.world.run_until(before);
    assert_eq!((lab.state(a), lab.state(b)), (0, 2));
}

#[test]
fn the_same_address_again_is_no_transition() {
    let mut lab = Lab::new(1);
    let a = lab.machine(2, 2, 0);
    lab.world.run_for(5 * SEC);
    lab.ok(a, addr(name("carp0"), VIP));
    assert_eq!(lab.state(a), 2);
}

#[test]
fn who_has_no_part_in_carp_counts_and_says_nothing() {
    let mut lab = Lab::new(1);
    let (a, b) = (lab.machine(2, 1, 0), lab.machine(3, 1, 100));
    let bystander = lab.world.boot(1, 0);
    let dev = lab.lan.attach(name("em4"), [2, 0, 0, 0, 0, 4], 1);
    lab.world.attach(bystander, dev).unwrap();
    lab.world.run_for(5 * SEC);
    lab.set_up(b, name("carp0"), false);
    lab.world.run_for(100 * SEC);
    assert_eq!(lab.state(a), 2);
    assert_eq!((lab.stats(b).carps_badif, lab.stats(bystander).carps_badif), (0, 0));
}

#[test]
fn counters_are_zeroed_and_never_set() {
    let mut lab = Lab::new(1);
    let a = lab.machine(2, 1, 0);
    lab.world.run_for(10 * SEC);
    let set = lab.world.syscall(a, Request::sysctl("net.inet.carp.stats", &[0xff; 128]));
    assert_eq!(set.error, Some(Errno::EINVAL));
    assert_ne!(lab.stats(a).carps_opackets, 0);
    lab.ok(a, Request::sysctl("net.inet.carp.stats", &[0; 128]));
    assert_eq!(lab.stats(a).carps_opackets, 0);
}

#[test]
fn arp_replies_of_strangers_to_strangers_teach_nothing() {
    let mut lab = Lab::new(1);
    lab.machine(2, 2, 0);
    let mut c = lab.client();
    lab.world.run_for(5 * SEC);
    let reply = |spa: [u8; 4], sha: [u8; 6], tpa: [u8; 4]| {
        let mut p = vec![0, 1, 8, 0, 6, 4, 0, 2];
        p.extend([&sha[..], &spa, &[0; 6], &tpa].concat());
        p
    };
    // The client's address under another MAC, told to nobody in particular.
    c.send([0xff; 6], ETHERTYPE_ARP, &reply([10, 0, 0, 9], [2, 9, 9, 9, 9, 9], [10, 0, 0, 77]));
    lab.world.run_for(SEC / 100);
    c.ping(VMAC, VIP);
    lab.world.run_for(SEC / 100);
    let asked = lab.wire.lock().unwrap().iter().any(|f| f[12..14] == [8, 6] && f[38..42] == [10, 0, 0, 9]);
    assert!(asked, "it believed the stranger and did not ask");
    // What it asked for it believes.
    c.send(VMAC, ETHERTYPE_ARP, &reply([10, 0, 0, 9], c.dev.lladdr, VIP));
    lab.world.run_for(SEC / 100);
    assert!(c.heard().iter().any(|f| f[12..14] == [8, 0]), "the echo that was held");
}

#[test]
fn any_number_of_interfaces_is_listed_page_by_page() {
    let mut lab = Lab::new(1);
    let id = lab.world.boot(1, 0);
    for i in 0..1000u32 {
        let n = name(&format!("carp{i}"));
        lab.ok(id, Request::ioctl(SIOCIFCREATE2, &IfReq::new(n)));
        let [_, _, y, z] = (i + 1).to_be_bytes();
        lab.ok(id, addr(n, [10, 0, y, z]));
    }
    let (mut next, mut seen) = (0, Vec::new());
    loop {
        let r = lab.ok(id, Request::sysctl(&format!("net.route.iflist.{next}"), &[]));
        assert!(r.to_bytes().len() <= MAX_PACKET && Reply::from_bytes(&r.to_bytes()).is_ok());
        let mut rest = &r.data[..];
        if rest.is_empty() {
            break;
        }
        while !rest.is_empty() {
            let len = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
            if rest[3] == 0xe {
                seen.push(IfMsghdr::read_from_prefix(rest).unwrap().0.ifm_index);
            }
            rest = &rest[len..];
        }
        next = u32::from(*seen.last().unwrap()) + 1;
    }
    assert_eq!(seen.len(), 1000);
    assert!(seen.windows(2).all(|w| w[0] < w[1]));
}

#[test]
fn a_mask_that_carp_refuses_is_put_back() {
    let mut lab = Lab::new(20);
    let a = lab.machine(2, 1, 0);
    // carp1 has carp0's vhid, and an address that nothing backs.
    lab.ok(a, Request::ioctl(SIOCIFCREATE2, &IfReq::new(name("carp1"))));
    lab.ok(a, common::setvh(name("carp1"), 1, 0));
    lab.ok(a, common::addr_len(name("carp1"), [10, 0, 0, 7], 25));
    let list = |lab: &mut Lab| lab.ok(a, Request::sysctl("net.route.iflist.0", &[])).data.len();
    let routes = |lab: &mut Lab| lab.ok(a, Request::sysctl("net.route.table.0", &[])).data;
    let before = (list(&mut lab), routes(&mut lab));
    let refused = lab.world.syscall(a, common::addr_len(name("carp1"), [10, 0, 0, 7], 24));
    assert_eq!(refused.error, Some(Errno::EEXIST));
    assert_eq!((list(&mut lab), routes(&mut lab)), before);
    lab.world.run_for(5 * SEC);
    assert_eq!(lab.state(a), 2);
}

#[test]
fn an_advertisement_in_pieces_is_none() {
    let mut lab = Lab::new(21);
    let a = lab.machine(2, 1, 0);
    let c = lab.client();
    for (off, len) in [(0x2000, 16), (2, 20)] {
        let (src, dst) = ([10, 0, 0, 9].into(), [224, 0, 0, 18].into());
        let ip = Ip { hlen: 20, tos: 0, len: 0, id: 7, off, ttl: 255, p: 112, src, dst };
        c.send([1, 0, 0x5e, 0, 0, 0x12], ETHERTYPE_IP, &ip.packet(&vec![0x21, 1, 0, 7][..].repeat(len / 4)));
    }
    lab.world.run_for(SEC / 100);
    assert_eq!((lab.int(a, "net.inet.ip.stats.fragments"), lab.stats(a).carps_ipackets), (2, 0));
}
