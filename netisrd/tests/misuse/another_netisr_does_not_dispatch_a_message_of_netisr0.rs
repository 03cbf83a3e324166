//! As with sending it there: it would change what netisr0 has no lock for.

use compat::qsbr::Netisr;
use netisrd::machine::{Machine, PerCpu};
use netisrd::net::netisr::{Netmsg0, dispatch, dispatch0};

fn as_netisr0(m: &Machine, n: &mut Netisr, cpu: &PerCpu, msg: Netmsg0) {
    dispatch0(m, n, cpu, msg);
}

fn as_its_own(m: &Machine, n: &mut Netisr, cpu: &PerCpu, msg: Netmsg0) {
    dispatch(m, n, cpu, msg);
}

fn main() {}
