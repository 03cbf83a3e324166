//! FreeBSD's model: vhids that belong to the interface which carries them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Lab, SEC, VIP, VMAC, addr, addr6, del, del6, name, setvh};
use compat::net::if_::{IfAliasReq, IfAliasReqVhid, IfGroupReq, IfName, IfReq, IfaMsghdr, Iff};
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6_var::{In6AliasReq, In6AliasReqVhid, SIOCAIFADDR_IN6_VHID};
use compat::sys::ctlsock::Request;
use compat::sys::errno::Errno;
use compat::sys::sockio::*;
use libcarp::carpreq::{CARPR_STATE_KEEP, CARPR_VHID_CLEAR, CarpReq, SIOCGVH, SIOCSVH};
use netisrd::sim::MachineId;
use zerocopy::{FromBytes, IntoBytes};

fn em0() -> IfName {
    name("em0")
}

/// em0 with 10.0.0.N/24 and nothing else.
fn machine(lab: &mut Lab, n: u8) -> MachineId {
    let id = lab.world.boot(1, 0);
    let dev = lab.lan.attach(em0(), [2, 0, 0, 0, 0, n], 1);
    lab.world.attach(id, dev).unwrap();
    lab.ok(id, addr(em0(), [10, 0, 0, n]));
    id
}

fn alias(vhid: i32, a: [u8; 4], len: u32) -> Request {
    let mask = compat::netinet::in_::mask_of_len(len).unwrap();
    let ifra = IfAliasReq {
        ifra_name: em0(),
        ifra_addr: SockAddrIn::new(a.into()),
        ifra_broadaddr: SockAddrIn::default(),
        ifra_mask: SockAddrIn::new(mask),
    };
    Request::ioctl(SIOCAIFADDR_VHID, &IfAliasReqVhid { ifra, ifra_vhid: vhid })
}

fn alias6(vhid: i32, a: &str) -> Request {
    let ifra = In6AliasReq::read_from_bytes(&addr6(em0(), a, 64).arg).unwrap();
    Request::ioctl(SIOCAIFADDR_IN6_VHID, &In6AliasReqVhid { ifra, ifra_vhid: vhid, ifra_pad: 0 })
}

fn vhids(lab: &mut Lab, id: MachineId) -> Vec<(i32, i32, i32)> {
    let r = lab.ok(id, Request::ioctl(SIOCGVH, &IfReq::new(em0())));
    assert_eq!(r.data.len() % 36, 0);
    let all = r.data.chunks(36).map(|c| CarpReq::read_from_bytes(c).unwrap());
    all.map(|c| (c.carpr_vhid, c.carpr_state, c.carpr_advskew)).collect()
}

#[test]
fn a_vhid_of_an_interface_is_a_carp_interface_that_no_list_shows() {
    let mut lab = Lab::new(1);
    let (a, b) = (machine(&mut lab, 2), machine(&mut lab, 3));
    for (id, skew) in [(a, 0), (b, 100)] {
        lab.ok(id, setvh(em0(), 1, skew));
        // FreeBSD needs no prefix of the interface's for it.
        lab.ok(id, alias(1, VIP, 32));
        lab.ok(id, alias6(1, "2001:db8::1"));
    }
    lab.world.run_for(5 * SEC);
    assert_eq!((vhids(&mut lab, a), vhids(&mut lab, b)), (vec![(1, 2, 0)], vec![(1, 1, 100)]));
    let mut c = lab.client();
    assert!(lab.answers(&mut c, VMAC, VIP));

    // One interface on the list, with three addresses of its own and two that
    // say whose they are.
    let list = lab.ok(a, Request::sysctl("net.route.iflist.0", &[])).data;
    let (mut at, mut interfaces, mut owners) = (0, 0, Vec::new());
    while at < list.len() {
        let len = usize::from(u16::from_ne_bytes([list[at], list[at + 1]]));
        match list[at + 3] {
            0xe => interfaces += 1,
            _ => owners.push(IfaMsghdr::read_from_prefix(&list[at..]).unwrap().0.ifam_vhid),
        }
        at += len;
    }
    assert_eq!((interfaces, owners), (1, vec![0, 1, 1]));
    let members = IfGroupReq { ifgr_len: 1024, ..IfGroupReq::new(name("carp")) };
    assert_eq!(lab.ok(a, Request::ioctl(SIOCGIFGMEMB, &members)).data, [0; 0]);

    // Taken over, and given up with the last address.
    lab.world.halt(a);
    lab.world.run_for(SEC / 100);
    assert_eq!(vhids(&mut lab, b), [(1, 2, 100)]);
    lab.ok(b, del(em0(), VIP));
    assert_eq!(vhids(&mut lab, b), [(1, 2, 100)]);
    lab.ok(b, del6(em0(), "2001:db8::1"));
    assert_eq!(vhids(&mut lab, b), []);
    assert!(!lab.answers(&mut c, VMAC, VIP));
}

