//! The Linux process around the machine: threads, the control socket, signals.

pub mod access;
pub mod clock;
pub mod control;
pub mod privilege;
pub mod runtime;
pub mod thread;
