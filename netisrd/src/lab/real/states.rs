//! The states of a machine's virtual hosts, as the machine tells them.

use crate::lab::host::typed;
use crate::lab::journal::Journal;
use crate::lab::record::{State, What};
use compat::net::if_::{IfMsghdr, LinkState};
use compat::net::route::{IFAN_ARRIVAL, IfAnnouncemsghdr, RTM_IFANNOUNCE, RTM_IFINFO};
use compat::sys::ctlsock::Reply;
use compat::sys::time::Time;
use ifconfig_carp::{Syscalls, UnixSocket};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use zerocopy::FromBytes;

/// The index of an interface, and of FreeBSD's model the vhid. ucarp has
/// neither.
type Key = (u16, u8);

/// A virtual host as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct View {
    ifname: String,
    lan: Option<String>,
    vhid: u8,
    state: State,
}

/// All of a machine's.
pub(super) struct States {
    machine: String,
    /// Each card and its LAN, in the order of their indexes, from 1.
    cards: Vec<(String, String)>,
    journal: Journal,
    socket: PathBuf,
    calls: UnixSocket,
    known: BTreeMap<Key, View>,
    /// When what is noted became known: before it was asked what it is.
    at: Time,
    /// Whether a machine is there: what a dead one has said is no change.
    alive: bool,
}

impl States {
    /// Of a machine that is off.
    pub(super) fn new(
        machine: &str,
        cards: Vec<(String, String)>,
        socket: &Path,
        journal: Journal,
    ) -> States {
        States {
            machine: machine.to_owned(),
            cards,
            journal,
            socket: socket.to_owned(),
            calls: UnixSocket::new(),
            known: BTreeMap::new(),
            at: Time::default(),
            alive: false,
        }
    }

    /// Another netisrd listens on the machine's socket.
    pub(super) fn rebooted(&mut self) {
        self.alive = true;
        let socket = self.socket.clone();
        self.calls.select(&socket);
    }

    /// The machine has said something on its routing socket, at that time.
    pub(super) fn heard(&mut self, at: Time, told: &Reply) {
        if !self.alive {
            return;
        }
        self.at = at;
        match told.data.get(3) {
            Some(&RTM_IFANNOUNCE) => {
                if let Ok((hdr, _)) = IfAnnouncemsghdr::read_from_prefix(&told.data) {
                    self.announced(&hdr);
                }
            }
            Some(&RTM_IFINFO) => {
                if let Ok((hdr, _)) = IfMsghdr::read_from_prefix(&told.data) {
                    let state = match LinkState::from(hdr.ifm_data.ifi_link_state as u8) {
                        LinkState::Up => State::Master,
                        LinkState::Down => State::Backup,
                        LinkState::Unknown => State::Init,
                    };
                    self.turn((hdr.ifm_index, hdr.ifm_data.ifi_vhid), state);
                }
            }
            // So many were lost.
            None => self.look(true),
            Some(_) => {}
        }
    }

    /// An interface came or went.
    fn announced(&mut self, hdr: &IfAnnouncemsghdr) {
        let key = (hdr.ifan_index, 0);
        if hdr.ifan_what == IFAN_ARRIVAL {
            let ifname = hdr.ifan_name.as_str().to_owned();
            self.come(key, View { ifname, lan: None, vhid: 0, state: State::Init });
        } else {
            self.go(key);
        }
    }

    /// A virtual host of ucarp's, which has no interface.
    pub(super) fn come_as(&mut self, ifname: &str, vhid: u8) {
        self.at = self.journal.now();
        let lan = self.cards.first().map(|(_, lan)| lan.clone());
        self.come((0, 0), View { ifname: ifname.to_owned(), lan, vhid, state: State::Init });
    }

    /// The one that [`come_as`](States::come_as) brought is in that state.
    pub(super) fn turn_to(&mut self, state: State) {
        self.at = self.journal.now();
        self.turn((0, 0), state);
    }

    /// The machine is off.
    pub(super) fn off(&mut self) {
        self.alive = false;
        self.at = self.journal.now();
        let keys: Vec<Key> = self.known.keys().copied().collect();
        keys.into_iter().for_each(|key| self.go(key));
    }

