//! `route-carp` against a machine that has routes and tells what changes.

use crate::{failure, run_on, success};
use compat::net::if_::{IfMsghdr, IfName, IfaMsghdr};
use compat::net::if_dl::SockAddrDl;
use compat::net::route::*;
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6::{SockAddrIn6, mask_of_len6};
use compat::sys::ctlsock::{CtlType, Op, Reply, Request};
use compat::sys::errno::Errno;
use ifconfig_carp::{CallError, Syscalls, route};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::BufRead;
use std::path::Path;
use zerocopy::{FromZeros, IntoBytes};

/// A machine that has routes, page by page, and something to tell.
#[derive(Default)]
struct Teller {
    routes: Vec<Vec<u8>>,
    per_page: usize,
    tells: VecDeque<Reply>,
    refuses: bool,
    /// Lines of its event socket.
    events: Option<&'static str>,
}

impl Syscalls for Teller {
    fn events(&mut self, path: Option<&Path>) -> Result<Box<dyn BufRead>, CallError> {
        let lines = self.events.ok_or_else(|| CallError::new(format!("nobody at {path:?}")))?;
        Ok(Box::new(lines.as_bytes()))
    }

    fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        match request.op {
            Op::Route if self.refuses => Ok(Reply::error(Errno::EOPNOTSUPP)),
            Op::Route => Ok(Reply { error: None, arg: Vec::new(), data: Vec::new() }),
            _ => {
                let name = std::str::from_utf8(&request.arg).unwrap();
                let first: usize = name.strip_prefix("net.route.table.").unwrap().parse().unwrap();
                let data = self.routes.iter().skip(first).take(self.per_page).flatten().copied().collect();
                Ok(Reply { error: None, arg: (CtlType::Opaque as u32).to_ne_bytes().to_vec(), data })
            }
        }
    }

    fn hear(&mut self) -> Result<Reply, CallError> {
        self.tells.pop_front().ok_or_else(|| CallError::new("netisrd on /x hung up"))
    }
}

fn link(name: &str, mac: [u8; 6]) -> Vec<u8> {
    let sdl = SockAddrDl::new(3, 6, name, mac);
    let mut bytes = sdl.as_bytes().to_vec();
    bytes.resize(compat::sys::socket::rt_roundup(sdl.sdl_len), 0);
    bytes
}

fn message(rtm_type: u8, index: u16, dst: &[u8], gateway: &[u8], mask: &[u8]) -> Vec<u8> {
    let mut hdr = RtMsghdr {
        rtm_version: RTM_VERSION,
        rtm_type,
        rtm_index: index,
        rtm_flags: RTF_UP | RTF_CLONING,
        rtm_addrs: RTA_DST | RTA_GATEWAY | RTA_NETMASK,
        ..RtMsghdr::default()
    };
    let body = [dst, gateway, mask].concat();
    hdr.rtm_msglen = (size_of::<RtMsghdr>() + body.len()) as u16;
    [hdr.as_bytes(), &body].concat()
}

fn inet(rtm_type: u8, dst: [u8; 4], len: u32, name: &str, index: u16) -> Vec<u8> {
    let mask = compat::netinet::in_::mask_of_len(len).unwrap();
    let (dst, mask) = (SockAddrIn::new(dst.into()), SockAddrIn::new(mask));
    message(rtm_type, index, dst.as_bytes(), &link(name, [0, 0, 0x5e, 0, 1, 1]), mask.as_bytes())
}

fn inet6(dst: &str, scope: u32, name: &str, index: u16) -> Vec<u8> {
    let padded = |sin6: SockAddrIn6| [sin6.as_bytes(), &[0; 4]].concat();
    let dst = padded(SockAddrIn6::new(dst.parse().unwrap(), scope));
    let mask = padded(SockAddrIn6::new(mask_of_len6(64).unwrap(), 0));
    message(RTM_GET, index, &dst, &link(name, [2, 0, 0, 0, 0, 2]), &mask)
}

fn route(sys: &mut Teller, line: &str) -> crate::Outcome {
    let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    run_on(route::run, sys, &args)
}

