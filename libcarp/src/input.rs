//! What CARP hears: `carp_input` claims frames on every netisr,
//! `carp_proto_input` judges advertisements in netisr0.

use crate::carp_if::{CarpIf, CarpSoftcContainer};
use crate::header::{BadHeader, CARP_DFLTTL, CARP_VERSION, CarpHeader, VHID};
use crate::kernel::Cx;
use crate::peers::Peer;
use crate::reason::Reason;
use crate::softc::{CarpSoftc, State};
use crate::types::{BOW_OUT, CARP_ETHERADDR, Interval};
use crate::{Ifaddr, Ifnet, demote, log, output, state};
use compat::net::ethernet::{ETHER_HDR_LEN, ETHERTYPE_IP, ETHERTYPE_IPV6, EtherHeader};
use compat::net::if_::{IFT_CARP, Iff};
use compat::netinet::in_::IPPROTO_CARP;
use compat::netinet::ip::{IP_HDR_LEN, Ip};
use compat::netinet6::ip6::{IP6_HDR_LEN, Ip6};
use compat::sys::mbuf::LinkCast;
use compat::sys::socket::Af;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use triomphe::Arc;

/// What `carp_input` makes of a frame on a backing interface.
#[derive(Clone, Copy)]
pub enum Claim<'n> {
    /// To the virtual MAC of a running MASTER: it is that carp interface's
    /// (`ether_reinput_oncpu`).
    ToCarp(&'n Arc<Ifnet>),
    /// An advertisement for the vhid of that carp interface.
    Advertisement(&'n Arc<Ifnet>),
    /// An advertisement for a vhid that nobody here has.
    OtherVhid,
    /// The backing interface's own.
    NotCarp,
}

/// `carp_input`, on any netisr. `cif` is the caller's local: loaded once, used
/// along the whole path.
///
/// Upstream walks the list for a virtual MAC and hands a copy of each
/// multicast and broadcast frame to each carp interface; here the vhid in the
/// MAC or in the advertisement is looked up. Other multicasts and broadcasts
/// (ARP requests among them) reach the parent once; ARP finds the virtual
/// address by itself.
#[doc(alias = "carp_input")]
#[inline]
pub fn input<'n>(cif: &'n CarpIf, eh: &EtherHeader, frame: &[u8]) -> Claim<'n> {
    match eh.cast() {
        LinkCast::Unicast => match forus(cif, eh) {
            Some(ifp) => Claim::ToCarp(ifp),
            None => match advertisement(cif, eh, frame) {
                Some(Some(scc)) if scc.scc_softc.is_unicast() => claim_if_up(Some(scc)),
                _ => Claim::NotCarp,
            },
        },
        LinkCast::Multicast | LinkCast::Broadcast => match advertisement(cif, eh, frame) {
            Some(scc) => claim_if_up(scc),
            None => Claim::NotCarp,
        },
    }
}

/// `carp_forus`
#[doc(alias = "carp_forus")]
#[inline]
fn forus<'n>(cif: &'n CarpIf, eh: &EtherHeader) -> Option<&'n Arc<Ifnet>> {
    owner(cif, eh).filter(|sc| sc.is_running_master()).map(|sc| &sc.sc_if)
}

/// Whose virtual MAC the frame is for, in whatever state.
#[inline]
pub fn owner<'n>(cif: &'n CarpIf, eh: &EtherHeader) -> Option<&'n Arc<CarpSoftc>> {
    let [prefix @ .., vhid] = eh.dhost;
    let [carp_prefix @ .., _] = CARP_ETHERADDR;
    if prefix != carp_prefix {
        return None;
    }
    cif.by_vhid(vhid).map(|scc| &scc.scc_softc)
}

/// If the frame is an advertisement: whom it is for, by its vhid. One too short
/// to have a vhid goes to the first, to be counted there.
#[inline]
fn advertisement<'n>(
    cif: &'n CarpIf,
    eh: &EtherHeader,
    frame: &[u8],
) -> Option<Option<&'n CarpSoftcContainer>> {
    let packet = frame.get(ETHER_HDR_LEN..)?;
    let hlen = match eh.ether_type {
        ETHERTYPE_IP if packet.get(9) == Some(&IPPROTO_CARP) => {
            (usize::from(packet[0] & 0xf) * 4).max(IP_HDR_LEN)
        }
        ETHERTYPE_IPV6 if packet.get(6) == Some(&IPPROTO_CARP) => IP6_HDR_LEN,
        _ => return None,
    };
    Some(match packet.get(hlen + VHID) {
        Some(vhid) => cif.by_vhid(*vhid),
        None => cif.iter().next(),
    })
}

