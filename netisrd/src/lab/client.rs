//! A station that pings: one address, a neighbour cache of one entry, and an
//! echo request at each interval.

use super::record::{Event, What};
use crate::dev::Device;
use compat::net::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IP, ETHERTYPE_IPV6, EtherHeader};
use compat::net::if_var::LlAddr;
use compat::netinet::in_::in_cksum;
use compat::netinet::ip::Ip;
use compat::netinet6::icmp6::{
    ICMP6_ECHO_REPLY, ICMP6_ECHO_REQUEST, ND_NA_FLAG_OVERRIDE, ND_NA_FLAG_SOLICITED, Nd,
};
use compat::netinet6::in6::{IPPROTO_ICMPV6, map_ipv6_multicast, solicited_node};
use compat::netinet6::ip6::{Ip6, in6_cksum};
use compat::sys::time::Time;
use core::net::IpAddr;
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// A ping without an answer is given up after that.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Tells our echoes from others'.
const IDENT: u16 = 0x6c61;
const IPPROTO_ICMP: u8 = 1;
const BROADCAST: LlAddr = [0xff; 6];

/// What a client's MAC begins with.
const CLIENT: [u8; 2] = [0x02, 0x63];

/// The MAC of the `n`th client.
pub fn lladdr(n: usize) -> LlAddr {
    [CLIENT[0], CLIENT[1], 0, 0, 0, n as u8 + 1]
}

/// Whether it is some client's.
pub fn is_lladdr(lladdr: &LlAddr) -> bool {
    lladdr[..2] == CLIENT
}

/// The station.
pub struct Client {
    name: String,
    dev: Device,
    addr: IpAddr,
    to: IpAddr,
    neighbour: Option<LlAddr>,
    seq: u64,
    /// When each that is not answered was sent.
    waiting: BTreeMap<u64, Time>,
    heard: Vec<Vec<u8>>,
}

impl Client {
    /// Of that name, by that card.
    pub fn new(name: &str, dev: Device, addr: IpAddr, to: IpAddr) -> Client {
        let (neighbour, seq) = (None, 0);
        Client {
            name: name.to_owned(),
            dev,
            addr,
            to,
            neighbour,
            seq,
            waiting: BTreeMap::new(),
            heard: Vec::new(),
        }
    }

    /// Its MAC.
    pub fn lladdr(&self) -> LlAddr {
        self.dev.lladdr
    }

