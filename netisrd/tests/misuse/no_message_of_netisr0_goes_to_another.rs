//! Configuration would be changed by two netisrs at once.

use netisrd::machine::Machine;
use netisrd::net::netisr::Netmsg0;

fn send(m: &Machine, msg: Netmsg0) {
    m.ports[0].sendmsg(msg);
}

fn main() {}
