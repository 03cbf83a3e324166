//! A LAN with machines on it, for the tests.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use compat::net::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IP, ETHERTYPE_IPV6, EtherHeader};
use compat::net::if_::{IfAliasReq, IfName, IfReq, Iff};
use compat::netinet::in_::{SockAddrIn, in_cksum};
use compat::netinet::ip::Ip;
use compat::netinet6::icmp6::{ICMP6_ECHO_REQUEST, Nd};
use compat::netinet6::in6::{IPPROTO_ICMPV6, SockAddrIn6, map_ipv6_multicast, mask_of_len6, solicited_node};
use compat::netinet6::in6_var::*;
use compat::netinet6::ip6::{Ip6, in6_cksum};
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::sockio::*;
use libcarp::carpreq::{CARPR_STATE_KEEP, CarpReq, CarpStats, SIOCGVH, SIOCSVH};
use libcarp::softc::State;
use netisrd::dev::Device;
use netisrd::dev::lan::Lan;
use netisrd::sim::{MachineId, World};
use std::net::Ipv6Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use zerocopy::{FromBytes, IntoBytes};

pub const SEC: Duration = Duration::from_secs(1);
pub const VMAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 1];
pub const VIP: [u8; 4] = [10, 0, 0, 1];

pub fn name(s: &str) -> IfName {
    IfName::new(s).unwrap()
}

/// A LAN with everything that was on it.
pub struct Lab {
    pub world: World,
    pub lan: Arc<Lan>,
    pub wire: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Lab {
    pub fn new(seed: u64) -> Lab {
        let (lan, wire) = (Lan::new(), Arc::new(Mutex::new(Vec::new())));
        let w = wire.clone();
        lan.tap(Box::new(move |_, frame| w.lock().unwrap().push(frame.to_vec())));
        Lab { world: World::new(seed), lan, wire }
    }

    /// emN with 10.0.0.N/24, and carp0 with vhid 1 and 10.0.0.1/24.
    pub fn machine(&mut self, n: u8, ncpus: usize, advskew: i32) -> MachineId {
        let id = self.world.boot(ncpus, 0);
        let em = name(&format!("em{n}"));
        let dev = self.lan.attach(em, [2, 0, 0, 0, 0, n], ncpus);
        self.world.attach(id, dev).unwrap();
        self.ok(id, addr(em, [10, 0, 0, n]));
        self.carp(id, "carp0", 1, advskew, VIP);
        id
    }

    pub fn carp(&mut self, id: MachineId, ifname: &str, vhid: i32, advskew: i32, vip: [u8; 4]) {
        let carp = name(ifname);
        self.ok(id, Request::ioctl(SIOCIFCREATE2, &IfReq::new(carp)));
        self.ok(id, setvh(carp, vhid, advskew));
        self.ok(id, addr(carp, vip));
    }

    pub fn ok(&mut self, id: MachineId, req: Request) -> Reply {
        let r = self.world.syscall(id, req);
        assert_eq!(r.error, None);
        r
    }

    pub fn state(&mut self, id: MachineId) -> i32 {
        let r = self.ok(id, Request::ioctl(SIOCGVH, &IfReq::new(name("carp0"))));
        CarpReq::read_from_bytes(&r.data).unwrap().carpr_state
    }

    pub fn states(&mut self, ids: &[MachineId]) -> Vec<i32> {
        ids.iter().map(|id| self.state(*id)).collect()
    }

    pub fn stats(&mut self, id: MachineId) -> CarpStats {
        let r = self.ok(id, Request::sysctl("net.inet.carp.stats", &[]));
        CarpStats::read_from_bytes(&r.data).unwrap()
    }

    pub fn client(&self) -> Client {
        Client { dev: self.lan.attach(name("c0"), [2, 0, 0, 0, 0, 0xcc], 1) }
    }
}

pub fn addr(ifname: IfName, a: [u8; 4]) -> Request {
    let ifra = IfAliasReq {
        ifra_name: ifname,
        ifra_addr: SockAddrIn::new(a.into()),
        ifra_broadaddr: SockAddrIn::default(),
        ifra_mask: SockAddrIn::new([255, 255, 255, 0].into()),
    };
    Request::ioctl(SIOCAIFADDR, &ifra)
}

pub fn addr_len(ifname: IfName, a: [u8; 4], len: u32) -> Request {
    let ifra = IfAliasReq {
        ifra_name: ifname,
        ifra_addr: SockAddrIn::new(a.into()),
        ifra_broadaddr: SockAddrIn::default(),
        ifra_mask: SockAddrIn::new(compat::netinet::in_::mask_of_len(len).unwrap()),
    };
    Request::ioctl(SIOCAIFADDR, &ifra)
}

pub fn setvh(ifname: IfName, vhid: i32, advskew: i32) -> Request {
    request(ifname, CARPR_STATE_KEEP, vhid, advskew)
}

/// `ifconfig IF state ...` of [`Lab::machine`]'s carp0.
pub fn state(ifname: IfName, state: State) -> Request {
    request(ifname, state as i32, 1, 0)
}

fn request(ifname: IfName, state: i32, vhid: i32, advskew: i32) -> Request {
    let mut r = CarpReq {
        carpr_state: state,
        carpr_vhid: vhid,
        carpr_advbase: 1,
        carpr_advskew: advskew,
        ..CarpReq::default()
    };
    r.carpr_key[..6].copy_from_slice(b"secret");
    Request::ioctl_with(SIOCSVH, &IfReq::new(ifname), r.as_bytes())
}

/// A station that is no machine of ours.
pub struct Client {
    pub dev: Device,
}

impl Client {
    pub fn send(&self, dhost: [u8; 6], ether_type: u16, payload: &[u8]) {
        let eh = EtherHeader { dhost, shost: self.dev.lladdr, ether_type };
        self.dev.tx.transmit(0, &eh.frame(payload)).unwrap();
    }

