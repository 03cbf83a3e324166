//! `sys/sys`: what every part of the machine includes.

pub mod callout;
pub mod canary;
pub mod ctlsock;
pub mod errno;
pub mod ioccom;
pub mod mbuf;
pub mod msgport;
pub mod ratecheck;
pub mod socket;
pub mod sockio;
pub mod sysctl;
pub mod time;
