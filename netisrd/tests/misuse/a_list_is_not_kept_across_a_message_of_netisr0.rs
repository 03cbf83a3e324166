//! A system call may synchronise and free the interfaces that are held here.

use compat::qsbr::Netisr0;
use netisrd::machine::{Machine, PerCpu};
use netisrd::net::netisr::{Netmsg0, dispatch0};

fn keep(m: &Machine, n0: &mut Netisr0, cpu: &PerCpu, msg: Netmsg0) -> bool {
    let held = m.ifnets.load(n0);
    dispatch0(m, n0, cpu, msg);
    held.is_some()
}

fn main() {}
