//! What is done, in either world.

use super::story::{State, Who};
use super::{ADVBASE, CLIENT, PING_INTERVAL, VIP, World};
use std::time::Duration;

/// Answered pings in each phase: so that a picture has shape, about 2 s.
const PHASE: usize = 150;
/// A bound of a wait for a transition, several times what any takes.
const PATIENCE: Duration = Duration::from_secs(15);

/// Prints a phase's title.
pub fn heading(title: &str) {
    println!("\n== {title}");
}

/// Plays it.
///
/// # Errors
/// The first command that fails, or the first thing that does not happen.
pub fn play(world: &mut dyn World) -> Result<(), String> {
    heading("Two machines on one LAN share 10.0.0.1");
    for who in Who::ALL {
        world.boot(who)?;
    }
    for who in Who::ALL {
        set_up(world, who)?;
    }

    heading("Both are BACKUP and listen; a has the smaller advskew, so its patience ends first");
    wait(world, Who::A, State::Master)?;
    wait(world, Who::B, State::Backup)?;
    show(world)?;

    heading(&format!("A client, {CLIENT}, pings {VIP} every {PING_INTERVAL:?} from now on"));
    world.start_client()?;
    world.wait_answers(PHASE)?;
    world.show_neighbour();

    heading(&format!("a dies; b hears nothing for 3 * {ADVBASE} + {}/256 s", Who::B.advskew()));
    world.kill(Who::A)?;
    wait(world, Who::B, State::Master)?;
    run(world, Who::B, "ifconfig-carp carp0")?;
    world.wait_answers(PHASE)?;
    world.show_neighbour();

    heading("a comes back; with preempt=1 it takes over when it hears that b advertises more seldom");
    world.boot(Who::A)?;
    set_up(world, Who::A)?;
    wait(world, Who::A, State::Master)?;
    wait(world, Who::B, State::Backup)?;
    show(world)?;
    world.wait_answers(PHASE)
}

/// From nothing to a virtual address.
fn set_up(world: &mut dyn World, who: Who) -> Result<(), String> {
    let advskew = match who.advskew() {
        0 => String::new(),
        n => format!("advskew {n} "),
    };
    run(world, who, "sysctl-carp net.inet.carp.log=2")?;
    run(world, who, &format!("ifconfig-carp {} {}/24", who.card(), who.ip()))?;
    run(world, who, "ifconfig-carp carp0 create")?;
    run(world, who, &format!("ifconfig-carp carp0 vhid 1 {advskew}pass mekmitasdigoat {VIP}/24"))?;
    run(world, who, "sysctl-carp net.inet.carp.preempt=1")
}

fn show(world: &mut dyn World) -> Result<(), String> {
    Who::ALL.into_iter().try_for_each(|who| run(world, who, "ifconfig-carp carp0"))
}

/// Types a command on a machine.
fn run(world: &mut dyn World, who: Who, line: &str) -> Result<(), String> {
    println!("{}# {line}", who.name());
    let mut words = line.split_whitespace();
    let program = words.next().unwrap_or_default();
    print!("{}", world.tool(who, program, &words.collect::<Vec<_>>())?);
    Ok(())
}

fn wait(world: &dyn World, who: Who, state: State) -> Result<(), String> {
    world.journal().wait_state(who, state, PATIENCE)
}
