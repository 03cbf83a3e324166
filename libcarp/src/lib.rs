//! `sys/netinet/ip_carp.c` in Rust: one file for each of its sections.
//!
//! | here | upstream |
//! |---|---|
//! | [`header`], [`carpreq`] | `ip_carp.h`, kernel's and programs' part |
//! | [`hmac`] | `carp_hmac_prepare`, `_generate`, `_verify` |
//! | [`softc`] | `struct carp_softc`, the globals |
//! | [`carp_if`] | `struct carp_if`, `carp_softc_container`: copy, switch, synchronise, free |
//! | [`vhaddr`] | virtual addresses and their backing addresses |
//! | [`input`] | `carp_input`, `carp_proto_input` |
//! | [`output`] | `carp_send_ad`, `carp_send_arp`, `carp_output` |
//! | [`state`] | `carp_setrun`, `carp_set_state`, `carp_master_down`, timers |
//! | [`reason`], [`peers`] | why a state has changed, and who was heard: for whoever looks |
//! | [`demote`] | `carp_suppress_preempt`, `carp_group_demote_adj`, `carp_sc_state` |
//! | [`ifaddr`] | `carp_ifaddr`, `carp_proto_ctlinput` |
//! | [`ioctl`] | `carp_ioctl` |
//! | [`sysctl`] | `net.inet.carp` |
//! | [`clone`] | create, destroy, detach |
//! | [`frozen`] | what one machine hands to another that goes on in its place |
//!
//! There is no clock, no socket, no thread and no `unsafe` here: all that the
//! kernel gives CARP comes in through [`kernel::Kernel`].
#![forbid(unsafe_code)]

pub mod carp_if;
pub mod carpreq;
pub mod clone;
pub mod demote;
pub mod frozen;
pub mod header;
pub mod hmac;
pub mod ifaddr;
pub mod input;
pub mod ioctl;
pub mod kernel;
pub mod log;
pub mod output;
pub mod peers;
pub mod reason;
pub mod softc;
pub mod state;
pub mod sysctl;
pub mod types;
pub mod vhaddr;

#[cfg(test)]
mod tests_config;
#[cfg(test)]
mod tests_demote;
#[cfg(test)]
mod tests_ifaddr;
#[cfg(test)]
mod tests_inet6;
#[cfg(test)]
mod tests_ioctl;
#[cfg(test)]
mod tests_leave;
#[cfg(test)]
mod tests_moves;
#[cfg(test)]
mod tests_parent;
#[cfg(test)]
mod tests_random;
#[cfg(test)]
mod tests_routes;
#[cfg(test)]
mod tests_state;
#[cfg(test)]
mod tests_table;
#[cfg(test)]
mod tests_table_events;
#[cfg(test)]
mod tests_tie;
#[cfg(test)]
mod tests_unbacked;
#[cfg(test)]
mod testutil;
#[cfg(test)]
mod testutil_machine;

pub use carp_if::CarpIf;
pub use kernel::{Cx, Kernel};
pub use reason::{Reason, Transition};
pub use softc::{Carp, CarpSoftc};

/// An interface whose `if_carp` is a [`CarpIf`].
pub type Ifnet = compat::net::if_var::Ifnet<CarpIf>;
/// An address of such an interface.
pub type Ifaddr = compat::net::if_var::Ifaddr<CarpIf>;
