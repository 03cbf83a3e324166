//! One emulated DragonFly machine: its network threads, its interfaces, its
//! CARP.
//!
//! ```text
//!            main thread ("a process")            netisr0                netisr 1..N-1
//!  control socket --> domsg(Syscall) ---------> ioctl, addresses
//!  signals        --> domsg(Halt) ------------> CARP, ARP, ND, callouts
//!                                                  |  service_sync ------> quiescent
//!  device queue 0 ------------------------> ether_input
//!  device queue 1 ------------------------------------------------------> ether_input
//!                                                  |<-- CARP, ARP, ND ---- |
//!                                                  |--- IP by hash ------> ip_input
//! ```
//!
//! Folders are named as upstream's tree names them. What is Linux's is in
//! [`dev`] and [`host`].

pub mod completions;
pub mod conf;
pub mod dev;
pub mod host;
pub mod kern;
pub mod lab;
pub mod machine;
pub mod net;
pub mod netinet;
pub mod netinet6;
pub mod sim;
