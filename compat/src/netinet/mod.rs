//! `sys/netinet`: the Internet protocols.

pub mod in_;
pub mod ip;
