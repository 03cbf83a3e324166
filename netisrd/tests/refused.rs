//! Lines that are refused, and what they leave alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Lab, SEC, name};
use netisrd::lab::host::command;
use netisrd::sim::MachineId;

/// em2 and em3; carp0, vhid 1, MASTER on em2.
fn lab() -> (Lab, MachineId) {
    let mut lab = Lab::new(5);
    let a = lab.machine(2, 1, 0);
    let dev = lab.lan.attach(name("em3"), [2, 0, 0, 0, 0, 3], 1);
    lab.world.attach(a, dev).unwrap();
    lab.world.run_for(5 * SEC);
    assert_eq!(lab.state(a), 2);
    (lab, a)
}

fn ok(lab: &mut Lab, a: MachineId, line: &str) {
    assert_eq!(command(&mut lab.world, a, line), (0, String::new()), "{line}");
}

/// Found by the fuzzer's seeds: the parent was left before the vhid was refused.
#[test]
fn a_vhid_that_is_taken_on_the_new_parent_leaves_a_master_a_master() {
    let holders = [
        &["ifconfig em3 vhid 3 pass x 10.3.0.1/24"][..],
        &["ifconfig carp3 create", "ifconfig carp3 carpdev em3 vhid 3 pass x"],
    ];
    for holder in holders {
        let (mut lab, a) = lab();
        holder.iter().for_each(|line| ok(&mut lab, a, line));
        let wire = lab.wire.lock().unwrap().len();
        let (status, said) = command(&mut lab.world, a, "ifconfig carp0 carpdev em3 vhid 3");
        assert_eq!((status, said.as_str()), (1, "ifconfig-carp: SIOCSVH: File exists\n"), "{holder:?}");
        assert_eq!(lab.state(a), 2, "{holder:?}");
        assert_eq!(lab.wire.lock().unwrap().len(), wire, "and nothing is said: {holder:?}");
        // Another one has room there.
        ok(&mut lab, a, "ifconfig carp0 carpdev em3 vhid 4");
        assert!(command(&mut lab.world, a, "ifconfig carp0").1.contains("vhid 4"));
    }
}
