//! `sys/net`: network threads, interfaces, Ethernet, routes.

pub mod if_;
pub mod if_clone;
pub mod if_ethersubr;
pub mod netisr;
pub mod route;
pub mod rtsock;
