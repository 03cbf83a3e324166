//! Settings of the interfaces that carry mirrors, and of mirrors, as serving needs them.

use super::shown::Shown;
use super::ways::Ways;
use super::{HOUR_MS, Mirror};
use crate::dev::DataPath;
use crate::dev::rtnetlink::Way;
use crate::host::netconf::{NetConf, at};
use compat::net::if_::IfName;
use ipnet::IpNet;
use std::io;
use std::sync::atomic::Ordering;

/// Of a carp interface. Only virtual addresses are answered for there, whoever asks and
/// wherever he is, and all of them stay when one goes. What the host is a proxy for is
/// its parent's to say, and not the virtual MAC's.
const OURS: [(&str, i32); 6] = [
    ("ipv4/conf/{}/arp_ignore", 1),
    ("ipv4/conf/{}/arp_announce", 2),
    ("ipv4/conf/{}/arp_filter", 0),
    ("ipv4/conf/{}/rp_filter", 2),
    ("ipv4/conf/{}/promote_secondaries", 1),
    ("ipv4/conf/{}/medium_id", -1),
];

/// What a carp interface has of its parent: whether the host is a router there.
const FORWARDING: [&str; 3] =
    ["ipv4/conf/{}/forwarding", "ipv6/conf/{}/forwarding", "ipv6/conf/{}/force_forwarding"];

/// An interface that carries mirrors.
pub(super) struct Lower {
    /// Its name in the machine.
    pub(super) name: IfName,
    /// What the host calls it by now.
    pub(super) called: String,
    /// Its index in the host; none while the host has none.
    pub(super) index: Option<u32>,
    /// Which kind of mirrors.
    pub(super) path: DataPath,
    /// Why nobody can be served there.
    pub(super) trouble: Option<String>,
    /// [`FORWARDING`] there; none where the host has no such setting.
    pub(super) forwarding: [Option<i32>; 3],
}

impl Lower {
    /// With nothing known of it.
    pub(super) fn new(name: IfName, called: String, index: Option<u32>, path: DataPath) -> Lower {
        Lower { name, called, index, path, trouble: None, forwarding: [None; 3] }
    }

    /// The host would answer for a virtual address here too, with the card's own
    /// MAC, and ask in its name.
    pub(super) fn hold(&mut self, conf: &mut NetConf) -> io::Result<()> {
        let (Some(index), name) = (self.index, self.called.as_str()) else { return Ok(()) };
        conf.uses(index)?;
        for (leaf, is) in FORWARDING.iter().zip(&mut self.forwarding) {
            *is = conf.look(&at(leaf, name), *is)?;
        }
        // Others do answer for addresses that another interface has.
        conf.hold(index, name, "ipv4/conf/{}/arp_ignore", &[1, 2, 8])?;
        conf.hold(index, name, "ipv4/conf/{}/arp_announce", &[2])
    }
}

/// What is set for all interfaces, and nobody's here to change. The kernel takes the
/// larger one of that and an interface's own.
#[derive(Default)]
pub(super) struct All {
    arp_ignore: Option<i32>,
    arp_announce: Option<i32>,
    arp_filter: Option<i32>,
}

impl All {
    fn look(&mut self, conf: &NetConf) -> io::Result<()> {
        self.arp_ignore = conf.look("ipv4/conf/all/arp_ignore", self.arp_ignore)?;
        self.arp_announce = conf.look("ipv4/conf/all/arp_announce", self.arp_announce)?;
        self.arp_filter = conf.look("ipv4/conf/all/arp_filter", self.arp_filter)?;
        Ok(())
    }

    /// Why nobody would be answered for one of these addresses, or by whom he should
    /// not, above a link with those ways.
    pub(super) fn refuses(&self, living: &[(IpNet, bool)], parents: &[Way]) -> Option<String> {
        let nets: Vec<(IpNet, bool)> =
            living.iter().filter(|(net, _)| net.addr().is_ipv4()).copied().collect();
        let is = |what: &str, is: i32| format!("net.ipv4.conf.all.{what} is {is}");
        // 8 answers nobody; others, and of questions all, have the card answer and ask.
        let larger = [("arp_ignore", self.arp_ignore), ("arp_announce", self.arp_announce)];
        let larger = larger.into_iter().find_map(|(what, v)| Some((what, v.filter(|v| *v > 2)?)));
        if let Some((what, v)) = larger.filter(|_| !nets.is_empty()) {
            return Some(format!("{}, more than 2", is(what, v)));
        }
        // 2 answers who is in the prefix of an address that is in it too.
        let has_others =
            |of: IpNet| nets.iter().any(|(net, _)| net.prefix_len() < 32 && net.contains(&of.addr()));
        if let Some(v) = self.arp_ignore.filter(|v| *v == 2)
            && let Some((net, _)) = nets.iter().find(|(net, _)| !has_others(*net))
        {
            return Some(format!("{net}: {}, and nobody else is in its prefix", is("arp_ignore", v)));
        }
        // Whoever asks is answered where what the address says to him leaves.
        let is_led = |net: IpNet, routed: bool| routed && !Ways::of(0, &[net], parents).rules.is_empty();
        let v = self.arp_filter.filter(|v| *v != 0)?;
        let (net, _) = nets.iter().find(|(net, routed)| !is_led(*net, *routed))?;
        Some(format!("{net}: {}, and it has no route (net.inet.carp.setroute)", is("arp_filter", v)))
    }
}

