//! The lab: machines on LANs in virtual time, by scenarios.
//!
//! ```text
//!   labs/pair.toml --> scenario --> run --> journal --> record --> events.jsonl
//!                                    |                    |        lan.pcapng
//!                       host, client, faults           expect      timeline.svg
//!                                    |                             report.html
//!                         sim::World, dev::lan
//! ```
//!
//! The machines are those of [`sim`](crate::sim): the netisrs, the ifnets and
//! the CARP that run as threads too. What people type they are given through
//! `ifconfig-carp`'s own code.

pub mod agenda;
pub mod cli;
pub mod client;
pub mod duration;
pub mod expect;
pub mod faults;
pub mod fuzz;
pub mod host;
pub mod journal;
pub mod judge;
pub mod model;
pub mod pcapng;
pub mod real;
pub mod record;
pub mod report;
pub mod run;
pub mod scenario;
pub mod timeline;
pub mod watch;
