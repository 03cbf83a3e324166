//! `net/rtsock.c`: what has changed, told to whoever listens.
//!
//! ```text
//!   netisr0: rt_ifmsg, rt_newaddrmsg, ... --> rt_dispatch --> queue --> listener
//!                                                        \--> queue --> listener
//! ```
//!
//! A queue is bounded. What does not fit is counted, and told in its place: a
//! listener that is slow loses messages, and knows how many, but nobody waits
//! for it.

use crate::machine::Machine;
use crate::net::if_;
use crate::net::route::Route;
use crate::netinet::carp_vhid;
use compat::net::if_::{IfData, IfMsghdr, IfaMsghdr};
use compat::net::if_dl::SockAddrDl;
use compat::net::route::*;
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6::SockAddrIn6;
use compat::qsbr::{Netisr, Netisr0};
use compat::sys::socket::rt_roundup;
use core::net::IpAddr;
use ipnet::IpNet;
use libcarp::{Ifaddr, Ifnet};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use triomphe::Arc as TArc;
use zerocopy::{FromZeros, IntoBytes};

/// Messages that wait for one listener.
pub const QUEUE_LEN: usize = 512;

/// Called when a listener's queue turns from empty to not empty.
pub type Wake = Box<dyn Fn() + Send>;

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A routing message.
    Message(Arc<[u8]>),
    /// So many were lost here.
    Lost(u32),
}

struct Queue {
    messages: VecDeque<Arc<[u8]>>,
    /// Once something is lost, all is, until the listener knows: what it hears
    /// stays in order.
    lost: u32,
    wake: Wake,
}

/// `struct rawcb` of a routing socket. Dropped, it hears no more.
pub struct Listener(Arc<Mutex<Queue>>);

impl Listener {
    /// The next that it hears, if there is anything.
    pub fn next(&self) -> Option<Heard> {
        let mut q = lock(&self.0);
        if let Some(m) = q.messages.pop_front() {
            return Some(Heard::Message(m));
        }
        match core::mem::take(&mut q.lost) {
            0 => None,
            n => Some(Heard::Lost(n)),
        }
    }
}

/// Everybody who listens to a machine.
#[derive(Default)]
pub struct Listeners {
    all: Mutex<Vec<Weak<Mutex<Queue>>>>,
    any: AtomicBool,
}

impl Listeners {
    /// One listener more. Any thread may ask.
    pub fn listen(&self, wake: Wake) -> Listener {
        let queue = Queue { messages: VecDeque::new(), lost: 0, wake };
        let listener = Arc::new(Mutex::new(queue));
        lock(&self.all).push(Arc::downgrade(&listener));
        self.any.store(true, Ordering::Release);
        Listener(listener)
    }

    /// Whether it is worth while to make a message.
    fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    fn tell(&self, message: &Arc<[u8]>) {
        let mut all = lock(&self.all);
        all.retain(|weak| {
            let Some(listener) = weak.upgrade() else { return false };
            let mut q = lock(&listener);
            let was_empty = q.messages.is_empty() && q.lost == 0;
            if q.lost > 0 || q.messages.len() >= QUEUE_LEN {
                q.lost = q.lost.saturating_add(1);
            } else {
                q.messages.push_back(message.clone());
            }
            if was_empty {
                (q.wake)();
            }
            true
        });
        self.any.store(!all.is_empty(), Ordering::Release);
    }
}

/// Nothing is left half done by a panic here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `rts_input`: a message goes to everybody, if there is anybody.
fn rt_dispatch(m: &Machine, make: impl FnOnce(&mut Vec<u8>)) {
    if m.listeners.any() {
        let mut message = Vec::new();
        make(&mut message);
        m.listeners.tell(&message.into());
    }
}

