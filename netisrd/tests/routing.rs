//! Routing messages and the routing table, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Lab, SEC, addr, del, name};
use compat::net::if_::{IfMsghdr, IfReq, IfaMsghdr, LinkState};
use compat::net::route::*;
use compat::sys::ctlsock::Request;
use compat::sys::sockio::*;
use netisrd::net::rtsock::{Heard, Listener, QUEUE_LEN};
use netisrd::sim::MachineId;
use zerocopy::FromBytes;

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
            format!("if {} {} {link:?}", h.ifm_index, if h.ifm_flags & 1 != 0 { "up" } else { "down" })
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
            format!("{what} {} {a}", h.ifam_index)
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
fn a_transition_tells_the_link_state_and_moves_the_route() {
    let mut lab = Lab::new(1);
    let (a, b) = (lab.machine(2, 1, 0), lab.machine(3, 1, 100));
    let l = lab.world.listen(b).unwrap();
    lab.world.run_for(10 * SEC);
    assert_eq!(heard(&l), [""; 0], "a BACKUP that stays one has nothing to tell");
    assert_eq!(table(&mut lab, b), [("10.0.0.0".into(), 1)]);
    lab.world.crash(a);
    lab.world.run_for(4 * SEC);
    assert_eq!(heard(&l), ["if 2 up Up", "change 10.0.0.0 by 2"]);
    assert_eq!(table(&mut lab, b), [("10.0.0.0".into(), 2)]);
    // Somebody better is back.
    let c = lab.machine(4, 1, 0);
    lab.sysctl(c, "net.inet.carp.preempt", 1);
    lab.world.run_for(10 * SEC);
    assert_eq!(heard(&l), ["if 2 up Down", "change 10.0.0.0 by 1"]);
    assert_eq!(table(&mut lab, b), [("10.0.0.0".into(), 1)]);
}

#[test]
fn without_setroute_the_route_stays_where_it_is() {
    let mut lab = Lab::new(2);
    let a = lab.machine(2, 2, 0);
    lab.sysctl(a, "net.inet.carp.setroute", 0);
    let l = lab.world.listen(a).unwrap();
    lab.world.run_for(5 * SEC);
    assert_eq!((lab.state(a), heard(&l)), (2, vec!["if 2 up Up".into()]));
    assert_eq!(table(&mut lab, a), [("10.0.0.0".into(), 1)]);
}

#[test]
fn addresses_and_interfaces_come_and_go_aloud() {
    let mut lab = Lab::new(3);
    let a = lab.machine(2, 1, 0);
    let l = lab.world.listen(a).unwrap();
    lab.ok(a, Request::ioctl(SIOCIFCREATE2, &IfReq::new(name("carp7"))));
    assert_eq!(heard(&l), ["carp7 arrived"]);
    lab.ok(a, addr(name("em2"), [10, 1, 0, 2]));
    assert_eq!(heard(&l), ["add 10.1.0.0 by 1", "newaddr 1 10.1.0.2"]);
    lab.ok(a, del(name("em2"), [10, 1, 0, 2]));
    assert_eq!(heard(&l), ["delete 10.1.0.0 by 1", "deladdr 1 10.1.0.2"]);
    lab.ok(a, Request::ioctl(SIOCIFDESTROY, &IfReq::new(name("carp7"))));
    assert_eq!(heard(&l), ["carp7 departed"]);
    lab.set_up(a, name("em2"), false);
    let told = heard(&l);
    assert!(
        told.contains(&"if 1 down Up".into()) && told.contains(&"delete 10.0.0.0 by 1".into()),
        "{told:?}"
    );
    lab.set_up(a, name("em2"), true);
    assert!(heard(&l).contains(&"if 1 up Up".into()));
    lab.world.detach(a, 1);
    lab.world.run_for(SEC);
    assert_eq!(heard(&l).last().unwrap(), "em2 departed");
}

#[test]
fn a_listener_that_sleeps_loses_messages_knows_how_many_and_stops_nobody() {
    let mut lab = Lab::new(4);
    let a = lab.machine(2, 1, 0);
    let (asleep, awake) = (lab.world.listen(a).unwrap(), lab.world.listen(a).unwrap());
    let mut told = 0;
    for _ in 0..QUEUE_LEN {
        lab.ok(a, addr(name("em2"), [10, 1, 0, 2]));
        lab.ok(a, del(name("em2"), [10, 1, 0, 2]));
        told += heard(&awake).len();
    }
    assert_eq!(told, 4 * QUEUE_LEN);
    let late = heard(&asleep);
    assert_eq!((late.len(), &late[QUEUE_LEN][..]), (QUEUE_LEN + 1, &format!("lost {}", 3 * QUEUE_LEN)[..]));
    lab.ok(a, addr(name("em2"), [10, 1, 0, 2]));
    assert_eq!(heard(&asleep), heard(&awake));
}

#[test]
fn the_vhids_of_an_interface_tell_their_state_but_are_no_interfaces() {
    let mut lab = Lab::new(5);
    let id = lab.world.boot(1, 0);
    let dev = lab.lan.attach(name("em0"), [2, 0, 0, 0, 0, 2], 1);
    lab.world.attach(id, dev).unwrap();
    lab.ok(id, addr(name("em0"), [10, 0, 0, 2]));
    let l = lab.world.listen(id).unwrap();
    lab.ok(id, common::setvh(name("em0"), 1, 0));
    assert_eq!(heard(&l), ["if 1 up Unknown"]);
}
