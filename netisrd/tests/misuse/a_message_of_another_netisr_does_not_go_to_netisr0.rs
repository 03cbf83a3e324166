//! netisr0 would be asked to be quiescent by its own synchronisation, and wait
//! for itself.

use netisrd::machine::Machine;
use netisrd::net::netisr::Netmsg;

fn send(m: &Machine, msg: Netmsg) {
    m.port0.sendmsg(msg);
}

fn main() {}
