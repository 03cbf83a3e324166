//! What must be true between machines, once nothing has happened for long
//! enough: a virtual host has one MASTER, and keeps it.

use super::{Rule, Verdict, wrong};
use crate::machine::Machine;
use crate::netinet::carp_vhid;
use compat::qsbr::Netisr0;
use compat::sys::socket::Af;
use compat::sys::time::Time;
use libcarp::CarpSoftc;
use libcarp::softc::State;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// Who has these in common is one virtual host: it hears the others, and answers
/// for the same addresses. Link-local ones may be known to some alone: those
/// believe the others, who may not believe them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Virtual {
    lan: usize,
    vhid: u8,
    key: [u8; 20],
    addrs: Vec<IpAddr>,
}

/// A carp interface that runs.
struct Member {
    of: Virtual,
    name: String,
    state: State,
    /// It hears nobody, or not all do hear it.
    apart: bool,
    /// In which families it advertises. Of two that have none in common neither
    /// has the lower address, so both stay MASTER.
    families: [bool; 2],
    /// All its addresses.
    addrs: Vec<IpAddr>,
    /// Between its advertisements: as they are, or will be, at least and at most.
    interval: [Duration; 2],
    /// As long as it may wait for its next step.
    patience: Duration,
}

/// A carp interface, by its machine and index.
type Who = (usize, u16);
type Named<'a> = (&'a Who, &'a Member);

/// All that run, of all machines.
#[derive(Default)]
pub(super) struct Lans {
    members: BTreeMap<Who, Member>,
    /// Since when each has been MASTER without a break.
    since: BTreeMap<Who, Time>,
}

fn is_linklocal(addr: &IpAddr) -> bool {
    matches!(addr, IpAddr::V6(a) if a.is_unicast_link_local())
}

/// Longer than any skew.
const SKEW: Duration = Duration::from_secs(1);
/// A tick of the slowest clock that a machine has, and its rounding.
const TICKS: Duration = Duration::from_millis(25);

impl Lans {
    /// What a machine has now; `None` for one that is off, or paused. `lan_of`
    /// knows the LAN of an interface. Those that were MASTERs, and are no more
    /// while they still run, are told.
    pub(super) fn look(
        &mut self,
        host: usize,
        machine: Option<(&Machine, &Netisr0)>,
        name: &str,
        lan_of: impl Fn(&str) -> Option<usize>,
    ) -> Vec<u16> {
        let mut lost = Vec::new();
        let mut now = BTreeMap::new();
        if let Some((m, n0)) = machine {
            for sc in m.carp.own(n0).carpif_list.borrow().iter() {
                if let Some(mut member) = member(m, n0, sc, &lan_of) {
                    member.name.insert_str(0, name);
                    now.insert((host, sc.sc_if.if_index), member);
                }
            }
        }
        self.members.retain(|(k, index), was| {
            let is = now.get(&(*k, *index)).filter(|is| is.of == was.of);
            if is.is_some_and(|is| is.state == State::Backup) && was.state == State::Master {
                lost.push(*index);
            }
            *k != host
        });
        self.members.append(&mut now);
        lost
    }

    /// Who of a machine is MASTER now, after a step in which that may have changed.
    pub(super) fn news(&mut self, now: Time, host: usize, masters: impl Iterator<Item = u16>) {
        let masters: BTreeSet<_> = masters.map(|index| (host, index)).collect();
        self.since.retain(|who, _| who.0 != host || masters.contains(who));
        masters.into_iter().for_each(|who| {
            self.since.entry(who).or_insert(now);
        });
    }

    /// As if each were in the state that `of` says of its machine.
    #[cfg(test)]
    pub(super) fn set_states(&mut self, of: impl Fn(usize) -> State) {
        for (who, member) in &mut self.members {
            member.state = of(who.0);
            if member.state == State::Master {
                self.since.entry(*who).or_insert(Time(0));
            }
        }
    }