impl Mirror {
    /// The kernel tells nobody of them: they are looked at whenever an address is given
    /// or renewed. Where they cannot be held nobody is served.
    pub(super) fn hold(&mut self) {
        if self.ended {
            return;
        }
        let all = self.all.look(&self.conf).err().map(|e| e.to_string());
        for lower in &mut self.lowers {
            lower.trouble = match lower.hold(&mut self.conf) {
                // It is gone, or called otherwise, and that will be told.
                Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                held => held.err().map(|e| e.to_string()),
            };
            lower.trouble = lower.trouble.take().or_else(|| all.clone());
        }
        self.follow_forwarding();
    }

    /// The machine says of itself what the host's own interfaces do: that it is a router
    /// if it is one on any of them.
    fn follow_forwarding(&mut self) {
        let forwards = self.lowers.iter().filter_map(|lower| lower.forwarding[1]);
        let Some(now) = forwards.map(|v| v > 0).reduce(|a, b| a || b) else { return };
        let Some(machine) = self.machine.upgrade() else { return };
        if self.forwarding.replace(now) != Some(now) {
            machine.ip6_forwarding.store(now, Ordering::Relaxed);
        }
    }
}

impl Shown {
    /// Its settings are what they should be, whoever changes them.
    pub(super) fn keep(&mut self, conf: &NetConf, name: &str, lower: Option<&Lower>) -> Result<(), String> {
        let forwarding = lower.into_iter().flat_map(|lower| FORWARDING.into_iter().zip(lower.forwarding));
        let forwarding = forwarding.filter_map(|(leaf, v)| Some((leaf, v?)));
        for (leaf, value) in OURS.into_iter().chain(forwarding) {
            if leaf.starts_with("ipv6/") && !self.inet6 {
                continue;
            }
            let path = at(leaf, name);
            match conf.look(&path, self.kept.then_some(value)).map_err(|e| e.to_string())? {
                Some(is) if is == value => {}
                // It is gone, or called otherwise, and that will be told.
                None if self.kept => {}
                _ => set(conf, name, leaf, value)?,
            }
        }
        self.kept = true;
        Ok(())
    }
}

fn set(conf: &NetConf, name: &str, leaf: &str, value: i32) -> Result<(), String> {
    let leaf = at(leaf, name);
    conf.set(&leaf, value).map_err(|e| format!("{leaf}: {e}"))
}

/// Sets what a new link needs for IPv6; whether it has that. The kernel takes it from an
/// interface whose frames are shorter than 1280 bytes.
pub(super) fn settle6(conf: &NetConf, name: &str) -> Result<bool, String> {
    if !conf.has(&at("ipv6/conf/{}", name)) {
        return Ok(false);
    }
    for (leaf, value) in [
        ("ipv6/conf/{}/addr_gen_mode", 1),
        ("ipv6/conf/{}/accept_dad", 0),
        ("ipv6/conf/{}/accept_ra", 0),
        ("ipv6/conf/{}/router_solicitations", 0),
        // A membership is reported at once and when asked. What is said once more
        // soon after, from the virtual MAC, could draw the frames back from a peer
        // that has taken over meanwhile.
        ("ipv6/conf/{}/mldv2_unsolicited_report_interval", HOUR_MS),
        // What it has made of itself before that goes.
        ("ipv6/conf/{}/disable_ipv6", 1),
        ("ipv6/conf/{}/disable_ipv6", 0),
        // By which an interface with these settings is known.
        ("ipv6/conf/{}/mldv1_unsolicited_report_interval", HOUR_MS),
    ] {
        set(conf, name, leaf, value)?;
    }
    Ok(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refused(all: &All, living: &[(&str, bool)], parents: &[&str]) -> Option<String> {
        let living: Vec<(IpNet, bool)> =
            living.iter().map(|(net, routed)| (net.parse().unwrap(), *routed)).collect();
        let way = |to: &&str| Way { via: None, to: to.parse().unwrap(), metric: 0 };
        all.refuses(&living, &parents.iter().map(way).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_set_for_all_matters_to_addresses_of_ipv4_alone() {
        let bad = All { arp_ignore: Some(8), arp_announce: Some(3), arp_filter: Some(1) };
        assert_eq!(refused(&bad, &[("2001:db8::1/64", false)], &[]), None);
        let why = refused(&bad, &[("2001:db8::1/64", true), ("10.0.0.1/24", true)], &[]).unwrap();
        assert_eq!(why, "net.ipv4.conf.all.arp_ignore is 8, more than 2");
        assert_eq!(refused(&All::default(), &[("10.0.0.1/32", false)], &[]), None);
    }

    #[test]
    fn an_address_whose_prefix_has_nobody_else_needs_another_one_around_it() {
        let all = All { arp_ignore: Some(2), arp_announce: Some(2), arp_filter: Some(0) };
        let alone = refused(&all, &[("10.0.0.1/32", true)], &["10.0.0.0/24"]).unwrap();
        assert!(alone.starts_with("10.0.0.1/32: net.ipv4.conf.all.arp_ignore is 2,"), "{alone}");
        assert_eq!(refused(&all, &[("10.0.0.1/32", true), ("10.0.0.2/24", true)], &[]), None);
        assert!(refused(&all, &[("10.0.0.1/32", true), ("10.0.1.2/24", true)], &[]).is_some());
        assert_eq!(refused(&all, &[("10.0.0.1/31", true)], &[]), None);
    }

    #[test]
    fn a_filter_needs_a_way_by_which_each_address_says_something() {
        let all = All { arp_ignore: None, arp_announce: None, arp_filter: Some(1) };
        assert_eq!(refused(&all, &[("10.0.0.1/24", true)], &[]), None);
        assert!(refused(&all, &[("10.0.0.1/24", true), ("10.0.0.2/24", false)], &[]).is_some());
        assert_eq!(refused(&all, &[("10.0.0.1/32", true)], &["10.0.0.0/24"]), None);
        assert!(refused(&all, &[("10.0.0.1/32", true)], &[]).is_some());
    }
}
