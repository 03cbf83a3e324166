//! What somebody else's decoder finds wrong in a capture.

use super::proc::Said;
use super::run::{find_program, skip};
use super::wire::write_pcap;
use super::{Frame, command};
use std::path::Path;

/// What must not be in a capture: what cannot be decoded, what the decoder
/// calls an error, and any checksum that is wrong.
const BAD: &str = "_ws.malformed || _ws.expert.severity == 8388608 || ip.checksum.status == 0 \
    || icmp.checksum.status == 0 || icmpv6.checksum.status == 0 || carp.checksum.status == 0 \
    || udp.checksum.status == 0";

/// `tshark`'s words on each frame that it finds fault with, one line a frame.
/// Where there is no `tshark` that is said, as of a laboratory that cannot run,
/// and there is nothing to tell.
///
/// # Panics
/// If it fails; under CI, if it is missing.
pub fn faults(frames: &[Frame], dir: &Path, name: &str) -> Option<String> {
    if find_program("tshark").is_none() {
        skip(&format!("no program tshark in PATH: nobody has read the capture of {name}"));
        return None;
    }
    let path = dir.join(format!("{name}.verify.pcap"));
    write_pcap(&path, frames);
    let options = "-n -d ip.proto==112,carp -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE";
    let mut tshark = command(&format!("tshark {options} -T fields -r {} -Y", path.display()));
    tshark.arg(BAD);
    for field in ["frame.number", "eth.src", "eth.dst", "_ws.col.Info", "_ws.expert.message"] {
        tshark.args(["-e", field]);
    }
    Some(Said::by(None, tshark).ok())
}
