//! There is no lock around it: netisr0 changes it while another reads.

use netisrd::machine::Ctx;

fn read(cx: Ctx<'_>) -> u16 {
    cx.m.own(cx.n).next_index.get()
}

fn main() {}