#[test]
fn the_table_is_shown_by_family_whatever_the_size_of_a_page() {
    for per_page in 1..5 {
        let routes = vec![
            inet(RTM_GET, [10, 0, 0, 0], 24, "carp0", 2),
            inet6("2001:db8::", 0, "em0", 1),
            inet6("fe80::", 1, "em0", 1),
        ];
        let mut sys = Teller { routes, per_page, ..Teller::default() };
        let four = "
Internet:
Destination        Gateway            Flags    Netif
10.0.0.0/24        link#2             UC       carp0
";
        let six = "
Internet6:
Destination                       Gateway            Flags    Netif
2001:db8::/64                     link#1             UC       em0
fe80::%em0/64                     link#1             UC       em0
";
        assert_eq!(route(&mut sys, "-n show"), success(&format!("Routing tables\n{four}{six}")));
        assert_eq!(route(&mut sys, "show -inet"), success(&format!("Routing tables\n{four}")));
        assert_eq!(route(&mut sys, "show -inet6"), success(&format!("Routing tables\n{six}")));
    }
    let mut empty = Teller { per_page: 1, ..Teller::default() };
    assert_eq!(route(&mut empty, "show"), success("Routing tables\n"));
}

#[test]
fn what_is_no_table_is_said_to_be_none() {
    let good = inet(RTM_GET, [10, 0, 0, 0], 24, "em0", 1);
    let mut other_kind = good.clone();
    other_kind[3] = RTM_IFANNOUNCE;
    for bad in [vec![1], good[..good.len() - 1].to_vec(), other_kind, vec![0; 200]] {
        let mut sys = Teller { routes: vec![bad], per_page: 1, ..Teller::default() };
        let said = route(&mut sys, "show");
        assert_eq!((said.status, said.stderr.lines().count()), (1, 1), "{said:?}");
    }
}

fn tell(data: Vec<u8>) -> Reply {
    Reply { error: None, arg: Vec::new(), data }
}

/// Without the dates.
fn lines(said: &crate::Outcome) -> Vec<String> {
    let cut =
        |l: &str| l.split(" on ").next().and_then(|l| l.split(" before ").next()).unwrap_or("").to_owned();
    said.stdout.lines().map(cut).collect()
}

#[test]
fn each_message_is_shown_as_bsds_route_monitor_shows_it() {
    let mut ifm = IfMsghdr::new_zeroed();
    ifm.ifm_msglen = 176;
    ifm.ifm_version = RTM_VERSION;
    ifm.ifm_type = RTM_IFINFO;
    ifm.ifm_index = 2;
    ifm.ifm_flags = 0x8843;
    ifm.ifm_data.ifi_link_state = 2;
    let mut ifam = IfaMsghdr::new_zeroed();
    ifam.ifam_version = RTM_VERSION;
    ifam.ifam_type = RTM_NEWADDR;
    ifam.ifam_addrs = RTA_NETMASK | RTA_IFA;
    let addrs = [SockAddrIn::new([255, 255, 255, 0].into()), SockAddrIn::new([10, 0, 0, 1].into())];
    ifam.ifam_msglen = 24 + 32;
    let newaddr = [ifam.as_bytes(), addrs[0].as_bytes(), addrs[1].as_bytes()].concat();
    // The same of a vhid of FreeBSD's model.
    let (mut state, mut alias) = (ifm, newaddr.clone());
    state.ifm_data.ifi_vhid = 7;
    alias[std::mem::offset_of!(IfaMsghdr, ifam_vhid)] = 7;
    let ifan = IfAnnouncemsghdr {
        ifan_msglen: 24,
        ifan_version: RTM_VERSION,
        ifan_type: RTM_IFANNOUNCE,
        ifan_index: 2,
        ifan_name: IfName::new("carp0").unwrap(),
        ifan_what: IFAN_DEPARTURE,
    };
    let mut old = ifan.as_bytes().to_vec();
    old[2] = 5;
    let tells = [
        tell(ifm.as_bytes().to_vec()),
        tell(newaddr),
        tell(state.as_bytes().to_vec()),
        tell(alias),
        tell(inet(RTM_CHANGE, [10, 0, 0, 0], 24, "carp0", 2)),
        Reply { error: None, arg: 7u32.to_ne_bytes().to_vec(), data: Vec::new() },
        tell(ifan.as_bytes().to_vec()),
        tell(old),
        tell(vec![9, 0, 7]),
    ];
    let mut sys = Teller { tells: tells.into(), ..Teller::default() };
    let said = route(&mut sys, "-n monitor");
    let expected = [
        "",
        "got message of size 176",
        "RTM_IFINFO: iface status change: len 176, if# 2, link: up, flags:<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST>",
        "",
        "got message of size 56",
        "RTM_NEWADDR: address being added to iface: len 56, metric 0, flags:",
        "sockaddrs: <NETMASK,IFA>",
        " 255.255.255.0 10.0.0.1",
        "",
        "got message of size 176",
        "RTM_IFINFO: iface status change: len 176, if# 2, vhid 7, link: up, flags:<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST>",
        "",
        "got message of size 56",
        "RTM_NEWADDR: address being added to iface: len 56, vhid 7, metric 0, flags:",
        "sockaddrs: <NETMASK,IFA>",
        " 255.255.255.0 10.0.0.1",
        "",
        "got message of size 240",
        "RTM_CHANGE: Change Metrics or flags: len 240, pid: 0, seq 0, errno 0, flags:<UP,CLONING>",
        "locks:  inits: ",
        "sockaddrs: <DST,GATEWAY,NETMASK>",
        " 10.0.0.0 carp0:0.0.5e.0.1.1 255.255.255.0",
        "",
        "lost 7 messages",
        "",
        "got message of size 24",
        "RTM_IFANNOUNCE: interface arrival/departure: len 24, if# 2, what: departure",
        "",
        "got message of size 24",
        "routing message version 5 not understood",
        "",
        "got message of size 3",
        "not a routing message",
    ];
    assert_eq!(lines(&said), expected);
    // The machine's end is an error.
    assert_eq!((said.status, &said.stderr[..]), (1, "route-carp: netisrd on /x hung up\n"));
}

