//! What a vhid of FreeBSD's model says of itself, and to whom: nobody hears of
//! the interface underneath.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Lab, SEC, VIP, addr, addr_len, addr6, del, name, setvh};
use compat::net::if_::*;
use compat::net::route::*;
use compat::sys::ctlsock::Request;
use compat::sys::errno::Errno;
use compat::sys::sockio::*;
use libcarp::carpreq::{CARPSDEVNAME, CarpReq, SIOCGVH};
use netisrd::net::rtsock::{Heard, Listener};
use netisrd::sim::MachineId;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// em0 with 10.0.0.2/24 and nothing else.
fn machine(lab: &mut Lab) -> MachineId {
    let id = lab.world.boot(1, 0);
    let dev = lab.lan.attach(name("em0"), [2, 0, 0, 0, 0, 2], 1);
    lab.world.attach(id, dev).unwrap();
    lab.ok(id, addr(name("em0"), [10, 0, 0, 2]));
    id
}

/// An address of a vhid of em0.
fn alias(vhid: i32, a: [u8; 4], len: u32) -> Request {
    let ifra = IfAliasReq::read_from_bytes(&addr_len(name("em0"), a, len).arg).unwrap();
    Request::ioctl(SIOCAIFADDR_VHID, &IfAliasReqVhid { ifra, ifra_vhid: vhid })
}

/// What was heard, short.
fn heard(l: &Listener) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(h) = l.next() {
        all.push(match h {
            Heard::Lost(n) => format!("lost {n}"),
            Heard::Message(m) => short(&m),
        });
    }
    all
}

fn short(m: &[u8]) -> String {
    assert_eq!(usize::from(u16::from_ne_bytes([m[0], m[1]])), m.len());
    assert_eq!(m[2], RTM_VERSION);
    match m[3] {
        RTM_IFINFO => {
            let h = IfMsghdr::read_from_prefix(m).unwrap().0;
            let link = LinkState::from(h.ifm_data.ifi_link_state as u8);
            let up = if h.ifm_flags & 1 != 0 { "up" } else { "down" };
            format!("if {}{} {up} {link:?}", h.ifm_index, of(h.ifm_data.ifi_vhid))
        }
        kind @ (RTM_NEWADDR | RTM_DELADDR) => {
            let (h, body) = IfaMsghdr::read_from_prefix(m).unwrap();
            let what = if kind == RTM_NEWADDR { "newaddr" } else { "deladdr" };
            // The mask comes first.
            let a = if body[1] == 2 {
                format!("{}.{}.{}.{}", body[20], body[21], body[22], body[23])
            } else {
                "v6".into()
            };
            format!("{what} {}{} {a}", h.ifam_index, of(h.ifam_vhid))
        }
        RTM_IFANNOUNCE => {
            let h = IfAnnouncemsghdr::read_from_prefix(m).unwrap().0;
            format!("{} {}", h.ifan_name, if h.ifan_what == IFAN_ARRIVAL { "arrived" } else { "departed" })
        }
        kind @ (RTM_ADD | RTM_DELETE | RTM_CHANGE) => {
            let (h, body) = RtMsghdr::read_from_prefix(m).unwrap();
            let what = ["", "add", "delete", "change"][usize::from(kind)];
            format!("{what} {}.{}.{}.{} by {}", body[4], body[5], body[6], body[7], h.rtm_index)
        }
        other => panic!("kind {other}"),
    }
}

/// Whose it is, if it is not the interface's own.
fn of(vhid: u8) -> String {
    if vhid == 0 { String::new() } else { format!(" vhid {vhid}") }
}

/// Index of the interface of each IPv4 route.
fn table(lab: &mut Lab, id: MachineId) -> Vec<(String, u16)> {
    let mut rest = &lab.ok(id, Request::sysctl("net.route.table.0", &[])).data[..];
    let mut all = Vec::new();
    while !rest.is_empty() {
        let len = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
        let (h, body) = RtMsghdr::read_from_prefix(&rest[..len]).unwrap();
        assert_eq!((h.rtm_type, h.rtm_addrs), (RTM_GET, RTA_DST | RTA_GATEWAY | RTA_NETMASK));
        all.push((format!("{}.{}.{}.{}", body[4], body[5], body[6], body[7]), h.rtm_index));
        rest = &rest[len..];
    }
    all
}

