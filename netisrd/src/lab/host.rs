//! One machine of a lab: what it is plugged into, what it is told, and what is
//! seen of it.

use super::journal::Journal;
use super::record::{State, What};
use super::scenario::MachineSpec;
use crate::net::if_::Softc;
use crate::net::rtsock::Listener;
use crate::netinet::carp_vhid;
use crate::sim::{MachineId, World};
use compat::net::if_var::LlAddr;
use compat::sys::ctlsock::{Reply, Request};
use ifconfig_carp::{CallError, Run, Syscalls, ifconfig, netstat, route, sysctl};
use std::collections::BTreeMap;
use std::ffi::OsString;

/// A carp interface as it is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarpView {
    /// `carp0`, or of FreeBSD's model `em0`.
    pub ifname: String,
    /// The LAN of its parent.
    pub lan: Option<usize>,
    /// 0 for none.
    pub vhid: u8,
    /// Its state.
    pub state: State,
}

/// A card in a LAN.
pub struct Card {
    /// `em0`
    pub ifname: String,
    /// Which LAN.
    pub lan: usize,
    /// Which of its ports; another one after each boot.
    pub port: usize,
    /// `if_index`
    pub if_index: u16,
}

/// A machine, on or off.
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: usize,
    /// What the scenario says of it.
    pub spec: MachineSpec,
    /// What it is in the world, while it is on.
    pub id: Option<MachineId>,
    /// Its cards, while it is on.
    pub cards: Vec<Card>,
    /// What is known of its carp interfaces, by index.
    pub carps: BTreeMap<u16, CarpView>,
    pub(super) listener: Option<Listener>,
}

impl Host {
    /// Switched off.
    pub fn new(name: &str, number: usize, spec: &MachineSpec) -> Host {
        Host {
            name: name.to_owned(),
            number,
            spec: spec.clone(),
            id: None,
            cards: Vec::new(),
            carps: BTreeMap::new(),
            listener: None,
        }
    }

    /// The MAC of its `n`th card.
    pub fn lladdr(&self, n: usize) -> LlAddr {
        let [hi, lo] = (self.number as u16 + 1).to_be_bytes();
        [0x02, 0, 0, hi, lo, n as u8 + 1]
    }

    /// Whether something may have changed since the last look.
    pub fn has_news(&self) -> bool {
        let mut any = false;
        while self.listener.as_ref().is_some_and(|l| l.next().is_some()) {
            any = true;
        }
        any
    }

    /// Looks at its carp interfaces, and notes what is another state than
    /// before.
    pub fn look(&mut self, world: &World, journal: &Journal) {
        let now = self.id.map(|id| self.views(world, id)).unwrap_or_default();
        let before = core::mem::replace(&mut self.carps, now);
        // Whose vhid is another is another; one that had none has got one.
        let same = |was: &CarpView, now: &CarpView| {
            was.ifname == now.ifname && (was.vhid == now.vhid || was.vhid == 0)
        };
        for (index, was) in &before {
            if !self.carps.get(index).is_some_and(|now| same(was, now)) {
                self.note(journal, was, was.state, State::Absent);
            }
        }
        for (index, now) in &self.carps {
            let was = before.get(index).filter(|was| same(was, now));
            self.note(journal, now, was.map_or(State::Absent, |was| was.state), now.state);
        }
    }

    fn note(&self, journal: &Journal, view: &CarpView, from: State, to: State) {
        if from != to {
            let lan = view.lan.map(|lan| self.lan_name(lan));
            let (machine, ifname, vhid) = (self.name.clone(), view.ifname.clone(), view.vhid);
            journal.note(What::State { machine, ifname, lan, vhid, from, to });
        }
    }

    fn lan_name(&self, lan: usize) -> String {
        let card = self.cards.iter().find(|c| c.lan == lan);
        let name = card.and_then(|c| self.spec.interfaces.get(&c.ifname));
        name.map(|n| n.as_ref().clone()).unwrap_or_default()
    }

    fn views(&self, world: &World, id: MachineId) -> BTreeMap<u16, CarpView> {
        let Some((m, n0)) = world.look(id) else { return BTreeMap::new() };
        let entries = m.ifnets.load(n0).into_iter().flat_map(|t| t.iter());
        let view = |ifp, sc: &libcarp::CarpSoftc| {
            let (of, _) = carp_vhid::shown(m, n0, ifp);
            let parent = sc.carpdev(n0).map(|p| p.if_xname.as_str().to_owned());
            CarpView {
                ifname: of.if_xname.as_str().to_owned(),
                lan: parent.and_then(|p| self.cards.iter().find(|c| c.ifname == p)).map(|c| c.lan),
                vhid: sc.own(n0).vhid.get().map_or(0, |v| v.get()),
                state: sc.state().into(),
            }
        };
        entries
            .filter_map(|e| match &e.softc {
                Softc::Carp(sc) => Some((e.ifp.if_index, view(&e.ifp, sc))),
                Softc::Nic(_) => None,
            })
            .collect()
    }
}

/// The programs that a machine has, as they are called on a BSD.
pub const PROGRAMS: [(&str, Run); 4] =
    [("ifconfig", ifconfig::run), ("sysctl", sysctl::run), ("netstat", netstat::run), ("route", route::run)];

/// The one of that name.
pub fn program(name: &str) -> Option<Run> {
    PROGRAMS.iter().find(|(program, _)| *program == name).map(|(_, run)| *run)
}

/// A command line of a machine of the world: its status, and what it printed.
pub fn command(world: &mut World, id: MachineId, line: &str) -> (i32, String) {
    typed(&mut Here { world, id }, line)
}

/// A command line of a machine whose system calls these are.
pub fn typed(calls: &mut dyn Syscalls, line: &str) -> (i32, String) {
    let words = shlex::split(line).unwrap_or_default();
    let argv: Vec<OsString> = words.iter().map(OsString::from).collect();
    let Some(run) = words.first().and_then(|name| program(name)) else {
        return (127, format!("{line}: no such command"));
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = run(&argv, calls, &mut out, &mut err);
    out.append(&mut err);
    (status.into(), String::from_utf8_lossy(&out).into_owned())
}

/// The system calls of a simulated machine.
struct Here<'w> {
    world: &'w mut World,
    id: MachineId,
}

impl Syscalls for Here<'_> {
    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        Ok(self.world.syscall(self.id, request.clone()))
    }
}
