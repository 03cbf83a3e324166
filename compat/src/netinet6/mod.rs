//! `sys/netinet6`: IPv6.

pub mod icmp6;
pub mod in6;
pub mod in6_var;
pub mod ip6;
