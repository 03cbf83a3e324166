//! `net/if_dl.h`: link-level socket addresses.

use crate::sys::socket::AF_LINK;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct sockaddr_dl`. `sdl_data` holds the name (`sdl_nlen` bytes, no NUL)
/// and then the address (`sdl_alen` bytes), and runs on into the fields that
/// only token ring used, as it does in C.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct SockAddrDl {
    /// Bytes in use.
    pub sdl_len: u8,
    /// `AF_LINK`.
    pub sdl_family: u8,
    /// Index of the interface.
    pub sdl_index: u16,
    /// `IFT_*`.
    pub sdl_type: u8,
    /// Bytes of name.
    pub sdl_nlen: u8,
    /// Bytes of address.
    pub sdl_alen: u8,
    /// Bytes of selector.
    pub sdl_slen: u8,
    /// Name and address.
    pub sdl_data: [u8; 46],
}

const _: () = {
    assert!(size_of::<SockAddrDl>() == 54);
    assert!(core::mem::offset_of!(SockAddrDl, sdl_data) == 8);
};

impl SockAddrDl {
    /// An interface's name and Ethernet address. The name is at most 15 bytes.
    pub fn new(index: u16, if_type: u8, name: &str, lladdr: [u8; 6]) -> SockAddrDl {
        let n = name.len().min(15);
        let mut sdl_data = [0; 46];
        sdl_data[..n].copy_from_slice(&name.as_bytes()[..n]);
        sdl_data[n..n + 6].copy_from_slice(&lladdr);
        SockAddrDl {
            sdl_len: 54,
            sdl_family: AF_LINK,
            sdl_index: index,
            sdl_type: if_type,
            sdl_nlen: n as u8,
            sdl_alen: 6,
            sdl_slen: 0,
            sdl_data,
        }
    }

    /// The name; empty where the lengths or the bytes make no sense.
    pub fn name(&self) -> &str {
        self.sdl_data.get(..self.sdl_nlen as usize).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or("")
    }

    /// `LLADDR`: the Ethernet address, if there is one of six bytes.
    pub fn lladdr(&self) -> Option<[u8; 6]> {
        let at = self.sdl_nlen as usize;
        if self.sdl_alen != 6 {
            return None;
        }
        self.sdl_data.get(at..at + 6)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_address_share_the_data() {
        let s = SockAddrDl::new(3, crate::net::if_::IFT_CARP, "carp0", [0, 0, 0x5e, 0, 1, 7]);
        assert_eq!(s.name(), "carp0");
        assert_eq!(s.lladdr(), Some([0, 0, 0x5e, 0, 1, 7]));
        let mut bad = s;
        bad.sdl_nlen = 200;
        assert_eq!((bad.name(), bad.lladdr()), ("", None));
    }
}
