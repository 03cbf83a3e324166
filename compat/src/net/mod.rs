//! `sys/net`: interfaces and the network threads.

pub mod ethernet;
pub mod if_;
pub mod if_dl;
pub mod if_var;
pub mod netisr;
pub mod route;
