//! The system calls that no safe library has, and what Linux's errors are on BSD.

use super::Fanout;
use compat::net::if_::IfName;
use compat::sys::errno::Errno;
use nix::errno::Errno as Linux;
use nix::sys::socket::{AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, socket};
use std::fmt;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// `struct ifreq` as `TUNSETIFF` reads it.
#[repr(C)]
struct TunReq {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    rest: [u8; 22],
}

const _: () = assert!(size_of::<TunReq>() == size_of::<libc::ifreq>());

/// `TUNSETIFF`: makes or joins the tap `name` with `/dev/net/tun` open on `tun`.
pub(super) fn tun_set_iff(tun: BorrowedFd<'_>, name: IfName, flags: libc::c_int) -> nix::Result<()> {
    let mut req = TunReq { name: name.0, flags: flags as libc::c_short, rest: [0; 22] };
    // SAFETY: `tun` is open; the request points to a live, writable structure
    // of `struct ifreq`'s size, which the kernel keeps no pointer to.
    Linux::result(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &raw mut req) })?;
    Ok(())
}

/// `TUNSETOFFLOAD`: which frames the reader of a tap takes unfinished, `TUN_F_*`.
pub(super) fn tun_set_offload(tap: BorrowedFd<'_>, flags: libc::c_uint) -> nix::Result<()> {
    // SAFETY: `tap` is open; the argument is a number, and no memory is touched.
    Linux::result(unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(flags)) })?;
    Ok(())
}

/// `TUNSETCARRIER`
pub(super) fn tun_set_carrier(tap: BorrowedFd<'_>, on: bool) -> nix::Result<()> {
    let on = libc::c_int::from(on);
    // SAFETY: `tap` is open; the argument points to a live int, which is only read.
    Linux::result(unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETCARRIER, &raw const on) })?;
    Ok(())
}

/// Binds a packet socket to one interface, to hear `protocol`, `ETH_P_*`. With 0
/// it sends there and never receives.
pub(super) fn bind_packet(socket: BorrowedFd<'_>, ifindex: u32, protocol: u16) -> nix::Result<()> {
    let sll = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::c_ushort,
        sll_protocol: protocol.to_be(),
        sll_ifindex: ifindex as libc::c_int,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let len = size_of_val(&sll) as libc::socklen_t;
    // SAFETY: `socket` is open; the address is a live `sockaddr_ll` and `len` its size.
    Linux::result(unsafe { libc::bind(socket.as_raw_fd(), (&raw const sll).cast(), len) })?;
    Ok(())
}

/// `PACKET_IGNORE_OUTGOING`: frames the host sends are not even looked at.
pub(super) fn ignore_outgoing(socket: BorrowedFd<'_>) -> nix::Result<()> {
    set_packet_option(socket, libc::PACKET_IGNORE_OUTGOING, 1)
}

/// `PACKET_VNET_HDR`: each frame, in and out, is behind its `virtio_net_hdr`.
pub(super) fn vnet_hdr(socket: BorrowedFd<'_>) -> nix::Result<()> {
    set_packet_option(socket, libc::PACKET_VNET_HDR, 1)
}

/// `PACKET_FANOUT`: joins the group, or with `None` makes one, whose sockets share
/// the frames so. The group, for the next one.
pub(super) fn fanout(
    socket: BorrowedFd<'_>,
    by: Fanout,
    group: Option<libc::c_int>,
) -> nix::Result<libc::c_int> {
    let flags = libc::PACKET_FANOUT_FLAG_UNIQUEID | libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
    let by = match by {
        Fanout::Hash => libc::PACKET_FANOUT_HASH,
        Fanout::Cpu => libc::PACKET_FANOUT_CPU,
    };
    let new = ((by | flags) << 16) as libc::c_int;
    set_packet_option(socket, libc::PACKET_FANOUT, group.unwrap_or(new))?;
    Ok(fanout_of(socket)?.0)
}

/// The group that a packet socket has joined, and how its sockets share the frames.
pub(super) fn fanout_of(socket: BorrowedFd<'_>) -> nix::Result<(libc::c_int, Fanout)> {
    let mut joined: libc::c_int = 0;
    let mut len = size_of_val(&joined) as libc::socklen_t;
    let (level, option) = (libc::SOL_PACKET, libc::PACKET_FANOUT);
    // SAFETY: `socket` is open; the value is a live, writable int and `len` its size.
    Linux::result(unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, (&raw mut joined).cast(), &raw mut len)
    })?;
    // Above the group's number; above that are the flags.
    let by = if (joined >> 16) & 0xff == libc::PACKET_FANOUT_CPU as libc::c_int {
        Fanout::Cpu
    } else {
        Fanout::Hash
    };
    Ok((joined, by))
}

/// `struct ethtool_channels`.
#[repr(C)]
#[derive(Default)]
struct Channels {
    cmd: u32,
    /// Of receiving, of sending, others, and of both.
    most: [u32; 4],
    rx: u32,
    tx: u32,
    other: u32,
    combined: u32,
}