    /// Asks for what no message tells: who has another vhid than before.
    pub(super) fn look_for_vhids(&mut self) {
        self.at = self.journal.now();
        self.look(false);
    }

    /// Asks for all of it; for states too if no messages about them are under
    /// way.
    fn look(&mut self, for_states: bool) {
        for (key, was) in self.known.clone() {
            let Some(now) = self.ask(&was) else { continue };
            match now.into_iter().find(|now| key.1 == 0 || now.vhid == key.1) {
                None => self.go(key),
                Some(now) if was.vhid != 0 && was.vhid != now.vhid => {
                    self.go(key);
                    self.come(key, now);
                }
                Some(now) => {
                    let state = if for_states { now.state } else { was.state };
                    self.become_(key, was.state, View { state, ..now });
                }
            }
        }
    }

    fn come(&mut self, key: Key, view: View) {
        self.note(&view, State::Absent);
        self.known.insert(key, view);
    }

    fn go(&mut self, key: Key) {
        if let Some(was) = self.known.remove(&key) {
            self.note(&View { state: State::Absent, ..was.clone() }, was.state);
        }
    }

    fn turn(&mut self, key: Key, state: State) {
        let Some(was) = self.known.get(&key).cloned() else {
            // A vhid of FreeBSD's model is told of by its states alone.
            let card = usize::from(key.0).checked_sub(1).and_then(|i| self.cards.get(i));
            if let Some((ifname, lan)) = card.filter(|_| key.1 != 0).cloned() {
                self.come(key, View { ifname, lan: Some(lan), vhid: key.1, state });
            }
            return;
        };
        if was.state == state {
            return;
        }
        // What it is may have changed while it was nothing.
        let asks = key.0 != 0 && key.1 == 0 && (was.vhid == 0 || was.state == State::Init);
        let now = if asks { self.ask(&was).and_then(|mut now| now.pop()) } else { None };
        self.become_(key, was.state, View { state, ..now.unwrap_or(was) });
    }

    fn become_(&mut self, key: Key, from: State, now: View) {
        if from != now.state {
            self.note(&now, from);
        }
        self.known.insert(key, now);
    }

    fn note(&self, view: &View, from: State) {
        let View { ifname, lan, vhid, state } = view.clone();
        let machine = self.machine.clone();
        self.journal.note_at(self.at, What::State { machine, ifname, lan, vhid, from, to: state });
    }

    fn lan_of(&self, ifname: &str) -> Option<String> {
        self.cards.iter().find(|(card, _)| card == ifname).map(|(_, lan)| lan.clone())
    }

    /// What its interface has now, by the words of `ifconfig`: a carp interface
    /// one, a card one for each of its vhids. Nothing if nobody answers.
    fn ask(&mut self, was: &View) -> Option<Vec<View>> {
        let (status, said) = typed(&mut self.calls, &format!("ifconfig {}", was.ifname));
        (status == 0).then(|| self.views(&was.ifname, &said))
    }