#[test]
fn a_machine_that_does_not_tell_is_an_error_and_so_is_a_line_that_makes_no_sense() {
    let mut sys = Teller { refuses: true, ..Teller::default() };
    assert_eq!(route(&mut sys, "monitor"), failure("route-carp: routing socket: Operation not supported"));
    for line in ["", "show em0", "monitor -inet", "add default 10.0.0.1", "-x show"] {
        let said = route(&mut sys, line);
        assert!(said.status == 1 && said.stderr.starts_with("usage: route-carp"), "{line}: {said:?}");
    }
    assert!(route(&mut sys, "-h").stdout.starts_with("usage:"));
}

#[test]
fn monitor_json_prints_the_lines_of_the_event_socket() {
    let mut sys = Teller { events: Some("{\"a\":1}\n{\"b\":\"\x1b[2J\"}\n"), ..Teller::default() };
    let said = route(&mut sys, "monitor --json");
    // A terminal is not repainted by it.
    assert_eq!(said.stdout, "{\"a\":1}\n{\"b\":\"\\u{1b}[2J\"}\n");
    assert_eq!((said.status, &said.stderr[..]), (1, "route-carp: event socket: netisrd hung up\n"));
    let mut sys = Teller::default();
    assert_eq!(route(&mut sys, "monitor --json"), failure("route-carp: nobody at None"));
    assert_eq!(route(&mut sys, "monitor --json /x"), failure("route-carp: nobody at Some(\"/x\")"));
    assert!(route(&mut sys, "monitor --json /x /y").stderr.starts_with("usage: route-carp"));
}

#[test]
fn no_bytes_make_it_panic() {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    for kind in 0..40u8 {
        for _ in 0..200 {
            let len = usize::from(random()).max(8);
            let mut m: Vec<u8> = (0..len).map(|_| random()).collect();
            m[..2].copy_from_slice(&(len as u16).to_ne_bytes());
            m[2] = RTM_VERSION;
            m[3] = kind;
            let mut sys =
                Teller { routes: vec![m.clone()], per_page: 1, tells: [tell(m)].into(), refuses: false };
            assert_eq!(route(&mut sys, "monitor").status, 1);
            let said = route(&mut sys, "show");
            assert!(said.status == 1 || kind <= 4, "{said:?}");
        }
    }
}