    pub fn arp_request(&self, tpa: [u8; 4]) {
        let mut p = vec![0, 1, 8, 0, 6, 4, 0, 1];
        p.extend([&self.dev.lladdr[..], &[10, 0, 0, 9], &[0; 6], &tpa].concat());
        self.send([0xff; 6], ETHERTYPE_ARP, &p);
    }

    pub fn ping(&self, dhost: [u8; 6], dst: [u8; 4]) {
        let mut icmp = vec![8, 0, 0, 0, 0, 7, 0, 1, b'h', b'i'];
        let sum = in_cksum(&icmp).to_be_bytes();
        icmp[2..4].copy_from_slice(&sum);
        let src = [10, 0, 0, 9].into();
        let ip = Ip { hlen: 20, tos: 0, len: 0, id: 1, off: 0, ttl: 64, p: 1, src, dst: dst.into() };
        self.send(dhost, ETHERTYPE_IP, &ip.packet(&icmp));
    }

    /// What came for this station, addressed to it alone.
    pub fn heard(&mut self) -> Vec<Vec<u8>> {
        let (mut all, me) = (Vec::new(), self.dev.lladdr);
        for q in &mut self.dev.rx {
            while q.receive(16, &mut |f| all.push(f.to_vec())).unwrap() > 0 {}
        }
        all.retain(|f| f[..6] == me);
        all
    }
}

pub fn del(ifname: IfName, a: [u8; 4]) -> Request {
    let mut r = IfReq::new(ifname);
    r.set_sin(SockAddrIn::new(a.into()));
    Request::ioctl(SIOCDIFADDR, &r)
}

impl Lab {
    /// `ifconfig IF up` or `down`.
    pub fn set_up(&mut self, id: MachineId, ifname: IfName, up: bool) {
        let reply = self.ok(id, Request::ioctl(SIOCGIFFLAGS, &IfReq::new(ifname)));
        let mut r = IfReq::read_from_bytes(&reply.arg).unwrap();
        let mut flags = r.flags();
        flags.set(Iff::UP, up);
        r.set_flags(flags);
        self.ok(id, Request::ioctl(SIOCSIFFLAGS, &r));
    }