/// An interface that is down hears nothing.
#[inline]
fn claim_if_up(scc: Option<&CarpSoftcContainer>) -> Claim<'_> {
    match scc.map(|scc| &scc.scc_softc.sc_if).filter(|ifp| ifp.flags().contains(Iff::UP)) {
        Some(ifp) => Claim::Advertisement(ifp),
        None => Claim::OtherVhid,
    }
}

/// Why an advertisement was dropped; each has its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// `net.inet.carp.allow` is 0. No counter, as upstream.
    NotAllowed,
    /// `carps_badif`: not a carp interface.
    NonCarpInterface,
    /// `carps_badif`: the carp interface is not running.
    StoppedInterface,
    /// `carps_badif`: the carp interface has no parent.
    DefunctInterface,
    /// `carps_badif`: not to a multicast address, and we have no peer.
    NonMulticast,
    /// `carps_badttl`: the TTL is not 255.
    Ttl(u8),
    /// `carps_badlen`: shorter than the header.
    Short(usize),
    /// `carps_badsum`
    Cksum,
    /// Another vhid. No counter, as upstream.
    Vhid,
    /// `carps_badver`
    Version(u8),
    /// `carps_badauth`: the digest is not ours.
    Auth,
    /// Our own, come back.
    Echo,
}

impl DropReason {
    fn account(self, cx: &Cx<'_>, ifp: &Ifnet, af: Af) {
        let own = cx.carp.own(cx.n0);
        own.count(|s| match self {
            DropReason::NotAllowed | DropReason::Vhid | DropReason::Echo => {}
            DropReason::NonCarpInterface
            | DropReason::StoppedInterface
            | DropReason::DefunctInterface
            | DropReason::NonMulticast => s.carps_badif += 1,
            DropReason::Ttl(_) => s.carps_badttl += 1,
            DropReason::Short(_) => s.carps_badlen += 1,
            DropReason::Cksum => s.carps_badsum += 1,
            DropReason::Version(_) => s.carps_badver += 1,
            DropReason::Auth => s.carps_badauth += 1,
        });
        match self {
            DropReason::NotAllowed | DropReason::Vhid => {}
            DropReason::Echo => own.echoes.set(own.echoes.get() + 1),
            _ => log::packet(cx, format_args!("{}", Sentence(self, ifp, af))),
        }
    }
}

/// Upstream's log sentence for a drop.
struct Sentence<'a>(DropReason, &'a Ifnet, Af);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ifp = self.1.if_xname;
        let inet6 = self.2 == Af::Inet6;
        let me = if inet6 { "carp6_proto_input" } else { "carp_proto_input" };
        match self.0 {
            DropReason::NonCarpInterface => {
                write!(f, "{me}: packet received on non-carp interface: {ifp}")
            }
            DropReason::StoppedInterface => {
                write!(f, "carp_proto_input: packet received on stopped carp interface: {ifp}")
            }
            DropReason::DefunctInterface => {
                let defunct = if inet6 { "defunc-carp" } else { "defunc carp" };
                write!(f, "{me}: packet received on {defunct} interface: {ifp}")
            }
            DropReason::NonMulticast => write!(f, "{me}: non-mcast packet on interface: {ifp}"),
            DropReason::Ttl(ttl) => write!(f, "{me}: received ttl {ttl} != {CARP_DFLTTL} on {ifp}"),
            DropReason::Short(len) if inet6 => write!(f, "{me}: packet size {len} too small"),
            DropReason::Short(len) => write!(f, "packet too short {len} on {ifp}"),
            DropReason::Cksum if inet6 => write!(f, "{me}: checksum failed, on {ifp}"),
            DropReason::Cksum => write!(f, "{me}: checksum failed on {ifp}"),
            DropReason::Version(v) => write!(f, "{ifp}; invalid version {v}"),
            DropReason::Auth => write!(f, "{ifp}: incorrect hash"),
            DropReason::NotAllowed | DropReason::Vhid | DropReason::Echo => Ok(()),
        }
    }
}