/// `rt_ifmsg`: flags, link state, MTU or MAC of `ifp` have changed. The state of a vhid
/// of FreeBSD's model is told as its interface's, with the vhid.
pub fn rt_ifmsg(m: &Machine, n0: &Netisr0, ifp: &TArc<Ifnet>) {
    rt_dispatch(m, |out| {
        let (of, vhid) = carp_vhid::shown(m, n0, ifp);
        let mut hdr = IfMsghdr::new_zeroed();
        hdr.ifm_msglen = size_of::<IfMsghdr>() as u16;
        hdr.ifm_version = RTM_VERSION;
        hdr.ifm_type = RTM_IFINFO;
        hdr.ifm_index = of.if_index;
        hdr.ifm_flags = of.flags().bits() as i32;
        hdr.ifm_data = IfData { ifi_vhid: vhid, ..if_data(m, n0, ifp) };
        out.extend_from_slice(hdr.as_bytes());
    });
}

/// `rt_ifannouncemsg`: `ifp` came (`IFAN_ARRIVAL`) or went.
pub fn rt_ifannouncemsg(m: &Machine, ifp: &Ifnet, what: u16) {
    let hdr = IfAnnouncemsghdr {
        ifan_msglen: size_of::<IfAnnouncemsghdr>() as u16,
        ifan_version: RTM_VERSION,
        ifan_type: RTM_IFANNOUNCE,
        ifan_index: ifp.if_index,
        ifan_name: ifp.if_xname,
        ifan_what: what,
    };
    rt_dispatch(m, |out| out.extend_from_slice(hdr.as_bytes()));
}

/// `rt_newaddrmsg`: an address came (`RTM_NEWADDR`) or went.
pub fn rt_newaddrmsg(m: &Machine, n0: &Netisr0, ia: &TArc<Ifaddr>, rtm_type: u8) {
    rt_dispatch(m, |out| {
        let (of, vhid) = carp_vhid::shown(m, n0, &ia.ifa_ifp);
        push_ifa(out, n0, ia, rtm_type, of.if_index, vhid);
    });
}

/// `rt_rtmsg`: a route came, went, or leads elsewhere.
pub fn rt_rtmsg(m: &Machine, n0: &Netisr0, route: &Route, rtm_type: u8) {
    rt_dispatch(m, |out| push_route(out, carp_vhid::shown(m, n0, &route.ifp).0, route, rtm_type));
}

/// One `ifa_msghdr`, of the interface with that index, or of a vhid of it.
pub(crate) fn push_ifa(
    out: &mut Vec<u8>,
    n0: &Netisr0,
    ia: &TArc<Ifaddr>,
    rtm_type: u8,
    index: u16,
    vhid: u8,
) {
    let net = ia.net(n0);
    let mut body = Vec::new();
    push_addr(&mut body, net.netmask(), 0);
    push_addr(&mut body, ia.ifa_addr, u32::from(index));
    let mut hdr = IfaMsghdr::new_zeroed();
    hdr.ifam_version = RTM_VERSION;
    hdr.ifam_type = rtm_type;
    hdr.ifam_index = index;
    hdr.ifam_vhid = vhid;
    hdr.ifam_addrs = RTA_NETMASK | RTA_IFA;
    if matches!(net, IpNet::V4(_)) {
        push_addr(&mut body, ia.broad(n0).into(), 0);
        hdr.ifam_addrs |= RTA_BRD;
    }
    hdr.ifam_msglen = (size_of::<IfaMsghdr>() + body.len()) as u16;
    out.extend_from_slice(hdr.as_bytes());
    out.extend_from_slice(&body);
}

/// One `rt_msghdr` with destination, link and netmask, of a route that leaves
/// by `ifp`, as others know it.
pub(crate) fn push_route(out: &mut Vec<u8>, ifp: &Ifnet, route: &Route, rtm_type: u8) {
    let mut body = Vec::new();
    push_addr(&mut body, route.net.addr(), u32::from(ifp.if_index));
    push_link(&mut body, ifp);
    push_addr(&mut body, route.net.netmask(), 0);
    let hdr = RtMsghdr {
        rtm_msglen: (size_of::<RtMsghdr>() + body.len()) as u16,
        rtm_version: RTM_VERSION,
        rtm_type,
        rtm_index: ifp.if_index,
        rtm_flags: RTF_UP | RTF_CLONING,
        rtm_addrs: RTA_DST | RTA_GATEWAY | RTA_NETMASK,
        ..RtMsghdr::default()
    };
    out.extend_from_slice(hdr.as_bytes());
    out.extend_from_slice(&body);
}

