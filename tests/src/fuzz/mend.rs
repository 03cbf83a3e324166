//! Makes checksums and digests of a frame right, so that what is thrown gets
//! past the first check.

use crate::lab::checksum;
use std::ops::Range;

/// Where a frame's packet begins.
const PACKET: usize = 14;

/// What is left as it is.
#[derive(Clone, Copy, Default)]
pub(super) struct Leave {
    /// The IPv4 header's checksum.
    pub(super) header: bool,
    /// The checksum of what the packet carries.
    pub(super) payload: bool,
    /// The digest of an advertisement.
    pub(super) digest: bool,
}

/// Mends a frame. `digest` knows that of a vhid and a counter.
pub(super) fn mend(frame: &mut [u8], leave: Leave, digest: impl Fn(u8, u64) -> Option<[u8; 20]>) {
    let Some((protocol, body, pseudo)) = payload(frame, leave) else { return };
    let Some(bytes) = frame.get_mut(body) else { return };
    match protocol {
        112 => {
            let Some(ad) = bytes.get_mut(..36) else { return };
            let counter = u64::from_be_bytes(ad[8..16].try_into().expect("eight bytes"));
            if let Some(md) = digest(ad[1], counter).filter(|_| !leave.digest) {
                ad[16..36].copy_from_slice(&md);
            }
            set_checksum(ad, 6, &[], leave.payload);
        }
        1 => set_checksum(bytes, 2, &[], leave.payload),
        58 => set_checksum(bytes, 2, &pseudo, leave.payload),
        _ => {}
    }
}

fn set_checksum(bytes: &mut [u8], at: usize, pseudo: &[u8], leave: bool) {
    if leave || bytes.len() < at + 2 {
        return;
    }
    bytes[at..at + 2].fill(0);
    let sum = checksum(&[pseudo, bytes].concat());
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// What an IP packet carries: of which protocol, where in the frame, and what
/// its checksum covers besides.
fn payload(frame: &mut [u8], leave: Leave) -> Option<(u8, Range<usize>, Vec<u8>)> {
    match frame.get(12..PACKET)? {
        [0x08, 0x00] => {
            let packet = frame.get_mut(PACKET..).filter(|p| p.len() >= 20)?;
            let hlen = usize::from(packet[0] & 15) * 4;
            let end = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
            set_checksum(packet.get_mut(..hlen)?, 10, &[], leave.header);
            Some((packet[9], PACKET + hlen..PACKET + end, Vec::new()))
        }
        [0x86, 0xdd] => {
            let packet = frame.get(PACKET..).filter(|p| p.len() >= 48)?;
            let end = 40 + usize::from(u16::from_be_bytes([packet[4], packet[5]]));
            // Behind the options of a listener query.
            let (next, at) = if packet[6] == 0 { (packet[40], 48) } else { (packet[6], 40) };
            let len = u32::try_from(end.checked_sub(at)?).ok()?;
            let pseudo = [&packet[8..40], &len.to_be_bytes(), &[0, 0, 0, next]].concat();
            Some((next, PACKET + at..PACKET + end, pseudo))
        }
        _ => None,
    }
}
