//! FreeBSD's `peer`: where advertisements go, if not to CARP's groups.

use super::address::bad_value;
use super::drvspec;
use super::inet::dotted;
use super::inet6::Scoped;
use super::target::Target;
use crate::failure::Failure;
use crate::kernel::Kernel;
use compat::net::if_::IfName;
use compat::netinet::in_::{INADDR_CARP_GROUP, SockAddrIn};
use compat::netinet6::in6::{IN6ADDR_CARP_GROUP, SockAddrIn6};
use libcarp::carpreq::{CARPPEERS, CarpPeers};
use std::ffi::OsStr;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use zerocopy::IntoBytes;

/// What a line says of where advertisements go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PeersChange {
    addr: Option<Ipv4Addr>,
    addr6: Option<Scoped>,
}

impl PeersChange {
    /// `carp.c: setcarp_peer`. A group is as good as a machine.
    pub(crate) fn set_peer(&mut self, word: &OsStr) -> Result<(), Failure> {
        let addr = dotted(word).filter(|a| !a.is_unspecified() && !a.is_broadcast());
        self.addr = Some(addr.ok_or_else(|| bad_value("peer", word))?);
        Ok(())
    }

    /// `carp.c: setcarp_peer6`
    pub(crate) fn set_peer6(&mut self, word: &OsStr) -> Result<(), Failure> {
        let addr = word.to_str().and_then(Scoped::parse).filter(|a| !a.addr.is_unspecified());
        self.addr6 = Some(addr.ok_or_else(|| bad_value("peer6", word))?);
        Ok(())
    }

    /// `carp.c: setcarp_mcast`
    pub(crate) fn mcast(&mut self) {
        self.addr = Some(INADDR_CARP_GROUP);
    }

    /// `carp.c: setcarp_mcast6`
    pub(crate) fn mcast6(&mut self) {
        self.addr6 = Some(Scoped::from(IN6ADDR_CARP_GROUP));
    }

    /// Of each family, if the line says one.
    pub(crate) fn values(&self) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
        (self.addr, self.addr6.as_ref().map(|scoped| scoped.addr))
    }

    pub(crate) fn check_scope(&self, name: IfName) -> Result<(), Failure> {
        self.addr6.as_ref().map_or(Ok(()), |addr| addr.check_scope(name))
    }

    /// Sets those of the line and keeps the other. What was there before comes
    /// back.
    pub(crate) fn apply(&self, kernel: &mut Kernel, target: &Target) -> Result<Option<CarpPeers>, Failure> {
        if *self == PeersChange::default() {
            return Ok(None);
        }
        let before = read(kernel, target)?;
        let request = CarpPeers {
            carpp_vhid: before.carpp_vhid,
            carpp_addr: self.addr.map(SockAddrIn::new).unwrap_or_default(),
            carpp_addr6: match &self.addr6 {
                Some(addr) => addr.sin6(kernel, target)?,
                None => SockAddrIn6::default(),
            },
        };
        write(kernel, target.name, &request)?;
        Ok(Some(before))
    }
}

fn read(kernel: &mut Kernel, target: &Target) -> Result<CarpPeers, Failure> {
    let carpp_vhid = target.vhid.map_or(0, u32::from);
    let question = CarpPeers { carpp_vhid, ..CarpPeers::default() };
    let found: CarpPeers = drvspec::get(kernel, target.name, CARPPEERS, question.as_bytes())?;
    Ok(CarpPeers { carpp_vhid, ..found })
}

/// Also puts back what [`PeersChange::apply`] gave.
pub(crate) fn write(kernel: &mut Kernel, name: IfName, peers: &CarpPeers) -> Result<(), Failure> {
    drvspec::set(kernel, name, CARPPEERS, peers)
}

/// The second line of `carp.c: carp_status`, which upstream shows even where
/// it says what goes without saying.
pub(crate) fn status(kernel: &mut Kernel, out: &mut dyn Write, target: &Target) -> Result<(), Failure> {
    let peers = match read(kernel, target) {
        Err(Failure::Kernel { .. }) => return Ok(()),
        other => other?,
    };
    let (addr, addr6) = (peers.carpp_addr.addr(), peers.carpp_addr6.addr());
    if (addr, addr6) == (INADDR_CARP_GROUP, IN6ADDR_CARP_GROUP) {
        return Ok(());
    }
    Ok(writeln!(out, "\t      peer {addr} peer6 {addr6}")?)
}
