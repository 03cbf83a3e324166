//! netisr0 synchronises and waits for that netisr, which waits for netisr0:
//! both hang. Only a process may wait.

use compat::net::netisr::domsg;
use compat::qsbr::Netisr;
use compat::sys::msgport::{MsgPort, ReplyPort};

fn ask(n: &Netisr, port0: &MsgPort<ReplyPort<u32>>) -> Option<u32> {
    domsg(n, port0, |reply| reply)
}

fn main() {}
