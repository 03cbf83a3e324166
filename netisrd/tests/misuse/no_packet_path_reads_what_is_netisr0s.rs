//! A packet's way has any netisr's token, and what netisr0 keeps has no lock.

use libcarp::CarpSoftc;
use netisrd::machine::Ctx;

fn peek(cx: Ctx<'_>, sc: &CarpSoftc) -> u8 {
    cx.m.own(cx.n);
    sc.own(cx.n).advskew.get()
}

fn main() {}
