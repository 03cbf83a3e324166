//! The Linux process around the machine: threads, the control socket, signals,
//! and who is told of what the machine does.

pub mod access;
pub mod cards;
pub mod clock;
pub mod configuration;
pub mod control;
mod door;
pub mod events;
pub mod hooks;
pub mod http;
pub mod json;
pub mod lent;
pub mod links;
mod lock;
pub mod log;
pub mod mirror;
pub mod netconf;
pub mod notify;
pub mod parts;
pub mod privilege;
pub mod runtime;
pub mod signals;
pub mod succession;
pub mod thread;
pub mod watcher;