/// What the IP header says of an advertisement.
struct Received<'a> {
    af: Af,
    ttl: u8,
    src: IpAddr,
    dst: IpAddr,
    /// Bytes of the packet, for the log.
    len: usize,
    body: &'a [u8],
}

/// `carp_proto_input`: an IPv4 packet of protocol 112, its IP header checked,
/// as received on `ifp`.
#[doc(alias = "carp_proto_input")]
pub fn proto_input(cx: &Cx<'_>, ifp: &Arc<Ifnet>, ip: &Ip, packet: &[u8]) -> Result<(), DropReason> {
    cx.carp.own(cx.n0).count(|s| s.carps_ipackets += 1);
    let body = packet.get(ip.hlen..ip.len).unwrap_or(&[]);
    input_either(
        cx,
        ifp,
        &Received { af: Af::Inet, ttl: ip.ttl, src: ip.src.into(), dst: ip.dst.into(), len: ip.len, body },
    )
}

/// `carp6_proto_input`: the same over IPv6.
#[doc(alias = "carp6_proto_input")]
pub fn proto_input6(cx: &Cx<'_>, ifp: &Arc<Ifnet>, ip6: &Ip6, packet: &[u8]) -> Result<(), DropReason> {
    cx.carp.own(cx.n0).count(|s| s.carps_ipackets6 += 1);
    let (body, len) = (ip6.payload(packet), IP6_HDR_LEN + ip6.plen);
    input_either(
        cx,
        ifp,
        &Received { af: Af::Inet6, ttl: ip6.hlim, src: ip6.src.into(), dst: ip6.dst.into(), len, body },
    )
}

fn input_either(cx: &Cx<'_>, ifp: &Arc<Ifnet>, r: &Received<'_>) -> Result<(), DropReason> {
    let accepted = check_packet(cx, ifp, r).and_then(|(sc, ch)| {
        check_header(cx, &sc, &ch)?;
        Ok((sc, ch))
    });
    match accepted {
        Ok((sc, ch)) => {
            heard(cx, &sc, &ch, r);
            Ok(())
        }
        Err(reason) => {
            reason.account(cx, ifp, r.af);
            Err(reason)
        }
    }
}

/// The checks of `carp_proto_input` and `carp6_proto_input`, in upstream's
/// order.
fn check_packet(
    cx: &Cx<'_>,
    ifp: &Arc<Ifnet>,
    r: &Received<'_>,
) -> Result<(Arc<CarpSoftc>, CarpHeader), DropReason> {
    if cx.carp.own(cx.n0).opts.allow.get() == 0 {
        return Err(DropReason::NotAllowed);
    }
    if ifp.if_type != IFT_CARP {
        return Err(DropReason::NonCarpInterface);
    }
    if !ifp.is_up_and_running() {
        return Err(DropReason::StoppedInterface);
    }
    let sc = cx.carp.softc(cx.n0, ifp.if_index).ok_or(DropReason::DefunctInterface)?;
    let parent = sc.carpdev(cx.n0).ok_or(DropReason::DefunctInterface)?;
    if !r.dst.is_multicast() && !is_wanted_unicast(cx, &sc, parent, r) {
        return Err(DropReason::NonMulticast);
    }
    if r.ttl != CARP_DFLTTL {
        return Err(DropReason::Ttl(r.ttl));
    }
    match CarpHeader::parse(r.body) {
        Ok(ch) => Ok((sc, ch)),
        Err(BadHeader::Short) => Err(DropReason::Short(r.len)),
        Err(BadHeader::Cksum) => Err(DropReason::Cksum),
    }
}

/// Whether an advertisement to a single address is one that `sc` waits for: it
/// has a peer, and the address is its parent's own. Who sent it is not asked,
/// as FreeBSD does not: the digest says that it is one of us.
fn is_wanted_unicast(cx: &Cx<'_>, sc: &CarpSoftc, parent: &Arc<Ifnet>, r: &Received<'_>) -> bool {
    let has_peer = !sc.own(cx.n0).af(r.af).dst.get().is_multicast();
    let is_mine = |ia: &Arc<Ifaddr>| ia.ifa_addr == r.dst && Arc::ptr_eq(&ia.ifa_ifp, parent);
    has_peer && cx.kern.ifaddrs(cx.n0).iter().any(is_mine)
}