/// `struct ifreq` as `SIOCETHTOOL` reads it.
#[repr(C)]
struct EthtoolReq {
    name: [u8; libc::IFNAMSIZ],
    data: *mut Channels,
    rest: [u8; 16],
}

const _: () = assert!(size_of::<EthtoolReq>() == size_of::<libc::ifreq>());

/// `ETHTOOL_GCHANNELS`: how many receive queues an interface uses.
pub(super) fn rx_queues(name: IfName) -> nix::Result<usize> {
    const ETHTOOL_GCHANNELS: u32 = 0x3c;
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    let mut channels = Channels { cmd: ETHTOOL_GCHANNELS, ..Channels::default() };
    let mut req = EthtoolReq { name: name.0, data: &raw mut channels, rest: [0; 16] };
    // SAFETY: `socket` is open; the request points to a live structure of `struct
    // ifreq`'s size, and its data to a live, writable one of what the command says. The
    // kernel keeps neither pointer.
    Linux::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut req) })?;
    Ok((channels.rx + channels.combined) as usize)
}

/// `struct tpacket_stats`, with which that of every version begins.
#[repr(C)]
#[derive(Default)]
struct PacketStats {
    packets: libc::c_uint,
    drops: libc::c_uint,
}

/// `PACKET_STATISTICS`: how many frames a packet socket had no room for since it was
/// asked last.
pub(super) fn packet_drops(socket: BorrowedFd<'_>) -> nix::Result<u32> {
    let mut stats = PacketStats::default();
    let mut len = size_of_val(&stats) as libc::socklen_t;
    let (level, option) = (libc::SOL_PACKET, libc::PACKET_STATISTICS);
    // SAFETY: `socket` is open; the value is a live, writable structure of two ints, any
    // of which are good, and `len` its size.
    Linux::result(unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, (&raw mut stats).cast(), &raw mut len)
    })?;
    Ok(stats.drops)
}

fn set_packet_option(socket: BorrowedFd<'_>, option: libc::c_int, value: libc::c_int) -> nix::Result<()> {
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: `socket` is open; the value is a live int and `len` its size.
    Linux::result(unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, option, (&raw const value).cast(), len)
    })?;
    Ok(())
}

/// `NETLINK_GET_STRICT_CHK`: a request that asks for some of a kind is told of no others.
/// A kernel before Linux 4.20 does not have it, and tells of all.
pub(super) fn strict_requests(netlink: BorrowedFd<'_>) -> nix::Result<()> {
    /// As `linux/netlink.h` has it.
    const NETLINK_GET_STRICT_CHK: libc::c_int = 12;
    let on: libc::c_int = 1;
    let len = size_of_val(&on) as libc::socklen_t;
    let (level, option) = (libc::SOL_NETLINK, NETLINK_GET_STRICT_CHK);
    // SAFETY: `netlink` is open; the value is a live int and `len` its size.
    match Linux::result(unsafe {
        libc::setsockopt(netlink.as_raw_fd(), level, option, (&raw const on).cast(), len)
    }) {
        Err(Linux::ENOPROTOOPT) => Ok(()),
        other => other.map(drop),
    }
}

/// `SO_ATTACH_FILTER`: what `program` does not accept never comes in.
pub(super) fn attach_filter(socket: BorrowedFd<'_>, program: &[libc::sock_filter]) -> nix::Result<()> {
    let len = libc::c_ushort::try_from(program.len()).map_err(|_| Linux::E2BIG)?;
    let prog = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    let size = size_of_val(&prog) as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
    // SAFETY: `socket` is open; the value is a live `sock_fprog` and `size` its
    // size; its pointer is to `len` live instructions, which are only read, and
    // copied before the call returns.
    Linux::result(unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const prog).cast(), size)
    })?;
    Ok(())
}

/// `SO_PEERGROUPS`: the groups, beside the first one, of who has connected to a
/// Unix socket.
pub(crate) fn peer_groups(socket: BorrowedFd<'_>) -> nix::Result<Vec<libc::gid_t>> {
    let mut groups: Vec<libc::gid_t> = Vec::new();
    loop {
        let mut len = size_of_val(groups.as_slice()) as libc::socklen_t;
        let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERGROUPS);
        // SAFETY: `socket` is open; the value is a live vector of `len` bytes,
        // and any bytes are group ids.
        let done = Linux::result(unsafe {
            libc::getsockopt(socket.as_raw_fd(), level, option, groups.as_mut_ptr().cast(), &raw mut len)
        });
        // Groups that do not fit are none at all, and how many there are.
        groups.resize(len as usize / size_of::<libc::gid_t>(), 0);
        match done {
            Err(Linux::ERANGE) => {}
            other => return other.map(|_| groups),
        }
    }
}