#[test]
fn both_models_speak_to_each_other_and_share_the_vhids_of_an_interface() {
    let mut lab = Lab::new(2);
    let (a, b) = (lab.machine(2, 1, 0), machine(&mut lab, 3));
    lab.ok(b, setvh(em0(), 1, 100));
    lab.ok(b, alias(1, VIP, 24));
    lab.world.run_for(5 * SEC);
    assert_eq!((lab.state(a), vhids(&mut lab, b)), (2, vec![(1, 1, 100)]));
    let s = lab.stats(b);
    assert_eq!((s.carps_badauth, s.carps_ipackets > 0), (0, true));
    // One vhid, one holder, in either model.
    let dragonfly = |lab: &mut Lab, vhid| {
        lab.ok(b, Request::ioctl(SIOCIFCREATE2, &IfReq::new(name("carp0"))));
        lab.ok(b, setvh(name("carp0"), vhid, 0));
        lab.world.syscall(b, addr(name("carp0"), [10, 0, 0, 50])).error
    };
    assert_eq!(dragonfly(&mut lab, 1), Some(Errno::EEXIST));
    lab.ok(b, setvh(name("carp0"), 2, 0));
    lab.ok(b, addr(name("carp0"), [10, 0, 0, 50]));
    assert_eq!(lab.world.syscall(b, setvh(em0(), 2, 0)).error, Some(Errno::EEXIST));
    assert_eq!(vhids(&mut lab, b), [(1, 1, 100)]);
}

#[test]
fn what_is_no_vhid_of_the_interface_is_refused() {
    let mut lab = Lab::new(3);
    let a = machine(&mut lab, 2);
    let error = |lab: &mut Lab, r| lab.world.syscall(a, r).error;
    assert_eq!(error(&mut lab, alias(1, VIP, 24)), Some(Errno::ENOENT));
    assert_eq!(error(&mut lab, setvh(em0(), 0, 0)), Some(Errno::EINVAL));
    assert_eq!(error(&mut lab, setvh(em0(), 256, 0)), Some(Errno::EINVAL));
    assert_eq!(error(&mut lab, setvh(em0(), 1, 255)), Some(Errno::EINVAL));
    assert_eq!(vhids(&mut lab, a), [], "a request that failed made none");
    let one = CarpReq { carpr_vhid: 7, ..CarpReq::default() };
    let r = Request::ioctl_with(SIOCGVH, &IfReq::new(em0()), one.as_bytes());
    assert_eq!(error(&mut lab, r), Some(Errno::ENOENT));
}

/// A request about a vhid of em0 that keeps its state.
fn request(vhid: i32) -> Request {
    let req =
        CarpReq { carpr_state: CARPR_STATE_KEEP, carpr_vhid: vhid, carpr_advbase: 1, ..CarpReq::default() };
    Request::ioctl_with(SIOCSVH, &IfReq::new(em0()), req.as_bytes())
}

#[test]
fn a_vhid_is_taken_back_by_its_number() {
    let mut lab = Lab::new(4);
    let a = machine(&mut lab, 2);
    lab.ok(a, setvh(em0(), 9, 0));
    lab.ok(a, setvh(em0(), 4, 0));
    assert_eq!(vhids(&mut lab, a).len(), 2);
    lab.ok(a, request(CARPR_VHID_CLEAR + 9));
    assert_eq!(vhids(&mut lab, a), [(4, 0, 0)]);
    assert_eq!(lab.world.syscall(a, request(CARPR_VHID_CLEAR + 9)).error, Some(Errno::ENOENT));
}

#[test]
fn the_vhids_go_with_their_interface_and_stop_with_it() {
    let mut lab = Lab::new(5);
    let a = machine(&mut lab, 2);
    lab.ok(a, setvh(em0(), 1, 0));
    lab.ok(a, alias(1, VIP, 24));
    lab.world.run_for(5 * SEC);
    lab.set_up(a, em0(), false);
    assert_eq!(vhids(&mut lab, a), [(1, 0, 0)]);
    lab.set_up(a, em0(), true);
    lab.world.run_for(5 * SEC);
    assert_eq!(vhids(&mut lab, a), [(1, 2, 0)]);
    let r = lab.ok(a, Request::ioctl(SIOCGIFFLAGS, &IfReq::new(em0())));
    assert!(IfReq::read_from_bytes(&r.arg).unwrap().flags().contains(Iff::PROMISC));
    lab.world.detach(a, 1);
    lab.world.run_for(SEC);
    assert_eq!(lab.ok(a, Request::sysctl("net.route.iflist.0", &[])).data, [0; 0]);
    assert_eq!(lab.int(a, "net.inet.carp.suppress_preempt"), 0);
}
