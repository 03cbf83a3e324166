//! `sys/netinet`: the Internet protocols.

pub mod in_;
pub mod in_var;
pub mod ip;
