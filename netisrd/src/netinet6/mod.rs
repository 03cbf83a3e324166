//! `sys/netinet6`: IPv6, as far as CARP needs it.

pub mod icmp6;
pub mod in6;
pub mod ip6_input;
pub mod ip6_output;
pub mod mld6;
pub mod nd6;
