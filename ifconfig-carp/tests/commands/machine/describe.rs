//! Requests as lines of text.

use compat::net::if_::{IfAliasReq, IfAliasReqVhid, IfDrv, IfGroupReq, IfName, IfReq};
use compat::netinet::in_::SockAddrIn;
use compat::netinet6::in6::SockAddrIn6;
use compat::netinet6::in6_var::*;
use compat::sys::ctlsock::Request;
use compat::sys::sockio::*;
use libcarp::carpreq::*;
use zerocopy::FromBytes;

pub(super) fn ifreq(request: &Request) -> IfReq {
    IfReq::read_from_bytes(&request.arg).unwrap()
}

pub(super) fn ifdrv(request: &Request) -> IfDrv {
    IfDrv::read_from_bytes(&request.arg).unwrap()
}

/// The ioctl's name, and a line with all that the request says.
pub(super) fn describe(request: &Request) -> (&'static str, String) {
    let named = |name| (name, format!("{name} {}", ifreq(request).ifr_name));
    let flagged = |name| (name, format!("{name} {} {:#x}", ifreq(request).ifr_name, ifreq(request).flags()));
    let grouped = |name| {
        let r = ifgroupreq(request);
        (name, format!("{name} {} {}", r.ifgr_name, r.group()))
    };
    let listed = |name| {
        let r = ifgroupreq(request);
        assert_eq!(r.ifgr_ifgru, [0; 16]);
        (name, format!("{name} {} len {}", r.ifgr_name, r.ifgr_len))
    };
    let named = match request.cmd {
        SIOCGIFINDEX => named("SIOCGIFINDEX"),
        SIOCIFCREATE2 => named("SIOCIFCREATE2"),
        SIOCIFDESTROY => named("SIOCIFDESTROY"),
        SIOCGIFADDR => named("SIOCGIFADDR"),
        SIOCGIFFLAGS => named("SIOCGIFFLAGS"),
        SIOCSIFFLAGS => flagged("SIOCSIFFLAGS"),
        SIOCGVH if request.data.is_empty() => named("SIOCGVH"),
        SIOCGVH => {
            let asked = CarpReq::read_from_bytes(&request.data).unwrap();
            assert!(asked == CarpReq { carpr_vhid: asked.carpr_vhid, ..CarpReq::default() });
            ("SIOCGVH", format!("SIOCGVH {} vhid {}", ifreq(request).ifr_name, asked.carpr_vhid))
        }
        SIOCSVH => ("SIOCSVH", format!("SIOCSVH {} {}", ifreq(request).ifr_name, carpreq(&request.data))),
        SIOCDIFADDR => {
            let ifr = ifreq(request);
            ("SIOCDIFADDR", format!("SIOCDIFADDR {} {}", ifr.ifr_name, sin(ifr.sin())))
        }
        SIOCAIFADDR => {
            let r = IfAliasReq::read_from_bytes(&request.arg).unwrap();
            let (addr, mask, brd) = (sin(r.ifra_addr), sin(r.ifra_mask), sin(r.ifra_broadaddr));
            ("SIOCAIFADDR", format!("SIOCAIFADDR {} {addr} mask {mask} brd {brd}", r.ifra_name))
        }
        SIOCAIFADDR_VHID => {
            let r = IfAliasReqVhid::read_from_bytes(&request.arg).unwrap();
            let (addr, mask, brd) =
                (sin(r.ifra.ifra_addr), sin(r.ifra.ifra_mask), sin(r.ifra.ifra_broadaddr));
            let name = "SIOCAIFADDR_VHID";
            (name, format!("{name} {} {addr} mask {mask} brd {brd} vhid {}", r.ifra.ifra_name, r.ifra_vhid))
        }
        SIOCDIFADDR_IN6 => {
            let r = In6IfReq::read_from_bytes(&request.arg).unwrap();
            ("SIOCDIFADDR_IN6", format!("SIOCDIFADDR_IN6 {} {}", r.ifr_name, sin6(r.ifr_addr)))
        }
        SIOCAIFADDR_IN6 => {
            let r = In6AliasReq::read_from_bytes(&request.arg).unwrap();
            ("SIOCAIFADDR_IN6", format!("SIOCAIFADDR_IN6 {}", in6_aliasreq(r)))
        }
        SIOCAIFADDR_IN6_VHID => {
            let r = In6AliasReqVhid::read_from_bytes(&request.arg).unwrap();
            let name = "SIOCAIFADDR_IN6_VHID";
            (name, format!("{name} {} vhid {}", in6_aliasreq(r.ifra), r.ifra_vhid))
        }
        SIOCAIFGROUP => grouped("SIOCAIFGROUP"),
        SIOCDIFGROUP => grouped("SIOCDIFGROUP"),
        SIOCGIFGROUP => listed("SIOCGIFGROUP"),
        SIOCGIFGMEMB => listed("SIOCGIFGMEMB"),
        SIOCGIFGATTR => listed("SIOCGIFGATTR"),
        SIOCSIFGATTR => {
            let r = ifgroupreq(request);
            ("SIOCSIFGATTR", format!("SIOCSIFGATTR {} {:+}", r.ifgr_name, r.carp_demoted()))
        }
        SIOCGDRVSPEC => {
            let r = ifdrv(request);
            let line = format!("SIOCGDRVSPEC {} {} len {}", r.ifd_name, r.ifd_cmd, r.ifd_len);
            match CarpPeers::read_from_bytes(&request.data) {
                Ok(asked) => {
                    let carpp_vhid = asked.carpp_vhid;
                    assert_eq!(asked, CarpPeers { carpp_vhid, ..CarpPeers::default() });
                    ("SIOCGDRVSPEC", format!("{line} vhid {carpp_vhid}"))
                }
                Err(_) => ("SIOCGDRVSPEC", line),
            }
        }
        SIOCSDRVSPEC => {
            let r = ifdrv(request);
            assert_eq!(r.ifd_len, request.data.len() as u64);
            let value = match r.ifd_cmd {
                CARPSDEVNAME => format!("{:?}", IfName::read_from_bytes(&request.data).unwrap()),
                CARPPEERS => {
                    let r = CarpPeers::read_from_bytes(&request.data).unwrap();
                    format!("vhid {} peer {} peer6 {}", r.carpp_vhid, sin(r.carpp_addr), sin6(r.carpp_addr6))
                }
                other => panic!("drvspec {other}"),
            };
            ("SIOCSDRVSPEC", format!("SIOCSDRVSPEC {} {} {value}", r.ifd_name, r.ifd_cmd))
        }
        other => panic!("ioctl {other:#x}"),
    };
    let may_point = matches!(request.cmd, SIOCSVH | SIOCGVH | SIOCGDRVSPEC | SIOCSDRVSPEC);
    assert!(request.data.is_empty() || may_point, "{}", named.0);
    named
}