    fn views(&self, ifname: &str, said: &str) -> Vec<View> {
        let (ifname, card) = (ifname.to_owned(), self.lan_of(ifname));
        let is_card = card.is_some();
        let none = View { ifname, lan: card, vhid: 0, state: State::Init };
        let mut views = Vec::new();
        for line in said.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["carp:", state, "vhid", vhid, ..] => {
                    let known = [State::Init, State::Backup, State::Master];
                    let state = known.into_iter().find(|s| s.name() == state).unwrap_or(State::Init);
                    views.push(View { vhid: vhid.parse().unwrap_or_default(), state, ..none.clone() });
                }
                ["carpdev:", parent] => {
                    let lan = self.lan_of(parent);
                    views.iter_mut().for_each(|v| v.lan = lan.clone());
                }
                _ => {}
            }
        }
        if views.is_empty() && !is_card {
            views.push(none);
        }
        views
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::journal::Keep;
    use compat::net::if_::IfName;
    use compat::net::route::{IFAN_DEPARTURE, RTM_VERSION};
    use compat::sys::time::VirtualClock;
    use std::sync::Arc;
    use zerocopy::{FromZeros, IntoBytes};

    fn told(data: &[u8]) -> Reply {
        Reply { error: None, arg: Vec::new(), data: data.to_vec() }
    }

    fn announce(index: u16, name: &str, what: u16) -> Reply {
        let mut hdr = IfAnnouncemsghdr::new_zeroed();
        (hdr.ifan_version, hdr.ifan_type) = (RTM_VERSION, RTM_IFANNOUNCE);
        (hdr.ifan_index, hdr.ifan_what) = (index, what);
        hdr.ifan_name = IfName::new(name).unwrap_or(IfName::EMPTY);
        told(hdr.as_bytes())
    }

    fn info(index: u16, vhid: u8, link: LinkState) -> Reply {
        let mut hdr = IfMsghdr::new_zeroed();
        (hdr.ifm_version, hdr.ifm_type, hdr.ifm_index) = (RTM_VERSION, RTM_IFINFO, index);
        (hdr.ifm_data.ifi_vhid, hdr.ifm_data.ifi_link_state) = (vhid, link as u64);
        told(hdr.as_bytes())
    }

    #[test]
    fn what_a_machine_tells_is_noted_as_changes_of_state() {
        let journal = Journal::new(Arc::new(VirtualClock::default()), Keep::Events);
        let cards = vec![("em0".to_owned(), "net0".to_owned())];
        let mut states = States::new("a", cards, Path::new("/nowhere"), journal.clone());
        states.rebooted();
        for message in [
            announce(2, "carp0", IFAN_ARRIVAL),
            info(2, 0, LinkState::Unknown),
            info(2, 0, LinkState::Down),
            info(2, 0, LinkState::Down),
            // The card's own link, and a vhid of the card.
            info(1, 0, LinkState::Down),
            info(1, 5, LinkState::Up),
            announce(2, "carp0", IFAN_DEPARTURE),
            info(2, 0, LinkState::Up),
            told(&[]),
        ] {
            states.heard(Time::default(), &message);
        }
        states.off();
        states.heard(Time::default(), &info(1, 5, LinkState::Up));
        let events = journal.read(0, &[], &[], |_, _| String::new());
        let seen: Vec<_> = events
            .iter()
            .map(|e| match &e.what {
                What::State { ifname, lan, vhid, from, to, .. } => {
                    format!("{ifname} {lan:?} {vhid} {} {}", from.name(), to.name())
                }
                other => format!("{other:?}"),
            })
            .collect();
        let want = [
            "carp0 None 0 ABSENT INIT",
            "carp0 None 0 INIT BACKUP",
            "em0 Some(\"net0\") 5 ABSENT MASTER",
            "carp0 None 0 BACKUP ABSENT",
            "em0 Some(\"net0\") 5 MASTER ABSENT",
        ];
        assert_eq!(seen, want);
    }

    #[test]
    fn what_ifconfig_says_is_who_it_is() {
        let journal = Journal::new(Arc::new(VirtualClock::default()), Keep::Events);
        let cards = vec![("em0".to_owned(), "net0".to_owned())];
        let states = States::new("a", cards, Path::new("/nowhere"), journal);
        let view = |ifname: &str, lan: Option<&str>, vhid, state| {
            let lan = lan.map(str::to_owned);
            View { ifname: ifname.to_owned(), lan, vhid, state }
        };
        let carp = "carp0: flags=8843\n\tcarp: MASTER vhid 3 advbase 1 advskew 0\n\tcarpdev: em0\n";
        assert_eq!(states.views("carp0", carp), [view("carp0", Some("net0"), 3, State::Master)]);
        assert_eq!(states.views("carp0", "carp0:\n\tcarpdev: none\n"), [view("carp0", None, 0, State::Init)]);
        let card = "em0:\n\tcarp: BACKUP vhid 1 advbase 1\n\tcarp: INIT vhid 7 advbase 1\n";
        let both = [(1, State::Backup), (7, State::Init)].map(|(v, s)| view("em0", Some("net0"), v, s));
        assert_eq!(states.views("em0", card), both);
        assert_eq!(states.views("em0", "em0: flags=8843\n"), []);
    }
}