#[test]
fn whatever_a_vhid_has_to_tell_is_told_of_its_interface_with_the_vhid() {
    let mut lab = Lab::new(5);
    let id = machine(&mut lab);
    let l = lab.world.listen(id).unwrap();
    lab.ok(id, setvh(name("em0"), 1, 0));
    assert_eq!(heard(&l), ["if 1 vhid 1 up Unknown"]);
    lab.ok(id, alias(1, [10, 0, 0, 1], 24));
    lab.ok(id, alias(1, [10, 9, 0, 1], 24));
    assert_eq!(heard(&l).last().unwrap(), "newaddr 1 vhid 1 10.9.0.1");
    lab.world.run_for(5 * SEC);
    // The MASTER's routes are the vhid's, and leave by its interface still.
    assert_eq!(heard(&l), ["if 1 vhid 1 up Up", "add 10.9.0.0 by 1"]);
    assert_eq!(table(&mut lab, id), [("10.0.0.0".into(), 1), ("10.9.0.0".into(), 1)]);
    lab.ok(id, del(name("em0"), [10, 9, 0, 1]));
    lab.ok(id, del(name("em0"), [10, 0, 0, 1]));
    lab.set_up(id, name("em0"), false);
    let told = heard(&l);
    assert!(told.contains(&"deladdr 1 vhid 1 10.0.0.1".into()), "{told:?}");
    let strange = |t: &&String| !(t.contains(" 1 ") || t.ends_with(" by 1"));
    assert_eq!(told.iter().find(strange), None, "of an index that no list shows: {told:?}");
}

/// The name is the log's, and nobody else's.
#[test]
fn the_interface_under_a_vhid_is_nobodys_to_name() {
    let mut lab = Lab::new(6);
    let a = machine(&mut lab);
    lab.ok(a, setvh(name("em0"), 1, 0));
    lab.ok(a, alias(1, VIP, 24));
    lab.ok(a, Request::ioctl(SIOCIFCREATE2, &IfReq::new(name("carp0"))));
    let under = name("1@em0");
    let mut parent = IfDrv::new_zeroed();
    (parent.ifd_name, parent.ifd_cmd, parent.ifd_len) = (name("carp0"), CARPSDEVNAME, 16);
    for (what, r) in [
        ("its flags", Request::ioctl(SIOCGIFFLAGS, &IfReq::new(under))),
        ("its index", Request::ioctl(SIOCGIFINDEX, &IfReq::new(under))),
        ("its vhid", Request::ioctl(SIOCGVH, &IfReq::new(under))),
        ("its groups", Request::ioctl(SIOCGIFGROUP, &IfGroupReq::new(under))),
        ("down", Request::ioctl(SIOCSIFFLAGS, &IfReq::new(under))),
        ("another vhid", setvh(under, 2, 0)),
        ("another skew", setvh(under, 1, 9)),
        ("an address", addr(under, [10, 0, 0, 50])),
        ("an address less", del(under, VIP)),
        ("an IPv6 address", addr6(under, "2001:db8::1", 64)),
        ("its end", Request::ioctl(SIOCIFDESTROY, &IfReq::new(under))),
        ("a parent", Request::ioctl_with(SIOCSDRVSPEC, &parent, under.as_bytes())),
    ] {
        assert_eq!(lab.world.syscall(a, r).error, Some(Errno::ENXIO), "{what}");
    }
    let r = Request::ioctl(SIOCIFCREATE2, &IfReq::new(name("2@em0")));
    assert_eq!(lab.world.syscall(a, r).error, Some(Errno::EINVAL));
    lab.world.run_for(5 * SEC);
    let all = lab.ok(a, Request::ioctl(SIOCGVH, &IfReq::new(name("em0")))).data;
    let one = CarpReq::read_from_bytes(&all).unwrap();
    assert_eq!((one.carpr_vhid, one.carpr_state, one.carpr_advskew), (1, 2, 0), "untouched");
}
