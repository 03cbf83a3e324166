//! The LAN's packets as pcapng, with a comment where a machine's state changed.

use super::story::{State, Story};
use crate::lab::Frame;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::{PcapNgBlock, PcapNgWriter};
use pcap_file::{DataLink, PcapResult};
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// Timestamps count nanoseconds: the library writes no others, but does not
/// say so in the file.
const NANOSECONDS: u8 = 9;

/// Each transition, by the index of the frame that is to bear it: a new
/// MASTER's nearest advertisement, for all else the nearest frame.
pub fn comments(story: &Story, frames: &[Frame], start: Instant) -> Vec<(usize, String)> {
    let at = |f: &Frame| f.at.saturating_duration_since(start);
    let nearest = |wanted: Duration, of: &dyn Fn(&Frame) -> bool| {
        let candidates = frames.iter().enumerate().filter(|(_, f)| of(f));
        candidates.min_by_key(|(_, f)| at(f).abs_diff(wanted)).map(|(i, _)| i)
    };
    let place = |c: &super::story::Change| match c.to {
        State::Master => nearest(c.at, &|f| f.is_advert_of(c.who.ip())),
        _ => nearest(c.at, &|_| true),
    };
    let text = |c: &super::story::Change| {
        let why = if c.why.is_empty() { String::new() } else { format!(" ({})", c.why) };
        format!("{}: {}{why} at {:.3} s", c.who.name(), c.to.name(), c.at.as_secs_f64())
    };
    story.changes.iter().filter_map(|c| Some((place(c)?, text(c)))).collect()
}

/// The file's bytes.
///
/// # Errors
/// None that writing to memory has.
pub fn encode(frames: &[Frame], comments: &[(usize, String)]) -> PcapResult<Vec<u8>> {
    let mut writer = PcapNgWriter::new(Vec::new())?;
    let name = InterfaceDescriptionOption::IfName("lan".into());
    let resolution = InterfaceDescriptionOption::IfTsResol(NANOSECONDS);
    let lan = InterfaceDescriptionBlock {
        linktype: DataLink::ETHERNET,
        snaplen: 0,
        options: vec![name, resolution],
    };
    writer.write_block(&lan.into_block())?;
    for (i, frame) in frames.iter().enumerate() {
        let mine = comments.iter().filter(|(at, _)| *at == i);
        let packet = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: frame.stamp,
            original_len: frame.bytes.len() as u32,
            data: Cow::Borrowed(&frame.bytes),
            options: mine.map(|(_, text)| EnhancedPacketOption::Comment(text.into())).collect(),
        };
        writer.write_block(&packet.into_block())?;
    }
    Ok(writer.into_inner())
}
