//! The laboratory in virtual time: how much faster than the real world it is, and
//! how much of CARP a search sees in a minute.

use crate::figures::Figures;
use crate::lab;
use netisrd::lab::journal::Keep;
use netisrd::lab::run::{Options, Play};
use netisrd::lab::scenario::Scenario;
use nix::time::{ClockId, clock_gettime};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The section's name.
pub(crate) const NAME: &str = "simulated";
/// Machines, and vhids of each.
pub(crate) const MACHINES: usize = 100;
pub(crate) const VHIDS: usize = 10;

/// How the machines share their LANs.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) lans: usize,
}

/// All on one LAN, where each hears all, and pairs of which each has its own.
pub(crate) const SHAPES: [Shape; 2] = [Shape { name: "one", lans: 1 }, Shape { name: "pairs", lans: 50 }];

/// Each vhid of a LAN is on all its machines, with another skew on each; once a
/// minute somebody's link goes for ten seconds.
fn scenario(shape: Shape, seconds: usize) -> Scenario {
    let mut text = format!("title = \"{}\"\ntime = \"{seconds}s\"\n", shape.name);
    for lan in 0..shape.lans {
        let _ = writeln!(text, "[lan.net{lan}]");
    }
    for m in 0..MACHINES {
        let (lan, host) = (m % shape.lans, m / shape.lans + 1);
        let _ = writeln!(text, "[machine.m{m}]\ninterfaces = {{ em0 = \"net{lan}\" }}\nboot = [");
        let _ = writeln!(text, "  \"ifconfig em0 10.0.0.{host}/24\",");
        for v in 0..VHIDS {
            let (skew, vip) = ((host + v * 7) % 200, 201 + v);
            let _ = writeln!(
                text,
                "  \"ifconfig carp{v} create\",\n  \
                 \"ifconfig carp{v} vhid {} advskew {skew} pass secret 10.0.0.{vip}/24\",",
                v + 1
            );
        }
        text.push_str("]\n");
    }
    for minute in 0..seconds / 60 {
        let (m, from) = (minute % MACHINES, minute * 60 + 30);
        let _ = writeln!(
            text,
            "[[fault]]\nfrom = \"{from}s\"\nuntil = \"{}s\"\nmachine = \"m{m}\"\ninterface = \"em0\"\n\
             link_down = true",
            from + 10
        );
    }
    Scenario::parse(Path::new("simulated.toml"), &text).expect("a scenario")
}

/// Seconds that this thread has computed.
fn cpu() -> f64 {
    let t = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a thread's clock");
    Duration::from(t).as_secs_f64()
}

/// Runs it to its end: steps, and seconds of a core.
pub(crate) fn once(shape: Shape, seconds: usize) -> (u64, f64) {
    let scenario = scenario(shape, seconds);
    let options = Options { keep: Keep::Events, judged: false, ..Options::default() };
    let begun = cpu();
    let mut play = Play::new(&scenario, options);
    let end = compat::sys::time::Time::default() + scenario.time.0;
    while play.next(end) {}
    let steps = play.world.steps();
    let took = cpu() - begun;
    let outcome = play.finish();
    assert!(outcome.passed, "a scenario without expectations passes");
    (steps, took)
}

/// Measures both, in this process and by the program.
pub(crate) fn measure(quick: bool, figures: &mut Figures) -> Result<(), String> {
    println!("{NAME}: ...");
    let (seconds, rounds, search) = if quick { (120, 1, 5) } else { (600, 5, 60) };
    for shape in SHAPES {
        for _ in 0..rounds {
            let (steps, took) = once(shape, seconds);
            figures.push(NAME, &format!("{}.faster", shape.name), seconds as f64 / took);
            figures.push(NAME, &format!("{}.steps", shape.name), steps as f64 / took);
        }
    }
    for (key, jobs) in [("fuzz.one", &["-j", "1"][..]), ("fuzz.all", &[])] {
        let (hours, steps) = fuzz(search, jobs)?;
        figures.push(NAME, key, hours);
        figures.push(NAME, &format!("{key}.steps"), steps);
    }
    Ok(())
}

/// What `netisrd lab fuzz` says of itself: scenario-hours a minute, and steps a
/// second. That it finds something is a failure.
fn fuzz(seconds: u64, jobs: &[&str]) -> Result<(f64, f64), String> {
    let done = Command::new(lab::binary("netisrd"))
        .args(["lab", "fuzz", "--seed", "1", "--seconds", &seconds.to_string()])
        .args(jobs)
        .current_dir(lab::target_dir())
        .output()
        .map_err(|e| format!("netisrd: {e}"))?;
    let said = String::from_utf8_lossy(&done.stdout);
    // The word before that one.
    let number = |mark: &str| said.split(mark).next()?.rsplit(' ').next()?.parse::<f64>().ok();
    let figures = || Some((number(" scenario-hours")?, number(" steps")? / number(" s: ")?));
    figures().filter(|_| done.status.success()).ok_or_else(|| format!("netisrd lab fuzz: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_of_a_hundred_machines_steps() {
        for shape in SHAPES {
            let (steps, _) = once(shape, 3);
            assert!(steps > 3_000, "{}: {steps}", shape.name);
        }
    }
}
