//! `lan.pcapng`: the frames of every LAN, one interface each, with a comment
//! where a carp interface's state changed.

use super::record::{Event, What};
use compat::sys::time::Time;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, Endianness, PcapError, PcapResult};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// `if_tsresol`: the library counts nanoseconds, but does not say so in the
/// file.
const NANOSECONDS: u8 = 9;

/// A frame as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When.
    pub at: Time,
    /// On which LAN: its place among the run's.
    pub lan: usize,
    /// From the destination's MAC on, without FCS.
    pub data: Arc<[u8]>,
}

/// The file's bytes: the same for the same frames and events, on every
/// machine.
///
/// The frames are to be in the order of their times, and so the events. A
/// change of state is told with the next frame of its LAN, or with the last
/// if none follows; where the LAN is not known, with the next of any.
///
/// # Errors
/// A frame on a LAN that is not there, or longer than the format can tell.
pub fn write(lans: &[String], frames: &[Frame], events: &[Event]) -> PcapResult<Vec<u8>> {
    let mut comments = comments(lans, frames, events);
    let mut writer = PcapNgWriter::with_endianness(Vec::new(), Endianness::Little)?;
    for lan in lans {
        let name = InterfaceDescriptionOption::IfName(lan.into());
        let resolution = InterfaceDescriptionOption::IfTsResol(NANOSECONDS);
        writer.write_pcapng_block(InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen: 0,
            options: vec![name, resolution],
        })?;
    }
    for (frame, comments) in frames.iter().zip(&mut comments) {
        let interface_id = u32::try_from(frame.lan).unwrap_or(u32::MAX);
        let long = |_| PcapError::InvalidField("a frame of 4 GiB");
        writer.write_pcapng_block(EnhancedPacketBlock {
            interface_id,
            timestamp: Duration::from_nanos(frame.at.0),
            original_len: u32::try_from(frame.data.len()).map_err(long)?,
            data: Cow::Borrowed(&frame.data),
            options: comments.drain(..).map(|text| EnhancedPacketOption::Comment(text.into())).collect(),
        })?;
    }
    Ok(writer.into_inner())
}

/// What each frame is to bear.
fn comments(lans: &[String], frames: &[Frame], events: &[Event]) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new(); frames.len()];
    for event in events {
        let What::State { machine, ifname, lan, vhid, from, to } = &event.what else { continue };
        let lan = lan.as_ref().and_then(|name| lans.iter().position(|l| l == name));
        let here = |f: &Frame| lan.is_none_or(|lan| f.lan == lan);
        let first = frames.partition_point(|f| f.at < event.time());
        let next = (first..frames.len()).find(|i| here(&frames[*i]));
        let Some(bearer) = next.or_else(|| frames.iter().rposition(here)) else { continue };
        let at = event.time().as_secs_f64();
        let (from, to) = (from.name(), to.name());
        all[bearer].push(format!("{machine} {ifname} vhid {vhid}: {from} -> {to} at {at:.6} s"));
    }
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]
mod tests {
    use super::super::record::State;
    use super::*;
    use pcap_file::pcapng::{Block, PcapNgReader};
    use std::process::Command;

    fn frame(ms: u64, lan: usize) -> Frame {
        let mut data = vec![0xff; 12];
        data.extend([0x08, 0x06]);
        data.resize(60 + lan, 0);
        Frame { at: Time(ms * 1_000_000 + 1), lan, data: data.into() }
    }

    fn change(at: u64, lan: Option<&str>, to: State) -> Event {
        let (machine, ifname, lan) = ("a".into(), "carp0".into(), lan.map(Into::into));
        Event { at, what: What::State { machine, ifname, lan, vhid: 1, from: State::Backup, to } }
    }

    /// Two LANs; changes before, between and after the frames.
    fn file() -> Vec<u8> {
        let lans = ["net0".to_owned(), "net1".to_owned()];
        let frames = [frame(0, 0), frame(3390, 1), frame(3391, 0), frame(5000, 0)];
        let events = [
            change(3_390_625_000, Some("net0"), State::Master),
            change(4_000_000_000, None, State::Init),
            change(6_000_000_000, Some("net1"), State::Absent),
            change(6_000_000_000, Some("net7"), State::Master),
        ];
        write(&lans, &frames, &events).unwrap()
    }

    #[test]
    fn a_frame_is_read_back_with_its_lan_time_and_comments() {
        let file = file();
        let mut reader = PcapNgReader::new(&file[..]).unwrap();
        let (mut names, mut seen) = (Vec::new(), Vec::new());
        while let Some(block) = reader.next_block() {
            match block.unwrap().into_owned() {
                Block::InterfaceDescription(i) => names.push((i.linktype, i.options)),
                Block::EnhancedPacket(p) => {
                    seen.push((p.interface_id, p.timestamp.as_nanos(), p.data.len(), p.options))
                }
                other => panic!("{other:?}"),
            }
        }
        let options = |name: &'static str| {
            vec![InterfaceDescriptionOption::IfName(name.into()), InterfaceDescriptionOption::IfTsResol(9)]
        };
        let ethernet = DataLink::ETHERNET;
        assert_eq!(names, [(ethernet, options("net0")), (ethernet, options("net1"))]);
        let says = |text: &'static str| EnhancedPacketOption::Comment(text.into());
        let last = |text| vec![says("a carp0 vhid 1: BACKUP -> INIT at 4.000000 s"), says(text)];
        assert_eq!(
            seen,
            [
                (0, 1, 60, vec![]),
                (1, 3_390_000_001, 61, vec![says("a carp0 vhid 1: BACKUP -> ABSENT at 6.000000 s")]),
                (0, 3_391_000_001, 60, vec![says("a carp0 vhid 1: BACKUP -> MASTER at 3.390625 s")]),
                (0, 5_000_000_001, 60, last("a carp0 vhid 1: BACKUP -> MASTER at 6.000000 s")),
            ]
        );
    }

    #[test]
    fn a_frame_on_no_lan_is_an_error_and_no_frame_is_none() {
        assert!(matches!(write(&[], &[frame(0, 0)], &[]), Err(PcapError::InvalidInterfaceId(0))));
        assert!(write(&["net0".into()], &[], &[change(0, None, State::Master)]).is_ok());
    }

    /// Whoever reads the file will do so with Wireshark.
    #[test]
    fn wireshark_tells_the_lans_the_times_and_the_comments() {
        let path = std::env::temp_dir().join(format!("lab-{}.pcapng", std::process::id()));
        std::fs::write(&path, file()).unwrap();
        let fields = ["frame.interface_name", "frame.time_epoch", "frame.len", "frame.comment"];
        let mut tshark = Command::new("tshark");
        tshark.args(["-n", "-T", "fields", "-r"]).arg(&path);
        fields.iter().for_each(|f| {
            tshark.args(["-e", f]);
        });
        let said = tshark.output();
        std::fs::remove_file(&path).unwrap();
        let said = match said {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                assert!(std::env::var_os("CI").is_none_or(|v| v.is_empty()), "CI must not skip");
                eprintln!("skipped: no program tshark in PATH");
                return;
            }
            said => said.unwrap(),
        };
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let text = String::from_utf8(said.stdout).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split('\t').collect()).collect();
        assert_eq!(lines[1][..3], ["net1", "3.390000001", "61"], "{text}");
        assert_eq!(lines[2][..3], ["net0", "3.391000001", "60"], "{text}");
        assert_eq!(lines[2][3], "a carp0 vhid 1: BACKUP -> MASTER at 3.390625 s");
        assert_eq!(lines[3][3].split(',').count(), 2, "{text}");
    }
}