pub(super) fn ifgroupreq(request: &Request) -> IfGroupReq {
    IfGroupReq::read_from_bytes(&request.arg).unwrap()
}

fn in6_aliasreq(r: In6AliasReq) -> String {
    assert_eq!((r.ifra_flags, r.ifra_lifetime), (0, In6Addrlifetime::INFINITE));
    assert_eq!(r.ifra_dstaddr, SockAddrIn6::default());
    format!("{} {} mask {}", r.ifra_name, sin6(r.ifra_addr), sin6(r.ifra_prefixmask))
}

fn sin6(sin6: SockAddrIn6) -> String {
    match (sin6.sin6_len, sin6.sin6_family, sin6.sin6_scope_id) {
        (0, 0, 0) => "-".to_owned(),
        (28, 28, 0) => sin6.addr().to_string(),
        (28, 28, scope) => format!("{} scope {scope}", sin6.addr()),
        other => format!("{other:?}"),
    }
}

fn sin(sin: SockAddrIn) -> String {
    match (sin.sin_len, sin.sin_family) {
        (0, 0) => "-".to_owned(),
        (16, 2) => sin.addr().to_string(),
        (16, 0) => format!("{} (no family)", sin.addr()),
        other => format!("{other:?}"),
    }
}

fn carpreq(data: &[u8]) -> String {
    let r = CarpReq::read_from_bytes(data).unwrap();
    let key = r.carpr_key.escape_ascii().to_string().replace("\\x00", ".");
    let CarpReq { carpr_state: state, carpr_vhid: vhid, carpr_advskew: skew, carpr_advbase: base, .. } = r;
    format!("state {state} vhid {vhid} advbase {base} advskew {skew} key {key}")
}
