//! A netisr that waits for netisr0 while that synchronises hangs both.

use compat::net::netisr::domsg;
use compat::qsbr::Netisr;
use compat::sys::msgport::{MsgPort, ReplyPort};

fn ask(n: &Netisr, port0: &MsgPort<ReplyPort<()>>) {
    domsg(n, port0, |reply| reply);
}

fn main() {}
