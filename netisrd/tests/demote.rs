//! A group is demoted, in virtual time: OpenBSD's
//! `regress/sys/netinet/carp/carp_2.sh` to the microsecond.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Lab, SEC, name};
use compat::net::if_::IfGroupReq;
use compat::sys::ctlsock::Request;
use compat::sys::sockio::SIOCSIFGATTR;
use netisrd::sim::MachineId;

/// `ifconfig -g carp carpdemote`, or `-carpdemote`.
fn demote(lab: &mut Lab, id: MachineId, by: i32) {
    let mut ifgr = IfGroupReq::new(name("carp"));
    ifgr.set_carp_demoted(by);
    lab.ok(id, Request::ioctl(SIOCSIFGATTR, &ifgr));
}

/// The scripts look 0.1 s after the command. Here no time passes at all: the
/// skew is raised, said, heard and answered at one instant.
#[test]
fn a_demoted_group_swaps_the_roles_within_a_tenth_of_a_second() {
    for seed in 0..8 {
        let mut lab = Lab::new(seed);
        let ids = [lab.machine(2, 2, 0), lab.machine(3, 2, 100)];
        for id in ids {
            lab.sysctl(id, "net.inet.carp.preempt", 1);
        }
        lab.world.run_for(10 * SEC);
        assert_eq!(lab.states(&ids), [2, 1]);
        demote(&mut lab, ids[0], 1);
        lab.world.run_for(SEC / 10);
        assert_eq!(lab.states(&ids), [1, 2], "seed {seed}");
        lab.world.run_for(30 * SEC);
        assert_eq!(lab.states(&ids), [1, 2], "and stay, seed {seed}");
        // back again: the better one hears the other's next advertisement
        demote(&mut lab, ids[0], -1);
        lab.world.run_for(2 * SEC);
        assert_eq!(lab.states(&ids), [2, 1], "seed {seed}");
    }
}

/// Both demoted alike are as they were: a demotion is no tie-break.
#[test]
fn two_demoted_machines_keep_one_master() {
    let mut lab = Lab::new(1);
    let ids = [lab.machine(2, 2, 0), lab.machine(3, 2, 100)];
    lab.world.run_for(10 * SEC);
    for id in ids {
        demote(&mut lab, id, 1);
        lab.world.run_for(10 * SEC);
    }
    let masters = lab.states(&ids).into_iter().filter(|s| *s == 2).count();
    assert_eq!(masters, 1);
}
