//! `unix_diag`: who holds a name among the abstract sockets of a network namespace.

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, Nla as _,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::unix::nlas::{Nla, UnixDiagName};
use netlink_packet_sock_diag::unix::{ShowFlags, StateFlags, UnixRequest, UnixResponse};
use nix::errno::Errno as Linux;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use std::os::fd::AsRawFd;

/// As `linux/unix_diag.h` has them, which the library does not know.
const UDIAG_SHOW_UID: u32 = 0x40;
const UNIX_DIAG_UID: u16 = 7;
/// More than any answer's packet.
const ROOM: usize = 64 * 1024;

/// Whose the socket with that abstract name is, by uid; `None` if nobody has it.
pub(crate) fn holder(name: &[u8]) -> nix::Result<Option<u32>> {
    let (flags, protocol) = (SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag);
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, Some(protocol))?;
    let request = UnixRequest {
        // Of datagrams too, which are in neither state that the library knows.
        state_flags: StateFlags::from_bits_retain(u32::MAX),
        inode: 0,
        show_flags: ShowFlags::NAME | ShowFlags::from_bits_retain(UDIAG_SHOW_UID),
        cookie: [0xff; 8],
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::UnixRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    sendto(fd.as_raw_fd(), &bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let (mut found, mut room) = (None, vec![0; ROOM]);
    loop {
        let n = match recv(fd.as_raw_fd(), &mut room, MsgFlags::empty()) {
            Err(Linux::EINTR) => continue,
            other => other?,
        };
        let mut rest = room.get(..n).unwrap_or_default();
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(|_| Linux::EBADMSG)?;
            let len = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(len..).unwrap_or_default();
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::UnixResponse(one)) => {
                    found = found.or(uid_of(&one, name));
                }
                NetlinkPayload::Done(_) => return Ok(found),
                NetlinkPayload::Error(e) => {
                    return Err(Linux::from_raw(e.code.map_or(0, |code| code.get().wrapping_neg())));
                }
                _ => return Err(Linux::EBADMSG),
            }
        }
    }
}

fn uid_of(one: &UnixResponse, name: &[u8]) -> Option<u32> {
    let is_it = |nla: &Nla| matches!(nla, Nla::Name(UnixDiagName::Abstract(is)) if is == name);
    one.nlas.iter().find(|nla| is_it(nla))?;
    one.nlas.iter().find_map(|nla| match nla {
        Nla::Other(other) if other.kind() == UNIX_DIAG_UID => {
            let mut uid = [0; 4];
            (other.value_len() == uid.len()).then(|| other.emit_value(&mut uid))?;
            Some(u32::from_ne_bytes(uid))
        }
        _ => None,
    })
}
