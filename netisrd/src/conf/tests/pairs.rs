//! Whatever a file was and becomes: a reload leads to the machine that a start
//! would have made.

use super::rig::{Rig, SEC};

const FILES: &[&str] = &[
    "",
    "cloned_interfaces=carp0\nifconfig_carp0='vhid 1 pass secret 10.0.0.1/24'\n",
    "cloned_interfaces=carp0\nifconfig_carp0='vhid 1 advskew 10 advbase 2 10.0.0.1/24'\nnet.inet.carp.log=2\n",
    "cloned_interfaces='carp1 carp0'\nifconfig_carp0='vhid 2 pass x 10.0.0.4/24'\n\
     ifconfig_carp1='vhid 1 pass secret 10.0.0.1/24'\nnet.inet.carp.demotion=5\n",
    "ifconfig_em0='vhid 1 pass secret 10.0.0.1/32'\nifconfig_em0_alias0='vhid 2 10.0.0.4/32'\n",
    "ifconfig_em0='vhid 3'\nifconfig_em0_alias0='vhid 2 advskew 7 10.0.0.4/32'\n\
     ifconfig_em0_alias1='vhid 2 10.0.0.6/32'\nnet.inet.carp.preempt=1\n",
    "ifconfig_em0='vhid 3 10.0.0.7/32'\nifconfig_em0_alias0='10.0.0.4/24'\n",
    "cloned_interfaces=carp0\nifconfig_carp0='carpdev em0 vhid 4 peer 10.0.0.3 10.0.0.8/24 broadcast 10.0.0.254'\n\
     ifconfig_carp0_ipv6='inet6 2001:db8::8/64'\nifconfig_em0='debug group lan'\n",
    "cloned_interfaces='carp0'\nifconfig_carp0='vhid 4 10.0.0.8/25 -group carp down'\n\
     ifconfig_carp0_alias0='inet6 2001:db8::8/80'\nnet.inet.carp.demotion=-3\n",
    "cloned_interfaces=carp0\nifconfig_carp0='vhid 1 pass secret'\n",
    "cloned_interfaces=carp0\nifconfig_carp0='vhid 1 down -arp'\nifconfig_em0='down'\n",
    "cloned_interfaces='carp0 carp1 carp2'\nifconfig_carp1='10.0.0.9/24'\nifconfig_carp2='up'\n",
];

#[test]
fn a_reload_makes_what_a_start_makes() {
    // Whose turn it is depends on what was before; nothing else does.
    let dump = |rig: &mut Rig| rig.dump().replace("MASTER", "BACKUP");
    let made: Vec<String> = FILES
        .iter()
        .map(|text| {
            let mut rig = Rig::start("pairs-fresh", text);
            dump(&mut rig)
        })
        .collect();
    for (n, before) in FILES.iter().enumerate() {
        for (m, after) in FILES.iter().enumerate() {
            let mut rig = Rig::start("pairs", before);
            assert_eq!(dump(&mut rig), made[n], "a start is the same each time");
            let mut done = rig.reloaded(after);
            done.retain(|line| !line.contains(": warning: "));
            assert_eq!(done == ["nothing has changed"], n == m, "{n} to {m}: {done:?}");
            rig.world.run_for(10 * SEC);
            assert_eq!(dump(&mut rig), made[m], "{n} to {m}: {done:#?}");
            let back = rig.reloaded(before);
            rig.world.run_for(10 * SEC);
            assert_eq!(dump(&mut rig), made[n], "{m} back to {n}: {back:#?}");
        }
    }
}
