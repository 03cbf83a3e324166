//! What a carp interface makes of advertisements: of those that it hears, and of its own
//! that are seen.

use super::{IN_A_ROW, REMEMBERED, Vhost, seconds, skewed};
use crate::lab::model::advert::digest;
use crate::lab::model::{Advert, Owed, Shared};
use crate::lab::record::{Family, State};
use compat::sys::time::Time;
use ipnet::IpNet;
use std::net::IpAddr;

impl Vhost {
    pub(super) fn heard(&mut self, s: &Shared, now: Time, ad: &Advert) {
        let echo = |own: &Advert| (own.counter, own.digest) == (ad.counter, ad.digest);
        if ad.vhid != self.config.vhid || !self.is_genuine(ad) || self.sent.iter().any(echo) {
            return;
        }
        // As advertised, which may be less than anybody waits.
        let theirs = seconds(ad.advbase.into()) + skewed(ad.advskew);
        let mine = seconds(self.config.advbase.into()) + skewed(self.skew(s));
        match self.state {
            State::Master => {
                let before4 = self.heard4;
                self.heard4 |= ad.family == Family::Ip;
                if theirs < mine || (theirs == mine && self.loses_tie(ad, before4)) {
                    self.become_backup(now);
                }
            }
            State::Backup => {
                let patience = seconds(3 * u64::from(self.config.advbase)) + skewed(self.skew(s));
                if (s.preempt && mine < theirs) || patience < theirs {
                    self.become_master(s, now);
                } else {
                    self.down[ad.family as usize] = Some(now + self.master_down());
                }
            }
            _ => {}
        }
    }

    /// The lower address stays, then the lower counter. IPv4 decides where it
    /// can.
    fn loses_tie(&self, ad: &Advert, heard4: bool) -> bool {
        if ad.family == Family::Ip6 && self.active.contains(&Family::Ip) && heard4 {
            return false;
        }
        let own = self.sent.iter().rev().find(|own| own.family == ad.family);
        // No address is lower than any.
        let own = own.filter(|own| self.active.contains(&own.family));
        own.is_some_and(|own| (ad.from, ad.counter) < (own.from, own.counter))
    }

    pub(super) fn sent(&mut self, parent: usize, ad: Advert, ok: bool) {
        let Some(at) = self.owed.iter().position(|o| o.is(parent, &ad)) else {
            self.surprise.get_or_insert(ad);
            return;
        };
        let what = self.owed.remove(at);
        let bow_out = ad.is_bow_out();
        self.sent.push(ad);
        if self.sent.len() > REMEMBERED {
            self.sent.remove(0);
        }
        if self.uncounted > 0 {
            self.uncounted -= 1;
            return;
        }
        self.failed |= !ok && !bow_out;
        // One advertisement goes over IPv4, then over IPv6.
        let other = Owed { family: Family::Ip6, ..what };
        let goes_on = what.family == Family::Ip && self.owed.get(at) == Some(&other);
        if bow_out || goes_on || self.state != State::Master {
            return;
        }
        if std::mem::take(&mut self.failed) {
            (self.errors, self.successes) = (self.errors + 1, 0);
        } else if self.errors >= IN_A_ROW {
            self.successes += 1;
        } else {
            self.errors = 0;
        }
    }

    /// Signed by someone with the same password and addresses, with or without
    /// the link-local ones.
    fn is_genuine(&self, ad: &Advert) -> bool {
        let mut addrs: Vec<_> = self.addrs.iter().map(IpNet::addr).collect();
        addrs.sort();
        let all = digest(&self.config, &addrs, ad.counter);
        addrs.retain(|a| !matches!(a, IpAddr::V6(a) if a.is_unicast_link_local()));
        ad.digest == all || ad.digest == digest(&self.config, &addrs, ad.counter)
    }
}
