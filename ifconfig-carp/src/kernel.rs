//! System calls with an answer or a [`Failure`].

use crate::failure::Failure;
use crate::syscalls::Syscalls;
use compat::netinet6::in6_var::{SIOCAIFADDR_IN6, SIOCAIFADDR_IN6_VHID, SIOCDIFADDR_IN6};
use compat::sys::ctlsock::{Reply, Request};
use compat::sys::sockio::{
    SIOCAIFADDR, SIOCAIFADDR_VHID, SIOCAIFGROUP, SIOCDIFADDR, SIOCDIFGROUP, SIOCGDRVSPEC, SIOCGIFADDR,
    SIOCGIFFLAGS, SIOCGIFGATTR, SIOCGIFGMEMB, SIOCGIFGROUP, SIOCGIFINDEX, SIOCIFCREATE2, SIOCIFDESTROY,
    SIOCSDRVSPEC, SIOCSIFFLAGS, SIOCSIFGATTR,
};
use libcarp::carpreq::{SIOCGVH, SIOCSVH};
use zerocopy::{FromBytes, Immutable, IntoBytes};
use zeroize::Zeroize;

/// The machine, as the commands see it.
pub(crate) struct Kernel<'a> {
    sys: &'a mut dyn Syscalls,
}

impl<'a> Kernel<'a> {
    pub(crate) fn new(sys: &'a mut dyn Syscalls) -> Kernel<'a> {
        Kernel { sys }
    }

    /// `ioctl(2)` whose struct points nowhere.
    pub(crate) fn ioctl<T: IntoBytes + Immutable>(&mut self, cmd: u32, arg: &T) -> Result<Reply, Failure> {
        self.ioctl_with(cmd, arg, &[])
    }

    /// `ioctl(2)` whose struct points to `data`.
    pub(crate) fn ioctl_with<T: IntoBytes + Immutable>(
        &mut self,
        cmd: u32,
        arg: &T,
        data: &[u8],
    ) -> Result<Reply, Failure> {
        self.call(ioctl_name(cmd), Request::ioctl_with(cmd, arg, data))
    }

    /// `sysctlbyname(3)`; an empty `new` only reads.
    pub(crate) fn sysctl(&mut self, name: &str, new: &[u8]) -> Result<Reply, Failure> {
        self.call(name, Request::sysctl(name, new))
    }

    fn call(&mut self, what: &str, mut request: Request) -> Result<Reply, Failure> {
        let reply = self.sys.call(&request);
        // A key may have been in it.
        request.data.zeroize();
        let reply = reply?;
        match reply.error {
            None => Ok(reply),
            Some(errno) => Err(Failure::Kernel { call: what.to_owned(), errno }),
        }
    }
}

/// The struct at the start of what `call` answered.
pub(crate) fn answer<T: FromBytes>(call: &str, bytes: &[u8]) -> Result<T, Failure> {
    T::read_from_prefix(bytes).map(|(v, _)| v).map_err(|_| bad_answer(call))
}

/// `call` succeeded, but what came back is no answer to it.
pub(crate) fn bad_answer(call: &str) -> Failure {
    Failure::message(format!("{call}: netisrd's answer makes no sense"))
}

fn ioctl_name(cmd: u32) -> &'static str {
    match cmd {
        // FreeBSD has no name of its own for those with a vhid.
        SIOCAIFADDR | SIOCAIFADDR_VHID => "SIOCAIFADDR",
        SIOCAIFADDR_IN6 | SIOCAIFADDR_IN6_VHID => "SIOCAIFADDR_IN6",
        SIOCAIFGROUP => "SIOCAIFGROUP",
        SIOCDIFADDR => "SIOCDIFADDR",
        SIOCDIFADDR_IN6 => "SIOCDIFADDR_IN6",
        SIOCDIFGROUP => "SIOCDIFGROUP",
        SIOCGDRVSPEC => "SIOCGDRVSPEC",
        SIOCGIFADDR => "SIOCGIFADDR",
        SIOCGIFFLAGS => "SIOCGIFFLAGS",
        SIOCGIFGATTR => "SIOCGIFGATTR",
        SIOCGIFGMEMB => "SIOCGIFGMEMB",
        SIOCGIFGROUP => "SIOCGIFGROUP",
        SIOCGIFINDEX => "SIOCGIFINDEX",
        SIOCGVH => "SIOCGVH",
        SIOCIFCREATE2 => "SIOCIFCREATE2",
        SIOCIFDESTROY => "SIOCIFDESTROY",
        SIOCSDRVSPEC => "SIOCSDRVSPEC",
        SIOCSIFFLAGS => "SIOCSIFFLAGS",
        SIOCSIFGATTR => "SIOCSIFGATTR",
        SIOCSVH => "SIOCSVH",
        _ => "ioctl",
    }
}
