//! The lab: machines on LANs in virtual time, by scenarios.
//!
//! ```text
//!   pair.toml --> scenario --> run --> record --> events.jsonl, lan.pcapng,
//!                               |                 timeline.svg, report.html
//!                        sim::World, dev::lan
//! ```

pub mod model;
pub mod record;
