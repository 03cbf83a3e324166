//! `sys/netinet`: ARP and IPv4.

pub mod carp_vhid;
pub mod if_ether;
pub mod in_;
pub mod ip_icmp;
pub mod ip_input;
pub mod ip_output;
