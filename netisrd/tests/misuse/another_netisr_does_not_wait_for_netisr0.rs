//! netisr0 synchronises and waits for that netisr, which waits for netisr0:
//! both hang. What a netisr dispatches with has no process context in it.

use compat::net::netisr::domsg;
use netisrd::machine::Ctx;
use netisrd::net::netisr::Netmsg0;

fn with_its_token(cx: Ctx<'_>) {
    domsg(cx.n, &cx.m.port0, Netmsg0::Halt);
}

fn with_the_machines(cx: Ctx<'_>) {
    domsg(&cx.m.proc_, &cx.m.port0, Netmsg0::Halt);
}

fn main() {}
