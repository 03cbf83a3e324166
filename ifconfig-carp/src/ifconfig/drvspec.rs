//! `SIOCGDRVSPEC` and `SIOCSDRVSPEC`: what only CARP understands.

use crate::failure::Failure;
use crate::kernel::{Kernel, answer, bad_answer};
use compat::net::if_::{IfDrv, IfName};
use compat::sys::sockio::{SIOCGDRVSPEC, SIOCSDRVSPEC};
use zerocopy::{FromBytes, Immutable, IntoBytes};

fn ifdrv(name: IfName, cmd: u64, len: u64) -> IfDrv {
    IfDrv { ifd_name: name, ifd_cmd: cmd, ifd_len: len, ifd_data: 0 }
}

/// A value of one size. `question` goes along, where there is something to
/// say.
pub(crate) fn get<T: FromBytes>(
    kernel: &mut Kernel,
    name: IfName,
    cmd: u64,
    question: &[u8],
) -> Result<T, Failure> {
    let request = ifdrv(name, cmd, size_of::<T>() as u64);
    let reply = kernel.ioctl_with(SIOCGDRVSPEC, &request, question)?;
    answer("SIOCGDRVSPEC", &reply.data)
}

/// Sets a value.
pub(crate) fn set<T: IntoBytes + Immutable>(
    kernel: &mut Kernel,
    name: IfName,
    cmd: u64,
    value: &T,
) -> Result<(), Failure> {
    let request = ifdrv(name, cmd, size_of::<T>() as u64);
    kernel.ioctl_with(SIOCSDRVSPEC, &request, value.as_bytes()).map(drop)
}

/// An array: its size is asked for first.
pub(crate) fn table<T: FromBytes>(kernel: &mut Kernel, name: IfName, cmd: u64) -> Result<Vec<T>, Failure> {
    let reply = kernel.ioctl(SIOCGDRVSPEC, &ifdrv(name, cmd, 0))?;
    let room = answer::<IfDrv>("SIOCGDRVSPEC", &reply.arg)?.ifd_len;
    if room == 0 {
        return Ok(Vec::new());
    }
    let reply = kernel.ioctl(SIOCGDRVSPEC, &ifdrv(name, cmd, room))?;
    let used = answer::<IfDrv>("SIOCGDRVSPEC", &reply.arg)?.ifd_len;
    let used = usize::try_from(used).ok().and_then(|used| reply.data.get(..used));
    rows(used).ok_or_else(|| bad_answer("SIOCGDRVSPEC"))
}

/// The structs that `bytes` are, all of them.
pub(crate) fn rows<T: FromBytes>(bytes: Option<&[u8]>) -> Option<Vec<T>> {
    bytes?.chunks(size_of::<T>()).map(|row| T::read_from_bytes(row).ok()).collect()
}
