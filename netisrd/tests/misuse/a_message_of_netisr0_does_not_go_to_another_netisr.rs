//! What only netisr0 may touch would be touched by another; and a system call
//! could ask that one to synchronise.

use netisrd::machine::Machine;
use netisrd::net::netisr::Netmsg0;

fn send(m: &Machine, msg: Netmsg0) {
    m.ports[0].sendmsg(msg);
}

fn main() {}
