//! What a system call that has succeeded means to the reference model.

use crate::lab::model::{Config, HostInput, Input};
use crate::lab::record::State;
use compat::net::if_::{IfAliasReq, IfGroupReq, IfName, IfReq, Iff};
use compat::netinet::in_::len_of_mask;
use compat::netinet6::in6_var::{
    In6AliasReq, In6IfReq, SIOCAIFADDR_IN6, SIOCAIFADDR_IN6_VHID, SIOCDIFADDR_IN6,
};
use compat::sys::ctlsock::{Op, Reply, Request};
use compat::sys::sockio::*;
use ipnet::IpNet;
use libcarp::carpreq::{CARPR_STATE_KEEP, CarpReq, SIOCSVH};
use std::net::{IpAddr, Ipv6Addr};
use zerocopy::FromBytes;

/// What it means.
#[derive(Debug)]
pub(super) enum Meaning {
    /// Nothing that the model would know of.
    Nothing,
    /// Something to an interface, by name.
    Interface(String, ToInterface),
    /// Something to the machine.
    Machine(HostInput),
    /// Something that the model does not know.
    Beyond,
}

/// What happens to an interface, a carp interface or one with a cable.
#[derive(Debug)]
pub(super) enum ToInterface {
    Create,
    Destroy,
    Up(bool),
    Setvh(SetVh),
    Addr(IpNet),
    Unaddr(IpAddr),
}

/// `SIOCSVH`, of which a part may stay as it is.
#[derive(Debug)]
pub(super) struct SetVh {
    vhid: Option<u8>,
    adv: Option<(u8, u8)>,
    key: [u8; 20],
    state: Option<State>,
}

impl SetVh {
    /// What it makes of a configuration.
    pub(super) fn input(&self, old: &Config) -> Input {
        let (advbase, advskew) = self.adv.unwrap_or((old.advbase, old.advskew));
        let vhid = self.vhid.unwrap_or(old.vhid);
        Input::Setvh(Config { vhid, advbase, advskew, key: self.key }, self.state)
    }
}

/// The meaning of a request that was answered so.
pub(super) fn meaning(request: &Request, reply: &Reply) -> Meaning {
    if reply.error.is_some() {
        // Nothing has changed.
        return Meaning::Nothing;
    }
    match request.op {
        Op::Ioctl => ioctl(request, reply).unwrap_or(Meaning::Beyond),
        Op::Sysctl => sysctl(request),
        Op::Route | Op::Reload | Op::Takeover => Meaning::Nothing,
    }
}

fn sysctl(request: &Request) -> Meaning {
    if request.data.is_empty() {
        return Meaning::Nothing;
    }
    let value = <[u8; 4]>::try_from(request.data.as_slice()).map(i32::from_ne_bytes);
    match (request.arg.as_slice(), value) {
        (b"net.inet.carp.preempt", Ok(v)) => Meaning::Machine(HostInput::Preempt(v != 0)),
        (b"net.inet.carp.demotion", Ok(v)) => Meaning::Machine(HostInput::Demote(v)),
        (b"net.inet.carp.log" | b"net.inet.carp.setroute", _) => Meaning::Nothing,
        _ => Meaning::Beyond,
    }
}

/// `None`: not of the struct that it should be.
fn ioctl(request: &Request, reply: &Reply) -> Option<Meaning> {
    let ifreq = |bytes: &[u8]| IfReq::read_from_bytes(bytes).ok();
    let to = |name: IfName, what| Some(Meaning::Interface(name.as_str().to_owned(), what));
    match request.cmd {
        SIOCIFCREATE | SIOCIFCREATE2 => to(ifreq(&reply.arg)?.ifr_name, ToInterface::Create),
        SIOCIFDESTROY => to(ifreq(&request.arg)?.ifr_name, ToInterface::Destroy),
        SIOCSIFFLAGS => {
            let r = ifreq(&request.arg)?;
            to(r.ifr_name, ToInterface::Up(r.flags().contains(Iff::UP)))
        }
        SIOCAIFADDR => {
            let r = IfAliasReq::read_from_bytes(&request.arg).ok()?;
            let net = IpNet::new(r.ifra_addr.addr().into(), len_of_mask(r.ifra_mask.addr())?);
            to(r.ifra_name, ToInterface::Addr(net.ok()?))
        }
        SIOCDIFADDR => {
            let r = ifreq(&request.arg)?;
            let addr = r.sin().addr();
            // "The first one" is not said here.
            if addr.is_unspecified() { None } else { to(r.ifr_name, ToInterface::Unaddr(addr.into())) }
        }
        SIOCAIFADDR_IN6 => {
            let r = In6AliasReq::read_from_bytes(&request.arg).ok()?;
            let mask = u128::from(Ipv6Addr::from(r.ifra_prefixmask.sin6_addr));
            let net = IpNet::new(Ipv6Addr::from(r.ifra_addr.sin6_addr).into(), mask.leading_ones() as u8);
            to(r.ifra_name, ToInterface::Addr(net.ok()?))
        }
        SIOCDIFADDR_IN6 => {
            let r = In6IfReq::read_from_bytes(&request.arg).ok()?;
            to(r.ifr_name, ToInterface::Unaddr(Ipv6Addr::from(r.ifr_addr.sin6_addr).into()))
        }
        SIOCSVH => {
            let r = ifreq(&request.arg)?;
            to(r.ifr_name, ToInterface::Setvh(setvh(&request.data)?))
        }
        SIOCSIFGATTR => {
            let r = IfGroupReq::read_from_bytes(&request.arg).ok()?;
            let ours = r.ifgr_name.as_str() == "carp";
            ours.then(|| Meaning::Machine(HostInput::GroupDemote(r.carp_demoted())))
        }
        SIOCAIFADDR_VHID | SIOCAIFADDR_IN6_VHID | SIOCAIFGROUP | SIOCDIFGROUP | SIOCSDRVSPEC => None,
        _ => Some(Meaning::Nothing),
    }
}

fn setvh(data: &[u8]) -> Option<SetVh> {
    let r = CarpReq::read_from_bytes(data).ok()?;
    let byte = |v: i32| u8::try_from(v).ok();
    Some(SetVh {
        // Less than 0 takes the vhid away.
        vhid: Some(byte(r.carpr_vhid)?).filter(|v| *v != 0),
        adv: byte(r.carpr_advbase).zip(byte(r.carpr_advskew)).filter(|adv| *adv != (0, 0)),
        key: r.carpr_key,
        state: match r.carpr_state {
            1 => Some(State::Backup),
            2 => Some(State::Master),
            CARPR_STATE_KEEP | 0 => None,
            _ => return None,
        },
    })
}
