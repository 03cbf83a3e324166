//! The lab: machines on LANs in virtual time, by scenarios.
//!
//! ```text
//!   labs/pair.toml --> scenario --> run --> journal --> record --> events.jsonl
//!                                    |                    |
//!                       host, client, faults           expect
//!                                    |
//!                         sim::World, dev::lan
//! ```
//!
//! The machines are those of [`sim`](crate::sim): the netisrs, the ifnets and
//! the CARP that run as threads too. What people type they are given through
//! `ifconfig-carp`'s own code.

pub mod cli;
pub mod client;
pub mod duration;
pub mod expect;
pub mod faults;
pub mod host;
pub mod journal;
pub mod record;
pub mod run;
pub mod scenario;
