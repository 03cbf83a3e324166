//! Whose the prefix routes are: a MASTER's, as long as there is one.
#![allow(clippy::unwrap_used)]

use crate::carpreq::CarpReq;
use crate::softc::{CarpSoftc, State};
use crate::sysctl::OIDS;
use crate::testutil::{Effect::*, World, master};
use crate::{Ifnet, ifaddr};
use compat::sys::sysctl;
use std::time::Duration;
use triomphe::Arc;

const SEC: Duration = Duration::from_secs(1);

/// carp1 with vhid 2 on em0's prefix, MASTER.
fn second(w: &mut World, addr: [u8; 4]) -> Arc<CarpSoftc> {
    let sc = w.carp_if("carp1");
    w.up(&sc);
    w.setvh(&sc, CarpReq { carpr_vhid: 2, carpr_advskew: 100, ..w.keep("secret") }).unwrap();
    w.add_addr(&sc.sc_if, addr).unwrap();
    w.pass(4 * SEC);
    assert_eq!(sc.state(), State::Master);
    w.effects();
    sc
}

#[test]
fn another_address_of_a_master_inherits_the_route_of_one_that_is_deleted() {
    let (mut w, sc) = master();
    w.add_addr(&sc.sc_if, [10, 0, 0, 9]).unwrap();
    w.pass(5 * SEC);
    assert_eq!((sc.state(), w.routes()), (State::Master, vec!["10.0.0.1 carp0".into()]));
    w.del_addr([10, 0, 0, 1]);
    assert_eq!((sc.state(), w.routes()), (State::Master, vec!["10.0.0.9 carp0".into()]));
    w.del_addr([10, 0, 0, 9]);
    assert_eq!((sc.state(), w.routes()), (State::Init, vec!["10.0.0.2 em0".into()]));
}

#[test]
fn another_master_of_the_prefix_inherits_the_route_of_one_that_yields() {
    let (mut w, sc) = master();
    let sc1 = second(&mut w, [10, 0, 0, 9]);
    assert_eq!(w.routes(), ["10.0.0.1 carp0"]);
    w.hear(&sc, 1, 0).unwrap();
    assert_eq!((sc.state(), w.routes()), (State::Backup, vec!["10.0.0.9 carp1".into()]));
    w.hear(&sc1, 1, 0).unwrap();
    assert_eq!((sc1.state(), w.routes()), (State::Backup, vec!["10.0.0.2 em0".into()]));
}

