//! The Linux process around the machine: threads, the control socket, signals,
//! and who is told of what the machine does.

pub mod clock;
pub mod control;
pub mod events;
pub mod hooks;
pub mod http;
pub mod json;
pub mod links;
pub mod notify;
pub mod parts;
pub mod runtime;
pub mod signals;
pub mod thread;
pub mod watcher;
