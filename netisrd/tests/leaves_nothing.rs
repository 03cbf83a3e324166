//! A simulated machine leaves nothing behind, however it ends. Without the
//! harness, whose main thread has allocations of its own at moments of its own:
//! what is live in the process is counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use cap::Cap;
use common::{Lab, SEC, name};
use netisrd::lab::fuzz;
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Two machines with a virtual host and two more on the first, for ten seconds.
fn live_after(end: fn(&mut Lab, netisrd::sim::MachineId)) -> usize {
    let before = ALLOCATOR.allocated();
    let mut lab = Lab::new(1);
    let ids = [2, 3].map(|n| lab.machine(n, 2, i32::from(n)));
    lab.addr6(ids[0], name("em2"), "2001:db8::2");
    lab.carp(ids[0], "carp1", 2, 0, [10, 0, 0, 101]);
    lab.carp(ids[0], "carp2", 3, 0, [10, 0, 0, 102]);
    lab.world.run_for(10 * SEC);
    ids.into_iter().for_each(|id| end(&mut lab, id));
    drop(lab);
    ALLOCATOR.allocated().saturating_sub(before)
}

/// Some random scenarios, and the reference model beside each.
fn live_after_a_search() -> usize {
    let before = ALLOCATOR.allocated();
    for i in 0..20 {
        let (_, violation) = fuzz::run(&fuzz::scenario(9, i));
        assert_eq!(violation, None);
    }
    ALLOCATOR.allocated().saturating_sub(before)
}

/// A machine that is gone leaves nothing.
fn main() {
    // What is made once for a process.
    live_after(|lab, id| lab.world.halt(id));
    let halted = live_after(|lab, id| lab.world.halt(id));
    let crashed = live_after(|lab, id| lab.world.crash(id));
    let dropped = live_after(|_, _| ());
    live_after_a_search();
    let searched = live_after_a_search();
    assert_eq!((halted, crashed, dropped, searched), (0, 0, 0, 0));
}