#[test]
fn another_master_inherits_whatever_ends_the_mastership_that_held_the_route() {
    type Step = (&'static str, fn(&mut World, &Arc<CarpSoftc>));
    let ends: [Step; 6] = [
        ("down", |w, sc| w.down(sc)),
        ("vhid", |w, sc| w.setvh(sc, CarpReq { carpr_vhid: 3, ..w.keep("secret") }).unwrap()),
        ("address", |w, _| w.del_addr([10, 0, 0, 1])),
        ("mask", |w, _| {
            let ia = w.ia([10, 0, 0, 1]);
            w.change(&ia, 25).unwrap();
        }),
        ("carpdev", |w, sc| {
            let em1 = w.ether("em1");
            w.cx(|cx| ifaddr::set_carpdev(cx, sc, Some(&em1))).unwrap();
        }),
        ("destroy", |w, sc| {
            w.cx(|cx| crate::clone::destroy(cx, sc));
            w.del_addr([10, 0, 0, 1]);
        }),
    ];
    for (what, end) in ends {
        let (mut w, sc) = master();
        let sc1 = second(&mut w, [10, 0, 0, 9]);
        end(&mut w, &sc);
        assert_eq!((sc1.state(), w.routes()), (State::Master, vec!["10.0.0.9 carp1".into()]), "{what}");
    }
}

#[test]
fn a_master_gets_the_route_that_its_parent_inherits_of_another_interface() {
    let mut w = World::new();
    let (em0, em1) = (w.ether("em0"), w.ether("em1"));
    w.add_addr(&em1, [10, 0, 0, 3]).unwrap();
    w.add_addr(&em0, [10, 0, 0, 2]).unwrap();
    let sc = w.carp_if("carp0");
    w.up(&sc);
    w.setvh(&sc, CarpReq { carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    w.cx(|cx| ifaddr::set_carpdev(cx, &sc, Some(&em0))).unwrap();
    w.add_addr(&sc.sc_if, [10, 0, 0, 1]).unwrap();
    w.pass(4 * SEC);
    assert_eq!(
        (sc.state(), w.routes()),
        (State::Master, vec!["10.0.0.3 em1".into()]),
        "another's is another's"
    );
    w.set_up(&em1, false);
    assert_eq!((sc.state(), w.routes()), (State::Master, vec!["10.0.0.1 carp0".into()]));
}

fn setroute(w: &mut World, on: i32) {
    w.cx(|cx| sysctl::sysctl(OIDS, cx, "net.inet.carp.setroute", &on.to_ne_bytes(), true)).unwrap().unwrap();
}

#[test]
fn setroute_acts_at_once_on_who_is_master_and_nobody_keeps_a_route_without_it() {
    let (mut w, sc) = master();
    let net = core::net::Ipv4Addr::new(10, 0, 0, 0);
    setroute(&mut w, 0);
    assert_eq!((sc.state(), w.effects()), (State::Master, vec![Route(net, "carp0", "em0")]));
    w.hear(&sc, 1, 0).unwrap();
    w.pass(4 * SEC);
    assert_eq!((sc.state(), w.routes()), (State::Master, vec!["10.0.0.2 em0".into()]));
    w.effects();
    setroute(&mut w, 1);
    assert_eq!((sc.state(), w.effects()), (State::Master, vec![Route(net, "em0", "carp0")]));
    setroute(&mut w, 2);
    assert_eq!(w.effects(), []);
    w.hear(&sc, 1, 0).unwrap();
    setroute(&mut w, 0);
    setroute(&mut w, 1);
    assert_eq!((sc.state(), w.routes()), (State::Backup, vec!["10.0.0.2 em0".into()]));
}

/// carp0 bound to em0, which has an address in each of two prefixes; MASTER.
fn bound() -> (World, Arc<CarpSoftc>, Arc<Ifnet>) {
    let mut w = World::new();
    let em0 = w.ether("em0");
    w.add(&em0, "10.0.0.2/24").unwrap();
    w.add(&em0, "10.0.1.2/24").unwrap();
    let sc = w.carp_if("carp0");
    w.cx(|cx| ifaddr::set_carpdev(cx, &sc, Some(&em0))).unwrap();
    w.up(&sc);
    w.setvh(&sc, CarpReq { carpr_vhid: 1, ..w.keep("secret") }).unwrap();
    w.add(&sc.sc_if, "10.0.0.1/24").unwrap();
    w.add(&sc.sc_if, "10.0.1.1/24").unwrap();
    w.pass(5 * SEC);
    assert_eq!(sc.state(), State::Master);
    w.effects();
    (w, sc, em0)
}

fn backing(w: &mut World, sc: &Arc<CarpSoftc>) -> Vec<String> {
    w.cx(|cx| crate::ioctl::getvhaddr(cx, sc)).iter().map(|v| v.carpa_baddr.addr().to_string()).collect()
}

#[test]
fn on_a_parent_chosen_by_name_backing_addresses_come_go_and_change_without_a_transition() {
    let (mut w, sc, em0) = bound();
    let routes = ["10.0.0.1 carp0", "10.0.1.1 carp0"];
    w.del_addr([10, 0, 1, 2]);
    assert_eq!(
        (sc.state(), w.effects(), backing(&mut w, &sc)),
        (State::Master, vec![], vec!["10.0.0.2".into(); 2])
    );
    assert_eq!(w.routes(), routes);
    w.del_addr([10, 0, 0, 2]);
    assert_eq!(
        (sc.state(), w.effects(), backing(&mut w, &sc)),
        (State::Master, vec![], vec!["0.0.0.0".into(); 2])
    );
    assert_eq!(w.routes(), routes);
    w.add(&em0, "10.0.1.2/24").unwrap();
    assert_eq!(
        (sc.state(), w.effects(), backing(&mut w, &sc)),
        (State::Master, vec![], vec!["10.0.1.2".into(); 2])
    );
    w.add(&em0, "10.0.0.2/24").unwrap();
    assert_eq!(
        (sc.state(), w.effects(), backing(&mut w, &sc)),
        (State::Master, vec![], vec!["10.0.0.2".into(), "10.0.1.2".into()])
    );
    let ia = w.ia([10, 0, 1, 2]);
    w.change(&ia, 25).unwrap();
    assert_eq!((sc.state(), w.effects()), (State::Master, vec![]));
    assert_eq!(w.routes(), ["10.0.0.1 carp0", "10.0.1.1 carp0", "10.0.1.2 em0"], "a prefix of its own");
    w.change(&ia, 24).unwrap();
    assert_eq!(
        (sc.state(), w.effects(), w.routes()),
        (State::Master, vec![], routes.map(String::from).to_vec())
    );
    // Who yields gives back what it has, to what is there.
    w.setvh(&sc, CarpReq { carpr_state: State::Backup as i32, ..w.keep("secret") }).unwrap();
    assert_eq!(sc.state(), State::Backup);
    assert_eq!(w.routes(), ["10.0.1.2 em0", "10.0.0.2 em0"]);
}

#[test]
fn a_parent_chosen_by_name_that_gets_the_virtual_address_for_its_own_makes_an_owner_of_it() {
    let (mut w, sc, em0) = bound();
    sc.own(&w.n0).advskew.set(100);
    w.add(&em0, "10.0.0.1/24").unwrap();
    let flags = |w: &mut World| -> Vec<u32> {
        w.cx(|cx| crate::ioctl::getvhaddr(cx, &sc)).iter().map(|v| v.carpa_flags).collect()
    };
    assert_eq!((flags(&mut w), sc.own(&w.n0).advskew.get(), sc.state()), (vec![3, 2], 0, State::Master));
    let own = w
        .kern
        .ifaddrs
        .borrow()
        .iter()
        .find(|ia| Arc::ptr_eq(&ia.ifa_ifp, &em0) && ia.ifa_addr == core::net::IpAddr::from([10, 0, 0, 1]))
        .cloned();
    w.del(&own.unwrap());
    assert_eq!((flags(&mut w), sc.own(&w.n0).advskew.get(), sc.state()), (vec![2, 2], 0, State::Master));
}
