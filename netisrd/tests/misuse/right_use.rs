//! Each message to whom it is for.

use netisrd::machine::Machine;
use netisrd::net::netisr::{Netmsg, Netmsg0};

fn send(m: &Machine, to_0: Netmsg0, to_k: Netmsg) {
    m.port0.sendmsg(to_0);
    m.ports[0].sendmsg(to_k);
}

fn main() {
    let _ = send;
}
