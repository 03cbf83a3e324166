//! Who joins a demoted group, and who leaves it, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Lab, SEC, name};
use compat::net::if_::IfGroupReq;
use compat::sys::ctlsock::Request;
use compat::sys::sockio::{SIOCAIFGROUP, SIOCDIFGROUP, SIOCSIFGATTR};
use netisrd::sim::MachineId;

/// `ifconfig -g GROUP carpdemote`
fn demote(lab: &mut Lab, id: MachineId, group: &str, by: i32) {
    let mut ifgr = IfGroupReq::new(name(group));
    ifgr.set_carp_demoted(by);
    lab.ok(id, Request::ioctl(SIOCSIFGATTR, &ifgr));
}

/// A group that is demoted already: whoever joins it is demoted from then on,
/// whoever leaves it no longer. A MASTER says so at that instant, not with its
/// next advertisement.
#[test]
fn a_master_that_joins_or_leaves_a_demoted_group_says_so_at_once() {
    for seed in 0..4 {
        let mut lab = Lab::new(seed);
        let ids = [lab.machine(2, 2, 0), lab.machine(3, 2, 100)];
        for id in ids {
            lab.sysctl(id, "net.inet.carp.preempt", 1);
        }
        lab.world.run_for(10 * SEC + SEC / 4);
        assert_eq!(lab.states(&ids), [2, 1]);
        let member = |lab: &mut Lab, ifname, cmd| {
            let mut ifgr = IfGroupReq::new(name(ifname));
            ifgr.ifgr_ifgru[..5].copy_from_slice(b"maint");
            lab.ok(ids[0], Request::ioctl(cmd, &ifgr));
        };
        // Somebody must be in the group for it to be there.
        member(&mut lab, "em2", SIOCAIFGROUP);
        demote(&mut lab, ids[0], "maint", 1);
        assert_eq!(lab.states(&ids), [2, 1], "no member");
        let (now, before) = (lab.world.now(), lab.wire.lock().unwrap().len());
        member(&mut lab, "carp0", SIOCAIFGROUP);
        lab.world.run_until(now);
        assert_eq!((lab.states(&ids), lab.world.now()), (vec![1, 2], now), "seed {seed}");
        assert_eq!(said_since(&lab, before)[0], (2, 240));
        // And back: the better one hears the other's next advertisement.
        member(&mut lab, "carp0", SIOCDIFGROUP);
        lab.world.run_for(2 * SEC);
        assert_eq!(lab.states(&ids), [2, 1], "seed {seed}");
        // A master that nobody beats says it too.
        lab.world.crash(ids[1]);
        for (cmd, skew) in [(SIOCAIFGROUP, 240), (SIOCDIFGROUP, 0)] {
            lab.world.run_for(SEC / 3);
            let (now, before) = (lab.world.now(), lab.wire.lock().unwrap().len());
            member(&mut lab, "carp0", cmd);
            lab.world.run_until(now);
            assert_eq!(said_since(&lab, before), [(2, skew)]);
        }
    }
}

/// Who advertised and with which skew, from that frame on.
fn said_since(lab: &Lab, frame: usize) -> Vec<(u8, u8)> {
    let wire = lab.wire.lock().unwrap();
    let carp = |f: &&Vec<u8>| f[12..14] == [8, 0] && f[23] == 112;
    wire[frame..].iter().filter(carp).map(|f| (f[29], f[34 + 2])).collect()
}
