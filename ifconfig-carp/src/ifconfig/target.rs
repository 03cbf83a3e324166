//! What a line configures.

use super::number::Vhid;
use crate::failure::Failure;
use crate::iflist::{self, Interface};
use crate::kernel::{Kernel, answer};
use compat::net::if_::{IFT_CARP, IfName, IfReq};
use compat::sys::errno::Errno;
use compat::sys::sockio::SIOCGIFINDEX;
use std::ffi::OsStr;

/// An interface, or one virtual host of an interface that is no carp
/// interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) name: IfName,
    /// `None` for what was just created, until somebody asks.
    index: Option<u16>,
    /// Only where the interface is no carp interface: FreeBSD's model.
    pub(crate) vhid: Option<Vhid>,
}

impl Target {
    /// `if_nametoindex(3)`
    pub(crate) fn find(kernel: &mut Kernel, name: IfName) -> Result<Option<Target>, Failure> {
        match index_of(kernel, name) {
            Ok(index) => Ok(Some(Target { name, index: Some(index), vhid: None })),
            Err(e) if e.errno() == Some(Errno::ENXIO) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// An interface that must be there.
    pub(crate) fn find_existing(kernel: &mut Kernel, name: IfName) -> Result<Target, Failure> {
        Target::find(kernel, name)?.ok_or_else(|| does_not_exist(name.as_str().as_ref()))
    }

    /// An interface that the machine listed.
    pub(crate) fn listed(name: IfName, interface: &Interface) -> Target {
        Target { name, index: Some(interface.index), vhid: None }
    }

    /// An interface that this line has created.
    pub(crate) fn created(name: IfName) -> Target {
        Target { name, index: None, vhid: None }
    }

    /// One of its virtual hosts.
    pub(crate) fn of_vhid(self, vhid: Vhid) -> Target {
        Target { vhid: Some(vhid), ..self }
    }

    pub(crate) fn index(&self, kernel: &mut Kernel) -> Result<u16, Failure> {
        match self.index {
            Some(index) => Ok(index),
            None => index_of(kernel, self.name),
        }
    }

    /// As the machine lists it.
    pub(crate) fn interface(&self, kernel: &mut Kernel) -> Result<Interface, Failure> {
        let index = self.index(kernel)?;
        let found = iflist::at(kernel, index)?.filter(|i| i.name == self.name.as_str());
        // It may have been destroyed since.
        found.ok_or_else(|| does_not_exist(self.name.as_str().as_ref()))
    }

    /// Nothing else can be created.
    pub(crate) fn is_carp(&self, kernel: &mut Kernel) -> Result<bool, Failure> {
        Ok(self.index.is_none() || self.interface(kernel)?.if_type == IFT_CARP)
    }
}

fn index_of(kernel: &mut Kernel, name: IfName) -> Result<u16, Failure> {
    let reply = kernel.ioctl(SIOCGIFINDEX, &IfReq::new(name))?;
    // `ifr_index` is a short.
    let [a, b, ..] = answer::<IfReq>("SIOCGIFINDEX", &reply.arg)?.ifr_ifru;
    Ok(u16::from_ne_bytes([a, b]))
}

/// A name that no interface has.
pub(crate) fn does_not_exist(word: &OsStr) -> Failure {
    Failure::Message(format!("interface {} does not exist", word.to_string_lossy()))
}