    /// Whether `ip` at `mac` answers ARP and ping.
    pub fn answers(&mut self, c: &mut Client, mac: [u8; 6], ip: [u8; 4]) -> bool {
        c.heard();
        c.arp_request(ip);
        self.world.run_for(SEC / 100);
        c.ping(mac, ip);
        self.world.run_for(SEC / 100);
        let from = |f: &Vec<u8>| f[6..12] == mac;
        let heard = c.heard();
        let arp = heard.iter().any(|f| from(f) && f[12..14] == [8, 6]);
        let echo = heard.iter().any(|f| from(f) && f[12..14] == [8, 0] && f[34] == 0);
        arp && echo
    }
}

pub fn parse6(s: &str) -> Ipv6Addr {
    s.parse().unwrap()
}

pub fn addr6(ifname: IfName, a: &str, prefixlen: u32) -> Request {
    let ifra = In6AliasReq {
        ifra_name: ifname,
        ifra_addr: SockAddrIn6::new(parse6(a), 0),
        ifra_dstaddr: SockAddrIn6::default(),
        ifra_prefixmask: SockAddrIn6::new(mask_of_len6(prefixlen).unwrap(), 0),
        ifra_flags: 0,
        ifra_lifetime: In6Addrlifetime::INFINITE,
    };
    Request::ioctl(SIOCAIFADDR_IN6, &ifra)
}

pub fn del6(ifname: IfName, a: &str) -> Request {
    Request::ioctl(SIOCDIFADDR_IN6, &In6IfReq::new(ifname, SockAddrIn6::new(parse6(a), 0)))
}

impl Lab {
    pub fn addr6(&mut self, id: MachineId, ifname: IfName, a: &str) {
        self.ok(id, addr6(ifname, a, 64));
    }

    pub fn sysctl(&mut self, id: MachineId, leaf: &str, value: i32) {
        self.ok(id, Request::sysctl(leaf, &value.to_ne_bytes()));
    }

    pub fn int(&mut self, id: MachineId, leaf: &str) -> i32 {
        i32::from_ne_bytes(self.ok(id, Request::sysctl(leaf, &[])).data.try_into().unwrap())
    }
}

impl Client {
    /// Everything that came, groups and broadcasts too.
    pub fn all_heard(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for q in &mut self.dev.rx {
            while q.receive(16, &mut |f| all.push(f.to_vec())).unwrap() > 0 {}
        }
        all
    }

    fn addr6(&self) -> Ipv6Addr {
        parse6("2001:db8::9")
    }

    pub fn send_nd(&self, src: Ipv6Addr, dst: Ipv6Addr, nd: &Nd) {
        let ip6 = Ip6 { plen: 0, nxt: IPPROTO_ICMPV6, hlim: 255, src, dst };
        let dhost = if dst.is_multicast() { map_ipv6_multicast(dst) } else { [0xff; 6] };
        self.send(dhost, ETHERTYPE_IPV6, &ip6.packet(&nd.emit(src, dst)));
    }

    pub fn solicit(&self, target: Ipv6Addr) {
        let nd = Nd::Solicit { target, lladdr: Some(self.dev.lladdr) };
        self.send_nd(self.addr6(), solicited_node(target), &nd);
    }

    pub fn ping6(&self, dhost: [u8; 6], dst: Ipv6Addr) {
        let src = self.addr6();
        let mut m = vec![ICMP6_ECHO_REQUEST, 0, 0, 0, 0, 7, 0, 1, b'h', b'i'];
        let sum = in6_cksum(src, dst, IPPROTO_ICMPV6, &m).to_be_bytes();
        m[2..4].copy_from_slice(&sum);
        let ip6 = Ip6 { plen: 0, nxt: IPPROTO_ICMPV6, hlim: 64, src, dst };
        self.send(dhost, ETHERTYPE_IPV6, &ip6.packet(&m));
    }

    /// A general listener query.
    pub fn query(&self) {
        let (src, dst) = (parse6("fe80::9"), parse6("ff02::1"));
        let mut m = vec![130, 0, 0, 0, 0, 10, 0, 0];
        m.extend([0; 16]);
        m.extend([2, 125, 0, 0]);
        let sum = in6_cksum(src, dst, IPPROTO_ICMPV6, &m).to_be_bytes();
        m[2..4].copy_from_slice(&sum);
        let mut payload = vec![IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0];
        payload.extend(m);
        let ip6 = Ip6 { plen: 0, nxt: 0, hlim: 1, src, dst };
        self.send(map_ipv6_multicast(dst), ETHERTYPE_IPV6, &ip6.packet(&payload));
    }
}
