//! `sys/net`: network threads, interfaces, Ethernet, routes.

pub mod fate;
pub mod if_;
pub mod if_clone;
pub mod if_ethersubr;
pub mod if_group;
pub mod if_llatbl;
pub mod if_tap;
pub mod ifaddr;
pub mod lent;
pub mod netisr;
pub mod route;
pub mod rt_sysctl;
pub mod rtsock;
