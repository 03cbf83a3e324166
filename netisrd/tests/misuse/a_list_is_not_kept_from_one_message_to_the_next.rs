//! A netisr is quiescent after each message: the interfaces that it saw in the
//! last one may be freed in the next.

use compat::qsbr::Netisr;
use netisrd::machine::{Machine, PerCpu};
use netisrd::net::netisr::{Netmsg, dispatch};

fn keep(m: &Machine, n: &mut Netisr, cpu: &PerCpu, msgs: [Netmsg; 2]) -> bool {
    let held = m.ifnets.load(n);
    for msg in msgs {
        dispatch(m, n, cpu, msg);
    }
    held.is_some()
}

fn main() {}