    /// What to poll for something to receive.
    pub fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.dev.rx.first().and_then(|rx| rx.poll_fd())
    }

    /// Pings once more; a neighbour that it does not know it asks for first,
    /// and the ping is lost, as with a host whose queue for it is full.
    pub fn ping(&mut self, now: Time) {
        let seq = self.seq;
        self.seq += 1;
        self.waiting.insert(seq, now);
        let payload = [(seq as u32).to_be_bytes().as_slice(), b"netisrd lab ping"].concat();
        let id = IDENT.to_be_bytes();
        let [hi, lo] = (seq as u16).to_be_bytes();
        match (self.neighbour, self.addr, self.to) {
            (None, ..) => self.ask(),
            (Some(to), IpAddr::V4(src), IpAddr::V4(dst)) => {
                let mut m = [&[8, 0, 0, 0, id[0], id[1], hi, lo][..], &payload].concat();
                let sum = in_cksum(&m).to_be_bytes();
                m[2..4].copy_from_slice(&sum);
                let ip = Ip {
                    hlen: 20,
                    tos: 0,
                    len: 0,
                    id: seq as u16,
                    off: 0,
                    ttl: 64,
                    p: IPPROTO_ICMP,
                    src,
                    dst,
                };
                self.send(to, ETHERTYPE_IP, &ip.packet(&m));
            }
            (Some(to), IpAddr::V6(src), IpAddr::V6(dst)) => {
                let mut m = [&[ICMP6_ECHO_REQUEST, 0, 0, 0, id[0], id[1], hi, lo][..], &payload].concat();
                let sum = in6_cksum(src, dst, IPPROTO_ICMPV6, &m).to_be_bytes();
                m[2..4].copy_from_slice(&sum);
                let ip6 = Ip6 { plen: 0, nxt: IPPROTO_ICMPV6, hlim: 64, src, dst };
                self.send(to, ETHERTYPE_IPV6, &ip6.packet(&m));
            }
            _ => {}
        }
    }

    /// Takes what has come, and says what pings it answers; `machine` has sent
    /// the last of it. Whether anything has come.
    pub fn receive(&mut self, now: Time, machine: Option<&str>, events: &mut Vec<Event>) -> bool {
        let mut heard = core::mem::take(&mut self.heard);
        for rx in &mut self.dev.rx {
            // A queue in memory does not die.
            let _ = rx.receive(usize::MAX, &mut |frame| heard.push(frame.to_vec()));
        }
        let any = !heard.is_empty();
        for frame in heard.drain(..) {
            if let Some(seq) = self.input(&frame)
                && let Some(sent) = self.waiting.remove(&seq)
            {
                events.push(self.event(now, seq, sent, Some(machine.map(str::to_owned))));
            }
        }
        self.heard = heard;
        any
    }

    /// Gives up what was sent too long ago.
    pub fn give_up(&mut self, now: Time, patience: Duration, events: &mut Vec<Event>) {
        while let Some((seq, sent)) = self.waiting.first_key_value().map(|(seq, sent)| (*seq, *sent)) {
            if now - sent < patience {
                return;
            }
            self.waiting.remove(&seq);
            events.push(self.event(now, seq, sent, None));
        }
    }

    fn event(&self, now: Time, seq: u64, sent: Time, answer: Option<Option<String>>) -> Event {
        let (rtt, machine) = (answer.as_ref().map(|_| now.0 - sent.0), answer.flatten());
        let (client, to) = (self.name.clone(), self.to);
        Event { at: now.0, what: What::Ping { client, to, seq, sent: sent.0, rtt, machine } }
    }

    fn send(&self, dhost: LlAddr, ether_type: u16, payload: &[u8]) {
        let eh = EtherHeader { dhost, shost: self.dev.lladdr, ether_type };
        // A cable that is out loses it.
        let _ = self.dev.tx.transmit(0, &eh.frame(payload));
    }

    /// Where is it?
    fn ask(&self) {
        match (self.addr, self.to) {
            (IpAddr::V4(spa), IpAddr::V4(tpa)) => {
                self.arp(1, BROADCAST, &[&spa.octets()[..], &[0; 6], &tpa.octets()].concat());
            }
            (IpAddr::V6(src), IpAddr::V6(target)) => {
                let group = solicited_node(target);
                let nd = Nd::Solicit { target, lladdr: Some(self.dev.lladdr) };
                let ip6 = Ip6 { plen: 0, nxt: IPPROTO_ICMPV6, hlim: 255, src, dst: group };
                let packet = ip6.packet(&nd.emit(src, group));
                self.send(map_ipv6_multicast(group), ETHERTYPE_IPV6, &packet);
            }
            _ => {}
        }
    }

    fn arp(&self, op: u8, to: LlAddr, rest: &[u8]) {
        let head = [0, 1, 8, 0, 6, 4, 0, op];
        self.send(to, ETHERTYPE_ARP, &[&head[..], &self.dev.lladdr, rest].concat());
    }

    /// The number of the ping that a frame answers, if it does.
    fn input(&mut self, frame: &[u8]) -> Option<u64> {
        let eh = EtherHeader::parse(frame)?;
        if eh.dhost != self.dev.lladdr && eh.dhost[0] & 1 == 0 {
            return None;
        }
        let data = frame.get(14..)?;
        match eh.ether_type {
            ETHERTYPE_ARP => self.arp_input(data),
            ETHERTYPE_IP => {
                let ip = Ip::parse(data).ok()?;
                let m = data.get(ip.hlen..ip.len)?;
                (IpAddr::V4(ip.src) == self.to && m.first() == Some(&0) && in_cksum(m) == 0)
                    .then(|| echo_seq(m))?
            }
            ETHERTYPE_IPV6 => {
                let ip6 = Ip6::parse(data).ok()?;
                let m = ip6.payload(data);
                if ip6.nxt != IPPROTO_ICMPV6 || in6_cksum(ip6.src, ip6.dst, IPPROTO_ICMPV6, m) != 0 {
                    return None;
                }
                if m.first() == Some(&ICMP6_ECHO_REPLY) {
                    return (IpAddr::V6(ip6.src) == self.to).then(|| echo_seq(m))?;
                }
                self.nd_input(&ip6, eh.shost, m)
            }
            _ => None,
        }
    }

    fn arp_input(&mut self, data: &[u8]) -> Option<u64> {
        let p: &[u8; 28] = data.first_chunk()?;
        let mut sha = [0; 6];
        sha.copy_from_slice(&p[8..14]);
        let spa = IpAddr::from([p[14], p[15], p[16], p[17]]);
        let tpa = IpAddr::from([p[24], p[25], p[26], p[27]]);
        if spa == self.to {
            self.neighbour = Some(sha);
        }
        if p[7] == 1 && tpa == self.addr && spa != tpa {
            self.arp(2, sha, &[&p[24..28], &sha, &p[14..18]].concat());
        }
        None
    }

    fn nd_input(&mut self, ip6: &Ip6, shost: LlAddr, m: &[u8]) -> Option<u64> {
        match Nd::parse(ip6, m)? {
            Nd::Advert { target, lladdr, flags }
                if IpAddr::V6(target) == self.to
                    && (self.neighbour.is_none() || flags & ND_NA_FLAG_OVERRIDE != 0) =>
            {
                self.neighbour = lladdr.or(self.neighbour);
            }
            Nd::Solicit { target, lladdr } if IpAddr::V6(target) == self.addr => {
                let flags = ND_NA_FLAG_SOLICITED | ND_NA_FLAG_OVERRIDE;
                let nd = Nd::Advert { target, flags, lladdr: Some(self.dev.lladdr) };
                let ip = Ip6 { plen: 0, nxt: IPPROTO_ICMPV6, hlim: 255, src: target, dst: ip6.src };
                self.send(lladdr.unwrap_or(shost), ETHERTYPE_IPV6, &ip.packet(&nd.emit(target, ip6.src)));
            }
            _ => {}
        }
        None
    }
}

/// The number in an echo's data.
fn echo_seq(m: &[u8]) -> Option<u64> {
    let id = m.get(4..6)?;
    let seq: &[u8; 4] = m.get(8..)?.first_chunk()?;
    (id == IDENT.to_be_bytes()).then(|| u32::from_be_bytes(*seq).into())
}