/// A descriptor that has been sent with one byte over a Unix socket.
/// `ECONNRESET` when the other end is gone, `EBADMSG` for a packet without one.
pub(crate) fn receive_fd(socket: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    let mut byte = [0; 1];
    let mut iov = [IoSliceMut::new(&mut byte)];
    let mut room = nix::cmsg_space!([RawFd; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let got = recvmsg::<()>(socket.as_raw_fd(), &mut iov, Some(&mut room), flags)?;
    let mut all = Vec::new();
    for message in got.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = message {
            for fd in fds {
                // SAFETY: the kernel has just made it for this process, and nobody
                // else knows of it.
                all.push(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
    }
    match (got.bytes, all.pop()) {
        (0, _) => Err(Linux::ECONNRESET),
        (_, Some(fd)) if all.is_empty() => Ok(fd),
        _ => Err(Linux::EBADMSG),
    }
}

/// A Linux error number with the sentence that says what failed.
#[derive(Debug)]
struct Failure {
    errno: Linux,
    what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

/// An error that reads `what` and keeps its number for [`bsd_errno`].
pub(super) fn failure(errno: Linux, what: String) -> io::Error {
    io::Error::new(io::Error::from(errno).kind(), Failure { errno, what })
}

/// `who: what the number means`.
pub(super) fn failed(who: impl fmt::Display, errno: Linux) -> io::Error {
    failure(errno, format!("{who}: {}", errno.desc()))
}

/// The Linux number inside an error of this folder or of the standard library.
pub(super) fn linux_errno(err: &io::Error) -> Option<Linux> {
    match err.get_ref().and_then(|inner| inner.downcast_ref::<Failure>()) {
        Some(failure) => Some(failure.errno),
        None => err.raw_os_error().map(Linux::from_raw),
    }
}

/// What BSD calls a Linux error. `EIO` for one that BSD does not have, and for
/// an error without a number.
pub fn bsd_errno(err: &io::Error) -> Errno {
    linux_errno(err).map_or(Errno::EIO, from_linux)
}

/// [`bsd_errno`] of a bare number.
pub(super) fn from_linux(errno: Linux) -> Errno {
    match errno {
        Linux::EAGAIN => Errno::EAGAIN,
        Linux::EMSGSIZE => Errno::EMSGSIZE,
        Linux::EPROTONOSUPPORT => Errno::EPROTONOSUPPORT,
        Linux::EOPNOTSUPP => Errno::EOPNOTSUPP,
        Linux::EAFNOSUPPORT => Errno::EAFNOSUPPORT,
        Linux::EADDRINUSE => Errno::EADDRINUSE,
        Linux::EADDRNOTAVAIL => Errno::EADDRNOTAVAIL,
        Linux::ENETDOWN => Errno::ENETDOWN,
        Linux::ENETUNREACH => Errno::ENETUNREACH,
        Linux::ENOBUFS => Errno::ENOBUFS,
        Linux::ETIMEDOUT => Errno::ETIMEDOUT,
        Linux::ENAMETOOLONG => Errno::ENAMETOOLONG,
        Linux::EHOSTDOWN => Errno::EHOSTDOWN,
        Linux::EHOSTUNREACH => Errno::EHOSTUNREACH,
        Linux::EPROTO => Errno::EPROTO,
        // A tap whose interface was removed under it.
        Linux::EBADFD => Errno::ENXIO,
        // Both took these from Version 7, but for the 11 above.
        _ if (1..=34).contains(&(errno as i32)) => Errno(errno as i32),
        _ => Errno::EIO,
    }
}

/// What a full send queue is on BSD, where nobody waits for room.
pub(super) fn transmit_errno(errno: Linux) -> Errno {
    match errno {
        Linux::EAGAIN | Linux::ENOMEM => Errno::ENOBUFS,
        Linux::ENODEV => Errno::ENXIO,
        _ => from_linux(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_bsd_numbers() {
        for (linux, bsd) in [
            (libc::EPERM, 1),
            (libc::ENXIO, 6),
            (libc::ENODEV, 19),
            (libc::ERANGE, 34),
            (libc::EAGAIN, 35),
            (libc::EMSGSIZE, 40),
            (libc::EOPNOTSUPP, 45),
            (libc::EADDRNOTAVAIL, 49),
            (libc::ENETDOWN, 50),
            (libc::ENOBUFS, 55),
            (libc::EBADFD, 6),
            (libc::ELOOP, 5),
        ] {
            assert_eq!(bsd_errno(&io::Error::from_raw_os_error(linux)), Errno(bsd), "{linux}");
        }
        assert_eq!(bsd_errno(&io::Error::other("no number")), Errno::EIO);
        assert_eq!(transmit_errno(Linux::EAGAIN), Errno::ENOBUFS);
        assert_eq!(transmit_errno(Linux::ENODEV), Errno::ENXIO);
        assert_eq!(transmit_errno(Linux::ENETDOWN), Errno::ENETDOWN);
    }

    #[test]
    fn a_sentence_keeps_its_number() {
        let err = failed("bridge br9", Linux::ENODEV);
        assert_eq!(err.to_string(), "bridge br9: No such device");
        assert_eq!(bsd_errno(&err), Errno::ENODEV);
        assert_eq!(failed("v0", Linux::EPERM).kind(), io::ErrorKind::PermissionDenied);
    }
}