/// The checks of `carp_proto_input_c`. An own echo, whose counter and digest
/// are those just sent, would pass the digest: it is told apart before.
fn check_header(cx: &Cx<'_>, sc: &CarpSoftc, ch: &CarpHeader) -> Result<(), DropReason> {
    let own = sc.own(cx.n0);
    if own.vhid.get().map(|v| v.get()) != Some(ch.vhid) {
        return Err(DropReason::Vhid);
    }
    if ch.version != CARP_VERSION {
        return Err(DropReason::Version(ch.version));
    }
    if own.lastads.borrow().contains(&Some((ch.counter, ch.md))) {
        return Err(DropReason::Echo);
    }
    if !own.hmac.borrow().verify(ch.counter, &ch.md) {
        return Err(DropReason::Auth);
    }
    Ok(())
}

/// The rest of `carp_proto_input_c`: what a good advertisement does.
#[doc(alias = "carp_proto_input_c")]
fn heard(cx: &Cx<'_>, sc: &Arc<CarpSoftc>, ch: &CarpHeader, r: &Received<'_>) {
    let (own, carp) = (sc.own(cx.n0), cx.carp.own(cx.n0));
    own.af(r.af).heard.set(true);
    own.peers.heard(Peer { src: r.src, advbase: ch.advbase, advskew: ch.advskew, heard: cx.kern.now() });
    let skew = demote::advskew(cx, sc);
    let ours = Interval::new(own.advbase.get().into(), skew);
    let theirs = Interval::new(ch.advbase.into(), ch.advskew);
    match sc.state() {
        State::Init => {}
        // Whoever advertises more often is better.
        State::Master if ours > theirs || (ours == theirs && loses_tie(cx, sc, ch, r)) => {
            log::debug(
                cx,
                format_args!("{}: MASTER -> BACKUP (more frequent advertisement received)", sc.xname()),
            );
            let reason = if ours == theirs { Reason::LostTie } else { Reason::BetterMaster };
            state::yield_mastership(cx, sc, reason);
        }
        // Two masters, and this is the better one: a split has healed, and the
        // neighbours may have the other's word last.
        State::Master => output::announce_again(cx, sc),
        State::Backup if carp.opts.preempt() && ours < theirs => {
            carp.count(|s| s.carps_preempt += 1);
            log::debug(cx, format_args!("{}: BACKUP -> MASTER (preempting a slower master)", sc.xname()));
            state::master_down(cx, sc, Reason::Preempting);
        }
        // A master that advertises more seldom than we wait for it is as good
        // as gone; a bow-out is the extreme case.
        State::Backup if Interval::new(3 * u16::from(own.advbase.get()), skew) < theirs => {
            log::debug(cx, format_args!("{}: BACKUP -> MASTER (master timed out)", sc.xname()));
            let bows_out = (ch.advbase, ch.advskew) == (BOW_OUT, BOW_OUT);
            let reason = if bows_out { Reason::MasterLeft } else { Reason::MasterTooSlow };
            state::master_down(cx, sc, reason);
        }
        State::Backup => state::setrun(cx, sc, Some(r.af)),
    }
}

/// Of two masters that advertise equally often, the one with the lower address
/// stays, as ucarp has it; of two with one address (none, on parents without
/// any) the one with the lower counter. (Upstream lets both yield: machines
/// that keep step then take turns at having no master at all.)
///
/// Where both families are in use the addresses of the first decide, or one
/// would win in each and both would yield. The other family decides only while
/// the first was not heard: it is lost then.
fn loses_tie(cx: &Cx<'_>, sc: &CarpSoftc, ch: &CarpHeader, r: &Received<'_>) -> bool {
    let own = sc.own(cx.n0);
    if own.families().next().is_some_and(|first| first != r.af && own.af(first).heard.get()) {
        return false;
    }
    let mine = own.af(r.af).ia.borrow().as_ref().map_or(unspecified(r.af), |ia| ia.ifa_addr);
    (r.src, ch.counter.0) < (mine, own.counter.get().0)
}

fn unspecified(af: Af) -> IpAddr {
    match af {
        Af::Inet => Ipv4Addr::UNSPECIFIED.into(),
        Af::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}