    /// Whether somebody else is MASTER who is no worse than the one who has
    /// just stopped to be it.
    pub(super) fn justified(&self, host: usize, index: u16) -> Verdict {
        let Some(loser) = self.members.get(&(host, index)) else { return Ok(()) };
        let better = |((k, i), m): Named<'_>| {
            (*k, *i) != (host, index)
                && m.of == loser.of
                && m.state == State::Master
                && m.interval[0] <= loser.interval[1]
        };
        if self.members.iter().any(better) {
            return Ok(());
        }
        wrong(Rule::LostMaster, format!("{} was a healthy MASTER, and nobody is better", loser.name))
    }

    /// The LAN of a carp interface that runs.
    pub(super) fn lan_of(&self, who: Who) -> Option<usize> {
        self.members.get(&who).map(|m| m.of.lan)
    }

    /// Since when it is MASTER, if it is.
    pub(super) fn master_since(&self, who: Who) -> Option<Time> {
        self.since.get(&who).copied()
    }

    /// How long it takes at most, after the last disturbance of a LAN, until each
    /// virtual host on it has one MASTER.
    pub(super) fn settles_in(&self, lan: usize, delay: Duration) -> Duration {
        self.members.values().filter(|m| m.of.lan == lan).map(|m| m.patience).max().unwrap_or_default()
            + delay
            + TICKS
    }

    /// All virtual hosts of LANs that are well, at the end of a moment. `quiet` knows
    /// since when a LAN is.
    pub(super) fn check(&self, now: Time, quiet: impl Fn(usize) -> Option<Time>, delay: Duration) -> Verdict {
        let mut groups: BTreeMap<&Virtual, Vec<Named<'_>>> = BTreeMap::new();
        for (who, member) in &self.members {
            groups.entry(&member.of).or_default().push((who, member));
        }
        for (of, members) in groups {
            let Some(quiet) = quiet(of.lan) else { continue };
            let masters: Vec<_> = members.iter().filter(|(_, m)| m.state == State::Master).collect();
            let alike = |a: &Member, b: &Member| {
                a.families == b.families && a.addrs == b.addrs && !a.apart && !b.apart
            };
            for (_, one) in &masters {
                let rivals: Vec<_> =
                    masters.iter().filter(|(_, m)| alike(one, m)).copied().copied().collect();
                // Two of them have been MASTER side by side since the second one
                // became it.
                let mut since: Vec<_> = rivals.iter().filter_map(|(who, _)| self.since.get(who)).collect();
                since.sort();
                let Some(since) = since.get(1).map(|t| quiet.max(**t)) else { continue };
                let longest = rivals.iter().map(|(_, m)| m.interval[1]).max().unwrap_or_default();
                if now > since + (longest + delay + TICKS) {
                    let text =
                        format!("vhid {} has several MASTERs since {since}: {}", of.vhid, names(&rivals));
                    return wrong(Rule::TwoMasters, text);
                }
            }
            let patience = members.iter().map(|(_, m)| m.patience).max().unwrap_or_default() + delay + TICKS;
            if masters.is_empty() && now > quiet + patience {
                let text = format!(
                    "vhid {} has no MASTER, all is quiet since {quiet}: {}",
                    of.vhid,
                    names(&members)
                );
                return wrong(Rule::OneMaster, text);
            }
        }
        Ok(())
    }
}

fn names<'a>(of: impl IntoIterator<Item = &'a Named<'a>>) -> String {
    of.into_iter().map(|(_, m)| m.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The interface's place among virtual hosts; `None` if it does not run.
fn member(
    m: &Machine,
    n0: &Netisr0,
    sc: &CarpSoftc,
    lan_of: &impl Fn(&str) -> Option<usize>,
) -> Option<Member> {
    let own = sc.own(n0);
    let lan = lan_of(sc.carpdev(n0)?.if_xname.as_str())?;
    if sc.state() == State::Init {
        return None;
    }
    let all: Vec<_> = own.vha_list().iter().map(|v| v.vha_ia.ifa_addr).collect();
    let of = Virtual {
        lan,
        vhid: own.vhid.get()?.get(),
        key: *own.key.borrow().bytes(),
        addrs: all.iter().copied().filter(|a| !is_linklocal(a)).collect(),
    };
    let base = Duration::from_secs(own.advbase.get().into());
    let skewed = |skew: u8| base + Duration::from_micros(u64::from(skew) * 1_000_000 / 256);
    let (raw, advertised) = (own.advskew.get(), own.advertised.get());
    // A BACKUP has advertised by what it was demoted to then.
    let demoted = m.carp.own(n0).demotion.get() != 0;
    let most = if demoted { base + SKEW } else { skewed(raw.max(advertised)) };
    let (ifp, vhid) = carp_vhid::shown(m, n0, &sc.sc_if);
    let name = match vhid {
        0 => ifp.if_xname.to_string(),
        vhid => format!("{} vhid {vhid}", ifp.if_xname),
    };
    Some(Member {
        of,
        name,
        state: sc.state(),
        apart: sc.is_unicast() || m.carp.own(n0).opts.allow.get() == 0,
        addrs: all,
        families: Af::ALL.map(|af| own.af(af).naddrs.get() > 0),
        interval: [skewed(raw.min(advertised)), most],
        patience: base * 2 + skewed(raw) + most,
    })
}
