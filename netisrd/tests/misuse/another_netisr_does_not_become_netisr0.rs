//! netisr0 may act as any netisr, but not the other way.

use compat::qsbr::Netisr;
use netisrd::machine::{Ctx0, Machine, PerCpu};

fn become_netisr0<'a>(m: &'a Machine, n: &'a mut Netisr, cpu: &'a PerCpu) -> Ctx0<'a> {
    Ctx0 { m, n0: n, cpu }
}

fn main() {}