/// The interface's name, type and MAC.
pub(crate) fn push_link(out: &mut Vec<u8>, ifp: &Ifnet) -> u8 {
    let sdl = SockAddrDl::new(ifp.if_index, ifp.if_type, ifp.if_xname.as_str(), ifp.lladdr());
    push_sockaddr(out, sdl.sdl_len, sdl.as_bytes());
    sdl.sdl_len
}

fn push_addr(out: &mut Vec<u8>, addr: IpAddr, scope: u32) {
    match addr {
        IpAddr::V4(a) => {
            let sin = SockAddrIn::new(a);
            push_sockaddr(out, sin.sin_len, sin.as_bytes());
        }
        IpAddr::V6(a) => {
            let sin6 = SockAddrIn6::new(a, scope);
            push_sockaddr(out, sin6.sin6_len, sin6.as_bytes());
        }
    }
}

fn push_sockaddr(out: &mut Vec<u8>, len: u8, bytes: &[u8]) {
    let at = out.len();
    out.extend_from_slice(bytes);
    out.resize(at + rt_roundup(len), 0);
}

/// `if_data` of an interface.
pub(crate) fn if_data(m: &Machine, n: &Netisr, ifp: &Ifnet) -> IfData {
    let s = &ifp.stats;
    IfData {
        ifi_type: ifp.if_type,
        ifi_addrlen: 6,
        ifi_hdrlen: 14,
        ifi_mtu: if_::mtu_of(m, n, ifp).into(),
        ifi_link_state: ifp.link_state() as u64,
        ifi_ipackets: s.ipackets.value(),
        ifi_ierrors: s.ierrors.value(),
        ifi_opackets: s.opackets.value(),
        ifi_oerrors: s.oerrors.value(),
        ifi_ibytes: s.ibytes.value(),
        ifi_obytes: s.obytes.value(),
        ifi_imcasts: s.imcasts.value(),
        ifi_omcasts: s.omcasts.value(),
        ifi_iqdrops: s.iqdrops.value(),
        ifi_noproto: s.noproto.value(),
        ..IfData::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn a_slow_listener_loses_messages_and_is_told_in_its_place() {
        let all = Listeners::default();
        assert!(!all.any());
        let woken = Arc::new(AtomicU32::new(0));
        let w = woken.clone();
        let slow = all.listen(Box::new(move || {
            w.fetch_add(1, Ordering::Relaxed);
        }));
        let quick = all.listen(Box::new(|| ()));
        let message = |n: usize| -> Arc<[u8]> { n.to_ne_bytes().into() };
        for n in 0..QUEUE_LEN + 7 {
            all.tell(&message(n));
            assert_eq!(quick.next(), Some(Heard::Message(message(n))));
        }
        assert_eq!((woken.load(Ordering::Relaxed), quick.next()), (1, None));
        assert_eq!(slow.next(), Some(Heard::Message(message(0))));
        // Room is there again, but what was lost comes first.
        all.tell(&message(9999));
        for n in 1..QUEUE_LEN {
            assert_eq!(slow.next(), Some(Heard::Message(message(n))));
        }
        assert_eq!((slow.next(), slow.next()), (Some(Heard::Lost(8)), None));
        all.tell(&message(1));
        assert_eq!((slow.next(), woken.load(Ordering::Relaxed)), (Some(Heard::Message(message(1))), 2));
        drop((slow, quick));
        all.tell(&message(2));
        assert!(!all.any(), "nobody is left");
    }
}
